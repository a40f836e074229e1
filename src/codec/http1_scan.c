#include "http1_scan.h"

// One expression a class, over the byte `c`; the table is all of them for all bytes.
#define IN(c, low, high) ((c) >= (low) && (c) <= (high))
#define DIGIT(c) IN(c, '0', '9')
#define ALPHA(c) (IN(c, 'a', 'z') || IN(c, 'A', 'Z'))
#define VISIBLE(c) IN(c, 0x21, 0x7e)
#define UNRESERVED(c) (ALPHA(c) || DIGIT(c) || IN(c, '-', '.') || (c) == '_' || (c) == '~')
#define SUB_DELIM(c) ((c) == '!' || (c) == '$' || IN(c, '&', ',') || (c) == '=')
#define PCHAR(c) (UNRESERVED(c) || SUB_DELIM(c) || (c) == ':' || (c) == '@')
#define DELIMITER(c)                                                                          \
    ((c) == '"' || (c) == '(' || (c) == ')' || (c) == ',' || (c) == '/' || IN(c, ':', '@') || \
     IN(c, '[', ']') || (c) == '{' || (c) == '}')
#define NO_TARGET(c) ((c) == '"' || (c) == '#' || (c) == '<' || (c) == '>' || (c) == '\\')

#define CLASS(c)                                                                          \
    ((VISIBLE(c) && !DELIMITER(c) ? CLASS_TOKEN : 0) |                                    \
     ((c) >= 0x80 || (c) == '\t' || (c) == ' ' || VISIBLE(c) ? CLASS_VALUE : 0) |         \
     (VISIBLE(c) && !NO_TARGET(c) ? CLASS_TARGET : 0) |                                   \
     (PCHAR(c) || (c) == '/' ? CLASS_PATH : 0) | (UNRESERVED(c) ? CLASS_UNRESERVED : 0) | \
     (ALPHA(c) || DIGIT(c) || IN(c, '-', '.') || (c) == '_' ? CLASS_HOST : 0) |           \
     (DIGIT(c) ? CLASS_DIGIT : 0) |                                                       \
     (DIGIT(c) || IN(c, 'a', 'f') || IN(c, 'A', 'F') ? CLASS_HEX : 0))

#define ROW4(c) CLASS(c), CLASS((c) + 1), CLASS((c) + 2), CLASS((c) + 3)
#define ROW16(c) ROW4(c), ROW4((c) + 4), ROW4((c) + 8), ROW4((c) + 12)
#define ROW64(c) ROW16(c), ROW16((c) + 16), ROW16((c) + 32), ROW16((c) + 48)

const uint8_t http1_class[256] = { ROW64(0), ROW64(64), ROW64(128), ROW64(192) };

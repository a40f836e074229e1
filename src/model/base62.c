#include "base62.h"

#include "penstock/base/check.h"

// The digit for 0..61 without a look-up that depends on a secret.
static char digit_of(unsigned value)
{
    const unsigned is_upper = (9 - value) >> 31;  // 10..35 and above
    const unsigned is_lower = (35 - value) >> 31; // 36..61
    return (char)('0' + value + is_upper * ('A' - '9' - 1) + is_lower * ('a' - 'Z' - 1));
}

void base62_write(const uint8_t *bytes, size_t len, char *out, size_t width)
{
    uint8_t number[BASE62_BYTES_MAX];
    assert(len > 0 && len <= sizeof(number));
    memcpy(number, bytes, len);
    // Schoolbook division by 62, the last digit first, always over the whole length.
    for (size_t i = width; i-- > 0;) {
        unsigned rest = 0;
        for (size_t j = 0; j < len; j++) {
            const unsigned part = rest << 8 | number[j];
            number[j] = (uint8_t)(part / 62);
            rest = part % 62;
        }
        out[i] = digit_of(rest);
    }
    unsigned left = 0;
    for (size_t j = 0; j < len; j++)
        left |= number[j];
    assert(left == 0);
    explicit_bzero(number, sizeof(number));
}

// All ones where lo <= byte <= hi.
static unsigned between(unsigned byte, unsigned lo, unsigned hi)
{
    return ((byte - lo) >> 31 | (hi - byte) >> 31) - 1;
}

uint8_t base62_digit(unsigned char byte)
{
    const unsigned is_digit = between(byte, '0', '9');
    const unsigned is_upper = between(byte, 'A', 'Z');
    const unsigned is_lower = between(byte, 'a', 'z');
    const unsigned none = ~(is_digit | is_upper | is_lower);
    return (uint8_t)((is_digit & (byte - '0')) | (is_upper & (byte - 'A' + 10u)) |
                     (is_lower & (byte - 'a' + 36u)) | (none & 255u));
}

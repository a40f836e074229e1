#include "penstock/convert/loss.h"

#include "penstock/base/text.h"

#include <stdarg.h>
#include <stdio.h>

void losses_init(struct losses *losses, bool strict)
{
    memset(losses, 0, offsetof(struct losses, dropped));
    losses->strict = strict;
}

// What may stand in a header field's list. What follows '=' in an adjustment may hold most things.
static void tame(char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (text[i] <= ' ' || text[i] >= 0x7f || text[i] == ',' || text[i] == '"')
            text[i] = '_';
}

static bool is_told(struct span list, struct span entry)
{
    while (list.len > 0) {
        size_t len = span_find(list, ',');
        if (span_eq(span_upto(list, len), entry))
            return true;
        list = span_from(list, min_size(len + 1, list.len));
    }
    return false;
}

static void add(char *list, uint16_t *list_len, struct span entry)
{
    static const char ellipsis[] = "...";
    const size_t mark = sizeof(ellipsis) - 1;
    size_t len = *list_len;
    if (is_told(span_of(list, len), entry))
        return;
    if (len >= mark && memcmp(list + len - mark, ellipsis, mark) == 0)
        return; // there is no more room
    size_t comma = len > 0 ? 1 : 0;
    bool fits = len + comma + entry.len + 1 + mark <= LOSS_TEXT_MAX;
    struct span put = fits ? entry : span_of(ellipsis, mark);
    if (comma != 0)
        list[len++] = ',';
    memcpy(list + len, put.ptr, put.len);
    *list_len = (uint16_t)(len + put.len);
}

static void refuse(struct losses *losses, const char *why, struct span path)
{
    losses->count[LOSS_REFUSE]++;
    if (losses->refused)
        return;
    losses->refused = true;
    losses->why = why;
    losses->path_len = (uint16_t)min_size(path.len, sizeof(losses->path));
    memcpy(losses->path, path.ptr, losses->path_len);
}

#define FORMAT_ENTRY(entry, len, format)                                         \
    char entry[LOSS_PATH_MAX];                                                   \
    va_list args;                                                                \
    va_start(args, format);                                                      \
    int wanted = vsnprintf(entry, sizeof(entry), format, args);                  \
    va_end(args);                                                                \
    size_t len = min_size((size_t)(wanted > 0 ? wanted : 0), sizeof(entry) - 1); \
    tame(entry, len)

void loss_drop(struct losses *losses, const char *path, ...)
{
    FORMAT_ENTRY(entry, len, path);
    if (losses->strict) {
        refuse(losses, "this cannot be carried over to the model's vendor", span_of(entry, len));
        return;
    }
    losses->count[LOSS_DROP]++;
    add(losses->dropped, &losses->dropped_len, span_of(entry, len));
}

void loss_adjust(struct losses *losses, const char *text, ...)
{
    FORMAT_ENTRY(entry, len, text);
    if (losses->strict) {
        struct span path = span_of(entry, len);
        refuse(losses, "this can be carried over to the model's vendor only in part",
               span_upto(path, span_find(path, '=')));
        return;
    }
    losses->count[LOSS_ADJUST]++;
    add(losses->adjusted, &losses->adjusted_len, span_of(entry, len));
}

void loss_refuse(struct losses *losses, const char *why, const char *path, ...)
{
    FORMAT_ENTRY(entry, len, path);
    refuse(losses, why, span_of(entry, len));
}

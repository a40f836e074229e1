#include "penstock/codec/http1_known.h"

#include "http1_scan.h"
#include "penstock/base/check.h"
#include "penstock/base/mem.h"
#include "penstock/base/secret.h"

struct err http_known_init(struct http_known_table *table)
{
    *table = (struct http_known_table){ .list = mem_take(HTTP_KNOWN_COUNT, sizeof(*table->list)) };
    return table->list != NULL ? OK : ERR(NO_MEMORY);
}

void http_known_fini(struct http_known_table *table)
{
    for (uint32_t i = 0; i < HTTP_KNOWN_COUNT; i++)
        assert(table->refs[i] == 0);
    mem_give(table->list);
    table->list = NULL;
}

static inline bool is_digit(char byte)
{
    return (unsigned char)(byte - '0') <= 9;
}

bool http_known_match(struct http_known *known, struct span in, size_t head_max, size_t *used)
{
    const size_t at = known->length_at;
    if (in.len < known->len - (size_t)(known->length_end - at)) // even without digits
        return false;
    if (!bytes_eq_secret(in.ptr, known->text, at))
        return false;
    uint64_t length = 0;
    size_t digits = 0;
    if (at < known->len) {
        const size_t most = min_size(in.len - at, HTTP_LENGTH_DIGITS_MAX + 1);
        for (; digits < most && is_digit(in.ptr[at + digits]); digits++)
            length = length * 10 + (uint64_t)(in.ptr[at + digits] - '0');
        if (digits == 0 || digits > HTTP_LENGTH_DIGITS_MAX)
            return false;
    }
    const size_t tail = known->len - known->length_end;
    const size_t whole = at + digits + tail;
    if (in.len < whole || whole > head_max ||
        !bytes_eq_secret(in.ptr + at + digits, known->text + known->length_end, tail))
        return false;
    known->head.content_length = length;
    *used = whole;
    return true;
}

static uint64_t mix(uint64_t hash, const char *text, size_t len)
{
    const uint64_t odd = UINT64_C(0x9e3779b97f4a7c15);
    for (; len >= 8; text += 8, len -= 8)
        hash = (hash ^ load8(text) ^ hash >> 32) * odd;
    if (len > 0)
        hash = (hash ^ load_short(text, len) ^ hash >> 32) * odd;
    return hash;
}

// What changes without a change of the text, or is not a view of it, is not kept.
static bool may_come_again(struct span text, const struct http_head *head)
{
    const char *target = head->target.ptr;
    return text.len <= HTTP_KNOWN_TEXT && head->keep_alive &&
           http_field_find(head, HF_EXPECT) == NULL && target >= text.ptr &&
           target < text.ptr + text.len;
}

static void rebase(struct span *view, const char *from, const char *to)
{
    view->ptr = to + (view->ptr - from);
}

static void keep(struct http_known *known, struct span text, const struct http_head *head)
{
    struct http_head *own = &known->head;
    memcpy(known->text, text.ptr, text.len);
    memcpy(own, head, offsetof(struct http_head, fields));
    memcpy(own->fields, head->fields, head->field_count * sizeof(*head->fields));
    rebase(&own->method_text, text.ptr, known->text);
    rebase(&own->target, text.ptr, known->text);
    for (unsigned i = 0; i < own->field_count; i++) {
        rebase(&own->fields[i].name, text.ptr, known->text);
        rebase(&own->fields[i].value, text.ptr, known->text);
    }
    known->len = (uint16_t)text.len;
}

struct http_known *http_known_get(struct http_known_table *table, struct span text,
                                  const struct http_head *head)
{
    if (!may_come_again(text, head))
        return NULL;
    const struct http_field *length = http_field_find(head, HF_CONTENT_LENGTH);
    const size_t at = length != NULL ? (size_t)(length->value.ptr - text.ptr) : text.len;
    const size_t end = length != NULL ? at + length->value.len : text.len;
    const uint32_t tag =
        (uint32_t)(mix(mix(at, text.ptr, at), text.ptr + end, text.len - end) >> 32);
    struct http_known *free = NULL;
    size_t used;
    for (uint32_t i = 0; i < HTTP_KNOWN_COUNT; i++) {
        struct http_known *known = &table->list[i];
        if (table->refs[i] == 0) {
            free = free != NULL ? free : known;
        } else if (table->tags[i] == tag && http_known_match(known, text, text.len, &used)) {
            table->refs[i]++;
            return known;
        }
    }
    if (free == NULL)
        return NULL;
    keep(free, text, head);
    free->length_at = (uint16_t)at;
    free->length_end = (uint16_t)end;
    table->refs[free - table->list] = 1;
    table->tags[free - table->list] = tag;
    return free;
}

void http_known_put(struct http_known_table *table, struct http_known **known)
{
    if (*known == NULL)
        return;
    uint32_t *refs = &table->refs[*known - table->list];
    assert(*refs > 0);
    if (--*refs == 0) {
        bytes_wipe((*known)->text, (*known)->len);
        bytes_wipe((*known)->room, sizeof((*known)->room));
    }
    *known = NULL;
}

// Edits against a model that copies the edited text together; and the removal of members: what is
// left must be the object without them.
#include "penstock/base/check.h"
#include "penstock/codec/splice.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NAMES = 6 };
static const char names[NAMES][2] = { "a", "b", "c", "d", "e", "f" };

static char *join(const struct splice *splice, struct span text, size_t *len)
{
    char *out = malloc(splice_length(splice, text.len) + 1);
    struct splice_iter iter = splice_begin(splice, text);
    struct span span;
    *len = 0;
    while (splice_next(&iter, &span)) {
        assert(span.len > 0);
        memcpy(out + *len, span.ptr, span.len);
        *len += span.len;
    }
    assert(*len == splice_length(splice, text.len));
    return out;
}

// data: a count, for each edit (gap, length, length of the replacement), then the text.
static void edit(const uint8_t *data, size_t size)
{
    struct splice splice = { 0 };
    size_t count = size > 0 ? data[0] % SPLICE_EDITS_MAX : 0;
    if (size < 1 + 3 * count)
        return;
    struct span text = span_of(data + 1 + 3 * count, size - 1 - 3 * count);
    static const char filler[] = "replacement text, as long as any byte modulo sixteen asks for";
    size_t at = 0;
    char *model = malloc(text.len + count * 16 + 1);
    size_t model_len = 0;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *dice = data + 1 + 3 * i;
        size_t gap = min_size(dice[0] % 8, text.len - at);
        size_t cut = min_size(dice[1] % 8, text.len - at - gap);
        size_t with = dice[2] % 16;
        memcpy(model + model_len, text.ptr + at, gap);
        memcpy(model + model_len + gap, filler, with);
        model_len += gap + with;
        splice_add(&splice, at + gap, cut, span_of(filler, with));
        at += gap + cut;
    }
    if (text.len > at)
        memcpy(model + model_len, text.ptr + at, text.len - at);
    model_len += text.len - at;
    size_t len;
    char *out = join(&splice, text, &len);
    assert(len == model_len);
    assert(memcmp(out, model, len) == 0);
    free(out);
    free(model);
}

// data: a mask of names, then a body.
static void remove_members(const uint8_t *data, size_t size)
{
    if (size == 0)
        return;
    struct span text = span_of(data + 1, size - 1);
    struct json_member items[NAMES];
    for (size_t i = 0; i < NAMES; i++)
        items[i] = (struct json_member){ .name = span_of(names[i], 1), .decides = true };
    struct json_members members;
    struct err err;
    json_members_init(&members, items, NAMES);
    enum parse parse;
    do
        parse = json_members_feed(&members, text, true, JSON_STEP, &err);
    while (parse == PARSE_MORE);
    if (parse == PARSE_BAD)
        return;
    struct json_member *removed[NAMES];
    size_t count = 0;
    for (size_t i = 0; i < NAMES; i++) {
        if ((data[0] >> i & 1) == 0 || !items[i].found)
            continue;
        size_t at = count++;
        for (; at > 0 && removed[at - 1]->index > items[i].index; at--)
            removed[at] = removed[at - 1];
        removed[at] = &items[i];
    }
    struct splice splice = { 0 };
    splice_remove_members(&splice, removed, count);
    size_t len;
    char *out = join(&splice, text, &len);
    struct json_slice left, before;
    assert(json_check(text, &before));
    assert(json_check(span_of(out, len), &left));
    for (size_t i = 0; i < NAMES; i++) {
        bool gone = (data[0] >> i & 1) != 0;
        struct json_slice had = json_get(before, items[i].name),
                          has = json_get(left, items[i].name);
        assert(gone ? has.kind == JK_NONE : span_eq(has.text, had.text));
    }
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    edit(data, size);
    remove_members(data, size);
    return 0;
}

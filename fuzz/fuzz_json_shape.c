// Two bodies, of which the first is learnt: if the second is known by it, a pass over the second
// has to find the same.
#include "penstock/base/check.h"
#include "penstock/codec/json_shape.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NAMES = 4, DEPTH = 32 };
static const char names[NAMES][2] = { "a", "b", "c", "d" };

#define MARK JSON_MARK('m', 'a', 'r', 'k')
static const struct json_marks marks = {
    .filter = JSON_MARK_BIT(MARK),
    .count = 1,
    .words = { MARK },
};

struct pass {
    struct json_members members;
    struct json_member items[NAMES];
};

static void start(struct pass *pass)
{
    for (size_t i = 0; i < NAMES; i++)
        pass->items[i] = (struct json_member){ .name = span_of(names[i], 1), .decides = i % 2 };
    json_members_init(&pass->members, pass->items, NAMES);
    json_members_limit(&pass->members, DEPTH);
    pass->members.scan.marks = &marks;
}

// data: the first body's length in two bytes, then both.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    const size_t len = min_size(data[0] | (size_t)data[1] << 8, size - 2);
    // In memory of its own, so that a read beyond the second is seen.
    char *text = malloc(size - 2 - len + 1);
    const struct span first = span_of(data + 2, len), second = span_of(text, size - 2 - len);
    memcpy(text, data + 2 + len, second.len);
    static struct json_shape shape;
    struct json_texts texts;
    struct pass learnt, known, found;
    struct err err;
    json_shape_init(&shape);
    start(&learnt);
    json_scan_texts(&learnt.members.scan, &texts);
    if (json_members_feed(&learnt.members, first, true, SIZE_MAX, &err) == PARSE_DONE) {
        json_shape_learn(&shape, first, &texts, &learnt.members);
        start(&known);
        if (json_shape_take(&shape, second, &known.members)) {
            start(&found);
            assert(json_members_feed(&found.members, second, true, SIZE_MAX, &err) == PARSE_DONE);
            assert(known.members.scan.marked == found.members.scan.marked);
            for (size_t i = 0; i < NAMES; i++) {
                const struct json_member *a = &known.items[i], *b = &found.items[i];
                assert(a->found == b->found);
                if (!a->found)
                    continue;
                assert(a->index == b->index && a->before == b->before && a->after == b->after);
                assert(a->place.at == b->place.at && a->place.end == b->place.end);
                assert(a->place.key_at == b->place.key_at && a->place.kind == b->place.kind);
                assert(a->place.key_len == b->place.key_len);
            }
        }
    }
    free(text);
    return 0;
}

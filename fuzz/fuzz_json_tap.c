// The tap in pieces against the tap in one, and against the walkers over the whole text.
#include "penstock/base/check.h"
#include "penstock/codec/json_tap.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MODEL, USAGE, DEEP, FINISH, PATHS };
static const struct json_tap_path paths[PATHS] = {
    [MODEL] = { "model", 0 },
    [USAGE] = { "usage", 24 },
    [DEEP] = { "a.b.c", 16 },
    [FINISH] = { "choices.[].f", 16 },
};
enum { VALUES = 24 + 16 + 16, TELLS_MAX = 256 };

struct told {
    struct {
        enum json_tap_event event;
        int8_t path;
        uint64_t pos;
    } tells[TELLS_MAX];
    size_t count;
    enum parse last;
    bool whole;
    struct json_tap tap;
    char values[VALUES];
};

static void feed(struct told *told, struct span piece)
{
    char *copy = malloc(piece.len + 1);
    if (piece.len > 0)
        memcpy(copy, piece.ptr, piece.len);
    struct span in = span_of(copy, piece.len);
    while (told->last != PARSE_BAD) {
        told->last = json_tap_feed(&told->tap, &in);
        if (told->last != PARSE_DATA)
            break;
        if (told->count < TELLS_MAX) {
            told->tells[told->count].event = told->tap.event;
            told->tells[told->count].path = told->tap.path;
            told->tells[told->count++].pos = told->tap.pos;
        }
        if (told->tap.event == JSON_TAP_ELEMENT)
            json_tap_forget(&told->tap);
    }
    assert(told->last == PARSE_BAD || in.len == 0);
    free(copy);
}

static void run(struct told *told, const struct json_tap_plan *plan, struct span text,
                unsigned seed)
{
    memset(told, 0, sizeof(*told));
    json_tap_init(&told->tap, plan, told->values);
    while (text.len > 0 && told->last != PARSE_BAD) {
        seed = seed * 1103515245 + 12345;
        size_t len = seed == 12345 ? text.len : 1 + (seed >> 16) % 20;
        len = min_size(len, text.len);
        feed(told, span_upto(text, len));
        text = span_from(text, len);
    }
    told->whole = told->last != PARSE_BAD && json_tap_end(&told->tap);
}

// The value that the tap should hold for a path without arrays, found the slow way: of repeated
// keys the last that has the rest of the path.
static struct json_slice find(struct json_slice object, const struct span *names, size_t count)
{
    struct json_iter iter = json_members_of(object);
    struct span key;
    struct json_slice value, found = JSON_SLICE_NONE;
    while (json_member_next(&iter, &key, &value)) {
        if (key.len > JSON_TAP_KEY_MAX || !json_key_is(key, names[0]))
            continue;
        struct json_slice inner = count == 1 ? value : find(value, names + 1, count - 1);
        found = inner.kind != JK_NONE ? inner : found;
    }
    return found;
}

static void check(const struct told *told, struct span text, struct json_slice root, int path,
                  const struct span *names, size_t count)
{
    struct json_slice want = find(root, names, count);
    const struct json_tap_hit *hit = &told->tap.hits[path];
    assert((want.kind != JK_NONE) == (hit->count > 0));
    if (want.kind == JK_NONE)
        return;
    assert(hit->complete);
    assert(hit->kind == want.kind);
    assert(hit->at == (uint64_t)(want.text.ptr - text.ptr));
    assert(hit->end - hit->at == want.text.len);
    size_t max = paths[path].value_max;
    struct json_slice got = json_tap_value(&told->tap, (size_t)path);
    if (want.text.len <= max)
        assert(span_eq(got.text, want.text));
    else
        assert(got.kind == JK_NONE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct told whole, pieces;
    struct json_tap_plan plan;
    json_tap_plan_init(&plan, paths, PATHS);
    assert(plan.value_bytes == VALUES);
    struct span text = span_of(data, size);
    run(&whole, &plan, text, 0);
    run(&pieces, &plan, text, 1 + (unsigned)size);
    assert(whole.whole == pieces.whole);
    assert((whole.last == PARSE_BAD) == (pieces.last == PARSE_BAD));
    assert(whole.count == pieces.count);
    assert(memcmp(whole.tells, pieces.tells, sizeof(whole.tells)) == 0);

    struct json_slice root;
    if (!json_check(text, &root))
        return 0;
    assert(whole.whole);
    if (root.kind != JK_OBJECT)
        return 0;
    check(&whole, text, root, MODEL, (const struct span[]){ SPAN("model") }, 1);
    check(&whole, text, root, USAGE, (const struct span[]){ SPAN("usage") }, 1);
    check(&whole, text, root, DEEP, (const struct span[]){ SPAN("a"), SPAN("b"), SPAN("c") }, 3);
    return 0;
}

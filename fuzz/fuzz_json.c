// The scanner and the walkers against jansson: both accept the same texts and see the same values
// in them; and however a text is fed, the verdict is the same.
#include "penstock/base/check.h"
#include "penstock/codec/json.h"
#include "penstock/codec/json_writer.h"

#include <jansson.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// What jansson refuses although it is JSON: lone surrogates, numbers beyond its types, NUL in keys.
static bool is_jansson_limit(const json_error_t *error)
{
    enum json_error_code code = json_error_code(error);
    return code == json_error_numeric_overflow || code == json_error_null_byte_in_key ||
           strstr(error->text, "Unicode") != NULL || strstr(error->text, "real number overflow");
}

static void compare(struct json_slice ours, json_t *theirs);

static void compare_string(struct json_slice ours, json_t *theirs)
{
    char *text = malloc(ours.text.len);
    bool cut;
    size_t len = json_string_decode(ours, text, ours.text.len, &cut);
    assert(!cut);
    assert(len == json_string_length(theirs));
    assert(memcmp(text, json_string_value(theirs), len) == 0);
    assert(json_string_is(ours, span_of(text, len)) || memchr(text, '\\', len) != NULL);

    // Written again it says the same.
    char *again = malloc(6 * len + 2);
    struct jsonw out;
    jsonw_init(&out, again, 6 * len + 2);
    jsonw_string(&out, span_of(text, len));
    struct json_slice back;
    assert(json_check(jsonw_done(&out), &back));
    char *text2 = malloc(len + 1);
    assert(json_string_decode(back, text2, len, &cut) == len);
    assert(memcmp(text, text2, len) == 0);
    free(text2);
    free(again);
    free(text);
}

static void compare_object(struct json_slice ours, json_t *theirs)
{
    struct json_iter iter = json_members_of(ours);
    struct span raw_key;
    struct json_slice value;
    while (json_member_next(&iter, &raw_key, &value)) {
        char *key = malloc(raw_key.len + 1);
        struct json_slice quoted = { span_of(raw_key.ptr - 1, raw_key.len + 2), JK_STRING };
        size_t len = json_string_decode(quoted, key, raw_key.len, NULL);
        json_t *found = json_object_getn(theirs, key, len);
        assert(found != NULL);
        // Of equal keys jansson keeps the last.
        struct json_slice last = value;
        struct json_iter rest = iter;
        struct span other;
        struct json_slice candidate;
        while (json_member_next(&rest, &other, &candidate)) {
            char *name = malloc(other.len + 1);
            struct json_slice text = { span_of(other.ptr - 1, other.len + 2), JK_STRING };
            size_t name_len = json_string_decode(text, name, other.len, NULL);
            if (name_len == len && memcmp(name, key, len) == 0)
                last = candidate;
            free(name);
        }
        if (last.text.ptr == value.text.ptr)
            compare(value, found);
        free(key);
    }
    assert(!iter.bad);
}

static void compare(struct json_slice ours, json_t *theirs)
{
    switch (ours.kind) {
    case JK_NULL: assert(json_is_null(theirs)); return;
    case JK_TRUE: assert(json_is_true(theirs)); return;
    case JK_FALSE: assert(json_is_false(theirs)); return;
    case JK_NUMBER: {
        int64_t value = 0;
        bool whole = json_i64(ours, &value);
        if (json_is_integer(theirs)) {
            assert(whole);
            assert(value == json_integer_value(theirs));
        } else {
            assert(json_is_real(theirs));
        }
        return;
    }
    case JK_STRING: assert(json_is_string(theirs)); return compare_string(ours, theirs);
    case JK_OBJECT: assert(json_is_object(theirs)); return compare_object(ours, theirs);
    case JK_ARRAY: {
        assert(json_is_array(theirs));
        struct json_iter iter = json_elements_of(ours);
        struct json_slice value;
        size_t count = 0;
        while (json_element_next(&iter, &value))
            compare(value, json_array_get(theirs, count++));
        assert(!iter.bad);
        assert(count == json_array_size(theirs));
        return;
    }
    case JK_NONE: break;
    }
    bug("a checked value has a kind");
}

// The text grows by uneven steps, each with a small budget.
static enum parse scan_in_pieces(struct json_scan *scan, struct span text, unsigned seed)
{
    json_scan_init(scan, (seed & 1) != 0);
    size_t shown = 0;
    for (;;) {
        char *copy = malloc(shown + 1); // a sanitizer sees every byte read outside
        if (shown > 0)
            memcpy(copy, text.ptr, shown);
        size_t before = scan->pos;
        enum parse parse =
            json_scan_feed(scan, span_of(copy, shown), shown == text.len, JSON_STEP_MIN);
        free(copy);
        if (parse == PARSE_DONE || parse == PARSE_BAD)
            return parse;
        if (parse == PARSE_DATA)
            continue;
        assert(shown < text.len || scan->pos > before);
        seed = seed * 1103515245 + 12345;
        shown = min_size(text.len, shown + 1 + (seed >> 16) % 40);
    }
}

// Walks what nobody has validated: it must end, inside the text.
static void walk_anything(struct json_slice value, unsigned depth)
{
    struct json_iter iter =
        value.kind == JK_ARRAY ? json_elements_of(value) : json_members_of(value);
    struct span key;
    struct json_slice child;
    while (value.kind == JK_ARRAY ? json_element_next(&iter, &child)
                                  : json_member_next(&iter, &key, &child)) {
        assert(child.text.ptr > value.text.ptr);
        assert(child.text.ptr + child.text.len < value.text.ptr + value.text.len);
        if (depth < 20)
            walk_anything(child, depth + 1);
    }
    char text[32];
    uint64_t number;
    json_string_decode(value, text, sizeof(text), NULL);
    bool whole = json_u64(value, &number);
    (void)whole;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span text = span_of(data, size);
    struct json_slice root = JSON_SLICE_NONE;
    bool good = json_check(text, &root);

    struct json_scan whole, pieces;
    json_scan_init(&whole, false);
    enum parse want;
    do
        want = json_scan_feed(&whole, text, true, SIZE_MAX / 2);
    while (want == PARSE_MORE);
    assert((want == PARSE_DONE) == good);
    assert(scan_in_pieces(&pieces, text, (unsigned)size) == want);
    assert(pieces.pos == whole.pos);
    assert(pieces.fault == whole.fault);
    char path[JSON_PATH_TEXT];
    json_path_at(text, whole.pos, path);
    walk_anything(json_value(text), 0);

    json_error_t error;
    json_t *theirs = json_loadb((const char *)data, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (good) {
        assert(theirs != NULL || is_jansson_limit(&error));
        if (theirs != NULL)
            compare(root, theirs);
    } else {
        bool our_limit = whole.fault == JSON_FAULT_DEPTH || whole.fault == JSON_FAULT_NUMBER;
        // It also loses a NUL that follows a number.
        bool their_bug = size > 0 && memchr(data, 0, size) != NULL;
        assert(theirs == NULL || our_limit || their_bug);
    }
    json_decref(theirs);
    return 0;
}

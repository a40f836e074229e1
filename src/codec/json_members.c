#include "penstock/codec/json_members.h"

#include "penstock/base/check.h"
#include "penstock/base/guard.h"

#include <stdio.h>

enum { ESCAPE_BYTES = 6 }; // of a character of a name

void json_members_init(struct json_members *members, struct json_member *items, size_t count)
{
    assert(count <= JSON_MEMBERS_MAX);
    json_scan_init(&members->scan, true);
    members->items = items;
    members->count = count;
    members->open = members->last_end = members->err_at = 0;
    members->due = NULL;
    members->err = OK;
    for (size_t i = 0; i < count; i++) {
        assert(items[i].name.len > 0);
        items[i].found = false; // the rest is set when it is
    }
}

void json_members_limit(struct json_members *members, uint32_t depth)
{
    assert(depth > 0 && depth <= JSON_DEPTH_MAX);
    members->scan.depth_max = depth;
}

static enum parse bad(struct json_members *members, struct err err, size_t at)
{
    members->err = err;
    members->err_at = at;
    return PARSE_BAD;
}

static struct json_member *find(const struct json_members *members, struct span raw_key)
{
    struct json_member *item = members->items, *end = item + members->count;
    for (; item < end; item++)
        if (item->name.len == raw_key.len && span_eq_name(raw_key, item->name))
            return item;
    if (raw_key.len < ESCAPE_BYTES || span_find(raw_key, '\\') == raw_key.len)
        return NULL;
    for (item = members->items; item < end; item++)
        if (json_key_is(raw_key, item->name))
            return item;
    return NULL;
}

// A member of the root is complete. False if it may not be there.
static bool take_member(struct json_members *members, struct span text,
                        const struct json_place *place, uint32_t index)
{
    if (members->due != NULL)
        members->due->after = place->key_at;
    members->due = NULL;
    size_t before = members->last_end;
    members->last_end = place->end;
    struct span raw_key = span_of(text.ptr + place->key_at + 1, place->key_len - 2);
    struct json_member *item = find(members, raw_key);
    if (item == NULL)
        return true;
    if (item->found && item->decides && GUARD(JSON_DUPLICATE)) {
        bad(members, ERR(JSON_DUPLICATE), place->key_at);
        return false;
    }
    item->found = true;
    item->index = index;
    item->place = *place;
    item->before = before;
    item->after = place->end;
    members->due = item;
    return true;
}

// Those that the newest call of the scanner has completed.
static bool take_members(struct json_members *members, struct span text)
{
    const struct json_scan *scan = &members->scan;
    uint32_t first = scan->child_count - scan->place_count;
    for (uint32_t i = 0; i < scan->place_count; i++)
        if (!take_member(members, text, &scan->places[i], first + i))
            return false;
    return true;
}

static struct err scan_err(enum json_fault fault)
{
    return fault == JSON_FAULT_DEPTH ? ERR(JSON_TOO_DEEP) : ERR(JSON_MALFORMED);
}

// The root's kind is known from its first byte; `open` follows from the first look behind it.
static bool root_is_wrong(struct json_members *members, struct span text)
{
    const struct json_scan *scan = &members->scan;
    if (members->open > 0 || scan->root == JK_NONE)
        return false;
    if (scan->root != JK_OBJECT)
        return true;
    // Only white space lies before it, as a rule none.
    members->open = (likely(text.ptr[0] == '{') ? 0 : span_find(text, '{')) + 1;
    members->last_end = members->open;
    return false;
}

enum parse json_members_feed(struct json_members *members, struct span text, bool final,
                             size_t budget, struct err *err)
{
    assert(!failed(members->err));
    struct json_scan *scan = &members->scan;
    size_t start = scan->pos;
    budget = max_size(budget, JSON_STEP_MIN);
    enum parse parse;
    do {
        size_t used = scan->pos - start;
        if (used >= budget)
            return PARSE_MORE;
        parse = json_scan_feed(scan, text, final, budget - used);
        if (root_is_wrong(members, text))
            parse = bad(members, ERR(JSON_TYPE), 0);
        else if (!take_members(members, text))
            parse = PARSE_BAD; // whatever comes behind it
        else if (parse == PARSE_BAD)
            bad(members, scan_err((enum json_fault)scan->fault), scan->pos);
    } while (parse == PARSE_DATA);
    if (parse == PARSE_BAD)
        *err = members->err;
    return parse;
}

static const char *report_text(const struct json_members *members)
{
    switch (members->err.code) {
    case ERR_JSON_TYPE: return "the body is not an object";
    case ERR_JSON_DUPLICATE: return "a second member of this name";
    default: return json_fault_text((enum json_fault)members->scan.fault);
    }
}

size_t json_members_report(const struct json_members *members, struct span text,
                           char out[JSON_MEMBERS_REPORT])
{
    assert(failed(members->err));
    char path[JSON_PATH_TEXT];
    size_t path_len = json_path_at(text, members->err_at, path);
    int len = snprintf(out, JSON_MEMBERS_REPORT, "%s at byte %zu%s%.*s%s", report_text(members),
                       members->err_at, path_len > 0 ? " (" : "", (int)path_len, path,
                       path_len > 0 ? ")" : "");
    return min_size((size_t)len, JSON_MEMBERS_REPORT - 1);
}

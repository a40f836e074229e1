// Containers on the way to a path are followed token by token; everything else is skipped with the
// vector searches, only counting brackets. So the cost of a large answer is that of two searches.
#include "penstock/codec/json_tap.h"

#include "json_walk.h"
#include "penstock/base/check.h"
#include "penstock/codec/simd.h"

enum state {
    ST_VALUE,
    ST_FIRST_VALUE, // or ']'
    ST_KEY,
    ST_FIRST_KEY, // or '}'
    ST_COLON,
    ST_NEXT, // ',' or the container's end
    ST_IN_STRING,
    ST_IN_KEY,
    ST_IN_SCALAR,
    ST_SKIP, // inside a container of no interest
    ST_SKIP_STRING,
    ST_END,
};

enum { NODE_ROOT = 0, NODE_ELEMENTS = 0xfe, NODE_NONE = 0xff };

enum step { STEP_ON, STEP_EVENT, STEP_BAD };

struct run {
    struct json_tap *tap;
    const char *at, *end;
    const char *start; // of this call's input, where tap->pos is
};

// --------------------------------------------------------------------------------------- plan

// One bit that a name always has and few others share. `name` is not empty.
static inline uint64_t mark_of(struct span name)
{
    return UINT64_C(1) << (((unsigned char)name.ptr[0] + 5 * name.len) & 63);
}

static uint8_t find_child(const struct json_tap_plan *plan, uint8_t node, struct span name)
{
    for (uint8_t at = plan->nodes[node].child; at != 0; at = plan->nodes[at].next)
        if (span_eq_name(plan->nodes[at].name, name))
            return at;
    return NODE_NONE;
}

static uint8_t add_child(struct json_tap_plan *plan, uint8_t node, struct span name)
{
    uint8_t found = find_child(plan, node, name);
    if (found != NODE_NONE)
        return found;
    assert(plan->node_count < JSON_TAP_NODES_MAX);
    uint8_t added = (uint8_t)plan->node_count++;
    plan->nodes[added] =
        (struct json_tap_node){ .name = name, .path = -1, .next = plan->nodes[node].child };
    plan->nodes[node].child = added;
    plan->nodes[node].marks |= mark_of(name);
    return added;
}

static void add_path(struct json_tap_plan *plan, size_t path)
{
    assert(plan->paths[path].value_max <= JSON_TAP_VALUE_MAX);
    struct span rest = span_str(plan->paths[path].path);
    uint8_t node = NODE_ROOT;
    size_t levels = 0;
    for (bool more = true; more;) {
        size_t len = span_find(rest, '.');
        assert(len > 0);
        assert(++levels <= JSON_TAP_LEVELS_MAX);
        assert(plan->nodes[node].path < 0);
        node = add_child(plan, node, span_upto(rest, len));
        more = len < rest.len;
        rest = span_from(rest, more ? len + 1 : len);
    }
    assert(plan->nodes[node].path < 0);
    assert(plan->nodes[node].child == 0);
    plan->nodes[node].path = (int8_t)path;
}

void json_tap_plan_init(struct json_tap_plan *plan, const struct json_tap_path *paths, size_t count)
{
    assert(count <= JSON_TAP_PATHS_MAX);
    *plan = (struct json_tap_plan){ .paths = paths, .path_count = count, .node_count = 1 };
    plan->nodes[NODE_ROOT].path = -1;
    for (size_t i = 0; i < count; i++) {
        add_path(plan, i);
        plan->value_at[i] = (uint32_t)plan->value_bytes;
        plan->value_bytes += paths[i].value_max;
    }
}

// ---------------------------------------------------------------------------------------- tap

void json_tap_init(struct json_tap *tap, const struct json_tap_plan *plan, char *values)
{
    assert(values != NULL || plan->value_bytes == 0);
    // Neither the key nor the bits of levels are read before they are written, nor are hits of
    // paths that the plan does not have.
    memset(tap, 0, offsetof(struct json_tap, hits));
    memset(tap->hits, 0, plan->path_count * sizeof(tap->hits[0]));
    memset((char *)tap + offsetof(struct json_tap, event), 0,
           offsetof(struct json_tap, levels) - offsetof(struct json_tap, event));
    tap->plan = plan;
    tap->values = values;
    tap->told = JSON_TAP_PATHS_MAX;
    tap->state = ST_VALUE;
    tap->active = -1;
    tap->child = NODE_ROOT;
}

static uint64_t here(const struct run *run)
{
    return run->tap->pos + (uint64_t)(run->at - run->start);
}

static bool in_object(const struct json_tap *tap)
{
    uint32_t level = tap->depth - 1;
    return (tap->objects[level / 64] >> (level % 64) & 1) != 0;
}

static bool push(struct json_tap *tap, bool object)
{
    if (tap->depth == JSON_DEPTH_MAX)
        return false;
    uint64_t bit = UINT64_C(1) << (tap->depth % 64);
    uint64_t *word = &tap->objects[tap->depth / 64];
    *word = object ? *word | bit : *word & ~bit;
    tap->depth++;
    return true;
}

static enum step tell(struct json_tap *tap, enum json_tap_event event, int8_t path)
{
    if (path >= (int8_t)tap->told)
        return STEP_ON;
    tap->event = event;
    tap->path = path;
    return STEP_EVENT;
}

// A value has ended just before run->at.
static enum step end_value(struct run *run)
{
    struct json_tap *tap = run->tap;
    tap->state = tap->depth == 0 ? ST_END : ST_NEXT;
    if (tap->active >= 0) {
        int8_t path = tap->active;
        tap->active = -1;
        tap->hits[path].end = here(run);
        tap->hits[path].complete = true;
        return tell(tap, JSON_TAP_END, path);
    }
    if (tap->depth == 1 && tap->levels[1] == NODE_ELEMENTS)
        return tell(tap, JSON_TAP_ELEMENT, -1);
    return STEP_ON;
}

static enum json_kind kind_of(char byte)
{
    switch (byte) {
    case '{': return JK_OBJECT;
    case '[': return JK_ARRAY;
    case '"': return JK_STRING;
    case 't': return JK_TRUE;
    case 'f': return JK_FALSE;
    case 'n': return JK_NULL;
    default: return byte == '-' || (byte >= '0' && byte <= '9') ? JK_NUMBER : JK_NONE;
    }
}

static void begin_hit(struct run *run, int8_t path)
{
    struct json_tap_hit *hit = &run->tap->hits[path];
    *hit = (struct json_tap_hit){ .at = here(run),
                                  .count = hit->count + 1,
                                  .kind = kind_of(*run->at) };
}

static enum step begin_watched(struct run *run, int8_t path)
{
    struct json_tap *tap = run->tap;
    begin_hit(run, path);
    tap->begun = true;
    return tell(tap, JSON_TAP_BEGIN, path);
}

// The node by which the container that begins here is to be followed.
static uint8_t node_to_follow(const struct json_tap *tap, uint8_t child, bool object)
{
    if (tap->active >= 0 || child == NODE_NONE)
        return NODE_NONE;
    if (child == NODE_ROOT && !object)
        return tap->depth == 0 ? NODE_ELEMENTS : NODE_NONE;
    return child == NODE_ROOT || tap->plan->nodes[child].child != 0 ? child : NODE_NONE;
}

static enum step begin_container(struct run *run, uint8_t child)
{
    struct json_tap *tap = run->tap;
    bool object = *run->at == '{';
    uint8_t node = node_to_follow(tap, child, object);
    tap->skip_depth = tap->depth;
    if (!push(tap, object))
        return STEP_BAD;
    run->at++;
    if (node == NODE_NONE) {
        tap->state = ST_SKIP;
        return STEP_ON;
    }
    assert(tap->depth < ARRAY_LEN(tap->levels));
    tap->levels[tap->depth] = node;
    tap->state = object ? ST_FIRST_KEY : ST_FIRST_VALUE;
    return STEP_ON;
}

static uint8_t child_of_array(const struct json_tap *tap)
{
    uint8_t node = tap->levels[tap->depth];
    return node == NODE_ELEMENTS ? NODE_ROOT : find_child(tap->plan, node, SPAN("[]"));
}

static enum step begin_value(struct run *run)
{
    struct json_tap *tap = run->tap;
    uint8_t child = tap->depth > 0 && !in_object(tap) ? child_of_array(tap) : tap->child;
    enum json_kind kind = kind_of(*run->at);
    if (kind == JK_NONE)
        return STEP_BAD;
    int8_t path = child == NODE_NONE ? -1 : tap->plan->nodes[child].path;
    if (path >= 0 && !tap->begun)
        return begin_watched(run, path);
    tap->begun = false;
    tap->active = path;
    if (kind == JK_OBJECT || kind == JK_ARRAY)
        return begin_container(run, child);
    tap->state = kind == JK_STRING ? ST_IN_STRING : ST_IN_SCALAR;
    run->at++;
    return STEP_ON;
}

static enum step close_container(struct run *run)
{
    struct json_tap *tap = run->tap;
    if (*run->at != (in_object(tap) ? '}' : ']'))
        return STEP_BAD;
    run->at++;
    tap->depth--;
    return end_value(run);
}

// Moves through a string, which may have been cut anywhere. True once its end is behind run->at.
static bool pass_string(struct run *run)
{
    struct json_tap *tap = run->tap;
    while (run->at < run->end) {
        if (tap->escape) {
            tap->escape = false;
            run->at++;
            continue;
        }
        bool high = false;
        run->at += simd_string_run(run->at, (size_t)(run->end - run->at), &high);
        if (run->at == run->end)
            return false;
        char byte = *run->at++;
        if (byte == '"')
            return true;
        tap->escape = byte == '\\';
    }
    return false;
}

static void keep_key(struct json_tap *tap, const char *from, size_t len)
{
    if (tap->key_len + len <= JSON_TAP_KEY_MAX)
        memcpy(tap->key + tap->key_len, from, len);
    tap->key_len = (uint16_t)min_size(tap->key_len + len, JSON_TAP_KEY_MAX + 1);
}

static enum step pass_key(struct run *run)
{
    struct json_tap *tap = run->tap;
    const char *from = run->at;
    bool ended = pass_string(run);
    keep_key(tap, from, (size_t)(run->at - from) - ended);
    if (!ended)
        return STEP_ON;
    tap->state = ST_COLON;
    tap->child = NODE_NONE;
    if (tap->key_len > JSON_TAP_KEY_MAX)
        return STEP_ON;
    const struct json_tap_node *nodes = tap->plan->nodes;
    struct span key = span_of(tap->key, tap->key_len);
    for (uint8_t at = nodes[tap->levels[tap->depth]].child; at != 0; at = nodes[at].next)
        if (json_key_is(key, nodes[at].name))
            tap->child = at;
    return STEP_ON;
}

// The end of the scalar at `at`, or where it goes wrong.
static const char *scalar_end(const char *at, const char *end)
{
    while (at < end && (scalar_byte(*at) & (SCALAR_END | SCALAR_WRONG)) == 0)
        at++;
    return at;
}

static enum step pass_scalar(struct run *run)
{
    run->at = scalar_end(run->at, run->end);
    if (run->at == run->end)
        return STEP_ON;
    return scalar_byte(*run->at) == SCALAR_END ? end_value(run) : STEP_BAD;
}

static enum step pass_skipped(struct run *run)
{
    struct json_tap *tap = run->tap;
    while (run->at < run->end) {
        if (tap->state == ST_SKIP_STRING) {
            if (pass_string(run))
                tap->state = ST_SKIP;
            continue;
        }
        run->at += simd_structure_run(run->at, (size_t)(run->end - run->at));
        if (run->at == run->end)
            break;
        switch (*run->at) {
        case '"':
            tap->state = ST_SKIP_STRING;
            run->at++;
            break;
        case '{':
        case '[':
            if (!push(tap, *run->at == '{'))
                return STEP_BAD;
            run->at++;
            break;
        default:
            if (*run->at != (in_object(tap) ? '}' : ']'))
                return STEP_BAD;
            run->at++;
            if (--tap->depth == tap->skip_depth)
                return end_value(run);
            break;
        }
    }
    return STEP_ON;
}

// A token outside strings, scalars and skipped containers; *run->at is not white space.
static enum step take_token(struct run *run)
{
    struct json_tap *tap = run->tap;
    char byte = *run->at;
    switch ((enum state)tap->state) {
    case ST_FIRST_VALUE: return byte == ']' ? close_container(run) : begin_value(run);
    case ST_VALUE: return begin_value(run);
    case ST_FIRST_KEY:
        if (byte == '}')
            return close_container(run);
        __attribute__((fallthrough));
    case ST_KEY:
        if (byte != '"')
            return STEP_BAD;
        tap->key_len = 0;
        tap->state = ST_IN_KEY;
        break;
    case ST_COLON:
        if (byte != ':')
            return STEP_BAD;
        tap->state = ST_VALUE;
        break;
    case ST_NEXT:
        if (byte != ',')
            return close_container(run);
        tap->state = in_object(tap) ? ST_KEY : ST_VALUE;
        break;
    case ST_END: return STEP_BAD;
    case ST_IN_STRING:
    case ST_IN_KEY:
    case ST_IN_SCALAR:
    case ST_SKIP:
    case ST_SKIP_STRING: bug("handled by the caller");
    }
    run->at++;
    return STEP_ON;
}

static enum step take(struct run *run)
{
    switch ((enum state)run->tap->state) {
    case ST_IN_STRING: return pass_string(run) ? end_value(run) : STEP_ON;
    case ST_IN_KEY: return pass_key(run);
    case ST_IN_SCALAR: return pass_scalar(run);
    case ST_SKIP:
    case ST_SKIP_STRING: return pass_skipped(run);
    case ST_VALUE:
    case ST_FIRST_VALUE:
    case ST_KEY:
    case ST_FIRST_KEY:
    case ST_COLON:
    case ST_NEXT:
    case ST_END: break;
    }
    while (run->at < run->end &&
           (*run->at == ' ' || *run->at == '\n' || *run->at == '\r' || *run->at == '\t'))
        run->at++;
    return run->at < run->end ? take_token(run) : STEP_ON;
}

// Keeps the bytes from `from` on for the path whose value they are.
static void keep(struct json_tap *tap, int8_t path, const char *from, const char *to)
{
    struct json_tap_hit *hit = &tap->hits[path];
    size_t len = (size_t)(to - from), max = tap->plan->paths[path].value_max;
    if (hit->too_large || len == 0 || max == 0)
        return;
    if (hit->len + len > max) {
        hit->too_large = true;
        hit->len = 0;
        return;
    }
    memcpy(tap->values + tap->plan->value_at[path] + hit->len, from, len);
    hit->len = (uint16_t)(hit->len + len);
}

// ---------------------------------------------------------------------------- whole members
//
// Most members lie whole in the piece at hand, and most values are not wanted. They are passed here
// in one go, without the states; whatever is cut, watched aloud, to be followed or odd in any way
// is left to the states from the member's key on. The two must not be told apart from outside.

enum { QUICK_DEPTH_MAX = 64 }; // brackets in a container, a bit each

// Behind the container at `at`; NULL if it is not whole, or not for us.
static const char *quick_container(const char *at, const char *end)
{
    uint64_t objects = 0;
    unsigned depth = 0;
    for (;;) {
        at += simd_structure_run(at, (size_t)(end - at));
        if (at == end)
            return NULL;
        char byte = *at++;
        if (byte == '"') {
            at = string_end(at - 1, end);
            if (at == NULL)
                return NULL;
        } else if (byte == '{' || byte == '[') {
            if (depth++ == QUICK_DEPTH_MAX)
                return NULL;
            objects = objects << 1 | (byte == '{');
        } else {
            if ((byte == '}') != (objects & 1))
                return NULL;
            objects >>= 1;
            if (--depth == 0)
                return at;
        }
        if (at == end)
            return NULL;
    }
}

static const char *quick_value(const char *at, const char *end)
{
    switch (kind_of(*at)) {
    case JK_STRING: return string_end(at, end);
    case JK_OBJECT:
    case JK_ARRAY: return quick_container(at, end);
    case JK_TRUE:
    case JK_FALSE:
    case JK_NULL:
    case JK_NUMBER: break;
    case JK_NONE: return NULL;
    }
    at = scalar_end(at, end);
    return at < end && scalar_byte(*at) == SCALAR_END ? at : NULL; // more of it may come
}

static const char *quick_space(const char *at, const char *end)
{
    if (likely(at < end && (unsigned char)*at > ' '))
        return at;
    while (at < end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t'))
        at++;
    return at;
}

static uint8_t quick_child(const struct json_tap *tap, struct span key)
{
    const struct json_tap_node *node = &tap->plan->nodes[tap->levels[tap->depth]];
    if (key.len == 0 || key.len > JSON_TAP_KEY_MAX || (node->marks & mark_of(key)) == 0)
        return NODE_NONE;
    return find_child(tap->plan, tap->levels[tap->depth], key);
}

// Passes the member at run->at, whose key comes first. False, and nothing has changed, if it is
// not one for this.
static bool quick_member(struct run *run)
{
    struct json_tap *tap = run->tap;
    const char *end = run->end, *key = quick_space(run->at, end);
    if (key == end || *key != '"')
        return false;
    const char *at = quote_run(key + 1, end);
    if (at == end || *at == '\\') // the states resolve escapes
        return false;
    uint8_t child = quick_child(tap, span_of(key + 1, (size_t)(at - key) - 1));
    at = quick_space(at + 1, end);
    if (at == end || *at != ':')
        return false;
    const char *value = quick_space(at + 1, end);
    if (value == end)
        return false;
    int8_t path = child == NODE_NONE ? -1 : tap->plan->nodes[child].path;
    if (child != NODE_NONE && (path < 0 || path < (int8_t)tap->told))
        return false;
    at = quick_value(value, end);
    if (at == NULL)
        return false;
    if (path >= 0) {
        run->at = value;
        begin_hit(run, path);
        keep(tap, path, value, at);
        tap->hits[path].end = here(run) + (uint64_t)(at - value);
        tap->hits[path].complete = true;
    }
    run->at = at;
    tap->state = ST_NEXT;
    return true;
}

// As many members as there are, from where a key may stand or just behind a value.
static void quick_members(struct run *run)
{
    struct json_tap *tap = run->tap;
    if (tap->depth == 0 || !in_object(tap))
        return;
    if (tap->state == ST_KEY || tap->state == ST_FIRST_KEY) {
        if (!quick_member(run))
            return;
    } else if (tap->state != ST_NEXT) {
        return;
    }
    for (;;) {
        const char *at = quick_space(run->at, run->end), *comma = run->at;
        if (at == run->end || *at != ',')
            return;
        run->at = at + 1;
        if (quick_member(run))
            continue;
        run->at = comma;
        return;
    }
}

enum parse json_tap_feed(struct json_tap *tap, struct span *in)
{
    if (in->len == 0)
        return tap->state == ST_END ? PARSE_DONE : PARSE_MORE;
    struct run run = { tap, in->ptr, in->ptr + in->len, in->ptr };
    enum step step = STEP_ON;
    while (step == STEP_ON && run.at < run.end) {
        quick_members(&run);
        if (run.at == run.end)
            break;
        const char *from = run.at;
        int8_t active = tap->active;
        step = take(&run);
        // A value's first byte is taken by the step that makes it the active one.
        int8_t path = active >= 0 ? active : tap->active;
        if (path >= 0)
            keep(tap, path, from, run.at);
    }
    tap->pos = here(&run);
    *in = span_of(run.at, (size_t)(run.end - run.at));
    switch (step) {
    case STEP_EVENT: return PARSE_DATA;
    case STEP_BAD: return PARSE_BAD;
    case STEP_ON: break;
    }
    return tap->state == ST_END ? PARSE_DONE : PARSE_MORE;
}

bool json_tap_end(struct json_tap *tap)
{
    bool scalar = tap->state == ST_IN_SCALAR && tap->depth == 0;
    return tap->state == ST_END || scalar;
}

struct json_slice json_tap_value(const struct json_tap *tap, size_t path)
{
    assert(path < tap->plan->path_count);
    const struct json_tap_hit *hit = &tap->hits[path];
    if (!hit->complete || hit->too_large || hit->len == 0)
        return JSON_SLICE_NONE;
    const char *value = tap->values + tap->plan->value_at[path];
    return (struct json_slice){ span_of(value, hit->len), hit->kind };
}

void json_tap_forget(struct json_tap *tap)
{
    memset(tap->hits, 0, sizeof(tap->hits));
}

// The validating scanner: one loop over tokens, a state that says what may come next, and a bit a
// level that says whether the level is an object. Only strings and white space can be long; they
// stop at the budget. Every other token is short and waits until it is in the text as a whole.
#include "penstock/base/check.h"
#include "penstock/base/guard.h"
#include "penstock/codec/json.h"
#include "penstock/codec/simd.h"

enum state {
    ST_VALUE,       // a value
    ST_FIRST_VALUE, // a value or ']'
    ST_FIRST_KEY,   // a key or '}'
    ST_KEY,         // a key
    ST_COLON,
    ST_NEXT, // ',' or the end of the container
    ST_IN_STRING,
    ST_IN_KEY,
    ST_END, // white space only
};

enum step { STEP_ON, STEP_MORE, STEP_BAD, STEP_FULL };

// One call's view of the text. All that works on it is in line, so that it lives in registers.
struct run {
    struct json_scan *scan;
    const char *text;
    const char *at;
    const char *stop; // of this call: the budget or the end
    const char *end;
    uint64_t filter; // of the marks
    uint32_t depth;
    enum state state;
    bool final;
};

#define in_line static inline __attribute__((always_inline))

static const char *const fault_texts[JSON_FAULT_COUNT] = {
    [JSON_FAULT_NONE] = "no fault",
    [JSON_FAULT_SYNTAX] = "unexpected character",
    [JSON_FAULT_EARLY] = "unexpected end",
    [JSON_FAULT_AFTER] = "unexpected text after the value",
    [JSON_FAULT_DEPTH] = "nested too deeply",
    [JSON_FAULT_UTF8] = "invalid UTF-8",
    [JSON_FAULT_CONTROL] = "control character in a string",
    [JSON_FAULT_ESCAPE] = "invalid escape",
    [JSON_FAULT_NUMBER] = "invalid number",
};

const char *json_fault_text(enum json_fault fault)
{
    assert(fault < JSON_FAULT_COUNT);
    return fault_texts[fault];
}

void json_scan_init(struct json_scan *scan, bool report)
{
    // Neither the bits of levels nor places are read before they are written.
    memset(scan, 0, offsetof(struct json_scan, places));
    scan->state = ST_VALUE;
    scan->report = report;
    scan->depth_max = JSON_DEPTH_MAX;
}

in_line enum step bad(struct run *run, enum json_fault fault)
{
    run->scan->fault = (uint8_t)fault;
    return STEP_BAD;
}

// The text is used up in the middle of something.
in_line enum step starved(struct run *run)
{
    return run->final && run->stop == run->end ? bad(run, JSON_FAULT_EARLY) : STEP_MORE;
}

in_line bool is_digit(char byte)
{
    return (unsigned char)(byte - '0') <= 9;
}

static bool is_hex(char byte)
{
    return is_digit(byte) || ((byte | 0x20) >= 'a' && (byte | 0x20) <= 'f');
}

// What a part of a token has come to: behind it, or where and why not. `fault` is NONE and `whole`
// is false if more text is needed.
struct part {
    const char *at;
    enum json_fault fault;
    bool whole;
};

static struct part part_cut(const char *at, bool final)
{
    return (struct part){ at, final ? JSON_FAULT_EARLY : JSON_FAULT_NONE, false };
}

static struct part scan_escape(const char *at, const char *end, bool final)
{
    size_t left = (size_t)(end - at);
    if (left < 2)
        return part_cut(at, final);
    switch (at[1]) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't': return (struct part){ at + 2, JSON_FAULT_NONE, true };
    case 'u': break;
    default: return (struct part){ at, JSON_FAULT_ESCAPE, false };
    }
    for (size_t i = 2; i < 6; i++) {
        if (i == left)
            return part_cut(at, final);
        if (!is_hex(at[i]))
            return (struct part){ at, JSON_FAULT_ESCAPE, false };
    }
    return (struct part){ at + 6, JSON_FAULT_NONE, true };
}

// From inside a string to behind its closing quote.
static __attribute__((noinline)) struct part scan_string(const char *at, const char *stop,
                                                         const char *end, bool final)
{
    while (at < stop) {
        size_t left = (size_t)(stop - at);
        bool high = false;
        size_t len = simd_quoted_run(at, left, &high);
        size_t good = high ? simd_utf8_run(at, len) : len;
        at += good;
        if (good < len) {
            // Perhaps a character that the end of this call's text has cut.
            bool cut = len == left && len - good < 4 && !(final && stop == end);
            return (struct part){ at, cut ? JSON_FAULT_NONE : JSON_FAULT_UTF8, false };
        }
        if (len == left)
            break;
        if (*at == '"')
            return (struct part){ at + 1, JSON_FAULT_NONE, true };
        if (*at != '\\')
            return (struct part){ at, JSON_FAULT_CONTROL, false };
        struct part escape = scan_escape(at, end, final);
        if (!escape.whole)
            return escape;
        at = escape.at;
    }
    return part_cut(at, final && stop == end);
}

const char *json_string_end(const char *at, const char *end)
{
    struct part part = scan_string(at, end, end, true);
    return part.whole ? part.at - 1 : part.at;
}

static const char *digits_end(const char *at, const char *end)
{
    while (at < end && is_digit(*at))
        at++;
    return at;
}

// The end of the number at `at`, or NULL if it breaks the grammar before `end`. *whole: what was
// read is a number even if nothing follows.
static const char *number_end(const char *at, const char *end, bool *whole)
{
    *whole = false;
    at += at < end && *at == '-';
    if (at == end)
        return at;
    if (!is_digit(*at))
        return NULL;
    at = *at == '0' ? at + 1 : digits_end(at, end);
    if (at < end && *at == '.') {
        const char *fraction = at + 1;
        at = digits_end(fraction, end);
        if (at == fraction)
            return at == end ? at : NULL;
    }
    if (at < end && (*at | 0x20) == 'e') {
        at++;
        at += at < end && (*at == '+' || *at == '-');
        const char *exponent = at;
        at = digits_end(exponent, end);
        if (at == exponent)
            return at == end ? at : NULL;
    }
    *whole = true;
    return at;
}

static __attribute__((noinline)) struct part scan_number(const char *start, const char *end,
                                                         bool final)
{
    size_t left = (size_t)(end - start);
    bool whole;
    const char *at = number_end(start, start + min_size(left, JSON_NUMBER_MAX + 1), &whole);
    if (at == NULL || at - start > JSON_NUMBER_MAX)
        return (struct part){ start, JSON_FAULT_NUMBER, false };
    if (at == end && !final)
        return (struct part){ start, JSON_FAULT_NONE, false }; // another digit may follow
    if (!whole)
        return (struct part){ start, JSON_FAULT_NUMBER, false };
    return (struct part){ at, JSON_FAULT_NONE, true };
}

in_line enum step take_part(struct run *run, struct part part)
{
    run->at = part.at;
    if (likely(part.whole))
        return STEP_ON;
    return part.fault == JSON_FAULT_NONE ? STEP_MORE : bad(run, part.fault);
}

in_line enum step scan_word(struct run *run, struct span word)
{
    size_t left = (size_t)(run->end - run->at);
    if (likely(left >= word.len)) {
        if (memcmp(run->at, word.ptr, word.len) != 0)
            return bad(run, JSON_FAULT_SYNTAX);
        run->at += word.len;
        return STEP_ON;
    }
    if (memcmp(run->at, word.ptr, left) != 0)
        return bad(run, JSON_FAULT_SYNTAX);
    return run->final ? bad(run, JSON_FAULT_EARLY) : STEP_MORE;
}

in_line bool in_object(const struct run *run)
{
    uint32_t level = run->depth - 1;
    return (run->scan->objects[level / 64] >> (level % 64) & 1) != 0;
}

in_line enum step open_container(struct run *run, bool object)
{
    struct json_scan *scan = run->scan;
    // What the levels' bits have room for holds in any case.
    if (run->depth >= scan->depth_max && (GUARD(JSON_DEPTH) || run->depth == JSON_DEPTH_MAX))
        return bad(run, JSON_FAULT_DEPTH);
    uint64_t bit = UINT64_C(1) << (run->depth % 64);
    uint64_t *word = &scan->objects[run->depth / 64];
    *word = object ? *word | bit : *word & ~bit;
    run->depth++;
    run->state = object ? ST_FIRST_KEY : ST_FIRST_VALUE;
    run->at++;
    return STEP_ON;
}

in_line size_t here(const struct run *run)
{
    return (size_t)(run->at - run->text);
}

// A value has ended just before `at`.
in_line enum step end_value(struct run *run)
{
    struct json_scan *scan = run->scan;
    run->state = run->depth == 0 ? ST_END : ST_NEXT;
    if (run->depth != 1)
        return STEP_ON;
    scan->child_count++;
    if (!scan->report)
        return STEP_ON;
    scan->place.end = here(run);
    scan->places[scan->place_count++] = scan->place;
    return scan->place_count == JSON_SCAN_PLACES ? STEP_FULL : STEP_ON;
}

in_line enum step close_container(struct run *run)
{
    run->at++;
    run->depth--;
    return end_value(run);
}

static enum json_kind kind_at(char byte)
{
    switch (byte) {
    case '{': return JK_OBJECT;
    case '[': return JK_ARRAY;
    case '"': return JK_STRING;
    case 't': return JK_TRUE;
    case 'f': return JK_FALSE;
    case 'n': return JK_NULL;
    default: return byte == '-' || is_digit(byte) ? JK_NUMBER : JK_NONE;
    }
}

static uint8_t marks_of(const struct json_marks *marks, uint32_t word)
{
    uint8_t marked = 0;
    for (uint32_t i = 0; i < marks->count; i++) {
        if (marks->words[i] == word)
            marked |= (uint8_t)(1U << i);
    }
    return marked;
}

uint8_t json_marks_of(const struct json_marks *marks, struct span contents)
{
    uint32_t word;
    if (marks == NULL)
        return 0;
    assert(contents.len >= sizeof(word));
    memcpy(&word, contents.ptr, sizeof(word));
    return (marks->filter & JSON_MARK_BIT(word)) != 0 ? marks_of(marks, word) : 0;
}

// A string or key begins.
in_line void look_for_mark(struct run *run)
{
    uint32_t word;
    if (likely((size_t)(run->end - run->at) >= sizeof(word))) {
        memcpy(&word, run->at, sizeof(word));
        if (unlikely((run->filter & JSON_MARK_BIT(word)) != 0))
            run->scan->marked |= marks_of(run->scan->marks, word);
    } else if (!run->final) {
        run->scan->marked |= JSON_MARK_CUT;
    }
}

// The rest of a string or key. Most are short and plain, so the first bytes are looked at in line.
in_line enum step scan_contents(struct run *run)
{
    if (likely(run->stop - run->at >= SIMD_FIRST)) {
        size_t len = simd_short_string(run->at);
        if (len < SIMD_FIRST) {
            run->at += len + 1;
            return STEP_ON;
        }
    }
    return take_part(run, scan_string(run->at, run->stop, run->end, run->final));
}

// A value that is a string has passed, whose contents began at `from`, or a part of it.
static __attribute__((noinline)) void note_text(struct json_texts *texts, size_t from, size_t to,
                                                bool whole)
{
    texts->lost |= !whole || texts->count == JSON_TEXTS_MAX;
    if (texts->lost)
        return;
    texts->list[texts->count].at = from;
    texts->list[texts->count++].len = to - from;
}

in_line enum step end_string(struct run *run)
{
    const char *from = run->at;
    enum step step = scan_contents(run);
    if (unlikely(run->scan->texts != NULL) && run->at - from > JSON_TEXT_MIN + 1)
        note_text(run->scan->texts, (size_t)(from - run->text), here(run) - 1, step == STEP_ON);
    return step == STEP_ON ? end_value(run) : step;
}

in_line enum step end_key(struct run *run)
{
    struct json_scan *scan = run->scan;
    enum step step = scan_contents(run);
    if (step != STEP_ON)
        return step;
    if (run->depth == 1)
        scan->place.key_len = here(run) - scan->place.key_at;
    bool colon = run->at < run->stop && *run->at == ':';
    run->at += colon; // nearly always
    run->state = colon ? ST_VALUE : ST_COLON;
    return STEP_ON;
}

in_line enum step scan_value(struct run *run)
{
    struct json_scan *scan = run->scan;
    char byte = *run->at;
    if (run->depth <= 1) {
        if (run->depth == 0)
            scan->root = kind_at(byte);
        else
            scan->place.at = here(run), scan->place.kind = kind_at(byte);
    }
    enum step step;
    switch (byte) {
    case '"':
        run->at++;
        run->state = ST_IN_STRING;
        look_for_mark(run);
        return end_string(run);
    case '{': return open_container(run, true);
    case '[': return open_container(run, false);
    case 't': step = scan_word(run, SPAN("true")); break;
    case 'f': step = scan_word(run, SPAN("false")); break;
    case 'n': step = scan_word(run, SPAN("null")); break;
    default:
        if (byte != '-' && !is_digit(byte))
            return bad(run, JSON_FAULT_SYNTAX);
        step = take_part(run, scan_number(run->at, run->end, run->final));
        break;
    }
    return step == STEP_ON ? end_value(run) : step;
}

in_line enum step scan_key(struct run *run)
{
    if (*run->at != '"')
        return bad(run, JSON_FAULT_SYNTAX);
    if (run->depth == 1)
        run->scan->place.key_at = here(run);
    run->at++;
    run->state = ST_IN_KEY;
    look_for_mark(run);
    return end_key(run);
}

// Behind a value: what the container goes on with, or its end.
in_line enum step scan_next(struct run *run)
{
    bool object = in_object(run);
    char byte = *run->at;
    if (byte == ',') {
        run->at++;
        run->state = object ? ST_KEY : ST_VALUE;
        return STEP_ON;
    }
    return byte == (object ? '}' : ']') ? close_container(run) : bad(run, JSON_FAULT_SYNTAX);
}

// Moves over white space.
static __attribute__((noinline)) const char *space_end(const char *at, const char *end)
{
    for (; at < end; at++) {
        uint64_t word = 0; // eight blanks at a time, for indented text
        while (end - at > 8 && (memcpy(&word, at, 8), word == UINT64_C(0x2020202020202020)))
            at += 8;
        if (*at != ' ' && *at != '\n' && *at != '\r' && *at != '\t')
            break;
    }
    return at;
}

// True if a token stands here; if not, the next round moves to it.
in_line bool at_token(const struct run *run)
{
    return likely(run->at < run->stop && (unsigned char)*run->at > ' ');
}

// Scans what the state says may come, and as much of a member behind it as follows at once: most
// text goes on from comma to key to value.
in_line enum step scan_some(struct run *run)
{
    enum step step = STEP_ON;
    if (unlikely(run->state == ST_IN_STRING))
        return end_string(run);
    if (unlikely(run->state == ST_IN_KEY))
        return end_key(run);
    if (unlikely(!at_token(run))) {
        run->at = space_end(run->at, run->stop);
        if (run->at >= run->stop)
            return run->state == ST_END ? STEP_MORE : starved(run);
    }
    if (run->state == ST_NEXT) {
        step = scan_next(run);
        if (step != STEP_ON || run->state == ST_NEXT || !at_token(run))
            return step;
    }
    if (run->state == ST_FIRST_KEY && *run->at == '}')
        return close_container(run);
    if (run->state == ST_KEY || run->state == ST_FIRST_KEY) {
        step = scan_key(run);
        if (step != STEP_ON || !at_token(run))
            return step;
    }
    if (unlikely(run->state == ST_COLON)) {
        if (*run->at != ':')
            return bad(run, JSON_FAULT_SYNTAX);
        run->at++;
        run->state = ST_VALUE;
        if (!at_token(run))
            return STEP_ON;
    }
    if (unlikely(run->state == ST_END))
        return bad(run, JSON_FAULT_AFTER);
    if (run->state == ST_FIRST_VALUE && *run->at == ']')
        return close_container(run);
    return scan_value(run);
}

enum parse json_scan_feed(struct json_scan *scan, struct span text, bool final, size_t budget)
{
    assert(scan->pos <= text.len);
    assert(scan->fault == JSON_FAULT_NONE);
    scan->place_count = 0;
    budget = max_size(budget, JSON_STEP_MIN);
    const char *ptr = text.len > 0 ? text.ptr : "";
    struct run run = {
        .scan = scan,
        .text = ptr,
        .at = ptr + scan->pos,
        .stop = ptr + (text.len - scan->pos > budget ? scan->pos + budget : text.len),
        .end = ptr + text.len,
        .filter = scan->marks != NULL ? scan->marks->filter : 0,
        .depth = scan->depth,
        .state = (enum state)scan->state,
        .final = final,
    };
    enum step step;
    do
        step = scan_some(&run);
    while (step == STEP_ON);
    scan->pos = here(&run);
    scan->depth = run.depth;
    scan->state = (uint8_t)run.state;
    switch (step) {
    case STEP_FULL: return PARSE_DATA;
    case STEP_BAD: return PARSE_BAD;
    case STEP_MORE:
    case STEP_ON: break;
    }
    bool done = run.state == ST_END && run.at == run.end && final;
    return done ? PARSE_DONE : PARSE_MORE;
}

bool json_check(struct span text, struct json_slice *out)
{
    struct json_scan scan;
    json_scan_init(&scan, false);
    enum parse parse;
    do
        parse = json_scan_feed(&scan, text, true, text.len);
    while (parse == PARSE_MORE);
    if (parse != PARSE_DONE)
        return false;
    while (text.len > 0 && (unsigned char)text.ptr[0] <= ' ')
        text = span_from(text, 1);
    while (text.len > 0 && (unsigned char)text.ptr[text.len - 1] <= ' ')
        text.len--;
    *out = (struct json_slice){ text, scan.root };
    return true;
}

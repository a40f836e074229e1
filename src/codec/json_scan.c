// The validating scanner: one loop over tokens, a state that says what may come next, and a bit a
// level that says whether the level is an object. Only strings and white space can be long; they
// stop at the budget. Every other token is short and waits until it is in the text as a whole.
#include "penstock/base/check.h"
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

enum step { STEP_ON, STEP_MORE, STEP_BAD, STEP_CHILD };

// One call's view of the text.
struct run {
    struct json_scan *scan;
    const char *text;
    size_t pos;
    size_t stop; // of this call: the budget or the end
    size_t len;
    bool final;
};

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
    *scan = (struct json_scan){
        .state = ST_VALUE,
        .report = report,
        .depth_max = JSON_DEPTH_MAX,
    };
}

static enum step bad(struct run *run, enum json_fault fault)
{
    run->scan->fault = (uint8_t)fault;
    return STEP_BAD;
}

// The text is used up in the middle of something.
static enum step starved(struct run *run)
{
    return run->final && run->stop == run->len ? bad(run, JSON_FAULT_EARLY) : STEP_MORE;
}

static bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

static bool is_hex(char byte)
{
    return is_digit(byte) || ((byte | 0x20) >= 'a' && (byte | 0x20) <= 'f');
}

static enum step scan_escape(struct run *run)
{
    const char *at = run->text + run->pos;
    size_t left = run->len - run->pos;
    if (left < 2)
        return run->final ? bad(run, JSON_FAULT_EARLY) : STEP_MORE;
    switch (at[1]) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't': run->pos += 2; return STEP_ON;
    case 'u': break;
    default: return bad(run, JSON_FAULT_ESCAPE);
    }
    for (size_t i = 2; i < 6; i++) {
        if (i == left)
            return run->final ? bad(run, JSON_FAULT_EARLY) : STEP_MORE;
        if (!is_hex(at[i]))
            return bad(run, JSON_FAULT_ESCAPE);
    }
    run->pos += 6;
    return STEP_ON;
}

// From inside a string to behind its closing quote.
static enum step scan_string(struct run *run)
{
    while (run->pos < run->stop) {
        const char *at = run->text + run->pos;
        size_t left = run->stop - run->pos;
        bool high = false;
        size_t len = simd_string_run(at, left, &high);
        size_t good = high ? simd_utf8_run(at, len) : len;
        run->pos += good;
        if (good < len) {
            // Perhaps a character that the end of this call's text has cut.
            bool cut = len == left && len - good < 4 && !(run->final && run->stop == run->len);
            return cut ? STEP_MORE : bad(run, JSON_FAULT_UTF8);
        }
        if (len == left)
            break;
        if (at[len] == '"') {
            run->pos++;
            return STEP_ON;
        }
        if (at[len] != '\\')
            return bad(run, JSON_FAULT_CONTROL);
        enum step step = scan_escape(run);
        if (step != STEP_ON)
            return step;
    }
    return starved(run);
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

static enum step scan_number(struct run *run)
{
    const char *start = run->text + run->pos;
    size_t left = run->len - run->pos;
    const char *end = start + min_size(left, JSON_NUMBER_MAX + 1);
    bool whole;
    const char *at = number_end(start, end, &whole);
    if (at == NULL || (size_t)(at - start) > JSON_NUMBER_MAX)
        return bad(run, JSON_FAULT_NUMBER);
    if (at == start + left && !run->final)
        return STEP_MORE; // another digit may follow
    if (!whole)
        return bad(run, JSON_FAULT_NUMBER);
    run->pos += (size_t)(at - start);
    return STEP_ON;
}

static enum step scan_word(struct run *run, struct span word)
{
    size_t left = run->len - run->pos;
    size_t seen = min_size(left, word.len);
    if (memcmp(run->text + run->pos, word.ptr, seen) != 0)
        return bad(run, JSON_FAULT_SYNTAX);
    if (seen < word.len)
        return run->final ? bad(run, JSON_FAULT_EARLY) : STEP_MORE;
    run->pos += word.len;
    return STEP_ON;
}

static bool in_object(const struct json_scan *scan)
{
    uint32_t level = scan->depth - 1;
    return (scan->objects[level / 64] >> (level % 64) & 1) != 0;
}

static enum step open_container(struct run *run, bool object)
{
    struct json_scan *scan = run->scan;
    if (scan->depth == scan->depth_max)
        return bad(run, JSON_FAULT_DEPTH);
    uint64_t bit = UINT64_C(1) << (scan->depth % 64);
    uint64_t *word = &scan->objects[scan->depth / 64];
    *word = object ? *word | bit : *word & ~bit;
    scan->depth++;
    scan->state = object ? ST_FIRST_KEY : ST_FIRST_VALUE;
    run->pos++;
    return STEP_ON;
}

// A value has ended just before `pos`.
static inline enum step end_value(struct run *run)
{
    struct json_scan *scan = run->scan;
    scan->state = scan->depth == 0 ? ST_END : ST_NEXT;
    if (scan->depth != 1)
        return STEP_ON;
    scan->child_count++;
    scan->place.end = run->pos;
    return scan->report ? STEP_CHILD : STEP_ON;
}

static enum step close_container(struct run *run)
{
    run->pos++;
    run->scan->depth--;
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

static inline enum step scan_value(struct run *run)
{
    struct json_scan *scan = run->scan;
    char byte = run->text[run->pos];
    if (scan->depth <= 1) {
        if (scan->depth == 0)
            scan->root = kind_at(byte);
        else
            scan->place.at = run->pos, scan->place.kind = kind_at(byte);
    }
    enum step step;
    switch (byte) {
    case '"':
        run->pos++;
        scan->state = ST_IN_STRING;
        return STEP_ON;
    case '{': return open_container(run, true);
    case '[': return open_container(run, false);
    case 't': step = scan_word(run, SPAN("true")); break;
    case 'f': step = scan_word(run, SPAN("false")); break;
    case 'n': step = scan_word(run, SPAN("null")); break;
    default:
        if (byte != '-' && !is_digit(byte))
            return bad(run, JSON_FAULT_SYNTAX);
        step = scan_number(run);
        break;
    }
    return step == STEP_ON ? end_value(run) : step;
}

static inline enum step scan_key(struct run *run)
{
    if (run->text[run->pos] != '"')
        return bad(run, JSON_FAULT_SYNTAX);
    if (run->scan->depth == 1)
        run->scan->place.key_at = run->pos;
    run->pos++;
    run->scan->state = ST_IN_KEY;
    return STEP_ON;
}

static inline enum step scan_next(struct run *run)
{
    struct json_scan *scan = run->scan;
    bool object = in_object(scan);
    char byte = run->text[run->pos];
    if (byte == ',') {
        run->pos++;
        scan->state = object ? ST_KEY : ST_VALUE;
        if (object && run->pos < run->stop && run->text[run->pos] == '"')
            return scan_key(run);
        return STEP_ON;
    }
    return byte == (object ? '}' : ']') ? close_container(run) : bad(run, JSON_FAULT_SYNTAX);
}

static inline enum step end_string(struct run *run, bool key)
{
    enum step step = scan_string(run);
    if (step != STEP_ON)
        return step;
    if (!key)
        return end_value(run);
    struct json_scan *scan = run->scan;
    if (scan->depth == 1)
        scan->place.key_len = run->pos - scan->place.key_at;
    bool colon = run->pos < run->stop && run->text[run->pos] == ':';
    run->pos += colon; // nearly always
    scan->state = colon ? ST_VALUE : ST_COLON;
    return STEP_ON;
}

// Moves over white space. False if the text of this call is used up.
static inline bool skip_space(struct run *run)
{
    const char *at = run->text + run->pos, *end = run->text + run->stop;
    for (; at < end; at++) {
        if (likely((unsigned char)*at > ' '))
            break;
        uint64_t word = 0; // eight blanks at a time, for indented text
        while (end - at > 8 && (memcpy(&word, at, 8), word == UINT64_C(0x2020202020202020)))
            at += 8;
        if (*at != ' ' && *at != '\n' && *at != '\r' && *at != '\t')
            break;
    }
    run->pos = (size_t)(at - run->text);
    return at < end;
}

static inline enum step scan_token(struct run *run)
{
    struct json_scan *scan = run->scan;
    enum state state = (enum state)scan->state;
    if (state == ST_IN_STRING || state == ST_IN_KEY)
        return end_string(run, state == ST_IN_KEY);
    if (!skip_space(run))
        return state == ST_END ? STEP_MORE : starved(run);
    char byte = run->text[run->pos];
    switch (state) {
    case ST_FIRST_VALUE:
        if (byte == ']')
            return close_container(run);
        return scan_value(run);
    case ST_VALUE: return scan_value(run);
    case ST_FIRST_KEY:
        if (byte == '}')
            return close_container(run);
        return scan_key(run);
    case ST_KEY: return scan_key(run);
    case ST_COLON:
        if (byte != ':')
            return bad(run, JSON_FAULT_SYNTAX);
        run->pos++;
        scan->state = ST_VALUE;
        return STEP_ON;
    case ST_NEXT: return scan_next(run);
    case ST_END: return bad(run, JSON_FAULT_AFTER);
    case ST_IN_STRING:
    case ST_IN_KEY: break;
    }
    bug("the states of strings are handled above");
}

enum parse json_scan_feed(struct json_scan *scan, struct span text, bool final, size_t budget)
{
    assert(scan->pos <= text.len);
    assert(scan->fault == JSON_FAULT_NONE);
    budget = max_size(budget, JSON_STEP_MIN);
    struct run run = {
        .scan = scan,
        .text = text.len > 0 ? text.ptr : "",
        .pos = scan->pos,
        .stop = text.len - scan->pos > budget ? scan->pos + budget : text.len,
        .len = text.len,
        .final = final,
    };
    enum step step;
    do
        step = scan_token(&run);
    while (step == STEP_ON);
    scan->pos = run.pos;
    switch (step) {
    case STEP_CHILD: return PARSE_DATA;
    case STEP_BAD: return PARSE_BAD;
    case STEP_MORE:
    case STEP_ON: break;
    }
    bool done = scan->state == ST_END && run.pos == text.len && final;
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

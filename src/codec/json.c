// Walkers over JSON text. They follow brackets and quotes and trust nothing else, so that text from
// a vendor, which nobody has validated, can be walked as well as a request body.
#include "penstock/codec/json.h"

#include "json_walk.h"
#include "penstock/base/check.h"
#include "penstock/codec/simd.h"

const uint8_t json_scalar_bytes[256] = {
    [0 ... ' '] = SCALAR_END, [','] = SCALAR_END,    [']'] = SCALAR_END,
    ['}'] = SCALAR_END,       ['"'] = SCALAR_WRONG,  ['{'] = SCALAR_WRONG,
    ['['] = SCALAR_WRONG,     [':'] = SCALAR_WRONG,  ['0' ... '9'] = SCALAR_NUMBER,
    ['-'] = SCALAR_NUMBER,    ['+'] = SCALAR_NUMBER, ['.'] = SCALAR_NUMBER,
    ['e'] = SCALAR_NUMBER,    ['E'] = SCALAR_NUMBER,
};

enum { UTF8_MAX = 4, PATH_LEVELS_MAX = 16 };
static const char replacement[] = "\xef\xbf\xbd"; // U+FFFD

static inline bool is_space(char byte)
{
    if (likely((unsigned char)byte > ' '))
        return false;
    return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t';
}

static inline const char *skip_space(const char *at, const char *end)
{
    while (at < end && unlikely(is_space(*at)))
        at++;
    return at;
}

// Behind the container whose opening bracket is at `at`. Kinds of brackets are not told apart: what
// matters here is only where the value ends, and a mismatch is the vendor's own to answer for.
static const char *container_walk(const char *at, const char *end)
{
    size_t depth = 0;
    while (at < end) {
        at += simd_structure_run(at, (size_t)(end - at));
        if (at == end)
            return NULL;
        switch (*at) {
        case '"':
            at = string_end(at, end);
            if (at == NULL)
                return NULL;
            break;
        case '{':
        case '[':
            depth++;
            at++;
            break;
        default:
            at++;
            if (--depth == 0)
                return at;
            break;
        }
    }
    return NULL;
}

static const char *container_end(const char *at, const char *end)
{
    size_t run = simd_container_run(at, (size_t)(end - at));
    return run > 0 ? at + run : container_walk(at, end);
}

static struct json_slice word_value(const char *at, const char *end, struct span word,
                                    enum json_kind kind)
{
    if ((size_t)(end - at) < word.len || memcmp(at, word.ptr, word.len) != 0)
        return JSON_SLICE_NONE;
    return (struct json_slice){ span_of(at, word.len), kind };
}

static struct json_slice value_at(const char *at, const char *end)
{
    if (at == end)
        return JSON_SLICE_NONE;
    const char *stop = NULL;
    enum json_kind kind = JK_NONE;
    switch (*at) {
    case '"':
        stop = string_end(at, end);
        kind = JK_STRING;
        break;
    case '{':
    case '[':
        stop = container_end(at, end);
        kind = *at == '{' ? JK_OBJECT : JK_ARRAY;
        break;
    case 't': return word_value(at, end, SPAN("true"), JK_TRUE);
    case 'f': return word_value(at, end, SPAN("false"), JK_FALSE);
    case 'n': return word_value(at, end, SPAN("null"), JK_NULL);
    default:
        if (*at != '-' && (*at < '0' || *at > '9'))
            return JSON_SLICE_NONE;
        for (stop = at; stop < end && (scalar_byte(*stop) & SCALAR_NUMBER) != 0; stop++)
            ;
        kind = JK_NUMBER;
        break;
    }
    if (stop == NULL)
        return JSON_SLICE_NONE;
    return (struct json_slice){ span_of(at, (size_t)(stop - at)), kind };
}

struct json_slice json_value(struct span text)
{
    if (text.len == 0)
        return JSON_SLICE_NONE;
    const char *end = text.ptr + text.len;
    return value_at(skip_space(text.ptr, end), end);
}

static struct json_iter iter_of(struct json_slice container, enum json_kind kind)
{
    if (container.kind != kind)
        return (struct json_iter){ .first = true };
    assert(container.text.len >= 2);
    const char *at = container.text.ptr;
    return (struct json_iter){ .at = at + 1, .end = at + container.text.len, .first = true };
}

struct json_iter json_members_of(struct json_slice object)
{
    return iter_of(object, JK_OBJECT);
}

struct json_iter json_elements_of(struct json_slice array)
{
    return iter_of(array, JK_ARRAY);
}

static bool iter_stop(struct json_iter *iter, bool bad)
{
    iter->at = iter->end;
    iter->bad = bad;
    return false;
}

// Moves to the next child. False at the container's end, or if something else stands here.
static bool iter_next(struct json_iter *iter, char close)
{
    if (iter->at == iter->end)
        return false;
    const char *at = skip_space(iter->at, iter->end);
    if (at < iter->end && *at == close) {
        iter->close = at + 1;
        return iter_stop(iter, false);
    }
    if (!iter->first) {
        if (at == iter->end || *at != ',')
            return iter_stop(iter, true);
        at = skip_space(at + 1, iter->end);
    }
    iter->first = false;
    iter->at = at;
    return at < iter->end || iter_stop(iter, true);
}

static bool iter_value(struct json_iter *iter, struct json_slice *value)
{
    *value = value_at(iter->at, iter->end);
    if (value->kind == JK_NONE)
        return iter_stop(iter, true);
    iter->at = value->text.ptr + value->text.len;
    return true;
}

// The next key; iter->at is its value then.
static inline bool iter_key(struct json_iter *iter, struct span *key)
{
    if (!iter_next(iter, '}'))
        return false;
    const char *start = iter->at, *end = iter->end;
    const char *at = *start == '"' ? string_end(start, end) : NULL;
    if (at == NULL)
        return iter_stop(iter, true);
    *key = span_of(start + 1, (size_t)(at - start) - 2);
    at = skip_space(at, end);
    if (at == end || *at != ':')
        return iter_stop(iter, true);
    iter->at = skip_space(at + 1, end);
    return true;
}

bool json_member_next(struct json_iter *iter, struct span *key, struct json_slice *value)
{
    return iter_key(iter, key) && iter_value(iter, value);
}

bool json_element_next(struct json_iter *iter, struct json_slice *value)
{
    return iter_next(iter, ']') && iter_value(iter, value);
}

// ------------------------------------------------------------------------------------ strings

static int hex_digit(char byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    char lower = (char)(byte | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// The number behind a "\u" at the start of `text`, or -1.
static int escape_unit(const char *text, const char *end)
{
    if (end - text < 6 || text[0] != '\\' || text[1] != 'u')
        return -1;
    int unit = 0;
    for (int i = 2; i < 6; i++) {
        int digit = hex_digit(text[i]);
        if (digit < 0)
            return -1;
        unit = unit * 16 + digit;
    }
    return unit;
}

static size_t utf8_put(uint32_t point, char out[UTF8_MAX])
{
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    size_t len = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--, point >>= 6)
        out[i] = (char)(0x80 | (point & 0x3f));
    static const unsigned char leads[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
    out[0] = (char)(leads[len] | point);
    return len;
}

static size_t put_replacement(char out[UTF8_MAX])
{
    memcpy(out, replacement, 3);
    return 3;
}

// Resolves the escape at *at, which is a backslash, and moves behind it.
static size_t decode_escape(const char **at, const char *end, char out[UTF8_MAX])
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *text = *at;
    if (end - text < 2) {
        *at = end;
        return put_replacement(out);
    }
    int unit = escape_unit(text, end);
    if (unit < 0) {
        const char *found = memchr(from, text[1], sizeof(from) - 1);
        *at += 2;
        if (found == NULL)
            return put_replacement(out);
        out[0] = to[found - from];
        return 1;
    }
    *at += 6;
    if (unit < 0xd800 || unit > 0xdfff)
        return utf8_put((uint32_t)unit, out);
    int second = unit < 0xdc00 ? escape_unit(text + 6, end) : -1;
    if (second < 0xdc00 || second > 0xdfff)
        return put_replacement(out); // a lone surrogate
    *at += 6;
    uint32_t low = (uint32_t)second - 0xdc00, high = (uint32_t)unit - 0xd800;
    return utf8_put(0x10000 + (high << 10) + low, out);
}

// The next character of a raw string, as valid UTF-8.
static size_t decode_next(const char **at, const char *end, char out[UTF8_MAX])
{
    if (**at == '\\')
        return decode_escape(at, end, out);
    size_t left = min_size((size_t)(end - *at), UTF8_MAX);
    for (size_t len = 1; len <= left; len++) {
        if (simd_utf8_run(*at, len) != len)
            continue;
        memcpy(out, *at, len);
        *at += len;
        return len;
    }
    *at += 1;
    return put_replacement(out);
}

static bool raw_is(struct span raw, struct span text)
{
    // An escape is longer than what it stands for.
    if (raw.len == text.len)
        return span_eq(raw, text);
    if (raw.len < text.len || span_find(raw, '\\') == raw.len)
        return false;
    const char *at = raw.ptr, *end = raw.ptr + raw.len;
    size_t done = 0;
    while (at < end) {
        char out[UTF8_MAX];
        size_t len = decode_next(&at, end, out);
        if (text.len - done < len || memcmp(text.ptr + done, out, len) != 0)
            return false;
        done += len;
    }
    return done == text.len;
}

bool json_key_is_escaped(struct span raw_key, struct span name)
{
    debug_assert(span_find(name, '\\') == name.len);
    debug_assert(span_find(name, '/') == name.len);
    return raw_is(raw_key, name);
}

struct span json_string_raw(struct json_slice string)
{
    if (string.kind != JK_STRING)
        return SPAN_NONE;
    return span_of(string.text.ptr + 1, string.text.len - 2);
}

bool json_string_is(struct json_slice string, struct span text)
{
    return string.kind == JK_STRING && raw_is(json_string_raw(string), text);
}

// True if no byte of a short raw string is part of an escape or is not ASCII, as in most names.
static bool is_plain(const char *at, size_t len)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), high = 0x80 * ones;
    uint64_t word, seen = 0;
    if (len < sizeof(uint32_t)) {
        for (size_t i = 0; i < len; i++)
            seen |= (unsigned char)at[i] == '\\' ? 0x80 : (unsigned char)at[i];
        return (seen & 0x80) == 0;
    }
    if (len < sizeof(word)) { // both ends, which overlap
        uint32_t first, last;
        memcpy(&first, at, sizeof(first));
        memcpy(&last, at + len - sizeof(last), sizeof(last));
        word = first | (uint64_t)last << 32;
        uint64_t slash = word ^ '\\' * ones;
        return ((word | ((slash - ones) & ~slash)) & high) == 0;
    }
    for (size_t i = 0; i < len; i += sizeof(word)) {
        memcpy(&word, at + min_size(i, len - sizeof(word)), sizeof(word));
        uint64_t slash = word ^ '\\' * ones;
        seen |= word | ((slash - ones) & ~slash); // its high bits: a byte beyond ASCII, a backslash
    }
    return (seen & high) == 0;
}

bool json_string_is_plain(struct json_slice string)
{
    const struct span raw = json_string_raw(string);
    return is_plain(raw.ptr, raw.len);
}

// Bytes at the start of a raw string that can be copied as they are.
static size_t verbatim_run(const char *at, const char *end)
{
    bool high = false;
    size_t len = 0, all = (size_t)(end - at);
    for (; len < all; len++) {
        len += simd_string_run(at + len, all - len, &high);
        if (len == all || at[len] == '\\')
            break; // what else stops a run, a bare control byte, is copied
    }
    return high ? simd_utf8_run(at, len) : len;
}

static cold size_t decode_string(struct span raw, char *out, size_t cap, bool *cut)
{
    const char *at = raw.ptr, *end = raw.ptr + raw.len;
    size_t done = 0;
    while (at != end && !*cut) {
        size_t run = verbatim_run(at, end);
        if (run > 0) {
            size_t len = min_size(run, cap - done);
            *cut = len < run;
            while (*cut && len > 0 && ((unsigned char)at[len] & 0xc0) == 0x80)
                len--; // not inside a character
            memcpy(out + done, at, len);
            done += len;
            at += len;
            continue;
        }
        char one[UTF8_MAX];
        size_t len = decode_next(&at, end, one);
        *cut = cap - done < len;
        if (!*cut) {
            memcpy(out + done, one, len);
            done += len;
        }
    }
    return done;
}

size_t json_string_decode(struct json_slice string, char *out, size_t cap, bool *cut)
{
    struct span raw = json_string_raw(string);
    bool full = false;
    size_t len = raw.len;
    if (len > cap || !is_plain(raw.ptr, len))
        len = decode_string(raw, out, cap, &full);
    else if (len > 0)
        memcpy(out, raw.ptr, len);
    if (cut != NULL)
        *cut = full;
    return len;
}

// ------------------------------------------------------------------------------------ look-up

struct json_slice json_get(struct json_slice object, struct span name)
{
    struct json_iter iter = json_members_of(object);
    struct span key;
    struct json_slice value;
    while (json_member_next(&iter, &key, &value))
        if (json_key_is(key, name))
            return value;
    return JSON_SLICE_NONE;
}

struct json_slice json_get_path(struct json_slice object, const struct span *names, size_t count)
{
    for (size_t i = 0; i < count && object.kind != JK_NONE; i++)
        object = json_get(object, names[i]);
    return object;
}

struct json_slice json_get_open(struct json_slice object, struct span name)
{
    struct json_iter iter = json_members_of(object);
    struct span key;
    struct json_slice value;
    while (iter_key(&iter, &key)) {
        const bool found = json_key_is(key, name);
        const bool opens = iter.end - iter.at >= 2 && (*iter.at == '[' || *iter.at == '{');
        if (found && opens)
            return (struct json_slice){ span_of(iter.at, (size_t)(iter.end - iter.at)),
                                        *iter.at == '[' ? JK_ARRAY : JK_OBJECT };
        if (!iter_value(&iter, &value))
            break;
        if (found)
            return value;
    }
    return JSON_SLICE_NONE;
}

// Which of `names` the raw key is; `count` if none.
static inline size_t name_of(struct span key, const struct span *names, size_t count)
{
    size_t i = 0;
    while (i < count && !json_key_is(key, names[i]))
        i++;
    return i;
}

// `left`: of the names, until the iteration may end.
static void get_all(struct json_iter *iter, const struct span *names, struct json_slice *out,
                    size_t count, size_t left)
{
    for (size_t i = 0; i < count; i++)
        out[i] = JSON_SLICE_NONE;
    struct span key;
    struct json_slice value;
    while (left > 0 && json_member_next(iter, &key, &value)) {
        size_t i = name_of(key, names, count);
        if (i == count || out[i].kind != JK_NONE)
            continue;
        out[i] = value;
        left--;
    }
}

void json_get_all(struct json_slice object, const struct span *names, struct json_slice *out,
                  size_t count)
{
    struct json_iter iter = json_members_of(object);
    get_all(&iter, names, out, count, count);
}

bool json_element_get_all(struct json_iter *iter, const struct span *names, struct json_slice *out,
                          size_t count)
{
    struct json_slice other;
    struct json_iter element = { .first = true };
    if (!iter_next(iter, ']'))
        return false;
    if (*iter->at == '{') {
        element.at = iter->at + 1;
        element.end = iter->end;
    }
    get_all(&element, names, out, count, SIZE_MAX); // to its end, all names or not
    if (element.close == NULL)                      // no object, or one with an error in it
        return iter_value(iter, &other);
    iter->at = element.close;
    return true;
}

bool json_pick(struct json_slice object, const struct span *names, struct json_slice *out,
               size_t count)
{
    for (size_t i = 0; i < count; i++)
        out[i] = JSON_SLICE_NONE;
    struct json_iter iter = json_members_of(object);
    struct span key;
    struct json_slice value;
    while (json_member_next(&iter, &key, &value)) {
        size_t i = name_of(key, names, count);
        if (i < count)
            out[i] = value;
    }
    return object.kind == JK_OBJECT && !iter.bad;
}

// ------------------------------------------------------------------------------------ numbers

// A number taken apart: `digits` holds those before and behind the point, the value is
// 0.digits x 10^point.
struct decimal {
    bool minus;
    const char *at, *end; // of the mantissa
    long point;
};

enum { EXPONENT_MAX = 9999 };

static bool decimal_parse(struct span text, struct decimal *out)
{
    const char *at = text.ptr, *end = text.ptr + text.len;
    out->minus = *at == '-';
    at += out->minus;
    out->at = at;
    for (; at < end && *at >= '0' && *at <= '9'; at++)
        ;
    out->point = at - out->at;
    if (out->point == 0)
        return false;
    if (at < end && *at == '.')
        for (at++; at < end && *at >= '0' && *at <= '9'; at++)
            ;
    out->end = at;
    if (at == end)
        return true;
    if ((*at | 0x20) != 'e')
        return false;
    bool minus = ++at < end && *at == '-';
    at += at < end && (*at == '-' || *at == '+');
    if (at == end)
        return false;
    long exponent = 0;
    for (; at < end; at++) {
        if (*at < '0' || *at > '9')
            return false;
        exponent = exponent > EXPONENT_MAX ? exponent : exponent * 10 + (*at - '0');
    }
    out->point += minus ? -exponent : exponent;
    return true;
}

// The magnitude of a whole number.
static bool decimal_whole(const struct decimal *decimal, uint64_t *out)
{
    uint64_t value = 0;
    long place = 0;
    for (const char *at = decimal->at; at < decimal->end; at++) {
        if (*at == '.')
            continue;
        uint64_t digit = (uint64_t)(*at - '0');
        if (place++ >= decimal->point) {
            if (digit != 0)
                return false;
            continue;
        }
        if (__builtin_mul_overflow(value, UINT64_C(10), &value) ||
            __builtin_add_overflow(value, digit, &value))
            return false;
    }
    for (; value != 0 && place < decimal->point; place++)
        if (__builtin_mul_overflow(value, UINT64_C(10), &value))
            return false;
    *out = value;
    return true;
}

// What nearly all numbers are: so few digits, and nothing else, that nothing can overflow.
static inline bool short_digits(struct span text, uint64_t *out)
{
    enum { DIGITS_MAX = 19 };
    uint64_t value = 0;
    if (text.len > DIGITS_MAX)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = (unsigned)(unsigned char)text.ptr[i] - '0';
        if (digit > 9)
            return false;
        value = value * 10 + digit;
    }
    *out = value;
    return true;
}

bool json_u64(struct json_slice number, uint64_t *out)
{
    if (likely(number.kind == JK_NUMBER && short_digits(number.text, out)))
        return true;
    struct decimal decimal;
    uint64_t value;
    if (number.kind != JK_NUMBER || !decimal_parse(number.text, &decimal) ||
        !decimal_whole(&decimal, &value) || (decimal.minus && value != 0))
        return false;
    *out = value;
    return true;
}

bool json_i64(struct json_slice number, int64_t *out)
{
    struct decimal decimal;
    uint64_t value;
    if (number.kind != JK_NUMBER || !decimal_parse(number.text, &decimal) ||
        !decimal_whole(&decimal, &value) || value > (uint64_t)INT64_MAX + decimal.minus)
        return false;
    *out = decimal.minus ? (int64_t)-value : (int64_t)value;
    return true;
}

// --------------------------------------------------------------------------------------- path

struct level {
    bool object;
    bool key_due;
    uint32_t index;
    struct span key; // raw
};

struct path {
    char *out;
    size_t len;
};

static void path_put(struct path *path, const char *text, size_t len)
{
    if (JSON_PATH_TEXT - path->len < len)
        return;
    memcpy(path->out + path->len, text, len);
    path->len += len;
}

static void path_put_index(struct path *path, uint32_t index)
{
    char text[16];
    size_t at = sizeof(text);
    text[--at] = ']';
    do
        text[--at] = (char)('0' + index % 10);
    while ((index /= 10) != 0);
    text[--at] = '[';
    path_put(path, text + at, sizeof(text) - at);
}

static void path_put_level(struct path *path, const struct level *level)
{
    if (!level->object) {
        path_put_index(path, level->index);
        return;
    }
    if (path->len > 0)
        path_put(path, ".", 1);
    const char *at = level->key.ptr, *end = at + level->key.len;
    while (at != end) {
        char one[UTF8_MAX];
        size_t len = decode_next(&at, end, one);
        bool control = (unsigned char)one[0] < 0x20 || one[0] == 0x7f;
        path_put(path, control ? "?" : one, control ? 1 : len);
    }
}

size_t json_path_at(struct span text, size_t offset, char out[JSON_PATH_TEXT])
{
    if (offset > JSON_PATH_SCAN || offset > text.len)
        return 0;
    struct level levels[PATH_LEVELS_MAX];
    size_t depth = 0; // levels beyond the last are counted only
    const char *at = text.ptr, *end = text.ptr + offset;
    while (at != end) {
        struct level *level = depth > 0 && depth <= PATH_LEVELS_MAX ? &levels[depth - 1] : NULL;
        switch (*at) {
        case '"': {
            const char *start = at;
            at = string_end(at, end);
            if (at == NULL)
                at = end;
            else if (level != NULL && level->key_due)
                level->key = span_of(start + 1, (size_t)(at - start) - 2), level->key_due = false;
            continue;
        }
        case '{':
        case '[':
            if (depth++ < PATH_LEVELS_MAX)
                levels[depth - 1] = (struct level){ .object = *at == '{', .key_due = *at == '{' };
            break;
        case '}':
        case ']': depth -= depth > 0; break;
        case ',':
            if (level != NULL)
                level->index++, level->key_due = level->object;
            break;
        default: break;
        }
        at++;
    }
    struct path path = { out, 0 };
    for (size_t i = 0; i < min_size(depth, PATH_LEVELS_MAX); i++)
        if (!levels[i].object || levels[i].key.len > 0)
            path_put_level(&path, &levels[i]);
    return path.len;
}

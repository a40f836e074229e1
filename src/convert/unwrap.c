#include "unwrap.h"

#include "penstock/base/check.h"

enum state {
    START,
    MEMBER, // a name comes, or the end
    NAME,
    COLON,
    VALUE,
    TEXT,  // the one that is looked for
    OTHER, // a value that is passed over
    DONE,
    PLAIN, // no object: all of it is the text
};

enum { HELD_MAX = WORDS_TORN_MAX + 4 }; // bytes at the end of the room that may have to wait

void unwrap_init(struct unwrap *unwrap, struct keep *keep,
                 void (*emit)(void *ctx, struct words text), void *ctx)
{
    memset(unwrap, 0, offsetof(struct unwrap, room));
    unwrap->keep = keep;
    unwrap->emit = emit;
    unwrap->ctx = ctx;
}

// ------------------------------------------------------------------------------------ what goes on

// Bytes at the end that are the beginning of a character.
static size_t torn_character(struct span text)
{
    size_t back = 0;
    while (back < 3 && back < text.len &&
           ((unsigned char)text.ptr[text.len - 1 - back] & 0xc0) == 0x80)
        back++;
    if (back == text.len)
        return 0;
    unsigned char lead = (unsigned char)text.ptr[text.len - 1 - back];
    size_t whole = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
    return back + 1 < whole ? back + 1 : 0;
}

static void flush(struct unwrap *unwrap, bool last)
{
    struct span text = span_of(unwrap->room, unwrap->len);
    size_t held = last ? 0 : max_size(words_torn(text), torn_character(text));
    text.len -= held;
    if (text.len > 0)
        unwrap->emit(unwrap->ctx, words_escaped(text));
    memmove(unwrap->room, unwrap->room + text.len, held);
    unwrap->len = (uint16_t)held;
}

static void put(struct unwrap *unwrap, struct span bytes)
{
    if (unwrap->len + bytes.len > sizeof(unwrap->room) - HELD_MAX)
        flush(unwrap, false);
    assert(unwrap->len + bytes.len <= sizeof(unwrap->room));
    memcpy(unwrap->room + unwrap->len, bytes.ptr, bytes.len);
    unwrap->len += (uint16_t)bytes.len;
}

static bool is_hex(char letter)
{
    char low = letter | 0x20;
    return (letter >= '0' && letter <= '9') || (low >= 'a' && low <= 'f');
}

// An escape that is none: its backslash is meant as one.
static void put_bad_escape(struct unwrap *unwrap)
{
    put(unwrap, SPAN("\\"));
    put(unwrap, span_of(unwrap->escape, unwrap->escape_len));
    unwrap->escape_len = 0;
}

static void text_byte(struct unwrap *unwrap, char byte)
{
    const bool hex = unwrap->escape_len > 1;
    if (unwrap->escape_len > 0) {
        bool fits = hex ? is_hex(byte) : span_find(SPAN("\"\\/bfnrtu"), byte) < 9;
        if (fits) {
            unwrap->escape[unwrap->escape_len++] = byte;
            if ((hex || byte == 'u') && unwrap->escape_len < UNWRAP_ESCAPE_MAX)
                return;
            put(unwrap, span_of(unwrap->escape, unwrap->escape_len));
            unwrap->escape_len = 0;
            return;
        }
        put_bad_escape(unwrap);
    }
    if (byte == '\\') {
        unwrap->escape[unwrap->escape_len++] = byte;
    } else if (byte == '"') {
        unwrap->state = DONE;
    } else if ((unsigned char)byte < 0x20) { // a model that does not escape its lines
        char room[UNWRAP_ESCAPE_MAX];
        struct sink sink = sink_into(room, sizeof(room));
        sink_string(&sink, words_plain(span_of(&byte, 1)));
        put(unwrap, span_of(room, (size_t)(sink.at - room)));
    } else {
        put(unwrap, span_of(&byte, 1));
    }
}

// --------------------------------------------------------------------------------- what is looked
// at

static bool is_named(const struct unwrap *unwrap)
{
    static const struct span names[] = { SPAN("input"), SPAN("patch"), SPAN("code"),
                                         SPAN("command") };
    bool found = unwrap->any;
    for (size_t i = 0; i < ARRAY_LEN(names) && unwrap->key_len <= UNWRAP_KEY_MAX; i++)
        found |= span_eq(names[i], span_of(unwrap->key, unwrap->key_len));
    return found;
}

static void name_byte(struct unwrap *unwrap, char byte)
{
    if (!unwrap->escaped && byte == '"') {
        unwrap->named = is_named(unwrap);
        unwrap->filled = true;
        unwrap->state = COLON;
        return;
    }
    unwrap->escaped = !unwrap->escaped && byte == '\\';
    if (unwrap->key_len < UNWRAP_KEY_MAX)
        unwrap->key[unwrap->key_len++] = byte;
    else
        unwrap->key_len = UINT8_MAX;
}

static void other_byte(struct unwrap *unwrap, char byte)
{
    if (unwrap->quoted) {
        unwrap->quoted = unwrap->escaped || byte != '"';
        unwrap->escaped = !unwrap->escaped && byte == '\\';
    } else if (byte == '"') {
        unwrap->quoted = true;
    } else if (byte == '{' || byte == '[') {
        unwrap->depth++;
    } else if ((byte == '}' || byte == ']') && unwrap->depth > 0) {
        unwrap->depth--;
    } else if (unwrap->depth == 0 && (byte == ',' || byte == '}')) {
        unwrap->state = byte == ',' ? MEMBER : DONE;
    }
}

static bool is_space(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

static void step(struct unwrap *unwrap, char byte)
{
    switch ((enum state)unwrap->state) {
    case START:
        if (!is_space(byte))
            unwrap->state = byte == '{' ? MEMBER : PLAIN;
        break;
    case MEMBER:
        unwrap->key_len = 0;
        unwrap->escaped = false;
        if (byte == '"')
            unwrap->state = NAME;
        else if (byte == '}')
            unwrap->state = DONE;
        break;
    case NAME: name_byte(unwrap, byte); break;
    case COLON:
        if (byte == ':')
            unwrap->state = VALUE;
        break;
    case VALUE:
        if (is_space(byte))
            break;
        unwrap->found = byte == '"' && unwrap->named;
        unwrap->state = unwrap->found ? TEXT : OTHER;
        unwrap->escaped = unwrap->quoted = false;
        if (!unwrap->found)
            other_byte(unwrap, byte);
        break;
    case TEXT: text_byte(unwrap, byte); break;
    case OTHER: other_byte(unwrap, byte); break;
    case DONE:
    case PLAIN: break;
    }
}

static void scan(struct unwrap *unwrap, struct words args)
{
    char room[WORDS_PIECE_MAX];
    while (args.raw.len > 0) {
        struct span piece = args.raw;
        if (args.escaped)
            piece = words_piece(&args.raw, room);
        else
            args.raw.len = 0;
        for (size_t i = 0; i < piece.len; i++)
            step(unwrap, piece.ptr[i]);
    }
}

// The other half of a pair of surrogates may come with the next piece (C-077).
static void scan_whole(struct unwrap *unwrap, struct words args)
{
    char pair[2 * UNWRAP_ESCAPE_MAX];
    if (unwrap->high_len > 0) {
        size_t more = min_size(args.raw.len, UNWRAP_ESCAPE_MAX);
        memcpy(pair, unwrap->high, unwrap->high_len);
        memcpy(pair + unwrap->high_len, args.raw.ptr, more);
        bool low = more == UNWRAP_ESCAPE_MAX && span_starts(args.raw, SPAN("\\u")) &&
                   (args.raw.ptr[2] | 0x20) == 'd' && (args.raw.ptr[3] | 0x20) >= 'c';
        size_t len = unwrap->high_len + (low ? more : 0);
        scan(unwrap, words_escaped(span_of(pair, len)));
        unwrap->high_len = 0;
        if (low)
            args.raw = span_from(args.raw, more);
    }
    size_t torn = args.escaped ? words_torn(args.raw) : 0;
    assert(torn == 0 || torn == UNWRAP_ESCAPE_MAX); // no string ends in the middle of an escape
    memcpy(unwrap->high, args.raw.ptr + args.raw.len - torn, torn);
    unwrap->high_len = (uint8_t)torn;
    args.raw.len -= torn;
    scan(unwrap, args);
}

// ------------------------------------------------------------------------------------------- calls

static void emit_raw(struct unwrap *unwrap)
{
    const struct rope_piece *piece = unwrap->raw.first;
    if (!words_none(unwrap->first))
        unwrap->emit(unwrap->ctx, unwrap->first);
    for (; piece != NULL; piece = piece->next)
        unwrap->emit(unwrap->ctx, words_escaped(span_of(piece->bytes, piece->len)));
    unwrap->raw = (struct rope){ 0 };
}

void unwrap_put(struct unwrap *unwrap, struct words args)
{
    if (words_none(args))
        return;
    if (unwrap->state == PLAIN) {
        unwrap->emit(unwrap->ctx, args);
        return;
    }
    if (!unwrap->found)
        rope_add(unwrap->keep, &unwrap->raw, args);
    scan_whole(unwrap, args);
    if (unwrap->state == PLAIN)
        emit_raw(unwrap);
    else
        flush(unwrap, false);
}

// Arguments in one go, without a level of escaping.
struct reading {
    struct sink sink;
    struct unwrap *unwrap;
    char room[UNWRAP_ROOM];
};

static bool reading_more(struct sink *sink)
{
    struct reading *reading = container_of(sink, struct reading, sink);
    scan(reading->unwrap, words_plain(span_of(reading->room, (size_t)(sink->at - reading->room))));
    sink->at = reading->room;
    sink->end = reading->room + sizeof(reading->room);
    return true;
}

static void read_all(struct unwrap *unwrap, struct words first, const struct rope *rest)
{
    struct reading reading;
    reading.unwrap = unwrap;
    reading.sink = sink_into(reading.room, sizeof(reading.room));
    reading.sink.more = reading_more;
    sink_plain(&reading.sink, first);
    rope_put_plain(rest, &reading.sink);
    (void)reading_more(&reading.sink);
}

static void finish(struct unwrap *unwrap)
{
    if (unwrap->escape_len > 0)
        put_bad_escape(unwrap);
    flush(unwrap, true);
}

// The text is called something that nobody thought of.
static void look_again(struct unwrap *unwrap)
{
    struct unwrap again;
    unwrap_init(&again, unwrap->keep, unwrap->emit, unwrap->ctx);
    again.any = true;
    read_all(&again, unwrap->first, &unwrap->raw);
    finish(&again);
    if (!again.found)
        emit_raw(unwrap);
}

void unwrap_end(struct unwrap *unwrap)
{
    if (unwrap->state == PLAIN)
        return;
    if (!unwrap->found && unwrap->filled)
        look_again(unwrap);
    else
        finish(unwrap);
}

void unwrap_whole(struct words args, const struct rope *rope,
                  void (*emit)(void *ctx, struct words text), void *ctx)
{
    struct unwrap unwrap;
    unwrap_init(&unwrap, NULL, emit, ctx);
    unwrap.first = args;
    unwrap.raw = *rope;
    read_all(&unwrap, args, rope);
    if (unwrap.state == PLAIN)
        emit_raw(&unwrap);
    else
        unwrap_end(&unwrap);
}

#include "penstock/convert/convert.h"

#include "penstock/base/check.h"
#include "penstock/codec/simd.h"

const struct converter *converter_of(enum wire_family family)
{
    static const struct converter *const converters[FAMILY_GEMINI + 1] = {
#define CONVERTER(family, name) [FAMILY_##family] = &converter_##name,
#include "penstock/convert/converters.def"
#undef CONVERTER
    };
    assert((size_t)family < ARRAY_LEN(converters));
    return converters[family];
}

// ------------------------------------------------------------------------------------- decoding

// Memory of a decoder is for ids and names of calls, and signatures.
enum { DECODE_KEEP_MAX = 1 * MIB };

void decode_init(struct decode *decode, const struct converter *converter,
                 const struct wire_stream *wire, const struct arena_source *chunks,
                 delta_sink *emit, void *ctx)
{
    memset(decode, 0, sizeof(*decode));
    decode->converter = converter;
    decode->wire = wire;
    decode->emit = emit;
    decode->ctx = ctx;
    keep_init(&decode->keep, chunks, DECODE_KEEP_MAX);
}

void decode_fini(struct decode *decode)
{
    keep_fini(&decode->keep);
}

// True if the bytes can stand in a JSON string as they are, and end between two characters.
// *whole: no escape among them can be half a character's.
static bool is_clean(struct span raw, bool *whole)
{
    bool high = false;
    const struct span all = raw;
    *whole = true;
    for (;;) {
        size_t run = simd_string_run(raw.ptr, raw.len, &high);
        if (run == raw.len)
            return (!high || simd_utf8_run(all.ptr, all.len) == all.len) &&
                   (*whole || words_torn(all) == 0);
        if (raw.ptr[run] != '\\')
            return false;
        size_t left = raw.len - run;
        char letter = left >= 2 ? raw.ptr[run + 1] : 0;
        if (letter == 0 || span_find(SPAN("\"\\/bfnrtu"), letter) == 9)
            return false;
        if (letter == 'u') {
            *whole = false;
            if (left < 6)
                return false;
            for (int i = 2; i < 6; i++) {
                char digit = raw.ptr[run + i] | 0x20;
                if (!((digit >= '0' && digit <= '9') || (digit >= 'a' && digit <= 'f')))
                    return false;
            }
        }
        raw = span_from(raw, run + (letter == 'u' ? 6 : 2));
    }
}

// An event like the last one: the same delta with another text. False if it has to be read after
// all. A text of plain ASCII is clean, which the comparison has seen.
static bool feed_known(struct decode *decode)
{
    if (!decode->repeats || decode->torn_count > 0)
        return false;
    const struct filling *hole = &decode->wire->holes[decode->wire->text_hole];
    bool whole = true;
    if (hole->number != 0 && !is_clean(hole->text, &whole))
        return false;
    decode->model.text = (struct words){ .raw = hole->text, .escaped = true, .whole = whole };
    if (hole->text.len > 0)
        decode->emit(decode->ctx, &decode->model);
    if (decode->args != NULL && decode->model.kind == DELTA_ARGS)
        words_sum_add(decode->args, hole->text);
    return true;
}

// --- characters in two deltas ---

static bool is_grown(uint8_t kind)
{
    return kind == DELTA_TEXT || kind == DELTA_REFUSAL || kind == DELTA_THINK || kind == DELTA_ARGS;
}

static bool is_torn(const struct delta *delta)
{
    const struct span raw = delta->text.raw;
    return delta->text.escaped && !delta->text.whole && raw.len >= 6 &&
           raw.ptr[raw.len - 6] == '\\' && words_torn(raw) == 6 && is_grown(delta->kind);
}

// Emits text made here for the run that a torn one belongs to.
static void emit_for(struct decode *decode, const struct decode_torn *torn, struct span text)
{
    struct delta delta = { .kind = torn->kind, .choice = torn->choice, .call = torn->call };
    delta.text = (struct words){ .raw = text, .escaped = true, .whole = true };
    decode->emit(decode->ctx, &delta);
}

static void torn_forget(struct decode *decode, uint32_t at)
{
    decode->torn[at] = decode->torn[--decode->torn_count];
}

static bool is_same_run(const struct decode_torn *torn, const struct delta *delta)
{
    return torn->kind == delta->kind && torn->choice == delta->choice &&
           (torn->kind != DELTA_ARGS || torn->call == delta->call);
}

// Whether no more of that run can come once this delta has.
static bool ends_run(const struct decode_torn *torn, const struct delta *delta)
{
    if (torn->choice != delta->choice)
        return false;
    if (torn->kind != DELTA_ARGS || delta->kind == DELTA_FINISH)
        return true;
    return delta->kind == DELTA_CALL_END && delta->call == torn->call;
}

// A delta while halves of characters wait, or that ends with one.
static apart void emit_torn(struct decode *decode, struct delta delta)
{
    decode->emitted++; // what is put together is like no other event
    for (uint32_t at = 0; at < decode->torn_count;) {
        struct decode_torn torn = decode->torn[at];
        bool same = is_same_run(&torn, &delta);
        if (!same && !ends_run(&torn, &delta)) {
            at++;
            continue;
        }
        torn_forget(decode, at);
        if (same && delta.text.escaped && words_starts_low(delta.text.raw)) {
            char pair[2 * sizeof(torn.high)];
            memcpy(pair, torn.high, sizeof(torn.high));
            memcpy(pair + sizeof(torn.high), delta.text.raw.ptr, sizeof(torn.high));
            emit_for(decode, &torn, span_of(pair, sizeof(pair)));
            delta.text.raw = span_from(delta.text.raw, sizeof(torn.high));
        } else {
            emit_for(decode, &torn, SPAN("\xef\xbf\xbd"));
        }
    }
    if (is_torn(&delta) && decode->torn_count < DECODE_TORN_MAX) {
        struct decode_torn *torn = &decode->torn[decode->torn_count++];
        *torn = (struct decode_torn){ delta.kind, delta.choice, delta.call, "" };
        delta.text.raw.len -= sizeof(torn->high);
        memcpy(torn->high, delta.text.raw.ptr + delta.text.raw.len, sizeof(torn->high));
    }
    if (!is_grown(delta.kind) || delta.text.raw.len > 0)
        decode->emit(decode->ctx, &delta);
}

void decode_emit(struct decode *decode, const struct delta *delta)
{
    decode->emitted++;
    decode->last = *delta;
    if (unlikely(decode->torn_count > 0 || is_torn(delta)))
        emit_torn(decode, *delta);
    else
        decode->emit(decode->ctx, delta);
}

// A delta may be made again from its event's likeness only if nothing in it but the text was that
// event's.
static bool can_repeat(const struct decode *decode)
{
    if (decode->emitted != 1 || words_none(decode->last.text))
        return false;
    switch ((enum delta_kind)decode->last.kind) {
    case DELTA_TEXT:
    case DELTA_REFUSAL:
    case DELTA_THINK:
    case DELTA_ARGS: return true;
    case DELTA_TEXT_END:
    case DELTA_THINK_END:
    case DELTA_REDACTED:
    case DELTA_CALL:
    case DELTA_CALL_END:
    case DELTA_CITE:
    case DELTA_MEDIA:
    case DELTA_LOGPROBS:
    case DELTA_HOSTED:
    case DELTA_FINISH:
    case DELTA_KIND_COUNT: break;
    }
    return false;
}

// The event that was read last is one that others are now known by.
static void learn(struct decode *decode)
{
    // With two texts it would not be known which is which.
    decode->repeats = decode->wire->one_text && can_repeat(decode);
    decode->model = decode->last;
}

// An event whose bytes are not all UTF-8, with U+FFFD for those that are not. False if that is not
// what is wrong with it, or there is no room.
static cold bool repair(struct decode *decode, struct span data, struct json_slice *root)
{
    size_t bad = 0;
    for (size_t at = 0; at < data.len; bad++) {
        at += simd_utf8_run(data.ptr + at, data.len - at);
        if (at++ == data.len)
            break;
    }
    const size_t size = data.len + 2 * bad;
    if (bad == 0 || decode->keep.scratch == NULL)
        return false;
    if (size > decode->repaired_max) { // all the room of a stream is less than twice its last
        const size_t more = max_size(size, 2 * decode->repaired_max);
        decode->repaired = scratch_take(decode->keep.scratch, more);
        decode->repaired_max = decode->repaired != NULL ? more : 0;
    }
    if (decode->repaired == NULL)
        return false;
    struct sink sink = sink_into(decode->repaired, decode->repaired_max);
    while (data.len > 0) {
        size_t run = simd_utf8_run(data.ptr, data.len);
        sink_put(&sink, span_upto(data, run));
        if (run < data.len)
            SINK_TEXT(&sink, "\xef\xbf\xbd");
        data = span_from(data, min_size(run + 1, data.len));
    }
    return json_check(span_of(decode->repaired, (size_t)(sink.at - decode->repaired)), root);
}

bool decode_known(struct decode *decode, const struct wire_event *event)
{
    return decode->failed || ((event->flags & WIRE_KNOWN) != 0 && feed_known(decode));
}

bool decode_feed(struct decode *decode, const struct sse_event *sse, const struct wire_event *event)
{
    if (decode_known(decode, event))
        return true;
    const bool known = (event->flags & WIRE_KNOWN) != 0;
    if (sse->data.len == 0 || wire_is_done(sse->data))
        return true;
    struct json_slice root;
    if (!json_check(sse->data, &root) && !repair(decode, sse->data, &root))
        return false;
    decode->emitted = 0;
    decode->repeats = false; // what an event means may have changed with this one
    decode->converter->decode_event(decode, root);
    decode->failed = decode->failed || decode->keep.failed;
    if (known || event->learnt)
        learn(decode);
    return true;
}

void decode_end(struct decode *decode)
{
    if (!decode->failed)
        decode->converter->decode_end(decode);
}

// ------------------------------------------------------------------------------------- encoding

void encode_init(struct encode *encode, const struct converter *converter,
                 const struct answer_facts *facts, struct sink *out,
                 const struct arena_source *chunks, uint64_t kept_max)
{
    memset(encode, 0, sizeof(*encode));
    encode->converter = converter;
    encode->facts = *facts;
    encode->out = out;
    keep_init(&encode->keep, chunks, kept_max);
    encode->keep.scratch = facts->scratch;
}

void encode_fini(struct encode *encode)
{
    if (encode->started && encode->converter->encode_fini != NULL)
        encode->converter->encode_fini(encode);
    keep_fini(&encode->keep);
}

static void start(struct encode *encode)
{
    if (!encode->started)
        encode->converter->encode_start(encode);
    encode->started = true;
}

void encode_put(void *arg, const struct delta *delta)
{
    struct encode *encode = arg;
    assert(!encode->ended);
    start(encode);
    encode->converter->encode_delta(encode, delta);
    encode->failed = encode->failed || encode->keep.failed || encode->out->failed;
}

static void note_failure(struct encode *encode)
{
    encode->failed = encode->failed || encode->keep.failed || encode->out->failed;
}

bool encode_end_begin(struct encode *encode, const struct usage *usage)
{
    assert(!encode->ended);
    encode->facts.usage = *usage;
    start(encode);
    encode->converter->encode_end(encode);
    encode->ended = true;
    note_failure(encode);
    return encode->converter->encode_more != NULL && !encode->failed;
}

bool encode_end_more(struct encode *encode)
{
    assert(encode->ended);
    const bool more = encode->converter->encode_more(encode);
    note_failure(encode);
    return more && !encode->failed;
}

void encode_end(struct encode *encode, const struct usage *usage)
{
    bool more = encode_end_begin(encode, usage);
    while (more)
        more = encode_end_more(encode);
}

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

// Memory of a decoder is for ids and names of calls.
enum { DECODE_KEEP_MAX = 64 * KIB };

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

// True if the bytes can stand in a JSON string as they are.
static bool is_clean(struct span raw)
{
    bool high = false;
    const struct span all = raw;
    for (;;) {
        size_t run = simd_string_run(raw.ptr, raw.len, &high);
        if (run == raw.len)
            return !high || simd_utf8_run(all.ptr, all.len) == all.len;
        if (raw.ptr[run] != '\\')
            return false;
        size_t left = raw.len - run;
        char letter = left >= 2 ? raw.ptr[run + 1] : 0;
        if (letter == 0 || span_find(SPAN("\"\\/bfnrtu"), letter) == 9)
            return false;
        if (letter == 'u') {
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

static bool is_text(const struct skeleton_part *part)
{
    return part->tag == HOLE_TEXT && part->kind == HOLE_STRING;
}

// An event like the last one: the same delta with another text. False if it has to be read after
// all.
static bool feed_known(struct decode *decode)
{
    if (!decode->repeats)
        return false;
    const struct skeleton *skeleton = &decode->wire->skeleton;
    struct span text = SPAN_NONE;
    for (size_t i = 0; i < skeleton_holes(skeleton); i++)
        if (is_text(&skeleton->parts[i]))
            text = decode->wire->holes[i];
    if (text.ptr == NULL || !is_clean(text))
        return false;
    decode->model.text = (struct words){ text, true };
    if (text.len > 0)
        decode->emit(decode->ctx, &decode->model);
    return true;
}

void decode_emit(struct decode *decode, const struct delta *delta)
{
    decode->emitted++;
    decode->last = *delta;
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
    const struct skeleton *skeleton = &decode->wire->skeleton;
    unsigned texts = 0; // with two the reader of likenesses would not know which is which
    for (size_t i = 0; skeleton_is_set(skeleton) && i < skeleton_holes(skeleton); i++)
        texts += is_text(&skeleton->parts[i]);
    decode->repeats = texts == 1 && can_repeat(decode);
    decode->model = decode->last;
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
    if (!json_check(sse->data, &root))
        return false;
    decode->emitted = 0;
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

void encode_end(struct encode *encode, const struct usage *usage)
{
    assert(!encode->ended);
    encode->facts.usage = *usage;
    start(encode);
    encode->converter->encode_end(encode);
    encode->ended = true;
    encode->failed = encode->failed || encode->keep.failed || encode->out->failed;
}

// Deltas made from the input, written as a stream of each format and read again: what comes back is
// what went in, less what the format's row of losses below says. The rows are written from the
// formats' documents and know nothing of the encoders.
#include "convert_rig.h"

enum { CHOICES = 2, CALLS = 3, OPS = 48, SIGNATURES = 16 };

// --- what a list of deltas says, in no order between kinds ---

struct story_call {
    bool begun, ended, custom;
    struct output id, name, args;
};

struct story_choice {
    bool begun;
    enum finish finish;
    bool finished;
    struct output text, refusal, thought, stop_text, media, cites, signatures;
    struct story_call calls[CALLS];
};

struct story {
    struct story_choice choices[CHOICES];
};

static void each_text(struct story *story, void (*apply)(struct output *out))
{
    for (unsigned i = 0; i < CHOICES; i++) {
        struct story_choice *choice = &story->choices[i];
        apply(&choice->text), apply(&choice->refusal), apply(&choice->thought);
        apply(&choice->stop_text), apply(&choice->media), apply(&choice->cites);
        apply(&choice->signatures);
        for (unsigned k = 0; k < CALLS; k++) {
            apply(&choice->calls[k].id);
            apply(&choice->calls[k].name);
            apply(&choice->calls[k].args);
        }
    }
}

static void story_init(struct story *story)
{
    memset(story, 0, sizeof(*story));
    each_text(story, output_init);
}

static void story_fini(struct story *story)
{
    each_text(story, output_fini);
}

static void add(struct output *out, struct words words)
{
    sink_plain(&out->sink, words);
}

static void add_signature(struct story_choice *choice, const struct signature *signature)
{
    if (signature->maker != MAKER_ANTHROPIC || words_none(signature->text))
        return; // of another maker it travels in an envelope, or not at all
    if (span_starts(signature->text.raw, SPAN("pst1.")))
        return; // such a one, seen from outside
    add(&choice->signatures, signature->text);
    SINK_TEXT(&choice->signatures.sink, "\n");
}

static void tell_call(struct story_choice *choice, const struct delta *delta)
{
    assert(delta->call < CALLS);
    struct story_call *call = &choice->calls[delta->call];
    if (delta->kind == DELTA_CALL) {
        assert(!call->begun);
        call->begun = true;
        call->custom = delta->form == CALL_CUSTOM;
        add(&call->id, delta->id);
        add(&call->name, delta->name);
        return;
    }
    assert(call->begun && !call->ended);
    if (delta->kind == DELTA_ARGS)
        add(&call->args, delta->text);
    else
        call->ended = true;
}

static void tell(void *ctx, const struct delta *delta)
{
    struct story *story = ctx;
    assert(delta->choice < CHOICES);
    struct story_choice *choice = &story->choices[delta->choice];
    assert(!choice->finished);
    choice->begun = true;
    switch ((enum delta_kind)delta->kind) {
    case DELTA_TEXT: add(&choice->text, delta->text); break;
    case DELTA_REFUSAL: add(&choice->refusal, delta->text); break;
    case DELTA_THINK: add(&choice->thought, delta->text); break;
    case DELTA_THINK_END:
    case DELTA_REDACTED: add_signature(choice, &delta->signature); break;
    case DELTA_CALL:
    case DELTA_ARGS:
    case DELTA_CALL_END: tell_call(choice, delta); break;
    case DELTA_CITE:
        add(&choice->cites, delta->cite.url);
        SINK_TEXT(&choice->cites.sink, "\n");
        break;
    case DELTA_MEDIA:
        add(&choice->media, delta->type);
        SINK_TEXT(&choice->media.sink, ";");
        add(&choice->media, delta->text);
        SINK_TEXT(&choice->media.sink, "\n");
        break;
    case DELTA_FINISH:
        choice->finished = true;
        choice->finish = (enum finish)delta->finish;
        add(&choice->stop_text, delta->text);
        break;
    case DELTA_TEXT_END:
    case DELTA_LOGPROBS:
    case DELTA_HOSTED: break;
    case DELTA_KIND_COUNT: assert(false);
    }
}

// --- the formats' losses ---

struct loss_row {
    bool choices;       // says more than one
    bool refusal_apart; // else it is text
    bool media, custom;
    bool whole_calls; // of no others does it tell, and their arguments are objects
    bool by_content;  // its reader goes by what it saw
    bool signatures;  // Anthropic's, as they are
    enum finish finish[FINISH_PAUSE + 1];
};

static const struct loss_row rows[FORMATS] = {
    [FAMILY_OPENAI] = {
        .choices = true, .refusal_apart = true, .media = true, .custom = true, .by_content = true,
        .signatures = true,
        .finish = { [FINISH_STOP] = FINISH_STOP, [FINISH_STOP_TEXT] = FINISH_STOP,
                    [FINISH_CALLS] = FINISH_CALLS, [FINISH_LENGTH] = FINISH_LENGTH,
                    [FINISH_CONTEXT] = FINISH_LENGTH, [FINISH_FILTERED] = FINISH_FILTERED,
                    [FINISH_REFUSAL] = FINISH_STOP, [FINISH_PAUSE] = FINISH_STOP },
    },
    [FAMILY_RESPONSES] = {
        .refusal_apart = true, .media = true, .custom = true, .by_content = true,
        .finish = { [FINISH_STOP] = FINISH_STOP, [FINISH_STOP_TEXT] = FINISH_STOP,
                    [FINISH_CALLS] = FINISH_CALLS, [FINISH_LENGTH] = FINISH_LENGTH,
                    [FINISH_CONTEXT] = FINISH_LENGTH, [FINISH_FILTERED] = FINISH_FILTERED,
                    [FINISH_REFUSAL] = FINISH_STOP, [FINISH_PAUSE] = FINISH_STOP },
    },
    [FAMILY_ANTHROPIC] = {
        .signatures = true,
        .finish = { [FINISH_STOP] = FINISH_STOP, [FINISH_STOP_TEXT] = FINISH_STOP_TEXT,
                    [FINISH_CALLS] = FINISH_CALLS, [FINISH_LENGTH] = FINISH_LENGTH,
                    [FINISH_CONTEXT] = FINISH_CONTEXT, [FINISH_FILTERED] = FINISH_FILTERED,
                    [FINISH_REFUSAL] = FINISH_FILTERED, [FINISH_PAUSE] = FINISH_PAUSE },
    },
    [FAMILY_GEMINI] = {
        .choices = true, .media = true, .whole_calls = true, .by_content = true,
        .finish = { [FINISH_STOP] = FINISH_STOP, [FINISH_STOP_TEXT] = FINISH_STOP,
                    [FINISH_CALLS] = FINISH_CALLS, [FINISH_LENGTH] = FINISH_LENGTH,
                    [FINISH_CONTEXT] = FINISH_LENGTH, [FINISH_FILTERED] = FINISH_FILTERED,
                    [FINISH_REFUSAL] = FINISH_STOP, [FINISH_PAUSE] = FINISH_STOP },
    },
};

static bool is_cut(enum finish finish)
{
    return finish == FINISH_LENGTH || finish == FINISH_CONTEXT;
}

// What a format's reader makes of how a choice ended.
static enum finish finish_due(const struct story_choice *choice, enum wire_family family)
{
    enum finish finish = rows[family].finish[choice->finish];
    bool calls = false;
    for (unsigned k = 0; k < CALLS; k++)
        calls = calls ||
                (choice->calls[k].begun && (choice->calls[k].ended || !rows[family].whole_calls));
    if (finish == FINISH_STOP_TEXT && output_text(&choice->stop_text).len == 0)
        finish = FINISH_STOP; // Messages wants to know which
    if (!rows[family].by_content)
        return finish;
    if (calls && finish == FINISH_STOP)
        return FINISH_CALLS; // Chat's reader goes by what it saw
    if (!calls && finish == FINISH_CALLS)
        finish = FINISH_STOP;
    bool refused = output_text(&choice->refusal).len > 0 && rows[family].refusal_apart;
    return finish == FINISH_STOP && refused ? FINISH_REFUSAL : finish;
}

static void show(const char *what, struct span text)
{
    fprintf(stderr, "%s: \"", what);
    for (size_t i = 0; i < text.len; i++)
        fprintf(stderr, text.ptr[i] > ' ' && text.ptr[i] < 0x7f ? "%c" : "<%02x>",
                (unsigned char)text.ptr[i]);
    fprintf(stderr, "\"\n");
}

static void same_text(const char *what, struct span got, struct span due)
{
    if (!span_eq(got, due)) {
        show(what, got);
        show("due", due);
    }
    assert(span_eq(got, due));
}

static bool is_legal_id(struct span id)
{
    for (size_t i = 0; i < id.len; i++) {
        char c = id.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '_' || c == '-'))
            return false;
    }
    return id.len > 0 && id.len <= 64;
}

// Whether an earlier call of the choice has its id: a client could not tell the two apart.
static bool repeats_id(const struct story_choice *choice, unsigned call)
{
    for (unsigned k = 0; k < call; k++)
        if (span_eq(output_text(&choice->calls[k].id), output_text(&choice->calls[call].id)))
            return true;
    return false;
}

static void same_call(const struct story_call *got, const struct story_call *due,
                      enum finish finish, bool keeps_id)
{
    assert(got->begun == due->begun);
    if (!due->begun)
        return;
    assert(got->custom == due->custom);
    assert(is_legal_id(output_text(&got->id)));
    if (keeps_id && is_legal_id(output_text(&due->id)))
        same_text("id", output_text(&got->id), output_text(&due->id));
    same_text("name", output_text(&got->name), output_text(&due->name));
    struct span args = output_text(&due->args);
    bool empty = args.len == 0 && due->ended && !due->custom;
    same_text("args", output_text(&got->args), empty ? SPAN("{}") : args);
    bool unsure = is_cut(finish) || finish == FINISH_FILTERED;
    assert(got->ended == due->ended || (unsure && !due->ended) || (unsure && !got->ended));
}

// The calls that a format tells of, in their order.
static void same_calls(const struct story_choice *got, const struct story_choice *due,
                       enum wire_family family)
{
    unsigned told = 0;
    for (unsigned k = 0; k < CALLS; k++) {
        if (rows[family].whole_calls && !due->calls[k].ended)
            continue;
        same_call(&got->calls[told++], &due->calls[k], due->finish, !repeats_id(due, k));
    }
    for (; told < CALLS; told++)
        assert(!got->calls[told].begun);
}

static void same_choice(const struct story_choice *got, const struct story_choice *due,
                        enum wire_family family)
{
    const struct loss_row *row = &rows[family];
    same_text("thought", output_text(&got->thought), output_text(&due->thought));
    same_text("cites", output_text(&got->cites), output_text(&due->cites));
    same_text("media", output_text(&got->media), row->media ? output_text(&due->media) : SPAN(""));
    if (row->signatures)
        same_text("signatures", output_text(&got->signatures), output_text(&due->signatures));
    assert(output_text(&got->text).len + output_text(&got->refusal).len ==
           output_text(&due->text).len + output_text(&due->refusal).len);
    if (row->refusal_apart) {
        same_text("text", output_text(&got->text), output_text(&due->text));
        same_text("refusal", output_text(&got->refusal), output_text(&due->refusal));
    } else if (output_text(&due->refusal).len == 0) {
        same_text("text", output_text(&got->text), output_text(&due->text));
    }
    same_calls(got, due, family);
    assert(got->finished);
    assert(got->finish == finish_due(due, family));
}

// --- making deltas ---

struct source {
    struct dice dice;
    struct heap *heap;
    delta_sink *emit[2];
    void *ctx[2];
    const struct loss_row *row;
    struct {
        bool begun, in_text, thinks;
        unsigned calls;
        struct {
            bool ended, any, custom;
        } call[CALLS];
    } choices[CHOICES];
};

static void emit(struct source *source, const struct delta *delta)
{
    source->choices[delta->choice].begun = true;
    // A run of text ends where another kind begins; calls in the air go on beside it.
    if (delta->kind == DELTA_TEXT)
        source->choices[delta->choice].in_text = true;
    else if (delta->kind != DELTA_CITE && delta->kind != DELTA_ARGS)
        source->choices[delta->choice].in_text = false;
    for (int i = 0; i < 2; i++)
        source->emit[i](source->ctx[i], delta);
}

// Some text of the input: as it stands in a JSON string if it can, else plain; never empty.
static struct words some_words(struct source *source)
{
    size_t len = 1 + roll(&source->dice, 24);
    len = min_size(len, (size_t)(source->dice.end - source->dice.at));
    struct span text = span_of(source->dice.at, len);
    source->dice.at += len;
    char *quoted = heap_take(&source->heap->scratch, len + 2);
    struct json_slice value;
    if (quoted == NULL || len == 0)
        return words_plain(SPAN("x"));
    quoted[0] = quoted[len + 1] = '"';
    memcpy(quoted + 1, text.ptr, len);
    bool is_string = json_check(span_of(quoted, len + 2), &value) && value.kind == JK_STRING;
    struct words words = is_string ? words_of(value) : words_plain(text);
    // A decoder never hands out half a character, or bytes that are none.
    if (is_string && words_lone(words.raw) == words.raw.len)
        return words;
    char *clean = heap_take(&source->heap->scratch, 6 * len);
    if (clean == NULL)
        return words_plain(SPAN("x"));
    struct sink sink = sink_into(clean, 6 * len);
    sink_string(&sink, words);
    return (struct words){ .raw = span_of(clean, (size_t)(sink.at - clean)), .escaped = true };
}

static struct words some_id(struct source *source)
{
    return roll(&source->dice, 4) == 0 ? WORDS_NONE : some_words(source);
}

static void end_runs(struct source *source, uint16_t choice, bool thought_too)
{
    struct delta delta = { .kind = DELTA_THINK_END, .choice = choice };
    if (source->choices[choice].thinks && thought_too) {
        source->choices[choice].thinks = false;
        delta.signature.maker = (uint8_t)(1 + roll(&source->dice, 4));
        if (roll(&source->dice, 2) == 1)
            delta.signature.text = words_plain(SPAN("SIG"));
        emit(source, &delta);
    }
}

static void make_call(struct source *source, struct delta *delta)
{
    const uint16_t choice = delta->choice;
    unsigned *calls = &source->choices[choice].calls;
    unsigned what = roll(&source->dice, 4);
    end_runs(source, choice, true);
    if (what == 0 && *calls < CALLS) {
        delta->kind = DELTA_CALL;
        delta->call = (uint16_t)*calls;
        delta->name = some_words(source);
        delta->id = some_id(source);
        delta->form = source->row->custom ? (uint8_t)roll(&source->dice, 2) : CALL_FUNCTION;
        source->choices[choice].call[*calls].custom = delta->form == CALL_CUSTOM;
        ++*calls;
        emit(source, delta);
        return;
    }
    if (*calls == 0)
        return;
    delta->call = (uint16_t)roll(&source->dice, *calls);
    if (source->choices[choice].call[delta->call].ended)
        return;
    delta->kind = what == 1 ? DELTA_CALL_END : DELTA_ARGS;
    source->choices[choice].call[delta->call].ended = what == 1;
    if (what != 1 && !source->row->whole_calls)
        delta->text = some_words(source);
    else if (what != 1 && !source->choices[choice].call[delta->call].any)
        delta->text = words_plain(SPAN("{\"a\":[1,\"b\"]}"));
    source->choices[choice].call[delta->call].any = true;
    if (what == 1 || !words_none(delta->text))
        emit(source, delta);
}

static void make_delta(struct source *source)
{
    struct delta delta = { 0 };
    delta.choice = source->row->choices ? (uint16_t)roll(&source->dice, CHOICES) : 0;
    switch (roll(&source->dice, 10)) {
    case 0:
    case 1:
        end_runs(source, delta.choice, true);
        delta.kind = DELTA_TEXT;
        delta.text = some_words(source);
        emit(source, &delta);
        break;
    case 2:
        delta.kind = DELTA_TEXT_END;
        if (source->choices[delta.choice].in_text)
            emit(source, &delta);
        break;
    case 3:
        end_runs(source, delta.choice, true);
        delta.kind = DELTA_REFUSAL;
        delta.text = some_words(source);
        emit(source, &delta);
        break;
    case 4:
    case 5:
        delta.kind = DELTA_THINK;
        delta.text = some_words(source);
        source->choices[delta.choice].thinks = true;
        emit(source, &delta);
        break;
    case 6: end_runs(source, delta.choice, true); break;
    case 7:
        end_runs(source, delta.choice, true);
        if (roll(&source->dice, 2) == 0) {
            delta.kind = DELTA_REDACTED;
            delta.signature =
                (struct signature){ .text = words_plain(SPAN("RED")), .maker = MAKER_ANTHROPIC };
        } else {
            delta.kind = DELTA_MEDIA;
            delta.type = words_plain(SPAN("image/png"));
            delta.text = words_plain(SPAN("iVBORw0KGgo="));
        }
        emit(source, &delta);
        break;
    case 8: // about the text that is open
        if (!source->choices[delta.choice].in_text)
            break;
        delta.kind = DELTA_CITE;
        delta.cite.url = some_words(source);
        delta.cite.title = some_words(source);
        emit(source, &delta);
        break;
    default: make_call(source, &delta); break;
    }
}

static void make_all(struct source *source)
{
    for (unsigned i = 0; i < OPS && source->dice.at < source->dice.end; i++)
        make_delta(source);
    for (uint16_t choice = 0; choice < CHOICES; choice++) {
        if (!source->choices[choice].begun)
            continue;
        enum finish finish = (enum finish)roll(&source->dice, FINISH_PAUSE + 1);
        end_runs(source, choice, true);
        for (unsigned k = 0; k < source->choices[choice].calls && !is_cut(finish); k++) {
            struct delta end = { .kind = DELTA_CALL_END, .choice = choice, .call = (uint16_t)k };
            if (!source->choices[choice].call[k].ended && finish != FINISH_FILTERED)
                emit(source, &end);
        }
        struct delta delta = { .kind = DELTA_FINISH, .choice = choice };
        delta.finish = (uint8_t)finish;
        if (finish == FINISH_STOP_TEXT)
            delta.text = some_words(source);
        emit(source, &delta);
    }
}

// data: a byte that chooses, then what the deltas are made of.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct encode encode;
    static struct reading reading;
    static struct heap heap;
    static struct story due, got;
    if (size < 2)
        return 0;
    const struct converter *format = format_at(data[0]);
    if (format == NULL)
        return 0;
    struct output out;
    heap_init(&heap);
    output_init(&out);
    story_init(&due);
    story_init(&got);
    struct answer_facts facts = { .id = SPAN("id"), .model = SPAN("m"), .random = 7 };
    facts.usage_wanted = facts.thoughts_wanted = facts.envelopes_wanted = true;
    facts.scratch = &heap.scratch;
    encode_init(&encode, format, &facts, &out.sink, &chunks, 1 * MIB);
    struct source source = { .dice = { data + 1, data + size },
                             .heap = &heap,
                             .emit = { encode_put, tell },
                             .ctx = { &encode, &due },
                             .row = &rows[format->family] };
    make_all(&source);
    struct usage usage = { .output = 1 };
    encode_end(&encode, &usage);
    if (!encode.failed && due.choices[0].begun) {
        judge_stream(output_text(&out));
        reading_init(&reading, format, tell, &got);
        read_stream(&reading, output_text(&out), SIZE_MAX, false);
        assert(reading.good);
        reading_fini(&reading);
        for (unsigned i = 0; i < CHOICES; i++)
            if (due.choices[i].begun)
                same_choice(&got.choices[i], &due.choices[i], format->family);
    }
    encode_fini(&encode);
    story_fini(&due);
    story_fini(&got);
    output_fini(&out);
    heap_fini(&heap);
    return 0;
}

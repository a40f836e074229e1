#include "penstock/convert/undo.h"

#include "tags.h"
#include "unwrap.h"

// ------------------------------------------------------------------------------------ unwrapping

enum peel_state { PEEL_START, PEEL_MEMBER, PEEL_KEY, PEEL_COLON, PEEL_VALUE, PEEL_END };

enum { PEEL_ROOM = 256 };

static bool is_space(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

static void peel_key(struct peel *peel, char byte)
{
    if (peel->escape == 0 && byte == '"') {
        peel->wanted = span_eq(span_of(peel->key, peel->key_len), SPAN("value"));
        peel->state = PEEL_COLON;
        return;
    }
    peel->escape = peel->escape == 0 && byte == '\\';
    if (peel->key_len < sizeof(peel->key)) // a longer one is another
        peel->key[peel->key_len++] = byte;
}

// True if the byte belongs to the member's value.
static bool peel_value(struct peel *peel, char byte)
{
    if (peel->quoted) {
        peel->quoted = peel->escape != 0 || byte != '"';
        peel->escape = peel->escape == 0 && byte == '\\';
        return true;
    }
    if (peel->depth == 0 && (byte == ',' || byte == '}')) {
        peel->state = byte == ',' ? PEEL_MEMBER : PEEL_END;
        return false;
    }
    if (byte == '{' || byte == '[')
        peel->depth++;
    else if ((byte == '}' || byte == ']') && peel->depth > 0)
        peel->depth--;
    peel->quoted = byte == '"';
    return peel->depth > 0 || !is_space(byte);
}

// True if the byte is a part of what is looked for.
static bool peel_byte(struct peel *peel, char byte)
{
    switch ((enum peel_state)peel->state) {
    case PEEL_START:
        if (byte == '{')
            peel->state = PEEL_MEMBER;
        break;
    case PEEL_MEMBER:
        if (byte == '"')
            *peel = (struct peel){ .state = PEEL_KEY };
        else if (byte == '}')
            peel->state = PEEL_END;
        break;
    case PEEL_KEY: peel_key(peel, byte); break;
    case PEEL_COLON:
        if (byte == ':') {
            peel->state = PEEL_VALUE;
            peel->depth = peel->escape = 0;
        }
        break;
    case PEEL_VALUE: return peel_value(peel, byte) && peel->wanted;
    case PEEL_END: break;
    }
    return false;
}

// Hands on what of `args`, the contents of a JSON string or plain, is the value.
static void peel_put(struct peel *peel, struct words args, struct delta *delta, delta_sink *emit,
                     void *ctx)
{
    char room[PEEL_ROOM], letter[WORDS_PIECE_MAX];
    size_t len = 0;
    while (args.raw.len > 0) {
        struct span piece = span_upto(args.raw, 1);
        bool ascii = (unsigned char)piece.ptr[0] < 0x80;
        if (args.escaped && piece.ptr[0] == '\\')
            piece = words_piece(&args.raw, letter);
        else
            args.raw = span_from(args.raw, 1);
        if (len + sizeof(letter) > sizeof(room) && (ascii || ((unsigned char)*piece.ptr & 0x40))) {
            delta->text = words_plain(span_of(room, len)); // before a new character
            emit(ctx, delta);
            len = 0;
        }
        for (size_t i = 0; i < piece.len; i++)
            if (peel_byte(peel, piece.ptr[i]))
                room[len++] = piece.ptr[i];
    }
    delta->text = words_plain(span_of(room, len));
    if (len > 0)
        emit(ctx, delta);
}

// ----------------------------------------------------------------------------------------- calls

struct undo_call {
    struct undo_call *next;
    uint16_t choice, call;
    bool answers; // the tool that stands for the answer
    bool wrapped;
    struct peel peel;
    // Of a function that stands for a free-text tool: takes its input out of the arguments.
    struct free_text *free_text;
};

struct free_text {
    struct undo *undo;
    struct delta delta; // what the input is told as
    struct unwrap unwrap;
};

static struct undo_call *call_of(const struct undo *undo, const struct delta *delta)
{
    struct undo_call *call = undo->calls;
    while (call != NULL && (call->choice != delta->choice || call->call != delta->call))
        call = call->next;
    return call;
}

static struct undo_call *call_new(struct undo *undo, const struct delta *delta)
{
    struct undo_call *call = keep_take(&undo->keep, sizeof(*call));
    if (call == NULL)
        return NULL;
    *call = (struct undo_call){ .next = undo->calls, .choice = delta->choice, .call = delta->call };
    undo->calls = call;
    return call;
}

// Calls behind those that are hidden move up.
static uint16_t shown_number(const struct undo *undo, const struct delta *delta)
{
    uint16_t number = delta->call;
    for (const struct undo_call *call = undo->calls; call != NULL; call = call->next)
        if (call->answers && call->choice == delta->choice && call->call < delta->call)
            number--;
    return number;
}

static void emit_input(void *arg, struct words text)
{
    struct free_text *free_text = arg;
    free_text->delta.text = text;
    free_text->undo->emit(free_text->undo->ctx, &free_text->delta);
}

static void begin_free_text(struct undo *undo, const struct delta *delta)
{
    struct undo_call *call = call_new(undo, delta);
    struct free_text *free_text = keep_take(&undo->keep, sizeof(*free_text));
    if (call == NULL || free_text == NULL)
        return;
    free_text->undo = undo;
    free_text->delta = (struct delta){ .kind = DELTA_ARGS, .choice = delta->choice };
    free_text->delta.call = shown_number(undo, delta);
    unwrap_init(&free_text->unwrap, &undo->keep, emit_input, free_text);
    call->free_text = free_text;
}

static void begin_call(struct undo *undo, struct delta delta)
{
    const struct aliases *aliases = undo->aliases;
    struct span answer = span_of(aliases->answer, aliases->answer_len);
    if (answer.len > 0 && words_are(delta.name, answer)) {
        struct undo_call *call = call_new(undo, &delta);
        if (call == NULL)
            return;
        call->answers = true;
        call->wrapped = aliases->answer_wrapped || undo->answered;
        call->peel.state = undo->answered ? PEEL_END : PEEL_START; // the first one is the answer
        undo->answered = true;
        return;
    }
    const struct alias *tool = aliases_find(aliases, delta.name);
    if (tool != NULL) {
        delta.name = tool->own;
        struct undo_call *call = tool->wrapped ? call_new(undo, &delta) : NULL;
        if (call != NULL)
            call->wrapped = true;
        if (tool->free_text && delta.form == CALL_FUNCTION) {
            delta.form = CALL_CUSTOM;
            begin_free_text(undo, &delta);
        }
    }
    undo->shown = true;
    delta.call = shown_number(undo, &delta);
    undo->emit(undo->ctx, &delta);
}

static void more_args(struct undo *undo, struct delta delta)
{
    struct undo_call *call = call_of(undo, &delta);
    delta.call = shown_number(undo, &delta);
    if (call != NULL && call->answers) {
        delta.kind = DELTA_TEXT;
        delta.call = 0;
    }
    if (call != NULL && call->free_text != NULL)
        unwrap_put(&call->free_text->unwrap, delta.text);
    else if (call != NULL && call->wrapped)
        peel_put(&call->peel, delta.text, &delta, undo->emit, undo->ctx);
    else
        undo->emit(undo->ctx, &delta);
}

static void end_call(struct undo *undo, struct delta delta)
{
    const struct undo_call *call = call_of(undo, &delta);
    delta.call = shown_number(undo, &delta);
    if (call != NULL && call->answers)
        delta = (struct delta){ .kind = DELTA_TEXT_END, .choice = delta.choice };
    else if (call != NULL && call->free_text != NULL)
        unwrap_end(&call->free_text->unwrap);
    undo->emit(undo->ctx, &delta);
}

// ------------------------------------------------------------------------------------------ text

static void finish(struct undo *undo, struct delta delta)
{
    if (!undo->answered) {
        struct delta text = undo->text;
        const struct rope_piece *piece = undo->held.first;
        for (; piece != NULL; piece = piece->next) {
            text.text = (struct words){ .raw = span_of(piece->bytes, piece->len),
                                        .escaped = true,
                                        .whole = true,
                                        .lasting = true };
            undo->emit(undo->ctx, &text);
        }
    } else if (delta.finish == FINISH_CALLS && !undo->shown) {
        delta.finish = FINISH_STOP;
    }
    undo->held = (struct rope){ 0 };
    undo->emit(undo->ctx, &delta);
}

static void hold_text(struct undo *undo, const struct delta *delta)
{
    if (undo->answered)
        return;
    if (undo->held.len == 0)
        undo->text = (struct delta){ .kind = DELTA_TEXT, .choice = delta->choice };
    rope_add(&undo->keep, &undo->held, delta->text);
}

void undo_init(struct undo *undo, const struct aliases *aliases, const struct arena_source *chunks,
               uint64_t kept_max, delta_sink *emit, void *ctx)
{
    *undo = (struct undo){ .aliases = aliases, .emit = emit, .ctx = ctx };
    keep_init(&undo->keep, chunks, kept_max);
}

void undo_fini(struct undo *undo)
{
    keep_fini(&undo->keep);
}

// --------------------------------------------------------------------------------------- thoughts

struct undo_tags {
    struct undo_tags *next;
    uint16_t choice;
    struct tags tags;
};

static void put_untagged(void *arg, const struct delta *delta);

static struct tags *tags_of(struct undo *undo, uint16_t choice)
{
    struct undo_tags *tags = undo->tags;
    while (tags != NULL && tags->choice != choice)
        tags = tags->next;
    if (tags != NULL)
        return &tags->tags;
    tags = keep_take(&undo->keep, sizeof(*tags));
    if (tags == NULL)
        return NULL;
    *tags = (struct undo_tags){ .next = undo->tags, .choice = choice };
    tags->tags.emit = put_untagged;
    tags->tags.ctx = undo;
    undo->tags = tags;
    return &tags->tags;
}

void undo_put(void *arg, const struct delta *delta)
{
    struct undo *undo = arg;
    if (!undo->aliases->think_tags) {
        put_untagged(undo, delta);
        return;
    }
    struct tags *tags = tags_of(undo, delta->choice);
    if (tags != NULL)
        tags_put(tags, delta);
}

static void put_untagged(void *arg, const struct delta *delta)
{
    struct undo *undo = arg;
    const bool holds = undo->aliases->answer_len > 0;
    switch ((enum delta_kind)delta->kind) {
    case DELTA_CALL: begin_call(undo, *delta); return;
    case DELTA_ARGS: more_args(undo, *delta); return;
    case DELTA_CALL_END: end_call(undo, *delta); return;
    case DELTA_FINISH: finish(undo, *delta); return;
    case DELTA_TEXT:
        if (!holds)
            break;
        hold_text(undo, delta);
        return;
    case DELTA_TEXT_END:
    case DELTA_CITE:
        if (!holds)
            break;
        return; // of text that is held: there is nothing yet to be about
    case DELTA_REFUSAL:
    case DELTA_THINK:
    case DELTA_THINK_END:
    case DELTA_REDACTED:
    case DELTA_MEDIA:
    case DELTA_LOGPROBS:
    case DELTA_HOSTED:
    case DELTA_KIND_COUNT: break;
    }
    undo->emit(undo->ctx, delta);
}

void undo_whole(const struct aliases *aliases, const struct completion *from, struct completion *to)
{
    struct undo undo;
    undo_init(&undo, aliases, to->keep.source, to->keep.held_max, completion_collect, to);
    undo.keep.scratch = to->keep.scratch;
    completion_play(from, undo_put, &undo);
    for (const struct choice *choice = from->choices; choice != NULL; choice = choice->next) {
        struct choice *copy = completion_choice(to, choice->index);
        if (copy != NULL)
            copy->logprobs = choice->logprobs;
    }
    to->keep.failed = to->keep.failed || undo.keep.failed;
    undo_fini(&undo);
}

// OpenAI Chat Completions, reading a stream: chunks of choices, whose calls may be interleaved.
//
// Servers differ in when they tell a call's id and name, and whether they repeat them (C-028). A
// call is told once its name is sure to be whole: when its arguments begin, or at the end.
#include "chat.h"

struct call {
    struct call *next;
    uint16_t choice, number;
    uint64_t index; // the vendor's
    bool told, has_args;
    uint8_t form; // enum call_form
    struct words id, name;
};

struct choice_state {
    struct choice_state *next;
    uint16_t index;
    uint16_t calls;
    bool thinks;   // a thought is open
    bool thought;  // or was
    bool refused;  // the model said so in its own words
    bool finished; // a reason was told
    uint8_t finish;
    struct words stop_text;
    struct signature signature; // of the open thought
};

struct state {
    struct choice_state *choices; // by index
    struct call *calls;           // newest first
    uint32_t call_count;
};
_Static_assert(sizeof(struct state) <= DECODE_STATE, "a decoder's state fits");

static struct state *state_of(struct decode *decode)
{
    return (struct state *)(void *)decode->state;
}

static struct choice_state *choice_of(struct decode *decode, uint16_t index)
{
    struct choice_state **at = &state_of(decode)->choices;
    while (*at != NULL && (*at)->index < index)
        at = &(*at)->next;
    if (*at != NULL && (*at)->index == index)
        return *at;
    struct choice_state *choice = keep_take(&decode->keep, sizeof(*choice));
    if (choice == NULL)
        return NULL;
    choice->index = index;
    choice->next = *at;
    *at = choice;
    return choice;
}

// --- thoughts and texts ---

static void end_thought(struct decode *decode, struct choice_state *choice)
{
    if (!choice->thinks && words_none(choice->signature.text))
        return;
    struct delta delta = { .kind = DELTA_THINK_END, .choice = choice->index };
    delta.signature = choice->signature;
    if (words_none(delta.signature.text))
        delta.signature.maker = MAKER_CHAT;
    choice->thinks = false;
    choice->signature = (struct signature){ 0 };
    decode_emit(decode, &delta);
}

static void emit_text(struct decode *decode, struct choice_state *choice, enum delta_kind kind,
                      struct json_slice text)
{
    struct delta delta = { .kind = (uint8_t)kind, .choice = choice->index };
    delta.text = words_of(text);
    if (words_none(delta.text))
        return;
    if (kind == DELTA_THINK)
        choice->thinks = choice->thought = true;
    else
        end_thought(decode, choice);
    choice->refused = choice->refused || kind == DELTA_REFUSAL;
    decode_emit(decode, &delta);
}

// A signature ends the thought that is open, but only once its text has come, which may be behind
// it; the next signature is the next thought's.
static void read_details(struct decode *decode, struct choice_state *choice,
                         struct json_slice details)
{
    struct json_iter iter = json_elements_of(details);
    struct json_slice detail;
    struct signature found;
    while (json_element_next(&iter, &detail)) {
        if (!chat_detail_signature(detail, &found))
            continue;
        if (!words_none(choice->signature.text))
            end_thought(decode, choice);
        if (chat_detail_is_redacted(detail, &found)) {
            end_thought(decode, choice);
            struct delta delta = { .kind = DELTA_REDACTED, .choice = choice->index };
            delta.signature = found;
            decode_emit(decode, &delta);
            continue;
        }
        choice->signature = found;
        choice->signature.text = keep_words(&decode->keep, found.text);
        choice->signature.id = keep_words(&decode->keep, found.id);
    }
}

// Content may be a list of parts, with thoughts among them.
static void read_content(struct decode *decode, struct choice_state *choice,
                         struct json_slice content)
{
    if (content.kind == JK_STRING)
        emit_text(decode, choice, DELTA_TEXT, content);
    struct json_iter iter = json_elements_of(content);
    struct json_slice part, piece;
    while (json_element_next(&iter, &part)) {
        struct json_slice thinking = json_get(part, SPAN("thinking"));
        struct json_iter pieces = json_elements_of(thinking);
        while (json_element_next(&pieces, &piece))
            emit_text(decode, choice, DELTA_THINK, json_get(piece, SPAN("text")));
        emit_text(decode, choice, DELTA_THINK, thinking);
        emit_text(decode, choice, DELTA_TEXT, json_get(part, SPAN("text")));
    }
}

static void read_citations(struct decode *decode, struct choice_state *choice,
                           struct json_slice annotations)
{
    struct json_iter iter = json_elements_of(annotations);
    struct json_slice annotation;
    struct delta delta;
    while (json_element_next(&iter, &annotation)) {
        if (!chat_cite(annotation, &delta))
            continue;
        delta.choice = choice->index;
        decode_emit(decode, &delta);
    }
}

// Pictures that the model made, as data in a URL.
static void read_images(struct decode *decode, struct choice_state *choice,
                        struct json_slice images)
{
    struct json_iter iter = json_elements_of(images);
    struct json_slice image;
    struct delta delta;
    while (json_element_next(&iter, &image)) {
        if (!chat_image(image, &delta)) {
            decode->unknown++;
            continue;
        }
        end_thought(decode, choice);
        delta.choice = choice->index;
        decode_emit(decode, &delta);
    }
}

// --- calls ---

static struct call *call_new(struct decode *decode, struct choice_state *choice, uint64_t index)
{
    struct state *state = state_of(decode);
    struct call *call = NULL;
    if (state->call_count < DECODE_CALLS_MAX)
        call = keep_take(&decode->keep, sizeof(*call));
    if (call == NULL) {
        decode->failed = true;
        return NULL;
    }
    call->choice = choice->index;
    call->number = choice->calls++;
    call->index = index;
    call->next = state->calls;
    state->calls = call;
    state->call_count++;
    return call;
}

// The call that an element of `tool_calls` is about (C-028b): by its index, unless another id says
// that the server counts all of them alike; without an index by its id, or its position.
static struct call *call_of(struct decode *decode, struct choice_state *choice,
                            struct json_slice said_index, struct words id, uint64_t position)
{
    uint64_t index;
    const bool has_index = json_u64(said_index, &index);
    if (!has_index)
        index = position;
    for (struct call *call = state_of(decode)->calls; call != NULL; call = call->next) {
        if (call->choice != choice->index)
            continue;
        if (!has_index && !words_none(id) && words_eq(call->id, id))
            return call;
        if (call->index != index)
            continue;
        bool other = !words_none(id) && !words_none(call->id) && !words_eq(call->id, id);
        return other && call->has_args ? call_new(decode, choice, index) : call;
    }
    return call_new(decode, choice, index);
}

static void tell_call(struct decode *decode, struct call *call)
{
    if (call->told)
        return;
    call->told = true;
    struct delta delta = { .kind = DELTA_CALL, .choice = call->choice, .call = call->number };
    delta.id = call->id;
    delta.name = call->name;
    delta.form = call->form;
    decode_emit(decode, &delta);
}

// Names come whole, in pieces, or again with each chunk.
static void note_name(struct decode *decode, struct call *call, struct words name, bool has_id)
{
    if (call->told || words_none(name) || words_eq(call->name, name))
        return;
    if (words_none(call->name)) {
        call->name = keep_words(&decode->keep, name);
        return;
    }
    if (has_id)
        return;
    struct rope whole = { 0 };
    rope_add(&decode->keep, &whole, call->name);
    rope_add(&decode->keep, &whole, name);
    if (whole.first != NULL && whole.first == whole.last)
        call->name = (struct words){ .raw = span_of(whole.first->bytes, whole.first->len),
                                     .escaped = true,
                                     .whole = true };
}

static void read_arguments(struct decode *decode, struct call *call, struct json_slice arguments)
{
    if (arguments.kind == JK_NONE || words_none(call->name))
        return;
    struct delta delta = { .kind = DELTA_ARGS, .choice = call->choice, .call = call->number };
    delta.text = arguments.kind == JK_OBJECT ? words_plain(arguments.text) : words_of(arguments);
    tell_call(decode, call);
    if (words_none(delta.text))
        return;
    call->has_args = true;
    decode_emit(decode, &delta);
}

static void read_call(struct decode *decode, struct choice_state *choice, struct json_slice element,
                      uint64_t position)
{
    enum { INDEX, ID, CUSTOM, FUNCTION, COUNT };
    static const struct span names[COUNT] = { SPAN("index"), SPAN("id"), SPAN("custom"),
                                              SPAN("function") };
    struct json_slice found[COUNT];
    json_get_all(element, names, found, COUNT);
    struct words id = words_of(found[ID]);
    struct call *call = call_of(decode, choice, found[INDEX], id, position);
    if (call == NULL)
        return;
    if (words_none(call->id))
        call->id = keep_words(&decode->keep, id);
    struct json_slice custom = found[CUSTOM], function = found[FUNCTION];
    if (custom.kind == JK_OBJECT && function.kind != JK_OBJECT) {
        call->form = CALL_CUSTOM;
        note_name(decode, call, words_of(json_get(custom, SPAN("name"))), !words_none(id));
        read_arguments(decode, call, json_get(custom, SPAN("input")));
        return;
    }
    note_name(decode, call, words_of(json_get(function, SPAN("name"))), !words_none(id));
    read_arguments(decode, call, json_get(function, SPAN("arguments")));
}

static void read_calls(struct decode *decode, struct choice_state *choice, struct json_slice calls)
{
    struct json_iter iter = json_elements_of(calls);
    struct json_slice element;
    for (uint64_t i = 0; json_element_next(&iter, &element); i++) {
        end_thought(decode, choice);
        read_call(decode, choice, element, i);
    }
}

// The predecessor of `tool_calls`: one call, without an id.
static void read_function_call(struct decode *decode, struct choice_state *choice,
                               struct json_slice function)
{
    if (function.kind != JK_OBJECT)
        return;
    end_thought(decode, choice);
    struct call *call = call_of(decode, choice, JSON_SLICE_NONE, WORDS_NONE, 0);
    if (call == NULL)
        return;
    note_name(decode, call, words_of(json_get(function, SPAN("name"))), false);
    read_arguments(decode, call, json_get(function, SPAN("arguments")));
}

// --- chunks ---

static void read_delta(struct decode *decode, struct choice_state *choice, struct json_slice delta)
{
    const struct chat_message message = chat_message(delta);
    const struct json_slice *of = message.of;
    read_details(decode, choice, of[CHAT_REASONING_DETAILS]);
    emit_text(decode, choice, DELTA_THINK, chat_thought(&message, choice->thought));
    read_content(decode, choice, of[CHAT_CONTENT]);
    emit_text(decode, choice, DELTA_REFUSAL, of[CHAT_REFUSAL]);
    read_images(decode, choice, of[CHAT_IMAGES]);
    read_calls(decode, choice, of[CHAT_TOOL_CALLS]);
    read_function_call(decode, choice, of[CHAT_FUNCTION_CALL]);
    read_citations(decode, choice, of[CHAT_ANNOTATIONS]);
}

static void read_finish(struct decode *decode, struct choice_state *choice,
                        struct json_slice reason, struct words stop_text)
{
    if (choice->finished || words_none(words_of(reason)))
        return;
    bool broken = false;
    choice->finish = (uint8_t)chat_finish(reason, &broken);
    choice->finished = true;
    decode->broken = decode->broken || broken;
    choice->stop_text = keep_words(&decode->keep, stop_text);
    if (choice->finish == FINISH_STOP && !words_none(stop_text))
        choice->finish = FINISH_STOP_TEXT;
}

static void read_choice(struct decode *decode, struct json_slice element)
{
    enum { INDEX, DELTA, LOGPROBS, FINISH, STOP, COUNT };
    static const struct span names[COUNT] = { SPAN("index"), SPAN("delta"), SPAN("logprobs"),
                                              SPAN("finish_reason"), SPAN("stop_reason") };
    struct json_slice found[COUNT];
    json_get_all(element, names, found, COUNT);
    uint64_t index;
    if (!json_u64(found[INDEX], &index))
        index = 0;
    if (index >= COMPLETION_CHOICES_MAX) {
        decode->unknown++;
        return;
    }
    struct choice_state *choice = choice_of(decode, (uint16_t)index);
    if (choice == NULL)
        return;
    read_delta(decode, choice, found[DELTA]);
    struct json_slice entries = json_get(found[LOGPROBS], SPAN("content"));
    if (entries.kind == JK_ARRAY) {
        struct delta delta = { .kind = DELTA_LOGPROBS, .choice = choice->index, .raw = entries };
        decode_emit(decode, &delta);
    }
    read_finish(decode, choice, found[FINISH], words_of(found[STOP])); // C-049
}

void chat_decode_event(struct decode *decode, struct json_slice data)
{
    struct json_iter iter = json_elements_of(json_get(data, SPAN("choices")));
    struct json_slice element;
    while (json_element_next(&iter, &element))
        read_choice(decode, element);
}

// Tells what was held back of a choice's calls and ends them; returns whether there were any.
static bool end_calls(struct decode *decode, const struct choice_state *choice, bool cut)
{
    for (uint16_t number = 0; number < choice->calls; number++)
        for (struct call *call = state_of(decode)->calls; call != NULL; call = call->next) {
            if (call->choice != choice->index || call->number != number)
                continue;
            if (!words_none(call->name))
                tell_call(decode, call);
            struct delta delta = { .kind = DELTA_CALL_END, .choice = call->choice, .call = number };
            if (call->told && !cut)
                decode_emit(decode, &delta);
        }
    return choice->calls > 0;
}

void chat_decode_end(struct decode *decode)
{
    for (struct choice_state *choice = state_of(decode)->choices; choice != NULL;
         choice = choice->next) {
        bool cut = choice->finish == FINISH_LENGTH || choice->finish == FINISH_FILTERED;
        end_thought(decode, choice);
        bool calls = end_calls(decode, choice, cut);
        // Content tells more than the reason does (C-032, C-042).
        if (calls && (choice->finish == FINISH_STOP || choice->finish == FINISH_STOP_TEXT))
            choice->finish = FINISH_CALLS;
        else if (!calls && choice->finish == FINISH_CALLS)
            choice->finish = FINISH_STOP;
        if (choice->refused && choice->finish == FINISH_STOP)
            choice->finish = FINISH_REFUSAL; // C-045
        struct delta delta = { .kind = DELTA_FINISH, .choice = choice->index };
        delta.finish = choice->finish;
        delta.text = choice->stop_text;
        decode_emit(decode, &delta);
    }
}

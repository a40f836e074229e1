#include "penstock/convert/completion.h"

#include "penstock/base/check.h"

void completion_init(struct completion *completion, const struct arena_source *source,
                     uint64_t kept_max)
{
    memset(completion, 0, sizeof(*completion));
    keep_init(&completion->keep, source, kept_max);
}

void completion_fini(struct completion *completion)
{
    keep_fini(&completion->keep);
}

struct item *completion_item(struct completion *completion, enum item_kind kind, uint16_t choice)
{
    struct item *item = keep_take(&completion->keep, sizeof(*item));
    if (item == NULL)
        return NULL;
    item->kind = (uint8_t)kind;
    item->choice = choice;
    *(completion->last == NULL ? &completion->first : &completion->last->next) = item;
    completion->last = item;
    completion->item_count++;
    return item;
}

struct item *completion_pop(struct completion *completion)
{
    struct item *item = completion->first;
    if (item == NULL)
        return NULL;
    completion->first = item->next;
    if (completion->first == NULL)
        completion->last = NULL;
    completion->item_count--;
    item->next = NULL;
    return item;
}

struct choice *completion_choice(struct completion *completion, uint16_t index)
{
    struct choice **at = &completion->choices;
    while (*at != NULL && (*at)->index < index)
        at = &(*at)->next;
    if (*at != NULL && (*at)->index == index)
        return *at;
    struct choice *choice = keep_take(&completion->keep, sizeof(*choice));
    if (choice == NULL)
        return NULL;
    choice->index = index;
    choice->next = *at;
    *at = choice;
    return choice;
}

struct item_cite *completion_cite(struct completion *completion, struct item *item)
{
    struct item_cite *cite = keep_take(&completion->keep, sizeof(*cite));
    if (cite == NULL)
        return NULL;
    *(item->last_cite == NULL ? &item->cites : &item->last_cite->next) = cite;
    item->last_cite = cite;
    return cite;
}

void completion_end(struct completion *completion, uint16_t index, enum finish finish,
                    struct words stop_text)
{
    struct choice *choice = completion_choice(completion, index);
    if (choice == NULL || choice->ended)
        return; // the first one counts (C-048)
    choice->ended = true;
    choice->finish = (uint8_t)finish;
    choice->stop_text = stop_text;
}

// ---------------------------------------------------------------------------------- collecting

// The newest item of a choice, which is what a delta goes on with.
static struct item *newest(const struct completion *completion, uint16_t choice)
{
    if (completion->last != NULL && completion->last->choice == choice)
        return completion->last;
    struct item *found = NULL;
    for (struct item *item = completion->first; item != NULL; item = item->next)
        if (item->choice == choice)
            found = item;
    return found;
}

static struct item *call_item(const struct completion *completion, const struct delta *delta)
{
    struct item *found = NULL;
    for (struct item *item = completion->first; item != NULL; item = item->next)
        if (item->kind == ITEM_CALL && item->choice == delta->choice && item->call == delta->call)
            found = item;
    return found;
}

// A signature of text stands beside the text that it signs, which may go on behind it (C-144).
static bool signs_text(const struct item *item)
{
    return item->kind == ITEM_THINK && item->signature.signs == SIGNS_TEXT && item_is_empty(item);
}

static struct item *newest_text(const struct completion *completion, uint16_t choice)
{
    struct item *found = NULL;
    for (struct item *item = completion->first; item != NULL; item = item->next)
        if (item->choice == choice && !signs_text(item))
            found = item;
    return found;
}

// The item that more of this kind belongs to.
static struct item *open_item(struct completion *completion, enum item_kind kind,
                              const struct delta *delta)
{
    struct item *item = newest(completion, delta->choice);
    if (kind == ITEM_TEXT && item != NULL && signs_text(item))
        item = newest_text(completion, delta->choice);
    if (item != NULL && item->kind == (uint8_t)kind && !item->complete)
        return item;
    return completion_item(completion, kind, delta->choice);
}

static struct signature keep_signature(struct keep *keep, const struct signature *signature)
{
    struct signature kept = *signature;
    kept.text = keep_words(keep, signature->text);
    kept.id = keep_words(keep, signature->id);
    return kept;
}

// What only the same format could use is kept if there is room.
static struct json_slice keep_raw(struct keep *keep, struct json_slice raw)
{
    struct words words = { .raw = raw.text, .escaped = true };
    struct words kept = keep_has_place(keep, words) ? keep_words(keep, words) : WORDS_NONE;
    return kept.raw.len > 0 ? (struct json_slice){ kept.raw, raw.kind } : JSON_SLICE_NONE;
}

static void collect_text(struct completion *completion, enum item_kind kind,
                         const struct delta *delta)
{
    struct item *item = open_item(completion, kind, delta);
    if (item != NULL)
        rope_add(&completion->keep, &item->rope, delta->text);
}

static void collect_call(struct completion *completion, const struct delta *delta)
{
    struct item *item = completion_item(completion, ITEM_CALL, delta->choice);
    if (item == NULL)
        return;
    item->call = delta->call;
    item->form = delta->form;
    item->id = keep_words(&completion->keep, delta->id);
    item->name = keep_words(&completion->keep, delta->name);
    item->signature = keep_signature(&completion->keep, &delta->signature);
}

static void collect_think_end(struct completion *completion, const struct delta *delta)
{
    struct item *item = newest(completion, delta->choice);
    bool open = item != NULL && item->kind == ITEM_THINK && !item->complete;
    if (!open && words_none(delta->signature.text))
        return;
    if (!open)
        item = completion_item(completion, ITEM_THINK, delta->choice);
    if (item == NULL)
        return;
    item->signature = keep_signature(&completion->keep, &delta->signature);
    item->complete = true;
}

static void collect_cite(struct completion *completion, const struct delta *delta)
{
    struct item *item = open_item(completion, ITEM_TEXT, delta);
    struct item_cite *cite = item != NULL ? completion_cite(completion, item) : NULL;
    if (cite == NULL)
        return;
    cite->cite = delta->cite;
    cite->cite.url = keep_words(&completion->keep, delta->cite.url);
    cite->cite.title = keep_words(&completion->keep, delta->cite.title);
    if (keep_has_place(&completion->keep, delta->text))
        cite->text = keep_words(&completion->keep, delta->text);
    cite->raw = keep_raw(&completion->keep, delta->raw);
}

static void collect_whole(struct completion *completion, enum item_kind kind,
                          const struct delta *delta)
{
    if (!keep_has_place(&completion->keep, delta->text)) {
        completion->lost[delta->kind]++;
        return;
    }
    struct item *item = completion_item(completion, kind, delta->choice);
    if (item == NULL)
        return;
    item->text = keep_words(&completion->keep, delta->text); // it goes on in one delta, as it came
    item->type = keep_words(&completion->keep, delta->type);
    item->signature = keep_signature(&completion->keep, &delta->signature);
    item->raw = keep_raw(&completion->keep, delta->raw);
    item->complete = true;
}

// Lists in pieces become one.
static void collect_logprobs(struct completion *completion, const struct delta *delta)
{
    struct choice *choice = completion_choice(completion, delta->choice);
    struct json_iter iter = json_elements_of(delta->raw);
    struct json_slice entry;
    while (choice != NULL && json_element_next(&iter, &entry)) {
        struct words text = { .raw = entry.text, .escaped = true };
        if (choice->tokens.len > 0)
            rope_add(&completion->keep, &choice->tokens, words_plain(SPAN(",")));
        rope_add(&completion->keep, &choice->tokens, text);
    }
}

void choice_put_logprobs(const struct choice *choice, struct sink *out)
{
    if (choice->logprobs.kind == JK_ARRAY) {
        sink_put_lasting(out, choice->logprobs.text);
        return;
    }
    SINK_TEXT(out, "[");
    rope_put_lasting(&choice->tokens, out);
    SINK_TEXT(out, "]");
}

void completion_collect(void *arg, const struct delta *delta)
{
    struct completion *completion = arg;
    if (delta->choice >= COMPLETION_CHOICES_MAX) {
        completion->lost[delta->kind]++;
        return;
    }
    struct item *item;
    switch ((enum delta_kind)delta->kind) {
    case DELTA_TEXT: collect_text(completion, ITEM_TEXT, delta); break;
    case DELTA_REFUSAL: collect_text(completion, ITEM_REFUSAL, delta); break;
    case DELTA_THINK: collect_text(completion, ITEM_THINK, delta); break;
    case DELTA_TEXT_END:
        item = newest(completion, delta->choice);
        if (item != NULL && item->kind == ITEM_TEXT)
            item->complete = true;
        break;
    case DELTA_THINK_END: collect_think_end(completion, delta); break;
    case DELTA_REDACTED: collect_whole(completion, ITEM_REDACTED, delta); break;
    case DELTA_CALL: collect_call(completion, delta); break;
    case DELTA_ARGS:
        item = call_item(completion, delta);
        if (item != NULL)
            rope_add(&completion->keep, &item->rope, delta->text);
        break;
    case DELTA_CALL_END:
        item = call_item(completion, delta);
        if (item != NULL)
            item->complete = true;
        break;
    case DELTA_CITE: collect_cite(completion, delta); break;
    case DELTA_MEDIA: collect_whole(completion, ITEM_MEDIA, delta); break;
    case DELTA_HOSTED: collect_whole(completion, ITEM_HOSTED, delta); break;
    case DELTA_LOGPROBS: collect_logprobs(completion, delta); break;
    case DELTA_FINISH:
        completion_end(completion, delta->choice, (enum finish)delta->finish,
                       keep_words(&completion->keep, delta->text));
        break;
    case DELTA_KIND_COUNT: assert(false); break;
    }
}

// ------------------------------------------------------------------------------------- playing

static void play_text(const struct item *item, struct delta *delta, delta_sink *emit, void *ctx)
{
    delta->text = item->text;
    delta->text.lasting = true;
    if (!words_none(delta->text))
        emit(ctx, delta);
    for (const struct rope_piece *piece = item->rope.first; piece != NULL; piece = piece->next) {
        delta->text = (struct words){ .raw = span_of(piece->bytes, piece->len),
                                      .escaped = true,
                                      .whole = true,
                                      .lasting = true };
        emit(ctx, delta);
    }
    delta->text = WORDS_NONE;
}

static void play_cites(const struct item *item, struct delta *delta, delta_sink *emit, void *ctx)
{
    for (const struct item_cite *cite = item->cites; cite != NULL; cite = cite->next) {
        delta->kind = DELTA_CITE;
        delta->cite = cite->cite;
        delta->text = cite->text;
        delta->raw = cite->raw;
        emit(ctx, delta);
    }
    delta->text = WORDS_NONE;
    delta->raw = JSON_SLICE_NONE;
}

static void play_call(const struct item *item, struct delta *delta, delta_sink *emit, void *ctx)
{
    delta->kind = DELTA_CALL;
    delta->call = item->call;
    delta->form = item->form;
    delta->id = item->id;
    delta->name = item->name;
    delta->signature = item->signature;
    emit(ctx, delta);
    delta->signature = (struct signature){ 0 };
    delta->kind = DELTA_ARGS;
    play_text(item, delta, emit, ctx);
    delta->kind = DELTA_CALL_END;
    if (item->complete)
        emit(ctx, delta);
}

void item_play(const struct item *item, delta_sink *emit, void *ctx)
{
    struct delta delta = { .choice = item->choice };
    switch ((enum item_kind)item->kind) {
    case ITEM_TEXT:
        delta.kind = DELTA_TEXT;
        play_text(item, &delta, emit, ctx);
        play_cites(item, &delta, emit, ctx);
        delta.kind = DELTA_TEXT_END;
        if (item->complete)
            emit(ctx, &delta);
        break;
    case ITEM_REFUSAL:
        delta.kind = DELTA_REFUSAL;
        play_text(item, &delta, emit, ctx);
        break;
    case ITEM_THINK:
        delta.kind = DELTA_THINK;
        play_text(item, &delta, emit, ctx);
        delta.kind = DELTA_THINK_END;
        delta.signature = item->signature;
        if (item->complete)
            emit(ctx, &delta);
        break;
    case ITEM_CALL: play_call(item, &delta, emit, ctx); break;
    case ITEM_REDACTED:
    case ITEM_MEDIA:
    case ITEM_HOSTED:
        delta.kind = item->kind == ITEM_REDACTED ? DELTA_REDACTED
                     : item->kind == ITEM_MEDIA  ? DELTA_MEDIA
                                                 : DELTA_HOSTED;
        delta.text = item->text;
        delta.type = item->type;
        delta.signature = item->signature;
        delta.raw = item->raw;
        emit(ctx, &delta);
        break;
    case ITEM_KIND_COUNT: assert(false); break;
    }
}

void completion_play(const struct completion *completion, delta_sink *emit, void *ctx)
{
    for (const struct item *item = completion->first; item != NULL; item = item->next)
        item_play(item, emit, ctx);
    for (const struct choice *choice = completion->choices; choice != NULL; choice = choice->next) {
        struct delta delta = { .kind = DELTA_LOGPROBS, .choice = choice->index };
        delta.raw = choice->logprobs;
        if (delta.raw.kind != JK_NONE)
            emit(ctx, &delta);
        delta = (struct delta){ .kind = DELTA_FINISH, .choice = choice->index };
        delta.finish = choice->finish;
        delta.text = choice->stop_text;
        if (choice->ended)
            emit(ctx, &delta);
    }
}

// --------------------------------------------------------------------------------------- items

void item_put(const struct item *item, struct sink *sink)
{
    struct words text = item->text;
    text.lasting = true;
    sink_string(sink, text);
    rope_put_lasting(&item->rope, sink);
}

void item_put_plain(const struct item *item, struct sink *sink)
{
    sink_plain(sink, item->text);
    rope_put_plain(&item->rope, sink);
}

bool item_is_empty(const struct item *item)
{
    return words_none(item->text) && item->rope.len == 0;
}

uint64_t item_points(const struct item *item)
{
    uint64_t points = words_points(item->text);
    for (const struct rope_piece *piece = item->rope.first; piece != NULL; piece = piece->next)
        points += words_points(words_escaped(span_of(piece->bytes, piece->len)));
    return points;
}

void item_put_between(const struct item *item, uint64_t from, uint64_t to, struct sink *sink)
{
    uint64_t points = words_points(item->text);
    sink_string(sink, words_between(item->text, from, to));
    for (const struct rope_piece *piece = item->rope.first; piece != NULL; piece = piece->next) {
        struct words words = words_escaped(span_of(piece->bytes, piece->len));
        uint64_t here = words_points(words);
        if (to > points && from < points + here)
            sink_string(sink, words_between(words, from > points ? from - points : 0, to - points));
        points += here;
    }
}

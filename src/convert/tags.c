#include "tags.h"

enum phase {
    START, // nothing of the text has come, or white space and the beginning of a tag
    OPEN,  // inside the thought
    AFTER, // behind its tag: white space belongs to it
    PASS,  // the text itself
};

static const struct span open_tag = { "<think>", 7 }, close_tag = { "</think>", 8 };

// The letter that words begin with, if it is one of ASCII, else 0; *len is how it is written.
static char letter_of(struct words words, size_t *len)
{
    char room[WORDS_PIECE_MAX];
    struct span rest = span_upto(words.raw, 2 * 6), piece = span_upto(words.raw, 1);
    *len = 1;
    if (words.escaped && piece.ptr[0] == '\\') {
        const size_t before = rest.len;
        piece = words_piece(&rest, room);
        *len = before - rest.len;
    }
    return piece.len == 1 && (unsigned char)piece.ptr[0] < 0x80 ? piece.ptr[0] : 0;
}

static bool is_blank(char letter)
{
    return letter == ' ' || letter == '\t' || letter == '\n' || letter == '\r';
}

static void emit(struct tags *tags, struct delta delta, enum delta_kind kind, struct words text)
{
    delta.kind = (uint8_t)kind;
    delta.text = text;
    if (!words_none(text))
        tags->emit(tags->ctx, &delta);
}

// What was held back is no tag after all.
static void emit_held(struct tags *tags, const struct delta *delta)
{
    const bool open = tags->phase == OPEN;
    const struct span tag = open ? close_tag : open_tag;
    const enum delta_kind kind = open ? DELTA_THINK : DELTA_TEXT;
    emit(tags, *delta, kind, words_plain(span_of(tags->blanks, tags->blank_count)));
    emit(tags, *delta, kind, words_plain(span_upto(tag, tags->matched)));
    tags->blank_count = tags->matched = 0;
}

static void end_thought(struct tags *tags, struct delta delta)
{
    delta = (struct delta){ .kind = DELTA_THINK_END, .choice = delta.choice };
    delta.signature.maker = MAKER_CHAT;
    tags->emit(tags->ctx, &delta);
}

// The beginning of the text; what it is not goes on as it came.
static void take_start(struct tags *tags, const struct delta *delta, struct words *text)
{
    size_t len;
    while (tags->phase == START && !words_none(*text)) {
        const char letter = letter_of(*text, &len);
        if (letter == open_tag.ptr[tags->matched]) {
            tags->matched++;
        } else if (tags->matched == 0 && is_blank(letter) && tags->blank_count < TAGS_BLANKS_MAX) {
            tags->blanks[tags->blank_count++] = letter;
        } else {
            emit_held(tags, delta);
            tags->phase = PASS;
            return;
        }
        text->raw = span_from(text->raw, len);
        if (tags->matched == open_tag.len) {
            tags->phase = OPEN;
            tags->blank_count = tags->matched = 0;
        }
    }
}

// Up to the end of the thought. The tag's first letter stands in it only once: a letter that does
// not go on with it can but begin it anew.
static void take_thought(struct tags *tags, const struct delta *delta, struct words *text)
{
    bool carried = tags->matched > 0; // the tag began in an earlier delta
    size_t from = 0, at = 0, tag_at = 0, len;
    while (tags->matched < close_tag.len && at < text->raw.len) {
        const struct words rest = { .raw = span_from(text->raw, at), .escaped = text->escaped };
        const char letter = letter_of(rest, &len);
        if (letter == close_tag.ptr[tags->matched]) {
            if (tags->matched++ == 0)
                tag_at = at;
            at += len;
        } else if (tags->matched == 0) {
            at += len;
        } else {
            if (carried) {
                emit_held(tags, delta);
                from = at;
            }
            tags->matched = 0;
            carried = false;
        }
    }
    if (tags->matched == 0)
        tag_at = at;
    const struct span thought = span_from(span_upto(text->raw, tag_at), from);
    emit(tags, *delta, DELTA_THINK,
         (struct words){ .raw = thought, .escaped = text->escaped, .whole = text->whole });
    text->raw = span_from(text->raw, at);
    if (tags->matched == close_tag.len) {
        tags->phase = AFTER;
        tags->matched = 0;
        end_thought(tags, *delta);
    }
}

static void take_text(struct tags *tags, const struct delta *delta)
{
    struct words text = delta->text;
    size_t len;
    take_start(tags, delta, &text);
    if (tags->phase == OPEN)
        take_thought(tags, delta, &text);
    while (tags->phase == AFTER && !words_none(text)) {
        if (!is_blank(letter_of(text, &len)))
            tags->phase = PASS;
        else
            text.raw = span_from(text.raw, len);
    }
    emit(tags, *delta, DELTA_TEXT, text);
}

void tags_put(struct tags *tags, const struct delta *delta)
{
    if (delta->kind == DELTA_TEXT && tags->phase != PASS) {
        take_text(tags, delta);
        return;
    }
    const bool ends = delta->kind == DELTA_CALL || delta->kind == DELTA_FINISH;
    if (ends && tags->phase != PASS) {
        emit_held(tags, delta);
        if (tags->phase == OPEN) // without a tag at its end all of it was thought
            end_thought(tags, *delta);
        tags->phase = PASS;
    }
    tags->emit(tags->ctx, delta);
}

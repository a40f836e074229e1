#include "penstock/convert/estimate.h"

#include "penstock/base/check.h"

// Text is counted in quarters of a token: a byte is one, a character of these scripts four.
enum { QUARTERS = 4 };

static bool is_dense(uint32_t point)
{
    static const struct {
        uint32_t from, to;
    } scripts[] = {
        { 0x1100, 0x11ff },   // Hangul, parts
        { 0x2e80, 0x9fff },   // radicals, punctuation, kana, Bopomofo, Hangul, Han
        { 0xa960, 0xa97f },   // Hangul, parts
        { 0xac00, 0xd7ff },   // Hangul
        { 0xf900, 0xfaff },   // Han
        { 0xfe30, 0xfe4f },   // punctuation
        { 0xff00, 0xffef },   // full and half width
        { 0x20000, 0x3ffff }, // Han
    };
    for (size_t i = 0; i < ARRAY_LEN(scripts); i++)
        if (point >= scripts[i].from && point <= scripts[i].to)
            return true;
    return false;
}

// Of whole characters. No dense script has characters of one or two bytes.
static uint64_t plain_quarters(struct span text)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < text.len;) {
        const unsigned char *at = (const unsigned char *)text.ptr + i;
        const size_t len = *at < 0xe0 ? 1 : *at < 0xf0 ? 3 : 4;
        if (len == 1 || text.len - i < len) {
            sum++;
            i++;
            continue;
        }
        uint32_t point = len == 3 ? *at & 0x0fU : *at & 0x07U;
        for (size_t k = 1; k < len; k++)
            point = point << 6 | (at[k] & 0x3fU);
        sum += is_dense(point) ? QUARTERS : len;
        i += len;
    }
    return sum;
}

static uint64_t quarters(struct words words)
{
    if (!words.escaped)
        return plain_quarters(words.raw);
    uint64_t sum = 0;
    for (struct span rest = words.raw; rest.len > 0;) {
        char room[WORDS_PIECE_MAX];
        sum += plain_quarters(words_piece(&rest, room));
    }
    return sum;
}

static uint64_t tokens(uint64_t count_quarters)
{
    return (count_quarters + QUARTERS - 1) / QUARTERS;
}

static uint64_t words_tokens(struct words words)
{
    return tokens(quarters(words));
}

static uint64_t json_tokens(struct json_slice json)
{
    return tokens(plain_quarters(json.text));
}

// What base64 stands for.
static uint64_t data_bytes(const struct part *part)
{
    return part->text.raw.len / 4 * 3;
}

static bool is_text(const struct part *part)
{
    char room[sizeof("text/") - 1];
    bool cut;
    const size_t len = words_decode(part->type, room, sizeof(room), &cut);
    return span_eq(span_of(room, len), SPAN("text/"));
}

static uint64_t file_tokens(const struct part *part)
{
    if (part->source == MEDIA_TEXT)
        return words_tokens(part->text);
    if (part->source == MEDIA_DATA && is_text(part))
        return tokens(data_bytes(part));
    const uint64_t bytes = part->source == MEDIA_DATA ? data_bytes(part) : 1;
    return (bytes + ESTIMATE_FILE_BYTES - 1) / ESTIMATE_FILE_BYTES * ESTIMATE_FILE;
}

static uint64_t sound_tokens(const struct part *part)
{
    if (part->source != MEDIA_DATA)
        return ESTIMATE_MEDIA;
    return (data_bytes(part) + ESTIMATE_SOUND_BYTES - 1) / ESTIMATE_SOUND_BYTES;
}

static uint64_t part_tokens(const struct part *part)
{
    switch ((enum part_kind)part->kind) {
    case PART_TEXT:
    case PART_REFUSAL:
    case PART_THINK: return words_tokens(part->text);
    case PART_IMAGE: return ESTIMATE_MEDIA;
    case PART_FILE: return file_tokens(part) + words_tokens(part->title);
    case PART_AUDIO:
    case PART_VIDEO: return sound_tokens(part);
    case PART_REDACTED: return 0;
    case PART_CALL:
    case PART_RESULT: return words_tokens(part->name) + words_tokens(part->text);
    case PART_SEARCH:
        return words_tokens(part->text) + words_tokens(part->title) + words_tokens(part->extra);
    case PART_RAW: return json_tokens(part->raw);
    }
    bug("a part is of one of its kinds");
}

static uint64_t tool_tokens(const struct tool *tool)
{
    if (tool->kind == TOOL_HOSTED)
        return ESTIMATE_TOOL + json_tokens(tool->raw);
    return ESTIMATE_TOOL + words_tokens(tool->name) + words_tokens(tool->description) +
           json_tokens(tool->schema) + json_tokens(tool->examples);
}

uint64_t estimate_tokens(const struct prompt *prompt)
{
    uint64_t sum = (uint64_t)prompt->turn_count * ESTIMATE_TURN;
    for (uint32_t i = 0; i < prompt->part_count; i++)
        sum += part_tokens(&prompt->parts[i]);
    for (uint32_t i = 0; i < prompt->tool_count; i++)
        sum += tool_tokens(&prompt->tools[i]);
    sum += json_tokens(prompt->format.schema);
    return max_u64(sum, 1);
}

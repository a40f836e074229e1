#include "media.h"

#include "base64.h"
#include "penstock/base/text.h"

struct words media_type(struct words base64, struct words said)
{
    // What the first bytes of a file look like in base64.
    static const struct {
        struct span start, type;
    } known[] = {
        { SPAN("/9j/"), SPAN("image/jpeg") },         { SPAN("\\/9j\\/"), SPAN("image/jpeg") },
        { SPAN("iVBORw0KGg"), SPAN("image/png") },    { SPAN("R0lGOD"), SPAN("image/gif") },
        { SPAN("JVBERi0"), SPAN("application/pdf") },
    };
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (span_starts(base64.raw, known[i].start))
            return words_plain(known[i].type);
    // RIFF holds sounds, too: the kind stands eight bytes on.
    if (span_starts(base64.raw, SPAN("UklGR")) && base64.raw.len > 16 &&
        span_eq(span_of(base64.raw.ptr + 11, 4), SPAN("XRUJ")))
        return words_plain(SPAN("image/webp"));
    return said;
}

bool media_type_is(struct words type, struct span prefix)
{
    char room[64];
    struct span text = words_view(type, room, sizeof(room));
    return text.ptr != NULL && text.len >= prefix.len &&
           span_eq_nocase(span_upto(text, prefix.len), prefix);
}

static int hex_of(char digit)
{
    const char low = digit | 0x20;
    return digit >= '0' && digit <= '9' ? digit - '0'
           : low >= 'a' && low <= 'f'   ? low - 'a' + 10
                                        : -1;
}

// What stands for itself in a data URL, with percent signs for the rest, as base64.
static struct words encoded(struct words data, struct scratch *scratch)
{
    char *plain = scratch != NULL ? scratch_take(scratch, data.raw.len + 1) : NULL;
    if (plain == NULL)
        return WORDS_NONE;
    const size_t size = words_decode(data, plain, data.raw.len, NULL);
    size_t len = 0;
    for (size_t i = 0; i < size; i++) {
        const int high = plain[i] == '%' && i + 2 < size ? hex_of(plain[i + 1]) : -1;
        const int low = high >= 0 ? hex_of(plain[i + 2]) : -1;
        plain[len++] = low >= 0 ? (char)(high * 16 + low) : plain[i];
        i += low >= 0 ? 2 : 0;
    }
    const size_t room_len = 4 * (len / 3 + 1) + SINK_ROOM_MIN;
    char *room = scratch_take(scratch, room_len);
    if (room == NULL)
        return WORDS_NONE;
    struct sink sink = sink_into(room, room_len);
    struct base64 base64;
    base64_begin(&base64, &sink);
    sink_put(&base64.sink, span_of(plain, len));
    base64_end(&base64);
    return words_escaped(span_of(room, (size_t)(sink.at - room)));
}

bool media_from_url(struct part *part, struct words url, struct scratch *scratch)
{
    part->source = MEDIA_URL;
    part->text = url;
    if (!span_starts(url.raw, SPAN("data:")))
        return true;
    struct span rest = span_from(url.raw, 5);
    size_t comma = span_find(rest, ',');
    if (comma == rest.len)
        return false;
    struct span head = span_upto(rest, comma);
    const struct span mark = SPAN(";base64");
    const bool is_base64 =
        head.len >= mark.len && span_eq_nocase(span_from(head, head.len - mark.len), mark);
    part->source = MEDIA_DATA;
    part->text = (struct words){ .raw = span_from(rest, comma + 1), .escaped = url.escaped };
    if (!is_base64)
        part->text = encoded(part->text, scratch);
    // Parameters between the type and the mark mean nothing to vendors (C-096).
    struct words said = { .raw = span_upto(head, span_find(head, ';')), .escaped = url.escaped };
    part->type = media_type(part->text, said);
    return !words_none(part->text) && !words_none(part->type);
}

void media_read_text(struct part *part, struct scratch *scratch)
{
    if (part->source != MEDIA_DATA || !media_type_is(part->type, SPAN("text/")))
        return;
    struct span text = base64_read(part->text, scratch);
    if (text.ptr == NULL || !span_is_utf8(text))
        return;
    part->source = MEDIA_TEXT;
    part->text = words_plain(text);
    part->type = words_plain(SPAN("text/plain"));
}

struct words media_data(const struct part *part, struct scratch *scratch)
{
    struct words data = base64_standard(part->text, scratch);
    return words_none(data) ? part->text : data;
}

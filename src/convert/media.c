#include "media.h"

#include "base64.h"

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

bool media_from_url(struct part *part, struct words url)
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
    if (head.len < mark.len || !span_eq_nocase(span_from(head, head.len - mark.len), mark))
        return false;
    part->source = MEDIA_DATA;
    part->text = (struct words){ .raw = span_from(rest, comma + 1), .escaped = url.escaped };
    // Parameters between the type and the mark mean nothing to vendors (C-096).
    struct words said = { .raw = span_upto(head, span_find(head, ';')), .escaped = url.escaped };
    part->type = media_type(part->text, said);
    return true;
}

struct words media_data(const struct part *part, struct scratch *scratch)
{
    struct words data = base64_standard(part->text, scratch);
    return words_none(data) ? part->text : data;
}

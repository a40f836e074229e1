#include "penstock/codec/skeleton.h"

#include "penstock/base/check.h"
#include "penstock/codec/simd.h"

void skeleton_learn(struct skeleton *skeleton, struct span event, const struct hole *holes,
                    size_t count)
{
    assert(count <= SKELETON_HOLES_MAX);
    skeleton->set = false;
    uint8_t order[SKELETON_HOLES_MAX];
    size_t hole_bytes = 0;
    for (size_t i = 0; i < count; i++) {
        size_t at = i;
        for (; at > 0 && holes[order[at - 1]].text.ptr > holes[i].text.ptr; at--)
            order[at] = order[at - 1];
        order[at] = (uint8_t)i;
        hole_bytes += holes[i].text.len;
    }
    assert(hole_bytes <= event.len);
    if (event.len - hole_bytes > SKELETON_BYTES_MAX)
        return;
    const char *from = event.ptr;
    uint16_t used = 0;
    for (size_t i = 0; i <= count; i++) {
        const struct hole *hole = i < count ? &holes[order[i]] : NULL;
        const char *to = hole != NULL ? hole->text.ptr : event.ptr + event.len;
        assert(to >= from);
        memcpy(skeleton->bytes + used, from, (size_t)(to - from));
        used = (uint16_t)(used + (to - from));
        skeleton->ends[i] = used;
        if (hole == NULL)
            break;
        skeleton->kinds[i] = hole->kind;
        skeleton->tags[i] = hole->tag;
        from = to + hole->text.len;
    }
    skeleton->hole_count = (uint8_t)count;
    skeleton->set = true;
}

// Bytes of a string's contents at the start of `text`, which end where a quote stands. text.len if
// there is none; a bare control byte is not passed, so what follows cannot match.
static size_t string_hole(const char *text, size_t len)
{
    size_t at = 0;
    bool high = false;
    for (;;) {
        at += simd_string_run(text + at, len - at, &high);
        if (at >= len || text[at] != '\\')
            return at;
        at += 2;
        if (at > len)
            return len;
    }
}

static size_t digits_hole(const char *text, size_t len)
{
    size_t at = 0;
    while (at < len && text[at] >= '0' && text[at] <= '9')
        at++;
    return at;
}

bool skeleton_match(const struct skeleton *skeleton, struct span event,
                    struct hole holes[SKELETON_HOLES_MAX])
{
    if (!skeleton->set)
        return false;
    size_t from = 0, at = 0;
    for (size_t i = 0;; i++) {
        size_t part = skeleton->ends[i] - from;
        if (event.len - at < part || memcmp(event.ptr + at, skeleton->bytes + from, part) != 0)
            return false;
        at += part;
        from += part;
        if (i == skeleton->hole_count)
            return at == event.len;
        bool string = skeleton->kinds[i] == HOLE_STRING;
        size_t len = string ? string_hole(event.ptr + at, event.len - at)
                            : digits_hole(event.ptr + at, event.len - at);
        if (!string && len == 0)
            return false;
        holes[i] =
            (struct hole){ span_of(event.ptr + at, len), skeleton->kinds[i], skeleton->tags[i] };
        at += len;
    }
}

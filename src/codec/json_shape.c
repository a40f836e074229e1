#include "penstock/codec/json_shape.h"

#include "penstock/base/check.h"

void json_shape_init(struct json_shape *shape)
{
    skeleton_init(&shape->skeleton, shape->parts, ARRAY_LEN(shape->parts), shape->bytes,
                  sizeof(shape->bytes));
    shape->likeness = (struct likeness){ 0 };
}

// How far each text's end has moved. The list begins with a place before all texts.
static void measure(const struct json_shape *shape, const struct filling *texts,
                    ptrdiff_t moved[JSON_TEXTS_MAX + 1])
{
    const size_t count = skeleton_holes(&shape->skeleton);
    moved[0] = 0;
    for (size_t i = 0; i < count; i++)
        moved[i + 1] = moved[i] + (ptrdiff_t)(texts[i].text.len - shape->lens[i]);
}

// A likeness says nothing of escapes, and of bytes that are not ASCII.
static bool are_valid(const struct filling *texts, size_t count, const char *end)
{
    for (size_t i = 0; i < count; i++) {
        const struct span text = texts[i].text;
        if (texts[i].number != 0 && json_string_end(text.ptr, end) != text.ptr + text.len)
            return false;
    }
    return true;
}

static bool is_like(const struct json_shape *shape, struct span text, struct filling *texts)
{
    return text.len > 0 && skeleton_match(&shape->skeleton, text, texts) == text.len &&
           are_valid(texts, skeleton_holes(&shape->skeleton), text.ptr + text.len);
}

bool json_shape_take(struct json_shape *shape, struct span text, struct json_members *members)
{
    uninitialized struct filling texts[JSON_TEXTS_MAX];
    uninitialized ptrdiff_t moved[JSON_TEXTS_MAX + 1];
    struct json_scan *scan = &members->scan;
    assert(scan->pos == 0);
    if (shape->depth_max != scan->depth_max || !is_like(shape, text, texts)) {
        likeness_miss(&shape->likeness);
        return false;
    }
    shape->likeness.misses = 0;
    measure(shape, texts, moved);
    for (size_t i = 0; i < skeleton_holes(&shape->skeleton); i++)
        if (texts[i].text.len >= JSON_MARK_BYTES)
            scan->marked |= json_marks_of(scan->marks, texts[i].text);
    for (size_t i = 0; i < shape->count; i++) {
        struct json_member *item = &members->items[shape->found[i].item];
        const struct json_member *kept = &shape->found[i].member;
        item->found = true;
        item->index = kept->index;
        item->place = kept->place;
        item->place.key_at += (size_t)moved[shape->found[i].start];
        item->place.at += (size_t)moved[shape->found[i].start];
        item->place.end += (size_t)moved[shape->found[i].stop];
        item->before = kept->before + (size_t)moved[shape->found[i].before];
        item->after = kept->after + (size_t)moved[shape->found[i].after];
    }
    return true;
}

static uint8_t texts_before(const struct json_texts *texts, size_t at)
{
    uint8_t count = 0;
    while (count < texts->count && texts->list[count].at < at)
        count++;
    return count;
}

// False if there are more members than are kept.
static bool keep_members(struct json_shape *shape, const struct json_texts *texts,
                         const struct json_members *members)
{
    shape->count = 0;
    for (size_t i = 0; i < members->count; i++) {
        const struct json_member *item = &members->items[i];
        if (!item->found)
            continue;
        if (shape->count == JSON_SHAPE_MEMBERS)
            return false;
        const size_t at = shape->count++;
        shape->found[at].item = (uint8_t)i;
        shape->found[at].before = texts_before(texts, item->before);
        shape->found[at].start = texts_before(texts, item->place.key_at);
        shape->found[at].stop = texts_before(texts, item->place.end);
        shape->found[at].after = texts_before(texts, item->after);
        shape->found[at].member = *item;
    }
    return true;
}

void json_shape_learn(struct json_shape *shape, struct span text, const struct json_texts *texts,
                      const struct json_members *members)
{
    uninitialized struct hole holes[JSON_TEXTS_MAX];
    _Static_assert(JSON_TEXTS_MAX <= UINT8_MAX && JSON_MEMBERS_MAX <= UINT8_MAX, "counts fit");
    skeleton_reset(&shape->skeleton);
    // A member twice of which neither decides lies where the last one was found: that holds again.
    // What is marked stays with the scanner, so that no mark is ever among what is kept.
    if (texts->lost || members->scan.marked != 0 || !keep_members(shape, texts, members))
        return;
    for (size_t i = 0; i < texts->count; i++) {
        const struct span hole = span_of(text.ptr + texts->list[i].at, texts->list[i].len);
        holes[i] = (struct hole){ .text = hole, .kind = HOLE_STRING };
        shape->lens[i] = hole.len;
    }
    shape->depth_max = members->scan.depth_max;
    skeleton_learn(&shape->skeleton, text, holes, texts->count);
}

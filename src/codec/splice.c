#include "penstock/codec/splice.h"

#include "penstock/base/check.h"

void splice_add(struct splice *splice, size_t at, size_t len, struct span with)
{
    if (len == 0 && with.len == 0)
        return;
    assert(splice->count < SPLICE_EDITS_MAX);
    size_t i = splice->count;
    for (; i > 0 && splice->edits[i - 1].at > at; i--)
        splice->edits[i] = splice->edits[i - 1];
    // An insertion where a replacement begins belongs before it.
    if (len == 0)
        for (; i > 0 && splice->edits[i - 1].at == at && splice->edits[i - 1].len > 0; i--)
            splice->edits[i] = splice->edits[i - 1];
    splice->edits[i] = (struct splice_edit){ at, len, with };
    splice->count++;
    if (i > 0)
        assert(splice->edits[i - 1].at + splice->edits[i - 1].len <= at);
    if (i + 1 < splice->count)
        assert(at + len <= splice->edits[i + 1].at);
}

size_t splice_length(const struct splice *splice, size_t len)
{
    for (size_t i = 0; i < splice->count; i++)
        len = len - splice->edits[i].len + splice->edits[i].with.len;
    return len;
}

struct splice_iter splice_begin(const struct splice *splice, struct span text)
{
    if (splice->count > 0) {
        const struct splice_edit *last = &splice->edits[splice->count - 1];
        assert(last->at + last->len <= text.len);
    }
    return (struct splice_iter){ splice, text, 0, 0 };
}

bool splice_next(struct splice_iter *iter, struct span *out)
{
    const struct splice *splice = iter->splice;
    while (iter->index < splice->count) {
        const struct splice_edit *edit = &splice->edits[iter->index];
        if (iter->pos < edit->at) {
            *out = span_of(iter->text.ptr + iter->pos, edit->at - iter->pos);
            iter->pos = edit->at;
            return true;
        }
        iter->pos = edit->at + edit->len;
        iter->index++;
        if (edit->with.len > 0) {
            *out = edit->with;
            return true;
        }
    }
    if (iter->pos == iter->text.len)
        return false;
    *out = span_from(iter->text, iter->pos);
    iter->pos = iter->text.len;
    return true;
}

size_t splice_spans(const struct splice *splice, struct span text,
                    struct span out[SPLICE_SPANS_MAX])
{
    struct splice_iter iter = splice_begin(splice, text);
    size_t count = 0;
    struct span span;
    while (splice_next(&iter, &span)) {
        assert(count < SPLICE_SPANS_MAX);
        out[count++] = span;
    }
    return count;
}

// A member that follows one that stays takes the comma before it along. As long as nothing that
// stays has come, a member takes all up to the next key.
void splice_remove_members(struct splice *splice, struct json_member *const *removed, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct json_member *member = removed[i];
        assert(member->found);
        assert(member->decides);
        assert(i == 0 || removed[i - 1]->index < member->index);
        bool all_gone = member->index == i;
        size_t from = all_gone ? member->place.key_at : member->before;
        size_t to = all_gone ? member->after : member->place.end;
        splice_add(splice, from, to - from, SPAN_NONE);
    }
}

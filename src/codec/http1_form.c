#include "penstock/codec/http1_form.h"

#include "penstock/base/check.h"

void http_form_init(struct http_form *form)
{
    skeleton_init(&form->skeleton, form->parts, ARRAY_LEN(form->parts), form->bytes,
                  sizeof(form->bytes));
    form->likeness = (struct likeness){ 0 };
}

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

// White space around a value is not part of it: where it is, the parser has to tell.
static bool is_trimmed(struct span value)
{
    return value.len == 0 || (!is_blank(value.ptr[0]) && !is_blank(value.ptr[value.len - 1]));
}

// Places all fields in the new text. False if a value is not as it seems.
static bool place_fields(const struct http_form *form, struct http_head *head, const char *text,
                         const struct filling *holes)
{
    const char *base = text; // where the text would begin, had no value before changed its length
    for (unsigned i = 0; i < form->field_count; i++) {
        struct http_field *field = &head->fields[i];
        const size_t len = form->fields[i].value_len;
        field->name = span_of(base + form->fields[i].name_at, form->fields[i].name_len);
        field->id = (enum http_field_id)form->fields[i].id;
        field->is_hop = form->fields[i].is_hop;
        if (form->fields[i].is_hole) {
            field->value = holes++->text;
            if (unlikely(!is_trimmed(field->value)))
                return false;
            base += (ptrdiff_t)(field->value.len - len);
        } else {
            field->value = span_of(base + form->fields[i].value_at, len);
        }
    }
    return true;
}

static bool take(struct http_form *form, struct http_head *head, struct span in, size_t head_max,
                 enum http_method method, size_t *used)
{
    uninitialized struct filling holes[HTTP_FORM_FIELDS];
    const size_t len = skeleton_match(&form->skeleton, in, holes);
    if (len == 0 || len > head_max || method != form->method)
        return false;
    memcpy(head, form->head, sizeof(form->head));
    head->reason.ptr = in.ptr + form->reason_at;
    if (!place_fields(form, head, in.ptr, holes))
        return false;
    if (form->length_hole < HTTP_FORM_FIELDS)
        head->content_length = holes[form->length_hole].number;
    *used = len;
    return true;
}

// Values that decide about nothing, and the length.
static bool may_differ(const struct http_field *field)
{
    return field->id == HF_OTHER || field->id == HF_DATE || field->id == HF_X_REQUEST_ID ||
           field->id == HF_REQUEST_ID || field->id == HF_CONTENT_LENGTH;
}

static void learn(struct http_form *form, struct span text, const struct http_head *head,
                  enum http_method method)
{
    uninitialized struct hole holes[HTTP_FORM_FIELDS];
    _Static_assert((int)HOLE_DIGITS_MAX <= (int)HTTP_LENGTH_DIGITS_MAX, "such a length is parsed");
    skeleton_reset(&form->skeleton);
    // Where there is no body, whatever the fields say, the length is not what one of them says.
    const bool barren = head->status < 200 || head->status == 204 || head->status == 304;
    if (head->field_count > HTTP_FORM_FIELDS || text.len > UINT16_MAX || barren ||
        method == HTTP_HEAD)
        return;
    size_t count = 0;
    form->length_hole = HTTP_FORM_FIELDS;
    for (unsigned i = 0; i < head->field_count; i++) {
        const struct http_field *field = &head->fields[i];
        const bool is_hole = may_differ(field);
        form->fields[i].name_at = (uint16_t)(field->name.ptr - text.ptr);
        form->fields[i].name_len = (uint16_t)field->name.len;
        form->fields[i].id = (uint8_t)field->id;
        form->fields[i].is_hop = field->is_hop;
        form->fields[i].value_at = (uint16_t)(field->value.ptr - text.ptr);
        form->fields[i].value_len = (uint16_t)field->value.len;
        form->fields[i].is_hole = is_hole;
        if (!is_hole)
            continue;
        const bool is_length = field->id == HF_CONTENT_LENGTH;
        if (is_length)
            form->length_hole = (uint8_t)count;
        holes[count++] = (struct hole){ field->value, is_length ? HOLE_DIGITS : HOLE_LINE, 0 };
    }
    form->method = method;
    form->reason_at = (uint16_t)(head->reason.ptr - text.ptr);
    form->field_count = head->field_count;
    memcpy(form->head, head, sizeof(form->head));
    skeleton_learn(&form->skeleton, text, holes, count);
}

enum parse http_form_parse(struct http_form *form, struct http_head *head, struct span in,
                           size_t head_max, enum http_method method, size_t *used, struct err *err)
{
    const bool due = form != NULL && likeness_due(&form->likeness);
    if (due && likely(take(form, head, in, head_max, method, used))) {
        form->likeness.misses = 0;
        return PARSE_DONE;
    }
    enum parse parse = http_response_parse(head, in, head_max, method, used, err);
    if (parse == PARSE_DONE && due) {
        likeness_miss(&form->likeness);
        learn(form, span_upto(in, *used), head, method);
    }
    return parse;
}

// Two heads of answers, of which the first is learnt: the second has to be told as the parser does.
#include "penstock/base/check.h"
#include "penstock/codec/http1_form.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEAD_MAX = 4 * KIB };

static void check_span(struct span a, struct span b)
{
    assert(a.ptr == b.ptr);
    assert(a.len == b.len);
}

static void check_same(const struct http_head *a, const struct http_head *b)
{
    assert(a->status == b->status && a->minor == b->minor && a->framing == b->framing);
    assert(a->content_length == b->content_length);
    assert(a->keep_alive == b->keep_alive && a->upgrade == b->upgrade);
    assert(a->seen == b->seen && a->repeated == b->repeated);
    assert(a->field_count == b->field_count);
    check_span(a->reason, b->reason);
    for (unsigned i = 0; i < a->field_count; i++) {
        check_span(a->fields[i].name, b->fields[i].name);
        check_span(a->fields[i].value, b->fields[i].value);
        assert(a->fields[i].id == b->fields[i].id && a->fields[i].is_hop == b->fields[i].is_hop);
    }
    for (int id = 0; id < HF_COUNT; id++)
        assert((a->seen >> id & 1) == 0 || a->first[id] == b->first[id]);
}

// data: the first head's length in two bytes, then both.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    const size_t len = min_size(data[0] | (size_t)data[1] << 8, size - 2);
    // In memory of its own, so that a read beyond the second is seen.
    char *text = malloc(size - 2 - len + 1);
    const struct span first = span_of(data + 2, len), second = span_of(text, size - 2 - len);
    memcpy(text, data + 2 + len, second.len);
    static struct http_form form;
    static struct http_head known, parsed;
    size_t used = 0, parsed_used = 0;
    struct err err = OK, parsed_err = OK;
    http_form_init(&form);
    (void)http_form_parse(&form, &known, first, HEAD_MAX, HTTP_POST, &used, &err);
    used = 0, err = OK;
    const enum parse got = http_form_parse(&form, &known, second, HEAD_MAX, HTTP_POST, &used, &err);
    const enum parse want =
        http_response_parse(&parsed, second, HEAD_MAX, HTTP_POST, &parsed_used, &parsed_err);
    assert(got == want && used == parsed_used && err.code == parsed_err.code);
    if (got == PARSE_DONE)
        check_same(&known, &parsed);
    free(text);
    return 0;
}

// Heads: cut anywhere, the verdict is the same; what is accepted has the shape of a head, lies
// inside the input, and means the same when written out and read again.
#include "penstock/base/check.h"
#include "penstock/codec/http1_known.h"
#include "penstock/codec/url.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEAD_MAX = 4 * KIB, WRITTEN_MAX = 64 * KIB };

struct verdict {
    enum parse got;
    size_t used;
    struct err err;
};

static struct verdict parse(struct http_head *head, struct span in, int method)
{
    struct verdict verdict = { PARSE_MORE, 0, OK };
    verdict.got = method < 0 ? http_request_parse(head, in, HEAD_MAX, &verdict.used, &verdict.err)
                             : http_response_parse(head, in, HEAD_MAX, (enum http_method)method,
                                                   &verdict.used, &verdict.err);
    return verdict;
}

// In memory that ends where the input does.
static struct verdict parse_copy(struct span in, int method)
{
    static struct http_head head;
    char *copy = malloc(in.len + !in.len);
    memcpy(copy, in.ptr, in.len);
    const struct verdict verdict = parse(&head, span_of(copy, in.len), method);
    free(copy);
    return verdict;
}

static void check_cut(struct span in, size_t cut, int method, struct verdict whole)
{
    const struct verdict part = parse_copy(span_upto(in, cut), method);
    if (part.got == PARSE_MORE)
        return;
    assert(part.got == whole.got);
    assert(part.used == whole.used);
    assert(part.err.code == whole.err.code);
}

static void check_inside(struct span part, struct span in)
{
    assert(part.ptr >= in.ptr);
    assert(part.ptr + part.len <= in.ptr + in.len);
}

// Told without the parser: every line ends in CR LF, no other control byte but the tab, one empty
// line at the end, no field line that starts with white space.
static void check_shape(struct span in)
{
    assert(in.len >= 4 && memcmp(in.ptr + in.len - 4, "\r\n\r\n", 4) == 0);
    for (size_t i = 0; i < in.len; i++) {
        const unsigned char byte = (unsigned char)in.ptr[i];
        if (byte == '\r')
            assert(in.ptr[i + 1] == '\n');
        else if (byte == '\n')
            assert(i > 0 && in.ptr[i - 1] == '\r');
        else
            assert((byte >= ' ' && byte != 0x7f) || byte == '\t');
        if (byte == '\n' && i + 1 < in.len)
            assert(in.ptr[i + 1] != ' ' && in.ptr[i + 1] != '\t');
    }
}

static void check_fields(const struct http_head *head, struct span in)
{
    unsigned counts[HF_COUNT] = { 0 };
    assert(head->field_count <= HTTP_FIELDS_MAX);
    for (unsigned i = 0; i < head->field_count; i++) {
        const struct http_field *field = &head->fields[i];
        check_inside(field->name, in);
        check_inside(field->value, in);
        assert(http_token_is_valid(field->name));
        assert(http_value_is_valid(field->value));
        assert(field->id == http_field_id(field->name));
        counts[field->id]++;
    }
    for (unsigned id = HF_OTHER + 1; id < HF_COUNT; id++) {
        const struct http_field *field = http_field_find(head, (enum http_field_id)id);
        unsigned count = 0;
        for (; field != NULL; field = http_field_next(head, field))
            count++;
        assert(count == counts[id]);
    }
    assert(counts[HF_HOST] <= 1 || head->status != 0);
    assert(counts[HF_CONTENT_LENGTH] + counts[HF_TRANSFER_ENCODING] <= 1);
}

static size_t append(char *out, size_t len, struct span text)
{
    assert(len + text.len <= WRITTEN_MAX);
    memcpy(out + len, text.ptr, text.len);
    return len + text.len;
}

static size_t head_write(char *out, const struct http_head *head, bool is_answer)
{
    char line[64];
    size_t len = 0;
    if (is_answer) {
        snprintf(line, sizeof(line), "HTTP/1.%u %03d ", head->minor, head->status);
        len = append(out, len, span_str(line));
        len = append(out, len, head->reason);
    } else {
        len = append(out, len, head->method_text);
        len = append(out, len, SPAN(" "));
        len = append(out, len, head->target);
        snprintf(line, sizeof(line), " HTTP/1.%u", head->minor);
        len = append(out, len, span_str(line));
    }
    for (unsigned i = 0; i < head->field_count; i++) {
        len = append(out, len, SPAN("\r\n"));
        len = append(out, len, head->fields[i].name);
        len = append(out, len, SPAN(":"));
        len = append(out, len, head->fields[i].value);
    }
    return append(out, len, SPAN("\r\n\r\n"));
}

static void check_round_trip(const struct http_head *head, int method)
{
    static char written[WRITTEN_MAX];
    static struct http_head again;
    const size_t len = head_write(written, head, method >= 0);
    const struct verdict verdict = parse(&again, span_of(written, len), method);
    assert(verdict.got == PARSE_DONE);
    assert(verdict.used == len);
    assert(again.method == head->method);
    assert(span_eq(again.target, head->target));
    assert(again.status == head->status);
    assert(again.minor == head->minor);
    assert(again.framing == head->framing);
    assert(again.content_length == head->content_length);
    assert(again.keep_alive == head->keep_alive);
    assert(again.expect_continue == head->expect_continue);
    assert(again.upgrade == head->upgrade);
    assert(again.field_count == head->field_count);
    for (unsigned i = 0; i < head->field_count; i++) {
        assert(span_eq(again.fields[i].name, head->fields[i].name));
        assert(span_eq(again.fields[i].value, head->fields[i].value));
        assert(again.fields[i].is_hop == head->fields[i].is_hop);
    }
}

// Dripped in, the head is called ready no later than it is complete.
static void check_ready(struct span in, struct verdict whole)
{
    struct http_scan scan = { 0 };
    bool ready = false;
    for (size_t len = 1; len <= whole.used; len++)
        ready = http_scan_ready(&scan, span_upto(in, len), HEAD_MAX);
    assert(whole.got != PARSE_DONE || ready);
}

// A head that is kept is recognised, and when bytes of it change, only what the parser takes for
// the same but for its length.
static void check_known(struct span in, const struct http_head *head, size_t used)
{
    static struct http_known_table table;
    static struct http_head again;
    if (table.list == NULL)
        verify(!failed(http_known_init(&table)));
    struct http_known *known = http_known_get(&table, span_upto(in, used), head);
    if (known == NULL)
        return;
    char *copy = malloc(in.len);
    memcpy(copy, in.ptr, in.len);
    for (size_t at = 0; at < used; at++) {
        copy[at] = (char)(in.ptr[at] ^ 1 << at % 8);
        size_t length = 0;
        if (http_known_match(known, span_of(copy, in.len), HEAD_MAX, &length)) {
            const struct verdict verdict = parse(&again, span_of(copy, in.len), -1);
            assert(verdict.got == PARSE_DONE && verdict.used == length);
            assert(again.content_length == known->head.content_length);
            assert(again.seen == known->head.seen && again.framing == known->head.framing);
            assert(again.field_count == known->head.field_count);
        }
        copy[at] = in.ptr[at];
        assert(http_known_match(known, span_of(copy, in.len), HEAD_MAX, &length));
        assert(length == used && known->head.content_length == head->content_length);
        assert(span_eq(known->head.target, head->target));
    }
    free(copy);
    http_known_put(&table, &known);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct http_head head;
    if (size < 1)
        return 0;
    // The first byte: a request, or an answer to a request with some method.
    const int method = data[0] == 'q' ? -1 : data[0] % (HTTP_OTHER + 1);
    const struct span in = span_of(data + 1, size - 1);
    const struct verdict whole = parse(&head, in, method);
    const size_t step = in.len / 256 + 1;
    for (size_t cut = 0; cut < in.len; cut += step)
        check_cut(in, cut, method, whole);
    check_ready(in, whole);
    if (whole.got == PARSE_BAD) {
        assert(failed(whole.err));
        assert(method < 0 || whole.err.code == ERR_UPSTREAM_HEAD);
    }
    if (whole.got != PARSE_DONE)
        return 0;
    assert(whole.used <= min_size(in.len, HEAD_MAX));
    check_shape(span_upto(in, whole.used));
    check_fields(&head, span_upto(in, whole.used));
    check_round_trip(&head, method);
    if (method < 0)
        check_known(in, &head, whole.used);
    return 0;
}

#include "cors.h"

#include "penstock/codec/http1_write.h"

enum { CORS_FIELDS_MAX = 1 * KIB };

struct span cors_origin(const struct shard *shard, const struct http_head *head)
{
    const struct relay_limits *limits = shard->shared->relay;
    const struct http_field *field = http_field_find(head, HF_ORIGIN);
    if (field == NULL)
        return SPAN_NONE;
    for (uint32_t i = 0; i < limits->origin_count; i++)
        if (span_eq(limits->origins[i], field->value) || span_eq(limits->origins[i], SPAN("*")))
            return field->value;
    return SPAN_NONE;
}

void cors_fields(struct put *out, struct span origin)
{
    if (origin.len == 0)
        return;
    http_put_field(out, SPAN("access-control-allow-origin"), origin);
    http_put_field(out, SPAN("access-control-expose-headers"),
                   SPAN("x-request-id, request-id, x-upstream-request-id, retry-after, "
                        "x-penstock-dropped, x-penstock-adjusted, x-penstock-model, "
                        "x-penstock-estimated"));
    http_put_field(out, SPAN("vary"), SPAN("origin"));
}

bool cors_preflight(struct shard *shard, struct stream *stream, const struct http_head *head)
{
    struct span origin = cors_origin(shard, head);
    if (origin.len == 0 || origin.len > CORS_FIELDS_MAX / 2)
        return false;
    char fields[CORS_FIELDS_MAX];
    struct put out = put_into(fields, sizeof(fields));
    cors_fields(&out, origin);
    http_put_field(&out, SPAN("access-control-allow-methods"), SPAN("GET, POST, OPTIONS"));
    // What a page wants to send is checked when it is sent; names of fields are no secret.
    for (unsigned i = 0; i < head->field_count; i++)
        if (span_eq_nocase(head->fields[i].name, SPAN("access-control-request-headers")) &&
            head->fields[i].value.len < CORS_FIELDS_MAX / 4)
            http_put_field(&out, SPAN("access-control-allow-headers"), head->fields[i].value);
    http_put_field(&out, SPAN("access-control-max-age"), SPAN("600"));
    stream_answer(stream, 204, SPAN_NONE, put_done(&out), SPAN_NONE);
    return true;
}

// ESTIMATE: how many tokens a request has, where no vendor told (C-059).
#include "cors.h"
#include "own.h"
#include "penstock/base/check.h"
#include "penstock/codec/http1_write.h"
#include "req.h"
#include "req_convert.h"

enum { COUNT_BODY_MAX = 128, COUNT_FIELDS_MAX = 1 * KIB };

// As each API says it.
static void put_count(struct put *out, enum wire_op op, uint64_t tokens)
{
    if (op == OP_COUNT_TOKENS)
        put_span(out, SPAN("{\"input_tokens\":"));
    else if (op == OP_RESPONSES_COUNT)
        put_span(out, SPAN("{\"object\":\"response.input_tokens\",\"input_tokens\":"));
    else if (op == OP_GEMINI_COUNT)
        put_span(out, SPAN("{\"totalTokens\":"));
    else
        bug("only operations that count get here");
    put_u64(out, tokens);
    put_span(out, SPAN("}"));
}

enum next step_estimate(struct req *req)
{
    if (convert_is_out(req))
        return NEXT_WAIT;
    if (req->stream->client == CLIENT_GONE)
        return req_fail(req, ERR(CLIENT_GONE));
    uint64_t tokens = 0;
    struct err err;
    const enum parse parse = convert_estimate(req, &tokens, &err);
    if (parse == PARSE_MORE)
        return NEXT_WAIT;
    if (parse == PARSE_BAD) {
        req->detail = req->conversion != NULL ? convert_detail(req) : SPAN_NONE;
        return req_fail(req, err);
    }
    char body[COUNT_BODY_MAX], fields[COUNT_FIELDS_MAX];
    struct put text = put_into(body, sizeof(body)), out = put_into(fields, sizeof(fields));
    put_count(&text, (enum wire_op)req->op, tokens);
    http_put_field(&out, SPAN("x-request-id"), req_id(req));
    if (req->family == FAMILY_ANTHROPIC)
        http_put_field(&out, SPAN("request-id"), req_id(req));
    http_put_field(&out, SPAN("x-penstock-estimated"), SPAN("true"));
    cors_fields(&out, req->origin);
    req->err = OK;
    req->status = 200;
    stream_answer(req->stream, 200, SPAN("application/json"), put_done(&out), put_done(&text));
    own_end(req, OWN_WRITE);
    return req_goto(req, STEP_DONE);
}

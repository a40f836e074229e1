// What reply.h promises: one fault, four ways to say it, and never more room than was given.
#include "test.h"

#include "penstock/codec/sse.h"
#include "penstock/wire/reply.h"

static char out[WIRE_ERROR_MAX];

static void body_is(enum wire_family family, const struct wire_error *error, const char *want)
{
    size_t len = wire_error_body(family, error, out);
    EXPECT_SPAN(span_of(out, len), want);
}

static void each_api_has_its_form(void)
{
    struct wire_error error = wire_error_of(ERR(MODEL_UNKNOWN), SPAN("gpt-\"x\""));
    error.request_id = SPAN("req_1");
    body_is(FAMILY_OPENAI, &error,
            "{\"error\":{\"message\":\"the model does not exist or this key may not use it: "
            "gpt-\\\"x\\\"\",\"type\":\"invalid_request_error\",\"param\":null,\"code\":"
            "\"model_not_found\"}}");
    body_is(
        FAMILY_ANTHROPIC, &error,
        "{\"type\":\"error\",\"error\":{\"type\":\"not_found_error\",\"message\":\"the model "
        "does not exist or this key may not use it: gpt-\\\"x\\\"\"},\"request_id\":\"req_1\"}");
    body_is(FAMILY_GEMINI, &error,
            "{\"error\":{\"code\":404,\"message\":\"the model does not exist or this key may not "
            "use it: gpt-\\\"x\\\"\",\"status\":\"NOT_FOUND\"}}");
}

static void statuses_are_each_apis_own(void)
{
    struct wire_error error = { .fault = FAULT_OVERLOADED };
    EXPECT_EQ(wire_error_status(FAMILY_OPENAI, &error), 503);
    EXPECT_EQ(wire_error_status(FAMILY_RESPONSES, &error), 503);
    EXPECT_EQ(wire_error_status(FAMILY_ANTHROPIC, &error), 529);
    EXPECT_EQ(wire_error_status(FAMILY_GEMINI, &error), 503);
    error = wire_error_of(ERR(METHOD_NOT_ALLOWED), SPAN_NONE);
    EXPECT_EQ(wire_error_status(FAMILY_ANTHROPIC, &error), 405);
    error = wire_error_of(ERR(UPSTREAM_AUTH), SPAN_NONE);
    EXPECT_EQ(wire_error_status(FAMILY_OPENAI, &error), 502);
    EXPECT_EQ(wire_error_status(FAMILY_GEMINI, &error), 503);
}

static void every_fault_can_be_said(void)
{
    for (int fault = FAULT_NONE + 1; fault < FAULT_COUNT; fault++) {
        for (int family = FAMILY_OPENAI; family <= FAMILY_GEMINI; family++) {
            struct wire_error error = { .fault = (enum fault)fault, .message = SPAN("m") };
            struct json_slice root;
            size_t len = wire_error_body((enum wire_family)family, &error, out);
            EXPECT(json_check(span_of(out, len), &root));
            int status = wire_error_status((enum wire_family)family, &error);
            EXPECT(status >= 400 && status < 600);
        }
    }
}

static struct fault_note note_of(int status, const char *body)
{
    struct fault_note note;
    fault_read(&note, status, span_str(body), NULL);
    return note;
}

static void a_vendors_words_about_the_request_pass(void)
{
    struct fault_note note = note_of(
        400, "{\"error\":{\"message\":\"bad role\",\"type\":\"invalid_request_error\",\"param\":"
             "\"messages[0]\",\"code\":\"unsupported_value\"}}");
    struct wire_error error = wire_error_of_note(&note, true);
    body_is(FAMILY_OPENAI, &error,
            "{\"error\":{\"message\":\"bad role\",\"type\":\"invalid_request_error\",\"param\":"
            "\"messages[0]\",\"code\":\"unsupported_value\"}}");
    EXPECT_EQ(wire_error_status(FAMILY_OPENAI, &error), 400);
    // In another format only the text does.
    error = wire_error_of_note(&note, false);
    body_is(FAMILY_GEMINI, &error,
            "{\"error\":{\"code\":400,\"message\":\"bad role\",\"status\":\"INVALID_ARGUMENT\"}}");
    note = note_of(413, "{\"error\":{\"message\":\"m\"}}");
    error = wire_error_of_note(&note, false);
    EXPECT_EQ(wire_error_status(FAMILY_GEMINI, &error), 400);
}

static void a_vendors_500_stays_one(void)
{
    struct fault_note note = note_of(500, "{\"error\":{\"message\":\"m\"}}");
    for (int same = 0; same < 2; same++) {
        struct wire_error error = wire_error_of_note(&note, same != 0);
        EXPECT_EQ(wire_error_status(FAMILY_OPENAI, &error), 500);
        EXPECT_EQ(wire_error_status(FAMILY_GEMINI, &error), 500);
    }
    note = note_of(502, "<html>");
    struct wire_error error = wire_error_of_note(&note, false);
    EXPECT_EQ(wire_error_status(FAMILY_OPENAI, &error), 502);
    note = note_of(500, "{\"error\":{\"message\":\"m\",\"code\":\"server_is_overloaded\"}}");
    error = wire_error_of_note(&note, false);
    EXPECT_EQ(wire_error_status(FAMILY_ANTHROPIC, &error), 529); // it says what it is
}

static void what_is_wrong_with_our_account_is_hidden(void)
{
    struct fault_note note = note_of(401, "{\"error\":{\"message\":\"key of ACME is revoked\","
                                          "\"type\":\"authentication_error\"}}");
    struct wire_error error = wire_error_of_note(&note, true);
    EXPECT_EQ(wire_error_status(FAMILY_ANTHROPIC, &error), 502);
    body_is(FAMILY_ANTHROPIC, &error,
            "{\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":"
            "\"upstream authentication failed\"}}");
    note = note_of(500, "");
    error = wire_error_of_note(&note, true);
    EXPECT_SPAN(error.message, err_text(ERR_UPSTREAM_STATUS));
}

static void overflow_texts_begin_as_clients_expect(void)
{
    struct wire_error error = { .fault = FAULT_CONTEXT_LONG, .message = SPAN("9 tokens > 8") };
    body_is(FAMILY_ANTHROPIC, &error,
            "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":"
            "\"prompt is too long: 9 tokens > 8\"}}");
    error.message = SPAN("Prompt is too long: 9 tokens > 8");
    body_is(FAMILY_ANTHROPIC, &error,
            "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":"
            "\"Prompt is too long: 9 tokens > 8\"}}");
}

static void fields_are(enum wire_family family, const struct wire_error *error, const char *want)
{
    char text[256];
    struct put put = put_into(text, sizeof(text));
    wire_error_fields(family, error, &put);
    EXPECT_SPAN(put_done(&put), want);
}

static void times_to_try_again_are_told(void)
{
    struct wire_error error = { .fault = FAULT_RATE_LIMITED, .retry_ms = 1500 };
    fields_are(FAMILY_OPENAI, &error, "retry-after: 2\r\nretry-after-ms: 1500\r\n");
    fields_are(FAMILY_ANTHROPIC, &error, "retry-after: 2\r\n");
    body_is(
        FAMILY_GEMINI, &error,
        "{\"error\":{\"code\":429,\"message\":\"\",\"status\":\"RESOURCE_EXHAUSTED\",\"details\""
        ":[{\"@type\":\"type.googleapis.com/google.rpc.RetryInfo\",\"retryDelay\":\"2s\"}]}}");
    error.retry_ms = 61000;
    fields_are(FAMILY_ANTHROPIC, &error, "retry-after: 61\r\nx-should-retry: false\r\n");
    error.retry_ms = 0;
    fields_are(FAMILY_ANTHROPIC, &error, "");
    error.hopeless = true;
    fields_are(FAMILY_ANTHROPIC, &error, "x-should-retry: false\r\n");
    error = (struct wire_error){ .fault = FAULT_BAD_REQUEST, .retry_ms = 1500 };
    fields_are(FAMILY_OPENAI, &error, ""); // no status that one waits for
}

static void streams_end_with_each_apis_error(void)
{
    struct wire_error error = { .fault = FAULT_RATE_LIMITED, .message = SPAN("slow\ndown") };
    struct wire_place place = { .next_sequence = 7, .response_id = SPAN("resp_1") };
    size_t len = wire_error_event(FAMILY_OPENAI, &error, &place, out);
    EXPECT_SPAN(span_of(out, len),
                "data: {\"error\":{\"message\":\"slow\\ndown\",\"type\":\"rate_limit_error\","
                "\"param\":null,\"code\":\"rate_limit_exceeded\"}}\n\n");
    len = wire_error_event(FAMILY_ANTHROPIC, &error, &place, out);
    EXPECT_SPAN(span_of(out, len),
                "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\","
                "\"message\":\"slow\\ndown\"}}\n\n");
    len = wire_error_event(FAMILY_GEMINI, &error, &place, out);
    EXPECT_SPAN(span_of(out, len),
                "data: {\"error\":{\"code\":429,\"message\":\"slow\\ndown\",\"status\":"
                "\"RESOURCE_EXHAUSTED\"}}\n\n");
}

static void responses_end_with_two_events(void)
{
    struct wire_error error = { .fault = FAULT_UPSTREAM_FAILURE, .message = SPAN("m") };
    struct wire_place place = { .next_sequence = 7,
                                .response_id = SPAN("resp_1"),
                                .model = SPAN("gpt-x") };
    struct span text = span_of(out, wire_error_event(FAMILY_RESPONSES, &error, &place, out));
    struct sse_scan scan = { 0 };
    struct sse_event event;
    size_t used;
    EXPECT_EQ(sse_scan_feed(&scan, text, &used), PARSE_DATA);
    EXPECT(sse_parse(span_upto(text, used), false, NULL, 0, &event));
    EXPECT_SPAN(event.name, "error");
    EXPECT_SPAN(event.data, "{\"type\":\"error\",\"code\":\"server_error\",\"message\":\"m\","
                            "\"param\":null,\"sequence_number\":7}");
    text = span_from(text, used);
    EXPECT_EQ(sse_scan_feed(&scan, text, &used), PARSE_DATA);
    EXPECT_EQ(used, text.len);
    EXPECT(sse_parse(text, false, NULL, 0, &event));
    EXPECT_SPAN(event.name, "response.failed");
    struct json_slice root;
    EXPECT(json_check(event.data, &root));
    EXPECT_SPAN(json_get(root, SPAN("sequence_number")).text, "8");
    struct json_slice response = json_get(root, SPAN("response"));
    EXPECT_SPAN(json_get(response, SPAN("id")).text, "\"resp_1\"");
    EXPECT_SPAN(json_get(response, SPAN("status")).text, "\"failed\"");
    EXPECT_SPAN(json_get(response, SPAN("model")).text, "\"gpt-x\"");
    EXPECT_SPAN(json_get(response, SPAN("error")).text,
                "{\"code\":\"server_error\",\"message\":\"m\"}");
    // A stream that failed before it began has no names.
    EXPECT(wire_error_event(FAMILY_RESPONSES, &error, &(struct wire_place){ 0 }, out) > 0);
}

static void the_longest_texts_fit(void)
{
    static char text[4000];
    memset(text, 1, sizeof(text)); // six bytes each once escaped
    struct span long_text = span_of(text, sizeof(text));
    struct wire_error error = { .fault = FAULT_CONTEXT_LONG,
                                .message = long_text,
                                .detail = long_text,
                                .type = long_text,
                                .code = long_text,
                                .param = long_text,
                                .request_id = long_text,
                                .retry_ms = UINT64_MAX / 2 };
    struct wire_place place = { long_text, long_text, UINT64_MAX - 1 };
    for (int family = FAMILY_OPENAI; family <= FAMILY_GEMINI; family++) {
        EXPECT(wire_error_body((enum wire_family)family, &error, out) > WIRE_MESSAGE_MAX);
        EXPECT(wire_error_event((enum wire_family)family, &error, &place, out) > 0);
    }
}

static void quiet_bytes_are_passed_over(void)
{
    EXPECT_SPAN(wire_keepalive(FAMILY_OPENAI), ": keep-alive\n\n");
    EXPECT_SPAN(wire_keepalive(FAMILY_RESPONSES), ": keep-alive\n\n");
    EXPECT_SPAN(wire_keepalive(FAMILY_ANTHROPIC), "event: ping\ndata: {\"type\": \"ping\"}\n\n");
    EXPECT_SPAN(wire_keepalive(FAMILY_GEMINI), "\n");
}

TEST_MAIN(TEST(each_api_has_its_form), TEST(statuses_are_each_apis_own),
          TEST(every_fault_can_be_said), TEST(a_vendors_words_about_the_request_pass),
          TEST(a_vendors_500_stays_one), TEST(what_is_wrong_with_our_account_is_hidden),
          TEST(overflow_texts_begin_as_clients_expect), TEST(times_to_try_again_are_told),
          TEST(streams_end_with_each_apis_error), TEST(responses_end_with_two_events),
          TEST(the_longest_texts_fit), TEST(quiet_bytes_are_passed_over))

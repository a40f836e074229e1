// What fault.h promises: a class and a clean message out of any vendor's error.
#include "test.h"

#include "penstock/wire/fault.h"

static struct fault_note note;

static void reads(int status, const char *body, enum fault fault, const char *message)
{
    fault_read(&note, status, span_str(body), NULL);
    if (note.fault != fault)
        fprintf(stderr, "%s: %s, expected %s\n", body, fault_name(note.fault), fault_name(fault));
    EXPECT_EQ(note.fault, fault);
    if (message != NULL)
        EXPECT_SPAN(note_message(&note), message);
}

static void messages_are_found_where_servers_put_them(void)
{
    reads(400, "{\"error\":{\"message\":\"m\",\"type\":\"t\"},\"message\":\"other\"}",
          FAULT_BAD_REQUEST, "m");
    reads(400, "{\"error\":\"m\",\"message\":\"other\"}", FAULT_BAD_REQUEST, "m");
    reads(400, "{\"code\":\"x\",\"error\":\"m\"}", FAULT_BAD_REQUEST, "m");
    reads(400, "{\"message\":\"m\",\"detail\":\"other\"}", FAULT_BAD_REQUEST, "m");
    reads(400, "{\"detail\":\"m\"}", FAULT_BAD_REQUEST, "m");
    reads(422, "{\"detail\":[{\"loc\":[\"body\"],\"msg\":\"m\",\"type\":\"x\"}]}",
          FAULT_BAD_REQUEST, "m");
    reads(400, "{\"errors\":[{\"message\":\"m\"}]}", FAULT_BAD_REQUEST, "m");
    reads(400, "{\"object\":\"error\",\"message\":\"m\",\"code\":400}", FAULT_BAD_REQUEST, "m");
    reads(400, "[{\"error\":{\"code\":400,\"message\":\"m\",\"status\":\"INVALID_ARGUMENT\"}}]",
          FAULT_BAD_REQUEST, "m");
    reads(400, "{\"base_resp\":{\"status_code\":1,\"status_msg\":\"m\"}}", FAULT_BAD_REQUEST, "m");
    reads(502, "<html><head><title>502 Bad\n Gateway</title></head>", FAULT_UPSTREAM_FAILURE,
          "502 Bad Gateway");
    reads(500, "plain  text\r\nhere", FAULT_UPSTREAM_FAILURE, "plain text here");
    reads(500, "", FAULT_UPSTREAM_FAILURE, "");
    reads(500, "{\"a\":1", FAULT_UPSTREAM_FAILURE, "{\"a\":1");
    reads(400, "\n\n {\"error\":{\"message\":\"m\"}}", FAULT_BAD_REQUEST, "m");
}

static void envelopes_in_envelopes_are_opened(void)
{
    reads(400,
          "{\"error\":{\"message\":\"{\\\"type\\\":\\\"error\\\",\\\"error\\\":{\\\"type\\\":"
          "\\\"overloaded_error\\\",\\\"message\\\":\\\"Overloaded\\\"}}\",\"type\":\"x\"}}",
          FAULT_OVERLOADED, "Overloaded");
    // Three are opened, the fourth stays as it is.
    reads(400,
          "{\"message\":\"{\\\"message\\\":\\\"{\\\\\\\"message\\\\\\\":\\\\\\\"{\\\\\\\\\\\\\\\""
          "message\\\\\\\\\\\\\\\":\\\\\\\\\\\\\\\"deep\\\\\\\\\\\\\\\"}\\\\\\\"}\\\"}\"}",
          FAULT_BAD_REQUEST, "deep");
    reads(400, "{\"message\":\"{\\\"a\\\":1}\"}", FAULT_BAD_REQUEST, "{\"a\":1}");
}

static void a_thought_that_is_refused_is_known(void) // C-064
{
    static const char *const texts[] = {
        "messages.1.content.0: Invalid `signature` in `thinking` block",
        "messages.3.content.0: Invalid `data` in `redacted_thinking` block",
        "Corrupted thought signature.",
        "Thought signature is not valid",
        "The encrypted content gAAA could not be decrypted or parsed.",
        "The encrypted content for item rs_1 could not be verified.",
        "Thought signature was not issued to this caller",
        "The thinking block is bound to a different conversation",
        ("messages.1.content.0: `thinking` or `redacted_thinking` blocks in the latest assistant "
         "message cannot be modified."),
    };
    static const char *const others[] = {
        "Your organization could not be verified.",
        "The file could not be decrypted.",
        "The signature of the request is missing",
        "`thinking.budget_tokens` must be less than `max_tokens`",
        "messages.1: Expected `thinking`, but found `tool_use`",
    };
    char body[512];
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        snprintf(body, sizeof(body), "{\"error\":{\"message\":\"%s\"}}", texts[i]);
        reads(400, body, FAULT_THOUGHT_REFUSED, texts[i]);
        reads(503, body, FAULT_OVERLOADED, texts[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        snprintf(body, sizeof(body), "{\"error\":{\"message\":\"%s\"}}", others[i]);
        reads(400, body, FAULT_BAD_REQUEST, others[i]);
    }
    reads(400, "{\"error\":{\"message\":\"m\",\"code\":\"invalid_encrypted_content\"}}",
          FAULT_THOUGHT_REFUSED, "m");
    struct json_slice error = json_value(
        SPAN("{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":"
             "\"Invalid `signature` in `thinking` block\"}}"));
    fault_read_object(&note, error, NULL);
    EXPECT_EQ(note.fault, FAULT_THOUGHT_REFUSED);
    EXPECT_EQ(fault_err(note.fault).code, ERR_THOUGHT_REFUSED);
    EXPECT_EQ(fault_blame(note.fault), BLAME_CLIENT);
}

static void words_decide_before_the_status(void)
{
    reads(429, "{\"error\":{\"message\":\"m\",\"type\":\"insufficient_quota\"}}", FAULT_QUOTA, "m");
    reads(400, "{\"error\":{\"message\":\"m\",\"code\":\"context_length_exceeded\"}}",
          FAULT_CONTEXT_LONG, "m");
    reads(400, "{\"error\":{\"message\":\"m\",\"code\":\"content_policy_violation\"}}",
          FAULT_CONTENT_REFUSED, "m");
    reads(400,
          "{\"error\":{\"code\":400,\"message\":\"m\",\"status\":\"INVALID_ARGUMENT\",\"details\":"
          "[{\"reason\":\"API_KEY_INVALID\"}]}}",
          FAULT_UPSTREAM_AUTH, "m");
    reads(503, "{\"error\":{\"message\":\"m\",\"code\":\"rate_limit_exceeded\"}}",
          FAULT_RATE_LIMITED, "m");
    reads(400,
          "{\"type\":\"error\",\"error\":{\"type\":\"x\",\"message\":\"m\",\"details\":"
          "{\"error_code\":\"organization_on_hold\"}}}",
          FAULT_SUSPENDED, "m");
    reads(401, "{\"error\":{\"message\":\"m\",\"code\":\"account_deactivated\"}}", FAULT_SUSPENDED,
          "m");
    reads(404, "{\"error\":{\"message\":\"m\",\"code\":\"model_not_found\"}}", FAULT_MODEL_UNKNOWN,
          "m");
    reads(429, "{\"__type\":\"ThrottlingException:http://internal/\",\"message\":\"m\"}",
          FAULT_RATE_LIMITED, "m");
}

static void phrases_decide_what_words_leave_open(void)
{
    static const char *const too_long[] = {
        "prompt is too long: 250000 tokens > 200000 maximum",
        "This model's maximum context length is 8192 tokens.",
        "Your input exceeds the context window of this model.",
        "input length and `max_tokens` exceed context limit: 1 + 2 > 2",
        "The input token count (9) exceeds the maximum number of tokens allowed (8).",
        "Input is too long for requested model.",
        "Please reduce the length of the messages.",
    };
    for (size_t i = 0; i < ARRAY_LEN(too_long); i++) {
        char body[256];
        snprintf(body, sizeof(body),
                 "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":"
                 "\"%s\"}}",
                 too_long[i]);
        reads(400, body, FAULT_CONTEXT_LONG, too_long[i]);
        reads(413, body, FAULT_CONTEXT_LONG, too_long[i]);
    }
    // The same words about a rate say something else.
    reads(429, "{\"message\":\"Too many tokens, please wait\"}", FAULT_RATE_LIMITED, NULL);
    reads(400,
          "{\"error\":{\"type\":\"invalid_request_error\",\"message\":\"Your credit balance "
          "is too low to access the API.\"}}",
          FAULT_QUOTA, NULL);
    reads(400, "{\"error\":\"Incorrect API key provided\"}", FAULT_UPSTREAM_AUTH, NULL);
    reads(403, "{\"message\":\"account locked\"}", FAULT_SUSPENDED, NULL);
    reads(403, "{\"message\":\"request blocked\"}", FAULT_UPSTREAM_AUTH, NULL);
    reads(403, "{\"message\":\"no credits left\"}", FAULT_QUOTA, NULL);
    reads(403, "{\"message\":\"You do not have access to model x\"}", FAULT_MODEL_UNKNOWN, NULL);
    reads(429, "engine is overloaded", FAULT_OVERLOADED, NULL);
    reads(429, "check your billing details", FAULT_QUOTA, NULL);
}

static void the_status_decides_last(void)
{
    static const struct {
        int status;
        enum fault fault;
    } cases[] = {
        { 400, FAULT_BAD_REQUEST },
        { 401, FAULT_UPSTREAM_AUTH },
        { 402, FAULT_QUOTA },
        { 403, FAULT_UPSTREAM_AUTH },
        { 404, FAULT_MODEL_UNKNOWN },
        { 405, FAULT_BAD_REQUEST },
        { 408, FAULT_TIMEOUT },
        { 409, FAULT_BAD_REQUEST },
        { 413, FAULT_TOO_LARGE },
        { 415, FAULT_BAD_REQUEST },
        { 422, FAULT_BAD_REQUEST },
        { 424, FAULT_OVERLOADED },
        { 429, FAULT_RATE_LIMITED },
        { 499, FAULT_TIMEOUT },
        { 500, FAULT_UPSTREAM_FAILURE },
        { 502, FAULT_UPSTREAM_FAILURE },
        { 503, FAULT_OVERLOADED },
        { 504, FAULT_TIMEOUT },
        { 524, FAULT_OVERLOADED },
        { 529, FAULT_OVERLOADED },
        { 302, FAULT_UPSTREAM_FAILURE },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        reads(cases[i].status, "{\"x\":1}", cases[i].fault, NULL);
}

static void blame_follows_the_class(void)
{
    EXPECT_EQ(fault_blame(FAULT_BAD_REQUEST), BLAME_CLIENT);
    EXPECT_EQ(fault_blame(FAULT_CONTEXT_LONG), BLAME_CLIENT);
    EXPECT_EQ(fault_blame(FAULT_RATE_LIMITED), BLAME_ACCOUNT);
    EXPECT_EQ(fault_blame(FAULT_UPSTREAM_AUTH), BLAME_ACCOUNT);
    EXPECT_EQ(fault_blame(FAULT_OVERLOADED), BLAME_VENDOR);
    EXPECT_EQ(fault_retry(FAULT_BAD_REQUEST), RETRY_NEVER);
    EXPECT_EQ(fault_retry(FAULT_MODEL_UNKNOWN), RETRY_OTHER);
    for (int fault = FAULT_NONE + 1; fault < FAULT_COUNT; fault++) {
        struct err err = fault_err((enum fault)fault);
        EXPECT(failed(err));
        EXPECT_EQ(err.retry, fault_retry((enum fault)fault));
        EXPECT_EQ(err.side == SIDE_CLIENT, fault_blame((enum fault)fault) == BLAME_CLIENT);
    }
}

static void errors_of_our_own_have_classes(void)
{
    EXPECT_EQ(fault_of_err(ERR(JSON_MALFORMED)), FAULT_BAD_REQUEST);
    EXPECT_EQ(fault_of_err(ERR(MODEL_UNKNOWN)), FAULT_MODEL_UNKNOWN);
    EXPECT_EQ(fault_of_err(ERR(KEY_INVALID)), FAULT_CLIENT_AUTH);
    EXPECT_EQ(fault_of_err(ERR(KEY_AMBIGUOUS)), FAULT_BAD_REQUEST);
    EXPECT_EQ(fault_of_err(ERR(FORMAT_FORBIDDEN)), FAULT_NOT_ALLOWED);
    EXPECT_EQ(fault_of_err(ERR(ROUTE_UNKNOWN)), FAULT_NOT_FOUND);
    EXPECT_EQ(fault_of_err(ERR(BODY_TOO_LARGE)), FAULT_TOO_LARGE);
    EXPECT_EQ(fault_of_err(ERR(UPSTREAM_AUTH)), FAULT_UPSTREAM_AUTH);
    EXPECT_EQ(fault_of_err(ERR(CONNECT_FAILED)), FAULT_UPSTREAM_FAILURE);
    EXPECT_EQ(fault_of_err(ERR(UPSTREAM_IDLE)), FAULT_TIMEOUT);
    EXPECT_EQ(fault_of_err(ERR(OVERLOADED)), FAULT_OVERLOADED);
    EXPECT_EQ(fault_of_err(ERR(NO_ACCOUNT)), FAULT_OVERLOADED);
    EXPECT_EQ(fault_of_err(ERR(INTERNAL)), FAULT_INTERNAL);
}

static void times_to_wait_are_read(void)
{
    reads(429,
          "{\"error\":{\"code\":429,\"message\":\"You exceeded your current quota.\",\"status\":"
          "\"RESOURCE_EXHAUSTED\",\"details\":[{\"violations\":[{\"quotaId\":"
          "\"GenerateRequestsPerMinute\"}]},{\"retryDelay\":\"38.5s\"}]}}",
          FAULT_RATE_LIMITED, NULL);
    EXPECT(note.retry_told);
    EXPECT_EQ(note.retry_ms, 38500);
    EXPECT(!note.quota_is_daily);
    reads(429,
          "{\"error\":{\"code\":429,\"message\":\"m\",\"status\":\"RESOURCE_EXHAUSTED\",\"details\""
          ":[{\"violations\":[{\"quotaId\":\"GenerateRequestsPerDayPerProject\"}]}]}}",
          FAULT_QUOTA, "m");
    EXPECT(note.quota_is_daily && !note.retry_told);
    reads(429,
          "{\"error\":{\"message\":\"Rate limit reached. Please try again in 6m0.5s. Visit x\","
          "\"code\":\"rate_limit_exceeded\"}}",
          FAULT_RATE_LIMITED, NULL);
    EXPECT_EQ(note.retry_ms, 360500);
    reads(429, "Please retry in soon", FAULT_RATE_LIMITED, NULL);
    EXPECT(!note.retry_told);
}

static void durations_have_many_spellings(void)
{
    static const struct {
        const char *text;
        uint64_t ms;
    } good[] = {
        { "7", 7000 },          { "0", 0 },
        { "38.5s", 38500 },     { "120ms", 120 },
        { "6m0s", 360000 },     { "1h2m3s", 3723000 },
        { "1d2h", 93600000 },   { "0.0004s", 1 },
        { "1.2345s", 1235 },    { "34.074824224s", 34075 },
        { "2m59.56s", 179560 },
    };
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        uint64_t ms = 0;
        EXPECT(duration_ms(span_str(good[i].text), &ms));
        EXPECT_EQ(ms, good[i].ms);
    }
    static const char *const bad[] = { "", "s", "-1s", "1x", "1.s.", "1 s", "99999999s", "soon" };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        uint64_t ms;
        EXPECT(!duration_ms(span_str(bad[i]), &ms));
    }
}

static void the_vendors_own_words_are_kept(void)
{
    reads(400,
          "{\"error\":{\"message\":\"m\",\"type\":\"invalid_request_error\",\"param\":"
          "\"messages[0].role\",\"code\":\"unsupported_value\"}}",
          FAULT_BAD_REQUEST, "m");
    EXPECT_SPAN(note_type(&note), "invalid_request_error");
    EXPECT_SPAN(note_code(&note), "unsupported_value");
    EXPECT_SPAN(note_param(&note), "messages[0].role");
    reads(404, "{\"error\":{\"code\":404,\"message\":\"m\",\"status\":\"NOT_FOUND\"}}",
          FAULT_MODEL_UNKNOWN, "m");
    EXPECT_SPAN(note_type(&note), "NOT_FOUND");
    EXPECT_SPAN(note_code(&note), "404");
}

static void errors_inside_streams_have_no_status(void)
{
    static const struct {
        const char *object;
        enum fault fault;
    } cases[] = {
        { "{\"message\":\"m\",\"type\":\"server_error\"}", FAULT_UPSTREAM_FAILURE },
        { "{\"message\":\"m\",\"code\":429}", FAULT_RATE_LIMITED },
        { "{\"message\":\"m\",\"code\":\"server_is_overloaded\"}", FAULT_OVERLOADED },
        { "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"m\"}}",
          FAULT_OVERLOADED },
        { "{\"type\":\"error\",\"code\":\"rate_limit_exceeded\",\"message\":\"m\"}",
          FAULT_RATE_LIMITED },
        { "{\"code\":503,\"message\":\"m\",\"status\":\"UNAVAILABLE\"}", FAULT_OVERLOADED },
        { "{\"message\":\"m\"}", FAULT_UPSTREAM_FAILURE },
        { "{\"message\":\"m\",\"type\":\"invalid_request_error\"}", FAULT_BAD_REQUEST },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        fault_read_object(&note, json_value(span_str(cases[i].object)), NULL);
        EXPECT_EQ(note.fault, cases[i].fault);
        EXPECT_SPAN(note_message(&note), "m");
    }
    fault_read_object(&note, json_value(SPAN("\"just a text\"")), NULL);
    EXPECT_SPAN(note_message(&note), "just a text");
}

static void cleans(const char *text, const char *want)
{
    static const struct secrets secrets = { .list = { { "hunter2-hunter2", 15 } }, .count = 1 };
    char out[256];
    size_t len = text_clean(span_str(text), &secrets, out, sizeof(out));
    EXPECT_SPAN(span_of(out, len), want);
}

static void credentials_do_not_come_through(void)
{
    cleans("Incorrect API key provided: sk-proj-abc***wxyz. Find yours.",
           "Incorrect API key provided: [redacted]. Find yours.");
    cleans("key AIzaSyA1234567890abcdefg!", "key [redacted]!");
    cleans("Authorization: Bearer abc.def-ghi, no", "Authorization: [redacted], no");
    cleans("in organization org-AbCdEfGh12 on tokens", "in organization [redacted] on tokens");
    cleans("for user@example.com.", "for [redacted].");
    cleans("GET https://h/x?key=0123456789abc&alt=sse", "GET https://h/x?[redacted]&alt=sse");
    cleans("xhunter2-hunter2y", "x[redacted]y");
    cleans("ends with hunter2-hun", "ends with [redacted]"); // cut, but still ours
    cleans("token eyJhbGciOiJIUzI1NiJ9.eyJzdWIi.sig", "token [redacted]");
    // Words that only look a little like it.
    cleans("the task-manager asked for a sk- and disk-usage", "the task-manager asked for a sk- "
                                                              "and disk-usage");
    cleans("risk-averse monkey=yes", "risk-averse monkey=yes");
    cleans("line one\r\n\tline two\x01  ", "line one line two");
    cleans("Gr\xc3\xbc\xc3\x9f"
           "e \xff \xe4\xb8\xad",
           "Gr\xc3\xbc\xc3\x9f"
           "e \xef\xbf\xbd "
           "\xe4\xb8\xad");
}

static void a_cut_never_leaves_half_a_secret(void)
{
    struct span text = SPAN("abc sk-0123456789abcdef xyz");
    for (size_t cap = 0; cap < 32; cap++) {
        char out[32];
        size_t len = text_clean(text, NULL, out, cap);
        EXPECT(len <= cap);
        EXPECT(memmem(out, len, "0123", 4) == NULL);
    }
}

static void secrets_in_a_body_are_cleaned(void)
{
    static const struct secrets secrets = { .list = { { "vk-0123456789", 13 } }, .count = 1 };
    fault_read(&note, 400,
               SPAN("{\"error\":{\"message\":\"bad vk-0123456789\",\"code\":\"vk-0123456789\","
                    "\"param\":\"sk-abcdefghij\"}}"),
               &secrets);
    EXPECT_SPAN(note_message(&note), "bad [redacted]");
    EXPECT_SPAN(note_code(&note), "[redacted]");
    EXPECT_SPAN(note_param(&note), "[redacted]");
}

TEST_MAIN(TEST(messages_are_found_where_servers_put_them), TEST(envelopes_in_envelopes_are_opened),
          TEST(a_thought_that_is_refused_is_known), TEST(words_decide_before_the_status),
          TEST(phrases_decide_what_words_leave_open), TEST(the_status_decides_last),
          TEST(blame_follows_the_class), TEST(errors_of_our_own_have_classes),
          TEST(times_to_wait_are_read), TEST(durations_have_many_spellings),
          TEST(the_vendors_own_words_are_kept), TEST(errors_inside_streams_have_no_status),
          TEST(credentials_do_not_come_through), TEST(a_cut_never_leaves_half_a_secret),
          TEST(secrets_in_a_body_are_cleaned))

// A head that is recognised reads as if it were parsed, whatever was done to it in between.
#include "test.h"

#include "penstock/codec/http1_known.h"

static struct http_known_table table;
static struct http_head parsed;
static struct err err;

static const char first[] =
    "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer k\r\n"
    "Content-Length: 17\r\nX-Stainless-Lang: js\r\n\r\n";

// A copy that ends where its memory ends, so that a sanitizer sees a read behind it.
static struct span copy_of(const char *text, size_t len)
{
    static char *copy;
    free(copy);
    copy = malloc(len + !len);
    memcpy(copy, text, len);
    return span_of(copy, len);
}

static struct http_known *get(const char *text)
{
    struct span in = copy_of(text, strlen(text));
    size_t used = 0;
    if (http_request_parse(&parsed, in, HTTP_HEAD_MAX, &used, &err) != PARSE_DONE)
        return NULL;
    return http_known_get(&table, span_upto(in, used), &parsed);
}

static bool same_field(const struct http_field *a, const struct http_field *b)
{
    return span_eq(a->name, b->name) && span_eq(a->value, b->value) && a->id == b->id &&
           a->is_hop == b->is_hop;
}

// What is recognised is what the parser says, and nothing is recognised that it refuses.
static bool recognised(struct http_known *known, struct span in, size_t head_max)
{
    size_t used = 0, used_parsed = 0;
    if (!http_known_match(known, in, head_max, &used))
        return false;
    EXPECT_EQ(http_request_parse(&parsed, in, head_max, &used_parsed, &err), PARSE_DONE);
    EXPECT_EQ(used, used_parsed);
    const struct http_head *head = &known->head;
    EXPECT_EQ(head->content_length, parsed.content_length);
    EXPECT_EQ(head->framing, parsed.framing);
    EXPECT_EQ(head->method, parsed.method);
    EXPECT_EQ(head->minor, parsed.minor);
    EXPECT_EQ(head->keep_alive, parsed.keep_alive);
    EXPECT_EQ(head->expect_continue, parsed.expect_continue);
    EXPECT(span_eq(head->target, parsed.target));
    EXPECT_EQ(head->seen, parsed.seen);
    EXPECT_EQ(head->field_count, parsed.field_count);
    for (unsigned i = 0; i < parsed.field_count && i < head->field_count; i++) {
        // The value of this one field is the input's, not the text's that was kept.
        EXPECT(same_field(&head->fields[i], &parsed.fields[i]) ||
               parsed.fields[i].id == HF_CONTENT_LENGTH);
    }
    return true;
}

static bool recognised_text(struct http_known *known, const char *text)
{
    return recognised(known, copy_of(text, strlen(text)), HTTP_HEAD_MAX);
}

static void only_the_length_may_change(void)
{
    EXPECT(!failed(http_known_init(&table)));
    struct http_known *known = get(first);
    EXPECT(known != NULL);
    EXPECT(recognised_text(known, first));
    static const char *const lengths[] = { "0", "7", "123456", "00017", "999999999999999999" };
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        char text[512];
        snprintf(text, sizeof(text),
                 "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer k\r\n"
                 "Content-Length: %s\r\nX-Stainless-Lang: js\r\n\r\n{\"body\":1}",
                 lengths[i]);
        EXPECT(recognised_text(known, text));
        EXPECT(!recognised(known, copy_of(text, strlen(text)), 100));
    }
    static const char *const strangers[] = {
        "", "1 7", "-1", "+17", " 17", "0x11", "17a", "1234567890123456789", "17, 17", "17 ",
    };
    for (size_t i = 0; i < ARRAY_LEN(strangers); i++) {
        char text[512];
        snprintf(text, sizeof(text),
                 "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer k\r\n"
                 "Content-Length: %s\r\nX-Stainless-Lang: js\r\n\r\n",
                 strangers[i]);
        EXPECT(!recognised_text(known, text));
    }
    http_known_put(&table, &known);
    EXPECT(known == NULL);
    http_known_fini(&table);
}

static void every_other_change_is_seen(void)
{
    EXPECT(!failed(http_known_init(&table)));
    struct http_known *known = get(first);
    const size_t len = sizeof(first) - 1;
    const size_t digits = (size_t)(strstr(first, "17") - first);
    for (size_t cut = 0; cut < len; cut++)
        EXPECT(!recognised(known, copy_of(first, cut), HTTP_HEAD_MAX));
    for (size_t at = 0; at < len; at++) {
        char text[sizeof(first)];
        memcpy(text, first, sizeof(first));
        for (int byte = 0; byte < 256; byte++) {
            text[at] = (char)byte;
            bool other_length = (at == digits || at == digits + 1) && byte >= '0' && byte <= '9';
            EXPECT_EQ(recognised(known, copy_of(text, len), HTTP_HEAD_MAX),
                      text[at] == first[at] || other_length);
        }
    }
    http_known_put(&table, &known);
    http_known_fini(&table);
}

static void heads_without_a_length_are_kept_too(void)
{
    EXPECT(!failed(http_known_init(&table)));
    static const char get_models[] = "GET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n";
    static const char chunked[] =
        "\r\nPOST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    struct http_known *a = get(get_models), *b = get(chunked);
    EXPECT(a != NULL && b != NULL && a != b);
    EXPECT(recognised_text(a, get_models));
    EXPECT(recognised_text(b, chunked));
    EXPECT(!recognised_text(a, chunked));
    http_known_put(&table, &a);
    http_known_put(&table, &b);
    http_known_fini(&table);
}

static void what_may_not_come_again_is_not_kept(void)
{
    EXPECT(!failed(http_known_init(&table)));
    EXPECT(
        get("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n") ==
        NULL);
    EXPECT(get("POST /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n") == NULL);
    EXPECT(get("OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n") == NULL); // its target is no view
    EXPECT(get("GET http://a/x HTTP/1.1\r\nHost: a\r\n\r\n") != NULL);
    char text[2 * HTTP_KNOWN_TEXT];
    int len = snprintf(text, sizeof(text), "GET /x HTTP/1.1\r\nHost: a\r\nX: %0*d\r\n\r\n",
                       (int)HTTP_KNOWN_TEXT, 0);
    EXPECT(len > HTTP_KNOWN_TEXT && get(text) == NULL);
    struct http_known *known = &table.list[0];
    http_known_put(&table, &known);
    http_known_fini(&table);
}

static void connections_share_a_head_and_the_last_wipes_it(void)
{
    EXPECT(!failed(http_known_init(&table)));
    struct http_known *a = get(first), *b = get(first);
    EXPECT(a != NULL && a == b);
    memset(a->room, 1, sizeof(a->room));
    http_known_put(&table, &a);
    EXPECT(recognised_text(b, first));
    struct http_known *gone = b;
    http_known_put(&table, &b);
    for (size_t i = 0; i < sizeof(gone->text); i++)
        EXPECT_EQ(gone->text[i], 0);
    for (size_t i = 0; i < ARRAY_LEN(gone->room); i++)
        EXPECT_EQ(gone->room[i], 0);
    http_known_fini(&table);
}

static void a_full_table_keeps_what_it_has(void)
{
    EXPECT(!failed(http_known_init(&table)));
    struct http_known *held[HTTP_KNOWN_COUNT];
    char text[128];
    for (int i = 0; i < HTTP_KNOWN_COUNT; i++) {
        snprintf(text, sizeof(text), "GET /%d HTTP/1.1\r\nHost: a\r\n\r\n", i);
        EXPECT((held[i] = get(text)) != NULL);
    }
    EXPECT(get("GET /more HTTP/1.1\r\nHost: a\r\n\r\n") == NULL);
    EXPECT(get("GET /7 HTTP/1.1\r\nHost: a\r\n\r\n") == held[7]);
    struct http_known *again = held[7];
    http_known_put(&table, &again);
    http_known_put(&table, &held[3]);
    struct http_known *more = get("GET /more HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT(more != NULL);
    http_known_put(&table, &more);
    for (int i = 0; i < HTTP_KNOWN_COUNT; i++)
        http_known_put(&table, &held[i]); // harmless for the one that is gone
    http_known_fini(&table);
}

TEST_MAIN(TEST(only_the_length_may_change), TEST(every_other_change_is_seen),
          TEST(heads_without_a_length_are_kept_too), TEST(what_may_not_come_again_is_not_kept),
          TEST(connections_share_a_head_and_the_last_wipes_it),
          TEST(a_full_table_keeps_what_it_has))

// Signatures in bodies and answers that pass are found and told apart, however the text is cut.
#include "penstock/convert/blob.h"
#include "penstock/convert/mark.h"

#include "test.h"

#define LONG "RXFRQkNrWUlCeGdDS2tBLk5ld1NpZ25hdHVyZVdpdGhNYW55Qnl0ZXM"

struct found {
    size_t count;
    struct blob blobs[8];
};

static void search(struct found *found, enum wire_family family, struct span text, size_t step)
{
    struct span marks[BLOB_MARKS_MAX];
    const size_t count = blob_marks(family, marks);
    found->count = 0;
    for (size_t i = 0; i < count; i++) {
        struct blob_scan scan;
        blob_scan_init(&scan, marks[i]);
        for (struct span rest = text; rest.len > 0;) {
            struct span piece = span_upto(rest, min_size(step, rest.len));
            rest = span_from(rest, piece.len);
            while (blob_scan_next(&scan, &piece, &found->blobs[found->count]))
                found->count++;
        }
    }
}

static bool same(const struct blob *a, const struct blob *b)
{
    char one[BLOB_TEXT_MAX], other[BLOB_TEXT_MAX];
    return span_eq(blob_text(a, one), blob_text(b, other));
}

static void check(enum wire_family family, const char *json, const char *const *raws, size_t count)
{
    const struct span text = span_str(json);
    for (size_t step = 1; step <= text.len; step++) {
        struct found found;
        search(&found, family, text, step);
        EXPECT_EQ(found.count, count);
        for (size_t i = 0; i < min_size(count, found.count); i++) {
            struct blob blob;
            blob_of(&blob, span_str(raws[i]));
            EXPECT(same(&found.blobs[i], &blob));
        }
    }
}

#define CHECK(family, json, ...)                               \
    do {                                                       \
        static const char *const raws_[] = { __VA_ARGS__ };    \
        check(FAMILY_##family, json, raws_, ARRAY_LEN(raws_)); \
    } while (0)

static void signatures_are_found_in_each_format(void)
{
    CHECK(ANTHROPIC,
          "{\"type\":\"thinking\",\"thinking\":\"t\",\"signature\":\"" LONG "\"},"
          "{\"type\":\"thinking\",\"signature\" : \n\"second" LONG "\"},"
          "{\"type\":\"redacted_thinking\",\"data\":\"third" LONG "\"}",
          LONG, "second" LONG, "third" LONG);
    CHECK(GEMINI,
          "{\"functionCall\":{\"name\":\"f\"},\"thoughtSignature\":\"" LONG "\"},"
          "{\"text\":\"\",\"thought_signature\":\"second" LONG "\"},\"data\":\"third" LONG "\"",
          LONG, "second" LONG);
    CHECK(RESPONSES,
          "{\"type\":\"reasoning\",\"encrypted_content\":\"" LONG "\",\"signature\":\"no" LONG
          "\"}",
          LONG);
    CHECK(OPENAI,
          "{\"extra_content\":{\"google\":{\"thought_signature\":\"" LONG "\"}},"
          "\"reasoning_details\":[{\"data\":\"second" LONG "\"}]}",
          LONG, "second" LONG);
}

static void what_only_looks_like_one_is_none(void)
{
    struct found found;
    static const char *const texts[] = {
        "{\"text\":\"\\\"signature\\\":\\\"" LONG "\\\"\"}", // said in a text
        "{\"signature\":\"\"}",
        "{\"signature\":\"short\"}",
        "{\"signature\":null,\"a\":\"" LONG "\"}",
        "{\"signature\":{\"b\":\"" LONG "\"}}",
        "[\"signature\",\"" LONG "\"]",
        ("{\"signature\":\"" LONG), // torn
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        for (size_t step = 1; step < 80; step++) {
            search(&found, FAMILY_ANTHROPIC, span_str(texts[i]), step);
            EXPECT_EQ(found.count, 0);
        }
}

// Clients write a string in their own way.
static void escapes_do_not_matter(void)
{
    CHECK(GEMINI,
          "{\"thoughtSignature\":\"a/b+c=" LONG
          "\"},{\"thoughtSignature\":\"a\\/b\\u002bc\\u003D" LONG "\"}",
          "a/b+c=" LONG, "a/b+c=" LONG);
    struct blob one, other;
    blob_of(&one, SPAN("a\\\"b"));
    blob_of(&other, SPAN("a\\nb"));
    EXPECT(!same(&one, &other));
}

// Python's client of Gemini writes the other alphabet.
static void the_spellings_of_base64_are_one(void)
{
    char text[300];
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = "AB-_CD"[i % 6];
    for (size_t len = BLOB_LEAST; len + 2 < sizeof(text); len++) {
        struct blob one, other;
        blob_of(&one, span_of(text, len));
        for (size_t padding = 0; padding <= 2; padding++) {
            char spelt[sizeof(text)];
            for (size_t i = 0; i < len; i++)
                spelt[i] = text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i];
            memset(spelt + len, '=', padding);
            blob_of(&other, span_of(spelt, len + padding));
            EXPECT(same(&one, &other));
            spelt[len - 1] = 'z';
            blob_of(&other, span_of(spelt, len + padding));
            EXPECT(!same(&one, &other));
        }
    }
}

static void blobs_are_told_apart_by_their_ends_and_length(void)
{
    static char text[4000];
    memset(text, 'a', sizeof(text));
    struct blob blob, other;
    blob_of(&blob, span_of(text, sizeof(text)));
    blob_of(&other, span_of(text, sizeof(text) - 1));
    EXPECT(!same(&blob, &other));
    static const size_t places[] = { 0, 95, sizeof(text) - 96, sizeof(text) - 1 };
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        text[places[i]] = 'b';
        blob_of(&other, span_of(text, sizeof(text)));
        EXPECT(!same(&blob, &other));
        text[places[i]] = 'a';
    }
    blob_of(&other, span_of(text, sizeof(text)));
    EXPECT(same(&blob, &other));
}

static void a_mark_is_found_wherever_it_stands(void)
{
    static char text[400];
    for (size_t len = 0; len < sizeof(text); len++) {
        memset(text, '"', sizeof(text));
        EXPECT_EQ(mark_find(span_of(text, len), SPAN("ignature\"")), len);
        for (size_t at = 0; at + 9 <= len; at++) {
            memcpy(text + at, "ignature\"", 9);
            EXPECT_EQ(mark_find(span_of(text, len), SPAN("ignature\"")), at);
            memset(text, '"', sizeof(text));
        }
    }
    EXPECT_EQ(mark_find(SPAN_NONE, SPAN("ab")), 0);
}

TEST_MAIN(TEST(signatures_are_found_in_each_format), TEST(what_only_looks_like_one_is_none),
          TEST(escapes_do_not_matter), TEST(the_spellings_of_base64_are_one),
          TEST(blobs_are_told_apart_by_their_ends_and_length),
          TEST(a_mark_is_found_wherever_it_stands))

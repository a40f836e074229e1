// What list.h promises: the same models in each API's form, page by page.
#include "test.h"

#include "penstock/wire/list.h"

enum { MODELS = 5, ROOM = 4096 };
static const char *const names[MODELS] = { "claude-x", "gpt-x", "a/b", "gemini \"x\"", "last" };

static struct span render(enum wire_list_form form, const char *query, char *buf, size_t cap)
{
    static char room[256];
    struct wire_list list;
    struct wire_page page = wire_page_read(form, span_str(query), room, sizeof(room));
    wire_list_begin(&list, form, page, buf, cap);
    if (wire_list_looks_back(&list))
        for (size_t i = 0; i < MODELS; i++)
            wire_list_seek(&list, span_str(names[i]));
    for (size_t i = 0; i < MODELS; i++) {
        struct wire_model model = { .name = span_str(names[i]), .created_s = 1709164800 };
        wire_list_add(&list, &model);
    }
    return wire_list_end(&list);
}

// The names on the page, joined by a blank, and what follows the list.
static void page_is(enum wire_list_form form, const char *query, const char *want)
{
    char buf[ROOM], got[512];
    struct span text = render(form, query, buf, sizeof(buf));
    struct json_slice root, element;
    size_t len = 0;
    EXPECT(json_check(text, &root));
    bool gemini = form == LIST_GEMINI;
    struct json_iter iter =
        json_elements_of(json_get(root, gemini ? SPAN("models") : SPAN("data")));
    while (json_element_next(&iter, &element)) {
        struct json_slice name = json_get(element, gemini ? SPAN("name") : SPAN("id"));
        len += json_string_decode(name, got + len, sizeof(got) - len - 1, NULL);
        got[len++] = ' ';
    }
    static const char *const after[] = { "first_id", "last_id", "has_more", "nextPageToken" };
    for (size_t i = 0; i < ARRAY_LEN(after); i++) {
        struct json_slice value = json_get(root, span_str(after[i]));
        if (value.kind == JK_NONE)
            continue;
        memcpy(got + len, value.text.ptr, value.text.len);
        len += value.text.len;
        got[len++] = ' ';
    }
    EXPECT_SPAN(span_of(got, len), want);
}

static void models_have_each_api_form(void)
{
    char buf[ROOM];
    struct wire_model model = { .name = SPAN("m"), .created_s = 951782400, .input_max = 7 };
    EXPECT_SPAN(
        wire_model_write(LIST_OPENAI, &model, buf, sizeof(buf)),
        "{\"id\":\"m\",\"object\":\"model\",\"created\":951782400,\"owned_by\":\"system\"}");
    EXPECT_SPAN(wire_model_write(LIST_ANTHROPIC, &model, buf, sizeof(buf)),
                "{\"type\":\"model\",\"id\":\"m\",\"display_name\":\"m\","
                "\"created_at\":\"2000-02-29T00:00:00Z\"}");
    EXPECT_SPAN(wire_model_write(LIST_GEMINI, &model, buf, sizeof(buf)),
                "{\"name\":\"models/m\",\"displayName\":\"m\",\"inputTokenLimit\":7,"
                "\"supportedGenerationMethods\":[\"generateContent\",\"streamGenerateContent\","
                "\"countTokens\"]}");
}

static void times_are_dates(void)
{
    static const struct {
        uint64_t seconds;
        const char *text;
    } cases[] = {
        { 0, "\"1970-01-01T00:00:00Z\"" },
        { 68169599, "\"1972-02-28T23:59:59Z\"" },
        { 68169600, "\"1972-02-29T00:00:00Z\"" },
        { 1735689599, "\"2024-12-31T23:59:59Z\"" },
        { 1760000000, "\"2025-10-09T08:53:20Z\"" },
        { 4107542400, "\"2100-03-01T00:00:00Z\"" }, // no leap day before it
        { UINT64_MAX, "\"9999-12-31T23:59:59Z\"" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char buf[ROOM];
        struct wire_model model = { .name = SPAN("m"), .created_s = cases[i].seconds };
        struct span text = wire_model_write(LIST_ANTHROPIC, &model, buf, sizeof(buf));
        EXPECT_SPAN(json_get(json_value(text), SPAN("created_at")).text, cases[i].text);
    }
}

static void openai_lists_all(void)
{
    page_is(LIST_OPENAI, "limit=1", "claude-x gpt-x a/b gemini \"x\" last ");
    page_is(LIST_CODEX, "client_version=1", "claude-x gpt-x a/b gemini \"x\" last ");
    char buf[ROOM];
    struct span text = render(LIST_CODEX, "", buf, sizeof(buf));
    EXPECT_SPAN(json_get(json_value(text), SPAN("models")).text, "[]");
    EXPECT_SPAN(json_get(json_value(text), SPAN("object")).text, "\"list\"");
}

static void anthropic_pages_both_ways(void)
{
    page_is(LIST_ANTHROPIC, "limit=1000",
            "claude-x gpt-x a/b gemini \"x\" last \"claude-x\" \"last\" false ");
    page_is(LIST_ANTHROPIC, "limit=2", "claude-x gpt-x \"claude-x\" \"gpt-x\" true ");
    page_is(LIST_ANTHROPIC, "limit=2&after_id=gpt-x",
            "a/b gemini \"x\" \"a/b\" \"gemini \\\"x\\\"\" true ");
    page_is(LIST_ANTHROPIC, "limit=2&after_id=gemini+%22x%22", "last \"last\" \"last\" false ");
    page_is(LIST_ANTHROPIC, "after_id=last", "null null false ");
    page_is(LIST_ANTHROPIC, "after_id=unknown", "null null false ");
    page_is(LIST_ANTHROPIC, "limit=2&before_id=last",
            "a/b gemini \"x\" \"a/b\" \"gemini \\\"x\\\"\" true ");
    page_is(LIST_ANTHROPIC, "limit=2&before_id=a%2Fb",
            "claude-x gpt-x \"claude-x\" \"gpt-x\" false ");
    page_is(LIST_ANTHROPIC, "limit=2&before_id=gpt-x", "claude-x \"claude-x\" \"claude-x\" false ");
    page_is(LIST_ANTHROPIC, "before_id=claude-x", "null null false ");
    page_is(LIST_ANTHROPIC, "before_id=unknown", "null null false ");
}

static void gemini_pages_by_token(void)
{
    page_is(LIST_GEMINI, "",
            "models/claude-x models/gpt-x models/a/b models/gemini \"x\" models/last ");
    page_is(LIST_GEMINI, "pageSize=3", "models/claude-x models/gpt-x models/a/b \"a/b\" ");
    page_is(LIST_GEMINI, "pageSize=3&pageToken=a%2Fb", "models/gemini \"x\" models/last ");
    page_is(LIST_GEMINI, "pageSize=0&pageToken=zzz", "");
}

static void a_list_that_does_not_fit_is_none(void)
{
    char buf[ROOM];
    size_t need = render(LIST_OPENAI, "", buf, sizeof(buf)).len;
    EXPECT(need > 0);
    EXPECT_EQ(render(LIST_OPENAI, "", buf, need).len, need);
    EXPECT_EQ(render(LIST_OPENAI, "", buf, need - 1).len, 0);
}

TEST_MAIN(TEST(models_have_each_api_form), TEST(times_are_dates), TEST(openai_lists_all),
          TEST(anthropic_pages_both_ways), TEST(gemini_pages_by_token),
          TEST(a_list_that_does_not_fit_is_none))

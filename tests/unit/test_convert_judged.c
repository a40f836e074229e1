// Recorded answers of real vendors, when they lie beside the checkout: each is, for a client of
// Responses, a stream that a strict one takes.
#include "convert_judge.h"
#include "convert_run.h"
#include "fixtures.h"

enum { LISTED_MAX = 12 };

static const struct {
    const char *name;
    enum wire_family family;
} formats[] = {
    { "openai-chat", FAMILY_OPENAI },
    { "openai-responses", FAMILY_RESPONSES },
    { "anthropic-messages", FAMILY_ANTHROPIC },
    { "gemini", FAMILY_GEMINI },
};

static const struct converter *converter_by_name(const char *format)
{
    for (size_t i = 0; i < ARRAY_LEN(formats); i++)
        if (strcmp(format, formats[i].name) == 0)
            return converter_of(formats[i].family);
    return NULL;
}

// --- every stream there is, for clients of Responses ---

// The last event tells what a whole answer of the same would (C-094).
static bool same_as_whole(enum wire_family from, struct span text, struct span out)
{
    static struct run_stream run;
    struct completion completion;
    struct answer_facts facts = run_facts(NULL);
    struct sink sink = run_sink();
    completion_init(&completion, &chunks, RUN_KEPT);
    completion.keep.scratch = facts.scratch;
    (void)run_decode(&run, from, text, SIZE_MAX / 2, completion_collect, &completion);
    EXPECT(!completion_failed(&completion));
    facts.usage = usage_normal(&run.stream.told, run.stream.wire->rule);
    converter_of(FAMILY_RESPONSES)->write_whole(&completion, &facts, &sink);
    completion_fini(&completion);
    struct span whole = run_text(&sink);
    const char mark[] = "\"response\":";
    size_t at = out.len - strlen(mark);
    while (at > 0 && memcmp(out.ptr + at, mark, strlen(mark)) != 0)
        at--;
    struct span last = span_from(out, at + strlen(mark));
    if (span_starts(last, whole))
        return true;
    fprintf(stderr, "stream %.*s\nwhole  %.*s\n", (int)last.len, last.ptr, (int)whole.len,
            whole.ptr);
    return false;
}

static void judge_one(json_t *entry, const char *file, unsigned *done, unsigned *ended)
{
    const struct converter *from = converter_by_name(judge_text(entry, "format"));
    const char *name = judge_text(entry, "case");
    size_t len, ending = strlen(file);
    bool is_stream = ending > 4 && strcmp(file + ending - 4, ".sse") == 0;
    if (from == NULL || from->family == FAMILY_RESPONSES || !is_stream)
        return;
    char *text = fixture_load(file, &len);
    if (text == NULL)
        return;
    struct answer_facts facts = run_facts(NULL);
    struct span whole =
        run_stream_facts(from->family, FAMILY_RESPONSES, span_of(text, len), SIZE_MAX / 2, &facts);
    if (whole.len > 0) { // the others broke off, or say an error
        char *first = malloc(whole.len);
        memcpy(first, whole.ptr, whole.len);
        whole.ptr = first;
        EXPECT_EQ(judge_stream(name, whole), 0);
        struct span pieces =
            run_stream_facts(from->family, FAMILY_RESPONSES, span_of(text, len), 1, &facts);
        EXPECT(span_eq(whole, pieces));
        EXPECT(same_as_whole(from->family, span_of(text, len), whole));
        free(first);
        ++*ended;
    }
    ++*done;
    free(text);
}

static void strict_clients_take_all_streams(void)
{
    json_t *manifest = fixture_json("manifest.json"), *entry, *file;
    size_t index, at;
    unsigned done = 0, ended = 0;
    json_array_foreach(json_object_get(manifest, "cases"), index, entry)
    {
        json_array_foreach(json_object_get(entry, "files"), at, file)
            judge_one(entry, json_string_value(file), &done, &ended);
    }
    printf("for Responses: %u streams, of which %u end well\n", done, ended);
    EXPECT(ended > 50);
    json_decref(manifest);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = { TEST(strict_clients_take_all_streams) };
    return fixtures_main(argc, argv, cases, ARRAY_LEN(cases));
}

// Recorded answers of real vendors, when they lie beside the checkout: what each says is what the
// list of expectations says, whatever the pieces are that it comes in; and each is a stream that a
// strict client of the other format takes.
#include "convert_judge.h"
#include "convert_run.h"

enum { FILE_MAX = 8 * MIB, PATH_SIZE = 1024, LISTED_MAX = 12 };

static char root_dir[PATH_SIZE];

static char *load(const char *name, size_t *len)
{
    char path[2 * PATH_SIZE];
    snprintf(path, sizeof(path), "%s/fixtures/%s", root_dir, name);
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return NULL;
    char *text = malloc(FILE_MAX);
    *len = fread(text, 1, FILE_MAX, file);
    fclose(file);
    return text;
}

static json_t *load_json(const char *name)
{
    size_t len;
    char *text = load(name, &len);
    json_t *json = text != NULL ? json_loadb(text, len, 0, NULL) : NULL;
    free(text);
    return json;
}

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

// --- what an answer says ---

static char joined[FILE_MAX];

// All items of one kind, as they are meant.
static struct span texts_of(const struct completion *completion, enum item_kind kind)
{
    struct sink sink = sink_into(joined, sizeof(joined));
    for (const struct item *item = completion->first; item != NULL; item = item->next)
        if (item->kind == (uint8_t)kind && item->choice == 0)
            item_put_plain(item, &sink);
    return span_of(joined, (size_t)(sink.at - joined));
}

static bool same_text(const char *what, const struct completion *completion, enum item_kind kind,
                      json_t *want)
{
    struct span got = texts_of(completion, kind);
    struct span due = span_of(json_string_value(want), json_string_length(want));
    if (span_eq(got, due))
        return true;
    fprintf(stderr, "%s: kind %d\n  got  %.*s\n  want %.*s\n", what, kind,
            (int)min_size(got.len, 400), got.ptr, (int)min_size(due.len, 400), due.ptr);
    return false;
}

static bool same_json(struct span a, struct span b)
{
    json_t *x = json_loadb(a.ptr, a.len, JSON_DECODE_ANY, NULL);
    json_t *y = json_loadb(b.ptr, b.len, JSON_DECODE_ANY, NULL);
    bool same = span_eq(a, b) || (x != NULL && y != NULL && json_equal(x, y));
    json_decref(x);
    json_decref(y);
    return same;
}

static bool same_calls(const char *what, const struct completion *completion, json_t *want)
{
    size_t count = 0;
    for (const struct item *item = completion->first; item != NULL; item = item->next) {
        if (item->kind != ITEM_CALL || item->choice != 0)
            continue;
        json_t *due = json_array_get(want, count++);
        json_t *arguments = json_object_get(due, "arguments");
        struct sink sink = sink_into(joined, sizeof(joined));
        item_put_plain(item, &sink);
        struct span got = span_of(joined, (size_t)(sink.at - joined));
        struct span args = span_of(json_string_value(arguments), json_string_length(arguments));
        if (!words_are(item->name, span_str(judge_text(due, "name"))) ||
            !same_json(got.len > 0 ? got : SPAN("{}"), args.len > 0 ? args : SPAN("{}"))) {
            fprintf(stderr, "%s: call %zu: %.*s\n", what, count - 1, (int)got.len, got.ptr);
            return false;
        }
    }
    if (count == json_array_size(want))
        return true;
    fprintf(stderr, "%s: %zu calls, not %zu\n", what, count, json_array_size(want));
    return false;
}

static const char *end_word(const struct completion *completion)
{
    if (completion->choices == NULL || !completion->choices->ended)
        return "none";
    switch ((enum finish)completion->choices->finish) {
    case FINISH_STOP:
    case FINISH_PAUSE:
    case FINISH_REFUSAL: return "stop";
    case FINISH_STOP_TEXT: return "stop sequence";
    case FINISH_CALLS: return "tool call";
    case FINISH_LENGTH:
    case FINISH_CONTEXT: return "length";
    case FINISH_FILTERED: return "filtered";
    }
    return "none";
}

static bool says(const char *what, const struct completion *completion, json_t *expected)
{
    // Texts of several choices are listed as they came, mixed.
    bool several = completion->choices != NULL && completion->choices->next != NULL;
    bool same =
        several || same_text(what, completion, ITEM_TEXT, json_object_get(expected, "text"));
    same &= same_text(what, completion, ITEM_THINK, json_object_get(expected, "thinking"));
    same &= same_text(what, completion, ITEM_REFUSAL, json_object_get(expected, "refusal"));
    same &= same_calls(what, completion, json_object_get(expected, "calls"));
    if (json_is_true(json_object_get(expected, "error")))
        return same;
    if (strcmp(end_word(completion), judge_text(expected, "end")) == 0)
        return same;
    fprintf(stderr, "%s: it ends with %s, not %s\n", what, end_word(completion),
            judge_text(expected, "end"));
    return false;
}

static void one_recording(json_t *expected, unsigned *done)
{
    static struct run_stream run;
    const char *format = judge_text(expected, "format");
    const struct converter *converter = converter_by_name(format);
    size_t len;
    char *text = converter != NULL ? load(judge_text(expected, "file"), &len) : NULL;
    if (text == NULL)
        return;
    for (size_t chop = 1; chop < SIZE_MAX / 4; chop = chop == 1 ? 7 : SIZE_MAX / 2) {
        struct completion completion;
        completion_init(&completion, &chunks, RUN_KEPT);
        enum wire_end end = run_decode(&run, converter->family, span_of(text, len), chop,
                                       completion_collect, &completion);
        EXPECT(says(judge_text(expected, "case"), &completion, expected));
        EXPECT_EQ(end == WIRE_END_ERROR, json_is_true(json_object_get(expected, "error")));
        EXPECT(!run.broken);
        completion_fini(&completion);
    }
    ++*done;
    free(text);
}

static void recordings_say_what_is_expected(void)
{
    json_t *list = load_json("conversion/recorded-expectations.json"), *expected;
    size_t index;
    for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
        unsigned done = 0;
        if (converter_of(formats[i].family) == NULL)
            continue;
        json_array_foreach(json_object_get(list, "cases"), index, expected)
        {
            if (strcmp(judge_text(expected, "format"), formats[i].name) == 0)
                one_recording(expected, &done);
        }
        printf("recorded: %s: %u cases\n", formats[i].name, done);
        EXPECT(done >= LISTED_MAX);
    }
    json_decref(list);
}

// --- every stream there is, for clients of Responses ---

static void judge_one(json_t *entry, const char *file, unsigned *done, unsigned *ended)
{
    const struct converter *from = converter_by_name(judge_text(entry, "format"));
    const char *name = judge_text(entry, "case");
    size_t len, ending = strlen(file);
    bool is_stream = ending > 4 && strcmp(file + ending - 4, ".sse") == 0;
    if (from == NULL || from->family == FAMILY_RESPONSES || !is_stream)
        return;
    char *text = load(file, &len);
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
        free(first);
        ++*ended;
    }
    ++*done;
    free(text);
}

static void strict_clients_take_all_streams(void)
{
    json_t *manifest = load_json("manifest.json"), *entry, *file;
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
    static const struct test_case cases[] = { TEST(recordings_say_what_is_expected),
                                              TEST(strict_clients_take_all_streams) };
    const char *shared = getenv("PENSTOCK_SHARED");
    const char *const places[] = { shared != NULL ? shared : "", "../shared", "../../../shared",
                                   "../../../../shared" };
    size_t len;
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        snprintf(root_dir, sizeof(root_dir), "%s", places[i]);
        char *text = places[i][0] != '\0' ? load("manifest.json", &len) : NULL;
        free(text);
        if (text != NULL)
            return test_main(argc, argv, cases, ARRAY_LEN(cases));
    }
    const char *ci = getenv("CI");
    bool needed = ci != NULL && strcmp(ci, "true") == 0;
    printf("skipped: no fixtures beside the checkout\n0 passed, %d failed, %d skipped\n", needed,
           !needed);
    return needed ? EXIT_FAILURE : EXIT_SUCCESS;
}

// What form.h promises: an answer known by its form tells exactly what reading it would have told,
// whatever became of it since; and what is no answer is never learnt.
#include "test.h"

#include "penstock/base/env.h"
#include "penstock/wire/form.h"

enum { OUT_MAX = 4096 };

static struct wire_forms forms;

struct reading {
    struct wire_stream stream;
    char out[OUT_MAX];
    size_t len;
    bool known;
};

// Lets `text` pass in pieces of `piece` bytes, under another name for the model if `rename`.
static void read_text(struct reading *reading, enum wire_id id, struct span text, size_t piece,
                      bool rename, bool with_forms)
{
    static char memory[WIRE_VALUES_MAX];
    struct wire_pass pass;
    memset(reading, 0, sizeof(*reading));
    wire_stream_init(&reading->stream, wire_get(id), false);
    if (with_forms)
        reading->stream.forms = &forms;
    wire_pass_init(&pass, &reading->stream, false, memory);
    if (!rename)
        wire_pass_keep_model(&pass);
    for (size_t at = 0; at < text.len; at += piece) {
        struct span in = span_of(text.ptr + at, min_size(piece, text.len - at)), part;
        enum wire_cut cut;
        while (wire_pass_next(&pass, &in, &part, &cut)) {
            EXPECT(part.len > 0);
            struct span use = cut == WIRE_CUT_KEEP    ? part
                              : cut == WIRE_CUT_MODEL ? SPAN("\"alias\"")
                                                      : SPAN("");
            memcpy(reading->out + reading->len, use.ptr, use.len);
            reading->len += use.len;
        }
    }
    reading->known = pass.known;
    wire_pass_end(&pass);
}

static bool same(const struct reading *a, const struct reading *b)
{
    const struct wire_stream *x = &a->stream, *y = &b->stream;
    return memcmp(&x->told, &y->told, sizeof(x->told)) == 0 && x->sequence == y->sequence &&
           memcmp(x->started, y->started, sizeof(x->started)) == 0 &&
           memcmp(x->ended, y->ended, sizeof(x->ended)) == 0 && x->failed == y->failed &&
           x->fault == y->fault && x->finished == y->finished && x->done == y->done &&
           x->content == y->content && x->bad_events == y->bad_events &&
           x->event_count == y->event_count && x->text_bytes == y->text_bytes &&
           x->id_len == y->id_len && memcmp(x->id, y->id, x->id_len) == 0 &&
           wire_stream_end(x) == wire_stream_end(y) && a->len == b->len &&
           memcmp(a->out, b->out, a->len) == 0;
}

// Reads `text` with the forms and without; true if it was known.
static bool agrees(enum wire_id id, struct span text, bool rename)
{
    static struct reading fast, slow;
    read_text(&fast, id, text, text.len, rename, true);
    read_text(&slow, id, text, text.len, rename, false);
    if (!same(&fast, &slow))
        fprintf(stderr, "not the same: %.*s\n", (int)text.len, text.ptr);
    EXPECT(same(&fast, &slow));
    EXPECT(!slow.known);
    return fast.known;
}

static const struct {
    enum wire_id id;
    const char *text, *like;
} answers[] = {
    { WIRE_CHAT,
      "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":1700000000,"
      "\"model\":\"gpt-x-1\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
      "\"content\":\"Hello\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"stop\"}],"
      "\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2,\"total_tokens\":11,"
      "\"prompt_tokens_details\":{\"cached_tokens\":3,\"audio_tokens\":0}},"
      "\"service_tier\":\"default\",\"system_fingerprint\":\"fp_1\"}",
      "{\"id\":\"chatcmpl-22\",\"object\":\"chat.completion\",\"created\":1700000001,"
      "\"model\":\"gpt\\u002dx\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
      "\"content\":\"A longer \\\"text\\\" with\\nlines and \xe4\xb8\xad\",\"refusal\":null},"
      "\"logprobs\":null,\"finish_reason\":\"stop\"}],"
      "\"usage\":{\"prompt_tokens\":1234,\"completion_tokens\":567,\"total_tokens\":1801,"
      "\"prompt_tokens_details\":{\"cached_tokens\":0,\"audio_tokens\":17}},"
      "\"service_tier\":\"default\",\"system_fingerprint\":\"\"}" },
    { WIRE_MESSAGES,
      "{\"model\":\"claude-1\",\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\","
      "\"content\":[{\"type\":\"text\",\"text\":\"Hi\"}],\"stop_reason\":\"end_turn\","
      "\"stop_sequence\":null,\"usage\":{\"input_tokens\":5,\"cache_creation_input_tokens\":0,"
      "\"cache_read_input_tokens\":7,\"cache_creation\":{\"ephemeral_5m_input_tokens\":0},"
      "\"output_tokens\":8,\"service_tier\":\"standard\"}}",
      "{\"model\":\"claude-2\",\"id\":\"msg_22\",\"type\":\"message\",\"role\":\"assistant\","
      "\"content\":[{\"type\":\"text\",\"text\":\"\"}],\"stop_reason\":\"end_turn\","
      "\"stop_sequence\":null,\"usage\":{\"input_tokens\":55,\"cache_creation_input_tokens\":66,"
      "\"cache_read_input_tokens\":0,\"cache_creation\":{\"ephemeral_5m_input_tokens\":66},"
      "\"output_tokens\":88,\"service_tier\":\"standard\"}}" },
    { WIRE_RESPONSES,
      "{\"id\":\"resp_1\",\"object\":\"response\",\"created_at\":17,\"status\":\"completed\","
      "\"error\":null,\"model\":\"o\",\"output\":[{\"id\":\"m\",\"type\":\"message\","
      "\"content\":[{\"type\":\"output_text\",\"annotations\":[],\"text\":\"a\"}]}],"
      "\"service_tier\":\"flex\",\"temperature\":1.0,\"usage\":{\"input_tokens\":1,"
      "\"input_tokens_details\":{\"cached_tokens\":0},\"output_tokens\":2,\"total_tokens\":3}}",
      "{\"id\":\"resp_2\",\"object\":\"response\",\"created_at\":18,\"status\":\"completed\","
      "\"error\":null,\"model\":\"other\",\"output\":[{\"id\":\"n\",\"type\":\"message\","
      "\"content\":[{\"type\":\"output_text\",\"annotations\":[],\"text\":\"bc\"}]}],"
      "\"service_tier\":\"flex\",\"temperature\":0.25,\"usage\":{\"input_tokens\":100,"
      "\"input_tokens_details\":{\"cached_tokens\":50},\"output_tokens\":21,"
      "\"total_tokens\":121}}" },
    { WIRE_GEMINI,
      "{\n  \"candidates\": [{\"content\": {\"parts\": [{\"text\": \"a\"}],\"role\": \"model\"},"
      "\"finishReason\": \"STOP\",\"avgLogprobs\": -0.01}],\n  \"usageMetadata\": {"
      "\"promptTokenCount\": 4,\"candidatesTokenCount\": 5,\"totalTokenCount\": 9,"
      "\"promptTokensDetails\": [{\"modality\": \"TEXT\",\"tokenCount\": 4}]},\n"
      "  \"modelVersion\": \"gemini-1\",\n  \"responseId\": \"r1\"\n}\n",
      "{\n  \"candidates\": [{\"content\": {\"parts\": [{\"text\": \"bcd\"}],\"role\": \"model\"},"
      "\"finishReason\": \"STOP\",\"avgLogprobs\": -1e-05}],\n  \"usageMetadata\": {"
      "\"promptTokenCount\": 44,\"candidatesTokenCount\": 55,\"totalTokenCount\": 99,"
      "\"promptTokensDetails\": [{\"modality\": \"TEXT\",\"tokenCount\": 44}]},\n"
      "  \"modelVersion\": \"gemini-1\",\n  \"responseId\": \"r22\"\n}\n" },
    { WIRE_EMBEDDINGS,
      "{\"object\":\"list\",\"data\":[{\"index\":0,\"embedding\":[0.5,-1e-3]}],\"model\":\"e\","
      "\"usage\":{\"prompt_tokens\":3,\"total_tokens\":3}}",
      "{\"object\":\"list\",\"data\":[{\"index\":1,\"embedding\":[1,2.5E+7]}],\"model\":\"e\","
      "\"usage\":{\"prompt_tokens\":33,\"total_tokens\":33}}" },
};

static void like_answers_are_known(void)
{
    for (int rename = 0; rename < 2; rename++) {
        wire_forms_init(&forms);
        for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
            EXPECT(!agrees(answers[i].id, span_str(answers[i].text), rename));
            EXPECT_EQ(agrees(answers[i].id, span_str(answers[i].like), rename), rename);
            EXPECT(agrees(answers[i].id, span_str(answers[i].like), rename));
            EXPECT(agrees(answers[i].id, span_str(answers[i].text), rename));
        }
        for (size_t i = 1; i < ARRAY_LEN(answers); i++) // they are still there
            EXPECT(agrees(answers[i].id, span_str(answers[i].like), rename));
    }
}

// What was the same twice is expected to be the same again; if it is not, the loose form still
// knows the answer.
static void a_tight_form_needs_no_more_than_the_loose_one(void)
{
#define ANSWER(role, count, other)                                        \
    span_str("{\"role\":\"" role "\",\"usage\":{\"prompt_tokens\":" count \
             ",\"cached_tokens\":" other "}}")
    wire_forms_init(&forms);
    EXPECT(!agrees(WIRE_CHAT, ANSWER("assistant", "1", "0"), false));
    EXPECT(!agrees(WIRE_CHAT, ANSWER("assistant", "2", "0"), false)); // the tight one is learnt
    EXPECT_EQ(forms.list[forms.order[0]].skeleton.part_count, 2);
    EXPECT(forms.list[forms.order[0]].tight);
    EXPECT(agrees(WIRE_CHAT, ANSWER("assistant", "3", "0"), false));
    EXPECT(forms.list[forms.order[0]].tight);
    EXPECT(agrees(WIRE_CHAT, ANSWER("assistant", "4", "1"), false));
    EXPECT(!forms.list[forms.order[0]].tight);
    EXPECT(agrees(WIRE_CHAT, ANSWER("user", "5", "0"), false));
    EXPECT(agrees(WIRE_CHAT, ANSWER("assistant", "6", "0"), false));
    EXPECT(forms.list[forms.order[0]].tight);
    // After a while a new one is learnt.
    size_t long_way = 0;
    for (int i = 0; i < WIRE_FORM_RETRY + 2; i++)
        long_way += !agrees(WIRE_CHAT, ANSWER("user", "7", "0"), false);
    EXPECT_EQ(long_way, 1);
    EXPECT_EQ(forms.list[forms.order[0]].skeleton.part_count, 3); // the role was another one
#undef ANSWER
}

static void a_known_answer_is_told_in_full(void)
{
    static struct reading reading;
    wire_forms_init(&forms);
    (void)agrees(answers[0].id, span_str(answers[0].text), false);
    (void)agrees(answers[0].id, span_str(answers[0].text), false);
    struct span like = span_str(answers[0].like);
    read_text(&reading, WIRE_CHAT, like, like.len, true, true);
    EXPECT(reading.known);
    struct usage usage = usage_normal(&reading.stream.told, USAGE_RULE_OPENAI);
    EXPECT_EQ(usage.input_uncached, 1234);
    EXPECT_EQ(usage.cache_read, 0);
    EXPECT_EQ(usage.output, 567);
    EXPECT(usage.exact);
    EXPECT_SPAN(told_model_name(&reading.stream.told), "gpt-x");
    EXPECT_SPAN(told_tier(&reading.stream.told), "default");
    EXPECT_SPAN(span_of(reading.stream.id, reading.stream.id_len), "chatcmpl-22");
    EXPECT(memmem(reading.out, reading.len, "\"model\":\"alias\",", 16) != NULL);
    EXPECT(wire_choices_ended(&reading.stream));
    EXPECT_EQ(wire_stream_end(&reading.stream), WIRE_END_COMPLETE);
}

// Changes, removes, repeats or adds a byte or two, or lengthens a number.
static size_t mutate(struct env *env, const char *text, char *out)
{
    static const char bytes[] = "\"\\{}[],:0123456789aeE+-. \n\x01\x80nulltrue";
    unsigned char dice[6];
    size_t len = strlen(text);
    env_random(env, dice, sizeof(dice));
    memcpy(out, text, len);
    for (int change = 0; change <= dice[5] % 3; change++) {
        env_random(env, dice, sizeof(dice));
        size_t at = (dice[0] + 256u * dice[1]) % len;
        char byte = bytes[dice[2] % (sizeof(bytes) - 1)];
        switch (dice[3] % 4) {
        case 0: out[at] = byte; break;
        case 1: memmove(out + at, out + at + 1, --len - at); break;
        case 2:
            memmove(out + at + 1, out + at, len++ - at);
            out[at] = byte;
            break;
        default: {
            size_t more = 1 + dice[4] % 30;
            memmove(out + at + more, out + at, len - at);
            memset(out + at, out[at], more);
            len += more;
            break;
        }
        }
    }
    return len;
}

static void changed_answers_are_read_alike(void)
{
    enum { ROUNDS = 4000 };
    struct env_fake fake;
    env_fake_init(&fake, 7);
    size_t known = 0;
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        for (int round = 0; round < ROUNDS && test_failures == 0; round++) {
            char text[OUT_MAX];
            wire_forms_init(&forms);
            (void)agrees(answers[i].id, span_str(answers[i].text), false);
            if (round % 4 > 1) // and tightly
                (void)agrees(answers[i].id, span_str(answers[i].text), false);
            size_t len = mutate(&fake.env, answers[i].like, text);
            known += agrees(answers[i].id, span_of(text, len), round % 2 != 0);
            // And the other way round: learnt from the odd one.
            wire_forms_init(&forms);
            (void)agrees(answers[i].id, span_of(text, len), false);
            if (round % 4 > 1)
                (void)agrees(answers[i].id, span_of(text, len), false);
            known += agrees(answers[i].id, span_str(answers[i].text), round % 2 != 0);
        }
    }
    EXPECT(known > ROUNDS / 4); // or this would be a test of nothing
}

static void values_too_long_to_keep_are_left_to_the_tap(void)
{
    static const char form[] = "{\"id\":\"%.*s\",\"model\":\"%.*s\",\"choices\":[],\"usage\":"
                               "{\"prompt_tokens\":%.*s,\"completion_tokens\":2}}";
    char text[1024], fill[128], digits[128];
    memset(fill, 'i', sizeof(fill));
    memset(digits, '7', sizeof(digits));
    wire_forms_init(&forms);
    for (int id = 1; id < 120; id += 7) {
        for (int model = 1; model < 120; model += 7) {
            for (int count = 1; count < 24; count += 3) {
                int len = snprintf(text, sizeof(text), form, id, fill, model, fill, count, digits);
                (void)agrees(WIRE_CHAT, span_of(text, (size_t)len), false);
            }
        }
    }
    wire_forms_init(&forms);
    int len = snprintf(text, sizeof(text), form, 9, fill, 9, fill, 9, digits);
    EXPECT(!agrees(WIRE_CHAT, span_of(text, (size_t)len), false));
    len = snprintf(text, sizeof(text), form, 8, fill, 8, fill, 8, digits);
    (void)agrees(WIRE_CHAT, span_of(text, (size_t)len), false);
    len = snprintf(text, sizeof(text), form, 96, fill, 96, fill, 18, digits);
    EXPECT(agrees(WIRE_CHAT, span_of(text, (size_t)len), false));
    len = snprintf(text, sizeof(text), form, 97, fill, 96, fill, 18, digits);
    EXPECT(!agrees(WIRE_CHAT, span_of(text, (size_t)len), false));
}

static void some_answers_are_not_learnt(void)
{
    static const struct {
        enum wire_id id;
        const char *text;
    } cases[] = {
        { WIRE_CHAT, "{\"error\":{\"message\":\"m\"},\"usage\":{\"prompt_tokens\":1}}" },
        { WIRE_CHAT,
          "{\"choices\":[{\"index\":0},{\"index\":1}],\"usage\":{\"prompt_tokens\":1}}" },
        { WIRE_CHAT, "{\"model\":\"a\",\"usage\":{\"prompt_tokens\":\"12\"}}" },
        { WIRE_CHAT, "{\"model\":\"a\",\"usage\":{\"prompt_tokens\":12.5}}" },
        { WIRE_CHAT, "{\"model\":\"a\",\"model\":\"b\",\"usage\":{\"prompt_tokens\":1}}" },
        { WIRE_CHAT, "{\"model\":\"a\",\"usage\":{\"prompt_tokens\":1}} x" },
        { WIRE_CHAT, "{\"model\":\"a\",\"usage\":{\"prompt_tokens\":1}" },
        { WIRE_GEMINI, "[{\"usageMetadata\":{\"promptTokenCount\":1}}]" },
        { WIRE_RESPONSES, "{\"model\":\"a\",\"response\":{\"model\":\"b\"},\"usage\":{}}" },
        { WIRE_CHAT, "\"just a text of some length\"" },
        { WIRE_CHAT, "" },
    };
    wire_forms_init(&forms);
    (void)agrees(answers[0].id, span_str(answers[0].text), false);
    (void)agrees(answers[0].id, span_str(answers[0].text), false);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        for (int round = 0; round < 3; round++)
            EXPECT(!agrees(cases[i].id, span_str(cases[i].text), false));
    // One that comes in two pieces is not, either.
    static struct reading reading;
    struct span text = span_str(answers[0].text);
    for (int round = 0; round < 2; round++) {
        read_text(&reading, WIRE_CHAT, text, text.len - 1, false, true);
        EXPECT(!reading.known);
    }
}

static void forms_are_not_shared_between_formats(void)
{
    wire_forms_init(&forms);
    struct span text = span_str(answers[0].text);
    (void)agrees(WIRE_CHAT, text, false);
    (void)agrees(WIRE_CHAT, text, false);
    EXPECT(agrees(WIRE_CHAT, text, false));
    EXPECT(!agrees(WIRE_COMPLETIONS, text, true));
    EXPECT(agrees(WIRE_COMPLETIONS, text, true));
    EXPECT(agrees(WIRE_CHAT, text, false));
}

// The form used longest ago makes room, and answers that are all different are not learnt for ever.
static void forms_make_room(void)
{
#define READ(format)                                                                               \
    agrees(                                                                                        \
        WIRE_CHAT,                                                                                 \
        span_of(text, (size_t)snprintf(text, sizeof(text),                                         \
                                       "{\"" format "\":[],\"usage\":{\"prompt_tokens\":1}}", i)), \
        true)
    char text[256];
    wire_forms_init(&forms);
    for (int i = 0; i < WIRE_FORMS; i++)
        EXPECT(!READ("name%d"));
    for (int i = 0; i < WIRE_FORMS; i++)
        EXPECT(READ("name%d"));
    for (int i = WIRE_FORMS; i < WIRE_FORMS + 3; i++)
        EXPECT(!READ("name%d"));
    for (int i = 3; i < WIRE_FORMS + 3; i++)
        EXPECT(READ("name%d"));
    for (int i = 0; i < 3; i++)
        EXPECT(!READ("name%d"));
    size_t learnt = 0;
    for (int i = 0; i < 1000; i++) {
        struct wire_form *newest = &forms.list[forms.order[0]];
        EXPECT(!READ("other%d"));
        learnt += newest != &forms.list[forms.order[0]];
    }
    EXPECT(learnt >= 16);
    EXPECT(learnt < 64);
#undef READ
}

TEST_MAIN(TEST(like_answers_are_known), TEST(a_tight_form_needs_no_more_than_the_loose_one),
          TEST(a_known_answer_is_told_in_full), TEST(changed_answers_are_read_alike),
          TEST(values_too_long_to_keep_are_left_to_the_tap), TEST(some_answers_are_not_learnt),
          TEST(forms_are_not_shared_between_formats), TEST(forms_make_room))

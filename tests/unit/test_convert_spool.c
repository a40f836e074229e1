// Answers that leave at the client's pace: the same bytes whatever its credit, and no more memory
// than what is kept and a little beside (C-146).
#include "convert_run.h"

#include "penstock/convert/spool.h"

// --- memory that is counted ---

struct counted {
    struct arena_source source;
    unsigned held, most, left; // chunks; `left`: then there are none
};

static void *counted_take(void *ctx, void **keeper)
{
    struct counted *counted = ctx;
    *keeper = counted;
    if (counted->left == 0)
        return NULL;
    counted->left--;
    counted->held++;
    counted->most = counted->held > counted->most ? counted->held : counted->most;
    return malloc(ARENA_CHUNK);
}

static void counted_give(void *ctx, void *memory, void *keeper)
{
    struct counted *counted = ctx;
    EXPECT(keeper == ctx);
    counted->held--;
    free(memory);
}

static void counted_init(struct counted *counted, unsigned most)
{
    *counted =
        (struct counted){ .source = { counted_take, counted_give, counted, NULL }, .left = most };
}

// --- the spool by itself ---

static uint32_t seed = 7;

static uint32_t below(uint32_t limit)
{
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % limit;
}

enum { STORE = 64 * KIB };

// The same random writes into the spool and, what is wanted, into one piece; reading in between.
static void random_run(size_t credit, const char *store)
{
    static char want[2 * MIB], got[2 * MIB];
    struct counted counted;
    struct spool spool;
    struct sink piece = sink_into(want, sizeof(want));
    size_t read = 0;
    counted_init(&counted, UINT32_MAX);
    spool_init(&spool, &counted.source);
    for (unsigned i = 0; i < 200; i++) {
        const uint32_t kind = below(4), len = below(below(8) == 0 ? 9000 : 700);
        const struct span text = span_of(store + below(STORE - 9000), len);
        struct words words = { text, .escaped = true, .whole = true, .lasting = kind == 3 };
        if (kind == 0) {
            sink_put(&spool.sink, text);
            sink_put(&piece, text);
        } else if (kind == 1) {
            sink_put_lasting(&spool.sink, text);
            sink_put_lasting(&piece, text);
        } else {
            sink_string(&spool.sink, words);
            sink_string(&piece, words);
        }
        EXPECT_EQ(read + spool_len(&spool), piece.at - want);
        if (below(3) == 0)
            read += spool_read(&spool, got + read, credit);
    }
    for (size_t step; (step = spool_read(&spool, got + read, credit)) > 0;)
        read += step;
    EXPECT(span_eq(span_of(got, read), span_of(want, (size_t)(piece.at - want))));
    EXPECT(!spool.sink.failed && !piece.failed);
    EXPECT_EQ(counted.held, 0);
    spool_fini(&spool);
}

static void what_is_written_is_read_in_pieces_of_any_length(void)
{
    static char store[STORE];
    for (size_t i = 0; i < sizeof(store); i++)
        store[i] = (char)('!' + below(50) + (below(9) == 0 ? 20 : 0));
    for (size_t i = 0; i < sizeof(store); i++) // no escapes and no quotes
        store[i] = store[i] == '\\' || store[i] == '"' ? 'x' : store[i];
    for (size_t credit = 1; credit < 100; credit++)
        random_run(credit, store);
    for (size_t credit = 100; credit < 40000; credit += credit / 3)
        random_run(credit, store);
}

static void views_take_no_memory_but_their_entry(void)
{
    static char text[1 * MIB];
    struct counted counted;
    struct spool spool;
    char out[256];
    memset(text, 'v', sizeof(text));
    counted_init(&counted, UINT32_MAX);
    spool_init(&spool, &counted.source);
    for (int i = 0; i < 32; i++) {
        SINK_TEXT(&spool.sink, "between");
        sink_put_lasting(&spool.sink, span_of(text, sizeof(text)));
    }
    EXPECT_EQ(spool_len(&spool), 32 * (7 + sizeof(text)));
    EXPECT_EQ(counted.held, 1);
    EXPECT_EQ(spool_read(&spool, out, 9), 9);
    EXPECT_SPAN(span_of(out, 9), "betweenvv");
    spool_fini(&spool);
    EXPECT_EQ(counted.held, 0);
}

static void short_text_is_copied_though_it_lasts(void)
{
    char text[SINK_VIEW_MIN], out[SINK_VIEW_MIN + 100];
    struct counted counted;
    struct spool spool;
    counted_init(&counted, UINT32_MAX);
    spool_init(&spool, &counted.source);
    memset(text, 'a', sizeof(text));
    sink_put_lasting(&spool.sink, span_of(text, sizeof(text) - 1));
    memset(text, 'b', sizeof(text)); // shows that it was
    EXPECT_EQ(spool_read(&spool, out, sizeof(out)), sizeof(text) - 1);
    EXPECT_EQ(out[0], 'a');
    EXPECT_EQ(out[SINK_VIEW_MIN - 2], 'a');
    spool_fini(&spool);
}

static void without_memory_the_sink_fails_and_what_was_written_stays(void)
{
    static char text[16 * KIB];
    char out[32];
    struct counted counted;
    struct spool spool;
    counted_init(&counted, 2);
    spool_init(&spool, &counted.source);
    SINK_TEXT(&spool.sink, "first");
    EXPECT(!spool.sink.failed);
    sink_put(&spool.sink, span_of(text, sizeof(text)));
    EXPECT(spool.sink.failed);
    const uint64_t len = spool_len(&spool);
    sink_put_lasting(&spool.sink, span_of(text, sizeof(text)));
    EXPECT_EQ(spool_len(&spool), len);
    EXPECT_EQ(spool_read(&spool, out, 5), 5);
    EXPECT_SPAN(span_of(out, 5), "first");
    spool_fini(&spool);
    EXPECT_EQ(counted.held, 0);
    counted_init(&counted, 0);
    spool_init(&spool, &counted.source);
    sink_put_lasting(&spool.sink, span_of(text, sizeof(text)));
    EXPECT(spool.sink.failed);
    EXPECT_EQ(spool_len(&spool), 0);
    spool_fini(&spool);
}

static void a_sink_with_memory_of_its_own_goes_over(void)
{
    char room[100], out[300];
    struct counted counted;
    struct spool spool = { .sink = sink_into(room, sizeof(room)) };
    counted_init(&counted, UINT32_MAX);
    spool_fini(&spool); // harmless
    spool.sink = sink_into(room, sizeof(room));
    SINK_TEXT(&spool.sink, "own");
    EXPECT(spool_begin(&spool, &counted.source));
    SINK_TEXT(&spool.sink, "spooled");
    EXPECT_EQ(spool_len(&spool), 7);
    EXPECT_EQ(spool_read(&spool, out, sizeof(out)), 7);
    EXPECT_SPAN(span_of(out, 7), "spooled");
    spool_fini(&spool);
}

// --- answers ---

// Everything that an answer may have, in texts of `len` bytes a delta.
static void say_all(delta_sink *emit, void *ctx, size_t len, unsigned repeats)
{
    static char text[32 * KIB];
    static const char bits[] = "words \\n \\u00e9 \\ud83d\\ude00 \xc3\xa9 ";
    const size_t whole = len / (sizeof(bits) - 1) * (sizeof(bits) - 1);
    for (size_t i = 0; i < whole; i++)
        text[i] = bits[i % (sizeof(bits) - 1)];
    const struct words words = words_escaped(span_of(text, whole));
#define SAY(...) emit(ctx, &(struct delta){ __VA_ARGS__ })
    SAY(.kind = DELTA_THINK, .text = words);
    SAY(.kind = DELTA_THINK_END, .signature = { .text = words_escaped(SPAN("c2ln")),
                                                .maker = MAKER_ANTHROPIC,
                                                .signs = SIGNS_THOUGHT });
    for (unsigned i = 0; i < repeats; i++) {
        SAY(.kind = DELTA_TEXT, .text = words);
        SAY(.kind = DELTA_TEXT, .text = words_escaped(SPAN("\\ud83d!")));
        SAY(.kind = DELTA_CITE, .cite = { .url = words_escaped(SPAN("https://a.example/")) });
        SAY(.kind = DELTA_TEXT_END);
        SAY(.kind = DELTA_REFUSAL, .text = words);
        const uint16_t call = (uint16_t)i;
        SAY(.kind = DELTA_CALL, .call = call, .name = words_escaped(SPAN("find")));
        SAY(.kind = DELTA_ARGS, .call = call, .text = words_escaped(SPAN("{\\\"q\\\":\\\"")));
        SAY(.kind = DELTA_ARGS, .call = call, .text = words_escaped(span_upto(words.raw, 6)));
        SAY(.kind = DELTA_TEXT, .text = words); // waits for the call
        SAY(.kind = DELTA_ARGS, .call = call, .text = words_escaped(SPAN("\\\"}")));
        SAY(.kind = DELTA_CALL_END, .call = call);
    }
    SAY(.kind = DELTA_FINISH, .finish = FINISH_STOP);
#undef SAY
}

static const struct usage usage = { .output = 5 };

// A stream whose client has no credit until the end, and then `credit` bytes at a time.
static void stream_at(enum wire_family to, size_t credit, size_t len, unsigned repeats,
                      struct span want)
{
    static struct encode encode;
    static char got[8 * MIB];
    const struct answer_facts facts = run_facts("{\"tools\":[],\"instructions\":\"be brief\"}");
    struct counted counted;
    struct spool spool;
    size_t read = 0;
    counted_init(&counted, UINT32_MAX);
    spool_init(&spool, &counted.source);
    run_pad.used = 0;
    encode_init(&encode, converter_of(to), &facts, &spool.sink, &chunks, RUN_KEPT);
    say_all(encode_put, &encode, len, repeats);
    bool more = encode_end_begin(&encode, &usage);
    for (;;) {
        for (size_t step; (step = spool_read(&spool, got + read, credit)) > 0;)
            read += step;
        if (!more)
            break;
        more = encode_end_more(&encode);
    }
    EXPECT(!encode.failed);
    EXPECT(span_eq(span_of(got, read), want));
    EXPECT_EQ(counted.held, 0);
    encode_fini(&encode);
    spool_fini(&spool);
}

static struct span stream_whole(enum wire_family to, size_t len, unsigned repeats)
{
    static struct encode encode;
    const struct answer_facts facts = run_facts("{\"tools\":[],\"instructions\":\"be brief\"}");
    struct sink sink = run_sink();
    encode_init(&encode, converter_of(to), &facts, &sink, &chunks, RUN_KEPT);
    say_all(encode_put, &encode, len, repeats);
    encode_end(&encode, &usage);
    EXPECT(!encode.failed);
    encode_fini(&encode);
    return run_text(&sink);
}

static const enum wire_family families[] = { FAMILY_OPENAI, FAMILY_RESPONSES, FAMILY_ANTHROPIC,
                                             FAMILY_GEMINI };

// C-146
static void a_stream_is_the_same_at_every_credit(void)
{
    for (size_t i = 0; i < ARRAY_LEN(families); i++) {
        const struct span want = stream_whole(families[i], 3000, 2);
        EXPECT(want.len > 3000);
        for (size_t credit = 1; credit < 200; credit++)
            stream_at(families[i], credit, 3000, 2, want);
        for (size_t credit = 200; credit < 2 * want.len; credit += credit / 5)
            stream_at(families[i], credit, 3000, 2, want);
    }
}

// More items than a step of the end writes.
static void an_end_with_many_items_comes_in_steps(void)
{
    static struct encode encode;
    const unsigned repeats = 200;
    const struct span want = stream_whole(FAMILY_RESPONSES, 40, repeats);
    stream_at(FAMILY_RESPONSES, 1000, 40, repeats, want);
    const struct answer_facts facts = run_facts(NULL);
    struct sink sink = run_sink();
    encode_init(&encode, converter_of(FAMILY_RESPONSES), &facts, &sink, &chunks, RUN_KEPT);
    say_all(encode_put, &encode, 40, repeats);
    unsigned steps = 0;
    for (bool more = encode_end_begin(&encode, &usage); more; steps++)
        more = encode_end_more(&encode);
    EXPECT(steps > 1);
    encode_fini(&encode);
}

// C-146: the end of 1 MB of text, told four times more.
static void the_end_of_a_stream_takes_little_memory(void)
{
    static struct encode encode;
    static char out[16 * KIB];
    const struct answer_facts facts = run_facts(NULL);
    struct counted counted;
    struct spool spool;
    counted_init(&counted, UINT32_MAX);
    spool_init(&spool, &counted.source);
    (void)run_sink();
    encode_init(&encode, converter_of(FAMILY_RESPONSES), &facts, &spool.sink, &chunks, RUN_KEPT);
    static char text[1000];
    memset(text, 't', sizeof(text));
    const struct delta delta = {
        .kind = DELTA_TEXT, .text = { span_of(text, sizeof(text)), .whole = true, .escaped = true }
    };
    for (int i = 0; i < 1000; i++) {
        encode_put(&encode, &delta);
        while (spool_read(&spool, out, sizeof(out)) > 0)
            continue;
    }
    EXPECT_EQ(counted.held, 0);
    counted.most = 0;
    encode_end(&encode, &usage);
    EXPECT(!encode.failed);
    EXPECT(spool_len(&spool) > 4000000);
    EXPECT(counted.most <= 8); // 32 KiB
    size_t len = 0;
    for (size_t step; (step = spool_read(&spool, out, sizeof(out))) > 0;)
        len += step;
    EXPECT(len > 4000000);
    EXPECT_EQ(counted.held, 0);
    encode_fini(&encode);
    spool_fini(&spool);
}

static void whole_at(enum wire_family to, const struct completion *completion, size_t credit,
                     struct span want)
{
    static char got[8 * MIB];
    struct answer_facts facts = run_facts(NULL);
    struct counted counted;
    struct spool spool;
    size_t read = 0;
    counted_init(&counted, UINT32_MAX);
    spool_init(&spool, &counted.source);
    run_pad.used = 0;
    converter_of(to)->write_whole(completion, &facts, &spool.sink);
    for (size_t step; (step = spool_read(&spool, got + read, credit)) > 0;)
        read += step;
    EXPECT(!spool.sink.failed);
    EXPECT(span_eq(span_of(got, read), want));
    EXPECT_EQ(counted.held, 0);
    spool_fini(&spool);
}

// Collected from a stream, and read from another whole answer.
static void a_whole_answer_is_the_same_at_every_credit(void)
{
    struct completion collected, read;
    completion_init(&collected, &chunks, RUN_KEPT);
    completion_init(&read, &chunks, RUN_KEPT);
    say_all(completion_collect, &collected, 3000, 2);
    struct answer_facts facts = run_facts(NULL);
    struct sink sink = run_sink();
    converter_of(FAMILY_RESPONSES)->write_whole(&collected, &facts, &sink);
    char *text = malloc(RUN_OUT);
    const struct span whole = span_of(text, run_text(&sink).len);
    memcpy(text, run_out, whole.len);
    struct json_slice root;
    EXPECT(json_check(whole, &root));
    EXPECT(converter_of(FAMILY_RESPONSES)->read_whole(&read, root));
    for (size_t i = 0; i < 2 * ARRAY_LEN(families); i++) {
        const enum wire_family to = families[i / 2];
        const struct completion *from = i % 2 == 0 ? &collected : &read;
        sink = run_sink();
        converter_of(to)->write_whole(from, &facts, &sink);
        const struct span want = run_text(&sink);
        EXPECT(want.len > 3000);
        for (size_t credit = 1; credit < 2 * want.len; credit += 1 + credit / 20)
            whole_at(to, from, credit, want);
    }
    completion_fini(&collected);
    completion_fini(&read);
    free(text);
}

// A whole answer for a client that wants a stream: one delta an item, as long as the item.
static void what_is_played_takes_little_memory(void)
{
    static struct encode encode;
    static char out[16 * KIB], text[2 * MIB];
    struct completion completion;
    const struct answer_facts facts = run_facts(NULL);
    struct counted counted;
    memset(text, 'p', sizeof(text));
    for (size_t i = 0; i < ARRAY_LEN(families); i++) {
        struct spool spool;
        completion_init(&completion, &chunks, RUN_KEPT);
        struct item *item = completion_item(&completion, ITEM_TEXT, 0);
        item->text = words_escaped(span_of(text, sizeof(text)));
        completion_end(&completion, 0, FINISH_STOP, WORDS_NONE);
        counted_init(&counted, UINT32_MAX);
        spool_init(&spool, &counted.source);
        (void)run_sink();
        encode_init(&encode, converter_of(families[i]), &facts, &spool.sink, &chunks, RUN_KEPT);
        completion_play(&completion, encode_put, &encode);
        encode_end(&encode, &usage);
        EXPECT(!encode.failed);
        EXPECT(spool_len(&spool) > sizeof(text));
        EXPECT(counted.most <= 20); // views of a rope's pieces
        while (spool_read(&spool, out, sizeof(out)) > 0)
            continue;
        encode_fini(&encode);
        completion_fini(&completion);
        spool_fini(&spool);
    }
}

TEST_MAIN(TEST(what_is_written_is_read_in_pieces_of_any_length),
          TEST(views_take_no_memory_but_their_entry), TEST(short_text_is_copied_though_it_lasts),
          TEST(without_memory_the_sink_fails_and_what_was_written_stays),
          TEST(a_sink_with_memory_of_its_own_goes_over), TEST(a_stream_is_the_same_at_every_credit),
          TEST(an_end_with_many_items_comes_in_steps),
          TEST(the_end_of_a_stream_takes_little_memory),
          TEST(a_whole_answer_is_the_same_at_every_credit),
          TEST(what_is_played_takes_little_memory))

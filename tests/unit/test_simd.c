// All sets of byte searches give the same answers, at every length, alignment and position.
#include "test.h"

#include "penstock/base/env.h"
#include "penstock/codec/json.h"
#include "penstock/codec/simd.h"

#include <sys/mman.h>
#include <unistd.h>

enum { LEN_MAX = 300, ROUNDS = 3000 };

static const struct simd *sets[SIMD_SETS_MAX];
static size_t set_count;

// A page whose end is followed by one that cannot be read, so that a search that looks beyond its
// text dies here.
static char *guarded_page_end(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *map = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED || mprotect(map + page, page, PROT_NONE) != 0)
        abort();
    return map + page;
}

static void fill(struct env *env, char *text, size_t len, unsigned spice)
{
    static const char specials[] = "\"\\\\\\unt{}[]\r\n\x1f\x01\x7f\x80\xc2\xe4\xff~ ";
    unsigned char dice[2 * LEN_MAX];
    env_random(env, dice, 2 * len);
    for (size_t i = 0; i < len; i++) {
        bool special = dice[2 * i] < spice;
        text[i] = special ? specials[dice[2 * i + 1] % (sizeof(specials) - 1)]
                          : (char)('a' + dice[2 * i + 1] % 26);
    }
}

static void check_agreement(const char *text, size_t len)
{
    bool want_high = false;
    size_t want_string = sets[0]->string_run(text, len, &want_high);
    bool want_quoted_high = false;
    size_t want_quoted = sets[0]->quoted_run(text, len, &want_quoted_high);
    size_t want_structure = sets[0]->structure_run(text, len);
    size_t want_line = sets[0]->line_run(text, len);
    size_t want_utf8 = sets[0]->utf8_run(text, len);
    size_t want_surrogate = sets[0]->surrogate_run(text, len);
    for (size_t s = 1; s < set_count; s++) {
        bool high = false;
        EXPECT_EQ(sets[s]->string_run(text, len, &high), want_string);
        EXPECT_EQ(high, want_high);
        high = false;
        EXPECT_EQ(sets[s]->quoted_run(text, len, &high), want_quoted);
        EXPECT_EQ(high, want_quoted_high);
        EXPECT_EQ(sets[s]->structure_run(text, len), want_structure);
        EXPECT_EQ(sets[s]->line_run(text, len), want_line);
        EXPECT_EQ(sets[s]->utf8_run(text, len), want_utf8);
        EXPECT_EQ(sets[s]->surrogate_run(text, len), want_surrogate);
    }
    bool high = false;
    EXPECT_EQ(simd_string_run(text, len, &high), want_string);
    EXPECT_EQ(high, want_high);
    EXPECT_EQ(simd_structure_run(text, len), want_structure);
    EXPECT_EQ(simd_line_run(text, len), want_line);
}

static void sets_agree_on_random_bytes(void)
{
    struct env_fake fake;
    env_fake_init(&fake, 1);
    char *end = guarded_page_end();
    for (size_t len = 0; len <= LEN_MAX; len++) {
        for (unsigned spice = 0; spice < 4; spice++) {
            fill(&fake.env, end - len, len, spice * spice);
            check_agreement(end - len, len);
        }
    }
    for (int round = 0; round < ROUNDS && test_failures == 0; round++) {
        unsigned char len;
        env_random(&fake.env, &len, 1);
        fill(&fake.env, end - len, len, 1 + (unsigned)round % 7);
        check_agreement(end - len, len);
    }
}

static void sets_find_a_single_byte_anywhere(void)
{
    static const char wanted[] = "\"\\{}[]\r\n\x1f";
    char *end = guarded_page_end();
    for (size_t len = 1; len < 140; len++) {
        for (size_t at = 0; at < len; at++) {
            memset(end - len, 'x', len);
            end[(ptrdiff_t)at - (ptrdiff_t)len] = wanted[(len + at) % (sizeof(wanted) - 1)];
            check_agreement(end - len, len);
        }
    }
}

// Long enough for searches that go in large steps where nothing is found for a while.
static void sets_find_a_byte_far_away(void)
{
    static const char wanted[] = "\"\\\x1f\x80{\n";
    enum { FAR = 1100 };
    char *end = guarded_page_end();
    for (size_t len = FAR - 70; len <= FAR; len += 7) {
        for (size_t at = 0; at < len; at++) {
            memset(end - len, at % 2 != 0 ? 'x' : '\x7f', len);
            end[(ptrdiff_t)at - (ptrdiff_t)len] = wanted[(len + at) % (sizeof(wanted) - 1)];
            if (at % 3 != 0) // and another one behind it
                end[-(ptrdiff_t)(1 + at % (len - at))] = wanted[at % (sizeof(wanted) - 1)];
            check_agreement(end - len, len);
        }
    }
}

static size_t random_utf8(struct env *env, char *text, size_t cap)
{
    static const char *const parts[] = { "a",
                                         "\xc3\xa9",
                                         "\xe4\xb8\xad",
                                         "\xf0\x9f\x8c\x8d",
                                         "\xed\x9f\xbf",
                                         "\xf4\x8f\xbf\xbf",
                                         "plain ascii text " };
    size_t len = 0;
    for (;;) {
        unsigned char dice;
        env_random(env, &dice, 1);
        const char *part = parts[dice % ARRAY_LEN(parts)];
        if (len + strlen(part) > cap)
            return len;
        memcpy(text + len, part, strlen(part));
        len += strlen(part);
    }
}

static void valid_utf8_is_valid_until_one_byte_is_broken(void)
{
    struct env_fake fake;
    env_fake_init(&fake, 2);
    char *end = guarded_page_end();
    for (int round = 0; round < ROUNDS && test_failures == 0; round++) {
        char text[LEN_MAX];
        unsigned char dice[3];
        env_random(&fake.env, dice, sizeof(dice));
        size_t len = random_utf8(&fake.env, text, 40 + (size_t)dice[2]);
        memcpy(end - len, text, len);
        for (size_t s = 0; s < set_count; s++)
            EXPECT_EQ(sets[s]->utf8_run(end - len, len), len);
        end[-(ptrdiff_t)(1 + dice[0] % len)] = (char)dice[1];
        check_agreement(end - len, len);
    }
}

// Every sequence of two bytes and all of three and four whose later bytes are at an edge, at the
// start, across a vector's border, and at the end of the text.
static void utf8_edges_are_judged_alike(void)
{
    static const unsigned char edges[] = { 0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f,
                                           0xa0, 0xbf, 0xc0, 0xc2, 0xff };
    char *end = guarded_page_end();
    for (unsigned lead = 0; lead < 256; lead++) {
        for (unsigned code = 0; code < 11 * 11 * 11; code++) {
            char text[4] = { (char)lead, (char)edges[code % 11], (char)edges[code / 11 % 11],
                             (char)edges[code / 121] };
            static const size_t at[] = { 0, 30, 31, 60, 66 };
            size_t place = at[code % ARRAY_LEN(at)];
            memset(end - 70, 'x', 70);
            memcpy(end - 70 + place, text, 4);
            size_t want = sets[0]->utf8_run(end - 70, 70);
            for (size_t s = 1; s < set_count; s++)
                if (sets[s]->utf8_run(end - 70, 70) != want)
                    EXPECT_EQ(sets[s]->utf8_run(end - 70, 70), want);
        }
    }
}

static void plain_utf8_knows_the_standard(void)
{
    static const struct {
        const char *text;
        size_t len, run;
    } cases[] = {
        { "\xc2\x80", 2, 2 },         { "\xc1\xbf", 2, 0 },         { "\xdf\xbf", 2, 2 },
        { "\xe0\xa0\x80", 3, 3 },     { "\xe0\x9f\xbf", 3, 0 },     { "\xed\x9f\xbf", 3, 3 },
        { "\xed\xa0\x80", 3, 0 },     { "\xee\x80\x80", 3, 3 },     { "\xef\xbf\xbf", 3, 3 },
        { "\xf0\x90\x80\x80", 4, 4 }, { "\xf0\x8f\xbf\xbf", 4, 0 }, { "\xf4\x8f\xbf\xbf", 4, 4 },
        { "\xf4\x90\x80\x80", 4, 0 }, { "\xf5\x80\x80\x80", 4, 0 }, { "a\x80", 2, 1 },
        { "ab\xe4\xb8", 4, 2 },       { "\xe4\xb8\xad\xad", 4, 3 }, { "", 0, 0 },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        EXPECT_EQ(sets[0]->utf8_run(cases[i].text, cases[i].len), cases[i].run);
}

static void contents_of_strings_end_at_a_bare_quote(void)
{
    static const struct {
        const char *text;
        size_t run;
        bool high;
    } cases[] = {
        { "", 0, false },
        { "\"", 0, false },
        { "ab\"\xff", 2, false },
        { "ab", 2, false },
        { "a\\\"b\"c", 4, false },
        { "a\\\\\"b", 3, false },
        { "\\u0041\"", 6, false },
        { "\\u00eF\\u4F60x\"", 13, false },
        { "a\\u00g0\"", 1, false },
        { "\\u004\"", 0, false },
        { "\\u004", 0, false },
        { "\\\\u00zz\"", 7, false },
        { "\\n\\u0041\\", 8, false },
        { "\\\\\\\\\\\"\"", 6, false },
        { "a\\", 1, false },
        { "a\nb\"", 1, false },
        { "a\\\nb\"", 1, false },
        { "\\\\\\", 2, false },
        { "\x7f\xff\"", 2, true },
        { "\\/\\b\\f\\n\\r\\t\"", 12, false },
        { "\\n\x80\\x", 3, true },
    };
    char text[128];
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        for (size_t before = 0; before < 100; before++) {
            size_t len = strlen(cases[i].text);
            memset(text, 'x', before);
            memcpy(text + before, cases[i].text, len);
            for (size_t s = 0; s < set_count; s++) {
                bool high = false;
                EXPECT_EQ(sets[s]->quoted_run(text, before + len, &high), before + cases[i].run);
                EXPECT_EQ(high, cases[i].high);
            }
        }
    }
}

// Where the container at the start ends, found byte by byte; 0 if it does not.
static size_t container_by_hand(const char *text, size_t len)
{
    size_t depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < len; i++) {
        if (quoted && text[i] == '\\')
            i++;
        else if (text[i] == '"')
            quoted = !quoted;
        else if (!quoted && (text[i] == '{' || text[i] == '['))
            depth++;
        else if (!quoted && (text[i] == '}' || text[i] == ']') && --depth == 0)
            return i + 1;
    }
    return 0;
}

static void containers_end_where_they_do_by_hand(void)
{
    static const char bytes[] = "[]{}\"\"\\\\,x";
    struct env_fake fake;
    env_fake_init(&fake, 7);
    char *end = guarded_page_end();
    unsigned found = 0;
    for (int round = 0; round < 40 * ROUNDS && test_failures == 0; round++) {
        unsigned char dice[LEN_MAX + 2];
        env_random(&fake.env, dice, sizeof(dice));
        const size_t len = 1 + dice[0] % LEN_MAX, kinds = dice[1] % 2 ? sizeof(bytes) - 1 : 6;
        char *text = end - len;
        text[0] = '[';
        for (size_t i = 1; i < len; i++) // long strings as well as dense brackets
            text[i] = dice[i + 1] % 64 < dice[1] / 4 ? bytes[dice[i + 1] % kinds] : 'x';
        const size_t want = container_by_hand(text, len);
        bool quoted = false, stray = false; // a backslash outside strings may stop the search
        for (size_t i = 0; i < len; i++) {
            if (text[i] == '\\' && quoted)
                i++;
            else if (text[i] == '\\')
                stray = true;
            else if (text[i] == '"')
                quoted = !quoted;
        }
        for (size_t s = 0; s < set_count; s++) {
            if (sets[s]->container_run == NULL)
                continue;
            size_t run = sets[s]->container_run(text, len);
            EXPECT(run == want || (run == 0 && stray));
            found += run > 64;
        }
        struct json_slice value = json_value(span_of(text, len));
        EXPECT_EQ(value.text.len, want);
    }
    EXPECT(set_count < 3 || found > 100);
}

static void the_best_set_is_chosen(void)
{
    set_count = simd_sets(sets);
    EXPECT(set_count >= 1 && set_count <= SIMD_SETS_MAX);
    EXPECT(simd_best == sets[set_count - 1]);
    for (size_t s = 0; s < set_count; s++)
        printf("set %s\n", sets[s]->name);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(the_best_set_is_chosen),
        TEST(plain_utf8_knows_the_standard),
        TEST(sets_agree_on_random_bytes),
        TEST(sets_find_a_byte_far_away),
        TEST(sets_find_a_single_byte_anywhere),
        TEST(contents_of_strings_end_at_a_bare_quote),
        TEST(containers_end_where_they_do_by_hand),
        TEST(utf8_edges_are_judged_alike),
        TEST(valid_utf8_is_valid_until_one_byte_is_broken),
    };
    set_count = simd_sets(sets);
    return test_main(argc, argv, cases, ARRAY_LEN(cases));
}

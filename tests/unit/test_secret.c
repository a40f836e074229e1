// What secret.h, region.h and text.h promise.
#include "test.h"

#include "penstock/base/region.h"
#include "penstock/base/secret.h"
#include "penstock/base/text.h"

#include <stdint.h>

static void a_secret_comes_back_as_it_went_in(void)
{
    struct vault *vault;
    EXPECT(!failed(vault_new(&vault)));
    struct secret *a = secret_new(vault, SPAN("sk-ant-123"));
    struct secret *b = secret_new(vault, SPAN("sk-ant-124"));
    struct secret *empty = secret_new(vault, SPAN(""));
    struct secret *copy = secret_copy(vault, a);
    EXPECT_SPAN(secret_reveal(a), "sk-ant-123");
    EXPECT_EQ(secret_reveal(a).ptr[10], 0);
    EXPECT_EQ(secret_len(empty), 0);
    EXPECT(secret_eq(a, copy));
    EXPECT(!secret_eq(a, b));
    EXPECT(!secret_eq(a, empty));
    EXPECT_EQ(vault_stats(vault).secret_count, 4);
    secret_free(&a), secret_free(&b), secret_free(&empty), secret_free(&copy);
    secret_free(&copy); // harmless
    EXPECT_EQ(vault_stats(vault).secret_count, 0);
    vault_free(&vault);
    EXPECT(vault == NULL);
}

static void equal_bytes_are_equal_and_no_others(void)
{
    uint8_t a[70], b[70];
    for (size_t len = 0; len < sizeof(a); len++) {
        for (size_t i = 0; i < len; i++)
            a[i] = b[i] = (uint8_t)(i * 31);
        EXPECT(bytes_eq_secret(a, b, len));
        for (size_t bit = 0; bit < len * 8; bit++) {
            b[bit / 8] ^= (uint8_t)(1 << bit % 8);
            EXPECT(!bytes_eq_secret(a, b, len));
            b[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
    }
}

static void a_freed_secret_is_wiped_and_its_place_used_again(void)
{
    struct vault *vault;
    EXPECT(!failed(vault_new(&vault)));
    struct secret *secret = secret_new(vault, SPAN("the quick brown fox and more of it"));
    const char *bytes = secret_reveal(secret).ptr;
    const char *was = (const char *)secret;
    secret_free(&secret);
    EXPECT(memmem(bytes, 34, "quick", 5) == NULL);
    EXPECT(memmem(bytes, 34, "more", 4) == NULL);
    struct secret *next = secret_blank(vault, 34);
    EXPECT((const char *)next == was);
    for (size_t i = 0; i < 34; i++)
        EXPECT_EQ(secret_bytes(next)[i], 0);
    secret_free(&next);
    vault_free(&vault);
}

static void a_vault_grows_and_takes_every_size(void)
{
    enum { COUNT = 700 };
    static struct secret *secrets[COUNT];
    static char bytes[SECRET_MAX + 1];
    struct vault *vault;
    EXPECT(!failed(vault_new(&vault)));
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < COUNT; i++) {
            const size_t len = i * 7919 % (SECRET_MAX + 1);
            memset(bytes, (int)i & 0xff, len);
            secrets[i] = secret_new(vault, span_of(bytes, len));
            EXPECT(secrets[i] != NULL);
        }
        for (size_t i = 0; i < COUNT; i++) {
            const struct span got = secret_reveal(secrets[i]);
            EXPECT_EQ(got.len, i * 7919 % (SECRET_MAX + 1));
            memset(bytes, (int)i & 0xff, got.len);
            EXPECT(memcmp(got.ptr, bytes, got.len) == 0);
            secret_free(&secrets[i]);
        }
    }
    const size_t held = vault_stats(vault).bytes_held;
    EXPECT(held < 40 * MIB); // the second and third round found the places of the first
    EXPECT(vault_stats(vault).bytes_locked <= held);
    EXPECT(secret_new(vault, span_of(bytes, SECRET_MAX + 1)) == NULL);
    vault_free(&vault);
}

// The flags of a mapping as the kernel tells them: "dd" is left out of core dumps, "dc" is not
// given to children.
static bool has_flags(const void *address, const char *a, const char *b)
{
    FILE *maps = fopen("/proc/self/smaps", "r");
    char line[512];
    bool inside = false, found = false;
    while (maps != NULL && fgets(line, sizeof(line), maps) != NULL) {
        unsigned long start, end;
        if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
            inside = (uintptr_t)address >= start && (uintptr_t)address < end;
        if (inside && strncmp(line, "VmFlags:", 8) == 0)
            found = strstr(line, a) != NULL && strstr(line, b) != NULL;
    }
    if (maps != NULL)
        fclose(maps);
    return found;
}

static void a_secret_is_in_no_dump_and_in_no_child(void)
{
    struct vault *vault;
    EXPECT(!failed(vault_new(&vault)));
    struct secret *secret = secret_new(vault, SPAN("k"));
    EXPECT(has_flags(secret, " dd", " dc"));
    EXPECT(!has_flags(&vault, " dd", " dc")); // the check itself can fail
    secret_free(&secret);
    vault_free(&vault);
}

static void a_region_keeps_what_it_gave(void)
{
    struct region region;
    region_init(&region, 200);
    struct span texts[500];
    for (size_t i = 0; i < 500; i++)
        texts[i] = region_printf(&region, "%zu:%0*d", i, (int)(i * 37 % 900) + 1, 0);
    char *large = region_take(&region, 3 * MIB);
    memset(large, 0xee, 3 * MIB);
    for (size_t i = 0; i < 500; i++) {
        uint64_t number;
        EXPECT(span_u64(span_upto(texts[i], span_find(texts[i], ':')), &number) && number == i);
        EXPECT_EQ(texts[i].len, span_find(texts[i], ':') + 2 + i * 37 % 900);
        EXPECT_EQ(texts[i].ptr[texts[i].len], 0);
        EXPECT_EQ((uintptr_t)texts[i].ptr % REGION_ALIGN, 0);
    }
    EXPECT(region.bytes_held < region.bytes_used + 600 * KIB);
    region_fini(&region);
    EXPECT_EQ(region.bytes_held, 0);
    char *again = region_take(&region, 10); // usable after fini, and zeroed
    EXPECT_EQ(again[9], 0);
    region_fini(&region);
}

static void a_text_grows(void)
{
    struct text text = { 0 };
    EXPECT_EQ(text_span(&text).len, 0);
    for (int i = 0; i < 1000; i++)
        text_printf(&text, "%d,", i);
    text_add(&text, SPAN("end"));
    text_add_char(&text, '!', 3);
    EXPECT_EQ(text.len, 10 * 2 + 90 * 3 + 900 * 4 + 6);
    EXPECT_EQ(text.ptr[text.len], 0);
    EXPECT_SPAN(span_from(text_span(&text), text.len - 10), "999,end!!!");
    text_fini(&text);
}

static void utf8_is_told_from_the_rest(void)
{
    static const char *const good[] = { "",
                                        "a",
                                        "\xc2\x80",
                                        "\xe0\xa0\x80",
                                        "\xed\x9f\xbf",
                                        "\xf0\x90\x80\x80",
                                        "\xf4\x8f\xbf\xbf",
                                        "a\xc3\xa4z" };
    static const char *const bad[] = { "\x80",
                                       "\xc0\x80",
                                       "\xc1\xbf",
                                       "\xc2",
                                       "\xe0\x9f\xbf",
                                       "\xed\xa0\x80",
                                       "\xe2\x82",
                                       "\xf0\x8f\xbf\xbf",
                                       "\xf4\x90\x80\x80",
                                       "\xf5\x80\x80",
                                       "\xff",
                                       "a\xc3(" };
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        EXPECT(span_is_utf8(span_str(good[i])));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        EXPECT(!span_is_utf8(span_str(bad[i])));
}

TEST_MAIN(TEST(a_secret_comes_back_as_it_went_in), TEST(equal_bytes_are_equal_and_no_others),
          TEST(a_freed_secret_is_wiped_and_its_place_used_again),
          TEST(a_vault_grows_and_takes_every_size), TEST(a_secret_is_in_no_dump_and_in_no_child),
          TEST(a_region_keeps_what_it_gave), TEST(a_text_grows), TEST(utf8_is_told_from_the_rest))

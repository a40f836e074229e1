// What key.h promises: the form of a key's text, its digest, what a record keeps of it.
#include "test.h"

#include "model/base62.h"
#include "penstock/model/key.h"
#include "penstock/model/seal.h"

static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

static void base62_counts(void)
{
    uint8_t bytes[32] = { 0 };
    char text[43];
    base62_write(bytes, 32, text, 43);
    for (size_t i = 0; i < 43; i++)
        EXPECT_EQ(text[i], '0');
    for (unsigned i = 0; i < 256; i++) {
        bytes[31] = (uint8_t)i;
        base62_write(bytes, 32, text, 43);
        EXPECT_EQ(text[42], digits[i % 62]);
        EXPECT_EQ(text[41], digits[i / 62]);
        const char *at = i != 0 ? strchr(digits, (int)i) : NULL;
        EXPECT_EQ(base62_digit((unsigned char)i), at != NULL ? at - digits : 255);
    }
    // 2^256 - 1 in base 62, computed elsewhere.
    memset(bytes, 0xff, sizeof(bytes));
    base62_write(bytes, 32, text, 43);
    EXPECT_SPAN(span_of(text, 43), "yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp1");
}

static void a_minted_key_has_its_form(void)
{
    struct env_fake world;
    env_fake_init(&world, 1);
    char a[KEY_TEXT_LEN], b[KEY_TEXT_LEN];
    key_mint(&world.env, a);
    key_mint(&world.env, b);
    EXPECT_EQ(KEY_TEXT_LEN, 56);
    EXPECT(memcmp(a, "sk-pst-", 7) == 0);
    EXPECT(memcmp(a, b, KEY_TEXT_LEN) != 0);
    for (size_t i = 7; i < KEY_TEXT_LEN; i++)
        EXPECT(strchr(digits, a[i]) != NULL);
    EXPECT(key_text_check(span_of(a, KEY_TEXT_LEN)));
    EXPECT(key_text_check(span_of(b, KEY_TEXT_LEN)));
}

// The checksum is CRC-32 as zlib has it, so that scanners can be told how to find a key.
static void the_checksum_is_the_common_one(void)
{
    EXPECT(key_text_check(SPAN("sk-pst-0Eoh211G4c8wtVWM00my5rsNSFlKgaWqQ4mb8gdEqno3QeNOm")));
}

static void every_mistyped_key_is_refused(void)
{
    struct env_fake world;
    env_fake_init(&world, 2);
    char text[KEY_TEXT_LEN + 1];
    key_mint(&world.env, text);
    for (size_t at = 0; at < KEY_TEXT_LEN; at++) {
        const char was = text[at];
        for (unsigned byte = 0; byte < 256; byte++) {
            text[at] = (char)byte;
            EXPECT(key_text_check(span_of(text, KEY_TEXT_LEN)) == ((char)byte == was));
        }
        text[at] = was;
    }
    for (size_t at = 7; at + 1 < KEY_TEXT_LEN; at++) {
        if (text[at] == text[at + 1])
            continue;
        const char was = text[at];
        text[at] = text[at + 1], text[at + 1] = was;
        EXPECT(!key_text_check(span_of(text, KEY_TEXT_LEN)));
        text[at + 1] = text[at], text[at] = was;
    }
    text[KEY_TEXT_LEN] = 'x';
    EXPECT(!key_text_check(span_of(text, KEY_TEXT_LEN + 1)));
    EXPECT(!key_text_check(span_of(text, KEY_TEXT_LEN - 1)));
    EXPECT(!key_text_check(SPAN("")));
    EXPECT(!key_text_check(SPAN_NONE));
}

static void a_digest_depends_on_key_and_text(void)
{
    struct vault *vault;
    EXPECT(!failed(vault_new(&vault)));
    uint8_t bytes[32];
    for (unsigned i = 0; i < 32; i++)
        bytes[i] = (uint8_t)i;
    struct secret *lookup = secret_new(vault, span_of(bytes, 32));
    bytes[0] ^= 1;
    struct secret *other = secret_new(vault, span_of(bytes, 32));
    struct key_hasher hasher, other_hasher;
    key_hasher_init(&hasher, lookup);
    key_hasher_init(&other_hasher, other);
    uint8_t a[DIGEST_BYTES], b[DIGEST_BYTES];
    // BLAKE2b-256 of "abc" under the key 00 01 .. 1f, computed elsewhere.
    static const uint8_t want[DIGEST_BYTES] = { 0xd6, 0x3a, 0x32, 0xd3, 0xe4, 0x47, 0x38, 0xd7,
                                                0x90, 0x7f, 0x96, 0x43, 0x16, 0xc2, 0x41, 0xad,
                                                0xab, 0xa0, 0xab, 0xfe, 0xab, 0xc3, 0x23, 0x49,
                                                0x67, 0x75, 0x78, 0xa1, 0x5a, 0x20, 0x3f, 0x7f };
    key_digest(&hasher, SPAN("abc"), a);
    EXPECT(memcmp(a, want, DIGEST_BYTES) == 0);
    key_digest(&hasher, SPAN("abc"), b); // the prepared state is not used up
    EXPECT(key_digest_eq(a, b));
    key_digest(&hasher, SPAN("abd"), b);
    EXPECT(!key_digest_eq(a, b));
    key_digest(&other_hasher, SPAN("abc"), b);
    EXPECT(!key_digest_eq(a, b));
    secret_free(&lookup), secret_free(&other);
    vault_free(&vault);
}

static void a_record_keeps_the_digest_and_what_is_shown(void)
{
    struct vault *vault;
    struct env_fake world;
    struct keyring keyring;
    struct key_hasher hasher;
    EXPECT(!failed(vault_new(&vault)));
    env_fake_init(&world, 3);
    struct secret *master = secret_blank(vault, MASTER_KEY_BYTES);
    EXPECT(!failed(keyring_init(&keyring, vault, master)));
    key_hasher_init(&hasher, keyring.lookup);
    char text[KEY_TEXT_LEN];
    key_mint(&world.env, text);
    const struct span whole = span_of(text, KEY_TEXT_LEN);
    struct record *record = record_new(&key_table, vault);
    struct key *key = (struct key *)record;
    key->key = secret_new(vault, whole);
    key_adopt(key, &hasher, whole);
    EXPECT(key->key == NULL);
    EXPECT(span_eq(key->shown_head, span_upto(whole, 11)));
    EXPECT(span_eq(key->shown_tail, span_from(whole, KEY_TEXT_LEN - 4)));
    struct text stored = { 0 };
    EXPECT(!failed(record_pack(record, SPAN("k"), &keyring, &world.env, &stored)));
    EXPECT(memmem(stored.ptr, stored.len, text + 11, 20) == NULL);
    text_fini(&stored);
    record_free(&record);
    secret_free(&master);
    keyring_fini(&keyring);
    vault_free(&vault);
}

TEST_MAIN(TEST(base62_counts), TEST(a_minted_key_has_its_form),
          TEST(the_checksum_is_the_common_one), TEST(every_mistyped_key_is_refused),
          TEST(a_digest_depends_on_key_and_text), TEST(a_record_keeps_the_digest_and_what_is_shown))

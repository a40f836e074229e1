// What seal.h promises: a sealed secret opens with its key, in its place, unchanged, and only so.
#include "test.h"

#include "penstock/model/seal.h"

static struct vault *vault;
static struct env_fake world;
static struct keyring keyring, other;
static const struct seal_place place = { SPAN("account"), SPAN("acc_1"), SPAN("api_key") };

static struct keyring keyring_of(uint8_t byte)
{
    struct keyring made;
    struct secret *master = secret_blank(vault, MASTER_KEY_BYTES);
    memset(secret_bytes(master), byte, MASTER_KEY_BYTES);
    EXPECT(!failed(keyring_init(&made, vault, master)));
    secret_free(&master);
    return made;
}

static void setup(void)
{
    EXPECT(!failed(vault_new(&vault)));
    env_fake_init(&world, 11);
    keyring = keyring_of(1);
    other = keyring_of(2);
}

static void teardown(void)
{
    keyring_fini(&keyring);
    keyring_fini(&other);
    vault_free(&vault);
}

static bool opens(const struct keyring *with, const struct seal_place *at, struct span sealed)
{
    struct secret *secret;
    const struct err err = unseal(with, vault, at, sealed, &secret);
    EXPECT(failed(err) == (secret == NULL));
    EXPECT(!failed(err) || err.code == ERR_SEAL_BROKEN);
    secret_free(&secret);
    return !failed(err);
}

static void a_secret_goes_in_and_out(void)
{
    setup();
    static char bytes[SECRET_MAX];
    static const size_t lens[] = { 0, 1, 31, 32, 33, 500, SECRET_MAX };
    for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
        memset(bytes, 'a' + (int)i, lens[i]);
        struct text sealed = { 0 };
        text_add(&sealed, SPAN("before")); // it is appended
        seal(&keyring, &world.env, &place, span_of(bytes, lens[i]), &sealed);
        EXPECT_EQ(sealed.len, 6 + lens[i] + SEAL_OVERHEAD);
        struct secret *back;
        EXPECT(!failed(unseal(&keyring, vault, &place, span_from(text_span(&sealed), 6), &back)));
        EXPECT(span_eq(secret_reveal(back), span_of(bytes, lens[i])));
        secret_free(&back);
        text_fini(&sealed);
    }
    teardown();
}

static void the_same_secret_looks_different_each_time(void)
{
    setup();
    struct text a = { 0 }, b = { 0 };
    seal(&keyring, &world.env, &place, SPAN("same same same"), &a);
    seal(&keyring, &world.env, &place, SPAN("same same same"), &b);
    EXPECT(!span_eq(text_span(&a), text_span(&b)));
    EXPECT(memmem(a.ptr, a.len, "same", 4) == NULL);
    text_fini(&a), text_fini(&b);
    teardown();
}

static void it_opens_only_where_it_was_put(void)
{
    setup();
    struct text sealed = { 0 };
    seal(&keyring, &world.env, &place, SPAN("s"), &sealed);
    const struct span bytes = text_span(&sealed);
    EXPECT(opens(&keyring, &place, bytes));
    EXPECT(!opens(&other, &place, bytes)); // the guard: the key's id
    const struct seal_place kind = { SPAN("setting"), SPAN("acc_1"), SPAN("api_key") };
    const struct seal_place id = { SPAN("account"), SPAN("acc_2"), SPAN("api_key") };
    const struct seal_place field = { SPAN("account"), SPAN("acc_1"), SPAN("headers") };
    const struct seal_place shifted = { SPAN("accounta"), SPAN("cc_1"), SPAN("api_key") };
    EXPECT(!opens(&keyring, &kind, bytes));
    EXPECT(!opens(&keyring, &id, bytes));
    EXPECT(!opens(&keyring, &field, bytes));
    EXPECT(!opens(&keyring, &shifted, bytes));
    // Another master key does not open it under a borrowed id either.
    memcpy(sealed.ptr + 2, other.id, SEAL_KEY_ID_BYTES);
    EXPECT(!opens(&other, &place, bytes));
    text_fini(&sealed);
    teardown();
}

static void no_changed_bit_and_no_cut_passes(void)
{
    setup();
    struct text sealed = { 0 };
    seal(&keyring, &world.env, &place, SPAN("a secret of some length"), &sealed);
    const struct span bytes = text_span(&sealed);
    for (size_t bit = 0; bit < bytes.len * 8; bit++) {
        sealed.ptr[bit / 8] ^= (char)(1 << bit % 8);
        EXPECT(!opens(&keyring, &place, bytes));
        sealed.ptr[bit / 8] ^= (char)(1 << bit % 8);
    }
    for (size_t len = 0; len < bytes.len; len++)
        EXPECT(!opens(&keyring, &place, span_upto(bytes, len)));
    EXPECT(opens(&keyring, &place, bytes));
    text_fini(&sealed);
    teardown();
}

static void the_children_of_a_master_key_differ(void)
{
    setup();
    const struct keyring again = keyring_of(1);
    EXPECT(secret_eq(keyring.lookup, again.lookup));
    EXPECT(secret_eq(keyring.seal, again.seal));
    EXPECT(memcmp(keyring.id, again.id, SEAL_KEY_ID_BYTES) == 0);
    EXPECT(!secret_eq(keyring.lookup, keyring.seal));
    EXPECT(!secret_eq(keyring.lookup, keyring.session));
    EXPECT(!secret_eq(keyring.seal, keyring.session));
    EXPECT(!secret_eq(keyring.seal, other.seal));
    EXPECT(memcmp(keyring.id, other.id, SEAL_KEY_ID_BYTES) != 0);
    struct keyring copy = again;
    keyring_fini(&copy);
    struct secret *short_master = secret_blank(vault, 31);
    EXPECT_EQ(keyring_init(&copy, vault, short_master).code, ERR_INVALID);
    secret_free(&short_master);
    teardown();
}

// What is on the disk today must open tomorrow: the form is fixed. These bytes were also opened by
// another implementation of BLAKE2b, HChaCha20 and ChaCha20-Poly1305.
static void the_form_does_not_change(void)
{
    setup();
    static const uint8_t stored[] = {
        0x01, 0x01, 0x91, 0xc4, 0x94, 0xab, 0x3f, 0xff, 0xf9, 0x42, 0xe3, 0x6b, 0x47, 0x4c,
        0x36, 0xa9, 0xf3, 0x42, 0xa4, 0x69, 0x9d, 0x87, 0x18, 0xb9, 0x1a, 0x08, 0xfb, 0xd2,
        0x41, 0xf0, 0x34, 0xd0, 0xb2, 0xd5, 0xae, 0x9d, 0x97, 0xcb, 0x03, 0x19, 0x5b, 0xd1,
        0x99, 0x7d, 0x11, 0x02, 0x0d, 0xbe, 0x73, 0xe4, 0x6b, 0xa2, 0x06, 0x85, 0x8a, 0xb0,
    };
    struct secret *back;
    EXPECT(!failed(unseal(&keyring, vault, &place, span_of(stored, sizeof(stored)), &back)));
    if (back != NULL)
        EXPECT_SPAN(secret_reveal(back), "golden");
    secret_free(&back);
    teardown();
}

TEST_MAIN(TEST(a_secret_goes_in_and_out), TEST(the_same_secret_looks_different_each_time),
          TEST(it_opens_only_where_it_was_put), TEST(no_changed_bit_and_no_cut_passes),
          TEST(the_children_of_a_master_key_differ), TEST(the_form_does_not_change))

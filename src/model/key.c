#include "penstock/model/key.h"

#include "base62.h"
#include "checks.h"
#include "penstock/base/check.h"
#include "penstock/base/guard.h"

#include <sodium.h>
#include <zlib.h>

static const char prefix[] = "sk-pst-";
_Static_assert(sizeof(prefix) - 1 == KEY_PREFIX_LEN, "the prefix's length is part of the form");
_Static_assert(DIGEST_BYTES == crypto_generichash_BYTES, "a digest is BLAKE2b-256");

#define ROW(kind, name, tag, member, ...) \
    FIELD_ROW(kind, struct key, name, tag, member, __VA_ARGS__)

static const char *check_text(struct span text)
{
    return key_text_check(text) ? NULL : "is not a key of this gateway (sk-pst-...)";
}

static const struct field fields[] = {
    ROW(STRING, "id", 1, id, .flags = FIELD_IMMUTABLE, .max = 64, .check = check_id,
        .help = "What the key is called in records; made from the name if absent."),
    ROW(STRING, "name", 2, name, .flags = FIELD_REQUIRED, .max = 100, .check = check_name,
        .help = "What people call the key."),
    ROW(STRING, "description", 3, description, .flags = FIELD_LINES, .max = 1000,
        .help = "A note for people."),
    ROW(SECRET, "key", 4, key, .flags = FIELD_INPUT_ONLY | FIELD_FILE_ONLY, .max = 256,
        .check = check_text, .help = "The key itself; only its keyed hash is kept."),
    ROW(DIGEST, "digest", 5, digest, .flags = FIELD_HIDDEN | FIELD_FILE_ONLY,
        .help = "The keyed hash, from `penstock key create --digest`, instead of the key."),
    ROW(STRING, "shown_head", 6, shown_head, .flags = FIELD_READ_ONLY, .max = KEY_SHOWN_HEAD,
        .help = "How the key begins."),
    ROW(STRING, "shown_tail", 7, shown_tail, .flags = FIELD_READ_ONLY, .max = KEY_SHOWN_TAIL,
        .help = "How the key ends."),
    ROW(BOOL, "enabled", 8, enabled, .init = "true", .help = "Whether the key is accepted."),
    ROW(TIME, "expires_at", 9, expires_at, .zero = "never",
        .help = "The key is refused from then on."),
    ROW(ENUMS, "formats", 10, formats, .names = format_names,
        .help = "API formats that the key may speak; none: all."),
    ROW(STRINGS, "models", 11, models, .max = 1000, .check = check_pattern,
        .help = "Model names, or beginnings with *, that the key may use; none: all."),
    ROW(TIME, "created_at", 12, created_at, .flags = FIELD_READ_ONLY, .help = "When it was made."),
    ROW(TIME, "updated_at", 13, updated_at, .flags = FIELD_READ_ONLY,
        .help = "When it was last changed."),
};

static void check(const struct record *record, const struct value *from, const char *path,
                  struct problems *problems)
{
    const struct key *key = (const struct key *)record;
    // The API makes the key itself; a file brings it or its digest.
    const bool has_digest = value_find(from, SPAN("digest")) != NULL;
    if (key->key != NULL && has_digest)
        problem_add(problems, PROBLEM_EXCLUSIVE, from->place, path,
                    "only one of `key` and `digest` may be given");
}

const struct table key_table = {
    .name = "key",
    .plural = "keys",
    .size = sizeof(struct key),
    .version = 1,
    .version_min = 1,
    .fields = fields,
    .count = ARRAY_LEN(fields),
    .id_prefix = "key",
    .check = check,
};

// As in Ethernet and gzip, over everything before it.
static uint32_t crc_of(const char *text)
{
    return (uint32_t)crc32(0, (const uint8_t *)text, KEY_PREFIX_LEN + KEY_BODY_LEN);
}

void key_mint(struct env *env, char out[KEY_TEXT_LEN])
{
    uint8_t random[KEY_RANDOM_BYTES];
    env_random(env, random, sizeof(random));
    memcpy(out, prefix, KEY_PREFIX_LEN);
    base62_write(random, sizeof(random), out + KEY_PREFIX_LEN, KEY_BODY_LEN);
    const uint32_t crc = crc_of(out);
    const uint8_t bytes[4] = { (uint8_t)(crc >> 24), (uint8_t)(crc >> 16), (uint8_t)(crc >> 8),
                               (uint8_t)crc };
    base62_write(bytes, sizeof(bytes), out + KEY_PREFIX_LEN + KEY_BODY_LEN, KEY_CRC_LEN);
    bytes_wipe(random, sizeof(random));
}

// Sixteen characters at a time: all ones where a byte is no digit of base62.
typedef uint8_t lane16 __attribute__((vector_size(16)));

static lane16 foreign(const char *text)
{
    lane16 bytes;
    memcpy(&bytes, text, sizeof(bytes));
    const lane16 letter = (lane16)(((bytes | 0x20) - 'a') < 26);
    const lane16 number = (lane16)((bytes - '0') < 10);
    return ~(letter | number);
}

bool key_text_check(struct span text)
{
    if (text.len != KEY_TEXT_LEN)
        return false;
    // The last lane overlaps the one before: 49 characters are not a multiple of 16.
    const char *body = text.ptr + KEY_PREFIX_LEN;
    const lane16 lanes = foreign(body) | foreign(body + 16) | foreign(body + 32) |
                         foreign(text.ptr + KEY_TEXT_LEN - 16);
    uint64_t wrong[2];
    memcpy(wrong, &lanes, sizeof(wrong));
    for (size_t i = 0; i < KEY_PREFIX_LEN; i++)
        wrong[0] |= (uint64_t)(unsigned char)(text.ptr[i] ^ prefix[i]);
    uint64_t crc = 0;
    for (size_t i = KEY_TEXT_LEN - KEY_CRC_LEN; i < KEY_TEXT_LEN; i++)
        crc = crc * 62 + base62_digit((unsigned char)text.ptr[i]);
    const uint64_t sum = GUARD(KEY_CHECKSUM) ? crc ^ crc_of(text.ptr) : 0;
    return ((wrong[0] | wrong[1]) | sum) == 0;
}

void key_hasher_init(struct key_hasher *hasher, const struct secret *lookup_key)
{
    _Static_assert(sizeof(hasher->key) == crypto_generichash_KEYBYTES, "the lookup key's length");
    const struct span key = secret_reveal(lookup_key);
    assert(key.len == sizeof(hasher->key));
    memcpy(hasher->key, key.ptr, key.len);
}

void key_digest(const struct key_hasher *hasher, struct span text, uint8_t out[DIGEST_BYTES])
{
    verify(crypto_generichash(out, DIGEST_BYTES, (const uint8_t *)text.ptr, text.len, hasher->key,
                              sizeof(hasher->key)) == 0);
}

bool key_digest_eq(const uint8_t a[DIGEST_BYTES], const uint8_t b[DIGEST_BYTES])
{
    return bytes_eq_secret(a, b, DIGEST_BYTES);
}

void key_adopt(struct key *key, const struct key_hasher *hasher, struct span text)
{
    assert(text.len == KEY_TEXT_LEN);
    key_digest(hasher, text, key->digest);
    record_text(&key->record, &key->shown_head, span_upto(text, KEY_SHOWN_HEAD));
    record_text(&key->record, &key->shown_tail, span_from(text, text.len - KEY_SHOWN_TAIL));
    secret_free(&key->key);
}

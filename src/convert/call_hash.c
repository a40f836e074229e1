#include "call_hash.h"

#include "penstock/base/check.h"
#include "penstock/codec/json.h"

#include <sodium.h>

enum {
    HASH_PIECE = 256, // bytes of a text that are hashed at once
    HASH_DEPTH = 24,  // levels; what lies deeper is hashed as it is written
};

// Nobody's secret: what is found by these hashes is named by a keyed one.
static const unsigned char no_key[crypto_shorthash_KEYBYTES];

static uint64_t hash_bytes(const void *bytes, size_t len)
{
    uint64_t hash;
    _Static_assert(sizeof(hash) == crypto_shorthash_BYTES, "a hash is one number");
    verify(crypto_shorthash((unsigned char *)&hash, bytes, len, no_key) == 0);
    return hash;
}

uint64_t hash_pair(uint64_t one, uint64_t other)
{
    const uint64_t both[2] = { one, other };
    return hash_bytes(both, sizeof(both));
}

// A text in pieces: each is hashed with what came before.
struct texthash {
    uint64_t hash;
    size_t len;
    char piece[HASH_PIECE];
};

static void texthash_flush(struct texthash *text)
{
    text->hash = hash_pair(text->hash, hash_bytes(text->piece, text->len));
    text->len = 0;
}

static void texthash_add(struct texthash *text, struct span more)
{
    while (more.len > 0) {
        const size_t len = min_size(more.len, sizeof(text->piece) - text->len);
        memcpy(text->piece + text->len, more.ptr, len);
        text->len += len;
        more = span_from(more, len);
        if (text->len == sizeof(text->piece))
            texthash_flush(text);
    }
}

uint64_t hash_words(struct words words)
{
    struct texthash text = { 0 };
    char room[WORDS_PIECE_MAX];
    struct span rest = words.raw;
    if (!words.escaped)
        texthash_add(&text, rest);
    while (words.escaped && rest.len > 0)
        texthash_add(&text, words_piece(&rest, room));
    texthash_flush(&text);
    return text.hash;
}

static uint64_t hash_scalar(struct json_slice value)
{
    int64_t number;
    if (value.kind == JK_STRING)
        return hash_pair(JK_STRING, hash_words(words_of(value)));
    if (value.kind == JK_NUMBER && json_i64(value, &number)) // 5, 5.0
        return hash_pair(JK_NUMBER, (uint64_t)number);
    return hash_pair(value.kind, hash_words(words_plain(value.text)));
}

struct level {
    struct json_iter iter;
    bool object;
    uint64_t key; // of the member at hand
    uint64_t hash;
};

// The order of elements counts, that of members does not.
static void level_add(struct level *level, uint64_t child)
{
    if (level->object)
        level->hash += hash_pair(level->key, child);
    else
        level->hash = hash_pair(level->hash, child);
}

static uint64_t hash_value(struct json_slice root)
{
    struct level levels[HASH_DEPTH], outer = { 0 };
    unsigned depth = 0;
    struct json_slice value = root;
    for (;;) {
        const bool object = value.kind == JK_OBJECT;
        if ((object || value.kind == JK_ARRAY) && depth < HASH_DEPTH)
            levels[depth++] = (struct level){
                .iter = object ? json_members_of(value) : json_elements_of(value),
                .object = object,
            };
        else
            level_add(depth > 0 ? &levels[depth - 1] : &outer, hash_scalar(value));
        // The next value, after the ends of those containers that have none.
        bool more = false;
        while (depth > 0 && !more) {
            struct level *level = &levels[depth - 1];
            struct span key = SPAN_NONE;
            more = level->object ? json_member_next(&level->iter, &key, &value)
                                 : json_element_next(&level->iter, &value);
            level->key = more && level->object ? hash_words(words_escaped(key)) : 0;
            if (more)
                break;
            depth--;
            level_add(depth > 0 ? &levels[depth - 1] : &outer,
                      hash_pair(level->object ? JK_OBJECT : JK_ARRAY, level->hash));
        }
        if (!more)
            return outer.hash;
    }
}

uint64_t hash_json(struct span text)
{
    struct json_slice root;
    if (words_blank(words_plain(text)))
        text = SPAN("{}");
    if (json_check(text, &root))
        return hash_value(root);
    return hash_words(words_plain(text));
}

#include "penstock/convert/ids.h"

#include "penstock/base/check.h"
#include "penstock/base/guard.h"

#include <sodium.h>

// ----------------------------------------------------------------------------------------- ids

static bool is_plain_letter(char letter)
{
    return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
           (letter >= '0' && letter <= '9') || letter == '_' || letter == '-';
}

static const char digits62[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

// A good mixer of 64 bits (splitmix64's).
static uint64_t mix(uint64_t value)
{
    value += UINT64_C(0x9e3779b97f4a7c15);
    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
    return value ^ (value >> 31);
}

void id_put_random(struct sink *out, uint64_t seed, uint64_t number, unsigned count)
{
    uint64_t state = mix(seed ^ mix(number));
    for (unsigned i = 0; i < count; i++) {
        state = mix(state);
        sink_put(out, span_of(&digits62[state % 62], 1));
    }
}

static bool is_digit_or_dash(char letter)
{
    return (letter >= '0' && letter <= '9') || letter == '-';
}

// The first bytes of a text with everything illegal replaced, and eight digits of its hash, so that
// what was different stays so. `named`: it may not begin with a digit or a dash.
static void put_marked(struct sink *out, struct span text, bool named)
{
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < min_size(text.len, ALIAS_KEEP); i++) {
        bool good =
            is_plain_letter(text.ptr[i]) && !(named && i == 0 && is_digit_or_dash(text.ptr[i]));
        sink_put(out, good ? span_of(text.ptr + i, 1) : SPAN("_"));
    }
    uint8_t hash[crypto_generichash_BYTES_MIN];
    verify(crypto_generichash(hash, sizeof(hash), (const unsigned char *)text.ptr, text.len, NULL,
                              0) == 0);
    SINK_TEXT(out, "_");
    for (unsigned i = 0; i < 4; i++) {
        sink_put(out, span_of(&hex[hash[i] >> 4], 1));
        sink_put(out, span_of(&hex[hash[i] & 15], 1));
    }
}

static bool is_legal(struct span text, size_t max, bool named)
{
    if (text.len == 0 || text.len > max || (named && is_digit_or_dash(text.ptr[0])))
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (!is_plain_letter(text.ptr[i]))
            return false;
    return true;
}

enum { LOOKED_AT = 512 }; // bytes of a name or id that decide its hash

static void put_legal(struct sink *out, struct words words, size_t max, bool named)
{
    char room[LOOKED_AT];
    struct span text = span_upto(words.raw, min_size(words.raw.len, sizeof(room)));
    if (words.escaped)
        text = span_of(room, words_decode(words, room, sizeof(room), NULL));
    if (is_legal(text, max, named))
        sink_put(out, text);
    else
        put_marked(out, text, named);
}

void id_put_call(struct sink *out, struct words id, enum wire_family to, uint64_t random,
                 uint32_t call)
{
    if (!words_none(id)) {
        put_legal(out, id, CALL_ID_MAX, false);
        return;
    }
    sink_put(out, to == FAMILY_ANTHROPIC ? SPAN("toolu_") : SPAN("call_"));
    id_put_random(out, random, call, 24);
}

void id_put_answer(struct sink *out, struct span vendor_id, enum wire_family to, uint64_t random)
{
    static const struct span prefixes[] = {
        [FAMILY_OPENAI] = SPAN("chatcmpl-"),
        [FAMILY_RESPONSES] = SPAN("resp_"),
        [FAMILY_ANTHROPIC] = SPAN("msg_"),
        [FAMILY_GEMINI] = SPAN(""),
    };
    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++)
        if (prefixes[i].len > 0 && span_starts(vendor_id, prefixes[i]))
            vendor_id = span_from(vendor_id, prefixes[i].len);
    sink_put(out, prefixes[to]);
    size_t kept = 0;
    for (size_t i = 0; i < vendor_id.len && kept < 48; i++) {
        if (!is_plain_letter(vendor_id.ptr[i]))
            continue;
        sink_put(out, span_of(vendor_id.ptr + i, 1));
        kept++;
    }
    if (kept == 0)
        id_put_random(out, random, UINT64_MAX, 24);
}

void id_put_hash(struct sink *out, struct words id)
{
    uint8_t hash[16];
    char text[2 * sizeof(hash) + 1];
    verify(crypto_generichash(hash, sizeof(hash), (const unsigned char *)id.raw.ptr, id.raw.len,
                              NULL, 0) == 0);
    sodium_bin2hex(text, sizeof(text), hash, sizeof(hash));
    sink_put(out, span_str(text));
}

static size_t name_max(enum wire_family to)
{
    return to == FAMILY_ANTHROPIC ? 128 : TOOL_NAME_MAX;
}

bool name_is_legal(struct words name, enum wire_family to)
{
    char room[LOOKED_AT];
    struct span text = words_view(name, room, sizeof(room));
    return text.ptr != NULL && is_legal(text, name_max(to), to == FAMILY_GEMINI);
}

void name_put(struct sink *out, struct words name, enum wire_family to)
{
    put_legal(out, name, name_max(to), to == FAMILY_GEMINI);
}

// ----------------------------------------------------------------------------------- envelopes

static const char makers[] = { [MAKER_NONE] = 'n',
                               [MAKER_CHAT] = 'c',
                               [MAKER_RESPONSES] = 'o',
                               [MAKER_ANTHROPIC] = 'a',
                               [MAKER_GEMINI] = 'g' };

// Base64 of bytes that come in pieces, for URLs and without padding, with their hash.
struct sealer {
    struct sink sink; // what is written here is encoded and goes on
    struct sink *out;
    char room[SINK_ROOM_MIN * 3];
    uint32_t bits;
    unsigned bit_count;
    crypto_generichash_state hash;
};

static const char digits64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static bool seal_more(struct sink *sink)
{
    struct sealer *sealer = container_of(sink, struct sealer, sink);
    size_t len = (size_t)(sink->at - sealer->room);
    verify(crypto_generichash_update(&sealer->hash, (const unsigned char *)sealer->room, len) == 0);
    for (size_t i = 0; i < len; i++) {
        sealer->bits = sealer->bits << 8 | (unsigned char)sealer->room[i];
        for (sealer->bit_count += 8; sealer->bit_count >= 6; sealer->bit_count -= 6)
            sink_put(sealer->out,
                     span_of(&digits64[sealer->bits >> (sealer->bit_count - 6) & 63], 1));
    }
    sink->at = sealer->room;
    sink->end = sealer->room + sizeof(sealer->room);
    return !sealer->out->failed;
}

static void seal_end(struct sealer *sealer)
{
    (void)seal_more(&sealer->sink);
    if (sealer->bit_count > 0)
        sink_put(sealer->out, span_of(&digits64[sealer->bits << (6 - sealer->bit_count) & 63], 1));
    sealer->bit_count = 0;
}

static void seal_begin(struct sealer *sealer, struct sink *out, const uint8_t *key, char maker)
{
    static const uint8_t no_key[ENVELOPE_KEY_BYTES];
    *sealer = (struct sealer){ .out = out };
    sealer->sink = sink_into(sealer->room, sizeof(sealer->room));
    sealer->sink.more = seal_more;
    verify(crypto_generichash_init(&sealer->hash, key != NULL ? key : no_key, ENVELOPE_KEY_BYTES,
                                   ENVELOPE_MAC_BYTES + 4) == 0);
    verify(crypto_generichash_update(&sealer->hash, (const unsigned char *)&maker, 1) == 0);
}

void envelope_put(struct sink *out, const struct signature *signature, enum maker native,
                  const struct answer_facts *facts, enum envelope_kind kind)
{
    envelope_put_with(out, signature, native, facts, kind, WORDS_NONE, NULL);
}

void envelope_put_with(struct sink *out, const struct signature *signature, enum maker native,
                       const struct answer_facts *facts, enum envelope_kind kind, struct words text,
                       const struct rope *rope)
{
    if (signature->maker == (uint8_t)native && !words_none(signature->text)) {
        sink_string(out, signature->text);
        return;
    }
    static const struct span kinds[] = { [ENVELOPE_THOUGHT] = SPAN("text"),
                                         [ENVELOPE_REDACTED] = SPAN("redacted"),
                                         [ENVELOPE_CALL] = SPAN("call") };
    char maker = makers[signature->maker];
    SINK_TEXT(out, ENVELOPE_PREFIX);
    sink_put(out, span_of(&maker, 1));
    SINK_TEXT(out, ".");
    struct sealer sealer;
    seal_begin(&sealer, out, facts->key, maker);
    SINK_TEXT(&sealer.sink, "{\"m\":");
    sink_quoted(&sealer.sink, words_plain(facts->model));
    if (facts->account != 0) {
        SINK_TEXT(&sealer.sink, ",\"a\":");
        sink_u64(&sealer.sink, facts->account);
    }
    if (!words_none(signature->id)) {
        SINK_TEXT(&sealer.sink, ",\"i\":");
        sink_quoted(&sealer.sink, signature->id);
    }
    if (!words_none(signature->text)) {
        SINK_TEXT(&sealer.sink, ",\"s\":");
        sink_quoted(&sealer.sink, signature->text);
    }
    SINK_TEXT(&sealer.sink, ",\"t\":\"");
    sink_put(&sealer.sink, kinds[kind]);
    if (!words_none(text) || (rope != NULL && rope->len > 0)) {
        SINK_TEXT(&sealer.sink, "\",\"x\":\"");
        sink_string(&sealer.sink, text);
        if (rope != NULL)
            rope_put(rope, &sealer.sink);
    }
    SINK_TEXT(&sealer.sink, "\"}");
    seal_end(&sealer);
    uint8_t mac[ENVELOPE_MAC_BYTES + 4];
    char made[sodium_base64_ENCODED_LEN(sizeof(mac), sodium_base64_VARIANT_URLSAFE_NO_PADDING)];
    verify(crypto_generichash_final(&sealer.hash, mac, sizeof(mac)) == 0);
    sodium_bin2base64(made, sizeof(made), mac, ENVELOPE_MAC_BYTES,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    SINK_TEXT(out, ".");
    sink_put(out, span_str(made));
}

static bool mac_is_right(struct span payload, struct span mac, char maker, const uint8_t *key)
{
    struct sealer sealer;
    struct sink nowhere = { 0 };
    seal_begin(&sealer, &nowhere, key, maker);
    verify(crypto_generichash_update(&sealer.hash, (const unsigned char *)payload.ptr,
                                     payload.len) == 0);
    uint8_t made[ENVELOPE_MAC_BYTES + 4], given[ENVELOPE_MAC_BYTES];
    verify(crypto_generichash_final(&sealer.hash, made, sizeof(made)) == 0);
    size_t len;
    return sodium_base642bin(given, sizeof(given), mac.ptr, mac.len, NULL, &len, NULL,
                             sodium_base64_VARIANT_URLSAFE_NO_PADDING) == 0 &&
           len == sizeof(given) && sodium_memcmp(made, given, sizeof(given)) == 0;
}

static void read_payload(struct json_slice payload, uint64_t account, struct signature *out,
                         enum envelope_kind *kind)
{
    uint64_t issuer = 0;
    struct json_slice named = json_get(payload, SPAN("a"));
    if (named.kind != JK_NONE && !json_u64(named, &issuer))
        issuer = 0;
    out->text = words_of(json_get(payload, SPAN("s")));
    out->id = words_of(json_get(payload, SPAN("i")));
    out->thought = words_of(json_get(payload, SPAN("x")));
    struct json_slice what = json_get(payload, SPAN("t"));
    *kind = json_string_is(what, SPAN("redacted")) ? ENVELOPE_REDACTED
            : json_string_is(what, SPAN("call"))   ? ENVELOPE_CALL
                                                   : ENVELOPE_THOUGHT;
    if (issuer != account && !words_none(out->text) && GUARD(CONVERT_ENVELOPE_ACCOUNT)) {
        out->text = out->id = WORDS_NONE;
        out->maker = MAKER_NONE;
    }
}

bool envelope_read(struct words text, enum maker native, const uint8_t *key, uint64_t account,
                   struct scratch *scratch, struct signature *out, enum envelope_kind *kind)
{
    *out = (struct signature){ .text = text, .maker = (uint8_t)native };
    *kind = ENVELOPE_THOUGHT;
    struct span rest = text.raw;
    if (!span_starts(rest, SPAN(ENVELOPE_PREFIX)))
        return true; // the format's own
    rest = span_from(rest, sizeof(ENVELOPE_PREFIX) - 1);
    const char *maker = rest.len > 2 ? memchr(makers, rest.ptr[0], sizeof(makers)) : NULL;
    if (maker == NULL || rest.ptr[1] != '.')
        return false;
    rest = span_from(rest, 2);
    size_t dot = span_find(rest, '.');
    if (dot == rest.len)
        return false;
    char *room = scratch_take(scratch, max_size(dot, 1));
    size_t len;
    if (room == NULL ||
        sodium_base642bin((unsigned char *)room, max_size(dot, 1), rest.ptr, dot, NULL, &len, NULL,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0)
        return false;
    struct json_slice payload;
    if (!mac_is_right(span_of(room, len), span_from(rest, dot + 1), *maker, key) ||
        !json_check(span_of(room, len), &payload))
        return false;
    out->maker = (uint8_t)(maker - makers);
    read_payload(payload, account, out, kind);
    return true;
}

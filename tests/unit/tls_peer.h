// tls_peer.h - a TLS 1.3 client of our own, small enough to misbehave in every way we like.
//
// It knows one suite (TLS_AES_128_GCM_SHA256) and two groups, checks nothing of the server's
// certificate, and lets the test build its ClientHello and every record byte by byte. RFC 8446;
// the numbers in comments are its sections.
#ifndef PENSTOCK_TEST_TLS_PEER_H
#define PENSTOCK_TEST_TLS_PEER_H

#include "penstock/base/check.h"
#include "tls_pair.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

enum {
    HASH_LEN = 32,
    PEER_IV_LEN = 12,
    PEER_TAG_LEN = 16,
    PEER_BYTES_MAX = 64 * 1024,
    GROUP_P256_ID = 0x0017,
    GROUP_X25519_ID = 0x001d,
};

// A growing text of bytes with length fields that are filled in afterwards.
struct bytes {
    uint8_t at[PEER_BYTES_MAX];
    size_t len;
};

static inline void put_bytes(struct bytes *out, const void *ptr, size_t len)
{
    verify(out->len + len <= sizeof(out->at));
    if (len > 0)
        memcpy(out->at + out->len, ptr, len);
    out->len += len;
}

static inline void put_number(struct bytes *out, uint64_t value, size_t width)
{
    for (size_t i = width; i-- > 0;) {
        uint8_t byte = (uint8_t)(value >> (8 * i));
        put_bytes(out, &byte, 1);
    }
}

// Where a length of `width` bytes is to stand; close_length() writes it.
static inline size_t open_length(struct bytes *out, size_t width)
{
    put_number(out, 0, width);
    return out->len;
}

static inline void close_length(struct bytes *out, size_t start, size_t width)
{
    size_t len = out->len - start;
    for (size_t i = 0; i < width; i++)
        out->at[start - 1 - i] = (uint8_t)(len >> (8 * i));
}

struct keys {
    uint8_t secret[HASH_LEN];
    uint8_t key[16], iv[PEER_IV_LEN];
    uint64_t sequence;
};

// What the ClientHello shall hold. Zeroed, it is an honest one.
struct hello_plan {
    bool no_share;         // key_share without entries: the server asks again
    bool p256;             // the only share is of P-256
    const uint8_t *point;  // this share instead of an honest one
    size_t point_len;      // its length
    bool share_twice;      // the same group again
    bool extension_twice;  // supported_groups again
    bool alpn_overrun;     // the last name of the protocol list runs over its end
    const char *alpn;      // NULL: http/1.1
    const char *sni;       // NULL: api.example.com
    size_t sni_len;        // 0: strlen
    uint16_t suite;        // 0: TLS_AES_128_GCM_SHA256
    uint16_t version;      // of supported_versions; 0: TLS 1.3
    size_t padding;        // bytes of a padding extension
    const uint8_t *ticket; // a pre_shared_key extension with this identity
    size_t ticket_len;
};

struct peer {
    struct tls *server;
    struct wire from_server;
    struct wire heard;       // plaintext the server sent
    struct wire told;        // plaintext the server received
    struct bytes transcript; // handshake messages, for the hashes
    struct bytes plain;      // decrypted handshake messages of the server, not yet taken
    EVP_PKEY *x25519;
    BIGNUM *p256_scalar;
    EC_GROUP *p256_group;
    struct keys send, receive;
    uint8_t next_secret[HASH_LEN]; // ours, from our Finished on
    uint8_t handshake_secret[HASH_LEN], master_secret[HASH_LEN];
    bool encrypted; // of what the server sends
    bool finished;  // the server's Finished was seen and is right
    bool retry;     // a HelloRetryRequest came
    uint8_t alert;  // the last alert the server sent, if any
    bool closed;    // an alert came
    unsigned tickets, key_updates;
    enum tls_result last;
    bool open;
};

// ---- Key schedule (7.1) ----

static inline void hkdf_expand_label(const uint8_t *secret, const char *label,
                                     const uint8_t *context, size_t context_len, uint8_t *out,
                                     size_t len)
{
    struct bytes info = { .len = 0 };
    put_number(&info, len, 2);
    put_number(&info, 6 + strlen(label), 1);
    put_bytes(&info, "tls13 ", 6);
    put_bytes(&info, label, strlen(label));
    put_number(&info, context_len, 1);
    put_bytes(&info, context, context_len);
    put_number(&info, 1, 1); // the counter: one block is always enough
    uint8_t block[HASH_LEN];
    verify(HMAC(EVP_sha256(), secret, HASH_LEN, info.at, info.len, block, NULL) != NULL);
    verify(len <= HASH_LEN);
    memcpy(out, block, len);
}

static inline void hkdf_extract(const uint8_t *salt, const uint8_t *input, size_t input_len,
                                uint8_t *out)
{
    verify(HMAC(EVP_sha256(), salt, HASH_LEN, input, input_len, out, NULL) != NULL);
}

static inline void derive_secret(const uint8_t *secret, const char *label,
                                 const struct bytes *messages, uint8_t *out)
{
    uint8_t hash[HASH_LEN];
    SHA256(messages != NULL ? messages->at : (const uint8_t *)"",
           messages != NULL ? messages->len : 0, hash);
    hkdf_expand_label(secret, label, hash, HASH_LEN, out, HASH_LEN);
}

static inline void keys_set(struct keys *keys, const uint8_t *secret)
{
    memmove(keys->secret, secret, HASH_LEN);
    hkdf_expand_label(secret, "key", NULL, 0, keys->key, sizeof(keys->key));
    hkdf_expand_label(secret, "iv", NULL, 0, keys->iv, sizeof(keys->iv));
    keys->sequence = 0;
}

// The next generation after a KeyUpdate (7.2).
static inline void keys_next(struct keys *keys)
{
    uint8_t next[HASH_LEN];
    hkdf_expand_label(keys->secret, "traffic upd", NULL, 0, next, HASH_LEN);
    keys_set(keys, next);
}

static inline void derive_handshake(struct peer *peer, const uint8_t *shared, size_t shared_len)
{
    static const uint8_t zeros[HASH_LEN];
    uint8_t early[HASH_LEN], derived[HASH_LEN], secret[HASH_LEN];
    hkdf_extract(zeros, zeros, HASH_LEN, early);
    derive_secret(early, "derived", NULL, derived);
    hkdf_extract(derived, shared, shared_len, peer->handshake_secret);
    derive_secret(peer->handshake_secret, "c hs traffic", &peer->transcript, secret);
    keys_set(&peer->send, secret);
    derive_secret(peer->handshake_secret, "s hs traffic", &peer->transcript, secret);
    keys_set(&peer->receive, secret);
    derive_secret(peer->handshake_secret, "derived", NULL, derived);
    hkdf_extract(derived, zeros, HASH_LEN, peer->master_secret);
    peer->encrypted = true;
}

// ---- Records (5.2) ----

static inline void record_nonce(struct keys *keys, uint8_t *nonce)
{
    memcpy(nonce, keys->iv, PEER_IV_LEN);
    for (int i = 0; i < 8; i++)
        nonce[PEER_IV_LEN - 1 - i] ^= (uint8_t)(keys->sequence >> (8 * i));
    keys->sequence++;
}

static inline void feed_server(struct peer *peer, const void *ptr, size_t len);

// Seals `inner`, whatever it is: the test decides about the content type and the padding.
static inline void peer_send_inner(struct peer *peer, const void *inner, size_t len)
{
    struct bytes record = { .len = 0 };
    uint8_t nonce[PEER_IV_LEN];
    int done;
    put_number(&record, 0x170303, 3);
    put_number(&record, len + PEER_TAG_LEN, 2);
    record_nonce(&peer->send, nonce);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    verify(EVP_EncryptInit_ex(ctx, EVP_aes_128_gcm(), NULL, peer->send.key, nonce) == 1);
    verify(EVP_EncryptUpdate(ctx, NULL, &done, record.at, 5) == 1);
    verify(len == 0 || EVP_EncryptUpdate(ctx, record.at + 5, &done, inner, (int)len) == 1);
    verify(EVP_EncryptFinal_ex(ctx, record.at + 5 + len, &done) == 1);
    verify(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, PEER_TAG_LEN, record.at + 5 + len) == 1);
    EVP_CIPHER_CTX_free(ctx);
    feed_server(peer, record.at, 5 + len + PEER_TAG_LEN);
}

static inline void peer_send(struct peer *peer, uint8_t content, const void *ptr, size_t len)
{
    struct bytes inner = { .len = 0 };
    put_bytes(&inner, ptr, len);
    put_number(&inner, content, 1);
    peer_send_inner(peer, inner.at, inner.len);
}

// A record in the clear.
static inline void peer_send_plain(struct peer *peer, uint8_t content, const void *ptr, size_t len)
{
    struct bytes record = { .len = 0 };
    put_number(&record, content, 1);
    put_number(&record, 0x0303, 2);
    put_number(&record, len, 2);
    put_bytes(&record, ptr, len);
    feed_server(peer, record.at, record.len);
}

// Opens a record of the server; returns the content type, 0 when it does not open.
static inline uint8_t open_record(struct peer *peer, const uint8_t *record, size_t len,
                                  struct bytes *out)
{
    uint8_t nonce[PEER_IV_LEN], tag[PEER_TAG_LEN];
    int done;
    out->len = len - 5 - PEER_TAG_LEN;
    memcpy(tag, record + len - PEER_TAG_LEN, PEER_TAG_LEN);
    record_nonce(&peer->receive, nonce);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    verify(EVP_DecryptInit_ex(ctx, EVP_aes_128_gcm(), NULL, peer->receive.key, nonce) == 1);
    verify(EVP_DecryptUpdate(ctx, NULL, &done, record, 5) == 1);
    verify(EVP_DecryptUpdate(ctx, out->at, &done, record + 5, (int)out->len) == 1);
    verify(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, PEER_TAG_LEN, tag) == 1);
    bool opened = EVP_DecryptFinal_ex(ctx, tag, &done) == 1;
    EVP_CIPHER_CTX_free(ctx);
    while (opened && out->len > 0 && out->at[out->len - 1] == 0)
        out->len--;
    return opened && out->len > 0 ? out->at[--out->len] : 0;
}

// ---- What the server says ----

static inline void on_server_hello(struct peer *peer, const uint8_t *message, size_t len)
{
    static const uint8_t retry_begin[4] = { 0xcf, 0x21, 0xad, 0x74 };
    size_t at = 4 + 2 + 32 + 1 + message[38] + 2 + 1 + 2;
    peer->retry = memcmp(message + 6, retry_begin, sizeof(retry_begin)) == 0;
    if (peer->retry) { // the first hello counts as its hash (4.4.1)
        uint8_t hash[HASH_LEN];
        SHA256(peer->transcript.at, peer->transcript.len, hash);
        peer->transcript.len = 0;
        put_number(&peer->transcript, 0xfe000020, 4);
        put_bytes(&peer->transcript, hash, HASH_LEN);
        put_bytes(&peer->transcript, message, len);
        return;
    }
    put_bytes(&peer->transcript, message, len);
    while (at + 4 <= len) {
        uint32_t type = (uint32_t)message[at] << 8 | message[at + 1];
        size_t size = (size_t)message[at + 2] << 8 | message[at + 3];
        const uint8_t *body = message + at + 4;
        at += 4 + size;
        if (type != 51)
            continue;
        uint8_t shared[HASH_LEN];
        size_t shared_len = sizeof(shared);
        if (body[1] == (GROUP_X25519_ID & 0xff)) {
            EVP_PKEY *theirs = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, body + 4, 32);
            EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(peer->x25519, NULL);
            verify(EVP_PKEY_derive_init(ctx) == 1 && EVP_PKEY_derive_set_peer(ctx, theirs) == 1);
            verify(EVP_PKEY_derive(ctx, shared, &shared_len) == 1);
            EVP_PKEY_CTX_free(ctx);
            EVP_PKEY_free(theirs);
        } else {
            EC_POINT *point = EC_POINT_new(peer->p256_group);
            BIGNUM *x = BN_new();
            verify(EC_POINT_oct2point(peer->p256_group, point, body + 4, 65, NULL) == 1);
            verify(EC_POINT_mul(peer->p256_group, point, NULL, point, peer->p256_scalar, NULL));
            verify(EC_POINT_get_affine_coordinates(peer->p256_group, point, x, NULL, NULL) == 1);
            verify(BN_bn2binpad(x, shared, 32) == 32);
            BN_free(x);
            EC_POINT_free(point);
        }
        derive_handshake(peer, shared, shared_len);
    }
}

static inline void finished_mac(struct peer *peer, const struct keys *keys, uint8_t *out)
{
    uint8_t key[HASH_LEN], hash[HASH_LEN];
    hkdf_expand_label(keys->secret, "finished", NULL, 0, key, HASH_LEN);
    SHA256(peer->transcript.at, peer->transcript.len, hash);
    verify(HMAC(EVP_sha256(), key, HASH_LEN, hash, HASH_LEN, out, NULL) != NULL);
}

static inline void on_message(struct peer *peer, const uint8_t *message, size_t len)
{
    uint8_t mac[HASH_LEN];
    switch (message[0]) {
    case 2: on_server_hello(peer, message, len); return;
    case 4: peer->tickets++; return;
    case 20:
        finished_mac(peer, &peer->receive, mac);
        peer->finished = len == 4 + HASH_LEN && memcmp(message + 4, mac, HASH_LEN) == 0;
        put_bytes(&peer->transcript, message, len);
        // Both application secrets stand on the transcript up to here; the server sends by its own
        // from now on.
        derive_secret(peer->master_secret, "c ap traffic", &peer->transcript, peer->next_secret);
        derive_secret(peer->master_secret, "s ap traffic", &peer->transcript, mac);
        keys_set(&peer->receive, mac);
        return;
    case 24:
        peer->key_updates++;
        keys_next(&peer->receive);
        return;
    default: put_bytes(&peer->transcript, message, len); return;
    }
}

static inline void take_messages(struct peer *peer)
{
    size_t at = 0;
    while (peer->plain.len - at >= 4) {
        const uint8_t *message = peer->plain.at + at;
        size_t len = 4 + ((size_t)message[1] << 16 | (size_t)message[2] << 8 | message[3]);
        if (peer->plain.len - at < len)
            break;
        on_message(peer, message, len);
        at += len;
    }
    memmove(peer->plain.at, peer->plain.at + at, peer->plain.len - at);
    peer->plain.len -= at;
}

// Reads everything that the server has sent.
static inline void peer_receive(struct peer *peer)
{
    static struct bytes inner;
    struct wire *wire = &peer->from_server;
    while (wire->len - wire->at >= 5) {
        const uint8_t *record = (const uint8_t *)wire->bytes + wire->at;
        size_t len = 5 + ((size_t)record[3] << 8 | record[4]);
        if (wire->len - wire->at < len)
            return;
        wire->at += len;
        uint8_t content = record[0];
        inner.len = 0;
        if (content == 23 && peer->encrypted)
            content = open_record(peer, record, len, &inner);
        else
            put_bytes(&inner, record + 5, len - 5);
        if (content == 21) {
            peer->closed = true;
            peer->alert = inner.at[1];
        } else if (content == 22) {
            put_bytes(&peer->plain, inner.at, inner.len);
            take_messages(peer);
        } else if (content == 23) {
            (void)wire_send(&peer->heard, span_of(inner.at, inner.len)).code;
        }
    }
}

// Gives the server bytes, in a block of exactly their size, and lets it do all it can.
static inline void feed_server(struct peer *peer, const void *ptr, size_t len)
{
    if (peer->last == TLS_FAILED)
        return;
    struct end end = { .tls = peer->server, .open = peer->open };
    char *block = malloc(len > 0 ? len : 1);
    verify(block != NULL);
    memcpy(block, ptr, len);
    tls_feed(peer->server, span_of(block, len));
    end_drive(&end);
    verify(tls_input_left(peer->server) == 0);
    free(block);
    peer->open = end.open;
    peer->last = end.last;
    if (end.data.len > 0)
        (void)wire_send(&peer->told, span_of(end.data.bytes, end.data.len)).code;
    free(end.data.bytes);
    peer_receive(peer);
}

// ---- The ClientHello (4.1.2) ----

static inline void put_share(struct peer *peer, struct bytes *out, const struct hello_plan *plan)
{
    uint8_t share[65];
    size_t len = 32;
    if (plan->p256) {
        EC_POINT *point = EC_POINT_new(peer->p256_group);
        verify(EC_POINT_mul(peer->p256_group, point, peer->p256_scalar, NULL, NULL, NULL) == 1);
        len = EC_POINT_point2oct(peer->p256_group, point, POINT_CONVERSION_UNCOMPRESSED, share,
                                 sizeof(share), NULL);
        EC_POINT_free(point);
    } else {
        verify(EVP_PKEY_get_raw_public_key(peer->x25519, share, &len) == 1);
    }
    put_number(out, plan->p256 ? GROUP_P256_ID : GROUP_X25519_ID, 2);
    size_t field = open_length(out, 2);
    put_bytes(out, plan->point != NULL ? plan->point : share,
              plan->point != NULL ? plan->point_len : len);
    close_length(out, field, 2);
}

static inline void put_groups(struct bytes *out)
{
    put_number(out, 10, 2);
    put_number(out, 6, 2);
    put_number(out, 4, 2);
    put_number(out, GROUP_X25519_ID, 2);
    put_number(out, GROUP_P256_ID, 2);
}

static inline void put_names(struct bytes *out, const struct hello_plan *plan)
{
    const char *sni = plan->sni != NULL ? plan->sni : "api.example.com";
    size_t sni_len = plan->sni_len > 0 ? plan->sni_len : strlen(sni);
    const char *alpn = plan->alpn != NULL ? plan->alpn : "http/1.1";
    put_number(out, 0, 2); // server_name
    put_number(out, sni_len + 5, 2);
    put_number(out, sni_len + 3, 2);
    put_number(out, 0, 1);
    put_number(out, sni_len, 2);
    put_bytes(out, sni, sni_len);
    put_number(out, 16, 2); // protocols
    put_number(out, strlen(alpn) + 3, 2);
    put_number(out, strlen(alpn) + 1, 2);
    put_number(out, strlen(alpn) + (plan->alpn_overrun ? 40 : 0), 1);
    put_bytes(out, alpn, strlen(alpn));
}

static inline void put_extensions(struct peer *peer, struct bytes *out,
                                  const struct hello_plan *plan)
{
    put_names(out, plan);
    put_groups(out);
    if (plan->extension_twice)
        put_groups(out);
    put_number(out, 13, 2); // signature_algorithms
    put_number(out, 8, 2);
    put_number(out, 6, 2);
    put_number(out, 0x040308040401, 6);
    put_number(out, 43, 2); // supported_versions
    put_number(out, 3, 2);
    put_number(out, 2, 1);
    put_number(out, plan->version != 0 ? plan->version : 0x0304, 2);
    put_number(out, 45, 2); // psk_key_exchange_modes
    put_number(out, 2, 2);
    put_number(out, 0x0101, 2);
    put_number(out, 51, 2); // key_share
    size_t field = open_length(out, 2), list = open_length(out, 2);
    for (int i = 0; i < (plan->no_share ? 0 : plan->share_twice ? 2 : 1); i++)
        put_share(peer, out, plan);
    close_length(out, list, 2);
    close_length(out, field, 2);
    if (plan->padding > 0) {
        put_number(out, 21, 2);
        put_number(out, plan->padding, 2);
        for (size_t i = 0; i < plan->padding; i++)
            put_number(out, 0, 1);
    }
    if (plan->ticket != NULL) { // pre_shared_key with a binder that cannot be right
        put_number(out, 41, 2);
        size_t body = open_length(out, 2);
        put_number(out, plan->ticket_len + 6, 2);
        put_number(out, plan->ticket_len, 2);
        put_bytes(out, plan->ticket, plan->ticket_len);
        put_number(out, 0, 4);
        put_number(out, 33, 2);
        put_number(out, 32, 1);
        for (int i = 0; i < 32; i++)
            put_number(out, 0xee, 1);
        close_length(out, body, 2);
    }
}

static inline void make_hello(struct peer *peer, const struct hello_plan *plan, struct bytes *out)
{
    out->len = 0;
    put_number(out, 1, 1);
    size_t message = open_length(out, 3);
    put_number(out, 0x0303, 2);
    for (int i = 0; i < 32; i++)
        put_number(out, 0x40 + (uint64_t)i, 1);
    put_number(out, 32, 1); // a legacy session id, as browsers send it
    for (int i = 0; i < 32; i++)
        put_number(out, 0x80 + (uint64_t)i, 1);
    put_number(out, 2, 2);
    put_number(out, plan->suite != 0 ? plan->suite : 0x1301, 2);
    put_number(out, 0x0100, 2);
    size_t extensions = open_length(out, 2);
    put_extensions(peer, out, plan);
    close_length(out, extensions, 2);
    close_length(out, message, 3);
}

static inline void peer_hello(struct peer *peer, const struct hello_plan *plan)
{
    static struct bytes hello;
    make_hello(peer, plan, &hello);
    put_bytes(&peer->transcript, hello.at, hello.len);
    peer_send_plain(peer, 22, hello.at, hello.len);
}

static inline void peer_send_finished(struct peer *peer, bool right)
{
    struct bytes message = { .len = 0 };
    uint8_t mac[HASH_LEN];
    finished_mac(peer, &peer->send, mac);
    mac[7] ^= right ? 0 : 1;
    put_number(&message, 20, 1);
    put_number(&message, HASH_LEN, 3);
    put_bytes(&message, mac, HASH_LEN);
    peer_send(peer, 22, message.at, message.len);
    keys_set(&peer->send, peer->next_secret);
}

static inline void peer_init(struct peer *peer, struct tls_ctx *server)
{
    memset(peer, 0, sizeof(*peer));
    peer->x25519 = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
    peer->p256_group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    peer->p256_scalar = BN_new();
    verify(peer->x25519 != NULL && peer->p256_group != NULL && peer->p256_scalar != NULL);
    verify(BN_rand_range(peer->p256_scalar, EC_GROUP_get0_order(peer->p256_group)) == 1);
    peer->last = TLS_WANT;
    verify(tls_new_server(&peer->server, server, wire_sink(&peer->from_server)).code == 0);
}

// An honest handshake to its end.
static inline void peer_connect(struct peer *peer, struct tls_ctx *server)
{
    peer_init(peer, server);
    peer_hello(peer, &(struct hello_plan){ .p256 = false });
    peer_send_finished(peer, true);
}

static inline void peer_fini(struct peer *peer)
{
    tls_free(&peer->server);
    free(peer->from_server.bytes);
    free(peer->heard.bytes);
    free(peer->told.bytes);
    EVP_PKEY_free(peer->x25519);
    BN_free(peer->p256_scalar);
    EC_GROUP_free(peer->p256_group);
}

#endif

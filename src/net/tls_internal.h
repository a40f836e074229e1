// tls_internal.h - what the files of the TLS module share.
//
// The headers of the TLS library and of libcrypto cannot be included in one file, so this one names
// their objects by tag only. tls.c and tls_ctx.c see the library's session API; tls_crypto.c,
// tls_verify.c and tls_ticket.c see libcrypto; tls_hello.c and tls_scan.c see neither.
#ifndef PENSTOCK_NET_TLS_INTERNAL_H
#define PENSTOCK_NET_TLS_INTERNAL_H

#include "penstock/base/list.h"
#include "penstock/base/slab.h"
#include "penstock/net/tls.h"

struct WOLFSSL;
struct WOLFSSL_CTX;
struct evp_cipher_ctx_st;
struct evp_pkey_st;
struct x509_st;

// ---- tls_heap.c: the library's allocators ----

void *tls_heap_take(size_t size);
void tls_heap_give(void *ptr);
void *tls_heap_resize(void *ptr, size_t size);
#ifdef PENSTOCK_FAULT_POINTS
// The `count`-th allocation from now on fails, once; 0: none does. For tests.
void tls_heap_fail(uint64_t count);
bool tls_heap_fail_pending(void);
#endif

// ---- tls_crypto.c: the crypto callback ----

enum { TLS_DEVICE = 0x70656e73 }; // the callback's id in the library

// One direction's cipher. The context keeps its key schedule between records; `key` tells when the
// library has moved to another key.
struct tls_aead {
    struct evp_cipher_ctx_st *ctx;
    uint8_t key[32];
    uint32_t key_len; // 0: none yet
};

// For whom the library is running on this thread: set around every call into it, because its
// callbacks are told nothing about the session.
struct tls_scope {
    struct env *env;            // where random numbers come from; never NULL
    struct tls_aead *aead;      // [0] opens, [1] seals; NULL: a scratch pair of this thread
    struct evp_pkey_st *signer; // the private key of this session's certificate, or NULL
    const char *refused;        // set by the callback when it refused something
    uint64_t served;            // operations that the callback has done on this thread
};
struct tls_scope *tls_scope_get(void);

// Fetches algorithms and registers the callback. `why` has TLS_WHY_MAX bytes.
must_use struct err tls_crypto_init(char *why);
void tls_crypto_fini(void);
void tls_aead_free(struct tls_aead *aead);
// "libcrypto" or "built in": where bulk ciphers run.
const char *tls_crypto_bulk(void);

// tls_selftest.c: runs every served algorithm against known answers through the library.
must_use struct err tls_selftest(char *why);

// ---- tls_scan.c: the record layer as seen before the library sees it ----

enum {
    TLS_HEAD_LEN = 5,
    TLS_FRAGMENT_MAX = TLS_RECORD_DATA_MAX + 256, // the longest protected fragment (RFC 8446 5.2)
    TLS_FRAGMENT_MIN = 17, // the shortest protected one: a content type and a tag
    // Records without application data in a row. KeyUpdates, tickets and empty records are rare.
    TLS_BARREN_MAX = 32,
    TLS_HANDSHAKE_RECORDS_MAX = 256, // records of one handshake; a long chain takes four
};

enum tls_content {
    TLS_CONTENT_CCS = 20,
    TLS_CONTENT_ALERT = 21,
    TLS_CONTENT_HANDSHAKE = 22,
    TLS_CONTENT_DATA = 23,
};

// Follows the peer's records while they pass to the library, and refuses what it must not see.
// `refused` is a static text once something was refused; nothing may pass from then on.
struct tls_scan {
    uint8_t head[TLS_HEAD_LEN];
    uint8_t head_len;
    bool server; // we are the server
    bool open;   // the handshake is complete
    // Client only: what is known of the server's first flight.
    bool hello_seen;
    bool retry;    // the ServerHello was a HelloRetryRequest: another one follows
    bool sealed;   // handshake records are not readable any more
    uint16_t left; // of the current record's fragment
    uint32_t records;
    uint32_t barren;
    // The plaintext handshake message under way (client only).
    uint32_t message_left;
    uint8_t prefix[80];
    uint8_t prefix_len;
    const char *refused;
};

static inline bool tls_scan_at_record(const struct tls_scan *scan)
{
    return scan->head_len == 0;
}
// Looks at up to `in.len` next bytes, which are about to be given to the library; returns how many
// of them may be, which stops at the end of a header or of a record. 0 only when refused.
size_t tls_scan_pass(struct tls_scan *scan, struct span in);

bool tls_suite_is_ours(uint16_t suite);

// ---- tls_hello.c: the ClientHello, read before the library reads it ----

enum { TLS_HELLO_MAX = 8 * KIB };

struct tls_hello {
    bool tls13; // offered
    uint8_t sni_len;
    char sni[TLS_HOST_MAX + 1]; // lower case
};

// Judges a whole ClientHello message (with its 4-byte header). On failure returns an alert number
// and sets *refused to a static text; 0 is success.
must_use uint8_t tls_hello_check(struct span message, struct tls_hello *hello,
                                 const char **refused);

enum { TLS_ALERT_LEN = 7 };

// ---- tls_verify.c: certificates ----

enum { TLS_NAMES_MAX = 64, TLS_CHAIN_MAX = 8 };

// Copies of what a server certificate says; `pkey` signs.
struct tls_identity {
    struct WOLFSSL_CTX *wctx;
    struct evp_pkey_st *pkey;
    uint32_t name_count;
    char *names[TLS_NAMES_MAX]; // lower case
    char key_text[24];
    int64_t not_after_s;
    bool is_rsa;
};

// Parses and judges a certificate and key; fills everything but `wctx`.
must_use struct err tls_identity_init(struct tls_identity *identity,
                                      const struct tls_certificate *certificate, char *why);
void tls_identity_fini(struct tls_identity *identity);
bool tls_identity_names(const struct tls_identity *identity, struct span host);

// Chains that one context has found good. A vendor shows the same chain on every connection, and
// parsing and verifying it takes most of a handshake's time; the proof that the peer holds the key
// is made anew each time. `digest` covers the chain and the host; the roots are the context's.
enum { TLS_VERDICTS_MAX = 16, TLS_DIGEST_LEN = 32 };
struct tls_verdicts {
    struct {
        uint8_t digest[TLS_DIGEST_LEN];
        int64_t from_s, until_s; // while every certificate of the chain is valid; 0, 0: empty
    } verdict[TLS_VERDICTS_MAX];
    uint32_t next;
    uint64_t hits;
};

// Verifies a peer's chain (DER, leaf first) for `host` at the environment's wall clock. Returns
// NULL, or a static text that says why not. `known` may be NULL.
const char *tls_verify_chain(struct tls_roots *roots, struct env *env, const struct span *chain,
                             size_t count, const char *host, struct tls_verdicts *known);

// ---- tls_ticket.c ----

enum { TLS_TICKET_IV_LEN = 16, TLS_TICKET_MAC_LEN = 32 };

// Seals `len` bytes in place; fills name, iv and mac. False when there is no key.
must_use bool tls_ticket_seal(const struct tls_ticket_keys *keys, struct env *env, struct span sni,
                              uint8_t *name, uint8_t *iv, uint8_t *mac, uint8_t *text, size_t len);
// Opens in place; -1 when no key fits, else the index of the key.
must_use int tls_ticket_open(const struct tls_ticket_keys *keys, struct span sni,
                             const uint8_t *name, const uint8_t *iv, const uint8_t *mac,
                             uint8_t *text, size_t len);

// ---- tls_cache.c: sessions a client can resume ----

// Serialised sessions by "host:port", the least recently used leaves first. Entries hold secrets
// and are wiped.
struct tls_cache {
    struct list entries; // most recently used first
    size_t count, count_max;
};
void tls_cache_init(struct tls_cache *cache, size_t count_max);
void tls_cache_fini(struct tls_cache *cache);
void tls_cache_put(struct tls_cache *cache, struct span host, uint16_t port, struct span session);
// SPAN_NONE if there is none; valid until the next put or forget.
struct span tls_cache_find(struct tls_cache *cache, struct span host, uint16_t port);
void tls_cache_forget(struct tls_cache *cache, struct span host, uint16_t port);

// ---- tls_ctx.c ----

struct tls_ctx {
    uint32_t refs;
    bool server;
    struct env *env;
    struct slab sessions;
    // Server.
    struct tls_identity *identities;
    size_t identity_count;
    struct tls_ticket_keys tickets;
    // Client.
    struct WOLFSSL_CTX *wctx;
    struct tls_roots *roots;
    struct tls_cache cache;
    struct tls_verdicts verdicts;
};

const struct tls_identity *tls_ctx_pick(const struct tls_ctx *ctx, struct span sni);

// ---- tls.c: what the contexts register with the library ----

int tls_on_receive(struct WOLFSSL *ssl, char *out, int cap, void *arg);
int tls_on_send(struct WOLFSSL *ssl, char *bytes, int len, void *arg);
struct tls *tls_of(struct WOLFSSL *ssl);

struct tls {
    struct tls_ctx *ctx;
    const struct tls_identity *identity; // server: chosen by the ClientHello
    struct WOLFSSL *ssl;                 // server: NULL until the ClientHello is judged
    struct tls_sink sink;
    struct span input;
    struct tls_scan scan;
    struct {
        char *bytes; // one record holding the message, made of however many records came
        uint32_t len, cap, sent;
        uint32_t left;    // of the record being collected
        uint8_t head_len; // of its header
        uint8_t head[TLS_HEAD_LEN];
        bool collecting;
    } held;
    struct tls_hello hello;
    struct tls_info info; // once open; without `sni`
    struct tls_aead aead[2];
    int64_t heap_bytes;
    uint32_t records_now; // given to the library in this call
    uint16_t port;
    bool sent;     // the library has sent something
    bool verified; // by this handshake
    bool offered;  // a kept session
    bool open, failed, peer_closed, we_closed;
    struct err err;
    struct err sink_err; // the sink failed: nothing can be sent any more
    char host[TLS_HOST_MAX + 1];
    char reason[160];
};

#endif

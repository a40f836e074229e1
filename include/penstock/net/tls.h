// tls.h - TLS 1.2 and 1.3 over memory: ciphertext is fed in and drained out, no socket is touched.
//
// A `struct tls_ctx` holds what connections of one direction on one thread share: for a server its
// certificates and ticket keys, for a client the roots it trusts and the sessions it can resume. A
// `struct tls` is one connection. Both belong to the thread that made them. A context is counted by
// its sessions: replacing a certificate is making a new context and putting the old one, whose
// sessions go on with what they have.
//
// How a connection is driven:
//
//     bytes arrive        tls_feed(), then, until it says TLS_WANT, tls_handshake() or tls_read()
//     bytes to send       tls_write(); everything that must go out is given to the sink at once
//     the transport ends  tls_end()
//     we are done         tls_shutdown(), then tls_free()
//
// The fed bytes are a view: they must stay until tls_input_left() is 0, and only then may the next
// ones be fed. One call handles at most one record, so its work is bounded (a handshake step:
// mostly below 0.3 ms, the first verification of a vendor's chain below 1 ms; a record of data: a
// few microseconds); TLS_AGAIN asks for another call, in this turn or a later one. Reading also
// writes (alerts, key updates, tickets), so flush after every call, whatever it returned,
// TLS_FAILED included: there may be an alert to send.
//
// Nothing here blocks. Memory comes from a per-thread pool that counts it (tls_bytes(),
// tls_heap_stats()). Bulk ciphers, hashes, key exchange and signatures are done by libcrypto behind
// the TLS library's callback; tls_init() proves them against known answers first.
#ifndef PENSTOCK_NET_TLS_H
#define PENSTOCK_NET_TLS_H

#include "penstock/base/base.h"
#include "penstock/base/env.h"
#include "penstock/base/err.h"

struct tls;
struct tls_ctx;
struct tls_roots;

enum {
    TLS_RECORD_DATA_MAX = 16 * KIB, // plaintext of one record
    TLS_RECORD_OVERHEAD = 29,       // what one record adds to it at most
    TLS_HOST_MAX = 253,
    TLS_WHY_MAX = 256, // a buffer of this size holds every text that a `why` is given
};

// The ciphertext of `len` bytes of plaintext written in one tls_write(), at most.
static inline size_t tls_sealed_len(size_t len)
{
    size_t records = (len + TLS_RECORD_DATA_MAX - 1) / TLS_RECORD_DATA_MAX;
    return len + records * TLS_RECORD_OVERHEAD;
}

// ---- The process ----

// Once, before any other call and before threads are started. Fails when the library cannot be set
// up or its crypto does not give the known answers; `why` (TLS_WHY_MAX bytes) names the cause.
must_use struct err tls_init(char *why);
// After every context and session is gone.
void tls_fini(void);

// For `penstock version` and the start log: the library, its version, where bulk ciphers run, and
// what is guarded. Static text.
const char *tls_library(void);

// What the TLS library holds on this thread, in bytes: `used` by live objects, `cached` in the
// pool for reuse, `used_peak` since start; `taken` counts allocations.
struct tls_heap_stats {
    int64_t used, used_peak;
    size_t cached;
    uint64_t taken;
};
struct tls_heap_stats tls_heap_stats(void);
// Returns this thread's cached memory to the system; for idle times and thread ends.
void tls_heap_trim(void);

// ---- Ticket keys: given from outside, the same on every shard ----

enum { TLS_TICKET_KEYS_MAX = 3, TLS_TICKET_NAME_LEN = 16, TLS_TICKET_KEY_LEN = 32 };

// The first key seals new tickets, all of them open old ones. Tickets are good for
// TLS_TICKET_LIFETIME_S and die with their key.
struct tls_ticket_keys {
    uint32_t count;
    struct {
        uint8_t name[TLS_TICKET_NAME_LEN];
        uint8_t key[TLS_TICKET_KEY_LEN];
    } key[TLS_TICKET_KEYS_MAX];
};
enum { TLS_TICKET_LIFETIME_S = 12 * 3600 };

// A fresh first key; the oldest falls out when there are too many. A zeroed `keys` is a good start.
void tls_ticket_keys_rotate(struct tls_ticket_keys *keys, struct env *env);

// ---- Roots: whom a client trusts; immutable, shared by all threads ----

// `path` is a PEM file or a directory of them; NULL is the system's store. Reads files: not on a
// shard. On failure `why` (TLS_WHY_MAX bytes) says what is wrong with which file.
must_use struct err tls_roots_open(struct tls_roots **out, const char *path, char *why);
// The same from a PEM text of one or more certificates.
must_use struct err tls_roots_parse(struct tls_roots **out, struct span pem, char *why);
struct tls_roots *tls_roots_get(struct tls_roots *roots);
void tls_roots_put(struct tls_roots **roots);
size_t tls_roots_count(const struct tls_roots *roots);

// ---- Contexts ----

// A certificate chain, leaf first, and its private key, both PEM.
struct tls_certificate {
    struct span chain, key;
};

struct tls_server_config {
    struct env *env;
    const struct tls_certificate *certificates; // chosen by SNI; the first is the default
    size_t certificate_count;
    const struct tls_ticket_keys *tickets; // NULL: no session tickets
    size_t session_max;                    // connections at once
};

struct tls_client_config {
    struct env *env;
    struct tls_roots *roots; // a reference is taken
    uint16_t version_max;    // 0: the newest; 0x0303: TLS 1.2, for a peer whose 1.3 is broken
    size_t session_max;      // connections at once
    size_t resume_max;       // sessions kept for resumption (TLS 1.3 only); 0: none
};

enum { TLS_CERTIFICATE_MAX = 256 };

// Nothing is kept of the config; on failure `why` (TLS_WHY_MAX bytes) says what is wrong.
must_use struct err tls_ctx_server(struct tls_ctx **out, const struct tls_server_config *config,
                                   char *why);
must_use struct err tls_ctx_client(struct tls_ctx **out, const struct tls_client_config *config,
                                   char *why);
struct tls_ctx *tls_ctx_get(struct tls_ctx *ctx);
void tls_ctx_put(struct tls_ctx **ctx);

// Takes over new ticket keys; running sessions are not disturbed.
void tls_ctx_set_tickets(struct tls_ctx *ctx, const struct tls_ticket_keys *keys);

// About certificate `index` of a server context, for logs and metrics.
struct tls_certificate_info {
    const char *name;    // its first DNS name, or the common name
    int64_t not_after_s; // UTC, seconds since 1970
    const char *key;     // "ECDSA P-256", "RSA 2048", ...
    bool is_rsa;         // signing is several times dearer than with ECDSA: worth a warning
};
size_t tls_ctx_certificate_count(const struct tls_ctx *ctx);
struct tls_certificate_info tls_ctx_certificate(const struct tls_ctx *ctx, size_t index);

// ---- Sessions ----

// Where ciphertext goes: append all of it or fail, which fails the session. It may not call back.
struct tls_sink {
    struct err (*send)(void *arg, struct span ciphertext);
    void *arg;
};

// The sink is copied; its `arg` must outlive the session. NO_MEMORY when `session_max` are out.
must_use struct err tls_new_server(struct tls **out, struct tls_ctx *ctx, struct tls_sink sink);
// `host` is a DNS name or an IP address without brackets: sent as SNI if a name, and always checked
// against the certificate. It is copied. Nothing is sent before the first tls_handshake().
must_use struct err tls_new_client(struct tls **out, struct tls_ctx *ctx, struct tls_sink sink,
                                   struct span host, uint16_t port);
// Sends nothing; *tls becomes NULL. NULL is fine.
void tls_free(struct tls **tls);

enum tls_result {
    TLS_DONE,   // the handshake is complete; or bytes were read
    TLS_AGAIN,  // a step was made and input is left: call again
    TLS_WANT,   // all input is consumed; more is needed
    TLS_CLOSED, // the peer's close_notify: a clean end of what it sends
    TLS_FAILED, // for good: see tls_err() and tls_reason()
};

// Feeds ciphertext; all that was fed before must have been consumed.
void tls_feed(struct tls *tls, struct span ciphertext);
size_t tls_input_left(const struct tls *tls);

must_use enum tls_result tls_handshake(struct tls *tls);
// After TLS_DONE of the handshake. With TLS_DONE, *len (1..cap) bytes are in `out`.
must_use enum tls_result tls_read(struct tls *tls, void *out, size_t cap, size_t *len);
// Seals all spans in as few records as possible and gives them to the sink. Spans are gathered, so
// that many small ones make one record. Not after tls_shutdown().
must_use struct err tls_write(struct tls *tls, const struct span *spans, size_t count);
// Sends close_notify, once; harmless before the handshake is complete and after a failure. Reading
// may go on.
void tls_shutdown(struct tls *tls);
// The transport has ended. TLS_CLOSED after a close_notify, else TLS_FAILED: the peer's data may
// have been cut off by anybody (UPSTREAM_TRUNCATED, CLIENT_GONE).
must_use enum tls_result tls_end(struct tls *tls);

// tls_read() has something to do without new input.
bool tls_has_input(const struct tls *tls);

// After TLS_FAILED: what happened, and a text for logs that holds no secrets and nothing the peer
// could have chosen except its alert number and the refused certificate's error.
struct err tls_err(const struct tls *tls);
const char *tls_reason(const struct tls *tls);

// After the handshake; before, zeros and empty texts. Texts live as long as the session.
struct tls_info {
    uint16_t version;   // 0x0303, 0x0304
    const char *cipher; // "TLS_AES_128_GCM_SHA256"
    const char *group;  // "X25519", "SECP256R1"; empty where the library does not tell
    struct span sni;    // the name the client asked for, or was told to ask for
    bool resumed;
    bool verified; // client: this chain, or that of the resumed session, was verified for the host
    bool alpn;     // http/1.1 was negotiated by ALPN
};
struct tls_info tls_info(const struct tls *tls);

// Memory held for this session, to be charged to its stream.
size_t tls_bytes(const struct tls *tls);

#endif

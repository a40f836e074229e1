// A server session fed with whatever the fuzzer likes: it answers, waits or refuses, reads nothing
// outside the bytes it was given, and leaves no memory behind. The first byte of the input chooses
// the size of the pieces; the library's own randomness is fixed, so that a finding repeats.
#include "../src/net/tls_internal.h"
#include "../tests/unit/tls_pair.h"
#include "penstock/base/check.h"

#include <stdlib.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct tls_ctx *server;
static struct env_fake fake;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    char why[TLS_WHY_MAX];
    struct cert leaf = cert_make(&(struct cert_spec){ .name = "fuzz", .alt = "DNS:fuzz" });
    struct pem chain = pem_chain(&leaf, NULL, NULL), key = pem_key(&leaf);
    struct tls_certificate certificate = { pem_span(&chain), pem_span(&key) };
    struct tls_ticket_keys tickets = { .count = 0 };
    env_fake_init(&fake, 3);
    tls_ticket_keys_rotate(&tickets, &fake.env);
    verify(!failed(tls_init(why)));
    verify(!failed(tls_ctx_server(&server,
                                  &(struct tls_server_config){ .env = &fake.env,
                                                               .certificates = &certificate,
                                                               .certificate_count = 1,
                                                               .tickets = &tickets,
                                                               .session_max = 2 },
                                  why)));
    // In a simulated world the library signs by itself, and keeps a table for that from its second
    // signature on: it shall not be counted as a leak.
    struct tls_roots *roots;
    struct tls_ctx *client;
    verify(!failed(tls_roots_parse(&roots, pem_span(&chain), why)));
    fake.wall = env_wall_ns(env_system());
    verify(!failed(tls_ctx_client(
        &client, &(struct tls_client_config){ .env = &fake.env, .roots = roots, .session_max = 1 },
        why)));
    for (int i = 0; i < 3; i++) {
        struct pair pair;
        pair_init(&pair, client, server, "fuzz", 0);
        pair_run(&pair);
        verify(pair.server.open && pair.client.open);
        pair_fini(&pair);
    }
    tls_ctx_put(&client);
    tls_roots_put(&roots);
    cert_free(&leaf);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct wire in = { .bytes = (char *)data + 1, .len = size - 1, .cap = size - 1 };
    struct end end = { .last = TLS_WANT };
    size_t piece = data[0] == 0 ? SIZE_MAX : data[0];
    int64_t used = tls_heap_stats().used;
    fake.state = 3;
    verify(!failed(tls_new_server(&end.tls, server, wire_sink(&end.out))));
    while (end_deliver(&end, &in, piece))
        ;
    assert(end.last == TLS_WANT || end.last == TLS_FAILED);
    assert(!end.open); // nobody guesses a Finished
    assert((end.last == TLS_FAILED) == failed(tls_err(end.tls)));
    assert(tls_bytes(end.tls) < 256 * KIB);
    end_fini(&end);
    assert(tls_heap_stats().used == used);
    return 0;
}

// A client session fed with whatever a hostile vendor could send, certificates included: it never
// opens, reads nothing outside the bytes it was given, and leaves no memory behind. The first byte
// of the input chooses the version (its lowest bit) and the size of the pieces (the others).
#include "../src/net/tls_internal.h"
#include "../tests/unit/tls_pair.h"
#include "penstock/base/check.h"

#include <stdlib.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct tls_ctx *clients[2];
static struct env_fake fake;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    char why[TLS_WHY_MAX];
    struct tls_roots *roots;
    struct cert root = cert_make(&(struct cert_spec){ .name = "fuzz", .authority = true });
    struct pem pem = pem_chain(&root, NULL, NULL);
    env_fake_init(&fake, 3);
    verify(!failed(tls_init(why)));
    verify(!failed(tls_roots_parse(&roots, pem_span(&pem), why)));
    for (int i = 0; i < 2; i++)
        verify(!failed(tls_ctx_client(&clients[i],
                                      &(struct tls_client_config){ .env = &fake.env,
                                                                   .roots = roots,
                                                                   .version_max = i ? 0x0303 : 0,
                                                                   .session_max = 2,
                                                                   .resume_max = 2 },
                                      why)));
    tls_roots_put(&roots);
    cert_free(&root);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct wire in = { .bytes = (char *)data + 1, .len = size - 1, .cap = size - 1 };
    struct end end = { .last = TLS_WANT };
    struct tls_ctx *client = clients[data[0] & 1];
    size_t piece = data[0] < 2 ? SIZE_MAX : data[0] >> 1;
    int64_t used = tls_heap_stats().used;
    fake.state = 3;
    verify(!failed(tls_new_client(&end.tls, client, wire_sink(&end.out), SPAN("fuzz"), 443)));
    end_drive(&end);
    while (end_deliver(&end, &in, piece))
        ;
    assert(end.last == TLS_WANT || end.last == TLS_FAILED);
    assert(!end.open);
    assert((end.last == TLS_FAILED) == failed(tls_err(end.tls)));
    assert(tls_bytes(end.tls) < 256 * KIB);
    end_fini(&end);
    assert(client->cache.count == 0);
    assert(tls_heap_stats().used == used);
    return 0;
}

// tls_world.h - one authority, an intermediate, servers below it, and contexts for both sides.
#ifndef PENSTOCK_TEST_TLS_WORLD_H
#define PENSTOCK_TEST_TLS_WORLD_H

#include "test.h"
#include "tls_pair.h"

static struct {
    struct cert root, middle, leaf, rsa, other;
    struct pem root_pem;
    struct tls_roots *roots;
    struct tls_ticket_keys tickets;
} world;

static char why[TLS_WHY_MAX];

static inline void world_init(void)
{
    world.root = cert_make(&(struct cert_spec){ .name = "Test Root", .authority = true });
    world.middle = cert_make(&(struct cert_spec){
        .name = "Test Intermediate", .authority = true, .issuer = &world.root });
    world.leaf = cert_make(&(struct cert_spec){ .name = "api.example.com",
                                                .alt = "DNS:api.example.com,IP:127.0.0.1,IP:::1",
                                                .issuer = &world.middle,
                                                .usage = "serverAuth" });
    world.rsa = cert_make(&(struct cert_spec){ .name = "rsa.example.com",
                                               .alt = "DNS:rsa.example.com",
                                               .issuer = &world.middle,
                                               .key = KEY_RSA2048 });
    world.other = cert_make(&(struct cert_spec){ .name = "*.example.org",
                                                 .alt = "DNS:*.example.org,DNS:Example.ORG",
                                                 .issuer = &world.middle });
    world.root_pem = pem_chain(&world.root, NULL, NULL);
    verify(!failed(tls_roots_parse(&world.roots, pem_span(&world.root_pem), why)));
    tls_ticket_keys_rotate(&world.tickets, env_system());
}

static inline void world_fini(void)
{
    tls_roots_put(&world.roots);
    cert_free(&world.root);
    cert_free(&world.middle);
    cert_free(&world.leaf);
    cert_free(&world.rsa);
    cert_free(&world.other);
}

static inline struct tls_ctx *server_of(const struct cert *const *leaves, size_t count,
                                        const struct tls_ticket_keys *tickets)
{
    struct tls_certificate certificates[4];
    static struct pem chains[4], keys[4];
    for (size_t i = 0; i < count; i++) {
        chains[i] = pem_chain(leaves[i], &world.middle, NULL);
        keys[i] = pem_key(leaves[i]);
        certificates[i] = (struct tls_certificate){ pem_span(&chains[i]), pem_span(&keys[i]) };
    }
    struct tls_ctx *ctx = NULL;
    struct err err = tls_ctx_server(&ctx,
                                    &(struct tls_server_config){
                                        .env = env_system(),
                                        .certificates = certificates,
                                        .certificate_count = count,
                                        .tickets = tickets,
                                        .session_max = 100,
                                    },
                                    why);
    if (failed(err))
        fprintf(stderr, "server: %s\n", why);
    verify(ctx != NULL);
    return ctx;
}

static inline struct tls_ctx *server_with(const struct cert *leaf,
                                          const struct tls_ticket_keys *tickets)
{
    return server_of(&leaf, 1, tickets);
}

static inline struct tls_ctx *client_with(struct tls_roots *roots, uint16_t version_max,
                                          size_t resume_max)
{
    struct tls_ctx *ctx = NULL;
    struct err err = tls_ctx_client(&ctx,
                                    &(struct tls_client_config){
                                        .env = env_system(),
                                        .roots = roots,
                                        .version_max = version_max,
                                        .session_max = 100,
                                        .resume_max = resume_max,
                                    },
                                    why);
    if (failed(err))
        fprintf(stderr, "client: %s\n", why);
    verify(ctx != NULL);
    return ctx;
}

// tls_init(), the world, the cases, and everything back.
static inline int world_main(int argc, char **argv, const struct test_case *cases, size_t count)
{
    struct err err = tls_init(why);
    if (failed(err)) {
        fprintf(stderr, "tls_init: %s\n", why);
        for (size_t i = 0; i < count; i++) // none of them can run
            if (argc < 2 || strstr(cases[i].name, argv[1]) != NULL)
                fprintf(stderr, "FAILED %s\n", cases[i].name);
        return EXIT_FAILURE;
    }
    world_init();
    int status = test_main(argc, argv, cases, count);
    world_fini();
    tls_fini();
    return status;
}

#endif

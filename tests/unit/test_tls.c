// What tls.h promises, with both ends ours.
#include "test.h"

#include "penstock/base/fault.h"
#include "penstock/net/tls.h"
#include "tls_pair.h"

// ---- The world: one authority, an intermediate, and servers below it ----

static struct {
    struct cert root, middle, leaf, rsa, other;
    struct pem root_pem;
    struct tls_roots *roots;
    struct tls_ticket_keys tickets;
} world;

static char why[TLS_WHY_MAX];

static void world_init(void)
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

static void world_fini(void)
{
    tls_roots_put(&world.roots);
    cert_free(&world.root);
    cert_free(&world.middle);
    cert_free(&world.leaf);
    cert_free(&world.rsa);
    cert_free(&world.other);
}

static struct tls_ctx *server_of(const struct cert *const *leaves, size_t count,
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

static struct tls_ctx *server_with(const struct cert *leaf, const struct tls_ticket_keys *tickets)
{
    return server_of(&leaf, 1, tickets);
}

static struct tls_ctx *client_with(struct tls_roots *roots, uint16_t version_max, size_t resume_max)
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

static void say(struct end *end, const char *text)
{
    struct span span = span_str(text);
    EXPECT(!failed(tls_write(end->tls, &span, 1)));
}

static void expect_data(struct end *end, const char *text)
{
    EXPECT_SPAN(span_of(end->data.bytes, end->data.len), text);
}

static void show(const struct pair *pair)
{
    fprintf(stderr, "  client: %s; server: %s\n", tls_reason(pair->client.tls),
            tls_reason(pair->server.tls));
}

// ---- Cases ----

static const uint16_t versions[] = { 0x0304, 0x0303 };

static void both_versions_talk(void)
{
    for (size_t v = 0; v < ARRAY_LEN(versions); v++) {
        struct tls_ctx *server = server_with(&world.leaf, &world.tickets);
        struct tls_ctx *client = client_with(world.roots, versions[v], 8);
        struct pair pair;
        pair_init(&pair, client, server, "api.example.com", 0);
        EXPECT_EQ(tls_info(pair.client.tls).version, 0);
        pair_run(&pair);
        EXPECT(pair.client.open && pair.server.open);
        if (!pair.client.open)
            show(&pair);
        struct tls_info c = tls_info(pair.client.tls), s = tls_info(pair.server.tls);
        EXPECT_EQ(c.version, versions[v]);
        EXPECT_EQ(s.version, versions[v]);
        EXPECT(strcmp(c.cipher, s.cipher) == 0 && strstr(c.cipher, "AES") != NULL);
        EXPECT(strcmp(c.group, "X25519") == 0);
        EXPECT(c.alpn && s.alpn);
        EXPECT(c.verified && !c.resumed && !s.resumed);
        EXPECT_SPAN(s.sni, "api.example.com");
        say(&pair.client, "hello"), say(&pair.server, "welcome");
        pair_run(&pair);
        expect_data(&pair.server, "hello");
        expect_data(&pair.client, "welcome");
        tls_shutdown(pair.client.tls);
        pair_run(&pair);
        EXPECT_EQ(pair.server.last, TLS_CLOSED);
        EXPECT_EQ(tls_end(pair.server.tls), TLS_CLOSED);
        say(&pair.server, "still here"); // a half-closed connection goes on
        tls_shutdown(pair.server.tls);
        pair_run(&pair);
        expect_data(&pair.client, "welcomestill here");
        EXPECT_EQ(pair.client.last, TLS_CLOSED);
        pair_fini(&pair);
        tls_ctx_put(&client), tls_ctx_put(&server);
    }
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = { TEST(both_versions_talk) };
    struct err err = tls_init(why);
    if (failed(err)) {
        fprintf(stderr, "tls_init: %s\n", why);
        return EXIT_FAILURE;
    }
    printf("%s\n", tls_library());
    world_init();
    int status = test_main(argc, argv, cases, ARRAY_LEN(cases));
    world_fini();
    tls_fini();
    return status;
}

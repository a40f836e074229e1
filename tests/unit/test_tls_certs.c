// Whose certificates a client believes, and what a server will load.
#include "net/tls_internal.h"
#include "penstock/base/guard.h"
#include "tls_world.h"

#include <sys/stat.h>
#include <unistd.h>

// A server with this chain; it may be anything that the checks of our own certificates let pass.
static struct tls_ctx *server_chain(const struct cert *leaf, const struct cert *middle,
                                    const struct cert *root)
{
    static struct pem chain, key;
    chain = pem_chain(leaf, middle, root);
    key = pem_key(leaf);
    struct tls_certificate certificate = { pem_span(&chain), pem_span(&key) };
    struct tls_ctx *ctx = NULL;
    struct err err = tls_ctx_server(&ctx,
                                    &(struct tls_server_config){ .env = env_system(),
                                                                 .certificates = &certificate,
                                                                 .certificate_count = 1,
                                                                 .session_max = 4 },
                                    why);
    if (failed(err))
        fprintf(stderr, "server: %s\n", why);
    verify(ctx != NULL);
    return ctx;
}

// NULL when `host` is believed in both versions, else the reason of the refusal.
static const char *judge(const struct cert *leaf, const struct cert *middle,
                         const struct cert *root, struct tls_roots *roots, const char *host)
{
    static char reason[160];
    const uint16_t versions[] = { 0x0303, 0 };
    struct tls_ctx *server = server_chain(leaf, middle, root);
    bool refused[2];
    for (size_t v = 0; v < 2; v++) {
        struct tls_ctx *client = client_with(roots, versions[v], 4);
        struct pair pair;
        pair_init(&pair, client, server, host, 0);
        pair_run(&pair);
        refused[v] = !pair.client.open;
        if (refused[v]) {
            EXPECT_EQ(pair.client.last, TLS_FAILED);
            EXPECT_EQ(tls_err(pair.client.tls).code, ERR_TLS_CERTIFICATE);
            EXPECT_EQ(pair.server.last, TLS_FAILED); // it was told by an alert
            EXPECT(!pair.server.open);
            EXPECT_EQ(client->cache.count, 0);
            EXPECT(snprintf(reason, sizeof(reason), "%s", tls_reason(pair.client.tls)) > 0);
        } else {
            EXPECT(tls_info(pair.client.tls).verified);
        }
        pair_fini(&pair);
        tls_ctx_put(&client);
    }
    tls_ctx_put(&server);
    EXPECT_EQ(refused[0], refused[1]);
    return refused[1] ? reason : NULL;
}

static void expect_judgement(const char *got, const char *want, const char *what)
{
    bool right = want == NULL ? got == NULL : got != NULL && strstr(got, want) != NULL;
    EXPECT(right);
    if (!right)
        fprintf(stderr, "  %s: %s, expected %s\n", what, got != NULL ? got : "believed",
                want != NULL ? want : "to be believed");
}

// ---- Leaves below the world's intermediate ----

static const char HOST[] = "api.example.com";

static void leaves_are_judged(void)
{
    static const struct {
        const char *what;
        struct cert_spec spec;
        const char *host;
        const char *refused; // part of the reason; NULL: believed
    } cases[] = {
        { "plain", { .alt = "DNS:api.example.com" }, HOST, NULL },
        { "in capitals", { .alt = "DNS:API.Example.COM" }, HOST, NULL },
        { "P-384", { .alt = "DNS:api.example.com", .key = KEY_P384 }, HOST, NULL },
        { "RSA", { .alt = "DNS:api.example.com", .key = KEY_RSA2048 }, HOST, NULL },
        { "wildcard", { .alt = "DNS:*.example.com" }, HOST, NULL },
        { "server purpose", { .alt = "DNS:api.example.com", .usage = "serverAuth" }, HOST, NULL },
        { "IPv4", { .alt = "IP:127.0.0.1" }, "127.0.0.1", NULL },
        { "IPv6", { .alt = "IP:::1" }, "::1", NULL },
        { "SHA-384", { .alt = "DNS:api.example.com", .digest = NULL }, HOST, NULL },

        { "another host", { .alt = "DNS:www.example.com" }, HOST, "hostname mismatch" },
        { "a parent", { .alt = "DNS:example.com" }, HOST, "hostname mismatch" },
        { "a child", { .alt = "DNS:x.api.example.com" }, HOST, "hostname mismatch" },
        { "a longer name", { .alt = "DNS:api.example.com.evil.org" }, HOST, "hostname mismatch" },
        { "common name only", { .alt = NULL }, HOST, "hostname mismatch" },
        { "bare wildcard", { .alt = "DNS:*" }, "localhost", "hostname mismatch" },
        { "wildcard of a domain", { .alt = "DNS:*.com" }, "example.com", "hostname mismatch" },
        { "wildcard over two", { .alt = "DNS:*.com" }, HOST, "hostname mismatch" },
        { "deep wildcard", { .alt = "DNS:*.example.com" }, "a.b.example.com", "hostname mismatch" },
        { "wildcard in part", { .alt = "DNS:a*.example.com" }, HOST, "hostname mismatch" },
        { "wildcard inside", { .alt = "DNS:api.*.com" }, HOST, "hostname mismatch" },
        { "another address", { .alt = "IP:127.0.0.1" }, "127.0.0.2", "IP address mismatch" },
        { "an address as a name", { .alt = "DNS:127.0.0.1" }, "127.0.0.1", "IP address mismatch" },
        { "a wildcard for an address",
          { .alt = "DNS:*.0.0.1" },
          "127.0.0.1",
          "IP address mismatch" },
        { "expired",
          { .alt = "DNS:api.example.com", .from_s = -7200, .until_s = -3600 },
          HOST,
          "expired" },
        { "of the future",
          { .alt = "DNS:api.example.com", .from_s = 3600, .until_s = 7200 },
          HOST,
          "not yet valid" },
        { "client purpose",
          { .alt = "DNS:api.example.com", .usage = "clientAuth" },
          HOST,
          "not valid" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct cert_spec spec = cases[i].spec;
        spec.name = HOST;
        spec.issuer = &world.middle;
        struct cert leaf = cert_make(&spec);
        const char *got = judge(&leaf, &world.middle, NULL, world.roots, cases[i].host);
        expect_judgement(got, cases[i].refused, cases[i].what);
        cert_free(&leaf);
    }
}

static void chains_are_judged(void)
{
    struct cert stranger = cert_make(&(struct cert_spec){ .name = "Stranger", .authority = true });
    struct cert twin = cert_make(&(struct cert_spec){ .name = "Test Root", .authority = true });
    struct cert_spec spec = { .name = HOST, .alt = "DNS:api.example.com" };
    struct cert alone = cert_make(&spec);
    spec.issuer = &stranger;
    struct cert foreign = cert_make(&spec);
    spec.issuer = &twin;
    struct cert forged = cert_make(&spec);
    spec.issuer = &world.leaf, spec.name = "Below a leaf";
    struct cert by_leaf = cert_make(&spec);
    spec.issuer = &world.root;
    struct cert direct = cert_make(&spec);
    struct tls_roots *pinned;
    struct pem pem = pem_chain(&alone, NULL, NULL);
    verify(!failed(tls_roots_parse(&pinned, pem_span(&pem), why)));

    expect_judgement(judge(&world.leaf, &world.middle, NULL, world.roots, HOST), NULL, "whole");
    expect_judgement(judge(&world.leaf, &world.middle, &world.root, world.roots, HOST), NULL,
                     "with its root");
    expect_judgement(judge(&direct, NULL, NULL, world.roots, HOST), NULL, "direct");
    expect_judgement(judge(&direct, &stranger, NULL, world.roots, HOST), NULL,
                     "with a stranger beside");
    expect_judgement(judge(&alone, NULL, NULL, pinned, HOST), NULL, "pinned itself");
    expect_judgement(judge(&world.leaf, NULL, NULL, world.roots, HOST), "issuer",
                     "without the intermediate");
    expect_judgement(judge(&alone, NULL, NULL, world.roots, HOST), "self-signed", "self-signed");
    expect_judgement(judge(&foreign, NULL, NULL, world.roots, HOST), "issuer", "unknown authority");
    expect_judgement(judge(&foreign, &stranger, NULL, world.roots, HOST), "self-signed",
                     "unknown authority, sent along");
    expect_judgement(judge(&forged, NULL, NULL, world.roots, HOST), "", "a twin of the root");
    expect_judgement(judge(&forged, &twin, NULL, world.roots, HOST), "", "the twin sent along");
    expect_judgement(judge(&by_leaf, &world.leaf, &world.middle, world.roots, HOST), "CA",
                     "issued by a leaf");
    tls_roots_put(&pinned);
    cert_free(&stranger), cert_free(&twin), cert_free(&alone), cert_free(&foreign);
    cert_free(&forged), cert_free(&by_leaf), cert_free(&direct);
}

// Chains as vendors have them, and limits that an intermediate may carry.
static void limits_in_chains_are_kept(void)
{
    struct cert stranger = cert_make(&(struct cert_spec){ .name = "Old Root", .authority = true });
    struct cert crossed = cert_make(&(struct cert_spec){ .name = "Test Root",
                                                         .authority = true,
                                                         .issuer = &stranger,
                                                         .key_of = &world.root,
                                                         .from_s = -86400,
                                                         .until_s = -3600 });
    struct cert_spec spec = { .name = "Limited", .authority = true, .issuer = &world.root };
    spec.path = 1;
    struct cert last = cert_make(&spec); // no authority below it
    spec.path = 0, spec.names = "critical,permitted;DNS:example.com";
    struct cert inside = cert_make(&spec);
    spec.names = "critical,permitted;DNS:example.org";
    struct cert outside = cert_make(&spec);
    spec.names = "critical,excluded;DNS:api.example.com";
    struct cert excluded = cert_make(&spec);
    spec.names = NULL, spec.issuer = &last, spec.name = "Too many";
    struct cert too_many = cert_make(&spec);

    struct cert_spec leaf = { .name = HOST, .alt = "DNS:api.example.com", .usage = "serverAuth" };
    const struct {
        const struct cert *issuer, *above;
        const char *refused;
    } cases[] = {
        { &world.middle, &crossed, NULL }, // the way over the old root is closed, ours is open
        { &last, NULL, NULL },
        { &inside, NULL, NULL },
        { &outside, NULL, "" },
        { &excluded, NULL, "" },
        { &too_many, &last, "" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        leaf.issuer = cases[i].issuer;
        struct cert cert = cert_make(&leaf);
        const char *got = judge(&cert, cases[i].issuer, cases[i].above, world.roots, HOST);
        char what[20];
        snprintf(what, sizeof(what), "limit %zu", i);
        expect_judgement(got, cases[i].refused, what);
        cert_free(&cert);
    }
    cert_free(&stranger), cert_free(&crossed), cert_free(&last), cert_free(&inside);
    cert_free(&outside), cert_free(&excluded), cert_free(&too_many);
}

static void weak_chains_are_refused(void)
{
    struct cert_spec leaf_spec = { .name = HOST, .alt = "DNS:api.example.com" };
    struct cert_spec middle_spec = { .name = "Weak", .authority = true, .issuer = &world.root };

    leaf_spec.issuer = &world.middle, leaf_spec.digest = EVP_sha1();
    struct cert sha1_leaf = cert_make(&leaf_spec);
    expect_judgement(judge(&sha1_leaf, &world.middle, NULL, world.roots, HOST), "too weak",
                     "leaf signed with SHA-1");
    cert_free(&sha1_leaf);

    leaf_spec.digest = NULL;
    middle_spec.digest = EVP_sha1();
    struct cert sha1_middle = cert_make(&middle_spec);
    leaf_spec.issuer = &sha1_middle;
    struct cert below = cert_make(&leaf_spec);
    expect_judgement(judge(&below, &sha1_middle, NULL, world.roots, HOST), "too weak",
                     "intermediate signed with SHA-1");
    cert_free(&below), cert_free(&sha1_middle);

    middle_spec.digest = NULL, middle_spec.key = KEY_RSA1024;
    struct cert short_middle = cert_make(&middle_spec);
    leaf_spec.issuer = &short_middle;
    below = cert_make(&leaf_spec);
    expect_judgement(judge(&below, &short_middle, NULL, world.roots, HOST), "too weak",
                     "intermediate with RSA-1024");
    cert_free(&below), cert_free(&short_middle);
}

// ---- The verification alone, where our own server would refuse to play along ----

static struct tls_verdicts *verdicts; // what verify_der() remembers in

static const char *verify_der(struct env *env, const struct cert *const *chain, size_t count,
                              size_t broken_byte)
{
    struct span spans[16] = { SPAN_NONE };
    unsigned char *der[16] = { NULL };
    for (size_t i = 0; i < count; i++) {
        int len = i2d_X509(chain[i]->x509, &der[i]);
        verify(len > 0);
        if (broken_byte > 0 && i == 0)
            der[i][broken_byte % (size_t)len] ^= 0x20;
        spans[i] = span_of(der[i], (size_t)len);
    }
    const char *got = tls_verify_chain(world.roots, env, spans, count, HOST, verdicts);
    for (size_t i = 0; i < count; i++)
        OPENSSL_free(der[i]);
    return got;
}

static void odd_chains_are_refused(void)
{
    const struct cert *const good[] = { &world.leaf, &world.middle };
    expect_judgement(verify_der(env_system(), good, 2, 0), NULL, "the world's");
    expect_judgement(verify_der(env_system(), good, 0, 0), "no certificate", "none");
    const struct cert *const long_chain[] = { &world.leaf,   &world.middle, &world.middle,
                                              &world.middle, &world.middle, &world.middle,
                                              &world.middle, &world.middle, &world.root };
    expect_judgement(verify_der(env_system(), long_chain, 9, 0), "too long", "nine");
    for (size_t at = 1; at < 600; at += 7) // any change breaks it, the signature or the form
        EXPECT(verify_der(env_system(), good, 2, at) != NULL);

    struct cert_spec spec = {
        .name = HOST, .alt = "DNS:api.example.com", .issuer = &world.middle, .key = KEY_RSA1024
    };
    struct cert weak = cert_make(&spec);
    const struct cert *const weak_chain[] = { &weak, &world.middle };
    expect_judgement(verify_der(env_system(), weak_chain, 2, 0), "too weak", "RSA-1024");
    struct pem chain = pem_chain(&weak, NULL, NULL), key = pem_key(&weak);
    struct tls_identity identity;
    EXPECT(failed(tls_identity_init(
        &identity, &(struct tls_certificate){ pem_span(&chain), pem_span(&key) }, why)));
    tls_identity_fini(&identity);
    cert_free(&weak);

    char deep[] = "\x30\x84\xff\xff\xff\xff\x30\x84";
    struct span junk = span_of(deep, sizeof(deep) - 1);
    expect_judgement(tls_verify_chain(world.roots, env_system(), &junk, 1, HOST, NULL), "malformed",
                     "junk");
}

static void the_environments_clock_decides(void)
{
    const struct cert *const good[] = { &world.leaf, &world.middle };
    struct env_fake fake;
    env_fake_init(&fake, 1);
    fake.wall = env_wall_ns(env_system());
    expect_judgement(verify_der(&fake.env, good, 2, 0), NULL, "today");
    env_fake_advance(&fake, UINT64_C(2) * 86400 * NS_PER_S);
    expect_judgement(verify_der(&fake.env, good, 2, 0), "expired", "the day after tomorrow");
    fake.wall = env_wall_ns(env_system()) - UINT64_C(86400) * NS_PER_S;
    expect_judgement(verify_der(&fake.env, good, 2, 0), "not yet valid", "yesterday");
}

// A chain once found good is not judged again, except where the answer could be another.
static void good_chains_are_remembered(void)
{
    const struct cert *const good[] = { &world.leaf, &world.middle };
    const struct cert *const other[] = { &world.leaf, &world.middle, &world.root };
    const struct cert *const bad[] = { &world.rsa, &world.middle };
    static struct tls_verdicts known;
    struct env_fake fake;
    env_fake_init(&fake, 1);
    fake.wall = env_wall_ns(env_system());
    verdicts = &known;
    expect_judgement(verify_der(&fake.env, good, 2, 0), NULL, "first");
    EXPECT_EQ(known.hits, 0);
    expect_judgement(verify_der(&fake.env, good, 2, 0), NULL, "again");
    EXPECT_EQ(known.hits, 1);
    EXPECT(verify_der(&fake.env, good, 2, 300) != NULL); // one bit is another chain
    expect_judgement(verify_der(&fake.env, other, 3, 0), NULL, "with its root");
    expect_judgement(verify_der(&fake.env, bad, 2, 0), "hostname mismatch", "another leaf");
    expect_judgement(verify_der(&fake.env, bad, 2, 0), "hostname mismatch",
                     "a refusal is made anew");
    EXPECT_EQ(known.hits, 1);
    env_fake_advance(&fake, UINT64_C(2) * 86400 * NS_PER_S);
    expect_judgement(verify_der(&fake.env, good, 2, 0), "expired", "known, but too old by now");
    fake.wall = env_wall_ns(env_system()) - UINT64_C(86400) * NS_PER_S;
    expect_judgement(verify_der(&fake.env, good, 2, 0), "not yet valid", "known, but too early");
    EXPECT_EQ(known.hits, 1);
    verdicts = NULL;

    struct tls_ctx *server = server_with(&world.other, NULL);
    struct tls_ctx *client = client_with(world.roots, 0, 0);
    static const char *const hosts[] = { "a.example.org", "b.example.org", "example.com",
                                         "a.example.org" };
    for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
        struct pair pair;
        pair_init(&pair, client, server, hosts[i], 0);
        pair_run(&pair);
        EXPECT_EQ(pair.client.open, i != 2); // the same chain for a host it does not name
        pair_fini(&pair);
    }
    EXPECT_EQ(client->verdicts.hits, 1);
    tls_ctx_put(&client), tls_ctx_put(&server);
}

// ---- What a server loads ----

static void expect_load(struct span chain, struct span key, const char *says)
{
    struct tls_certificate certificate = { chain, key };
    struct tls_ctx *ctx = NULL;
    int64_t used = tls_heap_stats().used;
    why[0] = '\0';
    struct err err = tls_ctx_server(&ctx,
                                    &(struct tls_server_config){ .env = env_system(),
                                                                 .certificates = &certificate,
                                                                 .certificate_count = 1,
                                                                 .session_max = 4 },
                                    why);
    EXPECT_EQ(err.code, ERR_CONFIG);
    EXPECT(ctx == NULL);
    EXPECT_EQ(tls_heap_stats().used, used);
    if (strstr(why, says) == NULL) {
        fprintf(stderr, "  \"%s\", expected \"%s\"\n", why, says);
        test_failures++;
    }
}

static void bad_server_material_is_refused(void)
{
    struct pem chain = pem_chain(&world.leaf, &world.middle, NULL), key = pem_key(&world.leaf);
    struct pem other = pem_key(&world.middle), half = chain;
    expect_load(SPAN("nonsense"), pem_span(&key), "the certificate");
    expect_load(SPAN(""), pem_span(&key), "the certificate");
    expect_load(pem_span(&chain), SPAN("nonsense"), "the private key");
    expect_load(pem_span(&chain), pem_span(&chain), "the private key");
    expect_load(pem_span(&chain), pem_span(&other), "does not belong");
    half.len = half.len / 4;
    expect_load(pem_span(&half), pem_span(&key), "the certificate");

    BIO *bio = BIO_new(BIO_s_mem());
    char *text;
    verify(PEM_write_bio_PKCS8PrivateKey(bio, world.leaf.key, EVP_aes_256_cbc(), "secret", 6, NULL,
                                         NULL) == 1);
    size_t len = (size_t)BIO_get_mem_data(bio, &text);
    expect_load(pem_span(&chain), span_of(text, len), "the private key"); // and does not ask for it
    BIO_free(bio);
    struct tls_ctx *ctx;
    EXPECT(failed(tls_ctx_server(&ctx, &(struct tls_server_config){ .env = env_system() }, why)));
}

static void roots_are_read_from_files(void)
{
    char dir[] = "penstock-roots-XXXXXX", path[64];
    struct tls_roots *roots;
    EXPECT(failed(tls_roots_parse(&roots, SPAN("nothing"), why)) && roots == NULL);
    EXPECT(failed(tls_roots_parse(&roots,
                                  SPAN("-----BEGIN CERTIFICATE-----\nAAAA\n"
                                       "-----END CERTIFICATE-----\n"),
                                  why)));
    verify(mkdtemp(dir) != NULL);
    EXPECT(failed(tls_roots_open(&roots, dir, why)) && strstr(why, "no certificate") != NULL);
    snprintf(path, sizeof(path), "%s/one.pem", dir);
    FILE *file = fopen(path, "w");
    verify(file != NULL);
    fwrite(world.root_pem.text, 1, world.root_pem.len, file);
    fwrite("# a comment\n", 1, 12, file);
    struct pem middle = pem_chain(&world.middle, NULL, NULL);
    fwrite(middle.text, 1, middle.len, file);
    fclose(file);
    EXPECT(!failed(tls_roots_open(&roots, path, why)));
    EXPECT_EQ(tls_roots_count(roots), 2);
    expect_judgement(judge(&world.leaf, NULL, NULL, roots, HOST), NULL, "trusted intermediate");
    tls_roots_put(&roots);
    EXPECT(!failed(tls_roots_open(&roots, dir, why)));
    EXPECT_EQ(tls_roots_count(roots), 2);
    tls_roots_put(&roots);
    unlink(path);
    rmdir(dir);
    EXPECT(failed(tls_roots_open(&roots, path, why)) && strstr(why, "No such file") != NULL);
    if (access("/etc/ssl/certs/ca-certificates.crt", R_OK) == 0) {
        EXPECT(!failed(tls_roots_open(&roots, NULL, why)));
        EXPECT(tls_roots_count(roots) > 20);
        expect_judgement(judge(&world.leaf, &world.middle, NULL, roots, HOST), "issuer",
                         "the system's store");
        tls_roots_put(&roots);
    }
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(leaves_are_judged),          TEST(chains_are_judged),
        TEST(limits_in_chains_are_kept),  TEST(weak_chains_are_refused),
        TEST(odd_chains_are_refused),     TEST(the_environments_clock_decides),
        TEST(good_chains_are_remembered), TEST(bad_server_material_is_refused),
        TEST(roots_are_read_from_files),
    };
    return world_main(argc, argv, cases, ARRAY_LEN(cases));
}

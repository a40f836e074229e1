// Against a second implementation, OpenSSL, on the other side of the same memory.
#include "penstock/base/guard.h"
#include "tls_world.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

// One of ours and one of theirs.
struct duo {
    struct end ours;
    SSL *theirs;
    BIO *to_theirs, *from_theirs;
    struct wire their_data;
    bool their_close; // close_notify arrived there
};

static void duo_pump(struct duo *duo)
{
    bool moved = true;
    if (!tls_info(duo->ours.tls).version && duo->ours.calls == 0 && !SSL_is_server(duo->theirs))
        duo->ours.last = TLS_WANT; // a server waits
    else if (duo->ours.calls == 0)
        end_drive(&duo->ours);
    while (moved) {
        moved = false;
        struct block block = wire_take(&duo->ours.out, SIZE_MAX);
        if (block.len > 0)
            moved = BIO_write(duo->to_theirs, block.bytes, (int)block.len) > 0;
        free(block.bytes);
        char bytes[5000];
        int got = SSL_is_init_finished(duo->theirs) ? 1 : SSL_do_handshake(duo->theirs);
        while (SSL_is_init_finished(duo->theirs) &&
               (got = SSL_read(duo->theirs, bytes, sizeof(bytes))) > 0)
            (void)wire_send(&duo->their_data, span_of(bytes, (size_t)got)).code;
        duo->their_close |= SSL_get_error(duo->theirs, got) == SSL_ERROR_ZERO_RETURN;
        ERR_clear_error();
        got = BIO_read(duo->from_theirs, bytes, sizeof(bytes));
        if (got > 0 && duo->ours.last != TLS_FAILED) {
            moved = true;
            char *exact = malloc((size_t)got);
            memcpy(exact, bytes, (size_t)got);
            tls_feed(duo->ours.tls, span_of(exact, (size_t)got));
            end_drive(&duo->ours);
            free(exact);
        }
    }
}

static void duo_theirs(struct duo *duo, SSL_CTX *ctx, bool server)
{
    *duo = (struct duo){ .theirs = SSL_new(ctx) };
    duo->to_theirs = BIO_new(BIO_s_mem()), duo->from_theirs = BIO_new(BIO_s_mem());
    verify(duo->theirs != NULL && duo->to_theirs != NULL && duo->from_theirs != NULL);
    SSL_set_bio(duo->theirs, duo->to_theirs, duo->from_theirs);
    if (server)
        SSL_set_accept_state(duo->theirs);
    else
        SSL_set_connect_state(duo->theirs);
}

static void duo_server(struct duo *duo, struct tls_ctx *server, SSL_CTX *client, const char *host)
{
    duo_theirs(duo, client, false);
    SSL_set_tlsext_host_name(duo->theirs, host);
    verify(!failed(tls_new_server(&duo->ours.tls, server, wire_sink(&duo->ours.out))));
}

static void duo_client(struct duo *duo, struct tls_ctx *client, SSL_CTX *server, const char *host)
{
    duo_theirs(duo, server, true);
    verify(!failed(
        tls_new_client(&duo->ours.tls, client, wire_sink(&duo->ours.out), span_str(host), 443)));
}

static void duo_fini(struct duo *duo)
{
    SSL_free(duo->theirs);
    free(duo->their_data.bytes);
    end_fini(&duo->ours);
}

static bool is_open(const struct duo *duo)
{
    return duo->ours.open && SSL_is_init_finished(duo->theirs) && duo->ours.last != TLS_FAILED;
}

static void expect_open(const struct duo *duo)
{
    EXPECT(is_open(duo));
    if (!is_open(duo))
        fprintf(stderr, "  ours: %s\n", tls_reason(duo->ours.tls));
}

static void expect_talk(struct duo *duo)
{
    struct span text = SPAN("from us");
    if (!is_open(duo))
        return;
    duo->ours.data.len = duo->their_data.len = 0;
    EXPECT(!failed(tls_write(duo->ours.tls, &text, 1)));
    EXPECT_EQ(SSL_write(duo->theirs, "from them", 9), 9);
    duo_pump(duo);
    EXPECT_SPAN(span_of(duo->ours.data.bytes, duo->ours.data.len), "from them");
    EXPECT_SPAN(span_of(duo->their_data.bytes, duo->their_data.len), "from us");
}

static SSL_CTX *their_client(int version)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    verify(ctx != NULL);
    if (version != 0) {
        SSL_CTX_set_min_proto_version(ctx, version);
        SSL_CTX_set_max_proto_version(ctx, version);
    }
    X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), world.root.x509);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    return ctx;
}

static SSL_CTX *their_server(int version, const struct cert *leaf)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    verify(ctx != NULL);
    if (version != 0) {
        SSL_CTX_set_min_proto_version(ctx, version);
        SSL_CTX_set_max_proto_version(ctx, version);
    }
    SSL_CTX_set_security_level(ctx, 0); // it shall be able to offer what we must refuse
    verify(SSL_CTX_use_certificate(ctx, leaf->x509) == 1);
    verify(SSL_CTX_add1_chain_cert(ctx, world.middle.x509) == 1);
    verify(SSL_CTX_use_PrivateKey(ctx, leaf->key) == 1);
    return ctx;
}

static const int versions[] = { TLS1_3_VERSION, TLS1_2_VERSION };

// ---- Our server ----

static void their_client_is_served(void)
{
    const struct cert *const leaves[] = { &world.leaf, &world.rsa };
    static const char *const hosts[] = { "api.example.com", "rsa.example.com" };
    struct tls_ctx *server = server_of(leaves, 2, &world.tickets);
    for (size_t v = 0; v < 2; v++)
        for (size_t h = 0; h < 2; h++) {
            SSL_CTX *client = their_client(versions[v]);
            struct duo duo;
            duo_server(&duo, server, client, hosts[h]);
            SSL_set1_host(duo.theirs, hosts[h]);
            duo_pump(&duo);
            expect_open(&duo);
            EXPECT_EQ(tls_info(duo.ours.tls).version, SSL_version(duo.theirs));
            expect_talk(&duo);
            SSL_shutdown(duo.theirs);
            duo_pump(&duo);
            EXPECT_EQ(duo.ours.last, TLS_CLOSED);
            tls_shutdown(duo.ours.tls);
            duo_pump(&duo);
            EXPECT(duo.their_close);
            duo_fini(&duo);
            SSL_CTX_free(client);
        }
    tls_ctx_put(&server);
}

// Connects once, offering `*session`, and leaves the new session there.
static bool resumes(struct tls_ctx *server, SSL_CTX *client, const char *host,
                    SSL_SESSION **session)
{
    struct duo duo;
    duo_server(&duo, server, client, host);
    if (*session != NULL)
        SSL_set_session(duo.theirs, *session);
    duo_pump(&duo);
    expect_open(&duo);
    expect_talk(&duo);
    bool resumed = SSL_session_reused(duo.theirs) == 1;
    EXPECT_EQ(resumed, tls_info(duo.ours.tls).resumed);
    EXPECT_EQ(SSL_SESSION_get_max_early_data(SSL_get0_session(duo.theirs)), 0);
    SSL_shutdown(duo.theirs);
    SSL_SESSION_free(*session);
    *session = SSL_get1_session(duo.theirs);
    duo_fini(&duo);
    return resumed;
}

static void their_client_resumes(void)
{
    for (size_t v = 0; v < 2; v++) {
        struct tls_ticket_keys keys = { .count = 0 };
        tls_ticket_keys_rotate(&keys, env_system());
        struct tls_ctx *one = server_with(&world.leaf, &keys);
        struct tls_ctx *two = server_with(&world.leaf, &keys);
        SSL_CTX *client = their_client(versions[v]);
        SSL_SESSION *session = NULL;
        EXPECT(!resumes(one, client, "api.example.com", &session));
        EXPECT(resumes(two, client, "api.example.com", &session));
        EXPECT(!resumes(two, client, "www.example.com", &session)); // bound to its name
        if (versions[v] == TLS1_2_VERSION) // where a refused ticket is not replaced at once
            EXPECT(!resumes(two, client, "www.example.com", &session));
        tls_ticket_keys_rotate(&keys, env_system());
        tls_ctx_set_tickets(one, &keys);
        EXPECT(resumes(one, client, "www.example.com", &session));
        for (int i = 0; i < TLS_TICKET_KEYS_MAX; i++)
            tls_ticket_keys_rotate(&keys, env_system());
        tls_ctx_set_tickets(one, &keys);
        EXPECT(!resumes(one, client, "www.example.com", &session)); // its key is gone
        if (versions[v] == TLS1_2_VERSION)
            EXPECT(!resumes(one, client, "www.example.com", &session));
        EXPECT(resumes(one, client, "www.example.com", &session));
        SSL_SESSION_free(session);
        SSL_CTX_free(client);
        tls_ctx_put(&one), tls_ctx_put(&two);
    }
}

// What a client must and must not be able to agree on with us.
static void only_sound_offers_are_taken(void)
{
    static const struct {
        int version;
        const char *suites13, *suites12, *groups;
        bool served;
    } offers[] = {
        { TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256", NULL, "P-256", true },
        { TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384", NULL, "X25519", true },
        { TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256", NULL, NULL, false },
        { TLS1_3_VERSION, "TLS_AES_128_CCM_SHA256", NULL, NULL, false },
        { TLS1_3_VERSION, NULL, NULL, "P-384", false },
        { TLS1_3_VERSION, NULL, NULL, "X448", false },
        { TLS1_3_VERSION, NULL, NULL, "ffdhe2048", false },
        { TLS1_3_VERSION, NULL, NULL, "P-384:X25519", true }, // a HelloRetryRequest
        { TLS1_3_VERSION, NULL, NULL, "X448:P-256", true },
        { TLS1_2_VERSION, NULL, "ECDHE-ECDSA-AES128-GCM-SHA256", "P-256", true },
        { TLS1_2_VERSION, NULL, "ECDHE-ECDSA-AES256-GCM-SHA384", "X25519:P-256", true },
        { TLS1_2_VERSION, NULL, NULL, "P-256", true },
        { TLS1_2_VERSION, NULL, NULL, "P-384:P-256", true },
        { TLS1_2_VERSION, NULL, NULL, "P-384", false },
        { TLS1_2_VERSION, NULL, NULL, "P-521", false },
        { TLS1_2_VERSION, NULL, NULL, "X448", false },
        { TLS1_2_VERSION, NULL, NULL, "brainpoolP256r1", false },
        { TLS1_2_VERSION, NULL, NULL, "secp256k1", false },
        { TLS1_2_VERSION, NULL, "ECDHE-ECDSA-CHACHA20-POLY1305", NULL, false },
        { TLS1_2_VERSION, NULL, "ECDHE-ECDSA-AES128-SHA256", NULL, false },
        { TLS1_2_VERSION, NULL, "ECDHE-ECDSA-AES128-SHA", NULL, false },
        { TLS1_2_VERSION, NULL, "ECDHE-ECDSA-NULL-SHA:@SECLEVEL=0", NULL, false },
        { TLS1_2_VERSION, NULL, "AES128-GCM-SHA256", NULL, false },
        { TLS1_2_VERSION, NULL, "DHE-RSA-AES128-GCM-SHA256", NULL, false },
        { TLS1_2_VERSION, NULL, "AECDH-AES128-SHA:@SECLEVEL=0", NULL, false },
        { TLS1_2_VERSION, NULL, "PSK-AES128-GCM-SHA256", NULL, false },
        { TLS1_1_VERSION, NULL, "ALL:@SECLEVEL=0", NULL, false },
        { TLS1_VERSION, NULL, "ALL:@SECLEVEL=0", NULL, false },
    };
    struct tls_ctx *server = server_with(&world.leaf, &world.tickets);
    for (size_t i = 0; i < ARRAY_LEN(offers); i++) {
        SSL_CTX *client = their_client(offers[i].version);
        if (offers[i].suites13 != NULL)
            EXPECT_EQ(SSL_CTX_set_ciphersuites(client, offers[i].suites13), 1);
        if (offers[i].suites12 != NULL)
            EXPECT_EQ(SSL_CTX_set_cipher_list(client, offers[i].suites12), 1);
        if (offers[i].groups != NULL)
            EXPECT_EQ(SSL_CTX_set1_groups_list(client, offers[i].groups), 1);
        struct duo duo;
        duo_server(&duo, server, client, "api.example.com");
        duo_pump(&duo);
        if (is_open(&duo) != offers[i].served)
            fprintf(stderr, "  offer %zu: %s\n", i, tls_reason(duo.ours.tls));
        EXPECT_EQ(is_open(&duo), offers[i].served);
        const char *group = tls_info(duo.ours.tls).group;
        if (offers[i].served) {
            EXPECT(strcmp(group, "X25519") == 0 || strcmp(group, "SECP256R1") == 0);
            expect_talk(&duo);
        }
        duo_fini(&duo);
        SSL_CTX_free(client);
    }
    tls_ctx_put(&server);
}

static void protocols_are_negotiated(void)
{
    static const struct {
        const char *list;
        bool served, chosen;
    } offers[] = {
        { "\2h2\10http/1.1", true, true },
        { "\10http/1.1", true, true },
        { "\2h2", false, false },
        { "\10http/1.0\2h2", false, false },
        { "", true, false },
    };
    struct tls_ctx *server = server_with(&world.leaf, NULL);
    for (size_t v = 0; v < 2; v++)
        for (size_t i = 0; i < ARRAY_LEN(offers); i++) {
            SSL_CTX *client = their_client(versions[v]);
            struct duo duo;
            SSL_CTX_set_alpn_protos(client, (const unsigned char *)offers[i].list,
                                    (unsigned)strlen(offers[i].list));
            duo_server(&duo, server, client, "api.example.com");
            duo_pump(&duo);
            EXPECT_EQ(is_open(&duo), offers[i].served);
            EXPECT_EQ(tls_info(duo.ours.tls).alpn, offers[i].chosen);
            duo_fini(&duo);
            SSL_CTX_free(client);
        }
    tls_ctx_put(&server);
}

static void renegotiation_is_refused(void)
{
    struct tls_ctx *server = server_with(&world.leaf, NULL);
    SSL_CTX *client = their_client(TLS1_2_VERSION);
    struct duo duo;
    duo_server(&duo, server, client, "api.example.com");
    duo_pump(&duo);
    expect_open(&duo);
    SSL_renegotiate(duo.theirs);
    (void)SSL_do_handshake(duo.theirs);
    duo_pump(&duo);
    EXPECT_EQ(duo.ours.last, TLS_FAILED);
    duo_fini(&duo);
    SSL_CTX_free(client);
    tls_ctx_put(&server);
}

static void update_keys(struct duo *duo, bool requested)
{
    int kind = requested ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED;
    EXPECT_EQ(SSL_key_update(duo->theirs, kind), 1);
    EXPECT_EQ(SSL_do_handshake(duo->theirs), 1);
    expect_open(duo);
    expect_talk(duo);
}

static void key_updates_pass(void)
{
    struct tls_ctx *server = server_with(&world.leaf, NULL);
    SSL_CTX *client = their_client(TLS1_3_VERSION);
    struct duo duo;
    duo_server(&duo, server, client, "api.example.com");
    duo_pump(&duo);
    for (int i = 0; i < 5; i++) {
        update_keys(&duo, i % 2 == 1);
    }
    duo_fini(&duo);
    SSL_CTX_free(client);
    tls_ctx_put(&server);
}

// ---- Our client ----

static int pick_http11(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                       const unsigned char *in, unsigned in_len, void *arg)
{
    (void)ssl;
    static const unsigned char chosen[] = "\10http/1.1";
    int found = SSL_select_next_proto((unsigned char **)out, out_len, chosen, 9, in, in_len);
    *(bool *)arg = found == OPENSSL_NPN_NEGOTIATED;
    return SSL_TLSEXT_ERR_OK;
}

static void our_client_is_served(void)
{
    static const char *const groups[] = { "X25519", "P-256", "P-256:X25519" };
    const struct cert *const leaves[] = { &world.leaf, &world.rsa };
    static const char *const hosts[] = { "api.example.com", "rsa.example.com" };
    for (size_t v = 0; v < 2; v++)
        for (size_t i = 0; i < 6; i++) {
            SSL_CTX *server = their_server(versions[v], leaves[i % 2]);
            struct tls_ctx *client = client_with(world.roots, 0, 4);
            struct duo duo;
            bool offered = false;
            EXPECT_EQ(SSL_CTX_set1_groups_list(server, groups[i / 2]), 1);
            SSL_CTX_set_alpn_select_cb(server, pick_http11, &offered);
            duo_client(&duo, client, server, hosts[i % 2]);
            duo_pump(&duo);
            expect_open(&duo);
            struct tls_info info = tls_info(duo.ours.tls);
            EXPECT(info.verified && info.alpn && offered);
            EXPECT_EQ(info.version, versions[v]);
            const char *name = SSL_get_servername(duo.theirs, TLSEXT_NAMETYPE_host_name);
            EXPECT(name != NULL && strcmp(name, hosts[i % 2]) == 0);
            expect_talk(&duo);
            SSL_shutdown(duo.theirs);
            duo_pump(&duo);
            EXPECT_EQ(duo.ours.last, TLS_CLOSED);
            duo_fini(&duo);
            SSL_CTX_free(server);
            tls_ctx_put(&client);
        }
}

static bool ours_resumes(struct tls_ctx *client, SSL_CTX *server)
{
    struct duo duo;
    duo_client(&duo, client, server, "api.example.com");
    duo_pump(&duo);
    expect_open(&duo);
    expect_talk(&duo);
    struct tls_info info = tls_info(duo.ours.tls);
    EXPECT(info.verified);
    EXPECT_EQ(info.resumed, SSL_session_reused(duo.theirs));
    duo_fini(&duo);
    return info.resumed;
}

static void our_client_resumes_and_is_told_no(void)
{
    for (size_t v = 0; v < 2; v++) {
        SSL_CTX *one = their_server(versions[v], &world.leaf);
        SSL_CTX *two = their_server(versions[v], &world.leaf); // does not know one's tickets
        SSL_CTX_set_session_id_context(one, (const unsigned char *)"x", 1);
        SSL_CTX_set_session_id_context(two, (const unsigned char *)"x", 1);
        struct tls_ctx *client = client_with(world.roots, 0, 4);
        bool tls13 = versions[v] == TLS1_3_VERSION;
        EXPECT(!ours_resumes(client, one));
        EXPECT_EQ(ours_resumes(client, one), tls13); // of 1.2 nothing is kept
        EXPECT(!ours_resumes(client, two));          // a full handshake, and no failure
        EXPECT_EQ(ours_resumes(client, two), tls13);
        SSL_CTX_free(one), SSL_CTX_free(two);
        tls_ctx_put(&client);
    }
}

static void unsound_servers_are_refused(void)
{
    struct cert_spec spec = { .name = "api.example.com",
                              .alt = "DNS:api.example.com",
                              .issuer = &world.middle,
                              .key = KEY_RSA1024 };
    struct cert weak = cert_make(&spec);
    static const struct {
        const char *what;
        int version;
        const char *suites, *groups, *signatures;
        int leaf; // 0 ECDSA, 1 RSA, 2 RSA-1024
    } servers[] = {
        { "SHA-1 with RSA", TLS1_2_VERSION, NULL, NULL, "RSA+SHA1", 1 },
        { "SHA-1 with ECDSA", TLS1_2_VERSION, NULL, NULL, "ECDSA+SHA1", 0 },
        { "RSA-1024", TLS1_2_VERSION, NULL, NULL, NULL, 2 },
        { "RSA-1024 in 1.3", TLS1_3_VERSION, NULL, NULL, NULL, 2 },
        { "ChaCha20", TLS1_2_VERSION, "CHACHA20", NULL, NULL, 0 },
        { "CBC", TLS1_2_VERSION, "ECDHE-ECDSA-AES128-SHA256", NULL, NULL, 0 },
        { "anonymous", TLS1_2_VERSION, "aNULL:@SECLEVEL=0", NULL, NULL, 0 },
        { "no encryption", TLS1_2_VERSION, "eNULL:@SECLEVEL=0", NULL, NULL, 0 },
        { "static RSA", TLS1_2_VERSION, "AES128-GCM-SHA256", NULL, NULL, 1 },
        { "P-384 only", TLS1_3_VERSION, NULL, "P-384", NULL, 0 },
        { "P-384 only in 1.2", TLS1_2_VERSION, NULL, "P-384", NULL, 0 },
        { "TLS 1.1", TLS1_1_VERSION, "ALL:@SECLEVEL=0", NULL, NULL, 0 },
        { "TLS 1.0", TLS1_VERSION, "ALL:@SECLEVEL=0", NULL, NULL, 0 },
    };
    const struct cert *const leaves[] = { &world.leaf, &world.rsa, &weak };
    static const char *const hosts[] = { "api.example.com", "rsa.example.com", "api.example.com" };
    for (size_t i = 0; i < ARRAY_LEN(servers); i++) {
        SSL_CTX *server = their_server(servers[i].version, leaves[servers[i].leaf]);
        struct tls_ctx *client = client_with(world.roots, 0, 4);
        struct duo duo;
        if (servers[i].suites != NULL)
            EXPECT_EQ(SSL_CTX_set_cipher_list(server, servers[i].suites), 1);
        if (servers[i].groups != NULL)
            EXPECT_EQ(SSL_CTX_set1_groups_list(server, servers[i].groups), 1);
        if (servers[i].signatures != NULL)
            EXPECT_EQ(SSL_CTX_set1_sigalgs_list(server, servers[i].signatures), 1);
        duo_client(&duo, client, server, hosts[servers[i].leaf]);
        duo_pump(&duo);
        EXPECT(!duo.ours.open);
        EXPECT(!SSL_is_init_finished(duo.theirs));
        if (duo.ours.open)
            fprintf(stderr, "  %s was believed\n", servers[i].what);
        EXPECT_EQ(duo.their_data.len, 0);
        duo_fini(&duo);
        SSL_CTX_free(server);
        tls_ctx_put(&client);
    }
    cert_free(&weak);
}

static void a_server_that_asks_for_a_certificate_gets_none(void)
{
    for (size_t v = 0; v < 2; v++) {
        SSL_CTX *server = their_server(versions[v], &world.leaf);
        struct tls_ctx *client = client_with(world.roots, 0, 4);
        struct duo duo;
        SSL_CTX_set_verify(server, SSL_VERIFY_PEER, NULL);
        duo_client(&duo, client, server, "api.example.com");
        duo_pump(&duo);
        expect_open(&duo);
        expect_talk(&duo);
        duo_fini(&duo);
        SSL_CTX_free(server);
        tls_ctx_put(&client);
    }
}

static void server_key_updates_pass(void)
{
    SSL_CTX *server = their_server(TLS1_3_VERSION, &world.leaf);
    struct tls_ctx *client = client_with(world.roots, 0, 4);
    struct duo duo;
    duo_client(&duo, client, server, "api.example.com");
    duo_pump(&duo);
    for (int i = 0; i < 5; i++) {
        update_keys(&duo, i % 2 == 1);
    }
    duo_fini(&duo);
    SSL_CTX_free(server);
    tls_ctx_put(&client);
}

enum { BULK_LEN = 2 * MIB };

static void much_data_passes(void)
{
    static char bulk[BULK_LEN];
    for (size_t i = 0; i < sizeof(bulk); i++)
        bulk[i] = (char)(i * 2654435761u >> 13);
    for (size_t v = 0; v < 2; v++) {
        SSL_CTX *server = their_server(versions[v], &world.leaf);
        struct tls_ctx *client = client_with(world.roots, 0, 4);
        struct duo duo;
        duo_client(&duo, client, server, "api.example.com");
        duo_pump(&duo);
        struct span all = span_of(bulk, sizeof(bulk));
        EXPECT(!failed(tls_write(duo.ours.tls, &all, 1)));
        EXPECT_EQ(SSL_write(duo.theirs, bulk, sizeof(bulk)), (int)sizeof(bulk));
        duo_pump(&duo);
        EXPECT(span_eq(span_of(duo.ours.data.bytes, duo.ours.data.len), all));
        EXPECT(span_eq(span_of(duo.their_data.bytes, duo.their_data.len), all));
        duo_fini(&duo);
        SSL_CTX_free(server);
        tls_ctx_put(&client);
    }
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(their_client_is_served),      TEST(their_client_resumes),
        TEST(only_sound_offers_are_taken), TEST(protocols_are_negotiated),
        TEST(renegotiation_is_refused),    TEST(key_updates_pass),
        TEST(our_client_is_served),        TEST(our_client_resumes_and_is_told_no),
        TEST(unsound_servers_are_refused), TEST(a_server_that_asks_for_a_certificate_gets_none),
        TEST(server_key_updates_pass),     TEST(much_data_passes),
    };
    return world_main(argc, argv, cases, ARRAY_LEN(cases));
}

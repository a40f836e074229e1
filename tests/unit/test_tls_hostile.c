// What a client may do to us on TLS 1.3: an honest peer first, so that the rest means something.
#include "net/tls_internal.h"
#include "penstock/base/guard.h"
#include "tls_peer.h"
#include "tls_world.h"

static struct tls_ctx *server;

static const struct hello_plan honest;

// The server has given up for the reason `says`, and said so by an alert.
static void expect_refused(struct peer *peer, const char *says)
{
    EXPECT_EQ(peer->last, TLS_FAILED);
    EXPECT_EQ(tls_err(peer->server).code, ERR_TLS_CLIENT);
    if (strstr(tls_reason(peer->server), says) == NULL) {
        fprintf(stderr, "  reason \"%s\", expected \"%s\"\n", tls_reason(peer->server), says);
        test_failures++;
    }
    if (!peer->closed)
        fprintf(stderr, "  no alert (%s)\n", says);
    EXPECT(peer->closed);
}

static void expect_open(struct peer *peer)
{
    EXPECT(peer->open && peer->finished && !peer->closed);
    if (!peer->open)
        fprintf(stderr, "  not open: %s\n", tls_reason(peer->server));
}

// Both directions still work.
static void expect_talk(struct peer *peer)
{
    struct span text = SPAN("answer");
    peer->heard.len = peer->told.len = 0;
    peer_send(peer, 23, "question", 8);
    EXPECT_SPAN(span_of(peer->told.bytes, peer->told.len), "question");
    if (peer->last != TLS_WANT)
        return;
    EXPECT(!failed(tls_write(peer->server, &text, 1)));
    peer_receive(peer);
    EXPECT_SPAN(span_of(peer->heard.bytes, peer->heard.len), "answer");
}

static void an_honest_peer_is_served(void)
{
    struct peer peer;
    peer_connect(&peer, server);
    expect_open(&peer);
    expect_talk(&peer);
    EXPECT(peer.tickets > 0);
    EXPECT(strcmp(tls_info(peer.server).group, "X25519") == 0);
    peer_send(&peer, 21, "\1\0", 2); // close_notify
    EXPECT_EQ(peer.last, TLS_CLOSED);
    peer_fini(&peer);
}

// The same by P-256, by a HelloRetryRequest, with padding, and in records of one byte.
static void honest_variants_are_served(void)
{
    struct peer peer;
    peer_init(&peer, server);
    peer_hello(&peer, &(struct hello_plan){ .p256 = true });
    peer_send_finished(&peer, true);
    expect_open(&peer);
    EXPECT(strcmp(tls_info(peer.server).group, "SECP256R1") == 0);
    expect_talk(&peer);
    peer_fini(&peer);

    peer_init(&peer, server);
    peer_hello(&peer, &(struct hello_plan){ .no_share = true });
    EXPECT(peer.retry);
    peer_send_plain(&peer, 20, "\1", 1); // as middleboxes like it
    peer_hello(&peer, &honest);
    peer_send_finished(&peer, true);
    expect_open(&peer);
    expect_talk(&peer);
    peer_fini(&peer);

    peer_connect(&peer, server);
    uint8_t padded[16385] = "padded\27"; // its content type, then zeros
    peer_send_inner(&peer, padded, sizeof(padded));
    EXPECT_SPAN(span_of(peer.told.bytes, peer.told.len), "padded");
    peer_send(&peer, 23, NULL, 0); // an empty record of data is legal
    expect_talk(&peer);
    peer_fini(&peer);

    static struct bytes hello;
    peer_init(&peer, server);
    make_hello(&peer, &honest, &hello);
    put_bytes(&peer.transcript, hello.at, hello.len);
    for (size_t i = 0; i < hello.len; i++)
        peer_send_plain(&peer, 22, hello.at + i, 1);
    peer_send_finished(&peer, true);
    expect_open(&peer);
    expect_talk(&peer);
    peer_fini(&peer);
}

// ---- Records ----

static void an_empty_inner_plaintext_is_refused(void)
{
    struct peer peer;
    peer_connect(&peer, server);
    peer_send_inner(&peer, NULL, 0);
    expect_refused(&peer, "too short");
    peer_fini(&peer);

    peer_init(&peer, server); // the same in the place of Finished
    peer_hello(&peer, &honest);
    peer_send_inner(&peer, NULL, 0);
    expect_refused(&peer, "too short");
    peer_fini(&peer);
#ifdef PENSTOCK_FAULT_POINTS
    // And should such a record come this far, the callback stops it.
    guard_set(GUARD_TLS_RECORD_SHORT, true);
    peer_connect(&peer, server);
    peer_send_inner(&peer, NULL, 0);
    expect_refused(&peer, "content type");
    peer_fini(&peer);
    guard_set(GUARD_TLS_RECORD_SHORT, false);
#endif
}

static void a_blank_inner_plaintext_is_refused(void)
{
    static const uint8_t zeros[16385];
    static const size_t sizes[] = { 1, 2, 15, 16, 17, 100, 1000, 16384, 16385 };
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct peer peer;
        peer_connect(&peer, server);
        expect_talk(&peer); // so that older plaintext lies in the buffer
        peer_send_inner(&peer, zeros, sizes[i]);
        expect_refused(&peer, "content type");
        peer_fini(&peer);
    }
}

static void short_records_are_refused(void)
{
    static const uint8_t junk[17] = "sixteen bytes!!!";
    for (size_t len = 0; len < 17; len++) {
        struct peer peer;
        peer_connect(&peer, server);
        peer_send_plain(&peer, 23, junk, len);
        expect_refused(&peer, "too short");
        peer_fini(&peer);
        peer_init(&peer, server);
        peer_hello(&peer, &honest);
        peer_send_plain(&peer, 23, junk, len);
        expect_refused(&peer, "too short");
        peer_fini(&peer);
    }
}

static void long_records_are_refused(void)
{
    static const uint16_t lens[] = { TLS_FRAGMENT_MAX + 1, 18432, 18433, 65535 };
    for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
        for (int stage = 0; stage < 2; stage++) {
            const uint8_t head[6] = { 23, 3, 3, (uint8_t)(lens[i] >> 8), (uint8_t)lens[i], 0 };
            struct peer peer;
            peer_init(&peer, server);
            peer_hello(&peer, &honest);
            if (stage == 1)
                peer_send_finished(&peer, true);
            feed_server(&peer, head, sizeof(head));
            expect_refused(&peer, "longer than");
            peer_fini(&peer);
        }
    }
    // Sealed, of a legal length on the wire, but with more plaintext than a record may hold.
    static uint8_t inner[16500];
    memset(inner, 'x', sizeof(inner));
    inner[sizeof(inner) - 1] = 23;
    struct peer peer;
    peer_connect(&peer, server);
    peer_send_inner(&peer, inner, sizeof(inner));
    EXPECT_EQ(peer.last, TLS_FAILED);
    EXPECT_EQ(peer.told.len, 0);
    peer_fini(&peer);
}

static void unknown_contents_are_refused(void)
{
    for (unsigned content = 0; content < 256; content += 1) {
        bool known = content >= 20 && content <= 23;
        struct peer peer;
        peer_connect(&peer, server);
        peer_send(&peer, (uint8_t)content, "\1\2\3\4\5\6\7\1", 8);
        EXPECT(peer.last == TLS_FAILED || content == 23);
        peer_fini(&peer);
        if (known)
            continue;
        peer_init(&peer, server);
        peer_send_plain(&peer, (uint8_t)content, "\1\2\3\4", 4);
        expect_refused(&peer, "not a TLS handshake");
        peer_fini(&peer);
    }
}

// ---- ClientHello ----

static void expect_hello_refused(const struct hello_plan *plan, const char *says, uint8_t alert)
{
    struct peer peer;
    peer_init(&peer, server);
    peer_hello(&peer, plan);
    expect_refused(&peer, says);
    EXPECT(!peer.encrypted); // no ServerHello came
    if (alert != 0)
        EXPECT_EQ(peer.alert, alert);
    peer_fini(&peer);
}

static void repeated_parts_of_a_hello_are_refused(void)
{
    expect_hello_refused(&(struct hello_plan){ .share_twice = true }, "repeated key share", 47);
    expect_hello_refused(&(struct hello_plan){ .share_twice = true, .p256 = true },
                         "repeated key share", 47);
    expect_hello_refused(&(struct hello_plan){ .extension_twice = true }, "repeated extension", 47);
    expect_hello_refused(&(struct hello_plan){ .alpn_overrun = true }, "list of protocols", 50);
    struct peer peer; // after a HelloRetryRequest as well
    peer_init(&peer, server);
    peer_hello(&peer, &(struct hello_plan){ .no_share = true });
    EXPECT(peer.retry);
    peer_hello(&peer, &(struct hello_plan){ .share_twice = true });
    expect_refused(&peer, "repeated key share");
    peer_fini(&peer);
    peer_init(&peer, server); // which may not ask for another server
    peer_hello(&peer, &(struct hello_plan){ .no_share = true });
    peer_hello(&peer, &(struct hello_plan){ .sni = "rsa.example.com" });
    expect_refused(&peer, "not the same");
    peer_fini(&peer);
}

static void points_off_the_curve_are_refused(void)
{
    uint8_t point[65] = { 4 };
    for (int i = 1; i < 65; i++)
        point[i] = (uint8_t)(i * 7);
    expect_hello_refused(&(struct hello_plan){ .p256 = true, .point = point, .point_len = 65 },
                         "not on the curve", 0);
    memset(point + 1, 0, 64); // (0, 0)
    expect_hello_refused(&(struct hello_plan){ .p256 = true, .point = point, .point_len = 65 },
                         "not on the curve", 0);
    memset(point + 1, 0xff, 64); // coordinates beyond the prime
    expect_hello_refused(&(struct hello_plan){ .p256 = true, .point = point, .point_len = 65 },
                         "not on the curve", 0);
    point[0] = 0;
    expect_hello_refused(&(struct hello_plan){ .p256 = true, .point = point, .point_len = 1 },
                         "wrong length", 47);
    point[0] = 2; // compressed: TLS 1.3 has none of it
    expect_hello_refused(&(struct hello_plan){ .p256 = true, .point = point, .point_len = 33 },
                         "wrong length", 47);
    expect_hello_refused(&(struct hello_plan){ .point = point, .point_len = 31 }, "wrong length",
                         47);
}

// The points of small order make the shared secret zero whatever our key is (RFC 8446 7.4.2).
static void x25519_points_of_small_order_are_refused(void)
{
    static const uint8_t points[][32] = {
        { 0 },
        { 1 },
        { 0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3,
          0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32,
          0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00 },
        { 0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1,
          0x55, 0x9c, 0x83, 0xef, 0x5b, 0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c,
          0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57 },
    };
    for (size_t i = 0; i < ARRAY_LEN(points); i++)
        expect_hello_refused(&(struct hello_plan){ .point = points[i], .point_len = 32 },
                             "small order", 47);
}

static void impossible_hellos_are_refused(void)
{
    expect_hello_refused(&(struct hello_plan){ .suite = 0x1303 }, "", 40); // ChaCha20 only
    expect_hello_refused(&(struct hello_plan){ .suite = 0x00ff }, "", 40);
    expect_hello_refused(&(struct hello_plan){ .version = 0x0302 }, "", 0);
    expect_hello_refused(&(struct hello_plan){ .alpn = "h2" }, "", 120);
    expect_hello_refused(&(struct hello_plan){ .sni = "a b.example.com" }, "not a host name", 47);
    expect_hello_refused(&(struct hello_plan){ .sni = "a\0b", .sni_len = 3 }, "not a host name",
                         47);
    expect_hello_refused(&(struct hello_plan){ .sni = "." }, "impossible length", 47);
    expect_hello_refused(&(struct hello_plan){ .padding = TLS_HELLO_MAX }, "too long", 50);
    struct peer peer;
    peer_init(&peer, server); // long, but not too long
    peer_hello(&peer, &(struct hello_plan){ .padding = TLS_HELLO_MAX - 400 });
    peer_send_finished(&peer, true);
    expect_open(&peer);
    peer_fini(&peer);

    static struct bytes hello;
    peer_init(&peer, server);
    make_hello(&peer, &honest, &hello);
    put_number(&hello, 0, 1); // a byte behind the message
    peer_send_plain(&peer, 22, hello.at, hello.len);
    expect_refused(&peer, "followed by other bytes");
    peer_fini(&peer);
}

// Cut short at every length, with the length fields put right or not: refused, never half taken.
static void cut_hellos_are_refused(void)
{
    static struct bytes hello;
    for (size_t keep = 4;; keep++) {
        struct peer peer;
        peer_init(&peer, server);
        make_hello(&peer, &honest, &hello);
        if (keep >= hello.len) {
            peer_fini(&peer);
            break;
        }
        hello.len = keep;
        close_length(&hello, 4, 3);
        peer_send_plain(&peer, 22, hello.at, hello.len);
        EXPECT_EQ(peer.last, TLS_FAILED);
        EXPECT(peer.closed && !peer.encrypted);
        peer_fini(&peer);
    }
}

static void changed_hellos_never_crash(void)
{
    static struct bytes hello;
    size_t len = 1;
    for (size_t at = 0; at < len; at++) {
        struct peer peer;
        peer_init(&peer, server);
        make_hello(&peer, &honest, &hello);
        len = hello.len;
        hello.at[at] ^= (uint8_t)(1 + at % 255);
        peer_send_plain(&peer, 22, hello.at, hello.len);
        EXPECT(peer.last == TLS_FAILED || peer.last == TLS_WANT);
        peer_fini(&peer);
    }
}

static void foreign_tickets_are_ignored(void)
{
    uint8_t ticket[600];
    for (size_t i = 0; i < sizeof(ticket); i++)
        ticket[i] = (uint8_t)(i * 31);
    static const size_t lens[] = { 1, 16, 66, 200, 256, 600 };
    for (size_t i = 0; i < ARRAY_LEN(lens); i++)
        for (int known = 0; known < 2; known++) {
            struct peer peer;
            if (known)
                memcpy(ticket, world.tickets.key[0].name, TLS_TICKET_NAME_LEN);
            peer_init(&peer, server);
            peer_hello(&peer, &(struct hello_plan){ .ticket = ticket, .ticket_len = lens[i] });
            peer_send_finished(&peer, true);
            expect_open(&peer);
            EXPECT(!tls_info(peer.server).resumed);
            peer_fini(&peer);
        }
}

// ---- The rest of the handshake ----

static void a_wrong_finished_is_refused(void)
{
    struct peer peer;
    peer_init(&peer, server);
    peer_hello(&peer, &honest);
    peer_send_finished(&peer, false);
    EXPECT(!peer.open);
    EXPECT_EQ(peer.last, TLS_FAILED);
    peer_fini(&peer);

    peer_init(&peer, server); // none at all, but data
    peer_hello(&peer, &honest);
    peer_send(&peer, 23, "GET / HTTP/1.1\r\n\r\n", 18);
    EXPECT(!peer.open);
    EXPECT_EQ(peer.last, TLS_FAILED);
    EXPECT_EQ(peer.told.len, 0);
    peer_fini(&peer);
}

static void alerts_end_the_handshake(void)
{
    struct peer peer;
    peer_init(&peer, server); // instead of a ClientHello
    peer_send_plain(&peer, 21, "\2\50", 2);
    expect_refused(&peer, "not a TLS handshake");
    peer_fini(&peer);

    peer_init(&peer, server); // in the clear, where everything is sealed
    peer_hello(&peer, &honest);
    peer_send_plain(&peer, 21, "\2\50", 2);
    EXPECT_EQ(peer.last, TLS_FAILED);
    peer_fini(&peer);

    peer_init(&peer, server);
    peer_hello(&peer, &honest);
    peer_send(&peer, 21, "\2\52", 2); // bad_certificate
    EXPECT_EQ(peer.last, TLS_FAILED);
    EXPECT(strcmp(tls_reason(peer.server), "the peer sent alert 42") == 0);
    peer_fini(&peer);

    static const char odd[][3] = { "\2", "\2\50\2", "\3\50" };
    for (size_t i = 0; i < ARRAY_LEN(odd); i++) { // cut, doubled, of an unknown level
        peer_connect(&peer, server);
        peer_send(&peer, 21, odd[i], i == 0 ? 1 : i == 1 ? 3 : 2);
        EXPECT(peer.last == TLS_FAILED || peer.last == TLS_WANT);
        peer_fini(&peer);
    }
}

static void handshake_messages_out_of_place_are_refused(void)
{
    static struct bytes hello;
    struct peer peer;
    peer_init(&peer, server); // a second ClientHello nobody asked for
    peer_hello(&peer, &honest);
    make_hello(&peer, &honest, &hello);
    peer_send_plain(&peer, 22, hello.at, hello.len);
    EXPECT_EQ(peer.last, TLS_FAILED);
    peer_fini(&peer);
    for (unsigned type = 0; type < 256; type++) { // after the handshake, empty, of every type
        const uint8_t message[4] = { (uint8_t)type };
        peer_connect(&peer, server);
        peer_send(&peer, 22, message, sizeof(message));
        EXPECT_EQ(peer.last, TLS_FAILED);
        peer_fini(&peer);
    }
    peer_connect(&peer, server); // a renegotiation, as it was before TLS 1.3
    make_hello(&peer, &honest, &hello);
    peer_send(&peer, 22, hello.at, hello.len);
    EXPECT_EQ(peer.last, TLS_FAILED);
    peer_fini(&peer);
    peer_connect(&peer, server); // ChangeCipherSpec when nothing changes any more
    peer_send_plain(&peer, 20, "\1", 1);
    EXPECT_EQ(peer.last, TLS_FAILED);
    peer_fini(&peer);
}

static void a_huge_message_takes_no_memory(void)
{
    struct peer peer;
    uint8_t message[8000] = { 24, 0xff, 0xff, 0xff };
    peer_connect(&peer, server);
    for (int i = 0; i < 20 && peer.last != TLS_FAILED; i++) {
        peer_send(&peer, 22, message, sizeof(message));
        EXPECT(tls_bytes(peer.server) < 200 * KIB);
    }
    EXPECT_EQ(peer.last, TLS_FAILED);
    peer_fini(&peer);
}

// ---- Floods ----

static void send_key_update(struct peer *peer, bool requested)
{
    const uint8_t message[5] = { 24, 0, 0, 1, requested };
    peer_send(peer, 22, message, sizeof(message));
    keys_next(&peer->send);
}

static void key_updates_work_and_floods_do_not(void)
{
    struct peer peer;
    peer_connect(&peer, server);
    for (int i = 0; i < 100; i++) { // in between there is data: a long connection
        send_key_update(&peer, i % 2 == 1);
        expect_talk(&peer);
    }
    EXPECT_EQ(peer.last, TLS_WANT);
    EXPECT_EQ(peer.key_updates, 50);
    for (int i = 0; i < TLS_BARREN_MAX + 1; i++)
        send_key_update(&peer, true);
    expect_refused(&peer, "without data");
    peer_fini(&peer);

    peer_connect(&peer, server); // empty records
    for (int i = 0; i < TLS_BARREN_MAX + 1; i++)
        peer_send(&peer, 23, NULL, 0);
    EXPECT_EQ(peer.last, TLS_FAILED);
    peer_fini(&peer);

    peer_connect(&peer, server); // warnings
    for (int i = 0; i < TLS_BARREN_MAX + 1; i++)
        peer_send(&peer, 21, "\1\132", 2); // user_canceled
    EXPECT_EQ(peer.last, TLS_FAILED);
    peer_fini(&peer);
}

static void a_flood_in_the_handshake_ends(void)
{
    struct peer peer;
    peer_init(&peer, server);
    peer_hello(&peer, &honest);
    for (int i = 0; i < TLS_HANDSHAKE_RECORDS_MAX + 1; i++)
        peer_send_plain(&peer, 20, "\1", 1);
    EXPECT_EQ(peer.last, TLS_FAILED);
    peer_fini(&peer);

    peer_init(&peer, server); // Finished in a record a byte, without an end
    peer_hello(&peer, &honest);
    peer_send(&peer, 22, "\24\0\377\377", 4);
    for (int i = 0; i < TLS_HANDSHAKE_RECORDS_MAX + 1; i++)
        peer_send(&peer, 22, "x", 1);
    EXPECT_EQ(peer.last, TLS_FAILED);
    peer_fini(&peer);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(an_honest_peer_is_served),
        TEST(honest_variants_are_served),
        TEST(an_empty_inner_plaintext_is_refused),
        TEST(a_blank_inner_plaintext_is_refused),
        TEST(short_records_are_refused),
        TEST(long_records_are_refused),
        TEST(unknown_contents_are_refused),
        TEST(repeated_parts_of_a_hello_are_refused),
        TEST(points_off_the_curve_are_refused),
        TEST(x25519_points_of_small_order_are_refused),
        TEST(impossible_hellos_are_refused),
        TEST(cut_hellos_are_refused),
        TEST(changed_hellos_never_crash),
        TEST(foreign_tickets_are_ignored),
        TEST(a_wrong_finished_is_refused),
        TEST(alerts_end_the_handshake),
        TEST(handshake_messages_out_of_place_are_refused),
        TEST(a_huge_message_takes_no_memory),
        TEST(key_updates_work_and_floods_do_not),
        TEST(a_flood_in_the_handshake_ends),
    };
    struct err err = tls_init(why);
    if (failed(err)) {
        fprintf(stderr, "tls_init: %s\n", why);
        return EXIT_FAILURE;
    }
    world_init();
    server = server_with(&world.leaf, &world.tickets);
    int status = test_main(argc, argv, cases, ARRAY_LEN(cases));
    tls_ctx_put(&server);
    world_fini();
    tls_fini();
    return status;
}

// Several shards at once: each thread has its own contexts, and all share the roots and the keys.
#include "tls_world.h"

#include <pthread.h>

enum { THREADS = 4, ROUNDS = 12 };

static void *shard(void *arg)
{
    size_t *done = arg;
    struct tls_heap_stats before = tls_heap_stats();
    struct pem chain = pem_chain(&world.leaf, &world.middle, NULL), key = pem_key(&world.leaf);
    struct tls_certificate certificate = { pem_span(&chain), pem_span(&key) };
    char reason[TLS_WHY_MAX];
    struct tls_ctx *server, *client;
    struct tls_roots *roots = tls_roots_get(world.roots);
    verify(!failed(tls_ctx_server(&server,
                                  &(struct tls_server_config){ .env = env_system(),
                                                               .certificates = &certificate,
                                                               .certificate_count = 1,
                                                               .tickets = &world.tickets,
                                                               .session_max = 8 },
                                  reason)));
    verify(!failed(
        tls_ctx_client(&client,
                       &(struct tls_client_config){
                           .env = env_system(), .roots = roots, .session_max = 8, .resume_max = 2 },
                       reason)));
    tls_roots_put(&roots);
    for (int i = 0; i < ROUNDS; i++) {
        struct span text = SPAN("from a shard");
        struct pair pair;
        pair_init(&pair, client, server, i % 3 == 0 ? "127.0.0.1" : "api.example.com", 0);
        pair_run(&pair);
        bool talked = pair.client.open && !failed(tls_write(pair.client.tls, &text, 1));
        pair_run(&pair);
        talked = talked && span_eq(span_of(pair.server.data.bytes, pair.server.data.len), text);
        *done += talked;
        pair_fini(&pair);
    }
    tls_ctx_put(&client), tls_ctx_put(&server);
    *done += tls_heap_stats().used == before.used;
    tls_heap_trim();
    return NULL;
}

static void shards_do_not_disturb_each_other(void)
{
    pthread_t threads[THREADS];
    size_t done[THREADS] = { 0 };
    for (int i = 0; i < THREADS; i++)
        verify(pthread_create(&threads[i], NULL, shard, &done[i]) == 0);
    for (int i = 0; i < THREADS; i++) {
        verify(pthread_join(threads[i], NULL) == 0);
        EXPECT_EQ(done[i], ROUNDS + 1);
    }
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = { TEST(shards_do_not_disturb_each_other) };
    return world_main(argc, argv, cases, ARRAY_LEN(cases));
}

#include "penstock/net/certs.h"

#include "cert_time.h"
#include "penstock/base/check.h"
#include "penstock/base/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct certs {
    pthread_mutex_t lock; // of everything below; taken once a thread and generation
    _Atomic uint32_t generation;
    size_t count;
    struct tls_certificate list[CERTS_MAX]; // texts of our own
    uint64_t expires_ns[CERTS_MAX];
    struct tls_ticket_keys tickets;
};

struct err certs_new(struct certs **out)
{
    struct certs *certs = calloc(1, sizeof(*certs)); // layer-check: once a listener, at start
    *out = certs;
    if (certs == NULL)
        return ERR(NO_MEMORY);
    verify(pthread_mutex_init(&certs->lock, NULL) == 0);
    return OK;
}

static void text_drop(struct span *text)
{
    bytes_wipe((void *)(uintptr_t)text->ptr, text->len);
    free((void *)(uintptr_t)text->ptr);
    *text = SPAN_NONE;
}

static void list_drop(struct tls_certificate *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        text_drop(&list[i].chain);
        text_drop(&list[i].key);
    }
}

void certs_free(struct certs **certs_ptr)
{
    struct certs *certs = *certs_ptr;
    if (certs == NULL)
        return;
    list_drop(certs->list, certs->count);
    bytes_wipe(&certs->tickets, sizeof(certs->tickets));
    pthread_mutex_destroy(&certs->lock);
    free(certs);
    *certs_ptr = NULL;
}

static bool text_copy(struct span from, struct span *to)
{
    char *copy = malloc(from.len + 1); // layer-check: certificates, loaded at start and on reload
    if (copy == NULL)
        return false;
    if (from.len > 0)
        memcpy(copy, from.ptr, from.len);
    copy[from.len] = '\0';
    *to = span_of(copy, from.len);
    return true;
}

// Whether a context can be made of them: nothing is published that a shard would fail on.
static struct err try_out(const struct tls_certificate *list, size_t count, struct env *env,
                          char *why)
{
    const struct tls_server_config config = {
        .env = env, .certificates = list, .certificate_count = count, .session_max = 1
    };
    struct tls_ctx *ctx = NULL;
    TRY(tls_ctx_server(&ctx, &config, why));
    tls_ctx_put(&ctx);
    return OK;
}

struct err certs_load(struct certs *certs, const struct tls_certificate *list, size_t count,
                      struct env *env, char *why)
{
    if (count == 0 || count > CERTS_MAX) {
        snprintf(why, TLS_WHY_MAX, "a listener takes 1 to %d certificates", CERTS_MAX);
        return ERR(INVALID);
    }
    TRY(try_out(list, count, env, why));
    struct tls_certificate copies[CERTS_MAX] = { 0 };
    for (size_t i = 0; i < count; i++)
        if (!text_copy(list[i].chain, &copies[i].chain) ||
            !text_copy(list[i].key, &copies[i].key)) {
            list_drop(copies, count);
            return ERR(NO_MEMORY);
        }
    verify(pthread_mutex_lock(&certs->lock) == 0);
    list_drop(certs->list, certs->count);
    memcpy(certs->list, copies, sizeof(copies));
    certs->count = count;
    for (size_t i = 0; i < count; i++)
        certs->expires_ns[i] = cert_expires_ns(certs->list[i].chain);
    if (certs->tickets.count == 0)
        tls_ticket_keys_rotate(&certs->tickets, env);
    atomic_fetch_add_explicit(&certs->generation, 1, memory_order_release);
    verify(pthread_mutex_unlock(&certs->lock) == 0);
    return OK;
}

static struct err read_file(struct span path, struct span *out, char *why)
{
    char name[1024];
    *out = SPAN_NONE;
    if (path.len >= sizeof(name))
        return ERR(INVALID);
    memcpy(name, path.ptr, path.len);
    name[path.len] = '\0';
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    char *text = fd >= 0 ? malloc(CERTS_FILE_MAX) : NULL; // layer-check: as above
    ssize_t got = 0;
    size_t len = 0;
    while (text != NULL && len < CERTS_FILE_MAX &&
           (got = read(fd, text + len, CERTS_FILE_MAX - len)) > 0)
        len += (size_t)got;
    int sys = errno;
    if (fd >= 0)
        close(fd);
    if (text == NULL || got < 0 || len == CERTS_FILE_MAX) {
        snprintf(why, TLS_WHY_MAX, "%.200s: %s", name,
                 len == CERTS_FILE_MAX ? "the file is too large" : strerror(sys));
        free(text);
        return ERR_SYS(INVALID, sys);
    }
    *out = span_of(text, len);
    return OK;
}

struct err certs_load_files(struct certs *certs, const struct span (*paths)[2], size_t count,
                            struct env *env, char *why)
{
    struct tls_certificate list[CERTS_MAX] = { 0 };
    struct err err = OK;
    for (size_t i = 0; i < count && i < CERTS_MAX && !failed(err); i++) {
        err = read_file(paths[i][0], &list[i].chain, why);
        if (!failed(err))
            err = read_file(paths[i][1], &list[i].key, why);
    }
    if (!failed(err))
        err = certs_load(certs, list, count, env, why);
    list_drop(list, min_size(count, CERTS_MAX));
    return err;
}

void certs_rotate_tickets(struct certs *certs, struct env *env)
{
    verify(pthread_mutex_lock(&certs->lock) == 0);
    tls_ticket_keys_rotate(&certs->tickets, env);
    atomic_fetch_add_explicit(&certs->generation, 1, memory_order_release);
    verify(pthread_mutex_unlock(&certs->lock) == 0);
}

uint32_t certs_expiries(struct certs *certs, uint64_t out[CERTS_MAX])
{
    verify(pthread_mutex_lock(&certs->lock) == 0);
    const uint32_t count = (uint32_t)certs->count;
    memcpy(out, certs->expires_ns, count * sizeof(out[0]));
    verify(pthread_mutex_unlock(&certs->lock) == 0);
    return count;
}

uint32_t certs_generation(const struct certs *certs)
{
    return atomic_load_explicit(&certs->generation, memory_order_acquire);
}

struct err certs_context(struct certs *certs, struct env *env, size_t session_max,
                         struct tls_ctx **out, uint32_t *generation)
{
    char why[TLS_WHY_MAX];
    verify(pthread_mutex_lock(&certs->lock) == 0);
    const struct tls_server_config config = {
        .env = env,
        .certificates = certs->list,
        .certificate_count = certs->count,
        .tickets = &certs->tickets,
        .session_max = session_max,
    };
    struct err err = tls_ctx_server(out, &config, why);
    *generation = certs_generation(certs);
    verify(pthread_mutex_unlock(&certs->lock) == 0);
    return err;
}

#include "tls_internal.h"

#include "penstock/base/check.h"
#include "penstock/base/secret.h"

struct entry {
    struct list link;
    uint16_t port;
    uint16_t host_len;
    uint32_t session_len;
    char bytes[]; // the host, then the session
};

static struct entry *entry_of(struct list *link)
{
    return container_of(link, struct entry, link);
}

void tls_cache_init(struct tls_cache *cache, size_t count_max)
{
    list_init(&cache->entries);
    cache->count = 0;
    cache->count_max = count_max;
}

static void drop(struct tls_cache *cache, struct entry *entry)
{
    list_take(&entry->link);
    cache->count--;
    bytes_wipe(entry->bytes, entry->host_len + (size_t)entry->session_len);
    tls_heap_give(entry);
}

void tls_cache_fini(struct tls_cache *cache)
{
    while (!list_is_empty(&cache->entries))
        drop(cache, entry_of(cache->entries.next));
    assert(cache->count == 0);
}

static struct entry *find(struct tls_cache *cache, struct span host, uint16_t port)
{
    for (struct list *at = cache->entries.next; at != &cache->entries; at = at->next) {
        struct entry *entry = entry_of(at);
        if (entry->port == port && span_eq(span_of(entry->bytes, entry->host_len), host))
            return entry;
    }
    return NULL;
}

void tls_cache_forget(struct tls_cache *cache, struct span host, uint16_t port)
{
    struct entry *entry = find(cache, host, port);
    if (entry != NULL)
        drop(cache, entry);
}

void tls_cache_put(struct tls_cache *cache, struct span host, uint16_t port, struct span session)
{
    assert(host.len <= TLS_HOST_MAX);
    tls_cache_forget(cache, host, port);
    if (cache->count_max == 0)
        return;
    if (cache->count == cache->count_max)
        drop(cache, entry_of(cache->entries.prev));
    struct entry *entry = tls_heap_take(sizeof(*entry) + host.len + session.len);
    if (entry == NULL)
        return; // the next connection makes a full handshake
    *entry = (struct entry){
        .port = port,
        .host_len = (uint16_t)host.len,
        .session_len = (uint32_t)session.len,
    };
    memcpy(entry->bytes, host.ptr, host.len);
    memcpy(entry->bytes + host.len, session.ptr, session.len);
    list_push_front(&cache->entries, &entry->link);
    cache->count++;
}

struct span tls_cache_find(struct tls_cache *cache, struct span host, uint16_t port)
{
    struct entry *entry = find(cache, host, port);
    if (entry == NULL)
        return SPAN_NONE;
    list_take(&entry->link);
    list_push_front(&cache->entries, &entry->link);
    return span_of(entry->bytes + entry->host_len, entry->session_len);
}

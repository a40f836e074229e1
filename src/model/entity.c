#include "penstock/model/entity.h"

#include "base62.h"
#include "penstock/base/check.h"

#include <sodium.h>

const struct table *const entity_tables[ENTITY_COUNT] = {
    [ENTITY_ACCOUNT] = &account_table,
    [ENTITY_KEY] = &key_table,
    [ENTITY_ROUTE] = &route_table,
    [ENTITY_SETTING] = &setting_table,
};

enum { ID_BYTES = 14, ID_DIGITS = 19 }; // 62^19 > 2^112

static struct span id_of(const struct table *table, const uint8_t bytes[ID_BYTES],
                         char out[ENTITY_ID_MAX])
{
    const size_t len = strlen(table->id_prefix);
    assert(len + 1 + ID_DIGITS < ENTITY_ID_MAX);
    memcpy(out, table->id_prefix, len);
    out[len] = '_';
    base62_write(bytes, ID_BYTES, out + len + 1, ID_DIGITS);
    out[len + 1 + ID_DIGITS] = '\0';
    return span_of(out, len + 1 + ID_DIGITS);
}

struct span entity_id_random(const struct table *table, struct env *env, char out[ENTITY_ID_MAX])
{
    uint8_t bytes[ID_BYTES];
    env_random(env, bytes, sizeof(bytes));
    return id_of(table, bytes, out);
}

struct span entity_id_of_name(const struct table *table, struct span name, char out[ENTITY_ID_MAX])
{
    uint8_t digest[DIGEST_BYTES];
    verify(crypto_generichash(digest, sizeof(digest), (const uint8_t *)name.ptr, name.len, NULL,
                              0) == 0);
    return id_of(table, digest, out);
}

#include "names.h"

#include "bytes.h"
#include "penstock/base/check.h"
#include "penstock/base/guard.h"
#include "penstock/base/mem.h"

enum { CAP_MIN = 64, KEY_BYTES = 8 };

static uint32_t place_of(const struct names *names, uint64_t id)
{
    uint32_t at = (uint32_t)(id * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (names->cap - 1);
    while (names->ids[at] != 0 && names->ids[at] != id)
        at = (at + 1) & (names->cap - 1);
    return at;
}

static void grow(struct names *names)
{
    struct names old = *names;
    names->cap = old.cap == 0 ? CAP_MIN : old.cap * 2;
    names->ids = mem_take(names->cap, sizeof(*names->ids));
    verify(names->ids != NULL);
    for (uint32_t i = 0; i < old.cap; i++)
        if (old.ids[i] != 0)
            names->ids[place_of(names, old.ids[i])] = old.ids[i];
    mem_give(old.ids);
}

static void add(struct names *names, uint64_t id)
{
    if ((names->count + 1) * 2 > names->cap)
        grow(names);
    uint32_t at = place_of(names, id);
    if (names->ids[at] == 0)
        names->count++;
    names->ids[at] = id;
}

struct err names_load(struct names *names, struct db *db, uint32_t count_max)
{
    *names = (struct names){ .count_max = count_max };
    struct db_iter iter;
    db_iter_open(&iter, db, STORE_NAME, SPAN_NONE, SPAN_NONE);
    for (; db_iter_valid(&iter); db_iter_next(&iter)) {
        struct span key = db_iter_key(&iter);
        if (key.len == KEY_BYTES)
            add(names, get_be64((const uint8_t *)key.ptr));
    }
    struct err err = db_iter_status(db, &iter);
    db_iter_close(&iter);
    return err;
}

void names_fini(struct names *names)
{
    mem_give(names->ids);
    mem_give(names->fresh);
    *names = (struct names){ 0 };
}

static struct name *fresh_add(struct names *names)
{
    if (names->fresh_count == names->fresh_cap) {
        uint32_t cap = names->fresh_cap == 0 ? 16 : names->fresh_cap * 2;
        struct name *fresh = mem_take(cap, sizeof(*fresh));
        verify(fresh != NULL);
        if (names->fresh_count > 0)
            memcpy(fresh, names->fresh, names->fresh_count * sizeof(*fresh));
        mem_give(names->fresh);
        names->fresh = fresh;
        names->fresh_cap = cap;
    }
    return &names->fresh[names->fresh_count++];
}

uint64_t names_note(struct names *names, uint64_t id, struct span text)
{
    if (id == 0 || id == USAGE_MODEL_OTHER)
        return id;
    if (names->cap != 0 && names->ids[place_of(names, id)] == id)
        return id;
    if (names->count >= names->count_max && GUARD(STORE_MODELS_BOUND))
        return USAGE_MODEL_OTHER;
    add(names, id);
    struct name *name = fresh_add(names);
    *name = (struct name){ .id = id, .len = (uint8_t)min_size(text.len, USAGE_MODEL_MAX) };
    if (name->len > 0)
        memcpy(name->text, text.ptr, name->len);
    return id;
}

void names_put(struct names *names, struct db *db, struct rocksdb_writebatch_t *batch)
{
    for (uint32_t i = 0; i < names->fresh_count; i++) {
        uint8_t key[KEY_BYTES];
        put_be64(key, names->fresh[i].id);
        db_put(db, batch, STORE_NAME, span_of(key, sizeof(key)),
               span_of(names->fresh[i].text, names->fresh[i].len));
    }
}

void names_written(struct names *names)
{
    names->fresh_count = 0;
}

uint8_t names_text(const struct names *names, struct db *db, uint64_t id, char out[USAGE_MODEL_MAX])
{
    static const char other[] = "(other)";
    if (id == USAGE_MODEL_OTHER) {
        memcpy(out, other, sizeof(other) - 1);
        return sizeof(other) - 1;
    }
    for (uint32_t i = 0; i < names->fresh_count; i++)
        if (names->fresh[i].id == id) {
            memcpy(out, names->fresh[i].text, names->fresh[i].len);
            return names->fresh[i].len;
        }
    uint8_t key[KEY_BYTES];
    put_be64(key, id);
    struct db_value value;
    if (id == 0 || db->db == NULL ||
        failed(db_get(db, STORE_NAME, span_of(key, sizeof(key)), &value)))
        return 0;
    uint8_t len = (uint8_t)min_size(value.bytes.len, USAGE_MODEL_MAX);
    memcpy(out, value.bytes.ptr, len);
    db_value_free(&value);
    return len;
}

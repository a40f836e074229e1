// entity.c - commits and scans of entities.
//
// A commit is one synced batch of everything it changes, with the revision that numbers it. The
// revision is in the marker before the commit is answered, so that a database that has lost it is
// noticed.
#include "internal.h"

#include "bytes.h"
#include "penstock/base/check.h"
#include "penstock/base/guard.h"

#include <stdio.h>

enum { TRAILER_BYTES = 8 };
#define REVISION_KEY SPAN("revision")

static bool is_entity(enum store_kind kind)
{
    static const bool entities[STORE_KIND_COUNT] = {
#define STORE_KIND_ROW(name, family, is_entity) [STORE_##name] = is_entity,
#include "penstock/store/kinds.def"
#undef STORE_KIND_ROW
    };
    return kind < STORE_KIND_COUNT && entities[kind];
}

static struct err split(struct span stored, struct store_entity *out)
{
    if (stored.len < TRAILER_BYTES)
        return ERR(STORE_CORRUPT);
    out->value = span_upto(stored, stored.len - TRAILER_BYTES);
    memcpy(&out->version, stored.ptr + out->value.len, TRAILER_BYTES);
    return OK;
}

struct err store_scan(struct store *store, enum store_kind kind, store_entity_fn *fn, void *arg)
{
    assert(is_entity(kind));
    if (store->state == STORE_DOWN)
        return store->cause;
    struct db_iter iter;
    db_iter_open(&iter, &store->db, kind, SPAN_NONE, SPAN_NONE);
    struct err err = OK;
    for (; db_iter_valid(&iter) && !failed(err); db_iter_next(&iter)) {
        struct store_entity entity = { .key = db_iter_key(&iter) };
        err = split(db_iter_value(&iter), &entity);
        if (!failed(err) && !fn(arg, &entity))
            break;
    }
    if (!failed(err))
        err = db_iter_status(&store->db, &iter);
    db_iter_close(&iter);
    return err;
}

// --- Commit

static struct err check_version(uint64_t wanted, uint64_t found)
{
    if (wanted == STORE_ANY || wanted == found || !GUARD(STORE_VERSIONS))
        return OK;
    if (wanted == 0)
        return ERR(CONFLICT);
    return found == 0 ? ERR(NOT_FOUND) : ERR(VERSION_STALE);
}

// Compares with what is stored, and adds to `undo` what would bring that back.
static struct err check_change(struct store *store, const struct store_change *change,
                               struct rocksdb_writebatch_t *undo)
{
    if (!is_entity(change->kind) || change->key.len == 0 || change->key.len > STORE_KEY_MAX ||
        change->value.len > STORE_VALUE_MAX)
        return ERR(INVALID);
    struct db_value stored;
    struct err err = db_get(&store->db, change->kind, change->key, &stored);
    if (err.code == ERR_NOT_FOUND) {
        db_delete(&store->db, undo, change->kind, change->key);
        return check_version(change->version_before, 0);
    }
    TRY(err);
    struct store_entity entity;
    err = split(stored.bytes, &entity);
    if (!failed(err)) {
        db_put(&store->db, undo, change->kind, change->key, stored.bytes);
        err = check_version(change->version_before, entity.version);
    }
    db_value_free(&stored);
    return err;
}

static void put_revision(struct store *store, struct rocksdb_writebatch_t *batch, uint64_t revision)
{
    db_put(&store->db, batch, STORE_META, REVISION_KEY, span_of(&revision, sizeof(revision)));
}

static void put_change(struct store *store, const struct store_change *change, uint64_t revision)
{
    if (change->value.ptr == NULL) {
        db_delete(&store->db, store->batch, change->kind, change->key);
        return;
    }
    struct span parts[2] = { change->value, span_of(&revision, TRAILER_BYTES) };
    db_put_parts(&store->db, store->batch, change->kind, change->key, parts, ARRAY_LEN(parts));
}

// What the batch of a failed commit may have left in the log is taken back after the database has
// been opened again: the client was told that it failed.
static void keep_undo(struct store *store, struct rocksdb_writebatch_t *undo, uint64_t revision)
{
    assert(store->undo == NULL); // after a failure no other commit is tried
    put_revision(store, undo, revision);
    store->undo = undo;
    store->undo_revision = revision;
}

struct err entity_commit(struct store *store, const struct store_change *changes, uint32_t count,
                         uint64_t *version)
{
    if (store->is_readonly)
        return ERR(STORE_READONLY);
    if (store->state != STORE_OK)
        return store->cause;
    if (count == 0 || count > STORE_CHANGES_MAX)
        return ERR(INVALID);
    struct rocksdb_writebatch_t *undo = db_batch_new();
    struct err err = OK;
    for (uint32_t i = 0; i < count && !failed(err); i++)
        err = check_change(store, &changes[i], undo);
    if (failed(err)) {
        db_batch_free(undo);
        return err;
    }
    const uint64_t revision = store->revision + 1;
    db_batch_clear(store->batch);
    for (uint32_t i = 0; i < count; i++)
        put_change(store, &changes[i], revision);
    put_revision(store, store->batch, revision);
    err = store_write(store, store->batch, GUARD(STORE_COMMIT_SYNC));
    if (failed(err)) {
        COUNT(store, commits_failed, 1);
        keep_undo(store, undo, revision);
        health_fail(store, err);
        return err;
    }
    db_batch_free(undo);
    store->revision = revision;
    store->marker.revision = revision;
    // The commit is durable; a marker that lags behind only notices less.
    if (failed(marker_write(&store->marker, true)))
        COUNT(store, write_errors, 1);
    COUNT(store, commits, 1);
    *version = revision;
    return OK;
}

struct err store_commit(struct store *store, const struct store_change *changes, uint32_t count,
                        uint64_t *version)
{
    return entity_commit(store, changes, count, version);
}

static struct err read_revision(struct store *store, uint64_t *out)
{
    *out = 0;
    struct db_value value;
    struct err err = db_get(&store->db, STORE_META, REVISION_KEY, &value);
    if (failed(err))
        return err.code == ERR_NOT_FOUND ? OK : err;
    bool whole = value.bytes.len == sizeof(*out);
    if (whole)
        memcpy(out, value.bytes.ptr, sizeof(*out));
    db_value_free(&value);
    return whole ? OK : ERR(STORE_CORRUPT);
}

struct err entity_load(struct store *store)
{
    TRY(read_revision(store, &store->revision));
    if (store->revision >= store->marker.revision)
        return OK;
    snprintf(store->why.text, sizeof(store->why.text),
             "it has forgotten changes: revision %llu of %llu that were on stable storage",
             (unsigned long long)store->revision, (unsigned long long)store->marker.revision);
    return ERR(STORE_CORRUPT);
}

struct err entity_recover(struct store *store)
{
    uint64_t found;
    TRY(read_revision(store, &found));
    if (store->undo == NULL)
        return OK;
    // The number is used up even if nothing of the commit has arrived: versions never repeat.
    if (found == store->undo_revision && GUARD(STORE_UNDO))
        TRY(store_write(store, store->undo, true));
    store->revision = store->undo_revision;
    db_batch_free(store->undo);
    store->undo = NULL;
    return OK;
}

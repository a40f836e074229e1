// Damaged files (P4 of the fault matrix): an error that names the file and what mends it, or every
// key; never fewer.
#include "penstock/store/store.h"
#include "store/db.h"
#include "store_scene.h"
#include "test.h"

enum { KEYS = 200 };

static void fill_keys(struct scene *scene, int from)
{
    for (int i = from; i < from + KEYS / 2; i++) {
        char key[16];
        snprintf(key, sizeof(key), "key-%04d", i);
        EXPECT(!failed(commit(scene, key, "value of some length, so that blocks fill")));
    }
}

static bool names_a_file(const char *text)
{
    return strstr(text, ".sst") != NULL || strstr(text, ".log") != NULL ||
           strstr(text, "MANIFEST") != NULL || strstr(text, "CURRENT") != NULL ||
           strstr(text, "MARK") != NULL;
}

// Opens what is in `dir`: either an error that says what to do, or all keys. Returns whether it
// opened.
static bool refuses_or_has_all(const struct store_cfg *cfg)
{
    struct store *store = NULL;
    struct store_why why = { "" };
    struct err err = store_open(cfg, &store, &why);
    if (failed(err)) {
        EXPECT_EQ(err.code, ERR_STORE_CORRUPT);
        EXPECT(strstr(why.text, "penstock store repair --dir") != NULL);
        EXPECT(names_a_file(why.text));
        if (test_failures != 0)
            fprintf(stderr, "%s: %s\n", err_name(err.code), why.text);
        return false;
    }
    uint64_t keys = 0;
    err = store_scan(store, STORE_KEY, count_key, &keys);
    EXPECT(failed(err) || keys == KEYS);
    if (failed(err)) {
        EXPECT_EQ(err.code, ERR_STORE_CORRUPT);
        EXPECT(names_a_file(store_why(store)));
    }
    store_close(&store);
    return !failed(err);
}

// A store with half of its keys in a table file and half in the log, as a kill leaves it.
static void make_patient(struct scene *scene, char *pristine, size_t cap)
{
    scene_init(scene);
    fill_keys(scene, 0);
    push_many(scene, 500);
    store_close(&scene->store);
    scene->store = must_open(&scene->cfg);
    fill_keys(scene, KEYS / 2);
    push_many(scene, 500);
    steps(scene, 1); // all of it is synced
    snprintf(pristine, cap, "%.200s/pristine", scene->place.dir);
    copy_dir(scene->place.store, pristine); // while it is open: what a kill would leave
    store_close(&scene->store);
}

static void damage_is_noticed(void)
{
    struct scene scene;
    char pristine[300];
    make_patient(&scene, pristine, sizeof(pristine));
    DIR *dir = opendir(pristine);
    const struct dirent *entry;
    int refused = 0, tried = 0;
    while ((entry = readdir(dir)) != NULL && test_failures == 0) {
        char path[700];
        struct stat stat;
        snprintf(path, sizeof(path), "%.300s/%.250s", pristine, entry->d_name);
        if (lstat(path, &stat) != 0 || !S_ISREG(stat.st_mode) || stat.st_size == 0 ||
            strncmp(entry->d_name, "LOG", 3) == 0 || strstr(entry->d_name, "LOCK") != NULL ||
            strncmp(entry->d_name, "OPTIONS", 7) == 0)
            continue;
        for (int i = 0; i < 5 && test_failures == 0; i++) {
            copy_dir(pristine, scene.place.store);
            snprintf(path, sizeof(path), "%.300s/%.250s", scene.place.store, entry->d_name);
            off_t at = stat.st_size * i / 5 + stat.st_size / 11;
            put_bytes_at(path, at, "\xff\x00\xff\x55",
                         (size_t)min_u64(4, (uint64_t)(stat.st_size - at)));
            tried++;
            refused += !refuses_or_has_all(&scene.cfg);
        }
        copy_dir(pristine, scene.place.store);
        unlink(path);
        tried++;
        if (!refuses_or_has_all(&scene.cfg)) {
            refused++;
            EXPECT(access(path, F_OK) != 0); // nothing was put in the place of what is missing
        }
        if (test_failures != 0)
            fprintf(stderr, "in %s\n", entry->d_name);
    }
    closedir(dir);
    EXPECT(tried > 20);
    EXPECT(refused > tried / 3);
    copy_dir(pristine, scene.place.store);
    EXPECT(refuses_or_has_all(&scene.cfg)); // the patient was well before
    scene.store = must_open(&scene.cfg);
    scene_fini(&scene);
}

// A log that ends early looks like one that was never longer; the marker knows better.
static void a_shortened_log_is_noticed(void)
{
    struct scene scene;
    char pristine[300], log[700];
    make_patient(&scene, pristine, sizeof(pristine));
    off_t size = find_file(pristine, ".log", log, sizeof(log));
    EXPECT(size > 1000);
    for (int i = 1; i < 8; i++) {
        copy_dir(pristine, scene.place.store);
        EXPECT(find_file(scene.place.store, ".log", log, sizeof(log)) == size);
        EXPECT(truncate(log, size * i / 8) == 0);
        EXPECT(!refuses_or_has_all(&scene.cfg));
    }
    copy_dir(pristine, scene.place.store);
    scene.store = must_open(&scene.cfg);
    scene_fini(&scene);
}

static void a_repaired_store_opens_again(void)
{
    struct scene scene;
    char pristine[300], file[700];
    make_patient(&scene, pristine, sizeof(pristine));
    copy_dir(pristine, scene.place.store);
    off_t size = find_file(scene.place.store, ".log", file, sizeof(file));
    EXPECT(truncate(file, size / 10) == 0);
    struct store_why why = { "" };
    EXPECT(failed(store_open(&scene.cfg, &scene.store, &why)));
    struct err err = store_repair(scene.place.store, &why);
    EXPECT(!failed(err));
    if (failed(err))
        fprintf(stderr, "%s\n", why.text);
    scene.store = must_open(&scene.cfg);
    uint64_t keys = 0, version;
    EXPECT(!failed(store_scan(scene.store, STORE_KEY, count_key, &keys)));
    EXPECT(keys >= KEYS / 2 && keys < KEYS);
    const struct store_change change = { STORE_KEY, SPAN("new"), SPAN("1"), 0 };
    EXPECT(!failed(store_commit(scene.store, &change, 1, &version)));
    store_close(&scene.store);
    scene.store = must_open(&scene.cfg);
    scene_fini(&scene);
}

// Writes the schema record as a later version would.
static void set_schema(const struct scene *scene, uint32_t version, uint32_t min_reader)
{
    const struct db_cfg cfg = { scene->place.store, 1 * MIB, 1 * MIB, 8 * MIB };
    const uint32_t schema[] = { version, min_reader };
    struct store_why why;
    struct db db;
    if (failed(db_open(&db, &cfg, DB_NORMAL, &why)))
        abort();
    struct rocksdb_writebatch_t *batch = db_batch_new();
    db_put(&db, batch, STORE_META, SPAN("schema"), span_of(schema, sizeof(schema)));
    if (failed(db_write(&db, batch)))
        abort();
    db_batch_free(batch);
    db_close(&db);
}

static void a_newer_layout_is_refused(void)
{
    struct scene scene;
    scene_init(&scene);
    struct store_why why = { "" };
    store_close(&scene.store);
    set_schema(&scene, 9, 9);
    EXPECT_EQ(store_open(&scene.cfg, &scene.store, &why).code, ERR_STORE_TOO_NEW);
    EXPECT(strstr(why.text, "version 9") != NULL);
    store_close(&scene.store);
    set_schema(&scene, 9, 1); // newer, but it says that we may
    scene.store = must_open(&scene.cfg);
    scene_fini(&scene);
}

TEST_MAIN(TEST(damage_is_noticed), TEST(a_shortened_log_is_noticed),
          TEST(a_repaired_store_opens_again), TEST(a_newer_layout_is_refused))

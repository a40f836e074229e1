// Failing disks, full disks, cut power (P1-P3 of the fault matrix).
//
// The test takes the place of write, fsync, fdatasync and statvfs for the whole process, RocksDB
// included, so that each can be made to fail at will.
#include "penstock/store/store.h"
#include "store_scene.h"
#include "test.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

// --- The faults

static _Atomic int write_errno, sync_errno;
static _Atomic int writes_left = -1; // then write fails; -1: without end
static _Atomic uint64_t free_bytes = UINT64_MAX;

// What a power cut leaves of each file: as much as was synced. Shared, since the cut is in a child.
enum { FILES_MAX = 4096 };
struct synced {
    _Atomic uint32_t count;
    struct {
        ino_t inode;
        off_t size;
    } files[FILES_MAX];
};
static struct synced *_Atomic synced; // RocksDB's threads ask it as well
static _Atomic int synced_lock;

static void note_synced(int fd)
{
    struct stat stat;
    struct synced *notes = synced;
    if (notes == NULL || fstat(fd, &stat) != 0 || !S_ISREG(stat.st_mode))
        return;
    while (atomic_exchange(&synced_lock, 1) != 0)
        ;
    uint32_t i = 0;
    while (i < notes->count && notes->files[i].inode != stat.st_ino)
        i++;
    if (i < FILES_MAX) {
        notes->files[i].inode = stat.st_ino;
        notes->files[i].size = stat.st_size;
        if (i == notes->count)
            notes->count++;
    }
    atomic_store(&synced_lock, 0);
}

static int fail_with(int error)
{
    errno = error;
    return -1;
}

static bool is_regular(int fd)
{
    struct stat stat;
    return fstat(fd, &stat) == 0 && S_ISREG(stat.st_mode);
}

ssize_t write(int fd, const void *bytes, size_t len)
{
    int error = write_errno;
    if (writes_left > 0 && is_regular(fd))
        writes_left--;
    if (error != 0 && writes_left <= 0 && is_regular(fd))
        return fail_with(error);
    return syscall(SYS_write, fd, bytes, len);
}

int fsync(int fd)
{
    int error = sync_errno;
    if (error != 0)
        return fail_with(error);
    int result = (int)syscall(SYS_fsync, fd);
    note_synced(fd);
    return result;
}

int fdatasync(int fd)
{
    int error = sync_errno;
    if (error != 0)
        return fail_with(error);
    int result = (int)syscall(SYS_fdatasync, fd);
    note_synced(fd);
    return result;
}

int statvfs(const char *path, struct statvfs *out)
{
    (void)path;
    *out = (struct statvfs){ .f_frsize = 1, .f_bavail = free_bytes };
    return 0;
}

// --- Helpers

static const uint64_t wall = UINT64_C(1750000000) * NS_PER_S;

static void heal(void)
{
    write_errno = sync_errno = 0;
    writes_left = -1;
    free_bytes = UINT64_MAX;
}

// What a start finds if the process is killed now: the same sums.
static void expect_sums_after_a_kill(struct scene *scene)
{
    const int errno_before = write_errno;
    struct scene other = *scene;
    place_init(&other.place);
    copy_dir(scene->place.dir, other.place.dir);
    write_errno = 0;
    other.cfg.dir = other.place.store;
    other.cfg.runtime_dir = other.place.run;
    other.store = must_open(&other.cfg);
    expect_sums(&other);
    store_close(&other.store);
    place_fini(&other.place);
    write_errno = errno_before;
}

// --- P2

static void a_full_disk_stops_commits_and_nothing_else(void)
{
    struct scene scene;
    scene_init(&scene);
    struct listing listing;
    push_many(&scene, 500);
    EXPECT(!failed(commit(&scene, "a", "1")));
    write_errno = ENOSPC;
    free_bytes = 1000;
    scene.cfg.disk_min_bytes = 0;
    push_many(&scene, 300); // less than half of a ring: all of it can wait
    struct store_stats stats = stats_of(&scene);
    EXPECT_EQ(stats.state, STORE_DEGRADED);
    EXPECT_EQ(stats.cause.code, ERR_STORE_FULL);
    EXPECT_EQ(stats.records_waiting, 300); // in the rings, which outlive the process
    expect_sums_after_a_kill(&scene);
    EXPECT_EQ(err_status(commit(&scene, "b", "2").code), 507);
    // Reads go on, and know of what is not written.
    EXPECT(!failed(list(scene.store, &listing)));
    EXPECT_SPAN(span_str(listing.text), "a=1;");
    steps(&scene, 30);
    EXPECT_EQ(stats_of(&scene).state, STORE_DEGRADED);

    write_errno = 0;
    free_bytes = UINT64_MAX;
    steps(&scene, 15);
    EXPECT_EQ(stats_of(&scene).state, STORE_OK);
    expect_sums(&scene);
    EXPECT_EQ(stats_of(&scene).records_folded, 0);
    EXPECT(!failed(commit(&scene, "b", "2")));
    EXPECT(!failed(list(scene.store, &listing)));
    EXPECT_SPAN(span_str(listing.text), "a=1;b=2;");
    store_close(&scene.store);
    scene.store = must_open(&scene.cfg);
    expect_sums(&scene);
    heal();
    scene_fini(&scene);
}

static void a_disk_full_for_long_costs_detail_and_no_money(void)
{
    struct scene scene;
    scene_init(&scene);
    push_many(&scene, 500);
    write_errno = ENOSPC;
    push_many(&scene, 40000);
    struct store_stats stats = stats_of(&scene);
    EXPECT_EQ(stats.state, STORE_DEGRADED);
    EXPECT(stats.records_folded > 10000);
    EXPECT(stats.records_folded < 40000 - 3000); // some could be queued with their detail
    EXPECT(stats.records_waiting <= scene.cfg.ring_slots);
    write_errno = 0;
    steps(&scene, 15);
    EXPECT_EQ(stats_of(&scene).state, STORE_OK);
    expect_sums(&scene);
    push_many(&scene, 500);
    steps(&scene, 10);
    expect_sums(&scene);
    stats = stats_of(&scene);
    store_close(&scene.store);
    scene.store = must_open(&scene.cfg);
    expect_sums(&scene);
    EXPECT_EQ(stats_of(&scene).records_missing, 0);

    // The detail of those that have one, the sums of the others.
    static struct usage_detail out[1000];
    struct usage_detail_query query = { .to_ns = INT64_MAX };
    struct usage_page page = { .out = out, .cap = 1000 };
    uint64_t records = 0, requests = 0;
    do {
        EXPECT(!failed(store_detail(scene.store, &query, &page)));
        for (uint32_t i = 0; i < page.count; i++) {
            records += !out[i].is_summary;
            requests += out[i].sums.requests;
        }
        query.after = page.next;
    } while (!page.is_end);
    EXPECT_EQ(requests, scene.pushed);
    EXPECT_EQ(records, scene.pushed - stats.records_folded);
    expect_verified(scene.store);
    heal();
    scene_fini(&scene);
}

static void a_nearly_full_disk_stops_detail_first(void)
{
    struct scene scene;
    scene_init(&scene);
    store_close(&scene.store);
    scene.cfg.disk_min_bytes = 1000 * MIB;
    scene.store = must_open(&scene.cfg);
    push_many(&scene, 300);
    steps(&scene, 2);
    free_bytes = 999 * (uint64_t)MIB;
    steps(&scene, 2);
    EXPECT(stats_of(&scene).is_detail_stopped);
    const uint64_t blocks = stats_of(&scene).blocks;
    push_many(&scene, 5000);
    steps(&scene, 3);
    struct store_stats stats = stats_of(&scene);
    EXPECT_EQ(stats.state, STORE_OK); // commits and sums go on
    EXPECT_EQ(stats.records_folded, 5000);
    EXPECT_EQ(stats.records_waiting, 0);
    EXPECT(stats.blocks - blocks < 60); // of the 400 combinations that the records have
    EXPECT(!failed(commit(&scene, "a", "1")));
    expect_sums(&scene);
    free_bytes = 1100 * (uint64_t)MIB; // not enough above the mark to go back yet
    steps(&scene, 2);
    EXPECT(stats_of(&scene).is_detail_stopped);
    free_bytes = 2000 * (uint64_t)MIB;
    steps(&scene, 2);
    EXPECT(!stats_of(&scene).is_detail_stopped);
    push_many(&scene, 100);
    EXPECT_EQ(stats_of(&scene).records_folded, 5000);
    store_close(&scene.store);
    scene.store = must_open(&scene.cfg);
    expect_sums(&scene);
    heal();
    scene_fini(&scene);
}

// --- P3

static void a_failing_sync_acknowledges_nothing(void)
{
    struct scene scene;
    scene_init(&scene);
    struct listing listing;
    EXPECT(!failed(commit(&scene, "a", "1")));
    EXPECT(!failed(commit(&scene, "b", "2")));
    push_many(&scene, 200);
    steps(&scene, 1);
    sync_errno = EIO;
    const struct store_change changes[] = {
        { STORE_KEY, SPAN("a"), SPAN("changed"), STORE_ANY },
        { STORE_KEY, SPAN("b"), SPAN_NONE, STORE_ANY },
        { STORE_KEY, SPAN("c"), SPAN("new"), STORE_ANY },
    };
    uint64_t version = 0;
    EXPECT_EQ(store_commit(scene.store, changes, 3, &version).code, ERR_STORE);
    EXPECT_EQ(version, 0);
    EXPECT_EQ(stats_of(&scene).state, STORE_DEGRADED);
    EXPECT_EQ(err_status(commit(&scene, "d", "4").code), 503);
    push_many(&scene, 200);
    steps(&scene, 30);
    EXPECT_EQ(stats_of(&scene).state, STORE_DEGRADED);
    EXPECT(!failed(list(scene.store, &listing))); // reads go on

    sync_errno = 0;
    steps(&scene, 15);
    EXPECT_EQ(stats_of(&scene).state, STORE_OK);
    // What was answered with an error has not happened, although its bytes were in the log.
    EXPECT(!failed(list(scene.store, &listing)));
    EXPECT_SPAN(span_str(listing.text), "a=1;b=2;");
    expect_sums(&scene);
    EXPECT(!failed(commit(&scene, "c", "3")));
    store_close(&scene.store);
    scene.store = must_open(&scene.cfg);
    EXPECT(!failed(list(scene.store, &listing)));
    EXPECT_SPAN(span_str(listing.text), "a=1;b=2;c=3;");
    expect_sums(&scene);
    heal();
    scene_fini(&scene);
}

static void a_failing_periodic_sync_is_noticed(void)
{
    struct scene scene;
    scene_init(&scene);
    sync_errno = EIO;
    push_many(&scene, 10);
    EXPECT_EQ(stats_of(&scene).state, STORE_OK);
    env_fake_advance(&scene.fake, 101 * NS_PER_MS);
    store_step(scene.store);
    EXPECT_EQ(stats_of(&scene).state, STORE_DEGRADED);
    sync_errno = 0;
    steps(&scene, 15);
    EXPECT_EQ(stats_of(&scene).state, STORE_OK);
    expect_sums(&scene);
    heal();
    scene_fini(&scene);
}

// Fails at every moment of a busy second in turn, and mends after.
static void a_disk_may_fail_at_any_moment(void)
{
    struct scene scene;
    scene_init(&scene);
    struct listing listing;
    char want[4000] = "";
    for (int round = 0; round < 18 && test_failures == 0; round++) {
        push_many(&scene, (uint64_t)(round % 7) * 90);
        (round % 2 == 0 ? (_Atomic int *)&write_errno : &sync_errno)[0] =
            round % 3 == 0 ? ENOSPC : EIO;
        push_many(&scene, (uint64_t)(round % 5) * 400);
        char key[16];
        snprintf(key, sizeof(key), "k%02d", round);
        EXPECT(failed(commit(&scene, key, "no")));
        if (round % 4 < 2)
            steps(&scene, 3);
        write_errno = sync_errno = 0;
        steps(&scene, 15);
        EXPECT_EQ(stats_of(&scene).state, STORE_OK);
        EXPECT(!failed(commit(&scene, key, "v")));
        size_t len = strlen(want);
        snprintf(want + len, sizeof(want) - len, "%s=v;", key);
        EXPECT(!failed(list(scene.store, &listing)));
        EXPECT_SPAN(span_str(listing.text), want);
        expect_sums(&scene);
        if (round % 6 == 5) {
            store_close(&scene.store);
            scene.store = must_open(&scene.cfg);
            expect_sums(&scene);
            expect_verified(scene.store);
        }
    }
    heal();
    scene_fini(&scene);
}

// Flushes and compactions run in the background all the time and fail there.
static void a_disk_may_fail_in_the_background(void)
{
    struct scene scene;
    scene_init(&scene);
    store_close(&scene.store);
    scene.cfg.write_buffer_bytes = 64 * KIB;
    scene.cfg.wal_bytes_max = 256 * KIB;
    scene.store = must_open(&scene.cfg);
    for (int round = 0; round < 10 && test_failures == 0; round++) {
        push_many(&scene, 3000);
        writes_left = round % 10 * 7;
        (round % 3 != 0 ? (_Atomic int *)&write_errno : &sync_errno)[0] =
            round % 2 == 0 ? ENOSPC : EIO;
        push_many(&scene, 1000 + (uint64_t)(round % 5) * 1000);
        if (round % 4 == 0)
            usleep(20 * 1000); // for the background, whose time is real
        if (round % 4 < 2)
            steps(&scene, 3);
        write_errno = sync_errno = 0;
        writes_left = -1;
        steps(&scene, 20);
        EXPECT_EQ(stats_of(&scene).state, STORE_OK);
        EXPECT(!failed(commit(&scene, "k", "v")));
        expect_sums(&scene);
    }
    expect_verified(scene.store);
    store_close(&scene.store);
    scene.store = must_open(&scene.cfg);
    expect_sums(&scene);
    expect_verified(scene.store);
    heal();
    scene_fini(&scene);
}

// A start that finds the disk full or failing, now or soon, says so and leaves the store as it was.
static void a_start_on_a_failing_disk_is_an_error(void)
{
    struct scene scene;
    scene_init(&scene);
    push_many(&scene, 2000);
    EXPECT(!failed(commit(&scene, "a", "1")));
    int failures = 0;
    for (int round = 0; round < 36 && test_failures == 0; round++) {
        store_close(&scene.store);
        struct store_why why = { "" };
        writes_left = round;
        (round % 3 != 0 ? (_Atomic int *)&write_errno : &sync_errno)[0] = ENOSPC;
        struct err err = store_open(&scene.cfg, &scene.store, &why);
        write_errno = sync_errno = 0;
        writes_left = -1;
        if (failed(err)) {
            failures++;
            EXPECT(err.code == ERR_STORE_FULL || err.code == ERR_STORE);
            EXPECT(strstr(why.text, scene.place.store) != NULL);
            scene.store = must_open(&scene.cfg);
        } else {
            steps(&scene, 30); // the last of its writes may have failed
        }
        EXPECT_EQ(stats_of(&scene).state, STORE_OK);
        expect_sums(&scene);
        struct listing listing;
        EXPECT(!failed(list(scene.store, &listing)));
        EXPECT_SPAN(span_str(listing.text), "a=1;");
    }
    EXPECT(failures > 12);
    heal();
    scene_fini(&scene);
}

// With a real file system, if the test may mount one: a tmpfs of 24 MB that other files fill.
static void on_a_small_tmpfs(void)
{
    struct scene scene;
    scene_init(&scene);
    store_close(&scene.store);
    if (mount("none", scene.place.store, "tmpfs", 0, "size=24m") != 0) {
        scene.store = must_open(&scene.cfg);
        heal();
        scene_fini(&scene);
        return; // not root, or in a container; the injected faults cover the logic
    }
    scene.store = must_open(&scene.cfg);
    push_many(&scene, 1000);
    EXPECT(!failed(commit(&scene, "a", "1")));
    char ballast[400];
    snprintf(ballast, sizeof(ballast), "%s/ballast", scene.place.store);
    int fd = open(ballast, O_WRONLY | O_CREAT, 0600);
    static const char block[64 * KIB];
    while (write(fd, block, sizeof(block)) == (ssize_t)sizeof(block))
        ;
    close(fd);
    static char big[200 * KIB];
    struct err err = OK;
    for (int i = 0; i < 40 && !failed(err); i++) {
        memset(big, 'a' + i % 26, sizeof(big) - 1);
        err = commit(&scene, "big", big);
    }
    EXPECT_EQ(err.code, ERR_STORE_FULL);
    push_many(&scene, 3000);
    EXPECT_EQ(stats_of(&scene).state, STORE_DEGRADED);
    unlink(ballast);
    steps(&scene, 15);
    EXPECT_EQ(stats_of(&scene).state, STORE_OK);
    EXPECT(!failed(commit(&scene, "big", "small")));
    expect_sums(&scene);
    store_close(&scene.store);
    scene.store = must_open(&scene.cfg);
    expect_sums(&scene);
    store_close(&scene.store);
    EXPECT(umount(scene.place.store) == 0);
    scene.store = must_open(&scene.cfg);
    heal();
    scene_fini(&scene);
}

// --- Cut power

struct told {
    _Atomic uint64_t committed, flushed, opened;
};

static int power_child(char **argv)
{
    alarm(60);
    struct place place;
    place_at(&place, argv[2]);
    struct store_cfg cfg = place_cfg(&place, NULL);
    cfg.shard_count = 1;
    struct told *told = place_share(&place, "told", sizeof(*told));
    synced = place_share(&place, "synced", sizeof(*synced));
    struct store *store = must_open(&cfg);
    told->opened = 1;
    struct store_client *client;
    if (failed(store_client_open(store, NULL, NULL, &client)))
        abort();
    for (;;) {
        char key[32];
        uint64_t n = told->committed, version;
        int len = snprintf(key, sizeof(key), "key-%08llu", (unsigned long long)n);
        const struct store_change change = { STORE_KEY, span_of(key, (size_t)len), SPAN("\1v"),
                                             STORE_ANY };
        if (failed(store_commit(store, &change, 1, &version)))
            abort();
        told->committed = n + 1;
        for (uint64_t i = told->flushed; i < n * 50; i++) {
            struct usage_record record = record_of(i, wall);
            usage_port_push(store_port(store, 0), &record);
        }
        struct store_op flush = { .kind = STORE_OP_FLUSH };
        if (!store_submit(client, &flush))
            abort();
        while (store_reap(client) == NULL)
            store_step(store);
        told->flushed = max_u64(told->flushed, n * 50);
        if (n % 20 == 19)
            store_step(store);
    }
}

// Takes from each file what was never synced.
static void cut_power(const char *dir)
{
    DIR *open_dir = opendir(dir);
    const struct dirent *entry;
    while (open_dir != NULL && (entry = readdir(open_dir)) != NULL) {
        char path[600];
        struct stat stat;
        snprintf(path, sizeof(path), "%.300s/%.250s", dir, entry->d_name);
        if (lstat(path, &stat) != 0 || !S_ISREG(stat.st_mode))
            continue;
        off_t keep = 0;
        for (uint32_t i = 0; i < synced->count; i++)
            if (synced->files[i].inode == stat.st_ino)
                keep = synced->files[i].size;
        if (keep < stat.st_size && truncate(path, keep) != 0)
            abort();
    }
    if (open_dir != NULL)
        closedir(open_dir);
}

static void a_power_cut_keeps_what_was_acknowledged(void)
{
    struct place place;
    place_init(&place);
    struct store_cfg cfg = place_cfg(&place, NULL);
    cfg.shard_count = 1;
    struct told *told = place_share(&place, "told", sizeof(*told));
    synced = place_share(&place, "synced", sizeof(*synced));
    uint32_t boot = 0;
    for (int round = 0; round < 10 && test_failures == 0; round++) {
        told->opened = 0;
        pid_t child = place_spawn(&place, "power", "");
        for (int i = 0; i < 20000 && told->opened == 0; i++)
            usleep(500);
        uint64_t due = told->committed + (round > 0 ? 3 : 0); // also where everything is slow
        for (int i = 0; i < 20000 && told->committed < due; i++)
            usleep(500);
        usleep((useconds_t)round * 27000);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        cut_power(place.store);
        char rings[400];
        snprintf(rings, sizeof(rings), "%s/rings", place.run);
        unlink(rings); // a tmpfs is gone after a power cut
        struct store *store = must_open(&cfg);
        uint64_t keys = 0;
        EXPECT(!failed(store_scan(store, STORE_KEY, count_key, &keys)));
        EXPECT(keys >= told->committed && keys <= told->committed + 1);
        told->committed = keys;
        struct usage_sums sums = total_of(store);
        EXPECT(sums.requests >= told->flushed);
        told->flushed = sums.requests;
        struct store_stats stats;
        store_stats(store, &stats);
        EXPECT(stats.boot > boot); // so no id of a record comes again
        boot = stats.boot;
        store_close(&store);
    }
    EXPECT(told->committed > 20);
    munmap(told, sizeof(*told));
    synced = NULL; // and stays mapped, for who has read it a moment ago
    place_fini(&place);
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "--child") == 0)
        return power_child(argv);
    static const struct test_case cases[] = {
        TEST(a_full_disk_stops_commits_and_nothing_else),
        TEST(a_disk_full_for_long_costs_detail_and_no_money),
        TEST(a_nearly_full_disk_stops_detail_first),
        TEST(a_failing_sync_acknowledges_nothing),
        TEST(a_failing_periodic_sync_is_noticed),
        TEST(a_disk_may_fail_at_any_moment),
        TEST(a_disk_may_fail_in_the_background),
        TEST(a_start_on_a_failing_disk_is_an_error),
        TEST(on_a_small_tmpfs),
        TEST(a_power_cut_keeps_what_was_acknowledged),
    };
    return test_main(argc, argv, cases, ARRAY_LEN(cases));
}

// store_util.h - what the store's tests share: a directory, a configuration, records from a seed.
#ifndef PENSTOCK_TEST_STORE_UTIL_H
#define PENSTOCK_TEST_STORE_UTIL_H

#include "penstock/store/store.h"
#include "test.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

struct place {
    char dir[256], store[300], run[300];
};

static inline int place_remove_one(const char *path, const struct stat *stat, int type,
                                   struct FTW *ftw)
{
    (void)stat, (void)type, (void)ftw;
    return remove(path);
}

static inline void place_fini(struct place *place)
{
    nftw(place->dir, place_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void place_init(struct place *place)
{
    // In memory, if there is room: these tests sync thousands of times.
    struct statfs fs;
    const bool room = statfs("/dev/shm", &fs) == 0 && access("/dev/shm", W_OK) == 0 &&
                      (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize > 512 * (uint64_t)MIB;
    const char *base = getenv("TMPDIR");
    if (base == NULL)
        base = room ? "/dev/shm" : "/tmp";
    snprintf(place->dir, sizeof(place->dir), "%.200s/penstock-test-XXXXXX", base);
    if (mkdtemp(place->dir) == NULL)
        abort();
    snprintf(place->store, sizeof(place->store), "%s/store", place->dir);
    snprintf(place->run, sizeof(place->run), "%s/run", place->dir);
    if (mkdir(place->run, 0700) != 0)
        abort();
}

static inline struct store_cfg place_cfg(const struct place *place, struct env *env)
{
    struct store_cfg cfg;
    store_cfg_init(&cfg);
    cfg.env = env != NULL ? env : env_system();
    cfg.dir = place->store;
    cfg.runtime_dir = place->run;
    cfg.shard_count = 2;
    cfg.ring_slots = 1024;
    cfg.disk_min_bytes = 0;
    return cfg;
}

static inline struct store *must_open(const struct store_cfg *cfg)
{
    struct store *store = NULL;
    struct store_why why = { "" };
    struct err err = store_open(cfg, &store, &why);
    if (failed(err)) {
        fprintf(stderr, "store_open: %s at %s: %s\n", err_name(err.code), err.where, why.text);
        abort();
    }
    return store;
}

// Everything about a record follows from `n` (and the time from `wall_ns`).
static inline struct usage_record record_of(uint64_t n, uint64_t wall_ns)
{
    char name[32];
    struct usage_record record = {
        .start_ns = wall_ns,
        .total_us = 1000 + n % 777,
        .queue_us = (uint32_t)(n % 5),
        .ttft_us = (uint32_t)(n % 3 * 100),
        .key_id = 1 + n % 7,
        .account_id = 1 + n % 3,
        .bytes_in = 10 + n,
        .bytes_out = 20 + n,
        .cost_real_nano = (int64_t)(n % 1000) - 3,
        .cost_rated_nano = (int64_t)(n % 500),
        .price_version = 4,
        .status = n % 11 == 0 ? 502 : 200,
        .err = n % 11 == 0 ? ERR_UPSTREAM_CLOSED : ERR_NONE,
        .flags = (uint16_t)(n % 128),
        .format = (uint8_t)(n % 4),
        .route = (uint8_t)(n % 9),
        .attempts = 1,
    };
    memcpy(record.request_id, &n, sizeof(n));
    for (int i = 0; i < USAGE_TOKEN_COUNT; i++)
        record.tokens[i] = (uint32_t)(n * 31 % (100 + (uint64_t)i));
    int len = snprintf(name, sizeof(name), "model-%u", (unsigned)(n % 5));
    usage_record_set_model(&record, span_of(name, (size_t)len), 0);
    len = snprintf(name, sizeof(name), "req_%llu", (unsigned long long)n);
    usage_record_set_vendor_id(&record, span_of(name, (size_t)len));
    return record;
}

static inline bool sums_eq(const struct usage_sums *a, const struct usage_sums *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

// The sum over everything that the store knows.
static inline struct usage_sums total_of(struct store *store)
{
    const struct usage_query query = { .from_ns = 0, .to_ns = INT64_MAX };
    struct usage_result result;
    struct usage_sums sums = { 0 };
    struct err err = store_usage(store, &query, &result);
    EXPECT(!failed(err));
    EXPECT(result.count <= 1);
    if (result.count == 1)
        sums = result.rows[0].sums;
    usage_result_fini(&result);
    return sums;
}

// Memory in a file of the place, which a child that was executed maps as well.
static inline void *place_share(const struct place *place, const char *name, size_t len)
{
    char path[320];
    snprintf(path, sizeof(path), "%s/%s", place->dir, name);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, (off_t)len) != 0)
        abort();
    void *memory = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        abort();
    close(fd);
    return memory;
}

// Starts this program again with other arguments. A fork alone would not do: RocksDB's threads stay
// behind in the parent.
static inline pid_t place_spawn(const struct place *place, const char *role, const char *how)
{
    pid_t child = fork();
    if (child == 0) {
        execl("/proc/self/exe", "child", "--child", place->dir, role, how, (char *)NULL);
        _exit(127);
    }
    return child;
}

static inline void place_at(struct place *place, const char *dir)
{
    snprintf(place->dir, sizeof(place->dir), "%.200s", dir);
    snprintf(place->store, sizeof(place->store), "%s/store", place->dir);
    snprintf(place->run, sizeof(place->run), "%s/run", place->dir);
}

static inline void expect_verified(struct store *store)
{
    struct store_verdict verdict;
    EXPECT(!failed(store_verify(store, &verdict)));
    EXPECT_EQ(verdict.damaged, 0);
    EXPECT_EQ(verdict.unchained, 0);
    EXPECT_EQ(verdict.missing, 0);
    EXPECT_EQ(verdict.repeated, 0);
    EXPECT_EQ(verdict.hours_wrong, 0);
}

static inline void put_bytes_at(const char *path, off_t at, const char *bytes, size_t len)
{
    int fd = open(path, O_WRONLY);
    if (fd < 0 || pwrite(fd, bytes, len, at) != (ssize_t)len)
        abort();
    close(fd);
}

// The first file of the directory whose name ends so, and its size; -1 if there is none.
static inline off_t find_file(const char *dir, const char *end, char *out, size_t cap)
{
    DIR *open_dir = opendir(dir);
    if (open_dir == NULL)
        return -1;
    off_t size = -1;
    const struct dirent *entry;
    while (size < 0 && (entry = readdir(open_dir)) != NULL) {
        size_t len = strlen(entry->d_name), end_len = strlen(end);
        struct stat stat;
        if (len < end_len || strcmp(entry->d_name + len - end_len, end) != 0)
            continue;
        snprintf(out, cap, "%.250s/%.100s", dir, entry->d_name);
        if (lstat(out, &stat) == 0 && stat.st_size > 0)
            size = stat.st_size;
    }
    closedir(open_dir);
    return size;
}

#endif

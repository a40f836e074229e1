// wal.c - RocksDB's write-ahead logs, as files.
#include "wal.h"

#include "bytes.h"
#include "penstock/base/mem.h"
#include "penstock/store/crc32c.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static bool is_log(const char *name)
{
    size_t len = strlen(name);
    return len > 4 && strcmp(name + len - 4, ".log") == 0;
}

// --- Syncing

struct err wal_open(struct wal *wal, const char *dir)
{
    *wal = (struct wal){ .dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
    return wal->dir_fd >= 0 ? OK : ERR_SYS(STORE, errno);
}

void wal_close(struct wal *wal)
{
    if (wal->dir_fd < 0)
        return;
    for (uint32_t i = 0; i < wal->count; i++)
        close(wal->files[i].fd);
    close(wal->dir_fd);
    *wal = (struct wal){ .dir_fd = -1 };
}

// Makes sure that the log is in the table. A log that is gone meanwhile is no error: its content is
// in table files.
static struct err see_file(struct wal *wal, const char *name, bool *is_new)
{
    const uint64_t number = strtoull(name, NULL, 10);
    for (uint32_t i = 0; i < wal->count; i++)
        if (wal->files[i].number == number) {
            wal->files[i].is_seen = true;
            return OK;
        }
    if (wal->count == WAL_FILES_MAX)
        return ERR(STORE);
    int fd = openat(wal->dir_fd, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? OK : ERR_SYS(STORE, errno);
    wal->files[wal->count].number = number;
    wal->files[wal->count].fd = fd;
    wal->files[wal->count].is_seen = true;
    wal->count++;
    *is_new = true;
    return OK;
}

// Brings the table up to the directory.
static struct err see_files(struct wal *wal, bool *is_new)
{
    // A descriptor of its own, because the position of a directory belongs to the description.
    int fd = openat(wal->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        struct err err = ERR_SYS(STORE, errno);
        if (fd >= 0)
            close(fd);
        return err;
    }
    for (uint32_t i = 0; i < wal->count; i++)
        wal->files[i].is_seen = false;
    struct err err = OK;
    const struct dirent *entry;
    while (!failed(err) && (entry = readdir(dir)) != NULL)
        if (is_log(entry->d_name))
            err = see_file(wal, entry->d_name, is_new);
    closedir(dir);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < wal->count; i++) {
        if (wal->files[i].is_seen || failed(err))
            wal->files[kept++] = wal->files[i];
        else
            close(wal->files[i].fd);
    }
    wal->count = kept;
    return err;
}

static struct err sync_error(int error)
{
    return error == ENOSPC || error == EDQUOT ? ERR_SYS(STORE_FULL, error) : ERR_SYS(STORE, error);
}

struct err wal_sync(struct wal *wal)
{
    bool is_new = false;
    TRY(see_files(wal, &is_new));
    for (uint32_t i = 0; i < wal->count; i++)
        if (fdatasync(wal->files[i].fd) != 0)
            return sync_error(errno);
    if (is_new && fsync(wal->dir_fd) != 0)
        return sync_error(errno);
    return OK;
}

// --- Looking for damage
//
// A log is a row of blocks of 32 KB. In a block stand fragments of records: checksum u32 (masked),
// length u16, type u8, payload. A fragment never crosses a block's end; what is too short for a
// head is zero.

enum {
    WAL_BLOCK = 32 * KIB,
    FRAME_HEAD = 7,
    TYPE_RECYCLED_FIRST = 5, // these carry the log's number in four more bytes
    TYPE_RECYCLED_LAST = 8,
    PATH_BYTES = 4096,
};

// RocksDB stores checksums rotated and shifted, so that one over data with checksums stays useful.
static uint32_t unmask(uint32_t masked)
{
    uint32_t rotated = masked - 0xa282ead8u;
    return rotated >> 17 | rotated << 15;
}

// Where the first damaged fragment of a block begins; `len` if there is none.
static size_t check_block(const uint8_t *block, size_t len)
{
    size_t at = 0;
    while (at + FRAME_HEAD <= len) {
        struct reader in = reader_of(span_of(block + at, len - at));
        uint32_t crc = unmask(get_u32(&in));
        size_t payload = get_u8(&in);
        payload |= (size_t)get_u8(&in) << 8;
        uint8_t type = get_u8(&in);
        if (type == 0 && payload == 0)
            return len; // allocated in advance, not written
        if (type >= TYPE_RECYCLED_FIRST && type <= TYPE_RECYCLED_LAST)
            payload += 4;
        if (payload > len - at - FRAME_HEAD ||
            crc32c(span_of(block + at + FRAME_HEAD - 1, payload + 1)) != crc)
            return at;
        at += FRAME_HEAD + payload;
    }
    return len;
}

// True if the log is damaged at `where`.
static bool check_file(const char *path, uint8_t *block, uint64_t *where)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool damaged = false;
    ssize_t got;
    for (*where = 0; (got = pread(fd, block, WAL_BLOCK, (off_t)*where)) > 0;) {
        size_t at = check_block(block, (size_t)got);
        damaged = at < (size_t)got;
        *where += at;
        if (damaged || got < WAL_BLOCK)
            break;
    }
    close(fd);
    return damaged;
}

void wal_describe(const char *dir, char *out, size_t cap)
{
    DIR *open_dir = opendir(dir);
    uint8_t *block = mem_take(1, WAL_BLOCK);
    unsigned long newest = 0, worst = 0;
    uint64_t worst_at = 0;
    const struct dirent *entry;
    while (open_dir != NULL && block != NULL && (entry = readdir(open_dir)) != NULL) {
        char path[PATH_BYTES];
        uint64_t where;
        if (!is_log(entry->d_name) ||
            snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name) >= PATH_BYTES)
            continue;
        unsigned long number = strtoul(entry->d_name, NULL, 10);
        newest = number > newest ? number : newest;
        if ((worst == 0 || number < worst) && check_file(path, block, &where)) {
            worst = number;
            worst_at = where;
        }
    }
    if (open_dir != NULL)
        closedir(open_dir);
    mem_give(block);
    if (worst != 0)
        snprintf(out, cap, "%06lu.log is damaged at byte %llu", worst,
                 (unsigned long long)worst_at);
    else if (newest != 0)
        snprintf(out, cap, "%06lu.log ends early or an older .log file is missing", newest);
    else
        snprintf(out, cap, "its .log files are missing");
}

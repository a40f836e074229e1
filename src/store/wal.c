// wal.c - reads the frames of RocksDB's write-ahead logs.
//
// A log is a row of blocks of 32 KB. In a block stand fragments of records: checksum u32 (masked),
// length u16, type u8, payload. A fragment never crosses a block's end; what is too short for a
// head is zero.
#include "wal.h"

#include "bytes.h"
#include "penstock/base/mem.h"
#include "penstock/store/crc32c.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

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

static bool is_log(const char *name)
{
    size_t len = strlen(name);
    return len > 4 && strcmp(name + len - 4, ".log") == 0;
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

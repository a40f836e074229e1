// wal.h - RocksDB's write-ahead logs, as files: syncing them, and finding out which is damaged.
//
// The store syncs them itself. A sync that fails inside RocksDB marks the log, and a second call
// that meets the mark ends the process by an assertion, which Debian's build keeps. The bytes of a
// finished write are in the file, so a sync from outside covers it just as well.
#ifndef PENSTOCK_STORE_WAL_H
#define PENSTOCK_STORE_WAL_H

#include "penstock/base/err.h"

enum { WAL_FILES_MAX = 256 };

// The logs that exist, open: a descriptor from before a failed write-back is told of it.
struct wal {
    int dir_fd; // -1: closed
    uint32_t count;
    struct {
        uint64_t number;
        int fd;
        bool is_seen;
    } files[WAL_FILES_MAX];
};

must_use struct err wal_open(struct wal *wal, const char *dir);
void wal_close(struct wal *wal);
// Every write that was finished before the call is on stable storage, and so are the files' names.
must_use struct err wal_sync(struct wal *wal);

// Writes a sentence about the first damaged log of the directory, or about the newest one if all
// look whole.
void wal_describe(const char *dir, char *out, size_t cap);

#endif

// wal.h - which of RocksDB's log files is damaged, and where: its own messages do not say.
#ifndef PENSTOCK_STORE_WAL_H
#define PENSTOCK_STORE_WAL_H

#include "penstock/base/base.h"

// Writes a sentence about the first damaged log of the directory, or about the newest one if all
// look whole.
void wal_describe(const char *dir, char *out, size_t cap);

#endif

// usage_block.h - many usage entries of one shard as one stored value. Pure: bytes in, bytes out.
//
// RocksDB's cost is per key, so a commit writes one value for what a shard has handed over since
// the last one. A block covers the half-open range of sequences [first, first + span) and nothing
// else ever does, so whoever knows the next sequence of a shard knows whether a block was counted.
// A detail block holds one entry a sequence; a summary block holds sums of what it covers. Each
// names the hash of its predecessor in its shard and ends with a CRC32C.
//
//   magic u32, version u8, flags u8, count u16, CRC32C of all else u32,
//   identity (hour, boot, shard, first), span, times, sums, previous hash, entries
//
// An entry starts with its own length, so that a later version can append fields that this one
// skips.
#ifndef PENSTOCK_STORE_USAGE_BLOCK_H
#define PENSTOCK_STORE_USAGE_BLOCK_H

#include "penstock/base/err.h"
#include "penstock/codec/parse.h"
#include "penstock/model/usage_record.h"

enum {
    USAGE_BLOCK_ENTRIES_MAX = 256,
    USAGE_BLOCK_BYTES_MAX = 64 * KIB,
    USAGE_BLOCK_KEY_BYTES = 18,
    USAGE_BLOCK_HASH_BYTES = 16,
    USAGE_BLOCK_VERSION = 1,
    USAGE_BLOCK_HEAD_MAX = 320, // 17 sums and 9 numbers of up to 10 bytes, and the fixed part
    USAGE_ENTRY_MAX = 352,      // two bytes of length and a summary whose sums are all huge
};

// Where a block lies. As key bytes the order is hour, boot, shard, first.
struct usage_block_id {
    uint32_t hour; // of commit, since 1970, UTC
    uint32_t boot;
    uint16_t shard;
    uint64_t first;
};

void usage_block_key(const struct usage_block_id *id, uint8_t out[USAGE_BLOCK_KEY_BYTES]);
must_use bool usage_block_key_read(struct span key, struct usage_block_id *out);

struct usage_block {
    struct usage_block_id id;
    uint32_t count; // entries
    uint32_t span;  // sequences covered
    bool is_summary;
    uint64_t time_min_ns, time_max_ns; // settlement of its entries
    uint64_t order_ns;                 // the latest settlement of any earlier entry of this shard
    struct usage_sums sums;
    uint8_t previous[USAGE_BLOCK_HASH_BYTES];
};

// An entry as it is read. `order_ns` is the entry's settlement, raised to that of the entries
// before it in its shard, so that (order_ns, boot, shard, sequence) is an order that a wall clock
// cannot break. A summary has some sequence of those that its block covers, and no record.
struct usage_entry {
    uint64_t sequence;
    uint64_t order_ns;
    bool is_summary;
    union {
        struct usage_record record; // without the model's name, which the store keeps once
        struct usage_summary summary;
    };
};

struct usage_block_writer {
    struct usage_block block;
    size_t len; // of entries
    uint64_t time_last;
    struct usage_sums added; // what the last entry added to the sums
    uint8_t bytes[USAGE_BLOCK_BYTES_MAX];
};

void usage_block_begin(struct usage_block_writer *writer, const struct usage_block_id *id,
                       const uint8_t previous[USAGE_BLOCK_HASH_BYTES], uint64_t order_ns);
// False if the entry does not fit any more; the block is as before then. A block holds entries of
// one sort.
must_use bool usage_block_add(struct usage_block_writer *writer, const struct usage_record *record);
must_use bool usage_block_add_summary(struct usage_block_writer *writer,
                                      const struct usage_summary *summary);
// The finished value, a view into the writer, at most USAGE_BLOCK_BYTES_MAX long. A summary block
// covers `span` sequences; a detail block as many as it has entries, whatever `span` says.
must_use struct span usage_block_finish(struct usage_block_writer *writer, uint32_t span);

void usage_block_hash(struct span value, uint8_t out[USAGE_BLOCK_HASH_BYTES]);

struct usage_block_reader {
    struct usage_block block;
    struct usage_sums sums; // of the entries read so far
    const uint8_t *at, *end;
    uint32_t index;
    uint64_t time_last, order_last;
};

// The head alone, without a look at the checksum: for those who only skip.
must_use struct err usage_block_peek(struct span value, struct usage_block *out, size_t *head_len);

// Checks magic, version, checksum and head. The value stays the caller's and must outlive the
// reader.
must_use struct err usage_block_open(struct usage_block_reader *reader, struct span value);
// PARSE_DATA with an entry, PARSE_DONE after the last one (and the sums are right), PARSE_BAD.
must_use enum parse usage_block_next(struct usage_block_reader *reader, struct usage_entry *out);

// What an entry adds up to, and where it counts.
void usage_entry_sums(const struct usage_entry *entry, struct usage_sums *out);

// Sums as variable-length numbers, at most USAGE_SUM_WORDS * 10 bytes; also the form of stored
// aggregates.
uint8_t *usage_sums_put(uint8_t *at, const struct usage_sums *sums);
struct reader;
void usage_sums_get(struct reader *reader, struct usage_sums *out);

#endif

// spool.h - what was written and has not left yet: the end of an answer that is told once more.
//
// Such an end is several times as long as what is kept of the answer (C-146). Text that stays where
// it is until the answer's end is only noted here, as a view; what stands between is held in chunks
// from a source. So the whole end costs a small part of its length, whoever sends it reads as much
// of it as there is credit for, and chunks go back as soon as they were read.
#ifndef PENSTOCK_CONVERT_SPOOL_H
#define PENSTOCK_CONVERT_SPOOL_H

#include "penstock/base/arena.h"
#include "penstock/convert/sink.h"

struct spool_chunk;
struct spool_entry;

struct spool {
    struct sink sink; // writes at the end
    const struct arena_source *source;
    struct spool_chunk *first, *last;
    struct spool_entry *open; // the text that the sink writes into; NULL: none
    uint64_t held;            // bytes that were written and not yet read, but for the open text
    uint32_t read_at;         // of the first chunk: where the entry stands that is being read
    size_t read;              // bytes of it that were
};

// `source` hands out ARENA_CHUNK bytes at a time. The text of views has to outlive the spool.
void spool_init(struct spool *spool, const struct arena_source *source);
// Harmless on one of zeros.
void spool_fini(struct spool *spool);
// For a sink that wrote into memory of its own until it was full: from now on it is a spool's. Has
// the promise of sink.more.
must_use bool spool_begin(struct spool *spool, const struct arena_source *source);

// Bytes to be read.
uint64_t spool_len(const struct spool *spool);
// Moves up to `cap` bytes from the front to `out`; how many. More may be written afterwards.
size_t spool_read(struct spool *spool, char *out, size_t cap);

#endif

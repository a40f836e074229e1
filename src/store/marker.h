// marker.h - a file of one page beside the database that says how far it must reach.
//
// A damaged write-ahead log can look like one that merely ends earlier. The marker holds what is
// known to be on stable storage, so a database that has forgotten some of it is refused instead of
// being opened with fewer keys. Two slots are written in turn, so a torn write costs one of them.
#ifndef PENSTOCK_STORE_MARKER_H
#define PENSTOCK_STORE_MARKER_H

#include "penstock/base/err.h"

struct marker {
    int fd; // -1: none
    uint64_t turn;
    // What it says.
    uint64_t synced;   // db_sequence() that was synced
    uint64_t revision; // of the entities
    uint32_t boot;
};

// NOT_FOUND when there is none and `create` is not set; STORE_CORRUPT when neither slot is whole.
must_use struct err marker_open(struct marker *marker, const char *dir, bool create);
must_use struct err marker_open_readonly(struct marker *marker, const char *dir);
void marker_close(struct marker *marker);
// With `sync` it is on stable storage when it returns; without, when the kernel pleases.
must_use struct err marker_write(struct marker *marker, bool sync);

#endif

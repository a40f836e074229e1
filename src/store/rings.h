// rings.h - the memory of the ports: a file in the runtime directory, mapped, that outlives the
// process.
//
// The file names the store and the boot it belongs to. The next start maps the old file for
// reading, commits what it finds, and puts a new file in its place.
#ifndef PENSTOCK_STORE_RINGS_H
#define PENSTOCK_STORE_RINGS_H

#include "penstock/model/usage_port.h"

enum { RINGS_UUID_BYTES = 16 };

struct rings_id {
    uint8_t uuid[RINGS_UUID_BYTES]; // of the store
    uint32_t boot;
    uint32_t shard_count, slot_count;
};

struct rings {
    struct rings_id id;
    char *base; // the mapping, NULL if none
    size_t len;
    bool is_shared; // in a file
};

// Fresh rings. With a directory, a file that replaces the old one; its space is reserved, so that a
// full tmpfs is an error here and not a fatal signal later. Without one, memory of this process.
must_use struct err rings_new(struct rings *rings, const char *runtime_dir,
                              const struct rings_id *id);
// What the process of `boot` has left behind; NOT_FOUND if nothing usable. To be read only.
must_use struct err rings_load(struct rings *rings, const char *runtime_dir,
                               const uint8_t uuid[RINGS_UUID_BYTES], uint32_t boot);
void rings_free(struct rings *rings);
void rings_remove(const char *runtime_dir); // after a clean end

struct usage_slot *rings_slots(const struct rings *rings, uint32_t shard);

#endif

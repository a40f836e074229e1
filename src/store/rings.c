#include "rings.h"

#include "bytes.h"
#include "penstock/base/check.h"
#include "penstock/store/crc32c.h"
#include "penstock/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    MAGIC = 0x314e5250, // "PRN1"
    HEAD_BYTES = 4096,
    SLOTS_MAX = 1 << 20,
    PATH_BYTES = 4096,
    HEAD_COVERED = 4 + RINGS_UUID_BYTES + 4 * 4,
};

static size_t bytes_of(uint32_t shard_count, uint32_t slot_count)
{
    return HEAD_BYTES + (size_t)shard_count * slot_count * sizeof(struct usage_slot);
}

static bool path_of(char path[PATH_BYTES], const char *runtime_dir, const char *name)
{
    return snprintf(path, PATH_BYTES, "%s/%s", runtime_dir, name) < PATH_BYTES;
}

static void put_head(char *base, const struct rings_id *id)
{
    uint8_t *at = put_le32((uint8_t *)base, MAGIC);
    at = put_bytes(at, id->uuid, RINGS_UUID_BYTES);
    at = put_le32(at, id->boot);
    at = put_le32(at, id->shard_count);
    at = put_le32(at, id->slot_count);
    at = put_le32(at, sizeof(struct usage_slot));
    put_le32(at, crc32c(span_of(base, HEAD_COVERED)));
}

static bool get_head(const char *base, size_t len, struct rings_id *id)
{
    struct reader in = reader_of(span_of(base, HEAD_COVERED + 4));
    uint32_t magic = get_u32(&in);
    get_copy(&in, id->uuid, RINGS_UUID_BYTES);
    id->boot = get_u32(&in);
    id->shard_count = get_u32(&in);
    id->slot_count = get_u32(&in);
    uint32_t slot_bytes = get_u32(&in);
    if (magic != MAGIC || get_u32(&in) != crc32c(span_of(base, HEAD_COVERED)))
        return false;
    return slot_bytes == sizeof(struct usage_slot) && id->shard_count > 0 &&
           id->shard_count <= STORE_SHARDS_MAX && id->slot_count > 0 &&
           id->slot_count <= SLOTS_MAX && (id->slot_count & (id->slot_count - 1)) == 0 &&
           len >= bytes_of(id->shard_count, id->slot_count);
}

static struct err map(struct rings *rings, int fd, int prot, size_t len)
{
    int flags = fd >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS;
    void *base = mmap(NULL, len, prot, flags, fd, 0);
    if (base == MAP_FAILED)
        return ERR_SYS(NO_MEMORY, errno);
    rings->base = base;
    rings->len = len;
    rings->is_shared = fd >= 0;
    return OK;
}

static struct err make_file(struct rings *rings, const char *runtime_dir, const struct rings_id *id)
{
    char path[PATH_BYTES], final[PATH_BYTES];
    if (!path_of(path, runtime_dir, "rings.new") || !path_of(final, runtime_dir, "rings"))
        return ERR_SYS(SYSTEM, ENAMETOOLONG);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return ERR_SYS(SYSTEM, errno);
    size_t len = bytes_of(id->shard_count, id->slot_count);
    int error = posix_fallocate(fd, 0, (off_t)len);
    struct err err = error == 0 ? OK : ERR_SYS(SYSTEM, error);
    if (!failed(err))
        err = map(rings, fd, PROT_READ | PROT_WRITE, len);
    close(fd);
    if (!failed(err)) {
        put_head(rings->base, id);
        if (rename(path, final) != 0)
            err = ERR_SYS(SYSTEM, errno);
    }
    if (failed(err)) {
        rings_free(rings);
        unlink(path);
    }
    return err;
}

struct err rings_new(struct rings *rings, const char *runtime_dir, const struct rings_id *id)
{
    assert(id->shard_count > 0 && id->shard_count <= STORE_SHARDS_MAX);
    assert(id->slot_count > 0 && id->slot_count <= SLOTS_MAX);
    *rings = (struct rings){ .id = *id };
    if (runtime_dir != NULL)
        return make_file(rings, runtime_dir, id);
    return map(rings, -1, PROT_READ | PROT_WRITE, bytes_of(id->shard_count, id->slot_count));
}

struct err rings_load(struct rings *rings, const char *runtime_dir,
                      const uint8_t uuid[RINGS_UUID_BYTES], uint32_t boot)
{
    *rings = (struct rings){ 0 };
    char path[PATH_BYTES];
    if (runtime_dir == NULL || !path_of(path, runtime_dir, "rings"))
        return ERR(NOT_FOUND);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return ERR_SYS(NOT_FOUND, errno);
    struct stat stat;
    struct err err = ERR(NOT_FOUND);
    if (fstat(fd, &stat) == 0 && stat.st_size >= HEAD_BYTES)
        err = map(rings, fd, PROT_READ, (size_t)stat.st_size);
    close(fd);
    TRY(err);
    if (get_head(rings->base, rings->len, &rings->id) && rings->id.boot == boot &&
        memcmp(rings->id.uuid, uuid, RINGS_UUID_BYTES) == 0)
        return OK;
    rings_free(rings);
    return ERR(NOT_FOUND);
}

void rings_free(struct rings *rings)
{
    if (rings->base != NULL)
        verify(munmap(rings->base, rings->len) == 0);
    *rings = (struct rings){ 0 };
}

void rings_remove(const char *runtime_dir)
{
    char path[PATH_BYTES];
    // If it stays, the next start finds nothing in it that it has not counted.
    if (runtime_dir != NULL && path_of(path, runtime_dir, "rings"))
        unlink(path);
}

struct usage_slot *rings_slots(const struct rings *rings, uint32_t shard)
{
    assert(shard < rings->id.shard_count);
    struct usage_slot *slots = (struct usage_slot *)(rings->base + HEAD_BYTES);
    return slots + (size_t)shard * rings->id.slot_count;
}

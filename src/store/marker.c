#include "marker.h"

#include "bytes.h"
#include "penstock/base/check.h"
#include "penstock/store/crc32c.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { MAGIC = 0x314b4d50, SLOT_BYTES = 512, SLOT_USED = 36, PATH_BYTES = 4096 }; // "PMK1"

static struct err open_file(struct marker *marker, const char *dir, int flags)
{
    char path[PATH_BYTES];
    *marker = (struct marker){ .fd = -1 };
    if (snprintf(path, sizeof(path), "%s/MARK", dir) >= (int)sizeof(path))
        return ERR_SYS(SYSTEM, ENAMETOOLONG);
    marker->fd = open(path, flags | O_CLOEXEC, 0600);
    if (marker->fd < 0)
        return errno == ENOENT ? ERR(NOT_FOUND) : ERR_SYS(SYSTEM, errno);
    return OK;
}

static bool read_slot(struct marker *marker, const uint8_t *slot)
{
    struct reader in = reader_of(span_of(slot, SLOT_USED));
    uint32_t magic = get_u32(&in);
    struct marker read = { .fd = marker->fd };
    read.turn = get_u64(&in);
    read.synced = get_u64(&in);
    read.revision = get_u64(&in);
    read.boot = get_u32(&in);
    size_t covered = (size_t)(in.at - slot);
    if (magic != MAGIC || get_u32(&in) != crc32c(span_of(slot, covered)))
        return false;
    if (read.turn >= marker->turn)
        *marker = read;
    return true;
}

static struct err load(struct marker *marker)
{
    uint8_t slots[2 * SLOT_BYTES] = { 0 };
    ssize_t got = pread(marker->fd, slots, sizeof(slots), 0);
    if (got < 0)
        return ERR_SYS(SYSTEM, errno);
    bool first = read_slot(marker, slots);
    bool second = read_slot(marker, slots + SLOT_BYTES);
    return first || second ? OK : ERR(STORE_CORRUPT);
}

struct err marker_open(struct marker *marker, const char *dir, bool create)
{
    struct err err = open_file(marker, dir, O_RDWR | (create ? O_CREAT | O_TRUNC : 0));
    if (failed(err))
        return err;
    // The file is as long as it will be before anything relies on it: on a full disk, writing in
    // place needs no space.
    if (create) {
        int error = posix_fallocate(marker->fd, 0, 2 * SLOT_BYTES);
        err = error == 0 ? OK : ERR_SYS(SYSTEM, error);
        if (!failed(err))
            err = marker_write(marker, true);
    } else {
        err = load(marker);
    }
    if (failed(err))
        marker_close(marker);
    return err;
}

struct err marker_open_readonly(struct marker *marker, const char *dir)
{
    TRY(open_file(marker, dir, O_RDONLY));
    struct err err = load(marker);
    if (failed(err))
        marker_close(marker);
    return err;
}

void marker_close(struct marker *marker)
{
    if (marker->fd >= 0)
        close(marker->fd);
    marker->fd = -1;
}

struct err marker_write(struct marker *marker, bool sync)
{
    assert(marker->fd >= 0);
    uint8_t slot[SLOT_BYTES] = { 0 };
    marker->turn++;
    uint8_t *at = put_le32(slot, MAGIC);
    at = put_le64(at, marker->turn);
    at = put_le64(at, marker->synced);
    at = put_le64(at, marker->revision);
    at = put_le32(at, marker->boot);
    at = put_le32(at, crc32c(span_of(slot, (size_t)(at - slot))));
    off_t where = (off_t)(marker->turn & 1) * SLOT_BYTES;
    if (pwrite(marker->fd, slot, sizeof(slot), where) != (ssize_t)sizeof(slot))
        return ERR_SYS(SYSTEM, errno);
    if (sync && fdatasync(marker->fd) != 0)
        return ERR_SYS(SYSTEM, errno);
    return OK;
}

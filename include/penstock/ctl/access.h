// access.h - one line a request: takes what the shards hand over, gives it words, logs it.
//
// The shards' rings are emptied a moment after the first record came, so that a busy gateway wakes
// the control thread a hundred times a second and an idle one not at all.
#ifndef PENSTOCK_CTL_ACCESS_H
#define PENSTOCK_CTL_ACCESS_H

#include "penstock/ctl/log.h"
#include "penstock/ctl/registry.h"
#include "penstock/model/access_port.h"

struct access_log {
    struct access_port *ports;
    uint32_t count;
    struct log *log;
    const struct registry *registry;
    struct loop *loop;
    struct timer gather;
};

// `wake` is called on a shard's thread when there is something: it lets the control thread call
// access_log_woken().
must_use struct err access_log_init(struct access_log *access, uint32_t shard_count,
                                    void (*wake)(void *arg), void *arg);
void access_log_fini(struct access_log *access);
void access_log_woken(struct access_log *access);
// Everything that is there, now: at the end, and in tests.
void access_log_drain(struct access_log *access);

// The line of one record, with its line end, in `room`.
struct span access_line(const struct access_record *record, const struct registry *registry,
                        char room[LOG_LINE_MAX]);

#endif

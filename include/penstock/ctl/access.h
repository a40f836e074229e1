// access.h - one line a request: takes what the shards hand over, gives it words, logs it.
//
// The shards' rings are emptied a moment after the first record came, and from then on from time to
// time until none comes: so a busy shard wakes nobody, and an idle gateway's control thread sleeps.
#ifndef PENSTOCK_CTL_ACCESS_H
#define PENSTOCK_CTL_ACCESS_H

#include "penstock/ctl/log.h"
#include "penstock/ctl/registry.h"
#include "penstock/model/access_port.h"

enum {
    ACCESS_SECOND_LEN = 19, // 2026-01-01T00:00:00
    ACCESS_WORDS = 64,      // keys, and accounts, whose words are kept
};

// The part of a line that one key or account is told by.
struct access_words {
    uint64_t usage_id;
    uint64_t look; // they hold for this one
    uint16_t len;
    char text[238]; // longer ones are not kept
};

struct access_log {
    struct access_port *ports;
    uint32_t count;
    struct log *log;
    const struct registry *registry;
    struct loop *loop;
    struct timer gather;
    uint64_t gather_ns; // from one look at the rings to the next
    // The second of the line before, as text.
    uint64_t second;
    char second_text[ACCESS_SECOND_LEN];
    uint64_t look; // how often the rings were looked at
    struct access_words keys[ACCESS_WORDS], accounts[ACCESS_WORDS];
};

// `wake` is called on a shard's thread when there is something: it lets the control thread call
// access_log_woken().
must_use struct err access_log_init(struct access_log *access, uint32_t shard_count,
                                    void (*wake)(void *arg), void *arg);
void access_log_fini(struct access_log *access);
void access_log_woken(struct access_log *access);
// Everything that is there, now: at the end, and in tests.
void access_log_drain(struct access_log *access);

// The line of one record, with its line end, in `room` for LOG_LINE_MAX bytes.
struct span access_line(struct access_log *access, const struct access_record *record, char *room);

#endif

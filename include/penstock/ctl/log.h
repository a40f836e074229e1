// log.h - where lines go: standard error or a file, never waiting for either.
//
// Lines are JSON objects, except on a terminal. What the other end does not take at once waits in a
// bounded buffer; when that is full, lines are dropped and counted, and the next line that fits is
// preceded by one that says how many were lost. The control thread owns a log.
#ifndef PENSTOCK_CTL_LOG_H
#define PENSTOCK_CTL_LOG_H

#include "penstock/ctl/config.h"
#include "penstock/io/loop.h"

enum { LOG_BUFFER_MAX = 1 * MIB, LOG_LINE_MAX = 4 * KIB };

struct log {
    struct env *env;
    struct loop *loop; // NULL: before there is one, what cannot be written at once is dropped
    struct timer retry;
    char *path; // NULL: standard error
    int fd;
    bool is_file, is_terminal;
    bool is_torn;                // what was written last is not a line's end
    bool is_stuck;               // the other end did not take everything when it was last asked
    enum config_log_level level; // the least that is written
    char *buffer;
    size_t start, len; // of what waits
    uint64_t dropped;  // in all
    uint64_t untold;   // of them, not yet said
};

// `path` empty: standard error. On failure the log goes to standard error all the same.
must_use struct err log_open(struct log *log, struct env *env, struct span path,
                             enum config_log_level level);
// From now on lines that wait are tried again by a timer of this loop.
void log_use_loop(struct log *log, struct loop *loop);
// Writes what it can and lets go. Lines can still be said until the process ends: to standard
// error.
void log_close(struct log *log);
// After a file was moved away: opens its name again. The old one stays on failure.
must_use struct err log_reopen(struct log *log);

// One fact for operators.
void log_say(struct log *log, enum config_log_level level, const char *format, ...)
    printf_like(3, 4);
// Room for one line of at most LOG_LINE_MAX bytes, to be written there; NULL: it is dropped. Then
// log_push() with its length, its line end included. Many lines are handed over at once.
must_use char *log_place(struct log *log);
void log_push(struct log *log, size_t len);
// The same for a line that exists. False: dropped.
bool log_line(struct log *log, struct span line);
// Hands over what waits, as far as it is taken without waiting.
void log_flush(struct log *log);
// From now on lines go to this descriptor. The caller closes the one before.
void log_use_fd(struct log *log, int fd);

#endif

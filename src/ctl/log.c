#include "penstock/ctl/log.h"

#include "penstock/base/check.h"
#include "penstock/base/mem.h"
#include "penstock/codec/json_writer.h"
#include "penstock/model/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define RETRY_NS (UINT64_C(50) * NS_PER_MS)
enum {
    TEXT_MAX = 2 * KIB,
    NOTICE_MAX = 256,
    BATCH_BYTES = 64 * KIB, // handed over without being asked: still in the cache when it is copied
    MOVE_BYTES = LOG_BUFFER_MAX / 4, // freed at the front before the rest is moved there
    CLOSE_TRIES = 10,
    CLOSE_WAIT_MS = 50,
};

static const char *const level_names[] = {
    [LOG_DEBUG] = "debug",
    [LOG_INFO] = "info",
    [LOG_WARN] = "warning",
    [LOG_ERROR] = "error",
};

static void on_retry(struct timer *timer)
{
    log_flush(container_of(timer, struct log, retry));
}

static int open_file(const char *path)
{
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0640);
}

void log_use_fd(struct log *log, int fd)
{
    struct stat stat;
    log->fd = fd;
    log->is_file = fstat(fd, &stat) == 0 && S_ISREG(stat.st_mode);
    log->is_terminal = isatty(fd);
}

struct err log_open(struct log *log, struct env *env, struct span path, enum config_log_level level)
{
    *log = (struct log){ .env = env, .level = level };
    log->retry.on_fire = on_retry;
    log->buffer = mem_take(LOG_BUFFER_MAX, 1);
    verify(log->buffer != NULL);
    const int fd = path.len > 0 ? open_file(path.ptr) : STDERR_FILENO;
    const struct err err = fd < 0 ? ERR_SYS(SYSTEM, errno) : OK;
    if (fd >= 0 && path.len > 0) {
        log->path = mem_take(path.len + 1, 1); // the configuration may be replaced
        verify(log->path != NULL);
        memcpy(log->path, path.ptr, path.len);
    }
    log_use_fd(log, fd < 0 ? STDERR_FILENO : fd);
    return err;
}

void log_use_loop(struct log *log, struct loop *loop)
{
    log->loop = loop;
}

void log_close(struct log *log)
{
    if (log->buffer == NULL)
        return;
    log_flush(log);
    // There is no later: a reader that is only slow is given a moment.
    for (int i = 0; log->len > 0 && i < CLOSE_TRIES; i++) {
        struct pollfd out = { .fd = log->fd, .events = POLLOUT };
        (void)poll(&out, 1, CLOSE_WAIT_MS);
        log_flush(log);
    }
    if (log->loop != NULL)
        timer_stop(&log->loop->wheel, &log->retry);
    log->loop = NULL;
    if (log->fd != STDERR_FILENO)
        close(log->fd);
    log->fd = STDERR_FILENO;
    mem_give(log->path);
    log->path = NULL;
    mem_give(log->buffer);
    log->buffer = NULL;
}

struct err log_reopen(struct log *log)
{
    if (log->path == NULL)
        return OK;
    const int fd = open_file(log->path);
    if (fd < 0)
        return ERR_SYS(SYSTEM, errno);
    log_flush(log);
    close(log->fd);
    log_use_fd(log, fd);
    log->is_torn = false;
    log_flush(log);
    return OK;
}

// --- handing over ---

static const char *waiting(const struct log *log)
{
    return log->buffer + log->start;
}

// A pipe or terminal that says it can be written takes PIPE_BUF bytes without blocking; a file
// always takes what it is given.
static bool can_write(const struct log *log)
{
    struct pollfd out = { .fd = log->fd, .events = POLLOUT };
    return log->is_file || (poll(&out, 1, 0) == 1 && (out.revents & POLLOUT) != 0);
}

// How much of what waits goes in one piece: all that a file is due, else whole lines of PIPE_BUF
// bytes together; a longer line is cut.
static size_t piece_len(const struct log *log)
{
    const size_t len = log->is_file ? log->len : min_size(log->len, PIPE_BUF);
    const char *end = len < log->len ? memrchr(waiting(log), '\n', len) : NULL;
    return end != NULL ? (size_t)(end - waiting(log)) + 1 : len;
}

static void written(struct log *log, size_t len)
{
    log->is_torn = waiting(log)[len - 1] != '\n';
    log->start += len;
    log->len -= len;
    if (log->len == 0)
        log->start = 0;
}

// A full disk or a closed pipe: what waits is lost, and counted as what found no room is.
static void lose(struct log *log)
{
    uint64_t lines = 0;
    const char *at = waiting(log), *end = at + log->len;
    for (; (at = memchr(at, '\n', (size_t)(end - at))) != NULL; at++)
        lines++;
    log->dropped += lines;
    log->untold += lines;
    log->start = log->len = 0;
}

void log_flush(struct log *log)
{
    while (log->len > 0 && can_write(log)) {
        const ssize_t done = write(log->fd, waiting(log), piece_len(log));
        if (done > 0)
            written(log, (size_t)done);
        else if (done < 0 && errno != EINTR && errno != EAGAIN)
            lose(log);
        else if (done == 0 || errno == EAGAIN)
            break;
    }
    log->is_stuck = log->len > 0;
    if (log->is_stuck && log->loop != NULL && log->retry.deadline_ns == 0)
        timer_arm(&log->loop->wheel, &log->retry, log->loop->now_ns + RETRY_NS);
}

// --- taking lines ---

// Whether `len` bytes fit behind what waits. What a reader takes bit by bit makes room only when it
// is enough to be worth moving the rest.
static bool has_room(struct log *log, size_t len)
{
    if (log->buffer == NULL)
        return false;
    if (len > LOG_BUFFER_MAX - log->start - log->len && log->start >= MOVE_BYTES) {
        memmove(log->buffer, waiting(log), log->len);
        log->start = 0;
    }
    return len <= LOG_BUFFER_MAX - log->start - log->len;
}

static char *room_of(struct log *log)
{
    return log->buffer + log->start + log->len;
}

static struct span say_json(struct log *log, enum config_log_level level, struct span text,
                            char room[LOG_LINE_MAX])
{
    struct jsonw out;
    char time[UNIT_TEXT_MAX];
    const size_t time_len = time_format(time, env_wall_ns(log->env));
    jsonw_init(&out, room, LOG_LINE_MAX - 1);
    jsonw_object(&out);
    jsonw_member(&out, SPAN("ts"), span_of(time, time_len));
    jsonw_member(&out, SPAN("level"), span_str(level_names[level]));
    jsonw_member(&out, SPAN("msg"), text);
    jsonw_object_end(&out);
    struct span line = jsonw_done(&out);
    if (line.len > 0)
        room[line.len++] = '\n';
    return line;
}

static struct span render(struct log *log, enum config_log_level level, struct span text,
                          char room[LOG_LINE_MAX])
{
    if (!log->is_terminal)
        return say_json(log, level, text, room);
    const char *name = level == LOG_INFO ? "" : level_names[level];
    const size_t len = fit_printf(room, LOG_LINE_MAX, "penstock: %s%s%.*s\n", name,
                                  name[0] != '\0' ? ": " : "", (int)text.len, text.ptr);
    return span_of(room, len);
}

static void tell_dropped(struct log *log)
{
    char text[96], room[LOG_LINE_MAX];
    const size_t len = fit_printf(text, sizeof(text), "%llu log lines were dropped",
                                  (unsigned long long)log->untold);
    const struct span line = render(log, LOG_WARN, span_of(text, len), room);
    assert(line.len < NOTICE_MAX);
    memcpy(room_of(log), line.ptr, line.len);
    log->len += line.len;
    log->untold = 0;
}

char *log_place(struct log *log)
{
    // What was lost is told once, where lines go on: so there is room for both, or for neither.
    if (!has_room(log, LOG_LINE_MAX + NOTICE_MAX)) {
        log->dropped++;
        log->untold++;
        return NULL;
    }
    if (unlikely(log->is_torn && log->len == 0)) {
        *room_of(log) = '\n'; // the end of a line whose rest was lost
        log->len++;
        log->is_torn = false;
    }
    if (unlikely(log->untold > 0))
        tell_dropped(log);
    return room_of(log);
}

void log_push(struct log *log, size_t len)
{
    assert(len > 0 && len <= LOG_LINE_MAX);
    assert(room_of(log)[len - 1] == '\n');
    log->len += len;
    if (log->len >= BATCH_BYTES && !log->is_stuck)
        log_flush(log);
}

bool log_line(struct log *log, struct span line)
{
    char *place = log_place(log);
    if (place == NULL)
        return false;
    memcpy(place, line.ptr, line.len);
    log_push(log, line.len);
    return true;
}

void log_say(struct log *log, enum config_log_level level, const char *format, ...)
{
    char text[TEXT_MAX], room[LOG_LINE_MAX];
    va_list args;
    va_start(args, format);
    const int len = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (level < log->level && log->buffer != NULL)
        return;
    if (log->buffer == NULL) { // before the log, and behind it
        fprintf(stderr, "penstock: %s%s%s\n", level == LOG_INFO ? "" : level_names[level],
                level == LOG_INFO ? "" : ": ", text);
        return;
    }
    const size_t text_len = min_size(len > 0 ? (size_t)len : 0, sizeof(text) - 1);
    (void)log_line(log, render(log, level, span_of(text, text_len), room));
    log_flush(log);
}

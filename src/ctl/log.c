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
#include <unistd.h>

#define RETRY_NS (UINT64_C(50) * NS_PER_MS)
enum { TEXT_MAX = 2 * KIB, NOTICE_MAX = 256 };

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

struct err log_open(struct log *log, struct env *env, struct span path, enum config_log_level level)
{
    *log = (struct log){ .env = env, .fd = STDERR_FILENO, .level = level };
    log->retry.on_fire = on_retry;
    log->buffer = mem_take(LOG_BUFFER_MAX, 1);
    verify(log->buffer != NULL);
    struct err err = OK;
    if (path.len > 0) {
        const int fd = open_file(path.ptr);
        if (fd < 0)
            err = ERR_SYS(SYSTEM, errno);
        log->fd = fd < 0 ? STDERR_FILENO : fd;
        if (fd >= 0) {
            log->path = mem_take(path.len + 1, 1); // the configuration may be replaced
            verify(log->path != NULL);
            memcpy(log->path, path.ptr, path.len);
        }
    }
    log->is_terminal = isatty(log->fd);
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
    log->fd = fd;
    log_flush(log);
    return OK;
}

// --- handing over ---

// A pipe or terminal that says it can be written takes PIPE_BUF bytes without blocking; a file
// always takes what it is given.
static bool can_write(int fd)
{
    struct pollfd out = { .fd = fd, .events = POLLOUT };
    return poll(&out, 1, 0) == 1 && (out.revents & POLLOUT) != 0;
}

// The first bytes of what waits that end with a line end, up to `most`; a longer line is cut.
static size_t whole_lines(const struct log *log, size_t most)
{
    const size_t len = min_size(log->len, most);
    const char *end = memrchr(log->buffer, '\n', len);
    return end != NULL ? (size_t)(end - log->buffer) + 1 : len;
}

void log_flush(struct log *log)
{
    while (log->len > 0 && can_write(log->fd)) {
        const ssize_t done = write(log->fd, log->buffer, whole_lines(log, PIPE_BUF));
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0) {
            if (done < 0 && errno != EAGAIN)
                log->len = 0; // a full disk or a closed pipe: those lines are lost
            break;
        }
        log->len -= (size_t)done;
        memmove(log->buffer, log->buffer + done, log->len);
    }
    if (log->len > 0 && log->loop != NULL && log->retry.deadline_ns == 0)
        timer_arm(&log->loop->wheel, &log->retry, log->loop->now_ns + RETRY_NS);
}

static bool keep(struct log *log, struct span line)
{
    if (log->buffer == NULL || line.len > LOG_BUFFER_MAX - log->len)
        return false;
    memcpy(log->buffer + log->len, line.ptr, line.len);
    log->len += line.len;
    return true;
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
    if (keep(log, render(log, LOG_WARN, span_of(text, len), room)))
        log->untold = 0;
}

bool log_line(struct log *log, struct span line)
{
    // What was lost is told once, where lines go on: so there is room for both, or for neither.
    const size_t need = line.len + (log->untold > 0 ? NOTICE_MAX : 0);
    if (log->buffer != NULL && need <= LOG_BUFFER_MAX - log->len) {
        if (log->untold > 0)
            tell_dropped(log);
        if (keep(log, line))
            return true;
    }
    log->dropped++;
    log->untold++;
    return false;
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

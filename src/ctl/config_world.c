// The machine as the configuration sees it: environment, files, memory.
#include "config_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

static const char *system_env(struct config_world *world, const char *name)
{
    (void)world;
    return getenv(name);
}

static const char *system_env_at(struct config_world *world, size_t i)
{
    (void)world;
    for (size_t at = 0; environ != NULL && environ[at] != NULL; at++)
        if (at == i)
            return environ[at];
    return NULL;
}

static int read_all(int fd, size_t max, struct text *out)
{
    char bytes[16 * KIB];
    size_t total = 0;
    int why = 0;
    while (why == 0) {
        const ssize_t got = read(fd, bytes, sizeof(bytes));
        if (got == 0)
            break;
        if (got < 0) {
            why = errno == EINTR ? 0 : errno;
        } else if ((total += (size_t)got) > max) {
            why = EFBIG;
        } else {
            text_add(out, span_of(bytes, (size_t)got));
        }
    }
    explicit_bzero(bytes, sizeof(bytes)); // the file may be a key
    return why;
}

// Mode and owner are those of the open file, so that nobody can change it in between.
static int system_read(struct config_world *world, const char *path, size_t max, struct text *out,
                       struct config_stat *result)
{
    (void)world;
    // Without NONBLOCK a FIFO without a writer would hang the start.
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return errno;
    struct stat info;
    int why = fstat(fd, &info) == 0 ? 0 : errno;
    if (why == 0 && S_ISDIR(info.st_mode))
        why = EISDIR;
    else if (why == 0 && !S_ISREG(info.st_mode))
        why = EINVAL;
    if (why == 0)
        why = read_all(fd, max, out);
    if (why == 0 && result != NULL)
        *result = (struct config_stat){ info.st_mode & 07777, info.st_uid };
    close(fd);
    return why;
}

struct config_world *config_world_system(void)
{
    static struct config_world world = { system_env, system_env_at, system_read, 0 };
    world.uid = geteuid();
    return &world;
}

// A file that begins with a number; 0 if it does not ("max") or cannot be read.
static uint64_t read_number(struct config_world *world, const char *path)
{
    struct text text = { 0 };
    uint64_t number = 0;
    if (world->read(world, path, KIB, &text, NULL) == 0) {
        const struct span line = span_upto(text_span(&text), span_find(text_span(&text), '\n'));
        if (!span_u64(line, &number))
            number = 0;
    }
    text_fini(&text);
    return number;
}

// The path of this process's cgroup (v2: the line "0::/path").
static struct span cgroup_path(struct text *text)
{
    struct span rest = text_span(text);
    while (rest.len > 0) {
        const struct span line = span_upto(rest, span_find(rest, '\n'));
        if (span_starts(line, SPAN("0::/")))
            return span_from(line, 3);
        rest = span_from(rest, min_size(line.len + 1, rest.len));
    }
    return SPAN_NONE;
}

// The smallest limit on the way from this cgroup up to the root; UINT64_MAX if there is none.
static uint64_t cgroup_limit(struct config_world *world)
{
    struct text text = { 0 };
    uint64_t limit = UINT64_MAX;
    const uint64_t v1 = read_number(world, "/sys/fs/cgroup/memory/memory.limit_in_bytes");
    if (v1 > 0)
        limit = v1;
    if (world->read(world, "/proc/self/cgroup", 64 * KIB, &text, NULL) == 0) {
        struct span path = cgroup_path(&text);
        while (path.len > 0) {
            char name[4 * KIB];
            fit_printf(name, sizeof(name), "/sys/fs/cgroup%.*s/memory.max",
                       path.len > 1 ? (int)min_size(path.len, 3 * KIB) : 0, path.ptr);
            const uint64_t max = read_number(world, name);
            if (max > 0)
                limit = min_u64(limit, max);
            if (path.len == 1)
                break;
            while (path.len > 1 && path.ptr[path.len - 1] != '/')
                path.len--;
            if (path.len > 1)
                path.len--;
        }
    }
    text_fini(&text);
    return limit;
}

static uint64_t machine_memory(struct config_world *world)
{
    struct text text = { 0 };
    uint64_t kib = 0;
    if (world->read(world, "/proc/meminfo", 64 * KIB, &text, NULL) == 0) {
        struct span line = text_span(&text); // the first line is "MemTotal:  N kB"
        line = span_upto(line, span_find(line, '\n'));
        if (span_starts(line, SPAN("MemTotal:"))) {
            line = span_trim(span_from(line, 9));
            if (!span_u64(span_upto(line, span_find(line, ' ')), &kib))
                kib = 0;
        }
    }
    text_fini(&text);
    return kib * KIB;
}

uint64_t config_memory(const struct config *cfg, struct config_world *world)
{
    if (cfg->limits.memory != 0)
        return cfg->limits.memory;
    const uint64_t machine = machine_memory(world);
    const uint64_t limit = cgroup_limit(world);
    const uint64_t bytes =
        machine == 0 ? (limit == UINT64_MAX ? 0 : limit) : min_u64(machine, limit);
    return bytes / 4 * 3;
}

static struct err take_key(struct span text, struct vault *vault, struct secret **out,
                           char why[ACCOUNT_WHY_MAX])
{
    while (text.len > 0 && strchr(" \t\r\n", text.ptr[text.len - 1]) != NULL)
        text.len--;
    if (text.len == 0) {
        fit_printf(why, ACCOUNT_WHY_MAX, "it is empty");
        return ERR(INVALID);
    }
    *out = secret_new(vault, text);
    if (*out != NULL)
        return OK;
    fit_printf(why, ACCOUNT_WHY_MAX, "it is longer than a key may be");
    return ERR(INVALID);
}

struct err account_key_load(const struct account *account, struct config_world *world,
                            struct vault *vault, struct secret **out, char why[ACCOUNT_WHY_MAX])
{
    *out = NULL;
    why[0] = '\0';
    if (account->api_key_env.len > 0) {
        const char *value = world->env(world, account->api_key_env.ptr);
        return take_key(span_str(value != NULL ? value : ""), vault, out, why);
    }
    if (account->api_key_file.len == 0)
        return OK;
    struct text text = { 0 };
    const int error = world->read(world, account->api_key_file.ptr, CONFIG_VALUE_MAX, &text, NULL);
    struct err err = OK;
    if (error != 0) {
        fit_printf(why, ACCOUNT_WHY_MAX, "%s", strerror(error));
        err = ERR_SYS(INVALID, error);
    } else {
        err = take_key(text_span(&text), vault, out, why);
    }
    text_fini(&text);
    return err;
}

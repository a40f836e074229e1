#include "penstock/ctl/master.h"

#include "penstock/base/check.h"
#include "penstock/base/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MASTER_FILE_MAX = 256 };
static const char credential_name[] = "penstock-master-key";
static const char file_name[] = "master.key";

static int hex_value(char byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    const char low = (char)(byte | 0x20);
    return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

static bool decode(struct span text, uint8_t out[MASTER_KEY_BYTES])
{
    if (text.len == MASTER_KEY_BYTES) {
        memcpy(out, text.ptr, MASTER_KEY_BYTES);
        return true;
    }
    while (text.len > 0 && strchr(" \t\r\n", text.ptr[text.len - 1]) != NULL)
        text.len--;
    if (text.len != 2 * MASTER_KEY_BYTES)
        return false;
    for (size_t i = 0; i < MASTER_KEY_BYTES; i++) {
        const int high = hex_value(text.ptr[2 * i]), low = hex_value(text.ptr[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static struct err adopt(struct span text, struct vault *vault, struct secret **out,
                        struct master_info *info)
{
    *out = secret_blank(vault, MASTER_KEY_BYTES);
    if (*out == NULL)
        return ERR(NO_MEMORY);
    if (decode(text, secret_bytes(*out)))
        return OK;
    secret_free(out);
    fit_printf(info->why, sizeof(info->why), "it is neither 32 bytes nor 64 hexadecimal digits");
    return ERR(CONFIG);
}

// `private`: the file must be ours or root's, and closed to everybody else. What systemd puts into
// the credentials directory is protected by that directory.
static struct err from_file(struct config_world *world, bool private, struct vault *vault,
                            struct secret **out, struct master_info *info)
{
    struct text text = { 0 };
    struct config_stat stat;
    struct err err = OK;
    const int why = world->read(world, info->path, MASTER_FILE_MAX, &text, &stat);
    if (why != 0) {
        fit_printf(info->why, sizeof(info->why), "%s", strerror(why));
        err = ERR_SYS(CONFIG, why);
    } else if (private && (stat.mode & 077) != 0 && GUARD(MASTER_MODE)) {
        fit_printf(info->why, sizeof(info->why),
                   "its mode %03o lets others at it; chmod 600 it, and think about a new key",
                   stat.mode & 0777);
        err = ERR(CONFIG);
    } else if (private && stat.uid != world->uid && stat.uid != 0) {
        fit_printf(info->why, sizeof(info->why), "it belongs to user %u, not to this one (%u)",
                   stat.uid, world->uid);
        err = ERR(CONFIG);
    } else {
        err = adopt(text_span(&text), vault, out, info);
    }
    text_fini(&text);
    return err;
}

static int write_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        const ssize_t done = write(fd, bytes, len);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return errno;
        bytes += done;
        len -= (size_t)done;
    }
    return 0;
}

static int sync_dir(const char *path)
{
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    const int why = fsync(fd) == 0 ? 0 : errno;
    close(fd);
    return why;
}

// The key is on the disk before anything is sealed with it. It gets its name by link(2), which
// fails when another process was first: then that key counts.
static int store_key(const char *dir, const char *path, const char *hex, size_t len)
{
    char fresh[MASTER_PATH_MAX + 16]; // never cut
    fit_printf(fresh, sizeof(fresh), "%s.%d", path, (int)getpid());
    const int fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    int why = write_all(fd, hex, len);
    if (why == 0 && fsync(fd) != 0)
        why = errno;
    close(fd);
    if (why == 0 && link(fresh, path) != 0)
        why = errno;
    unlink(fresh);
    return why == 0 ? sync_dir(dir) : why;
}

// The directory and what is missing above it. Only the last one is closed to others.
int dirs_make(const char *dir)
{
    char path[MASTER_PATH_MAX];
    const size_t len = strlen(dir);
    if (len >= sizeof(path))
        return ENAMETOOLONG;
    memcpy(path, dir, len + 1);
    for (size_t i = 1; i < len; i++) {
        if (path[i] != '/')
            continue;
        path[i] = '\0';
        if (mkdir(path, 0755) != 0 && errno != EEXIST)
            return errno;
        path[i] = '/';
    }
    return mkdir(path, 0700) == 0 || errno == EEXIST ? 0 : errno;
}

static struct err generate(const char *dir, struct env *env, struct master_info *info)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t key[MASTER_KEY_BYTES];
    char hex[2 * MASTER_KEY_BYTES + 1];
    env_random(env, key, sizeof(key));
    for (size_t i = 0; i < sizeof(key); i++) {
        hex[2 * i] = digits[key[i] >> 4];
        hex[2 * i + 1] = digits[key[i] & 15];
    }
    hex[2 * MASTER_KEY_BYTES] = '\n';
    int why = dirs_make(dir);
    if (why == 0)
        why = store_key(dir, info->path, hex, sizeof(hex));
    bytes_wipe(key, sizeof(key));
    bytes_wipe(hex, sizeof(hex));
    if (why == 0)
        info->source = MASTER_GENERATED;
    if (why == 0 || why == EEXIST)
        return OK;
    fit_printf(info->why, sizeof(info->why), "it cannot be made: %s", strerror(why));
    return ERR_SYS(CONFIG, why);
}

static bool set_path(struct master_info *info, const char *dir, const char *name)
{
    fit_printf(info->path, sizeof(info->path), "%s/%s", dir, name);
    if (strlen(dir) + 1 + strlen(name) < sizeof(info->path))
        return true;
    fit_printf(info->why, sizeof(info->why), "its path is too long");
    return false;
}

static struct err from_credential(struct config_world *world, const char *name, struct vault *vault,
                                  struct secret **out, struct master_info *info)
{
    const char *dir = world->env(world, "CREDENTIALS_DIRECTORY");
    info->source = MASTER_CREDENTIAL;
    if (dir == NULL) {
        fit_printf(info->path, sizeof(info->path), "%.200s", name);
        fit_printf(info->why, sizeof(info->why), "systemd passed no credentials");
        return ERR(CONFIG);
    }
    if (!set_path(info, dir, name))
        return ERR(CONFIG);
    return from_file(world, false, vault, out, info);
}

static struct err from_env(struct config_world *world, const char *name, struct vault *vault,
                           struct secret **out, struct master_info *info)
{
    const char *text = world->env(world, name);
    info->source = MASTER_ENV;
    fit_printf(info->path, sizeof(info->path), "$%s", name);
    if (text == NULL) {
        fit_printf(info->why, sizeof(info->why), "it is not set");
        return ERR(CONFIG);
    }
    return adopt(span_str(text), vault, out, info);
}

struct err master_load(const struct config *cfg, struct config_world *world, struct env *env,
                       struct vault *vault, struct secret **out, struct master_info *info)
{
    *out = NULL;
    *info = (struct master_info){ .source = MASTER_FILE };
    if (cfg->master_key.cred.len > 0)
        return from_credential(world, cfg->master_key.cred.ptr, vault, out, info);
    if (cfg->master_key.env.len > 0)
        return from_env(world, cfg->master_key.env.ptr, vault, out, info);
    if (cfg->master_key.file.len > 0) {
        // Named by the operator: it must be there. A fresh one would open nothing.
        fit_printf(info->path, sizeof(info->path), "%s", cfg->master_key.file.ptr);
        return from_file(world, true, vault, out, info);
    }
    const struct err err = from_credential(world, credential_name, vault, out, info);
    if (!failed(err))
        return OK;
    if (err.sys != ENOENT && err.sys != 0)
        return err;
    if (err.sys == 0 && world->env(world, "CREDENTIALS_DIRECTORY") != NULL)
        return err; // it is there and is no key
    *info = (struct master_info){ .source = MASTER_FILE };
    if (!set_path(info, cfg->state_dir.ptr, file_name))
        return ERR(CONFIG);
    const struct err found = from_file(world, true, vault, out, info);
    if (!failed(found) || found.sys != ENOENT)
        return found;
    info->why[0] = '\0';
    TRY(generate(cfg->state_dir.ptr, env, info));
    return from_file(world, true, vault, out, info);
}

// Where the process listens, and the certificates of listeners that speak TLS.
#include "process.h"

#include "penstock/base/check.h"
#include "penstock/net/certs.h"

#include <arpa/inet.h>
#include <sys/stat.h>
#include <unistd.h>

bool resolve_listener(struct span address, union listen_addr *out)
{
    struct config_address parts;
    if (config_address_parse(address, &parts) != NULL)
        return false;
    struct span host = parts.host;
    memset(out, 0, sizeof(*out));
    if (parts.is_unix) {
        out->local.sun_family = AF_UNIX;
        assert(host.len < sizeof(out->local.sun_path));
        memcpy(out->local.sun_path, host.ptr, host.len);
        return true;
    }
    if (host.len == 0)
        host = SPAN("0.0.0.0");
    if (span_eq(host, SPAN("localhost")))
        host = SPAN("127.0.0.1");
    char text[INET6_ADDRSTRLEN];
    memcpy(text, host.ptr, host.len);
    text[host.len] = '\0';
    if (inet_pton(AF_INET, text, &out->v4.sin_addr) == 1) {
        out->v4.sin_family = AF_INET;
        out->v4.sin_port = htons(parts.port);
        return true;
    }
    out->v6.sin6_family = AF_INET6;
    out->v6.sin6_port = htons(parts.port);
    return inet_pton(AF_INET6, text, &out->v6.sin6_addr) == 1;
}

bool process_load_certs(struct process *process, const struct config_listener *listener,
                        struct certs **certs)
{
    const struct config_tls *tls = listener->tls.items;
    const uint32_t count = listener->tls.count;
    if (count == 0)
        return true;
    struct span paths[CERTS_MAX][2];
    char why[TLS_WHY_MAX] = "there are too many certificates";
    if (*certs == NULL && failed(certs_new(certs)))
        return false;
    for (uint32_t i = 0; i < count && count <= CERTS_MAX; i++)
        paths[i][0] = tls[i].cert, paths[i][1] = tls[i].key;
    if (count > CERTS_MAX || failed(certs_load_files(*certs, paths, count, env_system(), why))) {
        log_say(&process->log, LOG_ERROR, "the certificates of %.*s: %s",
                (int)listener->address.len, listener->address.ptr, why);
        return false;
    }
    return true;
}

static bool reload(struct process *process, const struct objects *list, struct certs **certs,
                   uint32_t count)
{
    bool good = true;
    for (uint32_t i = 0; i < list->count && i < count; i++) {
        if (certs[i] == NULL)
            continue;
        const struct config_listener *listener = &((const struct config_listener *)list->items)[i];
        const bool loaded = process_load_certs(process, listener, &certs[i]);
        if (loaded)
            log_say(&process->log, LOG_INFO, "the certificates of %.*s were read again",
                    (int)listener->address.len, listener->address.ptr);
        good &= loaded;
    }
    return good;
}

bool process_reload_certs(struct process *process)
{
    const bool data =
        reload(process, &process->cfg->listen.data, process->certs, process->listen_count);
    return reload(process, &process->cfg->listen.admin, process->admin_certs,
                  ADMIN_LISTENERS_MAX) &&
           data;
}

static bool certificate_of(const struct objects *list, struct certs *const *certs, uint32_t count,
                           uint32_t *index, struct view_cert *out)
{
    uint64_t expires_ns[CERTS_MAX];
    for (uint32_t i = 0; i < list->count && i < count; i++) {
        const uint32_t have = certs[i] != NULL ? certs_expiries(certs[i], expires_ns) : 0;
        if (*index >= have) {
            *index -= have;
            continue;
        }
        const struct span address = ((const struct config_listener *)list->items)[i].address;
        char which[16] = "";
        if (*index > 0)
            fit_printf(which, sizeof(which), "/%u", *index + 1);
        fit_printf(out->name, sizeof(out->name), "%.*s%s", (int)min_size(address.len, 72),
                   address.ptr, which);
        out->expires_ns = expires_ns[*index];
        return true;
    }
    return false;
}

bool process_certificate(void *arg, uint32_t index, struct view_cert *out)
{
    const struct process *process = arg;
    return certificate_of(&process->cfg->listen.data, process->certs, process->listen_count, &index,
                          out) ||
           certificate_of(&process->cfg->listen.admin, process->admin_certs, ADMIN_LISTENERS_MAX,
                          &index, out);
}

void process_rotate_tickets(struct process *process)
{
    for (uint32_t i = 0; i < process->listen_count; i++)
        if (process->certs[i] != NULL)
            certs_rotate_tickets(process->certs[i], env_system());
    for (uint32_t i = 0; i < ADMIN_LISTENERS_MAX; i++)
        if (process->admin_certs[i] != NULL)
            certs_rotate_tickets(process->admin_certs[i], env_system());
}

bool process_may_listen(struct process *process, struct span text, const union listen_addr *addr)
{
    struct err err = io_address_free(&addr->any, listen_addr_len(addr));
    if (failed(err))
        log_say(&process->log, LOG_ERROR, "cannot listen on %.*s: %s", (int)text.len, text.ptr,
                strerror(err.sys));
    return !failed(err);
}

bool process_may_listen_all(struct process *process)
{
    const struct config_listener *listeners = process->cfg->listen.data.items;
    for (uint32_t i = 0; i < process->listen_count; i++)
        if (!process_may_listen(process, listeners[i].address, &process->listen[i]))
            return false;
    return true;
}

void process_note_socket(struct process *process, const union listen_addr *addr)
{
    struct stat file;
    if (addr->any.sa_family != AF_UNIX || lstat(addr->local.sun_path, &file) != 0)
        return;
    assert(process->socket_count < ARRAY_LEN(process->sockets));
    struct socket_file *socket = &process->sockets[process->socket_count++];
    memcpy(socket->path, addr->local.sun_path, sizeof(socket->path));
    socket->dev = file.st_dev;
    socket->ino = file.st_ino;
}

void process_remove_sockets(struct process *process)
{
    for (uint32_t i = 0; i < process->socket_count; i++) {
        const struct socket_file *socket = &process->sockets[i];
        struct stat file;
        if (lstat(socket->path, &file) == 0 && file.st_dev == socket->dev &&
            file.st_ino == socket->ino)
            (void)unlink(socket->path);
    }
    process->socket_count = 0;
}

bool process_take_listeners(struct process *process)
{
    const struct objects *data = &process->cfg->listen.data;
    for (uint32_t i = 0; i < data->count; i++) {
        const struct config_listener *listener = &((const struct config_listener *)data->items)[i];
        if (process->listen_count == PROCESS_LISTEN_MAX ||
            !resolve_listener(listener->address, &process->listen[process->listen_count])) {
            log_say(&process->log, LOG_ERROR, "cannot listen on %.*s", (int)listener->address.len,
                    listener->address.ptr);
            return false;
        }
        const uint32_t idx = process->listen_count++;
        if (!process_load_certs(process, listener, &process->certs[idx]))
            return false;
    }
    return true;
}

void process_free_certs(struct process *process)
{
    for (uint32_t i = 0; i < PROCESS_LISTEN_MAX; i++)
        if (process->certs[i] != NULL)
            certs_free(&process->certs[i]);
    for (uint32_t i = 0; i < ADMIN_LISTENERS_MAX; i++)
        if (process->admin_certs[i] != NULL)
            certs_free(&process->admin_certs[i]);
}

// admin.h - the admin API over HTTP: on the admin listeners with tokens, on the Unix socket for the
// operator of this machine without.
//
// Served by the control thread with the same code as the data listeners. The Unix socket is open to
// its owner and root alone, by its mode and again by who the kernel says the peer is.
#ifndef PENSTOCK_CTL_ADMIN_H
#define PENSTOCK_CTL_ADMIN_H

#include "penstock/ctl/api.h"
#include "penstock/http/server.h"

enum { ADMIN_LISTENERS_MAX = 4, ADMIN_CONNECTIONS = 64, ADMIN_REQUESTS = 128 };

struct admin {
    struct net *net;
    struct api *api;
    struct http_app remote, local;
    struct server servers[ADMIN_LISTENERS_MAX];
    uint32_t server_count;
    struct server socket;
    bool has_socket;
    struct slab reqs;
    struct list live;
    uint32_t count;
};

void admin_init(struct admin *admin, struct net *net, struct api *api);
must_use struct err admin_listen(struct admin *admin, const struct sockaddr *addr, socklen_t len);
// `path` fits a socket address. RUNNING: another process answers there.
must_use struct err admin_listen_socket(struct admin *admin, const char *path);
// Stops accepting; what was answered still leaves.
void admin_drain(struct admin *admin);
// Closes everything; calls under way go on, and their answers are dropped.
void admin_stop(struct admin *admin);
bool admin_is_idle(const struct admin *admin);
// After admin_is_idle(), and when the registry is busy no more.
void admin_fini(struct admin *admin);

#endif

#include "penstock/ctl/notify.h"

#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

bool notify_send(struct config_world *world, const char *state)
{
    const char *path = world->env(world, "NOTIFY_SOCKET");
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    if (path == NULL || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof(addr.sun_path))
        return false;
    const size_t len = strlen(path);
    memcpy(addr.sun_path, path, len);
    if (path[0] == '@')
        addr.sun_path[0] = '\0'; // Linux's abstract names
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    const socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    const ssize_t sent =
        sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&addr, size);
    close(fd);
    return sent >= 0;
}

uint64_t notify_watchdog_ns(struct config_world *world)
{
    const char *text = world->env(world, "WATCHDOG_USEC");
    const char *pid = world->env(world, "WATCHDOG_PID");
    uint64_t us, number;
    if (text == NULL || !span_u64(span_str(text), &us) || us > UINT64_MAX / NS_PER_US)
        return 0;
    if (pid != NULL && (!span_u64(span_str(pid), &number) || number != (uint64_t)getpid()))
        return 0; // meant for another process
    return us * NS_PER_US;
}

// notify.h - tells the service manager how the process is: systemd's datagrams, without its
// library.
#ifndef PENSTOCK_CTL_NOTIFY_H
#define PENSTOCK_CTL_NOTIFY_H

#include "penstock/ctl/config.h"

// Sends `state` ("READY=1", ...) to $NOTIFY_SOCKET. True if somebody was told; false without one.
bool notify_send(struct config_world *world, const char *state);
// How often WATCHDOG=1 is expected from this process, 0: never.
uint64_t notify_watchdog_ns(struct config_world *world);

#endif

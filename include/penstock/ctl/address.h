// address.h - where an account that did not come from the configuration file may be.
//
// Public addresses, and private ones that upstream.allow_cidr names; link-local ones never: they
// are where cloud machines keep their credentials.
#ifndef PENSTOCK_CTL_ADDRESS_H
#define PENSTOCK_CTL_ADDRESS_H

#include "penstock/ctl/config.h"
#include "penstock/net/dest.h"

// `addr` is 4 bytes with AF_INET, 16 with AF_INET6.
bool address_is_link_local(int family, const uint8_t *addr);
// Loopback, private, shared, unspecified, multicast, reserved, and IPv4 in IPv6's clothes.
bool address_is_private(int family, const uint8_t *addr);
bool address_in(struct strings ranges, int family, const uint8_t *addr);

// For dest_key.allow. The argument points to the pointer to the configuration in force: a
// destination outlives it.
bool address_allow(void *config_ptr, const union dest_addr *addr);

#endif

// crc32c.h - the Castagnoli checksum (RFC 3720), with the processor's instruction where there is
// one.
#ifndef PENSTOCK_STORE_CRC32C_H
#define PENSTOCK_STORE_CRC32C_H

#include "penstock/base/base.h"

uint32_t crc32c(struct span bytes);
// The checksum of what `crc` is the checksum of, with `more` behind it.
uint32_t crc32c_more(uint32_t crc, struct span more);
// The portable twin, for the test that compares them.
uint32_t crc32c_portable(uint32_t crc, struct span more);

#endif

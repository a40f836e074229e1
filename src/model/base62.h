// base62.h - numbers of many bytes as digits, capitals and small letters, of a fixed width.
#ifndef PENSTOCK_MODEL_BASE62_H
#define PENSTOCK_MODEL_BASE62_H

#include "penstock/base/base.h"

enum { BASE62_BYTES_MAX = 32 };

// Writes `bytes`, a number with the most significant byte first, as `width` characters with zeros
// in front. `width` must be enough for any number of that length, which is asserted.
void base62_write(const uint8_t *bytes, size_t len, char *out, size_t width);
// 0..61, or 255 for a byte that is no digit; without a branch on the byte.
uint8_t base62_digit(unsigned char byte);

#endif

// bytes.h - numbers in stored keys and values. Keys are big-endian, so that their order is that of
// the numbers; values are little-endian words and variable-length numbers of seven bits a byte.
//
// Writers append to memory that the caller has measured; readers are bounded and remember failure,
// so that a decoder checks once at its end.
#ifndef PENSTOCK_STORE_BYTES_H
#define PENSTOCK_STORE_BYTES_H

#include "penstock/base/base.h"

enum { VARINT_MAX = 10 };

static inline uint8_t *put_be16(uint8_t *at, uint16_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
    return at + 2;
}

static inline uint8_t *put_be32(uint8_t *at, uint32_t value)
{
    value = __builtin_bswap32(value);
    memcpy(at, &value, sizeof(value));
    return at + sizeof(value);
}

static inline uint8_t *put_be64(uint8_t *at, uint64_t value)
{
    value = __builtin_bswap64(value);
    memcpy(at, &value, sizeof(value));
    return at + sizeof(value);
}

static inline uint16_t get_be16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static inline uint32_t get_be32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof(value));
    return __builtin_bswap32(value);
}

static inline uint64_t get_be64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof(value));
    return __builtin_bswap64(value);
}

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "stored values are little-endian; this machine needs swaps in bytes.h"
#endif

static inline uint8_t *put_bytes(uint8_t *at, const void *from, size_t len)
{
    if (len > 0)
        memcpy(at, from, len);
    return at + len;
}

static inline uint8_t *put_le32(uint8_t *at, uint32_t value)
{
    return put_bytes(at, &value, sizeof(value));
}

static inline uint8_t *put_le64(uint8_t *at, uint64_t value)
{
    return put_bytes(at, &value, sizeof(value));
}

static inline uint8_t *put_var(uint8_t *at, uint64_t value)
{
    while (value >= 0x80) {
        *at++ = (uint8_t)value | 0x80;
        value >>= 7;
    }
    *at++ = (uint8_t)value;
    return at;
}

// Small negative numbers are short too.
static inline uint64_t zigzag(int64_t value)
{
    return (uint64_t)value << 1 ^ (value < 0 ? UINT64_MAX : 0);
}

static inline int64_t unzigzag(uint64_t value)
{
    return (int64_t)(value >> 1 ^ (0 - (value & 1)));
}

struct reader {
    const uint8_t *at, *end;
    bool bad;
};

static inline struct reader reader_of(struct span bytes)
{
    const uint8_t *at = (const uint8_t *)bytes.ptr;
    return (struct reader){ at, at + bytes.len, false };
}

// The next `len` bytes, or NULL (and `bad`) if there are fewer.
static inline const uint8_t *get_bytes(struct reader *reader, size_t len)
{
    if (reader->bad || (size_t)(reader->end - reader->at) < len) {
        reader->bad = true;
        return NULL;
    }
    const uint8_t *at = reader->at;
    reader->at += len;
    return at;
}

static inline void get_copy(struct reader *reader, void *out, size_t len)
{
    const uint8_t *at = get_bytes(reader, len);
    if (at == NULL)
        memset(out, 0, len);
    else
        memcpy(out, at, len);
}

static inline uint8_t get_u8(struct reader *reader)
{
    const uint8_t *at = get_bytes(reader, 1);
    return at != NULL ? *at : 0;
}

static inline uint32_t get_u32(struct reader *reader)
{
    uint32_t value;
    get_copy(reader, &value, sizeof(value));
    return value;
}

static inline uint64_t get_u64(struct reader *reader)
{
    uint64_t value;
    get_copy(reader, &value, sizeof(value));
    return value;
}

static inline uint64_t get_var_long(struct reader *reader)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = get_u8(reader);
        if (shift == 63 && byte > 1)
            break; // does not fit 64 bits
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return value;
    }
    reader->bad = true;
    return 0;
}

static inline uint64_t get_var(struct reader *reader)
{
    if (likely(!reader->bad && reader->at < reader->end && *reader->at < 0x80))
        return *reader->at++; // most numbers are small
    return get_var_long(reader);
}

// A variable-length number that must fit `max`.
static inline uint64_t get_var_max(struct reader *reader, uint64_t max)
{
    uint64_t value = get_var(reader);
    if (value > max)
        reader->bad = true;
    return value > max ? 0 : value;
}

#endif

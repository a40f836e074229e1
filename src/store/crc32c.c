#include "penstock/store/crc32c.h"

// Four bits at a time: small enough to be read, fast enough for a machine without the instruction.
uint32_t crc32c_portable(uint32_t crc, struct span more)
{
    static const uint32_t nibble[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
        0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
        0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };
    crc = ~crc;
    for (size_t i = 0; i < more.len; i++) {
        crc ^= (unsigned char)more.ptr[i];
        crc = (crc >> 4) ^ nibble[crc & 15];
        crc = (crc >> 4) ^ nibble[crc & 15];
    }
    return ~crc;
}

#if defined(__x86_64__)

__attribute__((target("sse4.2"))) static uint32_t crc32c_instruction(uint32_t start,
                                                                     struct span more)
{
    uint64_t crc = ~start;
    const char *at = more.ptr, *end = more.ptr + more.len;
    for (; end - at >= 8; at += 8) {
        uint64_t word;
        memcpy(&word, at, sizeof(word));
        crc = __builtin_ia32_crc32di(crc, word);
    }
    for (; at < end; at++)
        crc = __builtin_ia32_crc32qi((uint32_t)crc, (unsigned char)*at);
    return ~(uint32_t)crc;
}

uint32_t crc32c_more(uint32_t crc, struct span more)
{
    return __builtin_cpu_supports("sse4.2") ? crc32c_instruction(crc, more)
                                            : crc32c_portable(crc, more);
}

#else

uint32_t crc32c_more(uint32_t crc, struct span more)
{
    return crc32c_portable(crc, more);
}

#endif

uint32_t crc32c(struct span bytes)
{
    return crc32c_more(0, bytes);
}

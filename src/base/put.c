#include "penstock/base/put.h"

// Two digits a division: "00" to "99".
static const char pairs[201] = "00010203040506070809101112131415161718192021222324"
                               "25262728293031323334353637383940414243444546474849"
                               "50515253545556575859606162636465666768697071727374"
                               "75767778798081828384858687888990919293949596979899";

// How many digits the value has: the power of ten that its bits allow, one less if it is smaller.
static unsigned digits_of(uint64_t value)
{
    static const uint64_t powers[] = {
        0,
        UINT64_C(10),
        UINT64_C(100),
        UINT64_C(1000),
        UINT64_C(10000),
        UINT64_C(100000),
        UINT64_C(1000000),
        UINT64_C(10000000),
        UINT64_C(100000000),
        UINT64_C(1000000000),
        UINT64_C(10000000000),
        UINT64_C(100000000000),
        UINT64_C(1000000000000),
        UINT64_C(10000000000000),
        UINT64_C(100000000000000),
        UINT64_C(1000000000000000),
        UINT64_C(10000000000000000),
        UINT64_C(100000000000000000),
        UINT64_C(1000000000000000000),
        UINT64_C(10000000000000000000),
    };
    const unsigned bits = 64 - (unsigned)__builtin_clzll(value | 1);
    const unsigned tens = bits * 1233 >> 12; // the logarithm of two, in 4096ths
    return tens + 1 - (value < powers[tens]);
}

static bool take_room(struct put *put, size_t len)
{
    put->full |= (size_t)(put->end - put->at) < len;
    return !put->full;
}

// The last `count` digits, ending before `end`.
static void digits_before(char *end, uint64_t value, unsigned count)
{
    for (; count >= 2; count -= 2) {
        end -= 2;
        memcpy(end, pairs + value % 100 * 2, 2);
        value /= 100;
    }
    if (count > 0)
        end[-1] = (char)('0' + value % 10);
}

void put_u64(struct put *put, uint64_t value)
{
    if (value < 10 && take_room(put, 1)) { // as most are
        *put->at++ = (char)('0' + value);
        return;
    }
    put_padded(put, value, digits_of(value));
}

void put_padded(struct put *put, uint64_t value, unsigned count)
{
    if (!take_room(put, count))
        return;
    put->at += count;
    digits_before(put->at, value, count);
}

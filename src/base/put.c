#include "penstock/base/put.h"

// Two digits a division: "00" to "99".
static const char pairs[201] = "00010203040506070809101112131415161718192021222324"
                               "25262728293031323334353637383940414243444546474849"
                               "50515253545556575859606162636465666768697071727374"
                               "75767778798081828384858687888990919293949596979899";

void put_u64(struct put *put, uint64_t value)
{
    char digits[20];
    size_t at = sizeof(digits);
    while (value >= 100) {
        at -= 2;
        memcpy(digits + at, pairs + value % 100 * 2, 2);
        value /= 100;
    }
    if (value >= 10) {
        at -= 2;
        memcpy(digits + at, pairs + value * 2, 2);
    } else {
        digits[--at] = (char)('0' + value);
    }
    put_span(put, span_of(digits + at, sizeof(digits) - at));
}

void put_padded(struct put *put, uint64_t value, unsigned count)
{
    char digits[20];
    for (unsigned at = count; at-- > 0; value /= 10)
        digits[at] = (char)('0' + value % 10);
    put_span(put, span_of(digits, count));
}

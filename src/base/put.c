#include "penstock/base/put.h"

void put_u64(struct put *put, uint64_t value)
{
    enum { DIGITS_MAX = 20 };
    char digits[2 * DIGITS_MAX]; // the second half is only copied, to copy a fixed length
    size_t at = DIGITS_MAX;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    if (unlikely(put->full || put->end - put->at < DIGITS_MAX)) {
        put_span(put, span_of(digits + at, DIGITS_MAX - at));
        return;
    }
    memcpy(put->at, digits + at, DIGITS_MAX);
    put->at += DIGITS_MAX - at;
}

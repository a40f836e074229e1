#include "penstock/base/put.h"

void put_u64(struct put *put, uint64_t value)
{
    char digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    put_span(put, span_of(digits + at, sizeof(digits) - at));
}

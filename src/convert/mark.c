#include "penstock/convert/mark.h"

#include "penstock/base/check.h"

typedef uint8_t lanes __attribute__((vector_size(16)));

static inline lanes lanes_at(const char *at)
{
    lanes out;
    memcpy(&out, at, sizeof(out));
    return out;
}

static size_t find_plainly(struct span text, size_t from, size_t len, struct span mark)
{
    const char *found = memmem(text.ptr + from, len, mark.ptr, mark.len);
    return found != NULL ? (size_t)(found - text.ptr) : text.len;
}

// Every body that passes is searched, so the common step looks for the mark's last two bytes in 64
// places at once.
size_t mark_find(struct span text, struct span mark)
{
    enum { STEP = 64 };
    assert(mark.len >= 2);
    const lanes one = (lanes){ 0 } + (uint8_t)mark.ptr[mark.len - 2];
    const lanes two = (lanes){ 0 } + (uint8_t)mark.ptr[mark.len - 1];
    const size_t lead = mark.len - 2, window = lead + STEP + 1;
    if (text.len < window)
        return text.len > 0 ? find_plainly(text, 0, text.len, mark) : 0;
    const size_t last = text.len - window; // the last step overlaps the one before
    for (size_t at = 0;; at = min_size(at + STEP, last)) {
        const char *from = text.ptr + at + lead;
        lanes found = { 0 };
        for (unsigned i = 0; i < STEP; i += sizeof(lanes))
            found |= (lanes)((lanes_at(from + i) == one) & (lanes_at(from + i + 1) == two));
        uint64_t halves[2];
        memcpy(halves, &found, sizeof(halves));
        if (unlikely((halves[0] | halves[1]) != 0)) {
            const size_t place = find_plainly(text, at, window, mark);
            if (place < text.len)
                return place;
        }
        if (at == last)
            return text.len;
    }
}

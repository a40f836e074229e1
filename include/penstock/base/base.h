// base.h - the few words every file needs: spans, attributes, small arithmetic.
#ifndef PENSTOCK_BASE_BASE_H
#define PENSTOCK_BASE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define must_use __attribute__((warn_unused_result))
#define hot __attribute__((hot))
#define cold __attribute__((cold, noinline))
// Compiles what a function calls into it: for the few that every event passes through, where calls
// cost more than what they do. What is rare among the callees is `cold` or `apart`.
#define flat __attribute__((flatten))
#define apart __attribute__((noinline))
// For a large local that is written before it is read: the build zeroes all others, which for some
// kilobytes costs more than the function around them.
#define uninitialized __attribute__((uninitialized))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define printf_like(fmt, args) __attribute__((format(printf, fmt, args)))

#define BIT(n) (1u << (n))
#define ARRAY_LEN(array) (sizeof(array) / sizeof((array)[0]))
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

enum { CACHE_LINE = 64, KIB = 1024, MIB = 1024 * 1024 };
#define NS_PER_US UINT64_C(1000)
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S UINT64_C(1000000000)

// A view of bytes that somebody else keeps. The holder of a span says, in a comment, who.
struct span {
    const char *ptr;
    size_t len;
};

#define SPAN_NONE ((struct span){ NULL, 0 })
// A span over a string literal.
#define SPAN(literal) ((struct span){ "" literal, sizeof(literal) - 1 })

static inline struct span span_of(const void *ptr, size_t len)
{
    return (struct span){ (const char *)ptr, len };
}

static inline struct span span_str(const char *text)
{
    return (struct span){ text, strlen(text) };
}

static inline bool span_eq(struct span a, struct span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

// The same in line, for names: short, and of a length that only the caller's data knows.
static inline bool span_eq_name(struct span a, struct span b)
{
    if (a.len != b.len)
        return false;
    uint64_t x, y;
    uint32_t short_x, short_y;
    size_t i = 0;
    if (a.len >= sizeof(x)) { // the last word overlaps the one before
        for (; i + sizeof(x) < a.len; i += sizeof(x)) {
            memcpy(&x, a.ptr + i, sizeof(x));
            memcpy(&y, b.ptr + i, sizeof(y));
            if (x != y)
                return false;
        }
        memcpy(&x, a.ptr + a.len - sizeof(x), sizeof(x));
        memcpy(&y, b.ptr + a.len - sizeof(y), sizeof(y));
        return x == y;
    }
    if (a.len >= sizeof(short_x)) {
        memcpy(&short_x, a.ptr, sizeof(short_x));
        memcpy(&short_y, b.ptr, sizeof(short_y));
        if (short_x != short_y)
            return false;
        i = a.len - sizeof(short_x);
        memcpy(&short_x, a.ptr + i, sizeof(short_x));
        memcpy(&short_y, b.ptr + i, sizeof(short_y));
        return short_x == short_y;
    }
    for (; i < a.len; i++)
        if (a.ptr[i] != b.ptr[i])
            return false;
    return true;
}

// Compares without regard to the case of ASCII letters.
bool span_eq_nocase(struct span a, struct span b);

static inline bool span_starts(struct span text, struct span prefix)
{
    return text.len >= prefix.len && memcmp(text.ptr, prefix.ptr, prefix.len) == 0;
}

// The rest of `text` from byte `skip` on; `skip` may not exceed its length.
static inline struct span span_from(struct span text, size_t skip)
{
    return (struct span){ text.ptr + skip, text.len - skip };
}

static inline struct span span_upto(struct span text, size_t len)
{
    return (struct span){ text.ptr, len };
}

// Position of the first `byte` in `text`, or text.len if there is none.
static inline size_t span_find(struct span text, char byte)
{
    const char *at = text.len > 0 ? memchr(text.ptr, byte, text.len) : NULL;
    return at != NULL ? (size_t)(at - text.ptr) : text.len;
}

// `text` without spaces and tabs at either end.
struct span span_trim(struct span text);

// A decimal number of digits only that fits 64 bits; false for anything else, the empty text too.
must_use bool span_u64(struct span text, uint64_t *out);

static inline size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}
static inline size_t max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}
static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}
static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}
static inline size_t round_up(size_t value, size_t unit)
{
    return (value + unit - 1) / unit * unit;
}

#endif

// body.h - a message body that is collected whole, in contiguous memory that sends may refer to.
//
// A body is a buffer like any other to those who send it: its `buf` counts references, and the
// memory goes back when the last one is dropped, be it the request's or a send's.
#ifndef PENSTOCK_NET_BODY_H
#define PENSTOCK_NET_BODY_H

#include "penstock/net/net.h"

struct body {
    struct buf buf; // data and cap are the extent's; one reference belongs to the taker
    struct extent extent;
    struct net *net;
    uint32_t charged;
};

// A body with room for `len` bytes; NULL when memory or the slab is exhausted.
must_use struct body *body_take(struct net *net, size_t len);
// More room. The address may change, so nobody else may hold a reference.
must_use bool body_grow(struct body *body, size_t len);
// A body of memory that was taken elsewhere, which it owns from now on; NULL when the slab is
// exhausted: then the extent stays the caller's.
must_use struct body *body_adopt(struct net *net, struct extent *extent);
// After somebody else made body->extent larger.
void body_grown(struct body *body);
static inline void body_put(struct body *body)
{
    buf_put(&body->buf);
}

#endif

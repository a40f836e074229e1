#include "penstock/net/body.h"

#include "penstock/base/check.h"

static void on_free(struct buf *buf)
{
    struct body *body = container_of(buf, struct body, buf);
    struct net *net = body->net;
    budget_charge(&net->budget, &body->charged, -(int64_t)body->charged);
    extent_give(&net->extents, &body->extent);
    slab_give(&net->bodies, body);
}

void body_grown(struct body *body)
{
    body->buf.data = body->extent.ptr;
    body->buf.cap = (uint32_t)body->extent.len;
    // What its memory held for the body before it counts too: it is resident.
    int64_t delta = (int64_t)extent_bytes(&body->extent) - (int64_t)body->charged;
    budget_charge(&body->net->budget, &body->charged, delta);
}

struct body *body_take(struct net *net, size_t len)
{
    struct body *body = slab_take(&net->bodies);
    if (body == NULL)
        return NULL;
    *body = (struct body){ .buf = { .refs = 1, .on_free = on_free }, .net = net };
    if (!extent_take(&net->extents, &body->extent, len)) {
        slab_give(&net->bodies, body);
        return NULL;
    }
    body_grown(body);
    net_wake_trim(net);
    return body;
}

struct body *body_adopt(struct net *net, struct extent *extent)
{
    struct body *body = slab_take(&net->bodies);
    if (body == NULL)
        return NULL;
    *body = (struct body){ .buf = { .refs = 1, .on_free = on_free }, .net = net };
    body->extent = *extent;
    *extent = (struct extent){ 0 };
    body_grown(body);
    net_wake_trim(net);
    return body;
}

bool body_grow(struct body *body, size_t len)
{
    assert(body->buf.refs == 1);
    if (!extent_grow(&body->net->extents, &body->extent, len))
        return false;
    body_grown(body);
    return true;
}

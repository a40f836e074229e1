#include "unpack.h"

#include "penstock/base/check.h"

enum { UNPACK_FIRST = 64 * KIB };
#define UNPACK_ANSWER_MAX (UINT64_C(1) << 40) // it passes through and is never held

static void charge(struct req *req)
{
    struct unpack *unpack = req->unpack;
    int64_t held = (int64_t)inflate_memory(&unpack->inflate);
    budget_charge(&req->shard->net.budget, &unpack->charged, held - (int64_t)unpack->charged);
}

struct err unpack_begin(struct req *req, enum coding coding, bool is_answer)
{
    assert(req->unpack == NULL);
    struct unpack *unpack = slab_take(&req->shard->unpacks);
    if (unpack == NULL)
        return ERR(OVERLOADED);
    memset(unpack, 0, sizeof(*unpack));
    uint64_t most = is_answer ? UNPACK_ANSWER_MAX : req->shard->shared->relay->body_bytes;
    struct err err = inflate_open(&unpack->inflate, coding, is_answer, most);
    if (failed(err)) {
        slab_give(&req->shard->unpacks, unpack);
        return err;
    }
    unpack->is_answer = is_answer;
    unpack->rest = is_answer ? SPAN_NONE : req->stream->body;
    req->unpack = unpack;
    return OK;
}

void unpack_end(struct req *req)
{
    struct unpack *unpack = req->unpack;
    if (unpack == NULL)
        return;
    budget_charge(&req->shard->net.budget, &unpack->charged, -(int64_t)unpack->charged);
    inflate_close(&unpack->inflate);
    if (unpack->body != NULL)
        body_put(unpack->body);
    slab_give(&req->shard->unpacks, unpack);
    req->unpack = NULL;
}

static bool make_room(struct req *req)
{
    struct unpack *unpack = req->unpack;
    if (unpack->body == NULL)
        unpack->body = body_take(&req->shard->net, UNPACK_FIRST);
    if (unpack->body == NULL)
        return false;
    return unpack->len < unpack->body->buf.cap || body_grow(unpack->body, unpack->len * 2);
}

enum parse unpack_body(struct req *req, struct err *err)
{
    struct unpack *unpack = req->unpack;
    size_t work = 0;
    while (work < INFLATE_STEP) {
        if (!make_room(req)) {
            *err = ERR(OVERLOADED);
            return PARSE_BAD;
        }
        size_t made = 0, before = unpack->rest.len;
        enum parse parse =
            inflate_feed(&unpack->inflate, &unpack->rest, unpack->body->buf.data + unpack->len,
                         unpack->body->buf.cap - unpack->len, &made);
        charge(req);
        unpack->len += made;
        work += made + (before - unpack->rest.len);
        if (parse == PARSE_BAD) {
            *err = unpack->inflate.err;
            return PARSE_BAD;
        }
        if (parse == PARSE_MORE) {
            *err = inflate_end(&unpack->inflate);
            if (failed(*err))
                return PARSE_BAD;
            stream_body_replace(req->stream, unpack->body, unpack->len);
            unpack->body = NULL;
            unpack_end(req);
            return PARSE_DONE;
        }
    }
    return PARSE_MORE;
}

enum parse unpack_piece(struct req *req, struct span *in, struct seg *out, struct err *err)
{
    struct unpack *unpack = req->unpack;
    assert(unpack->is_answer);
    struct buf *buf = bufpool_take(req->shard->net.bufs, BUF_LARGE);
    if (buf == NULL) {
        *err = ERR(OVERLOADED);
        return PARSE_BAD;
    }
    size_t made = 0;
    enum parse parse;
    do
        parse = inflate_feed(&unpack->inflate, in, buf->data, buf->cap, &made);
    while (parse == PARSE_DATA && made == 0);
    charge(req);
    if (parse == PARSE_DATA) {
        *out = (struct seg){ buf, buf->data, (uint32_t)made };
        return PARSE_DATA;
    }
    buf_put(buf);
    if (parse == PARSE_BAD)
        *err = unpack->inflate.err;
    return parse;
}

#include "penstock/codec/inflate.h"

#include "penstock/base/check.h"
#include "penstock/base/guard.h"

#define ZLIB_CONST // the input is not written to
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

struct err coding_find(const struct http_head *head, enum coding *out)
{
    *out = CODING_IDENTITY;
    const struct http_field *field = http_field_find(head, HF_CONTENT_ENCODING);
    for (; field != NULL; field = http_field_next(head, field)) {
        struct span list = field->value, member;
        while (http_list_next(&list, &member)) {
            if (span_eq_nocase(member, SPAN("identity")))
                continue;
            enum coding coding = CODING_IDENTITY;
            if (span_eq_nocase(member, SPAN("gzip")) || span_eq_nocase(member, SPAN("x-gzip")))
                coding = CODING_GZIP;
            else if (span_eq_nocase(member, SPAN("zstd")))
                coding = CODING_ZSTD;
            // A second layer could grow a small body by the square of one layer's ratio.
            if (coding == CODING_IDENTITY || (*out != CODING_IDENTITY && GUARD(INFLATE_LAYERS)))
                return head->status != 0 ? ERR(UPSTREAM_ENCODING) : ERR(BODY_ENCODING);
            *out = coding;
        }
    }
    return OK;
}

static z_stream *gzip_of(struct inflate *inf)
{
    _Static_assert(sizeof(z_stream) <= sizeof(inf->gzip), "a z_stream fits");
    return (z_stream *)(void *)inf->gzip;
}

struct err inflate_open(struct inflate *inf, enum coding coding, bool is_answer, uint64_t out_max)
{
    assert(coding != CODING_IDENTITY);
    assert(out_max < UINT64_MAX);
    *inf = (struct inflate){ .coding = coding, .is_answer = is_answer, .out_max = out_max };
    if (coding == CODING_GZIP) {
        // 16: a gzip wrapper and no other, its checksum verified.
        if (inflateInit2(gzip_of(inf), MAX_WBITS + 16) == Z_OK)
            return OK;
    } else {
        inf->zstd = ZSTD_createDStream();
        if (inf->zstd != NULL) {
            const size_t got =
                ZSTD_DCtx_setParameter(inf->zstd, ZSTD_d_windowLogMax, INFLATE_WINDOW_LOG_MAX);
            verify(!ZSTD_isError(got));
            return OK;
        }
    }
    inf->coding = CODING_IDENTITY; // nothing to close
    return ERR(NO_MEMORY);
}

void inflate_close(struct inflate *inf)
{
    switch (inf->coding) {
    case CODING_IDENTITY: break;
    case CODING_GZIP: verify(inflateEnd(gzip_of(inf)) == Z_OK); break;
    case CODING_ZSTD: ZSTD_freeDStream(inf->zstd); break;
    }
    inf->zstd = NULL;
    inf->coding = CODING_IDENTITY;
}

static struct err decode_error(const struct inflate *inf)
{
    return inf->is_answer ? ERR(UPSTREAM_BODY) : ERR(BODY_DECODE);
}

// One call of a library: moves `in`, tells what was written.
static struct err gzip_step(struct inflate *inf, struct span *in, char *room, size_t room_len,
                            size_t *made)
{
    z_stream *stream = gzip_of(inf);
    stream->next_in = (const Bytef *)in->ptr;
    stream->avail_in = (uInt)in->len;
    stream->next_out = (Bytef *)room;
    stream->avail_out = (uInt)room_len;
    const int got = inflate(stream, Z_NO_FLUSH);
    *in = span_from(*in, in->len - stream->avail_in);
    *made = room_len - stream->avail_out;
    if (got == Z_STREAM_END) {
        verify(inflateReset(stream) == Z_OK); // for a next member
        inf->in_member = false;
        return OK;
    }
    if (got == Z_OK || got == Z_BUF_ERROR) // the latter says no more than that nothing moved
        return OK;
    return got == Z_MEM_ERROR ? ERR(NO_MEMORY) : decode_error(inf);
}

// Whether a frame that has ended is as long as its header says: behind an empty last block the
// library does not ask.
static bool frame_is_whole(const struct inflate *inf)
{
    const uint64_t said = ZSTD_getFrameContentSize(inf->frame_head, inf->frame_head_len);
    return said == ZSTD_CONTENTSIZE_UNKNOWN || said == inf->frame_bytes;
}

static struct err zstd_step(struct inflate *inf, struct span *in, char *room, size_t room_len,
                            size_t *made)
{
    ZSTD_inBuffer from = { in->ptr, in->len, 0 };
    ZSTD_outBuffer to = { room, room_len, 0 };
    const size_t got = ZSTD_decompressStream(inf->zstd, &to, &from);
    if (ZSTD_isError(got)) {
        const bool no_memory = ZSTD_getErrorCode(got) == ZSTD_error_memory_allocation;
        return no_memory ? ERR(NO_MEMORY) : decode_error(inf);
    }
    const size_t head = min_size(from.pos, sizeof(inf->frame_head) - inf->frame_head_len);
    if (head > 0)
        memcpy(inf->frame_head + inf->frame_head_len, in->ptr, head);
    inf->frame_head_len += (uint8_t)head;
    inf->frame_bytes += to.pos;
    *in = span_from(*in, from.pos);
    *made = to.pos;
    if (got > 0)
        return OK;
    if (!frame_is_whole(inf))
        return decode_error(inf);
    inf->in_member = false;
    inf->frame_head_len = 0;
    inf->frame_bytes = 0;
    return OK;
}

// Looks at the first byte of a member. The library also reads formats that were in use before zstd
// was finished; their decoders see few eyes, so they are kept from the network's bytes.
static struct err member_begin(struct inflate *inf, char first)
{
    const unsigned char byte = (unsigned char)first;
    const bool is_frame = byte == 0x28, is_skippable = (byte & 0xf0) == 0x50;
    if (inf->members == INFLATE_MEMBERS_MAX && GUARD(INFLATE_MEMBERS))
        return decode_error(inf);
    if (inf->coding == CODING_ZSTD && !is_frame && !is_skippable)
        return decode_error(inf);
    inf->in_member = true;
    return OK;
}

static struct err bounds_check(const struct inflate *inf)
{
    const uint64_t fair = INFLATE_RATIO_FREE + inf->in_bytes * INFLATE_RATIO_MAX;
    if (inf->out_bytes <= inf->out_max && (inf->out_bytes <= fair || !GUARD(INFLATE_RATIO)))
        return OK;
    return inf->is_answer ? ERR(UPSTREAM_TOO_LARGE) : ERR(BODY_TOO_LARGE);
}

static struct err step(struct inflate *inf, struct span *in, char *room, size_t room_len,
                       size_t *made)
{
    if (!inf->in_member)
        TRY(member_begin(inf, in->ptr[0]));
    // A frame's first byte goes in alone. With the whole frame before it the library would take
    // another path, which knows no bound of the window, and the verdict would depend on the pieces.
    const bool is_first = inf->coding == CODING_ZSTD && inf->frame_head_len == 0;
    struct span part = span_upto(*in, min_size(in->len, is_first ? 1 : INFLATE_STEP));
    // One byte beyond the limit is enough to know that there is more.
    room_len = (size_t)min_u64(min_size(room_len, INFLATE_STEP), inf->out_max - inf->out_bytes + 1);
    if (inf->coding == CODING_GZIP)
        TRY(gzip_step(inf, &part, room, room_len, made));
    else
        TRY(zstd_step(inf, &part, room, room_len, made));
    const size_t taken = (size_t)(part.ptr - in->ptr);
    if (taken == 0 && *made == 0 && part.len > 0)
        return decode_error(inf); // a library that cannot go on would keep the caller calling
    *in = span_from(*in, taken);
    inf->in_bytes += taken;
    inf->out_bytes += *made;
    inf->members += !inf->in_member;
    return bounds_check(inf);
}

enum parse inflate_feed(struct inflate *inf, struct span *in, char *room, size_t room_len,
                        size_t *made)
{
    assert(inf->coding != CODING_IDENTITY);
    assert(room_len > 0);
    *made = 0;
    if (!failed(inf->err)) {
        if (in->len == 0 && !inf->in_member)
            return PARSE_MORE;
        inf->err = step(inf, in, room, room_len, made);
    }
    if (failed(inf->err)) {
        *made = 0;
        return PARSE_BAD;
    }
    return *made == 0 && in->len == 0 ? PARSE_MORE : PARSE_DATA;
}

struct err inflate_end(const struct inflate *inf)
{
    if (failed(inf->err))
        return inf->err;
    if (inf->members > 0 && !inf->in_member)
        return OK;
    return inf->is_answer ? ERR(UPSTREAM_TRUNCATED) : ERR(BODY_DECODE);
}

size_t inflate_memory(const struct inflate *inf)
{
    switch (inf->coding) {
    case CODING_IDENTITY: return 0;
    case CODING_GZIP: return INFLATE_GZIP_MEMORY_MAX; // zlib does not tell
    case CODING_ZSTD: return ZSTD_sizeof_DStream(inf->zstd);
    }
    bug("no such coding");
}

#include "penstock/codec/sse.h"

#include "penstock/base/check.h"
#include "penstock/codec/simd.h"

static enum parse block_end(struct sse_scan *scan, size_t at, size_t *used)
{
    scan->block_count++;
    scan->held = 0;
    scan->end_due = false;
    *used = at;
    return PARSE_DATA;
}

enum parse sse_scan_feed(struct sse_scan *scan, struct span in, size_t *used)
{
    size_t at = 0;
    while (at < in.len) {
        if (scan->after_cr) {
            scan->after_cr = false;
            scan->crlf = in.ptr[at] == '\n';
            at += scan->crlf;
            if (scan->end_due)
                return block_end(scan, at, used);
            continue;
        }
        size_t run = simd_line_run(in.ptr + at, in.len - at);
        scan->in_line |= run > 0;
        at += run;
        if (at == in.len)
            break;
        bool blank = !scan->in_line;
        scan->in_line = false;
        if (in.ptr[at++] == '\n') {
            scan->crlf = false;
            if (blank)
                return block_end(scan, at, used);
            continue;
        }
        scan->after_cr = true;
        scan->end_due = blank && scan->crlf;
        if (blank && !scan->crlf)
            return block_end(scan, at, used);
    }
    scan->held += in.len;
    *used = in.len;
    return PARSE_MORE;
}

// Takes a line, without its end, from the front of `text`.
static struct span take_line(struct span *text)
{
    struct span line = span_upto(*text, simd_line_run(text->ptr, text->len));
    size_t end = line.len;
    if (end < text->len)
        end += text->ptr[end] == '\r' && end + 1 < text->len && text->ptr[end + 1] == '\n' ? 2 : 1;
    *text = span_from(*text, end);
    return line;
}

// What has been read of the data so far.
struct joiner {
    char *buf;
    size_t cap;
    bool whole; // everything fitted
};

static void join_line(struct joiner *join, struct sse_event *event, struct span line)
{
    if (event->data_lines++ == 0) {
        event->data = line;
        return;
    }
    size_t len = event->data.len + 1 + line.len;
    if (len > join->cap) {
        join->whole = false;
        return;
    }
    if (event->data.ptr != join->buf && event->data.len > 0)
        memcpy(join->buf, event->data.ptr, event->data.len);
    join->buf[event->data.len] = '\n';
    if (line.len > 0)
        memcpy(join->buf + event->data.len + 1, line.ptr, line.len);
    event->data = span_of(join->buf, len);
}

bool sse_parse(struct span block, bool first, char *join_buf, size_t cap, struct sse_event *out)
{
    *out = (struct sse_event){ .comment_only = true };
    struct joiner join = { join_buf, cap, true };
    if (first && span_starts(block, SPAN("\xef\xbb\xbf")))
        block = span_from(block, 3);
    while (block.len > 0) {
        struct span line = take_line(&block);
        if (line.len == 0 || line.ptr[0] == ':')
            continue;
        out->comment_only = false;
        size_t colon = span_find(span_upto(line, min_size(line.len, 6)), ':');
        struct span name = span_upto(line, colon);
        if (colon == 6)
            continue; // longer than any name that matters here
        struct span value = span_from(line, min_size(line.len, colon + 1));
        if (value.len > 0 && value.ptr[0] == ' ')
            value = span_from(value, 1);
        if (span_eq(name, SPAN("data")))
            join_line(&join, out, value);
        else if (span_eq(name, SPAN("event")))
            out->name = value;
    }
    return join.whole;
}

size_t sse_write_size(struct span name, struct span data)
{
    size_t lines = 1;
    for (struct span rest = data; rest.len > 0; lines++)
        take_line(&rest);
    return name.len + data.len + lines * sizeof("data: ") + sizeof("event: \n\n");
}

static char *put(char *at, struct span text)
{
    if (text.len > 0)
        memcpy(at, text.ptr, text.len);
    return at + text.len;
}

size_t sse_write(char *out, size_t cap, struct span name, struct span data)
{
    assert(simd_line_run(name.ptr, name.len) == name.len);
    if (cap < sse_write_size(name, data))
        return 0;
    char *at = out;
    if (name.len > 0) {
        at = put(at, SPAN("event: "));
        at = put(at, name);
        *at++ = '\n';
    }
    if (data.len == 0)
        data = SPAN("");
    bool more = true;
    while (more) {
        struct span line = take_line(&data);
        // A line end at the very end of the data stands for one more, empty line.
        more = data.len > 0 || data.ptr != line.ptr + line.len;
        at = put(at, SPAN("data: "));
        at = put(at, line);
        *at++ = '\n';
    }
    *at++ = '\n';
    return (size_t)(at - out);
}

// What sse.h promises: blocks end where the standard says, however the stream is cut.
#include "test.h"

#include "penstock/codec/sse.h"

enum { ENDS_MAX = 64 };

struct ends {
    size_t at[ENDS_MAX];
    size_t count;
};

static void feed(struct sse_scan *scan, struct span piece, size_t base, struct ends *ends)
{
    size_t done = 0;
    for (;;) {
        size_t used;
        enum parse parse = sse_scan_feed(scan, span_from(piece, done), &used);
        EXPECT(parse == PARSE_DATA || parse == PARSE_MORE);
        done += used;
        if (parse == PARSE_MORE)
            break;
        if (ends->count < ENDS_MAX)
            ends->at[ends->count++] = base + done;
    }
    EXPECT_EQ(done, piece.len);
}

static struct ends ends_of(struct span text)
{
    struct sse_scan scan = { 0 };
    struct ends ends = { .count = 0 };
    feed(&scan, text, 0, &ends);
    return ends;
}

static const char *const streams[] = {
    "data: a\n\ndata: b\n\n",
    "data: a\r\n\r\ndata: b\r\n\r\n",
    "data: a\r\rdata: b\r\r",
    "\xef\xbb\xbf"
    "data: a\n\n: comment\n\n\n\nevent: x\ndata: {\"k\":\"long enough to fill a "
    "whole vector and then some more of it\"}\ndata: 2\n\n",
    "data: a\n\r\ndata: b\r\n\ndata: c\r\r\ndata: d\n\r",
    "\r\n\r\ndata: x\r\n\r\n\r\n",
    "\n\n\n",
    "data: no end",
    "",
};

static void blocks_end_at_blank_lines(void)
{
    struct ends ends = ends_of(SPAN("data: a\n\ndata: b\n\n"));
    EXPECT_EQ(ends.count, 2);
    EXPECT_EQ(ends.at[0], 9);
    EXPECT_EQ(ends.at[1], 18);
    ends = ends_of(SPAN("data: a\r\n\r\ndata: b\r\n\r"));
    EXPECT_EQ(ends.count, 1); // the second waits for the LF that is sure to come
    EXPECT_EQ(ends.at[0], 11);
}

static void crlf_belongs_to_the_block_it_ends(void)
{
    struct ends ends = ends_of(SPAN("data: a\r\n\r\ndata: b\r\n\r\nx"));
    EXPECT_EQ(ends.count, 2);
    EXPECT_EQ(ends.at[0], 11);
    EXPECT_EQ(ends.at[1], 22);
    ends = ends_of(SPAN("data: a\r\rdata: b\r\r"));
    EXPECT_EQ(ends.count, 2);
    EXPECT_EQ(ends.at[0], 9);
    EXPECT_EQ(ends.at[1], 18);
    ends = ends_of(SPAN("\n\n"));
    EXPECT_EQ(ends.count, 2);
}

static void cuts_change_nothing(void)
{
    for (size_t s = 0; s < ARRAY_LEN(streams); s++) {
        struct span text = span_str(streams[s]);
        struct ends want = ends_of(text);
        for (size_t first = 0; first <= text.len; first++) {
            for (size_t second = first; second <= text.len; second++) {
                struct sse_scan scan = { 0 };
                struct ends ends = { .count = 0 };
                feed(&scan, span_upto(text, first), 0, &ends);
                feed(&scan, span_of(text.ptr + first, second - first), first, &ends);
                feed(&scan, span_from(text, second), second, &ends);
                EXPECT_EQ(ends.count, want.count);
                EXPECT(memcmp(ends.at, want.at, want.count * sizeof(want.at[0])) == 0);
            }
        }
    }
}

static void what_is_held_is_counted(void)
{
    struct sse_scan scan = { 0 };
    size_t used;
    EXPECT_EQ(sse_scan_feed(&scan, SPAN("data: a"), &used), PARSE_MORE);
    EXPECT_EQ(scan.held, 7);
    EXPECT_EQ(sse_scan_feed(&scan, SPAN("b\n"), &used), PARSE_MORE);
    EXPECT_EQ(scan.held, 9);
    EXPECT_EQ(sse_scan_feed(&scan, SPAN("\ndata"), &used), PARSE_DATA);
    EXPECT_EQ(used, 1);
    EXPECT_EQ(scan.held, 0);
    EXPECT_EQ(scan.block_count, 1);
}

static void parses(const char *block, const char *name, const char *data, uint32_t lines)
{
    char join[64];
    struct sse_event event;
    EXPECT(sse_parse(span_str(block), true, join, sizeof(join), &event));
    EXPECT_SPAN(event.name, name);
    EXPECT_SPAN(event.data, data);
    EXPECT_EQ(event.data_lines, lines);
}

static void events_are_read(void)
{
    parses("data: a\n\n", "", "a", 1);
    parses("data:a\n\n", "", "a", 1);
    parses("data:  a\n\n", "", " a", 1);
    parses("event: ping\ndata: {}\n\n", "ping", "{}", 1);
    parses("event:ping\r\ndata:{}\r\n\r\n", "ping", "{}", 1);
    parses("data: a\rdata: b\r\r", "", "a\nb", 2);
    parses("data: a\ndata\ndata: b\n\n", "", "a\n\nb", 3);
    parses("data:\ndata: b\n\n", "", "\nb", 2);
    parses("data\n\n", "", "", 1);
    parses("\xef\xbb\xbf"
           "data: a\n\n",
           "", "a", 1);
    parses("id: 7\nretry: 10\nunknown: x\ndatas: y\ndat: z\ndata: a\n\n", "", "a", 1);
    parses(": comment\n:\ndata: a\n\n", "", "a", 1);
    parses("event: a\nevent: b\n\n", "b", "", 0);
    parses("data: last event without its end", "", "last event without its end", 1);
    parses("\n\n\r\n", "", "", 0);
    parses("", "", "", 0);
    parses("eventually: x\nevent\n\n", "", "", 0);
}

static void comments_and_marks_are_told_apart(void)
{
    struct sse_event event;
    EXPECT(sse_parse(SPAN(": OPENROUTER PROCESSING\n\n"), false, NULL, 0, &event));
    EXPECT(event.comment_only);
    EXPECT(sse_parse(SPAN("\n"), false, NULL, 0, &event));
    EXPECT(event.comment_only);
    EXPECT(sse_parse(SPAN("event: ping\n\n"), false, NULL, 0, &event));
    EXPECT(!event.comment_only);
    // A byte order mark in the middle of a stream is part of a field's name.
    EXPECT(sse_parse(SPAN("\xef\xbb\xbf"
                          "data: a\n\n"),
                     false, NULL, 0, &event));
    EXPECT_EQ(event.data_lines, 0);
}

static void joining_is_bounded(void)
{
    char join[4];
    struct sse_event event;
    EXPECT(sse_parse(SPAN("data: ab\ndata: c\n\n"), false, join, 4, &event));
    EXPECT_SPAN(event.data, "ab\nc");
    EXPECT(!sse_parse(SPAN("data: ab\ndata: cd\n\n"), false, join, 4, &event));
    EXPECT_EQ(event.data_lines, 2);
    // A single line is never copied.
    EXPECT(sse_parse(SPAN("data: long enough\n\n"), false, NULL, 0, &event));
    EXPECT_SPAN(event.data, "long enough");
}

static void events_are_written(void)
{
    char out[128];
    size_t len = sse_write(out, sizeof(out), SPAN("ping"), SPAN("{}"));
    EXPECT_SPAN(span_of(out, len), "event: ping\ndata: {}\n\n");
    len = sse_write(out, sizeof(out), SPAN_NONE, SPAN("a\nb\r\nc\n"));
    EXPECT_SPAN(span_of(out, len), "data: a\ndata: b\ndata: c\ndata: \n\n");
    len = sse_write(out, sizeof(out), SPAN_NONE, SPAN_NONE);
    EXPECT_SPAN(span_of(out, len), "data: \n\n");
    struct span data = SPAN("x\ny\rz\r\n");
    size_t need = sse_write_size(SPAN("n"), data);
    EXPECT_EQ(sse_write(out, need - 1, SPAN("n"), data), 0);
    EXPECT(sse_write(out, need, SPAN("n"), data) > 0);
}

TEST_MAIN(TEST(blocks_end_at_blank_lines), TEST(crlf_belongs_to_the_block_it_ends),
          TEST(cuts_change_nothing), TEST(what_is_held_is_counted), TEST(events_are_read),
          TEST(comments_and_marks_are_told_apart), TEST(joining_is_bounded),
          TEST(events_are_written))

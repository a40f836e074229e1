// The queue of segments: what enters leaves in its order, whatever the queue grows to.
#include "penstock/net/segq.h"
#include "test.h"

enum { BUFS = 64 };

static unsigned out(const struct bufpool *pool)
{
    return pool->cls[BUF_SMALL].count_out + pool->cls[BUF_LARGE].count_out;
}

// What a send of the front would carry, joined.
static size_t read_front(struct segq *queue, char *into, size_t cap)
{
    struct iovec own[SEGQ_OWN];
    uint32_t count;
    size_t len, at = 0;
    const struct iovec *iov = segq_iov(queue, own, &count, &len);
    for (uint32_t i = 0; i < count && at + iov[i].iov_len <= cap; i++) {
        memcpy(into + at, iov[i].iov_base, iov[i].iov_len);
        at += iov[i].iov_len;
    }
    EXPECT_EQ(at, len);
    return at;
}

static void a_short_queue_takes_no_ring(void)
{
    struct bufpool pool;
    struct segq queue = { 0 };
    verify(!failed(bufpool_init(&pool, BUFS, BUFS)));
    for (int round = 0; round < 5; round++) {
        struct buf *other = bufpool_take(&pool, BUF_SMALL);
        EXPECT(segq_copy(&queue, &pool, SPAN("one ")));
        EXPECT(segq_copy(&queue, &pool, SPAN("two ")));
        memset(other->data, 'x', SEGQ_COPY_MAX);
        EXPECT(segq_ref(&queue, &pool, other, other->data, SEGQ_COPY_MAX));
        buf_put(other);
        EXPECT_EQ(queue.count, 2);
        EXPECT(queue.ring == NULL);
        EXPECT_EQ(out(&pool), 2);
        char text[2 * SEGQ_COPY_MAX];
        EXPECT_EQ(read_front(&queue, text, sizeof(text)), 8 + SEGQ_COPY_MAX);
        EXPECT(memcmp(text, "one two xxx", 11) == 0);
        segq_consume(&queue, 4);
        EXPECT_EQ(read_front(&queue, text, sizeof(text)), 4 + SEGQ_COPY_MAX);
        segq_consume(&queue, 4 + SEGQ_COPY_MAX);
        EXPECT_EQ(out(&pool), 0);
    }
    bufpool_fini(&pool);
}

// Filled and drained at every distance between the two, through all places of the ring.
static void a_long_queue_keeps_the_order(void)
{
    struct bufpool pool;
    struct segq queue = { 0 };
    verify(!failed(bufpool_init(&pool, BUFS, BUFS)));
    uint8_t in = 0, next = 0;
    for (unsigned depth = 1; depth <= SEGQ_MAX; depth++) {
        for (int turn = 0; turn < 3 * SEGQ_MAX; turn++) {
            while (queue.count < depth) {
                struct buf *buf = bufpool_take(&pool, BUF_SMALL);
                buf->data[0] = (char)in++;
                EXPECT(segq_push(&queue, &pool, buf, buf->data, 1));
            }
            EXPECT(queue.count <= SEGQ_OWN || queue.ring != NULL);
            char text[IO_SEGMENTS_MAX];
            size_t len = read_front(&queue, text, sizeof(text));
            EXPECT_EQ(len, min_size(depth, IO_SEGMENTS_MAX));
            for (size_t i = 0; i < len; i++)
                EXPECT_EQ((uint8_t)text[i], (uint8_t)(next + i));
            size_t taken = 1 + (size_t)turn % len;
            segq_consume(&queue, taken);
            next = (uint8_t)(next + taken);
        }
    }
    next = (uint8_t)(next + queue.count);
    EXPECT_EQ(next, in);
    segq_discard(&queue);
    EXPECT(queue.ring == NULL);
    EXPECT_EQ(out(&pool), 0);
    bufpool_fini(&pool);
}

static void a_full_queue_and_an_empty_pool_say_so(void)
{
    struct bufpool pool;
    struct segq queue = { 0 };
    verify(!failed(bufpool_init(&pool, SEGQ_MAX + 1, 1)));
    struct buf *buf = bufpool_take(&pool, BUF_SMALL);
    for (int i = 0; i < SEGQ_MAX; i++)
        EXPECT(segq_push(&queue, &pool, buf_get(buf), buf->data, 1));
    EXPECT(!segq_push(&queue, &pool, buf, buf->data, 1));
    EXPECT(segq_reserve(&queue, &pool, 1) == NULL);
    segq_discard(&queue);
    EXPECT_EQ(out(&pool), 1);

    // Not even a ring: the queue stays as it was.
    struct buf *all[SEGQ_MAX];
    for (int i = 0; i < SEGQ_MAX; i++)
        all[i] = bufpool_take(&pool, BUF_SMALL);
    for (int i = 0; i < SEGQ_OWN; i++)
        EXPECT(segq_push(&queue, &pool, buf_get(buf), buf->data, 1));
    EXPECT(!segq_push(&queue, &pool, buf, buf->data, 1));
    EXPECT(segq_reserve(&queue, &pool, BUF_LARGE_BYTES) == NULL); // which gives its buffer back
    EXPECT_EQ(pool.cls[BUF_LARGE].count_out, 0);
    EXPECT_EQ(queue.count, SEGQ_OWN);
    segq_discard(&queue);
    for (int i = 0; i < SEGQ_MAX; i++)
        buf_put(all[i]);
    buf_put(buf);
    EXPECT_EQ(out(&pool), 0);
    bufpool_fini(&pool);
}

TEST_MAIN(TEST(a_short_queue_takes_no_ring), TEST(a_long_queue_keeps_the_order),
          TEST(a_full_queue_and_an_empty_pool_say_so))

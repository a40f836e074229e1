#include "penstock/io/buf.h"

#include "penstock/base/poison.h"
#include "test.h"

#include <sys/mman.h>
#include <unistd.h>

static void test_takes_up_to_the_maximum(void)
{
    struct bufpool pool;
    EXPECT(!failed(bufpool_init(&pool, 5, 3)));
    struct buf *small[5], *large[3];
    for (int i = 0; i < 5; i++) {
        small[i] = bufpool_take(&pool, BUF_SMALL);
        EXPECT(small[i] != NULL);
        EXPECT_EQ(small[i]->cap, BUF_SMALL_BYTES);
        EXPECT(buf_at(&pool, BUF_SMALL, small[i]->index) == small[i]);
        memset(small[i]->data, i, small[i]->cap);
    }
    for (int i = 0; i < 3; i++) {
        large[i] = bufpool_take(&pool, BUF_LARGE);
        EXPECT(large[i] != NULL);
        EXPECT_EQ(large[i]->cap, BUF_LARGE_BYTES);
        memset(large[i]->data, 100 + i, large[i]->cap);
    }
    EXPECT(bufpool_take(&pool, BUF_SMALL) == NULL);
    EXPECT(bufpool_take(&pool, BUF_LARGE) == NULL);
    for (int i = 0; i < 5; i++) { // no two overlap
        EXPECT_EQ(small[i]->data[0], i);
        EXPECT_EQ(small[i]->data[BUF_SMALL_BYTES - 1], i);
        buf_put(small[i]);
    }
    for (int i = 0; i < 3; i++) {
        EXPECT_EQ(large[i]->data[0], 100 + i);
        EXPECT_EQ(large[i]->data[BUF_LARGE_BYTES - 1], 100 + i);
        buf_put(large[i]);
    }
    bufpool_fini(&pool);
}

static void test_last_returned_is_first_taken(void)
{
    struct bufpool pool;
    EXPECT(!failed(bufpool_init(&pool, 100, 1)));
    struct buf *first = bufpool_take(&pool, BUF_SMALL);
    struct buf *second = bufpool_take(&pool, BUF_SMALL);
    buf_put(first);
    buf_put(second);
    EXPECT(bufpool_take(&pool, BUF_SMALL) == second);
    EXPECT(bufpool_take(&pool, BUF_SMALL) == first);
    EXPECT_EQ(pool.cls[BUF_SMALL].count_used, 2); // no third page was touched
    buf_put(first);
    buf_put(second);
    bufpool_fini(&pool);
}

static void test_returns_at_the_last_reference(void)
{
    struct bufpool pool;
    EXPECT(!failed(bufpool_init(&pool, 1, 1)));
    struct buf *buf = bufpool_take(&pool, BUF_SMALL);
    EXPECT(buf_get(buf) == buf);
    buf_put(buf);
    EXPECT_EQ(pool.cls[BUF_SMALL].count_out, 1);
    EXPECT(bufpool_take(&pool, BUF_SMALL) == NULL);
    buf_put(buf);
    EXPECT_EQ(pool.cls[BUF_SMALL].count_out, 0);
    EXPECT(bufpool_take(&pool, BUF_SMALL) == buf);
    buf_put(buf);
    bufpool_fini(&pool);
}

static void count_call(void *arg)
{
    (*(int *)arg)++;
}

static void test_tells_a_starved_backend(void)
{
    struct bufpool pool;
    EXPECT(!failed(bufpool_init(&pool, 2, 1)));
    int calls = 0;
    pool.on_refill = count_call;
    pool.on_refill_arg = &calls;
    struct buf *one = bufpool_take(&pool, BUF_SMALL), *two = bufpool_take(&pool, BUF_SMALL);
    buf_put(one);
    EXPECT_EQ(calls, 0);
    pool.starved = true;
    buf_put(two);
    EXPECT_EQ(calls, 1);
    bufpool_fini(&pool);
}

// Memory is reserved, not resident: of a large pool only the touched buffers count.
static void test_untouched_buffers_are_not_resident(void)
{
    struct bufpool pool;
    EXPECT(!failed(bufpool_init(&pool, 32768, 4096)));
    struct buf *taken[3];
    for (int i = 0; i < 3; i++) {
        taken[i] = bufpool_take(&pool, BUF_SMALL);
        taken[i]->data[0] = 1;
    }
    static unsigned char resident[32768];
    long page = sysconf(_SC_PAGESIZE);
    EXPECT_EQ(page, BUF_SMALL_BYTES);
    EXPECT_EQ(mincore(pool.cls[BUF_SMALL].memory, (size_t)32768 * BUF_SMALL_BYTES, resident), 0);
    int count = 0;
    for (size_t i = 0; i < 32768; i++)
        count += resident[i] & 1;
    EXPECT_EQ(count, 3);
    for (int i = 0; i < 3; i++)
        buf_put(taken[i]);
    bufpool_fini(&pool);
}

static void test_a_free_buffer_is_poisoned(void)
{
#ifdef POISON_WORKS
    struct bufpool pool;
    EXPECT(!failed(bufpool_init(&pool, 2, 1)));
    struct buf *buf = bufpool_take(&pool, BUF_SMALL);
    EXPECT(!__asan_address_is_poisoned(buf->data));
    EXPECT(__asan_address_is_poisoned(buf->data + buf->cap)); // the neighbour, never taken
    buf_put(buf);
    EXPECT(__asan_address_is_poisoned(buf->data));
    EXPECT(__asan_address_is_poisoned(buf->data + buf->cap - 1));
    bufpool_fini(&pool);
#endif
}

// --- giving memory back ---

enum { CROWD = 1000 };

// Takes `count` buffers, writes to them and gives them back in an order of no order.
static void use(struct bufpool *pool, uint32_t count)
{
    static struct buf *bufs[CROWD];
    for (uint32_t i = 0; i < count; i++) {
        bufs[i] = bufpool_take(pool, BUF_SMALL);
        EXPECT(bufs[i] != NULL);
        memset(bufs[i]->data, 1, bufs[i]->cap);
    }
    for (uint32_t i = 0; i < count; i++)
        buf_put(bufs[(i * UINT32_C(7) + 3) % count]); // 7 divides no count that is used here
}

static uint32_t resident(const struct bufpool *pool)
{
    static unsigned char pages[CROWD];
    uint32_t count = 0;
    EXPECT_EQ(mincore(pool->cls[BUF_SMALL].memory, (size_t)CROWD * BUF_SMALL_BYTES, pages), 0);
    for (int i = 0; i < CROWD; i++)
        count += pages[i] & 1;
    return count;
}

static void test_a_crowds_memory_goes_back(void)
{
    if (sysconf(_SC_PAGESIZE) != BUF_SMALL_BYTES)
        return;
    struct bufpool pool;
    EXPECT(!failed(bufpool_init(&pool, CROWD, 1)));
    use(&pool, CROWD);
    EXPECT_EQ(resident(&pool), CROWD);
    EXPECT(!bufpool_trim(&pool, CROWD)); // they were in use until just now
    EXPECT_EQ(resident(&pool), CROWD);
    use(&pool, 10); // what is used all the time stays
    EXPECT(bufpool_trim(&pool, 300));
    EXPECT_EQ(resident(&pool), CROWD - 300);
    use(&pool, 25); // and so does what is used between two calls of a period
    EXPECT(bufpool_trim(&pool, 300));
    EXPECT(bufpool_trim(&pool, 300));
    EXPECT_EQ(resident(&pool), CROWD - 900);
    EXPECT(!bufpool_trim(&pool, 300));
    EXPECT_EQ(resident(&pool), 25);
    EXPECT_EQ(pool.cls[BUF_SMALL].count_cold, CROWD - 25);
    use(&pool, 10);
    EXPECT(!bufpool_trim(&pool, 300)); // the 15 others rested for a period
    EXPECT_EQ(resident(&pool), 10);
    use(&pool, CROWD); // all of them are good again
    EXPECT_EQ(resident(&pool), CROWD);
    EXPECT_EQ(pool.cls[BUF_SMALL].count_cold, 0);
    EXPECT(!bufpool_trim(&pool, CROWD));
    EXPECT(bufpool_trim(&pool, CROWD));
    EXPECT_EQ(resident(&pool), 0);
    EXPECT(!bufpool_trim(&pool, CROWD));
    bufpool_fini(&pool);
}

// What is out keeps its memory, also between neighbours that give theirs back.
static void test_memory_in_use_stays(void)
{
    if (sysconf(_SC_PAGESIZE) != BUF_SMALL_BYTES)
        return;
    struct bufpool pool;
    EXPECT(!failed(bufpool_init(&pool, CROWD, 1)));
    struct buf *bufs[9];
    for (int i = 0; i < 9; i++) {
        bufs[i] = bufpool_take(&pool, BUF_SMALL);
        memset(bufs[i]->data, 'a' + i, bufs[i]->cap);
    }
    for (int i = 0; i < 9; i += 2)
        buf_put(bufs[i]);
    EXPECT(!bufpool_trim(&pool, CROWD));
    EXPECT(!bufpool_trim(&pool, CROWD));
    EXPECT_EQ(resident(&pool), 4);
    for (int i = 1; i < 9; i += 2) {
        EXPECT_EQ(bufs[i]->data[0], 'a' + i);
        EXPECT_EQ(bufs[i]->data[BUF_SMALL_BYTES - 1], 'a' + i);
        buf_put(bufs[i]);
    }
    bufpool_fini(&pool);
}

TEST_MAIN(TEST(test_a_crowds_memory_goes_back), TEST(test_memory_in_use_stays),
          TEST(test_takes_up_to_the_maximum), TEST(test_last_returned_is_first_taken),
          TEST(test_returns_at_the_last_reference), TEST(test_tells_a_starved_backend),
          TEST(test_untouched_buffers_are_not_resident), TEST(test_a_free_buffer_is_poisoned))

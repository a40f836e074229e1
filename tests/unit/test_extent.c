#include "penstock/net/extent.h"

#include "test.h"

#include <sys/mman.h>

// Pages of `len` bytes at `ptr` that are resident.
static size_t resident(const struct extent *extent)
{
    static unsigned char pages[16 * MIB / EXTENT_PAGE];
    size_t count = extent->cap / EXTENT_PAGE, found = 0;
    if (count > ARRAY_LEN(pages) || mincore(extent->ptr, extent->cap, pages) != 0)
        abort();
    for (size_t i = 0; i < count; i++)
        found += pages[i] & 1;
    return found;
}

static void only_what_is_used_is_resident(void)
{
    struct extent_pool pool = { 0 };
    struct extent extent = { 0 };
    EXPECT(extent_take(&pool, &extent, 300 * KIB));
    EXPECT_EQ(extent.len, 300 * KIB);
    EXPECT_EQ(extent.cap, 512 * KIB);
    EXPECT_EQ(resident(&extent), 0);
    memset(extent.ptr, 'x', extent.len);
    EXPECT_EQ(resident(&extent), 75);
    EXPECT_EQ(extent_bytes(&extent), 300 * KIB);
    extent_give(&pool, &extent);
    EXPECT(extent.ptr == NULL);
    EXPECT_EQ(pool.kept_bytes, 300 * KIB);
    extent_give(&pool, &extent); // an empty one
    EXPECT_EQ(pool.kept_bytes, 300 * KIB);
    extent_pool_fini(&pool);
}

static void the_newest_is_taken_first(void)
{
    struct extent_pool pool = { 0 };
    struct extent a = { 0 }, b = { 0 }, c = { 0 };
    EXPECT(extent_take(&pool, &a, 100 * KIB));
    EXPECT(extent_take(&pool, &b, 128 * KIB));
    char *first = a.ptr, *second = b.ptr;
    extent_give(&pool, &a);
    extent_give(&pool, &b);
    EXPECT_EQ(pool.kept_bytes, 228 * KIB);
    EXPECT(extent_take(&pool, &c, 70 * KIB));
    EXPECT(c.ptr == second);
    EXPECT_EQ(c.len, 70 * KIB);
    EXPECT_EQ(extent_bytes(&c), 128 * KIB); // as much of it may be resident
    EXPECT(extent_take(&pool, &a, 128 * KIB));
    EXPECT(a.ptr == first);
    EXPECT_EQ(pool.kept_bytes, 0);
    EXPECT(extent_take(&pool, &b, 100 * KIB));
    EXPECT(b.ptr != first && b.ptr != second);
    extent_give(&pool, &a);
    extent_give(&pool, &b);
    extent_give(&pool, &c);
    extent_pool_fini(&pool);
}

static void fill(struct extent *extent, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        extent->ptr[i] = (char)(i * 7 >> 3);
}

static bool is_filled(const struct extent *extent, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (extent->ptr[i] != (char)(i * 7 >> 3))
            return false;
    return true;
}

static void growing_keeps_the_content(void)
{
    struct extent_pool pool = { 0 };
    // Twice: into fresh memory, and into what is kept of the first time.
    for (int round = 0; round < 2; round++) {
        struct extent extent = { 0 };
        size_t len = 0;
        for (size_t want = 20 * KIB; want < 9 * MIB; want = want * 3 / 2 + 1) {
            EXPECT(extent_grow(&pool, &extent, want));
            EXPECT_EQ(extent.len, want);
            EXPECT(extent.cap >= want);
            EXPECT(is_filled(&extent, len));
            fill(&extent, len, want);
            len = want;
        }
        char *at = extent.ptr;
        EXPECT(extent_grow(&pool, &extent, 10)); // it does not shrink
        EXPECT(extent.ptr == at && extent.len == len);
        extent_give(&pool, &extent);
        EXPECT(extent_take(&pool, &extent, 64 * KIB)); // more classes to grow into
        struct extent other = { 0 };
        EXPECT(extent_take(&pool, &other, 512 * KIB));
        extent_give(&pool, &extent);
        extent_give(&pool, &other);
    }
    extent_pool_fini(&pool);
}

static void growing_prefers_pages_that_are_there(void)
{
    struct extent_pool pool = { 0 };
    struct extent extent = { 0 };
    EXPECT(extent_take(&pool, &extent, 500 * KIB));
    fill(&extent, 0, extent.len);
    char *warm = extent.ptr;
    extent_give(&pool, &extent);
    EXPECT(extent_take(&pool, &extent, 64 * KIB));
    EXPECT(extent.ptr != warm);
    fill(&extent, 0, extent.len);
    EXPECT(extent_grow(&pool, &extent, 400 * KIB));
    EXPECT(extent.ptr == warm);
    EXPECT(is_filled(&extent, 64 * KIB));
    EXPECT_EQ(pool.kept_bytes, 64 * KIB); // the smaller one
    extent_give(&pool, &extent);
    extent_pool_fini(&pool);
}

static void what_is_kept_is_bounded(void)
{
    struct extent_pool pool = { 0 };
    struct extent extents[EXTENT_KEPT_PER_CLASS + 6] = { 0 };
    for (size_t i = 0; i < ARRAY_LEN(extents); i++)
        EXPECT(extent_take(&pool, &extents[i], 300 * KIB));
    for (size_t i = 0; i < ARRAY_LEN(extents); i++)
        extent_give(&pool, &extents[i]);
    EXPECT_EQ(pool.kept_bytes, EXTENT_KEPT_PER_CLASS * 300 * KIB);
    extent_pool_fini(&pool);
    for (size_t i = 0; i < 8; i++)
        EXPECT(extent_take(&pool, &extents[i], 5 * MIB));
    for (size_t i = 0; i < 8; i++)
        extent_give(&pool, &extents[i]);
    EXPECT_EQ(pool.kept_bytes, 20 * MIB);
    extent_pool_fini(&pool);
    EXPECT(!extent_take(&pool, &extents[0], (size_t)128 * MIB + 1));
    EXPECT(extent_take(&pool, &extents[0], (size_t)128 * MIB));
    EXPECT(!extent_grow(&pool, &extents[0], (size_t)128 * MIB + 1));
    EXPECT_EQ(extents[0].len, 128 * MIB);
    extent_give(&pool, &extents[0]);
    EXPECT_EQ(pool.kept_bytes, 0);
}

// What lay unused from one trim to the next goes; what was used, however briefly, stays.
static void a_trim_returns_what_was_not_needed(void)
{
    struct extent_pool pool = { 0 };
    struct extent extents[5] = { 0 };
    for (size_t i = 0; i < 5; i++)
        EXPECT(extent_take(&pool, &extents[i], 64 * KIB));
    char *newest = extents[4].ptr;
    for (size_t i = 0; i < 5; i++)
        extent_give(&pool, &extents[i]);
    extent_pool_trim(&pool); // all were out meanwhile
    EXPECT_EQ(pool.kept_bytes, 5 * 64 * KIB);
    EXPECT(extent_take(&pool, &extents[0], 64 * KIB));
    EXPECT(extent_take(&pool, &extents[1], 64 * KIB));
    extent_give(&pool, &extents[1]);
    extent_give(&pool, &extents[0]);
    extent_pool_trim(&pool); // three were never out
    EXPECT_EQ(pool.kept_bytes, 2 * 64 * KIB);
    EXPECT(extent_take(&pool, &extents[0], 64 * KIB));
    EXPECT(extents[0].ptr == newest);
    extent_give(&pool, &extents[0]);
    extent_pool_trim(&pool);
    EXPECT_EQ(pool.kept_bytes, 64 * KIB);
    extent_pool_trim(&pool);
    EXPECT_EQ(pool.kept_bytes, 0);
    extent_pool_fini(&pool);
}

TEST_MAIN(TEST(only_what_is_used_is_resident), TEST(the_newest_is_taken_first),
          TEST(growing_keeps_the_content), TEST(growing_prefers_pages_that_are_there),
          TEST(what_is_kept_is_bounded), TEST(a_trim_returns_what_was_not_needed))

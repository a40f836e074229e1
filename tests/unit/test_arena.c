#include "penstock/base/arena.h"

#include "test.h"

// A source of `left` chunks.
struct source {
    char memory[4][ARENA_CHUNK];
    int left;
};

static void *source_take(void *ctx, void **keeper)
{
    struct source *source = ctx;
    *keeper = source;
    return source->left == 0 ? NULL : source->memory[--source->left];
}

static void source_give(void *ctx, void *memory, void *keeper)
{
    (void)ctx, (void)memory;
    ((struct source *)keeper)->left++;
}

static void test_takes_in_order_and_gives_all_back(void)
{
    static struct source memory = { .left = 4 };
    struct arena_source source = { .take = source_take, .give = source_give, .ctx = &memory };
    struct arena arena;
    arena_init(&arena, &source);
    char *first = arena_take(&arena, 5);
    char *second = arena_take(&arena, 8);
    EXPECT_EQ(second - first, 8);
    EXPECT(arena_take(&arena, ARENA_CHUNK - 24) != NULL);
    EXPECT_EQ(memory.left, 2);
    EXPECT_SPAN(arena_copy(&arena, SPAN("text")), "text");
    arena_reset(&arena);
    EXPECT_EQ(memory.left, 4);
}

static void test_tells_the_two_refusals_apart(void)
{
    static struct source memory = { .left = 1 };
    struct arena_source source = { .take = source_take, .give = source_give, .ctx = &memory };
    struct arena arena;
    arena_init(&arena, &source);
    EXPECT(arena_take(&arena, ARENA_CHUNK) == NULL); // would never fit
    EXPECT(!arena.starved);
    EXPECT(arena_take(&arena, ARENA_CHUNK / 2) != NULL);
    EXPECT(arena_take(&arena, ARENA_CHUNK / 2) == NULL); // would fit, if there were another chunk
    EXPECT(arena.starved);
    EXPECT(arena_take(&arena, 8) != NULL);
    EXPECT(arena.starved); // stays, so that a whole step can be judged at its end
    arena_reset(&arena);
    EXPECT(!arena.starved);
}

static void test_trims_what_was_too_much(void)
{
    static struct source memory = { .left = 1 };
    struct arena_source source = { .take = source_take, .give = source_give, .ctx = &memory };
    struct arena arena;
    arena_init(&arena, &source);
    size_t room;
    char *rest = arena_rest(&arena, 100, &room);
    EXPECT(rest != NULL);
    EXPECT(room >= 100 && room < ARENA_CHUNK);
    arena_trim(&arena, room, 20);
    EXPECT((char *)arena_take(&arena, 8) == rest + 24);
    arena_reset(&arena);
}

// A source of one large piece, besides its chunks.
static size_t large_left, large_asked;
static char large_memory[ARENA_LARGE_MAX];

static void *large_take(void *ctx, size_t len, void **keeper)
{
    (void)ctx;
    large_asked = len;
    if (large_left == 0)
        return NULL;
    large_left--;
    *keeper = &large_left;
    return large_memory;
}

static void any_give(void *ctx, void *memory, void *keeper)
{
    if (keeper == &large_left)
        large_left++;
    else
        source_give(ctx, memory, keeper);
}

static void test_what_fits_no_chunk_has_a_piece_of_its_own(void)
{
    static struct source memory = { .left = 2 };
    struct arena_source source = { source_take, any_give, &memory, large_take };
    struct arena arena;
    large_left = 1;
    arena_init(&arena, &source);
    EXPECT(arena_take(&arena, 100) != NULL);
    EXPECT_EQ(large_asked, 0); // a chunk is enough
    char *large = arena_take(&arena, 10000);
    EXPECT(large != NULL);
    EXPECT(large_asked >= 10000 && large_asked < 10100);
    memset(large, 'x', 10000);
    EXPECT(arena_take(&arena, 8) != NULL);
    EXPECT_EQ(memory.left, 0); // the piece was as long as needed
    EXPECT(arena_take(&arena, 10000) == NULL);
    EXPECT(arena.starved);
    EXPECT_EQ(large[9999], 'x');
    arena_reset(&arena);
    EXPECT_EQ(memory.left, 2);
    EXPECT_EQ(large_left, 1);

    size_t room;
    char *rest = arena_rest(&arena, 20000, &room);
    EXPECT(rest != NULL);
    EXPECT(room >= 20000 && room < 20100);
    arena_trim(&arena, room, 15000);
    EXPECT((char *)arena_take(&arena, 4000) == rest + 15000);
    EXPECT_EQ(memory.left, 2);
    EXPECT(arena_take(&arena, ARENA_LARGE_MAX + 1) == NULL); // would never fit
    EXPECT(!arena.starved);
    arena_reset(&arena);
    EXPECT_EQ(large_left, 1);
}

TEST_MAIN(TEST(test_takes_in_order_and_gives_all_back), TEST(test_tells_the_two_refusals_apart),
          TEST(test_trims_what_was_too_much), TEST(test_what_fits_no_chunk_has_a_piece_of_its_own))

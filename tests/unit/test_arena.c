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
    struct arena_source source = { source_take, source_give, &memory };
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
    struct arena_source source = { source_take, source_give, &memory };
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
    struct arena_source source = { source_take, source_give, &memory };
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

TEST_MAIN(TEST(test_takes_in_order_and_gives_all_back), TEST(test_tells_the_two_refusals_apart),
          TEST(test_trims_what_was_too_much))

// Schemas as vendors take them: an object at the root, the subset of OpenAPI and back, strictness.
#include "convert_rig.h"
#include "test.h"

#include "penstock/convert/schema.h"

enum { ROOM = 256 * KIB };

static char pad_room[ROOM];

// As much as is asked for.
struct heap {
    struct scratch scratch;
    size_t used, count;
    void *list[100000];
};

static void *heap_take(struct scratch *scratch, size_t size)
{
    struct heap *heap = container_of(scratch, struct heap, scratch);
    if (heap->count == ARRAY_LEN(heap->list))
        return NULL;
    heap->used += size;
    return heap->list[heap->count++] = malloc(size);
}

static struct json_slice json(const char *text)
{
    struct json_slice value;
    EXPECT(json_check(span_str(text), &value));
    return value;
}

struct schema_case {
    const char *in, *out;
    bool changed;
};

static char written[ROOM];

static void check_case(const struct schema_case *one,
                       bool put(struct sink *out, struct json_slice schema,
                                struct scratch *scratch))
{
    struct pad pad = PAD(pad_room, ROOM);
    struct sink sink = sink_into(written, sizeof(written));
    bool changed = put(&sink, json(one->in), &pad.scratch);
    struct span got = span_of(written, (size_t)(sink.at - written));
    struct json_slice value;
    EXPECT(!sink.failed);
    EXPECT(json_check(got, &value));
    EXPECT_SPAN(got, one->out);
    EXPECT_EQ(changed, one->changed);
}

static void roots_are_objects(void) // C-036, C-034
{
    static const struct schema_case cases[] = {
        { "{}", "{\"type\":\"object\",\"properties\":{}}", false },
        { "null", "{\"type\":\"object\",\"properties\":{}}", false },
        { "{\"type\":\"object\",\"properties\":{\"a\":{}}}",
          "{\"type\":\"object\",\"properties\":{\"a\":{}}}", false },
        { "{\"properties\":{\"a\":{}}}", "{\"type\":\"object\",\"properties\":{\"a\":{}}}", false },
        { "{\"type\":[\"object\",\"null\"],\"properties\":{\"a\":{}},\"required\":[\"a\"]}",
          "{\"type\":\"object\",\"properties\":{\"a\":{}},\"required\":[\"a\"]}", true },
        // A union of objects: only what all branches require is required.
        { "{\"anyOf\":[{\"type\":\"object\",\"properties\":{\"k\":{\"const\":1},\"x\":{}},"
          "\"required\":[\"k\",\"x\"]},{\"properties\":{\"k\":{\"const\":2},\"y\":{}},"
          "\"required\":[\"k\"]}],\"description\":\"d\"}",
          "{\"type\":\"object\",\"description\":\"d\",\"properties\":{\"k\":{\"anyOf\":["
          "{\"const\":1},{\"const\":2}]},\"x\":{},\"y\":{}},\"required\":[\"k\"]}",
          true },
        // What all demand is demanded.
        { "{\"allOf\":[{\"properties\":{\"a\":{}},\"required\":[\"a\"]},{\"properties\":{\"b\":{}},"
          "\"required\":[\"b\"]}],\"not\":{},\"properties\":{\"c\":{}}}",
          "{\"type\":\"object\",\"properties\":{\"a\":{},\"b\":{},\"c\":{}},\"required\":[\"a\","
          "\"b\"]}",
          true },
        { "{\"$defs\":{\"o\":{\"type\":\"object\",\"properties\":{\"a\":{}}}},\"oneOf\":[{\"$ref\":"
          "\"#/$defs/o\"}]}",
          "{\"type\":\"object\",\"$defs\":{\"o\":{\"type\":\"object\",\"properties\":{\"a\":{}}}},"
          "\"properties\":{\"a\":{}}}",
          true },
        // What is no object becomes a property of one, and its definitions stay at the root.
        { "{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/o\"},\"$defs\":{\"o\":{}}}",
          "{\"type\":\"object\",\"$defs\":{\"o\":{}},\"properties\":{\"value\":{\"type\":\"array\","
          "\"items\":{\"$ref\":\"#/$defs/o\"}}},\"required\":[\"value\"]}",
          true },
        { "{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"object\"}]}",
          "{\"type\":\"object\",\"properties\":{\"value\":{\"anyOf\":[{\"type\":\"string\"},"
          "{\"type\":\"object\"}]}},\"required\":[\"value\"]}",
          true },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        check_case(&cases[i], schema_put_object);
    EXPECT(schema_is_wrapped(json("{\"type\":\"string\"}")));
    EXPECT(schema_is_wrapped(json("{\"enum\":[1]}")));
    EXPECT(!schema_is_wrapped(json("{\"type\":\"object\"}")));
    EXPECT(!schema_is_wrapped(json("{}")));
    EXPECT(!schema_is_wrapped(json("null")));
}

static void schemas_are_reduced(void) // C-035
{
    static const struct schema_case cases[] = {
        { "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"}},\"required\":[\"a\"]}",
          "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"}},\"required\":[\"a\"]}",
          false },
        { "{\"$schema\":\"s\",\"type\":\"object\",\"additionalProperties\":false,\"properties\":{"
          "\"default\":{\"type\":\"string\",\"default\":\"x\"}},\"required\":[\"default\",\"no\"]}",
          "{\"type\":\"object\",\"properties\":{\"default\":{\"type\":\"string\"}},\"required\":["
          "\"default\"]}",
          true },
        { "{\"const\":\"x\"}", "{\"type\":\"string\",\"enum\":[\"x\"]}", true },
        { "{\"type\":\"integer\",\"enum\":[1,2]}", "{\"type\":\"string\",\"enum\":[\"1\",\"2\"]}",
          true },
        { "{\"type\":\"string\",\"enum\":[\"a\",null]}",
          "{\"type\":\"string\",\"nullable\":true,\"enum\":[\"a\"]}", false },
        { "{\"type\":\"string\",\"enum\":[\"a\",1]}", "{\"type\":\"string\"}", true },
        { "{\"type\":\"integer\",\"exclusiveMinimum\":0,\"exclusiveMaximum\":-3}",
          "{\"type\":\"integer\",\"minimum\":1,\"maximum\":-4}", true },
        { "{\"type\":\"number\",\"exclusiveMinimum\":0.5,\"format\":\"double\"}",
          "{\"type\":\"number\",\"format\":\"double\",\"minimum\":0.5}", true },
        { "{\"type\":\"string\",\"format\":\"uri\"}", "{\"type\":\"string\"}", true },
        { "{\"type\":[\"string\",\"null\"]}", "{\"type\":\"string\",\"nullable\":true}", true },
        { "{\"type\":[\"string\",\"integer\"]}",
          "{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"integer\"}]}", true },
        { "{\"anyOf\":[{\"type\":\"integer\"},{\"type\":\"null\"}],\"description\":\"d\"}",
          "{\"type\":\"integer\",\"nullable\":true,\"description\":\"d\"}", true },
        { "{\"oneOf\":[{\"type\":\"string\"},{\"type\":\"integer\"}]}",
          "{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"integer\"}]}", true },
        { "{\"allOf\":[{\"properties\":{\"a\":{\"type\":\"string\"}},\"required\":[\"a\"]},{"
          "\"properties\":{\"b\":{\"type\":\"string\"}},\"required\":[\"b\"]}]}",
          "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"},\"b\":{\"type\":"
          "\"string\"}},\"required\":[\"a\",\"b\"]}",
          true },
        { "{\"type\":\"array\"}", "{\"type\":\"array\",\"items\":{\"type\":\"string\"}}", true },
        { "{\"type\":\"array\",\"items\":{\"type\":\"integer\"}}",
          "{\"type\":\"array\",\"items\":{\"type\":\"integer\"}}", false },
        { "{\"type\":\"object\",\"properties\":{\"p\":{\"$ref\":\"#/$defs/a~1b\"}},\"$defs\":{"
          "\"a/b\":{\"type\":\"string\",\"description\":\"d\"}}}",
          "{\"type\":\"object\",\"properties\":{\"p\":{\"type\":\"string\",\"description\":\"d\"}}}",
          true },
        // What refers to itself, or to nothing here, is an object of any kind.
        { "{\"type\":\"object\",\"properties\":{\"me\":{\"$ref\":\"#/$defs/n\"}},\"$defs\":{\"n\":{"
          "\"type\":\"object\",\"properties\":{\"next\":{\"$ref\":\"#/$defs/n\"}}}}}",
          "{\"type\":\"object\",\"properties\":{\"me\":{\"type\":\"object\",\"properties\":{\"next\":"
          "{\"type\":\"object\"}}}}}",
          true },
        { "{\"$ref\":\"http://x/y\"}", "{\"type\":\"object\"}", true },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        check_case(&cases[i], schema_put_reduced);
    EXPECT(schema_is_bare(json("{\"type\":\"object\",\"properties\":{}}")));
    EXPECT(schema_is_bare(json("null")));
    EXPECT(!schema_is_bare(json("{\"type\":\"object\",\"properties\":{\"a\":{}}}")));
    EXPECT(!schema_is_bare(json("{\"type\":\"string\"}")));
}

// Each definition uses the next one twice: followed without a bound they would be 2^30 schemas.
static void references_do_not_blow_up(void)
{
    static char text[16 * KIB];
    size_t len = (size_t)snprintf(text, sizeof(text),
                                  "{\"properties\":{\"x\":{\"$ref\":\"#/$defs/d0\"}},\"$defs\":{");
    for (unsigned i = 0; i < 30; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len,
                                "\"d%u\":{\"properties\":{\"a\":{\"$ref\":\"#/$defs/d%u\"},\"b\":{"
                                "\"$ref\":\"#/$defs/d%u\"}}},",
                                i, i + 1, i + 1);
    snprintf(text + len, sizeof(text) - len, "\"d30\":{}}}");
    static char out[16 * MIB];
    static struct heap heap = { .scratch = { heap_take } };
    struct sink sink = sink_into(out, sizeof(out));
    (void)schema_put_reduced(&sink, json(text), &heap.scratch);
    EXPECT(!sink.failed);
    EXPECT((size_t)(sink.at - out) < 2 * MIB);
    EXPECT(heap.used < 32 * MIB);
    while (heap.count > 0)
        free(heap.list[--heap.count]);
}

static void deep_schemas_end(void)
{
    static char text[64 * KIB];
    size_t len = 0;
    for (unsigned i = 0; i < 200; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "{\"properties\":{\"a\":");
    len += (size_t)snprintf(text + len, sizeof(text) - len, "{}");
    for (unsigned i = 0; i < 200; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "}}");
    struct pad pad = PAD(pad_room, ROOM);
    struct sink sink = sink_into(written, sizeof(written));
    struct json_slice value;
    EXPECT(schema_put_reduced(&sink, json(text), &pad.scratch));
    EXPECT(json_check(span_of(written, (size_t)(sink.at - written)), &value));
    sink = sink_into(written, sizeof(written));
    schema_put_standard(&sink, json(text));
    EXPECT(json_check(span_of(written, (size_t)(sink.at - written)), &value));
    EXPECT(!schema_is_strict(json(text)));
}

static void little_memory_fails_the_sink(void)
{
    struct pad pad = PAD(pad_room, ROOM);
    pad.used = ROOM;
    struct sink sink = sink_into(written, sizeof(written));
    (void)schema_put_reduced(&sink, json("{\"properties\":{\"a\":{}}}"), &pad.scratch);
    EXPECT(sink.failed);
    sink = sink_into(written, sizeof(written));
    (void)schema_put_object(&sink, json("{\"anyOf\":[{\"properties\":{\"a\":{}}}]}"), &pad.scratch);
    EXPECT(sink.failed);
}

static void capitals_come_back(void) // C-035, the other way
{
    static const char *const cases[][2] = {
        { "{\"type\":\"OBJECT\",\"properties\":{\"type\":{\"type\":\"STRING\",\"nullable\":true},"
          "\"n\":{\"type\":\"ARRAY\",\"minItems\":\"3\",\"items\":{\"type\":\"INTEGER\"}}}}",
          "{\"type\":\"object\",\"properties\":{\"type\":{\"type\":[\"string\",\"null\"]},\"n\":{"
          "\"type\":\"array\",\"minItems\":3,\"items\":{\"type\":\"integer\"}}}}" },
        { "{\"anyOf\":[{\"type\":\"NUMBER\"},{\"type\":\"NULL\"}],\"nullable\":true}",
          "{\"anyOf\":[{\"type\":\"number\"},{\"type\":\"null\"}],\"nullable\":true}" },
        { "{\"type\":\"other\",\"nullable\":false,\"enum\":[\"A\"]}",
          "{\"type\":\"other\",\"enum\":[\"A\"]}" },
        { "{\"type\":\"STRING\",\"minLength\":\"x\"}",
          "{\"type\":\"string\",\"minLength\":\"x\"}" },
        // No number in JSON, however it reads.
        { "{\"type\":\"STRING\",\"minLength\":\"08\"}",
          "{\"type\":\"string\",\"minLength\":\"08\"}" },
        { "true", "true" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct sink sink = sink_into(written, sizeof(written));
        schema_put_standard(&sink, json(cases[i][0]));
        EXPECT_SPAN(span_of(written, (size_t)(sink.at - written)), cases[i][1]);
    }
}

static void strict_is_told(void) // C-120
{
    EXPECT(schema_is_strict(json("{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"}}"
                                 ",\"required\":[\"a\"],\"additionalProperties\":false}")));
    EXPECT(!schema_is_strict(json("{\"type\":\"object\",\"properties\":{\"a\":{}},\"required\":[],"
                                  "\"additionalProperties\":false}")));
    EXPECT(!schema_is_strict(json("{\"type\":\"object\",\"properties\":{}}")));
    EXPECT(!schema_is_strict(json("{\"type\":\"array\",\"items\":{\"type\":\"object\"}}")));
    EXPECT(!schema_is_strict(json("{\"type\":\"string\",\"anyOf\":[{\"type\":\"object\"}]}")));
}

TEST_MAIN(TEST(roots_are_objects), TEST(schemas_are_reduced), TEST(references_do_not_blow_up),
          TEST(deep_schemas_end), TEST(little_memory_fails_the_sink), TEST(capitals_come_back),
          TEST(strict_is_told))

// gemini_rig.h - what the tests of the Gemini format share: requests, streams and whole answers of
// any two formats, as text.
#ifndef PENSTOCK_TEST_GEMINI_RIG_H
#define PENSTOCK_TEST_GEMINI_RIG_H

#include "convert_rig.h"
#include "test.h"

#include "penstock/convert/convert.h"

enum { RIG_ROOM = 256 * KIB };

static const uint8_t rig_key[ENVELOPE_KEY_BYTES] = "the key of the envelopes in here";

static struct {
    struct scratch scratch;
    char room[RIG_ROOM];
    size_t used;
} rig_pad;

static void *rig_take(struct scratch *scratch, size_t size)
{
    (void)scratch;
    if (RIG_ROOM - rig_pad.used < size)
        return NULL;
    rig_pad.used += round_up(size, 16);
    return rig_pad.room + rig_pad.used - round_up(size, 16);
}

static struct scratch *rig_scratch(void)
{
    rig_pad.scratch.take = rig_take;
    rig_pad.used = 0;
    return &rig_pad.scratch;
}

static char rig_out[RIG_ROOM];

// JSON with single quotes, which are easier to read here, as it is meant. Two may be in use.
static const char *rig_json(const char *text)
{
    static char rooms[2][16 * KIB];
    static unsigned which;
    char *room = rooms[which++ % 2];
    size_t len = strlen(text);
    for (size_t i = 0; i <= len; i++)
        room[i] = text[i] == '\'' ? '"' : text[i];
    return room;
}

#define EXPECT_HAS(got, part)                                                                    \
    do {                                                                                         \
        const char *rig_got_ = (got), *rig_part_ = rig_json(part);                               \
        if (strstr(rig_got_, rig_part_) == NULL) {                                               \
            fprintf(stderr, "%s:%d: no %s in\n  %s\n", __FILE__, __LINE__, rig_part_, rig_got_); \
            test_failures++;                                                                     \
        }                                                                                        \
    } while (0)

#define EXPECT_HAS_NOT(got, part) EXPECT(strstr((got), rig_json(part)) == NULL)

// The text that was made, with a NUL behind it.
__attribute__((unused)) static const char *rig_text(const struct sink *sink)
{
    rig_out[sink->at - rig_out] = '\0';
    return rig_out;
}

__attribute__((unused)) static struct sink rig_sink(void)
{
    return sink_into(rig_out, sizeof(rig_out) - 1);
}

__attribute__((unused)) static enum wire_id rig_wire(enum wire_family family)
{
    static const enum wire_id wires[] = { [FAMILY_OPENAI] = WIRE_CHAT,
                                          [FAMILY_RESPONSES] = WIRE_RESPONSES,
                                          [FAMILY_ANTHROPIC] = WIRE_MESSAGES,
                                          [FAMILY_GEMINI] = WIRE_GEMINI };
    return wires[family];
}

__attribute__((unused)) static struct answer_facts rig_facts(void)
{
    struct answer_facts facts = { .model = SPAN("m"), .id = SPAN("r1"), .key = rig_key };
    facts.scratch = rig_scratch();
    facts.thoughts_wanted = facts.envelopes_wanted = true;
    return facts;
}

#endif

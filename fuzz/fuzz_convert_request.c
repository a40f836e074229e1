// Requests of any format for a vendor of any format: a body of valid JSON that is the same each
// time, whatever the memory is like; what is lost is told in a header's characters, and refused
// where it has to be strict.
#include "convert_rig.h"

static struct caps caps_from(struct dice *dice)
{
    struct caps caps = { .official = roll(dice, 2) };
    caps.reasons = (uint8_t)roll(dice, REASONS_NOT + 1);
    unsigned flags = roll(dice, 256), more = roll(dice, 256);
    caps.always_thinks = (flags & 1) != 0;
    caps.no_forced_tool = (flags & 2) != 0;
    caps.no_sampling = (flags & 4) != 0;
    caps.one_sampling = (flags & 8) != 0;
    caps.old_cap = (flags & 16) != 0;
    caps.developer_role = (flags & 32) != 0;
    caps.single_system = (flags & 64) != 0;
    caps.late_system = (flags & 128) != 0;
    caps.text_parts = (more & 1) != 0;
    caps.custom_tools = (more & 2) != 0;
    caps.native_schema = (more & 4) != 0;
    caps.prefill = (more & 8) != 0;
    caps.call_ids = (more & 16) != 0;
    caps.json_schema = (more & 32) != 0;
    caps.needs_reasoning = (more & 64) != 0;
    caps.signs_calls = (more & 128) != 0;
    caps.dialect = true;
    caps.efforts = roll(dice, 256);
    caps.output_max = roll(dice, 2) * 4096;
    return caps;
}

struct attempt {
    struct prompt prompt;
    struct losses losses;
    struct heap heap;
    struct output out;
    bool parsed, rendered;
};

static void convert(struct attempt *attempt, const struct converter *from,
                    const struct converter *to, struct span body, const struct caps *caps,
                    bool strict)
{
    static const uint8_t key[ENVELOPE_KEY_BYTES] = { 1 };
    struct json_slice root;
    struct prompt_parse parse;
    heap_init(&attempt->heap);
    output_init(&attempt->out);
    losses_init(&attempt->losses, strict);
    attempt->parsed = attempt->rendered = false;
    assert(json_check(body, &root));
    prompt_begin(&parse, &attempt->prompt, from->family, body, &attempt->heap.scratch,
                 &attempt->losses);
    parse.key = key;
    attempt->parsed = from->parse(&parse, root);
    assert(attempt->parsed != failed(parse.err));
    assert(attempt->parsed || memchr(parse.path, '\0', sizeof(parse.path)) != NULL);
    if (!attempt->parsed)
        return;
    struct render render = { .prompt = &attempt->prompt,
                             .caps = caps,
                             .model = SPAN("vendor/model"),
                             .losses = &attempt->losses,
                             .scratch = &attempt->heap.scratch,
                             .key = key };
    attempt->rendered = to->render(&render, &attempt->out.sink);
    assert(!attempt->rendered || !attempt->losses.refused);
}

static void attempt_fini(struct attempt *attempt)
{
    heap_fini(&attempt->heap);
    output_fini(&attempt->out);
}

static void judge_losses(const struct losses *losses)
{
    struct span lists[] = { losses_dropped(losses), losses_adjusted(losses) };
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        assert(lists[i].len <= LOSS_TEXT_MAX);
        for (size_t at = 0; at < lists[i].len; at++)
            assert(lists[i].ptr[at] > ' ' && lists[i].ptr[at] < 0x7f);
    }
    assert(!losses->refused || losses->why != NULL);
}

// data: six bytes of what the model can do, two of the formats, then a body.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct attempt first, second, strict;
    struct dice dice = { data, data + min_size(size, 8) };
    if (size < 8)
        return 0;
    struct caps caps = caps_from(&dice);
    const struct converter *from = format_at(data[6]), *to = format_at(data[7]);
    struct json_slice root;
    char *copy = malloc(size);
    memcpy(copy, data + 8, size - 8);
    struct span body = span_of(copy, size - 8);
    if (from != NULL && to != NULL && json_check(body, &root)) {
        convert(&first, from, to, body, &caps, false);
        convert(&second, from, to, body, &caps, false);
        convert(&strict, from, to, body, &caps, true);
        assert(first.parsed == second.parsed && first.rendered == second.rendered);
        assert(first.parsed == strict.parsed);
        judge_losses(&first.losses);
        if (first.rendered) {
            struct span text = output_text(&first.out);
            judge_json(text);
            assert(span_eq(text, output_text(&second.out)));
            bool lost = first.losses.count[LOSS_DROP] + first.losses.count[LOSS_ADJUST] > 0;
            assert(strict.rendered == !lost);
            assert(lost || span_eq(text, output_text(&strict.out)));
        }
        attempt_fini(&first);
        attempt_fini(&second);
        attempt_fini(&strict);
    }
    free(copy);
    return 0;
}

// Whole answers of any format for a client of any format: valid JSON, the same whether they are
// written at once or played as deltas and collected again, and a stream of them is a stream.
#include "convert_rig.h"

struct writing {
    struct output out;
    struct heap heap;
    struct answer_facts facts;
};

static void writing_init(struct writing *writing, unsigned wanted)
{
    heap_init(&writing->heap);
    output_init(&writing->out);
    writing->facts = (struct answer_facts){ .id = SPAN("id"), .model = SPAN("m"), .random = 7 };
    writing->facts.usage_wanted = true;
    writing->facts.thoughts_wanted = (wanted & 1) != 0;
    writing->facts.envelopes_wanted = (wanted & 2) != 0;
    writing->facts.scratch = &writing->heap.scratch;
    writing->facts.request = SPAN("{\"model\":\"m\",\"input\":\"x\"}");
}

static void writing_fini(struct writing *writing)
{
    output_fini(&writing->out);
    heap_fini(&writing->heap);
}

static void write_stream(const struct converter *to, const struct completion *completion,
                         unsigned wanted)
{
    static struct writing writing;
    static struct encode encode;
    writing_init(&writing, wanted);
    encode_init(&encode, to, &writing.facts, &writing.out.sink, &chunks, 1 * MIB);
    completion_play(completion, encode_put, &encode);
    struct usage usage = { 0 };
    encode_end(&encode, &usage);
    if (!encode.failed)
        judge_stream(output_text(&writing.out));
    encode_fini(&encode);
    writing_fini(&writing);
}

// data: three bytes that choose, then an answer.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct completion completion, collected;
    static struct writing once, again;
    struct json_slice root;
    if (size < 3)
        return 0;
    const struct converter *from = format_at(data[0]), *to = format_at(data[1]);
    char *copy = malloc(size - 3 + 1);
    memcpy(copy, data + 3, size - 3);
    if (from != NULL && to != NULL && json_check(span_of(copy, size - 3), &root)) {
        completion_init(&completion, &chunks, 1 * MIB);
        completion_init(&collected, &chunks, 1 * MIB);
        writing_init(&once, data[2]);
        writing_init(&again, data[2]);
        if (from->read_whole(&completion, root)) {
            to->write_whole(&completion, &once.facts, &once.out.sink);
            assert(!once.out.sink.failed);
            judge_json(output_text(&once.out));
            write_stream(to, &completion, data[2]);
            completion_play(&completion, completion_collect, &collected);
            to->write_whole(&collected, &again.facts, &again.out.sink);
            if (!completion_failed(&collected))
                judge_json(output_text(&again.out));
        }
        writing_fini(&once);
        writing_fini(&again);
        completion_fini(&completion);
        completion_fini(&collected);
    }
    free(copy);
    return 0;
}

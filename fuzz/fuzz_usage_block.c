// Any bytes as a stored block of usage, with its checksum unasked, as after damage that the
// checksum misses: it is read to its end or refused, and what reads as a whole is written back the
// same.
#include "penstock/base/check.h"
#include "penstock/base/guard.h"
#include "penstock/store/usage_block.h"

static struct usage_block_writer writer;

// The entries of `value` once more, written by us. False if they do not all fit, which a block that
// somebody else wrote may be the reason of.
static bool write_again(struct span value, struct span *out)
{
    struct usage_block_reader reader;
    struct usage_entry entry;
    verify(!failed(usage_block_open(&reader, value)));
    usage_block_begin(&writer, &reader.block.id, reader.block.previous, reader.block.order_ns);
    while (usage_block_next(&reader, &entry) == PARSE_DATA)
        if (entry.is_summary ? !usage_block_add_summary(&writer, &entry.summary)
                             : !usage_block_add(&writer, &entry.record))
            return false;
    *out = usage_block_finish(&writer, reader.block.span);
    return true;
}

static void check_same(struct span value, struct span again)
{
    struct usage_block_reader before, after;
    struct usage_entry want, got;
    verify(!failed(usage_block_open(&before, value)));
    verify(!failed(usage_block_open(&after, again)));
    assert(after.block.count == before.block.count);
    assert(after.block.id.first == before.block.id.first);
    for (;;) {
        const enum parse parse = usage_block_next(&before, &want);
        assert(usage_block_next(&after, &got) == parse);
        if (parse != PARSE_DATA) {
            assert(parse == PARSE_DONE);
            return;
        }
        assert(got.sequence == want.sequence && got.order_ns == want.order_ns);
        assert(got.is_summary == want.is_summary);
        if (want.is_summary)
            assert(memcmp(&got.summary, &want.summary, sizeof(want.summary)) == 0);
        else
            assert(memcmp(&got.record, &want.record, sizeof(want.record)) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    guard_set(GUARD_STORE_BLOCK_CRC, true);
    const struct span value = span_of(data, size);
    struct usage_block_id id;
    if (usage_block_key_read(value, &id)) {
        uint8_t key[USAGE_BLOCK_KEY_BYTES];
        usage_block_key(&id, key);
        assert(memcmp(key, data, sizeof(key)) == 0);
    }
    struct usage_block_reader reader;
    if (failed(usage_block_open(&reader, value)))
        return 0;
    struct usage_entry entry;
    enum parse parse;
    uint32_t count = 0;
    while ((parse = usage_block_next(&reader, &entry)) == PARSE_DATA)
        count++;
    assert(count <= reader.block.count);
    struct span again;
    if (parse == PARSE_DONE && write_again(value, &again))
        check_same(value, again);
    return 0;
}

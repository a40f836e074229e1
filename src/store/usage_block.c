#include "penstock/store/usage_block.h"

#include "bytes.h"
#include "penstock/base/check.h"
#include "penstock/base/guard.h"
#include "penstock/store/crc32c.h"

#include <sodium.h>

enum {
    MAGIC = 0x31425550, // "PUB1"
    FLAG_SUMMARY = BIT(0),
    CRC_OFFSET = 8,
    FIXED_BYTES = 12,
    // Fixed part, six numbers of the identity and times, the sums, the hash.
    HEAD_SUM = FIXED_BYTES + 8 * VARINT_MAX + USAGE_SUM_WORDS * VARINT_MAX + USAGE_BLOCK_HASH_BYTES,
    // A record: its id, 21 numbers, the vendor's id. A summary: 7 numbers and the sums.
    RECORD_SUM =
        2 + USAGE_ID_BYTES + 21 * VARINT_MAX + 4 + 16 + USAGE_VENDOR_ID_MAX + USAGE_TOKEN_COUNT * 5,
    SUMMARY_SUM = 2 + 7 * VARINT_MAX + 16 + USAGE_SUM_WORDS * VARINT_MAX,
};
_Static_assert((int)HEAD_SUM <= (int)USAGE_BLOCK_HEAD_MAX,
               "the head fits what is kept free for it");
_Static_assert((int)RECORD_SUM <= (int)USAGE_ENTRY_MAX, "a record fits");
_Static_assert((int)SUMMARY_SUM <= (int)USAGE_ENTRY_MAX, "a summary fits");
_Static_assert(USAGE_ENTRY_MAX < 1 << 14, "an entry's length takes at most two bytes");

void usage_block_key(const struct usage_block_id *id, uint8_t out[USAGE_BLOCK_KEY_BYTES])
{
    uint8_t *at = put_be32(out, id->hour);
    at = put_be32(at, id->boot);
    at = put_be16(at, id->shard);
    put_be64(at, id->first);
}

bool usage_block_key_read(struct span key, struct usage_block_id *out)
{
    if (key.len != USAGE_BLOCK_KEY_BYTES)
        return false;
    const uint8_t *at = (const uint8_t *)key.ptr;
    *out = (struct usage_block_id){
        .hour = get_be32(at),
        .boot = get_be32(at + 4),
        .shard = get_be16(at + 8),
        .first = get_be64(at + 10),
    };
    return true;
}

// The sums as words: every member is one, and only the two costs have a sign.
static void sums_words(const struct usage_sums *sums, uint64_t words[USAGE_SUM_WORDS])
{
    memcpy(words, sums, sizeof(*sums));
    words[USAGE_SUM_WORDS - 2] = zigzag(sums->cost_real_nano);
    words[USAGE_SUM_WORDS - 1] = zigzag(sums->cost_rated_nano);
}

uint8_t *usage_sums_put(uint8_t *at, const struct usage_sums *sums)
{
    uint64_t words[USAGE_SUM_WORDS];
    sums_words(sums, words);
    for (int i = 0; i < USAGE_SUM_WORDS; i++)
        at = put_var(at, words[i]);
    return at;
}

void usage_sums_get(struct reader *reader, struct usage_sums *out)
{
    uint64_t words[USAGE_SUM_WORDS];
    for (int i = 0; i < USAGE_SUM_WORDS; i++)
        words[i] = get_var(reader);
    words[USAGE_SUM_WORDS - 2] = (uint64_t)unzigzag(words[USAGE_SUM_WORDS - 2]);
    words[USAGE_SUM_WORDS - 1] = (uint64_t)unzigzag(words[USAGE_SUM_WORDS - 1]);
    memcpy(out, words, sizeof(*out));
}

// Error codes are numbered by the order of a table that may change, so what is stored is a hash of
// the name (FNV-1a).
static uint32_t err_to_id(enum err_code code)
{
    if (code == ERR_NONE)
        return 0;
    uint32_t hash = 0x811c9dc5;
    for (const char *name = err_name(code); *name != '\0'; name++)
        hash = (hash ^ (unsigned char)*name) * 0x01000193;
    return hash;
}

static uint16_t err_from_id(uint32_t id)
{
    if (id == 0)
        return ERR_NONE;
    for (uint16_t code = ERR_NONE + 1; code < ERR_CODE_COUNT; code++)
        if (err_to_id(code) == id)
            return code;
    return ERR_INTERNAL; // a code that this version does not know
}

void usage_block_begin(struct usage_block_writer *writer, const struct usage_block_id *id,
                       const uint8_t previous[USAGE_BLOCK_HASH_BYTES], uint64_t order_ns)
{
    writer->block =
        (struct usage_block){ .id = *id, .order_ns = order_ns, .time_min_ns = UINT64_MAX };
    memcpy(writer->block.previous, previous, USAGE_BLOCK_HASH_BYTES);
    writer->len = 0;
    writer->time_last = 0;
}

static void count_entry(struct usage_block_writer *writer, uint64_t time_ns)
{
    struct usage_block *block = &writer->block;
    block->count++;
    block->time_min_ns = min_u64(block->time_min_ns, time_ns);
    block->time_max_ns = max_u64(block->time_max_ns, time_ns);
    usage_sums_add(&block->sums, &writer->added);
    writer->time_last = time_ns;
}

static bool is_full(const struct usage_block_writer *writer)
{
    return writer->block.count >= USAGE_BLOCK_ENTRIES_MAX ||
           USAGE_BLOCK_HEAD_MAX + writer->len + USAGE_ENTRY_MAX > USAGE_BLOCK_BYTES_MAX;
}

// Puts the length before the entry, which was written where it belongs if the length takes one
// byte; two move it.
static void close_entry(struct usage_block_writer *writer, uint8_t *start, uint8_t *end)
{
    const size_t len = (size_t)(end - (start + 1));
    assert(len + 2 <= USAGE_ENTRY_MAX);
    if (unlikely(len >= 0x80))
        memmove(start + 2, start + 1, len);
    writer->len += (size_t)(put_var(start, len) - start) + len;
}

bool usage_block_add(struct usage_block_writer *writer, const struct usage_record *record)
{
    assert(!writer->block.is_summary);
    if (is_full(writer))
        return false;
    uint64_t settled = usage_settled_ns(record);
    uint8_t *start = writer->bytes + USAGE_BLOCK_HEAD_MAX + writer->len;
    uint8_t *at = put_bytes(start + 1, record->request_id, USAGE_ID_BYTES);
    at = put_var(at, zigzag((int64_t)(settled - writer->time_last)));
    at = put_var(at, record->total_us);
    at = put_var(at, record->queue_us);
    at = put_var(at, record->ttft_us);
    at = put_var(at, record->key_id);
    at = put_var(at, record->account_id);
    at = put_le64(at, record->model_id);
    at = put_var(at, record->vendor_model_id == record->model_id ? 0 : record->vendor_model_id);
    for (int i = 0; i < USAGE_TOKEN_COUNT; i++)
        at = put_var(at, record->tokens[i]);
    at = put_var(at, record->bytes_in);
    at = put_var(at, record->bytes_out);
    at = put_var(at, zigzag(record->cost_real_nano));
    at = put_var(at, zigzag(record->cost_rated_nano));
    at = put_var(at, record->price_version);
    at = put_var(at, record->status);
    at = put_var(at, err_to_id(record->err));
    at = put_var(at, record->flags);
    const uint8_t small[] = { record->kind, record->format, record->route, record->attempts,
                              record->account_reason };
    at = put_bytes(at, small, sizeof(small));
    *at++ = record->vendor_id_len;
    at = put_bytes(at, record->vendor_id, record->vendor_id_len);
    close_entry(writer, start, at);
    usage_sums_of(record, &writer->added);
    count_entry(writer, settled);
    return true;
}

static uint64_t bucket_ns(uint32_t bucket)
{
    return (uint64_t)bucket * USAGE_BUCKET_S * NS_PER_S;
}

bool usage_block_add_summary(struct usage_block_writer *writer, const struct usage_summary *summary)
{
    assert(writer->block.is_summary || writer->block.count == 0);
    if (is_full(writer))
        return false;
    writer->block.is_summary = true;
    uint8_t *start = writer->bytes + USAGE_BLOCK_HEAD_MAX + writer->len;
    uint8_t *at = put_var(start + 1, summary->bucket);
    at = put_var(at, summary->key_id);
    at = put_var(at, summary->account_id);
    at = put_le64(at, summary->model_id);
    *at++ = summary->format;
    *at++ = summary->kind;
    at = usage_sums_put(at, &summary->sums);
    close_entry(writer, start, at);
    writer->added = summary->sums;
    count_entry(writer, bucket_ns(summary->bucket));
    return true;
}

struct span usage_block_finish(struct usage_block_writer *writer, uint32_t span)
{
    struct usage_block *block = &writer->block;
    assert(block->count > 0);
    block->span = block->is_summary ? span : block->count;
    uint8_t head[USAGE_BLOCK_HEAD_MAX];
    uint8_t *at = put_le32(head, MAGIC);
    *at++ = USAGE_BLOCK_VERSION;
    *at++ = block->is_summary ? FLAG_SUMMARY : 0;
    const uint16_t count = (uint16_t)block->count;
    at = put_bytes(at, &count, sizeof(count));
    at = put_le32(at, 0); // the checksum, below
    at = put_var(at, block->id.hour);
    at = put_var(at, block->id.boot);
    at = put_var(at, block->id.shard);
    at = put_var(at, block->id.first);
    at = put_var(at, block->span);
    at = put_var(at, block->time_min_ns);
    at = put_var(at, block->time_max_ns - block->time_min_ns);
    at = put_var(at, block->order_ns);
    at = usage_sums_put(at, &block->sums);
    at = put_bytes(at, block->previous, USAGE_BLOCK_HASH_BYTES);
    size_t head_len = (size_t)(at - head);
    assert(head_len <= USAGE_BLOCK_HEAD_MAX);
    // The entries lie behind the room for the longest head; the head goes right before them.
    uint8_t *value = writer->bytes + USAGE_BLOCK_HEAD_MAX - head_len;
    memcpy(value, head, head_len);
    struct span whole = span_of(value, head_len + writer->len);
    put_le32(value + CRC_OFFSET, crc32c(whole));
    return whole;
}

void usage_block_hash(struct span value, uint8_t out[USAGE_BLOCK_HASH_BYTES])
{
    _Static_assert((int)USAGE_BLOCK_HASH_BYTES >= (int)crypto_generichash_BYTES_MIN, "BLAKE2b");
    verify(crypto_generichash(out, USAGE_BLOCK_HASH_BYTES, (const unsigned char *)value.ptr,
                              value.len, NULL, 0) == 0);
}

// The checksum is over the value with zeroes in its own place; CRC is linear, but copying 64 KB to
// use that would cost more than two passes over the head.
static bool checksum_is_right(struct span value)
{
    uint8_t head[FIXED_BYTES];
    memcpy(head, value.ptr, sizeof(head));
    uint32_t want;
    memcpy(&want, head + CRC_OFFSET, sizeof(want));
    memset(head + CRC_OFFSET, 0, sizeof(want));
    return crc32c_more(crc32c(span_of(head, sizeof(head))), span_from(value, FIXED_BYTES)) == want;
}

struct err usage_block_peek(struct span value, struct usage_block *out, size_t *head_len)
{
    *out = (struct usage_block){ 0 };
    if (value.len < FIXED_BYTES || value.len > USAGE_BLOCK_BYTES_MAX)
        return ERR(STORE_CORRUPT);
    struct reader in = reader_of(value);
    bool known = get_u32(&in) == MAGIC;
    known &= get_u8(&in) == USAGE_BLOCK_VERSION;
    uint8_t flags = get_u8(&in);
    uint16_t count;
    get_copy(&in, &count, sizeof(count));
    get_u32(&in);
    out->is_summary = (flags & FLAG_SUMMARY) != 0;
    out->count = count;
    out->id.hour = (uint32_t)get_var_max(&in, UINT32_MAX);
    out->id.boot = (uint32_t)get_var_max(&in, UINT32_MAX);
    out->id.shard = (uint16_t)get_var_max(&in, UINT16_MAX);
    out->id.first = get_var(&in);
    out->span = (uint32_t)get_var_max(&in, UINT32_MAX);
    out->time_min_ns = get_var(&in);
    out->time_max_ns = out->time_min_ns + get_var(&in);
    out->order_ns = get_var(&in);
    usage_sums_get(&in, &out->sums);
    get_copy(&in, out->previous, USAGE_BLOCK_HASH_BYTES);
    if (!known || in.bad || count == 0 || count > USAGE_BLOCK_ENTRIES_MAX || out->span == 0)
        return ERR(STORE_CORRUPT);
    *head_len = (size_t)(in.at - (const uint8_t *)value.ptr);
    return OK;
}

struct err usage_block_open(struct usage_block_reader *reader, struct span value)
{
    *reader = (struct usage_block_reader){ 0 };
    size_t head_len;
    TRY(usage_block_peek(value, &reader->block, &head_len));
    if (!checksum_is_right(value) && GUARD(STORE_BLOCK_CRC))
        return ERR(STORE_CORRUPT);
    reader->at = (const uint8_t *)value.ptr + head_len;
    reader->end = (const uint8_t *)value.ptr + value.len;
    reader->order_last = reader->block.order_ns;
    return OK;
}

static void read_record(struct reader *in, uint64_t time_last, struct usage_record *record)
{
    *record = (struct usage_record){ 0 };
    get_copy(in, record->request_id, USAGE_ID_BYTES);
    uint64_t settled = time_last + (uint64_t)unzigzag(get_var(in));
    record->total_us = get_var(in);
    record->start_ns = settled - record->total_us * NS_PER_US;
    record->queue_us = (uint32_t)get_var_max(in, UINT32_MAX);
    record->ttft_us = (uint32_t)get_var_max(in, UINT32_MAX);
    record->key_id = get_var(in);
    record->account_id = get_var(in);
    record->model_id = get_u64(in);
    record->vendor_model_id = get_var(in);
    for (int i = 0; i < USAGE_TOKEN_COUNT; i++)
        record->tokens[i] = (uint32_t)get_var_max(in, USAGE_TOKENS_MAX);
    record->bytes_in = get_var(in);
    record->bytes_out = get_var(in);
    record->cost_real_nano = unzigzag(get_var(in));
    record->cost_rated_nano = unzigzag(get_var(in));
    record->price_version = (uint32_t)get_var_max(in, UINT32_MAX);
    record->status = (uint16_t)get_var_max(in, UINT16_MAX);
    record->err = err_from_id((uint32_t)get_var_max(in, UINT32_MAX));
    record->flags = (uint16_t)get_var_max(in, UINT16_MAX);
    record->kind = get_u8(in);
    record->format = get_u8(in);
    record->route = get_u8(in);
    record->attempts = get_u8(in);
    record->account_reason = get_u8(in);
    record->vendor_id_len = get_u8(in);
    if (record->vendor_id_len > USAGE_VENDOR_ID_MAX)
        in->bad = true;
    else
        get_copy(in, record->vendor_id, record->vendor_id_len);
}

static void read_summary(struct reader *in, struct usage_summary *summary)
{
    *summary = (struct usage_summary){ 0 };
    summary->bucket = (uint32_t)get_var_max(in, UINT32_MAX);
    summary->key_id = get_var(in);
    summary->account_id = get_var(in);
    summary->model_id = get_u64(in);
    summary->format = get_u8(in);
    summary->kind = get_u8(in);
    usage_sums_get(in, &summary->sums);
}

enum parse usage_block_next(struct usage_block_reader *reader, struct usage_entry *out)
{
    const struct usage_block *block = &reader->block;
    if (reader->index == block->count) {
        bool same = memcmp(&reader->sums, &block->sums, sizeof(reader->sums)) == 0;
        return same && reader->at == reader->end ? PARSE_DONE : PARSE_BAD;
    }
    struct reader in = { reader->at, reader->end, false };
    const size_t len = get_var_max(&in, USAGE_BLOCK_BYTES_MAX);
    const uint8_t *body = get_bytes(&in, len);
    if (body == NULL)
        return PARSE_BAD;
    struct reader entry = reader_of(span_of(body, len));
    out->is_summary = block->is_summary;
    out->sequence = block->id.first + reader->index;
    uint64_t time_ns;
    if (block->is_summary) {
        read_summary(&entry, &out->summary);
        time_ns = bucket_ns(out->summary.bucket);
    } else {
        read_record(&entry, reader->time_last, &out->record);
        time_ns = usage_settled_ns(&out->record);
    }
    if (entry.bad)
        return PARSE_BAD;
    reader->at = in.at;
    reader->index++;
    reader->time_last = time_ns;
    reader->order_last = max_u64(reader->order_last, time_ns);
    out->order_ns = reader->order_last;
    struct usage_sums sums;
    usage_entry_sums(out, &sums);
    usage_sums_add(&reader->sums, &sums);
    return PARSE_DATA;
}

void usage_entry_sums(const struct usage_entry *entry, struct usage_sums *out)
{
    if (entry->is_summary)
        *out = entry->summary.sums;
    else
        usage_sums_of(&entry->record, out);
}

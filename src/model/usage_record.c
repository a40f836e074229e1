#include "penstock/model/usage_record.h"

#include "penstock/base/check.h"

#include <sodium.h>

uint64_t usage_model_id(struct span name)
{
    // The key is public: it only fixes the function. Names come from clients with a valid key, and
    // a collision would move usage between two names of the same client.
    static const unsigned char key[crypto_shorthash_KEYBYTES] = "penstock.model";
    if (name.len == 0)
        return 0;
    uint64_t id;
    _Static_assert(sizeof(id) == crypto_shorthash_BYTES, "one word");
    crypto_shorthash((unsigned char *)&id, (const unsigned char *)name.ptr, name.len, key);
    return id == 0 || id == USAGE_MODEL_OTHER ? 1 : id;
}

// The longest prefix of `text` that fits `cap` and ends at a character of UTF-8.
size_t usage_text_cut(struct span text, size_t cap)
{
    if (text.len <= cap)
        return text.len;
    size_t len = cap;
    while (len > 0 && ((unsigned char)text.ptr[len] & 0xc0) == 0x80)
        len--;
    return len;
}

void usage_record_set_model(struct usage_record *record, struct span name, uint64_t id)
{
    record->model_id = id != 0 ? id : usage_model_id(name);
    size_t len = usage_text_cut(name, USAGE_MODEL_MAX);
    if (len > 0)
        memcpy(record->model, name.ptr, len);
    record->model_len = (uint8_t)len;
}

void usage_record_set_vendor_id(struct usage_record *record, struct span id)
{
    size_t len = usage_text_cut(id, USAGE_VENDOR_ID_MAX);
    if (len > 0)
        memcpy(record->vendor_id, id.ptr, len);
    record->vendor_id_len = (uint8_t)len;
}

void usage_record_clamp(struct usage_record *record)
{
    for (int i = 0; i < USAGE_TOKEN_COUNT; i++)
        if (record->tokens[i] > USAGE_TOKENS_MAX)
            record->tokens[i] = USAGE_TOKENS_MAX;
    record->total_us = min_u64(record->total_us, USAGE_TOTAL_US_MAX);
    record->start_ns = min_u64(record->start_ns, INT64_MAX);
    if (record->model_len > USAGE_MODEL_MAX)
        record->model_len = USAGE_MODEL_MAX;
    if (record->vendor_id_len > USAGE_VENDOR_ID_MAX)
        record->vendor_id_len = USAGE_VENDOR_ID_MAX;
    if (record->kind >= USAGE_KIND_COUNT)
        record->kind = USAGE_REQUEST;
}

uint64_t usage_settled_ns(const struct usage_record *record)
{
    return record->start_ns + record->total_us * NS_PER_US;
}

void usage_sums_of(const struct usage_record *record, struct usage_sums *out)
{
    *out = (struct usage_sums){
        .requests = 1,
        .errors = record->status >= 400 || record->err != 0,
        .estimated = (record->flags & USAGE_ESTIMATED) != 0,
        .gone = (record->flags & USAGE_CLIENT_GONE) != 0,
        .bytes_in = record->bytes_in,
        .bytes_out = record->bytes_out,
        .total_us = record->total_us,
        .ttft_us = record->ttft_us,
        .ttft_count = record->ttft_us != 0,
        .cost_real_nano = record->cost_real_nano,
        .cost_rated_nano = record->cost_rated_nano,
    };
    for (int i = 0; i < USAGE_TOKEN_COUNT; i++)
        out->tokens[i] = record->tokens[i];
}

static bool add_count(uint64_t *sum, uint64_t more)
{
    if (!__builtin_add_overflow(*sum, more, sum))
        return false;
    *sum = UINT64_MAX;
    return true;
}

static bool add_money(int64_t *sum, int64_t more)
{
    if (!__builtin_add_overflow(*sum, more, sum))
        return false;
    *sum = more > 0 ? INT64_MAX : INT64_MIN;
    return true;
}

bool usage_sums_add(struct usage_sums *sums, const struct usage_sums *more)
{
    bool full = add_count(&sums->requests, more->requests);
    full |= add_count(&sums->errors, more->errors);
    full |= add_count(&sums->estimated, more->estimated);
    full |= add_count(&sums->gone, more->gone);
    for (int i = 0; i < USAGE_TOKEN_COUNT; i++)
        full |= add_count(&sums->tokens[i], more->tokens[i]);
    full |= add_count(&sums->bytes_in, more->bytes_in);
    full |= add_count(&sums->bytes_out, more->bytes_out);
    full |= add_count(&sums->total_us, more->total_us);
    full |= add_count(&sums->ttft_us, more->ttft_us);
    full |= add_count(&sums->ttft_count, more->ttft_count);
    full |= add_money(&sums->cost_real_nano, more->cost_real_nano);
    full |= add_money(&sums->cost_rated_nano, more->cost_rated_nano);
    return full;
}

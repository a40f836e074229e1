// What was used: sums by key, account, model and day, and single requests.
#include "api_impl.h"
#include "penstock/model/format.h"
#include "penstock/model/unit.h"
#include "penstock/wire/route.h"

#include <stdio.h>
#include <stdlib.h>

enum { DETAIL_PAGE_MAX = 500, CURSOR_ROOM = 128, PARAM_ROOM = 768 };
#define DAY_NS (UINT64_C(86400) * NS_PER_S)
#define USAGE_DAYS_DEFAULT 30

// --- reading the query ---

// A time, or a date for its first instant in the reader's time zone.
static bool read_time(const struct api_call *call, const char *name, int32_t offset_s,
                      uint64_t *out)
{
    char room[64];
    struct span text;
    if (!api_param(call, name, room, sizeof(room), &text))
        return true;
    if (!time_parse(text, out))
        return false;
    if (text.len == 10)
        *out -= (uint64_t)((int64_t)offset_s * (int64_t)NS_PER_S);
    return true;
}

// "utc", "+08:00", "-0330".
static bool read_tz(const struct api_call *call, int32_t *out)
{
    char room[16];
    struct span text;
    *out = 0;
    if (!api_param(call, "tz", room, sizeof(room), &text) || span_eq_nocase(text, SPAN("utc")) ||
        span_eq(text, SPAN("Z")))
        return true;
    uint64_t hours, minutes;
    // A plus sign that was not escaped arrives as a space.
    const bool has_sign = text.len > 0 && strchr("+- ", text.ptr[0]) != NULL;
    const bool has_colon = text.len == 6 && text.ptr[3] == ':';
    if (!has_sign || (text.len != 5 && !has_colon) || !span_u64(span_of(text.ptr + 1, 2), &hours) ||
        !span_u64(span_of(text.ptr + (has_colon ? 4 : 3), 2), &minutes) || hours > 14 ||
        minutes > 59 || minutes % 15 != 0)
        return false;
    const int32_t seconds = (int32_t)(hours * 3600 + minutes * 60);
    *out = text.ptr[0] == '-' ? -seconds : seconds;
    return true;
}

// An object by its id or its name; 0: all. False: there is no such object.
static bool read_object(const struct api_call *call, const char *name, enum entity_kind kind,
                        uint64_t *out)
{
    char room[PARAM_ROOM];
    struct span text;
    *out = 0;
    if (!api_param(call, name, room, sizeof(room), &text))
        return true;
    const struct entity *entity = registry_get(call->api->registry, kind, text);
    if (entity == NULL)
        entity = registry_by_name(call->api->registry, kind, text);
    // The id of an object that was removed still stands in its records.
    struct registry_name gone;
    *out = entity != NULL ? entity->usage_id : usage_model_id(text);
    return entity != NULL || registry_usage_name(call->api->registry, kind, *out, &gone);
}

static void read_model(const struct api_call *call, uint64_t *out)
{
    char room[PARAM_ROOM];
    struct span text;
    *out = api_param(call, "model", room, sizeof(room), &text) ? usage_model_id(text) : 0;
}

static bool read_groups(const struct api_call *call, uint32_t *out)
{
    static const struct {
        const char *name;
        enum usage_group group;
    } groups[] = {
        { "key", USAGE_BY_KEY },       { "account", USAGE_BY_ACCOUNT }, { "model", USAGE_BY_MODEL },
        { "format", USAGE_BY_FORMAT }, { "day", USAGE_BY_DAY },
    };
    char room[128];
    struct span rest;
    *out = 0;
    if (!api_param(call, "by", room, sizeof(room), &rest))
        return true;
    while (rest.len > 0) {
        const size_t len = span_find(rest, ',');
        size_t at = 0;
        while (at < ARRAY_LEN(groups) && !span_eq(span_upto(rest, len), span_str(groups[at].name)))
            at++;
        if (at == ARRAY_LEN(groups))
            return false;
        *out |= (uint32_t)groups[at].group;
        rest = span_from(rest, min_size(len + 1, rest.len));
    }
    return true;
}

// True if everything was good; otherwise the call is answered.
static bool read_range(struct api_call *call, int32_t offset_s, uint64_t *from, uint64_t *to,
                       uint64_t *key, uint64_t *account)
{
    const uint64_t now = env_wall_ns(call->api->env);
    const uint64_t bucket = (uint64_t)USAGE_BUCKET_S * NS_PER_S;
    *to = (now / bucket + 1) * bucket;
    *from = now / DAY_NS * DAY_NS - USAGE_DAYS_DEFAULT * DAY_NS;
    if (!read_time(call, "from", offset_s, from))
        api_bad_query(call, "from", "must be a time such as 2026-01-31 or 2026-01-31T12:00:00Z");
    else if (!read_time(call, "to", offset_s, to))
        api_bad_query(call, "to", "must be a time such as 2026-01-31 or 2026-01-31T12:00:00Z");
    else if (*from >= *to)
        api_bad_query(call, "from", "must be before `to`");
    else if (!read_object(call, "key", ENTITY_KEY, key))
        api_problem(call, ERR(NOT_FOUND), "there is no such key", NULL);
    else if (!read_object(call, "account", ENTITY_ACCOUNT, account))
        api_problem(call, ERR(NOT_FOUND), "there is no such account", NULL);
    else
        return true;
    return false;
}

// --- sums ---

static json_t *name_json(const struct api *api, enum entity_kind kind, uint64_t usage_id)
{
    struct registry_name name;
    if (usage_id == 0)
        return json_null();
    json_t *json = json_object();
    if (registry_usage_name(api->registry, kind, usage_id, &name)) {
        json_object_set_new(json, "id", json_span(name.id));
        json_object_set_new(json, "name", json_span(name.name));
        json_object_set_new(json, "removed", json_boolean(name.is_gone));
        return json;
    }
    char text[24]; // declared by a file that no longer does
    fit_printf(text, sizeof(text), "#%016llx", (unsigned long long)usage_id);
    json_object_set_new(json, "id", json_string(text));
    json_object_set_new(json, "name", json_string(text));
    json_object_set_new(json, "removed", json_true());
    return json;
}

static const char *const token_names[USAGE_TOKEN_COUNT] = {
    [USAGE_INPUT] = "input",
    [USAGE_CACHE_READ] = "cache_read",
    [USAGE_CACHE_WRITE_5M] = "cache_write_5m",
    [USAGE_CACHE_WRITE_1H] = "cache_write_1h",
    [USAGE_OUTPUT] = "output",
    [USAGE_REASONING] = "reasoning",
};

static void put_number(json_t *json, const char *name, uint64_t value)
{
    json_object_set_new(json, name, json_integer((json_int_t)min_u64(value, INT64_MAX)));
}

static void put_sums(json_t *json, const struct usage_sums *sums)
{
    put_number(json, "requests", sums->requests);
    put_number(json, "errors", sums->errors);
    put_number(json, "estimated", sums->estimated);
    put_number(json, "client_gone", sums->gone);
    json_t *tokens = json_object();
    for (unsigned i = 0; i < USAGE_TOKEN_COUNT; i++)
        put_number(tokens, token_names[i], sums->tokens[i]);
    json_object_set_new(json, "tokens", tokens);
    put_number(json, "bytes_in", sums->bytes_in);
    put_number(json, "bytes_out", sums->bytes_out);
    put_number(json, "duration_ms", sums->total_us / 1000);
    if (sums->ttft_count > 0)
        put_number(json, "first_token_ms_avg", sums->ttft_us / sums->ttft_count / 1000);
}

static json_t *format_json(uint8_t format)
{
    return format < FORMAT_COUNT ? json_string(format_names[format]) : json_null();
}

static json_t *row_json(const struct api *api, const struct usage_query *query,
                        const struct usage_row *row)
{
    json_t *json = json_object();
    if (query->group & USAGE_BY_DAY) {
        char text[UNIT_TEXT_MAX];
        const int64_t offset = (int64_t)query->day_offset_s * (int64_t)NS_PER_S;
        time_format(text, row->day_ns + (uint64_t)offset);
        json_object_set_new(json, "day", json_stringn(text, 10));
    }
    if (query->group & USAGE_BY_KEY)
        json_object_set_new(json, "key", name_json(api, ENTITY_KEY, row->key_id));
    if (query->group & USAGE_BY_ACCOUNT)
        json_object_set_new(json, "account", name_json(api, ENTITY_ACCOUNT, row->account_id));
    if (query->group & USAGE_BY_MODEL)
        json_object_set_new(json, "model", json_span(span_of(row->model, row->model_len)));
    if (query->group & USAGE_BY_FORMAT)
        json_object_set_new(json, "format", format_json(row->format));
    put_sums(json, &row->sums);
    return json;
}

static void on_usage(struct registry_op *op)
{
    struct api_call *call = container_of(op, struct api_call, op);
    const struct usage_query *query = &op->op.usage.query;
    struct usage_result *result = &op->op.usage.result;
    if (failed(op->op.err)) {
        api_problem(call, op->op.err, NULL, NULL);
    } else {
        json_t *items = json_array();
        for (uint32_t i = 0; i < result->count; i++)
            json_array_append_new(items, row_json(call->api, query, &result->rows[i]));
        json_t *json = json_object();
        json_object_set_new(json, "from", json_time(query->from_ns));
        json_object_set_new(json, "to", json_time(query->to_ns));
        json_object_set_new(json, "cut", json_boolean(result->is_cut));
        json_object_set_new(json, "items", items);
        api_answer(call, 200, json);
        usage_result_fini(result);
    }
    api_finish(call);
}

enum api_next api_usage(struct api_call *call)
{
    struct usage_query query = { 0 };
    if (!read_groups(call, &query.group))
        return api_bad_query(call, "by", "must name some of key, account, model, format, day");
    if (!read_tz(call, &query.day_offset_s))
        return api_bad_query(call, "tz", "must be utc or an offset such as +05:30");
    if (!read_range(call, query.day_offset_s, &query.from_ns, &query.to_ns, &query.key_id,
                    &query.account_id))
        return API_NOW;
    read_model(call, &query.model_id);
    call->op = (struct registry_op){ .done = on_usage };
    call->op.op.kind = STORE_OP_USAGE;
    call->op.op.usage.query = query;
    if (!registry_ask(call->api->registry, &call->op))
        return api_problem(call, ERR(OVERLOADED), NULL, NULL);
    return API_LATER;
}

// --- single requests ---

// A place in the detail as a text: its five numbers with dots between.
static void cursor_write(const struct usage_cursor *cursor, char out[CURSOR_ROOM])
{
    fit_printf(out, CURSOR_ROOM, "%u.%u.%llu.%llu.%u", cursor->hour, cursor->boot,
               (unsigned long long)cursor->order_ns, (unsigned long long)cursor->sequence,
               cursor->shard);
}

static bool cursor_read(struct span text, struct usage_cursor *out)
{
    uint64_t numbers[5];
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        const size_t len = span_find(text, '.');
        if (!span_u64(span_upto(text, len), &numbers[i]) ||
            (len == text.len) != (i + 1 == ARRAY_LEN(numbers)))
            return false;
        text = span_from(text, min_size(len + 1, text.len));
    }
    *out = (struct usage_cursor){ .hour = (uint32_t)numbers[0],
                                  .boot = (uint32_t)numbers[1],
                                  .order_ns = numbers[2],
                                  .sequence = numbers[3],
                                  .shard = (uint16_t)numbers[4],
                                  .is_set = true };
    return numbers[0] <= UINT32_MAX && numbers[1] <= UINT32_MAX && numbers[4] <= UINT16_MAX;
}

static json_t *detail_json(const struct api *api, const struct usage_detail *detail)
{
    const struct usage_record *record = &detail->record;
    json_t *json = json_object();
    json_object_set_new(json, "started_at", json_time(record->start_ns));
    json_object_set_new(json, "summary", json_boolean(detail->is_summary));
    json_object_set_new(json, "key", name_json(api, ENTITY_KEY, record->key_id));
    json_object_set_new(json, "account", name_json(api, ENTITY_ACCOUNT, record->account_id));
    json_object_set_new(json, "model", json_span(usage_record_model(record)));
    json_object_set_new(json, "format", format_json(record->format));
    if (!detail->is_summary) {
        if (record->route < OP_COUNT && record->route != OP_NONE)
            json_object_set_new(json, "route",
                                json_string(wire_op_info((enum wire_op)record->route)->name));
        put_number(json, "status", record->status);
        json_object_set_new(json, "error",
                            record->err != 0 && record->err < ERR_CODE_COUNT
                                ? json_string(err_name((enum err_code)record->err))
                                : json_null());
        json_object_set_new(json, "stream", json_boolean(record->flags & USAGE_STREAM));
        put_number(json, "attempts", record->attempts);
        put_number(json, "first_token_ms", record->ttft_us / 1000);
        json_object_set_new(json, "vendor_request_id",
                            json_span(span_of(record->vendor_id, record->vendor_id_len)));
    }
    put_sums(json, &detail->sums);
    return json;
}

static void on_requests(struct registry_op *op)
{
    struct api_call *call = container_of(op, struct api_call, op);
    const struct usage_page *page = &op->op.detail.page;
    if (failed(op->op.err)) {
        api_problem(call, op->op.err, NULL, NULL);
    } else {
        json_t *items = json_array();
        for (uint32_t i = 0; i < page->count; i++)
            json_array_append_new(items, detail_json(call->api, &page->out[i]));
        char cursor[CURSOR_ROOM];
        cursor_write(&page->next, cursor);
        json_t *json = json_object();
        json_object_set_new(json, "items", items);
        json_object_set_new(json, "next", page->is_end ? json_null() : json_string(cursor));
        put_number(json, "damaged_blocks", page->damaged_blocks);
        api_answer(call, 200, json);
    }
    mem_give(call->work);
    call->work = NULL;
    api_finish(call);
}

enum api_next api_requests(struct api_call *call)
{
    struct usage_detail_query query = { 0 };
    char room[CURSOR_ROOM];
    struct span text;
    uint32_t limit;
    if (!api_limit(call, DETAIL_PAGE_MAX, &limit))
        return api_bad_query(call, "limit", "must be a number from 1 to 500");
    if (!read_range(call, 0, &query.from_ns, &query.to_ns, &query.key_id, &query.account_id))
        return API_NOW;
    read_model(call, &query.model_id);
    if (api_param(call, "errors", room, sizeof(room), &text)) {
        query.errors_only = span_eq(text, SPAN("true"));
        if (!query.errors_only && !span_eq(text, SPAN("false")))
            return api_bad_query(call, "errors", "must be true or false");
    }
    if (api_param(call, "cursor", room, sizeof(room), &text) && !cursor_read(text, &query.after))
        return api_bad_query(call, "cursor", "is not one that an answer had");
    call->work = mem_take(limit, sizeof(struct usage_detail));
    call->op = (struct registry_op){ .done = on_requests };
    call->op.op.kind = STORE_OP_DETAIL;
    call->op.op.detail.query = query;
    call->op.op.detail.page = (struct usage_page){ .out = call->work, .cap = limit };
    if (call->work != NULL && registry_ask(call->api->registry, &call->op))
        return API_LATER;
    mem_give(call->work);
    call->work = NULL;
    return api_problem(call, ERR(OVERLOADED), NULL, NULL);
}

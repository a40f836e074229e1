#include "fields.h"

#include "penstock/base/check.h"
#include "penstock/base/guard.h"
#include "penstock/codec/url.h"

enum { FIELDS_ROOM_MIN = 2 * KIB };

// In the order of their first letters. A row with a trailing '-' is a prefix. Everything that no
// row names is dropped and counted: a vendor gets what its API documents, not what a client
// happened to send.
struct field_row {
    struct span name;
    uint32_t formats;
    char first; // letter of the name
};
#define ALL FORMATS_ALL
#define OAI (BIT(FORMAT_OPENAI) | BIT(FORMAT_RESPONSES))
#define ANT BIT(FORMAT_ANTHROPIC)
#define GEM BIT(FORMAT_GEMINI)
#define ROW(text, formats)                             \
    {                                                  \
        { text, sizeof(text) - 1 }, formats, (text)[0] \
    }

static const struct field_row to_vendor[] = {
    ROW("accept", ALL),
    ROW("anthropic-", ANT),
    ROW("conversation_id", OAI),
    ROW("idempotency-key", OAI | ANT),
    ROW("openai-beta", OAI),
    ROW("originator", OAI),
    ROW("session_id", OAI),
    ROW("traceparent", ALL),
    ROW("tracestate", ALL),
    ROW("version", OAI),
    ROW("x-app", ANT),
    ROW("x-claude-code-", ANT),
    ROW("x-client-request-id", OAI),
    ROW("x-codex-", OAI),
    ROW("x-goog-api-client", GEM),
    ROW("x-goog-request-params", GEM),
    ROW("x-goog-user-project", 0), // names the client's own project, not the account's
    ROW("x-server-timeout", GEM),
    ROW("x-stainless-", OAI | ANT),
};

static const struct field_row to_client[] = {
    ROW("anthropic-ratelimit-", ALL), ROW("cache-control", ALL),  ROW("openai-model", ALL),
    ROW("openai-processing-ms", ALL), ROW("openai-version", ALL), ROW("retry-after-ms", ALL),
    ROW("server-timing", ALL),        ROW("x-ratelimit-", ALL),   ROW("x-should-retry", ALL),
};
// Of those that the parser knows by id.
#define IDS_TO_CLIENT (UINT64_C(1) << HF_CONTENT_TYPE | UINT64_C(1) << HF_RETRY_AFTER)

static bool row_matches(const struct field_row *row, struct span name)
{
    struct span want = row->name;
    bool prefix = want.ptr[want.len - 1] == '-';
    if (prefix ? name.len < want.len : name.len != want.len)
        return false;
    return span_eq_nocase(span_upto(name, want.len), want);
}

static bool passes(const struct field_row *rows, size_t count, struct span name, uint32_t format)
{
    char first = (char)(name.ptr[0] | 0x20);
    for (size_t i = 0; i < count && rows[i].first <= first; i++)
        if (rows[i].first == first && (rows[i].formats & format) != 0 &&
            row_matches(&rows[i], name))
            return true;
    return false;
}

static bool passes_to_vendor(const struct http_field *field, uint32_t format)
{
    // What the parser knows by id is decided elsewhere: credentials, framing, the host.
    if (field->id != HF_OTHER || http_field_is_hop(field))
        return false;
    return passes(to_vendor, ARRAY_LEN(to_vendor), field->name, format);
}

// What all fields of a head take as lines.
static cold size_t fields_bytes(const struct http_head *head)
{
    size_t len = 0;
    for (unsigned i = 0; i < head->field_count; i++)
        len += head->fields[i].name.len + head->fields[i].value.len + sizeof(": \r\n") - 1;
    return len;
}

// A client may ask that nothing is lost where its request is converted. Whatever it says, unless
// that is a plain no, means that it does.
static bool asks_strict(const struct http_field *field, bool *strict)
{
    static const struct span no[] = { SPAN("false"), SPAN("0"), SPAN("no"), SPAN("off") };
    if (!span_eq_nocase(field->name, SPAN("x-penstock-strict-conversion")))
        return false;
    bool asked = true;
    for (size_t i = 0; i < ARRAY_LEN(no); i++)
        asked = asked && !span_eq_nocase(field->value, no[i]);
    *strict = *strict || asked;
    return true;
}

static bool is_of_trace(struct span name)
{
    struct span begin = SPAN("trace");
    return name.len > begin.len && span_eq_nocase(span_upto(name, begin.len), begin);
}

void fields_trace(struct req *req, const struct http_head *head)
{
    unsigned count = 0;
    for (unsigned i = 0; i < head->field_count; i++) {
        const struct http_field *field = &head->fields[i];
        if (field->id != HF_OTHER || !span_eq_nocase(field->name, SPAN("traceparent")))
            continue;
        if (!traceparent_parse(field->value, &req->trace) || ++count > 1) {
            memset(&req->trace, 0, sizeof(req->trace)); // whose it is cannot be told
            return;
        }
    }
}

// A trace that is not valid ends here: its reader would have to begin another.
static bool goes_on(const struct req *req, const struct http_field *field)
{
    return passes_to_vendor(field, BIT(req->format)) &&
           (trace_is_told(&req->trace) || !is_of_trace(field->name) || !GUARD(RELAY_TRACE_VALID));
}

static struct err fields_write(struct req *req, const struct http_head *head, size_t least)
{
    size_t room;
    char *at = arena_rest(&req->arena, least, &room);
    if (at == NULL)
        return ERR(OVERLOADED);
    struct put out = put_into(at, room);
    req->fields_dropped = 0;
    for (unsigned i = 0; i < head->field_count; i++) {
        const struct http_field *field = &head->fields[i];
        if (goes_on(req, field) || !GUARD(RELAY_FIELDS_OUT))
            http_put_field(&out, field->name, field->value);
        else if (field->id == HF_OTHER && !asks_strict(field, &req->strict))
            req->fields_dropped++;
    }
    size_t len = (size_t)(out.at - out.start);
    arena_trim(&req->arena, room, out.full ? 0 : len);
    req->fields = span_of(at, len);
    return out.full ? ERR(HEAD_TOO_LARGE) : OK;
}

struct err fields_collect(struct req *req, const struct http_head *head, struct span query)
{
    struct err err = fields_write(req, head, FIELDS_ROOM_MIN);
    if (unlikely(err.code == ERR_HEAD_TOO_LARGE))
        err = fields_write(req, head, fields_bytes(head));
    TRY(err);

    // The query goes on too, without the key.
    char *copy = arena_take(&req->arena, max_size(query.len, 1));
    if (copy == NULL)
        return req->arena.starved ? ERR(OVERLOADED) : ERR(TARGET_TOO_LONG);
    struct span kept =
        GUARD(RELAY_KEY_KEPT) ? url_param_remove(query, SPAN("key"), copy, query.len) : query;
    if (kept.ptr != copy && kept.len > 0)
        memcpy(copy, kept.ptr, kept.len);
    req->query = span_of(copy, kept.len);
    return OK;
}

void fields_convert(struct put *out, struct span lines)
{
    while (lines.len > 0) {
        struct span line = span_upto(lines, min_size(span_find(lines, '\n') + 1, lines.len));
        struct span name = span_upto(line, span_find(line, ':'));
        lines = span_from(lines, line.len);
        bool all = name.len > 0;
        for (unsigned format = 0; format < FORMAT_COUNT && all; format++)
            all = passes(to_vendor, ARRAY_LEN(to_vendor), name, BIT(format));
        if (all)
            put_span(out, line);
    }
}

void fields_relay(struct put *out, const struct http_head *head, bool with_type)
{
    for (unsigned i = 0; i < head->field_count; i++) {
        const struct http_field *field = &head->fields[i];
        if (http_field_is_hop(field) || (field->id == HF_CONTENT_TYPE && !with_type))
            continue;
        if (field->id == HF_X_REQUEST_ID || field->id == HF_REQUEST_ID)
            http_put_field(out, SPAN("x-upstream-request-id"), field->value);
        else if (!GUARD(RELAY_FIELDS_BACK) ||
                 (field->id != HF_OTHER
                      ? (IDS_TO_CLIENT >> field->id & 1) != 0
                      : passes(to_client, ARRAY_LEN(to_client), field->name, ALL)))
            http_put_field(out, field->name, field->value);
    }
}

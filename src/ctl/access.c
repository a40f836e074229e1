#include "penstock/ctl/access.h"

#include "penstock/base/check.h"
#include "penstock/base/mem.h"
#include "penstock/codec/json_writer.h"
#include "penstock/model/unit.h"
#include "penstock/net/peers.h"
#include "penstock/wire/figures.h"
#include "penstock/wire/route.h"

#define GATHER_MIN_NS NS_PER_MS
#define GATHER_NS (UINT64_C(10) * NS_PER_MS) // at first
#define GATHER_MAX_NS (UINT64_C(20) * NS_PER_MS)
enum {
    LINES_MANY = ACCESS_SLOTS / 2, // of a shard, in one look: all that it takes
    LINES_FEW = ACCESS_SLOTS / 8,
};

static void on_gather(struct timer *timer);

struct err access_log_init(struct access_log *access, uint32_t shard_count, void (*wake)(void *arg),
                           void *arg)
{
    access->gather = (struct timer){ .on_fire = on_gather };
    access->gather_ns = GATHER_NS;
    access->ports = mem_take(shard_count, sizeof(struct access_port));
    if (access->ports == NULL)
        return ERR(NO_MEMORY);
    for (access->count = 0; access->count < shard_count; access->count++)
        TRY(access_port_init(&access->ports[access->count], wake, arg));
    return OK;
}

void access_log_fini(struct access_log *access)
{
    if (access->loop != NULL)
        timer_stop(&access->loop->wheel, &access->gather);
    for (uint32_t i = 0; i < access->count; i++)
        access_port_fini(&access->ports[i]);
    mem_give(access->ports);
    access->ports = NULL;
    access->count = 0;
}

// --- the words ---

// Most of a line's text never changes, so it is put down as literals: what is looked up, escaped or
// formatted is the rest alone.
#define PUT_U64(out, key, value) (PUT(out, ",\"" key "\":"), put_u64(out, value))
#define PUT_MS(out, key, us) (PUT(out, ",\"" key "\":"), put_ms(out, us))
#define PUT_TEXT(out, key, text) (PUT(out, ",\"" key "\":"), json_put_string(out, text))
#define PUT_BOOL(out, key, value)           \
    do {                                    \
        if (value)                          \
            PUT(out, ",\"" key "\":true");  \
        else                                \
            PUT(out, ",\"" key "\":false"); \
    } while (0)

static void put_ms(struct put *out, uint64_t us)
{
    put_u64(out, us / 1000);
    PUT(out, ".");
    put_padded(out, us % 1000, 3);
}

// Lines come in the order of their time, so the date changes once a second.
static void put_time(struct access_log *access, struct put *out, uint64_t ns)
{
    const uint64_t second = ns / NS_PER_S;
    if (unlikely(second != access->second || access->second_text[0] == '\0')) {
        char text[UNIT_TEXT_MAX];
        verify(time_format(text, second * NS_PER_S) > ACCESS_SECOND_LEN);
        memcpy(access->second_text, text, ACCESS_SECOND_LEN);
        access->second = second;
    }
    PUT(out, "{\"ts\":\"");
    put_span(out, span_of(access->second_text, ACCESS_SECOND_LEN));
    PUT(out, ".");
    put_padded(out, ns % NS_PER_S / NS_PER_US, 6);
    PUT(out, "Z\"");
}

static void put_key(const struct access_log *access, struct put *out, uint64_t usage_id)
{
    struct registry_name name;
    if (!registry_usage_name(access->registry, ENTITY_KEY, usage_id, &name))
        return; // it was removed while the request ran
    PUT_TEXT(out, "key_id", name.id);
    PUT_TEXT(out, "key", name.name);
}

static void put_account(const struct access_log *access, struct put *out, uint64_t usage_id)
{
    struct registry_name name;
    if (!registry_usage_name(access->registry, ENTITY_ACCOUNT, usage_id, &name))
        return;
    const struct entity *entity = registry_get(access->registry, ENTITY_ACCOUNT, name.id);
    if (entity != NULL) {
        const int type = ((const struct account *)entity->record)->type;
        PUT_TEXT(out, "provider", span_str(account_type_info((enum account_type)type)->name));
    }
    PUT_TEXT(out, "account_id", name.id);
    PUT_TEXT(out, "account", name.name);
}

// What a line says of a key or an account is looked up and escaped once a look, for the lines of a
// look mostly name the same few; the registry does not change meanwhile.
static void put_named(struct access_log *access, struct put *out, struct access_words *kept,
                      uint64_t usage_id,
                      void (*put)(const struct access_log *, struct put *, uint64_t))
{
    if (usage_id == 0)
        return;
    kept += usage_id % ACCESS_WORDS;
    if (kept->usage_id == usage_id && kept->look == access->look) {
        put_span(out, span_of(kept->text, kept->len));
        return;
    }
    const char *from = out->at;
    put(access, out, usage_id);
    const size_t len = (size_t)(out->at - from);
    if (len > sizeof(kept->text))
        return;
    kept->usage_id = usage_id;
    kept->look = access->look;
    kept->len = (uint16_t)len;
    memcpy(kept->text, from, len);
}

static void put_hex(struct put *out, const uint8_t *bytes, size_t count)
{
    static const char digits[] = "0123456789abcdef";
    char text[2 * TRACE_ID_BYTES];
    assert(count <= TRACE_ID_BYTES);
    for (size_t i = 0; i < count; i++) {
        text[2 * i] = digits[bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
    put_span(out, span_of(text, 2 * count));
}

// The span is the caller's own: what it finds this line by.
static void put_trace(struct put *out, const struct trace_ids *trace)
{
    if (!trace_is_told(trace))
        return;
    PUT(out, ",\"trace_id\":\"");
    put_hex(out, trace->trace, sizeof(trace->trace));
    PUT(out, "\",\"span_id\":\"");
    put_hex(out, trace->span, sizeof(trace->span));
    PUT(out, "\"");
}

static void put_usage(struct put *out, const struct access_record *record)
{
    const struct usage_record *usage = &record->usage;
    PUT_U64(out, "in_tok", usage->tokens[USAGE_INPUT]);
    PUT_U64(out, "out_tok", usage->tokens[USAGE_OUTPUT]);
    PUT_U64(out, "cache_read_tok", usage->tokens[USAGE_CACHE_READ]);
    PUT_U64(out, "cache_write_tok",
            (uint64_t)usage->tokens[USAGE_CACHE_WRITE_5M] + usage->tokens[USAGE_CACHE_WRITE_1H]);
    PUT_MS(out, "queue_ms", usage->queue_us);
    PUT_MS(out, "ttft_ms", usage->ttft_us);
    PUT_MS(out, "dur_ms", usage->total_us);
    PUT_U64(out, "overhead_us", record->overhead_us);
    PUT_U64(out, "bytes_in", usage->bytes_in);
    PUT_U64(out, "bytes_out", usage->bytes_out);
    PUT_BOOL(out, "stream", (usage->flags & USAGE_STREAM) != 0);
    PUT_BOOL(out, "client_gone", (usage->flags & USAGE_CLIENT_GONE) != 0);
}

static void put_client(struct put *out, const struct access_record *record)
{
    char text[PEER_TEXT_MAX];
    struct peer peer = { .family = record->client_family };
    _Static_assert(sizeof(peer.bytes) == sizeof(record->client), "an address is an address");
    memcpy(peer.bytes, record->client, sizeof(peer.bytes));
    const size_t len = peer_text(&peer, text);
    if (len > 0)
        PUT_TEXT(out, "client", span_of(text, len));
}

struct span access_line(struct access_log *access, const struct access_record *record, char *room)
{
    const struct usage_record *usage = &record->usage;
    struct put put = put_into(room, LOG_LINE_MAX), *out = &put;
    put_time(access, out, usage_settled_ns(usage));
    PUT(out, ",\"level\":\"info\",\"msg\":\"request\"");
    PUT_TEXT(out, "req_id", span_of(record->id, sizeof(record->id)));
    put_trace(out, &record->trace);
    put_named(access, out, access->keys, usage->key_id, put_key);
    if (record->op != OP_NONE && record->op < OP_COUNT)
        PUT_TEXT(out, "route", span_str(wire_op_info((enum wire_op)record->op)->name));
    if (usage->format < FORMAT_COUNT)
        PUT_TEXT(out, "format", span_str(format_names[usage->format]));
    if (usage->model_len > 0)
        PUT_TEXT(out, "model_req", usage_record_model(usage));
    if (record->vendor_model_len > 0)
        PUT_TEXT(out, "model_res", span_of(record->vendor_model, record->vendor_model_len));
    put_named(access, out, access->accounts, usage->account_id, put_account);
    PUT_U64(out, "attempt", usage->attempts);
    PUT_U64(out, "status", usage->status);
    if (record->vendor_status != 0)
        PUT_U64(out, "vendor_status", record->vendor_status);
    if (usage->vendor_id_len > 0)
        PUT_TEXT(out, "vendor_req_id", span_of(usage->vendor_id, usage->vendor_id_len));
    if (usage->err != 0 && usage->err < ERR_CODE_COUNT)
        PUT_TEXT(out, "err_code", span_str(err_name((enum err_code)usage->err)));
    if (record->stage != STAGE_NONE && record->stage < STAGE_COUNT)
        PUT_TEXT(out, "err_stage", span_str(figures_stage_name(record->stage)));
    put_usage(out, record);
    put_client(out, record);
    PUT(out, "}\n");
    assert(!put.full); // every text in it is bounded, and all of them together fit
    return put_done(out);
}

// --- the way ---

// Up to `most` records of one shard; how many there were.
static uint32_t take(struct access_log *access, struct access_port *port, uint32_t most)
{
    const struct access_record *record;
    uint32_t count = 0;
    for (; count < most && (record = access_port_front(port)) != NULL; count++) {
        char *room = log_place(access->log);
        if (room != NULL)
            log_push(access->log, access_line(access, record, room).len);
        access_port_pop(port);
    }
    return count;
}

static void gather_after(struct access_log *access, uint64_t ns)
{
    timer_arm(&access->loop->wheel, &access->gather, access->loop->now_ns + ns);
}

// While lines come, the shards need not say so: they are looked for so often that each look finds
// some hundred. Only when a look finds none is there a wake-up to wait for.
static void on_gather(struct timer *timer)
{
    struct access_log *access = container_of(timer, struct access_log, gather);
    uint32_t most = 0;
    access->look++;
    for (uint32_t i = 0; i < access->count; i++) {
        const uint32_t count = take(access, &access->ports[i], LINES_MANY);
        most = count > most ? count : most;
    }
    log_flush(access->log);
    bool idle = most == 0;
    for (uint32_t i = 0; i < access->count && most == 0; i++)
        idle &= access_port_sleep(&access->ports[i]);
    if (most >= LINES_MANY)
        access->gather_ns = max_u64(access->gather_ns / 2, GATHER_MIN_NS);
    else if (most < LINES_FEW)
        access->gather_ns = min_u64(access->gather_ns * 2, GATHER_MAX_NS);
    if (idle)
        access->gather_ns = GATHER_NS;
    else
        gather_after(access, most == LINES_MANY ? 0 : access->gather_ns);
}

void access_log_woken(struct access_log *access)
{
    if (access->count > 0 && access->loop != NULL && access->gather.deadline_ns == 0)
        gather_after(access, access->gather_ns);
}

void access_log_drain(struct access_log *access)
{
    access->look++;
    for (uint32_t i = 0; i < access->count; i++)
        (void)take(access, &access->ports[i], UINT32_MAX);
    if (access->log != NULL)
        log_flush(access->log);
}

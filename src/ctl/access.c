#include "penstock/ctl/access.h"

#include "penstock/base/check.h"
#include "penstock/base/mem.h"
#include "penstock/codec/json_writer.h"
#include "penstock/model/unit.h"
#include "penstock/wire/route.h"

#define GATHER_NS (UINT64_C(10) * NS_PER_MS)
enum { LINES_A_TURN = 1024 }; // of one shard; the rest waits for the next

static void on_gather(struct timer *timer);

struct err access_log_init(struct access_log *access, uint32_t shard_count, void (*wake)(void *arg),
                           void *arg)
{
    access->gather = (struct timer){ .on_fire = on_gather };
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

static void put_ms(struct jsonw *out, struct span key, uint64_t us)
{
    char text[32];
    const size_t len = fit_printf(text, sizeof(text), "%llu.%03llu", (unsigned long long)us / 1000,
                                  (unsigned long long)us % 1000);
    jsonw_key(out, key);
    jsonw_raw(out, span_of(text, len));
}

static void put_object(struct jsonw *out, const struct registry *registry, enum entity_kind kind,
                       uint64_t usage_id, struct span id_key, struct span name_key)
{
    struct registry_name name;
    if (usage_id == 0)
        return;
    if (!registry_usage_name(registry, kind, usage_id, &name))
        return; // it was removed while the request ran
    jsonw_member(out, id_key, name.id);
    jsonw_member(out, name_key, name.name);
}

static void put_provider(struct jsonw *out, const struct registry *registry, uint64_t usage_id)
{
    struct registry_name name;
    if (usage_id == 0 || !registry_usage_name(registry, ENTITY_ACCOUNT, usage_id, &name))
        return;
    const struct entity *entity = registry_get(registry, ENTITY_ACCOUNT, name.id);
    if (entity == NULL)
        return;
    const int type = ((const struct account *)entity->record)->type;
    jsonw_member(out, SPAN("provider"), span_str(account_type_info((enum account_type)type)->name));
}

static void put_usage(struct jsonw *out, const struct usage_record *usage)
{
    jsonw_member_u64(out, SPAN("in_tok"), usage->tokens[USAGE_INPUT]);
    jsonw_member_u64(out, SPAN("out_tok"), usage->tokens[USAGE_OUTPUT]);
    jsonw_member_u64(out, SPAN("cache_read_tok"), usage->tokens[USAGE_CACHE_READ]);
    jsonw_member_u64(out, SPAN("cache_write_tok"),
                     (uint64_t)usage->tokens[USAGE_CACHE_WRITE_5M] +
                         usage->tokens[USAGE_CACHE_WRITE_1H]);
    put_ms(out, SPAN("queue_ms"), usage->queue_us);
    put_ms(out, SPAN("ttft_ms"), usage->ttft_us);
    put_ms(out, SPAN("dur_ms"), usage->total_us);
    jsonw_member_u64(out, SPAN("bytes_in"), usage->bytes_in);
    jsonw_member_u64(out, SPAN("bytes_out"), usage->bytes_out);
    jsonw_key(out, SPAN("stream"));
    jsonw_bool(out, (usage->flags & USAGE_STREAM) != 0);
    jsonw_key(out, SPAN("client_gone"));
    jsonw_bool(out, (usage->flags & USAGE_CLIENT_GONE) != 0);
}

struct span access_line(const struct access_record *record, const struct registry *registry,
                        char room[LOG_LINE_MAX])
{
    const struct usage_record *usage = &record->usage;
    struct jsonw out;
    char time[UNIT_TEXT_MAX];
    const size_t time_len =
        time_format(time, (usage->start_ns + usage->total_us * NS_PER_US) / NS_PER_US * NS_PER_US);
    jsonw_init(&out, room, LOG_LINE_MAX - 1);
    jsonw_object(&out);
    jsonw_member(&out, SPAN("ts"), span_of(time, time_len));
    jsonw_member(&out, SPAN("level"), SPAN("info"));
    jsonw_member(&out, SPAN("msg"), SPAN("request"));
    jsonw_member(&out, SPAN("req_id"), span_of(record->id, sizeof(record->id)));
    put_object(&out, registry, ENTITY_KEY, usage->key_id, SPAN("key_id"), SPAN("key"));
    if (record->op != OP_NONE && record->op < OP_COUNT)
        jsonw_member(&out, SPAN("route"), span_str(wire_op_info((enum wire_op)record->op)->name));
    if (usage->format < FORMAT_COUNT)
        jsonw_member(&out, SPAN("format"), span_str(format_names[usage->format]));
    if (usage->model_len > 0)
        jsonw_member(&out, SPAN("model_req"), usage_record_model(usage));
    put_provider(&out, registry, usage->account_id);
    put_object(&out, registry, ENTITY_ACCOUNT, usage->account_id, SPAN("account_id"),
               SPAN("account"));
    jsonw_member_u64(&out, SPAN("attempt"), usage->attempts);
    jsonw_member_u64(&out, SPAN("status"), usage->status);
    if (record->vendor_status != 0)
        jsonw_member_u64(&out, SPAN("vendor_status"), record->vendor_status);
    if (usage->vendor_id_len > 0)
        jsonw_member(&out, SPAN("vendor_req_id"), span_of(usage->vendor_id, usage->vendor_id_len));
    if (usage->err != 0 && usage->err < ERR_CODE_COUNT)
        jsonw_member(&out, SPAN("err_code"), span_str(err_name((enum err_code)usage->err)));
    put_usage(&out, usage);
    jsonw_object_end(&out);
    struct span line = jsonw_done(&out);
    assert(line.len > 0); // every text in it is bounded, and all of them together fit
    room[line.len++] = '\n';
    return line;
}

// --- the way ---

// Up to `most` records of one shard; true if there may be more.
static bool take(struct access_log *access, struct access_port *port, uint32_t most)
{
    char room[LOG_LINE_MAX];
    const struct access_record *record;
    for (uint32_t i = 0; i < most; i++) {
        record = access_port_front(port);
        if (record == NULL)
            return false;
        (void)log_line(access->log, access_line(record, access->registry, room));
        access_port_pop(port);
    }
    return true;
}

static void on_gather(struct timer *timer)
{
    struct access_log *access = container_of(timer, struct access_log, gather);
    bool more = false;
    for (uint32_t i = 0; i < access->count; i++) {
        struct access_port *port = &access->ports[i];
        more |= take(access, port, LINES_A_TURN) || !access_port_sleep(port);
    }
    log_flush(access->log);
    if (more)
        access_log_woken(access);
}

void access_log_woken(struct access_log *access)
{
    if (access->count > 0 && access->loop != NULL && access->gather.deadline_ns == 0)
        timer_arm(&access->loop->wheel, &access->gather, access->loop->now_ns + GATHER_NS);
}

void access_log_drain(struct access_log *access)
{
    for (uint32_t i = 0; i < access->count; i++)
        (void)take(access, &access->ports[i], UINT32_MAX);
    if (access->log != NULL)
        log_flush(access->log);
}

// A client's request carried over to another vendor's format.
//
// It is parsed and rendered anew for each account that is tried: retries are rare, and the next
// account may be asked in yet another format. The arrays of the parsed request and the rendered
// body are memory of their own, charged like everything that is held for a peer; both are given
// back as soon as the answer is the client's.
#include "req_convert.h"

#include "penstock/base/check.h"
#include "penstock/convert/estimate.h"
#include "penstock/convert/mend.h"
#include "penstock/provider/caps.h"
#include "penstock/wire/reply.h"
#include "req_issuer.h"

enum {
    PIECE_LEAST = 16 * KIB,
    PIECE_MOST = 4 * MIB, // unless one thing is larger
    DETAIL_MAX = LOSS_PATH_MAX + 160,
    TEXT_ROOM = 1 * KIB, // a rendered body is about as long as the client's, and so much more
    BYTES_A_TOKEN = 4,
    SHOW_NO = 1, // of prompt.reasoning.show
    SHOW_YES = 2,
};

static const enum wire_family families[FORMAT_COUNT] = {
    [FORMAT_OPENAI] = FAMILY_OPENAI,
    [FORMAT_RESPONSES] = FAMILY_RESPONSES,
    [FORMAT_ANTHROPIC] = FAMILY_ANTHROPIC,
    [FORMAT_GEMINI] = FAMILY_GEMINI,
};

uint32_t relay_formats_converted(void)
{
    uint32_t set = 0;
    for (unsigned format = 0; format < FORMAT_COUNT; format++)
        if (converter_of(families[format]) != NULL)
            set |= BIT(format);
    return set;
}

// --- memory ---

static bool is_short(const struct net *net)
{
    return budget_level(&net->budget) == BUDGET_SHED;
}

static void charge(struct conversion *conversion, int64_t bytes)
{
    budget_charge(&conversion->req->shard->net.budget, &conversion->charged, bytes);
}

static uint64_t pieces_bytes(const struct conversion *conversion)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < conversion->piece_count; i++)
        sum += conversion->pieces[i]->buf.cap;
    return sum;
}

static void *piece_take(struct scratch *scratch, size_t size)
{
    struct conversion *conversion = container_of(scratch, struct conversion, scratch);
    if (conversion->carry != NULL && conversion->carry->out)
        return carry_take(conversion->carry, size);
    struct net *net = &conversion->req->shard->net;
    const uint32_t count = conversion->piece_count;
    const size_t need = round_up(max_size(size, 1), 16);
    if (count == 0 || conversion->pieces[count - 1]->buf.cap - conversion->piece_used < need) {
        const size_t usual = min_size((size_t)PIECE_LEAST << min_size(count, 16), PIECE_MOST);
        const size_t len = max_size(need, usual);
        if (count == CONVERT_PIECES_MAX || is_short(net) ||
            pieces_bytes(conversion) + len > CONVERT_PIECES_BYTES_MAX)
            return NULL;
        struct body *piece = body_take(net, len);
        if (piece == NULL)
            return NULL;
        conversion->pieces[conversion->piece_count++] = piece;
        conversion->piece_used = 0;
    }
    char *at = conversion->pieces[conversion->piece_count - 1]->buf.data + conversion->piece_used;
    conversion->piece_used += (uint32_t)need;
    return at;
}

void convert_pieces_drop(struct conversion *conversion)
{
    while (conversion->piece_count > 0)
        body_put(conversion->pieces[--conversion->piece_count]);
    conversion->piece_used = 0;
}

static bool text_more(struct sink *sink)
{
    struct convert_text *text = container_of(sink, struct convert_text, sink);
    struct body *body = text->body;
    const size_t used = convert_text_len(text), more = 2 * (size_t)body->buf.cap;
    const bool grown = text->carry != NULL ? carry_grow(text->carry, body, more)
                                           : !is_short(text->net) && body_grow(body, more);
    if (!grown)
        return false;
    sink->at = body->buf.data + used;
    sink->end = body->buf.data + body->buf.cap;
    return true;
}

void convert_text_begin(struct convert_text *text, struct net *net, size_t expected)
{
    *text = (struct convert_text){ .net = net, .body = body_take(net, expected) };
    text->sink = (struct sink){ .more = text_more, .failed = text->body == NULL };
    if (text->body == NULL)
        return;
    text->sink.at = text->body->buf.data;
    text->sink.end = text->body->buf.data + text->body->buf.cap;
}

size_t convert_text_len(const struct convert_text *text)
{
    return (size_t)(text->sink.at - text->body->buf.data);
}

void convert_text_drop(struct convert_text *text)
{
    if (text->body != NULL)
        body_put(text->body);
    text->body = NULL;
}

static void *chunk_take(void *ctx, void **keeper)
{
    struct conversion *conversion = ctx;
    struct buf *buf = bufpool_take(conversion->req->shard->net.bufs, BUF_SMALL);
    *keeper = buf;
    if (buf == NULL)
        return NULL;
    charge(conversion, BUF_SMALL_BYTES);
    return buf->data;
}

static void chunk_give(void *ctx, void *memory, void *keeper)
{
    (void)memory;
    buf_put(keeper);
    charge(ctx, -(int64_t)BUF_SMALL_BYTES);
}

static struct conversion *conversion_of(struct req *req)
{
    struct conversion *conversion = req->conversion;
    if (conversion != NULL)
        return conversion;
    conversion = slab_take(&req->shard->conversions);
    if (conversion == NULL)
        return NULL;
    memset(conversion, 0, offsetof(struct conversion, aliases));
    conversion->req = req;
    conversion->scratch.take = piece_take;
    conversion->chunks =
        (struct arena_source){ .take = chunk_take, .give = chunk_give, .ctx = conversion };
    charge(conversion, sizeof(*conversion));
    req->conversion = conversion;
    return conversion;
}

static void aliases_drop(struct conversion *conversion)
{
    if (conversion->aliased)
        aliases_fini(&conversion->aliases);
    conversion->aliased = false;
}

void convert_end(struct req *req)
{
    struct conversion *conversion = req->conversion;
    if (conversion == NULL)
        return;
    convert_abandon(req);
    convert_answer_end(conversion);
    aliases_drop(conversion);
    convert_forget(req);
    charge(conversion, -(int64_t)sizeof(*conversion));
    assert(conversion->charged == 0);
    slab_give(&req->shard->conversions, conversion);
    req->conversion = NULL;
}

void convert_forget(struct req *req)
{
    struct conversion *conversion = req->conversion;
    convert_text_drop(&conversion->text);
    conversion->losses = NULL;
    conversion->detail = conversion->param = SPAN_NONE;
}

// --- the request ---

// Says where and why, for the client. Without memory it is said without.
static struct err refuse(struct req *req, struct err err, struct span path, struct span why)
{
    struct conversion *conversion = req->conversion;
    char room[DETAIL_MAX];
    struct put out = put_into(room, sizeof(room));
    if (path.len > 0) {
        put_span(&out, path);
        put_span(&out, SPAN(": "));
    }
    put_span(&out, span_upto(why, min_size(why.len, sizeof(room) - LOSS_PATH_MAX - 2)));
    conversion->detail = arena_copy(&req->arena, put_done(&out));
    conversion->param = arena_copy(&req->arena, path);
    return err;
}

struct figures_conversion *convert_figures(struct req *req)
{
    const struct conversion *conversion = req->conversion;
    return &req->shard->counters.conversions[conversion->from->family][conversion->to->family];
}

static struct err refuse_loss(struct req *req)
{
    const struct losses *losses = req->conversion->losses;
    if (req->conversion->to != NULL)
        counter_add(&convert_figures(req)->losses[FIGURES_REFUSED], 1);
    return refuse(req, ERR(REQUEST_UNFIT), span_of(losses->path, losses->path_len),
                  span_str(losses->why));
}

static bool is_space(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

struct json_slice convert_root(struct span text)
{
    while (text.len > 0 && is_space(*text.ptr))
        text = span_from(text, 1);
    while (text.len > 0 && is_space(text.ptr[text.len - 1]))
        text.len--;
    const bool object = text.len > 0 && *text.ptr == '{';
    return (struct json_slice){ text, object ? JK_OBJECT : JK_NONE };
}

static void parse_body(struct carry *carry)
{
    const struct req *req = carry->req;
    struct conversion *conversion = req->conversion;
    struct prompt_parse *parse = &carry->parse;
    const struct json_slice root = convert_root(req->stream->body);
    if (root.kind != JK_OBJECT) {
        carry->err = ERR(JSON_TYPE);
        return;
    }
    prompt_begin(parse, &carry->prompt, conversion->from->family, req->stream->body,
                 &conversion->scratch, conversion->losses);
    parse->key = req->shard->shared->envelope_key;
    parse->account = carry->usage_id;
    carry->prompt.model = req->model;
    const bool good = conversion->from->parse(parse, root);
    carry->prompt.stream = req->stream_wanted;
    carry->err = good ? OK : parse->err;
}

// What came of that.
static struct err parsed(struct carry *carry)
{
    struct req *req = carry->req;
    const struct prompt_parse *parse = &carry->parse;
    if (req->conversion->losses->refused)
        return refuse_loss(req);
    if (!failed(carry->err)) // where nobody is asked, nothing is given back
        return carry->candidate != NULL ? convert_recall(req, &carry->parse) : OK;
    if (carry->err.code == ERR_JSON_TYPE || carry->err.side != SIDE_CLIENT)
        return carry->err;
    const char *why = parse->why != NULL ? parse->why : "this is not what the API takes here";
    return refuse(req, carry->err, span_str(parse->path), span_str(why));
}

// What the vendor has to be told in other words, for the way back.
static struct err make_aliases(struct req *req, const struct prompt *prompt,
                               const struct caps *caps)
{
    struct conversion *conversion = req->conversion;
    conversion->aliased = true;
    if (!aliases_init(&conversion->aliases, prompt, conversion->to->family, caps,
                      &conversion->chunks, conversion->losses))
        return ERR(OVERLOADED);
    return conversion->losses->refused ? refuse_loss(req) : OK;
}

static bool is_plain(struct span text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] <= ' ' || text.ptr[i] >= 0x7f)
            return false;
    return true;
}

// A vendor may search: answers will cite, and where they do is told behind the text (C-148).
static bool may_search(const struct prompt *prompt)
{
    for (uint32_t i = 0; i < prompt->tool_count; i++)
        if (prompt->tools[i].kind == TOOL_HOSTED)
            return true;
    return false;
}

// What the answer has to know of the request, which is gone by then.
static bool note_facts(struct req *req, const struct snap_account *account,
                       const struct prompt *prompt, struct span vendor_model)
{
    struct conversion *conversion = req->conversion;
    struct answer_facts *facts = &conversion->facts;
    const uint8_t show = prompt->reasoning.show;
    if (req->model.len > sizeof(conversion->model))
        return false;
    memcpy(conversion->model, req->model.ptr, req->model.len);
    *facts = (struct answer_facts){
        .model = span_of(conversion->model, req->model.len),
        .now_s = req->shard->loop.wall_ns / NS_PER_S,
        .estimated_input = max_u64(req->stream->body.len / BYTES_A_TOKEN, 1),
        .usage_wanted = prompt->usage_wanted,
        .thoughts_wanted =
            show == SHOW_YES || (show != SHOW_NO && conversion->from->shows_thoughts),
        .envelopes_wanted = prompt->envelopes_wanted,
        .cites_expected = may_search(prompt),
        .json_array = wire_op_is_array((enum wire_op)req->op, req->query),
        .scratch = &conversion->scratch,
        .key = req->shard->shared->envelope_key,
        .account = account->usage_id,
        .request = convert_keeps_body(req) ? req->stream->body : SPAN_NONE,
        .repeated = convert_keeps_body(req) ? conversion->repeated : NULL,
    };
    memcpy(&facts->random, req->record.request_id + USAGE_ID_BYTES - sizeof(facts->random),
           sizeof(facts->random));
    conversion->vendor_model_len = 0;
    if (vendor_model.len > 0 && !span_eq(vendor_model, req->model) && is_plain(vendor_model)) {
        conversion->vendor_model_len = (uint8_t)usage_text_cut(vendor_model, USAGE_MODEL_MAX);
        memcpy(conversion->vendor_model, vendor_model.ptr, conversion->vendor_model_len);
    }
    return true;
}

static void render_body(struct carry *carry)
{
    const struct req *req = carry->req;
    struct conversion *conversion = req->conversion;
    struct render render = {
        .prompt = &carry->prompt,
        .caps = &carry->caps,
        .model = carry->vendor_model.len > 0 ? carry->vendor_model : req->model,
        .losses = conversion->losses,
        .scratch = &conversion->scratch,
        .key = req->shard->shared->envelope_key,
    };
    const bool good = conversion->to->render(&render, &conversion->text.sink);
    carry->err = good && !conversion->text.sink.failed ? OK : ERR(OVERLOADED);
}

static struct err rendered(struct carry *carry)
{
    struct conversion *conversion = carry->req->conversion;
    if (conversion->losses->refused)
        return refuse_loss(carry->req);
    if (!failed(carry->err))
        conversion->text_len = convert_text_len(&conversion->text);
    return carry->err;
}

void carry_run(struct carry *carry)
{
    struct conversion *conversion = carry->req->conversion;
    switch ((enum carry_stage)carry->stage) {
    case CARRY_PARSE:
        parse_body(carry);
        if (!failed(carry->err) && conversion->from->find_repeated != NULL)
            conversion->from->find_repeated(carry->req->stream->body, conversion->repeated);
        break;
    case CARRY_RENDER: render_body(carry); break;
    case CARRY_COUNT:
        parse_body(carry);
        if (!failed(carry->err))
            carry->tokens = estimate_tokens(&carry->prompt);
        break;
    }
}

static void count(struct req *req)
{
    const struct losses *losses = req->conversion->losses;
    struct figures_conversion *figures = convert_figures(req);
    counter_add(&figures->requests, 1);
    if (losses->count[LOSS_ADJUST] > 0)
        counter_add(&figures->losses[FIGURES_ADJUSTED], losses->count[LOSS_ADJUST]);
    if (losses->count[LOSS_DROP] > 0)
        counter_add(&figures->losses[FIGURES_DROPPED], losses->count[LOSS_DROP]);
}

static const struct converter *client_converter(const struct req *req)
{
    return req->op == OP_COMPLETIONS ? &converter_legacy
                                     : converter_of((enum wire_family)req->family);
}

// Sets out to parse the request, for who will be asked. NULL: no memory.
static struct carry *carry_begin(struct req *req, const struct snap_account *account,
                                 const struct snap_candidate *candidate)
{
    struct conversion *conversion = req->conversion;
    if (conversion->losses == NULL)
        conversion->losses = arena_take(&req->arena, sizeof(*conversion->losses));
    struct carry *carry = scratch_take(&conversion->scratch, sizeof(*carry));
    if (conversion->losses == NULL || carry == NULL)
        return NULL;
    memset(carry, 0, offsetof(struct carry, pieces));
    carry->piece_count = carry->piece_used = 0;
    carry->req = req;
    carry->account = account;
    carry->candidate = candidate;
    carry->generation = req->generation;
    losses_init(conversion->losses, account != NULL && (req->strict || req->route.strict));
    if (account != NULL) {
        carry->usage_id = account->usage_id;
        carry->vendor_model = arena_copy(&req->arena, candidate->model);
    }
    conversion->carry = carry;
    return carry;
}

static void carry_end(struct conversion *conversion)
{
    conversion->carry = NULL;
    convert_pieces_drop(conversion);
}

const struct snap_candidate *convert_candidate(struct req *req)
{
    const struct carry *carry = req->conversion != NULL ? req->conversion->carry : NULL;
    if (carry == NULL || carry->candidate == NULL)
        return NULL;
    assert(!carry->out);
    if (carry->generation == req->generation)
        return carry->candidate;
    convert_abandon(req);
    req->tried_count--; // it counts when it is tried again
    return NULL;
}

void convert_abandon(struct req *req)
{
    struct conversion *conversion = req->conversion;
    if (conversion == NULL || conversion->carry == NULL)
        return;
    assert(!conversion->carry->out);
    if (conversion->carry->candidate != NULL)
        slot_leave(slot_at(req->shard->shared->slots, req->tried[req->tried_count - 1].idx));
    convert_text_drop(&conversion->text);
    carry_end(conversion);
}

// Whether a request of Chat has tools that the model would have to use while it thinks.
static bool thinks_with_tools(const struct req *req, const struct caps *caps)
{
    enum { TOOLS, FUNCTIONS, EFFORT, COUNT };
    static const struct span names[COUNT] = { SPAN("tools"), SPAN("functions"),
                                              SPAN("reasoning_effort") };
    struct json_slice found[COUNT];
    json_get_all(convert_root(req->stream->body), names, found, COUNT);
    if (!wire_has_content(found[TOOLS]) && !wire_has_content(found[FUNCTIONS]))
        return false;
    return found[EFFORT].kind == JK_STRING ? !json_string_is(found[EFFORT], SPAN("none"))
                                           : caps->reasons_unasked;
}

// What the model can do, by its name. The same is asked for each request.
static struct caps caps_of(const struct req *req, const struct snap_account *account,
                           const struct snap_candidate *candidate)
{
    struct route_memo *memo = &req->shard->route;
    const bool known = memo->generation == snapshot_generation(req->shard->snap) &&
                       span_eq_name(req->model, span_of(memo->model, memo->model_len));
    if (likely(known && memo->candidate == candidate))
        return memo->caps;
    const struct caps caps =
        provider_caps(account, (enum format)candidate->format,
                      candidate->model.len > 0 ? candidate->model : req->model);
    if (known) {
        memo->candidate = candidate;
        memo->caps = caps;
    }
    return caps;
}

enum format convert_format(const struct req *req, const struct snap_account *account,
                           const struct snap_candidate *candidate)
{
    const enum format format = (enum format)candidate->format;
    const bool own = format == (enum format)req->format;
    if (format != FORMAT_OPENAI || account->type != ACCOUNT_OPENAI ||
        (account->formats & BIT(FORMAT_RESPONSES)) == 0 || (own && req->op != OP_CHAT))
        return format;
    const struct caps caps = caps_of(req, account, candidate);
    switch ((enum chat_serves)caps.chat) {
    case CHAT_ALL: return format;
    case CHAT_BARE_TOOLS: return own && !thinks_with_tools(req, &caps) ? format : FORMAT_RESPONSES;
    case CHAT_NOT: return FORMAT_RESPONSES;
    }
    bug("chat serves all, some or nothing of a model");
}

// Where the first stage may begin. False: no memory.
static bool request_begin(struct req *req, const struct snap_candidate *candidate,
                          enum format format)
{
    struct conversion *conversion = conversion_of(req);
    if (conversion == NULL)
        return false;
    const struct snap_account *account = snapshot_account(req->shard->snap, candidate->account);
    convert_answer_end(conversion); // of the attempt before
    aliases_drop(conversion);
    convert_text_drop(&conversion->text);
    conversion->from = client_converter(req);
    conversion->to = converter_of(families[format]);
    assert(conversion->from != NULL && conversion->to != NULL); // or they were no candidates
    struct carry *carry = carry_begin(req, account, candidate);
    if (carry != NULL)
        carry->format = format;
    return carry != NULL;
}

static struct err render_begin(struct carry *carry)
{
    struct req *req = carry->req;
    struct conversion *conversion = req->conversion;
    const struct span model = carry->vendor_model.len > 0 ? carry->vendor_model : req->model;
    TRY(parsed(carry));
    carry->caps = provider_caps(carry->account, carry->format, model);
    carry->caps.schema_by_tool = true;
    carry->caps.think_tags = req->route.think_tags;
    carry->caps.web_search = req->route.web_search;
    TRY(make_aliases(req, &carry->prompt, &carry->caps));
    const size_t len = req->stream->body.len;
    convert_text_begin(&conversion->text, &req->shard->net, len + len / 8 + TEXT_ROOM);
    return conversion->text.body != NULL ? OK : ERR(OVERLOADED);
}

static struct err render_end(struct carry *carry)
{
    TRY(rendered(carry));
    return note_facts(carry->req, carry->account, &carry->prompt, carry->vendor_model)
               ? OK
               : ERR(MODEL_UNKNOWN);
}

enum parse convert_request(struct req *req, const struct snap_candidate *candidate,
                           enum format format, struct err *err)
{
    struct carry *carry = req->conversion != NULL ? req->conversion->carry : NULL;
    if (carry == NULL) {
        if (!request_begin(req, candidate, format)) {
            *err = ERR(OVERLOADED);
            return PARSE_BAD;
        }
        carry = req->conversion->carry;
        if (!carry_stage(carry, CARRY_PARSE))
            return PARSE_MORE;
    }
    *err = OK;
    if (carry->stage == CARRY_PARSE) {
        *err = render_begin(carry);
        if (!failed(*err) && !carry_stage(carry, CARRY_RENDER))
            return PARSE_MORE;
    }
    if (!failed(*err))
        *err = render_end(carry);
    carry_end(req->conversion);
    if (failed(*err)) {
        convert_text_drop(&req->conversion->text);
        return PARSE_BAD;
    }
    count(req);
    req->up_op = (uint8_t)wire_op_generate(req->conversion->to->family, req->stream_wanted);
    return PARSE_DONE;
}

// Nothing is lost of a request that passes but what is taken out of its history.
static struct err mend_begin(struct req *req)
{
    struct conversion *conversion = conversion_of(req);
    if (conversion == NULL)
        return ERR(OVERLOADED);
    if (conversion->losses == NULL)
        conversion->losses = arena_take(&req->arena, sizeof(*conversion->losses));
    if (conversion->losses == NULL)
        return ERR(OVERLOADED);
    losses_init(conversion->losses, false);
    return OK;
}

// The edits that make the history one for the account that is asked.
static struct err mend_body(struct req *req, struct json_slice root, struct json_slice list,
                            const struct mend *mend)
{
    struct convert_text *text = &req->conversion->text;
    const struct span body = req->stream->body;
    convert_text_begin(text, &req->shard->net, list.text.len + TEXT_ROOM);
    mend_put(&text->sink, list, mend);
    if (text->sink.failed)
        return ERR(OVERLOADED);
    const struct span mended = span_of(text->body->buf.data, convert_text_len(text));
    if (span_eq(mended, list.text))
        convert_text_drop(text); // it was only a text that looked like one
    else
        splice_add(&req->plan->splice, (size_t)(list.text.ptr - body.ptr), list.text.len, mended);
    const struct span thinking = mend_thinking(root, mend).text;
    if (thinking.len > 0)
        splice_add(&req->plan->splice, (size_t)(thinking.ptr - body.ptr), thinking.len,
                   SPAN(MEND_NO_THINKING));
    return OK;
}

struct err convert_mend(struct req *req, const struct snap_account *account,
                        struct span vendor_model)
{
    const enum wire_family family = (enum wire_family)req->family;
    const enum wire_op op = (enum wire_op)req->op;
    if (req->conversion != NULL) { // of the attempt before
        convert_text_drop(&req->conversion->text);
        req->conversion->losses = NULL;
    }
    if (!wire_op_generates(op) && !wire_op_counts(op))
        return OK;
    const bool differs = issuer_differs(req, account->usage_id);
    if (!differs && !req->thoughtless &&
        !mend_needed(req->stream->body, req->plan->members.scan.marked, family))
        return OK;
    const struct json_slice root = convert_root(req->stream->body), list = mend_list(root, family);
    if (list.kind == JK_NONE)
        return OK;
    TRY(mend_begin(req));
    const struct caps caps = provider_caps(account, (enum format)req->format,
                                           vendor_model.len > 0 ? vendor_model : req->model);
    struct issuer_asked asked = { req, account->usage_id };
    const struct mend mend = {
        .family = family,
        .caps = &caps,
        .losses = req->conversion->losses,
        .thoughtless = req->thoughtless,
        .foreign = differs ? issuer_is_foreign : NULL,
        .ctx = &asked,
    };
    return mend_body(req, root, list, &mend);
}

struct buf *convert_mended(struct req *req)
{
    struct conversion *conversion = req->conversion;
    return conversion != NULL && conversion->text.body != NULL ? &conversion->text.body->buf : NULL;
}

enum parse convert_estimate(struct req *req, uint64_t *tokens, struct err *err)
{
    struct conversion *conversion = conversion_of(req);
    struct carry *carry = conversion != NULL ? conversion->carry : NULL;
    *err = ERR(OVERLOADED);
    if (conversion == NULL)
        return PARSE_BAD;
    if (carry == NULL) {
        conversion->from = client_converter(req);
        conversion->to = NULL;
        carry = carry_begin(req, NULL, NULL);
        if (carry == NULL) {
            convert_pieces_drop(conversion);
            return PARSE_BAD;
        }
        if (!carry_stage(carry, CARRY_COUNT))
            return PARSE_MORE;
    }
    *err = parsed(carry);
    *tokens = carry->tokens;
    carry_end(conversion);
    return failed(*err) ? PARSE_BAD : PARSE_DONE;
}

struct span convert_detail(const struct req *req)
{
    return req->conversion->detail;
}

struct span convert_param(const struct req *req)
{
    return req->conversion->param;
}

size_t convert_length(const struct req *req)
{
    return req->conversion->text_len;
}

bool convert_send(struct req *req, struct conn *conn)
{
    struct conversion *conversion = req->conversion;
    struct buf *buf = &conversion->text.body->buf;
    return conn_tx_ref(conn, buf, buf->data, conversion->text_len);
}

void convert_fields(struct req *req, struct put *out)
{
    const struct conversion *conversion = req->conversion;
    const struct losses *losses = conversion->losses;
    if (req->converts)
        http_put_field(out, SPAN("content-type"),
                       req->pump.sse ? SPAN("text/event-stream") : SPAN("application/json"));
    if (req->converts && conversion->vendor_model_len > 0)
        http_put_field(out, SPAN("x-penstock-model"),
                       span_of(conversion->vendor_model, conversion->vendor_model_len));
    if (losses == NULL)
        return;
    if (losses->dropped_len > 0)
        http_put_field(out, SPAN("x-penstock-dropped"), losses_dropped(losses));
    if (losses->adjusted_len > 0)
        http_put_field(out, SPAN("x-penstock-adjusted"), losses_adjusted(losses));
}

bool convert_keeps_body(const struct req *req)
{
    return req->conversion->from->find_repeated != NULL;
}

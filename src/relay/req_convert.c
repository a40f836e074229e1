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
#define PIECES_BYTES_MAX (UINT64_C(256) * MIB) // what the largest request of all kinds needs

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
    struct net *net = &conversion->req->shard->net;
    const uint32_t count = conversion->piece_count;
    const size_t need = round_up(max_size(size, 1), 16);
    if (count == 0 || conversion->pieces[count - 1]->buf.cap - conversion->piece_used < need) {
        const size_t usual = min_size((size_t)PIECE_LEAST << min_size(count, 16), PIECE_MOST);
        const size_t len = max_size(need, usual);
        if (count == CONVERT_PIECES_MAX || is_short(net) ||
            pieces_bytes(conversion) + len > PIECES_BYTES_MAX)
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
    const size_t used = convert_text_len(text);
    if (is_short(text->net) || !body_grow(body, 2 * (size_t)body->buf.cap))
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

// The body has been validated: what is left without the white space around it is one value.
static struct json_slice body_root(const struct req *req)
{
    struct span text = req->stream->body;
    while (text.len > 0 && is_space(*text.ptr))
        text = span_from(text, 1);
    while (text.len > 0 && is_space(text.ptr[text.len - 1]))
        text.len--;
    const bool object = text.len > 0 && *text.ptr == '{';
    return (struct json_slice){ text, object ? JK_OBJECT : JK_NONE };
}

// `account`: who will be asked, 0 where nobody is.
static struct err parse_body(struct req *req, uint64_t account, struct prompt *prompt)
{
    struct conversion *conversion = req->conversion;
    struct prompt_parse parse;
    const struct json_slice root = body_root(req);
    if (root.kind != JK_OBJECT)
        return ERR(JSON_TYPE);
    prompt_begin(&parse, prompt, conversion->from->family, req->stream->body, &conversion->scratch,
                 conversion->losses);
    parse.key = req->shard->shared->envelope_key;
    parse.account = account;
    prompt->model = req->model;
    const bool good = conversion->from->parse(&parse, root);
    prompt->stream = req->stream_wanted;
    if (conversion->losses->refused)
        return refuse_loss(req);
    if (good)
        return account != 0 ? convert_recall(req, &parse) : OK;
    if (parse.err.side != SIDE_CLIENT)
        return parse.err;
    const char *why = parse.why != NULL ? parse.why : "this is not what the API takes here";
    return refuse(req, parse.err, span_str(parse.path), span_str(why));
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
        .request = conversion->from->repeats_request ? req->stream->body : SPAN_NONE,
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

static struct err render_body(struct req *req, const struct prompt *prompt, const struct caps *caps,
                              struct span vendor_model)
{
    struct conversion *conversion = req->conversion;
    struct render render = {
        .prompt = prompt,
        .caps = caps,
        .model = vendor_model.len > 0 ? vendor_model : req->model,
        .losses = conversion->losses,
        .scratch = &conversion->scratch,
        .key = req->shard->shared->envelope_key,
    };
    const size_t expected = req->stream->body.len + req->stream->body.len / 8 + TEXT_ROOM;
    convert_text_begin(&conversion->text, &req->shard->net, expected);
    const bool good = conversion->to->render(&render, &conversion->text.sink);
    if (conversion->losses->refused)
        return refuse_loss(req);
    if (!good || conversion->text.sink.failed)
        return ERR(OVERLOADED);
    conversion->text_len = convert_text_len(&conversion->text);
    return OK;
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

struct err convert_request(struct req *req, const struct snap_account *account, enum format format,
                           struct span vendor_model)
{
    struct conversion *conversion = conversion_of(req);
    if (conversion == NULL)
        return ERR(OVERLOADED);
    convert_answer_end(conversion); // of the attempt before
    aliases_drop(conversion);
    convert_text_drop(&conversion->text);
    conversion->from = client_converter(req);
    conversion->to = converter_of(families[format]);
    assert(conversion->from != NULL && conversion->to != NULL); // or they were no candidates
    if (conversion->losses == NULL)
        conversion->losses = arena_take(&req->arena, sizeof(*conversion->losses));
    struct prompt *prompt = scratch_take(&conversion->scratch, sizeof(*prompt));
    if (conversion->losses == NULL || prompt == NULL)
        return ERR(OVERLOADED);
    losses_init(conversion->losses, req->strict || req->route.strict);
    struct err err = parse_body(req, account->usage_id, prompt);
    struct caps caps =
        provider_caps(account, format, vendor_model.len > 0 ? vendor_model : req->model);
    caps.schema_by_tool = true;
    caps.think_tags = req->route.think_tags;
    caps.web_search = req->route.web_search;
    if (!failed(err))
        err = make_aliases(req, prompt, &caps);
    if (!failed(err))
        err = render_body(req, prompt, &caps, vendor_model);
    if (!failed(err) && !note_facts(req, account, prompt, vendor_model))
        err = ERR(MODEL_UNKNOWN);
    convert_pieces_drop(conversion);
    if (failed(err)) {
        convert_text_drop(&conversion->text);
        return err;
    }
    count(req);
    req->up_op = (uint8_t)wire_op_generate(conversion->to->family, req->stream_wanted);
    return OK;
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
    const struct json_slice root = body_root(req), list = mend_list(root, family);
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

struct err convert_estimate(struct req *req, uint64_t *tokens)
{
    struct conversion *conversion = conversion_of(req);
    if (conversion == NULL)
        return ERR(OVERLOADED);
    conversion->from = client_converter(req);
    conversion->to = NULL;
    conversion->losses = arena_take(&req->arena, sizeof(*conversion->losses));
    struct prompt *prompt = scratch_take(&conversion->scratch, sizeof(*prompt));
    if (conversion->losses == NULL || prompt == NULL)
        return ERR(OVERLOADED);
    losses_init(conversion->losses, false); // nothing is carried over
    struct err err = parse_body(req, 0, prompt);
    if (!failed(err))
        *tokens = estimate_tokens(prompt);
    convert_pieces_drop(conversion);
    return err;
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
    return req->conversion->from->repeats_request;
}

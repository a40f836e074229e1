#include "penstock/ctl/admin.h"

#include "api_impl.h"
#include "penstock/base/guard.h"
#include "penstock/codec/url.h"

#include <errno.h>
#include <stdio.h>
#include <sys/un.h>
#include <unistd.h>

enum { TARGET_MAX = 4 * KIB, FIELD_MAX = 512, FIELDS_ROOM = 1 * KIB, COPY_MAX = 16 * KIB };

struct admin_req {
    struct admin *admin;
    struct stream *stream; // NULL: the client is gone, the call goes on
    struct task task;
    struct list link;
    struct api_call call;
    bool began;
    struct err err; // found before the body was read
    char target[TARGET_MAX], path[TARGET_MAX];
    char token[FIELD_MAX], match[FIELD_MAX];
};

static const struct server_limits limits = {
    .head_bytes = 16 * KIB,
    .connections = ADMIN_CONNECTIONS,
    .head_ns = 10 * NS_PER_S,
    .idle_ns = 60 * NS_PER_S,
    .stall_ns = 10 * NS_PER_S,
    .write_stall_ns = 30 * NS_PER_S,
};

static void req_free(struct admin_req *req)
{
    struct admin *admin = req->admin;
    task_cancel(&req->task);
    list_take(&req->link);
    api_call_fini(&req->call);
    bytes_wipe(req->token, sizeof(req->token));
    slab_give(&admin->reqs, req);
    admin->count--;
}

// --- the answer ---

static struct span head_fields(const struct api_call *call, char room[FIELDS_ROOM])
{
    struct put out = put_into(room, FIELDS_ROOM);
    http_put_field(&out, SPAN("cache-control"), SPAN("no-store"));
    http_put_field(&out, SPAN("x-content-type-options"), SPAN("nosniff"));
    if (call->etag != 0) {
        char tag[32];
        const size_t len = fit_printf(tag, sizeof(tag), "\"%llu\"", (unsigned long long)call->etag);
        http_put_field(&out, SPAN("etag"), span_of(tag, len));
    }
    if (call->allow != NULL && call->status == 405)
        http_put_field(&out, SPAN("allow"), span_str(call->allow));
    if (call->status == 401)
        http_put_field(&out, SPAN("www-authenticate"), SPAN("Bearer"));
    if (call->status == 503)
        http_put_field(&out, SPAN("retry-after"), SPAN("1"));
    return put_done(&out);
}

// A long answer lies in memory of its own, which the connection sends from.
static void answer_long(struct stream *stream, int status, struct span type, struct span fields,
                        struct span text)
{
    struct body *body = body_take(stream_serve(stream)->server->net, text.len);
    struct put out;
    if (body == NULL || !stream_reply(stream, status, &out)) {
        if (body != NULL)
            body_put(body);
        stream_abort(stream, WHY_LIMIT);
        return;
    }
    memcpy(body->buf.data, text.ptr, text.len);
    http_put_field(&out, SPAN("content-type"), type);
    put_span(&out, fields);
    if (stream_reply_end(stream, &out, REPLY_LENGTH, text.len) &&
        stream_send(stream, &body->buf, body->buf.data, text.len))
        stream_finish(stream);
    else
        stream_abort(stream, WHY_LIMIT);
    body_put(body);
}

static void answer(struct admin_req *req)
{
    const struct api_call *call = &req->call;
    struct stream *stream = req->stream;
    char room[FIELDS_ROOM];
    const struct span fields = head_fields(call, room);
    const struct span type = call->type != NULL ? span_str(call->type) : SPAN_NONE;
    const struct span text = text_span(&call->text);
    if (stream != NULL && stream->body.len > 0 && stream->body_buf != NULL)
        bytes_wipe((char *)stream->body.ptr, stream->body.len); // it may have held a secret
    if (stream != NULL && text.len > COPY_MAX)
        answer_long(stream, call->status, type, fields, text);
    else if (stream != NULL)
        stream_answer(stream, call->status, type, fields, text);
    req_free(req);
}

static void answer_err(struct admin_req *req, struct err err)
{
    api_problem(&req->call, err, NULL, NULL);
    answer(req);
}

static void on_call_done(struct api_call *call)
{
    answer(container_of(call, struct admin_req, call));
}

static void run(struct task *task)
{
    struct admin_req *req = container_of(task, struct admin_req, task);
    struct stream *stream = req->stream;
    if (stream->client == CLIENT_GONE) {
        stream_abort(stream, WHY_PEER);
        req->stream = NULL;
        if (!req->began)
            req_free(req);
        return;
    }
    if (req->began || stream->body_state == BODY_COLLECTING)
        return;
    req->began = true;
    if (stream->body_state == BODY_FAILED) {
        answer_err(req, stream->body_err);
        return;
    }
    if (failed(req->err)) {
        answer_err(req, req->err);
        return;
    }
    req->call.body = stream->body;
    if (api_begin(req->admin->api, &req->call))
        answer(req);
}

// --- the request ---

static bool peer_is_owner(struct stream *stream)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);
    const int fd = stream_serve(stream)->conn->fd;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
           (peer.uid == geteuid() || peer.uid == 0 || !GUARD(ADMIN_PEER));
}

static struct err read_method(enum http_method method, enum api_method *out)
{
    switch (method) {
    case HTTP_GET:
    case HTTP_HEAD: *out = API_GET; return OK;
    case HTTP_POST: *out = API_POST; return OK;
    case HTTP_PATCH: *out = API_PATCH; return OK;
    case HTTP_DELETE: *out = API_DELETE; return OK;
    case HTTP_PUT:
    case HTTP_OPTIONS:
    case HTTP_OTHER: return ERR(METHOD_NOT_ALLOWED);
    }
    bug("http_method out of range");
}

static struct span copy_field(struct span value, char room[FIELD_MAX])
{
    if (value.len > FIELD_MAX)
        return SPAN_NONE;
    if (value.len > 0)
        memcpy(room, value.ptr, value.len);
    return span_of(room, value.len);
}

// The head is gone after this call, so everything that is needed of it is copied.
static struct err read_head(struct admin_req *req, const struct http_head *head)
{
    struct api_call *call = &req->call;
    struct url_target target;
    TRY(read_method(head->method, &call->method));
    if (head->target.len > TARGET_MAX)
        return ERR(TARGET_TOO_LONG);
    memcpy(req->target, head->target.ptr, head->target.len);
    TRY(url_target_parse(span_of(req->target, head->target.len), req->path, sizeof(req->path),
                         &target));
    call->path = target.path;
    call->query = target.query;
    const struct http_field *auth = http_field_find(head, HF_AUTHORIZATION);
    if (auth != NULL && auth->value.len > 7 &&
        span_eq_nocase(span_upto(auth->value, 7), SPAN("Bearer ")))
        call->token = copy_field(span_trim(span_from(auth->value, 7)), req->token);
    const struct http_field *type = http_field_find(head, HF_CONTENT_TYPE);
    if (type != NULL)
        call->is_json =
            span_eq_nocase(span_trim(span_upto(type->value, span_find(type->value, ';'))),
                           SPAN("application/json"));
    for (unsigned i = 0; i < head->field_count; i++)
        if (span_eq_nocase(head->fields[i].name, SPAN("if-match")))
            call->if_match = copy_field(head->fields[i].value, req->match);
    return OK;
}

static void on_request(struct admin *admin, struct stream *stream, const struct http_head *head,
                       bool is_local)
{
    struct admin_req *req = slab_take(&admin->reqs);
    if (req == NULL) {
        stream_answer(stream, 503, SPAN("text/plain"), SPAN("retry-after: 1\r\n"),
                      SPAN("too many calls are under way\n"));
        return;
    }
    memset(req, 0, offsetof(struct admin_req, target));
    req->admin = admin;
    req->stream = stream;
    task_init(&req->task, run);
    list_init(&req->link);
    list_push_back(&admin->live, &req->link);
    admin->count++;
    req->call.done = on_call_done;
    req->call.is_local = is_local && peer_is_owner(stream);
    req->err = is_local && !req->call.is_local ? ERR(ADMIN_AUTH) : read_head(req, head);
    stream->owner = &req->task;
    stream_collect(stream, API_BODY_MAX);
    loop_ready(admin->net->loop, &req->task);
}

static void on_remote(struct http_app *app, struct stream *stream, const struct http_head *head)
{
    on_request(container_of(app, struct admin, remote), stream, head, false);
}

static void on_local(struct http_app *app, struct stream *stream, const struct http_head *head)
{
    on_request(container_of(app, struct admin, local), stream, head, true);
}

// --- listening ---

void admin_init(struct admin *admin, struct net *net, struct api *api)
{
    memset(admin, 0, sizeof(*admin));
    admin->net = net;
    admin->api = api;
    admin->remote.on_request = on_remote;
    admin->local.on_request = on_local;
    list_init(&admin->live);
    slab_init(&admin->reqs, sizeof(struct admin_req), ADMIN_REQUESTS);
}

struct err admin_listen(struct admin *admin, const struct sockaddr *addr, socklen_t len)
{
    assert(admin->server_count < ADMIN_LISTENERS_MAX);
    TRY(server_open(&admin->servers[admin->server_count], admin->net, &admin->remote, &limits, addr,
                    len));
    admin->server_count++;
    return OK;
}

struct err admin_listen_socket(struct admin *admin, const char *path)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    if (fit_printf(addr.sun_path, sizeof(addr.sun_path), "%s", path) != strlen(path))
        return ERR_SYS(INVALID, ENAMETOOLONG);
    struct err err = io_address_free((const struct sockaddr *)&addr, sizeof(addr));
    if (failed(err))
        return err.sys == EADDRINUSE ? ERR(RUNNING) : err;
    err = server_open(&admin->socket, admin->net, &admin->local, &limits,
                      (const struct sockaddr *)&addr, sizeof(addr));
    admin->has_socket = !failed(err);
    return err;
}

void admin_drain(struct admin *admin)
{
    for (uint32_t i = 0; i < admin->server_count; i++)
        server_drain(&admin->servers[i]);
    if (admin->has_socket)
        server_drain(&admin->socket);
}

void admin_stop(struct admin *admin)
{
    for (uint32_t i = 0; i < admin->server_count; i++)
        server_stop(&admin->servers[i]);
    if (admin->has_socket)
        server_stop(&admin->socket);
}

bool admin_is_idle(const struct admin *admin)
{
    for (uint32_t i = 0; i < admin->server_count; i++)
        if (!server_is_idle(&admin->servers[i]))
            return false;
    return !admin->has_socket || server_is_idle(&admin->socket);
}

void admin_fini(struct admin *admin)
{
    assert(list_is_empty(&admin->live));
    for (uint32_t i = 0; i < admin->server_count; i++)
        server_fini(&admin->servers[i]);
    if (admin->has_socket)
        server_fini(&admin->socket);
    slab_fini(&admin->reqs);
}

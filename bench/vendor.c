// vendor.c - the vendor that the bench puts behind every proxy: cheap, and none of our code.
//
//   penstock-vendor --port P [--tls-port P --cert FILE --key FILE] [--answer-bytes N] [--cpu N]
//
// One thread, epoll. Answers a POST with a fixed chat completion, or, when the body asks for a
// stream, with chat completion chunks at a fixed pace, each in a chunk and a write of its own. What
// a stream looks like stands in the request's text, which every proxy passes on untouched:
// `interval_us=20000 events=100 event_bytes=300 burst=1`; `burst` events go out in one write. Each
// event carries `ts=<ns>`, the monotonic clock just before it was sent, so that a client on the
// same machine can tell how long it travelled. Listens on loopback only. Whatever it cannot serve
// ends the connection.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum {
    IN_BYTES = 16 * 1024,  // a request's head and the start of its body
    OUT_BYTES = 64 * 1024, // what a slow reader may leave unsent
    ANSWER_BYTES_MAX = 32 * 1024,
    EVENT_BYTES_MAX = 8 * 1024,
    ACCEPT_BURST = 64,
    TURN_EVENTS = 256,
    STREAMS_MAX = 64 * 1024,
    BURST_MAX = 16,
};
#define NS_PER_S 1000000000ull

struct conn {
    int fd;
    SSL *ssl;
    bool handshaken, is_listener, is_tls, wants_out, dead;
    size_t in_len;
    uint64_t body_left; // of the request in `in`, not yet read
    size_t out_from, out_len;
    uint64_t next_ns, interval_ns, events_left; // of a running stream
    uint32_t event_bytes, burst;
    bool streaming, wants_usage;
    size_t heap_at;
    struct conn *next_dead;
    char *out; // NULL until something could not be sent at once
    char in[IN_BYTES + 1];
};

struct vendor {
    int epoll;
    SSL_CTX *tls;
    struct conn **heap; // the running streams, soonest event first
    size_t heap_len;
    struct conn *dead; // freed at the end of the turn
    char answer[ANSWER_BYTES_MAX + 512];
    size_t answer_len;
};

static volatile sig_atomic_t stop_asked;

static void on_signal(int number)
{
    (void)number;
    stop_asked = 1;
}

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "penstock-vendor: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

// --- the heap of running streams --------------------------------------------------------------

static void heap_put(struct vendor *vendor, size_t at, struct conn *conn)
{
    vendor->heap[at] = conn;
    conn->heap_at = at;
}

static void heap_sift(struct vendor *vendor, size_t at)
{
    struct conn *conn = vendor->heap[at];
    while (at > 0 && vendor->heap[(at - 1) / 2]->next_ns > conn->next_ns) {
        heap_put(vendor, at, vendor->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    for (;;) {
        size_t child = at * 2 + 1;
        if (child >= vendor->heap_len)
            break;
        if (child + 1 < vendor->heap_len &&
            vendor->heap[child + 1]->next_ns < vendor->heap[child]->next_ns)
            child++;
        if (vendor->heap[child]->next_ns >= conn->next_ns)
            break;
        heap_put(vendor, at, vendor->heap[child]);
        at = child;
    }
    heap_put(vendor, at, conn);
}

static void heap_remove(struct vendor *vendor, struct conn *conn)
{
    size_t at = conn->heap_at;
    struct conn *last = vendor->heap[--vendor->heap_len];
    if (last == conn)
        return;
    heap_put(vendor, at, last);
    heap_sift(vendor, at);
}

// --- connections ------------------------------------------------------------------------------

static void conn_close(struct vendor *vendor, struct conn *conn)
{
    if (conn->dead)
        return;
    conn->dead = true;
    if (conn->streaming)
        heap_remove(vendor, conn);
    if (conn->ssl != NULL) {
        SSL_shutdown(conn->ssl);
        SSL_free(conn->ssl);
    }
    close(conn->fd);
    conn->next_dead = vendor->dead;
    vendor->dead = conn;
}

static void conn_watch(struct vendor *vendor, struct conn *conn, bool wants_out)
{
    if (conn->wants_out == wants_out)
        return;
    conn->wants_out = wants_out;
    struct epoll_event event = { .events = EPOLLIN | (wants_out ? EPOLLOUT : 0), .data.ptr = conn };
    if (epoll_ctl(vendor->epoll, EPOLL_CTL_MOD, conn->fd, &event) < 0)
        fail("epoll_ctl");
}

// Bytes moved, 0 for "not now", -1 for "the connection is over".
static ssize_t conn_result(struct conn *conn, ssize_t count)
{
    if (count > 0)
        return count;
    if (conn->ssl != NULL) {
        int why = SSL_get_error(conn->ssl, (int)count);
        return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? 0 : -1;
    }
    return count < 0 && errno == EAGAIN ? 0 : -1;
}

static ssize_t conn_read(struct conn *conn, char *to, size_t cap)
{
    if (conn->ssl != NULL)
        return conn_result(conn, SSL_read(conn->ssl, to, (int)cap));
    return conn_result(conn, recv(conn->fd, to, cap, 0));
}

static ssize_t conn_write(struct conn *conn, const char *from, size_t len)
{
    if (conn->ssl != NULL)
        return conn_result(conn, SSL_write(conn->ssl, from, (int)len));
    return conn_result(conn, send(conn->fd, from, len, MSG_NOSIGNAL));
}

// Sends now, or keeps what the socket does not take; a reader too slow for that is dropped.
static void conn_send(struct vendor *vendor, struct conn *conn, const char *from, size_t len)
{
    if (conn->out_len == conn->out_from) {
        ssize_t sent = conn_write(conn, from, len);
        if (sent < 0)
            return conn_close(vendor, conn);
        from += sent;
        len -= (size_t)sent;
        conn->out_from = conn->out_len = 0;
    }
    if (len == 0)
        return;
    if (conn->out == NULL && (conn->out = malloc(OUT_BYTES)) == NULL)
        fail("malloc");
    if (len > OUT_BYTES - conn->out_len)
        return conn_close(vendor, conn);
    memcpy(conn->out + conn->out_len, from, len);
    conn->out_len += len;
    conn_watch(vendor, conn, true);
}

static void conn_flush(struct vendor *vendor, struct conn *conn)
{
    while (conn->out_from < conn->out_len) {
        ssize_t sent = conn_write(conn, conn->out + conn->out_from, conn->out_len - conn->out_from);
        if (sent < 0)
            return conn_close(vendor, conn);
        if (sent == 0)
            return;
        conn->out_from += (size_t)sent;
    }
    conn->out_from = conn->out_len = 0;
    conn_watch(vendor, conn, false);
}

// --- streams ----------------------------------------------------------------------------------

#define CHUNK_HEAD                                                                              \
    "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\","                    \
    "\"created\":1700000000,\"model\":\"bench\",\"choices\":[{\"index\":0,\"delta\":{\"role\":" \
    "\"assistant\",\"content\":\"ts="
#define CHUNK_TAIL "\"},\"finish_reason\":null}]}\n\n"

static const char stream_head[] = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
                                  "cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n";
static const char stream_stop[] =
    "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,"
    "\"model\":\"bench\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
static const char stream_usage[] =
    "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,"
    "\"model\":\"bench\",\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":12,"
    "\"total_tokens\":21}}\n\n";

static size_t chunk_put(char *at, const char *text, size_t len)
{
    size_t head = (size_t)snprintf(at, 16, "%zx\r\n", len);
    memcpy(at + head, text, len);
    memcpy(at + head + len, "\r\n", 2);
    return head + len + 2;
}

static void stream_chunk(struct vendor *vendor, struct conn *conn, const char *text, size_t len)
{
    char chunk[EVENT_BYTES_MAX + 512];
    conn_send(vendor, conn, chunk, chunk_put(chunk, text, len));
}

static void stream_events(struct vendor *vendor, struct conn *conn)
{
    static char chunks[BURST_MAX * (EVENT_BYTES_MAX + 512)];
    size_t used = 0;
    for (uint32_t i = 0; i < conn->burst; i++) {
        char text[EVENT_BYTES_MAX + 256];
        int at = snprintf(text, sizeof(text), CHUNK_HEAD "%llu ", (unsigned long long)clock_ns());
        size_t len = (size_t)at, tail = sizeof(CHUNK_TAIL) - 1;
        if (conn->event_bytes > len + tail) {
            memset(text + len, '.', conn->event_bytes - len - tail);
            len = conn->event_bytes - tail;
        }
        memcpy(text + len, CHUNK_TAIL, tail);
        used += chunk_put(chunks + used, text, len + tail);
    }
    conn_send(vendor, conn, chunks, used);
}

static void stream_end(struct vendor *vendor, struct conn *conn)
{
    heap_remove(vendor, conn);
    conn->streaming = false;
    stream_chunk(vendor, conn, stream_stop, sizeof(stream_stop) - 1);
    if (conn->wants_usage && !conn->dead)
        stream_chunk(vendor, conn, stream_usage, sizeof(stream_usage) - 1);
    static const char end[] = "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n";
    if (!conn->dead)
        conn_send(vendor, conn, end, sizeof(end) - 1);
}

// Sends what is due. A stream that is behind gets one event, not a burst of the missed ones.
static void streams_turn(struct vendor *vendor)
{
    uint64_t now = clock_ns();
    for (int i = 0; i < TURN_EVENTS && vendor->heap_len > 0; i++) {
        struct conn *conn = vendor->heap[0];
        if (conn->next_ns > now)
            return;
        if (conn->events_left == 0) {
            stream_end(vendor, conn);
            continue;
        }
        conn->events_left--;
        conn->next_ns += conn->interval_ns;
        if (conn->next_ns <= now)
            conn->next_ns = now + conn->interval_ns;
        heap_sift(vendor, 0);
        stream_events(vendor, conn);
    }
}

static uint64_t text_number(const char *text, const char *name, uint64_t otherwise, uint64_t most)
{
    const char *at = strstr(text, name);
    if (at == NULL)
        return otherwise;
    uint64_t value = strtoull(at + strlen(name), NULL, 10);
    return value < most ? value : most;
}

// The first event of a stream goes out one interval after its head, shifted by a part of it that
// differs from stream to stream: streams that start together do not tick together.
static void stream_begin(struct vendor *vendor, struct conn *conn, const char *body)
{
    if (vendor->heap_len == STREAMS_MAX)
        return conn_close(vendor, conn);
    conn_send(vendor, conn, stream_head, sizeof(stream_head) - 1);
    if (conn->dead)
        return;
    conn->interval_ns = text_number(body, "interval_us=", 20000, 1000ull * 1000 * 1000) * 1000;
    conn->events_left = text_number(body, " events=", 50, 1000ull * 1000 * 1000);
    conn->event_bytes = (uint32_t)text_number(body, "event_bytes=", 300, EVENT_BYTES_MAX);
    conn->burst = (uint32_t)text_number(body, "burst=", 1, BURST_MAX);
    conn->wants_usage = strstr(body, "\"include_usage\":true") != NULL;
    uint64_t phase = (uint64_t)conn->fd * 2654435761u % 1024;
    conn->next_ns = clock_ns() + conn->interval_ns * phase / 1024;
    conn->streaming = true;
    heap_put(vendor, vendor->heap_len, conn);
    heap_sift(vendor, vendor->heap_len++);
}

// --- requests ---------------------------------------------------------------------------------

static void conn_answer(struct vendor *vendor, struct conn *conn, const char *body)
{
    if (strstr(body, "\"stream\":true") != NULL || strstr(body, "\"stream\": true") != NULL)
        return stream_begin(vendor, conn, body);
    conn_send(vendor, conn, vendor->answer, vendor->answer_len);
}

// Serves the request at the start of `in` if its head is complete. True when bytes were consumed.
static bool conn_request(struct vendor *vendor, struct conn *conn)
{
    conn->in[conn->in_len] = '\0';
    char *end = strstr(conn->in, "\r\n\r\n");
    if (end == NULL) {
        if (conn->in_len == IN_BYTES)
            conn_close(vendor, conn);
        return false;
    }
    *end = '\0';
    const char *field = strcasestr(conn->in, "\r\ncontent-length:");
    bool chunked = strcasestr(conn->in, "\r\ntransfer-encoding:") != NULL;
    uint64_t length = field != NULL ? strtoull(field + 17, NULL, 10) : 0;
    *end = '\r';
    size_t head = (size_t)(end - conn->in) + 4, have = conn->in_len - head;
    if (chunked) {
        conn_close(vendor, conn);
        return false;
    }
    // A body that fits is waited for, so that all of it can be looked at. A larger one is read and
    // dropped, and gets the plain answer.
    if (have < length && length < IN_BYTES - head)
        return false;
    size_t body = have < length ? have : (size_t)length;
    conn->body_left = length - body;
    if (conn->body_left > 0) {
        conn->in_len = 0;
        return false;
    }
    char after = conn->in[head + body];
    conn->in[head + body] = '\0';
    conn_answer(vendor, conn, conn->in + head);
    conn->in[head + body] = after;
    conn->in_len -= head + body;
    memmove(conn->in, conn->in + head + body, conn->in_len);
    return conn->in_len > 0;
}

// Reads and drops the rest of a large body; answers when it is complete.
static bool conn_drop_body(struct vendor *vendor, struct conn *conn)
{
    static char sink[64 * 1024];
    while (conn->body_left > 0) {
        size_t want = conn->body_left < sizeof(sink) ? (size_t)conn->body_left : sizeof(sink);
        ssize_t count = conn_read(conn, sink, want);
        if (count < 0)
            conn_close(vendor, conn);
        if (count <= 0)
            return false;
        conn->body_left -= (uint64_t)count;
    }
    conn_answer(vendor, conn, "");
    return !conn->dead;
}

static void conn_input(struct vendor *vendor, struct conn *conn)
{
    if (conn->ssl != NULL && !conn->handshaken) {
        int done = SSL_accept(conn->ssl);
        if (done <= 0) {
            if (conn_result(conn, done) < 0)
                conn_close(vendor, conn);
            return;
        }
        conn->handshaken = true;
    }
    for (;;) {
        if (conn->body_left > 0 && !conn_drop_body(vendor, conn))
            return;
        size_t cap = IN_BYTES - conn->in_len;
        ssize_t count = conn_read(conn, conn->in + conn->in_len, cap);
        if (count < 0)
            return conn_close(vendor, conn);
        if (count == 0)
            return;
        conn->in_len += (size_t)count;
        while (!conn->dead && !conn->streaming && conn_request(vendor, conn))
            continue;
        if (conn->dead || (conn->ssl == NULL && (size_t)count < cap && conn->body_left == 0))
            return;
    }
}

// --- set-up and loop --------------------------------------------------------------------------

static void vendor_watch(struct vendor *vendor, struct conn *conn)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = conn };
    if (epoll_ctl(vendor->epoll, EPOLL_CTL_ADD, conn->fd, &event) < 0)
        fail("epoll_ctl");
}

static struct conn *conn_new(int fd)
{
    struct conn *conn = calloc(1, sizeof(*conn));
    if (conn == NULL)
        fail("calloc");
    conn->fd = fd;
    return conn;
}

static void vendor_accept(struct vendor *vendor, const struct conn *listener)
{
    for (int i = 0; i < ACCEPT_BURST; i++) {
        int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        int one = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        struct conn *conn = conn_new(fd);
        if (listener->is_tls) {
            conn->ssl = SSL_new(vendor->tls);
            if (conn->ssl == NULL || SSL_set_fd(conn->ssl, fd) != 1)
                fail("SSL_new");
        }
        vendor_watch(vendor, conn);
    }
}

static void vendor_listen(struct vendor *vendor, int port, bool is_tls)
{
    struct sockaddr_in addr = { .sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
        bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, 4096) < 0)
        fail("listen");
    struct conn *listener = conn_new(fd);
    listener->is_listener = true;
    listener->is_tls = is_tls;
    vendor_watch(vendor, listener);
}

static void vendor_make_answer(struct vendor *vendor, size_t bytes)
{
    static const char head[] =
        "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion\",\"created\""
        ":1700000000,\"model\":\"bench\",\"choices\":[{\"index\":0,\"message\":"
        "{\"role\":\"assistant\",\"content\":\"";
    static const char tail[] = "\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":9,"
                               "\"completion_tokens\":12,\"total_tokens\":21}}";
    size_t fixed = sizeof(head) + sizeof(tail) - 2;
    size_t fill = bytes > fixed ? bytes - fixed : 0;
    int at = snprintf(
        vendor->answer, sizeof(vendor->answer),
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n\r\n%s",
        fixed + fill, head);
    size_t len = (size_t)at;
    memset(vendor->answer + len, 'a', fill);
    memcpy(vendor->answer + len + fill, tail, sizeof(tail) - 1);
    vendor->answer_len = len + fill + sizeof(tail) - 1;
}

static void vendor_run(struct vendor *vendor)
{
    struct epoll_event events[TURN_EVENTS];
    while (!stop_asked) {
        struct timespec wait = { 1, 0 };
        if (vendor->heap_len > 0) {
            uint64_t now = clock_ns(), next = vendor->heap[0]->next_ns;
            uint64_t left = next > now ? next - now : 0;
            if (left < NS_PER_S)
                wait = (struct timespec){ 0, (long)left };
        }
        int count = epoll_pwait2(vendor->epoll, events, TURN_EVENTS, &wait, NULL);
        if (count < 0 && errno != EINTR)
            fail("epoll_pwait2");
        for (int i = 0; i < count; i++) {
            struct conn *conn = events[i].data.ptr;
            if (conn->is_listener) {
                vendor_accept(vendor, conn);
                continue;
            }
            if (!conn->dead && (events[i].events & EPOLLOUT) != 0)
                conn_flush(vendor, conn);
            if (!conn->dead && (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)
                conn_input(vendor, conn);
        }
        streams_turn(vendor);
        while (vendor->dead != NULL) {
            struct conn *conn = vendor->dead;
            vendor->dead = conn->next_dead;
            free(conn->out);
            free(conn);
        }
    }
}

static SSL_CTX *tls_context(const char *cert, const char *key)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    if (tls == NULL || cert == NULL || key == NULL ||
        SSL_CTX_use_certificate_chain_file(tls, cert) != 1 ||
        SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1) {
        fprintf(stderr, "penstock-vendor: --cert and --key do not make a TLS server\n");
        exit(1);
    }
    SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    return tls;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "port", required_argument, NULL, 'p' },
        { "tls-port", required_argument, NULL, 't' },
        { "cert", required_argument, NULL, 'c' },
        { "key", required_argument, NULL, 'k' },
        { "cpu", required_argument, NULL, 'u' },
        { "answer-bytes", required_argument, NULL, 'a' },
        { NULL, 0, NULL, 0 },
    };
    int port = 0, tls_port = 0, cpu = -1, option;
    size_t answer_bytes = 1024;
    const char *cert = NULL, *key = NULL;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'p': port = atoi(optarg); break;
        case 't': tls_port = atoi(optarg); break;
        case 'c': cert = optarg; break;
        case 'k': key = optarg; break;
        case 'u': cpu = atoi(optarg); break;
        case 'a': answer_bytes = strtoul(optarg, NULL, 10); break;
        default: return 2;
        }
    }
    if (port <= 0 || answer_bytes > ANSWER_BYTES_MAX) {
        fprintf(stderr, "penstock-vendor: --port is needed, --answer-bytes is at most %d\n",
                ANSWER_BYTES_MAX);
        return 2;
    }
    struct rlimit files = { 0 };
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (cpu >= 0) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET((size_t)cpu, &set);
        if (sched_setaffinity(0, sizeof(set), &set) < 0)
            fail("sched_setaffinity");
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);

    struct vendor *vendor = calloc(1, sizeof(*vendor));
    if (vendor == NULL || (vendor->heap = calloc(STREAMS_MAX, sizeof(void *))) == NULL)
        fail("calloc");
    vendor->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (vendor->epoll < 0)
        fail("epoll_create1");
    vendor_make_answer(vendor, answer_bytes);
    vendor_listen(vendor, port, false);
    if (tls_port > 0) {
        vendor->tls = tls_context(cert, key);
        vendor_listen(vendor, tls_port, true);
    }
    vendor_run(vendor);
    return 0;
}

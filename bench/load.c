// load.c - the bench's load: requests in a closed loop or at a fixed rate, or many paced streams.
//
//   penstock-load --target 127.0.0.1:PORT --mode closed|open|stream --conns N --seconds S
//                 [--rate R] [--warm S] [--header 'name: value']... [--path P] [--model M]
//                 [--body-bytes N] [--interval-us N] [--events N] [--event-bytes N] [--burst N]
//                 [--cpu N]
//                 [--watch NAME=PID[,PID...]]...
//
// One thread, epoll, keep-alive; shares no code with the gateway. At a fixed rate, latency counts
// from the moment a request was meant to be sent, so a stalled server cannot hide its stall by
// holding the next request back. A stream's events carry the vendor's clock as `ts=<ns>`; what is
// reported is the time from there to here. The CPU time and resident memory of watched processes
// are read at both ends of the measured window, every thread included.
//
// Prints one JSON object. Refuses any address outside 127.0.0.0/8, and ends by itself.
#include "answer.h"
#include "hist.h"
#include "watch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
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
    CONNS_MAX = 16 * 1024,
    DIALS_MAX = 128, // connections being opened at a time, while streams ramp up
    RAMP_SECONDS_MAX = 60,
    SECONDS_MAX = 600,
    ERRORS_MAX = 1000,
    ERRORS_SHOWN = 3,
    HEADERS_MAX = 8,
    READ_BYTES = 256 * 1024,
    BODY_BYTES_MAX = 64 * 1024 * 1024,
    TURN_EVENTS = 512,
};
#define NS_PER_S 1000000000ull

enum mode { MODE_CLOSED, MODE_OPEN, MODE_STREAM };
enum conn_state { CONN_NONE, CONN_DIALLING, CONN_IDLE, CONN_BUSY };

struct conn {
    int fd;
    enum conn_state state;
    bool answering;    // a byte of the answer was seen
    size_t sent;       // bytes of the request
    uint64_t began_ns; // when the request was sent, or meant to be sent
    uint64_t last_ns;  // of the stream's last event; 0 before the first
    struct conn *next; // in the list of idle connections
    struct answer answer;
};

struct load {
    enum mode mode;
    struct sockaddr_in target;
    double rate, warm_s, seconds;
    int conn_count, cpu;
    const char *path, *model, *headers[HEADERS_MAX];
    int header_count;
    size_t body_bytes;
    unsigned long interval_us, event_count, event_bytes, burst;

    int epoll;
    char *request;
    size_t request_len;
    struct conn *conns, *idle;
    int dialling, opened, first_bytes;
    uint64_t start_ns, window_ns, end_ns; // the window is measured; 0 until it is known
    bool measuring;
    uint64_t issued; // requests whose time has come, at a fixed rate
    uint64_t requests, events, errors_all, reconnects;
    struct hist latency, first, gap;
};

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "penstock-load: %s\n", what);
    exit(1);
}

static uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

// --- connections ------------------------------------------------------------------------------

static void conn_dial(struct load *load, struct conn *conn)
{
    conn->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (conn->fd < 0)
        fail("out of descriptors");
    int one = 1;
    setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(conn->fd, (struct sockaddr *)&load->target, sizeof(load->target)) < 0 &&
        errno != EINPROGRESS)
        fail(strerror(errno));
    struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = conn };
    if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, conn->fd, &event) < 0)
        fail(strerror(errno));
    conn->state = CONN_DIALLING;
    load->dialling++;
}

// Closes and dials again. Every broken request is an error; a close between requests is not.
static void conn_redial(struct load *load, struct conn *conn, bool is_error)
{
    if (conn->state == CONN_DIALLING)
        load->dialling--;
    close(conn->fd);
    if (is_error) {
        if (++load->errors_all > ERRORS_MAX)
            fail("too many failed requests");
    } else {
        load->reconnects++;
    }
    conn_dial(load, conn);
}

static void conn_write(struct load *load, struct conn *conn)
{
    while (conn->sent < load->request_len) {
        ssize_t count = send(conn->fd, load->request + conn->sent, load->request_len - conn->sent,
                             MSG_NOSIGNAL);
        if (count < 0) {
            if (errno != EAGAIN)
                conn_redial(load, conn, true);
            return;
        }
        conn->sent += (size_t)count;
    }
}

static void conn_request(struct load *load, struct conn *conn, uint64_t began_ns)
{
    conn->state = CONN_BUSY;
    conn->answering = false;
    conn->sent = 0;
    conn->began_ns = began_ns;
    conn->last_ns = 0;
    answer_reset(&conn->answer);
    conn_write(load, conn);
}

// The time the request with this number is meant to be sent.
static uint64_t load_intended_ns(const struct load *load, uint64_t number)
{
    return load->start_ns + (uint64_t)((double)number * 1e9 / load->rate);
}

static void conn_ready(struct load *load, struct conn *conn)
{
    if (load->mode != MODE_OPEN) {
        conn_request(load, conn, clock_ns());
    } else if (load_intended_ns(load, load->issued) <= clock_ns()) {
        conn_request(load, conn, load_intended_ns(load, load->issued++));
    } else {
        conn->state = CONN_IDLE;
        conn->next = load->idle;
        load->idle = conn;
    }
}

static void conn_finished(struct load *load, struct conn *conn)
{
    if (load->measuring) {
        load->requests++;
        if (load->mode != MODE_STREAM)
            hist_add(&load->latency, clock_ns() - conn->began_ns);
    }
    if (conn->answer.status != 200) {
        if (load->errors_all < ERRORS_SHOWN)
            fprintf(stderr, "penstock-load: status %d\n", conn->answer.status);
        conn_redial(load, conn, true);
    } else if (conn->answer.closes) {
        conn_redial(load, conn, false);
    } else {
        conn_ready(load, conn);
    }
}

struct event_arg {
    struct load *load;
    struct conn *conn;
    uint64_t now_ns;
};

static void on_event_ts(void *pointer, uint64_t ts)
{
    struct event_arg *arg = pointer;
    struct load *load = arg->load;
    struct conn *conn = arg->conn;
    if (load->measuring) {
        load->events++;
        hist_add(&load->latency, arg->now_ns > ts ? arg->now_ns - ts : 0);
        if (conn->last_ns != 0)
            hist_add(&load->gap, arg->now_ns - conn->last_ns);
    }
    // A stream's first event falls into the ramp more often than into the window: all count.
    if (conn->last_ns == 0)
        hist_add(&load->first, arg->now_ns - conn->began_ns);
    conn->last_ns = arg->now_ns;
}

static void conn_read(struct load *load, struct conn *conn)
{
    static char bytes[READ_BYTES];
    for (;;) {
        ssize_t count = recv(conn->fd, bytes, sizeof(bytes), 0);
        if (count < 0 && errno == EAGAIN)
            return;
        if (count <= 0 || conn->state != CONN_BUSY) {
            // An idle connection that ends is on the idle list: leave it there, marked.
            if (conn->state == CONN_IDLE) {
                conn->state = CONN_NONE;
                return;
            }
            conn_redial(load, conn, conn->state == CONN_BUSY);
            return;
        }
        if (!conn->answering && load->mode == MODE_STREAM)
            load->first_bytes++;
        conn->answering = true;
        struct event_arg arg = { load, conn, clock_ns() };
        size_t used = answer_feed(&conn->answer, bytes, (size_t)count,
                                  load->mode == MODE_STREAM ? on_event_ts : NULL, &arg);
        if (conn->answer.state == ANSWER_BAD || used < (size_t)count)
            return conn_redial(load, conn, true);
        if (conn->answer.state == ANSWER_DONE)
            conn_finished(load, conn);
        if ((size_t)count < sizeof(bytes))
            return; // edge-triggered: new bytes bring a new event
    }
}

static void conn_event(struct load *load, struct conn *conn, uint32_t events)
{
    if (conn->state == CONN_DIALLING && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0) {
        int error = 0;
        socklen_t len = sizeof(error);
        getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &len);
        if (error != 0)
            return conn_redial(load, conn, true);
        load->dialling--;
        conn_ready(load, conn);
    } else if (conn->state == CONN_BUSY && (events & EPOLLOUT) != 0) {
        conn_write(load, conn);
    }
    if ((conn->state == CONN_BUSY || conn->state == CONN_IDLE) && (events & EPOLLIN) != 0)
        conn_read(load, conn);
}

// --- the request ------------------------------------------------------------------------------

static void load_make_request(struct load *load)
{
    char head[4096], start[512];
    int start_len =
        snprintf(start, sizeof(start),
                 "{\"model\":\"%s\",\"max_tokens\":64,%s\"messages\":[{\"role\":\"user\","
                 "\"content\":\"interval_us=%lu events=%lu event_bytes=%lu burst=%lu ",
                 load->model, load->mode == MODE_STREAM ? "\"stream\":true," : "",
                 load->interval_us, load->event_count, load->event_bytes, load->burst);
    static const char end[] = "\"}]}";
    size_t fixed = (size_t)start_len + sizeof(end) - 1;
    size_t fill = load->body_bytes > fixed ? load->body_bytes - fixed : 0;
    int head_len =
        snprintf(head, sizeof(head),
                 "POST %s HTTP/1.1\r\nhost: 127.0.0.1:%d\r\ncontent-type: "
                 "application/json\r\ncontent-length: %zu\r\naccept: application/json\r\n",
                 load->path, ntohs(load->target.sin_port), fixed + fill);
    for (int i = 0; i < load->header_count; i++)
        head_len +=
            snprintf(head + head_len, sizeof(head) - (size_t)head_len, "%s\r\n", load->headers[i]);
    head_len += snprintf(head + head_len, sizeof(head) - (size_t)head_len, "\r\n");
    if (start_len >= (int)sizeof(start) || head_len >= (int)sizeof(head))
        fail("the request's head is too long");

    load->request_len = (size_t)head_len + fixed + fill;
    load->request = malloc(load->request_len);
    if (load->request == NULL)
        fail("out of memory");
    char *at = load->request;
    memcpy(at, head, (size_t)head_len);
    memcpy(at += head_len, start, (size_t)start_len);
    at += start_len;
    for (size_t i = 0; i < fill; i++) // words, so that it looks like text to whoever scans it
        at[i] = i % 8 == 7 ? ' ' : (char)('a' + i % 23);
    memcpy(at + fill, end, sizeof(end) - 1);
}

// --- the run ----------------------------------------------------------------------------------

// Opens connections, all at once or, for streams, a few at a time.
static void load_open_more(struct load *load)
{
    int most = load->mode == MODE_STREAM ? DIALS_MAX : CONNS_MAX;
    while (load->opened < load->conn_count && load->dialling < most)
        conn_dial(load, &load->conns[load->opened++]);
}

static void load_send_due(struct load *load, uint64_t now)
{
    while (load->idle != NULL && load_intended_ns(load, load->issued) <= now) {
        struct conn *conn = load->idle;
        load->idle = conn->next;
        if (conn->state == CONN_NONE) { // ended while idle
            conn_redial(load, conn, false);
            continue;
        }
        conn_request(load, conn, load_intended_ns(load, load->issued++));
    }
}

// Moves from ramp to warm-up to window as their time comes; false at the end.
static bool load_phase(struct load *load, uint64_t now)
{
    if (load->window_ns == 0) {
        bool ramped = load->mode != MODE_STREAM || load->first_bytes >= load->conn_count;
        if (!ramped && now - load->start_ns > (uint64_t)RAMP_SECONDS_MAX * NS_PER_S)
            fail("the streams did not all start in time");
        if (ramped)
            load->window_ns = now + (uint64_t)(load->warm_s * 1e9);
    } else if (!load->measuring && now >= load->window_ns) {
        hist_clear(&load->latency);
        hist_clear(&load->gap);
        load->requests = load->events = load->reconnects = 0;
        load->measuring = true;
        load->window_ns = now;
        load->end_ns = now + (uint64_t)(load->seconds * 1e9);
        watch_begin();
    } else if (load->measuring && now >= load->end_ns) {
        watch_end();
        load->end_ns = now;
        return false;
    }
    return true;
}

static void load_run(struct load *load)
{
    struct epoll_event events[TURN_EVENTS];
    load->start_ns = clock_ns();
    for (uint64_t now = load->start_ns; load_phase(load, now); now = clock_ns()) {
        load_open_more(load);
        uint64_t wait_ns = NS_PER_S / 100;
        if (load->mode == MODE_OPEN) {
            load_send_due(load, now);
            uint64_t next = load_intended_ns(load, load->issued);
            if (load->idle != NULL && next < now + wait_ns)
                wait_ns = next > now ? next - now : 0;
        }
        struct timespec wait = { 0, (long)wait_ns };
        int count = epoll_pwait2(load->epoll, events, TURN_EVENTS, &wait, NULL);
        if (count < 0 && errno != EINTR)
            fail(strerror(errno));
        for (int i = 0; i < count; i++)
            conn_event(load, events[i].data.ptr, events[i].events);
    }
}

static void print_hist(const char *name, const struct hist *hist)
{
    printf(",\"%s_us\":{\"count\":%llu,\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"p999\":%.1f,"
           "\"max\":%.1f}",
           name, (unsigned long long)hist->count, (double)hist_at(hist, 0.50) / 1e3,
           (double)hist_at(hist, 0.90) / 1e3, (double)hist_at(hist, 0.99) / 1e3,
           (double)hist_at(hist, 0.999) / 1e3, (double)hist->max / 1e3);
}

static void load_print(const struct load *load)
{
    double seconds = (double)(load->end_ns - load->window_ns) / 1e9;
    // What the rate asked for and did not get; a request or two straddle the window's ends.
    double missed = load->mode == MODE_OPEN ? seconds * load->rate - (double)load->requests : 0;
    printf("{\"seconds\":%.4f,\"requests\":%llu,\"events\":%llu,\"errors\":%llu,"
           "\"reconnects\":%llu,\"missed\":%.0f",
           seconds, (unsigned long long)load->requests, (unsigned long long)load->events,
           (unsigned long long)load->errors_all, (unsigned long long)load->reconnects,
           missed > 0 ? missed : 0);
    print_hist("latency", &load->latency);
    if (load->mode == MODE_STREAM) {
        print_hist("first", &load->first);
        print_hist("gap", &load->gap);
    }
    watch_print();
    printf("}\n");
}

static void load_target(struct load *load, const char *text)
{
    char host[64];
    const char *colon = strchr(text, ':');
    if (colon == NULL || (size_t)(colon - text) >= sizeof(host))
        fail("--target is ADDRESS:PORT");
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    load->target.sin_family = AF_INET;
    load->target.sin_port = htons((uint16_t)atoi(colon + 1));
    if (inet_pton(AF_INET, host, &load->target.sin_addr) != 1 ||
        (ntohl(load->target.sin_addr.s_addr) >> 24) != 127)
        fail("only addresses in 127.0.0.0/8 are loaded");
}

static enum mode mode_named(const char *name)
{
    if (strcmp(name, "closed") == 0)
        return MODE_CLOSED;
    if (strcmp(name, "open") == 0)
        return MODE_OPEN;
    if (strcmp(name, "stream") == 0)
        return MODE_STREAM;
    fail("--mode is closed, open or stream");
}

static void load_options(struct load *load, int argc, char **argv)
{
    static const struct option options[] = {
        { "target", 1, NULL, 't' },
        { "mode", 1, NULL, 'm' },
        { "conns", 1, NULL, 'c' },
        { "seconds", 1, NULL, 's' },
        { "rate", 1, NULL, 'r' },
        { "warm", 1, NULL, 'w' },
        { "header", 1, NULL, 'h' },
        { "path", 1, NULL, 'p' },
        { "model", 1, NULL, 'M' },
        { "body-bytes", 1, NULL, 'b' },
        { "interval-us", 1, NULL, 'i' },
        { "events", 1, NULL, 'e' },
        { "event-bytes", 1, NULL, 'E' },
        { "burst", 1, NULL, 'B' },
        { "cpu", 1, NULL, 'u' },
        { "watch", 1, NULL, 'W' },
        { NULL, 0, NULL, 0 },
    };
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 't': load_target(load, optarg); break;
        case 'm': load->mode = mode_named(optarg); break;
        case 'c': load->conn_count = atoi(optarg); break;
        case 's': load->seconds = atof(optarg); break;
        case 'r': load->rate = atof(optarg); break;
        case 'w': load->warm_s = atof(optarg); break;
        case 'p': load->path = optarg; break;
        case 'M': load->model = optarg; break;
        case 'b': load->body_bytes = strtoul(optarg, NULL, 10); break;
        case 'i': load->interval_us = strtoul(optarg, NULL, 10); break;
        case 'e': load->event_count = strtoul(optarg, NULL, 10); break;
        case 'E': load->event_bytes = strtoul(optarg, NULL, 10); break;
        case 'B': load->burst = strtoul(optarg, NULL, 10); break;
        case 'u': load->cpu = atoi(optarg); break;
        case 'W':
            if (!watch_add(optarg))
                fail("--watch is NAME=PID[,PID...]");
            break;
        case 'h':
            if (load->header_count == HEADERS_MAX)
                fail("too many --header");
            load->headers[load->header_count++] = optarg;
            break;
        default: exit(2);
        }
    }
    if (load->target.sin_port == 0 || load->conn_count < 1 || load->conn_count > CONNS_MAX ||
        load->seconds <= 0 || load->seconds > SECONDS_MAX || load->body_bytes > BODY_BYTES_MAX ||
        (load->mode == MODE_OPEN && load->rate <= 0))
        fail("needs --target, --conns, --seconds (at most 600), and --rate with --mode open");
}

static void load_pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    if (sched_setaffinity(0, sizeof(set), &set) < 0)
        fail(strerror(errno));
}

int main(int argc, char **argv)
{
    static struct load load = {
        .cpu = -1,
        .warm_s = 0.3,
        .path = "/v1/chat/completions",
        .model = "bench",
        .body_bytes = 1024,
        .interval_us = 20000,
        .event_count = 1000000,
        .event_bytes = 300,
        .burst = 1,
    };
    load_options(&load, argc, argv);
    alarm((unsigned)(load.seconds + load.warm_s) + RAMP_SECONDS_MAX + 10);
    if (load.cpu >= 0)
        load_pin(load.cpu);
    struct rlimit files = { 0 };
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    load_make_request(&load);
    load.conns = calloc((size_t)load.conn_count, sizeof(struct conn));
    load.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (load.conns == NULL || load.epoll < 0)
        fail("out of memory or descriptors");
    watch_before();
    load_run(&load);
    load_print(&load);
    return 0;
}

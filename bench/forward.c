// forward.c - the least that a proxy can cost: carries bytes between two sockets and spins.
//
//   penstock-forward --port P --to P --cpu N [--spin-us N] [--hold]
//
// One thread: epoll, one receive, one send. It reads nothing of what it carries. What it adds to a
// request's way is what any proxy on this machine has to add, so rows of the bench show it beside
// the others. With --spin-us it polls that long after the last event before it sleeps. With --hold
// it sends a request on only when its body is complete, as whoever has to know all of a body before
// it chooses a vendor: one memory of the largest request, used again and again. Loopback only.
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    FDS_MAX = 16 * 1024,
    TURN_EVENTS = 256,
    BYTES_MAX = 64 * 1024,
    HELD_MAX = 1024 * 1024, // of one request
    BACKLOG = 1024,
};

struct held {
    size_t len, due; // due 0: the head is not complete
    char bytes[HELD_MAX + 1];
};

static int peers[FDS_MAX];         // of a connection, the other one
static struct held *held[FDS_MAX]; // of a client's connection with a request that is not whole
static struct held *spare;         // the one that was given back last
static bool is_client[FDS_MAX];
static volatile sig_atomic_t stop_asked;

static void on_signal(int number)
{
    (void)number;
    stop_asked = 1;
}

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "penstock-forward: %s: %s\n", what, strerror(errno));
    exit(1);
}

static struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){ .sin_family = AF_INET,
                                 .sin_port = htons((uint16_t)port),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

static void watch(int epoll, int fd)
{
    struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        fail("epoll_ctl");
}

static void pair(int epoll, int listener, int to)
{
    const struct sockaddr_in addr = loopback(to);
    int one = 1, client = accept(listener, NULL, NULL);
    if (client < 0)
        return;
    int vendor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (vendor < 0 || client >= FDS_MAX || vendor >= FDS_MAX ||
        connect(vendor, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
        fail("connect");
    const int both[] = { client, vendor };
    for (int i = 0; i < 2; i++) {
        (void)setsockopt(both[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        peers[both[i]] = both[1 - i];
        is_client[both[i]] = i == 0;
        watch(epoll, both[i]);
    }
}

static void part_ways(int fd)
{
    free(held[fd]);
    held[fd] = NULL;
    close(peers[fd]);
    close(fd);
}

static bool send_all(int fd, const char *bytes, size_t len)
{
    for (size_t sent = 0; sent < len;) {
        ssize_t got = send(fd, bytes + sent, len - sent, MSG_NOSIGNAL);
        if (got <= 0)
            return false;
        sent += (size_t)got;
    }
    return true;
}

static void carry(int fd)
{
    static char bytes[BYTES_MAX];
    ssize_t len = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (len < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (len <= 0 || !send_all(peers[fd], bytes, (size_t)len))
        part_ways(fd);
}

static size_t request_len(const char *text)
{
    const char *end = strstr(text, "\r\n\r\n"), *length = strstr(text, "content-length: ");
    if (end == NULL)
        return 0;
    size_t body = length != NULL && length < end ? strtoul(length + 16, NULL, 10) : 0;
    return (size_t)(end + 4 - text) + body;
}

static void hold(int fd)
{
    struct held *request = held[fd];
    if (request == NULL) {
        request = spare != NULL ? spare : malloc(sizeof(*request));
        if (request == NULL)
            fail("malloc");
        spare = NULL;
        request->len = request->due = 0;
        held[fd] = request;
    }
    ssize_t len = recv(fd, request->bytes + request->len, HELD_MAX - request->len, MSG_DONTWAIT);
    if (len < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (len <= 0) {
        part_ways(fd);
        return;
    }
    request->len += (size_t)len;
    request->bytes[request->len] = '\0';
    if (request->due == 0)
        request->due = request_len(request->bytes);
    if (request->due == 0 || request->len < request->due)
        return;
    held[fd] = NULL;
    bool sent = send_all(peers[fd], request->bytes, request->len);
    free(spare);
    spare = request;
    if (!sent)
        part_ways(fd);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "port", required_argument, NULL, 'p' }, { "to", required_argument, NULL, 't' },
        { "cpu", required_argument, NULL, 'c' },  { "spin-us", required_argument, NULL, 's' },
        { "hold", no_argument, NULL, 'h' },       { NULL, 0, NULL, 0 }
    };
    int port = 0, to = 0, one = 1, letter;
    uint64_t spin_ns = 0;
    bool holds = false;
    while ((letter = getopt_long(argc, argv, "", options, NULL)) != -1) {
        cpu_set_t cpus;
        switch (letter) {
        case 'p': port = atoi(optarg); break;
        case 't': to = atoi(optarg); break;
        case 'c':
            CPU_ZERO(&cpus);
            CPU_SET((size_t)atoi(optarg), &cpus);
            if (sched_setaffinity(0, sizeof(cpus), &cpus) < 0)
                fail("sched_setaffinity");
            break;
        case 's': spin_ns = strtoull(optarg, NULL, 10) * 1000; break;
        case 'h': holds = true; break;
        default: return 2;
        }
    }
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    const struct sockaddr_in addr = loopback(port);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
        epoll = epoll_create1(EPOLL_CLOEXEC);
    (void)setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(listener, (const struct sockaddr *)&addr, sizeof(addr)) < 0 ||
        listen(listener, BACKLOG) < 0)
        fail("listen");
    watch(epoll, listener);
    for (uint64_t last_ns = 0; !stop_asked;) {
        struct epoll_event events[TURN_EVENTS];
        uint64_t now_ns = clock_ns();
        int count = epoll_wait(epoll, events, TURN_EVENTS, now_ns - last_ns < spin_ns ? 0 : -1);
        if (count > 0)
            last_ns = now_ns;
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == listener)
                pair(epoll, listener, to);
            else if (holds && is_client[fd])
                hold(fd);
            else
                carry(fd);
        }
    }
    return 0;
}

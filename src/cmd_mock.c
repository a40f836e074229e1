// `penstock mock`: the mock vendor in the foreground.
#include "commands.h"
#include "mock_thread.h"
#include "penstock/base/check.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>

// "host:port" with a numeric host.
static bool parse_address(struct span text, union dest_addr *addr)
{
    size_t colon = text.len;
    while (colon > 0 && text.ptr[colon - 1] != ':')
        colon--;
    uint64_t port;
    char host[INET6_ADDRSTRLEN];
    if (colon < 2 || colon > sizeof(host) || !span_u64(span_from(text, colon), &port) ||
        port > UINT16_MAX)
        return false;
    memcpy(host, text.ptr, colon - 1);
    host[colon - 1] = '\0';
    memset(addr, 0, sizeof(*addr));
    addr->v4.sin_family = AF_INET;
    addr->v4.sin_port = htons((uint16_t)port);
    return inet_pton(AF_INET, host, &addr->v4.sin_addr) == 1;
}

int cmd_mock(int argc, char **argv)
{
    const char *listen = "127.0.0.1:8082";
    struct mock_thread mock = { .io_config = { .backend = IO_BACKEND_AUTO } };
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--listen") == 0 && i + 1 < argc) {
            listen = argv[++i];
        } else {
            fprintf(stderr, "usage: penstock mock [--listen ADDRESS:PORT]\n");
            return EXIT_USAGE;
        }
    }
    if (!parse_address(span_str(listen), &mock.addr)) {
        fprintf(stderr, "penstock: `%s` is not an IPv4 address and a port\n", listen);
        return EXIT_USAGE;
    }
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    verify(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    signal(SIGPIPE, SIG_IGN);
    struct err err = mock_thread_start(&mock);
    if (failed(err)) {
        fprintf(stderr, "penstock: the mock vendor cannot start: %s\n", mock.why);
        return EXIT_FAILED;
    }
    fprintf(stderr, "penstock: the mock vendor listens on http://%s\n", listen);
    int signal_number;
    verify(sigwait(&set, &signal_number) == 0);
    mock_thread_stop(&mock);
    return EXIT_DONE;
}

// The settings, one row each. A new one is a member of struct config, a row, and a line in
// configs/penstock.yaml, which a test demands.
#include "config_impl.h"
#include "penstock/base/guard.h"

#include <arpa/inet.h>
#include <stdio.h>

static const char *const backend_names[] = {
    [BACKEND_AUTO] = "auto", [BACKEND_URING] = "uring", [BACKEND_EPOLL] = "epoll", NULL
};
static const char *const half_close_names[] = {
    [HALF_CLOSE_AUTO] = "auto", [HALF_CLOSE_KEEP] = "keep", NULL
};
static const char *const level_names[] = {
    [LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warn", [LOG_ERROR] = "error", NULL
};

static const char *check_path(struct span text)
{
    return text.ptr[0] == '/' ? NULL : "must be an absolute path";
}

static const char *check_name(struct span text)
{
    return span_find(text, '/') == text.len && text.ptr[0] != '.' ? NULL : "is not a name";
}

bool config_ip_parse(struct span host, int *family, uint8_t bytes[16])
{
    char text[INET6_ADDRSTRLEN];
    if (host.len == 0 || host.len >= sizeof(text))
        return false;
    memcpy(text, host.ptr, host.len);
    text[host.len] = '\0';
    *family = span_find(host, ':') < host.len ? AF_INET6 : AF_INET;
    return inet_pton(*family, text, bytes) == 1;
}

static bool is_loopback(struct span host)
{
    static const uint8_t v6_one[16] = { [15] = 1 };
    int family;
    uint8_t bytes[16];
    if (span_eq(host, SPAN("localhost")))
        return true;
    if (!config_ip_parse(host, &family, bytes))
        return false;
    return family == AF_INET ? bytes[0] == 127 : memcmp(bytes, v6_one, sizeof(v6_one)) == 0;
}

const char *config_address_parse(struct span text, struct config_address *out)
{
    *out = (struct config_address){ .host = SPAN_NONE };
    if (span_starts(text, SPAN("unix:"))) {
        out->is_unix = out->is_loopback = true;
        out->host = span_from(text, 5);
        // What sun_path holds, with its NUL.
        if (out->host.len == 0 || out->host.ptr[0] != '/' || out->host.len > 107)
            return "must name an absolute path of at most 107 bytes behind `unix:`";
        return NULL;
    }
    size_t colon = text.len;
    while (colon > 0 && text.ptr[colon - 1] != ':')
        colon--;
    uint64_t port;
    if (colon == 0 || !span_u64(span_from(text, colon), &port) || port > 65535)
        return "must be an address and a port";
    out->port = (uint16_t)port;
    struct span host = span_upto(text, colon - 1);
    const bool bracketed = host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']';
    if (bracketed)
        host = span_of(host.ptr + 1, host.len - 2);
    int family;
    uint8_t bytes[16];
    if (host.len == 0 && !bracketed)
        return NULL;
    if (!span_eq(host, SPAN("localhost")) && !config_ip_parse(host, &family, bytes))
        return "must begin with an IP address or localhost, not with another name";
    if (bracketed != (span_find(host, ':') < host.len))
        return "must have an IPv6 address, and only that, in brackets";
    out->host = host;
    out->is_loopback = is_loopback(host);
    return NULL;
}

static const char *check_address(struct span text)
{
    struct config_address address;
    return config_address_parse(text, &address);
}

static const char *check_cidr(struct span text)
{
    const size_t slash = span_find(text, '/');
    int family;
    uint8_t bytes[16];
    uint64_t bits;
    if (slash == text.len || !config_ip_parse(span_upto(text, slash), &family, bytes) ||
        !span_u64(span_from(text, slash + 1), &bits) || bits > (family == AF_INET ? 32 : 128))
        return "is not a range such as 10.0.0.0/8";
    // A range with bits behind its length is often a typing error in the length.
    for (uint64_t bit = bits; bit < (family == AF_INET ? 32 : 128); bit++)
        if ((bytes[bit / 8] >> (7 - bit % 8) & 1) != 0)
            return "has address bits outside its length";
    const bool link_local = family == AF_INET ? bytes[0] == 169 && bytes[1] == 254
                                              : bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80;
    return link_local ? "is link-local, which is never allowed" : NULL;
}

static const char *check_origin(struct span text)
{
    if (span_eq(text, SPAN("*")))
        return NULL;
    struct base_url url;
    const char *why = base_url_parse(text, &url);
    if (why != NULL)
        return why;
    return url.path.len > 0 || text.ptr[text.len - 1] == '/' ? "may have no path" : NULL;
}

static const struct field tls_fields[] = {
    FIELD_ROW(STRING, struct config_tls, "cert", 0, cert, .flags = FIELD_REQUIRED, .max = 4096,
              .check = check_path, .help = "PEM file with the certificate and its chain."),
    FIELD_ROW(STRING, struct config_tls, "key", 0, key, .flags = FIELD_REQUIRED, .max = 4096,
              .check = check_path, .help = "PEM file with the private key."),
};
static const struct table tls_table = {
    .name = "certificate",
    .size = sizeof(struct config_tls),
    .fields = tls_fields,
    .count = ARRAY_LEN(tls_fields),
};

static const struct field listener_fields[] = {
    FIELD_ROW(STRING, struct config_listener, "address", 0, address,
              .flags = FIELD_REQUIRED | FIELD_SHORTHAND, .max = 128, .check = check_address,
              .example = "127.0.0.1:8080",
              .help = "host:port, [v6]:port, :port for all addresses, or unix:/path."),
    FIELD_ROW(OBJECTS, struct config_listener, "tls", 0, tls, .max = 64, .sub = &tls_table,
              .help = "Certificates by the names in them; the first serves unknown names."),
};
static const struct table listener_table = {
    .name = "listener",
    .size = sizeof(struct config_listener),
    .fields = listener_fields,
    .count = ARRAY_LEN(listener_fields),
};

#define ROW(kind, name, member, ...) FIELD_ROW(kind, struct config, name, 0, member, __VA_ARGS__)
#define KB(n) ((int64_t)(n)*1024)
#define MB(n) (KB(n) * 1024)
#define GB(n) (MB(n) * 1024)
#define MS(n) ((int64_t)((n)*NS_PER_MS))
#define S(n) ((int64_t)((n)*NS_PER_S))
#define MINUTE S(60)
#define HOUR S(3600)
#define DAY S(86400)
#define LIVE .flags = FIELD_LIVE

static const struct field fields[] = {
    ROW(INT, "config_version", config_version, .flags = FIELD_REQUIRED, .min = 1,
        .max = CONFIG_VERSION, .init = "1", .example = "1",
        .help = "The version of this file's format."),

    ROW(ENUM, "io.backend", io.backend, .names = backend_names, .init = "auto",
        .help = "How sockets are served; auto takes io_uring where the kernel offers it."),
    ROW(INT, "io.spin_us", io.spin_us, .max = 1000, .init = "0",
        .help = "Microseconds that an idle shard polls before it sleeps; 0: none."),
    ROW(INT, "io.entries", io.entries, .min = 64, .max = 32768, .init = "1024",
        .help = "Entries of a shard's submission ring."),
    ROW(INT, "shards", shards, .min = 1, .max = 256, .init = "auto", .zero = "auto",
        .help = "Threads that serve requests; auto: one a core that this process may use."),

    ROW(OBJECTS, "listen.data", listen.data, .max = 16, .init = "127.0.0.1:8080", .zero = "off",
        .sub = &listener_table, .example = "127.0.0.1:8080",
        .help = "Where clients connect: addresses, or maps with address and tls."),
    ROW(OBJECTS, "listen.admin", listen.admin, .max = 4, .init = "127.0.0.1:8081", .zero = "off",
        .sub = &listener_table, .example = "127.0.0.1:8081",
        .help = "Where the admin API, health and metrics are served."),
    ROW(STRING, "listen.control", listen.control, .max = 107, .init = "auto", .zero = "auto",
        .check = check_path,
        .help = "The Unix socket for the command line; auto: control.sock in runtime_dir."),

    ROW(STRING, "state_dir", state_dir, .max = 4000, .init = "auto", .zero = "auto",
        .check = check_path,
        .help = "What must survive a restart; auto: systemd's directory, /var/lib/penstock for "
                "root, else ~/.local/state/penstock."),
    ROW(STRING, "runtime_dir", runtime_dir, .max = 4000, .init = "auto", .zero = "auto",
        .check = check_path,
        .help = "Sockets; auto: systemd's directory, /run/penstock for root, else "
                "$XDG_RUNTIME_DIR/penstock."),

    ROW(STRING, "master_key.file", master_key.file, .max = 4000, .init = "auto", .zero = "auto",
        .check = check_path,
        .help = "File with the key that seals secrets, readable by its owner alone; auto: the "
                "credential penstock-master-key, else master.key in state_dir, made if absent."),
    ROW(STRING, "master_key.cred", master_key.cred, .max = 200, .init = "auto", .zero = "auto",
        .check = check_name, .help = "Name of the systemd credential with the master key."),
    ROW(STRING, "master_key.env", master_key.env, .max = 100, .init = "auto", .zero = "auto",
        .check = check_name, .help = "Name of the environment variable with the master key."),

    ROW(SIZE, "limits.body", limits.body, LIVE, .min = KB(1), .max = GB(1), .init = "64MiB",
        .help = "The largest request body, after decompression."),
    ROW(SIZE, "limits.head", limits.head, LIVE, .min = KB(4), .max = KB(32), .init = "32KiB",
        .help = "The largest request head."),
    ROW(INT, "limits.json_depth", limits.json_depth, LIVE, .min = 16, .max = 512, .init = "512",
        .help = "The deepest nesting of a JSON body."),
    ROW(SIZE, "limits.memory", limits.memory, .min = MB(16), .max = GB(16384), .init = "auto",
        .zero = "auto", .example = "2GiB",
        .help = "Bytes held for peers at most; auto: 75 % of the machine's or the cgroup's."),
    ROW(SIZE, "limits.stream_memory", limits.stream_memory, LIVE, .min = KB(256), .max = MB(1),
        .init = "512KiB", .help = "Bytes held for one stream at most, beyond its request body."),
    ROW(SIZE, "limits.recall", limits.recall, .min = MB(8), .max = GB(64), .init = "32MiB",
        .help = "Bytes in which it is remembered who signed which thought, beside the memory held "
                "for peers."),
    ROW(INT, "limits.connections", limits.connections, .min = 1, .max = 10000000, .init = "auto",
        .zero = "auto", .help = "Client connections; auto: from the limit of open descriptors."),
    ROW(INT, "limits.per_address", limits.per_address, LIVE, .min = 1, .max = 10000000,
        .init = "off", .zero = "off",
        .help = "Connections from one address, or from one IPv6 network of 64 bits."),
    ROW(INT, "limits.requests_per_connection", limits.requests_per_connection, LIVE, .min = 1,
        .max = 1000000000, .init = "off", .zero = "off",
        .help = "Requests on a connection before it is closed."),

    ROW(DURATION, "timeouts.header", timeouts.header_ns, LIVE, .min = MS(100), .max = HOUR,
        .init = "10s", .help = "For a request head to arrive whole."),
    ROW(DURATION, "timeouts.body_stall", timeouts.body_stall_ns, LIVE, .min = MS(100), .max = HOUR,
        .init = "30s", .help = "Between two pieces of a request body."),
    ROW(DURATION, "timeouts.idle", timeouts.idle_ns, LIVE, .min = MS(100), .max = DAY,
        .init = "60s", .help = "For the next request on a client's connection."),
    ROW(DURATION, "timeouts.connect", timeouts.connect_ns, LIVE, .min = MS(10), .max = HOUR,
        .init = "5s", .help = "To connect to a vendor."),
    ROW(DURATION, "timeouts.dns", timeouts.dns_ns, .min = MS(10), .max = HOUR, .init = "2s",
        .help = "To look up a vendor's name."),
    ROW(DURATION, "timeouts.handshake", timeouts.handshake_ns, LIVE, .min = MS(10), .max = HOUR,
        .init = "5s", .help = "For a TLS handshake, with clients and with vendors."),
    ROW(DURATION, "timeouts.first_byte_stream", timeouts.first_byte_stream_ns, LIVE, .min = MS(10),
        .max = DAY, .init = "120s", .help = "To the first byte of a streamed answer."),
    ROW(DURATION, "timeouts.first_byte_whole", timeouts.first_byte_whole_ns, LIVE, .min = MS(10),
        .max = DAY, .init = "600s", .help = "To the first byte of an answer that is not streamed."),
    ROW(DURATION, "timeouts.stream_idle", timeouts.stream_idle_ns, LIVE, .min = MS(10), .max = DAY,
        .init = "120s", .help = "Between two pieces of a vendor's answer."),
    ROW(DURATION, "timeouts.total", timeouts.total_ns, LIVE, .min = MS(10), .max = DAY,
        .init = "off", .zero = "off", .help = "For a whole request."),
    ROW(DURATION, "timeouts.write_stall", timeouts.write_stall_ns, LIVE, .min = MS(100),
        .max = HOUR, .init = "60s", .help = "For a client that does not read."),
    ROW(DURATION, "timeouts.drain_delay", timeouts.drain_delay_ns, LIVE, .min = MS(1), .max = HOUR,
        .init = "5s", .zero = "off",
        .help = "Between the failing readiness check and the end of accepting, at a stop."),
    ROW(DURATION, "timeouts.drain", timeouts.drain_ns, LIVE, .min = MS(1), .max = DAY,
        .init = "600s", .help = "For streams to finish, at a stop."),

    ROW(ENUM, "client_half_close", client_half_close, LIVE, .names = half_close_names,
        .init = "auto",
        .help = "What a client's half-close means: auto finds out whether it left, keep goes on."),
    ROW(STRINGS, "cors.origins", cors.origins, LIVE, .max = 256, .check = check_origin,
        .example = "https://app.example.com",
        .help = "Origins whose pages may call the data address; none: no CORS answers."),

    ROW(ENUM, "log.level", log.level, LIVE, .names = level_names, .init = "info",
        .help = "The least grave message that is logged."),
    ROW(STRING, "log.file", log.file, .max = 4000, .init = "stderr", .zero = "stderr",
        .check = check_path, .help = "Where log lines go; a file is opened again on SIGHUP."),
    ROW(BOOL, "log.access", log.access, LIVE, .init = "true",
        .help = "Whether each request gets a line."),

    ROW(DURATION, "store.retention", store.retention_ns, .min = HOUR, .max = 3660 * DAY,
        .init = "90d", .help = "How long the record of a single request is kept."),
    ROW(INT, "store.sync_ms", store.sync_ms, .min = 1, .max = 60000, .init = "100",
        .help = "Milliseconds between two syncs of usage records to the disk."),
    ROW(SIZE, "store.disk_watermark", store.disk_watermark, .min = MB(1), .max = GB(16384),
        .init = "1GiB", .zero = "off",
        .help = "Free space below which single requests are no longer recorded."),

    ROW(STRINGS, "upstream.allow_cidr", upstream.allow_cidr, LIVE, .max = 64, .check = check_cidr,
        .example = "10.0.0.0/8",
        .help = "Private ranges in which accounts made by the API may have their address."),
    ROW(INT, "upstream.retries", upstream.retries, LIVE, .max = 10, .init = "2",
        .help = "Further accounts tried before the first byte of an answer."),
    ROW(INT, "upstream.idle_per_host", upstream.idle_per_host, LIVE, .max = 10000, .init = "64",
        .help = "Idle connections to one vendor that a shard keeps."),
    ROW(DURATION, "upstream.idle_timeout", upstream.idle_timeout_ns, LIVE, .min = MS(100),
        .max = HOUR, .init = "50s", .help = "How long an idle connection to a vendor is kept."),

    ROW(BOOL, "mock.enabled", mock.enabled,
        .help = "Whether the built-in mock vendor runs inside this process."),
    ROW(STRING, "mock.address", mock.address, .max = 128, .init = "127.0.0.1:8082",
        .check = check_address, .help = "Where the built-in mock vendor listens."),
};

const struct table config_table = {
    .name = "configuration",
    .plural = "", // its fields stand alone
    .size = sizeof(struct config),
    .version = CONFIG_VERSION,
    .version_min = CONFIG_VERSION,
    .fields = fields,
    .count = ARRAY_LEN(fields),
};

static struct place place_of(const struct value *root, const char *first, const char *second)
{
    const struct value *at = root != NULL ? value_find(root, span_str(first)) : NULL;
    if (at != NULL && second != NULL && at->kind == VALUE_MAP) {
        const struct value *below = value_find(at, span_str(second));
        at = below != NULL ? below : at;
    }
    return at != NULL ? at->place : (struct place){ 0 };
}

static void check_listeners(struct config_loader *loader, const struct config *cfg,
                            const struct value *root)
{
    const struct config_listener *data = cfg->listen.data.items;
    const struct config_listener *admin = cfg->listen.admin.items;
    struct config_address address;
    for (uint32_t i = 0; i < cfg->listen.data.count; i++) {
        if (config_address_parse(data[i].address, &address) != NULL || address.is_loopback ||
            data[i].tls.count > 0)
            continue;
        struct problem *problem = problem_warn(
            loader->problems, PROBLEM_DATA_EXPOSED, place_of(root, "listen", "data"), "listen.data",
            "`%s` is reachable from other machines without TLS", data[i].address.ptr);
        problem_help(problem, "give it `tls`, or let a TLS proxy stand before it");
    }
    for (uint32_t i = 0; i < cfg->listen.admin.count; i++) {
        if (config_address_parse(admin[i].address, &address) != NULL || address.is_loopback ||
            admin[i].tls.count > 0 || !GUARD(ADMIN_EXPOSED))
            continue;
        struct problem *problem =
            problem_add(loader->problems, PROBLEM_ADMIN_EXPOSED, place_of(root, "listen", "admin"),
                        "listen.admin", "`%s` is reachable from other machines without TLS",
                        admin[i].address.ptr);
        problem_help(problem, "give it `tls`, or a loopback address");
    }
}

void config_check(struct config_loader *loader, const struct config *cfg, const struct value *root)
{
    check_listeners(loader, cfg, root);
    const int keys = (cfg->master_key.file.len > 0 ? 1 : 0) +
                     (cfg->master_key.cred.len > 0 ? 1 : 0) + (cfg->master_key.env.len > 0 ? 1 : 0);
    if (keys > 1)
        problem_add(loader->problems, PROBLEM_EXCLUSIVE, place_of(root, "master_key", NULL),
                    "master_key", "`master_key` takes one of `file`, `cred` and `env`");
    if (cfg->limits.memory != 0 && cfg->limits.memory < cfg->limits.body)
        problem_add(loader->problems, PROBLEM_INCONSISTENT, place_of(root, "limits", "memory"),
                    "limits.memory", "`limits.memory` is smaller than one body (`limits.body`)");
    if (cfg->cors.origins.count > 1)
        for (uint32_t i = 0; i < cfg->cors.origins.count; i++)
            if (span_eq(cfg->cors.origins.items[i], SPAN("*")))
                problem_add(loader->problems, PROBLEM_INCONSISTENT,
                            place_of(root, "cors", "origins"), "cors.origins",
                            "`*` in `cors.origins` makes the other entries meaningless");
}

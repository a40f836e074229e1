// config.h - the settings of one process: a YAML file, the environment, defaults.
//
// `struct config` is plain data, complete after a load and never changed: a reload makes another
// one. It is laid out by one table (config_table), from which loading, `config explain`, `config
// schema`, `config env`, the example file's test and the comparison of two configurations are made.
// Times are nanoseconds, sizes bytes. Objects under `resources:` arrive as records.
#ifndef PENSTOCK_CTL_CONFIG_H
#define PENSTOCK_CTL_CONFIG_H

#include "penstock/model/account.h"
#include "penstock/model/key.h"
#include "penstock/model/problem.h"
#include "penstock/model/route.h"

enum {
    CONFIG_VERSION = 1,
    CONFIG_FILE_MAX = 32 * MIB,
    CONFIG_NODES_MAX = 1 << 20,
    CONFIG_RESOURCES_MAX = 100 * 1000, // of each kind
};

enum config_backend { BACKEND_AUTO, BACKEND_URING, BACKEND_EPOLL };
enum config_half_close { HALF_CLOSE_AUTO, HALF_CLOSE_KEEP };
enum config_log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

struct config_tls {
    struct span cert, key; // PEM files
};
// An address is "host:port", "[v6]:port", ":port" for all addresses, or "unix:/path".
struct config_listener {
    struct span address;
    struct objects tls; // struct config_tls; the first is served without or with an unknown SNI
};

struct config {
    struct record record;
    int64_t config_version;
    struct {
        int backend;     // enum config_backend
        int64_t spin_us; // busy poll; 0: off
        int64_t entries; // of a shard's ring
    } io;
    int64_t shards; // 0: as many as the machine allows
    struct {
        struct objects data, admin; // struct config_listener
        struct span control;        // a Unix socket's path, absolute after loading
    } listen;
    struct span state_dir, runtime_dir; // absolute after loading
    struct {
        struct span file, cred, env; // at most one; none: credential, else generated file
    } master_key;
    struct {
        uint64_t body, head;
        int64_t json_depth;
        uint64_t memory; // 0: a share of the machine's or the cgroup's
        uint64_t stream_memory;
        uint64_t recall;
        int64_t connections;             // 0: from the descriptor limit
        int64_t per_address;             // connections; 0: no limit
        int64_t requests_per_connection; // 0: no limit
    } limits;
    struct {
        uint64_t header_ns, body_stall_ns, idle_ns, connect_ns, dns_ns, handshake_ns;
        uint64_t first_byte_stream_ns, first_byte_whole_ns, stream_idle_ns;
        uint64_t total_ns; // 0: off
        uint64_t write_stall_ns, drain_delay_ns, drain_ns;
    } timeouts;
    int client_half_close; // enum config_half_close
    struct {
        struct strings origins; // none: off
    } cors;
    struct {
        int level;        // enum config_log_level
        struct span file; // empty: standard error
        bool access;
    } log;
    struct {
        uint64_t retention_ns; // of usage detail
        int64_t sync_ms;
        uint64_t disk_watermark; // bytes that stay free
    } store;
    struct {
        struct strings allow_cidr;
        int64_t retries; // further accounts tried
        int64_t idle_per_host;
        uint64_t idle_timeout_ns;
    } upstream;
    struct {
        bool enabled;
        struct span address;
    } mock;

    // resources:, after the table.
    struct account **accounts;
    struct key **keys; // with `key` still as text when the file gave one: see key_adopt()
    struct route **routes;
    uint32_t account_count, key_count, route_count;
};
extern const struct table config_table;

// What loading asks the world, so that a test can answer.
struct config_stat {
    uint32_t mode, uid; // as fstat(2) gives them, for a regular file
};
struct config_world {
    // The value of an environment variable, NULL if unset; valid for the call.
    const char *(*env)(struct config_world *world, const char *name);
    // The i-th "NAME=value" of the environment, NULL past the end.
    const char *(*env_at)(struct config_world *world, size_t i);
    // Appends a whole regular file of at most `max` bytes to `out`; `stat` may be NULL. Returns 0
    // or an errno: EFBIG for a longer file.
    int (*read)(struct config_world *world, const char *path, size_t max, struct text *out,
                struct config_stat *stat);
    uint32_t uid; // the effective one
};
struct config_world *config_world_system(void);

// Reads `text` (the file's bytes; `file` is its name for messages only), the variables
// PENSTOCK__*, and the defaults. NULL when there is an error among `problems`; warnings do not
// prevent a configuration. An empty `text` is the embedded defaults. Secrets live in `vault`, which
// must outlive the configuration.
must_use struct config *config_load(struct span text, const char *file, struct vault *vault,
                                    struct config_world *world, struct problems *problems);
// The same from a path; the text is kept in *source (for problems_render()), which the caller ends.
must_use struct config *config_load_file(const char *path, struct vault *vault,
                                         struct config_world *world, struct problems *problems,
                                         struct text *source);
void config_free(struct config **cfg);

// Calls `on_change` for every setting in which the two differ; `live` tells whether a reload
// applies it.
typedef void config_change_fn(void *arg, const struct field *field, bool live);
void config_diff(const struct config *a, const struct config *b, config_change_fn *on_change,
                 void *arg);

// A reload: every setting in which `next` differs from `old` and that is not live becomes what it
// is in `old`, and so `next` is what is in force. `on_change` as above.
void config_adopt(struct config *next, const struct config *old, config_change_fn *on_change,
                  void *arg);

// The bytes that may be held for peers: limits.memory, or 75 % of the smaller of the machine's
// memory and the cgroup's limit. 0 when neither can be read.
uint64_t config_memory(const struct config *cfg, struct config_world *world);

// The API key that an account takes from api_key_file or api_key_env, without the line end behind
// it: for snap_account_extra. OK with *out NULL when the account names neither. `why` says what is
// wrong, without any of the key.
enum { ACCOUNT_WHY_MAX = 256 };
must_use struct err account_key_load(const struct account *account, struct config_world *world,
                                     struct vault *vault, struct secret **out,
                                     char why[ACCOUNT_WHY_MAX]);

// `config explain KEY` (a setting, a field such as "accounts.priority", or a code such as C0312):
// false if there is no such thing; then *out holds a hint.
bool config_explain(struct span key, struct text *out);
// `config env`: every variable with its default, a line each.
void config_env_list(struct text *out);
// `config schema`: a JSON Schema of the file. The caller owns it.
must_use json_t *config_schema(void);
// `config show`: the settings in force as YAML; secrets masked.
void config_show(const struct config *cfg, struct text *out);

// An address of a listener in its parts; views of `text`.
struct config_address {
    bool is_unix;
    struct span host; // empty: all addresses; without brackets
    uint16_t port;
    bool is_loopback; // or a Unix socket
};
// NULL: good, else what is wrong.
const char *config_address_parse(struct span text, struct config_address *out);
// An IPv4 or IPv6 address, without brackets: AF_INET and 4 bytes, or AF_INET6 and 16.
must_use bool config_ip_parse(struct span text, int *family, uint8_t bytes[16]);

#endif

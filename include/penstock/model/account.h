// account.h - an account at a vendor: where it is, how to log in there, what it serves.
#ifndef PENSTOCK_MODEL_ACCOUNT_H
#define PENSTOCK_MODEL_ACCOUNT_H

#include "penstock/model/field.h"
#include "penstock/model/format.h"

enum account_type {
#define ACCOUNT_TYPE(id, name, base_url, formats, auth, prefix) ACCOUNT_##id,
#include "penstock/model/account_types.def"
#undef ACCOUNT_TYPE
    ACCOUNT_TYPE_COUNT
};

struct account_type_info {
    const char *name;
    const char *base_url;    // NULL: the operator must give one
    uint32_t formats;        // set of BIT(enum format)
    const char *auth_name;   // the field that carries the credential
    const char *auth_prefix; // before the credential in its value
};
const struct account_type_info *account_type_info(enum account_type type);

// AUTO follows the type; an anthropic account with another vendor's key (not "sk-ant-") uses
// BEARER, as the gateways that imitate that API expect.
enum account_auth { AUTH_AUTO, AUTH_BEARER, AUTH_X_API_KEY, AUTH_API_KEY, AUTH_NONE };

enum {
    ACCOUNT_PRIORITY_DEFAULT = 50, // the smaller number is taken first
    ACCOUNT_NAME_MAX = 64,
    MODEL_NAME_MAX = 256,
    URL_MAX = 2048,
};

struct account {
    struct record record;
    struct span id, name, description;
    int type; // enum account_type
    struct span base_url;
    int auth; // enum account_auth
    struct secret *api_key;
    struct span api_key_file, api_key_env; // where the key is read from instead, at each load
    struct pairs headers;                  // sent with every request; values are secrets
    struct strings models;                 // public names or prefix*; none: every model
    struct pairs model_map;                // public name -> the vendor's name
    uint32_t formats;                      // set; 0: what the type serves
    int64_t priority;
    bool enabled;
    struct span ca_file;
    struct span server_name; // for TLS, where it differs from the host
    bool allow_private;      // the address may be in a private range
    struct span anthropic_version;
    // Deadlines; 0: the gateway's own setting.
    uint64_t connect_ns, first_byte_stream_ns, first_byte_whole_ns, idle_ns, total_ns;
    int64_t max_in_flight; // -1: no limit
    uint64_t expires_at;   // not used from then on
    uint64_t created_at, updated_at;
};
extern const struct table account_table;

// A base URL in its parts; views of `text`. The path has no '/' at its end and may be empty.
struct base_url {
    bool tls;
    struct span host; // an IPv6 address without its brackets
    uint16_t port;
    struct span path;
    bool is_ipv6;
};
// NULL: good; else what is wrong with it. Userinfo, query, fragment, backslash, control characters,
// spaces, dot segments and numeric host forms are refused.
const char *base_url_parse(struct span text, struct base_url *out);

// "gpt-4*" or "gpt-4o": whether `name` is meant. An asterisk stands only at the end.
bool model_pattern_matches(struct span pattern, struct span name);

#endif

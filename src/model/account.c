#include "penstock/model/account.h"

#include "checks.h"
#include "penstock/base/check.h"

static const struct account_type_info types[ACCOUNT_TYPE_COUNT] = {
#define ACCOUNT_TYPE(id, name, base_url, formats, auth, prefix) \
    [ACCOUNT_##id] = { name, base_url, formats, auth, prefix },
#include "penstock/model/account_types.def"
#undef ACCOUNT_TYPE
};

static const char *const type_names[ACCOUNT_TYPE_COUNT + 1] = {
#define ACCOUNT_TYPE(id, name, base_url, formats, auth, prefix) [ACCOUNT_##id] = name,
#include "penstock/model/account_types.def"
#undef ACCOUNT_TYPE
};

static const char *const auth_names[] = {
    [AUTH_AUTO] = "auto",       [AUTH_BEARER] = "bearer", [AUTH_X_API_KEY] = "x-api-key",
    [AUTH_API_KEY] = "api-key", [AUTH_NONE] = "none",     NULL,
};

const struct account_type_info *account_type_info(enum account_type type)
{
    assert(type < ACCOUNT_TYPE_COUNT);
    return &types[type];
}

static const char *check_version(struct span text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((text.ptr[i] < '0' || text.ptr[i] > '9') && text.ptr[i] != '-')
            return "is not a version such as 2023-06-01";
    return NULL;
}

#define HOUR_NS ((int64_t)(3600 * NS_PER_S))
#define ROW(kind, name, tag, member, ...) \
    FIELD_ROW(kind, struct account, name, tag, member, __VA_ARGS__)
#define DEADLINE(name, tag, member, help_)                                                     \
    ROW(DURATION, name, tag, member, .min = NS_PER_MS, .max = 24 * HOUR_NS, .zero = "default", \
        .example = "30s", .help = help_)

static const struct field fields[] = {
    ROW(STRING, "id", 1, id, .flags = FIELD_IMMUTABLE, .max = 64, .check = check_id,
        .help = "What the account is called in records; made from the name if absent."),
    ROW(STRING, "name", 2, name, .flags = FIELD_REQUIRED, .max = ACCOUNT_NAME_MAX,
        .check = check_name, .help = "What people and model routes call the account."),
    ROW(STRING, "description", 3, description, .flags = FIELD_LINES, .max = 1000,
        .help = "A note for people."),
    ROW(ENUM, "type", 4, type, .flags = FIELD_REQUIRED | FIELD_IMMUTABLE, .names = type_names,
        .example = "openai", .help = "Which vendor's interface the account speaks."),
    ROW(STRING, "base_url", 5, base_url, .max = URL_MAX, .check = check_url,
        .example = "https://api.example.com/v1",
        .help = "Where the vendor is, with or without the version in its path."),
    ROW(ENUM, "auth", 6, auth, .names = auth_names, .init = "auto",
        .help = "Which header carries the credential; auto follows the type."),
    ROW(SECRET, "api_key", 7, api_key, .max = SECRET_MAX,
        .help = "The vendor's API key. Stored sealed, never shown."),
    ROW(STRING, "api_key_file", 8, api_key_file, .flags = FIELD_FILE_ONLY, .max = 4096,
        .check = check_path, .help = "A file that holds the API key; read at each load."),
    ROW(STRING, "api_key_env", 9, api_key_env, .flags = FIELD_FILE_ONLY, .max = 256,
        .check = check_env, .help = "An environment variable that holds the API key."),
    ROW(MAP, "headers", 10, headers, .flags = FIELD_SENSITIVE, .max = 32,
        .help = "Headers sent with every request of this account. Their values are secrets."),
    ROW(STRINGS, "models", 11, models, .max = 2000, .check = check_pattern,
        .help = "Public model names, or beginnings with *, that the account serves; none: all."),
    ROW(MAP, "model_map", 12, model_map, .max = 2000, .check = check_model,
        .help = "Public model name to the vendor's name."),
    ROW(ENUMS, "formats", 13, formats, .names = format_names,
        .help = "API formats that the account serves; none: those of its type."),
    ROW(INT, "priority", 14, priority, .min = 1, .max = 100, .init = "50",
        .help = "The smaller number is taken first."),
    ROW(BOOL, "enabled", 15, enabled, .init = "true", .help = "Whether requests are sent here."),
    ROW(STRING, "ca_file", 16, ca_file, .max = 4096, .check = check_path,
        .help = "PEM file with the authorities of a private host, instead of the system's."),
    ROW(STRING, "server_name", 17, server_name, .max = 253, .check = check_host,
        .help = "The name expected in the certificate where it is not the URL's host."),
    ROW(BOOL, "allow_private", 18, allow_private, .flags = FIELD_FILE_ONLY,
        .help = "Whether the address may lie in a private range."),
    ROW(STRING, "anthropic_version", 19, anthropic_version, .max = 32, .check = check_version,
        .example = "2023-06-01",
        .help = "The anthropic-version header where the client sends none."),
    DEADLINE("timeouts.connect", 20, connect_ns, "To connect, for each address tried."),
    DEADLINE("timeouts.first_byte_stream", 21, first_byte_stream_ns,
             "To the first byte of a streamed answer."),
    DEADLINE("timeouts.first_byte_whole", 22, first_byte_whole_ns,
             "To the first byte of an answer that is not streamed."),
    DEADLINE("timeouts.idle", 23, idle_ns, "Between two pieces of an answer."),
    DEADLINE("timeouts.total", 24, total_ns, "For a whole request."),
    ROW(INT, "max_in_flight", 25, max_in_flight, .min = -1, .max = 1000000, .init = "-1",
        .help = "Requests at one time; -1: no limit, 0: none."),
    ROW(TIME, "expires_at", 26, expires_at, .zero = "never",
        .help = "The account is not used from then on."),
    ROW(TIME, "created_at", 27, created_at, .flags = FIELD_READ_ONLY, .help = "When it was made."),
    ROW(TIME, "updated_at", 28, updated_at, .flags = FIELD_READ_ONLY,
        .help = "When it was last changed."),
};

// Header names that are the gateway's own business, or credentials that belong into api_key.
static const char *const reserved_headers[] = {
    "host",      "content-length", "transfer-encoding", "connection",       "keep-alive",
    "te",        "trailer",        "upgrade",           "proxy-connection", "authorization",
    "x-api-key", "api-key",        "x-goog-api-key",    "accept-encoding",  "content-encoding",
    "expect",    "cookie",         "content-type",
};

static bool is_token(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        const char low = (char)(text.ptr[i] | 0x20);
        const bool word = (low >= 'a' && low <= 'z') || (text.ptr[i] >= '0' && text.ptr[i] <= '9');
        if (!word && strchr("!#$%&'*+-.^_`|~", text.ptr[i]) == NULL)
            return false;
    }
    return text.len > 0;
}

static void join(char out[PROBLEM_PATH_MAX], const char *path, const char *name)
{
    problem_path(out, span_str(path), span_str(name));
}

static void check_headers(const struct account *account, const struct value *from, const char *path,
                          struct problems *problems)
{
    char full[PROBLEM_PATH_MAX];
    join(full, path, "headers");
    const struct value *map = value_find(from, SPAN("headers"));
    for (uint32_t i = 0; i < account->headers.count; i++) {
        const struct span name = account->headers.items[i].key;
        const struct value *entry =
            map != NULL && map->kind == VALUE_MAP ? value_find(map, name) : NULL;
        const struct place place = entry != NULL ? entry->key_place : from->place;
        if (!is_token(name))
            problem_add(problems, PROBLEM_MALFORMED, place, full, "`%s` is no header name",
                        name.ptr);
        for (size_t j = 0; j < ARRAY_LEN(reserved_headers); j++) {
            if (!span_eq_nocase(name, span_str(reserved_headers[j])))
                continue;
            struct problem *problem =
                problem_add(problems, PROBLEM_INCONSISTENT, place, full,
                            "the header `%s` is set by the gateway", reserved_headers[j]);
            problem_help(problem, "a credential belongs into api_key; auth chooses its header");
        }
        for (uint32_t j = 0; j < i; j++)
            if (span_eq_nocase(name, account->headers.items[j].key))
                problem_add(problems, PROBLEM_DUPLICATE_KEY, place, full,
                            "the header `%s` stands here twice", name.ptr);
    }
}

static struct place place_of(const struct value *from, const char *name)
{
    const struct value *entry = value_find(from, span_str(name));
    return entry != NULL ? entry->place : from->place;
}

static void check(const struct record *record, const struct value *from, const char *path,
                  struct problems *problems)
{
    const struct account *account = (const struct account *)record;
    const struct account_type_info *info = account_type_info((enum account_type)account->type);
    char full[PROBLEM_PATH_MAX];
    if (account->base_url.len == 0 && info->base_url == NULL) {
        join(full, path, "base_url");
        problem_hint(problem_add(problems, PROBLEM_MISSING, place_of(from, "type"), full,
                                 "`%s` is missing: the type `%s` has no address of its own", full,
                                 info->name),
                     "for example `https://api.example.com/v1`");
    }
    const int sources = (account->api_key != NULL ? 1 : 0) +
                        (account->api_key_file.len > 0 ? 1 : 0) +
                        (account->api_key_env.len > 0 ? 1 : 0);
    join(full, path, "api_key");
    if (sources > 1)
        problem_add(problems, PROBLEM_EXCLUSIVE, from->place, full,
                    "only one of `api_key`, `api_key_file` and `api_key_env` may be given");
    if (sources == 0 && account->auth != AUTH_NONE) {
        struct problem *problem =
            problem_add(problems, PROBLEM_MISSING, from->place, full, "`%s` is missing", full);
        problem_help(problem, "give `api_key`, or `auth: none` for a host that asks for none");
    }
    if (account->formats != 0 && (account->formats & info->formats) == 0) {
        join(full, path, "formats");
        problem_add(problems, PROBLEM_INCONSISTENT, place_of(from, "formats"), full,
                    "the type `%s` serves none of the formats in `%s`", info->name, full);
    }
    check_headers(account, from, path, problems);
}

const struct table account_table = {
    .name = "account",
    .plural = "accounts",
    .size = sizeof(struct account),
    .version = 1,
    .version_min = 1,
    .fields = fields,
    .count = ARRAY_LEN(fields),
    .id_prefix = "acc",
    .check = check,
};

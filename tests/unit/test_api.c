// The admin API without HTTP: routing, who may ask, how answers look; metrics as text.
#include "ctl_rig.h"

#include "penstock/ctl/metrics.h"

struct desk {
    struct rig rig;
    struct tokens tokens;
    struct api api;
    char setup[TOKEN_TEXT_LEN + 1];
    char admin[TOKEN_TEXT_LEN + 1];
};

static void on_done(struct api_call *call)
{
    *(bool *)call->user = true;
}

// One call; the answer's body as JSON, NULL if it is none.
static json_t *call(struct desk *desk, enum api_method method, const char *target, const char *body,
                    const char *token, int *status)
{
    const struct span all = span_str(target);
    const size_t cut = span_find(all, '?');
    bool done = false;
    struct api_call api_call = {
        .method = method,
        .path = span_upto(all, cut),
        .query = span_from(all, min_size(cut + 1, all.len)),
        .body = span_str(body != NULL ? body : ""),
        .token = span_str(token),
        .is_json = true,
        .done = on_done,
        .user = &done,
    };
    if (!api_begin(&desk->api, &api_call)) {
        EXPECT(!done);
        while (!done)
            (void)registry_poll(desk->rig.registry);
    }
    *status = api_call.status;
    const struct span text = text_span(&api_call.text);
    json_t *json = json_loadb(text.ptr != NULL ? text.ptr : "", text.len, 0, NULL);
    api_call_fini(&api_call);
    return json;
}

static int status_of(struct desk *desk, enum api_method method, const char *target,
                     const char *body, const char *token)
{
    int status;
    json_decref(call(desk, method, target, body, token, &status));
    return status;
}

static void desk_init(struct desk *desk)
{
    bool made;
    memset(desk, 0, sizeof(*desk));
    rig_init(&desk->rig, "config_version: 1\n");
    EXPECT(!failed(tokens_init(&desk->tokens, desk->rig.registry, &desk->rig.keyring, env_system(),
                               span_str(desk->rig.dir), &made, desk->setup)));
    EXPECT(made);
    desk->api = (struct api){ .registry = desk->rig.registry,
                              .tokens = &desk->tokens,
                              .config = desk->rig.config,
                              .store = desk->rig.store,
                              .env = env_system() };
}

static void desk_set_up(struct desk *desk)
{
    char body[256];
    int status;
    fit_printf(body, sizeof(body), "{\"token\":\"%s\"}", desk->setup);
    json_t *json = call(desk, API_POST, "/api/v1/setup", body, "", &status);
    EXPECT_EQ(status, 201);
    fit_printf(desk->admin, sizeof(desk->admin), "%s",
               json_string_value(json_object_get(json, "token")));
    json_decref(json);
}

static void desk_fini(struct desk *desk)
{
    tokens_fini(&desk->tokens);
    rig_fini(&desk->rig);
}

static void test_the_setup_token_is_used_once(void)
{
    struct desk desk;
    desk_init(&desk);
    char path[400], body[256];
    struct stat stat_;
    fit_printf(path, sizeof(path), "%s/setup-token", desk.rig.dir);
    EXPECT_EQ(stat(path, &stat_), 0);
    EXPECT_EQ(stat_.st_mode & 0777, 0600);
    EXPECT(!tokens_is_admin(&desk.tokens, span_str(desk.setup)));
    EXPECT_EQ(status_of(&desk, API_POST, "/api/v1/setup", "{\"token\":\"no\"}", ""), 401);
    EXPECT_EQ(status_of(&desk, API_POST, "/api/v1/setup", "{}", ""), 401);
    desk_set_up(&desk);
    EXPECT(stat(path, &stat_) != 0);
    EXPECT(tokens_is_admin(&desk.tokens, span_str(desk.admin)));
    EXPECT(!tokens_is_admin(&desk.tokens, span_str(desk.setup)));
    fit_printf(body, sizeof(body), "{\"token\":\"%s\"}", desk.setup);
    EXPECT_EQ(status_of(&desk, API_POST, "/api/v1/setup", body, ""), 409);
    desk_fini(&desk);
}

// What lies in its place is a setup token only if it is ours and closed to others.
static void test_a_planted_setup_token_is_not_taken(void)
{
    struct desk desk;
    desk_init(&desk);
    char text[TOKEN_TEXT_LEN + 1];
    bool made;
    struct tokens tokens;
    const struct span dir = span_str(desk.rig.dir);
    EXPECT(!failed(tokens_init(&tokens, desk.rig.registry, &desk.rig.keyring, env_system(), dir,
                               &made, text)));
    EXPECT(!made); // the one of the start before
    EXPECT_EQ(strcmp(text, desk.setup), 0);
    EXPECT_EQ(chmod(tokens.path, 0644), 0);
    EXPECT(!failed(tokens_init(&tokens, desk.rig.registry, &desk.rig.keyring, env_system(), dir,
                               &made, text)));
    EXPECT(made);
    EXPECT(strcmp(text, desk.setup) != 0);
    EXPECT(!tokens_is_setup(&tokens, span_str(desk.setup)));
    desk_fini(&desk);
}

static void test_every_operation_needs_a_token(void)
{
    struct desk desk;
    struct api_route_info info;
    desk_init(&desk);
    desk_set_up(&desk);
    char wrong[TOKEN_TEXT_LEN + 1];
    memcpy(wrong, desk.admin, sizeof(wrong));
    wrong[TOKEN_TEXT_LEN - 1] ^= 1;
    uint32_t closed = 0;
    for (uint32_t i = 0; api_route_at(i, &info); i++) {
        if (info.is_open)
            continue;
        closed++;
        EXPECT_EQ(status_of(&desk, info.method, info.path, "{}", ""), 401);
        EXPECT_EQ(status_of(&desk, info.method, info.path, "{}", wrong), 401);
        EXPECT(status_of(&desk, info.method, info.path, "{}", desk.admin) != 401);
    }
    EXPECT(closed > 20);
    EXPECT_EQ(status_of(&desk, API_GET, "/api/v1/nothing", NULL, ""), 401);
    EXPECT_EQ(status_of(&desk, API_GET, "/api/v1/nothing", NULL, desk.admin), 404);
    EXPECT_EQ(desk.api.refused, 2 * closed);
    desk_fini(&desk);
}

static void test_paths_and_methods(void)
{
    static const struct {
        enum api_method method;
        const char *target;
        int status;
    } cases[] = {
        { API_GET, "/healthz", 200 },
        { API_GET, "/healthz?verbose=0", 200 },
        { API_GET, "/healthz/", 404 },
        { API_POST, "/healthz", 405 },
        { API_GET, "/api/v1/keys", 200 },
        { API_GET, "/api/v1/keys/", 404 },
        { API_GET, "/api/v1/keys/nobody", 404 },
        { API_GET, "/api/v1/keys/nobody/more", 404 },
        { API_DELETE, "/api/v1/keys", 405 },
        { API_POST, "/api/v1/keys/nobody", 405 },
        { API_GET, "/api/v1/keys?limit=1000", 200 },
        { API_GET, "/api/v1/keys?limit=1001", 400 },
        { API_GET, "/api/v1/keys?limit=-1", 400 },
        { API_GET, "/api/v1/keys?colour=red", 400 },
        { API_GET, "/api/v1/usage?by=key,day&tz=%2B05:30", 200 },
        { API_GET, "/api/v1/usage?by=key,day&tz=-0330", 200 },
        { API_GET, "/api/v1/usage?tz=05:30", 400 },
        { API_GET, "/api/v1/usage?tz=%2B05:31", 400 },
        { API_GET, "/api/v1/usage?from=2026-01-02&to=2026-01-01", 400 },
        { API_GET, "/api/v1/usage?from=2026-01-01&to=2026-01-02", 200 },
        { API_GET, "/api/v1/usage?key=nobody", 404 },
        { API_GET, "/api/v1/requests?cursor=1.2.3", 400 },
        { API_GET, "/api/v1/requests?cursor=1.2.3.4.5", 200 },
        { API_GET, "/api/v1/requests?cursor=1.2.3.4.5.6", 400 },
        { API_GET, "/api/v1/requests?errors=maybe", 400 },
        { API_GET, "/api/v1/requests?limit=501", 400 },
    };
    struct desk desk;
    desk_init(&desk);
    desk_set_up(&desk);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const int status = status_of(&desk, cases[i].method, cases[i].target, NULL, desk.admin);
        if (status != cases[i].status)
            fprintf(stderr, "%s:\n", cases[i].target);
        EXPECT_EQ(status, cases[i].status);
    }
    char path[128];
    memset(path, 'x', sizeof(path));
    memcpy(path, "/api/v1/keys/", 13);
    path[sizeof(path) - 1] = '\0';
    EXPECT_EQ(status_of(&desk, API_GET, path, NULL, desk.admin), 404);
    desk_fini(&desk);
}

static void test_problems_name_the_field(void)
{
    struct desk desk;
    int status;
    desk_init(&desk);
    desk_set_up(&desk);
    json_t *json = call(&desk, API_POST, "/api/v1/keys", "{\"name\":\"k\",\"color\":\"red\"}",
                        desk.admin, &status);
    EXPECT_EQ(status, 400);
    EXPECT_SPAN(span_str(json_string_value(json_object_get(json, "type"))),
                "urn:penstock:problem:invalid");
    const json_t *error = json_array_get(json_object_get(json, "errors"), 0);
    EXPECT_SPAN(span_str(json_string_value(json_object_get(error, "path"))), "color");
    json_decref(json);
    // The parser's words may hold a piece of the body; ours do not.
    json =
        call(&desk, API_POST, "/api/v1/accounts", "{\"api_key\": secret-word", desk.admin, &status);
    EXPECT_EQ(status, 400);
    char *text = json_dumps(json, 0);
    EXPECT(strstr(text, "secret-word") == NULL);
    free(text);
    json_decref(json);
    desk_fini(&desk);
}

static void test_a_key_is_told_once(void)
{
    struct desk desk;
    int status;
    desk_init(&desk);
    desk_set_up(&desk);
    json_t *json = call(&desk, API_POST, "/api/v1/keys", "{\"name\":\"k\"}", desk.admin, &status);
    EXPECT_EQ(status, 201);
    EXPECT(key_text_check(span_str(json_string_value(json_object_get(json, "key")))));
    json_decref(json);
    json = call(&desk, API_GET, "/api/v1/keys?name=k", NULL, desk.admin, &status);
    const json_t *item = json_array_get(json_object_get(json, "items"), 0);
    EXPECT(item != NULL && json_object_get(item, "key") == NULL &&
           json_object_get(item, "digest") == NULL);
    EXPECT_SPAN(span_str(json_string_value(json_object_get(item, "source"))), "store");
    json_decref(json);
    desk_fini(&desk);
}

// --- metrics ---

static bool metrics_hold(const char *text, const char *line)
{
    const char *at = strstr(text, line);
    return at != NULL && (at == text || at[-1] == '\n') && at[strlen(line)] == '\n';
}

static const char *never_unready(void *arg)
{
    (void)arg;
    return NULL;
}

static bool two_certificates(void *arg, uint32_t index, struct view_cert *out)
{
    (void)arg;
    *out = (struct view_cert){ .name = "127.0.0.1:8443", .expires_ns = 1234567890 * NS_PER_S };
    if (index == 1) // nobody knows when it ends
        *out = (struct view_cert){ .name = "127.0.0.1:8443/2" };
    return index < 2;
}

#define LATENCY "penstock_request_duration_seconds"
#define CHAT "route=\"chat\",format=\"openai\",provider=\"openai\""

#define OVERHEAD "penstock_gateway_overhead_seconds"

static void test_metrics_text(void)
{
    static struct shard_counters shards[2];
    static struct loop_figures loops[2], control;
    static struct view view;
    struct budget_process budget = { .limit = 1000 };
    const uint64_t published = 3, dropped = 4, reload_ns = 5 * NS_PER_S;
    const bool reload_good = true;
    struct desk desk;
    desk_init(&desk);
    desk_set_up(&desk);
    EXPECT_EQ(status_of(&desk, API_POST, "/api/v1/models", "{\"name\":\"known\"}", desk.admin),
              201);
    view = (struct view){ .shard_count = 2,
                          .shards = { &shards[0], &shards[1] },
                          .loops = { &loops[0], &loops[1] },
                          .control = &control,
                          .certificate = two_certificates,
                          .budget = &budget,
                          .backend = "epoll",
                          .backend_note = "",
                          .commit = "0123456789ab",
                          .published = &published,
                          .log_dropped = &dropped,
                          .reload_ns = &reload_ns,
                          .reload_good = &reload_good,
                          .unready = never_unready };
    enum { OPENAI = 1 + ACCOUNT_OPENAI, CLAUDE = 1 + ACCOUNT_ANTHROPIC };
    counter_add(&shards[0].requests[OP_CHAT][OPENAI][0][2], 3);
    counter_add(&shards[1].requests[OP_CHAT][OPENAI][0][2], 4);
    counter_add(&shards[1].requests[OP_MESSAGES][CLAUDE][1][5], 1);
    figures_error(&shards[0], OP_CHAT, OPENAI, STAGE_STREAM, ERR_UPSTREAM_IDLE);
    figures_error(&shards[1], OP_CHAT, 0, STAGE_HEAD, ERR_KEY_MISSING);
    figures_error(&shards[1], OP_CHAT, OPENAI, STAGE_STREAM, ERR_UPSTREAM_IDLE);
    // One name that the store knows, and one that a client made up.
    const uint32_t nine[FIGURES_TOKENS] = {
        [USAGE_OUTPUT] = 9, [USAGE_CACHE_WRITE_5M] = 2, [USAGE_CACHE_WRITE_1H] = 3
    };
    figures_tokens(&shards[0], usage_model_id(SPAN("known")), CLAUDE, nine);
    figures_tokens(&shards[1], usage_model_id(SPAN("known")), CLAUDE, nine);
    figures_tokens(&shards[1], usage_model_id(SPAN("made up")), CLAUDE, nine);
    latency_add(&shards[0].duration[OP_CHAT][OPENAI], 5000);
    latency_add(&shards[1].duration[OP_CHAT][OPENAI], 1250000);
    latency_add(&shards[1].connect[OPENAI][1], 100);
    counter_add(&shards[0].attempts[OPENAI][OUTCOME_REFUSED][0], 2);
    counter_add(&shards[0].in_flight[OP_CHAT], 2);
    counter_sub(&shards[0].in_flight[OP_CHAT], 1);
    counter_add(&shards[0].streams[OP_CHAT], 1);
    latency_add(&shards[1].token_gap[CLAUDE], 20001);
    latency_add_own(&shards[0].overhead[FAMILY_GEMINI][OWN_ROUTE], 10);
    latency_add_own(&shards[1].overhead[FAMILY_GEMINI][OWN_ROUTE], 41);
    latency_add_own(&shards[1].overhead[FAMILY_GEMINI][OWN_WRITE], 999999);
    counter_add(&shards[1].limited[LIMIT_MEMORY], 6);
    counter_set(&loops[0].turns, 12);
    counter_set(&loops[1].turns_slow, 2);
    counter_add(&loops[1].lag[latency_bucket(7000, LATENCY_OWN_FIRST_US)], 1);
    counter_add(&loops[1].busy_ns, 7000 * NS_PER_US);
    counter_set(&control.turns, 13);
    counter_set(&control.busy_ns, 1);
    desk.api.view = &view;
    struct text text = { 0 };
    metrics_write(&desk.api, &text);
    static const char *const lines[] = {
        "penstock_build_info{version=\"" PENSTOCK_VERSION "\",commit=\"0123456789ab\"} 1",
        "penstock_requests_total{route=\"chat\",format=\"openai\",provider=\"openai\","
        "status_class=\"2xx\",stream=\"false\"} 7",
        "penstock_requests_total{route=\"messages\",format=\"anthropic\",provider=\"anthropic\","
        "status_class=\"5xx\",stream=\"true\"} 1",
        "penstock_request_errors_total{route=\"chat\",provider=\"openai\",reason=\"upstream_idle\","
        "stage=\"stream\",side=\"upstream\"} 2",
        "penstock_request_errors_total{route=\"chat\",provider=\"none\",reason=\"key_missing\","
        "stage=\"head\",side=\"client\"} 1",
        "penstock_tokens_total{provider=\"anthropic\",model=\"known\",type=\"output\"} 18",
        "penstock_tokens_total{provider=\"anthropic\",model=\"other\",type=\"output\"} 9",
        "penstock_tokens_total{provider=\"anthropic\",model=\"known\",type=\"cache_write\"} 10",
        LATENCY "_bucket{" CHAT ",le=\"0.01\"} 1",
        LATENCY "_bucket{" CHAT ",le=\"+Inf\"} 2",
        LATENCY "_sum{" CHAT "} 1.255000",
        LATENCY "_count{" CHAT "} 2",
        "penstock_upstream_connect_duration_seconds_count{provider=\"openai\",reused=\"true\"} 1",
        "penstock_upstream_attempts_total{provider=\"openai\",outcome=\"refused\",attempt=\"1\"} 2",
        "penstock_requests_in_flight{route=\"chat\"} 1",
        "penstock_streams_open{route=\"chat\"} 1",
        "penstock_drain_streams_remaining 0",
        "penstock_metrics_series_dropped_total{reason=\"too_many\"} 1",
        "penstock_config_reload_success 1",
        "penstock_io_backend{backend=\"epoll\"} 1",
        "penstock_io_backend{backend=\"uring\"} 0",
        "penstock_inter_token_gap_seconds_bucket{provider=\"anthropic\",le=\"0.02\"} 0",
        "penstock_inter_token_gap_seconds_bucket{provider=\"anthropic\",le=\"0.04\"} 1",
        "penstock_inter_token_gap_seconds_bucket{provider=\"anthropic\",le=\"327.68\"} 1",
        OVERHEAD "_bucket{format=\"gemini\",stage=\"route\",le=\"0.00001\"} 1",
        OVERHEAD "_bucket{format=\"gemini\",stage=\"route\",le=\"0.00004\"} 1",
        OVERHEAD "_bucket{format=\"gemini\",stage=\"route\",le=\"0.00008\"} 2",
        OVERHEAD "_sum{format=\"gemini\",stage=\"route\"} 0.000051",
        OVERHEAD "_bucket{format=\"gemini\",stage=\"write\",le=\"0.32768\"} 0",
        OVERHEAD "_bucket{format=\"gemini\",stage=\"write\",le=\"+Inf\"} 1",
        "penstock_ratelimit_rejections_total{scope=\"process\",limit=\"memory\"} 6",
        "penstock_ratelimit_rejections_total{scope=\"address\",limit=\"connections\"} 0",
        "penstock_loop_turns_total{thread=\"shard-0\"} 12",
        "penstock_loop_turns_total{thread=\"control\"} 13",
        "penstock_loop_slow_turns_total{thread=\"shard-1\"} 2",
        "penstock_loop_lag_seconds_bucket{thread=\"shard-1\",le=\"0.00512\"} 0",
        "penstock_loop_lag_seconds_bucket{thread=\"shard-1\",le=\"0.01024\"} 1",
        "penstock_loop_lag_seconds_sum{thread=\"shard-1\"} 0.007000",
        "penstock_loop_busy_ratio{thread=\"shard-0\"} 0.000",
        "penstock_tls_cert_expiry_timestamp_seconds{name=\"127.0.0.1:8443\"} 1234567890",
        "penstock_memory_limit_bytes 1000",
        "penstock_config_revision 3",
        "penstock_log_records_dropped_total{reason=\"log_full\"} 4",
        "penstock_log_records_dropped_total{reason=\"ring_full\"} 0",
        "penstock_store_up 1",
    };
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        if (!metrics_hold(text.ptr, lines[i]))
            fprintf(stderr, "missing: %s\n", lines[i]);
        EXPECT(metrics_hold(text.ptr, lines[i]));
    }
    EXPECT(strstr(text.ptr, "route=\"embeddings\",format") == NULL); // nothing happened there
    EXPECT(strstr(text.ptr, "made up") == NULL);
    EXPECT(strstr(text.ptr, "8443/2") == NULL);
    text_fini(&text);
    desk_fini(&desk);
}

// The ratio is that of the time between two looks; looks close to each other tell the same.
static void test_how_busy_a_loop_was(void)
{
    static struct shard_counters shard;
    static struct loop_figures loop;
    struct budget_process budget = { .limit = 1000 };
    const uint64_t zero = 0;
    const bool reload_good = true;
    struct env_fake fake;
    struct desk desk;
    desk_init(&desk);
    env_fake_init(&fake, 1);
    const struct view view = { .shard_count = 1,
                               .shards = { &shard },
                               .loops = { &loop },
                               .budget = &budget,
                               .backend = "uring",
                               .backend_note = "",
                               .commit = "0123456789ab",
                               .published = &zero,
                               .log_dropped = &zero,
                               .reload_ns = &zero,
                               .reload_good = &reload_good };
    desk.api.view = &view;
    desk.api.env = &fake.env;
    static const struct {
        uint64_t passed_ms, busy_ms;
        const char *ratio;
    } looks[] = {
        { 0, 0, "0.000" },          { 4000, 1000, "0.250" }, { 999, 999, "0.250" },
        { 1001, 1, "0.500" },       { 10000, 10, "0.001" },  { 1000, 5000, "1.000" },
        { 100000, 99999, "0.999" }, { 1000, 0, "0.000" },
    };
    for (size_t i = 0; i < ARRAY_LEN(looks); i++) {
        char line[80];
        struct text text = { 0 };
        env_fake_advance(&fake, looks[i].passed_ms * NS_PER_MS);
        counter_add(&loop.busy_ns, looks[i].busy_ms * NS_PER_MS);
        fit_printf(line, sizeof(line), "penstock_loop_busy_ratio{thread=\"shard-0\"} %s",
                   looks[i].ratio);
        metrics_write(&desk.api, &text);
        EXPECT(metrics_hold(text.ptr, line));
        text_fini(&text);
    }
    desk.api.env = env_system();
    desk_fini(&desk);
}

TEST_MAIN(TEST(test_the_setup_token_is_used_once), TEST(test_a_planted_setup_token_is_not_taken),
          TEST(test_every_operation_needs_a_token), TEST(test_paths_and_methods),
          TEST(test_problems_name_the_field), TEST(test_a_key_is_told_once),
          TEST(test_metrics_text), TEST(test_how_busy_a_loop_was))

// The log: its lines, what a full pipe does, reopening; the words of an access line; what the
// service manager is sent.
#include "penstock/ctl/access.h"
#include "penstock/ctl/notify.h"
#include "penstock/wire/figures.h"
#include "test.h"

#include "ctl_rig.h"
#include "penstock/wire/route.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

static size_t read_file(const char *path, char *out, size_t cap)
{
    const int fd = open(path, O_RDONLY);
    ssize_t len = fd >= 0 ? read(fd, out, cap - 1) : 0;
    if (fd >= 0)
        close(fd);
    out[len > 0 ? len : 0] = '\0';
    return len > 0 ? (size_t)len : 0;
}

static void temp_dir(char out[300])
{
    const char *base = getenv("TMPDIR");
    snprintf(out, 300, "%.200s/penstock-test-XXXXXX", base != NULL ? base : "/tmp");
    if (mkdtemp(out) == NULL)
        abort();
}

static void remove_dir(const char *dir)
{
    nftw(dir, rig_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void test_lines_are_json(void)
{
    char dir[300], path[320], text[4096];
    struct env_fake env;
    struct log log;
    temp_dir(dir);
    env_fake_init(&env, 1);
    env.wall = UINT64_C(1767225600) * NS_PER_S; // 2026-01-01
    fit_printf(path, sizeof(path), "%s/log", dir);
    EXPECT(!failed(log_open(&log, &env.env, span_str(path), LOG_INFO)));
    log_say(&log, LOG_DEBUG, "not this");
    log_say(&log, LOG_WARN, "a \"%s\"\n", "quoted");
    read_file(path, text, sizeof(text));
    EXPECT_SPAN(span_str(text), "{\"ts\":\"2026-01-01T00:00:00Z\",\"level\":\"warning\","
                                "\"msg\":\"a \\\"quoted\\\"\\n\"}\n");
    log_close(&log);
    remove_dir(dir);
}

static void test_a_moved_file_is_opened_again(void)
{
    char dir[300], path[320], moved[320], text[4096];
    struct log log;
    temp_dir(dir);
    fit_printf(path, sizeof(path), "%s/log", dir);
    fit_printf(moved, sizeof(moved), "%s/log.1", dir);
    EXPECT(!failed(log_open(&log, env_system(), span_str(path), LOG_INFO)));
    log_say(&log, LOG_INFO, "one");
    EXPECT_EQ(rename(path, moved), 0);
    log_say(&log, LOG_INFO, "two");
    EXPECT(!failed(log_reopen(&log)));
    log_say(&log, LOG_INFO, "three");
    read_file(moved, text, sizeof(text));
    EXPECT(strstr(text, "one") != NULL && strstr(text, "two") != NULL);
    read_file(path, text, sizeof(text));
    EXPECT(strstr(text, "two") == NULL && strstr(text, "three") != NULL);
    log_close(&log);
    remove_dir(dir);
}

static void test_a_place_that_cannot_be_opened(void)
{
    struct log log;
    EXPECT(failed(log_open(&log, env_system(), SPAN("/nowhere/at/all"), LOG_ERROR)));
    EXPECT_EQ(log.fd, STDERR_FILENO);
    log_close(&log);
}

// Nobody reads the pipe: nothing blocks, what does not fit is counted, and later told.
static void test_a_full_pipe(void)
{
    int pipe_[2];
    struct log log;
    char line[1000];
    EXPECT_EQ(pipe(pipe_), 0);
    EXPECT(!failed(log_open(&log, env_system(), SPAN_NONE, LOG_INFO)));
    log_use_fd(&log, pipe_[1]);
    memset(line, 'x', sizeof(line));
    line[sizeof(line) - 1] = '\n';
    int taken = 0;
    for (int i = 0; i < 2000; i++) {
        taken += log_line(&log, span_of(line, sizeof(line)));
        log_flush(&log);
    }
    EXPECT(taken < 2000);
    EXPECT_EQ(log.dropped, (uint64_t)(2000 - taken));
    EXPECT_EQ(fcntl(pipe_[0], F_SETFL, O_NONBLOCK), 0);
    static char got[4 * MIB];
    size_t len = 0;
    for (int rounds = 0; log.len > 0 && rounds < 10000; rounds++) {
        const ssize_t part = read(pipe_[0], got + len, sizeof(got) - len);
        len += part > 0 ? (size_t)part : 0;
        log_flush(&log);
    }
    log_say(&log, LOG_INFO, "after");
    for (ssize_t part; (part = read(pipe_[0], got + len, sizeof(got) - 1 - len)) > 0;)
        len += (size_t)part;
    got[len] = '\0';
    char want[64];
    fit_printf(want, sizeof(want), "%d log lines were dropped", 2000 - taken);
    const char *told = strstr(got, want);
    EXPECT(told != NULL && strstr(told, "after") != NULL);
    size_t whole = 0;
    for (size_t i = 0; i < len; i++)
        whole += got[i] == '\n';
    EXPECT_EQ(whole, (size_t)taken + 2); // every line that was taken, whole
    log_close(&log);
    close(pipe_[0]);
}

// A disk that is full: what is lost is counted like what found no room, and what follows begins on
// a line of its own.
static void test_a_full_disk(void)
{
    char dir[300], path[320], text[8 * KIB], line[1000];
    struct env_fake env;
    struct log log;
    struct rlimit limit;
    temp_dir(dir);
    env_fake_init(&env, 1);
    fit_printf(path, sizeof(path), "%s/log", dir);
    EXPECT(!failed(log_open(&log, &env.env, span_str(path), LOG_INFO)));
    memset(line, 'x', sizeof(line));
    line[sizeof(line) - 1] = '\n';
    EXPECT_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
    const struct rlimit small = { 2500, limit.rlim_max };
    void (*before)(int) = signal(SIGXFSZ, SIG_IGN);
    EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
    for (int i = 0; i < 5; i++)
        EXPECT(log_line(&log, span_of(line, sizeof(line))));
    log_flush(&log);
    EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
    signal(SIGXFSZ, before);
    EXPECT_EQ(log.dropped, 3); // one of them in part
    EXPECT_EQ(log.len, 0);
    EXPECT(log_line(&log, SPAN("after\n")));
    log_flush(&log);
    read_file(path, text, sizeof(text));
    const char *rest = text + 2500;
    EXPECT(rest[0] == '\n' && rest[1] == '{');
    EXPECT(strstr(rest, "\"msg\":\"3 log lines were dropped\"}\nafter\n") != NULL);
    log_close(&log);
    remove_dir(dir);
}

// Lines are handed over many at a time, without being asked once they are enough.
static void test_lines_gather(void)
{
    char dir[300], path[320], line[100];
    struct log log;
    temp_dir(dir);
    fit_printf(path, sizeof(path), "%s/log", dir);
    EXPECT(!failed(log_open(&log, env_system(), span_str(path), LOG_INFO)));
    memset(line, 'x', sizeof(line));
    line[sizeof(line) - 1] = '\n';
    size_t handed_over = 0;
    for (int i = 1; i <= 5000; i++) {
        const size_t before = log.len;
        EXPECT(log_line(&log, span_of(line, sizeof(line))));
        handed_over += log.len < before;
        struct stat stat_;
        EXPECT_EQ(stat(path, &stat_), 0);
        EXPECT_EQ((size_t)stat_.st_size + log.len, (size_t)i * sizeof(line));
    }
    EXPECT(handed_over > 0 && handed_over < 10);
    log_close(&log);
    struct stat stat_;
    EXPECT_EQ(stat(path, &stat_), 0);
    EXPECT_EQ(stat_.st_size, 5000 * (off_t)sizeof(line)); // nothing is kept at the end
    remove_dir(dir);
}

// What a reader sees: numbered lines, one after the other, with notices between them.
struct reading {
    int fd;
    uint64_t next, notices;
    char line[LOG_LINE_MAX];
    size_t len;
};

static size_t read_some(struct reading *reading, size_t most)
{
    static char got[64 * KIB];
    const ssize_t len = read(reading->fd, got, min_size(most, sizeof(got)));
    for (ssize_t i = 0; i < len; i++) {
        if (got[i] != '\n') {
            reading->line[reading->len++ % LOG_LINE_MAX] = got[i];
            continue;
        }
        uint64_t number;
        const struct span line = span_of(reading->line, reading->len);
        if (span_u64(line, &number))
            EXPECT_EQ(number, reading->next++);
        else
            reading->notices++;
        EXPECT(line.len == 16 || memmem(line.ptr, line.len, SPAN("dropped").ptr, 7) != NULL);
        reading->len = 0;
    }
    return len > 0 ? (size_t)len : 0;
}

// Somebody reads, but too slowly: what arrives is whole and in order.
static void test_a_slow_pipe(void)
{
    int pipe_[2];
    struct log log;
    char line[32];
    EXPECT_EQ(pipe2(pipe_, O_NONBLOCK), 0);
    EXPECT(!failed(log_open(&log, env_system(), SPAN_NONE, LOG_INFO)));
    log_use_fd(&log, pipe_[1]);
    static struct reading reading;
    reading = (struct reading){ .fd = pipe_[0] };
    uint64_t taken = 0;
    for (int round = 0; round < 10000; round++) {
        for (int i = 0; i < 60; i++) {
            const size_t len =
                fit_printf(line, sizeof(line), "%016llu\n", (unsigned long long)taken);
            taken += log_line(&log, span_of(line, len));
        }
        log_flush(&log);
        (void)read_some(&reading, 800);
    }
    EXPECT(log.dropped > 0 && reading.next > 0);
    for (size_t more = 1; more > 0 || log.len > 0; log_flush(&log))
        more = read_some(&reading, SIZE_MAX);
    EXPECT_EQ(reading.next, taken);
    EXPECT(reading.notices > 0);
    log_close(&log);
    close(pipe_[0]);
}

static void test_an_access_line(void)
{
    static char room[LOG_LINE_MAX];
    struct rig rig;
    rig_init(&rig, "config_version: 1\n");
    struct access_log access = { .registry = rig.registry };
    struct access_record record = {
        .op = OP_CHAT,
        .vendor_status = 503,
        .stage = STAGE_WAIT,
        .client_family = 4,
        .client = { 192, 0, 2, 7 },
        .vendor_model_len = 3,
        .vendor_model = "big",
        .overhead_us = 84,
    };
    EXPECT(traceparent_parse(SPAN("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
                             &record.trace));
    memcpy(record.id, "0123456789abcdefghjkmnpqrs", ACCESS_ID_LEN);
    struct usage_record *usage = &record.usage;
    usage->start_ns = UINT64_C(1767225600) * NS_PER_S;
    usage->total_us = 1500042;
    usage->ttft_us = 7;
    usage->key_id = 99; // nobody's: it was removed meanwhile
    usage->status = 502;
    usage->err = ERR_UPSTREAM_STATUS;
    usage->tokens[USAGE_OUTPUT] = 5;
    usage->attempts = 3;
    usage->flags = USAGE_STREAM;
    usage_record_set_model(usage, SPAN("m\"x"), 0);
    const struct span line = access_line(&access, &record, room);
    json_t *json = json_loadb(line.ptr, line.len, JSON_REJECT_DUPLICATES, NULL);
    EXPECT(json != NULL);
    EXPECT_EQ(line.ptr[line.len - 1], '\n');
    EXPECT_SPAN(span_str(json_string_value(json_object_get(json, "ts"))),
                "2026-01-01T00:00:01.500042Z");
    EXPECT_SPAN(span_str(json_string_value(json_object_get(json, "req_id"))),
                "0123456789abcdefghjkmnpqrs");
    EXPECT_SPAN(span_str(json_string_value(json_object_get(json, "model_req"))), "m\"x");
    EXPECT_SPAN(span_str(json_string_value(json_object_get(json, "err_code"))), "UPSTREAM_STATUS");
    EXPECT_SPAN(span_str(json_string_value(json_object_get(json, "route"))), "chat");
    EXPECT_SPAN(span_str(json_string_value(json_object_get(json, "client"))), "192.0.2.7");
    EXPECT_SPAN(span_str(json_string_value(json_object_get(json, "model_res"))), "big");
    EXPECT_SPAN(span_str(json_string_value(json_object_get(json, "err_stage"))), "wait");
    EXPECT_EQ(json_integer_value(json_object_get(json, "vendor_status")), 503);
    EXPECT_EQ(json_integer_value(json_object_get(json, "overhead_us")), 84);
    EXPECT_SPAN(span_str(json_string_value(json_object_get(json, "trace_id"))),
                "4bf92f3577b34da6a3ce929d0e0e4736");
    EXPECT_SPAN(span_str(json_string_value(json_object_get(json, "span_id"))), "00f067aa0ba902b7");
    EXPECT_EQ(json_integer_value(json_object_get(json, "attempt")), 3);
    EXPECT(json_is_true(json_object_get(json, "stream")));
    EXPECT(json_real_value(json_object_get(json, "ttft_ms")) == 0.007);
    EXPECT(json_object_get(json, "key_id") == NULL);
    json_decref(json);
    // The longest of everything still fits.
    char name[USAGE_MODEL_MAX + 1];
    memset(name, '\\', sizeof(name));
    usage_record_set_model(usage, span_of(name, USAGE_MODEL_MAX), 0);
    usage_record_set_vendor_id(usage, span_of(name, USAGE_VENDOR_ID_MAX));
    memset(usage->tokens, 0xff, sizeof(usage->tokens));
    usage->bytes_in = usage->bytes_out = UINT64_MAX;
    usage_record_clamp(usage);
    record.vendor_model_len = USAGE_MODEL_MAX;
    memset(record.vendor_model, '\\', USAGE_MODEL_MAX);
    record.client_family = 6;
    memset(record.client, 0xff, sizeof(record.client));
    record.overhead_us = UINT32_MAX;
    EXPECT(access_line(&access, &record, room).len > 0);
    memset(&record.trace, 0, sizeof(record.trace));
    const struct span without = access_line(&access, &record, room);
    EXPECT(memmem(without.ptr, without.len, "trace_id", 8) == NULL);
    rig_fini(&rig);
}

static const char named[] =
    "config_version: 1\n"
    "resources:\n"
    "  accounts:\n"
    "    - {name: acme, type: openai-compatible, base_url: 'https://v.example/v1', models: [m],\n"
    "       api_key: vendor-secret}\n"
    "  keys:\n"
    "    - {name: k, key: 'sk-pst-0Eoh211G4c8wtVWM00my5rsNSFlKgaWqQ4mb8gdEqno3QeNOm'}\n";

// A key and an account are told by id and name, never by their secrets; the words hold for one look
// at the rings, within which the registry does not change.
static void test_names_of_a_line(void)
{
    static char room[LOG_LINE_MAX];
    struct rig rig, other;
    rig_init(&rig, named);
    rig_init(&other, "config_version: 1\n");
    static struct access_log access;
    access = (struct access_log){ .registry = rig.registry };
    struct access_record record = { .op = OP_CHAT };
    memcpy(record.id, "0123456789abcdefghjkmnpqrs", ACCESS_ID_LEN);
    const struct entity *key = registry_by_name(rig.registry, ENTITY_KEY, SPAN("k"));
    const struct entity *account = registry_by_name(rig.registry, ENTITY_ACCOUNT, SPAN("acme"));
    EXPECT(key != NULL && account != NULL);
    record.usage.key_id = key != NULL ? key->usage_id : 0;
    record.usage.account_id = account != NULL ? account->usage_id : 0;
    for (int i = 0; i < 2; i++) { // looked up, then kept
        const struct span line = access_line(&access, &record, room);
        json_t *json = json_loadb(line.ptr, line.len, JSON_REJECT_DUPLICATES, NULL);
        EXPECT(json != NULL);
        EXPECT_SPAN(span_str(json_string_value(json_object_get(json, "key"))), "k");
        EXPECT_SPAN(span_str(json_string_value(json_object_get(json, "account"))), "acme");
        EXPECT_SPAN(span_str(json_string_value(json_object_get(json, "provider"))),
                    "openai-compatible");
        EXPECT(strncmp(json_string_value(json_object_get(json, "key_id")), "key_", 4) == 0);
        EXPECT(strncmp(json_string_value(json_object_get(json, "account_id")), "acc_", 4) == 0);
        EXPECT(memmem(line.ptr, line.len, "secret", 6) == NULL);
        EXPECT(memmem(line.ptr, line.len, "sk-pst-", 7) == NULL);
        json_decref(json);
        access.registry = other.registry;
    }
    access.look++;
    const struct span line = access_line(&access, &record, room);
    EXPECT(memmem(line.ptr, line.len, "acme", 4) == NULL);
    // Others of the same place in the table do not get these words.
    access.registry = rig.registry;
    (void)access_line(&access, &record, room);
    record.usage.key_id += ACCESS_WORDS;
    record.usage.account_id += ACCESS_WORDS;
    const struct span others = access_line(&access, &record, room);
    EXPECT(memmem(others.ptr, others.len, "acme", 4) == NULL);
    EXPECT(memmem(others.ptr, others.len, "\"key\"", 5) == NULL);
    rig_fini(&other);
    rig_fini(&rig);
}

// --- the service manager ---

static const char *notify_path, *watchdog, *watchdog_pid;

static const char *env_of(struct config_world *world, const char *name)
{
    (void)world;
    if (strcmp(name, "NOTIFY_SOCKET") == 0)
        return notify_path;
    if (strcmp(name, "WATCHDOG_USEC") == 0)
        return watchdog;
    return strcmp(name, "WATCHDOG_PID") == 0 ? watchdog_pid : NULL;
}

static void test_the_service_manager_is_told(void)
{
    char dir[300], path[320], text[64] = "";
    struct config_world world = { .env = env_of };
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    temp_dir(dir);
    fit_printf(path, sizeof(path), "%s/n", dir);
    EXPECT(!notify_send(&world, "READY=1")); // nobody asked
    notify_path = "relative";
    EXPECT(!notify_send(&world, "READY=1"));
    notify_path = path;
    EXPECT(!notify_send(&world, "READY=1")); // nobody listens
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    fit_printf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
    EXPECT_EQ(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    EXPECT(notify_send(&world, "READY=1"));
    EXPECT_EQ(recv(fd, text, sizeof(text) - 1, 0), 7);
    EXPECT_SPAN(span_str(text), "READY=1");
    close(fd);
    notify_path = NULL;
    remove_dir(dir);
}

static void test_the_watchdog_period(void)
{
    struct config_world world = { .env = env_of };
    char pid[16];
    EXPECT_EQ(notify_watchdog_ns(&world), 0);
    watchdog = "30000000";
    EXPECT_EQ(notify_watchdog_ns(&world), 30 * NS_PER_S);
    watchdog_pid = "1";
    EXPECT_EQ(notify_watchdog_ns(&world), 0); // meant for another process
    fit_printf(pid, sizeof(pid), "%d", (int)getpid());
    watchdog_pid = pid;
    EXPECT_EQ(notify_watchdog_ns(&world), 30 * NS_PER_S);
    watchdog = "soon";
    EXPECT_EQ(notify_watchdog_ns(&world), 0);
    watchdog = "18446744073709551615";
    EXPECT_EQ(notify_watchdog_ns(&world), 0);
    watchdog = watchdog_pid = NULL;
}

TEST_MAIN(TEST(test_lines_are_json), TEST(test_a_moved_file_is_opened_again),
          TEST(test_a_place_that_cannot_be_opened), TEST(test_a_full_pipe), TEST(test_a_full_disk),
          TEST(test_lines_gather), TEST(test_a_slow_pipe), TEST(test_an_access_line),
          TEST(test_names_of_a_line), TEST(test_the_service_manager_is_told),
          TEST(test_the_watchdog_period))

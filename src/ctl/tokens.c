#include "penstock/ctl/tokens.h"

#include "penstock/base/check.h"
#include "penstock/base/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static const char hex_digits[] = "0123456789abcdef";

static void put_hex(const uint8_t *bytes, size_t len, char *out)
{
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = hex_digits[bytes[i] >> 4];
        out[2 * i + 1] = hex_digits[bytes[i] & 15];
    }
}

static bool get_hex(struct span text, uint8_t *out, size_t len)
{
    if (text.len != 2 * len)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        const char *at = memchr(hex_digits, text.ptr[i], 16);
        if (at == NULL)
            return false;
        const uint8_t nibble = (uint8_t)(at - hex_digits);
        out[i / 2] = (uint8_t)(i % 2 == 0 ? nibble << 4 : out[i / 2] | nibble);
    }
    return true;
}

static void mint(struct env *env, const char prefix[8 + 1], char text[TOKEN_TEXT_LEN + 1])
{
    uint8_t bytes[TOKEN_RANDOM_BYTES];
    env_random(env, bytes, sizeof(bytes));
    memcpy(text, prefix, 8);
    put_hex(bytes, sizeof(bytes), text + 8);
    text[TOKEN_TEXT_LEN] = '\0';
    bytes_wipe(bytes, sizeof(bytes));
}

// A setup token of an earlier start that nobody has used: a file of ours that others cannot read.
static bool read_setup(const struct tokens *tokens, char text[TOKEN_TEXT_LEN + 1])
{
    const int fd = open(tokens->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return false;
    struct stat stat;
    char bytes[TOKEN_TEXT_LEN + 2];
    const bool ours = fstat(fd, &stat) == 0 && S_ISREG(stat.st_mode) && (stat.st_mode & 077) == 0 &&
                      stat.st_uid == geteuid();
    const ssize_t len = ours ? read(fd, bytes, sizeof(bytes)) : -1;
    close(fd);
    const bool whole = len == TOKEN_TEXT_LEN + 1 && bytes[TOKEN_TEXT_LEN] == '\n';
    if (whole)
        memcpy(text, bytes, TOKEN_TEXT_LEN);
    text[TOKEN_TEXT_LEN] = '\0';
    bytes_wipe(bytes, sizeof(bytes));
    return whole;
}

static struct err write_setup(const struct tokens *tokens, const char *text)
{
    (void)unlink(tokens->path); // whatever lies there is not a token of ours
    const int fd = open(tokens->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return ERR_SYS(SYSTEM, errno);
    char line[TOKEN_TEXT_LEN + 1];
    memcpy(line, text, TOKEN_TEXT_LEN);
    line[TOKEN_TEXT_LEN] = '\n';
    const bool done = write(fd, line, sizeof(line)) == (ssize_t)sizeof(line) && fsync(fd) == 0;
    const int error = errno;
    close(fd);
    bytes_wipe(line, sizeof(line));
    return done ? OK : ERR_SYS(SYSTEM, error);
}

struct err tokens_init(struct tokens *tokens, struct registry *registry,
                       const struct keyring *keyring, struct env *env, struct span state_dir,
                       bool *made, char text[TOKEN_TEXT_LEN + 1])
{
    *tokens = (struct tokens){ .registry = registry, .env = env };
    *made = false;
    key_hasher_init(&tokens->hasher, keyring->session);
    fit_printf(tokens->path, sizeof(tokens->path), "%.*s/setup-token", (int)state_dir.len,
               state_dir.ptr);
    if (tokens_count(registry) > 0) {
        (void)unlink(tokens->path); // a crash may have come between its use and its end
        return OK;
    }
    if (!read_setup(tokens, text)) {
        mint(env, "set-pst-", text);
        TRY(write_setup(tokens, text));
        *made = true;
    }
    key_digest(&tokens->hasher, span_of(text, TOKEN_TEXT_LEN), tokens->setup);
    tokens->is_open = true;
    return OK;
}

void tokens_fini(struct tokens *tokens)
{
    bytes_wipe(&tokens->hasher, sizeof(tokens->hasher));
}

bool tokens_is_setup(const struct tokens *tokens, struct span text)
{
    uint8_t digest[DIGEST_BYTES];
    key_digest(&tokens->hasher, text, digest);
    return (tokens->is_open || !GUARD(SETUP_ONCE)) && key_digest_eq(digest, tokens->setup);
}

void tokens_close_setup(struct tokens *tokens)
{
    tokens->is_open = tokens->is_claiming = false;
    (void)unlink(tokens->path);
}

// The first token's setting after `last`, or the first of all.
static const struct entity *next_token(const struct registry *registry, const struct entity *last)
{
    const struct span after =
        last != NULL ? entity_id(ENTITY_SETTING, last->record) : SPAN(TOKEN_PREFIX);
    const struct entity *entity = registry_next(registry, ENTITY_SETTING, after);
    const bool is_token = entity != NULL && span_starts(entity_id(ENTITY_SETTING, entity->record),
                                                        SPAN(TOKEN_PREFIX));
    return is_token ? entity : NULL;
}

uint32_t tokens_count(const struct registry *registry)
{
    uint32_t count = 0;
    for (const struct entity *at = NULL; (at = next_token(registry, at)) != NULL;)
        count++;
    return count;
}

// Looks at every token, so that the time tells nothing about which one nearly fitted.
bool tokens_is_admin(const struct tokens *tokens, struct span text)
{
    uint8_t digest[DIGEST_BYTES];
    bool found = false;
    if (text.len != TOKEN_TEXT_LEN)
        return false;
    key_digest(&tokens->hasher, text, digest);
    for (const struct entity *at = NULL; (at = next_token(tokens->registry, at)) != NULL;) {
        struct token_info info;
        if (token_read((const struct setting *)at->record, &info))
            found |= key_digest_eq(digest, info.digest);
    }
    return found;
}

// The value is the digest, when it was made, and the name, with spaces between.
json_t *tokens_mint(const struct tokens *tokens, struct span name, char text[TOKEN_TEXT_LEN + 1])
{
    uint8_t digest[DIGEST_BYTES];
    char id[ENTITY_ID_MAX], hex[2 * DIGEST_BYTES + 1], value[256];
    mint(tokens->env, "adm-pst-", text);
    key_digest(&tokens->hasher, span_of(text, TOKEN_TEXT_LEN), digest);
    put_hex(digest, sizeof(digest), hex);
    hex[sizeof(hex) - 1] = '\0';
    const struct span random = entity_id_random(&setting_table, tokens->env, id);
    fit_printf(value, sizeof(value), "%s %llu %.*s", hex,
               (unsigned long long)env_wall_ns(tokens->env),
               (int)min_size(name.len, TOKEN_NAME_MAX), name.ptr);
    char setting[CHANGE_ID_MAX + 1];
    fit_printf(setting, sizeof(setting), TOKEN_PREFIX "%s", random.ptr);
    return json_pack("{s:s, s:s}", "name", setting, "value", value);
}

bool token_read(const struct setting *setting, struct token_info *out)
{
    if (!span_starts(setting->id, SPAN(TOKEN_PREFIX)))
        return false;
    out->id = span_from(setting->id, sizeof(TOKEN_PREFIX) - 1);
    struct span rest = setting->value;
    const size_t digest = span_find(rest, ' ');
    if (digest == rest.len || !get_hex(span_upto(rest, digest), out->digest, DIGEST_BYTES))
        return false;
    rest = span_from(rest, digest + 1);
    const size_t time = span_find(rest, ' ');
    if (time == rest.len || !span_u64(span_upto(rest, time), &out->created_at))
        return false;
    out->name = span_from(rest, time + 1);
    return true;
}

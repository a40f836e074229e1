// tokens.h - who may use the admin API over the network.
//
// Before the first admin token exists, a setup token lies in the state directory, readable for its
// owner alone. Whoever brings it mints the first admin token, once. Admin tokens are stored as
// keyed hashes, as settings; their text is shown once.
#ifndef PENSTOCK_CTL_TOKENS_H
#define PENSTOCK_CTL_TOKENS_H

#include "penstock/ctl/registry.h"

enum {
    TOKEN_RANDOM_BYTES = 32,
    TOKEN_TEXT_LEN = 8 + TOKEN_RANDOM_BYTES * 2, // "adm-pst-" or "set-pst-" and hexadecimal digits
    TOKENS_MAX = 256,
    TOKEN_NAME_MAX = 100,
};
#define TOKEN_PREFIX "admin-token-" // of a token's setting

struct tokens {
    struct registry *registry;
    struct env *env;
    struct key_hasher hasher;
    char path[4096 + 16]; // of the setup token
    bool is_open;         // a setup token is waiting
    bool is_claiming;     // somebody is using it
    uint8_t setup[DIGEST_BYTES];
};

// Reads the setup token, or makes one, if there is no admin token. `made`: a new one lies at
// tokens->path. `text` receives it then, for a terminal.
must_use struct err tokens_init(struct tokens *tokens, struct registry *registry,
                                const struct keyring *keyring, struct env *env,
                                struct span state_dir, bool *made, char text[TOKEN_TEXT_LEN + 1]);
void tokens_fini(struct tokens *tokens);

must_use bool tokens_is_admin(const struct tokens *tokens, struct span text);
must_use bool tokens_is_setup(const struct tokens *tokens, struct span text);
// The setup token was used: it is removed.
void tokens_close_setup(struct tokens *tokens);
uint32_t tokens_count(const struct registry *registry);

// A fresh token's text, and the setting that keeps its hash as the body of a change. The id in the
// API is the setting's without TOKEN_PREFIX.
must_use json_t *tokens_mint(const struct tokens *tokens, struct span name,
                             char text[TOKEN_TEXT_LEN + 1]);
// What a setting of a token holds; false if it is none.
struct token_info {
    struct span id, name;
    uint64_t created_at;
    uint8_t digest[DIGEST_BYTES];
};
must_use bool token_read(const struct setting *setting, struct token_info *out);

#endif

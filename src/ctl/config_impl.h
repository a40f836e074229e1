// config_impl.h - what the files of the configuration share.
#ifndef PENSTOCK_CTL_CONFIG_IMPL_H
#define PENSTOCK_CTL_CONFIG_IMPL_H

#include "penstock/base/check.h"
#include "penstock/ctl/config.h"

// One load, from the text to the configuration.
struct config_loader {
    struct region region; // the tree and expanded texts; wiped at the end
    struct vault *vault;
    struct config_world *world;
    struct problems *problems;
    const char *file; // the file's name
};

// The document's root map; NULL for an empty document or after an error.
struct value *config_parse(struct config_loader *loader, struct span text);
// Replaces ${...} in a scalar's text; called where there is one.
void config_expand(struct config_loader *loader, struct value *scalar, const char *path);
// Reads resources: into `cfg`.
void config_resources(struct config_loader *loader, struct config *cfg, const struct value *map);
// What the single fields cannot know.
void config_check(struct config_loader *loader, const struct config *cfg, const struct value *root);

enum { CONFIG_ENV_NAME_MAX = 128, CONFIG_VALUE_MAX = 64 * KIB };
// "PENSTOCK__LIMITS__BODY"
void config_env_name(const struct field *field, char out[CONFIG_ENV_NAME_MAX]);

#endif

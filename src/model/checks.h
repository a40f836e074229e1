// checks.h - demands on texts that several tables share. NULL: good, else what is wrong.
#ifndef PENSTOCK_MODEL_CHECKS_H
#define PENSTOCK_MODEL_CHECKS_H

#include "penstock/base/base.h"

const char *check_name(struct span text);    // letters, digits, ".-_" and spaces inside
const char *check_id(struct span text);      // letters, digits, "-_"
const char *check_model(struct span text);   // a model's name
const char *check_pattern(struct span text); // the same, or a prefix and an asterisk
const char *check_path(struct span text);    // an absolute path
const char *check_env(struct span text);     // the name of a variable
const char *check_host(struct span text);    // a host name
const char *check_url(struct span text);     // a base URL

#endif

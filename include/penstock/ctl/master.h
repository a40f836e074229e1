// master.h - where the master key comes from.
//
// In this order: what master_key in the configuration names; the systemd credential
// "penstock-master-key"; the file "master.key" in the state directory, which is generated on the
// first run, readable for its owner alone. The store is another directory, so that a copy of the
// store holds no key.
#ifndef PENSTOCK_CTL_MASTER_H
#define PENSTOCK_CTL_MASTER_H

#include "penstock/base/env.h"
#include "penstock/ctl/config.h"
#include "penstock/model/seal.h"

enum master_source { MASTER_FILE, MASTER_CREDENTIAL, MASTER_ENV, MASTER_GENERATED };

enum { MASTER_PATH_MAX = 4096 + 128 };
struct master_info {
    enum master_source source;
    char path[MASTER_PATH_MAX]; // of a file or credential
    char why[256]; // on failure: what is wrong, for the operator, without any of the key
};

// 32 bytes as they are, or 64 hexadecimal digits with white space behind. A file must belong to
// this user or root and be closed to everybody else.
must_use struct err master_load(const struct config *cfg, struct config_world *world,
                                struct env *env, struct vault *vault, struct secret **out,
                                struct master_info *info);

// Makes a directory with mode 0700, and what is missing above it. Returns 0 or an errno.
must_use int dirs_make(const char *dir);

#endif

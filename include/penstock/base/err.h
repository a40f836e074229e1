// err.h - errors are values: what happened, whose fault it is, whether another try can help.
//
// `code` names a row of err.def, which holds side, retry, HTTP status and text. `sys` is an errno
// (positive) or 0. `where` is the file and line that decided, for operators; it never reaches a
// client.
#ifndef PENSTOCK_BASE_ERR_H
#define PENSTOCK_BASE_ERR_H

#include "penstock/base/base.h"

enum err_code {
    ERR_NONE,
#define ERR_ROW(name, side, retry, status, text) ERR_##name,
#include "penstock/base/err.def"
#undef ERR_ROW
    ERR_CODE_COUNT
};

enum err_side { SIDE_NONE, SIDE_CLIENT, SIDE_UPSTREAM, SIDE_SELF, SIDE_OPERATOR };

// NEVER: the same request fails again. SAME: once more on the same account. OTHER: on another
// account.
enum err_retry { RETRY_NEVER, RETRY_SAME, RETRY_OTHER };

struct err {
    uint16_t code;
    uint8_t side;
    uint8_t retry;
    int32_t sys;
    const char *where;
};
_Static_assert(sizeof(struct err) == 16, "an err is returned in two registers");

#define OK ((struct err){ 0, 0, 0, 0, NULL })
#define ERR_STR2(x) #x
#define ERR_STR(x) ERR_STR2(x)
#define ERR_HERE __FILE__ ":" ERR_STR(__LINE__)
#define ERR(name) err_make(ERR_##name, 0, ERR_HERE)
// `sys` is an errno; the negative form that the kernel's rings return is accepted too.
#define ERR_SYS(name, sys) err_make(ERR_##name, (sys), ERR_HERE)

// The only macro that returns. Use it where nothing must be undone.
#define TRY(expr)                       \
    do {                                \
        struct err try_err_ = (expr);   \
        if (unlikely(failed(try_err_))) \
            return try_err_;            \
    } while (0)

static inline bool failed(struct err err)
{
    return err.code != ERR_NONE;
}

must_use struct err err_make(enum err_code code, int sys, const char *where);

const char *err_name(enum err_code code); // "HEAD_TOO_LARGE"
const char *err_text(enum err_code code); // a sentence for the one who caused it
int err_status(enum err_code code);       // HTTP status, 0 where none fits

#endif

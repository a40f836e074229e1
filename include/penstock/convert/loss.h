// loss.h - what a conversion could not carry over: collected while a request is rendered, told to
// the client in two header fields, refused where the client or the operator asked for that.
//
// A path is one of the client's own format ("messages[3].name"); an adjusted one says what it
// became ("temperature=1.4>1"). At most LOSS_TEXT_MAX bytes of each are told, then an ellipsis;
// all are counted.
#ifndef PENSTOCK_CONVERT_LOSS_H
#define PENSTOCK_CONVERT_LOSS_H

#include "penstock/base/base.h"

enum loss_class { LOSS_KEEP, LOSS_ADJUST, LOSS_DROP, LOSS_REFUSE, LOSS_IGNORE };

enum { LOSS_TEXT_MAX = 1024, LOSS_PATH_MAX = 160 };

struct losses {
    bool strict; // the caller's to set: what would be adjusted or dropped is refused
    bool refused;
    uint32_t count[LOSS_IGNORE + 1];
    uint16_t dropped_len, adjusted_len, path_len;
    const char *why; // of the first refusal, static text
    // Only so far as their lengths say.
    char dropped[LOSS_TEXT_MAX], adjusted[LOSS_TEXT_MAX];
    char path[LOSS_PATH_MAX]; // of the first refusal
};

void losses_init(struct losses *losses, bool strict);
// Notes a loss at the path that the format makes. Repeated paths are told once. Nothing but
// printable ASCII without commas gets into the text: it becomes a header field.
void loss_drop(struct losses *losses, const char *path, ...) printf_like(2, 3);
// `text` is "path=what>became".
void loss_adjust(struct losses *losses, const char *text, ...) printf_like(2, 3);
void loss_refuse(struct losses *losses, const char *why, const char *path, ...) printf_like(3, 4);

static inline struct span losses_dropped(const struct losses *losses)
{
    return span_of(losses->dropped, losses->dropped_len);
}
static inline struct span losses_adjusted(const struct losses *losses)
{
    return span_of(losses->adjusted, losses->adjusted_len);
}

#endif

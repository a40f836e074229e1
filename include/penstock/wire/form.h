// form.h - knows a whole answer by its likeness to one that was read before.
//
// A vendor writes all its answers of one kind in the same form: they differ in their texts, ids and
// counts. Reading one member by member costs some ten thousand instructions; a form that was learnt
// from an earlier answer tells by comparison that this one is built alike, and where the few values
// stand that matter. What is learnt from a form is, byte for byte, what reading would have told.
//
// At first every value may differ. A second answer of the form shows which ones seem not to, and
// from it a tight form is learnt, in which these are fixed and cost nothing; what does not fit it
// is still known by the loose one.
//
// Forms hold the names of members and short values that several answers had in common. They are
// shared by all requests of a shard.
#ifndef PENSTOCK_WIRE_FORM_H
#define PENSTOCK_WIRE_FORM_H

#include "penstock/wire/wire.h"

enum {
    WIRE_FORMS = 8,
    WIRE_FORM_HOLES = 48,
    WIRE_FORM_BYTES = 2 * KIB,
    WIRE_FORM_ACTS = 24,
    WIRE_FORM_RETRY = 64, // uses of a loose form until a tight one is learnt again
};

struct wire_form {
    const struct wire *wire; // NULL: nothing was learnt yet
    struct skeleton skeleton;
    uint8_t act_count;
    uint8_t acts[WIRE_FORM_ACTS]; // the holes that tell something
    uint8_t model_hole, id_hole;  // WIRE_FORM_HOLES: none
    uint8_t name_hole;            // the same as model_hole, if no other model is named
    bool nameless;                // no model is named
    bool tight;                   // values that seem not to differ are not holes
    bool valid;                   // it is JSON if its texts are
    uint8_t uses;                 // of a loose one
    bool finished;                // and so on: what the answer told beside its holes
    uint64_t sequence;
    uint64_t started[WIRE_CHOICES_MAX / 64], ended[WIRE_CHOICES_MAX / 64];
    uint16_t model_max, id_max; // bytes of a value with its quotes
    struct usage_told told;
    uint16_t sums[WIRE_FORM_HOLES]; // of what stood last in each hole of a loose one
    struct skeleton_part parts[WIRE_FORM_HOLES + 1];
    char bytes[WIRE_FORM_BYTES + 2 * SKELETON_PADDING];
};

struct wire_forms {
    uint8_t order[WIRE_FORMS]; // the one used last comes first
    uint8_t learns;            // times in a row that a form was learnt and none was used
    uint32_t missed;           // answers that no form was like
    struct wire_form *loose;   // the form that the newest answer was like, to be made tight
    struct wire_form list[WIRE_FORMS];
};

// The forms may not move afterwards.
void wire_forms_init(struct wire_forms *forms);

// True if `text` is like an answer that was learnt; then it is taken into `stream`, which must be
// fresh. With `name`, which may be NULL, it also tells where the model's name stands, with its
// quotes; an answer whose name's place is not known is then not recognised. `strict`: nor is one
// that is not sure to be JSON, of which a likeness alone is no proof.
must_use bool wire_forms_take(struct wire_forms *forms, struct wire_stream *stream,
                              struct span text, struct span *name, bool strict);

// Counts an answer that no form was like. True if it should be learnt.
must_use bool wire_forms_due(struct wire_forms *forms);

// Learns from `text`, which `tap` has read to its end. `stream` was fresh before and holds what was
// tapped of it, with its trace in `trace`.
void wire_forms_learn(struct wire_forms *forms, const struct wire_stream *stream,
                      const struct json_tap *tap, struct span text, const struct told_trace *trace);

#endif

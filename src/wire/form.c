#include "penstock/wire/form.h"

#include "penstock/base/check.h"

enum {
    DEPTH_MAX = 12,
    NO_HOLE = WIRE_FORM_HOLES,
    LEARNS_MAX = 16,  // forms in a row without use: these answers are not alike, so from then on
    LEARN_EVERY = 32, // only one in so many is learnt
    FIXED_MAX = 32,   // bytes of a text that may be taken for one that never differs
};

void wire_forms_init(struct wire_forms *forms)
{
    forms->learns = 0;
    forms->missed = 0;
    forms->loose = NULL;
    for (size_t i = 0; i < WIRE_FORMS; i++) {
        struct wire_form *form = &forms->list[i];
        forms->order[i] = (uint8_t)i;
        form->wire = NULL;
        skeleton_init(&form->skeleton, form->parts, ARRAY_LEN(form->parts), form->bytes,
                      sizeof(form->bytes));
    }
}

// ---------------------------------------------------------------------------------------- use

static inline struct span with_quotes(struct span hole)
{
    return span_of(hole.ptr - 1, hole.len + 2);
}

static void take(const struct wire_form *form, struct wire_stream *stream,
                 const struct filling *holes)
{
    stream->told = form->told;
    stream->finished = form->finished;
    stream->sequence = form->sequence;
    memcpy(stream->started, form->started, sizeof(stream->started));
    memcpy(stream->ended, form->ended, sizeof(stream->ended));
    for (size_t i = 0; i < form->act_count; i++) {
        size_t hole = form->acts[i];
        const struct skeleton_part *part = &form->skeleton.parts[hole];
        if (part->kind == HOLE_DIGITS)
            wire_stream_number(stream, part->tag, holes[hole].number);
        else if (part->tag == HOLE_MODEL)
            told_model(&stream->told,
                       (struct json_slice){ with_quotes(holes[hole].text), JK_STRING });
        else
            wire_stream_id(stream, (struct json_slice){ with_quotes(holes[hole].text), JK_STRING });
    }
}

static void move_to_front(struct wire_forms *forms, size_t place)
{
    uint8_t form = forms->order[place];
    memmove(forms->order + 1, forms->order, place);
    forms->order[0] = form;
}

// The tight ones come first. NULL: none is like `text`.
static struct wire_form *find(struct wire_forms *forms, const struct wire *wire, struct span text,
                              bool named, struct filling *holes)
{
    for (int tight = 1; tight >= 0; tight--) {
        for (size_t i = 0; i < WIRE_FORMS; i++) {
            struct wire_form *form = &forms->list[forms->order[i]];
            if (form->wire != wire || form->tight != tight ||
                (named && form->name_hole == NO_HOLE && !form->nameless))
                continue;
            if (skeleton_match(&form->skeleton, text, holes) != text.len)
                continue;
            // A tap does not keep what is too long for it; then a tap has to say what remains.
            if ((form->model_hole != NO_HOLE &&
                 holes[form->model_hole].text.len + 2 > form->model_max) ||
                (form->id_hole != NO_HOLE && holes[form->id_hole].text.len + 2 > form->id_max))
                continue;
            if (i > 0)
                move_to_front(forms, i);
            return form;
        }
    }
    return NULL;
}

static bool is_string(struct span raw)
{
    bool high = false;
    return simd_quoted_run(raw.ptr, raw.len, &high) == raw.len &&
           (!high || simd_utf8_run(raw.ptr, raw.len) == raw.len);
}

// A skeleton does not look into escapes, nor for what is no UTF-8, but tells where some are.
static bool is_valid(const struct wire_form *form, const struct filling *holes)
{
    bool good = form->valid;
    for (size_t i = 0; good && i < skeleton_holes(&form->skeleton); i++)
        if (form->skeleton.parts[i].kind == HOLE_STRING && holes[i].number != 0)
            good = is_string(holes[i].text);
    return good;
}

bool wire_forms_take(struct wire_forms *forms, struct wire_stream *stream, struct span text,
                     struct span *name, bool strict)
{
    uninitialized struct filling holes[WIRE_FORM_HOLES];
    if (text.len == 0)
        return false; // it would be taken for a match of no bytes
    struct wire_form *form = find(forms, stream->wire, text, name != NULL, holes);
    if (form == NULL || (strict && !is_valid(form, holes)))
        return false;
    forms->learns = 0;
    if (!form->tight && name == NULL && form->uses++ % WIRE_FORM_RETRY == 0) {
        forms->loose = form; // read once more the long way, to learn from
        return false;
    }
    take(form, stream, holes);
    if (name != NULL && form->name_hole != NO_HOLE)
        *name = with_quotes(holes[form->name_hole].text);
    return true;
}

// -------------------------------------------------------------------------------------- learning

bool wire_forms_due(struct wire_forms *forms)
{
    if (forms->loose != NULL)
        return true;
    forms->missed++;
    return forms->learns < LEARNS_MAX || forms->missed % LEARN_EVERY == 0;
}

struct learner {
    struct wire_form *form;
    const struct json_tap *tap;
    const struct told_trace *trace;
    struct wire_form *loose; // NULL: everything may differ
    struct span text;
    size_t value_count; // that may differ
    size_t fixed_count; // and are taken not to
    size_t count;
    struct hole holes[WIRE_FORM_HOLES];
};

// The watched path in whose value `at` lies, or path_count.
static size_t path_at(const struct json_tap *tap, size_t at)
{
    size_t path = 0;
    while (path < tap->plan->path_count &&
           (tap->hits[path].count == 0 || at < tap->hits[path].at || at >= tap->hits[path].end))
        path++;
    return path;
}

// What was read of the value at `at`, which belongs to `path`. The trace tells of places in the
// tap's memory.
static const struct told_traced *traced_at(const struct learner *learner, size_t path, size_t at)
{
    const struct json_tap *tap = learner->tap;
    const char *kept = tap->values + tap->plan->value_at[path] + (at - tap->hits[path].at);
    for (size_t i = 0; i < learner->trace->count; i++) {
        const struct told_traced *item = &learner->trace->items[i];
        if (item->text.ptr != NULL && kept >= item->text.ptr &&
            kept < item->text.ptr + item->text.len)
            return item;
    }
    return NULL;
}

static bool is_digits(struct span text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
    return text.len > 0 && text.len <= HOLE_DIGITS_MAX;
}

static uint16_t sum_of(struct span text)
{
    uint32_t sum = 2166136261u; // FNV-1a
    for (size_t i = 0; i < text.len; i++)
        sum = (sum ^ (unsigned char)text.ptr[i]) * 16777619u;
    return (uint16_t)(sum ^ sum >> 16);
}

// True if a value that may differ is taken not to: it was the same in the answer before. Of counts
// only zeros are, which add nothing to what other members tell.
static bool is_fixed(struct learner *learner, struct json_slice value)
{
    uint16_t sum = sum_of(value.text);
    size_t i = learner->value_count++;
    struct wire_form *loose = learner->loose;
    if (i >= WIRE_FORM_HOLES)
        return false; // too many, as will turn out
    if (loose == NULL) {
        learner->form->sums[i] = sum;
        return false;
    }
    bool equal = loose->sums[i] == sum && value.text.len <= FIXED_MAX;
    loose->sums[i] = sum;
    if (is_digits(value.text))
        equal &= span_eq(value.text, SPAN("0"));
    learner->fixed_count += equal;
    return equal;
}

static bool add_hole(struct learner *learner, struct json_slice value, uint8_t tag, bool act)
{
    struct wire_form *form = learner->form;
    if (learner->count == WIRE_FORM_HOLES || (act && form->act_count == WIRE_FORM_ACTS))
        return false;
    struct hole *hole = &learner->holes[learner->count];
    *hole = (struct hole){ .text = value.text, .tag = tag };
    if (value.kind == JK_STRING) {
        hole->kind = HOLE_STRING;
        hole->text = json_string_raw(value);
    } else {
        hole->kind = is_digits(value.text) ? HOLE_DIGITS : HOLE_NUMBER;
    }
    if (act)
        form->acts[form->act_count++] = (uint8_t)learner->count;
    learner->count++;
    return true;
}

// A value that was read. What the trace does not name stays as it is: it may have decided
// something.
static bool add_watched(struct learner *learner, struct json_slice value, size_t path, size_t at)
{
    struct wire_form *form = learner->form;
    const struct told_traced *traced = traced_at(learner, path, at);
    if (traced == NULL)
        return true;
    if (traced->role != TOLD_ROLE_ID && is_fixed(learner, value)) // no two ids are the same
        return true;
    bool string = value.kind == JK_STRING;
    uint16_t max = learner->tap->plan->paths[path].value_max;
    switch ((enum told_role)traced->role) {
    case TOLD_ROLE_FIELD:
        if (!is_digits(value.text))
            return false;
        form->told.count[traced->field] = 0;
        return add_hole(learner, value, (uint8_t)(HOLE_COUNT + traced->field), true);
    case TOLD_ROLE_NOTHING:
        return !is_digits(value.text) || add_hole(learner, value, HOLE_PADDING, true);
    case TOLD_ROLE_MODEL:
        if (!string)
            return true;
        if (form->model_hole != NO_HOLE)
            return false; // which of them counts is another matter
        form->model_hole = (uint8_t)learner->count;
        form->model_max = max;
        form->told.model_len = 0;
        memset(form->told.model, 0, sizeof(form->told.model));
        return add_hole(learner, value, HOLE_MODEL, true);
    case TOLD_ROLE_ID:
        if (!string)
            return true;
        if (form->id_hole != NO_HOLE)
            return false;
        form->id_hole = (uint8_t)learner->count;
        form->id_max = max;
        return add_hole(learner, value, HOLE_ID, true);
    }
    bug("a value is traced in one of four roles");
}

static bool add_scalar(struct learner *learner, struct json_slice value)
{
    size_t at = (size_t)(value.text.ptr - learner->text.ptr);
    size_t path = path_at(learner->tap, at);
    if (path < learner->tap->plan->path_count)
        return add_watched(learner, value, path, at);
    if ((value.kind != JK_STRING && value.kind != JK_NUMBER) || is_fixed(learner, value))
        return true;
    return add_hole(learner, value, HOLE_PADDING, false);
}

// Walks through all values in the order of the text. False: this answer cannot be learnt.
static bool add_holes(struct learner *learner, struct json_slice root)
{
    struct {
        struct json_iter iter;
        bool object;
    } levels[DEPTH_MAX];
    size_t depth = 0;
    struct json_slice value = root;
    struct span key;
    for (;;) {
        bool container = value.kind == JK_OBJECT || value.kind == JK_ARRAY;
        if (container && depth == DEPTH_MAX)
            return false;
        if (container) {
            levels[depth].object = value.kind == JK_OBJECT;
            levels[depth].iter =
                levels[depth].object ? json_members_of(value) : json_elements_of(value);
            depth++;
        } else if (!add_scalar(learner, value)) {
            return false;
        }
        while (depth > 0 &&
               !(levels[depth - 1].object ? json_member_next(&levels[depth - 1].iter, &key, &value)
                                          : json_element_next(&levels[depth - 1].iter, &value)))
            if (levels[--depth].iter.bad)
                return false;
        if (depth == 0)
            return true;
    }
}

// Values that the tap met once, and that will fit its memory whatever stands in the holes.
static bool is_learnable(const struct learner *learner, struct json_slice root)
{
    const struct json_tap *tap = learner->tap;
    if (root.kind != JK_OBJECT || learner->trace->count > TOLD_TRACE_MAX)
        return false;
    for (size_t i = 0; i < tap->plan->path_count; i++) {
        const struct json_tap_hit *hit = &tap->hits[i];
        if (hit->count > 1)
            return false;
        bool container = hit->kind == JK_OBJECT || hit->kind == JK_ARRAY;
        if (container &&
            hit->len + WIRE_FORM_ACTS * HOLE_DIGITS_MAX > tap->plan->paths[i].value_max)
            return false;
    }
    return true;
}

// How often a model is named.
static uint32_t names_in(const struct wire *wire, const struct json_tap *tap)
{
    uint32_t count = 0;
    for (size_t i = 0; i < wire->model_paths; i++)
        count += tap->hits[i].count;
    return count;
}

// Fills in what `stream` holds; the values of holes are taken out of it afterwards.
static void form_begin(struct wire_form *form, const struct wire_stream *stream)
{
    form->wire = NULL;
    form->act_count = 0;
    form->model_hole = form->id_hole = NO_HOLE;
    form->model_max = form->id_max = 0;
    form->told = stream->told;
    form->finished = stream->finished;
    form->sequence = stream->sequence;
    memcpy(form->started, stream->started, sizeof(form->started));
    memcpy(form->ended, stream->ended, sizeof(form->ended));
}

void wire_forms_learn(struct wire_forms *forms, const struct wire_stream *stream,
                      const struct json_tap *tap, struct span text, const struct told_trace *trace)
{
    struct wire_form *form = &forms->list[forms->order[WIRE_FORMS - 1]]; // not used for longest
    uninitialized struct learner learner;
    learner.form = form;
    learner.tap = tap;
    learner.trace = trace;
    learner.loose = forms->loose;
    learner.text = text;
    learner.value_count = learner.fixed_count = learner.count = 0;
    forms->loose = NULL;
    if (learner.loose == NULL)
        forms->learns = (uint8_t)min_size(forms->learns + 1u, LEARNS_MAX);
    struct json_slice root = json_value(text);
    if (stream->failed || !is_learnable(&learner, root))
        return;
    form_begin(form, stream);
    if (!add_holes(&learner, root) || (learner.loose != NULL && learner.fixed_count == 0))
        return;
    skeleton_learn(&form->skeleton, text, learner.holes, learner.count);
    if (!skeleton_is_set(&form->skeleton))
        return;
    uint32_t names = names_in(stream->wire, tap);
    form->nameless = names == 0;
    form->name_hole = names == 1 ? form->model_hole : NO_HOLE;
    form->tight = learner.loose != NULL;
    form->valid = json_check(text, &root);
    for (size_t i = 0; i < learner.count; i++)
        form->valid &= learner.holes[i].kind != HOLE_NUMBER; // of whose spelling little is seen
    form->uses = 0;
    form->wire = stream->wire;
    move_to_front(forms, WIRE_FORMS - 1);
}

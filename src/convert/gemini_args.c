// Arguments that come in pieces, each with its path. The pieces follow the order of the JSON text
// that the model writes, so what a piece adds can be written at once: what its path shares with the
// one before is open already.
#include "gemini.h"

// One step of a path: a key, or the index of an element.
struct step {
    bool is_index;
    uint32_t index;
    char key[256];
    size_t len;
};

// Takes the next step from the front of a path ("$.a.b[0]['c d']", without its "$").
static bool step_next(struct span *path, struct step *step)
{
    *step = (struct step){ 0 };
    char quote = 0;
    if (span_starts(*path, SPAN("["))) {
        *path = span_from(*path, 1);
        quote = path->len > 0 && (path->ptr[0] == '\'' || path->ptr[0] == '"') ? path->ptr[0] : 0;
        step->is_index = quote == 0;
        *path = span_from(*path, quote != 0 ? 1 : 0);
    } else if (span_starts(*path, SPAN("."))) {
        *path = span_from(*path, 1);
    }
    size_t at = 0;
    for (; at < path->len; at++) {
        char byte = path->ptr[at];
        if (quote != 0 ? byte == quote : step->is_index ? byte == ']' : byte == '.' || byte == '[')
            break;
        if (quote != 0 && byte == '\\' && at + 1 < path->len)
            byte = path->ptr[++at];
        if (step->len == sizeof(step->key) ||
            (step->is_index && (byte < '0' || byte > '9' || step->len > 6)))
            return false;
        step->key[step->len++] = byte;
        step->index = step->index * 10 + (uint32_t)(byte - '0');
    }
    if (step->len == 0 && quote == 0)
        return false;
    if (quote != 0 || step->is_index) {
        const struct span end =
            quote != 0 ? span_from(*path, min_size(at + 1, path->len)) : span_from(*path, at);
        if (!span_starts(end, SPAN("]")))
            return false;
        *path = span_from(end, 1);
    } else {
        *path = span_from(*path, at);
    }
    return true;
}

static bool is_step(const struct gemini_args *args, unsigned depth, const struct step *step)
{
    const struct gemini_step *old = &args->steps[depth];
    if (!old->filled || old->is_index != step->is_index)
        return false;
    return step->is_index
               ? old->index == step->index
               : span_eq(span_of(args->path + old->at, old->len), span_of(step->key, step->len));
}

// Closes containers until `depth` are open.
static void close_to(struct gemini_args *args, unsigned depth, struct sink *out)
{
    if (args->in_string)
        SINK_TEXT(out, "\"");
    args->in_string = false;
    for (; args->depth > depth; args->depth--)
        sink_put(out, args->steps[args->depth - 1].is_index ? SPAN("]") : SPAN("}"));
}

// Goes on to the next place in the innermost container, which is begun if it is not there.
static void enter(struct gemini_args *args, unsigned depth, const struct step *step,
                  struct sink *out)
{
    struct gemini_step *at = &args->steps[depth];
    const bool is_new = args->depth == depth;
    if (is_new) {
        sink_put(out, step->is_index ? SPAN("[") : SPAN("{"));
        args->depth = (uint16_t)(depth + 1);
        at->filled = false;
    }
    if (at->filled)
        SINK_TEXT(out, ",");
    // Keys of outer containers stand before this one.
    const struct gemini_step *outer = depth > 0 ? at - 1 : NULL;
    at->at = outer != NULL ? (uint16_t)(outer->at + outer->len) : 0;
    at->len = 0;
    at->is_index = step->is_index;
    at->index = step->index;
    at->filled = true;
    if (step->is_index)
        return;
    if (at->at + step->len > sizeof(args->path)) {
        args->failed = true;
        return;
    }
    at->len = (uint16_t)step->len;
    memcpy(args->path + at->at, step->key, step->len);
    sink_quoted(out, words_plain(span_of(step->key, step->len)));
    SINK_TEXT(out, ":");
}

// Opens the place that a path names. False: it is the one that is open, and its string goes on.
static bool open_place(struct gemini_args *args, struct span path, struct sink *out)
{
    struct step step;
    unsigned depth = 0;
    if (span_starts(path, SPAN("$")))
        path = span_from(path, 1);
    bool same = true;
    for (; path.len > 0 && !args->failed; depth++) {
        if (depth == GEMINI_PATH_DEPTH || !step_next(&path, &step) ||
            (depth == 0 && step.is_index)) {
            args->failed = true;
            break;
        }
        if (same && depth < args->depth && is_step(args, depth, &step))
            continue;
        // No place is inside a value, and none of an object's is a list's.
        if (same && args->depth > 0 &&
            (depth == args->depth || args->steps[depth].is_index != step.is_index))
            args->failed = true;
        else if (same)
            close_to(args, depth < args->depth ? depth + 1 : depth, out);
        if (args->failed)
            break;
        same = false;
        enter(args, depth, &step, out);
    }
    args->failed = args->failed || depth == 0;
    if (args->failed || (same && args->in_string && depth == args->depth))
        return false;
    if (same) { // a second value at one place, or in one that is a container
        args->failed = true;
        return false;
    }
    return true;
}

void gemini_args_add(struct gemini_args *args, struct json_slice entry, struct sink *out)
{
    char room[GEMINI_PATH_MAX];
    if (args->failed)
        return;
    struct span path = words_view(words_of(json_get(entry, SPAN("jsonPath"))), room, sizeof(room));
    struct json_slice text = json_get(entry, SPAN("stringValue"));
    struct json_slice number = json_get(entry, SPAN("numberValue"));
    struct json_slice flag = json_get(entry, SPAN("boolValue"));
    if (path.ptr == NULL) {
        args->failed = true;
        return;
    }
    args->started = true;
    bool opened = open_place(args, path, out);
    if (args->failed)
        return;
    if (text.kind == JK_STRING) {
        if (opened)
            SINK_TEXT(out, "\"");
        sink_string(out, words_of(text));
        args->in_string = json_get(entry, SPAN("willContinue")).kind == JK_TRUE;
        if (!args->in_string)
            SINK_TEXT(out, "\"");
        return;
    }
    if (!opened) { // the string ends without another piece
        SINK_TEXT(out, "\"");
        args->in_string = false;
    } else if (number.kind == JK_NUMBER) {
        sink_put(out, number.text);
    } else if (flag.kind == JK_TRUE || flag.kind == JK_FALSE) {
        sink_put(out, flag.text);
    } else {
        SINK_TEXT(out, "null");
    }
}

void gemini_args_end(struct gemini_args *args, struct sink *out)
{
    if (!args->started && !args->failed)
        SINK_TEXT(out, "{}");
    else
        close_to(args, 0, out);
    *args = (struct gemini_args){ .failed = args->failed };
}

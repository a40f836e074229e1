#include "penstock/model/problem.h"

#include "penstock/base/check.h"
#include "penstock/base/guard.h"

#include <stdarg.h>
#include <stdlib.h>

void problems_init(struct problems *problems)
{
    problems->count = problems->error_count = problems->warning_count = 0;
}

// Control characters would let a document write to the operator's terminal; what is not UTF-8 (the
// environment may hold anything, and cutting a text may part a character) would make no JSON.
static void clean(char *text)
{
    struct span rest = span_str(text);
    while (rest.len > 0) {
        const size_t len = utf8_len(rest);
        const bool c1 = len == 2 && rest.ptr[0] == '\xc2' && (unsigned char)rest.ptr[1] < 0xa0;
        if (len == 0 || (unsigned char)rest.ptr[0] < 0x20 || rest.ptr[0] == 0x7f || c1)
            memset(text + (rest.ptr - text), '?', max_size(len, 1));
        rest = span_from(rest, max_size(len, 1));
    }
}

#define FORMAT_INTO(array, format)                                  \
    do {                                                            \
        va_list args_;                                              \
        va_start(args_, format);                                    \
        if (vsnprintf((array), sizeof(array), (format), args_) < 0) \
            (array)[0] = '\0';                                      \
        va_end(args_);                                              \
        clean(array);                                               \
    } while (0)

static struct problem *place_for(struct problems *problems, enum problem_code code,
                                 struct place place, const char *path)
{
    assert(problems != NULL); // NULL: a default of a table, which must be free of faults
    struct problem *problem = &problems->spare;
    if (problems->count < PROBLEMS_MAX)
        problem = &problems->items[problems->count++];
    *problem = (struct problem){ .code = code, .place = place };
    memcpy(problem->path, path, min_size(strlen(path), sizeof(problem->path) - 1));
    clean(problem->path);
    return problem;
}

struct problem *problem_add(struct problems *problems, enum problem_code code, struct place place,
                            const char *path, const char *format, ...)
{
    struct problem *problem = place_for(problems, code, place, path);
    FORMAT_INTO(problem->text, format);
    problems->error_count++;
    return problem;
}

struct problem *problem_warn(struct problems *problems, enum problem_code code, struct place place,
                             const char *path, const char *format, ...)
{
    struct problem *problem = place_for(problems, code, place, path);
    FORMAT_INTO(problem->text, format);
    problem->is_warning = true;
    problems->warning_count++;
    return problem;
}

void problem_hint(struct problem *problem, const char *format, ...)
{
    FORMAT_INTO(problem->hint, format);
}

void problem_help(struct problem *problem, const char *format, ...)
{
    FORMAT_INTO(problem->help, format);
}

size_t problem_path(char out[PROBLEM_PATH_MAX], struct span path, struct span name)
{
    size_t len = min_size(path.len, PROBLEM_PATH_MAX - 1);
    if (len > 0)
        memcpy(out, path.ptr, len);
    if (len > 0 && name.len > 0 && len < PROBLEM_PATH_MAX - 1)
        out[len++] = '.';
    const size_t more = min_size(name.len, PROBLEM_PATH_MAX - 1 - len);
    if (more > 0)
        memcpy(out + len, name.ptr, more);
    len += more;
    out[len] = '\0';
    return len;
}

// Insertion: stable, and the list is short.
void problems_sort(struct problems *problems)
{
    struct problem held;
    for (uint32_t i = 1; i < problems->count; i++) {
        uint32_t at = i;
        const struct place place = problems->items[i].place;
        while (at > 0 && (problems->items[at - 1].place.line > place.line ||
                          (problems->items[at - 1].place.line == place.line &&
                           problems->items[at - 1].place.column > place.column)))
            at--;
        if (at == i)
            continue;
        held = problems->items[i];
        memmove(&problems->items[at + 1], &problems->items[at], (i - at) * sizeof(held));
        problems->items[at] = held;
    }
}

const char *problem_about(unsigned code)
{
    switch (code) {
#define PROBLEM(name, number, what) \
    case number:                    \
        return what;
#include "penstock/model/problems.def"
#undef PROBLEM
    }
    return NULL;
}

static struct span line_of(struct span source, uint32_t line)
{
    for (uint32_t i = 1; i < line && source.len > 0; i++)
        source = span_from(source, min_size(span_find(source, '\n') + 1, source.len));
    source = span_upto(source, span_find(source, '\n'));
    if (source.len > 0 && source.ptr[source.len - 1] == '\r')
        source.len--;
    return source;
}

static bool is_continuation(char byte)
{
    return ((unsigned char)byte & 0xc0) == 0x80;
}

// A run of letters and digits mixed, as long as keys are: shown only by its beginning, since a line
// with a mistake in it may hold a secret that nobody recognised, under a misspelt key.
enum { KEY_LIKE_MIN = 16, KEY_LIKE_SHOWN = 4, LINE_SHOWN_MAX = 200 };

static bool is_key_char(char byte, bool *letter, bool *digit)
{
    const char low = (char)(byte | 0x20);
    *letter |= low >= 'a' && low <= 'z';
    *digit |= byte >= '0' && byte <= '9';
    return (low >= 'a' && low <= 'z') || (byte >= '0' && byte <= '9') || byte == '-' || byte == '_';
}

static void mask_key_like(char *line, size_t len)
{
    for (size_t at = 0; at < len; at++) {
        bool letter = false, digit = false;
        size_t end = at;
        while (end < len && is_key_char(line[end], &letter, &digit))
            end++;
        if (end - at >= KEY_LIKE_MIN && letter && digit)
            memset(line + at + KEY_LIKE_SHOWN, '*', end - at - KEY_LIKE_SHOWN);
        at = end;
    }
}

// Bytes before the character with the number `column`, which counts from 1.
static size_t column_at(struct span line, uint32_t column)
{
    size_t at = 0;
    for (uint32_t i = 1; i < column && at < line.len; i++) {
        at++;
        while (at < line.len && is_continuation(line.ptr[at]))
            at++;
    }
    return at;
}

static void mask_places(const struct problems *problems, uint32_t number, char *bytes,
                        struct span line)
{
    for (uint32_t i = 0; i < problems->count; i++) {
        const struct problem *problem = &problems->items[i];
        if (!problem->hides || problem->place.line != number)
            continue;
        const size_t start = column_at(line, problem->place.column);
        // A value of several lines has no width; what is left of this one belongs to it.
        const size_t end = problem->place.width > 1
                               ? column_at(line, problem->place.column + problem->place.width)
                               : line.len;
        memset(bytes + start, '*', end - start);
    }
}

// The line as it is shown: no secrets, and one space for a tab, so that the caret stays below its
// character. Returns its length in characters.
static uint32_t add_line(const struct problems *problems, uint32_t number, struct span line,
                         struct text *out)
{
    char bytes[4 * LINE_SHOWN_MAX];
    const size_t shown = column_at(line, LINE_SHOWN_MAX + 1);
    line = span_upto(line, min_size(shown, sizeof(bytes)));
    memcpy(bytes, line.ptr, line.len);
    if (GUARD(SECRET_LINE_MASKED)) {
        mask_places(problems, number, bytes, line);
        mask_key_like(bytes, line.len);
    }
    uint32_t count = 0;
    for (size_t i = 0; i < line.len; i++) {
        count += is_continuation(bytes[i]) ? 0 : 1;
        if ((unsigned char)bytes[i] < 0x20 || bytes[i] == 0x7f)
            bytes[i] = ' ';
    }
    text_add(out, span_of(bytes, line.len));
    return count;
}

static void render_source(const struct problems *problems, const struct problem *problem,
                          struct span source, struct text *out)
{
    const struct place place = problem->place;
    text_printf(out, "%4u | ", place.line);
    const uint32_t shown = add_line(problems, place.line, line_of(source, place.line), out);
    text_add(out, SPAN("\n     | "));
    if (place.column <= shown + 1) {
        const uint32_t room = shown + 1 - place.column;
        text_add_char(out, ' ', place.column - 1);
        text_add_char(out, '^', max_size(min_size(place.width, room), 1));
        text_add_char(out, ' ', problem->hint[0] != '\0' ? 1 : 0);
    }
    text_printf(out, "%s\n", problem->hint);
}

static void render_one(const struct problems *problems, const struct problem *problem,
                       const char *file, struct span source, struct text *out)
{
    const char *grade = problem->is_warning ? "warning" : "error";
    if (problem->place.line > 0)
        text_printf(out, "%s:%u:%u: %s[C%04u]: %s\n", file, problem->place.line,
                    problem->place.column, grade, (unsigned)problem->code, problem->text);
    else
        text_printf(out, "%s: %s[C%04u]: %s\n", file, grade, (unsigned)problem->code,
                    problem->text);
    if (problem->place.line > 0 && source.len > 0)
        render_source(problems, problem, source, out);
    else if (problem->hint[0] != '\0')
        text_printf(out, "  = hint: %s\n", problem->hint);
    if (problem->help[0] != '\0')
        text_printf(out, "  = help: %s\n", problem->help);
}

void problems_render(const struct problems *problems, const char *file, struct span source,
                     struct text *out)
{
    for (uint32_t i = 0; i < problems->count; i++)
        render_one(problems, &problems->items[i], file, source, out);
    const uint32_t total = problems->error_count + problems->warning_count;
    if (total > problems->count)
        text_printf(out, "(%u more are not shown)\n", total - problems->count);
    text_printf(out, "%u error%s, %u warning%s\n", problems->error_count,
                problems->error_count == 1 ? "" : "s", problems->warning_count,
                problems->warning_count == 1 ? "" : "s");
}

json_t *problems_json(const struct problems *problems)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < problems->count; i++) {
        const struct problem *problem = &problems->items[i];
        char code[8];
        fit_printf(code, sizeof(code), "C%04u", (unsigned)problem->code % 10000);
        json_t *item = json_pack("{s:s, s:s, s:s, s:s}", "code", code, "severity",
                                 problem->is_warning ? "warning" : "error", "path", problem->path,
                                 "message", problem->text);
        verify(item != NULL); // clean() left UTF-8
        if (problem->hint[0] != '\0')
            json_object_set_new(item, "hint", json_string(problem->hint));
        if (problem->help[0] != '\0')
            json_object_set_new(item, "help", json_string(problem->help));
        if (problem->place.line > 0) {
            json_object_set_new(item, "line", json_integer(problem->place.line));
            json_object_set_new(item, "column", json_integer(problem->place.column));
        }
        json_array_append_new(list, item);
    }
    return list;
}

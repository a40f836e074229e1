// problem.h - what is wrong with a document that an operator wrote: all of it, in one pass.
//
// The configuration file and the admin API fill the same list. A problem has a stable code
// (problems.def), the path of the value ("accounts[2].timeouts.connect"), a sentence, and where
// possible a hint. From a file it also has a place. Texts never hold the value of a secret.
#ifndef PENSTOCK_MODEL_PROBLEM_H
#define PENSTOCK_MODEL_PROBLEM_H

#include "penstock/base/base.h"
#include "penstock/base/text.h"

#include <jansson.h>

enum {
    PROBLEMS_MAX = 50,
    PROBLEM_PATH_MAX = 160,
    PROBLEM_TEXT_MAX = 240,
};

enum problem_code {
#define PROBLEM(name, number, what) PROBLEM_##name = number,
#include "penstock/model/problems.def"
#undef PROBLEM
};

// Where a value stands: lines and columns count from 1, columns in characters. Line 0: nowhere.
struct place {
    uint32_t line, column, width;
};

struct problem {
    enum problem_code code;
    bool is_warning;
    bool hides; // what stands at its place is a secret, and is shown as asterisks
    struct place place;
    char path[PROBLEM_PATH_MAX];
    char text[PROBLEM_TEXT_MAX];
    char hint[PROBLEM_TEXT_MAX]; // may be empty: shown at the caret
    char help[PROBLEM_TEXT_MAX]; // may be empty: a line of its own
};

// About 45 KB: belongs on the heap or in a caller's static object, not on a small stack.
struct problems {
    uint32_t count; // kept, at most PROBLEMS_MAX
    uint32_t error_count, warning_count;
    struct problem items[PROBLEMS_MAX];
    struct problem spare; // what is written past the bound goes here
};

void problems_init(struct problems *problems);
// Adds a problem and returns it, so that the caller may add hint and help. Past PROBLEMS_MAX it is
// only counted, and what is returned is a place that nobody reads.
struct problem *problem_add(struct problems *problems, enum problem_code code, struct place place,
                            const char *path, const char *format, ...) printf_like(5, 6);
// The same as a warning: it does not make the document invalid.
struct problem *problem_warn(struct problems *problems, enum problem_code code, struct place place,
                             const char *path, const char *format, ...) printf_like(5, 6);
void problem_hint(struct problem *problem, const char *format, ...) printf_like(2, 3);
void problem_help(struct problem *problem, const char *format, ...) printf_like(2, 3);
// "path.name", cut to fit, with a NUL; `path` may be empty. Returns its length.
size_t problem_path(char out[PROBLEM_PATH_MAX], struct span path, struct span name);
// By place, then by order of arrival.
void problems_sort(struct problems *problems);

// What a code is about, for `penstock config explain C0312`; NULL for an unknown code.
const char *problem_about(unsigned code);

// For a terminal or a log: "file:line:col: error[C0312]: ...", the line of `source` with a caret
// below, hint and help, and at the end the counts. `source` may be empty. In its lines the secrets
// that were found are masked, and so is whatever looks like a key.
void problems_render(const struct problems *problems, const char *file, struct span source,
                     struct text *out);
// The same for editors and for the body of an API answer: an array of objects. The caller owns it.
must_use json_t *problems_json(const struct problems *problems);

#endif

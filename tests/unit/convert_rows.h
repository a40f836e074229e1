// convert_rows.h - rules of conversion as rows of a table: what goes in, and what has to be in what
// becomes of it. A row's title begins with the ids of what it shows. In the texts, ' stands for ".
#ifndef PENSTOCK_TEST_CONVERT_ROWS_H
#define PENSTOCK_TEST_CONVERT_ROWS_H

#include "convert_run.h"

enum { TEXT_MAX = 64 * KIB, WANTS = 4, LACKS = 2 };

#define O FAMILY_OPENAI
#define R FAMILY_RESPONSES
#define A FAMILY_ANTHROPIC
#define G FAMILY_GEMINI

static inline char *quoted(char *out, const char *text)
{
    size_t len = strlen(text);
    EXPECT(len < TEXT_MAX);
    for (size_t i = 0; i <= len; i++)
        out[i] = text[i] == '\'' ? '"' : text[i];
    return out;
}

static inline unsigned wrong_in(const char *title, struct span got, const char *const *has,
                                const char *const *lacks)
{
    char want[TEXT_MAX];
    unsigned wrong = 0;
    for (unsigned i = 0; i < WANTS && has[i] != NULL; i++)
        if (run_count(got, quoted(want, has[i])) != 1) {
            fprintf(stderr, "%s: not once: %s\n", title, want);
            wrong++;
        }
    for (unsigned i = 0; i < LACKS && lacks[i] != NULL; i++)
        if (run_count(got, quoted(want, lacks[i])) != 0) {
            fprintf(stderr, "%s: too much: %s\n", title, want);
            wrong++;
        }
    if (wrong > 0)
        fprintf(stderr, "  in %.*s\n", (int)got.len, got.ptr);
    return wrong;
}

#endif

// ${VAR}, ${VAR:-x}, ${file:PATH}, ${cred:NAME} in values; $${ stands for ${. No nesting, no
// commands: what a value becomes can be said from the line alone.
#include "config_impl.h"

#include <errno.h>

struct expand {
    struct config_loader *loader;
    struct value *scalar;
    const char *path;
    struct text out;
    bool failed;
};

static struct problem *fail(struct expand *expand, enum problem_code code, struct span inner,
                            const char *text)
{
    expand->failed = true;
    return problem_add(expand->loader->problems, code, expand->scalar->place, expand->path,
                       "`${%.*s}` %s", (int)min_size(inner.len, 80), inner.ptr, text);
}

static bool is_name(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        const char low = (char)(text.ptr[i] | 0x20);
        const bool digit = text.ptr[i] >= '0' && text.ptr[i] <= '9';
        if (!(low >= 'a' && low <= 'z') && text.ptr[i] != '_' && !(digit && i > 0))
            return false;
    }
    return text.len > 0;
}

static void add_variable(struct expand *expand, struct span inner)
{
    const size_t end = span_find(inner, ':');
    const struct span name = span_upto(inner, end);
    const struct span rest = span_from(inner, end);
    const bool has_default = span_starts(rest, SPAN(":-"));
    if (!is_name(name) || (rest.len > 0 && !has_default)) {
        problem_hint(fail(expand, PROBLEM_INTERPOLATION, inner, "is not understood"),
                     "${VAR}, ${VAR:-default}, ${file:PATH} or ${cred:NAME}; $${ is a plain ${");
        return;
    }
    char text[CONFIG_ENV_NAME_MAX];
    const char *value = NULL;
    if (name.len < sizeof(text)) {
        memcpy(text, name.ptr, name.len);
        text[name.len] = '\0';
        value = expand->loader->world->env(expand->loader->world, text);
    }
    if (value != NULL && (value[0] != '\0' || !has_default))
        text_add(&expand->out, span_str(value));
    else if (has_default)
        text_add(&expand->out, span_from(rest, 2));
    else
        problem_hint(fail(expand, PROBLEM_VARIABLE_UNSET, inner, "is not set in the environment"),
                     "set it, or write `${%s:-default}`", name.len < sizeof(text) ? text : "VAR");
}

// A file's text without the newline that editors put at its end.
static void add_file(struct expand *expand, struct span inner, const char *path,
                     enum problem_code code)
{
    struct config_world *world = expand->loader->world;
    struct text bytes = { 0 };
    const int why = world->read(world, path, CONFIG_VALUE_MAX, &bytes, NULL);
    struct span text = text_span(&bytes);
    if (why != 0) {
        char reason[PROBLEM_TEXT_MAX];
        fit_printf(reason, sizeof(reason), "cannot be read: %s",
                   why == EFBIG ? "it is larger than 64KiB" : strerror(why));
        fail(expand, code, inner, reason);
    }
    if (text.len > 0 && text.ptr[text.len - 1] == '\n')
        text.len--;
    if (text.len > 0 && text.ptr[text.len - 1] == '\r')
        text.len--;
    text_add(&expand->out, text);
    text_fini(&bytes);
}

// A relative path starts where the configuration file is.
static void add_path(struct expand *expand, struct span inner, struct span path)
{
    const char *file = expand->loader->file;
    const char *slash = path.len > 0 && path.ptr[0] != '/' ? strrchr(file, '/') : NULL;
    struct text full = { 0 };
    if (slash != NULL)
        text_add(&full, span_of(file, (size_t)(slash - file) + 1));
    text_add(&full, path);
    if (path.len == 0 || memchr(path.ptr, '\0', path.len) != NULL)
        fail(expand, PROBLEM_INTERPOLATION, inner, "names no file");
    else
        add_file(expand, inner, full.ptr, PROBLEM_FILE_UNREADABLE);
    text_fini(&full);
}

static void add_credential(struct expand *expand, struct span inner, struct span name)
{
    struct config_world *world = expand->loader->world;
    const char *dir = world->env(world, "CREDENTIALS_DIRECTORY");
    if (name.len == 0 || span_find(name, '/') < name.len || span_find(name, '\0') < name.len ||
        name.ptr[0] == '.') {
        fail(expand, PROBLEM_INTERPOLATION, inner, "names no credential");
        return;
    }
    if (dir == NULL) {
        problem_hint(fail(expand, PROBLEM_CREDENTIAL_UNREADABLE, inner,
                          "cannot be read: systemd passed no credentials"),
                     "add `LoadCredential=%.*s:PATH` to the unit", (int)min_size(name.len, 80),
                     name.ptr);
        return;
    }
    struct text full = { 0 };
    text_printf(&full, "%s/%.*s", dir, (int)name.len, name.ptr);
    add_file(expand, inner, full.ptr, PROBLEM_CREDENTIAL_UNREADABLE);
    text_fini(&full);
}

static void add_expression(struct expand *expand, struct span inner)
{
    if (span_starts(inner, SPAN("file:")))
        add_path(expand, inner, span_from(inner, 5));
    else if (span_starts(inner, SPAN("cred:")))
        add_credential(expand, inner, span_from(inner, 5));
    else
        add_variable(expand, inner);
}

static bool expand_all(struct expand *expand, struct span rest)
{
    bool found = false;
    while (rest.len > 0) {
        const size_t at = span_find(rest, '$');
        text_add(&expand->out, span_upto(rest, at));
        rest = span_from(rest, at);
        if (span_starts(rest, SPAN("$${"))) {
            text_add(&expand->out, SPAN("${"));
            rest = span_from(rest, 3);
            found = true;
        } else if (span_starts(rest, SPAN("${"))) {
            const size_t end = span_find(rest, '}');
            if (end == rest.len) {
                fail(expand, PROBLEM_INTERPOLATION, span_from(rest, 2), "has no closing brace");
                return true;
            }
            add_expression(expand, span_of(rest.ptr + 2, end - 2));
            rest = span_from(rest, end + 1);
            found = true;
            expand->scalar->is_interpolated = true;
        } else if (rest.len > 0) {
            text_add_char(&expand->out, '$', 1);
            rest = span_from(rest, 1);
        }
    }
    return found;
}

void config_expand(struct config_loader *loader, struct value *scalar, const char *path)
{
    struct expand expand = { .loader = loader, .scalar = scalar, .path = path };
    if (expand_all(&expand, scalar->text))
        scalar->text = region_dup(&loader->region, text_span(&expand.out));
    // What is empty now was an error already; a second one about its value would only confuse.
    scalar->is_broken = expand.failed;
    text_fini(&expand.out);
}

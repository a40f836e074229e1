#include "checks.h"

#include "penstock/model/account.h"

static bool is_word(char byte, const char *more)
{
    const char low = (char)(byte | 0x20);
    return (low >= 'a' && low <= 'z') || (byte >= '0' && byte <= '9') ||
           (byte != '\0' && strchr(more, byte) != NULL);
}

static bool all_words(struct span text, const char *more)
{
    for (size_t i = 0; i < text.len; i++)
        if (!is_word(text.ptr[i], more))
            return false;
    return true;
}

const char *check_name(struct span text)
{
    // Names are for people and may be written in any script; they stand in paths, logs and tables.
    for (size_t i = 0; i < text.len; i++)
        if (strchr("/\\\"'`<>", text.ptr[i]) != NULL)
            return "may hold no quotes, slashes or angle brackets";
    if (text.ptr[0] == ' ' || text.ptr[text.len - 1] == ' ')
        return "may not begin or end with a space";
    return NULL;
}

const char *check_id(struct span text)
{
    return all_words(text, "-_") ? NULL : "may hold letters, digits, - and _ only";
}

const char *check_model(struct span text)
{
    if (text.len > MODEL_NAME_MAX)
        return "is longer than a model's name may be";
    for (size_t i = 0; i < text.len; i++) {
        const unsigned char byte = (unsigned char)text.ptr[i];
        if (byte <= ' ' || byte == '"' || byte == '\\' || byte == '*' || byte >= 0x7f)
            return "may hold no spaces, quotes, backslashes or asterisks";
    }
    return NULL;
}

const char *check_pattern(struct span text)
{
    const bool open = text.ptr[text.len - 1] == '*';
    const char *why = check_model(span_upto(text, text.len - (open ? 1 : 0)));
    return why == NULL ? NULL : "must be a model's name, or its beginning and one asterisk";
}

const char *check_path(struct span text)
{
    return text.ptr[0] == '/' ? NULL : "must be an absolute path";
}

const char *check_env(struct span text)
{
    const bool digit = text.ptr[0] >= '0' && text.ptr[0] <= '9';
    return !digit && all_words(text, "_") ? NULL : "is not the name of an environment variable";
}

const char *check_host(struct span text)
{
    return all_words(text, "-._") ? NULL : "is not a host name";
}

const char *check_url(struct span text)
{
    struct base_url url;
    return base_url_parse(text, &url);
}

// Texts of vendors that go on to clients: without credentials, without line ends; and the times
// that vendors write into them.
#include "penstock/base/guard.h"
#include "penstock/codec/simd.h"
#include "penstock/wire/fault.h"

// What a credential looks like: how it begins and how many bytes must follow at least.
static const struct {
    struct span head;
    size_t tail_min;
} shapes[] = {
    { { "sk-", 3 }, 6 },      { { "sk_", 3 }, 8 },
    { { "pk-", 3 }, 8 },      { { "AIza", 4 }, 10 },
    { { "ya29.", 5 }, 8 },    { { "gsk_", 4 }, 8 },
    { { "xai-", 4 }, 8 },     { { "AKIA", 4 }, 12 },
    { { "ASIA", 4 }, 12 },    { { "eyJ", 3 }, 16 },
    { { "hf_", 3 }, 8 },      { { "r8_", 3 }, 8 },
    { { "nvapi-", 6 }, 8 },   { { "pplx-", 5 }, 8 },
    { { "org-", 4 }, 8 },     { { "proj_", 5 }, 8 },
    { { "Bearer ", 7 }, 6 },  { { "bearer ", 7 }, 6 },
    { { "api_key=", 8 }, 4 }, { { "key=", 4 }, 8 },
    { { "token=", 6 }, 8 },   { { "access_token=", 13 }, 4 },
};
static const struct span redacted = { "[redacted]", 10 };
enum { SECRET_PART_MIN = 4 }; // bytes of a secret at the very end of a cut text

static bool is_alnum(char byte)
{
    char lower = (char)(byte | 0x20);
    return (byte >= '0' && byte <= '9') || (lower >= 'a' && lower <= 'z');
}

static bool is_token(char byte)
{
    return is_alnum(byte) || (byte != '\0' && strchr("-_.~+/=*", byte) != NULL);
}

static size_t token_run(struct span text)
{
    size_t len = 0;
    while (len < text.len && is_token(text.ptr[len]))
        len++;
    while (len > 0 && text.ptr[len - 1] == '.') // the end of a sentence
        len--;
    return len;
}

static size_t given_secret(struct span text, const struct secrets *secrets)
{
    for (size_t i = 0; secrets != NULL && i < secrets->count; i++) {
        struct span secret = secrets->list[i];
        if (secret.len == 0)
            continue;
        if (span_starts(text, secret))
            return secret.len;
        bool cut = text.len >= SECRET_PART_MIN && text.len < secret.len;
        if (cut && memcmp(text.ptr, secret.ptr, text.len) == 0)
            return text.len;
    }
    return 0;
}

// Bytes of the mail address that begins at `text`, 0 if there is none.
static size_t mail_address(struct span text)
{
    size_t name = token_run(text);
    if (name == 0 || name >= text.len || text.ptr[name] != '@')
        return 0;
    struct span rest = span_from(text, name + 1);
    size_t host = token_run(rest);
    return span_find(span_upto(rest, host), '.') < host ? name + 1 + host : 0;
}

// Bytes of the secret at the start of `text`, 0 if there is none. `inside`: a word's middle.
static size_t secret_here(struct span text, bool inside, const struct secrets *secrets)
{
    size_t given = given_secret(text, secrets);
    if (given > 0 || inside)
        return given;
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
        if (!span_starts(text, shapes[i].head))
            continue;
        size_t tail = token_run(span_from(text, shapes[i].head.len));
        if (tail >= shapes[i].tail_min)
            return shapes[i].head.len + tail;
    }
    return mail_address(text);
}

// One character, or a space for any white space and control byte, or U+FFFD for an invalid byte.
static struct span clean_character(struct span text, size_t *used)
{
    *used = 1;
    unsigned char byte = (unsigned char)text.ptr[0];
    if (byte <= ' ' || byte == 0x7f)
        return SPAN(" ");
    if (byte < 0x80)
        return span_upto(text, 1);
    for (size_t len = 2; len <= min_size(4, text.len); len++) {
        if (simd_utf8_run(text.ptr, len) != len)
            continue;
        *used = len;
        return span_upto(text, len);
    }
    return SPAN("\xef\xbf\xbd");
}

size_t text_clean(struct span text, const struct secrets *secrets, char *out, size_t cap)
{
    size_t len = 0;
    bool inside = false, blank = true; // blank: no second space, and none at the start
    while (text.len > 0) {
        size_t used = secret_here(text, inside, secrets);
        struct span piece = redacted;
        if (used == 0 || !GUARD(TEXT_SECRETS))
            piece = clean_character(text, &used);
        inside = is_alnum(text.ptr[used - 1]);
        bool space = piece.len == 1 && piece.ptr[0] == ' ';
        text = span_from(text, used);
        if (space && blank)
            continue;
        if (cap - len < piece.len)
            break;
        memcpy(out + len, piece.ptr, piece.len);
        len += piece.len;
        blank = space;
    }
    return len > 0 && out[len - 1] == ' ' ? len - 1 : len;
}

// Thousandths of a decimal number at the start of `text`; moves behind it.
static bool take_milli(struct span *text, uint64_t *out)
{
    enum { DIGITS_MAX = 7 };
    size_t at = 0;
    uint64_t whole = 0, milli = 0;
    for (; at < text->len && text->ptr[at] >= '0' && text->ptr[at] <= '9'; at++)
        whole = whole * 10 + (uint64_t)(text->ptr[at] - '0');
    if (at == 0 || at > DIGITS_MAX)
        return false;
    if (at < text->len && text->ptr[at] == '.') {
        uint64_t unit = 100;
        bool rest = false;
        for (at++; at < text->len && text->ptr[at] >= '0' && text->ptr[at] <= '9'; at++) {
            uint64_t digit = (uint64_t)(text->ptr[at] - '0');
            milli += digit * unit;
            rest |= unit == 0 && digit > 0;
            unit /= 10;
        }
        milli += rest; // rounded up: too early is worse than too late
    }
    *out = whole * 1000 + milli;
    *text = span_from(*text, at);
    return true;
}

bool duration_ms(struct span text, uint64_t *out)
{
    static const struct {
        struct span name;
        uint64_t milli; // of a thousandth of it
    } units[] = {
        { { "ms", 2 }, 1 }, // first: "m" begins it too
        { { "s", 1 }, 1000 },        { { "m", 1 }, 60 * 1000 },
        { { "h", 1 }, 3600 * 1000 }, { { "d", 1 }, 24 * 3600 * 1000 },
    };
    uint64_t micro = 0; // thousandths of a millisecond
    if (text.len == 0)
        return false;
    while (text.len > 0) {
        uint64_t number;
        if (!take_milli(&text, &number))
            return false;
        size_t unit = 1; // a bare number counts seconds
        if (text.len > 0) {
            for (unit = 0; unit < ARRAY_LEN(units); unit++)
                if (span_starts(text, units[unit].name))
                    break;
            if (unit == ARRAY_LEN(units))
                return false;
            text = span_from(text, units[unit].name.len);
        }
        micro += number * units[unit].milli;
        if (micro > UINT64_MAX / 4)
            return false;
    }
    *out = (micro + 999) / 1000;
    return true;
}

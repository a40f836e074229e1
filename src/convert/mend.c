#include "penstock/convert/mend.h"

#include "penstock/base/check.h"
#include "penstock/base/guard.h"
#include "penstock/base/text.h"
#include "penstock/convert/ids.h"

#define PLACEHOLDER "\"skip_thought_signature_validator\"" // C-070

// --- what is found ---

static bool is_envelope(struct json_slice value)
{
    return value.kind == JK_STRING && (span_starts(json_string_raw(value), SPAN(ENVELOPE_PREFIX)) ||
                                       span_starts(json_string_raw(value), SPAN(ENVELOPE_BASE64)));
}

enum { MARK_PLAIN = 1 << 0, MARK_BASE64 = 1 << 1 }; // bits of json_scan.marked

#define WORD_PLAIN JSON_MARK('p', 's', 't', '1')
#define WORD_BASE64 JSON_MARK('c', 'H', 'N', '0')

const struct json_marks mend_marks = {
    .filter = JSON_MARK_BIT(WORD_PLAIN) | JSON_MARK_BIT(WORD_BASE64),
    .count = 2,
    .words = { WORD_PLAIN, WORD_BASE64 },
};

bool mend_needed(struct span body, uint8_t marked, enum wire_family family)
{
    const bool gemini = family == FAMILY_GEMINI;
    if ((marked & ((gemini ? MARK_BASE64 : MARK_PLAIN) | JSON_MARK_CUT)) == 0)
        return false;
    const struct span prefix = gemini ? SPAN(ENVELOPE_BASE64) : SPAN(ENVELOPE_PREFIX);
    return GUARD(CONVERT_MEND) && memmem(body.ptr, body.len, prefix.ptr, prefix.len) != NULL;
}

static const char *mend_list_name(enum wire_family family)
{
    return family == FAMILY_RESPONSES ? "input" : family == FAMILY_GEMINI ? "contents" : "messages";
}

struct json_slice mend_list(struct json_slice body, enum wire_family family)
{
    struct json_slice list = json_get(body, span_str(mend_list_name(family)));
    if (list.kind == JK_NONE && family == FAMILY_GEMINI) // to be counted, as it would be asked
        list = json_get(json_get(body, SPAN("generateContentRequest")), SPAN("contents"));
    return list.kind == JK_ARRAY ? list : JSON_SLICE_NONE;
}

// Whether a signature, or what stands for one, must not go to the account that is asked.
static bool is_foreign(const struct mend *mend, struct json_slice value)
{
    if (is_envelope(value))
        return true;
    if (value.kind != JK_STRING || json_string_raw(value).len == 0)
        return false;
    if (mend->thoughtless)
        return true;
    if (mend->foreign == NULL)
        return false;
    struct blob blob;
    blob_of(&blob, json_string_raw(value));
    return mend->foreign(mend->ctx, &blob);
}

// --- what is told ---

enum { NESTED_MAX = 2 }; // lists of lists

// A text that is copied up to `done`.
struct mender {
    struct sink *out;
    const char *done;
    const struct mend *mend;
    bool answers; // the content before is the model's
    bool called;  // a call was seen in this answer
    uint8_t depth;
    struct {
        const char *name;
        uint32_t index;
    } path[NESTED_MAX]; // of the element at hand
};

static void tell(const struct mender *mender, const char *member, const char *became)
{
    struct losses *losses = mender->mend->losses;
    char path[LOSS_PATH_MAX];
    size_t len = 0;
    if (losses == NULL)
        return;
    for (unsigned i = 0; i < mender->depth; i++)
        len += fit_printf(path + len, sizeof(path) - len, "%s%s[%u]", i > 0 ? "." : "",
                          mender->path[i].name, mender->path[i].index);
    if (became != NULL)
        loss_adjust(losses, "%s%s=%s", path, member, became);
    else
        loss_drop(losses, "%s%s", path, member);
}

// --- cutting ---

static void cut(struct mender *mender, const char *from, const char *to)
{
    sink_put(mender->out, span_of(mender->done, (size_t)(from - mender->done)));
    mender->done = to;
}

// The members or elements of one container, of which some go, each with one comma: the one before
// it, or, as long as nothing has stayed, the one behind.
struct row {
    const char *open, *last, *close; // `last`: the end of what was before
    bool kept, removed;
};

static struct row row_of(struct json_slice container)
{
    const char *open = container.text.ptr + 1;
    return (struct row){ open, open, container.text.ptr + container.text.len - 1, false, false };
}

static void row_keep(struct mender *mender, struct row *row, const char *start,
                     struct json_slice value)
{
    if (!row->kept && row->removed)
        cut(mender, row->open, start);
    row->kept = true;
    row->last = value.text.ptr + value.text.len;
}

static void row_remove(struct mender *mender, struct row *row, struct json_slice value)
{
    const char *end = value.text.ptr + value.text.len;
    if (row->kept)
        cut(mender, row->last, end);
    row->removed = true;
    row->last = end;
}

static void row_end(struct mender *mender, const struct row *row)
{
    if (!row->kept && row->removed)
        cut(mender, row->open, row->close);
}

// What becomes of an element or member: it goes, or it stays and is looked into by a function of
// its own.
typedef bool goes_fn(const struct mend *mend, struct json_slice element);
typedef void inside_fn(struct mender *mender, struct json_slice element);

static void mend_elements(struct mender *mender, const char *name, struct json_slice array,
                          goes_fn *goes, inside_fn *inside)
{
    struct row row = row_of(array);
    struct json_iter iter = json_elements_of(array);
    struct json_slice element;
    const unsigned level = mender->depth++;
    assert(level < NESTED_MAX);
    mender->path[level].name = name;
    for (uint32_t at = 0; json_element_next(&iter, &element); at++) {
        mender->path[level].index = at;
        if (goes(mender->mend, element)) {
            row_remove(mender, &row, element);
            tell(mender, "", NULL);
            continue;
        }
        row_keep(mender, &row, element.text.ptr, element);
        if (inside != NULL)
            inside(mender, element);
    }
    row_end(mender, &row);
    mender->depth--;
}

// True if the array has elements and all of them go.
static bool all_go(const struct mend *mend, struct json_slice array, goes_fn *goes)
{
    struct json_iter iter = json_elements_of(array);
    struct json_slice element;
    bool any = false;
    while (json_element_next(&iter, &element)) {
        if (!goes(mend, element))
            return false;
        any = true;
    }
    return any;
}

static bool stays(const struct mend *mend, struct json_slice element)
{
    (void)mend, (void)element;
    return false;
}

// --- Messages ---

static bool block_goes(const struct mend *mend, struct json_slice block)
{
    const struct json_slice type = json_get(block, SPAN("type"));
    if (json_string_is(type, SPAN("thinking")))
        return mend->thoughtless || is_foreign(mend, json_get(block, SPAN("signature")));
    return json_string_is(type, SPAN("redacted_thinking")) &&
           is_foreign(mend, json_get(block, SPAN("data")));
}

static bool message_goes(const struct mend *mend, struct json_slice message)
{
    return all_go(mend, json_get(message, SPAN("content")), block_goes);
}

static void in_message(struct mender *mender, struct json_slice message)
{
    const struct json_slice content = json_get(message, SPAN("content"));
    if (content.kind == JK_ARRAY)
        mend_elements(mender, "content", content, block_goes, NULL);
}

// True if the turn whose tools were just answered began with a thought, if there is such a turn.
static bool turn_begins_thinking(const struct mend *mend, struct json_slice messages)
{
    struct json_iter iter = json_elements_of(messages);
    struct json_slice message, block;
    bool begun = false, thinks = true;
    while (json_element_next(&iter, &message)) {
        const struct json_slice content = json_get(message, SPAN("content"));
        const bool answers = json_string_is(json_get(message, SPAN("role")), SPAN("assistant"));
        bool results = false, thought = false, first = true;
        struct json_iter blocks = json_elements_of(content);
        while (json_element_next(&blocks, &block)) {
            const struct json_slice type = json_get(block, SPAN("type"));
            results |= json_string_is(type, SPAN("tool_result"));
            if (block_goes(mend, block))
                continue;
            thought |= first && (json_string_is(type, SPAN("thinking")) ||
                                 json_string_is(type, SPAN("redacted_thinking")));
            first = false;
        }
        if (answers && !begun) {
            begun = true;
            thinks = thought;
        } else if (!answers && !results) {
            begun = false; // a new question
            thinks = true;
        }
    }
    return thinks;
}

struct json_slice mend_thinking(struct json_slice body, const struct mend *mend)
{
    if (mend->family != FAMILY_ANTHROPIC || mend->caps->always_thinks)
        return JSON_SLICE_NONE;
    const struct json_slice thinking = json_get(body, SPAN("thinking"));
    if (!json_string_is(json_get(thinking, SPAN("type")), SPAN("enabled")) ||
        turn_begins_thinking(mend, mend_list(body, mend->family)))
        return JSON_SLICE_NONE;
    if (mend->losses != NULL)
        loss_adjust(mend->losses, "thinking=enabled>disabled");
    return thinking;
}

// --- Responses ---

static bool item_goes(const struct mend *mend, struct json_slice item)
{
    return json_string_is(json_get(item, SPAN("type")), SPAN("reasoning")) &&
           (mend->thoughtless || is_foreign(mend, json_get(item, SPAN("encrypted_content"))));
}

// --- Chat ---

static bool detail_goes(const struct mend *mend, struct json_slice detail)
{
    return is_foreign(mend, json_get(detail, SPAN("signature"))) ||
           is_foreign(mend, json_get(detail, SPAN("data")));
}

static bool is_call_sealed(const struct mend *mend, struct json_slice call)
{
    const struct span path[] = { SPAN("extra_content"), SPAN("google"), SPAN("thought_signature") };
    return is_foreign(mend, json_get_path(call, path, ARRAY_LEN(path)));
}

static void in_call(struct mender *mender, struct json_slice call)
{
    if (!is_call_sealed(mender->mend, call))
        return;
    struct row row = row_of(call);
    struct json_iter iter = json_members_of(call);
    struct span key;
    struct json_slice value;
    while (json_member_next(&iter, &key, &value)) {
        if (json_key_is(key, SPAN("extra_content"))) {
            row_remove(mender, &row, value);
            tell(mender, ".extra_content", NULL);
        } else {
            row_keep(mender, &row, key.ptr - 1, value);
        }
    }
    row_end(mender, &row);
}

static bool any_is(const struct mend *mend, struct json_slice array, goes_fn *is)
{
    struct json_iter iter = json_elements_of(array);
    struct json_slice element;
    while (json_element_next(&iter, &element))
        if (is(mend, element))
            return true;
    return false;
}

// The text of a thought in a dialect: it goes with the envelope that stands beside it, and to a
// vendor that knows no such member it goes anyway.
static bool is_thought(struct span key)
{
    return json_key_is(key, SPAN("reasoning_content")) || json_key_is(key, SPAN("reasoning"));
}

static void in_chat_message(struct mender *mender, struct json_slice message)
{
    const struct mend *mend = mender->mend;
    const struct json_slice details = json_get(message, SPAN("reasoning_details"));
    const bool sealed = any_is(mend, details, detail_goes) ||
                        any_is(mend, json_get(message, SPAN("tool_calls")), is_call_sealed);
    const bool silent = !mend->caps->needs_reasoning && (sealed || mend->caps->official);
    struct row row = row_of(message);
    struct json_iter iter = json_members_of(message);
    struct span key;
    struct json_slice value;
    while (json_member_next(&iter, &key, &value)) {
        const bool is_details = json_key_is(key, SPAN("reasoning_details"));
        if ((silent && is_thought(key)) || (is_details && all_go(mend, value, detail_goes))) {
            row_remove(mender, &row, value);
            tell(mender, is_details ? ".reasoning_details" : ".reasoning_content", NULL);
            continue;
        }
        row_keep(mender, &row, key.ptr - 1, value);
        if (is_details && value.kind == JK_ARRAY)
            mend_elements(mender, "reasoning_details", value, detail_goes, NULL);
        else if (json_key_is(key, SPAN("tool_calls")) && value.kind == JK_ARRAY)
            mend_elements(mender, "tool_calls", value, stays, in_call);
    }
    row_end(mender, &row);
}

// --- Gemini ---

static bool is_signature(struct span key)
{
    return json_key_is(key, SPAN("thoughtSignature")) ||
           json_key_is(key, SPAN("thought_signature"));
}

static struct json_slice signature_of(struct json_slice part)
{
    const struct json_slice value = json_get(part, SPAN("thoughtSignature"));
    return value.kind != JK_NONE ? value : json_get(part, SPAN("thought_signature"));
}

static bool is_part_sealed(const struct mend *mend, struct json_slice part)
{
    return is_foreign(mend, signature_of(part));
}

static struct json_slice call_of(struct json_slice part)
{
    const struct json_slice value = json_get(part, SPAN("functionCall"));
    return value.kind != JK_NONE ? value : json_get(part, SPAN("function_call"));
}

// Of a content that has an envelope: its thoughts, and what is there only for the envelope's sake.
static bool part_goes(const struct mend *mend, struct json_slice part)
{
    if (json_get(part, SPAN("thought")).kind == JK_TRUE)
        return signature_of(part).kind == JK_NONE || is_part_sealed(mend, part);
    return is_part_sealed(mend, part) && json_string_is(json_get(part, SPAN("text")), SPAN_NONE);
}

// The first call of an answer, and no other, is signed, or has what stands for a signature.
static void in_part(struct mender *mender, struct json_slice part)
{
    const bool sealed = is_part_sealed(mender->mend, part);
    const bool first = call_of(part).kind == JK_OBJECT && !mender->called;
    const bool stands_in = first && mender->mend->caps->signs_calls;
    mender->called |= first;
    if (!sealed) {
        if (stands_in && signature_of(part).kind == JK_NONE) {
            const char *close = part.text.ptr + part.text.len - 1;
            cut(mender, close, close);
            SINK_TEXT(mender->out, ",\"thoughtSignature\":" PLACEHOLDER);
        }
        return;
    }
    struct row row = row_of(part);
    struct json_iter iter = json_members_of(part);
    struct span key;
    struct json_slice value;
    while (json_member_next(&iter, &key, &value)) {
        if (is_signature(key) && !stands_in) {
            row_remove(mender, &row, value);
            tell(mender, ".thoughtSignature", NULL);
            continue;
        }
        row_keep(mender, &row, key.ptr - 1, value);
        if (is_signature(key)) {
            cut(mender, value.text.ptr, value.text.ptr + value.text.len);
            SINK_TEXT(mender->out, PLACEHOLDER);
            tell(mender, ".thoughtSignature", "placeholder");
        }
    }
    row_end(mender, &row);
}

static bool content_goes(const struct mend *mend, struct json_slice content)
{
    const struct json_slice parts = json_get(content, SPAN("parts"));
    return any_is(mend, parts, is_part_sealed) && all_go(mend, parts, part_goes);
}

static void in_content(struct mender *mender, struct json_slice content)
{
    const struct json_slice parts = json_get(content, SPAN("parts"));
    const bool answers = json_string_is(json_get(content, SPAN("role")), SPAN("model"));
    // Clients that collect a stream give back an answer as several contents.
    mender->called &= answers && mender->answers;
    mender->answers = answers;
    if (parts.kind == JK_ARRAY)
        mend_elements(mender, "parts", parts,
                      any_is(mender->mend, parts, is_part_sealed) ? part_goes : stays, in_part);
}

// --- all ---

void mend_put(struct sink *out, struct json_slice list, const struct mend *mend)
{
    struct mender mender = { .out = out, .done = list.text.ptr, .mend = mend };
    const char *name = mend_list_name(mend->family);
    switch (mend->family) {
    case FAMILY_OPENAI: mend_elements(&mender, name, list, stays, in_chat_message); break;
    case FAMILY_RESPONSES: mend_elements(&mender, name, list, item_goes, NULL); break;
    case FAMILY_ANTHROPIC: mend_elements(&mender, name, list, message_goes, in_message); break;
    case FAMILY_GEMINI: mend_elements(&mender, name, list, content_goes, in_content); break;
    }
    const char *end = list.text.ptr + list.text.len;
    cut(&mender, end, end);
}

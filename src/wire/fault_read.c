// From a vendor's error, in any dialect, to a class and a clean message.
//
// First the envelope: the places where servers put a message are tried in a fixed order, and an
// envelope inside a message is opened again. Then the class: words in their own fields (type, code,
// status, reason) decide where they can, after them phrases of the message, after them the status.
#include "penstock/base/check.h"
#include "penstock/wire/fault.h"

#include <strings.h>

enum {
    WORDS_MAX = 8,
    WORD_BYTES = 64,
    TEXT_MAX = 4 * KIB, // of a message while it is being opened
};

// What was found on the way in.
struct clues {
    char words[WORDS_MAX][WORD_BYTES];
    uint8_t word_len[WORDS_MAX];
    size_t word_count;
    char text[2][TEXT_MAX]; // the message, decoded; the next one inside goes into the other
    unsigned turn;
    size_t text_len;
    bool text_cut;
    struct fault_note *note;
    const struct secrets *secrets;
};

// ----------------------------------------------------------------------------------- envelope

static void add_word(struct clues *clues, struct json_slice value)
{
    if (value.kind != JK_STRING && value.kind != JK_NUMBER)
        return;
    if (clues->word_count == WORDS_MAX)
        return;
    char *word = clues->words[clues->word_count];
    size_t len = min_size(value.text.len, WORD_BYTES);
    if (value.kind == JK_STRING)
        len = json_string_decode(value, word, WORD_BYTES, NULL);
    else
        memcpy(word, value.text.ptr, len);
    clues->word_len[clues->word_count++] = (uint8_t)len;
}

static uint8_t keep_text(const struct clues *clues, struct json_slice value, char *out, size_t cap)
{
    char text[NOTE_PARAM_MAX];
    size_t len = min_size(value.text.len, sizeof(text));
    if (value.kind == JK_STRING)
        len = json_string_decode(value, text, sizeof(text), NULL);
    else if (value.kind == JK_NUMBER)
        memcpy(text, value.text.ptr, len);
    else
        return 0;
    return (uint8_t)text_clean(span_of(text, len), clues->secrets, out, cap);
}

static bool set_message(struct clues *clues, struct json_slice value)
{
    if (value.kind != JK_STRING || value.text.len <= 2)
        return false;
    clues->turn ^= 1;
    char *text = clues->text[clues->turn];
    clues->text_len = json_string_decode(value, text, TEXT_MAX, &clues->text_cut);
    return clues->text_len > 0;
}

static struct json_slice first_of(struct json_slice array)
{
    struct json_iter iter = json_elements_of(array);
    struct json_slice first;
    return json_element_next(&iter, &first) ? first : JSON_SLICE_NONE;
}

static void read_retry(struct fault_note *note, struct json_slice delay)
{
    uint64_t ms;
    if (delay.kind == JK_STRING && duration_ms(json_string_raw(delay), &ms)) {
        note->retry_ms = ms;
        note->retry_told = true;
    }
}

static void read_violations(struct fault_note *note, struct json_slice violations)
{
    struct json_iter iter = json_elements_of(violations);
    struct json_slice violation;
    while (json_element_next(&iter, &violation)) {
        struct span id = json_string_raw(json_get(violation, SPAN("quotaId")));
        if (id.len > 0 && memmem(id.ptr, id.len, "PerDay", 6) != NULL)
            note->quota_is_daily = true;
    }
}

// Google's array of details, Anthropic's object.
static void read_details(struct clues *clues, struct json_slice details)
{
    if (details.kind == JK_OBJECT) {
        add_word(clues, json_get(details, SPAN("error_code")));
        return;
    }
    struct json_iter iter = json_elements_of(details);
    struct json_slice detail;
    while (json_element_next(&iter, &detail)) {
        add_word(clues, json_get(detail, SPAN("reason")));
        read_retry(clues->note, json_get(detail, SPAN("retryDelay")));
        read_violations(clues->note, json_get(detail, SPAN("violations")));
    }
}

// The words of one object that may stand for an error.
static void read_words(struct clues *clues, struct json_slice object)
{
    enum { CODE, TYPE, STATUS, PARAM, DETAILS, AWS_TYPE, COUNT };
    static const struct span names[COUNT] = {
        { "code", 4 },  { "type", 4 },    { "status", 6 },
        { "param", 5 }, { "details", 7 }, { "__type", 6 },
    };
    struct json_slice found[COUNT];
    if (object.kind != JK_OBJECT)
        return;
    json_pick(object, names, found, COUNT);
    struct fault_note *note = clues->note;
    bool google = found[STATUS].kind == JK_STRING;
    struct json_slice type = google ? found[STATUS] : found[TYPE];
    if (json_string_is(type, SPAN("error")))
        type = JSON_SLICE_NONE; // the name of the event, not of the error
    if (type.kind == JK_STRING)
        note->type_len = keep_text(clues, type, note->type, sizeof(note->type));
    if (found[CODE].kind == JK_STRING || found[CODE].kind == JK_NUMBER)
        note->code_len = keep_text(clues, found[CODE], note->code, sizeof(note->code));
    if (found[PARAM].kind == JK_STRING)
        note->param_len = keep_text(clues, found[PARAM], note->param, sizeof(note->param));
    add_word(clues, found[CODE]);
    add_word(clues, type);
    add_word(clues, found[AWS_TYPE]);
    read_details(clues, found[DETAILS]);
}

// Reads one envelope. False if there is no message in it.
static bool read_envelope(struct clues *clues, struct json_slice root)
{
    enum { ERROR, MESSAGE, DETAIL, ERRORS, BASE, COUNT };
    static const struct span names[COUNT] = {
        { "error", 5 }, { "message", 7 }, { "detail", 6 }, { "errors", 6 }, { "base_resp", 9 },
    };
    if (root.kind == JK_ARRAY)
        root = first_of(root);
    if (root.kind == JK_STRING)
        return set_message(clues, root);
    struct json_slice found[COUNT];
    if (root.kind != JK_OBJECT)
        return false;
    json_pick(root, names, found, COUNT);
    struct json_slice error = found[ERROR];
    read_words(clues, error.kind == JK_OBJECT ? error : root);
    struct json_slice issue = first_of(found[DETAIL]);
    return set_message(clues, json_get(error, SPAN("message"))) || set_message(clues, error) ||
           set_message(clues, found[MESSAGE]) || set_message(clues, found[DETAIL]) ||
           set_message(clues, json_get(issue, SPAN("msg"))) ||
           set_message(clues, json_get(first_of(found[ERRORS]), SPAN("message"))) ||
           set_message(clues, json_get(found[BASE], SPAN("status_msg")));
}

// Opens envelopes that proxies put into the message of their own.
static bool open_envelopes(struct clues *clues, struct json_slice root)
{
    bool any = false;
    for (int level = 0; level <= NOTE_UNWRAP_MAX; level++) {
        if (!read_envelope(clues, root))
            return any;
        any = true;
        struct span text = span_of(clues->text[clues->turn], clues->text_len);
        root = clues->text_cut ? JSON_SLICE_NONE : json_value(text);
        if (root.kind != JK_OBJECT && root.kind != JK_ARRAY)
            return any;
    }
    return any;
}

// A body that is no JSON: a page's title if it is one, else how it begins.
static struct span plain_text(struct span body)
{
    body = span_upto(body, min_size(body.len, TEXT_MAX));
    if (body.len == 0)
        return body;
    const char *title = memmem(body.ptr, body.len, "<title>", 7);
    if (title != NULL) {
        struct span rest = span_from(body, (size_t)(title + 7 - body.ptr));
        return span_upto(rest, span_find(rest, '<'));
    }
    return span_upto(body, min_size(body.len, NOTE_TEXT_BYTES));
}

// -------------------------------------------------------------------------------------- class

static const struct {
    const char *word;
    enum fault fault;
} words[] = {
    // The request.
    { "context_length_exceeded", FAULT_CONTEXT_LONG },
    { "invalid_encrypted_content", FAULT_THOUGHT_REFUSED },
    { "string_above_max_length", FAULT_CONTEXT_LONG },
    { "model_context_window_exceeded", FAULT_CONTEXT_LONG },
    { "content_policy_violation", FAULT_CONTENT_REFUSED },
    { "content_filter", FAULT_CONTENT_REFUSED },
    { "ResponsibleAIPolicyViolation", FAULT_CONTENT_REFUSED },
    { "data_inspection_failed", FAULT_CONTENT_REFUSED },
    { "DataInspectionFailed", FAULT_CONTENT_REFUSED },
    { "PROHIBITED_CONTENT", FAULT_CONTENT_REFUSED },
    { "request_too_large", FAULT_TOO_LARGE },
    { "model_not_found", FAULT_MODEL_UNKNOWN },
    { "ModelNotFound", FAULT_MODEL_UNKNOWN },
    { "DeploymentNotFound", FAULT_MODEL_UNKNOWN },
    // The account.
    { "insufficient_quota", FAULT_QUOTA },
    { "billing_hard_limit_reached", FAULT_QUOTA },
    { "billing_error", FAULT_QUOTA },
    { "contract_spend_limit_reached", FAULT_QUOTA },
    { "enforced_spend_limit_reached", FAULT_QUOTA },
    { "linked_organization_spend_limit_reached", FAULT_QUOTA },
    { "exceeded_current_quota_error", FAULT_QUOTA },
    { "payment_required", FAULT_QUOTA },
    { "Arrearage", FAULT_QUOTA },
    { "ServiceQuotaExceededException", FAULT_QUOTA },
    { "account_deactivated", FAULT_SUSPENDED },
    { "organization_on_hold", FAULT_SUSPENDED },
    { "organization_restricted", FAULT_SUSPENDED },
    { "blocked_api_access", FAULT_SUSPENDED },
    { "CONSUMER_SUSPENDED", FAULT_SUSPENDED },
    { "invalid_api_key", FAULT_UPSTREAM_AUTH },
    { "authentication_error", FAULT_UPSTREAM_AUTH },
    { "invalid_authentication_error", FAULT_UPSTREAM_AUTH },
    { "incorrect_api_key_error", FAULT_UPSTREAM_AUTH },
    { "InvalidApiKey", FAULT_UPSTREAM_AUTH },
    { "API_KEY_INVALID", FAULT_UPSTREAM_AUTH },
    { "API_KEY_SERVICE_BLOCKED", FAULT_UPSTREAM_AUTH },
    { "ACCESS_TOKEN_EXPIRED", FAULT_UPSTREAM_AUTH },
    { "SERVICE_DISABLED", FAULT_UPSTREAM_AUTH },
    { "IAM_PERMISSION_DENIED", FAULT_UPSTREAM_AUTH },
    { "UNAUTHENTICATED", FAULT_UPSTREAM_AUTH },
    { "unsupported_country_region_territory", FAULT_UPSTREAM_AUTH },
    { "ip_not_authorized", FAULT_UPSTREAM_AUTH },
    { "UnrecognizedClientException", FAULT_UPSTREAM_AUTH },
    { "MODEL_CAPACITY_EXHAUSTED", FAULT_OVERLOADED },
    { "rate_limit_error", FAULT_RATE_LIMITED },
    { "rate_limit_exceeded", FAULT_RATE_LIMITED },
    { "rate_limit_reached_error", FAULT_RATE_LIMITED },
    { "ramp_limit_exceeded", FAULT_RATE_LIMITED },
    { "limit_requests", FAULT_RATE_LIMITED },
    { "RESOURCE_EXHAUSTED", FAULT_RATE_LIMITED },
    { "Throttling", FAULT_RATE_LIMITED },
    { "Throttling.RateQuota", FAULT_RATE_LIMITED },
    { "ThrottlingException", FAULT_RATE_LIMITED },
    { "TooManyRequestsException", FAULT_RATE_LIMITED },
    // The vendor.
    { "overloaded_error", FAULT_OVERLOADED },
    { "server_is_overloaded", FAULT_OVERLOADED },
    { "service_unavailable_error", FAULT_OVERLOADED },
    { "engine_overloaded_error", FAULT_OVERLOADED },
    { "slow_down", FAULT_OVERLOADED },
    { "capacity_exceeded", FAULT_OVERLOADED },
    { "compaction_unavailable", FAULT_OVERLOADED },
    { "UNAVAILABLE", FAULT_OVERLOADED },
    { "serviceUnavailableException", FAULT_OVERLOADED },
    { "modelNotReadyException", FAULT_OVERLOADED },
    { "timeout_error", FAULT_TIMEOUT },
    { "DEADLINE_EXCEEDED", FAULT_TIMEOUT },
    { "modelTimeoutException", FAULT_TIMEOUT },
};

// Words that say little; used where nothing else speaks, above all inside a stream.
static const struct {
    const char *word;
    enum fault fault;
} weak_words[] = {
    { "invalid_request_error", FAULT_BAD_REQUEST }, { "invalid_prompt", FAULT_BAD_REQUEST },
    { "INVALID_ARGUMENT", FAULT_BAD_REQUEST },      { "FAILED_PRECONDITION", FAULT_BAD_REQUEST },
    { "OUT_OF_RANGE", FAULT_BAD_REQUEST },          { "validationException", FAULT_BAD_REQUEST },
    { "not_found_error", FAULT_MODEL_UNKNOWN },     { "NOT_FOUND", FAULT_MODEL_UNKNOWN },
    { "permission_error", FAULT_UPSTREAM_AUTH },    { "PERMISSION_DENIED", FAULT_UPSTREAM_AUTH },
    { "server_error", FAULT_UPSTREAM_FAILURE },     { "api_error", FAULT_UPSTREAM_FAILURE },
    { "INTERNAL", FAULT_UPSTREAM_FAILURE },
};

struct phrase {
    const char *text;
    enum fault fault;
};

static const struct phrase context_phrases[] = {
    { "maximum context", FAULT_CONTEXT_LONG },
    { "context window", FAULT_CONTEXT_LONG },
    { "context length", FAULT_CONTEXT_LONG },
    { "context limit", FAULT_CONTEXT_LONG },
    { "prompt is too long", FAULT_CONTEXT_LONG },
    { "input is too long", FAULT_CONTEXT_LONG },
    { "exceeds the maximum number of tokens", FAULT_CONTEXT_LONG },
    { "too many tokens", FAULT_CONTEXT_LONG },
    { "too many total text bytes", FAULT_CONTEXT_LONG },
    { "token limit", FAULT_CONTEXT_LONG },
    { "reduce the length", FAULT_CONTEXT_LONG },
};

// On a 400: what is not about the request although the status says so.
static const struct phrase request_phrases[] = {
    { "credit balance is too low", FAULT_QUOTA },
    { "organization has been disabled", FAULT_SUSPENDED },
    { "incorrect api key", FAULT_UPSTREAM_AUTH },
    { "api key not valid", FAULT_UPSTREAM_AUTH },
    { "user location is not supported", FAULT_UPSTREAM_AUTH },
};

// What a vendor says of a signature, or of a thought that should come with one (C-064): a word for
// what it is about, and one for what is wrong.
static const struct phrase thought_subjects[] = {
    { "signature", FAULT_THOUGHT_REFUSED },         { "thinking", FAULT_THOUGHT_REFUSED },
    { "redacted_thinking", FAULT_THOUGHT_REFUSED }, { "thought", FAULT_THOUGHT_REFUSED },
    { "encrypted", FAULT_THOUGHT_REFUSED },         { "reasoning", FAULT_THOUGHT_REFUSED },
};

static const struct phrase thought_verdicts[] = {
    { "invalid `signature`", FAULT_THOUGHT_REFUSED },
    { "invalid `data`", FAULT_THOUGHT_REFUSED },
    { "corrupted thought signature", FAULT_THOUGHT_REFUSED },
    { "thought signature is not valid", FAULT_THOUGHT_REFUSED },
    { "could not be decrypted", FAULT_THOUGHT_REFUSED },
    { "could not be verified", FAULT_THOUGHT_REFUSED },
    { "was not issued to this caller", FAULT_THOUGHT_REFUSED },
    { "bound to a different conversation", FAULT_THOUGHT_REFUSED },
    { "blocks in the latest assistant message cannot be modified", FAULT_THOUGHT_REFUSED },
};

static const struct phrase denied_phrases[] = {
    { "access to model", FAULT_MODEL_UNKNOWN },
    { "suspended", FAULT_SUSPENDED },
    { "banned", FAULT_SUSPENDED },
    { "locked", FAULT_SUSPENDED },
    { "terminated", FAULT_SUSPENDED },
    { "has been disabled", FAULT_SUSPENDED },
    { "quota", FAULT_QUOTA },
    { "balance", FAULT_QUOTA },
    { "credits", FAULT_QUOTA },
    { "insufficient", FAULT_QUOTA },
    { "spending limit", FAULT_QUOTA },
};

static const struct phrase limit_phrases[] = {
    { "overloaded", FAULT_OVERLOADED }, { "capacity", FAULT_OVERLOADED },
    { "busy", FAULT_OVERLOADED },       { "quota", FAULT_QUOTA },
    { "balance", FAULT_QUOTA },         { "billing", FAULT_QUOTA },
    { "insufficient", FAULT_QUOTA },
};

static bool is_word_byte(char byte)
{
    char lower = (char)(byte | 0x20);
    return (byte >= '0' && byte <= '9') || (lower >= 'a' && lower <= 'z') || byte == '_';
}

// True if `text` has `phrase`, whatever the case, as whole words: "blocked" is not "locked".
static bool has_phrase(struct span text, const char *phrase)
{
    size_t len = strlen(phrase);
    for (size_t at = 0; at + len <= text.len; at++) {
        if (strncasecmp(text.ptr + at, phrase, len) != 0)
            continue;
        bool begins = at == 0 || !is_word_byte(text.ptr[at - 1]);
        bool ends = at + len == text.len || !is_word_byte(text.ptr[at + len]);
        if (begins && ends)
            return true;
    }
    return false;
}

static enum fault find_phrase(struct span text, const struct phrase *phrases, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (has_phrase(text, phrases[i].text))
            return phrases[i].fault;
    return FAULT_NONE;
}

static bool word_is(const struct clues *clues, size_t at, const char *word)
{
    struct span found = span_of(clues->words[at], clues->word_len[at]);
    found = span_upto(found, span_find(found, ':')); // AWS adds an address
    return span_eq_nocase(found, span_str(word));
}

static enum fault fault_of_words(const struct clues *clues)
{
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        for (size_t at = 0; at < clues->word_count; at++)
            if (word_is(clues, at, words[i].word))
                return words[i].fault;
    return FAULT_NONE;
}

static enum fault fault_of_weak_words(const struct clues *clues)
{
    for (size_t at = 0; at < clues->word_count; at++)
        for (size_t i = 0; i < ARRAY_LEN(weak_words); i++)
            if (word_is(clues, at, weak_words[i].word))
                return weak_words[i].fault;
    return FAULT_NONE;
}

static enum fault or_else(enum fault found, enum fault other)
{
    return found != FAULT_NONE ? found : other;
}

#define FIND(text, phrases) find_phrase((text), (phrases), ARRAY_LEN(phrases))

static enum fault fault_of_status(int status, struct span text)
{
    switch (status) {
    case 401: return FAULT_UPSTREAM_AUTH;
    case 402: return FAULT_QUOTA;
    case 403: return or_else(FIND(text, denied_phrases), FAULT_UPSTREAM_AUTH);
    case 404: return FAULT_MODEL_UNKNOWN;
    case 408:
    case 499:
    case 504: return FAULT_TIMEOUT;
    case 413: return FAULT_TOO_LARGE;
    case 424:
    case 425:
    case 503: return FAULT_OVERLOADED;
    case 429: return or_else(FIND(text, limit_phrases), FAULT_RATE_LIMITED);
    case 500:
    case 501:
    case 502: return FAULT_UPSTREAM_FAILURE;
    default: break;
    }
    if (status >= 520 && status < 600)
        return FAULT_OVERLOADED;
    return status >= 400 && status < 500 ? FAULT_BAD_REQUEST : FAULT_UPSTREAM_FAILURE;
}

// Inside a stream there is no status, but the code may be one.
static int status_of(const struct clues *clues)
{
    if (clues->note->status != 0)
        return clues->note->status;
    for (size_t at = 0; at < clues->word_count; at++) {
        uint64_t number;
        if (span_u64(span_of(clues->words[at], clues->word_len[at]), &number) && number >= 400 &&
            number < 600)
            return (int)number;
    }
    return 0;
}

static enum fault fault_of_thoughts(struct span text)
{
    const enum fault about = FIND(text, thought_subjects);
    return about != FAULT_NONE ? FIND(text, thought_verdicts) : FAULT_NONE;
}

static enum fault classify(const struct clues *clues)
{
    const struct fault_note *note = clues->note;
    struct span text = note_message(note);
    enum fault fault = fault_of_words(clues);
    if (fault == FAULT_RATE_LIMITED && note->quota_is_daily)
        return FAULT_QUOTA;
    if (fault != FAULT_NONE && fault != FAULT_TOO_LARGE)
        return fault;
    int status = status_of(clues);
    bool about_request = status == 0 || status == 400 || status == 413 || status == 422;
    if (about_request) {
        enum fault said = or_else(FIND(text, context_phrases), FIND(text, request_phrases));
        said = or_else(said, fault_of_thoughts(text));
        if (said != FAULT_NONE)
            return said;
    }
    if (fault != FAULT_NONE)
        return fault;
    if (status == 0)
        return or_else(fault_of_weak_words(clues),
                       or_else(FIND(text, limit_phrases), FAULT_UPSTREAM_FAILURE));
    return fault_of_status(status, text);
}

// "Please try again in 6m0s." "Please retry in 12.3s."
static void read_retry_text(struct fault_note *note)
{
    struct span text = note_message(note);
    static const char *const leads[] = { "try again in ", "retry in ", "retry after " };
    for (size_t i = 0; i < ARRAY_LEN(leads) && !note->retry_told; i++) {
        const char *found = memmem(text.ptr, text.len, leads[i], strlen(leads[i]));
        if (found == NULL)
            continue;
        struct span rest = span_from(text, (size_t)(found - text.ptr) + strlen(leads[i]));
        size_t len = 0;
        while (len < rest.len && (is_word_byte(rest.ptr[len]) || rest.ptr[len] == '.'))
            len++;
        while (len > 0 && rest.ptr[len - 1] == '.')
            len--;
        note->retry_told = duration_ms(span_upto(rest, len), &note->retry_ms);
    }
}

static void finish(struct clues *clues, struct span text)
{
    struct fault_note *note = clues->note;
    note->message_len =
        (uint16_t)text_clean(text, clues->secrets, note->message, sizeof(note->message));
    read_retry_text(note);
    note->fault = classify(clues);
}

void fault_read(struct fault_note *note, int status, struct span body,
                const struct secrets *secrets)
{
    memset(note, 0, sizeof(*note));
    note->status = status;
    struct clues clues = { .note = note, .secrets = secrets };
    body = span_upto(body, min_size(body.len, NOTE_BODY_MAX));
    bool found = open_envelopes(&clues, json_value(body));
    finish(&clues, found ? span_of(clues.text[clues.turn], clues.text_len) : plain_text(body));
}

void fault_read_object(struct fault_note *note, struct json_slice object,
                       const struct secrets *secrets)
{
    memset(note, 0, sizeof(*note));
    struct clues clues = { .note = note, .secrets = secrets };
    bool found = open_envelopes(&clues, object);
    finish(&clues, found ? span_of(clues.text[clues.turn], clues.text_len) : SPAN_NONE);
}

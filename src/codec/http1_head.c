#include "penstock/base/check.h"
#include "penstock/base/guard.h"
#include "penstock/codec/http1.h"
#include "penstock/codec/url.h"

#include "http1_scan.h"

// A head that is being parsed. Errors are decided strictly from left to right, so that a cut input
// meets the same one as the whole; what needs the whole head is judged after its last byte.
struct cursor {
    const char *at;
    const char *end; // of what may belong to the head
    struct err *err;
    bool is_answer;
};

#define MASK(id) (UINT64_C(1) << HF_##id)

// Repeated, these are refused: two readers could each believe another copy. Connection, Upgrade, TE
// and their like are lists.
#define ONCE (MASK(HOST) | MASK(CONTENT_LENGTH) | MASK(TRANSFER_ENCODING) | MASK(CONTENT_TYPE))
// These may be repeated with the same value.
#define IDENTICAL                                                                        \
    (MASK(AUTHORIZATION) | MASK(PROXY_AUTHORIZATION) | MASK(API_KEY) | MASK(X_API_KEY) | \
     MASK(X_GOOG_API_KEY))
#define HOP                                                                                       \
    (MASK(CONNECTION) | MASK(KEEP_ALIVE) | MASK(PROXY_AUTHENTICATE) | MASK(PROXY_AUTHORIZATION) | \
     MASK(PROXY_CONNECTION) | MASK(TE) | MASK(TRAILER) | MASK(TRANSFER_ENCODING) | MASK(UPGRADE))

cold static enum parse refuse(const struct cursor *cur, struct err err)
{
    *cur->err = cur->is_answer ? err_make(ERR_UPSTREAM_HEAD, 0, err.where) : err;
    return PARSE_BAD;
}

// Skips CR LF. PARSE_MORE if the input ends before it can be told apart from something else.
static enum parse line_end(struct cursor *cur)
{
    const ptrdiff_t left = cur->end - cur->at;
    if (likely(left >= 2 && cur->at[0] == '\r' && cur->at[1] == '\n')) {
        cur->at += 2;
        return PARSE_DONE;
    }
    if (left == 0 || (left == 1 && cur->at[0] == '\r'))
        return PARSE_MORE;
    return refuse(cur, ERR(HEAD_MALFORMED));
}

static enum parse single_space(struct cursor *cur)
{
    if (cur->at == cur->end)
        return PARSE_MORE;
    if (*cur->at != ' ')
        return refuse(cur, ERR(HEAD_MALFORMED));
    cur->at++;
    return PARSE_DONE;
}

// HTTP/1.0 or HTTP/1.1, then `after`, of which only the first byte is looked at and which stays.
static enum parse version_parse(struct http_head *head, struct cursor *cur, char after)
{
    static const char pattern[] = "HTTP/d.d";
    enum { VERSION_BYTES = sizeof(pattern) - 1 };
    const size_t left = (size_t)(cur->end - cur->at);
    if (likely(left > VERSION_BYTES && memcmp(cur->at, "HTTP/1.", VERSION_BYTES - 1) == 0)) {
        const char minor = cur->at[VERSION_BYTES - 1];
        if (likely((minor == '0' || minor == '1') && cur->at[VERSION_BYTES] == after)) {
            head->minor = (uint8_t)(minor - '0');
            cur->at += VERSION_BYTES;
            return PARSE_DONE;
        }
    }
    for (size_t i = 0; i < min_size(left, VERSION_BYTES + 1); i++) {
        const char byte = cur->at[i];
        const char want = i < VERSION_BYTES ? pattern[i] : after;
        if (want == 'd' ? !is_class(byte, CLASS_DIGIT) : byte != want)
            return refuse(cur, ERR(HEAD_MALFORMED));
    }
    if (left <= VERSION_BYTES)
        return PARSE_MORE;
    return refuse(cur, ERR(VERSION_UNSUPPORTED));
}

static enum http_method method_of(struct span text)
{
    static const struct span known[HTTP_OTHER] = {
        [HTTP_GET] = { "GET", 3 },         [HTTP_HEAD] = { "HEAD", 4 },
        [HTTP_POST] = { "POST", 4 },       [HTTP_PUT] = { "PUT", 3 },
        [HTTP_PATCH] = { "PATCH", 5 },     [HTTP_DELETE] = { "DELETE", 6 },
        [HTTP_OPTIONS] = { "OPTIONS", 7 },
    };
    if (likely(text.len == 4 && memcmp(text.ptr, "POST", 4) == 0))
        return HTTP_POST;
    for (unsigned i = 0; i < HTTP_OTHER; i++)
        if (span_eq(text, known[i]))
            return (enum http_method)i;
    return HTTP_OTHER;
}

static enum parse request_line(struct http_head *head, struct cursor *cur)
{
    const char *start = cur->at;
    cur->at = scan_class(cur->at, cur->end, CLASS_TOKEN);
    if (cur->at - start > HTTP_METHOD_MAX)
        return refuse(cur, ERR(HEAD_MALFORMED));
    head->method_text = span_of(start, (size_t)(cur->at - start));
    if (cur->at < cur->end && cur->at == start)
        return refuse(cur, ERR(HEAD_MALFORMED));
    enum parse got = single_space(cur);
    if (got != PARSE_DONE)
        return got;
    head->method = method_of(head->method_text);
    start = cur->at;
    cur->at = scan_target(cur->at, cur->end);
    if (cur->at - start > HTTP_TARGET_MAX)
        return refuse(cur, ERR(TARGET_TOO_LONG));
    head->target = span_of(start, (size_t)(cur->at - start));
    if (cur->at < cur->end && *cur->at != ' ')
        return refuse(cur, is_class(*cur->at, CLASS_VALUE) ? ERR(TARGET_MALFORMED)
                                                           : ERR(HEAD_MALFORMED));
    if (cur->at < cur->end && cur->at == start)
        return refuse(cur, ERR(HEAD_MALFORMED));
    got = single_space(cur);
    if (got == PARSE_DONE)
        got = version_parse(head, cur, '\r');
    return got == PARSE_DONE ? line_end(cur) : got;
}

static enum parse status_line(struct http_head *head, struct cursor *cur)
{
    static const char usual[] = "HTTP/1.1 200 OK\r\n";
    enum { USUAL_BYTES = sizeof(usual) - 1, USUAL_REASON = 13 };
    if (likely(cur->end - cur->at >= USUAL_BYTES && memcmp(cur->at, usual, USUAL_BYTES) == 0)) {
        head->minor = 1;
        head->status = 200;
        head->reason = span_of(cur->at + USUAL_REASON, 2);
        cur->at += USUAL_BYTES;
        return PARSE_DONE;
    }
    enum parse got = version_parse(head, cur, ' ');
    if (got == PARSE_DONE)
        got = single_space(cur);
    if (got != PARSE_DONE)
        return got;
    int status = 0;
    for (int i = 0; i < 3; i++, cur->at++) {
        if (cur->at == cur->end)
            return PARSE_MORE;
        if (!is_class(*cur->at, CLASS_DIGIT))
            return refuse(cur, ERR(HEAD_MALFORMED));
        status = status * 10 + (*cur->at - '0');
        if (status == 0 || status >= 600) // three digits without a leading 0
            return refuse(cur, ERR(HEAD_MALFORMED));
    }
    head->status = status;
    // The grammar wants a space even before an empty reason; many servers leave it out.
    if (cur->at < cur->end && *cur->at != '\r') {
        got = single_space(cur);
        if (got != PARSE_DONE)
            return got;
    }
    const char *start = cur->at;
    cur->at = scan_value(cur->at, cur->end);
    head->reason = span_of(start, (size_t)(cur->at - start));
    return line_end(cur);
}

static inline void field_note(struct http_head *head, enum http_field_id id, unsigned index)
{
    const uint64_t bit = UINT64_C(1) << id;
    if (unlikely(head->seen & bit)) {
        head->repeated |= bit;
    } else {
        head->seen |= bit;
        head->first[id] = (uint8_t)index;
    }
}

static inline bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

// All field lines and the empty line behind them.
hot static enum parse fields_parse(struct http_head *head, struct cursor *cur)
{
    _Static_assert(HTTP_FIELDS_MAX <= UINT8_MAX, "an index fits http_head.first");
    const char *at = cur->at, *const end = cur->end;
    struct http_field *field = head->fields;
    for (; at < end && *at != '\r'; field++) {
        if (unlikely(field == head->fields + HTTP_FIELDS_MAX))
            return refuse(cur, ERR(HEAD_TOO_LARGE));
        const char *name = at;
        at = scan_token(name, end);
        if (unlikely(at == end))
            return PARSE_MORE;
        if (unlikely(*at != ':' || at == name))
            return refuse(cur, ERR(HEAD_MALFORMED)); // white space before the colon, too
        field->name = span_of(name, (size_t)(at - name));
        at++;
        // Nearly always one space and then something visible.
        at += at < end && *at == ' ';
        while (unlikely(at < end && (unsigned char)*at <= ' ' && is_blank(*at)))
            at++;
        const char *value = at;
        at = scan_value(at, end);
        if (unlikely(end - at < 2 || at[0] != '\r' || at[1] != '\n')) {
            cur->at = at;
            return line_end(cur); // not PARSE_DONE
        }
        const char *value_end = at;
        while (unlikely(value_end > value && (unsigned char)value_end[-1] <= ' '))
            value_end--; // among the bytes of a value these are the blanks
        field->value = span_of(value, (size_t)(value_end - value));
        field->id = http1_token_id(field->name);
        field->is_hop = HOP >> field->id & 1;
        if (field->id != HF_OTHER)
            field_note(head, field->id, (unsigned)(field - head->fields));
        at += 2;
    }
    head->field_count = (uint16_t)(field - head->fields);
    cur->at = at;
    return line_end(cur);
}

static void mark_hop(struct http_head *head, struct span name)
{
    for (unsigned i = 0; i < head->field_count; i++)
        if (span_eq_nocase(head->fields[i].name, name))
            head->fields[i].is_hop = true;
}

struct connection_words {
    unsigned names;
    bool close, keep_alive;
};

static struct err connection_read(struct http_head *head, struct span list,
                                  struct connection_words *words)
{
    if (likely(span_eq(list, SPAN("keep-alive")))) {
        words->keep_alive = true; // what most clients send
        return OK;
    }
    struct span member;
    while (http_list_next(&list, &member)) {
        if (!http_token_is_valid(member))
            return ERR(HEAD_MALFORMED);
        if (++words->names > HTTP_CONNECTION_NAMES_MAX)
            return ERR(HEAD_TOO_LARGE);
        if (token_is(member, SPAN("close")))
            words->close = true;
        else if (token_is(member, SPAN("keep-alive")))
            words->keep_alive = true;
        else
            mark_hop(head, member);
    }
    return OK;
}

static struct err connection_judge(struct http_head *head)
{
    struct connection_words words = { 0 };
    const struct http_field *field = http_field_find(head, HF_CONNECTION);
    for (; field != NULL; field = http_field_next(head, field))
        TRY(connection_read(head, field->value, &words));
    head->keep_alive = !words.close && (head->minor == 1 || words.keep_alive);
    head->upgrade = head->seen & MASK(UPGRADE);
    return OK;
}

static struct err repeats_judge(const struct http_head *head)
{
    if (likely((head->repeated & (ONCE | IDENTICAL)) == 0))
        return OK;
    if (head->repeated & (MASK(CONTENT_LENGTH) | MASK(TRANSFER_ENCODING)) &&
        GUARD(HTTP_FRAMING_ONCE))
        return ERR(FRAMING_AMBIGUOUS);
    if (head->repeated & MASK(HOST) && GUARD(HTTP_HOST_ONCE))
        return ERR(HOST_INVALID);
    if (head->repeated & MASK(CONTENT_TYPE))
        return ERR(HEAD_MALFORMED);
    for (unsigned i = 0; i < head->field_count; i++) {
        const struct http_field *field = &head->fields[i];
        if ((head->repeated & IDENTICAL) >> field->id & 1 &&
            !span_eq(field->value, http_field_find(head, field->id)->value) &&
            GUARD(HTTP_KEYS_AGREE))
            return ERR(KEY_AMBIGUOUS);
    }
    return OK;
}

// A list that ends in "chunked" has a known end, only its other codings are not served here. Any
// other text leaves the end of the body to the reader's imagination.
static struct err coding_judge(struct span value)
{
    if (span_eq_nocase(value, SPAN("chunked")))
        return OK;
    struct span member = SPAN_NONE;
    unsigned members = 0, chunked = 0;
    for (; http_list_next(&value, &member); members++)
        chunked += span_eq_nocase(member, SPAN("chunked"));
    const bool ends_chunked = members > 1 && span_eq_nocase(member, SPAN("chunked"));
    return ends_chunked && chunked == 1 ? ERR(FRAMING_UNSUPPORTED) : ERR(FRAMING_AMBIGUOUS);
}

// Digits only, and so few of them that nothing can overflow.
static bool length_parse(struct span text, uint64_t *out)
{
    if (text.len == 0 || (text.len > HTTP_LENGTH_DIGITS_MAX && GUARD(HTTP_LENGTH_DIGITS)))
        return false;
    uint64_t value = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (!is_class(text.ptr[i], CLASS_DIGIT))
            return false;
        value = value * 10 + (uint64_t)(text.ptr[i] - '0');
    }
    *out = value;
    return true;
}

static struct err framing_judge(struct http_head *head)
{
    const struct http_field *length = http_field_find(head, HF_CONTENT_LENGTH);
    const struct http_field *coding = http_field_find(head, HF_TRANSFER_ENCODING);
    if (coding != NULL) {
        if ((length != NULL || head->minor == 0) && GUARD(HTTP_ONE_FRAMING))
            return ERR(FRAMING_AMBIGUOUS);
        if (GUARD(HTTP_CODING))
            TRY(coding_judge(coding->value));
        head->framing = HTTP_CHUNKED;
    } else if (length != NULL) {
        if (!length_parse(length->value, &head->content_length))
            return ERR(FRAMING_AMBIGUOUS);
        head->framing = HTTP_LENGTH;
    }
    return OK;
}

static struct err host_judge(const struct http_head *head, struct span authority)
{
    const struct http_field *host = http_field_find(head, HF_HOST);
    if (host == NULL)
        return head->minor == 0 ? OK : ERR(HOST_INVALID);
    if (!url_authority_is_valid(host->value) && GUARD(HTTP_HOST_VALID))
        return ERR(HOST_INVALID);
    if (authority.ptr != NULL && !span_eq_nocase(authority, host->value) && GUARD(HTTP_HOST_AGREES))
        return ERR(HOST_INVALID);
    return OK;
}

// Reduces the target to origin form or "*"; *authority is that of the absolute form, if it is one.
static struct err target_judge(struct http_head *head, struct span *authority)
{
    *authority = SPAN_NONE;
    struct span target = head->target;
    if (span_eq(head->method_text, SPAN("CONNECT")))
        return ERR(TARGET_MALFORMED);
    if (likely(target.ptr[0] == '/'))
        return OK;
    if (span_eq(target, SPAN("*")))
        return head->method == HTTP_OPTIONS ? OK : ERR(TARGET_MALFORMED);
    const size_t colon = span_find(target, ':');
    const struct span scheme = span_upto(target, colon);
    if (!span_eq_nocase(scheme, SPAN("http")) && !span_eq_nocase(scheme, SPAN("https")))
        return ERR(TARGET_MALFORMED);
    target = span_from(target, colon);
    if (!span_starts(target, SPAN("://")))
        return ERR(TARGET_MALFORMED);
    target = span_from(target, 3);
    const size_t slash = span_find(target, '/');
    // A query without a path cannot be cut out as origin form; its "?" is no byte of an authority.
    if (!url_authority_is_valid(span_upto(target, slash)))
        return ERR(TARGET_MALFORMED);
    *authority = span_upto(target, slash);
    if (slash < target.len)
        head->target = span_from(target, slash);
    else
        head->target = head->method == HTTP_OPTIONS ? SPAN("*") : SPAN("/");
    return OK;
}

static struct err expect_judge(struct http_head *head)
{
    const struct http_field *first = http_field_find(head, HF_EXPECT);
    for (const struct http_field *at = first; at != NULL; at = http_field_next(head, at))
        if (!span_eq_nocase(at->value, SPAN("100-continue")))
            return ERR(EXPECT_UNSUPPORTED);
    const bool has_body = head->framing == HTTP_CHUNKED || head->content_length > 0;
    head->expect_continue = first != NULL && head->minor == 1 && has_body;
    return OK;
}

static struct err request_judge(struct http_head *head)
{
    struct span authority;
    TRY(repeats_judge(head));
    TRY(target_judge(head, &authority));
    TRY(host_judge(head, authority));
    TRY(framing_judge(head));
    TRY(connection_judge(head));
    return expect_judge(head);
}

static struct err response_judge(struct http_head *head, enum http_method method)
{
    if (head->repeated & (MASK(CONTENT_LENGTH) | MASK(TRANSFER_ENCODING)) &&
        GUARD(HTTP_ANSWER_FRAMING_ONCE))
        return ERR(FRAMING_AMBIGUOUS);
    TRY(framing_judge(head));
    TRY(connection_judge(head));
    const bool never_has_body = head->status < 200 || head->status == 204;
    if (never_has_body || head->status == 304 || method == HTTP_HEAD) {
        // A server that announces a body where none can be may well send one.
        if (never_has_body && (head->framing == HTTP_CHUNKED || head->content_length > 0) &&
            GUARD(HTTP_ANSWER_BARREN))
            head->keep_alive = false;
        head->framing = HTTP_NO_BODY;
        head->content_length = 0;
    } else if (head->framing == HTTP_NO_BODY) {
        head->framing = HTTP_UNTIL_CLOSE;
        head->keep_alive = false;
    }
    return OK;
}

// Everything but the fields, which `field_count` tells.
static void head_reset(struct http_head *head)
{
    memset(head, 0, offsetof(struct http_head, first));
}

// Ends a try: names the limit that an incomplete head has reached.
static enum parse head_more(const struct cursor *cur, struct span in, size_t head_max)
{
    return in.len >= head_max && GUARD(HTTP_HEAD_BYTES) ? refuse(cur, ERR(HEAD_TOO_LARGE))
                                                        : PARSE_MORE;
}

static enum parse empty_lines(struct cursor *cur)
{
    for (unsigned lines = 0; cur->at < cur->end && *cur->at == '\r'; lines++) {
        if (lines == HTTP_EMPTY_LINES_MAX && GUARD(HTTP_EMPTY_LINES))
            return refuse(cur, ERR(HEAD_MALFORMED));
        const enum parse got = line_end(cur);
        if (got != PARSE_DONE)
            return got;
    }
    return cur->at < cur->end ? PARSE_DONE : PARSE_MORE;
}

hot enum parse http_request_parse(struct http_head *head, struct span in, size_t head_max,
                                  size_t *used, struct err *err)
{
    if (in.len == 0)
        return PARSE_MORE;
    head_reset(head);
    struct cursor cur = { in.ptr, in.ptr + min_size(in.len, head_max), err, false };
    enum parse got = empty_lines(&cur);
    if (got == PARSE_DONE)
        got = request_line(head, &cur);
    if (got == PARSE_DONE)
        got = fields_parse(head, &cur);
    if (got != PARSE_DONE)
        return got == PARSE_MORE ? head_more(&cur, in, head_max) : got;
    const struct err judged = request_judge(head);
    if (failed(judged))
        return refuse(&cur, judged);
    *used = (size_t)(cur.at - in.ptr);
    return PARSE_DONE;
}

hot enum parse http_response_parse(struct http_head *head, struct span in, size_t head_max,
                                   enum http_method method, size_t *used, struct err *err)
{
    if (in.len == 0)
        return PARSE_MORE;
    head_reset(head);
    struct cursor cur = { in.ptr, in.ptr + min_size(in.len, head_max), err, true };
    enum parse got = status_line(head, &cur);
    if (got == PARSE_DONE)
        got = fields_parse(head, &cur);
    if (got != PARSE_DONE)
        return got == PARSE_MORE ? head_more(&cur, in, head_max) : got;
    const struct err judged = response_judge(head, method);
    if (failed(judged))
        return refuse(&cur, judged);
    *used = (size_t)(cur.at - in.ptr);
    return PARSE_DONE;
}

bool http_scan_again(struct http_scan *scan, struct span in, size_t head_max)
{
    assert(scan->scanned <= in.len);
    bool ended = false;
    while (scan->scanned < in.len && !ended) {
        const size_t at = scan->scanned + span_find(span_from(in, scan->scanned), '\n');
        if (at == in.len) {
            scan->scanned = at;
            break;
        }
        // A bare LF ends no line, but whoever sends one shall hear of it.
        const bool after_cr = at >= 1 && in.ptr[at - 1] == '\r';
        const size_t line = after_cr ? at - 1 : at;
        ended = line == 0 || in.ptr[line - 1] == '\n';
        scan->scanned = at + 1;
    }
    const bool doubled = in.len > 0 && in.len >= 2 * scan->tried;
    if (!ended && !doubled && in.len < head_max)
        return false;
    scan->tried = in.len;
    return true;
}

#include "answer.h"

#include <stdlib.h>
#include <string.h>

void answer_reset(struct answer *answer)
{
    answer->state = ANSWER_HEAD;
    answer->status = 0;
    answer->closes = false;
    answer->left = 0;
    answer->line_len = 0;
    answer->ts_at = 0;
    answer->ts = 0;
}

// Looks for `ts=<digits>` and reports the number when a byte that is no digit ends it.
static void answer_scan(struct answer *answer, const char *from, size_t len, answer_ts_fn *on_ts,
                        void *arg)
{
    static const char mark[] = "ts=";
    for (size_t i = 0; i < len; i++) {
        char byte = from[i];
        if (answer->ts_at == 0) {
            const char *at = memchr(from + i, mark[0], len - i);
            if (at == NULL)
                return;
            i = (size_t)(at - from);
            answer->ts_at = 1;
        } else if (answer->ts_at < sizeof(mark) - 1) {
            answer->ts_at = byte == mark[answer->ts_at] ? answer->ts_at + 1 : byte == mark[0];
            answer->ts = 0;
        } else if (byte >= '0' && byte <= '9') {
            answer->ts = answer->ts * 10 + (uint64_t)(byte - '0');
        } else {
            answer->ts_at = 0;
            if (answer->ts != 0)
                on_ts(arg, answer->ts);
        }
    }
}

static enum answer_state answer_head(struct answer *answer)
{
    answer->line[answer->line_len] = '\0';
    if (strncmp(answer->line, "HTTP/1.1 ", 9) != 0)
        return ANSWER_BAD;
    answer->status = atoi(answer->line + 9);
    answer->closes = strcasestr(answer->line, "\r\nconnection: close") != NULL;
    answer->line_len = 0;
    if (strcasestr(answer->line, "\r\ntransfer-encoding: chunked") != NULL)
        return ANSWER_CHUNK_SIZE;
    const char *length = strcasestr(answer->line, "\r\ncontent-length:");
    if (length == NULL)
        return ANSWER_BAD;
    answer->left = strtoull(length + 17, NULL, 10);
    return answer->left > 0 ? ANSWER_BODY : ANSWER_DONE;
}

// Gathers bytes up to and with `end`; true when it is there.
static bool answer_line(struct answer *answer, const char *from, size_t len, const char *end,
                        size_t *took)
{
    size_t end_len = strlen(end);
    for (size_t i = 0; i < len; i++) {
        if (answer->line_len == ANSWER_LINE_MAX - 1) {
            answer->state = ANSWER_BAD;
            return false;
        }
        answer->line[answer->line_len++] = from[i];
        if (answer->line_len >= end_len &&
            memcmp(answer->line + answer->line_len - end_len, end, end_len) == 0) {
            *took = i + 1;
            return true;
        }
    }
    *took = len;
    return false;
}

static size_t answer_lines(struct answer *answer, const char *from, size_t len)
{
    size_t took = len;
    if (!answer_line(answer, from, len, answer->state == ANSWER_HEAD ? "\r\n\r\n" : "\r\n", &took))
        return took;
    if (answer->state == ANSWER_HEAD) {
        answer->state = answer_head(answer);
    } else if (answer->state == ANSWER_CHUNK_SIZE) {
        answer->line[answer->line_len] = '\0';
        answer->left = strtoull(answer->line, NULL, 16);
        answer->state = answer->left > 0 ? ANSWER_CHUNK : ANSWER_TRAILER;
    } else if (answer->state == ANSWER_CHUNK_END) {
        answer->state = answer->line_len == 2 ? ANSWER_CHUNK_SIZE : ANSWER_BAD;
    } else if (answer->line_len == 2) { // the empty line after the last trailer
        answer->state = ANSWER_DONE;
    }
    answer->line_len = 0;
    return took;
}

size_t answer_feed(struct answer *answer, const char *from, size_t len, answer_ts_fn *on_ts,
                   void *arg)
{
    size_t used = 0;
    while (used < len && answer->state != ANSWER_DONE && answer->state != ANSWER_BAD) {
        if (answer->state != ANSWER_BODY && answer->state != ANSWER_CHUNK) {
            used += answer_lines(answer, from + used, len - used);
            continue;
        }
        size_t part = len - used < answer->left ? len - used : (size_t)answer->left;
        if (on_ts != NULL)
            answer_scan(answer, from + used, part, on_ts, arg);
        used += part;
        answer->left -= part;
        if (answer->left == 0)
            answer->state = answer->state == ANSWER_BODY ? ANSWER_DONE : ANSWER_CHUNK_END;
    }
    return used;
}

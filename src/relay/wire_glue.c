#include "wire_glue.h"

#include "penstock/base/check.h"

static bool has(struct span text, const char *what)
{
    return memmem(text.ptr, text.len, what, strlen(what)) != NULL;
}

enum verdict glue_event(struct req *req, struct span event, struct err *err)
{
    (void)err;
    if (event.ptr[0] == ':')
        return VERDICT_EARLY;
    switch ((enum wire_family)req->family) {
    case FAMILY_OPENAI: return has(event, "data: [DONE]") ? VERDICT_TERMINAL : VERDICT_CONTENT;
    case FAMILY_RESPONSES:
        return has(event, "event: response.completed") ? VERDICT_TERMINAL : VERDICT_CONTENT;
    case FAMILY_ANTHROPIC:
        return has(event, "event: message_stop") ? VERDICT_TERMINAL : VERDICT_CONTENT;
    case FAMILY_GEMINI: return has(event, "\"finishReason\"") ? VERDICT_TERMINAL : VERDICT_CONTENT;
    }
    bug("a family is one of four");
}

void glue_whole(struct req *req, struct span bytes)
{
    (void)req, (void)bytes;
}

bool glue_complete(const struct req *req)
{
    return !req->pump.sse || req->pump.terminal;
}

bool glue_probe(struct req *req)
{
    // Anthropic and OpenAI clients skip comments; Gemini's skip empty lines only.
    return stream_send_copy(req->stream, req->family == FAMILY_GEMINI ? SPAN("\n") : SPAN(":\n\n"));
}

struct err refusal_note(struct req *req, const struct http_head *head)
{
    if (head->status < 400)
        return ERR(UPSTREAM_STATUS); // a redirect is never followed, least of all with credentials
    return pump_note_head(req, head);
}

struct err refusal_classify(struct req *req)
{
    int status = req->up_status;
    if (status == 401 || status == 403)
        return ERR(UPSTREAM_AUTH);
    if (status == 429 || status == 408 || status >= 500)
        return ERR(UPSTREAM_STATUS);
    return ERR(VENDOR_REFUSED);
}

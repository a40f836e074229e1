// Anthropic's Messages API. Clients and operators write its base URL with and without "/v1".
#include "penstock/base/check.h"
#include "penstock/provider/provider.h"

static const struct span version_field = { "anthropic-version", 17 };

static void target(const struct provider_call *call, struct put *out)
{
    struct span path = call->path, version = SPAN("/v1");
    bool has_version =
        path.len >= version.len && span_eq(span_from(path, path.len - version.len), version);
    put_span(out, path);
    if (!has_version)
        put_span(out, version);
    switch (call->op) {
    case OP_MESSAGES: put_span(out, SPAN("/messages")); break;
    case OP_COUNT_TOKENS: put_span(out, SPAN("/messages/count_tokens")); break;
    case OP_MODELS: put_span(out, SPAN("/models")); break;
    case OP_NONE:
    case OP_CHAT:
    case OP_COMPLETIONS:
    case OP_EMBEDDINGS:
    case OP_RESPONSES:
    case OP_RESPONSES_COMPACT:
    case OP_GEMINI_GENERATE:
    case OP_GEMINI_STREAM:
    case OP_GEMINI_COUNT:
    case OP_GEMINI_EMBED:
    case OP_GEMINI_EMBED_BATCH:
    case OP_MODEL:
    case OP_RESPONSE_GET:
    case OP_RESPONSE_CANCEL:
    case OP_RESPONSES_COUNT:
    case OP_COUNT: bug("the plan sends an account only operations of its formats");
    }
    provider_put_query(out, call->query);
}

static void fields(const struct snap_account *account, struct span client_fields, struct put *out)
{
    if (provider_has_field(client_fields, version_field))
        return;
    struct span version = account->anthropic_version;
    put_span(out, version_field);
    put_span(out, SPAN(": "));
    put_span(out, version.len > 0 ? version : SPAN("2023-06-01"));
    put_span(out, SPAN("\r\n"));
}

const struct provider provider_anthropic = { .target = target, .fields = fields };

// OpenAI and the hosts that speak its API. A base URL without a path means the usual "/v1"; one
// with a path is taken as it is, because compatible hosts put their version elsewhere.
#include "penstock/base/check.h"
#include "penstock/provider/provider.h"

static struct span op_path(enum wire_op op)
{
    switch (op) {
    case OP_CHAT: return SPAN("/chat/completions");
    case OP_COMPLETIONS: return SPAN("/completions");
    case OP_EMBEDDINGS: return SPAN("/embeddings");
    case OP_RESPONSES: return SPAN("/responses");
    case OP_RESPONSES_COMPACT: return SPAN("/responses/compact");
    case OP_RESPONSES_COUNT: return SPAN("/responses/input_tokens");
    case OP_MODELS: return SPAN("/models");
    case OP_NONE:
    case OP_MESSAGES:
    case OP_COUNT_TOKENS:
    case OP_GEMINI_GENERATE:
    case OP_GEMINI_STREAM:
    case OP_GEMINI_COUNT:
    case OP_GEMINI_EMBED:
    case OP_GEMINI_EMBED_BATCH:
    case OP_MODEL:
    case OP_RESPONSE_GET:
    case OP_RESPONSE_CANCEL:
    case OP_COUNT: break;
    }
    bug("the plan sends an account only operations of its formats");
}

static void target(const struct provider_call *call, struct put *out)
{
    put_span(out, call->path.len > 0 ? call->path : SPAN("/v1"));
    put_span(out, op_path(call->op));
    provider_put_query(out, call->query);
}

static void fields(const struct snap_account *account, struct span client_fields, struct put *out)
{
    (void)account, (void)client_fields, (void)out; // the credential is all it wants
}

const struct provider provider_openai = { .target = target, .fields = fields };

// The Gemini API: the model and the method are in the path, the version is the client's own.
#include "penstock/base/check.h"
#include "penstock/provider/provider.h"

static struct span method_of(enum wire_op op)
{
    switch (op) {
    case OP_GEMINI_GENERATE: return SPAN(":generateContent");
    case OP_GEMINI_STREAM: return SPAN(":streamGenerateContent");
    case OP_GEMINI_COUNT: return SPAN(":countTokens");
    case OP_GEMINI_EMBED: return SPAN(":embedContent");
    case OP_GEMINI_EMBED_BATCH: return SPAN(":batchEmbedContents");
    case OP_NONE:
    case OP_CHAT:
    case OP_COMPLETIONS:
    case OP_EMBEDDINGS:
    case OP_RESPONSES:
    case OP_RESPONSES_COMPACT:
    case OP_MESSAGES:
    case OP_COUNT_TOKENS:
    case OP_MODELS:
    case OP_MODEL:
    case OP_RESPONSE_GET:
    case OP_RESPONSE_CANCEL:
    case OP_RESPONSES_COUNT:
    case OP_COUNT: break;
    }
    bug("the plan sends an account only operations of its formats");
}

static void target(const struct provider_call *call, struct put *out)
{
    put_span(out, call->path);
    put_span(out, SPAN("/"));
    put_span(out, call->version.len > 0 ? call->version : SPAN("v1beta"));
    if (call->op == OP_MODELS) {
        put_span(out, SPAN("/models"));
        return;
    }
    put_span(out, span_starts(call->model, SPAN("tunedModels/")) ? SPAN("/") : SPAN("/models/"));
    provider_put_encoded(out, call->model);
    put_span(out, method_of(call->op));
    provider_put_query(out, call->events ? SPAN("alt=sse") : call->query);
}

static void fields(const struct snap_account *account, struct span client_fields, struct put *out)
{
    (void)account, (void)client_fields, (void)out; // the credential is all it wants
}

const struct provider provider_gemini = { .target = target, .fields = fields };

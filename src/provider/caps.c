// What is known of models by their names. Vendors add models faster than anybody releases
// gateways, so a name that no row knows counts as the vendor's newest kind, and rows are for those
// that can less, or other things.
#include "penstock/provider/caps.h"

#include "penstock/base/check.h"
#include "penstock/convert/prompt.h"

#define EFFORTS_CLASSIC (BIT(EFFORT_LOW) | BIT(EFFORT_MEDIUM) | BIT(EFFORT_HIGH))

// Rows of one vendor; the first whose beginning a name has is the one that counts. A row's caps are
// taken as they are, so that each says all that is true of its models.
struct row {
    struct span begin;
    struct caps caps;
};

static const struct row claude[] = {
    { SPAN("claude-2"), { .reasons = REASONS_NOT, .prefill = true, .output_max = 4096 } },
    { SPAN("claude-3-7"), { .reasons = REASONS_BUDGET, .prefill = true, .output_max = 64000 } },
    { SPAN("claude-3-5"), { .reasons = REASONS_NOT, .prefill = true, .output_max = 8192 } },
    { SPAN("claude-3"), { .reasons = REASONS_NOT, .prefill = true, .output_max = 4096 } },
    { SPAN("claude-opus-4-5"),
      { .reasons = REASONS_BUDGET,
        .prefill = true,
        .one_sampling = true,
        .native_schema = true,
        .output_max = 64000 } },
    { SPAN("claude-opus-4-1"),
      { .reasons = REASONS_BUDGET,
        .prefill = true,
        .one_sampling = true,
        .native_schema = true,
        .output_max = 32000 } },
    { SPAN("claude-sonnet-4-5"),
      { .reasons = REASONS_BUDGET,
        .prefill = true,
        .one_sampling = true,
        .native_schema = true,
        .output_max = 64000 } },
    { SPAN("claude-haiku-4-5"),
      { .reasons = REASONS_BUDGET,
        .prefill = true,
        .one_sampling = true,
        .native_schema = true,
        .output_max = 64000 } },
    { SPAN("claude-opus-4-6"),
      { .reasons = REASONS_ADAPTIVE,
        .one_sampling = true,
        .native_schema = true,
        .output_max = 128000 } },
    { SPAN("claude-sonnet-4-6"),
      { .reasons = REASONS_ADAPTIVE,
        .one_sampling = true,
        .native_schema = true,
        .output_max = 64000 } },
    // Of the year 4 by their dates: "claude-opus-4-20250514".
    { SPAN("claude-opus-4-2"),
      { .reasons = REASONS_BUDGET, .prefill = true, .output_max = 32000 } },
    { SPAN("claude-opus-4-0"),
      { .reasons = REASONS_BUDGET, .prefill = true, .output_max = 32000 } },
    { SPAN("claude-sonnet-4-2"),
      { .reasons = REASONS_BUDGET, .prefill = true, .output_max = 64000 } },
    { SPAN("claude-sonnet-4-0"),
      { .reasons = REASONS_BUDGET, .prefill = true, .output_max = 64000 } },
    { SPAN("claude-fable"),
      { .reasons = REASONS_ADAPTIVE,
        .no_sampling = true,
        .native_schema = true,
        .always_thinks = true,
        .no_forced_tool = true } },
    { SPAN("claude-"),
      { .reasons = REASONS_ADAPTIVE, .no_sampling = true, .native_schema = true } },
    // Other vendors that imitate the API.
    { SPAN(""), { .reasons = REASONS_BUDGET, .prefill = true, .native_schema = true } },
};

static const struct row gpt[] = {
    { SPAN("gpt-3.5"), { .reasons = REASONS_NOT } },
    { SPAN("gpt-4"), { .reasons = REASONS_NOT } },
    { SPAN("chatgpt-4o"), { .reasons = REASONS_NOT } },
    { SPAN("o1"), { .developer_role = true, .no_sampling = true, .efforts = EFFORTS_CLASSIC } },
    { SPAN("o3"), { .developer_role = true, .no_sampling = true, .efforts = EFFORTS_CLASSIC } },
    { SPAN("o4"), { .developer_role = true, .no_sampling = true, .efforts = EFFORTS_CLASSIC } },
    { SPAN("gpt-5-"),
      { .developer_role = true,
        .no_sampling = true,
        .efforts = EFFORTS_CLASSIC | BIT(EFFORT_MINIMAL) } },
    { SPAN("gpt-5.1"),
      { .developer_role = true,
        .no_sampling = true,
        .efforts = EFFORTS_CLASSIC | BIT(EFFORT_NONE) } },
    { SPAN("gpt-5"), { .developer_role = true, .no_sampling = true, .phases = true } },
    { SPAN(""), { .reasons = REASONS_EFFORT } },
};

static const struct row gemini[] = {
    { SPAN("gemini-1"), { .reasons = REASONS_NOT } },
    { SPAN("gemini-2.0"), { .reasons = REASONS_NOT } },
    { SPAN("gemini-2.5-pro"),
      { .reasons = REASONS_BUDGET, .always_thinks = true, .json_schema = true } },
    { SPAN("gemini-2.5"), { .reasons = REASONS_BUDGET, .json_schema = true } },
    { SPAN("gemini-2"), { .reasons = REASONS_NOT } },
    { SPAN("gemma"), { .reasons = REASONS_NOT, .no_system = true } },
    { SPAN(""),
      { .reasons = REASONS_LEVEL, .json_schema = true, .call_ids = true, .signs_calls = true } },
};

// Servers that only speak as OpenAI does. DeepSeek's and Moonshot's models that think want what
// they thought back (C-063); of others that is not known, and most refuse it.
static const struct row compatible[] = {
    { SPAN("deepseek-v4"), { .needs_reasoning = true } },
    { SPAN("kimi-"), { .needs_reasoning = true } },
    { SPAN(""), { .reasons = REASONS_EFFORT } },
};

static struct caps find(const struct row *rows, size_t count, struct span model)
{
    for (size_t i = 0; i < count; i++)
        if (span_starts(model, rows[i].begin))
            return rows[i].caps;
    bug("the last row knows every name");
}

// The vendor's own name, where a path or a maker stands before it ("anthropic/claude-3").
static struct span bare(struct span model)
{
    for (size_t at = model.len; at > 0; at--)
        if (model.ptr[at - 1] == '/')
            return span_from(model, at);
    return model;
}

struct caps provider_caps(const struct snap_account *account, enum format format, struct span model)
{
    struct caps caps = { .official = false };
    const bool official = account->type != ACCOUNT_OPENAI_COMPATIBLE;
    model = bare(model);
    switch (format) {
    case FORMAT_OPENAI:
    case FORMAT_RESPONSES:
        caps = official ? find(gpt, ARRAY_LEN(gpt), model)
                        : find(compatible, ARRAY_LEN(compatible), model);
        caps.old_cap = !official; // C-108
        caps.text_parts = caps.custom_tools = official;
        break;
    case FORMAT_ANTHROPIC: caps = find(claude, ARRAY_LEN(claude), model); break;
    case FORMAT_GEMINI: caps = find(gemini, ARRAY_LEN(gemini), model); break;
    case FORMAT_COUNT: bug("a format is one of four");
    }
    caps.official = official;
    caps.dialect = true;
    return caps;
}

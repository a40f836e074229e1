// What is known of models by their names. Vendors add models faster than anybody releases
// gateways, so a name that no row knows counts as the vendor's newest kind: it is asked for nothing
// that the newest models refuse. Rows are for those that can less, or other things.
#include "penstock/provider/caps.h"

#include "penstock/base/check.h"
#include "penstock/convert/prompt.h"

#define LOW_TO_HIGH (BIT(EFFORT_LOW) | BIT(EFFORT_MEDIUM) | BIT(EFFORT_HIGH))
#define LOW_TO_XHIGH (LOW_TO_HIGH | BIT(EFFORT_XHIGH))
#define LOW_TO_MAX (LOW_TO_XHIGH | BIT(EFFORT_MAX))
#define NONE BIT(EFFORT_NONE)
#define MINIMAL BIT(EFFORT_MINIMAL)

// Rows of one vendor; the first whose beginning a name has is the one that counts. A row's caps are
// taken as they are, so that each says all that is true of its models.
struct row {
    struct span begin;
    struct caps caps;
};

// Anthropic. Output limits and kinds of thinking: the vendor's models overview; what 4.6, 4.7, 5,
// 5.5 and Fable 5.1 no longer take (prefill; budgets and sampling; silence about thinking; forced
// tools): their "what's new" and migration pages; efforts: the effort page; schemas: the structured
// outputs page, which begins with 4.5.
#define CLAUDE_PLAIN(max)                                            \
    {                                                                \
        .reasons = REASONS_NOT, .prefill = true, .output_max = (max) \
    }
#define CLAUDE_BUDGET(max, ...)                                                      \
    {                                                                                \
        .reasons = REASONS_BUDGET, .prefill = true, .output_max = (max), __VA_ARGS__ \
    }
#define CLAUDE_ADAPTIVE(max, ...)                                                            \
    {                                                                                        \
        .reasons = REASONS_ADAPTIVE, .native_schema = true, .output_max = (max), __VA_ARGS__ \
    }
#define CLAUDE_45(max) CLAUDE_BUDGET(max, .one_sampling = true, .native_schema = true)
#define CLAUDE_46(max) \
    CLAUDE_ADAPTIVE(max, .one_sampling = true, .efforts = NONE | LOW_TO_HIGH | BIT(EFFORT_MAX))
#define CLAUDE_47(...) \
    CLAUDE_ADAPTIVE(128000, .no_sampling = true, .efforts = NONE | LOW_TO_MAX, __VA_ARGS__)
#define CLAUDE_ALWAYS(...)                                                                       \
    CLAUDE_ADAPTIVE(128000, .no_sampling = true, .reasons_unasked = true, .always_thinks = true, \
                    .efforts = LOW_TO_MAX, __VA_ARGS__)

static const struct row claude[] = {
    { SPAN("claude-2"), CLAUDE_PLAIN(4096) },
    { SPAN("claude-3-7"), CLAUDE_BUDGET(64000, .one_sampling = false) },
    { SPAN("claude-3-5"), CLAUDE_PLAIN(8192) },
    { SPAN("claude-3"), CLAUDE_PLAIN(4096) },
    { SPAN("claude-opus-4-1"), CLAUDE_BUDGET(32000, .one_sampling = true) },
    { SPAN("claude-opus-4-5"), CLAUDE_45(64000) },
    { SPAN("claude-sonnet-4-5"), CLAUDE_45(64000) },
    { SPAN("claude-haiku-4-5"), CLAUDE_45(64000) },
    { SPAN("claude-opus-4-6"), CLAUDE_46(128000) },
    { SPAN("claude-sonnet-4-6"), CLAUDE_46(64000) },
    { SPAN("claude-opus-4-7"), CLAUDE_47(.prefill = false) },
    { SPAN("claude-opus-4-8"), CLAUDE_47(.prefill = false) },
    // Of the year 4 by their dates: "claude-opus-4-20250514".
    { SPAN("claude-opus-4-2"), CLAUDE_BUDGET(32000, .one_sampling = false) },
    { SPAN("claude-opus-4-0"), CLAUDE_BUDGET(32000, .one_sampling = false) },
    { SPAN("claude-sonnet-4-2"), CLAUDE_BUDGET(64000, .one_sampling = false) },
    { SPAN("claude-sonnet-4-0"), CLAUDE_BUDGET(64000, .one_sampling = false) },
    { SPAN("claude-opus-5-"), CLAUDE_ALWAYS(.no_forced_tool = true) },
    { SPAN("claude-opus-5"), CLAUDE_47(.reasons_unasked = true) },
    { SPAN("claude-sonnet-5"), CLAUDE_47(.reasons_unasked = true) },
    { SPAN("claude-haiku-5"), CLAUDE_47(.reasons_unasked = true) },
    { SPAN("claude-fable-5-"), CLAUDE_ALWAYS(.no_forced_tool = true) },
    { SPAN("claude-fable-5"), CLAUDE_ALWAYS(.no_forced_tool = false) },
    { SPAN("claude-"), CLAUDE_ALWAYS(.no_forced_tool = true) },
    // Other vendors that imitate the API.
    { SPAN(""), { .reasons = REASONS_BUDGET, .prefill = true, .native_schema = true } },
};

// OpenAI. Efforts and what a model does when none is said: the vendor's reasoning guide and its
// refusals ("Supported values are ..."); which endpoints serve a model: its model page; tools on
// Chat: the refusal that names /v1/responses, which 5.4 gives beside an effort and later models
// also without one. Fine-tuned models are what they were made from.
#define GPT_THINKS(set, ...)                                                                   \
    {                                                                                          \
        .developer_role = true, .no_sampling = true, .no_stop = true, .reasons_unasked = true, \
        .efforts = (set), __VA_ARGS__                                                          \
    }
// Thinks only when asked, and takes temperature and its like until then.
#define GPT_ASKED(set, ...)                                                             \
    {                                                                                   \
        .developer_role = true, .no_sampling = true, .no_stop = true, .efforts = (set), \
        __VA_ARGS__                                                                     \
    }
#define RESPONSES_ONLY .chat = CHAT_NOT

static const struct row gpt[] = {
    { SPAN("gpt-3.5"), { .reasons = REASONS_NOT } },
    { SPAN("gpt-4"), { .reasons = REASONS_NOT } },
    { SPAN("chatgpt-4o"), { .reasons = REASONS_NOT } },
    { SPAN("gpt-audio"), { .reasons = REASONS_NOT } },
    { SPAN("o1-pro"), GPT_THINKS(LOW_TO_HIGH, RESPONSES_ONLY) },
    { SPAN("o3-pro"), GPT_THINKS(LOW_TO_HIGH, RESPONSES_ONLY) },
    { SPAN("o3-deep"), GPT_THINKS(LOW_TO_HIGH, RESPONSES_ONLY) },
    { SPAN("o4-mini-deep"), GPT_THINKS(LOW_TO_HIGH, RESPONSES_ONLY) },
    { SPAN("o1"), GPT_THINKS(LOW_TO_HIGH, .chat = CHAT_ALL) },
    { SPAN("o3"), GPT_THINKS(LOW_TO_HIGH, .chat = CHAT_ALL) },
    { SPAN("o4"), GPT_THINKS(LOW_TO_HIGH, .chat = CHAT_ALL) },
    { SPAN("codex"), GPT_THINKS(LOW_TO_HIGH, RESPONSES_ONLY) },
    { SPAN("gpt-5-chat"), { .reasons = REASONS_NOT } },
    { SPAN("gpt-5-pro"), GPT_THINKS(BIT(EFFORT_HIGH), RESPONSES_ONLY) },
    { SPAN("gpt-5-codex"), GPT_THINKS(LOW_TO_HIGH, RESPONSES_ONLY) },
    { SPAN("gpt-5.1-codex-max"), GPT_THINKS(LOW_TO_XHIGH, RESPONSES_ONLY) },
    { SPAN("gpt-5.1-codex"), GPT_THINKS(LOW_TO_HIGH, RESPONSES_ONLY) },
    { SPAN("gpt-5.1"), GPT_ASKED(NONE | LOW_TO_HIGH, .chat = CHAT_ALL) },
    { SPAN("gpt-5.2-codex"), GPT_THINKS(LOW_TO_XHIGH, RESPONSES_ONLY) },
    { SPAN("gpt-5.2-pro"),
      GPT_THINKS(BIT(EFFORT_MEDIUM) | BIT(EFFORT_HIGH) | BIT(EFFORT_XHIGH), RESPONSES_ONLY) },
    { SPAN("gpt-5.2"), GPT_ASKED(NONE | LOW_TO_XHIGH, .chat = CHAT_ALL) },
    { SPAN("gpt-5.3"), GPT_THINKS(LOW_TO_XHIGH, RESPONSES_ONLY, .phases = true) },
    { SPAN("gpt-5.4-pro"), GPT_THINKS(BIT(EFFORT_MEDIUM) | BIT(EFFORT_HIGH) | BIT(EFFORT_XHIGH),
                                      RESPONSES_ONLY, .phases = true) },
    { SPAN("gpt-5.4"), GPT_ASKED(NONE | LOW_TO_XHIGH, .chat = CHAT_BARE_TOOLS, .phases = true) },
    { SPAN("gpt-5.5-pro"), GPT_THINKS(BIT(EFFORT_MEDIUM) | BIT(EFFORT_HIGH) | BIT(EFFORT_XHIGH),
                                      RESPONSES_ONLY, .phases = true) },
    { SPAN("gpt-5.5"), GPT_THINKS(NONE | LOW_TO_XHIGH, .chat = CHAT_BARE_TOOLS, .phases = true) },
    { SPAN("gpt-5."), GPT_THINKS(NONE | LOW_TO_MAX, .chat = CHAT_BARE_TOOLS, .phases = true) },
    { SPAN("gpt-5"), GPT_THINKS(MINIMAL | LOW_TO_HIGH, .chat = CHAT_ALL) },
    // What comes next has no "minimal", and may know no "max".
    { SPAN("gpt-"), GPT_THINKS(NONE | LOW_TO_XHIGH, .chat = CHAT_BARE_TOOLS, .phases = true) },
    { SPAN(""), { .reasons = REASONS_EFFORT } },
};

// Google. Budgets and levels, and which of them a model knows: the thinking page of the Gemini API
// (2.5 takes budgets, 3 and later levels; "minimal" is the Flash models', "medium" came with 3.1
// Pro); signatures, and ids of calls: its function calling page.
#define GEMINI_3(set)                                                                         \
    {                                                                                         \
        .reasons = REASONS_LEVEL, .json_schema = true, .call_ids = true, .signs_calls = true, \
        .efforts = (set)                                                                      \
    }

static const struct row gemini[] = {
    { SPAN("gemini-1"), { .reasons = REASONS_NOT } },
    { SPAN("gemini-2.0"), { .reasons = REASONS_NOT } },
    { SPAN("gemini-2.5-flash-image"), { .reasons = REASONS_NOT, .json_schema = true } },
    { SPAN("gemini-2.5-pro"),
      { .reasons = REASONS_BUDGET, .always_thinks = true, .json_schema = true } },
    { SPAN("gemini-2.5"), { .reasons = REASONS_BUDGET, .json_schema = true } },
    { SPAN("gemini-2"), { .reasons = REASONS_NOT } },
    { SPAN("gemma"), { .reasons = REASONS_NOT, .no_system = true } },
    { SPAN("gemini-3-pro"), GEMINI_3(BIT(EFFORT_LOW) | BIT(EFFORT_HIGH)) },
    { SPAN("gemini-3-flash"), GEMINI_3(MINIMAL | LOW_TO_HIGH) },
    { SPAN("gemini-3.1-flash"), GEMINI_3(MINIMAL | LOW_TO_HIGH) },
    { SPAN("gemini-3.5-flash"), GEMINI_3(MINIMAL | LOW_TO_HIGH) },
    { SPAN("gemini-3.6-flash"), GEMINI_3(MINIMAL | LOW_TO_HIGH) },
    { SPAN(""), GEMINI_3(LOW_TO_HIGH) },
};

// Servers that only speak as OpenAI does. DeepSeek's and Moonshot's models that think want what
// they thought back (C-063); of others that is not known, and most refuse it.
static const struct row compatible[] = {
    { SPAN("deepseek-v4"), { .needs_reasoning = true } },
    { SPAN("kimi-"), { .needs_reasoning = true } },
    { SPAN(""), { .reasons = REASONS_EFFORT } },
};

// Some who resell a model write a dot where its maker has a dash ("claude-haiku-4.5").
static bool begins(struct span model, struct span begin)
{
    if (model.len < begin.len)
        return false;
    for (size_t i = 0; i < begin.len; i++)
        if (model.ptr[i] != begin.ptr[i] && !(model.ptr[i] == '.' && begin.ptr[i] == '-'))
            return false;
    return true;
}

static struct caps find(const struct row *rows, size_t count, struct span model)
{
    for (size_t i = 0; i < count; i++)
        if (begins(model, rows[i].begin))
            return rows[i].caps;
    bug("the last row knows every name");
}

// The vendor's own name, where a path or a maker stands before it ("anthropic/claude-3",
// "eu.anthropic.claude-3"), or the mark of a fine-tuned one ("ft:gpt-4o-mini:org::id").
static struct span bare(struct span model)
{
    const struct span maker = SPAN("anthropic.");
    if (span_starts(model, SPAN("ft:")))
        return span_from(model, 3);
    for (size_t at = 0; at < model.len; at++)
        if (span_starts(span_from(model, at), maker))
            return span_from(model, at + maker.len);
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

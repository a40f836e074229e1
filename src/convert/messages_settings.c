// Anthropic Messages, writing a request: its settings.
#include "messages_render.h"
#include "penstock/convert/ids.h"
#include "reasoning.h"

#include <stdlib.h>

enum { CAP_DEFAULT = 8192, BUDGET_MIN = 1024, USER_MAX = 256, PHONE_DIGITS_MIN = 6 };

// Whether the conversation stands in the middle of a loop of tools whose thoughts are not there:
// the vendor then refuses to think on.
static bool lacks_thought(const struct prompt *prompt)
{
    bool lacks = false;
    for (uint32_t turn = group_first(prompt); turn < prompt->turn_count;) {
        struct group group = group_at(prompt, turn);
        bool calls = false, thought = false, results = false, text = false;
        for (uint32_t i = 0; i < group.part_count; i++) {
            const struct part *part = &prompt->parts[group.part + i];
            calls |= part->kind == PART_CALL;
            thought |= (part->kind == PART_THINK || part->kind == PART_REDACTED) &&
                       part->signature.maker == MAKER_ANTHROPIC &&
                       !words_none(part->signature.text);
            results |= part->kind == PART_RESULT;
            text |= part->kind != PART_RESULT && !part->inner;
        }
        if (group.assistant)
            lacks = calls && !thought;
        else if (text || !results)
            lacks = false; // a new question: the loop is over
        turn += group.turn_count;
    }
    return lacks;
}

// How long the answer may be, and how the model is asked to think.
struct limits {
    uint64_t cap, budget; // budget 0: none is told
    enum effort effort;
    bool left; // how much is left to the model
    bool on;   // the client asked for it
};

// A budget leaves room for the answer (C-061); what the client limited is not raised for it.
static void fit_budget(struct writer *writer, struct limits *limits, bool said)
{
    const struct prompt *prompt = writer->prompt;
    const bool exact = prompt->reasoning.budget_set && prompt->reasoning.budget > 0;
    uint64_t budget = exact ? (uint64_t)prompt->reasoning.budget : effort_budget(limits->effort);
    budget = max_u64(budget, BUDGET_MIN);
    const uint64_t wanted = budget;
    if (!said && writer->caps->output_max == 0)
        limits->cap += budget;
    else if (budget + BUDGET_MIN > limits->cap)
        budget = limits->cap > 2 * BUDGET_MIN ? limits->cap - BUDGET_MIN : 0;
    writer->thinks = budget > 0;
    limits->budget = budget;
    if (!exact || budget != wanted)
        loss_adjust(writer->losses, "%s=%.*s>%llu", prompt->reasoning.path,
                    (int)min_size(prompt->reasoning.said.raw.len, 16),
                    prompt->reasoning.said.raw.ptr, (unsigned long long)budget);
}

static struct limits decide_limits(struct writer *writer)
{
    const struct prompt *prompt = writer->prompt;
    const struct caps *caps = writer->caps;
    const struct knob *max = render_knob(writer->render, KNOB_MAX_OUTPUT);
    struct limits limits = { .effort = effort_wanted(prompt, caps) };
    const bool said = json_u64(max->value, &limits.cap);
    if (!said)
        limits.cap = caps->output_max != 0 ? caps->output_max : CAP_DEFAULT; // C-106
    if (caps->output_max != 0 && limits.cap > caps->output_max) {
        loss_adjust(writer->losses, "%s=%llu>%llu", max->path, (unsigned long long)limits.cap,
                    (unsigned long long)caps->output_max);
        limits.cap = caps->output_max;
    }
    // What is left to the model has to be a number where it cannot be.
    limits.left = limits.effort == EFFORT_UNSAID && prompt->reasoning.adaptive;
    if (limits.left && caps->reasons != REASONS_ADAPTIVE)
        limits.effort = EFFORT_MEDIUM;
    limits.on = (limits.left || limits.effort != EFFORT_UNSAID) && limits.effort != EFFORT_NONE &&
                caps->reasons != REASONS_NOT;
    if (limits.on && caps->reasons == REASONS_ADAPTIVE) {
        writer->thinks = true;
    } else if (limits.on && lacks_thought(prompt)) {
        loss_adjust(writer->losses, "%s=disabled", prompt->reasoning.path); // C-068
        limits.effort = EFFORT_NONE;
    } else if (limits.on) {
        fit_budget(writer, &limits, said);
    }
    return limits;
}

static void put_thinking(struct writer *writer, const struct limits *limits)
{
    struct sink *out = writer->out;
    const bool unwanted = limits->on || writer->prompt->reasoning.effort == EFFORT_NONE;
    if (limits->budget > 0) {
        SINK_TEXT(out, ",\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":");
        sink_u64(out, limits->budget);
        SINK_TEXT(out, "}");
    } else if (writer->thinks) {
        SINK_TEXT(out, ",\"thinking\":{\"type\":\"adaptive\"}");
    } else if (limits->effort == EFFORT_NONE && unwanted && !writer->caps->always_thinks) {
        SINK_TEXT(out, ",\"thinking\":{\"type\":\"disabled\"}");
    }
}

static void put_output_config(struct writer *writer, const struct limits *limits)
{
    const struct prompt *prompt = writer->prompt;
    struct sink *out = writer->out;
    const bool schema = prompt->format.kind == ANSWER_SCHEMA && writer->caps->native_schema &&
                        prompt->format.schema.kind == JK_OBJECT;
    const bool effort = writer->thinks && limits->budget == 0 && !limits->left;
    if (!schema && !effort)
        return;
    SINK_TEXT(out, ",\"output_config\":{");
    if (effort) {
        const struct span word =
            effort_word(limits->effort < EFFORT_LOW ? EFFORT_LOW : limits->effort);
        SINK_TEXT(out, "\"effort\":\"");
        sink_put(out, word);
        render_tell_effort(writer->render, word);
        sink_put(out, schema ? SPAN("\",") : SPAN("\""));
    }
    if (schema) {
        SINK_TEXT(out, "\"format\":{\"type\":\"json_schema\",\"schema\":");
        sink_put(out, prompt->format.schema.text);
        SINK_TEXT(out, "}");
    }
    SINK_TEXT(out, "}");
}

static void put_sampling(struct writer *writer)
{
    const struct knob *heat = render_knob(writer->render, KNOB_TEMPERATURE);
    if (writer->caps->no_sampling || writer->thinks) { // C-062, C-111
        render_drop_knob(writer->render, KNOB_TEMPERATURE);
        render_drop_knob(writer->render, KNOB_TOP_P);
        render_drop_knob(writer->render, KNOB_TOP_K);
        return;
    }
    if (heat->value.kind == JK_NUMBER) {
        char text[32];
        size_t len = min_size(heat->value.text.len, sizeof(text) - 1);
        memcpy(text, heat->value.text.ptr, len);
        text[len] = '\0';
        if (strtod(text, NULL) > 1) { // C-109
            SINK_TEXT(writer->out, ",\"temperature\":1");
            loss_adjust(writer->losses, "%s=%s>1", heat->path, text);
        } else {
            render_put_knob(writer->render, writer->out, KNOB_TEMPERATURE, SPAN("temperature"));
        }
    }
    if (writer->caps->one_sampling && heat->value.kind == JK_NUMBER) // C-110
        render_drop_knob(writer->render, KNOB_TOP_P);
    else
        render_put_knob(writer->render, writer->out, KNOB_TOP_P, SPAN("top_p"));
    render_put_knob(writer->render, writer->out, KNOB_TOP_K, SPAN("top_k"));
}

static void put_stops(struct writer *writer)
{
    struct json_slice stop = render_knob(writer->render, KNOB_STOP)->value;
    if (stop.kind == JK_NONE)
        return;
    struct json_iter iter = json_elements_of(stop);
    struct json_slice text = stop;
    bool more = stop.kind == JK_STRING || json_element_next(&iter, &text), any = false;
    for (uint32_t at = 0; more; at++) {
        bool blank = words_blank(words_of(text)); // C-112
        if (blank && !words_none(words_of(text)))
            loss_drop(writer->losses, "%s[%u]", render_knob(writer->render, KNOB_STOP)->path, at);
        if (!blank) {
            sink_put(writer->out, any ? SPAN(",") : SPAN(",\"stop_sequences\":["));
            sink_put(writer->out, text.text);
            any = true;
        }
        more = stop.kind == JK_ARRAY && json_element_next(&iter, &text);
    }
    if (any)
        SINK_TEXT(writer->out, "]");
}

// True for what looks like an address or a number by which a person is reached.
static bool is_contact(struct span text)
{
    size_t digits = 0, others = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '@')
            return true;
        digits += text.ptr[i] >= '0' && text.ptr[i] <= '9';
        others += span_find(SPAN("0123456789+-()./ "), text.ptr[i]) == 17;
    }
    return others == 0 && digits >= PHONE_DIGITS_MIN;
}

// A person is nobody else's business: what is no mere name is told as a hash (C-114).
static void put_user(struct writer *writer)
{
    const struct json_slice user = render_knob(writer->render, KNOB_USER)->value;
    if (user.kind != JK_STRING) {
        render_drop_knob(writer->render, KNOB_USER);
        return;
    }
    SINK_TEXT(writer->out, ",\"metadata\":{\"user_id\":\"");
    if (words_points(words_of(user)) > USER_MAX || is_contact(json_string_raw(user)))
        id_put_hash(writer->out, words_of(user));
    else
        sink_string(writer->out, words_of(user));
    SINK_TEXT(writer->out, "\"}");
}

static void put_tier(struct writer *writer)
{
    const struct json_slice tier = render_knob(writer->render, KNOB_TIER)->value;
    if (json_string_is(tier, SPAN("default")) || json_string_is(tier, SPAN("standard_only")))
        SINK_TEXT(writer->out, ",\"service_tier\":\"standard_only\"");
    else if (json_string_is(tier, SPAN("auto")) || json_string_is(tier, SPAN("priority")))
        SINK_TEXT(writer->out, ",\"service_tier\":\"auto\"");
    else
        render_drop_knob(writer->render, KNOB_TIER);
}

static void lose_settings(struct writer *writer)
{
    const struct prompt *prompt = writer->prompt;
    render_lose_settings(writer->render, FAMILY_ANTHROPIC);
    if (prompt->format.kind == ANSWER_SCHEMA && !writer->caps->native_schema &&
        writer->answer_tool.len == 0)
        loss_refuse(writer->losses, "this model cannot be held to a schema", "%s",
                    prompt->format.path);
}

void messages_put_settings(struct writer *writer)
{
    const struct limits limits = decide_limits(writer);
    writer->recalls = writer->thinks || (writer->caps->reasons_unasked &&
                                         reasoning_is_on(writer->prompt, writer->caps));
    writer->answer_asked =
        writer->answer_tool.len > 0 && (writer->thinks || writer->caps->no_forced_tool);
    SINK_TEXT(writer->out, ",\"max_tokens\":");
    sink_u64(writer->out, limits.cap);
    put_thinking(writer, &limits);
    put_output_config(writer, &limits);
    if (writer->prompt->stream)
        SINK_TEXT(writer->out, ",\"stream\":true");
    put_sampling(writer);
    put_stops(writer);
    put_user(writer);
    put_tier(writer);
    lose_settings(writer);
}

#include "tools.h"

// A grammar, wherever the client's format has it.
static struct json_slice grammar_of(struct json_slice format)
{
    struct json_slice grammar = json_get(format, SPAN("grammar"));
    return grammar.kind == JK_OBJECT ? grammar : format;
}

// Free text goes in as one string, in the form that the tool asks for.
static void put_grammar(struct sink *out, struct json_slice format)
{
    struct json_slice grammar = grammar_of(format);
    struct words definition = words_of(json_get(grammar, SPAN("definition")));
    SINK_TEXT(out, "Pass the raw text in `input`.");
    if (words_none(definition))
        return;
    SINK_TEXT(out, " Grammar (");
    sink_string(out, words_of(json_get(grammar, SPAN("syntax"))));
    SINK_TEXT(out, "):\\n");
    sink_string(out, definition);
}

void tool_put_description(struct sink *out, const struct tool *tool, bool wrapped,
                          struct losses *losses)
{
    const struct span none = SPAN(""), gap = SPAN("\\n\\n");
    const bool told = !words_none(tool->description), examples = tool->examples.kind == JK_ARRAY;
    if (!told && !wrapped && !examples)
        return;
    SINK_TEXT(out, ",\"description\":\"");
    sink_string(out, tool->description);
    if (wrapped) {
        sink_put(out, told ? gap : none);
        put_grammar(out, tool->schema);
    }
    if (examples) {
        sink_put(out, told || wrapped ? gap : none);
        SINK_TEXT(out, "Examples of its input: ");
        sink_string(out, words_plain(tool->examples.text));
        loss_adjust(losses, "tools[%u].input_examples=description", tool->at);
    }
    SINK_TEXT(out, "\"");
}

void tool_put_format(struct sink *out, struct json_slice format, bool nested)
{
    struct json_slice grammar = grammar_of(format);
    struct words definition = words_of(json_get(grammar, SPAN("definition")));
    if (format.kind != JK_OBJECT)
        return;
    SINK_TEXT(out, ",\"format\":");
    if (words_none(definition)) {
        sink_put(out, format.text);
        return;
    }
    sink_put(out, nested ? SPAN("{\"type\":\"grammar\",\"grammar\":{\"syntax\":")
                         : SPAN("{\"type\":\"grammar\",\"syntax\":"));
    sink_quoted(out, words_of(json_get(grammar, SPAN("syntax"))));
    SINK_TEXT(out, ",\"definition\":");
    sink_quoted(out, definition);
    sink_put(out, nested ? SPAN("}}") : SPAN("}"));
}

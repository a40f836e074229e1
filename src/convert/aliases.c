#include "penstock/convert/aliases.h"

#include "penstock/base/text.h"
#include "penstock/convert/ids.h"
#include "penstock/convert/schema.h"

enum { SENT_MAX = 256 };

bool alias_seen_init(struct alias_seen *seen, const struct prompt *prompt, struct scratch *scratch)
{
    uint64_t slots = 8, calls = 0;
    for (uint32_t i = 0; i < prompt->part_count; i++)
        calls += prompt->parts[i].kind == PART_CALL;
    while (slots < 2 * calls)
        slots *= 2;
    *seen = (struct alias_seen){ .mask = slots - 1 };
    seen->hashes = scratch_take(scratch, slots * sizeof(*seen->hashes));
    if (seen->hashes != NULL)
        memset(seen->hashes, 0, slots * sizeof(*seen->hashes));
    return seen->hashes != NULL;
}

bool alias_seen_first(struct alias_seen *seen, const struct part *call, enum wire_family to)
{
    char room[SENT_MAX];
    struct sink sink = sink_into(room, sizeof(room));
    name_put(&sink, call->name, to);
    uint64_t hash = words_hash(words_plain(span_of(room, (size_t)(sink.at - room)))) | 1;
    uint64_t at = (hash >> 1) & seen->mask;
    while (seen->hashes[at] != 0 && seen->hashes[at] != hash)
        at = (at + 1) & seen->mask;
    bool first = seen->hashes[at] == 0;
    seen->hashes[at] = hash;
    return first;
}

bool alias_wraps(const struct tool *tool, enum wire_family to)
{
    return to == FAMILY_ANTHROPIC && tool->kind == TOOL_FUNCTION && schema_is_wrapped(tool->schema);
}

// True if the vendor has free-text tools.
static bool takes_free_text(enum wire_family to, const struct caps *caps)
{
    return to == FAMILY_RESPONSES || (to == FAMILY_OPENAI && caps->custom_tools);
}

static bool has_tool(const struct prompt *prompt, struct span name)
{
    for (uint32_t i = 0; i < prompt->tool_count; i++)
        if (words_are(prompt->tools[i].name, name))
            return true;
    return false;
}

size_t alias_answer_tool(const struct prompt *prompt, enum wire_family to, const struct caps *caps,
                         char out[ANSWER_TOOL_MAX])
{
    bool wanted = prompt->format.kind == ANSWER_SCHEMA && prompt->format.schema.kind == JK_OBJECT;
    if (!wanted || to != FAMILY_ANTHROPIC || caps->native_schema || !caps->schema_by_tool)
        return 0;
    size_t len = fit_printf(out, ANSWER_TOOL_MAX, "json_response");
    for (uint32_t i = 2; has_tool(prompt, span_of(out, len)); i++) // the client may use the name
        len = fit_printf(out, ANSWER_TOOL_MAX, "json_response_%u", i);
    return len;
}

// ----------------------------------------------------------------------------------- the table

static struct alias *find(const struct aliases *aliases, struct span sent)
{
    uint64_t hash = words_hash(words_plain(sent));
    struct alias *tool = aliases->buckets[hash % ALIASES_BUCKETS];
    while (tool != NULL && (tool->hash != hash || !words_are(tool->sent, sent)))
        tool = tool->next;
    return tool;
}

static bool add(struct aliases *aliases, const struct tool *tool, enum wire_family to,
                const struct caps *caps, struct losses *losses)
{
    char room[SENT_MAX];
    struct sink sink = sink_into(room, sizeof(room));
    name_put(&sink, tool->name, to);
    struct span sent = span_of(room, (size_t)(sink.at - room));
    if (find(aliases, sent) != NULL) {
        loss_refuse(losses, "another tool has this name", "tools[%u]", tool->at);
        return true;
    }
    struct alias *entry = keep_take(&aliases->keep, sizeof(*entry));
    if (entry == NULL)
        return false;
    entry->hash = words_hash(words_plain(sent));
    entry->sent = keep_words(&aliases->keep, words_plain(sent));
    entry->own = keep_words(&aliases->keep, tool->name);
    entry->wrapped = alias_wraps(tool, to);
    entry->free_text = tool->kind == TOOL_CUSTOM && !takes_free_text(to, caps);
    entry->next = aliases->buckets[entry->hash % ALIASES_BUCKETS];
    aliases->buckets[entry->hash % ALIASES_BUCKETS] = entry;
    return !aliases->keep.failed;
}

bool aliases_init(struct aliases *aliases, const struct prompt *prompt, enum wire_family to,
                  const struct caps *caps, const struct arena_source *chunks, struct losses *losses)
{
    memset(aliases, 0, sizeof(*aliases));
    keep_init(&aliases->keep, chunks, ALIASES_KEEP_MAX);
    aliases->answer_len = (uint8_t)alias_answer_tool(prompt, to, caps, aliases->answer);
    aliases->answer_wrapped = aliases->answer_len > 0 && schema_is_wrapped(prompt->format.schema);
    bool done = true;
    for (uint32_t i = 0; done && i < prompt->tool_count; i++)
        if (prompt->tools[i].kind != TOOL_HOSTED)
            done = add(aliases, &prompt->tools[i], to, caps, losses);
    aliases->think_tags = caps->think_tags && to == FAMILY_OPENAI;
    aliases->plain =
        aliases->answer_len == 0 && aliases->keep.chunks == NULL && !aliases->think_tags;
    return done;
}

void aliases_fini(struct aliases *aliases)
{
    keep_fini(&aliases->keep);
}

const struct alias *aliases_find(const struct aliases *aliases, struct words sent)
{
    static const struct span habits[] = { SPAN("default_api:"), SPAN("default_api."),
                                          SPAN("functions.") };
    char room[SENT_MAX];
    struct span name = words_view(sent, room, sizeof(room));
    if (name.ptr == NULL)
        return NULL;
    const struct alias *tool = find(aliases, name);
    for (size_t i = 0; tool == NULL && i < ARRAY_LEN(habits); i++)
        if (span_starts(name, habits[i]))
            tool = find(aliases, span_from(name, habits[i].len));
    return tool;
}

// OpenAI Responses: what reading and writing, streams and whole answers share.
#include "responses.h"

#include "penstock/convert/ids.h"

const struct converter converter_responses = {
    .family = FAMILY_RESPONSES,
    .find_repeated = responses_find_repeated,
    .parse = responses_parse,
    .render = responses_render,
    .decode_event = responses_decode_event,
    .decode_end = responses_decode_end,
    .encode_start = responses_encode_start,
    .encode_delta = responses_encode_delta,
    .encode_end = responses_encode_end,
    .encode_more = responses_encode_more,
    .encode_fini = responses_encode_fini,
    .read_whole = responses_read_whole,
    .write_whole = responses_write_whole,
};

// -------------------------------------------------------------------------------------- reading

enum finish responses_finish(struct json_slice response, bool *broken)
{
    struct json_slice status = json_get(response, SPAN("status"));
    struct json_slice why =
        json_get(json_get(response, SPAN("incomplete_details")), SPAN("reason"));
    *broken = json_string_is(status, SPAN("failed")) || json_string_is(status, SPAN("cancelled"));
    if (json_string_is(why, SPAN("content_filter")))
        return FINISH_FILTERED;
    // Whatever else the reason is, the answer is not all there.
    return json_string_is(status, SPAN("incomplete")) ? FINISH_LENGTH : FINISH_STOP;
}

enum finish responses_finish_seen(enum finish finish, bool calls, bool refused)
{
    if (finish != FINISH_STOP)
        return finish;
    return calls ? FINISH_CALLS : refused ? FINISH_REFUSAL : FINISH_STOP;
}

bool responses_is_custom(struct json_slice item)
{
    return json_string_is(json_get(item, SPAN("type")), SPAN("custom_tool_call"));
}

struct delta responses_cite(struct json_slice annotation)
{
    struct delta delta = { .kind = DELTA_CITE, .raw = annotation };
    delta.cite.url = words_of(json_get(annotation, SPAN("url")));
    delta.cite.title = words_of(json_get(annotation, SPAN("title")));
    delta.cite.placed = json_u64(json_get(annotation, SPAN("start_index")), &delta.cite.from) &&
                        json_u64(json_get(annotation, SPAN("end_index")), &delta.cite.to);
    return delta;
}

struct signature responses_signature(struct json_slice item)
{
    struct signature signature = { .maker = MAKER_RESPONSES };
    signature.text = words_of(json_get(item, SPAN("encrypted_content")));
    if (!words_none(signature.text))
        signature.id = words_of(json_get(item, SPAN("id")));
    return signature;
}

bool responses_media(struct json_slice item, struct words *type, struct words *base64)
{
    struct json_slice format = json_get(item, SPAN("output_format"));
    if (!json_string_is(json_get(item, SPAN("type")), SPAN("image_generation_call")))
        return false;
    *base64 = words_of(json_get(item, SPAN("result")));
    *type = words_plain(json_string_is(format, SPAN("jpeg"))   ? SPAN("image/jpeg")
                        : json_string_is(format, SPAN("webp")) ? SPAN("image/webp")
                                                               : SPAN("image/png"));
    return !words_none(*base64);
}

// ------------------------------------------------------------------------------ the client's tools

enum { JOINED_MAX = 1 * KIB };

// How a vendor was told the name of a tool; *alias is that, the result is the name before it was
// made legal.
static struct span vendor_name(struct words space, struct words name, char joined[JOINED_MAX],
                               struct sink *alias)
{
    struct sink sink = sink_into(joined, JOINED_MAX);
    if (!words_none(space)) {
        sink_plain(&sink, space);
        SINK_TEXT(&sink, "__");
    }
    sink_plain(&sink, name);
    struct span whole = span_of(joined, (size_t)(sink.at - joined));
    if (!sink.failed)
        name_put(alias, words_plain(whole), FAMILY_OPENAI);
    return sink.failed || alias->failed ? SPAN_NONE : whole;
}

// True if a vendor that calls `name` means this tool.
static bool is_meant(struct words space, struct json_slice tool, struct words name)
{
    struct words own = words_of(json_get(tool, SPAN("name")));
    char joined[JOINED_MAX], room[2 * TOOL_NAME_MAX];
    if (words_none(own))
        return false;
    if (words_none(space) && words_eq(own, name))
        return true;
    struct sink alias = sink_into(room, sizeof(room));
    struct span whole = vendor_name(space, own, joined, &alias);
    return whole.ptr != NULL &&
           (words_are(name, whole) || words_are(name, span_of(room, (size_t)(alias.at - room))));
}

static bool find_in(struct json_slice tools, struct words space, struct words name,
                    struct called *called)
{
    struct json_iter iter = json_elements_of(tools);
    struct json_slice tool;
    while (json_element_next(&iter, &tool)) {
        struct json_slice type = json_get(tool, SPAN("type"));
        bool search = json_string_is(type, SPAN("tool_search"));
        if (search ? words_are(name, SPAN("tool_search")) : is_meant(space, tool, name)) {
            *called = (struct called){ .space = space, .search = search };
            called->name = search ? name : words_of(json_get(tool, SPAN("name")));
            called->custom = json_string_is(type, SPAN("custom"));
            return true;
        }
    }
    return false;
}

static bool find(struct json_slice tools, struct words name, struct called *called)
{
    if (find_in(tools, WORDS_NONE, name, called))
        return true;
    struct json_iter iter = json_elements_of(tools);
    struct json_slice tool;
    while (json_element_next(&iter, &tool))
        if (json_string_is(json_get(tool, SPAN("type")), SPAN("namespace")) &&
            find_in(json_get(tool, SPAN("tools")), words_of(json_get(tool, SPAN("name"))), name,
                    called))
            return true;
    return false;
}

struct called responses_called(struct json_slice tools, struct words name)
{
    static const struct span habits[] = { SPAN("default_api:"), SPAN("default_api."),
                                          SPAN("functions.") };
    struct called called = { .name = name };
    if (find(tools, name, &called))
        return called;
    for (size_t i = 0; i < ARRAY_LEN(habits); i++) { // C-136
        struct words rest = name;
        if (!span_starts(name.raw, habits[i]))
            continue;
        rest.raw = span_from(name.raw, habits[i].len);
        if (find(tools, rest, &called))
            return called;
    }
    return called;
}

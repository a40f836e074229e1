// `penstock convert`: what becomes of a request on its way to a vendor of another format.
#include "cli.h"
#include "penstock/base/check.h"
#include "penstock/base/env.h"
#include "penstock/base/mem.h"
#include "penstock/convert/convert.h"
#include "penstock/model/format.h"

enum { BODY_MAX = 64 * MIB, OUT_MAX = 128 * MIB, PIECES_MAX = 1024 };

// Memory that is given back when the command ends.
struct pieces {
    struct scratch scratch;
    void *list[PIECES_MAX];
    uint32_t count;
};

static void *piece_take(struct scratch *scratch, size_t size)
{
    struct pieces *pieces = container_of(scratch, struct pieces, scratch);
    if (pieces->count == PIECES_MAX)
        return NULL;
    void *piece = mem_take(1, max_size(size, 1));
    if (piece != NULL)
        pieces->list[pieces->count++] = piece;
    return piece;
}

static void pieces_give(struct pieces *pieces)
{
    for (uint32_t i = 0; i < pieces->count; i++)
        mem_give(pieces->list[i]);
}

static const struct converter *converter_named(const char *name)
{
    static const enum wire_family families[] = {
        [FORMAT_OPENAI] = FAMILY_OPENAI,
        [FORMAT_RESPONSES] = FAMILY_RESPONSES,
        [FORMAT_ANTHROPIC] = FAMILY_ANTHROPIC,
        [FORMAT_GEMINI] = FAMILY_GEMINI,
    };
    const struct converter *converter = NULL;
    for (unsigned i = 0; name != NULL && i < FORMAT_COUNT; i++)
        if (strcmp(name, format_names[i]) == 0)
            converter = converter_of(families[i]);
    if (converter == NULL)
        fprintf(stderr, "penstock: --from and --to take the name of a format that is converted: "
                        "openai, responses, anthropic, gemini\n");
    return converter;
}

static void print_losses(const char *title, struct span list)
{
    while (list.len > 0) {
        size_t len = span_find(list, ',');
        fprintf(stderr, "%s: %.*s\n", title, (int)len, list.ptr);
        list = span_from(list, min_size(len + 1, list.len));
    }
}

// What is not in the body.
struct about {
    const struct converter *from, *to;
    const char *model;
    bool strict;
    bool stream; // a Gemini client says it in the path
};

// Reads, converts and prints; `room` has OUT_MAX bytes.
static int convert(struct span body, const struct about *about, struct pieces *pieces, char *room)
{
    static struct prompt prompt;
    static struct losses losses;
    static const uint8_t no_key[ENVELOPE_KEY_BYTES];
    struct json_slice root;
    struct prompt_parse parse;
    if (!json_check(body, &root) || root.kind != JK_OBJECT) {
        fprintf(stderr, "penstock: the request is not a JSON object\n");
        return EXIT_INVALID;
    }
    losses_init(&losses, about->strict);
    prompt_begin(&parse, &prompt, about->from->family, body, &pieces->scratch, &losses);
    parse.key = no_key;
    if (!about->from->parse(&parse, root)) {
        fprintf(stderr, "penstock: %s: %s\n", parse.path,
                parse.why != NULL ? parse.why : err_text((enum err_code)parse.err.code));
        return EXIT_INVALID;
    }
    char name[256];
    struct words said = words_of(json_get(root, SPAN("model")));
    struct span vendor_model =
        about->model != NULL ? span_str(about->model) : words_view(said, name, sizeof(name));
    prompt.stream = prompt.stream || about->stream;
    struct caps caps = { .official = true, .native_schema = true };
    if (about->to->family == FAMILY_GEMINI) {
        caps.reasons = REASONS_LEVEL;
        caps.json_schema = caps.signs_calls = true;
    }
    struct render render = { .prompt = &prompt, .caps = &caps, .losses = &losses };
    render.model = vendor_model;
    render.scratch = &pieces->scratch;
    struct sink sink = sink_into(room, OUT_MAX);
    bool done = about->to->render(&render, &sink);
    print_losses("dropped", losses_dropped(&losses));
    print_losses("adjusted", losses_adjusted(&losses));
    if (losses.refused)
        fprintf(stderr, "refused: %.*s: %s\n", (int)losses.path_len, losses.path, losses.why);
    if (!done)
        return EXIT_INVALID;
    fwrite(room, 1, (size_t)(sink.at - room), stdout);
    putchar('\n');
    return EXIT_DONE;
}

int cmd_convert(int argc, char **argv)
{
    struct cli cli;
    const char *from_name = NULL, *to_name = NULL, *model = NULL;
    bool strict = false, stream = false;
    const struct cli_option options[] = {
        { "--from", &from_name, NULL }, { "--to", &to_name, NULL },    { "--model", &model, NULL },
        { "--strict", NULL, &strict },  { "--stream", NULL, &stream }, { NULL, NULL, NULL }
    };
    int status = cli_options(&cli, argc, argv, options, 0, 0);
    if (status != EXIT_DONE || cli.help)
        return cli.help ? cmd_help("convert") : status;
    const struct converter *from = converter_named(from_name);
    const struct converter *to = from != NULL ? converter_named(to_name) : NULL;
    if (to == NULL)
        return EXIT_USAGE;
    static struct pieces pieces = { .scratch = { piece_take } };
    char *body = mem_take(1, BODY_MAX), *room = mem_take(1, OUT_MAX);
    status = EXIT_FAILED;
    if (body != NULL && room != NULL) {
        size_t len = fread(body, 1, BODY_MAX, stdin);
        const struct about about = { from, to, model, strict, stream };
        status = convert(span_of(body, len), &about, &pieces, room);
    }
    pieces_give(&pieces);
    mem_give(body);
    mem_give(room);
    return status;
}

// What is kept of a call is JSON: {"w":blocks before the text,"b":[block...],"c":signature}, a
// block being {"r":true if redacted,"m":maker,"s":signature,"i":item's id,"x":text}. Its name is
// the account, the call's id and a hash of its name and arguments, since vendors number calls anew
// in each answer. A mark without the hash tells whether that is worth looking at.
#include "penstock/convert/thoughts.h"

#include "call_hash.h"
#include "penstock/base/check.h"
#include "penstock/convert/ids.h"

enum { ID_MAX = 256, ARGS_MAX = 1 * MIB };

// --- names ---

struct name {
    size_t len;
    char bytes[2 * sizeof(uint64_t) + ID_MAX];
};
_Static_assert(sizeof(((struct name *)0)->bytes) <= THOUGHTS_WHAT_MAX, "a name fits");

// False: an id that no client gives.
static bool name_begin(struct name *name, uint64_t account, struct words id)
{
    memcpy(name->bytes, &account, sizeof(account));
    bool cut;
    const size_t len = words_decode(id, name->bytes + sizeof(account), ID_MAX, &cut);
    name->len = sizeof(account) + len;
    return len > 0 && !cut;
}

static struct span name_mark(const struct name *name)
{
    return span_of(name->bytes, name->len);
}

static struct span name_whole(struct name *name, uint64_t hash)
{
    memcpy(name->bytes + name->len, &hash, sizeof(hash));
    return span_of(name->bytes, name->len + sizeof(hash));
}

uint64_t thoughts_call_hash(struct words name, struct span args)
{
    return hash_pair(hash_words(name), hash_json(args));
}

// --- a history ---

struct found {
    struct found *next;
    uint32_t part; // the call
    uint32_t block_count, before_text;
    struct json_slice blocks, call;
};

// A call's arguments as they are meant; ptr NULL if there is no memory for that.
static struct span plain_args(const struct part *call, struct scratch *scratch)
{
    if (call->object || !call->text.escaped)
        return call->text.raw;
    if (call->text.raw.len > ARGS_MAX)
        return SPAN_NONE;
    char *room = scratch_take(scratch, max_size(call->text.raw.len, 1));
    if (room == NULL)
        return SPAN_NONE;
    return span_of(room, words_decode(call->text, room, call->text.raw.len, NULL));
}

static bool is_signed(const struct part *part)
{
    return (part->kind == PART_THINK || part->kind == PART_REDACTED) &&
           !words_none(part->signature.text);
}

static struct json_slice look_up(struct prompt_parse *parse, struct thoughts_memory *memory,
                                 const struct part *call)
{
    struct name name;
    struct json_slice root;
    if (!name_begin(&name, parse->account, call->id) ||
        memory->find(memory, name_mark(&name), parse->scratch).len == 0)
        return JSON_SLICE_NONE;
    const struct span args = plain_args(call, parse->scratch);
    if (args.ptr == NULL)
        return JSON_SLICE_NONE;
    const struct span what = name_whole(&name, thoughts_call_hash(call->name, args));
    const struct span value = memory->find(memory, what, parse->scratch);
    return value.len > 0 && json_check(value, &root) ? root : JSON_SLICE_NONE;
}

static uint32_t count_of(struct json_slice array)
{
    struct json_iter iter = json_elements_of(array);
    struct json_slice element;
    uint32_t count = 0;
    while (json_element_next(&iter, &element))
        count++;
    return count;
}

// What is known of the calls of one turn that came without a thought: a list in their order.
static bool find_in_turn(struct prompt_parse *parse, struct thoughts_memory *memory,
                         const struct turn *turn, struct found ***end)
{
    const struct part *parts = parse->prompt->parts;
    bool covered = false;
    for (uint32_t i = turn->first; i < turn->first + turn->count; i++) {
        if (is_signed(&parts[i]))
            covered = true;
        if (parts[i].kind != PART_CALL)
            continue;
        const bool asks = !covered && words_none(parts[i].signature.text);
        const struct json_slice root = asks ? look_up(parse, memory, &parts[i]) : JSON_SLICE_NONE;
        covered = false;
        memory->hits += root.kind != JK_NONE;
        memory->misses += asks && root.kind == JK_NONE;
        if (root.kind == JK_NONE)
            continue;
        struct found *found = scratch_take(parse->scratch, sizeof(*found));
        if (found == NULL)
            return false;
        uint64_t before = 0;
        const bool placed = json_u64(json_get(root, SPAN("w")), &before);
        *found = (struct found){
            .part = i,
            .blocks = json_get(root, SPAN("b")),
            .call = json_get(root, SPAN("c")),
        };
        found->block_count = count_of(found->blocks);
        found->before_text = placed ? (uint32_t)min_u64(before, found->block_count) : 0;
        **end = found;
        *end = &found->next;
    }
    return true;
}

static struct signature read_signature(struct json_slice object, enum signs signs)
{
    uint64_t maker;
    if (!json_u64(json_get(object, SPAN("m")), &maker))
        maker = MAKER_NONE;
    return (struct signature){
        .text = words_of(json_get(object, SPAN("s"))),
        .id = words_of(json_get(object, SPAN("i"))),
        .maker = (uint8_t)maker,
        .signs = (uint8_t)signs,
    };
}

// Puts a call with what is known of it behind `count` parts of the new list; how many there are
// then.
static uint32_t put_found(const struct found *found, const struct part *call, struct part *to,
                          uint32_t count, uint32_t texts)
{
    struct json_iter iter = json_elements_of(found->blocks);
    struct json_slice block;
    const uint32_t early = found->before_text;
    // Room for those that stood before the text which came before the call.
    memmove(to + count - texts + early, to + count - texts, texts * sizeof(*to));
    for (uint32_t at = 0; json_element_next(&iter, &block); at++) {
        const bool redacted = json_get(block, SPAN("r")).kind == JK_TRUE;
        struct part *part = &to[at < early ? count - texts + at : count + at];
        *part = (struct part){
            .kind = redacted ? PART_REDACTED : PART_THINK,
            .turn = call->turn,
            .at = call->at,
            .sub = call->sub,
            .text = words_of(json_get(block, SPAN("x"))),
            .signature = read_signature(block, SIGNS_THOUGHT),
        };
    }
    count += found->block_count;
    to[count] = *call;
    if (found->call.kind == JK_OBJECT)
        to[count].signature = read_signature(found->call, SIGNS_CALL);
    return count + 1;
}

static bool rebuild(struct prompt_parse *parse, const struct found *found, uint32_t more)
{
    struct prompt *prompt = parse->prompt;
    const struct part *from = prompt->parts;
    const uint32_t cap = prompt->part_count + more;
    struct part *to = scratch_take(parse->scratch, cap * sizeof(*to));
    if (to == NULL)
        return false;
    uint32_t count = 0;
    for (uint32_t t = 0; t < prompt->turn_count; t++) {
        struct turn *turn = &prompt->turns[t];
        const uint32_t first = count;
        uint32_t texts = 0; // parts of text just before this one
        for (uint32_t i = turn->first; i < turn->first + turn->count; i++) {
            if (found != NULL && found->part == i) {
                count = put_found(found, &from[i], to, count, texts);
                found = found->next;
            } else {
                to[count++] = from[i];
            }
            texts = from[i].kind == PART_TEXT ? texts + 1 : 0;
        }
        turn->first = first;
        turn->count = count - first;
    }
    prompt->parts = to;
    prompt->part_count = count;
    parse->part_cap = cap;
    return true;
}

bool thoughts_restore(struct prompt_parse *parse, struct thoughts_memory *memory)
{
    const struct prompt *prompt = parse->prompt;
    struct found *first = NULL, **end = &first;
    uint32_t more = 0;
    for (uint32_t t = 0; t < prompt->turn_count; t++)
        if (prompt->turns[t].role == ROLE_ASSISTANT &&
            !find_in_turn(parse, memory, &prompt->turns[t], &end))
            return false;
    *end = NULL;
    for (const struct found *found = first; found != NULL; found = found->next)
        more += found->block_count;
    if (first == NULL || prompt->part_count + more > PROMPT_PARTS_MAX)
        return true;
    return rebuild(parse, first, more);
}

void thoughts_forget(struct prompt *prompt, thought_goes *goes, void *ctx)
{
    uint32_t kept = 0;
    for (uint32_t t = 0; t < prompt->turn_count; t++) {
        struct turn *turn = &prompt->turns[t];
        const uint32_t first = kept;
        for (uint32_t i = turn->first; i < turn->first + turn->count; i++) {
            struct part *part = &prompt->parts[i];
            // Text that nobody signed may be wanted back (C-063).
            const bool is_gone =
                !words_none(part->signature.text) && (goes == NULL || goes(ctx, &part->signature));
            if (is_gone && is_signed(part))
                continue;
            if (is_gone)
                part->signature = (struct signature){ .maker = part->signature.maker };
            prompt->parts[kept++] = *part;
        }
        turn->first = first;
        turn->count = kept - first;
    }
    prompt->part_count = kept;
}

// --- an answer ---

struct thoughts_call {
    struct thoughts_call *next;
    uint16_t number;
    uint32_t before_text;
    struct words id, name;
    struct rope blocks, args;
    struct signature signature;
};

void thoughts_init(struct thoughts *thoughts, struct thoughts_memory *memory,
                   const struct answer_facts *facts, enum wire_family client,
                   const struct arena_source *chunks, delta_sink *emit, void *ctx)
{
    *thoughts = (struct thoughts){
        .memory = memory, .facts = facts, .client = client, .emit = emit, .ctx = ctx
    };
    keep_init(&thoughts->keep, chunks, THOUGHTS_KEEP_MAX);
    thoughts->keep.scratch = facts->scratch;
}

void thoughts_fini(struct thoughts *thoughts)
{
    keep_fini(&thoughts->keep);
}

static void add_json(struct thoughts *thoughts, struct rope *rope, struct span json)
{
    rope_add(&thoughts->keep, rope, words_escaped(json));
}

static void add_member(struct thoughts *thoughts, struct rope *rope, const char *key,
                       struct words value)
{
    add_json(thoughts, rope, span_str(key));
    rope_add(&thoughts->keep, rope, value);
    add_json(thoughts, rope, SPAN("\""));
}

// A thought that its vendor signed.
static void add_block(struct thoughts *thoughts, const struct signature *signature, bool redacted)
{
    struct rope *blocks = &thoughts->blocks;
    const char maker = (char)('0' + signature->maker);
    add_json(thoughts, blocks, thoughts->block_count > 0 ? SPAN(",{\"m\":") : SPAN("{\"m\":"));
    add_json(thoughts, blocks, span_of(&maker, 1));
    if (redacted)
        add_json(thoughts, blocks, SPAN(",\"r\":true"));
    add_member(thoughts, blocks, ",\"s\":\"", signature->text);
    if (!words_none(signature->id))
        add_member(thoughts, blocks, ",\"i\":\"", signature->id);
    if (!redacted && thoughts->open.len > 0) {
        add_json(thoughts, blocks, SPAN(",\"x\":\""));
        for (const struct rope_piece *piece = thoughts->open.first; piece; piece = piece->next)
            add_json(thoughts, blocks, span_of(piece->bytes, piece->len));
        add_json(thoughts, blocks, SPAN("\""));
    }
    add_json(thoughts, blocks, SPAN("}"));
    thoughts->block_count++;
}

static void end_thought(struct thoughts *thoughts, const struct delta *delta)
{
    const bool redacted = delta->kind == DELTA_REDACTED;
    if (!words_none(delta->signature.text) && delta->signature.signs != SIGNS_TEXT)
        add_block(thoughts, &delta->signature, redacted);
    if (!redacted)
        thoughts->open = (struct rope){ 0 };
}

static struct thoughts_call *call_of(const struct thoughts *thoughts, uint16_t number)
{
    struct thoughts_call *call = thoughts->calls;
    while (call != NULL && call->number != number)
        call = call->next;
    return call;
}

static void begin_call(struct thoughts *thoughts, const struct delta *delta)
{
    const bool is_worth = thoughts->block_count > 0 || !words_none(delta->signature.text);
    struct keep *keep = &thoughts->keep;
    struct thoughts_call *call = is_worth ? keep_take(keep, sizeof(*call)) : NULL;
    if (call != NULL) {
        char id[ID_MAX];
        struct sink out = sink_into(id, sizeof(id));
        id_put_call(&out, delta->id, thoughts->client, thoughts->facts->random, delta->call);
        *call = (struct thoughts_call){
            .next = thoughts->calls,
            .number = delta->call,
            .before_text = thoughts->text_after,
            .id = keep_words(keep, words_escaped(span_of(id, (size_t)(out.at - id)))),
            .name = keep_words(keep, delta->name),
            .blocks = thoughts->blocks,
            .signature = delta->signature,
        };
        call->signature.text = keep_words(keep, delta->signature.text);
        call->signature.id = keep_words(keep, delta->signature.id);
        thoughts->calls = call;
    }
    thoughts->open = thoughts->blocks = (struct rope){ 0 };
    thoughts->block_count = thoughts->text_after = 0;
}

static void put_value(const struct thoughts_call *call, struct sink *out)
{
    const struct signature *signature = &call->signature;
    SINK_TEXT(out, "{\"w\":");
    sink_u64(out, call->before_text);
    SINK_TEXT(out, ",\"b\":[");
    rope_put(&call->blocks, out);
    SINK_TEXT(out, "]");
    if (!words_none(signature->text)) {
        SINK_TEXT(out, ",\"c\":{\"m\":");
        sink_u64(out, signature->maker);
        SINK_TEXT(out, ",\"s\":");
        sink_quoted(out, signature->text);
        SINK_TEXT(out, ",\"i\":");
        sink_quoted(out, signature->id);
        SINK_TEXT(out, "}");
    }
    SINK_TEXT(out, "}");
}

enum { VALUE_FRAME = 128 }; // bytes of a value beside its texts

static void end_call(struct thoughts *thoughts, uint16_t number)
{
    struct thoughts_call *call = call_of(thoughts, number);
    if (call == NULL || thoughts->keep.failed)
        return;
    call->number = UINT16_MAX; // it is complete
    const size_t texts =
        call->blocks.len + call->signature.text.raw.len + call->signature.id.raw.len;
    if (call->args.len > ARGS_MAX || texts > THOUGHTS_VALUE_MAX - VALUE_FRAME)
        return;
    const size_t size = max_size(call->args.len, texts + VALUE_FRAME);
    char *room = scratch_take(thoughts->facts->scratch, size);
    struct name name;
    if (room == NULL || !name_begin(&name, thoughts->facts->account, call->id))
        return;
    struct sink args = sink_into(room, size), value = sink_into(room, size);
    rope_put_plain(&call->args, &args);
    if (args.failed)
        return;
    const struct span mark = name_mark(&name);
    thoughts->memory->keep(thoughts->memory, mark, SPAN("1"));
    const uint64_t hash = thoughts_call_hash(call->name, span_of(room, (size_t)(args.at - room)));
    put_value(call, &value);
    if (!value.failed)
        thoughts->memory->keep(thoughts->memory, name_whole(&name, hash),
                               span_of(room, (size_t)(value.at - room)));
}

static void note(struct thoughts *thoughts, const struct delta *delta)
{
    struct thoughts_call *call;
    switch ((enum delta_kind)delta->kind) {
    case DELTA_THINK: rope_add(&thoughts->keep, &thoughts->open, delta->text); break;
    case DELTA_THINK_END:
    case DELTA_REDACTED: end_thought(thoughts, delta); break;
    case DELTA_TEXT: thoughts->text_after = thoughts->block_count; break;
    case DELTA_CALL: begin_call(thoughts, delta); break;
    case DELTA_ARGS:
        call = call_of(thoughts, delta->call);
        if (call != NULL)
            rope_add(&thoughts->keep, &call->args, delta->text);
        break;
    case DELTA_CALL_END: end_call(thoughts, delta->call); break;
    case DELTA_TEXT_END:
    case DELTA_REFUSAL:
    case DELTA_CITE:
    case DELTA_MEDIA:
    case DELTA_LOGPROBS:
    case DELTA_HOSTED:
    case DELTA_FINISH: break;
    case DELTA_KIND_COUNT: assert(false); break;
    }
}

void thoughts_put(void *arg, const struct delta *delta)
{
    struct thoughts *thoughts = arg;
    if (delta->choice == 0)
        note(thoughts, delta);
    if (thoughts->emit != NULL)
        thoughts->emit(thoughts->ctx, delta);
}

// What conversion is made of, each against a plain second way of doing it: text between two JSON
// strings, arguments, ids and names, envelopes, schemas.
#include "convert_rig.h"

#include "penstock/convert/args.h"
#include "penstock/convert/schema.h"

static struct heap heap;

// The input as the contents of a JSON string, if it can be that.
static bool as_words(struct span text, struct words *words)
{
    char *quoted = heap_take(&heap.scratch, text.len + 2);
    struct json_slice value;
    if (quoted == NULL)
        return false;
    quoted[0] = quoted[text.len + 1] = '"';
    memcpy(quoted + 1, text.ptr, text.len);
    if (!json_check(span_of(quoted, text.len + 2), &value) || value.kind != JK_STRING)
        return false;
    *words = words_of(value);
    return true;
}

// --- text ---

static struct span all_of(struct output *out)
{
    return output_text(out);
}

// A copy says the same as the original, half characters apart, and has none of those.
static void try_words(struct words words)
{
    struct output copy, plain, rope_copy;
    output_init(&copy);
    output_init(&plain);
    output_init(&rope_copy);
    sink_string(&copy.sink, words);
    sink_plain(&plain.sink, words);
    struct words again = { .raw = all_of(&copy), .escaped = true };
    assert(words_lone(again.raw) == again.raw.len);
    assert(words_torn(again.raw) == 0);
    assert(words_are(again, all_of(&plain)));
    assert(words_eq(words, words_plain(all_of(&plain))));
    assert(words_lone(words.raw) < words.raw.len || span_eq(words.raw, again.raw));
    struct span text = all_of(&plain);
    char *room = malloc(words.raw.len + 1);
    bool cut;
    size_t len = words_decode(words, room, words.raw.len + 1, &cut);
    assert(!cut && span_eq(span_of(room, len), text));
    len = words_decode(words, room, words.raw.len / 2, &cut);
    assert(span_eq(span_of(room, len), span_upto(text, len)));
    free(room);
    // Escaping plain text and taking the escapes away again changes nothing.
    struct output escaped;
    output_init(&escaped);
    sink_quoted(&escaped.sink, words_plain(text));
    judge_json(all_of(&escaped));
    assert(words_are(words_of(json_value(all_of(&escaped))), text));
    // A rope is the same text, however it was cut.
    struct keep keep;
    struct rope rope = { 0 }, filler = { 0 };
    keep_init(&keep, &chunks, 1 * MIB);
    for (size_t at = 0; at < words.raw.len;) {
        struct words part = words;
        size_t step = 1 + at % 61;
        part.raw = span_upto(span_from(words.raw, at), min_size(step, words.raw.len - at));
        part.raw.len -= words_torn(part.raw);
        while (at + part.raw.len < words.raw.len &&
               (part.raw.len == 0 || words_torn(part.raw) > 0 ||
                ((unsigned char)part.raw.ptr[part.raw.len] & 0xc0) == 0x80))
            part.raw.len++;
        rope_add(&keep, &rope, part);
        rope_add(&keep, &filler, words_plain(span_upto(SPAN("-----------"), at % 11)));
        at += part.raw.len;
    }
    if (!keep.failed) {
        rope_put_plain(&rope, &rope_copy.sink);
        assert(span_eq(all_of(&rope_copy), text));
        for (const struct rope_piece *piece = rope.first; piece != NULL; piece = piece->next)
            assert(words_torn(span_of(piece->bytes, piece->len)) == 0);
    }
    keep_fini(&keep);
    output_fini(&copy);
    output_fini(&plain);
    output_fini(&escaped);
    output_fini(&rope_copy);
}

// --- arguments ---

static void try_args(struct words words)
{
    struct output object, nested;
    struct json_slice value, inside;
    output_init(&object);
    output_init(&nested);
    bool is_object = args_put_object(&object.sink, words, &heap.scratch);
    judge_json(all_of(&object));
    assert(json_check(all_of(&object), &value));
    assert(value.kind == JK_OBJECT);
    char *plain = malloc(words.raw.len + 1);
    size_t len = words_decode(words, plain, words.raw.len + 1, NULL);
    bool empty = len == 0;
    bool json = json_check(span_of(plain, len), &inside);
    assert(is_object == (empty || (json && (inside.kind == JK_OBJECT || inside.kind == JK_NULL))));
    free(plain);
    SINK_TEXT(&nested.sink, "\"{\\\"input\\\":\\\"");
    args_put_nested(&nested.sink, words);
    SINK_TEXT(&nested.sink, "\\\"}\"");
    judge_json(all_of(&nested));
    struct span text = args_object(words_of(json_value(all_of(&nested))), &heap.scratch);
    assert(text.ptr != NULL || heap.count == HEAP_PIECES);
    if (text.ptr != NULL && words_lone(words.raw) == words.raw.len)
        assert(words_eq(words_of(json_get(json_value(text), SPAN("input"))), words));
    output_fini(&object);
    output_fini(&nested);
}

// --- ids and names ---

static void try_ids(struct words words, enum wire_family family)
{
    char room[256], twice[256];
    struct sink sink = sink_into(room, sizeof(room));
    id_put_call(&sink, words, family, 3, 1);
    struct span id = span_of(room, (size_t)(sink.at - room));
    assert(!sink.failed && id.len > 0 && id.len <= CALL_ID_MAX);
    sink = sink_into(twice, sizeof(twice));
    id_put_call(&sink, (struct words){ .raw = id, .escaped = true }, family, 4, 2);
    assert(span_eq(id, span_of(twice, (size_t)(sink.at - twice)))); // what was made is legal
    sink = sink_into(room, sizeof(room));
    name_put(&sink, words, family);
    struct words name = { .raw = span_of(room, (size_t)(sink.at - room)), .escaped = true };
    assert(name_is_legal(name, family));
    assert(!name_is_legal(words, family) || words_eq(name, words));
    sink = sink_into(room, sizeof(room));
    id_put_answer(&sink, words.raw, family, 5);
    struct words answer = { .raw = span_of(room, (size_t)(sink.at - room)), .escaped = true };
    assert(!sink.failed && answer.raw.len <= 9 + 48);
    sink = sink_into(room, sizeof(room));
    id_put_hash(&sink, words);
    assert(sink.at - room == 32);
}

// --- envelopes ---

static void try_envelope(struct words words, struct dice *dice)
{
    static const uint8_t key[ENVELOPE_KEY_BYTES] = { 9 };
    struct signature signature = { .text = words, .maker = (uint8_t)(1 + roll(dice, 4)) };
    enum envelope_kind kind = (enum envelope_kind)roll(dice, 3), got;
    enum maker native = (enum maker)(1 + roll(dice, 4));
    if (roll(dice, 2) == 1)
        signature.id = words;
    const uint64_t account = roll(dice, 3);
    struct answer_facts facts = { .model = SPAN("m"), .key = key, .account = account };
    struct output out;
    struct signature back;
    output_init(&out);
    envelope_put(&out.sink, &signature, native, &facts, kind);
    struct words sealed = { .raw = all_of(&out), .escaped = true };
    bool own = signature.maker == (uint8_t)native && !words_none(words);
    bool fits = heap.count + 2 < HEAP_PIECES;
    if (!own && fits && words_lone(words.raw) == words.raw.len) {
        assert(envelope_read(sealed, native, key, account, &heap.scratch, &back, &got));
        assert(back.maker == signature.maker && got == kind);
        assert(words_eq(back.text, words));
        if (sealed.raw.len > 0) { // a byte that was changed
            size_t at = roll(dice, 256) % sealed.raw.len;
            out.room[at] ^= 1;
            bool read = envelope_read(sealed, native, key, account, &heap.scratch, &back, &got);
            assert(!read || back.maker == (uint8_t)native);
        }
    }
    bool read = envelope_read(words, native, key, account, &heap.scratch, &back, &got);
    assert(!read || back.maker == (uint8_t)native); // nobody guesses the key
    output_fini(&out);
}

// --- schemas ---

static bool is_plain_schema(json_t *schema)
{
    static const char *const known[] = {
        "type",      "format",        "title",         "description", "nullable",
        "enum",      "items",         "properties",    "required",    "minItems",
        "maxItems",  "minProperties", "maxProperties", "minimum",     "maximum",
        "minLength", "maxLength",     "pattern",       "anyOf",       "propertyOrdering"
    };
    const char *key;
    json_t *value, *child;
    size_t index;
    json_object_foreach(schema, key, value)
    {
        bool is_known = false;
        for (size_t i = 0; i < ARRAY_LEN(known); i++)
            is_known = is_known || strcmp(key, known[i]) == 0;
        if (!is_known)
            return false;
        if (strcmp(key, "items") == 0 && !is_plain_schema(value))
            return false;
        if (strcmp(key, "properties") == 0) {
            const char *name;
            json_object_foreach(value, name, child) if (!is_plain_schema(child)) return false;
        }
        if (strcmp(key, "anyOf") == 0)
            json_array_foreach(value, index, child) if (!is_plain_schema(child)) return false;
    }
    return json_is_object(schema) &&
           (json_object_get(schema, "type") != NULL || json_object_get(schema, "anyOf") != NULL);
}

static void try_schema(struct span text)
{
    struct json_slice schema, value;
    struct output out;
    if (!json_check(text, &schema))
        return;
    output_init(&out);
    bool changed = schema_put_object(&out.sink, schema, &heap.scratch);
    if (!out.sink.failed) {
        judge_json(all_of(&out));
        assert(json_check(all_of(&out), &value));
        assert(changed || schema.kind != JK_OBJECT ||
               json_get(schema, SPAN("type")).kind == JK_NONE ||
               span_eq(all_of(&out), schema.text));
        if (changed)
            assert(json_string_is(json_get(value, SPAN("type")), SPAN("object")));
        for (int i = 0; i < 2 && changed; i++)
            assert(json_get(value, i == 0 ? SPAN("anyOf") : SPAN("oneOf")).kind == JK_NONE);
    }
    output_fini(&out);
    output_init(&out);
    (void)schema_put_reduced(&out.sink, schema, &heap.scratch);
    if (!out.sink.failed) {
        judge_json(all_of(&out));
        char *copy = malloc(all_of(&out).len + 1);
        memcpy(copy, out.room, all_of(&out).len);
        blunt_surrogates(copy, all_of(&out).len);
        json_t *json = json_loadb(copy, all_of(&out).len, JSON_ALLOW_NUL, NULL);
        assert(json == NULL || is_plain_schema(json)); // NULL: a number that is too large for it
        json_decref(json);
        free(copy);
    }
    output_fini(&out);
    output_init(&out);
    schema_put_standard(&out.sink, schema);
    judge_json(all_of(&out));
    output_fini(&out);
    (void)schema_is_strict(schema);
    (void)schema_is_bare(schema);
    (void)schema_is_wrapped(schema);
}

// data: a byte that chooses, a few more that decide, then text.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 8)
        return 0;
    struct dice dice = { data + 1, data + 8 };
    struct span text = span_of(data + 8, size - 8);
    struct words words;
    heap_init(&heap);
    bool is_words = as_words(text, &words);
    switch (data[0] % 5) {
    case 0:
        if (is_words)
            try_words(words);
        break;
    case 1:
        if (is_words)
            try_args(words);
        break;
    case 2: {
        const struct converter *format = format_at(data[1]);
        if (is_words && format != NULL)
            try_ids(words, format->family);
        break;
    }
    case 3:
        if (is_words)
            try_envelope(words, &dice);
        break;
    default: try_schema(text); break;
    }
    heap_fini(&heap);
    return 0;
}

#include "penstock/wire/usage.h"

#include "penstock/base/check.h"

// One word of a vendor: `outer` is an object inside the usage object, at one level or two, `inner`
// a member of it; without `inner`, `outer` is a count itself.
struct word {
    struct span outer, inner;
    enum told_field field;
};

#define WORD(outer, field)                               \
    {                                                    \
        { outer, sizeof(outer) - 1 }, { NULL, 0 }, field \
    }
#define WORD_IN(outer, inner, field)                                      \
    {                                                                     \
        { outer, sizeof(outer) - 1 }, { inner, sizeof(inner) - 1 }, field \
    }

// Chat and Responses in one, because compatible servers mix the two.
static const struct word openai_words[] = {
    WORD("prompt_tokens", TOLD_INPUT),
    WORD("completion_tokens", TOLD_OUTPUT),
    WORD("total_tokens", TOLD_TOTAL),
    WORD("input_tokens", TOLD_INPUT),
    WORD("output_tokens", TOLD_OUTPUT),
    WORD_IN("prompt_tokens_details", "cached_tokens", TOLD_CACHED),
    WORD_IN("prompt_tokens_details", "cache_write_tokens", TOLD_WRITE),
    WORD_IN("prompt_tokens_details", "cache_creation_input_tokens", TOLD_WRITE),
    WORD_IN("input_tokens_details", "cached_tokens", TOLD_CACHED),
    WORD_IN("input_tokens_details", "cache_write_tokens", TOLD_WRITE),
    WORD_IN("cache_write_tokens_details", "ttl_30m_tokens", TOLD_WRITE_5M),
    WORD_IN("cache_write_tokens_details", "ttl_12h_tokens", TOLD_WRITE_1H),
    WORD_IN("cache_creation", "ephemeral_5m_input_tokens", TOLD_WRITE_5M),
    WORD_IN("cache_creation", "ephemeral_1h_input_tokens", TOLD_WRITE_1H),
    WORD_IN("completion_tokens_details", "reasoning_tokens", TOLD_REASONING),
    WORD_IN("output_tokens_details", "reasoning_tokens", TOLD_REASONING),
    WORD("prompt_cache_hit_tokens", TOLD_CACHED),
    WORD("cached_tokens", TOLD_CACHED),
    WORD("num_cached_tokens", TOLD_CACHED),
    WORD_IN("server_tool_use_details", "web_search_requests", TOLD_SEARCHES),
    WORD_IN("server_side_tool_usage_details", "web_search_calls", TOLD_SEARCHES),
};

static const struct word anthropic_words[] = {
    WORD("input_tokens", TOLD_INPUT),
    WORD("output_tokens", TOLD_OUTPUT),
    WORD("cache_read_input_tokens", TOLD_CACHED),
    WORD("cache_creation_input_tokens", TOLD_WRITE),
    WORD_IN("cache_creation", "ephemeral_5m_input_tokens", TOLD_WRITE_5M),
    WORD_IN("cache_creation", "ephemeral_1h_input_tokens", TOLD_WRITE_1H),
    WORD_IN("output_tokens_details", "thinking_tokens", TOLD_REASONING),
    WORD_IN("server_tool_use", "web_search_requests", TOLD_SEARCHES),
    WORD_IN("server_tool_use", "web_fetch_requests", TOLD_FETCHES),
};

static const struct word gemini_words[] = {
    WORD("promptTokenCount", TOLD_INPUT),       WORD("candidatesTokenCount", TOLD_OUTPUT),
    WORD("totalTokenCount", TOLD_TOTAL),        WORD("cachedContentTokenCount", TOLD_CACHED),
    WORD("thoughtsTokenCount", TOLD_REASONING), WORD("toolUsePromptTokenCount", TOLD_TOOL_INPUT),
};

// A count in any spelling that some server uses. Fractions are cut off.
static bool read_count(struct json_slice value, uint64_t *out)
{
    if (value.kind == JK_STRING)
        value = json_value(json_string_raw(value));
    if (value.kind != JK_NUMBER)
        return false;
    if (json_u64(value, out))
        return true;
    return span_u64(span_upto(value.text, span_find(value.text, '.')), out);
}

enum { WORDS_MAX = 24, HOMES = 32 };

// A language's words, also as lists by what their key hashes to, each in the order of the words.
struct language {
    const struct word *words;
    size_t count;
    uint8_t home[HOMES], next[WORDS_MAX]; // an index plus 1; 0: none
};

// The lists are filled before main() starts and constant from then on.
static struct language languages[] = {
    [USAGE_RULE_OPENAI] = { openai_words, ARRAY_LEN(openai_words), { 0 }, { 0 } },
    [USAGE_RULE_OPENAI_INPUT] = { openai_words, ARRAY_LEN(openai_words), { 0 }, { 0 } },
    [USAGE_RULE_ANTHROPIC] = { anthropic_words, ARRAY_LEN(anthropic_words), { 0 }, { 0 } },
    [USAGE_RULE_GEMINI] = { gemini_words, ARRAY_LEN(gemini_words), { 0 }, { 0 } },
};

static inline unsigned home_of(struct span key)
{
    return ((unsigned char)key.ptr[0] + 3 * (unsigned)key.len) % HOMES;
}

static struct span key_of(const struct word *word)
{
    return word->inner.len == 0 ? word->outer : word->inner;
}

__attribute__((constructor)) static void index_languages(void)
{
    for (size_t i = 0; i < ARRAY_LEN(languages); i++) {
        struct language *language = &languages[i];
        assert(language->count <= WORDS_MAX);
        for (size_t w = language->count; w-- > 0;) {
            uint8_t *home = &language->home[home_of(key_of(&language->words[w]))];
            language->next[w] = *home;
            *home = (uint8_t)(w + 1);
        }
    }
}

static inline bool word_is(const struct word *word, struct span outer, struct span key)
{
    bool bare = word->inner.len == 0;
    if (bare != (outer.len == 0) || !json_key_is(key, key_of(word)))
        return false;
    return bare || json_key_is(outer, word->outer);
}

static const struct word *find_word(const struct language *language, struct span outer,
                                    struct span key)
{
    if (key.len == 0)
        return NULL;
    for (unsigned at = language->home[home_of(key)]; at != 0; at = language->next[at - 1])
        if (word_is(&language->words[at - 1], outer, key))
            return &language->words[at - 1];
    if (span_find(key, '\\') == key.len)
        return NULL;
    // Escaped, it lies under another hash.
    for (size_t i = 0; i < language->count; i++)
        if (word_is(&language->words[i], outer, key))
            return &language->words[i];
    return NULL;
}

// Looks a member of `outer`, which is empty for the usage object itself, up and keeps its count.
static bool read_word(struct usage_told *told, const struct language *language, struct span outer,
                      struct span key, struct json_slice value)
{
    uint64_t number;
    if (!read_count(value, &number))
        return false;
    const struct word *word = find_word(language, outer, key);
    if (word == NULL) {
        told_note(told, value.text, TOLD_ROLE_NOTHING, TOLD_COUNT);
        return false;
    }
    told_note(told, value.text, TOLD_ROLE_FIELD, word->field);
    told_raise(told, word->field, number);
    return true;
}

static bool read_details(struct usage_told *told, const struct language *language,
                         struct span outer, struct json_slice object)
{
    bool any = false;
    struct json_iter iter = json_members_of(object);
    struct span key, inner_key;
    struct json_slice value, inner;
    while (json_member_next(&iter, &key, &value)) {
        any |= read_word(told, language, outer, key, value);
        if (value.kind == JK_ARRAY)
            told_note(told, value.text, TOLD_ROLE_NOTHING, TOLD_COUNT);
        if (value.kind != JK_OBJECT)
            continue;
        struct json_iter deeper = json_members_of(value);
        while (json_member_next(&deeper, &inner_key, &inner))
            any |= read_word(told, language, key, inner_key, inner);
    }
    return any;
}

static void keep_text(struct json_slice value, char *out, size_t cap, uint8_t *len)
{
    if (value.kind == JK_STRING && value.text.len > 2)
        *len = (uint8_t)json_string_decode(value, out, cap, NULL);
}

// Beside the counts: what Anthropic and Gemini write into the same object.
static void read_terms(struct usage_told *told, struct span key, struct json_slice value)
{
    if (value.kind != JK_STRING)
        return;
    if (json_key_is(key, SPAN("service_tier")) || json_key_is(key, SPAN("serviceTier")))
        keep_text(value, told->tier, sizeof(told->tier), &told->tier_len);
    else if (json_key_is(key, SPAN("speed")))
        keep_text(value, told->speed, sizeof(told->speed), &told->speed_len);
    else if (json_key_is(key, SPAN("inference_geo")))
        keep_text(value, told->region, sizeof(told->region), &told->region_len);
}

bool told_read(struct usage_told *told, enum usage_rule rule, struct json_slice object)
{
    const struct language *language = &languages[rule];
    bool any = false;
    if (object.kind != JK_OBJECT)
        return false;
    struct json_iter iter = json_members_of(object);
    struct span key;
    struct json_slice value;
    while (json_member_next(&iter, &key, &value)) {
        read_terms(told, key, value);
        if (value.kind == JK_ARRAY)
            told_note(told, value.text, TOLD_ROLE_NOTHING, TOLD_COUNT);
        any |= value.kind == JK_OBJECT ? read_details(told, language, key, value)
                                       : read_word(told, language, SPAN_NONE, key, value);
    }
    return any;
}

void told_model(struct usage_told *told, struct json_slice name)
{
    told_note(told, name.text, TOLD_ROLE_MODEL, TOLD_COUNT);
    keep_text(name, told->model, sizeof(told->model), &told->model_len);
}

void told_tier_set(struct usage_told *told, struct json_slice tier)
{
    keep_text(tier, told->tier, sizeof(told->tier), &told->tier_len);
}

static uint64_t less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

static void normal_writes(const struct usage_told *told, struct usage *out)
{
    const uint64_t *count = told->count;
    out->cache_write_1h = count[TOLD_WRITE_1H];
    // If only the sum is told, all of it was written for the shorter time.
    uint64_t all = max_u64(count[TOLD_WRITE], count[TOLD_WRITE_5M] + count[TOLD_WRITE_1H]);
    out->cache_write_5m = all - count[TOLD_WRITE_1H];
}

static void normal_openai(const struct usage_told *told, struct usage *out)
{
    const uint64_t *count = told->count;
    uint64_t cached = out->cache_read + out->cache_write_5m + out->cache_write_1h;
    // Some servers count what was cached beside the input, not in it; then it is the larger one.
    bool inside = cached <= count[TOLD_INPUT];
    out->input_uncached = inside ? count[TOLD_INPUT] - cached : count[TOLD_INPUT];
    out->output = count[TOLD_OUTPUT];
    // The same with reasoning: seen where the sum shows it, or where it cannot be otherwise.
    uint64_t sum = count[TOLD_INPUT] + count[TOLD_OUTPUT] + out->reasoning;
    if (out->reasoning > 0 && (count[TOLD_TOTAL] == sum || out->reasoning > count[TOLD_OUTPUT]))
        out->output += out->reasoning;
}

static void normal_gemini(const struct usage_told *told, struct usage *out)
{
    const uint64_t *count = told->count;
    out->input_uncached = less(count[TOLD_INPUT], out->cache_read) + count[TOLD_TOOL_INPUT];
    out->output = count[TOLD_OUTPUT] + out->reasoning;
    // Some models count the thoughts as output already; then the total comes out without them.
    uint64_t bare = count[TOLD_INPUT] + count[TOLD_OUTPUT];
    bool inside = count[TOLD_TOTAL] == bare || count[TOLD_TOTAL] == bare + count[TOLD_TOOL_INPUT];
    if (inside && out->reasoning <= count[TOLD_OUTPUT])
        out->output = count[TOLD_OUTPUT];
}

struct usage usage_normal(const struct usage_told *told, enum usage_rule rule)
{
    struct usage out = {
        .cache_read = told->count[TOLD_CACHED],
        .reasoning = told->count[TOLD_REASONING],
        .searches = told->count[TOLD_SEARCHES],
        .fetches = told->count[TOLD_FETCHES],
        .input_known = (told->seen & BIT(TOLD_INPUT)) != 0,
        .output_known = (told->seen & BIT(TOLD_OUTPUT)) != 0,
    };
    normal_writes(told, &out);
    switch (rule) {
    case USAGE_RULE_OPENAI: normal_openai(told, &out); break;
    case USAGE_RULE_OPENAI_INPUT:
        normal_openai(told, &out);
        out.output_known = true; // there is none, and nobody says so
        break;
    case USAGE_RULE_ANTHROPIC:
        out.input_uncached = told->count[TOLD_INPUT];
        out.output = told->count[TOLD_OUTPUT];
        break;
    case USAGE_RULE_GEMINI:
        normal_gemini(told, &out);
        out.output_known |= out.input_known && told->final; // a zero is left out
        break;
    }
    out.exact = out.input_known && out.output_known && told->final;
    return out;
}

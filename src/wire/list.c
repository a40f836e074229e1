#include "penstock/wire/list.h"

#include "penstock/base/check.h"
#include "penstock/codec/url.h"

// ----------------------------------------------------------------------------------------- page

static struct span read_text(struct span query, struct span name, char **room, size_t *cap)
{
    struct url_param param;
    if (!url_param_find(query, name, &param) || param.value.len > *cap)
        return SPAN_NONE;
    struct span text = url_text_decode(param.value, *room, *cap);
    *room += param.value.len;
    *cap -= param.value.len;
    return text;
}

struct wire_page wire_page_read(enum wire_list_form form, struct span query, char *room, size_t cap)
{
    struct wire_page page = { 0 };
    if (form != LIST_ANTHROPIC && form != LIST_GEMINI)
        return page;
    bool gemini = form == LIST_GEMINI;
    struct url_param param;
    uint64_t limit;
    if (url_param_find(query, gemini ? SPAN("pageSize") : SPAN("limit"), &param) &&
        span_u64(param.value, &limit))
        page.limit = (size_t)min_u64(limit, LIST_PAGE_MAX);
    page.after = read_text(query, gemini ? SPAN("pageToken") : SPAN("after_id"), &room, &cap);
    if (!gemini)
        page.before = read_text(query, SPAN("before_id"), &room, &cap);
    return page;
}

// ---------------------------------------------------------------------------------------- model

// The date of a day since 1970 (Hinnant, "chrono-compatible low-level date algorithms", 2013:
// years begin in March, so that the day that a leap year adds is the last).
static void civil_date(uint64_t day, unsigned *year, unsigned *month, unsigned *mday)
{
    enum { DAYS_TO_1970 = 719468, DAYS_IN_ERA = 146097, YEARS_IN_ERA = 400 };
    uint64_t shifted = day + DAYS_TO_1970;
    unsigned era = (unsigned)(shifted / DAYS_IN_ERA);
    unsigned of_era = (unsigned)(shifted % DAYS_IN_ERA);
    unsigned year_of_era =
        (of_era - of_era / 1460 + of_era / 36524 - of_era / (DAYS_IN_ERA - 1)) / 365;
    unsigned of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned from_march = (5 * of_year + 2) / 153;
    *mday = of_year - (153 * from_march + 2) / 5 + 1;
    *month = from_march < 10 ? from_march + 3 : from_march - 9;
    *year = era * YEARS_IN_ERA + year_of_era + (*month <= 2);
}

static void put_digits(char *out, unsigned value, size_t digits)
{
    for (size_t i = digits; i > 0; i--, value /= 10)
        out[i - 1] = (char)('0' + value % 10);
}

// RFC 3339, UTC.
static void put_time(struct jsonw *out, uint64_t seconds)
{
    enum { DAY_S = 86400 };
    const uint64_t year_9999 = UINT64_C(253402300799);
    seconds = min_u64(seconds, year_9999);
    char text[] = "0000-00-00T00:00:00Z";
    unsigned year, month, day, of_day = (unsigned)(seconds % DAY_S);
    civil_date(seconds / DAY_S, &year, &month, &day);
    put_digits(text, year, 4);
    put_digits(text + 5, month, 2);
    put_digits(text + 8, day, 2);
    put_digits(text + 11, of_day / 3600, 2);
    put_digits(text + 14, of_day / 60 % 60, 2);
    put_digits(text + 17, of_day % 60, 2);
    jsonw_string(out, span_of(text, sizeof(text) - 1));
}

static void put_openai(struct jsonw *out, const struct wire_model *model)
{
    jsonw_member(out, SPAN("id"), model->name);
    jsonw_member(out, SPAN("object"), SPAN("model"));
    jsonw_member_u64(out, SPAN("created"), model->created_s);
    jsonw_member(out, SPAN("owned_by"), model->owner.len > 0 ? model->owner : SPAN("system"));
}

static void put_anthropic(struct jsonw *out, const struct wire_model *model)
{
    jsonw_member(out, SPAN("type"), SPAN("model"));
    jsonw_member(out, SPAN("id"), model->name);
    jsonw_member(out, SPAN("display_name"), model->name);
    jsonw_key(out, SPAN("created_at"));
    put_time(out, model->created_s);
}

static void put_gemini(struct jsonw *out, const struct wire_model *model)
{
    jsonw_key(out, SPAN("name"));
    jsonw_string_begin(out);
    jsonw_string_more(out, SPAN("models/"));
    jsonw_string_more(out, model->name);
    jsonw_string_end(out);
    jsonw_member(out, SPAN("displayName"), model->name);
    if (model->input_max > 0)
        jsonw_member_u64(out, SPAN("inputTokenLimit"), model->input_max);
    if (model->output_max > 0)
        jsonw_member_u64(out, SPAN("outputTokenLimit"), model->output_max);
    jsonw_key(out, SPAN("supportedGenerationMethods"));
    jsonw_raw(out, SPAN("[\"generateContent\",\"streamGenerateContent\",\"countTokens\"]"));
}

static void put_model(struct jsonw *out, enum wire_list_form form, const struct wire_model *model)
{
    jsonw_object(out);
    switch (form) {
    case LIST_OPENAI:
    case LIST_CODEX: put_openai(out, model); break;
    case LIST_ANTHROPIC: put_anthropic(out, model); break;
    case LIST_GEMINI: put_gemini(out, model); break;
    }
    jsonw_object_end(out);
}

struct span wire_model_write(enum wire_list_form form, const struct wire_model *model, char *buf,
                             size_t cap)
{
    struct jsonw out;
    jsonw_init(&out, buf, cap);
    put_model(&out, form, model);
    return jsonw_done(&out);
}

// ----------------------------------------------------------------------------------------- list

static size_t page_size(enum wire_list_form form, size_t limit)
{
    switch (form) {
    case LIST_OPENAI:
    case LIST_CODEX: return SIZE_MAX; // these know no pages
    case LIST_ANTHROPIC: return limit > 0 ? limit : LIST_PAGE_ANTHROPIC;
    case LIST_GEMINI: return limit > 0 ? limit : LIST_PAGE_GEMINI;
    }
    bug("a list has one of four forms");
}

void wire_list_begin(struct wire_list *list, enum wire_list_form form, struct wire_page page,
                     char *buf, size_t cap)
{
    *list = (struct wire_list){ .form = form, .page = page };
    page.limit = list->page.limit = page_size(form, page.limit);
    list->upto = page.after.len > 0 || page.before.len > 0 ? 0 : page.limit;
    jsonw_init(&list->out, buf, cap);
    jsonw_object(&list->out);
    if (form == LIST_OPENAI || form == LIST_CODEX)
        jsonw_member(&list->out, SPAN("object"), SPAN("list"));
    if (form == LIST_CODEX) {
        // Its own list stays empty: an entry would replace the client's built-in instructions for
        // the model, and this gateway adds none.
        jsonw_key(&list->out, SPAN("models"));
        jsonw_raw(&list->out, SPAN("[]"));
    }
    jsonw_key(&list->out, form == LIST_GEMINI ? SPAN("models") : SPAN("data"));
    jsonw_array(&list->out);
}

bool wire_list_looks_back(const struct wire_list *list)
{
    return list->page.before.len > 0;
}

void wire_list_seek(struct wire_list *list, struct span name)
{
    assert(!list->adding);
    if (!list->found && span_eq(name, list->page.before)) {
        list->found = true;
        list->upto = list->index;
        list->from = list->upto - min_size(list->upto, list->page.limit);
        list->more = list->from > 0;
    }
    list->index++;
}

void wire_list_add(struct wire_list *list, const struct wire_model *model)
{
    const struct wire_page *page = &list->page;
    bool looks_back = wire_list_looks_back(list);
    if (!list->adding)
        list->index = 0; // the pass that sought is over
    list->adding = true;
    size_t index = list->index++;
    if (index >= list->from && index < list->upto) {
        put_model(&list->out, list->form, model);
        list->first = list->count == 0 ? model->name : list->first;
        list->last = model->name;
        list->count++;
    } else if (!looks_back && list->upto > 0 && index >= list->upto) {
        list->more = true;
    }
    if (!looks_back && page->after.len > 0 && !list->found && span_eq(model->name, page->after)) {
        list->found = true;
        list->from = index + 1;
        list->upto = page->limit < SIZE_MAX - list->from ? list->from + page->limit : SIZE_MAX;
    }
}

static void put_id(struct jsonw *out, struct span key, struct span name)
{
    if (name.len > 0)
        jsonw_member(out, key, name);
    else
        jsonw_member_null(out, key);
}

struct span wire_list_end(struct wire_list *list)
{
    struct jsonw *out = &list->out;
    jsonw_array_end(out);
    if (list->form == LIST_ANTHROPIC) {
        put_id(out, SPAN("first_id"), list->first);
        put_id(out, SPAN("last_id"), list->last);
        jsonw_key(out, SPAN("has_more"));
        jsonw_bool(out, list->more);
    }
    if (list->form == LIST_GEMINI && list->more && list->count > 0)
        jsonw_member(out, SPAN("nextPageToken"), list->last);
    jsonw_object_end(out);
    return jsonw_done(out);
}

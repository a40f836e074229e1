// list.h - lists of models in the forms of the four APIs, page by page.
//
// The caller owns the models and hands them over one after the other, in a fixed order, those that
// the key may use and no others:
//
//     wire_list_begin(&list, form, page, buf, cap);
//     if (wire_list_looks_back(&list))
//         for each model: wire_list_seek(&list, name);
//     for each model: wire_list_add(&list, &model);
//     body = wire_list_end(&list);
#ifndef PENSTOCK_WIRE_LIST_H
#define PENSTOCK_WIRE_LIST_H

#include "penstock/codec/json_writer.h"

enum wire_list_form {
    LIST_OPENAI,
    LIST_CODEX, // asks with client_version: two lists in one object
    LIST_ANTHROPIC,
    LIST_GEMINI,
};

enum {
    LIST_PAGE_MAX = 1000,
    LIST_PAGE_ANTHROPIC = 20, // where the client names no size
    LIST_PAGE_GEMINI = 50,
};

struct wire_model {
    struct span name;
    struct span owner;              // OpenAI only
    uint64_t created_s;             // since 1970
    uint64_t input_max, output_max; // tokens, 0: not known
};

// Which part of the list is wanted; zero for its beginning. The spans must outlive the list.
struct wire_page {
    size_t limit;              // 0: the format's own
    struct span after, before; // a model's name, or empty
};

// Reads a page's place from a query ("limit=5&after_id=x", "pageSize=5&pageToken=x"). `room` keeps
// the decoded names; it should be as long as the query.
struct wire_page wire_page_read(enum wire_list_form form, struct span query, char *room,
                                size_t cap);

struct wire_list {
    struct jsonw out;
    enum wire_list_form form;
    struct wire_page page;
    size_t index;            // of the next model
    size_t from, upto;       // those that are on the page
    size_t count;            // on it so far
    bool adding;             // models are being added
    bool found;              // the model that the page goes by
    bool more;               // there are models beyond the page
    struct span first, last; // names on it
};

void wire_list_begin(struct wire_list *list, enum wire_list_form form, struct wire_page page,
                     char *buf, size_t cap);
// True if the page ends before a certain model, so that its place has to be found first.
bool wire_list_looks_back(const struct wire_list *list);
void wire_list_seek(struct wire_list *list, struct span name);
// `model->name` must stay until wire_list_end().
void wire_list_add(struct wire_list *list, const struct wire_model *model);
// The text, in `buf`; SPAN_NONE if it did not fit.
struct span wire_list_end(struct wire_list *list);

// One model alone.
struct span wire_model_write(enum wire_list_form form, const struct wire_model *model, char *buf,
                             size_t cap);

#endif

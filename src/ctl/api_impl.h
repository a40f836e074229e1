// api_impl.h - what the handlers of the API share.
#ifndef PENSTOCK_CTL_API_IMPL_H
#define PENSTOCK_CTL_API_IMPL_H

#include "penstock/base/check.h"
#include "penstock/base/mem.h"
#include "penstock/ctl/api.h"

enum api_next { API_NOW, API_LATER };
typedef enum api_next api_handler(struct api_call *call);

enum api_body { NO_BODY, BODY };
struct api_route {
    enum api_method method;
    const char *path;
    api_handler *run;
    enum entity_kind kind;
    enum api_body body;
    bool is_open;
    const char *query; // the names it takes, with spaces between
};

api_handler api_index, api_setup, api_token_list, api_token_create, api_token_delete;
api_handler api_list, api_get, api_create, api_update, api_delete, api_account_test;
api_handler api_usage, api_requests;
api_handler api_health, api_ready, api_metrics, api_status, api_reload, api_drain;

// Answers; each returns API_NOW. The JSON is taken.
enum api_next api_answer(struct api_call *call, int status, json_t *json);
enum api_next api_plain(struct api_call *call, int status, const char *type, struct span text);
// problem+json. `detail` may be NULL, `problems` too.
enum api_next api_problem(struct api_call *call, struct err err, const char *detail,
                          const struct problems *problems);
// The value `name` of the query is not good.
enum api_next api_bad_query(struct api_call *call, const char *name, const char *why);
// For handlers that answered API_LATER, when the answer is there.
void api_finish(struct api_call *call);

// A value of the query, decoded into `room`; false if it is not there.
must_use bool api_param(const struct api_call *call, const char *name, char *room, size_t cap,
                        struct span *out);
// A page's size; false when it is not a number within the bounds.
must_use bool api_limit(const struct api_call *call, uint32_t most, uint32_t *out);

json_t *json_span(struct span text);
// Wipes the texts before it lets go: what was read or shown may be a secret.
void json_forget(json_t *json);
json_t *json_time(uint64_t ns);

// The parts of health that status shows too.
json_t *health_json(const struct api *api);

#endif

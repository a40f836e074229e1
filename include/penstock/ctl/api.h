// api.h - the admin API, apart from how a call arrives: over HTTP, over the Unix socket, or from a
// command line that has opened the store itself.
//
// A call is one request with its answer. The routes stand in one table (api_routes), which
// docs/openapi.yaml describes; a test compares the two.
#ifndef PENSTOCK_CTL_API_H
#define PENSTOCK_CTL_API_H

#include "penstock/ctl/registry.h"
#include "penstock/ctl/tokens.h"
#include "penstock/ctl/view.h"

enum api_method { API_GET, API_POST, API_PATCH, API_DELETE, API_METHOD_COUNT };
const char *api_method_name(enum api_method method);

enum { API_BODY_MAX = 1 * MIB, API_PAGE_DEFAULT = 100, API_PAGE_MAX = 1000 };

struct prober;

// How busy a loop was, told by two looks at what it had been by then.
struct api_busy {
    uint64_t at_ns, busy_ns; // of the look before
    uint32_t permille;       // between the two last ones
};

struct api {
    struct registry *registry;
    struct tokens *tokens;   // NULL: only local calls are taken
    const struct view *view; // of the running process; NULL in a command line
    struct prober *prober;   // tests accounts; NULL in a command line
    const struct config *config;
    struct store *store; // for its figures only
    struct env *env;
    uint64_t calls[API_METHOD_COUNT][6];       // by status class
    uint64_t refused;                          // without a good token
    struct api_busy busy[VIEW_SHARDS_MAX + 1]; // of each shard; the last one: the control thread
};

struct api_route;
struct api_call {
    // What is asked; all spans outlive the call.
    enum api_method method;
    struct span path, query, body;
    struct span if_match;
    struct span token; // from the Authorization field
    bool is_local;     // by the operator of this machine, who needs no token
    bool is_json;      // so the content type says
    void (*done)(struct api_call *call);
    void *user;
    // The answer.
    int status;
    const char *type;
    struct text text;
    uint64_t etag;     // 0: none
    const char *allow; // the methods of the path, with a 405
    // The API's own.
    struct api *api;
    const struct api_route *route;
    char id[CHANGE_ID_MAX + 1];
    json_t *input;
    struct change change;
    struct registry_op op;
    void *work; // of the handler
};

// True: the answer is there. False: `done` is called later, from registry_poll() or the prober.
must_use bool api_begin(struct api *api, struct api_call *call);
void api_call_fini(struct api_call *call);
// For who was handed a call to answer later: the answer, whose JSON is taken, and that it is there.
void api_reply(struct api_call *call, int status, json_t *json);

// The table, for the index and for tests.
struct api_route_info {
    enum api_method method;
    const char *path; // with {id} for an object's id
    bool is_open;     // needs no token
};
bool api_route_at(uint32_t index, struct api_route_info *out);

#endif

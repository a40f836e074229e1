// provider.h - how each kind of vendor account is spoken to.
//
// One file an account type and one line in providers.def. What is plain data about a type (its
// name, base URL, formats, credential field) stands in model/account_types.def.
#ifndef PENSTOCK_PROVIDER_PROVIDER_H
#define PENSTOCK_PROVIDER_PROVIDER_H

#include "penstock/acct/snapshot.h"
#include "penstock/base/put.h"
#include "penstock/wire/route.h"

// What one call asks of the vendor.
struct provider_call {
    enum wire_op op;
    struct span path;    // the account's own path prefix
    struct span model;   // the vendor's name for it, decoded
    struct span version; // the API version in the client's path, or empty
    struct span query;   // the client's query without credentials
    bool events; // the client's API is another one, and the answer has to be an event stream
};

struct provider {
    // Writes the request target.
    void (*target)(const struct provider_call *call, struct put *out);
    // Writes fields that this vendor wants besides the credential, unless the client's own, given
    // as head lines, have them.
    void (*fields)(const struct snap_account *account, struct span client_fields, struct put *out);
};

const struct provider *provider_of(enum account_type type);

// --- for the files of src/provider ---

// `text` with everything but unreserved characters, '/' and ':' percent-encoded.
void provider_put_encoded(struct put *out, struct span text);
void provider_put_query(struct put *out, struct span query);
// True if `lines` has a field called `name`.
bool provider_has_field(struct span lines, struct span name);

#define PROVIDER(type, name) extern const struct provider provider_##name;
#include "penstock/provider/providers.def"
#undef PROVIDER

#endif

// field.h - an entity is a struct and a table with one row a field.
//
// The row says where the field lies, what it may hold and who may set it. Reading (YAML, JSON, one
// text), checking, writing (JSON with secrets masked), the stored form, comparison, copying and the
// documentation all walk the same table, so that a new field is a member and a row.
//
// A record starts with struct record. Its texts live in the record's own region, its secrets in the
// vault it was made with. record_fini() wipes both.
#ifndef PENSTOCK_MODEL_FIELD_H
#define PENSTOCK_MODEL_FIELD_H

#include "penstock/base/env.h"
#include "penstock/base/err.h"
#include "penstock/base/region.h"
#include "penstock/base/secret.h"
#include "penstock/model/problem.h"
#include "penstock/model/value.h"

#include <jansson.h>

enum {
    FIELDS_MAX = 128, // rows a table
    FIELD_NAME_MAX = 64,
    FIELD_TEXT_MAX = 64 * KIB, // the longest string
    FIELD_ITEMS_MAX = 4096,    // of a list or map
    DIGEST_BYTES = 32,
};

// The member's C type stands behind each kind.
enum field_kind {
    FIELD_STRING,   // struct span, NUL behind it; empty: not given
    FIELD_SECRET,   // struct secret *; NULL: not given
    FIELD_BOOL,     // bool
    FIELD_INT,      // int64_t
    FIELD_DURATION, // uint64_t nanoseconds
    FIELD_SIZE,     // uint64_t bytes
    FIELD_TIME,     // uint64_t nanoseconds since 1970, 0: none
    FIELD_ENUM,     // int, an index into `names`
    FIELD_ENUMS,    // uint32_t, a set of BIT(index into `names`)
    FIELD_STRINGS,  // struct strings
    FIELD_MAP,      // struct pairs
    FIELD_DIGEST,   // uint8_t[DIGEST_BYTES], written as 64 hexadecimal digits
    FIELD_OBJECTS,  // struct objects, each laid out by the table `sub`
};

struct strings {
    struct span *items;
    uint32_t count;
};
struct pair {
    struct span key, value;
};
struct pairs {
    struct pair *items;
    uint32_t count;
};
struct objects {
    void *items; // an array of structs of the sub-table's size
    uint32_t count;
};

enum field_flag {
    FIELD_REQUIRED = 1 << 0,
    FIELD_IMMUTABLE = 1 << 1,  // set at creation only
    FIELD_READ_ONLY = 1 << 2,  // set by the gateway, shown, never taken as input
    FIELD_HIDDEN = 1 << 3,     // never shown
    FIELD_SENSITIVE = 1 << 4,  // of a map: its values are masked and sealed as secrets are
    FIELD_FILE_ONLY = 1 << 5,  // taken from the configuration file, refused from the API
    FIELD_INPUT_ONLY = 1 << 6, // an input that becomes another field; not shown, not stored
    FIELD_LIVE = 1 << 7,       // a reload applies it; without it: at the next start
    FIELD_SHORTHAND = 1 << 8,  // of a sub-table: a plain scalar stands for this field
    FIELD_LINES = 1 << 9,      // a text that may hold line ends and tabs
};

struct table;
struct field {
    const char *name; // in a configuration table with dots: "limits.body"
    enum field_kind kind;
    uint16_t tag; // in the stored form; never reused
    uint16_t flags;
    uint32_t offset;
    const char *init;    // the default in its text form; NULL: empty, zero, false
    int64_t min, max;    // of the value, of a text's length, of a list's count; 0, 0: kind's own
    const char *zero;    // the word for 0 or empty: "off", "auto"
    const char *example; // for hints: "30s"
    const char *const *names; // of FIELD_ENUM and FIELD_ENUMS, NULL at the end
    const struct table *sub;
    // Further demands on one text of the field; NULL: good, else what is wrong with it.
    const char *(*check)(struct span text);
    const char *help; // a sentence for people
};

struct record;
struct table {
    const char *name;   // "account"
    const char *plural; // "accounts"; NULL for the objects of a list
    size_t size;        // of the struct
    uint8_t version;    // of the stored form
    uint8_t version_min;
    const struct field *fields;
    uint32_t count;
    const char *id_prefix; // "acc"
    // What one field cannot know. `path` stands before the field's name in problems.
    void (*check)(const struct record *record, const struct value *from, const char *path,
                  struct problems *problems);
    // Brings a record that was stored as `version` to today's meaning. NULL: nothing to do.
    void (*upgrade)(struct record *record, uint8_t version);
};

struct record {
    const struct table *table;
    struct region region;
    struct vault *vault;
    uint64_t given[FIELDS_MAX / 64]; // fields that were set, not left at their default
};

// A row: FIELD_ROW(STRING, struct account, "name", 2, name, .max = 64). The member's type is
// compared with the kind's at compile time.
#define FIELD_IS(type, member, ctype) \
    __builtin_types_compatible_p(__typeof__(((type *)0)->member), ctype)
#define FIELD_AT(type, member, ctype) \
    (offsetof(type, member) + 0 * sizeof(char[FIELD_IS(type, member, ctype) ? 1 : -1]))
#define FIELD_ROW(kind_, type, name_, tag_, member, ...)               \
    {                                                                  \
        .name = name_, .kind = FIELD_##kind_, .tag = tag_,             \
        .offset = FIELD_AT(type, member, FIELD_C_##kind_), __VA_ARGS__ \
    }
#define FIELD_C_STRING struct span
#define FIELD_C_SECRET struct secret *
#define FIELD_C_BOOL bool
#define FIELD_C_INT int64_t
#define FIELD_C_DURATION uint64_t
#define FIELD_C_SIZE uint64_t
#define FIELD_C_TIME uint64_t
#define FIELD_C_ENUM int
#define FIELD_C_ENUMS uint32_t
#define FIELD_C_STRINGS struct strings
#define FIELD_C_MAP struct pairs
#define FIELD_C_DIGEST uint8_t[DIGEST_BYTES]
#define FIELD_C_OBJECTS struct objects

// A zeroed record of `table` with its defaults. `record` is table->size bytes.
void record_init(struct record *record, const struct table *table, struct vault *vault);
void record_fini(struct record *record);
// On the heap; the process ends when there is no memory.
must_use struct record *record_new(const struct table *table, struct vault *vault);
void record_free(struct record **record);
must_use struct record *record_copy(const struct record *from);
bool record_eq(const struct record *a, const struct record *b);
bool record_field_eq(const struct record *a, const struct record *b, const struct field *field);
// Gives `to` the value that `from` has.
void record_field_copy(struct record *to, const struct record *from, const struct field *field);
// Whether the field was set, as against left at its default.
bool record_has(const struct record *record, const struct field *field);

const struct field *table_find(const struct table *table, struct span name);
const struct field *table_find_tag(const struct table *table, unsigned tag);
// Sets a text of the record itself: for ids and what else the gateway fills in.
void record_text(struct record *record, struct span *member, struct span text);

enum record_source {
    FROM_FILE,   // the configuration file: everything may be set, plain secrets are warned about
    FROM_CREATE, // the API, a new object
    FROM_UPDATE, // the API, a change: absent fields stay, null brings the default back
    FROM_ENV,    // one text of the environment
};

// Reads the map `value` into `record`. Every fault is added to `problems`, with `path` before the
// field's name; nothing is promised about the record then. The table's check runs at the end.
void record_read(struct record *record, const struct value *value, enum record_source source,
                 const char *path, struct problems *problems);
// Reads one value into the field of a record; also what a default and a variable go through.
void field_read(struct record *record, const struct field *field, const struct value *value,
                enum record_source source, const char *path, struct problems *problems);

// What stands for a secret in output. As input it keeps the secret that is there.
#define SECRET_MASK "********"

// The record for people and programs: secrets masked, hidden fields left out. Never fails; the
// caller owns the result.
must_use json_t *record_json(const struct record *record);
// One field in text form, as the configuration file would hold it; secrets masked.
void field_write(const struct record *record, const struct field *field, struct text *out);
// "a duration", "one of openai, anthropic"
void field_kind_text(const struct field *field, struct text *out);

// The stored form: the record version, then the fields that were given, each as tag, length, bytes.
// Secrets are sealed for (table, record id, field name). `id` names the record.
struct keyring;
must_use struct err record_pack(const struct record *record, struct span id,
                                const struct keyring *keyring, struct env *env, struct text *out);
// Takes records of this version and of those down to version_min; SEAL_BROKEN when a secret does
// not open, STORE_CORRUPT for bytes that no version wrote. `*out` is made with `vault`.
must_use struct err record_unpack(const struct table *table, struct span stored, struct span id,
                                  const struct keyring *keyring, struct vault *vault,
                                  struct record **out);

#endif

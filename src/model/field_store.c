// The stored form: version, then tag | length | bytes for each field that is not at its default.
// Numbers are LEB128. Names stand for enums, so that a table may be reordered.
#include "field_impl.h"
#include "penstock/model/seal.h"

enum { VARINT_MAX = 10, RECORD_STORED_MAX = 4 * MIB };

static void put_varint(struct text *out, uint64_t number)
{
    char bytes[VARINT_MAX];
    size_t len = 0;
    do {
        bytes[len++] = (char)((number & 0x7f) | (number > 0x7f ? 0x80 : 0));
        number >>= 7;
    } while (number > 0);
    text_add(out, span_of(bytes, len));
}

static bool take_varint(struct span *in, uint64_t *out)
{
    uint64_t number = 0;
    for (size_t i = 0; i < min_size(in->len, VARINT_MAX); i++) {
        const uint64_t bits = (unsigned char)in->ptr[i] & 0x7f;
        if (i == VARINT_MAX - 1 && bits > 1)
            return false;
        number |= bits << (7 * i);
        if (((unsigned char)in->ptr[i] & 0x80) == 0) {
            *in = span_from(*in, i + 1);
            *out = number;
            return true;
        }
    }
    return false;
}

static void put_span(struct text *out, struct span bytes)
{
    put_varint(out, bytes.len);
    text_add(out, bytes);
}

static bool take_span(struct span *in, struct span *out)
{
    uint64_t len;
    if (!take_varint(in, &len) || len > in->len)
        return false;
    *out = span_upto(*in, (size_t)len);
    *in = span_from(*in, (size_t)len);
    return true;
}

// Small absolute values stay short.
static uint64_t zigzag(int64_t number)
{
    return (uint64_t)number << 1 ^ (uint64_t)(number >> 63);
}

static int64_t unzigzag(uint64_t number)
{
    return (int64_t)(number >> 1) ^ -(int64_t)(number & 1);
}

static void pack_pairs(struct pairs pairs, struct text *out)
{
    for (uint32_t i = 0; i < pairs.count; i++) {
        put_span(out, pairs.items[i].key);
        put_span(out, pairs.items[i].value);
    }
}

struct packer {
    struct seal_place place;
    const struct keyring *keyring;
    struct env *env;
};

static void pack_value(const struct packer *packer, const void *base, const struct field *field,
                       struct text *out)
{
    struct text plain = { 0 };
    switch (field->kind) {
    case FIELD_STRING: text_add(out, *AS(struct span, base, field)); return;
    case FIELD_SECRET: {
        const struct secret *secret = *AS(struct secret *, base, field);
        if (secret != NULL)
            seal(packer->keyring, packer->env, &packer->place, secret_reveal(secret), out);
        return;
    }
    case FIELD_BOOL: text_add_char(out, *AS(bool, base, field) ? 1 : 0, 1); return;
    case FIELD_INT: put_varint(out, zigzag(*AS(int64_t, base, field))); return;
    case FIELD_DURATION:
    case FIELD_SIZE:
    case FIELD_TIME: put_varint(out, *AS(uint64_t, base, field)); return;
    case FIELD_ENUM: text_add(out, span_str(field->names[*AS(int, base, field)])); return;
    case FIELD_ENUMS:
        for (int i = 0; field->names[i] != NULL; i++)
            if ((*AS(uint32_t, base, field) & BIT(i)) != 0)
                put_span(out, span_str(field->names[i]));
        return;
    case FIELD_STRINGS: {
        const struct strings strings = *AS(struct strings, base, field);
        for (uint32_t i = 0; i < strings.count; i++)
            put_span(out, strings.items[i]);
        return;
    }
    case FIELD_MAP:
        pack_pairs(*AS(struct pairs, base, field), &plain);
        if (field_is(field, FIELD_SENSITIVE))
            seal(packer->keyring, packer->env, &packer->place, text_span(&plain), out);
        else
            text_add(out, text_span(&plain));
        text_fini(&plain);
        return;
    case FIELD_DIGEST: text_add(out, span_of(field_at(base, field), DIGEST_BYTES)); return;
    case FIELD_OBJECTS: break;
    }
    bug("lists of objects are for configuration, which is not stored");
}

struct err record_pack(const struct record *record, struct span id, const struct keyring *keyring,
                       struct env *env, struct text *out)
{
    const struct table *table = record->table;
    struct record *defaults = record_new(table, record->vault);
    struct packer packer = { { span_str(table->name), id, SPAN_NONE }, keyring, env };
    text_add_char(out, (char)table->version, 1);
    for (uint32_t i = 0; i < table->count; i++) {
        const struct field *field = &table->fields[i];
        if (field_is(field, FIELD_INPUT_ONLY) ||
            (!record_has(record, field) && field_eq(record, defaults, field)))
            continue;
        struct text value = { 0 };
        packer.place.field = span_str(field->name);
        pack_value(&packer, record, field, &value);
        put_varint(out, field->tag);
        put_span(out, text_span(&value));
        text_fini(&value);
    }
    record_free(&defaults);
    return out->len <= RECORD_STORED_MAX ? OK : ERR(INVALID);
}

struct unpacker {
    struct seal_place place;
    const struct keyring *keyring;
    struct home home;
};

static bool name_find(const struct field *field, struct span name, int *out)
{
    for (*out = 0; field->names[*out] != NULL; (*out)++)
        if (span_eq(name, span_str(field->names[*out])))
            return true;
    return false;
}

static bool unpack_enums(const struct field *field, struct span bytes, uint32_t *set)
{
    *set = 0;
    while (bytes.len > 0) {
        struct span name;
        int idx;
        if (!take_span(&bytes, &name) || !name_find(field, name, &idx))
            return false;
        *set |= BIT(idx);
    }
    return true;
}

// How many texts `bytes` holds; -1 if they are cut or no UTF-8, which nothing ever stored.
static int64_t count_spans(struct span bytes)
{
    int64_t count = 0;
    struct span one;
    for (; bytes.len > 0; count++)
        if (!take_span(&bytes, &one) || !span_is_utf8(one))
            return -1;
    return count;
}

static bool unpack_strings(struct span bytes, struct home home, struct strings *out)
{
    const int64_t count = count_spans(bytes);
    if (count < 0 || count > FIELD_ITEMS_MAX)
        return false;
    *out =
        (struct strings){ REGION_ARRAY(home.region, struct span, (size_t)count), (uint32_t)count };
    for (uint32_t i = 0; i < out->count; i++) {
        struct span text;
        if (!take_span(&bytes, &text))
            return false;
        out->items[i] = region_dup(home.region, text);
    }
    return true;
}

static bool unpack_pairs(struct span bytes, struct home home, struct pairs *out)
{
    const int64_t count = count_spans(bytes);
    if (count < 0 || count % 2 != 0 || count / 2 > FIELD_ITEMS_MAX)
        return false;
    *out = (struct pairs){ REGION_ARRAY(home.region, struct pair, (size_t)count / 2),
                           (uint32_t)(count / 2) };
    for (uint32_t i = 0; i < out->count; i++) {
        struct span key, value;
        if (!take_span(&bytes, &key) || !take_span(&bytes, &value))
            return false;
        out->items[i] =
            (struct pair){ region_dup(home.region, key), region_dup(home.region, value) };
    }
    return true;
}

static bool unpack_number(struct span bytes, uint64_t *out)
{
    return take_varint(&bytes, out) && bytes.len == 0;
}

static struct err unpack_sealed(const struct unpacker *unpacker, const struct field *field,
                                struct span bytes, void *base)
{
    if (field->kind == FIELD_SECRET && bytes.len == 0)
        return OK;
    struct secret *secret = NULL;
    TRY(unseal(unpacker->keyring, unpacker->home.vault, &unpacker->place, bytes, &secret));
    if (field->kind == FIELD_SECRET) {
        *AS(struct secret *, base, field) = secret;
        return OK;
    }
    const bool good =
        unpack_pairs(secret_reveal(secret), unpacker->home, AS(struct pairs, base, field));
    secret_free(&secret);
    return good ? OK : ERR(STORE_CORRUPT);
}

static bool unpack_plain(const struct unpacker *unpacker, const struct field *field,
                         struct span bytes, void *base)
{
    const struct home home = unpacker->home;
    uint64_t number;
    switch (field->kind) {
    case FIELD_STRING:
        *AS(struct span, base, field) = bytes.len > 0 ? region_dup(home.region, bytes) : SPAN_NONE;
        return bytes.len <= FIELD_TEXT_MAX && span_is_utf8(bytes);
    case FIELD_BOOL:
        if (bytes.len != 1 || (unsigned char)bytes.ptr[0] > 1)
            return false;
        *AS(bool, base, field) = bytes.ptr[0] == 1;
        return true;
    case FIELD_INT:
        if (!unpack_number(bytes, &number))
            return false;
        *AS(int64_t, base, field) = unzigzag(number);
        return true;
    case FIELD_DURATION:
    case FIELD_SIZE:
    case FIELD_TIME: return unpack_number(bytes, AS(uint64_t, base, field));
    case FIELD_ENUM: return name_find(field, bytes, AS(int, base, field));
    case FIELD_ENUMS: return unpack_enums(field, bytes, AS(uint32_t, base, field));
    case FIELD_STRINGS: return unpack_strings(bytes, home, AS(struct strings, base, field));
    case FIELD_MAP: return unpack_pairs(bytes, home, AS(struct pairs, base, field));
    case FIELD_DIGEST:
        if (bytes.len != DIGEST_BYTES)
            return false;
        memcpy(field_at(base, field), bytes.ptr, DIGEST_BYTES);
        return true;
    case FIELD_SECRET:
    case FIELD_OBJECTS: break;
    }
    bug("secrets are sealed and lists of objects are not stored");
}

static struct err unpack_all(struct record *record, struct span in, uint8_t version,
                             struct unpacker *unpacker)
{
    while (in.len > 0) {
        uint64_t tag;
        struct span bytes;
        if (!take_varint(&in, &tag) || tag > UINT16_MAX || !take_span(&in, &bytes))
            return ERR(STORE_CORRUPT);
        const struct field *field = table_find_tag(record->table, (unsigned)tag);
        if (field == NULL || field_is(field, FIELD_INPUT_ONLY)) {
            // An older program may have had a field that is gone; this one never had it.
            if (version == record->table->version)
                return ERR(STORE_CORRUPT);
            continue;
        }
        if (field->kind == FIELD_OBJECTS)
            return ERR(STORE_CORRUPT);
        field_clear(record, field);
        unpacker->place.field = span_str(field->name);
        if (field->kind == FIELD_SECRET || field_is(field, FIELD_SENSITIVE))
            TRY(unpack_sealed(unpacker, field, bytes, record));
        else if (!unpack_plain(unpacker, field, bytes, record))
            return ERR(STORE_CORRUPT);
        record_mark(record, field, true);
    }
    return OK;
}

struct err record_unpack(const struct table *table, struct span stored, struct span id,
                         const struct keyring *keyring, struct vault *vault, struct record **out)
{
    *out = NULL;
    if (stored.len == 0)
        return ERR(STORE_CORRUPT);
    const uint8_t version = (uint8_t)stored.ptr[0];
    if (version < table->version_min || version > table->version)
        return ERR(STORE_CORRUPT);
    struct record *record = record_new_sized(table, vault, stored.len * 2);
    struct unpacker unpacker = { { span_str(table->name), id, SPAN_NONE },
                                 keyring,
                                 record_home(record) };
    struct err err = unpack_all(record, span_from(stored, 1), version, &unpacker);
    if (failed(err)) {
        record_free(&record);
        return err;
    }
    if (version != table->version && table->upgrade != NULL)
        table->upgrade(record, version);
    *out = record;
    return OK;
}

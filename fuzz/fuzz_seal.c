// Sealed secrets: any bytes are refused, and so is a sealed secret with any change, in another
// place, or under another key; unchanged it opens. Any bytes as a client key, too.
#include "penstock/base/check.h"
#include "penstock/model/key.h"
#include "penstock/model/seal.h"

static const struct seal_place here = { SPAN("account"), SPAN("acc_1"), SPAN("api_key") };

static bool opens(const struct keyring *keyring, struct vault *vault,
                  const struct seal_place *place, struct span sealed, struct span want)
{
    struct secret *secret;
    if (failed(unseal(keyring, vault, place, sealed, &secret)))
        return false;
    assert(span_eq(secret_reveal(secret), want));
    secret_free(&secret);
    return true;
}

// One bit of a sealed secret, or its end, or its place is another.
static void check_changes(const struct keyring *keyring, struct vault *vault, struct env *env,
                          struct span secret, const uint8_t *choice)
{
    struct text sealed = { 0 };
    seal(keyring, env, &here, secret, &sealed);
    assert(sealed.len == secret.len + SEAL_OVERHEAD);
    assert(opens(keyring, vault, &here, text_span(&sealed), secret));
    const struct seal_place parts = { SPAN("accounta"), SPAN("cc_1"), SPAN("api_key") };
    assert(!opens(keyring, vault, &parts, text_span(&sealed), secret));
    const size_t bit = (size_t)(choice[0] | choice[1] << 8) % (8 * sealed.len);
    sealed.ptr[bit / 8] = (char)(sealed.ptr[bit / 8] ^ 1 << bit % 8);
    assert(!opens(keyring, vault, &here, text_span(&sealed), secret));
    sealed.ptr[bit / 8] = (char)(sealed.ptr[bit / 8] ^ 1 << bit % 8);
    assert(!opens(keyring, vault, &here, span_upto(text_span(&sealed), bit / 8), secret));
    text_fini(&sealed);
}

// A key text that passes has a good checksum: with one more character changed none does.
static void check_key(struct span text)
{
    if (!key_text_check(text))
        return;
    char changed[KEY_TEXT_LEN];
    for (size_t i = 0; i < KEY_TEXT_LEN; i++) {
        memcpy(changed, text.ptr, KEY_TEXT_LEN);
        changed[i] = changed[i] == 'a' ? 'b' : 'a';
        assert(!key_text_check(span_of(changed, KEY_TEXT_LEN)));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct vault *vault;
    struct keyring keyring;
    struct env_fake env;
    verify(!failed(vault_new(&vault)));
    env_fake_init(&env, 1);
    struct secret *master = secret_blank(vault, MASTER_KEY_BYTES);
    verify(master != NULL && !failed(keyring_init(&keyring, vault, master)));
    const struct span bytes = span_of(data + 2, size - 2);
    // What nobody sealed does not open, even behind the right beginning.
    struct secret *secret;
    assert(failed(unseal(&keyring, vault, &here, bytes, &secret)));
    struct text forged = { 0 };
    text_add(&forged, SPAN("\1\1"));
    text_add(&forged, span_of(keyring.id, sizeof(keyring.id)));
    text_add(&forged, bytes);
    assert(failed(unseal(&keyring, vault, &here, text_span(&forged), &secret)));
    text_fini(&forged);
    if (bytes.len <= SECRET_MAX)
        check_changes(&keyring, vault, &env.env, bytes, data);
    check_key(bytes);
    keyring_fini(&keyring);
    secret_free(&master);
    vault_free(&vault);
    return 0;
}

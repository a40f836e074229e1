// What of TLS is read before the library reads it: a ClientHello either passes with a name that is
// a name, or is refused with an alert; and the record scanner judges a stream of bytes the same,
// however it is cut.
#include "../src/net/tls_internal.h"
#include "penstock/base/check.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 40 * KIB };

static void check_hello(struct span message)
{
    struct tls_hello hello;
    const char *why = NULL;
    uint8_t alert = tls_hello_check(message, &hello, &why);
    assert((alert != 0) == (why != NULL));
    if (alert != 0)
        return;
    assert(hello.sni_len <= TLS_HOST_MAX);
    assert(strlen(hello.sni) == hello.sni_len);
    for (size_t i = 0; i < hello.sni_len; i++)
        assert(strchr("abcdefghijklmnopqrstuvwxyz0123456789-._", hello.sni[i]) != NULL);
}

// Passes `in` in pieces of at most `max` bytes; returns how many passed before a refusal.
static size_t scan(struct tls_scan *state, struct span in, size_t max)
{
    size_t passed = 0;
    while (in.len > 0) {
        size_t len = tls_scan_pass(state, span_upto(in, min_size(in.len, max)));
        if (len == 0)
            break;
        assert(len <= min_size(in.len, max));
        passed += len;
        in = span_from(in, len);
    }
    assert((in.len > 0) == (state->refused != NULL) || in.len == 0);
    return passed;
}

static void check_scan(struct span in, bool server, bool open)
{
    struct tls_scan whole = { .server = server, .open = open }, bytes = whole;
    size_t one = scan(&whole, in, SIZE_MAX), two = scan(&bytes, in, 1);
    // A refusal inside a fragment withholds what came in the same piece.
    assert(one <= two);
    if (whole.refused == NULL || bytes.refused == NULL)
        assert(one == two || whole.refused != NULL);
    assert(whole.refused == NULL || bytes.refused == whole.refused);
    assert(whole.records == bytes.records);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > INPUT_MAX)
        return 0;
    // In memory that ends where the input does.
    char *copy = malloc(size + !size);
    memcpy(copy, data, size);
    struct span text = span_of(copy, size);
    if (size <= TLS_HELLO_MAX)
        check_hello(text);
    for (int i = 0; i < 4; i++)
        check_scan(text, i & 1, i & 2);
    free(copy);
    return 0;
}

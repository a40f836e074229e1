#include "cert_time.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <time.h>

static uint64_t to_ns(const ASN1_TIME *time)
{
    struct tm tm;
    if (time == NULL || ASN1_TIME_to_tm(time, &tm) != 1)
        return 0;
    const time_t seconds = timegm(&tm);
    return seconds <= 0 ? 0 : min_u64((uint64_t)seconds, UINT64_MAX / NS_PER_S) * NS_PER_S;
}

uint64_t cert_expires_ns(struct span pem)
{
    if (pem.len == 0 || pem.len > INT32_MAX)
        return 0;
    BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    X509 *cert = bio != NULL ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    const uint64_t ns = cert != NULL ? to_ns(X509_get0_notAfter(cert)) : 0;
    X509_free(cert);
    BIO_free(bio);
    ERR_clear_error(); // of a text that is none
    return ns;
}

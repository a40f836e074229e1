#include "conn_tls.h"

#include "penstock/base/check.h"

void conn_tls_rx(struct conn *conn, struct buf *buf, uint32_t len)
{
    (void)buf, (void)len;
    assert(conn->tls != NULL);
    bug("TLS comes with the next stage");
}

void conn_tls_rx_eof(struct conn *conn)
{
    assert(conn->tls == NULL);
}

uint32_t conn_tls_rx_held(const struct conn *conn)
{
    assert(conn->tls == NULL);
    return 0;
}

void conn_tls_free(struct conn *conn)
{
    assert(conn->tls == NULL);
}

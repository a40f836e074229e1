// fields.h - which header fields pass, in either direction; private to src/relay.
#ifndef PENSTOCK_RELAY_FIELDS_H
#define PENSTOCK_RELAY_FIELDS_H

#include "req.h"

// Reads the client's trace, if it told a valid one: what fields_collect() goes by.
void fields_trace(struct req *req, const struct http_head *head);
// Copies what may go on to a vendor of the request's format into req->fields, as head lines.
must_use struct err fields_collect(struct req *req, const struct http_head *head,
                                   struct span query);
// Writes those of the request's fields that mean the same to every vendor.
void fields_convert(struct put *out, struct span lines);
// Writes what may go on to the client of a vendor's answer. `with_type`: also what its body is.
void fields_relay(struct put *out, const struct http_head *head, bool with_type);

#endif

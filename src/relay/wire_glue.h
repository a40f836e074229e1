// wire_glue.h - what the relay asks of the wire formats; private to src/relay.
#ifndef PENSTOCK_RELAY_WIRE_GLUE_H
#define PENSTOCK_RELAY_WIRE_GLUE_H

#include "req.h"

enum verdict {
    VERDICT_CONTENT,  // something the client waits for
    VERDICT_EARLY,    // the beginning without content
    VERDICT_HIDE,     // only there because we asked for it
    VERDICT_TERMINAL, // the format's proper end
    VERDICT_ERROR,    // the vendor reports an error in the stream
};

// Looks at one whole event: usage, its kind, an error.
enum verdict glue_event(struct req *req, struct span event, struct err *err);
// Looks at a piece of a whole answer as it passes.
void glue_whole(struct req *req, struct span bytes);
// At the end of the body: was the answer complete?
bool glue_complete(const struct req *req);
// Sends something harmless to a client that sent FIN. False when it could not be queued.
bool glue_probe(struct req *req);
// The status line and fields of a refusal; an error if it is not to be read at all.
must_use struct err refusal_note(struct req *req, const struct http_head *head);
// What the refusal means, once its body is in req->pump.hold.
must_use struct err refusal_classify(struct req *req);

#endif

// mend.h - a history that another format's vendor had a part in, on its way to a vendor of the
// client's own format (C-138, C-150).
//
// Such a request passes as it is but for a list of edits. What a conversion left in it goes: an
// envelope goes with the thought it belongs to; Gemini's calls get the placeholder that stands for
// a signature; Chat's `reasoning_content` goes where the vendor does not want it. So does what
// another account is known to have signed. What becomes empty goes too. The same history always
// gives the same bytes, and no byte beside these is touched.
#ifndef PENSTOCK_CONVERT_MEND_H
#define PENSTOCK_CONVERT_MEND_H

#include "penstock/codec/json.h"
#include "penstock/convert/blob.h"
#include "penstock/convert/caps.h"
#include "penstock/convert/loss.h"
#include "penstock/convert/sink.h"
#include "penstock/wire/route.h"

// How envelopes begin, for the scan of a body.
extern const struct json_marks mend_marks;

// Whether there may be an envelope in a body, of which the scan with `mend_marks` said `marked`.
bool mend_needed(struct span body, uint8_t marked, enum wire_family family);

// The list of a body's turns, in which all that is to be mended stands; JK_NONE: there is none.
struct json_slice mend_list(struct json_slice body, enum wire_family family);

struct mend {
    enum wire_family family;
    const struct caps *caps;
    struct losses *losses; // where the edits are told; NULL: nowhere
    bool thoughtless;      // every thought goes, whoever made it (C-064)
    // True if the account that is asked cannot take this blob; NULL: it takes all.
    bool (*foreign)(void *ctx, const struct blob *blob);
    void *ctx;
};

// Writes the list mended.
void mend_put(struct sink *out, struct json_slice list, const struct mend *mend);

#define MEND_NO_THINKING "{\"type\":\"disabled\"}"

// Messages: the value of `thinking` if the vendor would refuse to think on, since a loop of tools
// was begun without its thoughts: MEND_NO_THINKING is to stand there (C-068). Else JK_NONE.
struct json_slice mend_thinking(struct json_slice body, const struct mend *mend);

#endif

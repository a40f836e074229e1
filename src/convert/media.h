// media.h - pictures and documents inside requests: data URLs, and what bytes really are.
#ifndef PENSTOCK_SRC_CONVERT_MEDIA_H
#define PENSTOCK_SRC_CONVERT_MEDIA_H

#include "penstock/convert/prompt.h"

// Fills source, text and type of a part from a URL: a data URL's contents as base64, or the URL
// itself. False for a data URL without contents or a type, or if memory is short.
must_use bool media_from_url(struct part *part, struct words url, struct scratch *scratch);
// A text that came as data is a text again: others take only pictures and PDFs as data.
void media_read_text(struct part *part, struct scratch *scratch);
// A part's data as vendors take it: standard base64, padded, in one line (C-105). What is no base64
// stays as it is, for the vendor to refuse.
struct words media_data(const struct part *part, struct scratch *scratch);
// The type that the first bytes of base64 text show (C-098), else the one that was said.
struct words media_type(struct words base64, struct words said);
bool media_type_is(struct words type, struct span prefix); // "image/", "audio/", ...

#endif

// args.h - a call's arguments, which two formats carry as a string of JSON text and two as a JSON
// object.
#ifndef PENSTOCK_CONVERT_ARGS_H
#define PENSTOCK_CONVERT_ARGS_H

#include "penstock/convert/completion.h"
#include "penstock/convert/scratch.h"

// The object that the words are as JSON text: "{}" if they are empty or null (C-023), SPAN_NONE if
// they are anything but an object, or memory is short. A view of the words, or of scratch memory.
struct span args_object(struct words words, struct scratch *scratch);
struct span args_object_of(const struct item *item, struct scratch *scratch);

// The same, written: what is no object becomes {"_raw":"..."} (C-025). False if it did.
bool args_put_object(struct sink *out, struct words words, struct scratch *scratch);
bool args_put_object_of(struct sink *out, const struct item *item, struct scratch *scratch);

// As the contents of a JSON string; "{}" if they are empty.
void args_put_string(struct sink *out, struct words words);
void args_put_string_of(struct sink *out, const struct item *item);

// Free text as a string inside JSON that stands in a JSON string itself: escaped twice.
void args_put_nested(struct sink *out, struct words text);

#endif

// call_hash.h - a hash of JSON by what it means, not by how it is written.
#ifndef PENSTOCK_CONVERT_CALL_HASH_H
#define PENSTOCK_CONVERT_CALL_HASH_H

#include "penstock/convert/words.h"

uint64_t hash_words(struct words words);
// Of a JSON text; of one that is none, of its bytes. No text is that of an empty object.
uint64_t hash_json(struct span text);
uint64_t hash_pair(uint64_t one, uint64_t other);

#endif

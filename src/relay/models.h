// models.h - the list of models that a key may use, in the form its client expects.
#ifndef PENSTOCK_RELAY_MODELS_H
#define PENSTOCK_RELAY_MODELS_H

#include "req.h"

// Answers OP_MODELS and OP_MODEL and ends the request's stream, unless it fails.
must_use struct err models_answer(struct req *req, struct span query);

#endif

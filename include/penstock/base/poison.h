// poison.h - memory that nobody may touch just now, so that AddressSanitizer reports who does.
//
// Without the sanitizer both macros do nothing.
#ifndef PENSTOCK_BASE_POISON_H
#define PENSTOCK_BASE_POISON_H

#if defined(__SANITIZE_ADDRESS__)
#define POISON_WORKS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POISON_WORKS 1
#endif
#endif

#ifdef POISON_WORKS
#include <sanitizer/asan_interface.h>
#define POISON(ptr, len) ASAN_POISON_MEMORY_REGION(ptr, len)
#define UNPOISON(ptr, len) ASAN_UNPOISON_MEMORY_REGION(ptr, len)
#else
#define POISON(ptr, len) ((void)0)
#define UNPOISON(ptr, len) ((void)0)
#endif

#endif

/* Arrays that are made once and shared: what follows from constants (folded or packed weights), found
 * by a key of integers. Any number of threads may look and add; nothing is taken out before the end. */
#ifndef XAI_BASE_CACHE_H
#define XAI_BASE_CACHE_H
#include <stdatomic.h>

#include "base/memory.h"

typedef struct xai__cache {
  xai__memory *memory;
  _Atomic(struct xai__cache_item *) first;
} xai__cache;

/* The array under a key, *n floats (n may be NULL); NULL if it is not there. */
float *xai__cache_find(const xai__cache *c, const int *key, int n_key, int64_t *n);
/* An array to be filled and then put in, or given up with xai__cache_drop. NULL: no memory. */
float *xai__cache_new(xai__cache *c, const int *key, int n_key, int64_t n, xai_error *err);
/* What is under its key from now on: another thread's, if that came first. */
float *xai__cache_put(xai__cache *c, float *made);
void xai__cache_drop(float *made);
void xai__cache_free(xai__cache *c);

#endif

/* A list that only grows, its head an atomic pointer: an item is complete before it is published. */
#include "base/cache.h"

#include <string.h>

#define HEAD 64 /* bytes before the floats, which stay aligned */

typedef struct xai__cache_item {
  struct xai__cache_item *next;
  int *key; /* behind the floats */
  int n_key;
  int64_t n;
} item;
_Static_assert(sizeof(item) <= HEAD, "head of an item");

static float *floats(item *i) { return (float *)(void *)((char *)i + HEAD); }
static item *item_of(float *made) { return (item *)(void *)((char *)made - HEAD); }

static item *search(item *i, const int *key, int n_key) {
  while (i && (i->n_key != n_key || memcmp(i->key, key, (size_t)n_key * sizeof *key))) i = i->next;
  return i;
}

float *xai__cache_find(const xai__cache *c, const int *key, int n_key, int64_t *n) {
  item *i = search(atomic_load(&((xai__cache *)(uintptr_t)c)->first), key, n_key);
  if (i && n) *n = i->n;
  return i ? floats(i) : NULL;
}

float *xai__cache_new(xai__cache *c, const int *key, int n_key, int64_t n, xai_error *err) {
  size_t data = (size_t)n * sizeof(float), all = HEAD + data + (size_t)n_key * sizeof *key;
  item *i = xai__new_raw(c->memory, all, 1, err);
  if (!i) return NULL;
  *i = (item){NULL, (int *)(void *)((char *)i + HEAD + data), n_key, n};
  if (n_key) memcpy(i->key, key, (size_t)n_key * sizeof *key);
  return floats(i);
}

float *xai__cache_put(xai__cache *c, float *made) {
  item *mine = item_of(made), *first = atomic_load(&c->first);
  do {
    item *other = search(first, mine->key, mine->n_key);
    if (other) {
      xai__free(mine);
      return floats(other);
    }
    mine->next = first;
  } while (!atomic_compare_exchange_weak(&c->first, &first, mine));
  return made;
}

void xai__cache_drop(float *made) {
  if (made) xai__free(item_of(made));
}

void xai__cache_free(xai__cache *c) {
  item *i = atomic_load(&c->first);
  atomic_store(&c->first, NULL);
  while (i) {
    item *next = i->next;
    xai__free(i);
    i = next;
  }
}

/* The counted allocator: every block starts with a header that names its allocator. */
#include "base/memory.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define ALIGN 64

struct xai__memory {
  xai_realloc_fn realloc;
  void *user;
  int64_t limit;
  atomic_llong used;
  atomic_int refs; /* the owner and one a block */
};

typedef struct header {
  xai__memory *memory;
  size_t size; /* with the header */
} header;

static void *default_realloc(void *user, void *p, size_t old_size, size_t size, size_t align) {
  (void)user;
  (void)old_size;
  if (size == 0) {
    free(p);
    return NULL;
  }
  return aligned_alloc(align, size); /* p is always NULL here */
}

static size_t round_up(size_t n) { return (n + ALIGN - 1) / ALIGN * ALIGN; }

xai__memory *xai__memory_create(xai_realloc_fn realloc, void *user, int64_t limit) {
  if (!realloc) realloc = default_realloc;
  xai__memory *m = realloc(user, NULL, 0, round_up(sizeof *m), ALIGN);
  if (!m) return NULL;
  m->realloc = realloc;
  m->user = user;
  m->limit = limit;
  atomic_init(&m->used, 0);
  atomic_init(&m->refs, 1);
  return m;
}

void xai__memory_release(xai__memory *m) {
  if (m && atomic_fetch_sub(&m->refs, 1) == 1)
    m->realloc(m->user, m, round_up(sizeof *m), 0, ALIGN);
}

int64_t xai__memory_used(const xai__memory *m) {
  return m ? atomic_load(&((xai__memory *)(uintptr_t)m)->used) : 0;
}

int64_t xai__memory_room(const xai__memory *m) {
  return m && m->limit > 0 ? m->limit - xai__memory_used(m) : INT64_MAX;
}

void *xai__new_raw(xai__memory *m, size_t n, size_t size, xai_error *err) {
  size_t bytes = 0;
  if (size && n > (SIZE_MAX / 2 - 2 * ALIGN) / size) {
    xai__fail(err, XAI_E_LIMIT, NULL, "%zu elements of %zu bytes are more than memory can hold", n,
              size);
    return NULL;
  }
  bytes = round_up(n * size) + ALIGN;
  if (m) {
    long long used = atomic_fetch_add(&m->used, (long long)bytes) + (long long)bytes;
    if (m->limit > 0 && used > m->limit) {
      atomic_fetch_sub(&m->used, (long long)bytes);
      xai__fail(err, XAI_E_LIMIT, NULL, "%lld bytes needed, max_memory is %lld", used,
                (long long)m->limit);
      return NULL;
    }
  }
  header *h = m ? m->realloc(m->user, NULL, 0, bytes, ALIGN)
                : default_realloc(NULL, NULL, 0, bytes, ALIGN);
  if (!h) {
    if (m) atomic_fetch_sub(&m->used, (long long)bytes);
    xai__fail(err, XAI_E_MEMORY, NULL, "out of memory: %zu bytes wanted", bytes);
    return NULL;
  }
  h->memory = m;
  h->size = bytes;
  if (m) atomic_fetch_add(&m->refs, 1);
  return (char *)h + ALIGN;
}

void *xai__new(xai__memory *m, size_t n, size_t size, xai_error *err) {
  void *p = xai__new_raw(m, n, size, err);
  if (p) memset(p, 0, n * size);
  return p;
}

void xai__free(void *p) {
  if (!p) return;
  header *h = (header *)(void *)((char *)p - ALIGN);
  xai__memory *m = h->memory;
  if (!m) {
    free(h);
    return;
  }
  atomic_fetch_sub(&m->used, (long long)h->size);
  m->realloc(m->user, h, h->size, 0, ALIGN);
  xai__memory_release(m);
}

bool xai__mul(int64_t a, int64_t b, int64_t *out) {
  if (a < 0 || b < 0 || (b && a > INT64_MAX / b)) return false;
  *out = a * b;
  return true;
}

bool xai__add(int64_t a, int64_t b, int64_t *out) {
  if (a < 0 || b < 0 || a > INT64_MAX - b) return false;
  *out = a + b;
  return true;
}

/* ---- arena ---- */

#define ARENA_BLOCK 16384

typedef struct xai__arena_block {
  struct xai__arena_block *previous;
  size_t size, used;
} xai__arena_block;

#define ARENA_HEAD 32
_Static_assert(sizeof(xai__arena_block) <= ARENA_HEAD, "arena head");

void *xai__arena_new(xai__arena *a, size_t n, size_t size, xai_error *err) {
  if (size && n > (SIZE_MAX / 2 - ARENA_BLOCK) / size) {
    xai__fail(err, XAI_E_LIMIT, NULL, "%zu elements of %zu bytes are more than memory can hold", n,
              size);
    return NULL;
  }
  size_t bytes = (n * size + 15) / 16 * 16;
  if (!a->last || a->last->size - a->last->used < bytes) {
    size_t block = bytes + ARENA_HEAD > ARENA_BLOCK ? bytes + ARENA_HEAD : ARENA_BLOCK;
    xai__arena_block *b = xai__new_raw(a->memory, block, 1, err);
    if (!b) return NULL;
    b->previous = a->last;
    b->size = block;
    b->used = ARENA_HEAD;
    a->last = b;
  }
  void *p = (char *)a->last + a->last->used;
  a->last->used += bytes;
  return memset(p, 0, bytes);
}

char *xai__arena_text(xai__arena *a, const char *s, size_t n, xai_error *err) {
  char *t = xai__arena_new(a, n + 1, 1, err);
  if (t && n) memcpy(t, s, n);
  return t;
}

int64_t xai__arena_bytes(const xai__arena *a) {
  int64_t bytes = 0;
  for (const xai__arena_block *b = a->last; b; b = b->previous) bytes += (int64_t)b->size + 2 * ALIGN;
  return bytes;
}

void xai__arena_free(xai__arena *a) {
  while (a->last) {
    xai__arena_block *b = a->last;
    a->last = b->previous;
    xai__free(b);
  }
}

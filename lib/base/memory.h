/* Memory: a counted, limited allocator (xai__memory) and an arena on top of it.
 *
 * Every block is 64-byte aligned and remembers its allocator, so xai__free needs nothing else and
 * a block may outlive the object it was made for. NULL as allocator: the C library, uncounted. */
#ifndef XAI_BASE_MEMORY_H
#define XAI_BASE_MEMORY_H
#include <stdbool.h>
#include <xai/xai.h>

typedef struct xai__memory xai__memory;

/* limit <= 0: none. realloc NULL: the C library's. */
xai__memory *xai__memory_create(xai_realloc_fn realloc, void *user, int64_t limit);
void xai__memory_release(xai__memory *m); /* the struct lives until its last block is freed */
int64_t xai__memory_used(const xai__memory *m);
int64_t xai__memory_room(const xai__memory *m); /* what its limit still allows */

/* Zeroed; n * size is checked. NULL after xai__fail(XAI_E_MEMORY or XAI_E_LIMIT). */
void *xai__new(xai__memory *m, size_t n, size_t size, xai_error *err);
/* The same, not zeroed. */
void *xai__new_raw(xai__memory *m, size_t n, size_t size, xai_error *err);
void xai__free(void *p);

/* Checked sizes: false on overflow or a negative factor. */
bool xai__mul(int64_t a, int64_t b, int64_t *out);
bool xai__add(int64_t a, int64_t b, int64_t *out);

/* Many small blocks, freed together. */
typedef struct xai__arena {
  xai__memory *memory;
  struct xai__arena_block *last;
} xai__arena;
void *xai__arena_new(xai__arena *a, size_t n, size_t size, xai_error *err); /* zeroed, 16-aligned */
char *xai__arena_text(xai__arena *a, const char *s, size_t n, xai_error *err); /* terminated copy */
int64_t xai__arena_bytes(const xai__arena *a); /* that it holds */
void xai__arena_free(xai__arena *a);

#endif

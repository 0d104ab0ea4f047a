/* Shapes, run-time views, and the public tensor handle.
 *
 * Inside the library data are float32 or int64 (bool: 0 or 1), whatever the file's dtype; the
 * public handle keeps the declared dtype and conversion happens at the door. */
#ifndef XAI_TENSOR_TENSOR_H
#define XAI_TENSOR_TENSOR_H
#include "base/error.h"
#include "base/memory.h"
#include <stdatomic.h>
#include <stdbool.h>

#define XAI__MAX_RANK 8

/* Types that files have and callers are given as XAI_U8 and XAI_I8: one byte an element. */
enum { XAI_U4 = 21, XAI_I4 = 22 };

typedef struct xai__shape {
  int rank;
  int64_t d[XAI__MAX_RANK];
} xai__shape;

/* A tensor as operators see it. dtype: XAI_F32 or XAI_I64 (storage). data NULL: not there. */
typedef struct xai__view {
  int dtype;
  xai__shape shape;
  void *data;
  int blocked; /* 0: rows, as the shape says; else 1 + the border of a blocked tensor (op/blocked.h) */
  bool fresh;  /* where a sum is wanted: holds nothing yet */
  int64_t times; /* of relevance: so many such tensors, one after the other; 0: one */
} xai__view;

static const xai__view xai__absent = {.dtype = XAI_F32, .shape.rank = -1};

static inline float *xai__f(const xai__view *v) { return (float *)v->data; }
static inline int64_t *xai__i(const xai__view *v) { return (int64_t *)v->data; }

int64_t xai__count(const xai__shape *s);              /* number of elements; 1 for rank 0 */
int64_t xai__span(const xai__shape *s, int from, int to); /* product of dims [from, to) */
bool xai__shape_checked_count(const xai__shape *s, int64_t *n);
bool xai__shape_equal(const xai__shape *a, const xai__shape *b);
/* numpy broadcasting; false if the two do not fit. */
bool xai__shape_broadcast(const xai__shape *a, const xai__shape *b, xai__shape *out);
/* Strides (in elements) to walk `s` along the axes of `over`; 0 where s is broadcast. */
void xai__shape_strides_over(const xai__shape *s, const xai__shape *over, int64_t *stride);
/* "2x3x224x224" or "scalar". */
typedef struct { char text[112]; } xai__shape_text_t;
xai__shape_text_t xai__shape_text(const xai__shape *s);

int xai__dtype_storage(int dtype);      /* XAI_F32, XAI_I64, or 0 if unknown */
size_t xai__dtype_size(int dtype);      /* bytes an element; 0 if unknown */
const char *xai__dtype_name(int dtype); /* "float32" */
int xai__dtype_returned(int dtype);     /* what a caller is given: XAI_F32 for half floats */
/* n elements of `dtype` at `from` (any alignment, little-endian) to storage, and back. */
void xai__to_storage(int dtype, const void *from, int64_t n, void *to);
void xai__from_storage(int dtype, const void *from, int64_t n, void *to);

struct xai_tensor {
  atomic_int refs;
  int dtype;
  xai__shape shape;
  void *data;
  void (*release)(void *user);
  void *user;
};
/* Zeroed tensor of the handle kind, data in the same block. */
int xai__tensor_new(xai__memory *m, int dtype, const xai__shape *shape, xai_tensor **out,
                    xai_error *err);

#endif

/* What is explained: targets, their values f, and the relevance that the reverse sweep starts with
 * [METHODS section 0]. */
#ifndef XAI_EXPLAIN_TARGET_H
#define XAI_EXPLAIN_TARGET_H
#include "explain/session.h"

typedef enum { XAI__SEED_ONE, XAI__SEED_VALUE, XAI__SEED_CONTRAST, XAI__SEED_TENSOR } xai__seed;

typedef struct xai__targets {
  int64_t n, items, size; /* targets; items of the explained tensor; elements of an item */
  int64_t *index;         /* [n][items], NULL with a mask */
  const float *mask;      /* [n][size], or NULL */
  double *f;              /* [n][items] */
  xai__seed seed;
  const float *seed_tensor; /* one item or all, or NULL */
  int64_t n_seed;
  bool log_prob;
  int64_t classes, inner;   /* class axis of an item: element (outer, class, inner) */
  xai__arena arena;
} xai__targets;

/* From the request and the explained tensor y, whose values are there. class_axis: of y, or -1. */
int xai__targets_read(const xai_request *r, const xai__params *params, const xai__view *y,
                      int64_t batch, int class_axis, xai__memory *m,
                      xai__targets *t, xai_error *err);
void xai__targets_free(xai__targets *t);
/* How many a request asks for, as far as can be said before anything runs. */
int64_t xai__targets_asked(const xai_request *r);
/* f of target k for an item whose explained tensor is y. */
double xai__targets_value(const xai__targets *t, int64_t k, int64_t item, const float *y);
/* Writes the seed of target k, of y's shape. y may hold the items several times over. */
void xai__targets_seed(const xai__targets *t, int64_t k, const xai__view *y, float *seed);

#endif

/* Which blocks of a tensor a tensor of indices names: ScatterND, GatherND, ScatterElements. */
#ifndef XAI_OP_PLACES_H
#define XAI_OP_PLACES_H
#include "op/check.h"

typedef struct xai__places {
  const int64_t *index;
  int64_t n, inner; /* blocks named; elements of a block */
  int rank;         /* of a tuple; elements: of the tensor */
  int axis;         /* elements: the one that the index stands for; tuples: -1 */
  int64_t d[XAI__MAX_RANK], stride[XAI__MAX_RANK]; /* of the axes named, in blocks */
  int64_t box[XAI__MAX_RANK];                      /* elements: shape of the indices */
  int64_t per_batch, batch_size;                   /* tuples: of one batch; blocks of one batch */
  int first_axis;                                  /* the first axis named: batch_dims */
} xai__places;

/* Operand 1 holds tuples, along its last axis, that name blocks of operand 0 behind the `batch`
 * leading axes the two have in common. */
int xai__places_tuples(const xai__call *c, int batch, xai__places *p);
/* Operand 1 holds indices along `axis` of operand 0, its other axes standing for themselves. */
int xai__places_elements(const xai__call *c, int axis, xai__places *p);
/* Every index is within its axis; negative ones count from the end. Only at run time. */
int xai__places_check(const xai__call *c, const xai__places *p);

/* Which block the t-th one is: its first element is that times p->inner. */
static inline int64_t xai__place(const xai__places *p, int64_t t) {
  if (p->axis < 0) {
    int64_t at = t / p->per_batch * p->batch_size;
    for (int j = 0; j < p->rank; j++) {
      int64_t i = p->index[t * p->rank + j];
      at += (i < 0 ? i + p->d[j] : i) * p->stride[j];
    }
    return at;
  }
  int64_t at = 0, rest = t, i = p->index[t];
  for (int j = p->rank - 1; j >= 0; j--) {
    int64_t here = rest % p->box[j];
    rest /= p->box[j];
    if (j == p->axis) here = i < 0 ? i + p->d[j] : i;
    at += here * p->stride[j];
  }
  return at;
}

#endif

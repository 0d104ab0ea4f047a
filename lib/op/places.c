/* Which blocks of a tensor a tensor of indices names. */
#include "op/places.h"

int xai__places_tuples(const xai__call *c, int batch, xai__places *p) {
  const xai__shape *x = &c->in[0].shape, *index = &c->in[1].shape;
  const char *type = c->node->op->type;
  XAI__TRY(xai__need_int(c, 1));
  if (x->rank < 1 || index->rank < 1)
    return XAI__MALFORMED(c, "%s: data of rank %d and indices of rank %d, both must be at least 1",
                          type, x->rank, index->rank);
  int last = index->rank - 1;
  int64_t tuple = index->d[last];
  if (batch < 0 || batch > last || batch >= x->rank)
    return XAI__MALFORMED(c, "%s: batch_dims %d with data of rank %d and indices of rank %d", type,
                          batch, x->rank, index->rank);
  for (int i = 0; i < batch; i++)
    if (x->d[i] != index->d[i])
      return XAI__MALFORMED(c, "%s: batch axis %d is %lld in the data and %lld in the indices",
                            type, i, (long long)x->d[i], (long long)index->d[i]);
  if (tuple < 1 || tuple > x->rank - batch)
    return XAI__MALFORMED(c, "%s: indices of shape %s name %lld axes, data of shape %s has %d",
                          type, xai__shape_text(index).text, (long long)tuple,
                          xai__shape_text(x).text, x->rank - batch);
  int rank = (int)tuple, end = batch + rank;
  *p = (xai__places){.index = xai__i(&c->in[1]), .n = xai__span(index, 0, last),
                     .inner = xai__span(x, end, x->rank), .rank = rank, .axis = -1,
                     .per_batch = xai__span(index, batch, last),
                     .batch_size = xai__span(x, batch, end), .first_axis = batch};
  for (int j = 0; j < rank; j++) {
    p->d[j] = x->d[batch + j];
    p->stride[j] = xai__span(x, batch + j + 1, end);
  }
  return XAI_OK;
}

int xai__places_elements(const xai__call *c, int axis, xai__places *p) {
  const xai__shape *x = &c->in[0].shape, *index = &c->in[1].shape;
  XAI__TRY(xai__need_int(c, 1));
  bool fits = index->rank == x->rank;
  for (int i = 0; fits && i < x->rank; i++) fits = i == axis || index->d[i] <= x->d[i];
  if (!fits)
    return XAI__MALFORMED(c, "%s: indices of shape %s for %s along axis %d", c->node->op->type,
                          xai__shape_text(index).text, xai__shape_text(x).text, axis);
  *p = (xai__places){.index = xai__i(&c->in[1]), .n = xai__count(index), .inner = 1,
                     .rank = x->rank, .axis = axis};
  for (int j = 0; j < x->rank; j++) {
    p->d[j] = x->d[j];
    p->stride[j] = xai__span(x, j + 1, x->rank);
    p->box[j] = index->d[j];
  }
  return XAI_OK;
}

int xai__places_check(const xai__call *c, const xai__places *p) {
  int64_t n = xai__count(&c->in[1].shape);
  for (int64_t k = 0; k < n; k++) {
    int j = p->axis < 0 ? (int)(k % p->rank) : p->axis;
    if (p->index[k] < -p->d[j] || p->index[k] >= p->d[j])
      return xai__fail(c->err, c->in_static[1] ? XAI_E_MODEL : XAI_E_INPUT, c->node->name,
                       "%s: index %lld at position %lld is outside axis %d of size %lld",
                       c->node->op->type, (long long)p->index[k], (long long)k,
                       p->first_axis + j, (long long)p->d[j]);
  }
  return XAI_OK;
}

/* numpy broadcasting of operands, and its transpose. */
#include "op/broadcast.h"
#include <string.h>

int xai__infer_broadcast(xai__call *c, int from) {
  for (int i = from; i < c->n_in; i++)
    if (!xai__has(c, i))
      return XAI__MALFORMED(c, "%s: operand %d is missing", c->node->op->type, i);
  xai__shape all = c->in[from].shape;
  for (int i = from + 1; i < c->n_in; i++) {
    xai__shape both;
    if (!xai__shape_broadcast(&all, &c->in[i].shape, &both))
      return XAI__MALFORMED(c, "%s: shapes %s and %s do not fit together", c->node->op->type,
                            xai__shape_text(&all).text, xai__shape_text(&c->in[i].shape).text);
    all = both;
  }
  c->out[0].shape = all;
  return xai__need_countable(c, &all);
}

const xai__field xai__legacy_fields[] = {
    {"broadcast", XAI__INT, offsetof(xai__legacy_attr, broadcast), 0, false},
    {"axis", XAI__INT, offsetof(xai__legacy_attr, axis), -0x1p63, false},
    {0}};

int xai__legacy_align(const xai__call *c, xai__view in[2], xai__call *aligned) {
  const xai__legacy_attr *a = c->node->attr;
  xai__shape *s = &in[1].shape;
  int axis, rank = c->in[0].shape.rank;
  memcpy(in, c->in, 2 * sizeof *in);
  *aligned = *c;
  aligned->in = in;
  bool old = c->node->opset < 7 && c->node->op->fields == xai__legacy_fields;
  if (!old || !a->broadcast || a->axis == INT64_MIN || s->rank < 1 || rank < 0) return XAI_OK;
  XAI__TRY(xai__axis(a->axis, rank, c, &axis));
  if (axis + s->rank > rank)
    return XAI__MALFORMED(c, "%s: shape %s does not fit into %s from axis %d on", c->node->op->type,
                          xai__shape_text(s).text, xai__shape_text(&c->in[0].shape).text, axis);
  while (axis + s->rank < rank) s->d[s->rank++] = 1;
  return XAI_OK;
}

void xai__broadcast_copy(xai__engine *e, const xai__view *to, const xai__view *from) {
  xai__loop l = xai__loop_over(&to->shape);
  xai__loop_add(&l, &to->shape);
  xai__loop_add(&l, &from->shape);
  xai__copy(e, &l, to->dtype, to->data, from->data);
}

void xai__sum_to(xai__engine *e, const xai__view *to, const xai__view *from, float scale) {
  if (e && xai__count(&to->shape) == xai__count(&from->shape)) {
    xai__add_scaled(e, xai__f(to), xai__f(from), xai__count(&to->shape), scale);
    return;
  }
  xai__loop l = xai__loop_over(&from->shape);
  xai__loop_add(&l, &to->shape);
  xai__loop_add(&l, &from->shape);
  xai__add_sums(e, &l, xai__f(to), xai__f(from), scale);
}

void xai__broadcast_each(xai__call *c, const xai__view *z, const xai__view *x, const xai__view *y,
                         xai__run_fn f) {
  xai__loop l = xai__loop_over(&z->shape);
  xai__loop_add(&l, &z->shape);
  xai__loop_add(&l, &x->shape);
  xai__loop_add(&l, &y->shape);
  xai__loop_each(c->engine, &l, f, &(xai__operands){z->data, x->data, y->data});
}

/* Checks that inferences share. */
#include "op/check.h"

static const char *storage_name(int dtype) {
  return dtype == XAI_F32 ? "floating point" : "integer";
}

int xai__need_int(const xai__call *c, int i) {
  if (!xai__has(c, i)) return XAI__MALFORMED(c, "%s: operand %d is missing", c->node->op->type, i);
  if (c->in[i].dtype == XAI_I64) return XAI_OK;
  return XAI__MALFORMED(c, "%s: operand %d must hold integers", c->node->op->type, i);
}

int xai__need_same(const xai__call *c, int from) {
  for (int i = from; i < c->n_in; i++)
    if (c->in[i].dtype != c->in[from].dtype)
      return XAI__MALFORMED(c, "%s: operand %d is %s, operand %d %s", c->node->op->type, from,
                            storage_name(c->in[from].dtype), i, storage_name(c->in[i].dtype));
  return XAI_OK;
}

int xai__optional_ints(xai__call *c, int i, const char *what, const int64_t **v, int64_t *n) {
  *v = NULL;
  *n = 0;
  return xai__has(c, i) ? xai__known_ints(c, i, what, v, n) : XAI_OK;
}

int xai__axes_given(xai__call *c, xai__ints attr, int i, xai__ints *axes) {
  *axes = attr;
  if (attr.n) return XAI_OK;
  int64_t n;
  XAI__TRY(xai__optional_ints(c, i, "axes", &axes->v, &n));
  if (n > XAI__MAX_RANK)
    return XAI__MALFORMED(c, "%s: %lld axes, at most %d exist", c->node->op->type, (long long)n,
                          XAI__MAX_RANK);
  axes->n = (int)n;
  return XAI_OK;
}

int xai__axes_mark(const xai__call *c, xai__ints axes, int rank, bool *marked) {
  for (int i = 0; i < rank; i++) marked[i] = false;
  for (int i = 0; i < axes.n; i++) {
    int a;
    XAI__TRY(xai__axis(axes.v[i], rank, c, &a));
    if (marked[a])
      return XAI__MALFORMED(c, "%s: axis %d is named twice", c->node->op->type, a);
    marked[a] = true;
  }
  return XAI_OK;
}

int xai__need_countable(const xai__call *c, const xai__shape *s) {
  xai__shape t = *s;
  int64_t n;
  for (int i = 0; i < t.rank; i++)
    if (t.d[i] == 0) t.d[i] = 1;
  if (xai__shape_checked_count(&t, &n)) return XAI_OK;
  return XAI__MALFORMED(c, "%s: a result of shape %s is too large", c->node->op->type,
                        xai__shape_text(s).text);
}

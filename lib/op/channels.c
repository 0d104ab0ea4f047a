/* Add and Mul of a blocked tensor and one number a channel, as in squeeze and excitation:
 *
 *   y[n,c,p] = x[n,c,p] v[n,c]      x' += v y',   v'[n,c] += sum_p x[n,c,p] y'[n,c,p]
 *
 * v is (N or 1,C,1...) or (C,1...), blocked or plain; and of tensors of one shape, element for
 * element. */
#include "op/blocked.h"
#include "op/broadcast.h"

static bool is_full(const xai__call *c, int k) {
  return c->in[k].blocked && xai__shape_equal(&c->in[k].shape, &c->out[0].shape);
}

static bool is_by_channel(const xai__call *c, int k) {
  const xai__shape *v = &c->in[k].shape, *y = &c->out[0].shape;
  const int items = v->rank == y->rank; /* axes before the channels */
  if (v->rank < y->rank - 1 || v->d[items] != y->d[1]) return false;
  return (!items || v->d[0] == 1 || v->d[0] == y->d[0]) && xai__span(v, items + 1, v->rank) == 1;
}

/* The operand of one number a channel; -1: there is none. */
static int channels_of(const xai__call *c) {
  if (((const xai__legacy_attr *)c->node->attr)->broadcast) return -1; /* axes of another order */
  for (int k = 0; k < 2; k++)
    if (is_full(c, 1 - k) && !is_full(c, k) && is_by_channel(c, k)) return k;
  return -1;
}

static bool serves(const xai__call *c) {
  return xai__blocked_alike.serves(c) || channels_of(c) >= 0;
}

static bool is_product(const xai__call *c) { return !c->node->op->sum; }

/* v's numbers, blocked; or room for a derivative. */
static int take_numbers(const xai__call *c, const xai__view *view, bool room, xai__blocked *v) {
  const xai__shape *s = &view->shape;
  const int items = s->rank == c->out[0].shape.rank;
  *v = (xai__blocked){.n = items ? s->d[0] : 1, .c = s->d[items], .h = 1, .w = 1,
                      .border = view->blocked ? view->blocked - 1 : 0, .data = view->data};
  if (view->blocked) return XAI_OK;
  const int64_t n = xai__blocked_count(v);
  v->data = xai__scratch(c->engine, (size_t)n, sizeof(float), c->err);
  if (!v->data) return c->err->status;
  if (room) xai__fill(c->engine, v->data, n, 0);
  else xai__blocked_from_plain(c->engine, xai__f(view), v);
  return XAI_OK;
}

static int forward(xai__call *c) {
  const int k = channels_of(c);
  if (k < 0) return xai__blocked_alike.forward(c);
  xai__blocked x = xai__blocked_of(&c->in[1 - k]), y = xai__blocked_of(&c->out[0]), v;
  XAI__TRY(take_numbers(c, &c->in[k], false, &v));
  xai__blocked_by_channel(c->engine, is_product(c), &x, &v, &y);
  return XAI_OK;
}

static int vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  const int k = channels_of(c);
  if (k < 0) return xai__blocked_alike.vjp(c, gout, gin);
  xai__engine *e = c->engine;
  xai__blocked s = xai__blocked_of(gout), x = xai__blocked_of(&c->in[1 - k]), v, g;
  if (!gout->data) return XAI_OK;
  if (gin[1 - k].data && is_product(c)) {
    XAI__TRY(take_numbers(c, &c->in[k], false, &v));
    g = xai__blocked_of(&gin[1 - k]);
    xai__blocked_by_channel_back(e, &s, &v, &g);
  } else if (gin[1 - k].data) {
    xai__add_scaled(e, xai__f(&gin[1 - k]), xai__f(gout), xai__stored(gout), 1);
  }
  if (!gin[k].data) return XAI_OK;
  XAI__TRY(take_numbers(c, &gin[k], true, &g));
  xai__blocked_channel_sums(e, &s, is_product(c) ? &x : NULL, &g);
  if (!gin[k].blocked) xai__blocked_to_plain(e, &g, xai__f(&gin[k]), true);
  return XAI_OK;
}

const xai__op_blocked xai__blocked_channels = {serves, XAI__ALIKE, forward, vjp};

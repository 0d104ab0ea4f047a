/* The bounds of a z-box layer: low and high of the graph's input, carried to the layer's own input by
 * running what lies between on them [Montavon et al. 2017, METHODS section 2]. */
#include <string.h>

#include "base/number.h"
#include "op/broadcast.h"
#include "rule/rule.h"

enum { MAX_CARRIED = 256 }; /* nodes on the way */

/* Whether the bounds of a node's result are its values at the bounds of its operands: it is affine in
 * one of them, or moves elements. */
static bool is_affine(const xai__node *node, const bool *in_static) {
  int active = 0;
  for (int k = 0; k < node->n_in; k++) active += !in_static[k];
  xai__crossing cross = node->op->crossing ? node->op->crossing(node, in_static) : node->op->cross;
  bool scaled = cross == XAI__CROSS_PASS && node->n_in == 2; /* Mul, Div by a constant */
  return cross == XAI__CROSS_ROUTE || (active == 1 && (cross == XAI__CROSS_NORM || scaled));
}

int xai__bound_fill(xai__engine *e, const xai__value *bound, const xai__view *to, const char *input,
                    xai_error *err) {
  if (!bound->tensor) {
    xai__fill(e, xai__f(to), xai__count(&to->shape), (float)bound->number);
    return XAI_OK;
  }
  xai__view from = {.dtype = XAI_F32, .shape = bound->tensor->shape, .data = bound->tensor->data};
  if (from.shape.rank == 1 && to->shape.rank > 1) { /* one a channel: axis 1 */
    int64_t n = from.shape.d[0];
    from.shape.rank = to->shape.rank - 1;
    for (int i = 0; i < from.shape.rank; i++) from.shape.d[i] = i ? 1 : n;
  }
  xai__shape both;
  if (bound->tensor->dtype != XAI_F32 || !xai__shape_broadcast(&from.shape, &to->shape, &both) ||
      !xai__shape_equal(&both, &to->shape))
    return xai__fail(err, XAI_E_ARGUMENT, bound->name,
                     "parameter '%s' of shape %s does not fit input '%s' of shape %s", bound->name,
                     xai__shape_text(&bound->tensor->shape).text, input,
                     xai__shape_text(&to->shape).text);
  xai__broadcast_copy(e, to, &from);
  return XAI_OK;
}

/* The value `v` of the network would have if its input were `bound`. */
static int carry(xai__rules *r, xai__call *c, int v, const xai__value *bound, int *budget,
                 xai__view *out) {
  const xai_graph *g = r->plan->graph;
  *out = r->plan->value[v];
  if (out->dtype != XAI_F32)
    return xai__fail(c->err, XAI_E_UNSUPPORTED, g->values[v].name,
                     "bounds of the input cannot be carried through integers ('%s')",
                     g->values[v].name);
  out->data = xai__scratch(c->engine, (size_t)xai__count(&out->shape), sizeof(float), c->err);
  if (!out->data) return c->err->status;
  int n = g->values[v].producer;
  if (n < 0) return xai__bound_fill(c->engine, bound, out, g->values[v].name, c->err);
  const xai__node *node = &g->nodes[n];
  bool *in_static = xai__scratch(c->engine, (size_t)node->n_in + 1, 1, c->err);
  xai__view *in = xai__scratch(c->engine, (size_t)node->n_in + 1, sizeof *in, c->err);
  if (!in || !in_static) return c->err->status;
  for (int i = 0; i < node->n_in; i++) {
    in_static[i] = node->in[i] < 0 || g->values[node->in[i]].is_static;
    in[i] = node->in[i] < 0 ? xai__absent : r->plan->value[node->in[i]];
  }
  if (!is_affine(node, in_static) || --*budget < 0)
    return xai__fail(c->err, XAI_E_UNSUPPORTED, node->name,
                     "bounds of the input cannot be carried through node '%s' (%s)", node->name,
                     node->op->type);
  for (int i = 0; i < node->n_in; i++)
    if (!in_static[i]) XAI__TRY(carry(r, c, node->in[i], bound, budget, &in[i]));
  xai__view *all = xai__scratch(c->engine, (size_t)node->n_out, sizeof *all, c->err);
  if (!all) return c->err->status;
  for (int k = 0; k < node->n_out; k++) { /* Split: the others are not needed */
    all[k] = node->out[k] < 0 ? xai__absent : r->plan->value[node->out[k]];
    if (node->out[k] == v) all[k].data = out->data;
    else if (node->out[k] >= 0)
      all[k].data = xai__scratch(c->engine, (size_t)xai__count(&all[k].shape),
                                 xai__dtype_size(all[k].dtype), c->err);
    if (node->out[k] >= 0 && !all[k].data) return c->err->status;
  }
  xai__call run = {node, node->n_in, node->n_out, in, all, in_static, c->engine, c->err};
  return xai__node_forward(&run);
}

static int check_bound(const xai__value *bound, xai_error *err) {
  double number;
  if (bound->tensor || xai__number_parse(bound->text, &number)) return XAI_OK;
  return xai__fail(err, XAI_E_ARGUMENT, bound->name, "parameter '%s' is a number or a tensor, not '%s'",
                   bound->name, bound->text);
}

void xai__bounds_drop(xai__bounds *b) {
  xai__free(b->low);
  xai__free(b->sum);
  *b = (xai__bounds){0};
}

/* Shape and numbers of a bound; 0: too many. */
static int key_of(const xai__value *v, float *key) {
  int n = 0;
  key[n++] = (float)v->number;
  if (!v->tensor) return n;
  const xai__shape *s = &v->tensor->shape;
  const int64_t count = xai__count(s);
  if (v->tensor->dtype != XAI_F32 || s->rank + 1 + count > XAI__BOUND_KEY) return 0;
  for (int i = 0; i < s->rank; i++) key[n++] = (float)s->d[i];
  for (int64_t i = 0; i < count; i++) key[n++] = ((const float *)v->tensor->data)[i];
  return n;
}

/* Whether the bounds that are there, if any, were made from these; if not, they go. */
static bool are_there(xai__bounds *b, const xai__value *low, const xai__value *high) {
  xai__bounds now = {0};
  now.n_key[0] = key_of(low, now.key[0]);
  now.n_key[1] = key_of(high, now.key[1]);
  const bool keyed = now.n_key[0] && now.n_key[1];
  if (b->low && (!keyed || (!memcmp(b->n_key, now.n_key, sizeof now.n_key) &&
                            !memcmp(b->key, now.key, sizeof now.key))))
    return true; /* those without a key are of this call */
  xai__bounds_drop(b);
  *b = now;
  return false;
}

int xai__layer_bounds(xai__rules *r, const xai__step *step, const xai__params *params,
                      xai_error *err) {
  xai__bounds *l = &r->bounds[step - r->plan->steps.v];
  xai__engine *e = r->plan->engine;
  const xai__value *low = xai__params_find(params, "low"), *high = xai__params_find(params, "high");
  if (!low || !high || !low->set || !high->set)
    return xai__fail(err, XAI_E_ARGUMENT, low && low->set ? "high" : "low",
                     "the bounds of the input are needed: low=, high= (numbers, or one a channel)");
  XAI__TRY(check_bound(low, err));
  XAI__TRY(check_bound(high, err));
  if (are_there(l, low, high)) return XAI_OK;
  int v = step->node.in[step->operand];
  xai__call c = {.engine = e, .err = err};
  size_t mark = xai__scratch_mark(e), n = (size_t)xai__count(&r->plan->value[v].shape);
  xai__view a, b;
  int budget = MAX_CARRIED, status = carry(r, &c, v, low, &budget, &a);
  budget = MAX_CARRIED;
  if (!status) status = carry(r, &c, v, high, &budget, &b);
  if (!status) {
    l->low = xai__new_raw(xai__engine_memory(e), 2 * n, sizeof *l->low, err);
    if (l->low) l->high = l->low + n;
    else status = err->status;
  }
  for (size_t i = 0; i < n && !status; i++) { /* a negative scale swaps them */
    float x = xai__f(&a)[i], y = xai__f(&b)[i];
    l->low[i] = x < y ? x : y;
    l->high[i] = x < y ? y : x;
  }
  xai__scratch_release(e, mark);
  return status;
}

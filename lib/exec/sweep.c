/* The two sweeps over a plan. */
#include <string.h>

#include "exec/layer.h"

/* The views that a call takes. */
typedef struct operands {
  xai__view *in, *out, *gin, *gout;
  bool *in_static;
} operands;

static int take_operands(const xai__plan *p, const xai__node *node, operands *o, xai_error *err) {
  size_t n_in = (size_t)node->n_in, n_out = (size_t)node->n_out;
  xai__view *views = xai__scratch(p->engine, 2 * (n_in + n_out), sizeof *views, err);
  o->in_static = xai__scratch(p->engine, n_in + 1, sizeof *o->in_static, err);
  if (!views || !o->in_static) return err->status;
  *o = (operands){views, views + n_in, views + n_in + n_out, views + 2 * n_in + n_out,
                  o->in_static};
  static const xai__view absent = {XAI_F32, {-1, {0}}, NULL};
  for (int k = 0; k < node->n_in; k++) {
    int v = node->in[k];
    o->in[k] = v < 0 ? absent : p->value[v];
    o->in_static[k] = v < 0 || p->graph->values[v].is_static;
  }
  for (int k = 0; k < node->n_out; k++) {
    int v = node->out[k];
    o->out[k] = v < 0 ? absent : p->value[v];
  }
  return XAI_OK;
}

/* The activation of a unit, in place. */
static int activate(xai__plan *p, const xai__node *node, const xai__view *y, xai_error *err) {
  operands o;
  XAI__TRY(take_operands(p, node, &o, err));
  o.in[0] = o.out[0] = *y;
  xai__call c = {node, node->n_in, node->n_out, o.in, o.out, o.in_static, p->engine, err};
  return xai__node_forward(&c);
}

static int run_unit(xai__plan *p, xai__unit *u, xai_error *err) {
  const xai__node *node = &u->step.node;
  operands o;
  XAI__TRY(take_operands(p, node, &o, err));
  if (u->out >= 0) o.out[0] = p->value[u->out];
  xai__call c = {node, node->n_in, node->n_out, o.in, o.out, o.in_static, p->engine, err};
  if (!u->step.n_after) {
    XAI__TRY(xai__node_forward(&c));
  } else {
    xai__product product;
    int x;
    XAI__TRY(xai__layer_product(p, &u->step, &u->layer, &c, &product, &x));
    XAI__TRY(xai__product_forward(p->engine, &product, xai__f(&o.in[x]), xai__identity,
                                  xai__identity, xai__identity, xai__f(&o.out[0]), xai__set, err));
  }
  if (u->add >= 0)
    xai__add_scaled(p->engine, xai__f(&o.out[0]), xai__f(&p->value[u->add]),
                    xai__count(&o.out[0].shape), 1);
  return u->activation ? activate(p, u->activation, &o.out[0], err) : XAI_OK;
}

int xai__forward(xai__plan *p, void *const *data, const xai__watch *w, xai_error *err) {
  const xai_graph *g = p->graph;
  if (!p->buffer) {
    p->buffer = xai__new_raw(xai__engine_memory(p->engine), (size_t)p->bytes + 1, 1, err);
    if (!p->buffer) return err->status;
    for (int v = 0; v < g->n_values; v++)
      if (p->offset[v] >= 0) p->value[v].data = p->buffer + p->offset[v];
  }
  for (int i = 0; i < g->n_inputs; i++) {
    xai__view *x = &p->value[g->inputs[i]];
    x->data = data[i];
    size_t n = (size_t)xai__count(&x->shape) * xai__dtype_size(x->dtype);
    if (p->known[i] && n && memcmp(p->known[i], data[i], n))
      return xai__fail(err, XAI_E_UNSUPPORTED, g->values[g->inputs[i]].name,
                       "the network's shapes follow from the data of input '%s', which this method changes",
                       g->values[g->inputs[i]].name);
  }
  for (int v = 0; v < g->n_values; v++)
    if (p->owner[v] != v) p->value[v].data = p->value[p->owner[v]].data;
  for (int i = 0; i < p->n_units; i++) {
    xai__unit *u = &p->unit[i];
    XAI__TRY(xai__watch_check(w, "forward", (double)i / p->n_units, err));
    size_t mark = xai__scratch_mark(p->engine);
    int status = run_unit(p, u, err);
    xai__scratch_release(p->engine, mark);
    if (status) {
      xai__fail_at_node(err, u->step.origin, u->step.node.name);
      return status;
    }
  }
  return XAI_OK;
}

static bool has_grad(const xai__plan *p, int v) {
  return v >= 0 && p->grad_offset[p->grad_owner[v]] >= 0;
}

float *xai__plan_grad(const xai__plan *p, int value) {
  if (!has_grad(p, value)) return NULL;
  return (float *)(void *)(p->buffer + p->grad_offset[p->grad_owner[value]]);
}

/* Zero relevance where nothing was written yet. */
static void begin_grad(xai__plan *p, int v) {
  if (p->grad_written[v]) return;
  xai__fill(p->engine, xai__plan_grad(p, v), xai__count(&p->value[v].shape), 0);
  p->grad_written[v] = true;
}

static int cross_step(xai__plan *p, const xai__step *step, xai__cross_fn cross, void *user,
                      xai_error *err) {
  const xai__node *node = &step->node;
  bool any = false;
  for (int k = 0; k < node->n_out; k++)
    any |= has_grad(p, node->out[k]) && p->grad_written[node->out[k]];
  if (!any) return XAI_OK;
  int only = node->n_in ? node->in[step->operand] : -1;
  if (only >= 0 && p->grad_owner[only] != only) { /* the same array */
    p->grad_written[only] = true;
    return XAI_OK;
  }
  operands o;
  XAI__TRY(take_operands(p, node, &o, err));
  for (int k = 0; k < node->n_out; k++) {
    int v = node->out[k];
    if (v >= 0 && !p->kept[v]) o.out[k].data = NULL;
    o.gout[k] = o.out[k];
    o.gout[k].data = has_grad(p, v) && p->grad_written[v] ? xai__plan_grad(p, v) : NULL;
  }
  for (int k = 0; k < node->n_in; k++) {
    int v = node->in[k];
    if (!o.in_static[k] && !p->kept[v]) o.in[k].data = NULL;
    o.gin[k] = o.in[k];
    o.gin[k].data = NULL;
    if (!has_grad(p, v)) continue;
    begin_grad(p, v);
    o.gin[k].data = xai__plan_grad(p, v);
  }
  xai__call c = {node, node->n_in, node->n_out, o.in, o.out, o.in_static, p->engine, err};
  return cross(user, step, &c, o.gout, o.gin);
}

int xai__reverse(xai__plan *p, xai__cross_fn cross, void *user, const xai__watch *w,
                 xai_error *err) {
  memset(p->grad_written, 0, (size_t)p->graph->n_values);
  p->grad_written[p->source] = true;
  for (int j = p->n_steps - 1; j >= 0; j--) {
    const xai__step *step = &p->steps.v[p->step[j]];
    XAI__TRY(xai__watch_check(w, "explain", 1 - (j + 1.0) / p->n_steps, err));
    size_t mark = xai__scratch_mark(p->engine);
    int status = cross_step(p, step, cross, user, err);
    xai__scratch_release(p->engine, mark);
    if (status) {
      xai__fail_at_node(err, step->origin, step->node.name);
      return status;
    }
  }
  for (int i = 0; i < p->n_at; i++) begin_grad(p, p->at[i]);
  return XAI_OK;
}

/* ---- steps of several nodes ---- */

/* The gradients of a step's inner values. */
typedef struct inner_grad {
  int value;
  float *data;
} inner_grad;

static float *find_grad(const inner_grad *grads, int n, int value) {
  for (int i = 0; i < n; i++)
    if (grads[i].value == value) return grads[i].data;
  return NULL;
}

int xai__step_vjp(const xai__plan *p, const xai__step *step, xai__call *c, const xai__view *gout,
                  const xai__view *gin) {
  if (!step->n_inner) return xai__node_vjp(c, gout, gin);
  const xai_graph *g = p->graph;
  xai_error *err = c->err;
  int n = 0;
  inner_grad *grads = xai__scratch(p->engine, (size_t)step->n_inner + 1, sizeof *grads, err);
  if (!grads) return err->status;
  grads[n++] = (inner_grad){step->node.in[0], gin[0].data};
  for (int i = 0; i < step->n_inner; i++) {
    int v = g->nodes[step->inner[i]].out[0];
    int64_t size = xai__count(&p->value[v].shape);
    float *data = i == step->n_inner - 1 ? xai__f(&gout[0])
                                         : xai__scratch(p->engine, (size_t)size, sizeof *data, err);
    if (!data) return err->status;
    if (i < step->n_inner - 1) xai__fill(p->engine, data, size, 0);
    grads[n++] = (inner_grad){v, data};
  }
  for (int i = step->n_inner - 1; i >= 0; i--) {
    const xai__node *node = &g->nodes[step->inner[i]];
    operands o;
    XAI__TRY(take_operands(p, node, &o, err));
    o.gout[0] = o.out[0];
    o.gout[0].data = find_grad(grads, n, node->out[0]);
    for (int k = 0; k < node->n_in; k++) {
      o.gin[k] = o.in[k];
      o.gin[k].data = node->in[k] < 0 ? NULL : find_grad(grads, n, node->in[k]);
    }
    xai__call inner = {node, node->n_in, node->n_out, o.in, o.out, o.in_static, p->engine, err};
    XAI__TRY(xai__node_vjp(&inner, o.gout, o.gin));
  }
  return XAI_OK;
}

/* The two sweeps over a plan. */
#include <string.h>

#include "base/log.h"
#include "base/os.h"
#include "exec/convert.h"
#include "exec/layer.h"

/* The views that a call takes. */
typedef struct operands {
  xai__view *in, *out, *gin, *gout; /* gin, gout: relevance of all targets */
  bool *in_static;
} operands;

static int take_operands(const xai__plan *p, const xai__node *node, operands *o, xai_error *err) {
  size_t n_in = (size_t)node->n_in, n_out = (size_t)node->n_out;
  xai__view *views = xai__scratch(p->engine, 2 * (n_in + n_out), sizeof *views, err);
  o->in_static = xai__scratch(p->engine, n_in + 1, sizeof *o->in_static, err);
  if (!views || !o->in_static) return err->status;
  *o = (operands){views, views + n_in, views + n_in + n_out, views + 2 * n_in + n_out,
                  o->in_static};
  for (int k = 0; k < node->n_in; k++) {
    int v = node->in[k];
    o->in[k] = v < 0 ? xai__absent : p->value[v];
    o->in_static[k] = v < 0 || p->graph->values[v].is_static;
  }
  for (int k = 0; k < node->n_out; k++) {
    int v = node->out[k];
    o->out[k] = v < 0 ? xai__absent : p->value[v];
  }
  return XAI_OK;
}

/* Blocked operands made plain. */
static int make_plain(const xai__plan *p, xai__view *v, int n, xai_error *err) {
  for (int k = 0; k < n; k++)
    if (v[k].blocked) XAI__TRY(xai__convert(p->engine, &v[k], 0, &v[k], err));
  return XAI_OK;
}

/* The activation of a unit: the call, in place on y. */
static int activation_call(xai__plan *p, const xai__node *node, const xai__view *y, xai__call *c,
                           xai_error *err) {
  operands o;
  XAI__TRY(take_operands(p, node, &o, err));
  o.in[0] = o.out[0] = *y;
  *c = (xai__call){node, node->n_in, node->n_out, o.in, o.out, o.in_static, p->engine, err};
  return XAI_OK;
}

/* Product, sum and activation, as far as the product's engine does them on the way. */
static int run_layer(xai__plan *p, xai__unit *unit, xai__call *c, xai_error *err) {
  xai__layer_use u;
  xai__blocked x, z, add;
  xai__view room, *y = &c->out[0];
  xai__finish finish = {.form = XAI__KEEP, .winograd = unit->winograd};
  xai__call act;
  bool done = false;
  XAI__TRY(xai__layer_open(p, &unit->step, &unit->layer, c, &u));
  XAI__TRY(xai__layer_take(&u, &c->in[u.x], XAI__INPUT_SIDE, &x));
  XAI__TRY(xai__layer_room(&u, y, XAI__RESULT_SIDE, &room));
  z = xai__blocked_of(&room);
  if (unit->add >= 0) {
    XAI__TRY(xai__layer_take(&u, &p->value[unit->add], XAI__RESULT_SIDE, &add));
    finish.add = &add;
  }
  if (unit->activation) {
    XAI__TRY(activation_call(p, unit->activation, y, &act, err));
    done = act.node->op->finish && act.node->op->finish(&act, &finish);
    if (!done) finish.form = XAI__KEEP;
  }
  XAI__TRY(xai__layer_forward(&u, &x, xai__identity, xai__identity, xai__identity, &z, &finish));
  XAI__TRY(xai__convert_back(p->engine, &room, y, false, err));
  return unit->activation && !done ? xai__node_forward(&act) : XAI_OK;
}

/* A matrix product with constant weights, which are worth packing; or any weights that only layers take. */
static bool is_dense(const xai__call *c) {
  for (int k = 0; k < c->n_in; k++)
    if (xai__is_loose(&c->in[k])) return true;
  return c->n_in > 1 && !c->in_static[0] && c->in_static[1] && c->in[1].shape.rank == 2;
}

static int run_unit(xai__plan *p, xai__unit *u, xai_error *err) {
  const xai__node *node = &u->step.node;
  operands o;
  XAI__TRY(take_operands(p, node, &o, err));
  if (u->out >= 0) o.out[0] = p->value[u->out];
  xai__call c = {node, node->n_in, node->n_out, o.in, o.out, o.in_static, p->engine, err};
  bool native = p->native[u->step.origin];
  if (u->step.cross == XAI__CROSS_LINEAR &&
      (native || u->step.n_after || u->add >= 0 || is_dense(&c)))
    return run_layer(p, u, &c, err);
  if (!native) XAI__TRY(make_plain(p, o.in, c.n_in, err));
  XAI__TRY(xai__node_forward(&c));
  if (!u->activation) return XAI_OK;
  XAI__TRY(activation_call(p, u->activation, &o.out[0], &c, err));
  return xai__node_forward(&c);
}

static int run_timed(xai__plan *p, int i, xai_error *err) {
  xai__unit *u = &p->unit[i];
  size_t mark = xai__scratch_mark(p->engine);
  const double start = p->told ? xai__seconds() : 0;
  int status = run_unit(p, u, err);
  xai__scratch_release(p->engine, mark);
  if (p->told) xai__log_layer(p->told, "forward", u->step.node.op->type, u->step.node.name, start);
  if (status) xai__fail_at_node(err, u->step.origin, u->step.node.name);
  return status;
}

void xai__plan_take_buffer(xai__plan *p, xai__plan *from) {
  if (p->buffer || !from->buffer) return;
  if (from->room < p->bytes) {
    xai__free(from->buffer);
  } else {
    p->buffer = from->buffer;
    p->room = from->room;
  }
  from->buffer = NULL;
  from->room = 0;
}

static int need_buffer(xai__plan *p, xai_error *err) {
  if (!p->buffer) {
    p->buffer = xai__new_raw(xai__engine_memory(p->engine), (size_t)p->bytes + 1, 1, err);
    if (!p->buffer) return err->status;
    p->room = p->bytes;
  }
  for (int v = 0; v < p->graph->n_values; v++)
    if (p->offset[v] >= 0) p->value[v].data = p->buffer + p->offset[v];
  return XAI_OK;
}

int xai__forward(xai__plan *p, void *const *data, const xai__watch *w, xai_error *err) {
  const xai_graph *g = p->graph;
  XAI__TRY(need_buffer(p, err));
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
    if (p->owner[v] != v) p->value[v].data = (char *)p->value[p->owner[v]].data + p->inside[v];
  for (int i = 0; i < p->n_units; i++) {
    XAI__TRY(xai__watch_check(w, "forward", (double)i / p->n_units, err));
    XAI__TRY(run_timed(p, i, err));
  }
  return XAI_OK;
}

/* A segment's values, where the steps that follow look for them. */
static int compute_again(xai__plan *p, int segment, xai_error *err) {
  const int begin = p->first[segment], end = p->first[segment + 1];
  for (int i = begin; i < end; i++) {
    const xai__node *node = &p->unit[i].step.node;
    for (int k = 0; k < node->n_out && p->rerun[i]; k++) {
      const int v = k ? node->out[k] : p->unit[i].out;
      const int owner = v < 0 ? -1 : p->owner[v];
      if (owner < 0 || p->again[owner] < 0) continue;
      p->value[owner].data = p->buffer + p->again[owner];
      p->value[v].data = p->buffer + p->again[owner] + p->inside[v];
    }
  }
  for (int i = begin; i < end; i++)
    if (p->rerun[i]) XAI__TRY(run_timed(p, i, err));
  return XAI_OK;
}

static bool has_grad(const xai__plan *p, int v) {
  return v >= 0 && p->grad_offset[p->grad_owner[v]] >= 0;
}

float *xai__plan_grad(const xai__plan *p, int value, int64_t target) {
  if (!has_grad(p, value)) return NULL;
  float *first = (float *)(void *)(p->buffer + p->grad_offset[p->grad_owner[value]]);
  return first + target * xai__stored(&p->value[value]);
}

/* The views of a step's call, and of all targets' relevance. */
static int reverse_operands(xai__plan *p, const xai__step *step, int64_t targets, operands *o,
                            xai_error *err) {
  const xai__node *node = &step->node;
  XAI__TRY(take_operands(p, node, o, err));
  for (int k = 0; k < node->n_out; k++) {
    int v = node->out[k];
    o->gout[k] = o->out[k];
    o->gout[k].times = targets;
    o->gout[k].data = has_grad(p, v) && p->grad_written[v] ? xai__plan_grad(p, v, 0) : NULL;
    if (v >= 0 && !p->kept[v]) o->out[k].data = NULL;
  }
  for (int k = 0; k < node->n_in; k++) {
    int v = node->in[k];
    o->gin[k] = o->in[k];
    o->gin[k].times = targets;
    o->gin[k].data = has_grad(p, v) ? xai__plan_grad(p, v, 0) : NULL;
    if (!o->in_static[k] && !p->kept[v]) o->in[k].data = NULL;
    if (!o->gin[k].data) continue;
    o->gin[k].fresh = !p->grad_written[v];
    p->grad_written[v] = true;
  }
  return XAI_OK;
}

static void zero(const xai__plan *p, const xai__view *v) {
  xai__fill(p->engine, xai__f(v), xai__stored(v), 0);
}

/* The relevance of n targets from target `first` on, of all that `from` has. Where the step cannot take
 * blocked views: plain copies of what came, and room for what it will hand on. */
static int take_targets(xai__plan *p, const xai__node *node, unsigned char reads, bool native,
                        const operands *from, int64_t first, int64_t n, operands *o, xai_error *err) {
  xai__view *views = xai__scratch(p->engine, (size_t)(node->n_in + node->n_out) + 1, sizeof *views, err);
  if (!views) return err->status;
  o->gin = views;
  o->gout = views + node->n_in;
  for (int k = 0; k < node->n_out; k++) o->gout[k] = xai__some_targets(&from->gout[k], first, n);
  if (!native) XAI__TRY(make_plain(p, o->gout, node->n_out, err));
  for (int k = 0; k < node->n_in; k++) {
    xai__view *g = &o->gin[k], to = *g = xai__some_targets(&from->gin[k], first, n);
    if (!to.data) continue;
    if (!native) XAI__TRY(xai__convert_room(p->engine, &to, 0, g, err));
    g->fresh = to.fresh || g->data != to.data;
    if (g->fresh && !(reads & XAI__BEGINS)) {
      zero(p, g);
      g->fresh = false;
    }
  }
  return XAI_OK;
}

/* What was put into room of its own. */
static int hand_back(xai__plan *p, const xai__node *node, const operands *all, int64_t first, int64_t n,
                     const operands *o, xai_error *err) {
  for (int k = 0; k < node->n_in; k++) {
    const xai__view to = xai__some_targets(&all->gin[k], first, n);
    if (to.data) XAI__TRY(xai__convert_back(p->engine, &o->gin[k], &to, !to.fresh, err));
  }
  return XAI_OK;
}

static int cross_step(xai__plan *p, const xai__step *step, int64_t targets, xai__cross_fn cross,
                      void *user, xai_error *err) {
  const xai__node *node = &step->node;
  const unsigned char reads = p->reads[step - p->steps.v];
  const bool native = p->native[step->origin] && !step->n_inner && (reads & XAI__ANY_LAYOUT);
  bool any = false;
  for (int k = 0; k < node->n_out; k++)
    any |= has_grad(p, node->out[k]) && p->grad_written[node->out[k]];
  if (!any) return XAI_OK;
  int only = node->n_in ? node->in[step->operand] : -1;
  if (only >= 0 && p->grad_owner[only] != only) { /* the same array */
    p->grad_written[only] = true;
    return XAI_OK;
  }
  operands all;
  XAI__TRY(reverse_operands(p, step, targets, &all, err));
  if (!native) XAI__TRY(make_plain(p, all.in, node->n_in, err));
  if (!native) XAI__TRY(make_plain(p, all.out, node->n_out, err));
  const int64_t n = reads & XAI__ALL_TARGETS ? targets : 1;
  for (int64_t t = 0; t < targets; t += n) {
    size_t mark = xai__scratch_mark(p->engine);
    operands o = all;
    XAI__TRY(take_targets(p, node, reads, native, &all, t, n, &o, err));
    xai__call c = {node, node->n_in, node->n_out, o.in, o.out, o.in_static, p->engine, err};
    XAI__TRY(cross(user, step, &c, o.gout, o.gin));
    XAI__TRY(hand_back(p, node, &all, t, n, &o, err));
    xai__scratch_release(p->engine, mark);
  }
  return XAI_OK;
}

int xai__reverse(xai__plan *p, int64_t targets, xai__cross_fn cross, void *user, const xai__watch *w,
                 xai_error *err) {
  memset(p->grad_written, 0, (size_t)p->graph->n_values);
  p->grad_written[p->source] = true;
  for (int j = p->n_steps - 1, segment = -1; j >= 0; j--) {
    const xai__step *step = &p->steps.v[p->step[j]];
    XAI__TRY(xai__watch_check(w, "explain", 1 - (j + 1.0) / p->n_steps, err));
    if (p->n_segments && p->segment[j] != segment) XAI__TRY(compute_again(p, segment = p->segment[j], err));
    size_t mark = xai__scratch_mark(p->engine);
    const double start = p->told ? xai__seconds() : 0;
    int status = cross_step(p, step, targets, cross, user, err);
    xai__scratch_release(p->engine, mark);
    if (p->told) xai__log_layer(p->told, "reverse", step->node.op->type, step->node.name, start);
    if (status) {
      xai__fail_at_node(err, step->origin, step->node.name);
      return status;
    }
  }
  for (int i = 0; i < p->n_at; i++) { /* where nothing came */
    xai__view R = p->value[p->at[i]];
    R.times = targets;
    R.data = xai__plan_grad(p, p->at[i], 0);
    if (!p->grad_written[p->at[i]]) zero(p, &R);
  }
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

/* Of some targets at a time. */
static int layer_vjp(xai__plan *p, const xai__step *step, xai__call *c, const xai__view *gout,
                     const xai__view *gin) {
  xai__layer_use u;
  XAI__TRY(xai__layer_open(p, step, &p->layer[step - p->steps.v], c, &u));
  if (!gin[u.x].data) return XAI_OK;
  const int64_t targets = xai__times(gout), together = xai__layer_together(&u, targets);
  for (int64_t t = 0; t < targets; t += u.times) {
    xai__blocked s, g;
    xai__view room;
    size_t mark = xai__scratch_mark(p->engine);
    u.times = together < targets - t ? together : targets - t;
    const xai__view from = xai__some_targets(gout, t, u.times), to = xai__some_targets(&gin[u.x], t, u.times);
    XAI__TRY(xai__layer_take(&u, &from, XAI__ADJOINT_SIDE, &s));
    XAI__TRY(xai__layer_room(&u, &to, XAI__INPUT_SIDE, &room));
    g = xai__blocked_of(&room);
    xai__finish finish = {.form = XAI__KEEP, .winograd = p->winograd == XAI__WINOGRAD_VJP,
                          .accumulate = room.data == to.data && !to.fresh};
    XAI__TRY(xai__layer_adjoint(&u, &s, xai__identity, &g, &finish));
    XAI__TRY(xai__convert_back(p->engine, &room, &to, !to.fresh, c->err));
    xai__scratch_release(p->engine, mark);
  }
  return XAI_OK;
}

int xai__step_vjp(xai__plan *p, const xai__step *step, xai__call *c, const xai__view *gout,
                  const xai__view *gin) {
  if (step->cross == XAI__CROSS_LINEAR && gout[0].data) return layer_vjp(p, step, c, gout, gin);
  if (!step->n_inner) return xai__node_vjp(c, gout, gin);
  const xai_graph *g = p->graph;
  xai_error *err = c->err;
  int n = 0;
  inner_grad *grads = xai__scratch(p->engine, (size_t)step->n_inner + 1, sizeof *grads, err);
  if (!grads) return err->status;
  if (gin[0].data && gin[0].fresh) zero(p, &gin[0]);
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
    XAI__TRY(make_plain(p, o.in, node->n_in, err));
    XAI__TRY(make_plain(p, o.out, node->n_out, err));
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

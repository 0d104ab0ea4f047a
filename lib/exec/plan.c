/* The memory plan: shapes for given inputs and what is known before running; then the steps of the
 * reverse sweep and what they read (steps.c), in which layout values are (layout.c), what the forward sweep computes in one go (fuse.c), who
 * lies in whom (inside.c), who lives when (lives.c), and where (place.c). */
#include <string.h>

#include "exec/planner.h"
#include "op/blocked.h"

int64_t xai__plan_bytes(const xai__plan *p, int value) {
  return xai__stored(&p->value[value]) * (int64_t)xai__dtype_size(p->value[value].dtype);
}

void *xai__plan_new(xai__planner *q, size_t n, size_t size) {
  return xai__arena_new(&q->p->arena, n + 1, size, q->err);
}

void xai__plan_views(const xai__plan *p, const xai__node *node, xai__view *in, bool *in_static) {
  for (int k = 0; k < node->n_in; k++) {
    int v = node->in[k];
    in[k] = v < 0 ? xai__absent : p->value[v];
    in_static[k] = v < 0 || p->graph->values[v].is_static;
  }
}

/* The operand besides 0 that a node looks at; 0: all, or not known yet. */
static int chosen(xai__planner *q, const xai__node *node) {
  if (!node->op->chosen) return 0;
  xai__plan_views(q->p, node, q->in, q->in_static);
  return node->op->chosen(&(xai__call){.node = node, .n_in = node->n_in, .in = q->in});
}

/* A value that cannot be computed, or that nobody needs: a branch not taken. */
static void mark_gone(xai__planner *q, const xai__node *node) {
  for (int k = 0; k < node->n_out; k++)
    if (node->out[k] >= 0) q->p->value[node->out[k]].dtype = 0;
}
static bool is_gone(const xai__planner *q, int v) { return v >= 0 && !q->p->value[v].dtype; }

/* The nodes that the wanted values need. */
static int choose_nodes(xai__planner *q) {
  const xai_graph *g = q->p->graph;
  bool *need = q->flag;
  memset(need, 0, (size_t)g->n_values);
  for (int i = 0; i < q->r->n_want; i++) need[q->r->want[i]] = true;
  int n = 0;
  for (int i = g->n_nodes - 1; i >= 0; i--) {
    const xai__node *node = &g->nodes[i];
    bool wanted = false;
    for (int k = 0; k < node->n_out; k++) wanted |= node->out[k] >= 0 && need[node->out[k]];
    if (!wanted) continue;
    int only = chosen(q, node);
    for (int k = 0; k < node->n_in; k++)
      if (node->in[k] >= 0 && (!only || !k || k == only)) need[node->in[k]] = true;
    q->p->node[g->n_nodes - 1 - n++] = i;
  }
  memmove(q->p->node, q->p->node + g->n_nodes - n, (size_t)n * sizeof *q->p->node);
  q->p->n_nodes = n;
  return XAI_OK;
}

/* A constant that is read in place. */
static int align(xai__planner *q, int v) {
  xai__view *view = v < 0 ? NULL : &q->p->value[v];
  if (!view || !xai__is_loose(view)) return XAI_OK;
  view->data = xai__graph_aligned(q->p->graph, v, q->err);
  return view->data ? XAI_OK : q->err->status;
}

static int align_operands(xai__planner *q, const xai__node *node) {
  for (int k = 0; k < node->n_in; k++) XAI__TRY(align(q, node->in[k]));
  return XAI_OK;
}

/* Weights that not only layers read (layer.h), which know how to take them from where they lie. */
static int align_constants(xai__planner *q) {
  const xai__plan *p = q->p;
  const xai__node *nodes = p->graph->nodes;
  for (int i = 0; i < q->r->n_want; i++) XAI__TRY(align(q, q->r->want[i]));
  for (int i = 0; i < p->steps.n; i++)
    for (int k = 0; k < p->steps.v[i].n_inner; k++)
      XAI__TRY(align_operands(q, &nodes[p->steps.v[i].inner[k]]));
  for (int i = 0; i < p->n_nodes && q->r->reverse && !q->r->reads; i++)
    XAI__TRY(align_operands(q, &nodes[p->node[i]]));
  return XAI_OK;
}

/* Shapes of every chosen node's results; what is known already is computed at once. */
static int infer_shapes(xai__planner *q) {
  xai__plan *p = q->p;
  const xai_graph *g = p->graph;
  double budget = XAI__AHEAD;
  for (int i = 0; i < p->n_nodes; i++) {
    const xai__node *node = &g->nodes[p->node[i]];
    xai__view *out = q->in + node->n_in;
    xai__plan_views(p, node, q->in, q->in_static);
    xai__call c = {node, node->n_in, node->n_out, q->in, out, q->in_static, p->engine, q->err};
    int only = chosen(q, node), status = XAI_OK;
    bool known = true, gone = false;
    for (int k = 0; k < node->n_in; k++) {
      if (only && k && k != only) continue;
      known = known && (node->in[k] < 0 || q->in[k].data);
      gone |= is_gone(q, node->in[k]);
    }
    if (gone && p->branches) {
      mark_gone(q, node);
      continue;
    }
    status = xai__node_infer(&c, g->options.max_tensor);
    known = (known || node->op->shape_only) && !status && xai__node_is_quick(&c, &budget);
    for (int k = 0; k < node->n_out && !status; k++) {
      if (node->out[k] < 0) continue;
      if (known) {
        size_t n = (size_t)xai__count(&out[k].shape) * xai__dtype_size(out[k].dtype);
        if (!(out[k].data = xai__plan_new(q, n, 1))) return q->err->status;
      }
      p->value[node->out[k]] = out[k];
    }
    size_t mark = xai__scratch_mark(p->engine);
    if (known && !status && !(status = align_operands(q, node))) {
      xai__plan_views(p, node, q->in, q->in_static);
      status = xai__node_forward(&c);
    }
    xai__scratch_release(p->engine, mark);
    if (status && p->branches && status != XAI_E_MEMORY && status != XAI_E_LIMIT) {
      mark_gone(q, node);
      continue;
    }
    if (status) {
      xai__fail_at_node(q->err, p->node[i], node->name);
      return status;
    }
  }
  return XAI_OK;
}

/* Drops the branches that are not taken, now that shapes and small values are known. What is left
 * must be possible: if not, the first node that is not says why. */
static int drop_branches(xai__planner *q) {
  xai__plan *p = q->p;
  const xai_graph *g = p->graph;
  if (!p->branches) return XAI_OK;
  XAI__TRY(choose_nodes(q));
  p->branches = false;
  for (int i = 0; i < p->n_nodes; i++) {
    const xai__node *node = &g->nodes[p->node[i]];
    bool gone = false;
    for (int k = 0; k < node->n_out; k++) gone |= is_gone(q, node->out[k]);
    if (gone) return infer_shapes(q);
  }
  for (int i = 0, k = 0; i < g->n_nodes; i++)
    if (k < p->n_nodes && p->node[k] == i) k++;
    else mark_gone(q, &g->nodes[i]);
  return XAI_OK;
}

bool xai__plan_knows(xai__knowledge known, const xai__shape *shape, int dtype) {
  bool is_small = xai__count(shape) <= 64 && (dtype == XAI_I64 || shape->rank <= 1);
  return known == XAI__KNOWS_ALL || (known == XAI__KNOWS_SMALL && is_small);
}

static int plan_input(xai__planner *q, int i) {
  int input = q->p->graph->inputs[i], dtype = xai__dtype_storage(q->p->graph->values[input].dtype);
  xai__view *v = &q->p->value[input];
  *v = (xai__view){.dtype = dtype, .shape = q->r->input[i]};
  if (!xai__plan_knows(q->r->known, &v->shape, dtype)) return XAI_OK;
  size_t n = (size_t)xai__count(&v->shape) * xai__dtype_size(dtype);
  if (!(v->data = xai__plan_new(q, n, 1))) return q->err->status;
  if (n) memcpy(v->data, q->r->data[i], n);
  q->p->known[i] = v->data;
  return XAI_OK;
}

/* Whether Winograd saves about half of a unit or more (docs/PERFORMANCE.md). */
static bool saves_half(const xai__plan *p, const xai__unit *u) {
  enum { CHANNELS = 64, PIXELS = 24 };
  const xai__shape *x = &p->value[u->step.node.in[u->step.operand]].shape;
  const xai__shape *y = u->out < 0 ? x : &p->value[u->out].shape;
  return x->rank == 4 && y->rank == 4 && x->d[1] >= CHANNELS && y->d[1] >= CHANNELS &&
         y->d[2] >= PIXELS && y->d[3] >= PIXELS;
}

/* In the units whose result no step divides by, but where that does no harm. Before the gates of
 * gradients, which a sum near 0 opens or closes, only where much is won. */
static void allow_winograd(xai__plan *p, const xai__plan_request *r) {
  p->winograd = r->winograd;
  if (!r->winograd) return;
  for (int u = 0; u < p->n_units; u++) {
    p->unit[u].winograd = r->winograd == XAI__WINOGRAD_FORWARD || saves_half(p, &p->unit[u]);
    for (int j = 0; j < p->n_steps; j++) {
      const unsigned char divides = p->reads[p->step[j]] & (XAI__READS_OUT | XAI__FORGIVES);
      if (p->steps.v[p->step[j]].origin == p->unit[u].step.origin && divides == XAI__READS_OUT)
        p->unit[u].winograd = false;
    }
  }
}

static int make(xai__planner *q) {
  xai__plan *p = q->p;
  const xai_graph *g = p->graph;
  size_t n = (size_t)g->n_values;
  int **arrays[] = {&q->birth,      &q->death, &q->grad_birth,
                    &q->grad_death, &p->owner, &p->grad_owner};
  int most = 0; /* operands and results of a node */
  for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
    if (!(*arrays[i] = xai__plan_new(q, n, sizeof(int)))) return q->err->status;
  for (int i = 0; i < g->n_nodes; i++) {
    int operands = g->nodes[i].n_in + g->nodes[i].n_out;
    if (operands > most) most = operands;
  }
  q->active = xai__plan_new(q, n, 1);
  q->flag = xai__plan_new(q, n, 1);
  p->kept = xai__plan_new(q, n, 1);
  q->in = xai__plan_new(q, (size_t)most, sizeof *q->in);
  q->in_static = xai__plan_new(q, (size_t)most, 1);
  p->value = xai__plan_new(q, n, sizeof *p->value);
  p->offset = xai__plan_new(q, n, sizeof *p->offset);
  p->grad_offset = xai__plan_new(q, n, sizeof *p->grad_offset);
  p->grad_written = xai__plan_new(q, n, 1);
  p->node = xai__plan_new(q, (size_t)g->n_nodes, sizeof *p->node);
  if (!q->active || !q->flag || !p->kept || !q->in || !q->in_static || !p->value || !p->offset ||
      !p->grad_offset || !p->grad_written || !p->node)
    return q->err->status;
  for (size_t v = 0; v < n; v++) {
    q->birth[v] = q->death[v] = q->grad_birth[v] = q->grad_death[v] = -1;
    p->offset[v] = p->grad_offset[v] = -1;
    p->owner[v] = p->grad_owner[v] = (int)v;
    p->value[v] = g->values[v].constant;
    if (!p->value[v].data) p->value[v] = xai__absent;
  }
  if (!(p->known = xai__plan_new(q, (size_t)g->n_inputs, sizeof *p->known))) return q->err->status;
  for (int i = 0; i < g->n_inputs; i++) XAI__TRY(plan_input(q, i));
  XAI__TRY(choose_nodes(q));
  for (int i = 0; i < g->n_nodes; i++) p->branches |= g->nodes[i].op->chosen != NULL;
  XAI__TRY(infer_shapes(q));
  XAI__TRY(drop_branches(q));
  for (int i = 0; i < q->r->n_want; i++) p->kept[q->r->want[i]] = true;
  if (q->r->reverse) XAI__TRY(xai__plan_steps(q));
  XAI__TRY(align_constants(q));
  XAI__TRY(xai__plan_layouts(q));
  XAI__TRY(xai__plan_units(q));
  allow_winograd(p, q->r);
  XAI__TRY(xai__plan_inside(q));
  XAI__TRY(xai__plan_bill(q));
  XAI__TRY(xai__plan_segments(q));
  p->scratch += xai__plan_scratch(q, p->targets);
  return XAI_OK;
}

int xai__plan_create(const xai_graph *g, xai__engine *e, const xai__plan_request *r,
                     xai__plan **out, xai_error *err) {
  xai__plan *p = xai__new(xai__engine_memory(e), 1, sizeof *p, err);
  if (!p) return err->status;
  p->graph = g;
  p->engine = e;
  p->arena.memory = p->made.memory = xai__engine_memory(e);
  xai__planner q = {.p = p, .r = r, .err = err};
  int status = make(&q);
  if (status) {
    xai__plan_free(p);
    return status;
  }
  *out = p;
  return XAI_OK;
}

void xai__plan_free(xai__plan *p) {
  if (!p) return;
  xai__free(p->buffer);
  xai__cache_free(&p->made);
  xai__arena_free(&p->arena);
  xai__free(p);
}

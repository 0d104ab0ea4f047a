/* The units of the forward sweep: which nodes are computed in one go. A value between them is not
 * there; so it must have one reader, and be neither wanted nor read in the reverse sweep.
 *
 *   linear node, BatchNormalization or Add and Sub of constants (folded into its weights)...
 *   any node, Add of another value of the same shape, activation in place, written out or not */
#include "exec/planner.h"
#include "graph/pattern.h"

typedef struct fuser {
  xai__planner *q;
  int *user, *uses; /* per value: its last reader, and how many there are */
  bool *fused;      /* per node: part of a unit that began before */
} fuser;

/* The node that alone reads v, which nothing else needs; or -1. */
static int next_of(const fuser *f, int v) {
  return f->uses[v] == 1 && !f->q->p->kept[v] ? f->user[v] : -1;
}

static void take(fuser *f, xai__unit *u, int node) {
  f->fused[node] = true;
  u->out = f->q->p->graph->nodes[node].out[0];
}

static int fold(fuser *f, xai__unit *u) {
  xai__plan *p = f->q->p;
  int n, *after = NULL;
  for (n = next_of(f, u->out); n >= 0; n = next_of(f, u->out)) {
    const xai__node *next = &p->graph->nodes[n];
    if (!xai__graph_folds(p->graph, p->value, &u->step, next, u->out)) break;
    int *more = xai__plan_new(f->q, (size_t)u->step.n_after + 1, sizeof *more);
    if (!more) return f->q->err->status;
    for (int i = 0; i < u->step.n_after; i++) more[i] = after[i];
    after = more;
    after[u->step.n_after++] = n;
    u->step.after = after;
    take(f, u, n);
  }
  return XAI_OK;
}

static bool same_layout(const xai__plan *p, int a, int b) {
  return p->value[a].blocked == p->value[b].blocked;
}

/* Another value that node n adds to u's result, which was there before u's node ran. */
static void fuse_add(fuser *f, xai__unit *u) {
  const xai__plan *p = f->q->p;
  int n = next_of(f, u->out);
  if (n < 0 || !xai__type_is(&p->graph->nodes[n], "Add")) return;
  const xai__node *next = &p->graph->nodes[n];
  int other = next->in[next->in[0] == u->out];
  const xai__view *a = &p->value[u->out], *b = &p->value[other];
  bool before = p->graph->values[other].producer < u->step.origin;
  if (!before || !same_layout(p, next->out[0], u->out) || a->dtype != XAI_F32 || !xai__shape_equal(&a->shape, &b->shape)) return;
  u->add = other;
  take(f, u, n);
}

static void fuse_activation(fuser *f, xai__unit *u) {
  const xai__plan *p = f->q->p;
  int n = next_of(f, u->out);
  if (n < 0 || p->value[u->out].dtype != XAI_F32) return;
  const xai__node *next = &p->graph->nodes[n];
  if (!next->op->in_place || next->in[0] != u->out || !same_layout(p, next->out[0], u->out)) return;
  for (int k = 1; k < next->n_in; k++)
    if (next->in[k] >= 0 && !p->value[next->in[k]].data) return;
  u->activation = next;
  take(f, u, n);
}

/* An activation written out in primitives, as the operator it stands for. */
static int fuse_written_activation(fuser *f, xai__unit *u) {
  const xai__plan *p = f->q->p;
  const xai_graph *g = p->graph;
  const int v = u->out;
  int inner[XAI__ACTIVATION_NODES], n;
  if (u->activation || f->uses[v] != 2 || p->kept[v] || p->value[v].dtype != XAI_F32) return XAI_OK;
  const char *type = xai__match_activation(g, f->user[v], v, inner, &n);
  if (!type) return XAI_OK;
  const int out = g->nodes[inner[n - 1]].out[0];
  for (int i = 0; i < n - 1; i++)
    if (next_of(f, g->nodes[inner[i]].out[0]) < 0) return XAI_OK;
  if (!same_layout(p, v, out) || !xai__shape_equal(&p->value[v].shape, &p->value[out].shape)) return XAI_OK;
  xai__node *node = xai__plan_new(f->q, 1, sizeof *node);
  int *operands = xai__plan_new(f->q, 2, sizeof *operands);
  const xai__op *op = xai__op_find(NULL, type);
  void *attr = xai__plan_new(f->q, op->attr_size, 1);
  if (!node || !operands || !attr) return f->q->err->status;
  XAI__TRY(xai__op_import(op, NULL, 0, attr, g->nodes[inner[n - 1]].name, f->q->err));
  operands[0] = v;
  operands[1] = out;
  *node = (xai__node){.op = op, .name = g->nodes[inner[n - 1]].name, .n_in = 1, .n_out = 1,
                      .in = operands, .out = operands + 1, .attr = attr};
  for (int i = 0; i < n; i++) take(f, u, inner[i]);
  u->activation = node;
  return XAI_OK;
}

static bool is_known(const xai__plan *p, const xai__node *node) {
  for (int k = 0; k < node->n_out; k++)
    if (node->out[k] >= 0 && !p->value[node->out[k]].data) return false;
  return true;
}

static int make_unit(fuser *f, int i, xai__unit *u) {
  const xai__plan *p = f->q->p;
  const xai__node *node = &p->graph->nodes[i];
  *u = (xai__unit){.step = {.node = *node, .origin = i}, .add = -1, .out = node->out[0]};
  if (u->out < 0 || node->n_out > 1 || node->op->alias) return XAI_OK;
  int only = xai__only_operand(p->graph, node);
  bool *in_static = f->q->in_static;
  for (int k = 0; k < node->n_in; k++)
    in_static[k] = node->in[k] < 0 || p->graph->values[node->in[k]].is_static;
  u->step.cross = node->op->crossing ? node->op->crossing(node, in_static) : node->op->cross;
  u->step.operand = only < 0 ? 0 : only;
  if (u->step.cross == XAI__CROSS_LINEAR) {
    XAI__TRY(fold(f, u));
    fuse_add(f, u);
  }
  fuse_activation(f, u);
  return fuse_written_activation(f, u);
}

int xai__plan_units(xai__planner *q) {
  xai__plan *p = q->p;
  const xai_graph *g = p->graph;
  fuser f = {q, xai__plan_new(q, (size_t)g->n_values, sizeof(int)),
             xai__plan_new(q, (size_t)g->n_values, sizeof(int)),
             xai__plan_new(q, (size_t)g->n_nodes, 1)};
  p->unit = xai__plan_new(q, (size_t)p->n_nodes, sizeof *p->unit);
  if (!f.user || !f.uses || !f.fused || !p->unit) return q->err->status;
  for (int i = 0; i < p->n_nodes; i++) {
    const xai__node *node = &g->nodes[p->node[i]];
    for (int k = 0; k < node->n_in; k++)
      if (node->in[k] >= 0) {
        f.user[node->in[k]] = p->node[i];
        f.uses[node->in[k]]++;
      }
  }
  for (int i = 0; i < p->n_nodes; i++) {
    int n = p->node[i];
    if (f.fused[n] || is_known(p, &g->nodes[n])) continue;
    XAI__TRY(make_unit(&f, n, &p->unit[p->n_units++]));
  }
  return XAI_OK;
}

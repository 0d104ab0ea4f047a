/* The units of the forward sweep: which nodes are computed in one go. A value between them is not
 * there; so it must have one reader, and be neither wanted nor read in the reverse sweep.
 *
 *   linear node, BatchNormalization or Add and Sub of constants (folded into its weights)...
 *   any node, Add of another value of the same shape, activation in place, written out or not
 *   MatMul, Softmax, MatMul, Transpose: attention, which also reads through what only moves numbers
 *
 * Nodes that nobody needs any more are not run. */
#include <string.h>

#include "exec/planner.h"
#include "graph/pattern.h"
#include "op/attend.h"

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

/* ---- attention ---- */

/* A node's call as far as shapes and static data go. */
static xai__call still(const fuser *f, const xai__node *node) {
  const xai__planner *q = f->q;
  xai__view *out = q->in + node->n_in;
  for (int k = 0; k < node->n_in; k++) {
    q->in_static[k] = node->in[k] < 0 || q->p->graph->values[node->in[k]].is_static;
    q->in[k] = node->in[k] < 0 ? xai__absent : q->p->value[node->in[k]];
  }
  for (int k = 0; k < node->n_out; k++) out[k] = node->out[k] < 0 ? xai__absent : q->p->value[node->out[k]];
  return (xai__call){node, node->n_in, node->n_out, q->in, out, q->in_static, q->p->engine, q->err};
}

/* The operand whose numbers are those of value v, elsewhere: of a node of one result; or -1. */
static int moved_from(const fuser *f, int v) {
  const xai_graph *g = f->q->p->graph;
  const int at = g->values[v].producer;
  if (at < 0 || f->q->p->value[v].data || g->nodes[at].n_out != 1) return -1;
  const xai__node *node = &g->nodes[at];
  const int only = node->op->alias ? 0 : node->op->view ? xai__only_operand(g, node) : -1;
  return only < 0 || f->q->p->value[node->in[only]].blocked ? -1 : node->in[only];
}

/* Value v as a part of the earliest value, at most so many nodes before, that has all of it; returns
 * that. */
static int trace(const fuser *f, int v, int most, xai__strided *s) {
  const xai__plan *p = f->q->p;
  const int from = most ? moved_from(f, v) : -1;
  const int base = from < 0 ? v : trace(f, from, most - 1, s);
  if (from >= 0) {
    const xai__node *node = &p->graph->nodes[p->graph->values[v].producer];
    const xai__call c = still(f, node);
    if (node->op->alias ? xai__strided_reshape(s, &p->value[v].shape) : node->op->view(&c, s)) return base;
  }
  *s = xai__strided_whole(&p->value[v].shape);
  return v;
}

static bool is_there(const fuser *f, int v, const xai__unit *u) {
  const xai__plan *p = f->q->p;
  return p->value[v].dtype == XAI_F32 && !p->value[v].blocked && p->graph->values[v].producer < u->step.origin;
}

static bool is_row_softmax(const xai__node *node, int rank) {
  return xai__type_is(node, "Softmax") && node->op->axis(node, rank) == rank - 1;
}

/* Where the elements of the result lie in that of a Transpose behind it. */
static int turn(const fuser *f, const xai__unit *u, xai__strided *z) {
  const int n = next_of(f, u->out);
  if (n < 0 || !xai__type_is(&f->q->p->graph->nodes[n], "Transpose")) return -1;
  const xai__call c = still(f, &f->q->p->graph->nodes[n]);
  xai__strided axes = *z, whole = xai__strided_whole(&c.out[0].shape);
  for (int i = 0; i < z->shape.rank; i++) axes.stride[i] = i;
  if (!c.node->op->view(&c, &axes) || axes.stride[z->shape.rank - 1] != z->shape.rank - 1) return -1;
  for (int i = 0; i < z->shape.rank; i++) z->stride[axes.stride[i]] = whole.stride[i];
  return n;
}

enum { MOST_MOVES = 16 };

static int fuse_attention(fuser *f, xai__unit *u) {
  const xai__plan *p = f->q->p;
  const xai_graph *g = p->graph;
  const int softmax = next_of(f, u->out), rank = p->value[u->out].shape.rank;
  if (!xai__type_is(&u->step.node, "MatMul") || softmax < 0 || !is_row_softmax(&g->nodes[softmax], rank))
    return XAI_OK;
  const int weights = g->nodes[softmax].out[0], second = next_of(f, weights);
  if (second < 0 || !xai__type_is(&g->nodes[second], "MatMul") || g->nodes[second].in[0] != weights)
    return XAI_OK;
  const int out = g->nodes[second].out[0];
  xai__attend *t = xai__plan_new(f->q, 1, sizeof *t);
  int *operands = xai__plan_new(f->q, 4, sizeof *operands);
  if (!t || !operands) return f->q->err->status;
  operands[0] = trace(f, u->step.node.in[0], MOST_MOVES, &t->a);
  operands[1] = trace(f, u->step.node.in[1], MOST_MOVES, &t->b);
  operands[2] = trace(f, g->nodes[second].in[1], MOST_MOVES, &t->c);
  t->z = xai__strided_whole(&p->value[out].shape);
  for (int k = 0; k < 3; k++)
    if (!is_there(f, operands[k], u)) return XAI_OK;
  if (!xai__attend_serves(t)) return XAI_OK;
  take(f, u, softmax);
  take(f, u, second);
  const int n = turn(f, u, &t->z);
  if (n >= 0) take(f, u, n);
  operands[3] = u->out;
  u->step.node = (xai__node){.op = &xai__op_attend, .name = u->step.node.name, .n_in = 3, .n_out = 1,
                             .in = operands, .out = operands + 3, .attr = t};
  return XAI_OK;
}

/* Units whose results are read by no other, nor kept. */
static void drop_idle(fuser *f) {
  xai__plan *p = f->q->p;
  bool *read = f->q->flag;
  memset(read, 0, (size_t)p->graph->n_values);
  int first = p->n_units;
  for (int i = p->n_units - 1; i >= 0; i--) {
    const xai__unit u = p->unit[i];
    bool needed = u.out < 0 || read[u.out] || p->kept[u.out];
    for (int k = 1; k < u.step.node.n_out; k++)
      needed |= u.step.node.out[k] >= 0 && (read[u.step.node.out[k]] || p->kept[u.step.node.out[k]]);
    if (!needed) continue;
    for (int k = 0; k < u.step.node.n_in; k++)
      if (u.step.node.in[k] >= 0) read[u.step.node.in[k]] = true;
    if (u.add >= 0) read[u.add] = true;
    for (int k = 1; u.activation && k < u.activation->n_in; k++)
      if (u.activation->in[k] >= 0) read[u.activation->in[k]] = true;
    p->unit[--first] = u;
  }
  p->n_units -= first;
  memmove(p->unit, p->unit + first, (size_t)p->n_units * sizeof *p->unit);
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
  } else {
    XAI__TRY(fuse_attention(f, u));
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
  drop_idle(&f);
  return XAI_OK;
}

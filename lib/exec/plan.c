/* The memory plan: shapes for given inputs, what is known before running, who lives when, and where.
 *
 * Time runs 0 .. n-1 over the nodes forward, n .. n+m-1 over the steps back. A value lives from its
 * node to its last reader; a relevance from the last step that reads its value (the first to write
 * it, going back) to the step of its own node. Offsets in one buffer come from a sweep over time
 * with a free list. */
#include <string.h>

#include "exec/exec.h"

#define ALIGN 64
#define FOREVER INT32_MAX

typedef struct planner {
  xai__plan *p;
  const xai__plan_request *r;
  xai_error *err;
  int *birth, *death;           /* per value, of its data; birth -1: not in the buffer */
  int *grad_birth, *grad_death; /* per value, of its relevance */
  bool *active;                 /* per value: its relevance is wanted */
  bool *flag;                   /* per value, scratch */
  xai__view *in;                /* operand views of one node */
  bool *in_static;
  int max_operands;
} planner;

static void *plan_new(planner *q, size_t n, size_t size) {
  return xai__arena_new(&q->p->arena, n + 1, size, q->err);
}

/* The nodes that the wanted values need. */
static int choose_nodes(planner *q) {
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
    for (int k = 0; k < node->n_in; k++)
      if (node->in[k] >= 0) need[node->in[k]] = true;
    q->p->node[g->n_nodes - 1 - n++] = i;
  }
  memmove(q->p->node, q->p->node + g->n_nodes - n, (size_t)n * sizeof *q->p->node);
  q->p->n_nodes = n;
  return XAI_OK;
}

static void operand_views(const xai__plan *p, const xai__node *node, xai__view *in,
                          bool *in_static) {
  for (int k = 0; k < node->n_in; k++) {
    int v = node->in[k];
    in[k] = v < 0 ? (xai__view){XAI_F32, {-1, {0}}, NULL} : p->value[v];
    in_static[k] = v < 0 || p->graph->values[v].is_static;
  }
}

/* Shapes of every chosen node's results; what is known already is computed at once. */
static int infer_shapes(planner *q) {
  xai__plan *p = q->p;
  const xai_graph *g = p->graph;
  double budget = XAI__AHEAD;
  for (int i = 0; i < p->n_nodes; i++) {
    const xai__node *node = &g->nodes[p->node[i]];
    xai__view *out = q->in + node->n_in;
    operand_views(p, node, q->in, q->in_static);
    xai__call c = {node, node->n_in, node->n_out, q->in, out, q->in_static, p->engine, q->err};
    int status = xai__node_infer(&c, g->options.max_tensor);
    bool known = true;
    for (int k = 0; k < node->n_in; k++) known = known && (node->in[k] < 0 || q->in[k].data);
    known = (known || node->op->shape_only) && !status && xai__node_is_quick(&c, &budget);
    for (int k = 0; k < node->n_out && !status; k++) {
      if (node->out[k] < 0) continue;
      if (known) {
        size_t n = (size_t)xai__count(&out[k].shape) * xai__dtype_size(out[k].dtype);
        if (!(out[k].data = plan_new(q, n, 1))) return q->err->status;
      }
      p->value[node->out[k]] = out[k];
    }
    if (known && !status) status = xai__node_forward(&c);
    if (status) {
      xai__fail_at_node(q->err, p->node[i], node->name);
      return status;
    }
  }
  return XAI_OK;
}

/* Births and deaths of the values that live in the buffer. */
static void forward_lives(planner *q) {
  xai__plan *p = q->p;
  const xai_graph *g = p->graph;
  for (int i = 0; i < p->n_nodes; i++) {
    const xai__node *node = &g->nodes[p->node[i]];
    for (int k = 0; k < node->n_out; k++) {
      int v = node->out[k];
      if (v < 0 || p->value[v].data) continue;
      if (node->op->alias && k == 0) {
        p->owner[v] = p->owner[node->in[0]];
      } else {
        q->birth[v] = q->death[v] = i;
      }
    }
    for (int k = 0; k < node->n_in; k++)
      if (node->in[k] >= 0) q->death[p->owner[node->in[k]]] = i;
  }
  for (int i = 0; i < q->r->n_want; i++) q->death[p->owner[q->r->want[i]]] = FOREVER;
}

/* The values of a node are read in the reverse sweep. */
static void keep_node(planner *q, const xai__node *node) {
  for (int k = 0; k < node->n_in; k++)
    if (node->in[k] >= 0) q->death[q->p->owner[node->in[k]]] = FOREVER;
  for (int k = 0; k < node->n_out; k++)
    if (node->out[k] >= 0) q->death[q->p->owner[node->out[k]]] = FOREVER;
}

/* Which steps the reverse sweep crosses: those with a result that leads to the source and an operand
 * that `at` (or, with everything, any input) leads to. */
static int reverse_lives(planner *q) {
  xai__plan *p = q->p;
  const xai_graph *g = p->graph;
  const xai__plan_request *r = q->r;
  bool *leads = q->flag, *pinned = plan_new(q, (size_t)g->n_values, 1);
  if (!pinned) return q->err->status;
  p->source = r->source;
  p->n_at = r->n_at;
  p->at = plan_new(q, (size_t)r->n_at, sizeof *p->at);
  if (!p->at) return q->err->status;
  memcpy(p->at, r->at, (size_t)r->n_at * sizeof *p->at);
  pinned[r->source] = true;
  for (int i = 0; i < r->n_at; i++) pinned[r->at[i]] = true;
  XAI__TRY(xai__graph_steps(g, r->fold, pinned, p->value, &p->arena, &p->steps, q->err));
  p->step = plan_new(q, (size_t)p->steps.n, sizeof *p->step);
  if (!p->step) return q->err->status;

  memset(leads, 0, (size_t)g->n_values);
  for (int i = 0; i < r->n_at; i++) leads[r->at[i]] = true;
  for (int i = 0; i < g->n_inputs && r->everything; i++) leads[g->inputs[i]] = true;
  for (int i = 0; i < p->steps.n; i++) {
    const xai__node *node = &p->steps.v[i].node;
    bool any = false;
    for (int k = 0; k < node->n_in; k++) any |= node->in[k] >= 0 && leads[node->in[k]];
    for (int k = 0; k < node->n_out; k++)
      if (node->out[k] >= 0) leads[node->out[k]] |= any && p->value[node->out[k]].dtype == XAI_F32;
  }
  q->active[r->source] = true;
  int n = 0;
  for (int i = p->steps.n - 1; i >= 0; i--) {
    const xai__node *node = &p->steps.v[i].node;
    bool above = false;
    for (int k = 0; k < node->n_out; k++) above |= node->out[k] >= 0 && q->active[node->out[k]];
    if (!above) continue;
    bool any = false;
    for (int k = 0; k < node->n_in; k++) {
      int v = node->in[k];
      if (v < 0 || !leads[v] || g->values[v].is_static || p->value[v].dtype != XAI_F32) continue;
      any = q->active[v] = true;
    }
    if (any) p->step[p->steps.n - 1 - n++] = i;
  }
  memmove(p->step, p->step + p->steps.n - n, (size_t)n * sizeof *p->step);
  p->n_steps = n;
  for (int i = 0; i < r->n_at; i++) q->active[r->at[i]] = true;

  for (int v = 0; v < g->n_values; v++) {
    q->grad_birth[v] = q->active[v] ? FOREVER : -1;
    q->grad_death[v] = p->n_nodes;
  }
  for (int j = 0; j < n; j++) {
    int time = p->n_nodes + n - 1 - j;
    const xai__step *step = &p->steps.v[p->step[j]];
    for (int i = 0; i < step->n_inner; i++) keep_node(q, &g->nodes[step->inner[i]]);
    for (int k = 0; k < step->node.n_in; k++) {
      int v = step->node.in[k];
      if (v < 0) continue;
      q->death[p->owner[v]] = FOREVER;
      if (q->grad_birth[v] > time) q->grad_birth[v] = time;
    }
    for (int k = 0; k < step->node.n_out; k++) {
      int v = step->node.out[k];
      if (v < 0) continue;
      q->death[p->owner[v]] = FOREVER;
      q->grad_death[v] = time;
      if (q->grad_birth[v] > time) q->grad_birth[v] = q->active[v] ? time : -1;
    }
  }
  for (int i = 0; i < r->n_at; i++) q->grad_death[r->at[i]] = FOREVER;
  for (int i = 0; i < r->n_at; i++)
    if (q->grad_birth[r->at[i]] == FOREVER) q->grad_birth[r->at[i]] = p->n_nodes;
  q->grad_birth[r->source] = p->n_nodes;
  if (q->grad_death[r->source] < p->n_nodes) q->grad_death[r->source] = p->n_nodes;
  return XAI_OK;
}

/* ---- offsets ---- */

typedef struct block {
  int64_t offset, size;
  int birth, death;
  int64_t *where; /* gets the offset */
} block;

typedef struct hole {
  int64_t offset, size;
} hole;

/* Takes `size` bytes: the smallest hole that fits, else the end of the buffer. */
static int64_t take(hole *holes, int *n, int64_t *end, int64_t size) {
  int best = -1;
  for (int i = 0; i < *n; i++)
    if (holes[i].size >= size && (best < 0 || holes[i].size < holes[best].size)) best = i;
  if (best < 0) {
    if (*n && holes[*n - 1].offset + holes[*n - 1].size == *end) { /* grow the last hole */
      int64_t offset = holes[--*n].offset;
      *end = offset + size;
      return offset;
    }
    *end += size;
    return *end - size;
  }
  int64_t offset = holes[best].offset;
  holes[best].offset += size;
  holes[best].size -= size;
  if (!holes[best].size) {
    memmove(holes + best, holes + best + 1, (size_t)(*n - best - 1) * sizeof *holes);
    --*n;
  }
  return offset;
}

static void give(hole *holes, int *n, int64_t offset, int64_t size) {
  int i = 0;
  while (i < *n && holes[i].offset < offset) i++;
  bool left = i > 0 && holes[i - 1].offset + holes[i - 1].size == offset;
  bool right = i < *n && offset + size == holes[i].offset;
  if (left && right) {
    holes[i - 1].size += size + holes[i].size;
    memmove(holes + i, holes + i + 1, (size_t)(--*n - i) * sizeof *holes);
  } else if (left) {
    holes[i - 1].size += size;
  } else if (right) {
    holes[i].offset = offset;
    holes[i].size += size;
  } else {
    memmove(holes + i + 1, holes + i, (size_t)((*n)++ - i) * sizeof *holes);
    holes[i] = (hole){offset, size};
  }
}

/* Blocks by time: first[t] is the first of a chain. */
static void chain(int *first, int *next, int t, int i) {
  next[i] = first[t];
  first[t] = i;
}

static int assign_offsets(planner *q, block *blocks, int n_blocks, int n_times) {
  xai__plan *p = q->p;
  size_t n = (size_t)n_blocks, t = (size_t)n_times;
  int *born = plan_new(q, t, sizeof *born), *dead = plan_new(q, t, sizeof *dead);
  int *next_born = plan_new(q, n, sizeof *next_born), *next_dead = plan_new(q, n, sizeof *next_dead);
  hole *holes = plan_new(q, n, sizeof *holes);
  if (!born || !dead || !next_born || !next_dead || !holes) return q->err->status;
  for (int i = 0; i < n_times; i++) born[i] = dead[i] = -1;
  for (int i = n_blocks - 1; i >= 0; i--) {
    chain(born, next_born, blocks[i].birth, i);
    if (blocks[i].death < n_times) chain(dead, next_dead, blocks[i].death, i);
  }
  int n_holes = 0;
  for (int time = 0; time < n_times; time++) {
    for (int i = born[time]; i >= 0; i = next_born[i]) {
      blocks[i].offset = take(holes, &n_holes, &p->bytes, blocks[i].size);
      *blocks[i].where = blocks[i].offset;
    }
    for (int i = dead[time]; i >= 0; i = next_dead[i])
      give(holes, &n_holes, blocks[i].offset, blocks[i].size);
  }
  return XAI_OK;
}

static int place(planner *q) {
  xai__plan *p = q->p;
  const xai_graph *g = p->graph;
  int n = 0, n_times = p->n_nodes + p->n_steps + 1;
  block *blocks = plan_new(q, 2 * (size_t)g->n_values, sizeof *blocks);
  if (!blocks) return q->err->status;
  int64_t total = 0;
  for (int v = 0; v < g->n_values; v++) {
    int64_t bytes = 0;
    if (q->birth[v] < 0 && q->grad_birth[v] < 0) continue;
    if (!xai__mul(xai__count(&p->value[v].shape), (int64_t)xai__dtype_size(p->value[v].dtype),
                  &bytes) ||
        !xai__add(total, 2 * (bytes + ALIGN), &total))
      return xai__fail(q->err, XAI_E_LIMIT, g->values[v].name, "the tensors need too much memory");
    bytes = (bytes + ALIGN) / ALIGN * ALIGN;
    if (q->birth[v] >= 0)
      blocks[n++] = (block){0, bytes, q->birth[v], q->death[v], &p->offset[v]};
    if (q->grad_birth[v] >= 0)
      blocks[n++] = (block){0, bytes, q->grad_birth[v], q->grad_death[v], &p->grad_offset[v]};
  }
  return assign_offsets(q, blocks, n, n_times);
}

static int64_t bytes_of(const xai__plan *p, const int *v, int n) {
  int64_t count = 0;
  for (int k = 0; k < n; k++)
    if (v[k] >= 0) count += xai__count(&p->value[v[k]].shape);
  return count * (int64_t)sizeof(float);
}

/* The weights and the bias of a linear layer with something folded into it, which it keeps. */
static int64_t folded_bytes(const xai__plan *p, const xai__step *s) {
  const xai_graph *g = p->graph;
  int64_t bytes = 0;
  for (int k = 0; k < s->node.n_in; k++)
    if (k != s->operand) bytes += bytes_of(p, &s->node.in[k], 1);
  for (int k = 0; k < s->n_after; k++)
    if (g->nodes[s->after[k]].n_in == 2) bytes += bytes_of(p, s->node.out, 1); /* Add, Sub */
  return s->n_before || s->n_after ? bytes + 4096 : 0;
}

/* What running one node or crossing one step may take from the engine's scratch: an array of its
 * results' size and one of its operands' (packing), or three and two (rules), and a margin. */
static void estimate_scratch(xai__plan *p) {
  int64_t most = 0, kept = 0;
  for (int i = 0; i < p->n_nodes; i++) {
    const xai__node *node = &p->graph->nodes[p->node[i]];
    int64_t bytes = bytes_of(p, node->in, node->n_in) + bytes_of(p, node->out, node->n_out);
    if (most < bytes) most = bytes;
  }
  for (int j = 0; j < p->n_steps; j++) {
    const xai__step *s = &p->steps.v[p->step[j]];
    int64_t in = bytes_of(p, s->node.in, s->node.n_in), out = bytes_of(p, s->node.out, s->node.n_out);
    if (most < 2 * in + 3 * out) most = 2 * in + 3 * out;
    kept += folded_bytes(p, s);
  }
  p->scratch = most + kept + (5 << 18);
}

bool xai__plan_knows(const xai__shape *shape, int dtype) {
  int64_t n = xai__count(shape);
  return n <= 64 && (dtype == XAI_I64 || shape->rank <= 1);
}

static int plan_input(planner *q, int i) {
  int input = q->p->graph->inputs[i], dtype = xai__dtype_storage(q->p->graph->values[input].dtype);
  xai__view *v = &q->p->value[input];
  *v = (xai__view){dtype, q->r->input[i], NULL};
  if (!q->r->known || !xai__plan_knows(&v->shape, dtype)) return XAI_OK;
  size_t n = (size_t)xai__count(&v->shape) * xai__dtype_size(dtype);
  if (!(v->data = plan_new(q, n, 1))) return q->err->status;
  memcpy(v->data, q->r->data[i], n);
  return XAI_OK;
}

static int make(planner *q) {
  xai__plan *p = q->p;
  const xai_graph *g = p->graph;
  size_t n = (size_t)g->n_values;
  int **arrays[] = {&q->birth, &q->death, &q->grad_birth, &q->grad_death, &p->owner};
  for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
    if (!(*arrays[i] = plan_new(q, n, sizeof(int)))) return q->err->status;
  for (int i = 0; i < g->n_nodes; i++) {
    int operands = g->nodes[i].n_in + g->nodes[i].n_out;
    if (operands > q->max_operands) q->max_operands = operands;
  }
  q->active = plan_new(q, n, 1);
  q->flag = plan_new(q, n, 1);
  q->in = plan_new(q, (size_t)q->max_operands, sizeof *q->in);
  q->in_static = plan_new(q, (size_t)q->max_operands, 1);
  p->value = plan_new(q, n, sizeof *p->value);
  p->offset = plan_new(q, n, sizeof *p->offset);
  p->grad_offset = plan_new(q, n, sizeof *p->grad_offset);
  p->grad_written = plan_new(q, n, 1);
  p->node = plan_new(q, (size_t)g->n_nodes, sizeof *p->node);
  if (!q->active || !q->flag || !q->in || !q->in_static || !p->value || !p->offset ||
      !p->grad_offset || !p->grad_written || !p->node)
    return q->err->status;
  for (size_t v = 0; v < n; v++) {
    q->birth[v] = q->death[v] = q->grad_birth[v] = q->grad_death[v] = -1;
    p->offset[v] = p->grad_offset[v] = -1;
    p->owner[v] = (int)v;
    p->value[v] = g->values[v].constant;
    if (!p->value[v].data) p->value[v] = (xai__view){XAI_F32, {-1, {0}}, NULL};
  }
  for (int i = 0; i < g->n_inputs; i++) XAI__TRY(plan_input(q, i));
  XAI__TRY(choose_nodes(q));
  XAI__TRY(infer_shapes(q));
  forward_lives(q);
  if (q->r->reverse) XAI__TRY(reverse_lives(q));
  estimate_scratch(p);
  return place(q);
}

int xai__plan_create(const xai_graph *g, xai__engine *e, const xai__plan_request *r,
                     xai__plan **out, xai_error *err) {
  xai__plan *p = xai__new(xai__engine_memory(e), 1, sizeof *p, err);
  if (!p) return err->status;
  p->graph = g;
  p->engine = e;
  p->arena.memory = xai__engine_memory(e);
  planner q = {.p = p, .r = r, .err = err};
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
  xai__arena_free(&p->arena);
  xai__free(p);
}

/* The relevance view: which nodes count as one, and how relevance crosses each (METHODS section 3).
 *
 * - BatchNormalization and Add/Sub of a constant are folded into the linear layer before them, or
 *   a BatchNormalization into the one after it.
 * - A softmax written out is one; a normalisation written out is crossed node by node, its inverse
 *   scale held constant.
 * - A product whose factors are pointwise functions of one tensor (GELU, SiLU, HardSwish written
 *   out) is one activation.
 * A folded node has no step; its values are between two others and have no relevance of their own,
 * unless they are pinned. */
#include <string.h>

#include "graph/pattern.h"

typedef struct builder {
  const xai_graph *g;
  const bool *pinned;
  const xai__view *values;
  xai__arena *arena;
  xai_error *err;
  xai__step *of;   /* per node: its step */
  int *user;       /* per value: the one node that uses it, or -1 */
  int *parent;     /* per value: the tensor it is a pointwise function of, by one node, or -1 */
  bool *scale;     /* per value: a scale, held constant: of a written-out normalisation, or of a
                    * quantisation by the data */
  bool *folded;    /* per node */
  bool *carries;   /* per value: relevance may come here */
  bool *is_linear; /* per value: has a linear layer among its ancestors */
} builder;

static bool is_pinned(const builder *b, int v) { return b->pinned && b->pinned[v]; }

static bool is_static(const builder *b, int v) { return v < 0 || b->g->values[v].is_static; }

static int only_operand(const builder *b, const xai__node *node) {
  return xai__only_operand(b->g, node);
}

static int crossing(builder *b, xai__step *s) {
  const xai__node *node = &s->node;
  bool *st = xai__arena_new(b->arena, (size_t)node->n_in + 1, 1, b->err);
  if (!st) return b->err->status;
  for (int k = 0; k < node->n_in; k++) st[k] = is_static(b, node->in[k]);
  s->cross = node->op->crossing ? node->op->crossing(node, st) : node->op->cross;
  int only = only_operand(b, node);
  s->operand = only < 0 ? 0 : only;
  return XAI_OK;
}

/* ---- folding ---- */

/* Whether `other` adds to a tensor like v without making it larger. */
static bool fits(const xai__view *values, int v, int other) {
  xai__shape both;
  return values && xai__shape_broadcast(&values[v].shape, &values[other].shape, &both) &&
         xai__shape_equal(&both, &values[v].shape);
}

static bool fits_into(const builder *b, int v, int other) { return fits(b->values, v, other); }

static bool is_conv(const xai__node *node) {
  return xai__type_is(node, "Conv") || xai__type_is(node, "ConvTranspose");
}

/* One in training mode is no fixed map. */
static bool is_batchnorm(const xai__node *node) {
  static const bool in_static[] = {false, true, true, true, true};
  return xai__type_is(node, "BatchNormalization") &&
         node->op->crossing(node, in_static) == XAI__CROSS_NORM;
}

/* A BatchNormalization scales axis 1: the channels of a matrix product of rank 2 with the constant
 * on its right. */
static bool channels_match(const xai__view *values, const xai__step *linear, int v) {
  return is_conv(&linear->node) || (linear->operand == 0 && values && values[v].shape.rank == 2);
}

bool xai__graph_folds(const xai_graph *g, const xai__view *values, const xai__step *linear,
                      const xai__node *next, int v) {
  int other = next->n_in > 1 ? next->in[next->in[0] == v] : -1;
  bool is_constant = other >= 0 && g->values[other].is_static && next->opset >= 7; /* `axis` */
  if (xai__type_is(next, "Add")) return is_constant && fits(values, v, other);
  if (xai__type_is(next, "Sub")) return next->in[0] == v && is_constant && fits(values, v, other);
  return is_batchnorm(next) && next->in[0] == v &&
         xai__only_operand(g, next) == 0 && channels_match(values, linear, v);
}

/* Whether the linear layer, of its operand 0, reads its input without padding. */
static bool unpadded(const builder *b, const xai__node *node) {
  if (!b->values) return false;
  if (xai__type_is(node, "Gemm") || xai__type_is(node, "MatMul"))
    return b->values[node->in[0]].shape.rank == 2;
  if (!xai__type_is(node, "Conv")) return false;
  xai__view in[4];
  for (int k = 0; k < node->n_in && k < 4; k++)
    in[k] = node->in[k] < 0 ? xai__absent : b->values[node->in[k]];
  xai__view out = b->values[node->out[0]];
  bool in_static[4] = {false, true, true, true};
  xai__call c = {node, node->n_in, 1, in, &out, in_static, NULL, b->err};
  xai__product p;
  int x;
  memset(&p, 0, sizeof p);
  if (node->op->product(&c, &p, &x) || x != 0) return false;
  for (int i = 0; i < 3; i++)
    if (p.pad[i] || (p.out[i] - 1) * p.stride[i] + (p.kernel[i] - 1) * p.dilation[i] + 1 > p.in[i])
      return false;
  return true;
}

static int add_folded(builder *b, const int **list, int *n, int node) {
  int *bigger = xai__arena_new(b->arena, (size_t)*n + 1, sizeof *bigger, b->err);
  if (!bigger) return b->err->status;
  if (*n) memcpy(bigger, *list, (size_t)*n * sizeof *bigger);
  bigger[(*n)++] = node;
  *list = bigger;
  b->folded[node] = true;
  return XAI_OK;
}

static int replace_operand(builder *b, const int **list, int n, int at, int value) {
  int *copy = xai__arena_new(b->arena, (size_t)n + 1, sizeof *copy, b->err);
  if (!copy) return b->err->status;
  memcpy(copy, *list, (size_t)n * sizeof *copy);
  copy[at] = value;
  *list = copy;
  return XAI_OK;
}

static int fold_after(builder *b, xai__step *s) {
  for (;;) {
    int v = s->node.out[0], n = b->user[v];
    if (n < 0 || is_pinned(b, v)) return XAI_OK;
    const xai__node *next = &b->g->nodes[n];
    if (!xai__graph_folds(b->g, b->values, s, next, v)) return XAI_OK;
    XAI__TRY(add_folded(b, &s->after, &s->n_after, n));
    XAI__TRY(replace_operand(b, &s->node.out, s->node.n_out, 0, next->out[0]));
  }
}

static int fold_before(builder *b, xai__step *s) {
  int v = s->node.in[s->operand];
  int n = b->g->values[v].producer;
  if (n < 0 || b->folded[n] || is_pinned(b, v) || b->user[v] != s->origin) return XAI_OK;
  const xai__node *norm = &b->g->nodes[n];
  if (!is_batchnorm(norm) || only_operand(b, norm) != 0 || !unpadded(b, &s->node))
    return XAI_OK;
  XAI__TRY(add_folded(b, &s->before, &s->n_before, n));
  return replace_operand(b, &s->node.in, s->node.n_in, s->operand, norm->in[0]);
}

static int fold_linear(builder *b) {
  for (int i = 0; i < b->g->n_nodes; i++)
    if (b->of[i].cross == XAI__CROSS_LINEAR) XAI__TRY(fold_after(b, &b->of[i]));
  for (int i = 0; i < b->g->n_nodes; i++)
    if (b->of[i].cross == XAI__CROSS_LINEAR && b->of[i].operand == 0) XAI__TRY(fold_before(b, &b->of[i]));
  return XAI_OK;
}

/* ---- activations written out ---- */

static bool is_arithmetic(const xai__node *node) {
  return xai__type_is(node, "Mul") || xai__type_is(node, "Div") || xai__type_is(node, "Add") ||
         xai__type_is(node, "Sub") || xai__type_is(node, "Pow");
}

/* The nearest tensor that both are pointwise functions of (or are), or -1. */
static int common_root(const builder *b, int x, int y) {
  enum { FAR = 32 };
  for (int i = 0; x >= 0 && i < FAR; i++, x = b->parent[x])
    for (int j = 0, other = y; other >= 0 && j < FAR; j++, other = b->parent[other])
      if (x == other) return x;
  return -1;
}

/* The nodes between `root` and node i, a pointwise function of it, in order, i last; false if there
 * are too many or one keeps its own step. */
static bool nodes_between(const builder *b, int root, int i, int *inner, int *count) {
  int n = 0;
  inner[n++] = i;
  for (int done = 0; done < n; done++) {
    const xai__node *node = &b->g->nodes[inner[done]];
    for (int k = 0; k < node->n_in; k++) {
      int v = node->in[k], p = v < 0 ? -1 : b->g->values[v].producer;
      bool known = v == root || is_static(b, v);
      for (int m = 0; m < n && !known; m++) known = inner[m] == p;
      if (known) continue;
      if (n == XAI__MAX_INNER || p < 0 || is_pinned(b, v)) return false;
      inner[n++] = p;
    }
  }
  for (int k = 1; k < n; k++)
    for (int m = k; m > 0 && inner[m - 1] > inner[m]; m--) {
      int swap = inner[m];
      inner[m] = inner[m - 1];
      inner[m - 1] = swap;
    }
  *count = n;
  return true;
}

/* The root of the activation whose result alone node i scales by a constant (GELU's half), or -1. */
static int scaled_root(const builder *b, int i, int operand) {
  const xai__node *node = &b->g->nodes[i];
  int v = node->in[operand], p = b->g->values[v].producer;
  if (!xai__type_is(node, "Mul") && !(xai__type_is(node, "Div") && operand == 0)) return -1;
  if (p < 0 || !b->of[p].n_inner || b->of[p].cross != XAI__CROSS_PASS) return -1;
  if (b->user[v] != i || is_pinned(b, v) || !fits_into(b, v, node->in[!operand])) return -1;
  return b->of[p].node.in[0];
}

static int find_activations(builder *b) {
  const xai_graph *g = b->g;
  for (int i = 0; i < g->n_nodes; i++) {
    const xai__node *node = &g->nodes[i];
    xai__step *s = &b->of[i];
    int only = only_operand(b, node), root;
    if (only >= 0) {
      if (s->cross == XAI__CROSS_PASS || is_arithmetic(node)) b->parent[node->out[0]] = node->in[only];
      root = scaled_root(b, i, only);
      if (root < 0) continue;
    } else {
      if (!is_arithmetic(node) || node->n_in != 2 || is_static(b, node->in[0])) continue;
      root = common_root(b, node->in[0], node->in[1]);
      if (root < 0) continue;
      b->parent[node->out[0]] = root;
      if (s->cross != XAI__CROSS_GATE) continue;
    }
    int inner[XAI__MAX_INNER], n;
    if (!nodes_between(b, root, i, inner, &n)) continue;
    int *list = xai__arena_new(b->arena, (size_t)n + 1, sizeof *list, b->err);
    if (!list) return b->err->status;
    memcpy(list, inner, (size_t)n * sizeof *list);
    list[n] = root;
    s->inner = list;
    s->n_inner = n;
    s->node.in = list + n;
    s->node.n_in = 1;
    s->cross = XAI__CROSS_PASS;
    s->operand = 0;
  }
  return XAI_OK;
}

/* The axis along which `whole` was reduced to `part`: where their shapes part ways. */
static int reduced_axis(const builder *b, int whole, int part) {
  const xai__shape *w = b->values ? &b->values[whole].shape : &b->g->values[whole].shape;
  const xai__shape *p = b->values ? &b->values[part].shape : &b->g->values[part].shape;
  for (int i = w->rank - 1; i >= 0; i--) {
    int k = i - (w->rank - p->rank);
    if (k < 0 || (p->rank == w->rank && p->d[k] != w->d[i])) return i;
    if (p->rank < w->rank && p->d[k] != w->d[i]) return i;
  }
  return w->rank - 1;
}

/* The division of a written-out softmax stands for all of it. */
static int find_softmax(builder *b) {
  const xai__op *softmax = xai__op_find("", "Softmax");
  for (int i = 0; i < b->g->n_nodes; i++) {
    int x, sum;
    if (!xai__match_softmax(b->g, i, &x, &sum)) continue;
    const xai__node *total = &b->g->nodes[sum];
    xai__attr axis = {.name = "axis", .type = 2, .i = reduced_axis(b, total->in[0], total->out[0])};
    int *in = xai__arena_new(b->arena, 1, sizeof *in, b->err);
    void *attr = xai__arena_new(b->arena, 1, softmax->attr_size + 1, b->err);
    if (!in || !attr) return b->err->status;
    xai__step *s = &b->of[i];
    XAI__TRY(xai__op_import(softmax, &axis, 1, attr, s->node.name, b->err));
    *in = x;
    s->node = (xai__node){softmax, s->node.name, 13, 1, 1, in, s->node.out, attr, NULL};
    s->cross = XAI__CROSS_OWN;
    s->operand = 0;
  }
  return XAI_OK;
}

/* The node that alone uses node i's result, if it multiplies by a constant or adds one. */
static int affine_user(const builder *b, int i) {
  int v = b->g->nodes[i].out[0], n = b->user[v];
  if (n < 0 || is_pinned(b, v)) return -1;
  const xai__node *next = &b->g->nodes[n];
  bool affine = xai__type_is(next, "Mul") || xai__type_is(next, "Add");
  return affine && only_operand(b, next) >= 0 && fits_into(b, v, next->in[next->in[0] == v]) ? n : -1;
}

/* A written-out layer normalisation is one affine map, its scale held constant: the core, then what
 * multiplies by w and adds b. */
static int find_normalizations(builder *b) {
  for (int i = 0; i < b->g->n_nodes; i++) {
    int x, inner[XAI__MAX_INNER + 2], n;
    if (!xai__match_normalization(b->g, i, b->scale, &x, inner, &n)) continue;
    int next = affine_user(b, i);
    if (next >= 0 && xai__type_is(&b->g->nodes[next], "Mul")) {
      inner[n++] = next;
      next = affine_user(b, next);
    }
    bool shifted = next >= 0 && xai__type_is(&b->g->nodes[next], "Add"), pinned = false;
    if (shifted) inner[n++] = next;
    for (int k = 0; k < n - 1; k++) pinned |= is_pinned(b, b->g->nodes[inner[k]].out[0]);
    if (pinned) continue;
    int *list = xai__arena_new(b->arena, (size_t)n + 1, sizeof *list, b->err);
    if (!list) return b->err->status;
    memcpy(list, inner, (size_t)n * sizeof *list);
    list[n] = x;
    xai__step *s = &b->of[inner[n - 1]];
    s->inner = list;
    s->n_inner = n;
    s->shifted = shifted;
    s->node.in = list + n;
    s->node.n_in = 1;
    s->cross = XAI__CROSS_NORM;
    s->operand = 0;
  }
  return XAI_OK;
}

/* ---- gates, embeddings, layers ---- */

/* The gate that v comes straight from, through routed operators. */
static unsigned char gate_of(const builder *b, int v) {
  for (int i = 0; i < 64; i++) {
    int n = v < 0 ? -1 : b->g->values[v].producer;
    if (n < 0) return XAI__NO_GATE;
    const xai__node *node = &b->of[n].node;
    if (b->scale[v]) return XAI__GATE_SCALE;
    if (node->op->gate) return (unsigned char)node->op->gate;
    int only = only_operand(b, node);
    if (b->of[n].cross != XAI__CROSS_ROUTE || only < 0) return XAI__NO_GATE;
    v = node->in[only];
  }
  return XAI__NO_GATE;
}

static int find_gates(builder *b, xai__step *s) {
  unsigned char *gate = xai__arena_new(b->arena, (size_t)s->node.n_in + 1, 1, b->err);
  if (!gate) return b->err->status;
  for (int k = 0; k < s->node.n_in; k++) gate[k] = gate_of(b, s->node.in[k]);
  s->gate = gate;
  return XAI_OK;
}

/* Where relevance begins for an integer input: a row of a constant table, looked up or multiplied
 * out of a one-hot. */
static bool is_embedding(const builder *b, const xai__step *s) {
  bool table = s->cross == XAI__CROSS_LINEAR ||
               (xai__type_is(&s->node, "Gather") && is_static(b, s->node.in[0]));
  return table && only_operand(b, &s->node) >= 0;
}

static int classify(builder *b, xai__steps *steps) {
  const xai_graph *g = b->g;
  for (int i = 0; i < g->n_inputs; i++) {
    int dtype = g->values[g->inputs[i]].dtype;
    b->carries[g->inputs[i]] = dtype && xai__dtype_storage(dtype) == XAI_F32;
  }
  for (int i = 0; i < g->n_nodes; i++) {
    if (b->folded[i]) continue;
    xai__step s = b->of[i];
    bool carried = false, after_linear = false, scale = false;
    bool *constant = xai__arena_new(b->arena, (size_t)s.node.n_in + 1, 1, b->err);
    if (!constant) return b->err->status;
    s.constant = constant;
    for (int k = 0; k < s.node.n_in; k++) {
      constant[k] = is_static(b, s.node.in[k]) || !b->carries[s.node.in[k]];
      if (is_static(b, s.node.in[k])) continue;
      carried |= b->carries[s.node.in[k]];
      scale |= b->scale[s.node.in[k]];
      after_linear |= b->is_linear[s.node.in[k]];
    }
    s.embedding = !carried && is_embedding(b, &s);
    if (s.embedding || (!carried && s.cross != XAI__CROSS_NONE)) s.cross = XAI__CROSS_NONE;
    if (s.cross == XAI__CROSS_LINEAR) {
      s.first = !after_linear;
      s.linear = steps->n_linear++;
      after_linear = true;
    }
    if (s.cross == XAI__CROSS_GATE || s.cross == XAI__CROSS_OWN) XAI__TRY(find_gates(b, &s));
    for (int k = 0; k < s.node.n_out; k++)
      if (s.node.out[k] >= 0) {
        b->carries[s.node.out[k]] = s.embedding || (carried && s.cross != XAI__CROSS_NONE);
        if ((k && s.node.op->only_first) || (scale && !carried)) {
          b->scale[s.node.out[k]] = true;
          b->carries[s.node.out[k]] = false;
        }
        b->is_linear[s.node.out[k]] = after_linear;
      }
    steps->v[steps->n++] = s;
  }
  return XAI_OK;
}

int xai__graph_steps(const xai_graph *g, int fold, const bool *pinned, const xai__view *values,
                     xai__arena *a, xai__steps *out, xai_error *err) {
  size_t n_nodes = (size_t)g->n_nodes + 1, n_values = (size_t)g->n_values + 1;
  builder b = {.g = g, .pinned = pinned, .values = values, .arena = a, .err = err};
  *out = (xai__steps){xai__arena_new(a, n_nodes, sizeof *out->v, err), 0, 0};
  b.of = xai__arena_new(a, n_nodes, sizeof *b.of, err);
  b.user = xai__arena_new(a, n_values, sizeof *b.user, err);
  b.parent = xai__arena_new(a, n_values, sizeof *b.parent, err);
  b.scale = xai__arena_new(a, n_values, 1, err);
  b.folded = xai__arena_new(a, n_nodes, 1, err);
  b.carries = xai__arena_new(a, n_values, 1, err);
  b.is_linear = xai__arena_new(a, n_values, 1, err);
  if (!out->v || !b.of || !b.user || !b.parent || !b.scale || !b.folded || !b.carries || !b.is_linear)
    return err->status;
  for (int v = 0; v < g->n_values; v++) b.user[v] = b.parent[v] = -1;
  for (int i = 0; i < g->n_nodes; i++) {
    b.of[i] = (xai__step){.node = g->nodes[i], .origin = i, .linear = -1};
    XAI__TRY(crossing(&b, &b.of[i]));
    for (int k = 0; k < g->nodes[i].n_in; k++) {
      int v = g->nodes[i].in[k];
      if (v >= 0 && g->values[v].n_uses == 1) b.user[v] = i;
    }
  }
  if (fold & XAI__FOLD_LINEAR) XAI__TRY(fold_linear(&b));
  if (fold & XAI__FOLD_NORMALIZATIONS) {
    XAI__TRY(xai__find_inverse_scales(g, b.scale, a, err));
    XAI__TRY(find_softmax(&b));
    XAI__TRY(find_normalizations(&b));
  }
  if (fold & XAI__FOLD_ACTIVATIONS) XAI__TRY(find_activations(&b));
  return classify(&b, out);
}

int xai__graph_logit(const xai_graph *g, int value, int *tail_node) {
  static const char *const through[] = {"Identity", "Reshape", "Flatten", "Squeeze", "Cast"};
  static const char *const tails[] = {"Softmax", "LogSoftmax", "Sigmoid"};
  *tail_node = -1;
  for (int v = value;;) {
    int n = g->values[v].producer, x, sum;
    if (n < 0) return value;
    const xai__node *node = &g->nodes[n];
    bool tail = xai__match_softmax(g, n, &x, &sum), on = false;
    if (!tail) x = node->n_in ? node->in[0] : -1;
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) tail |= xai__type_is(node, tails[i]);
    for (size_t i = 0; i < sizeof through / sizeof *through; i++) on |= xai__type_is(node, through[i]);
    if (tail) {
      *tail_node = n;
      return x;
    }
    if (!on) return value;
    v = x;
  }
}

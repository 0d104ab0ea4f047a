/* Sub-graphs that exporters write out in primitives. */
#include "graph/pattern.h"

#include <math.h>
#include <string.h>

bool xai__type_is(const xai__node *node, const char *type) {
  return !strcmp(node->op->type, type);
}

static bool type_in(const xai__node *node, const char *const *types) {
  for (; *types; types++)
    if (xai__type_is(node, *types)) return true;
  return false;
}

static bool is_static(const xai_graph *g, int v) { return v < 0 || g->values[v].is_static; }

int xai__only_operand(const xai_graph *g, const xai__node *node) {
  int only = -1;
  for (int k = 0; k < node->n_in; k++)
    if (!is_static(g, node->in[k])) {
      if (only >= 0) return -1;
      only = k;
    }
  return only;
}

static const xai__node *producer(const xai_graph *g, int v) {
  int n = v < 0 ? -1 : g->values[v].producer;
  return n < 0 ? NULL : &g->nodes[n];
}

static const char *const movers[] = {"Reshape", "Expand", "Unsqueeze", "Squeeze", "Identity", "Cast",
                                     NULL};

/* The node behind v, past what only moves elements or bounds them by a constant. */
static const xai__node *behind(const xai_graph *g, int v) {
  const xai__node *node = producer(g, v);
  for (int hops = 0; node && (type_in(node, movers) || xai__type_is(node, "Max")); hops++) {
    if (hops == XAI__MAX_INNER) return NULL;
    int k = xai__only_operand(g, node);
    node = k < 0 ? NULL : producer(g, node->in[k]);
  }
  return node;
}

/* The reduction behind a mean: past movers and products with a constant (1 / count). */
static const xai__node *behind_mean(const xai_graph *g, int v) {
  const xai__node *node = producer(g, v);
  for (int hops = 0; node && (type_in(node, movers) || xai__type_is(node, "Mul") ||
                              xai__type_is(node, "Div")); hops++) {
    if (hops == XAI__MAX_INNER) return NULL;
    int k = xai__only_operand(g, node);
    node = k < 0 ? NULL : producer(g, node->in[k]);
  }
  bool sums = node && (xai__type_is(node, "ReduceMean") || xai__type_is(node, "ReduceSum"));
  return sums ? node : NULL;
}

bool xai__match_softmax(const xai_graph *g, int n, int *x, int *sum) {
  const xai__node *division = &g->nodes[n];
  if (!xai__type_is(division, "Div")) return false;
  const xai__node *e = producer(g, division->in[0]), *total = behind(g, division->in[1]);
  if (!e || !total || !xai__type_is(e, "Exp") || !xai__type_is(total, "ReduceSum") ||
      total->in[0] != e->out[0])
    return false;
  *x = e->in[0];
  *sum = (int)(total - g->nodes);
  const xai__node *shift = producer(g, *x);
  if (shift && xai__type_is(shift, "Sub")) {
    const xai__node *top = behind(g, shift->in[1]);
    if (top && xai__type_is(top, "ReduceMax") && top->in[0] == shift->in[0]) *x = shift->in[0];
  }
  return true;
}

/* ---- activations ---- */

static bool is_constant(const xai_graph *g, int v, double want) {
  const xai__view *c = v < 0 ? NULL : &g->values[v].constant;
  return c && c->data && c->dtype == XAI_F32 && xai__count(&c->shape) == 1 &&
         fabs((double)xai__f(c)[0] - want) <= 1e-6 * want;
}

/* Whether node is `type` of one of its operands, the other being the constant; that operand. */
static bool with_constant(const xai_graph *g, const xai__node *node, const char *type, double c,
                          int *operand) {
  if (!node || !xai__type_is(node, type)) return false;
  for (int k = 0; k < 2; k++)
    if (is_constant(g, node->in[1 - k], c) && (k == 0 || !xai__type_is(node, "Div"))) {
      *operand = node->in[k];
      return true;
    }
  return false;
}

const char *xai__match_activation(const xai_graph *g, int n, int v, int *inner, int *n_inner) {
  const xai__node *product = &g->nodes[n];
  if (!xai__type_is(product, "Mul") || (product->in[0] != v) == (product->in[1] != v)) return NULL;
  const xai__node *factor = producer(g, product->in[product->in[0] == v]);
  if (!factor) return NULL;
  if (xai__type_is(factor, "Sigmoid") && factor->in[0] == v) {
    inner[0] = (int)(factor - g->nodes);
    inner[1] = n;
    *n_inner = 2;
    return "Swish";
  }
  int erf, x;
  if (!with_constant(g, factor, "Add", 1, &erf)) return NULL;
  const xai__node *e = producer(g, erf), *scale = e ? producer(g, e->in[0]) : NULL;
  const xai__node *half = n + 1 < g->n_nodes ? &g->nodes[n + 1] : NULL;
  if (!e || !xai__type_is(e, "Erf") ||
      (!with_constant(g, scale, "Div", sqrt(2), &x) &&
       !with_constant(g, scale, "Mul", sqrt(0.5), &x)) ||
      x != v || !with_constant(g, half, "Mul", 0.5, &x) || x != product->out[0])
    return NULL;
  const xai__node *all[] = {scale, e, factor, product, half};
  for (*n_inner = 0; *n_inner < XAI__ACTIVATION_NODES; (*n_inner)++)
    inner[*n_inner] = (int)(all[*n_inner] - g->nodes);
  return "Gelu";
}

/* ---- normalisations ---- */

/* Adds the nodes between v and x to inner[]; false if some other tensor comes in, or too many. */
static bool collect(const xai_graph *g, int v, int x, int depth, int *inner, int *n) {
  if (v == x || is_static(g, v)) return true;
  int node = g->values[v].producer;
  if (node < 0 || depth == XAI__MAX_INNER) return false;
  for (int i = 0; i < *n; i++)
    if (inner[i] == node) return true;
  const xai__node *p = &g->nodes[node];
  if (!type_in(p, movers) && !xai__type_is(p, "Mul") && !xai__type_is(p, "Div") && strncmp(p->op->type, "Reduce", 6)) return false;
  for (int k = 0; k < p->n_in; k++)
    if (!collect(g, p->in[k], x, depth + 1, inner, n)) return false;
  if (*n == XAI__MAX_INNER - 2) return false;
  inner[(*n)++] = node;
  return true;
}

bool xai__match_normalization(const xai_graph *g, int n, const bool *scale, int *x, int *inner,
                              int *n_inner) {
  const xai__node *last = &g->nodes[n];
  bool product = xai__type_is(last, "Mul");
  if (last->n_in != 2 || (!product && !xai__type_is(last, "Div"))) return false;
  int centred = product && scale[last->in[0]] ? 1 : 0;
  const xai__node *difference = producer(g, last->in[centred]);
  const xai__node *mean = difference ? behind_mean(g, difference->in[1]) : NULL;
  if (is_static(g, last->in[1 - centred]) || (product && !scale[last->in[1 - centred]]) ||
      !difference || !xai__type_is(difference, "Sub") || !mean || mean->in[0] != difference->in[0])
    return false;
  *x = difference->in[0];
  *n_inner = 0;
  if (!collect(g, difference->in[1], *x, 0, inner, n_inner)) return false;
  inner[(*n_inner)++] = (int)(difference - g->nodes);
  inner[(*n_inner)++] = n;
  return true;
}

/* ---- inverse scales ---- */

enum { STATISTIC = 1, INVERSE = 2 };

/* A power by a negative constant, a reciprocal, a constant over something. */
static bool inverts(const xai_graph *g, const xai__node *node) {
  if (xai__type_is(node, "Reciprocal")) return true;
  if (xai__type_is(node, "Div")) return is_static(g, node->in[0]);
  if (!xai__type_is(node, "Pow")) return false;
  const xai__view *exponent = &g->values[node->in[1]].constant;
  return exponent->data && exponent->dtype == XAI_F32 && xai__count(&exponent->shape) == 1 &&
         xai__f(exponent)[0] < 0;
}

int xai__find_inverse_scales(const xai_graph *g, bool *scale, xai__arena *a, xai_error *err) {
  static const char *const light[] = {"Add", "Sub", "Mul", "Div", "Pow", "Sqrt", "Reciprocal", "Max",
                                      "Min", "Clip", "Abs", "Reshape", "Expand", "Unsqueeze",
                                      "Squeeze", "Cast", NULL};
  unsigned char *kind = xai__arena_new(a, (size_t)g->n_values + 1, 1, err);
  if (!kind) return err->status;
  for (int i = 0; i < g->n_nodes; i++) {
    const xai__node *node = &g->nodes[i];
    unsigned char common = STATISTIC | INVERSE, any = 0;
    bool reduces = !strncmp(node->op->type, "Reduce", 6);
    for (int k = 0; k < node->n_in; k++) {
      if (is_static(g, node->in[k])) continue;
      common &= kind[node->in[k]];
      any |= kind[node->in[k]];
    }
    if (reduces) {
      kind[node->out[0]] = STATISTIC;
    } else if ((common & STATISTIC) && any && type_in(node, light)) {
      kind[node->out[0]] = (unsigned char)(STATISTIC | (any & INVERSE) | (inverts(g, node) ? INVERSE : 0));
    }
  }
  for (int v = 0; v < g->n_values; v++) scale[v] = kind[v] == (STATISTIC | INVERSE);
  return XAI_OK;
}

/* Sub-graphs that exporters write out in primitives. */
#ifndef XAI_GRAPH_PATTERN_H
#define XAI_GRAPH_PATTERN_H
#include "graph/graph.h"

bool xai__type_is(const xai__node *node, const char *type);
/* The only operand that is not static; -1 if there are none or several. */
int xai__only_operand(const xai_graph *g, const xai__node *node);

/* An activation that node n, a product with v, or the node behind it ends: x sigmoid(x), or
 * x (1 + erf(x / sqrt 2)) / 2. Its operator ("Swish", "Gelu"), and its nodes in order: inner[], at
 * most XAI__ACTIVATION_NODES, *n_inner. NULL if it is none. */
enum { XAI__ACTIVATION_NODES = 5 };
const char *xai__match_activation(const xai_graph *g, int n, int v, int *inner, int *n_inner);

/* Softmax as Exp(x [- max x]) / ReduceSum: whether node n is the division; *x: its input, *sum: the
 * ReduceSum. */
bool xai__match_softmax(const xai_graph *g, int n, int *x, int *sum);

/* A layer normalisation's core, (x - m) / s: whether node n is its last product or division, with
 * statistic m of x; *x, and the nodes between x and n but for those behind the scale s: inner[], at
 * most XAI__MAX_INNER, in order, *n_inner of them. */
#define XAI__MAX_INNER 16
bool xai__match_normalization(const xai_graph *g, int n, const bool *scale, int *x, int *inner,
                              int *n_inner);

/* Per value: whether it is an inverse scale, 1 / sqrt(a statistic over some axes) or the like, as
 * written-out normalisations multiply by. `scale` has n_values elements. */
int xai__find_inverse_scales(const xai_graph *g, bool *scale, xai__arena *a, xai_error *err);

#endif

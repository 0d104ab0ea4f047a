/* Between the builder and its last step. */
#ifndef XAI_GRAPH_FINISH_H
#define XAI_GRAPH_FINISH_H
#include "graph/graph.h"
/* Every name of value v becomes a name of value to[v]. */
void xai__graph_rename(xai_graph *g, const int *to);
/* loose.c: constants that are to be read in place. */
int xai__graph_align_operands(xai_graph *g, const xai__node *node, xai_error *err);
int xai__graph_align_outputs(xai_graph *g, xai_error *err);
#endif

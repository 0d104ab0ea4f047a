/* Between the builder and its last step. */
#ifndef XAI_GRAPH_FINISH_H
#define XAI_GRAPH_FINISH_H
#include "graph/graph.h"
/* Every name of value v becomes a name of value to[v]. */
void xai__graph_rename(xai_graph *g, const int *to);
#endif

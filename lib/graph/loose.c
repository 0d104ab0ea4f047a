/* Loose constants: float32 weights of linear layers that do not lie aligned in the file. Whoever packs
 * weights reads them once, by xai__graph_copy; whoever multiplies them in place takes the aligned copy
 * that the graph makes when it is first asked for. */
#include <string.h>

#include "graph/finish.h"

#define PIECE ((size_t)1 << 20) /* floats that are in memory twice */

void xai__graph_forget(const xai_graph *g, const void *p, size_t bytes) {
  xai__file_forget(&g->file, p, bytes);
  for (const xai__external *e = g->external; e; e = e->next) xai__file_forget(&e->file, p, bytes);
}

void xai__graph_copy(const xai_graph *g, const void *from, int64_t n, float *to) {
  const char *at = from;
  for (size_t left = (size_t)n; left;) {
    const size_t piece = left < PIECE ? left : PIECE, bytes = piece * sizeof *to;
    memcpy(to, at, bytes);
    xai__graph_forget(g, at, bytes);
    to += piece;
    at += bytes;
    left -= piece;
  }
}

float *xai__graph_aligned(const xai_graph *g, int v, xai_error *err) {
  xai__cache *made = &((xai_graph *)(uintptr_t)g)->made;
  const xai__view *constant = &g->values[v].constant;
  const int64_t n = xai__count(&constant->shape);
  float *copy = xai__cache_find(made, &v, 1, NULL);
  if (copy) return copy;
  if (!(copy = xai__cache_new(made, &v, 1, n, err))) return NULL;
  xai__graph_copy(g, constant->data, n, copy);
  return xai__cache_put(made, copy);
}

bool xai__is_weight(const xai_graph *g, const xai__node *node, int k) {
  const xai__op *op = node->op;
  bool in_static[4];
  if (!op->product || node->n_in > 4 || k > 1) return false;
  for (int i = 0; i < node->n_in; i++)
    in_static[i] = node->in[i] < 0 || g->values[node->in[i]].is_static;
  return in_static[k] && (op->crossing ? op->crossing(node, in_static) : op->cross) == XAI__CROSS_LINEAR;
}

static int align(xai_graph *g, int v, xai_error *err) {
  xai__view *constant = &g->values[v].constant;
  if (!xai__is_loose(constant)) return XAI_OK;
  constant->data = xai__graph_aligned(g, v, err);
  return constant->data ? XAI_OK : err->status;
}

int xai__graph_align_operands(xai_graph *g, const xai__node *node, xai_error *err) {
  for (int k = 0; k < node->n_in; k++)
    if (node->in[k] >= 0 && !xai__is_weight(g, node, k)) XAI__TRY(align(g, node->in[k], err));
  return XAI_OK;
}

int xai__graph_align_outputs(xai_graph *g, xai_error *err) {
  for (int i = 0; i < g->n_outputs; i++) XAI__TRY(align(g, g->outputs[i], err));
  return XAI_OK;
}

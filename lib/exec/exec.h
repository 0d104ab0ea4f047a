/* The executor: a memory plan for given input shapes, the forward sweep, the reverse sweep. */
#ifndef XAI_EXEC_EXEC_H
#define XAI_EXEC_EXEC_H
#include "base/watch.h"
#include "graph/graph.h"

/* What a plan is for. Arrays are borrowed while planning. */
typedef struct xai__plan_request {
  const xai__shape *input; /* shape of each graph input */
  void *const *data;       /* and its data, in storage dtype; NULL: only shapes are known */
  bool known;              /* small inputs (see xai__plan_knows) are as good as constants */
  const int *want;         /* values to be there after the forward sweep */
  int n_want;
  bool reverse;    /* a reverse sweep follows, from `source` to the values `at` */
  int fold;        /* xai__folding */
  bool everything; /* relevance of every value, not only on the way to `at` (ledger) */
  int source, n_at;
  const int *at;
} xai__plan_request;

/* Immutable but for its buffer and the input data. */
typedef struct xai__plan {
  const xai_graph *graph;
  xai__arena arena;
  xai__engine *engine;
  xai__view *value; /* per value: shape, dtype, data (constants at once; others in `buffer`) */
  int64_t *offset;  /* per value: of its data in the buffer, -1: not there */
  int *owner;       /* per value: the value whose memory it shares (itself as a rule) */
  int *node;        /* nodes to run, in order */
  int n_nodes;
  xai__steps steps; /* reverse */
  int *step;        /* steps to cross, in the order of the forward sweep */
  int n_steps;
  int64_t *grad_offset; /* per value: of its relevance in the buffer, -1: has none */
  bool *grad_written;   /* per value, during a sweep */
  int source, n_at;
  int *at;
  char *buffer;
  int64_t bytes;   /* of the buffer */
  int64_t scratch; /* an estimate of what the sweeps need on top */
} xai__plan;

/* Whether an input is one that a network may compute shapes from: few integers, or a few numbers in a
 * row (axes, sizes, scales). A plan that `known` such inputs serves only these data. */
bool xai__plan_knows(const xai__shape *shape, int dtype);
int xai__plan_create(const xai_graph *g, xai__engine *e, const xai__plan_request *r,
                     xai__plan **out, xai_error *err);
void xai__plan_free(xai__plan *p);

/* data[i] of graph input i in storage dtype; borrowed until the last sweep over it. Allocates the
 * buffer on first use. */
int xai__forward(xai__plan *p, void *const *data, const xai__watch *w, xai_error *err);

/* How one step hands on what came to its results: gin[i] += ... for each gin[i] with data. */
typedef int (*xai__cross_fn)(void *user, const xai__step *step, xai__call *c,
                             const xai__view *gout, const xai__view *gin);

/* The vjp of a step: of its node, or of its inner nodes one after the other from its result to its
 * operand 0, other tensors held constant. */
int xai__step_vjp(const xai__plan *p, const xai__step *step, xai__call *c, const xai__view *gout,
                  const xai__view *gin);

/* The relevance of a value: there after xai__reverse for `at`, to be filled for `source` before. */
float *xai__plan_grad(const xai__plan *p, int value);
/* From the source's relevance, already filled, to all of `at` (zero where nothing came). */
int xai__reverse(xai__plan *p, xai__cross_fn cross, void *user, const xai__watch *w,
                 xai_error *err);

#endif

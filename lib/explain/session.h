/* One caller's workspace: an engine, and the plans of the last calls, kept for the next ones like
 * them. */
#ifndef XAI_EXPLAIN_SESSION_H
#define XAI_EXPLAIN_SESSION_H
#include "rule/rule.h"
#include "tensor/result.h"

/* A plan, and what was made for it. */
typedef struct xai__cached {
  xai__plan *plan;
  xai__rules *rules; /* where it is for relevance */
  xai__arena key;    /* holds what made_for points to */
  xai__plan_request made_for;
} xai__cached;

#define XAI__PLANS 2 /* a call may need two at a time: of its inputs, and of a batch of variations */

struct xai_session {
  const xai_graph *graph;
  xai_options options;
  xai__memory *memory;
  xai__engine *engine;
  atomic_int busy;
  xai__cached cached[XAI__PLANS]; /* the most recently used first */
};

/* The plan for a request: a cached one if it was for the same. */
int xai__session_plan(xai_session *s, const xai__plan_request *r, xai__plan **out, xai_error *err);
/* Before the first plan of a call runs: it gets an idle plan's buffer if it has none, and the other
 * plans are given up where the limit asks for it. */
void xai__session_make_room(xai_session *s, xai__plan *p);
/* The rules of a cached plan, made if need be. */
int xai__session_rules(xai_session *s, xai__plan *p, xai__rules **out, xai_error *err);
void xai__session_drop_plans(xai_session *s);

/* The caller's input tensors by name, checked against the graph. */
typedef struct xai__inputs {
  xai__shape *shape; /* per graph input */
  void **data;       /* in storage dtype: the caller's own or a copy in `arena` */
  int64_t batch;     /* items along axis 0, where all inputs have such an axis; else 1 */
  xai__arena arena;
} xai__inputs;
int xai__inputs_read(const xai_session *s, const xai_request *r, bool shapes_only, xai__inputs *in,
                     xai_error *err);

/* The value of that name; XAI_E_ARGUMENT that says so if there is none. */
int xai__find_value(const xai_graph *g, const char *name, int *value, xai_error *err);

#endif

/* One caller's workspace: an engine, and the plan of the last call, kept for the next one like it. */
#ifndef XAI_EXPLAIN_SESSION_H
#define XAI_EXPLAIN_SESSION_H
#include "rule/rule.h"
#include "tensor/result.h"

struct xai_session {
  const xai_graph *graph;
  xai__memory *memory;
  xai__engine *engine;
  atomic_int busy;
  xai__plan *plan;
  xai__rules *rules; /* of the plan, where it is for relevance */
  xai__arena key;    /* what the plan was made for */
  xai__plan_request made_for;
};

/* The plan for a request: the last one if it was for the same. */
int xai__session_plan(xai_session *s, const xai__plan_request *r, xai__plan **out, xai_error *err);
void xai__session_drop_plan(xai_session *s);

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

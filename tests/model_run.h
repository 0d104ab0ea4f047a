/* Parses a model from memory and, if it loads, describes it and runs it on zeros (symbolic
 * dimensions: 1) under tight limits; if it runs, explains it. For models that nobody vouches for. */
#ifndef XAI_TESTS_MODEL_RUN_H
#define XAI_TESTS_MODEL_RUN_H
#include <string.h>

#include "graph/graph.h"

#define MODEL_RUN_MAX_TENSOR (1 << 20)

static inline int model_run_inputs(const xai_graph *g, xai_param *inputs, xai_tensor **tensors,
                                   xai_error *err) {
  for (int i = 0; i < g->n_inputs; i++) {
    const xai__graph_value *v = &g->values[g->inputs[i]];
    xai__shape shape = v->shape;
    int64_t n;
    if (shape.rank < 0) shape.rank = 0;
    for (int k = 0; k < shape.rank; k++)
      if (shape.d[k] < 0) shape.d[k] = 1;
    if (!xai__shape_checked_count(&shape, &n) || n > MODEL_RUN_MAX_TENSOR)
      return xai__fail(err, XAI_E_LIMIT, v->name, "input '%s' is too large", v->name);
    int status = xai_tensor_create(v->dtype, shape.rank, shape.d, NULL, &tensors[i], err);
    if (status) return status;
    inputs[i] = (xai_param){.name = v->name, .tensor = tensors[i]};
  }
  return XAI_OK;
}

/* By all the ways that differ in the library. That some models cannot be explained is fine. */
static inline void model_run_explain(xai_session *s, xai_request *r) {
  static const char *const methods[] = {"gradient", "gradient-x-input", "guided-backprop",
                                        "epsilon-plus", "lrp-alpha-beta", "deep-taylor"};
  for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
    xai_result *result = NULL;
    xai_error ignored;
    r->method = methods[i];
    r->ledger = (int32_t)i % 2;
    xai_explain(s, r, &result, &ignored);
    xai_result_free(result);
  }
}

/* The first failure of xai_graph_parse, xai_session_create and xai_run. realloc: NULL or as in
 * xai_options. */
static inline int model_run(const void *model, size_t n, xai_realloc_fn realloc, void *user,
                            xai_error *err) {
  xai_options o = {.struct_size = sizeof o,
                   .threads = 1,
                   .max_memory = 64 << 20,
                   .max_nodes = 1000,
                   .max_tensor = MODEL_RUN_MAX_TENSOR,
                   .realloc = realloc,
                   .realloc_user = user};
  enum { MOST = 16 };
  xai_graph *g = NULL;
  xai_session *s = NULL;
  xai_result *result = NULL;
  xai_param inputs[MOST];
  xai_tensor *tensors[MOST] = {0};
  memset(err, 0, sizeof *err);
  int status = xai_graph_parse(model, n, &o, &g, err);
  if (!status) status = xai_session_create(g, &o, &s, err);
  if (!status && g->n_inputs > MOST)
    status = xai__fail(err, XAI_E_LIMIT, NULL, "more than %d inputs", MOST);
  if (!status) status = model_run_inputs(g, inputs, tensors, err);
  if (!status) {
    xai_request r = {.struct_size = sizeof r, .inputs = inputs, .n_inputs = (size_t)g->n_inputs};
    xai_result *description = NULL;
    xai_graph_describe(g, "epsilon-plus", &description, NULL);
    xai_result_free(description);
    status = xai_run(s, &r, &result, err);
    if (!status) model_run_explain(s, &r);
  }
  xai_result_free(result);
  for (int i = 0; i < MOST; i++) xai_tensor_free(tensors[i]);
  xai_session_free(s);
  xai_graph_free(g);
  return status;
}

#endif

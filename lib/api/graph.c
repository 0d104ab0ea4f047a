/* The exported graph calls. */
#include <stdio.h>
#include <string.h>

#include "api/load.h"
#include "base/log.h"
#include "onnx/onnx.h"
#include "rule/composite.h"

static int start(const xai_options *o, xai_graph **out, xai_error *err) {
  xai_options options;
  if (!out) return xai__fail(err, XAI_E_ARGUMENT, "out", "out is NULL");
  *out = NULL;
  XAI__TRY(xai__load_options(&options, o, err));
  return xai__graph_create(&options, out, err);
}

/* Where external tensor data are: the folder that the caller names, or the one of `path`. */
static int set_folder(xai_graph *g, const char *path, xai_error *err) {
  const char *named = g->options.external_dir;
  size_t n = named ? strlen(named) : path ? xai__folder_length(path) : 0;
  g->options.external_dir = NULL; /* the caller's */
  if (!named && !path) return XAI_OK;
  g->folder = n ? xai__arena_text(&g->arena, named ? named : path, n, err) : ".";
  return g->folder ? XAI_OK : err->status;
}

static int end(int status, xai_graph **out) {
  if (status) {
    xai__graph_release(*out);
    *out = NULL;
  } else {
    const xai_graph *g = *out;
    xai__log(&g->options, "graph: %d nodes left of the file's, %d inputs, %d outputs", g->n_nodes,
             g->n_inputs, g->n_outputs);
  }
  return status;
}

int xai_graph_load(const char *path, const xai_options *o, xai_graph **out, xai_error *err) {
  xai_error local;
  if (!err) err = &local;
  XAI__TRY(start(o, out, err));
  int status = path ? xai__file_map(path, &(*out)->file, err)
                    : xai__fail(err, XAI_E_ARGUMENT, "path", "path is NULL");
  if (!status) status = set_folder(*out, path, err);
  if (!status) status = xai__onnx_read(*out, (*out)->file.data, (*out)->file.size, false, err);
  return end(status, out);
}

int xai_graph_parse(const void *model, size_t n, const xai_options *o, xai_graph **out,
                    xai_error *err) {
  xai_error local;
  if (!err) err = &local;
  XAI__TRY(start(o, out, err));
  int status = model ? set_folder(*out, NULL, err)
                     : xai__fail(err, XAI_E_ARGUMENT, "model", "model is NULL");
  if (!status) status = xai__onnx_read(*out, model, n, true, err);
  return end(status, out);
}

void xai_graph_free(xai_graph *g) { xai__graph_release(g); }

/* ---- description ---- */

typedef struct description {
  const xai_graph *g;
  xai_result *out;
  xai__arena arena;
  xai__shape *shape; /* per value: planned for unknown dimensions of 1, or the file's */
  xai_error *err;
} description;

static int describe_port(description *d, const char *kind, const char *type, const char *name,
                         int v) {
  const xai__graph_value *value = &d->g->values[v];
  int rank = value->shape.rank < 0 ? 0 : value->shape.rank;
  xai__shape dims = {1, {rank}};
  xai_tensor *t;
  XAI__TRY(xai__result_tensor(d->out, kind, name, XAI_I64, &dims, &t, d->err));
  for (int i = 0; i < rank; i++) ((int64_t *)t->data)[i] = value->shape.d[i];
  return xai__result_text(d->out, type, name, xai__dtype_name(value->dtype), d->err);
}

static int describe_model(description *d) {
  const xai_graph *g = d->g;
  for (int i = 0; i < g->n_inputs; i++)
    XAI__TRY(describe_port(d, "input", "input-type", g->values[g->inputs[i]].name, g->inputs[i]));
  for (int i = 0; i < g->n_outputs; i++) {
    int tail;
    XAI__TRY(describe_port(d, "output", "output-type", g->output_names[i], g->outputs[i]));
    int logit = xai__graph_logit(g, g->outputs[i], &tail);
    XAI__TRY(xai__result_text(d->out, "logit", g->output_names[i], g->values[logit].name, d->err));
  }
  for (int i = 0; i < g->n_metadata; i++)
    XAI__TRY(xai__result_text(d->out, "metadata", g->metadata[i].key, g->metadata[i].text, d->err));
  for (int i = 0; i < g->n_opsets; i++)
    XAI__TRY(xai__result_text(d->out, "opset", g->opsets[i].key, g->opsets[i].text, d->err));
  XAI__TRY(xai__result_text(d->out, "producer", NULL, g->producer, d->err));
  int64_t parameters = 0;
  for (int v = 0; v < g->n_values; v++)
    if (g->values[v].constant.data && g->values[v].constant.dtype == XAI_F32)
      parameters += xai__count(&g->values[v].constant.shape);
  xai__shape scalar = {0, {0}};
  xai_tensor *t;
  XAI__TRY(xai__result_tensor(d->out, "parameters", NULL, XAI_I64, &scalar, &t, d->err));
  *(int64_t *)t->data = parameters;
  return XAI_OK;
}

/* Shapes with every unknown dimension of the inputs taken as 1, where the network allows that. */
static int plan_shapes(description *d, xai__view **values) {
  const xai_graph *g = d->g;
  xai__shape *input = xai__arena_new(&d->arena, (size_t)g->n_inputs + 1, sizeof *input, d->err);
  int *want = xai__arena_new(&d->arena, (size_t)g->n_values + 1, sizeof *want, d->err);
  *values = NULL;
  if (!input || !want) return d->err->status;
  for (int i = 0; i < g->n_inputs; i++) {
    input[i] = g->values[g->inputs[i]].shape;
    if (input[i].rank < 0) return XAI_OK;
    for (int k = 0; k < input[i].rank; k++)
      if (input[i].d[k] < 0) input[i].d[k] = 1;
  }
  xai__plan_request q = {.input = input, .want = want};
  for (int i = 0; i < g->n_nodes; i++)
    for (int k = 0; k < g->nodes[i].n_out; k++)
      if (g->nodes[i].out[k] >= 0) want[q.n_want++] = g->nodes[i].out[k];
  xai__engine *e = NULL;
  xai__plan *p = NULL;
  xai_error ignored;
  XAI__TRY(xai__engine_create(g->memory, 1, g->options.max_isa, &e, d->err));
  if (!xai__plan_create(g, e, &q, &p, &ignored)) {
    *values = xai__arena_new(&d->arena, (size_t)g->n_values + 1, sizeof **values, d->err);
    for (int v = 0; *values && v < g->n_values; v++) {
      (*values)[v] = p->value[v];
      (*values)[v].data = g->values[v].constant.data;
    }
  }
  xai__plan_free(p);
  xai__engine_free(e);
  return XAI_OK;
}

/* Clears the steps that no relevance reaches from any output: part of what another stands for. */
static int reached_steps(description *d, const xai__steps *steps, bool **reached) {
  const xai_graph *g = d->g;
  bool *value = xai__arena_new(&d->arena, (size_t)g->n_values + 1, 1, d->err);
  *reached = xai__arena_new(&d->arena, (size_t)steps->n + 1, 1, d->err);
  if (!value || !*reached) return d->err->status;
  for (int i = 0; i < g->n_outputs; i++) value[g->outputs[i]] = true;
  for (int i = steps->n - 1; i >= 0; i--) {
    const xai__node *node = &steps->v[i].node;
    bool *any = &(*reached)[i];
    for (int k = 0; k < node->n_out; k++) *any |= node->out[k] >= 0 && value[node->out[k]];
    for (int k = 0; k < node->n_in && *any; k++)
      if (node->in[k] >= 0) value[node->in[k]] = true;
  }
  return XAI_OK;
}

static const char *origin_text(const xai__step *s, const xai__assignment *a) {
  if (!s) return "folded";
  if (s->cross == XAI__CROSS_REFUSED && !(a && a->rule)) return "refused";
  return a && a->rule ? "composite" : "default";
}

static int describe_node(description *d, int i, const xai__view *values, const xai__step *s,
                         const xai__assignment *a, bool with_method) {
  const xai__node *node = &d->g->nodes[i];
  char key[24], rule[256] = "", shape[128] = "?";
  size_t size = 512;
  for (int k = 0; k < node->n_out; k++)
    if (node->out[k] >= 0) size += strlen(d->g->values[node->out[k]].name) + 1;
  size += strlen(node->name) + strlen(node->op->type);
  char *text = xai__arena_new(&d->arena, size, 1, d->err);
  if (!text) return d->err->status;
  size_t n = (size_t)snprintf(text, size, "%s\t%s\t", node->op->type, node->name);
  const char *comma = "";
  for (int k = 0; k < node->n_out; k++) {
    if (node->out[k] < 0) continue;
    n += (size_t)snprintf(text + n, size - n, "%s%s", comma, d->g->values[node->out[k]].name);
    comma = ",";
  }
  if (values) {
    snprintf(shape, sizeof shape, "%s", xai__shape_text(&values[node->out[0]].shape).text);
    for (char *p = shape; *p; p++)
      if (*p == 'x') *p = ',';
  }
  n += (size_t)snprintf(text + n, size - n, "\t%s\t%s", shape, s ? xai__crossing_text(s->cross) : "folded");
  if (with_method) {
    if (s && a) xai__assignment_text(s, a, rule, sizeof rule);
    snprintf(text + n, size - n, "\t%s\t%s", s && !a ? "vjp" : rule, origin_text(s, a));
  }
  snprintf(key, sizeof key, "%d", i);
  return xai__result_text(d->out, "node", key, text, d->err);
}

static int describe_nodes(description *d, const char *name) {
  const xai_graph *g = d->g;
  const xai__method *m = NULL;
  xai__params params = {0};
  xai__view *values;
  xai__steps steps;
  xai__assignment *assigned = NULL;
  int fold = XAI__FOLD_ALL;
  if (name) {
    if (!(m = xai__method_find(name, d->err))) return d->err->status;
    XAI__TRY(xai__method_params(m, NULL, 0, &params, d->err));
    fold = xai__method_fold(m, &params);
  }
  XAI__TRY(plan_shapes(d, &values));
  XAI__TRY(xai__graph_steps(g, fold, NULL, values, &d->arena, &steps, d->err));
  if (m && m->relevance)
    XAI__TRY(xai__assign(xai__composite_find(m->name), NULL, 0, &params, &steps, &d->arena, &assigned,
                         d->err));
  bool *reached;
  XAI__TRY(reached_steps(d, &steps, &reached));
  for (int i = 0, k = 0; i < g->n_nodes; i++) {
    bool has_step = k < steps.n && steps.v[k].origin == i;
    bool own = has_step && (reached[k] || steps.v[k].cross == XAI__CROSS_NONE);
    XAI__TRY(describe_node(d, i, values, own ? &steps.v[k] : NULL,
                           own && assigned ? &assigned[k] : NULL, m != NULL));
    k += has_step;
  }
  return XAI_OK;
}

int xai_graph_describe(const xai_graph *g, const char *method, xai_result **out, xai_error *err) {
  xai_error local;
  if (!err) err = &local;
  if (!out) return xai__fail(err, XAI_E_ARGUMENT, "out", "out is NULL");
  *out = NULL;
  if (!g) return xai__fail(err, XAI_E_ARGUMENT, "graph", "graph is NULL");
  description d = {.g = g, .arena.memory = g->memory, .err = err};
  int status = xai__result_create(g->memory, &d.out, err);
  if (!status) status = describe_model(&d);
  if (!status) status = describe_nodes(&d, method);
  xai__arena_free(&d.arena);
  if (status)
    xai_result_free(d.out);
  else
    *out = d.out;
  return status;
}

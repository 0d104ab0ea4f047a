/* ModelProto and GraphProto. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "onnx/message.h"

/* Field numbers, of a GraphProto and of a ModelProto. */
enum { NODE = 1, INITIALIZER = 5, INPUT = 11, OUTPUT = 12, SPARSE_INITIALIZER = 15 };
enum { GRAPH = 7, OPSET_IMPORT = 8, METADATA = 14 };

int xai__onnx_each(xai__onnx_model *m, xai__wire w, uint32_t field, const char *name,
                   xai__onnx_reader read, xai_error *err) {
  xai__wire message;
  int more;
  while ((more = xai__wire_find(&w, field, name, &message, err)) > 0) {
    xai__arena scratch = {m->graph->memory, NULL};
    int status = read(m, message, &scratch, err);
    xai__arena_free(&scratch);
    if (status) return status;
  }
  return more;
}

/* ---- of the graph ---- */

static int need_name(const char *name, const char *what, xai_error *err) {
  return name[0] ? XAI_OK : xai__fail(err, XAI_E_MODEL, NULL, "%s has no name", what);
}

#define FEW 16384 /* elements that are copied where they lie badly */

/* Whether data may be used where they lie in the file (xai__is_loose, xai__graph_finish). */
static bool stays(const xai__onnx_data *d) {
  const bool aligned = (uintptr_t)d->raw % xai__dtype_size(d->dtype) == 0;
  return d->raw && ((d->dtype == XAI_I64 && aligned) || (d->dtype == XAI_F32 && (aligned || d->count > FEW)));
}

int xai__onnx_initializer(xai__onnx_model *m, xai__wire message, xai__arena *a, xai_error *err) {
  xai__onnx_data d;
  xai__view v;
  XAI__TRY(xai__onnx_data_read(message, a, &d, err));
  XAI__TRY(need_name(d.name, "an initializer", err));
  if (d.location) XAI__TRY(xai__onnx_external(m->graph, &d, err));
  v = (xai__view){.dtype = d.dtype, .shape = d.shape, .data = (void *)(uintptr_t)d.raw};
  if (m->copy || !stays(&d)) {
    XAI__TRY(xai__onnx_data_view(&d, &m->graph->arena, &v, err));
    if (d.raw) xai__graph_forget(m->graph, d.raw, (size_t)d.count * xai__dtype_size(d.dtype));
  }
  const char *name = xai__onnx_define(m, d.name, a, err);
  return name ? xai__graph_add_constant(m->graph, name, d.dtype, &v, false, err) : err->status;
}

static int refuse_sparse(xai__onnx_model *m, xai__wire message, xai__arena *a, xai_error *err) {
  (void)m, (void)message, (void)a;
  return xai__fail(err, XAI_E_UNSUPPORTED, NULL, "the model has sparse initializers");
}

/* A dimension without a number is symbolic; some writers say -1 instead. */
static int read_shape(xai__wire shape, const char *name, xai__arena *a, xai__shape *out,
                      xai_error *err) {
  static const xai__wire_rule rules[] = {{1, XAI__WIRE_INT, 0, NULL}, {0, 0, 0, NULL}};
  xai__wire message;
  int more;
  out->rank = 0;
  while ((more = xai__wire_find(&shape, 1, "Dimension", &message, err)) > 0) {
    int64_t d = -1;
    XAI__TRY(xai__wire_read(message, rules, a, &d, err));
    if (d < -1)
      return xai__fail(err, XAI_E_MODEL, name, "tensor '%s': dimension %d is %lld", name,
                       out->rank, (long long)d);
    if (out->rank == XAI__MAX_RANK)
      return xai__fail(err, XAI_E_UNSUPPORTED, name, "tensor '%s' has a rank of more than %d",
                       name, XAI__MAX_RANK);
    out->d[out->rank++] = d;
  }
  return more;
}

typedef struct port {
  const char *name;
  int dtype; /* 0: not said */
  xai__shape shape;
} port;

static int read_port(xai__wire info, xai__arena *a, port *out, xai_error *err) {
  struct value_info {
    const char *name;
    xai__wire type;
  } v = {.name = ""};
  static const xai__wire_rule info_rules[] = {
      {1, XAI__WIRE_TEXT, offsetof(struct value_info, name), NULL},
      {2, XAI__WIRE_MESSAGE, offsetof(struct value_info, type), "TypeProto"},
      {0, 0, 0, NULL}};
  struct tensor_type {
    int64_t element;
    xai__wire shape;
  } t = {0};
  static const xai__wire_rule tensor_rules[] = {
      {1, XAI__WIRE_INT, offsetof(struct tensor_type, element), NULL},
      {2, XAI__WIRE_MESSAGE, offsetof(struct tensor_type, shape), "TensorShapeProto"},
      {0, 0, 0, NULL}};
  xai__wire tensor = {0};
  static const xai__wire_rule type_rules[] = {{1, XAI__WIRE_MESSAGE, 0, "TypeProto.Tensor"},
                                              {0, 0, 0, NULL}};
  XAI__TRY(xai__wire_read(info, info_rules, a, &v, err));
  XAI__TRY(need_name(v.name, "an input or output", err));
  if (v.type.p) XAI__TRY(xai__wire_read(v.type, type_rules, a, &tensor, err));
  if (v.type.p != v.type.end && !tensor.p)
    return xai__fail(err, XAI_E_UNSUPPORTED, v.name,
                     "'%s' is no dense tensor, which is not supported", v.name);
  if (tensor.p) XAI__TRY(xai__wire_read(tensor, tensor_rules, a, &t, err));
  if (t.element) XAI__TRY(xai__onnx_check_dtype(t.element, v.name, err));
  *out = (port){.name = v.name, .dtype = (int)t.element, .shape.rank = -1};
  return t.shape.p ? read_shape(t.shape, v.name, a, &out->shape, err) : XAI_OK;
}

static int read_input(xai__onnx_model *m, xai__wire info, xai__arena *a, xai_error *err) {
  port p;
  XAI__TRY(read_port(info, a, &p, err));
  if (!p.dtype)
    return xai__fail(err, XAI_E_MODEL, p.name, "input '%s' has no element type", p.name);
  return xai__graph_add_input(m->graph, p.name, p.dtype, &p.shape, err);
}

static int read_output(xai__onnx_model *m, xai__wire info, xai__arena *a, xai_error *err) {
  port p;
  XAI__TRY(read_port(info, a, &p, err));
  return xai__graph_add_output(m->graph, p.name, p.dtype, &p.shape, err);
}

static int read_graph(xai__onnx_model *m, xai__wire graph, xai__arena *a, xai_error *err) {
  (void)a;
  XAI__TRY(xai__onnx_each(m, graph, SPARSE_INITIALIZER, "SparseTensorProto", refuse_sparse, err));
  XAI__TRY(xai__onnx_each(m, graph, INPUT, "ValueInfoProto", read_input, err));
  XAI__TRY(xai__onnx_each(m, graph, INITIALIZER, "TensorProto", xai__onnx_initializer, err));
  int status = xai__onnx_each(m, graph, NODE, "NodeProto", xai__onnx_node, err);
  if (status == XAI_E_UNSUPPORTED && m->graph->options.log) {
    xai_error second; /* the first is what the caller gets */
    (void)xai__onnx_each(m, graph, NODE, "NodeProto", xai__onnx_list, &second);
  }
  if (status) return status;
  return xai__onnx_each(m, graph, OUTPUT, "ValueInfoProto", read_output, err);
}

/* ---- of the model ---- */

const char *xai__onnx_domain(const char *domain) {
  return strcmp(domain, "ai.onnx") ? domain : "";
}

int xai__onnx_opset_of(const xai__onnx_model *m, const char *domain) {
  for (int i = m->n_opsets - 1; i >= 0; i--)
    if (!strcmp(m->opsets[i].domain, domain)) return m->opsets[i].version;
  return 1;
}

typedef struct opset_import {
  const char *domain;
  int64_t version;
} opset_import;

static int read_import(xai__onnx_model *m, xai__wire message, xai__arena *a, opset_import *p,
                       xai_error *err) {
  static const xai__wire_rule rules[] = {
      {1, XAI__WIRE_TEXT, offsetof(opset_import, domain), NULL},
      {2, XAI__WIRE_INT, offsetof(opset_import, version), NULL},
      {0, 0, 0, NULL}};
  *p = (opset_import){.domain = ""};
  XAI__TRY(xai__wire_read(message, rules, a, p, err));
  if (p->version < 1 || p->version > INT_MAX)
    return xai__fail(err, XAI_E_MODEL, NULL, "opset import of domain '%s' has version %lld",
                     p->domain, (long long)p->version);
  if (m->n_opsets == XAI__ONNX_OPSETS)
    return xai__fail(err, XAI_E_LIMIT, NULL, "more than %d opset imports", XAI__ONNX_OPSETS);
  return XAI_OK;
}

static int read_opset(xai__onnx_model *m, xai__wire message, xai__arena *a, xai_error *err) {
  opset_import p;
  char version[24];
  XAI__TRY(read_import(m, message, a, &p, err));
  snprintf(version, sizeof version, "%lld", (long long)p.version);
  XAI__TRY(xai__graph_add_text(m->graph, true, p.domain[0] ? p.domain : "ai.onnx", version, err));
  const char *kept = m->graph->opsets[m->graph->n_opsets - 1].key;
  m->opsets[m->n_opsets++] = (xai__onnx_opset){xai__onnx_domain(kept), (int)p.version};
  return XAI_OK;
}

int xai__onnx_function_opset(xai__onnx_model *m, xai__wire message, xai__arena *a, xai_error *err) {
  opset_import p;
  XAI__TRY(read_import(m, message, a, &p, err));
  const char *kept = xai__arena_text(&m->graph->arena, p.domain, strlen(p.domain), err);
  if (!kept) return err->status;
  m->opsets[m->n_opsets++] = (xai__onnx_opset){xai__onnx_domain(kept), (int)p.version};
  return XAI_OK;
}

static int read_metadata(xai__onnx_model *m, xai__wire message, xai__arena *a, xai_error *err) {
  struct entry {
    const char *key, *value;
  } p = {"", ""};
  static const xai__wire_rule rules[] = {{1, XAI__WIRE_TEXT, offsetof(struct entry, key), NULL},
                                         {2, XAI__WIRE_TEXT, offsetof(struct entry, value), NULL},
                                         {0, 0, 0, NULL}};
  XAI__TRY(xai__wire_read(message, rules, a, &p, err));
  return xai__graph_add_text(m->graph, false, p.key, p.value, err);
}

/* ---- all of it ---- */

static int read_producer(xai__onnx_model *m, xai_error *err) {
  static const xai__wire_rule rules[] = {{2, XAI__WIRE_TEXT, 0, NULL}, {0, 0, 0, NULL}};
  return xai__wire_read(m->message, rules, &m->graph->arena, &m->graph->producer, err);
}

/* Other files than models fail here, as a rule. */
static int check_has_graph(const xai__onnx_model *m, xai_error *err) {
  xai_error why = {.text = "it has no graph"};
  xai__wire w = m->message, graph;
  int found = xai__wire_find(&w, GRAPH, "GraphProto", &graph, err);
  if (found > 0) return XAI_OK;
  if (found < 0) why = *err;
  return xai__fail(err, XAI_E_MODEL, NULL, "not an ONNX model, or a damaged one: %s", why.text);
}

int xai__onnx_read(xai_graph *g, const unsigned char *data, size_t n, bool copy, xai_error *err) {
  xai__onnx_model m = {.graph = g, .copy = copy, .message = {data, data, data + n, "ModelProto"}};
  if (!n) return xai__fail(err, XAI_E_MODEL, NULL, "not an ONNX model: it is empty");
  XAI__TRY(check_has_graph(&m, err));
  XAI__TRY(read_producer(&m, err));
  XAI__TRY(xai__onnx_each(&m, m.message, OPSET_IMPORT, "OperatorSetIdProto", read_opset, err));
  XAI__TRY(xai__onnx_each(&m, m.message, METADATA, "StringStringEntryProto", read_metadata, err));
  xai__arena functions = {g->memory, NULL};
  int status = xai__onnx_functions(&m, &functions, err);
  if (!status) status = xai__onnx_each(&m, m.message, GRAPH, "GraphProto", read_graph, err);
  xai__arena_free(&functions);
  return status ? status : xai__graph_finish(g, err);
}

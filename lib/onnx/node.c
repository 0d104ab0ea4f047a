/* NodeProto and AttributeProto to xai__graph_add_node. */
#include <string.h>

#include "base/log.h"
#include "onnx/message.h"

typedef struct node_proto {
  const char *name, *type, *domain, *overload;
  xai__wire_list in, out;
} node_proto;

static const xai__wire_rule node_rules[] = {
    {1, XAI__WIRE_TEXTS, offsetof(node_proto, in), NULL},
    {2, XAI__WIRE_TEXTS, offsetof(node_proto, out), NULL},
    {3, XAI__WIRE_TEXT, offsetof(node_proto, name), NULL},
    {4, XAI__WIRE_TEXT, offsetof(node_proto, type), NULL},
    {7, XAI__WIRE_TEXT, offsetof(node_proto, domain), NULL},
    {8, XAI__WIRE_TEXT, offsetof(node_proto, overload), NULL},
    {0, 0, 0, NULL}};

typedef struct attribute_proto {
  const char *name, *reference;
  float f;
  int64_t i, type;
  const char *s;
  xai__wire tensor;
  xai__wire_list floats, ints, texts;
} attribute_proto;

static const xai__wire_rule attribute_rules[] = {
    {1, XAI__WIRE_TEXT, offsetof(attribute_proto, name), NULL},
    {2, XAI__WIRE_FLOAT, offsetof(attribute_proto, f), NULL},
    {3, XAI__WIRE_INT, offsetof(attribute_proto, i), NULL},
    {4, XAI__WIRE_TEXT, offsetof(attribute_proto, s), NULL},
    {5, XAI__WIRE_MESSAGE, offsetof(attribute_proto, tensor), "TensorProto"},
    {7, XAI__WIRE_FLOATS, offsetof(attribute_proto, floats), NULL},
    {8, XAI__WIRE_INTS, offsetof(attribute_proto, ints), NULL},
    {9, XAI__WIRE_TEXTS, offsetof(attribute_proto, texts), NULL},
    {20, XAI__WIRE_INT, offsetof(attribute_proto, type), NULL},
    {21, XAI__WIRE_TEXT, offsetof(attribute_proto, reference), NULL},
    {0, 0, 0, NULL}};

/* AttributeProto.AttributeType, and what those that no operator takes are. */
enum { FLOAT = 1, INT, STRING, TENSOR, GRAPH, FLOATS, INTS, STRINGS, TENSORS, GRAPHS };
#define N_TYPES 15
static const char *const refused[N_TYPES] = {[GRAPH] = "a subgraph",
                                             [TENSORS] = "a list of tensors",
                                             [GRAPHS] = "a list of subgraphs",
                                             [11] = "a sparse tensor",
                                             [12] = "a list of sparse tensors",
                                             [13] = "a type",
                                             [14] = "a list of types"};

static int check_type(const attribute_proto *p, xai_error *err) {
  if (!p->type) return xai__fail(err, XAI_E_MODEL, NULL, "attribute '%s' has no type", p->name);
  if (p->type < 0 || p->type >= N_TYPES)
    return xai__fail(err, XAI_E_UNSUPPORTED, NULL, "attribute '%s' has type %lld, which is unknown",
                     p->name, (long long)p->type);
  if (refused[p->type])
    return xai__fail(err, XAI_E_UNSUPPORTED, NULL, "attribute '%s' is %s, which is not supported",
                     p->name, refused[p->type]);
  if (p->type == TENSOR && !p->tensor.p)
    return xai__fail(err, XAI_E_MODEL, NULL, "attribute '%s' lacks its tensor", p->name);
  return XAI_OK;
}

static int read_attribute(xai__onnx_model *m, xai__wire message, xai__arena *a, xai__attr *out,
                          xai_error *err);

/* An attribute of the function that the node is in: as its call says, or as the function presets it;
 * without a name where neither does. */
static int refer(xai__onnx_model *m, const attribute_proto *p, xai__arena *a, xai__attr *out,
                 xai_error *err) {
  const xai__onnx_scope *s = m->scope;
  while (s && !s->is_function) s = s->outer;
  if (!s) return xai__fail(err, XAI_E_MODEL, NULL, "attribute '%s' refers to one of a function", p->name);
  for (int i = 0; i < s->n_attrs; i++) {
    if (strcmp(s->attrs[i].name, p->reference)) continue;
    *out = s->attrs[i];
    out->name = p->name;
    return XAI_OK;
  }
  xai__wire w = s->function, message;
  int more;
  while ((more = xai__wire_find(&w, 11, "AttributeProto", &message, err)) > 0) {
    XAI__TRY(read_attribute(m, message, a, out, err));
    if (strcmp(out->name, p->reference)) continue;
    out->name = p->name;
    return XAI_OK;
  }
  *out = (xai__attr){.name = NULL};
  return more;
}

static int read_attribute(xai__onnx_model *m, xai__wire message, xai__arena *a, xai__attr *out,
                          xai_error *err) {
  attribute_proto p = {.name = "", .reference = "", .s = ""};
  XAI__TRY(xai__wire_read(message, attribute_rules, a, &p, err));
  if (!p.name[0]) return xai__fail(err, XAI_E_MODEL, NULL, "an attribute has no name");
  if (p.reference[0]) return refer(m, &p, a, out, err);
  XAI__TRY(check_type(&p, err));
  *out = (xai__attr){.name = p.name, .type = (int)p.type, .f = p.f, .i = p.i};
  if (p.type == STRING) out->s = p.s;
  if (p.type == FLOATS) {
    out->n = p.floats.n;
    out->floats = p.floats.v;
  }
  if (p.type == INTS) {
    out->n = p.ints.n;
    out->ints = p.ints.v;
  }
  if (p.type == STRINGS) {
    out->n = p.texts.n;
    out->texts = p.texts.v;
  }
  if (p.type != TENSOR) return XAI_OK;
  xai__onnx_data d;
  XAI__TRY(xai__onnx_data_read(p.tensor, a, &d, err));
  if (d.location) XAI__TRY(xai__onnx_external(m->graph, &d, err));
  out->tensor_dtype = d.dtype;
  return xai__onnx_data_view(&d, a, &out->tensor, err);
}

static bool is_graph(xai__wire message) {
  xai__wire graph;
  xai_error ignored;
  return xai__wire_find(&message, 6, "GraphProto", &graph, &ignored) > 0;
}

/* `subgraphs`: these are no error, and left out. */
static int read_attributes(xai__onnx_model *m, xai__wire node, bool subgraphs, xai__arena *a,
                           xai__attr **attrs, int *n, xai_error *err) {
  xai__wire w = node, message;
  int more, room = 0;
  while ((more = xai__wire_find(&w, 5, "AttributeProto", &message, err)) > 0) room++;
  if (more < 0) return more;
  if (!(*attrs = xai__arena_new(a, (size_t)room, sizeof **attrs, err))) return err->status;
  for (w = node; (more = xai__wire_find(&w, 5, "AttributeProto", &message, err)) > 0;) {
    if (subgraphs && is_graph(message)) continue;
    XAI__TRY(read_attribute(m, message, a, &(*attrs)[*n], err));
    *n += (*attrs)[*n].name != NULL;
  }
  return more;
}

/* ---- nodes ---- */

/* The names in the graph of the tensors that a node uses, or defines. */
static int graph_names(const xai__onnx_model *m, xai__wire_list *list, bool defined, xai__arena *a,
                       xai_error *err) {
  const char **names = list->v;
  for (int i = 0; i < list->n && m->scope; i++) {
    names[i] = defined ? xai__onnx_define(m, names[i], a, err) : xai__onnx_use(m, names[i], a, err);
    if (!names[i]) return err->status;
  }
  return XAI_OK;
}

static int add_node(xai__onnx_model *m, xai__wire node, xai__arena *a, node_proto *p,
                    xai_error *err) {
  XAI__TRY(xai__wire_read(node, node_rules, a, p, err));
  p->domain = xai__onnx_domain(p->domain);
  if (!p->type[0])
    return xai__fail(err, XAI_E_MODEL, NULL, "node '%s' has no operator", p->name);
  XAI__TRY(graph_names(m, &p->in, false, a, err));
  XAI__TRY(graph_names(m, &p->out, true, a, err));
  if (m->scope && p->name[0] && !(p->name = xai__onnx_define(m, p->name, a, err))) return err->status;
  xai__onnx_call c = {.name = p->name[0] ? p->name : p->type, .type = p->type, .domain = p->domain,
                      .overload = p->overload, .in = p->in.v, .out = p->out.v, .n_in = p->in.n,
                      .n_out = p->out.n, .opset = xai__onnx_opset_of(m, p->domain)};
  xai__onnx_expansion expand = xai__onnx_expand(m, &c);
  xai__attr *attrs = NULL;
  int n_attrs = 0;
  if (expand || xai__op_find(p->domain, p->type)) /* if not, the builder's answer is the better one */
    XAI__TRY(read_attributes(m, node, expand != NULL, a, &attrs, &n_attrs, err));
  c.attrs = attrs;
  c.n_attrs = n_attrs;
  if (expand) return expand(m, node, &c, a, err);
  return xai__graph_add_node(m->graph, p->domain, p->type, c.opset, p->name, p->in.v, p->in.n,
                             p->out.v, p->out.n, attrs, n_attrs, err);
}

int xai__onnx_node(xai__onnx_model *m, xai__wire node, xai__arena *a, xai_error *err) {
  node_proto p = {.name = "", .type = "", .domain = "", .overload = ""};
  int index = m->graph->n_nodes, status = add_node(m, node, a, &p, err);
  if (status) xai__fail_at_node(err, index, p.name[0] ? p.name : p.type);
  return status;
}

int xai__onnx_list(xai__onnx_model *m, xai__wire node, xai__arena *a, xai_error *err) {
  node_proto p = {.name = "", .type = "", .domain = "", .overload = ""};
  XAI__TRY(xai__wire_read(node, node_rules, a, &p, err));
  p.domain = xai__onnx_domain(p.domain);
  const xai__onnx_call c = {.name = p.name, .type = p.type, .domain = p.domain, .overload = p.overload};
  const xai__op *op = xai__op_find(p.domain, p.type);
  bool known = (op && xai__onnx_opset_of(m, p.domain) >= op->since) || xai__onnx_expand(m, &c);
  xai__log(&m->graph->options, "operator: %s%s%s%s", p.domain, p.domain[0] ? "." : "", p.type,
           known ? "" : " (not supported)");
  return XAI_OK;
}

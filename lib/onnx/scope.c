/* What a node of a file stands for when it is not an operator: a function of the model, written out in
 * its place; If, whose branches are both written out and chosen from; Loop and Scan, whose bodies are
 * written out as often as they run, which must be known when the file is read. */
#include <stdio.h>
#include <string.h>

#include "onnx/message.h"

enum { NODE = 1, INITIALIZER = 5, INPUT = 11, OUTPUT = 12 }; /* of a GraphProto */
enum { FUNCTION = 25, FUNCTION_NODE = 7, FUNCTION_OPSET = 9, FUNCTION_ATTRIBUTE = 11 };
enum { DEPTH = 32, MOST_FUNCTIONS = 10000 };

/* ---- names ---- */

static const char *local(const xai__onnx_scope *s, const char *name, xai__arena *a, xai_error *err) {
  size_t n = strlen(s->prefix), m = strlen(name);
  char *text = xai__arena_new(a, n + m + 1, 1, err);
  if (!text) return NULL;
  memcpy(text, s->prefix, n);
  memcpy(text + n, name, m);
  return text;
}

static int find(const xai__onnx_scope *s, const char *name, int from, int to) {
  for (int i = from; i < to; i++)
    if (!strcmp(s->formal[i], name)) return i;
  return -1;
}

const char *xai__onnx_use(const xai__onnx_model *m, const char *name, xai__arena *a,
                          xai_error *err) {
  for (const xai__onnx_scope *s = m->scope; s && name[0]; s = s->outer) {
    int i = find(s, name, 0, s->n);
    if (i >= 0) return s->actual[i];
    const char *inner = local(s, name, a, err);
    if (!inner || s->is_function || xai__graph_find(m->graph, inner) >= 0) return inner;
  }
  return name;
}

const char *xai__onnx_define(const xai__onnx_model *m, const char *name, xai__arena *a,
                             xai_error *err) {
  const xai__onnx_scope *s = m->scope;
  if (!s || !name[0]) return name;
  int i = find(s, name, s->n_in, s->n);
  return i >= 0 ? s->actual[i] : local(s, name, a, err);
}

/* Begins a scope inside the present one. */
static int enter(xai__onnx_model *m, const char *name, xai__onnx_scope *s, xai__arena *a,
                 xai_error *err) {
  char prefix[96];
  int depth = 1;
  for (const xai__onnx_scope *o = m->scope; o; o = o->above) depth++;
  if (depth > DEPTH)
    return xai__fail(err, XAI_E_LIMIT, name, "functions and subgraphs are nested more than %d deep", DEPTH);
  if (m->n_scopes++ >= m->graph->options.max_nodes)
    return xai__fail(err, XAI_E_LIMIT, name, "more than %lld functions and subgraphs (max_nodes)",
                     (long long)m->graph->options.max_nodes);
  snprintf(prefix, sizeof prefix, "%.64s.%lld/", name, (long long)m->n_scopes);
  s->prefix = xai__arena_text(a, prefix, strlen(prefix), err);
  s->above = m->scope;
  if (!s->is_function) s->outer = m->scope;
  m->scope = s;
  return s->prefix ? XAI_OK : err->status;
}

static void leave(xai__onnx_model *m) { m->scope = m->scope->above; }

/* ---- small parts of a graph ---- */

static int add(xai__onnx_model *m, const char *type, const char *name, const char *const *in,
               int n_in, const char *out, const xai__attr *attrs, int n_attrs, xai_error *err) {
  return xai__graph_add_node(m->graph, "", type, INT32_MAX, name, in, n_in, &out, 1, attrs, n_attrs,
                             err);
}

static int add_identity(xai__onnx_model *m, const char *from, const char *to, xai_error *err) {
  return to[0] ? add(m, "Identity", to, &from, 1, to, NULL, 0, err) : XAI_OK;
}

static int add_number(xai__onnx_model *m, const char *name, int dtype, int64_t v, int rank,
                      xai_error *err) {
  xai__view view = {.dtype = XAI_I64, .shape = {rank, {1}}, .data = &v};
  return xai__graph_add_constant(m->graph, name, dtype, &view, true, err);
}

/* The number that a tensor is known to be when the file is read; what Identity hands on counts. */
static bool known_number(const xai__onnx_model *m, const char *name, int64_t *v) {
  const xai_graph *g = m->graph;
  int i = xai__graph_find(g, name);
  for (int far = 0; i >= 0 && far < DEPTH; far++) {
    xai__view view = g->values[i].constant;
    int p = g->values[i].producer;
    int64_t room;
    if (!view.data && p >= 0 && !strcmp(g->nodes[p].op->type, "Constant")) {
      xai__call c = {.node = &g->nodes[p], .n_out = 1, .out = &view};
      view.data = &room;
      if (g->nodes[p].op->infer(&c) || xai__count(&view.shape) != 1 || view.dtype != XAI_I64) return false;
      g->nodes[p].op->forward(&c);
    }
    if (view.data && view.dtype == XAI_I64 && xai__count(&view.shape) == 1) {
      *v = *xai__i(&view);
      return true;
    }
    if (view.data || p < 0 || strcmp(g->nodes[p].op->type, "Identity")) return false;
    i = g->nodes[p].in[0];
  }
  return false;
}

static int names_of(xai__wire graph, uint32_t field, const char ***names, int *n, xai__arena *a,
                    xai_error *err) {
  static const xai__wire_rule rules[] = {{1, XAI__WIRE_TEXT, 0, NULL}, {0, 0, 0, NULL}};
  xai__wire w = graph, message;
  int more, room = 0;
  while ((more = xai__wire_find(&w, field, "ValueInfoProto", &message, err)) > 0) room++;
  if (more < 0) return more;
  *n = 0;
  if (!(*names = xai__arena_new(a, (size_t)room + 1, sizeof **names, err))) return err->status;
  for (w = graph; (more = xai__wire_find(&w, field, "ValueInfoProto", &message, err)) > 0; ++*n) {
    (*names)[*n] = "";
    XAI__TRY(xai__wire_read(message, rules, a, &(*names)[*n], err));
  }
  return more;
}

/* Writes out a subgraph with `formal` inputs given; results[k]: the tensor that is its output k. */
static int write_out(xai__onnx_model *m, xai__wire graph, const char *name,
                     const char *const *formal, const char *const *actual, int n,
                     const char **results, int n_results, xai__arena *a, xai_error *err) {
  xai__onnx_scope s = {.formal = formal, .actual = actual, .n = n, .n_in = n};
  const char **names;
  int n_names;
  XAI__TRY(names_of(graph, OUTPUT, &names, &n_names, a, err));
  if (n_names != n_results)
    return xai__fail(err, XAI_E_MODEL, name, "a subgraph of node '%s' has %d outputs, must have %d", name,
                     n_names, n_results);
  XAI__TRY(enter(m, name, &s, a, err));
  int status = xai__onnx_each(m, graph, INITIALIZER, "TensorProto", xai__onnx_initializer, err);
  if (!status) status = xai__onnx_each(m, graph, NODE, "NodeProto", xai__onnx_node, err);
  for (int k = 0; k < n_results && !status; k++)
    if (!(results[k] = xai__onnx_use(m, names[k], a, err))) status = err->status;
  leave(m);
  return status;
}

/* The subgraph that is an attribute of a node. */
static int find_graph(xai__wire node, const char *attribute, const char *name, xai__wire *graph,
                      xai__arena *a, xai_error *err) {
  struct attribute {
    const char *name;
    xai__wire graph;
  } p;
  static const xai__wire_rule rules[] = {
      {1, XAI__WIRE_TEXT, offsetof(struct attribute, name), NULL},
      {6, XAI__WIRE_MESSAGE, offsetof(struct attribute, graph), "GraphProto"},
      {0, 0, 0, NULL}};
  xai__wire message;
  int more;
  while ((more = xai__wire_find(&node, 5, "AttributeProto", &message, err)) > 0) {
    p = (struct attribute){.name = ""};
    XAI__TRY(xai__wire_read(message, rules, a, &p, err));
    if (strcmp(p.name, attribute) || !p.graph.p) continue;
    *graph = p.graph;
    return XAI_OK;
  }
  return more < 0 ? more
                  : xai__fail(err, XAI_E_MODEL, name, "node '%s' has no subgraph '%s'", name, attribute);
}

/* ---- If ---- */

static int expand_if(xai__onnx_model *m, xai__wire node, const xai__onnx_call *c, xai__arena *a,
                     xai_error *err) {
  static const char *const branches[] = {"then_branch", "else_branch"};
  const char **results[2];
  if (c->n_in != 1 || c->n_out < 1)
    return xai__fail(err, XAI_E_MODEL, c->name, "If has %d operands and %d results", c->n_in, c->n_out);
  for (int b = 0; b < 2; b++) {
    xai__wire graph;
    XAI__TRY(find_graph(node, branches[b], c->name, &graph, a, err));
    if (!(results[b] = xai__arena_new(a, (size_t)c->n_out, sizeof **results, err))) return err->status;
    XAI__TRY(write_out(m, graph, c->name, NULL, NULL, 0, results[b], c->n_out, a, err));
  }
  for (int k = 0; k < c->n_out; k++) {
    const char *in[] = {c->in[0], results[0][k], results[1][k]};
    if (c->out[k][0]) XAI__TRY(add(m, "If", c->name, in, 3, c->out[k], NULL, 0, err));
  }
  return XAI_OK;
}

/* ---- Loop and Scan ---- */

/* The numbers that Scan hands in and collects, one axis for all of them: the first. */
static int expand_scan_input(xai__onnx_model *m, const char *from, int64_t i, const char *to,
                             xai_error *err) {
  char index[256];
  xai__attr axis = {.name = "axis", .type = 2};
  snprintf(index, sizeof index, "%.200s:index", to);
  XAI__TRY(add_number(m, index, XAI_I64, i, 0, err));
  return add(m, "Gather", to, (const char *const[]){from, index}, 2, to, &axis, 1, err);
}

/* Results of all turns along a new first axis. */
static int stack(xai__onnx_model *m, const char *const *turns, int64_t n, int64_t step,
                 const char *out, xai__arena *a, xai_error *err) {
  char name[256];
  xai__attr axis = {.name = "axis", .type = 2};
  const char **in = xai__arena_new(a, (size_t)n + 1, sizeof *in, err);
  if (!in) return err->status;
  if (!out[0]) return XAI_OK;
  if (!n)
    return xai__fail(err, XAI_E_UNSUPPORTED, out, "'%s' collects the results of a loop that does not run", out);
  snprintf(name, sizeof name, "%.200s:axis", out);
  XAI__TRY(add_number(m, name, XAI_I64, 0, 1, err));
  const char *axes = xai__arena_text(a, name, strlen(name), err);
  for (int64_t i = 0; i < n && axes; i++) {
    snprintf(name, sizeof name, "%.200s:%lld", out, (long long)i);
    if (!(in[i] = xai__arena_text(a, name, strlen(name), err))) return err->status;
    XAI__TRY(add(m, "Unsqueeze", in[i], (const char *const[]){turns[i * step], axes}, 2, in[i], NULL, 0, err));
  }
  return axes ? add(m, "Concat", out, in, (int)n, out, &axis, 1, err) : err->status;
}

/* How often: trip count and condition of a Loop; a Scan's first axis. */
static int count_turns(const xai__onnx_model *m, const xai__onnx_call *c, bool scan, int states,
                       int64_t *n, xai_error *err) {
  int64_t on = 1;
  if (scan) {
    int v = xai__graph_find(m->graph, c->in[states]);
    const xai__shape *s = v < 0 ? NULL : &m->graph->values[v].shape;
    *n = s && s->rank > 0 ? s->d[0] : -1;
  } else {
    *n = -1;
    if (c->in[0][0] && !known_number(m, c->in[0], n)) *n = -1;
    if (c->n_in > 1 && c->in[1][0] && !known_number(m, c->in[1], &on)) on = -1;
    if (!on) *n = 0;
  }
  if (*n < 0 || on < 0)
    return xai__fail(err, XAI_E_UNSUPPORTED, c->name,
                     "how often node '%s' (%s) runs is not known when the file is read", c->name,
                     scan ? "Scan" : "Loop");
  return XAI_OK;
}

static int check_scan(const xai__onnx_call *c, xai_error *err) {
  for (int i = 0; i < c->n_attrs; i++) {
    const xai__attr *t = &c->attrs[i];
    for (int k = 0; k < t->n && t->ints; k++)
      if (t->ints[k])
        return xai__fail(err, XAI_E_UNSUPPORTED, c->name, "Scan: attribute '%s' is not 0", t->name);
  }
  return XAI_OK;
}

static int expand_loop(xai__onnx_model *m, xai__wire node, const xai__onnx_call *c, xai__arena *a,
                       xai_error *err) {
  bool scan = !strcmp(c->type, "Scan");
  int64_t scanned = 0, turns, done = 0;
  for (int i = 0; i < c->n_attrs; i++)
    if (!strcmp(c->attrs[i].name, "num_scan_inputs")) scanned = c->attrs[i].i;
  int lead = scan ? 0 : 2, states = c->n_in - lead - (int)scanned;
  const char **formal, *name = c->name;
  int n_formal, n_body, n_outputs = c->n_out;
  xai__wire body;
  if (scanned < 0 || scanned > c->n_in || states < 0 || (scan && (!scanned || c->opset < 9)))
    return xai__fail(err, scan && c->opset < 9 ? XAI_E_UNSUPPORTED : XAI_E_MODEL, name,
                     "%s has %d operands, %lld of them to scan (opset %d)", c->type, c->n_in,
                     (long long)scanned, c->opset);
  if (scan) XAI__TRY(check_scan(c, err));
  XAI__TRY(find_graph(node, "body", name, &body, a, err));
  XAI__TRY(names_of(body, INPUT, &formal, &n_formal, a, err));
  const char **unused;
  XAI__TRY(names_of(body, OUTPUT, &unused, &n_body, a, err));
  int first = scan ? 0 : 1, collected = n_body - first - states;
  if (n_formal != lead + states + (int)scanned || collected < 0 || n_outputs > states + collected)
    return xai__fail(err, XAI_E_MODEL, name, "%s: a body of %d inputs and %d outputs for %d operands and %d results",
                     c->type, n_formal, n_body, c->n_in, n_outputs);
  XAI__TRY(count_turns(m, c, scan, states, &turns, err));
  if (turns > m->graph->options.max_nodes)
    return xai__fail(err, XAI_E_LIMIT, name, "%s runs %lld times, max_nodes is %lld", c->type,
                     (long long)turns, (long long)m->graph->options.max_nodes);
  const char **results = xai__arena_new(a, ((size_t)turns + 1) * (size_t)(n_body + 1), sizeof *results, err);
  const char **actual = xai__arena_new(a, (size_t)n_formal + 1, sizeof *actual, err);
  if (!results || !actual) return err->status;
  for (int k = 0; k < states; k++) actual[lead + k] = c->in[lead + k];
  for (; done < turns; done++) {
    char text[256];
    for (int k = 0; k < lead + (int)scanned; k++) { /* its number and condition, or its slices */
      snprintf(text, sizeof text, "%.200s:%lld.%d", name, (long long)m->n_scopes, k);
      int at = k < lead ? k : states + k;
      if (!(actual[at] = xai__arena_text(a, text, strlen(text), err))) return err->status;
      if (k < lead) XAI__TRY(add_number(m, actual[at], k ? XAI_BOOL : XAI_I64, k ? 1 : done, 0, err));
      else XAI__TRY(expand_scan_input(m, c->in[states + k], done, actual[at], err));
    }
    const char **out = results + done * n_body;
    XAI__TRY(write_out(m, body, name, formal, actual, n_formal, out, n_body, a, err));
    for (int k = 0; k < states; k++) actual[lead + k] = out[first + k];
    int64_t on = 1;
    if (!scan && done + 1 < turns && !known_number(m, out[0], &on))
      return xai__fail(err, XAI_E_UNSUPPORTED, name, "the condition of node '%s' (Loop) is computed", name);
    if (!on) turns = done + 1;
  }
  for (int k = 0; k < n_outputs; k++)
    if (k < states) XAI__TRY(add_identity(m, actual[lead + k], c->out[k], err));
    else XAI__TRY(stack(m, results + first + k, done, n_body, c->out[k], a, err));
  return XAI_OK;
}

/* ---- functions of the model ---- */

typedef struct function_proto {
  const char *name, *domain, *overload;
  xai__wire_list in, out;
} function_proto;

static const xai__wire_rule function_rules[] = {
    {1, XAI__WIRE_TEXT, offsetof(function_proto, name), NULL},
    {4, XAI__WIRE_TEXTS, offsetof(function_proto, in), NULL},
    {5, XAI__WIRE_TEXTS, offsetof(function_proto, out), NULL},
    {10, XAI__WIRE_TEXT, offsetof(function_proto, domain), NULL},
    {13, XAI__WIRE_TEXT, offsetof(function_proto, overload), NULL},
    {0, 0, 0, NULL}};

static uint64_t hash(const char *domain, const char *name) {
  uint64_t h = 14695981039346656037u; /* FNV-1a */
  for (const char *s = domain; *s; s++) h = (h ^ (unsigned char)*s) * 1099511628211u;
  h = (h ^ ':') * 1099511628211u;
  for (const char *s = name; *s; s++) h = (h ^ (unsigned char)*s) * 1099511628211u;
  return h;
}

static int read_function(xai__wire message, xai__arena *a, function_proto *p, xai_error *err) {
  *p = (function_proto){.name = "", .domain = "", .overload = ""};
  return xai__wire_read(message, function_rules, a, p, err);
}

int xai__onnx_functions(xai__onnx_model *m, xai__arena *a, xai_error *err) {
  xai__wire w = m->message, message;
  int more, n = 0;
  while ((more = xai__wire_find(&w, FUNCTION, "FunctionProto", &message, err)) > 0) n++;
  if (more < 0) return more;
  if (n > MOST_FUNCTIONS)
    return xai__fail(err, XAI_E_LIMIT, NULL, "the model has %d functions, at most %d are read", n, MOST_FUNCTIONS);
  if (!(m->functions = xai__arena_new(a, (size_t)n + 1, sizeof *m->functions, err))) return err->status;
  for (w = m->message; (more = xai__wire_find(&w, FUNCTION, "FunctionProto", &message, err)) > 0;) {
    xai__arena scratch = {m->graph->memory, NULL};
    function_proto p;
    int status = read_function(message, &scratch, &p, err);
    if (!status)
      m->functions[m->n_functions++] =
          (struct xai__onnx_function){hash(xai__onnx_domain(p.domain), p.name), message};
    xai__arena_free(&scratch);
    if (status) return status;
  }
  return more;
}

static bool may_be_function(const xai__onnx_model *m, const xai__onnx_call *c) {
  uint64_t h = m->n_functions ? hash(c->domain, c->type) : 0;
  for (int i = 0; i < m->n_functions; i++)
    if (m->functions[i].hash == h) return true;
  return false;
}

/* The function that a node calls. */
static int find_function(const xai__onnx_model *m, const xai__onnx_call *c, xai__wire *function,
                         function_proto *p, xai__arena *a, xai_error *err) {
  uint64_t h = hash(c->domain, c->type);
  for (int i = 0; i < m->n_functions; i++) {
    if (m->functions[i].hash != h) continue;
    *function = m->functions[i].message;
    XAI__TRY(read_function(*function, a, p, err));
    if (!strcmp(p->overload, c->overload)) return XAI_OK;
  }
  return xai__fail(err, XAI_E_MODEL, c->name, "function '%s' (domain '%s') has no overload '%s'",
                   c->type, c->domain, c->overload);
}

static int expand_function(xai__onnx_model *m, xai__wire node, const xai__onnx_call *c,
                           xai__arena *a, xai_error *err) {
  xai__wire function;
  function_proto proto, *p = &proto;
  (void)node;
  XAI__TRY(find_function(m, c, &function, p, a, err));
  int n_in = p->in.n, n = n_in;
  if (c->n_in > n_in || c->n_out > p->out.n)
    return xai__fail(err, XAI_E_MODEL, c->name, "node '%s' gives function '%s' %d operands and takes %d results, it has %d and %d",
                     c->name, p->name, c->n_in, c->n_out, n_in, p->out.n);
  const char **formal = xai__arena_new(a, (size_t)(n_in + p->out.n) + 1, sizeof *formal, err);
  const char **actual = xai__arena_new(a, (size_t)(n_in + p->out.n) + 1, sizeof *actual, err);
  if (!formal || !actual) return err->status;
  for (int i = 0; i < n_in; i++) {
    formal[i] = ((const char **)p->in.v)[i];
    actual[i] = i < c->n_in ? c->in[i] : "";
  }
  for (int k = 0; k < c->n_out; k++) {
    if (!c->out[k][0]) continue;
    formal[n] = ((const char **)p->out.v)[k];
    actual[n++] = c->out[k];
  }
  xai__onnx_scope s = {.formal = formal, .actual = actual, .n = n, .n_in = n_in, .is_function = true,
                       .attrs = c->attrs, .n_attrs = c->n_attrs, .function = function};
  xai__onnx_opset opsets[XAI__ONNX_OPSETS];
  int n_opsets = m->n_opsets;
  memcpy(opsets, m->opsets, sizeof opsets);
  XAI__TRY(enter(m, c->name, &s, a, err));
  m->n_opsets = 0;
  int status = xai__onnx_each(m, function, FUNCTION_OPSET, "OperatorSetIdProto", xai__onnx_function_opset, err);
  if (!status) status = xai__onnx_each(m, function, FUNCTION_NODE, "NodeProto", xai__onnx_node, err);
  leave(m);
  memcpy(m->opsets, opsets, sizeof opsets);
  m->n_opsets = n_opsets;
  for (int k = n_in; k < n && !status; k++) { /* an operand that is handed on */
    int i = find(&s, formal[k], 0, n_in);
    if (i >= 0) status = add_identity(m, actual[i], actual[k], err);
  }
  return status;
}

/* ---- a node that is one of these ---- */

xai__onnx_expansion xai__onnx_expand(const xai__onnx_model *m, const xai__onnx_call *c) {
  if (may_be_function(m, c)) return expand_function;
  if (c->domain[0]) return NULL;
  if (!strcmp(c->type, "If")) return expand_if;
  return !strcmp(c->type, "Loop") || !strcmp(c->type, "Scan") ? expand_loop : NULL;
}

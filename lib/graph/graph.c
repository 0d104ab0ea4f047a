/* The graph's builder: names, values, nodes. */
#include "graph/graph.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "graph/finish.h"

/* Name -> value: open addressing, a power of two, at most half full. Rows hold value + 1. */
struct xai__name_table {
  int *rows;
  size_t n_rows, used;
  struct name {
    const char *text;
    int value;
  } *names;
  size_t n_names, names_room;
  size_t values_room, nodes_room, texts_room[2], inputs_room, outputs_room;
};

int xai__graph_create(const xai_options *o, xai_graph **out, xai_error *err) {
  xai__memory *m = xai__memory_create(o->realloc, o->realloc_user, o->max_memory);
  xai_graph *g = m ? xai__new(m, 1, sizeof *g, err) : NULL;
  if (g) g->names = xai__new(m, 1, sizeof *g->names, err);
  if (!g || !g->names) {
    xai__free(g);
    xai__memory_release(m);
    return xai__fail(err, XAI_E_MEMORY, NULL, "out of memory");
  }
  atomic_init(&g->refs, 1);
  g->memory = m;
  g->arena.memory = g->made.memory = m;
  g->options = *o;
  g->producer = "";
  *out = g;
  return XAI_OK;
}

xai_graph *xai__graph_ref(const xai_graph *g) {
  xai_graph *shared = (xai_graph *)(uintptr_t)g;
  atomic_fetch_add(&shared->refs, 1);
  return shared;
}

void xai__graph_release(xai_graph *g) {
  if (!g || atomic_fetch_sub(&g->refs, 1) != 1) return;
  xai__memory *m = g->memory;
  xai__free(g->names->rows);
  xai__free(g->names->names);
  xai__free(g->names);
  xai__free(g->nodes);
  xai__free(g->values);
  xai__free(g->inputs);
  xai__free(g->outputs);
  xai__free(g->metadata);
  xai__free(g->opsets);
  xai__cache_free(&g->made);
  for (xai__external *e = g->external; e; e = e->next) xai__file_unmap(&e->file);
  xai__arena_free(&g->arena);
  xai__file_unmap(&g->file);
  xai__free(g);
  xai__memory_release(m);
}

/* Makes room for one more element. */
static int grow(xai_graph *g, void **array, size_t *room, size_t used, size_t size,
                xai_error *err) {
  if (used < *room) return XAI_OK;
  size_t bigger = *room ? *room * 2 : 64;
  void *p = xai__new(g->memory, bigger, size, err);
  if (!p) return err->status;
  if (used) memcpy(p, *array, used * size);
  xai__free(*array);
  *array = p;
  *room = bigger;
  return XAI_OK;
}

/* ---- names ---- */

static size_t hash(const char *s) {
  uint64_t h = 14695981039346656037u; /* FNV-1a */
  for (; *s; s++) h = (h ^ (unsigned char)*s) * 1099511628211u;
  return (size_t)(h ^ h >> 32);
}

/* The row that holds `name`, or the free row where it belongs. */
static size_t find_row(const struct xai__name_table *t, const char *name) {
  size_t row = hash(name) & (t->n_rows - 1);
  while (t->rows[row] && strcmp(t->names[t->rows[row] - 1].text, name))
    row = (row + 1) & (t->n_rows - 1);
  return row;
}

int xai__graph_find(const xai_graph *g, const char *name) {
  const struct xai__name_table *t = g->names;
  if (!t->n_rows) return -1;
  int row = t->rows[find_row(t, name)];
  return row ? t->names[row - 1].value : -1;
}

void xai__graph_rename(xai_graph *g, const int *to) {
  for (size_t i = 0; i < g->names->n_names; i++)
    g->names->names[i].value = to[g->names->names[i].value];
}

/* The value of that name, made if need be. */
static int intern(xai_graph *g, const char *name, int *value, xai_error *err) {
  struct xai__name_table *t = g->names;
  if ((*value = xai__graph_find(g, name)) >= 0) return XAI_OK;
  if (2 * (t->n_names + 1) > t->n_rows) {
    size_t n = t->n_rows ? 2 * t->n_rows : 256;
    int *rows = xai__new(g->memory, n, sizeof *rows, err);
    if (!rows) return err->status;
    xai__free(t->rows);
    t->rows = rows;
    t->n_rows = n;
    for (size_t i = 0; i < t->n_names; i++) t->rows[find_row(t, t->names[i].text)] = (int)i + 1;
  }
  void *names = t->names, *values = g->values;
  XAI__TRY(grow(g, &names, &t->names_room, t->n_names, sizeof *t->names, err));
  t->names = names;
  XAI__TRY(grow(g, &values, &t->values_room, (size_t)g->n_values, sizeof *g->values, err));
  g->values = values;
  char *copy = xai__arena_text(&g->arena, name, strlen(name), err);
  if (!copy) return err->status;
  size_t row = find_row(t, copy);
  t->names[t->n_names] = (struct name){copy, g->n_values};
  t->rows[row] = (int)++t->n_names;
  xai__graph_value *v = &g->values[g->n_values];
  *v = (xai__graph_value){.name = copy, .shape.rank = -1, .producer = -1};
  *value = g->n_values++;
  return XAI_OK;
}

/* ---- parts ---- */

static int add_port(xai_graph *g, const char *name, int dtype, const xai__shape *shape,
                    int **ports, int *n, size_t *room, xai_error *err) {
  int v;
  if (dtype && !xai__dtype_storage(dtype))
    return xai__fail(err, XAI_E_UNSUPPORTED, name, "tensor '%s' has element type %d, which is not supported",
                     name, dtype);
  XAI__TRY(intern(g, name, &v, err));
  void *array = *ports;
  XAI__TRY(grow(g, &array, room, (size_t)*n, sizeof **ports, err));
  *ports = array;
  (*ports)[(*n)++] = v;
  g->values[v].dtype = dtype;
  g->values[v].shape = *shape;
  return XAI_OK;
}

int xai__graph_add_input(xai_graph *g, const char *name, int dtype, const xai__shape *shape,
                         xai_error *err) {
  int v = xai__graph_find(g, name);
  for (int i = 0; i < g->n_inputs; i++)
    if (g->inputs[i] == v)
      return xai__fail(err, XAI_E_MODEL, name, "input '%s' is defined twice", name);
  return add_port(g, name, dtype, shape, &g->inputs, &g->n_inputs, &g->names->inputs_room, err);
}

int xai__graph_add_output(xai_graph *g, const char *name, int dtype, const xai__shape *shape,
                          xai_error *err) {
  return add_port(g, name, dtype, shape, &g->outputs, &g->n_outputs, &g->names->outputs_room, err);
}

int xai__graph_add_constant(xai_graph *g, const char *name, int dtype, const xai__view *v,
                            bool copy, xai_error *err) {
  int i;
  XAI__TRY(intern(g, name, &i, err));
  if (g->values[i].constant.data || g->values[i].producer >= 0)
    return xai__fail(err, XAI_E_MODEL, name, "tensor '%s' is defined twice", name);
  int64_t n = xai__count(&v->shape);
  if (n > g->options.max_tensor)
    return xai__fail(err, XAI_E_LIMIT, name, "tensor '%s' has %lld elements, max_tensor is %lld",
                     name, (long long)n, (long long)g->options.max_tensor);
  xai__view view = *v;
  if (copy) {
    size_t bytes = (size_t)n * xai__dtype_size(v->dtype);
    view.data = xai__arena_new(&g->arena, bytes ? bytes : 1, 1, err);
    if (!view.data) return err->status;
    if (bytes) memcpy(view.data, v->data, bytes);
  }
  g->values[i].constant = view;
  g->values[i].dtype = dtype;
  g->values[i].shape = view.shape;
  return XAI_OK;
}

static int copy_array(xai_graph *g, const void *from, size_t n, size_t size, const void **to,
                      xai_error *err) {
  void *p = xai__arena_new(&g->arena, n ? n : 1, size, err);
  if (!p) return err->status;
  if (n) memcpy(p, from, n * size);
  *to = p;
  return XAI_OK;
}

/* An attribute whose arrays live in the arena. */
static int copy_attr(xai_graph *g, xai__attr *a, xai_error *err) {
  const void *p = NULL;
  if (a->s) {
    if (!(a->s = xai__arena_text(&g->arena, a->s, strlen(a->s), err))) return err->status;
  }
  if (a->floats) {
    XAI__TRY(copy_array(g, a->floats, (size_t)a->n, sizeof *a->floats, &p, err));
    a->floats = p;
  }
  if (a->ints) {
    XAI__TRY(copy_array(g, a->ints, (size_t)a->n, sizeof *a->ints, &p, err));
    a->ints = p;
  }
  if (a->texts) {
    const char **texts = xai__arena_new(&g->arena, (size_t)a->n + 1, sizeof *texts, err);
    if (!texts) return err->status;
    for (int i = 0; i < a->n; i++)
      if (!(texts[i] = xai__arena_text(&g->arena, a->texts[i], strlen(a->texts[i]), err)))
        return err->status;
    a->texts = texts;
  }
  if (a->tensor.data) {
    XAI__TRY(copy_array(g, a->tensor.data, (size_t)xai__count(&a->tensor.shape),
                        xai__dtype_size(a->tensor.dtype), &p, err));
    a->tensor.data = (void *)(uintptr_t)p;
  }
  return XAI_OK;
}

/* Operand names to values; trailing empty names are dropped. */
static int operands(xai_graph *g, const char *const *names, int *n, const int **out,
                    xai_error *err) {
  while (*n > 0 && !names[*n - 1][0]) --*n;
  int *v = xai__arena_new(&g->arena, (size_t)*n + 1, sizeof *v, err);
  if (!v) return err->status;
  for (int i = 0; i < *n; i++) {
    v[i] = -1;
    if (names[i][0]) XAI__TRY(intern(g, names[i], &v[i], err));
  }
  *out = v;
  return XAI_OK;
}

/* Between low and high of them, and the first `low` are there. */
static int check_operands(const xai__node *node, const char *what, const int *v, int n, int low,
                          int high, xai_error *err) {
  if (n < low || (high >= 0 && n > high))
    return xai__fail(err, XAI_E_MODEL, node->name, "node '%s' (%s) has %d %s, not %d to %d",
                     node->name, node->op->type, n, what, low, high < 0 ? 1000000 : high);
  for (int i = 0; i < low; i++)
    if (v[i] < 0)
      return xai__fail(err, XAI_E_MODEL, node->name, "node '%s' (%s) lacks number %d of its %s",
                       node->name, node->op->type, i, what);
  return XAI_OK;
}

/* A result 0 that may be absent gets a name: all that looks at nodes counts on its being there. */
static int need_first_result(xai_graph *g, xai__node *node, xai_error *err) {
  char name[48];
  if (node->n_out && node->out[0] >= 0) return XAI_OK;
  snprintf(name, sizeof name, "result 0 of node %d", g->n_nodes);
  if (!node->n_out) node->n_out = 1;
  return intern(g, name, (int *)(uintptr_t)&node->out[0], err);
}

/* ---- nodes that stand for others ---- */

static int expansion_add(xai__expansion *x, const char *type, const char *out,
                         const char *const *in, int n_in, const xai__attr *attrs, int n_attrs) {
  /* The newest meaning of every operator, whatever the file's opset. */
  return xai__graph_add_node(x->graph, "", type, INT_MAX, x->name, in, n_in, &out, 1, attrs, n_attrs,
                             x->err);
}

static const char *expansion_inner(xai__expansion *x, const char *what) {
  char name[512];
  snprintf(name, sizeof name, "%.400s:%.64s", x->out[0], what);
  return xai__arena_text(&x->graph->arena, name, strlen(name), x->err);
}

static bool expansion_single(const xai__expansion *x, const char *name) {
  int v = xai__graph_find(x->graph, name);
  return v >= 0 && x->graph->values[v].constant.data &&
         xai__count(&x->graph->values[v].constant.shape) == 1;
}

int xai__graph_add_node(xai_graph *g, const char *domain, const char *type, int opset,
                        const char *name, const char *const *in, int n_in, const char *const *out,
                        int n_out, const xai__attr *attrs, int n_attrs, xai_error *err) {
  char made_up[96];
  if (!name || !name[0]) {
    snprintf(made_up, sizeof made_up, "%.64s_%d", type, g->n_nodes);
    name = made_up;
  }
  const xai__op *op = xai__op_find(domain, type);
  if (!op || opset < op->since)
    return xai__fail(err, XAI_E_UNSUPPORTED, name,
                     "operator '%s' (domain '%s', opset %d) of node '%s' is not supported", type,
                     domain[0] ? domain : "ai.onnx", opset, name);
  if (op->expand) {
    xai__expansion x = {in, out, n_in, n_out, opset, attrs, n_attrs, name, g, err,
                        expansion_add, expansion_inner, expansion_single};
    if (n_in < op->min_in || n_in > op->max_in || n_out != 1)
      return xai__fail(err, XAI_E_MODEL, name, "node '%s' (%s) has %d operands and %d results", name,
                       type, n_in, n_out);
    return op->expand(&x);
  }
  if (g->n_nodes >= g->options.max_nodes)
    return xai__fail(err, XAI_E_LIMIT, name, "more than %lld nodes (max_nodes)",
                     (long long)g->options.max_nodes);
  void *array = g->nodes;
  XAI__TRY(grow(g, &array, &g->names->nodes_room, (size_t)g->n_nodes, sizeof *g->nodes, err));
  g->nodes = array;
  xai__node node = {.op = op, .opset = opset, .n_in = n_in, .n_out = n_out};
  if (!(node.name = xai__arena_text(&g->arena, name, strlen(name), err))) return err->status;
  XAI__TRY(operands(g, in, &node.n_in, &node.in, err));
  XAI__TRY(operands(g, out, &node.n_out, &node.out, err));
  if (!op->min_out) XAI__TRY(need_first_result(g, &node, err));
  XAI__TRY(check_operands(&node, "operands", node.in, node.n_in, op->min_in, op->max_in, err));
  XAI__TRY(check_operands(&node, "results", node.out, node.n_out, op->min_out, op->max_out, err));
  for (int i = 0; i < node.n_out; i++) {
    if (node.out[i] < 0) continue;
    xai__graph_value *v = &g->values[node.out[i]];
    if (v->producer >= 0 || v->constant.data)
      return xai__fail(err, XAI_E_MODEL, v->name, "tensor '%s' is defined twice", v->name);
    v->producer = g->n_nodes;
  }
  xai__attr *copies = xai__arena_new(&g->arena, (size_t)n_attrs + 1, sizeof *copies, err);
  void *attr = xai__arena_new(&g->arena, 1, op->attr_size + 1, err);
  if (!copies || !attr) return err->status;
  for (int i = 0; i < n_attrs; i++) {
    copies[i] = attrs[i];
    XAI__TRY(copy_attr(g, &copies[i], err));
  }
  XAI__TRY(xai__op_import(op, copies, n_attrs, attr, node.name, err));
  if (op->check) XAI__TRY(op->check(&node, attr, err));
  node.attr = attr;
  g->nodes[g->n_nodes++] = node;
  return XAI_OK;
}

int xai__graph_add_text(xai_graph *g, bool opset, const char *key, const char *text,
                        xai_error *err) {
  xai__text_pair **pairs = opset ? &g->opsets : &g->metadata;
  int *n = opset ? &g->n_opsets : &g->n_metadata;
  void *array = *pairs;
  XAI__TRY(grow(g, &array, &g->names->texts_room[opset], (size_t)*n, sizeof **pairs, err));
  *pairs = array;
  xai__text_pair p = {xai__arena_text(&g->arena, key, strlen(key), err),
                      xai__arena_text(&g->arena, text, strlen(text), err)};
  if (!p.key || !p.text) return err->status;
  (*pairs)[(*n)++] = p;
  return XAI_OK;
}

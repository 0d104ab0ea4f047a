/* The builder's last step: order, removal of Identity and Dropout, what is static, constant folding. */
#include "graph/finish.h"

#include <string.h>

/* Nodes in an order in which every operand comes first: the file's own where it is one. */
static int sort_nodes(xai_graph *g, xai_error *err) {
  int n = g->n_nodes, done = 0, status = XAI_OK;
  enum { UNSEEN, OPEN, DONE };
  xai__node *sorted = xai__new(g->memory, (size_t)n + 1, sizeof *sorted, err);
  struct {
    int node, operand;
  } *stack = xai__new(g->memory, (size_t)n + 1, sizeof *stack, err);
  unsigned char *state = xai__new(g->memory, (size_t)n + 1, 1, err);
  if (!sorted || !stack || !state) {
    status = err->status;
    n = 0;
  }
  for (int root = 0; root < n && !status; root++) {
    int depth = 0;
    if (state[root] == UNSEEN) {
      stack[depth].node = root;
      stack[depth++].operand = 0;
      state[root] = OPEN;
    }
    while (depth && !status) {
      const xai__node *node = &g->nodes[stack[depth - 1].node];
      if (stack[depth - 1].operand == node->n_in) {
        state[stack[--depth].node] = DONE;
        sorted[done++] = *node;
        continue;
      }
      int v = node->in[stack[depth - 1].operand++];
      int p = v < 0 ? -1 : g->values[v].producer;
      if (p < 0 || state[p] == DONE) continue;
      if (state[p] == OPEN) {
        status = xai__fail(err, XAI_E_MODEL, g->nodes[p].name,
                           "the graph has a cycle through node '%s' (%s)", g->nodes[p].name,
                           g->nodes[p].op->type);
      } else {
        stack[depth].node = p;
        stack[depth++].operand = 0;
        state[p] = OPEN;
      }
    }
  }
  if (!status && done) memcpy(g->nodes, sorted, (size_t)done * sizeof *sorted);
  xai__free(sorted);
  xai__free(stack);
  xai__free(state);
  return status;
}

static void set_producers(xai_graph *g) {
  for (int i = 0; i < g->n_values; i++) g->values[i].producer = -1;
  for (int i = 0; i < g->n_nodes; i++)
    for (int k = 0; k < g->nodes[i].n_out; k++)
      if (g->nodes[i].out[k] >= 0) g->values[g->nodes[i].out[k]].producer = i;
}

static int check_defined(xai_graph *g, xai_error *err) {
  int n = 0;
  for (int i = 0; i < g->n_inputs; i++) /* an input with a default is a constant */
    if (!g->values[g->inputs[i]].constant.data) g->inputs[n++] = g->inputs[i];
  g->n_inputs = n;
  bool *known = xai__new(g->memory, (size_t)g->n_values + 1, sizeof *known, err);
  if (!known) return err->status;
  int status = XAI_OK;
  for (int i = 0; i < g->n_values; i++)
    known[i] = g->values[i].constant.data || g->values[i].producer >= 0;
  for (int i = 0; i < g->n_inputs && !status; i++) {
    const xai__graph_value *v = &g->values[g->inputs[i]];
    if (v->producer >= 0)
      status = xai__fail(err, XAI_E_MODEL, v->name, "input '%s' is also made by a node", v->name);
    known[g->inputs[i]] = true;
  }
  for (int i = 0; i < g->n_nodes && !status; i++)
    for (int k = 0; k < g->nodes[i].n_in && !status; k++) {
      int v = g->nodes[i].in[k];
      if (v >= 0 && !known[v])
        status = xai__fail(err, XAI_E_MODEL, g->values[v].name,
                           "tensor '%s' is used by node '%s' (%s) but never defined",
                           g->values[v].name, g->nodes[i].name, g->nodes[i].op->type);
    }
  for (int i = 0; i < g->n_outputs && !status; i++)
    if (!known[g->outputs[i]])
      status = xai__fail(err, XAI_E_MODEL, g->values[g->outputs[i]].name,
                         "output '%s' is never defined", g->values[g->outputs[i]].name);
  if (!status && !g->n_outputs) status = xai__fail(err, XAI_E_MODEL, NULL, "the graph has no output");
  xai__free(known);
  return status;
}

/* Identity, and Dropout as it is after training. */
static bool is_identity(const xai_graph *g, const xai__node *node) {
  if (!strcmp(node->op->type, "Identity")) return true;
  if (strcmp(node->op->type, "Dropout") || (node->n_out > 1 && node->out[1] >= 0)) return false;
  if (node->n_in < 3 || node->in[2] < 0) return true;
  const xai__view *training = &g->values[node->in[2]].constant;
  return training->data && training->dtype == XAI_I64 && xai__count(&training->shape) == 1 &&
         !xai__i(training)[0];
}

static int keep_output_names(xai_graph *g, xai_error *err) {
  g->output_names = xai__arena_new(&g->arena, (size_t)g->n_outputs + 1, sizeof *g->output_names, err);
  if (!g->output_names) return err->status;
  for (int i = 0; i < g->n_outputs; i++) g->output_names[i] = g->values[g->outputs[i]].name;
  return XAI_OK;
}

/* The names of an identity's result become names of its operand. */
static int remove_identities(xai_graph *g, xai_error *err) {
  int *to = xai__new(g->memory, (size_t)g->n_values + 1, sizeof *to, err);
  if (!to) return err->status;
  for (int i = 0; i < g->n_values; i++) to[i] = i;
  int kept = 0;
  for (int i = 0; i < g->n_nodes; i++) {
    xai__node node = g->nodes[i];
    for (int k = 0; k < node.n_in; k++)
      if (node.in[k] >= 0) ((int *)(uintptr_t)node.in)[k] = to[node.in[k]];
    if (is_identity(g, &node)) {
      to[node.out[0]] = node.in[0];
    } else {
      g->nodes[kept++] = node;
    }
  }
  g->n_nodes = kept;
  for (int i = 0; i < g->n_outputs; i++) g->outputs[i] = to[g->outputs[i]];
  xai__graph_rename(g, to);
  xai__free(to);
  return XAI_OK;
}

/* Runs a node whose operands are constants; its results become constants, unless it would take long. */
static int fold_node(xai_graph *g, const xai__node *node, xai__engine *e, double *budget,
                     bool *folded, xai_error *err) {
  size_t n_in = (size_t)node->n_in, n_out = (size_t)node->n_out;
  xai__view *views = xai__new(g->memory, n_in + n_out, sizeof *views, err);
  bool *all_static = xai__new(g->memory, n_in + 1, sizeof *all_static, err);
  int status = views && all_static ? XAI_OK : err->status;
  if (!status) {
    for (size_t k = 0; k < n_in; k++) {
      all_static[k] = true;
      views[k] = (xai__view){.shape.rank = -1};
      if (node->in[k] >= 0) views[k] = g->values[node->in[k]].constant;
    }
    xai__call c = {node, node->n_in, node->n_out, views, views + n_in, all_static, e, err};
    status = xai__node_infer(&c, g->options.max_tensor);
    *folded = !status && xai__node_is_quick(&c, budget);
    for (size_t k = 0; k < n_out && !status && *folded; k++) {
      if (node->out[k] < 0) continue;
      size_t bytes = (size_t)xai__count(&c.out[k].shape) * xai__dtype_size(c.out[k].dtype);
      c.out[k].data = xai__arena_new(&g->arena, bytes + 1, 1, err);
      if (!c.out[k].data) status = err->status;
    }
    if (!status && *folded) status = xai__node_forward(&c);
    for (size_t k = 0; k < n_out && !status && *folded; k++)
      if (node->out[k] >= 0) {
        g->values[node->out[k]].constant = c.out[k];
        g->values[node->out[k]].shape = c.out[k].shape;
      }
  }
  xai__free(views);
  xai__free(all_static);
  return status;
}

static int declared_dtypes(xai_graph *g, xai__node *node, xai_error *err) {
  int *in = xai__arena_new(&g->arena, (size_t)node->n_in + 1, sizeof *in, err);
  if (!in) return err->status;
  for (int k = 0; k < node->n_in; k++) in[k] = node->in[k] < 0 ? 0 : g->values[node->in[k]].dtype;
  for (int k = 0; k < node->n_out; k++) {
    if (node->out[k] < 0) continue;
    int *dtype = &g->values[node->out[k]].dtype;
    if (!*dtype) *dtype = node->op->dtype ? node->op->dtype(node, in, k) : in[0];
  }
  node->declared = in;
  return XAI_OK;
}

static int fold_constants(xai_graph *g, xai_error *err) {
  xai__engine *e = NULL;
  XAI__TRY(xai__engine_create(g->memory, 1, g->options.max_isa, &e, err));
  int kept = 0, status = XAI_OK;
  double budget = XAI__AHEAD;
  for (int i = 0; i < g->n_nodes && !status; i++) {
    xai__node node = g->nodes[i];
    bool constant = true, is_static = true;
    for (int k = 0; k < node.n_in; k++) {
      if (node.in[k] < 0) continue;
      constant = constant && g->values[node.in[k]].constant.data;
      is_static = is_static && g->values[node.in[k]].is_static;
    }
    status = declared_dtypes(g, &node, err);
    for (int k = 0; k < node.n_out; k++)
      if (node.out[k] >= 0) g->values[node.out[k]].is_static = is_static || node.op->shape_only;
    bool folded = false;
    if (!status) status = xai__graph_align_operands(g, &node, err);
    if (constant && !status) status = fold_node(g, &node, e, &budget, &folded, err);
    if (!folded) g->nodes[kept++] = node;
    if (status) xai__fail_at_node(err, i, node.name);
  }
  if (!status) g->n_nodes = kept;
  xai__engine_free(e);
  return status;
}

int xai__graph_finish(xai_graph *g, xai_error *err) {
  XAI__TRY(check_defined(g, err));
  XAI__TRY(sort_nodes(g, err));
  XAI__TRY(keep_output_names(g, err));
  XAI__TRY(remove_identities(g, err));
  for (int i = 0; i < g->n_values; i++) g->values[i].is_static = g->values[i].constant.data != NULL;
  XAI__TRY(fold_constants(g, err));
  XAI__TRY(xai__graph_align_outputs(g, err));
  set_producers(g);
  for (int i = 0; i < g->n_values; i++) g->values[i].n_uses = 0;
  for (int i = 0; i < g->n_nodes; i++)
    for (int k = 0; k < g->nodes[i].n_in; k++)
      if (g->nodes[i].in[k] >= 0) g->values[g->nodes[i].in[k]].n_uses++;
  for (int i = 0; i < g->n_outputs; i++) g->values[g->outputs[i]].n_uses++;
  return XAI_OK;
}

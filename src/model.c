/* Loading a model and reading its description. */
#include "model.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "array.h"
#include "say.h"
#include "sha256.h"

static int read_ports(const xai_result *about, const char *prefix, struct port **out, size_t *n) {
  const char *name, *text;
  const xai_tensor *t;
  size_t skip = strlen(prefix);
  for (size_t i = 0; !xai_result_get(about, i, &name, &t, &text); i++) {
    if (!t || strncmp(name, prefix, skip))
      continue;
    struct port *ports = realloc(*out, (*n + 1) * sizeof *ports);
    if (!ports)
      return XAI_E_MEMORY;
    *out = ports;
    struct port *p = &ports[(*n)++];
    memset(p, 0, sizeof *p);
    p->name = name + skip;
    const int64_t *shape;
    if (xai_tensor_shape(t, &shape) == 1 && shape[0] <= MODEL_MAX_RANK)
      p->rank = (int)shape[0];
    memcpy(p->shape, xai_tensor_data(t), (size_t)p->rank * sizeof *p->shape);
  }
  return XAI_OK;
}

const char *model_text(const struct model *m, const char *key) {
  const char *name, *text;
  const xai_tensor *t;
  for (size_t i = 0; !xai_result_get(m->about, i, &name, &t, &text); i++) {
    if (text && !strcmp(name, key))
      return text;
  }
  return NULL;
}

static const char *port_text(const struct model *m, const char *prefix, const char *name) {
  char key[512];
  snprintf(key, sizeof key, "%s/%s", prefix, name);
  return model_text(m, key);
}

int model_try(const char *path, const struct options *o, const char *method, struct model *m,
              xai_error *err) {
  xai_options options = options_library(o);
  memset(m, 0, sizeof *m);
  m->path = path;
  int status = xai_graph_load(path, &options, &m->graph, err);
  if (!status)
    status = xai_graph_describe(m->graph, method, &m->about, err);
  if (status)
    return status;
  status = read_ports(m->about, "input/", &m->inputs, &m->n_inputs);
  if (!status)
    status = read_ports(m->about, "output/", &m->outputs, &m->n_outputs);
  if (status) {
    *err = (xai_error){.status = status, .node = -1};
    return status;
  }
  for (size_t i = 0; i < m->n_inputs; i++) {
    struct port *p = &m->inputs[i];
    p->type = port_text(m, "input-type", p->name);
    p->dtype = array_dtype_find(p->type ? p->type : "");
  }
  for (size_t i = 0; i < m->n_outputs; i++) {
    struct port *p = &m->outputs[i];
    p->type = port_text(m, "output-type", p->name);
    p->dtype = array_dtype_find(p->type ? p->type : "");
    p->logit = port_text(m, "logit", p->name);
  }
  return XAI_OK;
}

int model_load(const char *path, const struct options *o, const char *method, struct model *m) {
  xai_error err;
  if (!model_try(path, o, method, m, &err))
    return EXIT_FINE;
  return say_error(&err, m->graph && method ? SAY_RUNNING : SAY_LOADING, path);
}

int model_session(struct model *m, const struct options *o, xai_log_fn log, void *user) {
  xai_options options = options_library(o);
  options.log = log;
  options.log_user = user;
  xai_error err;
  if (xai_session_create(m->graph, &options, &m->session, &err)) {
    return say_error(&err, SAY_LOADING, m->path);
  }
  return EXIT_FINE;
}

void model_free(struct model *m) {
  xai_session_free(m->session);
  xai_result_free(m->about);
  xai_graph_free(m->graph);
  free(m->inputs);
  free(m->outputs);
  lines_free(&m->labels);
  memset(m, 0, sizeof *m);
}

/* Numbers that look random, the same every time. */
static void draw(float *x, int64_t n) {
  uint64_t state = 1;
  for (int64_t i = 0; i < n; i++) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    x[i] = (float)(state >> 40) / (1 << 23) - 1;
  }
}

int model_blank(const struct model *m, bool drawn, xai_param *out) {
  for (size_t i = 0; i < m->n_inputs; i++) {
    const struct port *p = &m->inputs[i];
    int64_t shape[MODEL_MAX_RANK], n = 1;
    xai_tensor *t;
    xai_error err;
    for (int k = 0; k < p->rank; k++)
      n *= shape[k] = p->shape[k] < 0 ? 1 : p->shape[k];
    if (xai_tensor_create(p->dtype, p->rank, shape, NULL, &t, &err))
      return say_error(&err, SAY_LOADING, p->name);
    out[i] = (xai_param){p->name, t, NULL, 0};
    if (drawn && p->dtype == XAI_F32)
      draw((float *)(size_t)xai_tensor_data(t), n);
  }
  return EXIT_FINE;
}

void model_blank_free(const struct model *m, xai_param *inputs) {
  for (size_t i = 0; inputs && i < m->n_inputs; i++)
    xai_tensor_free((xai_tensor *)(size_t)inputs[i].tensor);
  free(inputs);
}

static const struct port *find(const struct port *ports, size_t n, const char *name) {
  for (size_t i = 0; i < n; i++) {
    if (!strcmp(ports[i].name, name))
      return &ports[i];
  }
  return NULL;
}

const struct port *model_input(const struct model *m, const char *name) {
  return find(m->inputs, m->n_inputs, name);
}

const struct port *model_output(const struct model *m, const char *name) {
  return find(m->outputs, m->n_outputs, name);
}

static int split_node(const char *text, struct node *n) {
  char **fields[] = {&n->op, &n->name, &n->outputs, &n->shape, &n->crossing, &n->rule, &n->origin};
  n->fields = malloc(strlen(text) + 2);
  if (!n->fields)
    return -1;
  char *p = strcpy(n->fields, text), *end = p + strlen(p);
  end[1] = 0;
  for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
    *fields[i] = p;
    char *tab = strchr(p, '\t');
    if (tab)
      *tab = 0;
    p = tab ? tab + 1 : end;
  }
  return 0;
}

struct node *model_nodes(const struct model *m, size_t *n) {
  const char *name, *text;
  const xai_tensor *t;
  size_t count = 0;
  for (size_t i = 0; !xai_result_get(m->about, i, &name, &t, &text); i++) {
    count += text && !strncmp(name, "node/", 5);
  }
  struct node *nodes = calloc(count + 1, sizeof *nodes);
  *n = 0;
  for (size_t i = 0; nodes && !xai_result_get(m->about, i, &name, &t, &text); i++) {
    if (!text || strncmp(name, "node/", 5))
      continue;
    if (split_node(text, &nodes[*n])) {
      model_nodes_free(nodes, *n);
      return NULL;
    }
    ++*n;
  }
  return nodes;
}

void model_nodes_free(struct node *nodes, size_t n) {
  for (size_t i = 0; nodes && i < n; i++)
    free(nodes[i].fields);
  free(nodes);
}

bool model_has_tensor(const struct model *m, const char *name) {
  size_t n, length = strlen(name);
  bool found = model_input(m, name) || model_output(m, name);
  struct node *nodes = found || !length ? NULL : model_nodes(m, &n);
  for (size_t i = 0; nodes && i < n && !found; i++) {
    for (const char *p = nodes[i].outputs; (p = strstr(p, name)) && !found; p++) {
      found = (p == nodes[i].outputs || p[-1] == ',') && (!p[length] || p[length] == ',');
    }
  }
  if (nodes)
    model_nodes_free(nodes, n);
  return found;
}

int model_digest(struct model *m) {
  char err[256];
  if (m->sha256[0])
    return EXIT_FINE;
  return sha256_file(m->path, m->sha256, err) ? say(EXIT_MODEL, "%s", err) : EXIT_FINE;
}

int model_read_labels(struct model *m, const char *path) {
  const char *text = model_text(m, "metadata/xai.labels");
  if (path)
    return lines_read(path, &m->labels);
  return text ? lines_copy(text, &m->labels) : EXIT_FINE;
}

const char *model_label(const struct model *m, const struct port *output, int64_t index) {
  int64_t inner = 1;
  for (int i = 2; output && i < output->rank; i++)
    inner *= output->shape[i] < 0 ? 0 : output->shape[i];
  if (!output || index < 0 || inner < 1 || (uint64_t)(index / inner) >= m->labels.n)
    return NULL;
  return m->labels.v[index / inner];
}

/* xai info: what a model is, and how a method will treat it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "array.h"
#include "commands.h"
#include "explaining.h"
#include "json.h"
#include "say.h"
#include "show.h"

struct info {
  const struct options *o;
  struct model model;
  struct method method;
  bool with_method;
  struct node *nodes;
  size_t n_nodes;
  int64_t file_size, parameters;
  int64_t run_memory, explain_memory; /* -1: not asked for */
};

/* How often each text of a field occurs, in order of first occurrence. */
struct count {
  const char *text, *second; /* second: of a pair, or NULL */
  size_t n;
};

static struct count *count_nodes(const struct info *in, const char *origin, size_t *n) {
  struct count *counts = calloc(in->n_nodes + 1, sizeof *counts);
  *n = 0;
  for (size_t i = 0; counts && i < in->n_nodes; i++) {
    const struct node *node = &in->nodes[i];
    const char *second = origin ? node->rule : NULL;
    size_t k = 0;
    if (origin && strcmp(node->origin, origin))
      continue;
    while (k < *n &&
           (strcmp(counts[k].text, node->op) || (second && strcmp(counts[k].second, second)))) {
      k++;
    }
    if (k == *n)
      counts[(*n)++] = (struct count){node->op, second, 0};
    counts[k].n++;
  }
  return counts;
}

static void json_port(struct json *j, const struct port *p, bool output) {
  json_open_line(j, NULL, '{');
  json_text(j, "name", p->name);
  json_text(j, "type", p->type);
  json_shape(j, "shape", p->rank, p->shape);
  if (output)
    json_text(j, "logit", p->logit);
  json_close_line(j, '}');
}

/* Entries "prefix/KEY" as an object. */
static void json_texts(struct json *j, const struct model *m, const char *key, const char *prefix) {
  const char *name, *text;
  const xai_tensor *t;
  size_t skip = strlen(prefix);
  json_open_object(j, key);
  for (size_t i = 0; !xai_result_get(m->about, i, &name, &t, &text); i++) {
    if (text && !strncmp(name, prefix, skip))
      json_text(j, name + skip, text);
  }
  json_close_object(j);
}

static void json_node(struct json *j, const struct node *n, size_t i, bool method) {
  json_open_line(j, NULL, '{');
  json_integer(j, "index", (int64_t)i);
  json_text(j, "op", n->op);
  json_text(j, "name", n->name);
  json_text(j, "outputs", n->outputs);
  json_text(j, "shape", n->shape);
  json_text(j, "crossing", n->crossing);
  if (method)
    json_text(j, "rule", n->rule);
  if (method)
    json_text(j, "origin", n->origin);
  json_close_line(j, '}');
}

static int print_json(const struct info *in) {
  struct json j;
  size_t n;
  struct count *counts = count_nodes(in, NULL, &n);
  if (!counts)
    return say_no_memory();
  json_begin(&j);
  json_open_object(&j, NULL);
  json_text(&j, "model", in->model.path);
  json_text(&j, "model_sha256", in->model.sha256);
  json_integer(&j, "bytes", in->file_size);
  json_text(&j, "producer", model_text(&in->model, "producer"));
  json_texts(&j, &in->model, "opset", "opset/");
  json_integer(&j, "parameters", in->parameters);
  json_open_array(&j, "inputs");
  for (size_t i = 0; i < in->model.n_inputs; i++)
    json_port(&j, &in->model.inputs[i], false);
  json_close_array(&j);
  json_open_array(&j, "outputs");
  for (size_t i = 0; i < in->model.n_outputs; i++)
    json_port(&j, &in->model.outputs[i], true);
  json_close_array(&j);
  json_open_object(&j, "operators");
  for (size_t i = 0; i < n; i++)
    json_integer(&j, counts[i].text, (int64_t)counts[i].n);
  json_close_object(&j);
  json_texts(&j, &in->model, "metadata", "metadata/");
  if (in->with_method)
    json_text(&j, "method", in->method.name);
  if (in->with_method || in->o->graph) {
    json_open_array(&j, "nodes");
    for (size_t i = 0; i < in->n_nodes; i++)
      json_node(&j, &in->nodes[i], i, in->with_method);
    json_close_array(&j);
  }
  if (in->o->memory) {
    json_open_object(&j, "memory");
    json_integer(&j, "run", in->run_memory);
    json_integer(&j, "explain", in->explain_memory);
    json_close_object(&j);
  }
  json_close_object(&j);
  free(counts);
  return json_print(json_finish(&j));
}

static void print_port(const char *what, const struct port *p) {
  char shape[160];
  array_shape_text(p->rank, p->shape, shape);
  printf("%-11s %s  %s %s", what, p->name, p->type ? p->type : "?", shape);
  if (p->logit && strcmp(p->logit, p->name))
    printf("  (explained at %s)", p->logit);
  printf("\n");
}

/* "Conv 26, Relu 26, ..." in lines. */
static void print_counts(const char *title, const struct count *counts, size_t n) {
  int column = printf("%-11s", title);
  for (size_t i = 0; i < n; i++) {
    char text[160];
    const char *rule = counts[i].second && counts[i].second[0] ? counts[i].second : NULL;
    int size = snprintf(text, sizeof text, " %s%s%s %zu%s", counts[i].text, rule ? ": " : "",
                        rule ? rule : "", counts[i].n, i + 1 < n ? "," : "");
    if (column + size > 100)
      column = printf("\n%-11s", "") - 1;
    column += printf("%s", text);
  }
  printf("\n");
}

static void print_bytes(const char *title, int64_t bytes) {
  char text[SHOW_BYTES];
  show_bytes(bytes, text);
  printf("%-11s %s\n", title, text);
}

static int print_graph(const struct info *in) {
  struct table t;
  size_t columns = in->with_method ? 7 : 5;
  static const char *const heads[] = {"node", "op", "name", "shape", "crossing", "rule", "from"};
  table_begin(&t, columns, 1);
  for (size_t c = 0; c < columns; c++)
    table_add(&t, "%s", heads[c]);
  for (size_t i = 0; i < in->n_nodes; i++) {
    const struct node *n = &in->nodes[i];
    table_add(&t, "%zu", i);
    table_add(&t, "%s", n->op);
    table_add(&t, "%.48s", n->name[0] ? n->name : n->outputs);
    table_add(&t, "[%s]", n->shape);
    table_add(&t, "%s", n->crossing);
    if (!in->with_method)
      continue;
    table_add(&t, "%s", n->rule[0] ? n->rule : "-");
    table_add(&t, "%s", n->origin[0] ? n->origin : "-");
  }
  printf("\n");
  return table_end(&t);
}

static int print_origins(const struct info *in) {
  static const char *const origins[] = {"composite", "row", "default", "folded", "refused"};
  printf("\n%-11s %s\n", "method", in->method.text);
  for (size_t i = 0; i < sizeof origins / sizeof origins[0]; i++) {
    size_t n;
    struct count *counts = count_nodes(in, origins[i], &n);
    if (!counts)
      return say_no_memory();
    if (n)
      print_counts(origins[i], counts, n);
    free(counts);
  }
  return EXIT_FINE;
}

static int print_text(const struct info *in) {
  const struct model *m = &in->model;
  const char *name, *text, *producer = model_text(m, "producer");
  const xai_tensor *t;
  size_t n;
  printf("%-11s %s\n", "model", m->path);
  print_bytes("size", in->file_size);
  if (producer && *producer)
    printf("%-11s %s\n", "producer", producer);
  for (size_t i = 0; !xai_result_get(m->about, i, &name, &t, &text); i++) {
    if (text && !strncmp(name, "opset/", 6))
      printf("%-11s %s %s\n", "opset", name + 6, text);
  }
  printf("%-11s %" PRId64 "\n", "parameters", in->parameters);
  for (size_t i = 0; i < m->n_inputs; i++)
    print_port("input", &m->inputs[i]);
  for (size_t i = 0; i < m->n_outputs; i++)
    print_port("output", &m->outputs[i]);
  struct count *counts = count_nodes(in, NULL, &n);
  if (!counts)
    return say_no_memory();
  print_counts("operators", counts, n);
  free(counts);
  const char *preprocess = model_text(m, "metadata/xai.preprocess");
  if (preprocess)
    printf("%-11s %s\n", "preprocess", preprocess);
  if (m->labels.n)
    printf("%-11s %zu: %s, ...\n", "labels", m->labels.n, m->labels.v[0]);
  int code = in->with_method ? print_origins(in) : EXIT_FINE;
  if (!code && in->o->graph)
    code = print_graph(in);
  if (!code && in->o->memory) {
    printf("\n");
    print_bytes("run", in->run_memory);
    print_bytes("explain", in->explain_memory);
  }
  return code;
}

static int measure(struct info *in) {
  xai_param *inputs = calloc(in->model.n_inputs + 1, sizeof *inputs);
  int code = inputs ? model_blank(&in->model, false, inputs) : say_no_memory();
  if (!code)
    code = model_session(&in->model, in->o, NULL, NULL);
  xai_request request;
  xai_error err;
  memset(&request, 0, sizeof request);
  request.struct_size = sizeof request;
  request.inputs = inputs;
  request.n_inputs = in->model.n_inputs;
  if (!code && xai_memory(in->model.session, &request, &in->run_memory, &err)) {
    code = say_error(&err, SAY_RUNNING, NULL);
  }
  request.method = in->method.name;
  request.params = in->method.params.v;
  request.n_params = in->method.params.n;
  if (!code && xai_memory(in->model.session, &request, &in->explain_memory, &err)) {
    code = say_error(&err, SAY_RUNNING, NULL);
  }
  model_blank_free(&in->model, inputs);
  return code;
}

static int gather(struct info *in) {
  struct stat status;
  int64_t parameters = 0;
  in->nodes = model_nodes(&in->model, &in->n_nodes);
  if (!in->nodes)
    return say_no_memory();
  const xai_tensor *t = xai_result_find(in->model.about, "parameters");
  if (t)
    memcpy(&parameters, xai_tensor_data(t), sizeof parameters);
  in->parameters = parameters;
  in->file_size = stat(in->model.path, &status) ? 0 : (int64_t)status.st_size;
  int code = model_read_labels(&in->model, NULL);
  if (!code && in->o->json)
    code = model_digest(&in->model);
  return !code && in->o->memory ? measure(in) : code;
}

/* ---- a model with an operator that is missing: what it is made of ---- */

struct listing {
  char (*names)[160];
  struct count *counts;
  size_t n;
};

/* An xai_log_fn: lines "operator: NAME". */
static void list_operator(void *user, int level, const char *text) {
  static const char begins[] = "operator: ";
  struct listing *l = user;
  size_t k = 0, skip = sizeof begins - 1;
  (void)level;
  if (strncmp(text, begins, skip))
    return;
  while (k < l->n && strncmp(l->names[k], text + skip, sizeof *l->names - 1))
    k++;
  if (k == l->n) {
    char(*names)[160] = realloc(l->names, (k + 1) * sizeof *names);
    if (names)
      l->names = names;
    struct count *counts = names ? realloc(l->counts, (k + 1) * sizeof *counts) : NULL;
    if (!counts)
      return;
    l->counts = counts;
    snprintf(names[k], sizeof *names, "%s", text + skip);
    counts[l->n++].n = 0;
  }
  l->counts[k].n++;
}

static int show_listing(struct listing *l, const struct options *o, const char *path) {
  struct json j;
  for (size_t i = 0; i < l->n; i++) {
    l->counts[i].text = l->names[i];
    l->counts[i].second = NULL;
  }
  if (!o->json) {
    printf("%-11s %s\n", "model", path);
    print_counts("operators", l->counts, l->n);
    return EXIT_FINE;
  }
  json_begin(&j);
  json_open_object(&j, NULL);
  json_text(&j, "model", path);
  json_open_object(&j, "operators");
  for (size_t i = 0; i < l->n; i++)
    json_integer(&j, l->counts[i].text, (int64_t)l->counts[i].n);
  json_close_object(&j);
  json_close_object(&j);
  return json_print(json_finish(&j));
}

static int load(struct info *in, const char *method) {
  struct listing l = {NULL, NULL, 0};
  struct options listening = *in->o;
  listening.log = list_operator;
  listening.log_user = &l;
  int code = model_load(in->o->args.v[0], &listening, method, &in->model);
  if (code && l.n && show_listing(&l, in->o, in->o->args.v[0]))
    code = EXIT_LIMIT;
  free(l.names);
  free(l.counts);
  return code;
}

int cmd_info(const struct options *o) {
  struct info in;
  memset(&in, 0, sizeof in);
  in.o = o;
  in.with_method = o->methods.n > 0;
  if (o->args.n != 1) {
    return say(EXIT_USAGE, "%s; see 'xai info --help'",
               o->args.n ? "one MODEL at a time" : "which MODEL?");
  }
  if (o->methods.n > 1)
    return say(EXIT_USAGE, "one --method at a time");
  int code = method_parse(in.with_method ? o->methods.v[0] : NULL, o, &in.method);
  if (!code)
    code = load(&in, in.with_method ? in.method.name : NULL);
  if (!code)
    code = gather(&in);
  if (!code)
    code = o->json ? print_json(&in) : print_text(&in);
  method_free(&in.method);
  model_nodes_free(in.nodes, in.n_nodes);
  model_free(&in.model);
  return code;
}

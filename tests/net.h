/* A network from a line of text (model_text.h), asked to run and to explain in one call each:
 *
 *   net n = net_open("input x N,2; ...", 1);
 *   xai_tensor *x = net_input(&n, 0, 3, 7);              input 0, 3 items, by chance of seed 7
 *   xai_result *r = explain(&n, (ask){"lrp-gamma,gamma=1", .rows = "op:Gemm=flat", .x = {x}});
 *   values(r, "relevance/x", NULL)[0]
 *
 * ask_status gives the status back; the others fail the test with the error's text. */
#ifndef XAI_TESTS_NET_H
#define XAI_TESTS_NET_H
#include <check.h>
#include <math.h>
#include <stdio.h>

#include "graph/graph.h"
#include "model_text.h"

typedef struct net {
  xai_graph *g;
  xai_session *s;
} net;

typedef struct ask {
  const char *method; /* "NAME,k=v,..."; NULL: run, or ",k=v" to run with parameters */
  const char *rows;   /* "MATCH=RULE,k=v;MATCH=RULE" */
  const char *at;     /* "name,name"; "*": every tensor that is not constant */
  const char *from;
  const xai_tensor *x[4]; /* of the graph's inputs, in order */
  const xai_tensor *target;
  const xai_tensor *seed;        /* seed= */
  const xai_param *more;         /* further parameters */
  size_t n_more;
  int64_t top;
  const xai_term *terms;
  size_t n_terms;
  const xai_graph *decoder;
  uint64_t random_seed;
  int ledger, trace;
  xai_cancel *cancel;
  xai_progress_fn progress;
  void *user;
} ask;

/* For loops of tests: no turn in a library built without LRP. */
#define IF_LRP(n) (XAI_LRP ? (int)(n) : 0)

static xai_error net_error;

static inline xai_graph *graph_open(const char *text) {
  xai_graph *g;
  xai_options o = {.struct_size = sizeof o, .threads = 1};
  pb model = model_text(text);
  int status = xai_graph_parse(model.p, model.n, &o, &g, &net_error);
  pb_free(&model);
  ck_assert_msg(!status, "%s\n%s", text, net_error.text);
  return g;
}

static inline xai_session *session_open(const xai_graph *g, int threads) {
  xai_session *s;
  xai_options o = {.struct_size = sizeof o, .threads = threads};
  ck_assert_msg(!xai_session_create(g, &o, &s, &net_error), "%s", net_error.text);
  return s;
}

static inline net net_open(const char *text, int threads) {
  net n = {graph_open(text), NULL};
  n.s = session_open(n.g, threads);
  return n;
}

static inline void net_close(net *n) {
  xai_session_free(n->s);
  xai_graph_free(n->g);
}

/* ---- tensors ---- */

static inline xai_tensor *tensor_of(int dtype, int rank, const int64_t *shape, const void *data) {
  xai_tensor *t;
  ck_assert_msg(!xai_tensor_create(dtype, rank, shape, data, &t, &net_error), "%s", net_error.text);
  return t;
}

/* One item of n numbers, [1,n]. */
#define FLOATS(n, ...) tensor_of(XAI_F32, 2, (const int64_t[]){1, n}, (const float[]){__VA_ARGS__})
#define INTS(n, ...) tensor_of(XAI_I64, 1, (const int64_t[]){n}, (const int64_t[]){__VA_ARGS__})

static inline xai_tensor *tensor_by_chance(int dtype, int rank, const int64_t *shape,
                                           uint64_t seed) {
  xai_tensor *t = tensor_of(dtype, rank, shape, NULL);
  int64_t n = 1;
  for (int i = 0; i < rank; i++) n *= shape[i];
  float *to = (float *)(uintptr_t)xai_tensor_data(t);
  for (int64_t i = 0; i < n; i++) {
    float v = model_chance(&seed);
    if (dtype == XAI_F32) to[i] = v;
    else ((int64_t *)(void *)to)[i] = (int64_t)(fabsf(v) * 4);
  }
  return t;
}

/* Input k of the graph with `items` where a dimension is symbolic. */
static inline xai_tensor *net_input(const net *n, int k, int64_t items, uint64_t seed) {
  const xai__graph_value *v = &n->g->values[n->g->inputs[k]];
  int64_t shape[XAI__MAX_RANK] = {0};
  for (int i = 0; i < v->shape.rank; i++) shape[i] = v->shape.d[i] < 0 ? items : v->shape.d[i];
  return tensor_by_chance(v->dtype, v->shape.rank, shape, seed);
}

/* Of a network of one or two inputs. */
typedef struct inputs {
  xai_tensor *x[2];
} inputs;

static inline inputs inputs_of(const net *n, int64_t items, uint64_t seed) {
  inputs in = {{net_input(n, 0, items, seed), NULL}};
  if (n->g->n_inputs > 1) in.x[1] = net_input(n, 1, items, seed + 1);
  return in;
}

static inline void inputs_free(inputs *in) {
  for (int k = 0; k < 2; k++) xai_tensor_free(in->x[k]);
}

static inline int64_t count_of(const xai_tensor *t) {
  const int64_t *shape;
  int64_t n = 1;
  int rank = xai_tensor_shape(t, &shape);
  for (int i = 0; i < rank; i++) n *= shape[i];
  return n;
}

static inline xai_tensor *like(const xai_tensor *t, const float *data) {
  const int64_t *shape;
  int rank = xai_tensor_shape(t, &shape);
  return tensor_of(XAI_F32, rank, shape, data);
}

static inline const float *floats(const xai_tensor *t) { return xai_tensor_data(t); }
/* For the test's own tensors. */
static inline float *writable(xai_tensor *t) { return (float *)(uintptr_t)xai_tensor_data(t); }

/* ---- results ---- */

static inline const xai_tensor *found(const xai_result *r, const char *name) {
  const xai_tensor *t = xai_result_find(r, name);
  ck_assert_msg(t != NULL, "no '%s' in the result", name);
  return t;
}

static inline const float *values(const xai_result *r, const char *name, int64_t *n) {
  const xai_tensor *t = found(r, name);
  if (n) *n = count_of(t);
  ck_assert_int_eq(xai_tensor_dtype(t), XAI_F32);
  return floats(t);
}

static inline double sum_of(const float *v, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; i++) sum += (double)v[i];
  return sum;
}

static inline double largest(const float *v, int64_t n) {
  double top = 0;
  for (int64_t i = 0; i < n; i++)
    if (fabs((double)v[i]) > top) top = fabs((double)v[i]);
  return top;
}

/* |a - b| <= part * max|b| + 1e-30 */
static inline void expect_near(const char *what, const float *a, const float *b, int64_t n,
                               double part) {
  double room = part * largest(b, n) + 1e-30;
  for (int64_t i = 0; i < n; i++)
    ck_assert_msg(fabs((double)a[i] - (double)b[i]) <= room,
                  "%s: element %lld is %.9g, not %.9g (+- %.2g)", what, (long long)i, (double)a[i],
                  (double)b[i], room);
}

/* Names and tensors, bit for bit. */
static inline void expect_same_result(const char *what, const xai_result *a, const xai_result *b) {
  const char *name, *text, *other;
  const xai_tensor *t;
  for (size_t i = 0; !xai_result_get(b, i, &name, &t, &text); i++) {
    const xai_tensor *u;
    ck_assert(!xai_result_get(a, i, &other, &u, NULL));
    ck_assert_str_eq(name, other);
    if (!t) continue;
    ck_assert_int_eq(count_of(t), count_of(u));
    size_t size = xai_tensor_dtype(t) == XAI_F32 ? 4 : 8;
    ck_assert_msg(!memcmp(xai_tensor_data(t), xai_tensor_data(u), (size_t)count_of(t) * size),
                  "%s: '%s' differs", what, name);
  }
}

/* ---- asking ---- */

enum { ASK_PARAMS = 12, ASK_ROWS = 4, ASK_AT = 64 };
typedef struct ask_text {
  char text[512];
  size_t n;
  xai_param params[ASK_PARAMS];
  size_t n_params;
} ask_text;

/* "NAME,k=v,k=v"; the name is text[0..]. */
static inline void ask_split(ask_text *t, const char *s) {
  t->n = strlen(s);
  ck_assert_uint_lt(t->n, sizeof t->text);
  memcpy(t->text, s, t->n + 1);
  char *at = strchr(t->text, ',');
  while (at) {
    *at++ = 0;
    char *value = strchr(at, '='), *next = strchr(at, ',');
    ck_assert_ptr_nonnull(value);
    *value++ = 0;
    t->params[t->n_params++] = (xai_param){.name = at, .text = value};
    at = next;
  }
}

static inline size_t ask_words(char *s, const char **words, const char *separators) {
  size_t n = 0;
  char *save = NULL;
  for (char *w = strtok_r(s, separators, &save); w; w = strtok_r(NULL, separators, &save))
    words[n++] = w;
  return n;
}

/* Values that a run computes, by name. */
static inline size_t every_tensor(const xai_graph *g, const char **words) {
  size_t n = 0;
  for (int v = 0; v < g->n_values; v++)
    if (!g->values[v].is_static && (g->values[v].producer >= 0 || g->values[v].n_uses > 0))
      words[n++] = g->values[v].name;
  ck_assert_uint_le(n, ASK_AT);
  return n;
}

static inline int ask_status(const net *n, ask a, xai_result **out, int64_t *bill,
                             xai_error *err) {
  ask_text method = {.n = 0}, row_texts[ASK_ROWS] = {{.n = 0}};
  xai_row rows[ASK_ROWS];
  xai_param given[4];
  char row_text[512] = "", at_text[512] = "";
  const char *row_words[ASK_ROWS], *at[ASK_AT];
  xai_request r = {.struct_size = sizeof r, .inputs = given, .from = a.from, .target = a.target,
                   .top = a.top, .at = at, .rows = rows, .ledger = a.ledger, .cancel = a.cancel,
                   .terms = a.terms, .n_terms = a.n_terms, .decoder = a.decoder,
                   .random_seed = a.random_seed, .trace = a.trace,
                   .progress = a.progress, .progress_user = a.user, .params = method.params};
  if (a.method) ask_split(&method, a.method);
  if (a.seed) method.params[method.n_params++] = (xai_param){.name = "seed", .tensor = a.seed};
  for (size_t i = 0; i < a.n_more; i++) method.params[method.n_params++] = a.more[i];
  r.n_params = method.n_params;
  for (int k = 0; k < n->g->n_inputs && k < 4; k++)
    if (a.x[k])
      given[r.n_inputs++] = (xai_param){n->g->values[n->g->inputs[k]].name, a.x[k], NULL, 0};
  if (a.rows) {
    snprintf(row_text, sizeof row_text, "%s", a.rows);
    r.n_rows = ask_words(row_text, row_words, ";");
    for (size_t i = 0; i < r.n_rows; i++) {
      ask_split(&row_texts[i], row_words[i]);
      char *rule = strchr(row_texts[i].text, '=');
      *rule++ = 0;
      rows[i] = (xai_row){row_texts[i].text, rule, row_texts[i].params, row_texts[i].n_params};
    }
  }
  if (a.at && !strcmp(a.at, "*")) {
    r.n_at = every_tensor(n->g, at);
  } else if (a.at) {
    snprintf(at_text, sizeof at_text, "%s", a.at);
    r.n_at = ask_words(at_text, at, ",");
  }
  bool runs = !a.method || !method.text[0];
  r.method = runs ? NULL : method.text;
  if (bill) return xai_memory(n->s, &r, bill, err);
  return runs ? xai_run(n->s, &r, out, err) : xai_explain(n->s, &r, out, err);
}

static inline xai_result *explain(const net *n, ask a) {
  xai_result *r;
  int status = ask_status(n, a, &r, NULL, &net_error);
  ck_assert_msg(!status, "%s: %d %s: %s", a.method ? a.method : "run", status, net_error.where,
                net_error.text);
  return r;
}

/* The relevance of input 0 alone, the caller's to free. */
static inline float *relevance(const net *n, ask a, int64_t *count) {
  xai_result *r = explain(n, a);
  char name[160];
  int64_t n_values;
  snprintf(name, sizeof name, "relevance/%s", n->g->values[n->g->inputs[0]].name);
  const float *v = values(r, name, &n_values);
  float *copy = malloc((size_t)n_values * sizeof *copy + 1);
  memcpy(copy, v, (size_t)n_values * sizeof *copy);
  xai_result_free(r);
  if (count) *count = n_values;
  return copy;
}

/* Both asks give the relevance of the other, to `part` of its maximum. */
static inline void expect_same(const char *what, const net *n, ask a, const net *m, ask b,
                               double part) {
  int64_t count, other;
  char text[1024];
  float *va = relevance(n, a, &count), *vb = relevance(m, b, &other);
  snprintf(text, sizeof text, "%s: %s and %s", what, a.method, b.method);
  ck_assert_msg(count == other, "%s: %lld elements, not %lld", text, (long long)count,
                (long long)other);
  expect_near(text, va, vb, count, part);
  free(va);
  free(vb);
}

static inline int run_suite(Suite *suite) {
  SRunner *runner = srunner_create(suite);
  srunner_run_all(runner, CK_ENV);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed ? 1 : 0;
}

#endif

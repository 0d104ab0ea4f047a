/* What callers may rely on, whatever they do: sized structs, NULL, failed calls, order of
 * freeing. */
#include "net.h"

static const char model[] =
    "opset 13; input x N,3; const a 3,4 ~1; const b 4 ~2; const c 4,2 ~3; output y;"
    "h = Gemm(x, a, b); r = Relu(h); m = MatMul(r, c); y = Softmax(m)";

static net n;
static xai_tensor *x;
static pb bytes;
static xai_error err;

static void start(void) {
  n = net_open(model, 1);
  x = net_input(&n, 0, 2, 1);
  bytes = model_text(model);
}

static void stop(void) {
  net_close(&n);
  xai_tensor_free(x);
  pb_free(&bytes);
}

/* A failed call: its status, an error that says the same in one line, out NULL. */
static void expect_refused(const char *what, int status, int want, const void *out) {
  ck_assert_msg(status == want, "%s: status %d '%s', not %d", what, status, err.text, want);
  ck_assert_msg(!out, "%s: out is not NULL", what);
  ck_assert_msg(err.status == want, "%s: error.status %d, not %d", what, err.status, want);
  ck_assert_msg(err.text[0] && !strchr(err.text, '\n'), "%s: '%s'", what, err.text);
  ck_assert(memchr(err.text, 0, sizeof err.text) && memchr(err.where, 0, sizeof err.where));
  memset(&err, 7, sizeof err);
}

/* ---- sized structs ---- */

/* A struct of `known` bytes at the start of zeros, for a caller who thinks it has `size`. */
typedef struct sized {
  size_t size;
  unsigned char tail; /* the byte after the known part */
  int status;
} sized;

static const sized sizes[] = {{0, 0, XAI_E_ARGUMENT},
                              {1, 0, XAI_E_ARGUMENT},
                              {sizeof(size_t) - 1, 0, XAI_E_ARGUMENT},
                              {sizeof(size_t), 0, XAI_OK},  /* older: all defaults */
                              {sizeof(size_t) + 4, 0, XAI_OK},
                              {10000, 0, XAI_OK},           /* newer, nothing new used */
                              {10000, 1, XAI_E_ARGUMENT}};  /* newer, with something new */
enum { SIZES = sizeof sizes / sizeof *sizes };

static void *sized_copy(const void *known, size_t n_known, const sized *s) {
  unsigned char *p = calloc(1, 20000);
  memcpy(p, known, n_known);
  memcpy(p, &s->size, sizeof s->size);
  p[n_known] = s->tail;
  return p;
}

START_TEST(options_of_any_size) {
  const sized *s = &sizes[_i];
  xai_options known = {.struct_size = sizeof known}, *o = sized_copy(&known, sizeof known, s);
  xai_graph *g;
  xai_session *session;
  int status = xai_graph_parse(bytes.p, bytes.n, o, &g, &err);
  if (s->status) expect_refused("xai_graph_parse", status, s->status, g);
  else ck_assert_int_eq(status, XAI_OK);
  xai_graph_free(g);
  status = xai_session_create(n.g, o, &session, &err);
  if (s->status) expect_refused("xai_session_create", status, s->status, session);
  else ck_assert_int_eq(status, XAI_OK);
  xai_session_free(session);
  free(o);
}
END_TEST

START_TEST(requests_of_any_size) {
  const sized *s = &sizes[_i];
  xai_param in = {.name = "x", .tensor = x};
  xai_request known = {.inputs = &in, .n_inputs = 1};
  xai_request *r = sized_copy(&known, sizeof known, s);
  bool older = s->size < sizeof known; /* without the inputs */
  int64_t bill;
  xai_result *out;
  int want = s->status ? s->status : older ? XAI_E_INPUT : XAI_OK;
  int status = xai_run(n.s, r, &out, &err);
  if (want) expect_refused("xai_run", status, want, out);
  else ck_assert_int_eq(status, XAI_OK);
  xai_result_free(out);
  status = xai_memory(n.s, r, &bill, &err);
  if (want) expect_refused("xai_memory", status, want, NULL);
  else ck_assert_int_gt(bill, 0);
  r->method = "gradient"; /* within the known part also of an older caller: not read then */
  status = xai_explain(n.s, r, &out, &err);
  if (want) expect_refused("xai_explain", status, want, out);
  else ck_assert_int_eq(status, XAI_OK);
  xai_result_free(out);
  free(r);
}
END_TEST

/* Cut anywhere: what is beyond is as good as zero, and so is what half a word is left of. */
START_TEST(requests_cut_anywhere) {
  xai_param in = {.name = "x", .tensor = x};
  xai_request known = {.method = "gradient", .inputs = &in, .n_inputs = 1, .ledger = 1};
  xai_result *out;
  for (size_t size = sizeof(size_t); size <= sizeof known; size++) {
    xai_request r = known;
    r.struct_size = size;
    int status = xai_explain(n.s, &r, &out, &err);
    size_t whole = size - size % sizeof(void *);
    bool has_inputs = whole > offsetof(xai_request, n_inputs);
    bool has_ledger = whole > offsetof(xai_request, ledger); /* which gradients have none of */
    if (has_ledger) ck_assert_int_eq(status, XAI_E_ARGUMENT);
    else if (has_inputs) ck_assert_int_eq(status, XAI_OK);
    else ck_assert_int_ne(status, XAI_OK);
    xai_result_free(out);
  }
}
END_TEST

START_TEST(options_are_checked) {
  static const struct {
    xai_options o;
    int status;
    const char *where;
  } rows[] = {{{.threads = -1}, XAI_E_ARGUMENT, "threads"},
              {{.threads = 257}, XAI_E_ARGUMENT, "threads"},
              {{.max_isa = 4}, XAI_E_ARGUMENT, "max_isa"},
              {{.max_isa = -1}, XAI_E_ARGUMENT, "max_isa"},
              {{.max_memory = -1}, XAI_E_ARGUMENT, ""},
              {{.max_nodes = -1}, XAI_E_ARGUMENT, ""},
              {{.max_tensor = -1}, XAI_E_ARGUMENT, ""},
              {{.max_memory = 1000}, XAI_E_LIMIT, ""},
              {{.max_nodes = 3}, XAI_E_LIMIT, ""},
              {{.max_tensor = 7}, XAI_E_LIMIT, ""}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    xai_options o = rows[i].o;
    xai_graph *g;
    o.struct_size = sizeof o;
    int status = xai_graph_parse(bytes.p, bytes.n, &o, &g, &err);
    ck_assert_msg(strstr(err.where, rows[i].where), "'%s' is not '%s'", err.where, rows[i].where);
    expect_refused(rows[i].where, status, rows[i].status, g);
  }
}
END_TEST

/* ---- NULL ---- */

#define REFUSED(call)                                \
  do {                                               \
    out = (void *)&out;                              \
    int status_ = call;                              \
    expect_refused(#call, status_, XAI_E_ARGUMENT, out); \
  } while (0)

START_TEST(null_is_refused) {
  xai_request r = {.struct_size = sizeof r};
  const int64_t shape[] = {2};
  float data[2] = {1, 2};
  int64_t bill;
  void *out;
  REFUSED(xai_tensor_create(XAI_F32, 1, NULL, data, (xai_tensor **)&out, &err));
  REFUSED(xai_tensor_wrap(XAI_F32, 1, NULL, data, NULL, NULL, (xai_tensor **)&out, &err));
  REFUSED(xai_tensor_wrap(XAI_F32, 1, shape, NULL, NULL, NULL, (xai_tensor **)&out, &err));
  REFUSED(xai_tensor_parse(NULL, 3, (xai_tensor **)&out, &err));
  REFUSED(xai_graph_load(NULL, NULL, (xai_graph **)&out, &err));
  REFUSED(xai_graph_parse(NULL, 3, NULL, (xai_graph **)&out, &err));
  REFUSED(xai_graph_describe(NULL, NULL, (xai_result **)&out, &err));
  REFUSED(xai_session_create(NULL, NULL, (xai_session **)&out, &err));
  REFUSED(xai_run(NULL, &r, (xai_result **)&out, &err));
  REFUSED(xai_run(n.s, NULL, (xai_result **)&out, &err));
  REFUSED(xai_explain(NULL, &r, (xai_result **)&out, &err));
  REFUSED(xai_explain(n.s, NULL, (xai_result **)&out, &err));
  REFUSED((out = NULL, xai_memory(NULL, &r, &bill, &err)));
  REFUSED((out = NULL, xai_memory(n.s, NULL, &bill, &err)));
  REFUSED((out = NULL, xai_memory(n.s, &r, NULL, &err)));
  /* nowhere to put the result */
  REFUSED((out = NULL, xai_tensor_create(XAI_F32, 1, shape, data, NULL, &err)));
  REFUSED((out = NULL, xai_tensor_wrap(XAI_F32, 1, shape, data, NULL, NULL, NULL, &err)));
  REFUSED((out = NULL, xai_tensor_parse(data, 3, NULL, &err)));
  REFUSED((out = NULL, xai_graph_load("no.onnx", NULL, NULL, &err)));
  REFUSED((out = NULL, xai_graph_parse(bytes.p, bytes.n, NULL, NULL, &err)));
  REFUSED((out = NULL, xai_graph_describe(n.g, NULL, NULL, &err)));
  REFUSED((out = NULL, xai_session_create(n.g, NULL, NULL, &err)));
  REFUSED(xai_fit(NULL, NULL, (xai_result **)&out, &err));
  REFUSED(xai_prior_sample(NULL, &r, NULL, (xai_result **)&out, &err));
  REFUSED(xai_prior_logp(NULL, x, NULL, (xai_result **)&out, &err));
  REFUSED((out = NULL, xai_fit(&r, NULL, NULL, &err)));
  REFUSED((out = NULL, xai_run(n.s, &r, NULL, &err)));
  REFUSED((out = NULL, xai_explain(n.s, &r, NULL, &err)));
  ck_assert_int_eq(xai_cancel_create(NULL), XAI_E_ARGUMENT);
}
END_TEST

START_TEST(null_is_harmless) {
  const int64_t *shape = (const int64_t *)&shape;
  const char *name = "?", *text = "?";
  const xai_tensor *t = x;
  xai_graph *g;
  xai_tensor_free(NULL);
  xai_graph_free(NULL);
  xai_session_free(NULL);
  xai_result_free(NULL);
  xai_cancel_free(NULL);
  xai_cancel_set(NULL);
  ck_assert_ptr_null(xai_tensor_ref(NULL));
  ck_assert_ptr_null(xai_tensor_data(NULL));
  ck_assert_int_eq(xai_tensor_dtype(NULL), 0);
  ck_assert_int_lt(xai_tensor_shape(NULL, &shape), 0);
  ck_assert_ptr_null(shape);
  ck_assert_int_eq(xai_tensor_shape(x, NULL), 2);
  ck_assert_ptr_null(xai_result_find(NULL, "x"));
  ck_assert_int_eq(xai_result_get(NULL, 0, &name, &t, &text), XAI_E_ARGUMENT);
  ck_assert(!name && !text && !t);
  ck_assert_int_eq(xai_catalog(XAI_METHOD, 0, NULL, NULL), XAI_OK);
  /* no error wanted */
  ck_assert_int_eq(xai_graph_parse("no model", 8, NULL, &g, NULL), XAI_E_MODEL);
  ck_assert_ptr_null(g);
  ck_assert_int_eq(xai_graph_load("/nowhere/no.onnx", NULL, &g, NULL), XAI_E_IO);
  ck_assert_int_eq(xai_run(n.s, NULL, NULL, NULL), XAI_E_ARGUMENT);
  ck_assert_int_eq(xai_memory(n.s, NULL, NULL, NULL), XAI_E_ARGUMENT);
  xai_result *r = explain(&n, (ask){.x = {x}});
  ck_assert_ptr_null(xai_result_find(r, NULL));
  ck_assert_ptr_null(xai_result_find(r, "no such"));
  ck_assert_int_eq(xai_result_get(r, 0, NULL, NULL, NULL), XAI_OK);
  ck_assert_int_eq(xai_result_get(r, 1000, &name, &t, &text), 1);
  ck_assert(!name && !text && !t);
  xai_result_free(r);
}
END_TEST

/* Inside a request: a count without an array, an entry without what it needs. */
START_TEST(null_in_a_request_is_refused) {
  const xai_param in = {.name = "x", .tensor = x}, empty = {.name = "x"};
  const xai_param nameless = {.number = 1};
  const char *const nothing[] = {NULL};
  const xai_row no_match = {NULL, "epsilon", NULL, 0}, no_rule = {"*", NULL, NULL, 0};
  const xai_row no_params = {"*", "epsilon", NULL, 2}, no_name = {"*", "epsilon", &nameless, 1};
  const xai_request rows[] = {
      {.n_inputs = 1},
      {.inputs = &empty, .n_inputs = 1},
      {.inputs = &in, .n_inputs = 1, .n_params = 1},
      {.inputs = &in, .n_inputs = 1, .params = &nameless, .n_params = 1},
      {.inputs = &in, .n_inputs = 1, .n_at = 1},
      {.inputs = &in, .n_inputs = 1, .at = nothing, .n_at = 1},
      {.inputs = &in, .n_inputs = 1, .n_rows = 1},
      {.inputs = &in, .n_inputs = 1, .rows = &no_match, .n_rows = 1},
      {.inputs = &in, .n_inputs = 1, .rows = &no_rule, .n_rows = 1},
      {.inputs = &in, .n_inputs = 1, .rows = &no_params, .n_rows = 1},
      {.inputs = &in, .n_inputs = 1, .rows = &no_name, .n_rows = 1},
      {.inputs = &in, .n_inputs = 1, .n_terms = 1},
      {.inputs = &in, .n_inputs = 1, .top = -1},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    for (int runs = 0; runs < 2; runs++) {
      xai_request r = rows[i];
      xai_result *out = (void *)&out;
      char what[40];
      r.struct_size = sizeof r;
      r.method = runs ? NULL : XAI_LRP ? "lrp-0" : "gradient";
      if (runs && i > 5) continue; /* a run has no rows, terms and targets */
      snprintf(what, sizeof what, "request %zu, run %d", i, runs);
      int status = runs ? xai_run(n.s, &r, &out, &err) : xai_explain(n.s, &r, &out, &err);
      expect_refused(what, status, i == 1 ? XAI_E_INPUT : XAI_E_ARGUMENT, out);
    }
}
END_TEST

/* ---- handles ---- */

/* Each handle goes first once, and the others still work. */
START_TEST(freed_in_any_order) {
  enum { GRAPH, SESSION, RESULT, INPUT, KINDS };
  int order[KINDS] = {0, 1, 2, 3};
  for (int turn = 0; turn < 24; turn++) {
    int k = turn; /* the turn-th permutation */
    for (int i = 0; i < KINDS; i++) order[i] = i;
    for (int i = KINDS - 1; i > 0; k /= i + 1, i--) {
      int other = k % (i + 1), swap = order[i];
      order[i] = order[other];
      order[other] = swap;
    }
    net own = net_open(model, 2);
    xai_tensor *in = net_input(&own, 0, 2, 1);
    xai_result *r = explain(&own, (ask){"gradient", .x = {in}});
    const xai_tensor *borrowed = found(r, "relevance/x");
    xai_tensor *kept = xai_tensor_ref(borrowed);
    float sum = 0;
    for (int i = 0; i < KINDS; i++) {
      if (order[i] == GRAPH) xai_graph_free(own.g);
      if (order[i] == SESSION) xai_session_free(own.s);
      if (order[i] == RESULT) xai_result_free(r);
      if (order[i] == INPUT) xai_tensor_free(in);
    }
    for (int64_t i = 0; i < count_of(kept); i++) sum += fabsf(floats(kept)[i]);
    ck_assert(sum > 0);
    xai_tensor_free(kept);
  }
}
END_TEST

static int released;
static void release(void *user) { released += user == &released; }

START_TEST(wrapped_data_are_released_once) {
  float data[6] = {1, 2, 3, 4, 5, 6};
  const int64_t shape[] = {2, 3}, bad[] = {2, -3};
  xai_tensor *t;
  void *odd = (char *)data + 2;
  released = 0;
  int status = xai_tensor_wrap(XAI_F32, 2, bad, data, release, &released, &t, &err);
  expect_refused("shape", status, XAI_E_ARGUMENT, t);
  status = xai_tensor_wrap(XAI_F32, 2, shape, odd, release, &released, &t, &err);
  expect_refused("alignment", status, XAI_E_ARGUMENT, t);
  ck_assert_int_eq(released, 0); /* still the caller's */
  ck_assert_int_eq(xai_tensor_wrap(XAI_F32, 2, shape, data, release, &released, &t, &err), XAI_OK);
  ck_assert_ptr_eq(xai_tensor_data(t), data);
  ck_assert_ptr_eq(xai_tensor_ref(t), t);
  xai_result *r = explain(&n, (ask){"gradient-x-input", .x = {t}});
  xai_tensor_free(t);
  ck_assert_int_eq(released, 0);
  xai_tensor_free(t);
  ck_assert_int_eq(released, 1);
  xai_result_free(r);
}
END_TEST

START_TEST(tensors_are_checked) {
  static const struct {
    int dtype, rank, status;
    int64_t shape[9];
  } rows[] = {{0, 1, XAI_E_ARGUMENT, {1}},
              {99, 1, XAI_E_ARGUMENT, {1}},
              {XAI_F32, -1, XAI_E_ARGUMENT, {1}},
              {XAI_F32, 9, XAI_E_ARGUMENT, {1, 1, 1, 1, 1, 1, 1, 1, 1}},
              {XAI_F32, 2, XAI_E_ARGUMENT, {2, -1}},
              {XAI_F32, 3, XAI_E_LIMIT, {INT64_MAX, INT64_MAX, 2}},
              {XAI_F64, 1, XAI_E_LIMIT, {INT64_MAX}}};
  static const int dtypes[] = {XAI_F32, XAI_U8,  XAI_I8,  XAI_I32, XAI_I64,
                               XAI_BOOL, XAI_F16, XAI_F64, XAI_BF16};
  xai_tensor *t;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    int status = xai_tensor_create(rows[i].dtype, rows[i].rank, rows[i].shape, NULL, &t, &err);
    expect_refused("tensor", status, rows[i].status, t);
  }
  const int64_t ones[8] = {1, 1, 1, 1, 1, 1, 1, 1}, none[] = {3, 0, 2}, *shape;
  for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
    for (int rank = 0; rank <= 8; rank++) {
      ck_assert_int_eq(xai_tensor_create(dtypes[i], rank, ones, NULL, &t, &err), XAI_OK);
      ck_assert_int_eq(xai_tensor_dtype(t), dtypes[i]);
      ck_assert_int_eq(xai_tensor_shape(t, &shape), rank);
      ck_assert_int_eq(*(const char *)xai_tensor_data(t), 0);
      xai_tensor_free(t);
    }
  ck_assert_int_eq(xai_tensor_create(XAI_F32, 3, none, NULL, &t, &err), XAI_OK); /* empty */
  xai_tensor_free(t);
}
END_TEST

/* ---- tables ---- */

START_TEST(tables_end) {
  const char *name, *schema;
  static const int kinds[] = {XAI_METHOD, XAI_RULE, XAI_PRIOR, XAI_METRIC, XAI_OP, XAI_FIT};
  for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
    size_t rows = 0;
    while (!xai_catalog(kinds[k], rows, &name, &schema)) {
      ck_assert(name && name[0] && schema);
      rows++;
    }
    ck_assert_int_eq(xai_catalog(kinds[k], rows, &name, &schema), 1);
    ck_assert(!name && !schema);
    ck_assert_int_eq(xai_catalog(kinds[k], SIZE_MAX, &name, &schema), 1);
  }
  ck_assert_int_eq(xai_catalog(0, 0, &name, &schema), XAI_E_ARGUMENT);
  ck_assert_int_eq(xai_catalog(XAI_FIT + 1, 0, &name, &schema), XAI_E_ARGUMENT);
  ck_assert(!name && !schema);
}
END_TEST

START_TEST(statuses_have_texts) {
  const char *seen[11];
  for (int i = 0; i < 11; i++) {
    seen[i] = xai_status_text(-i);
    ck_assert(seen[i] && seen[i][0]);
    for (int k = 0; k < i; k++) ck_assert_str_ne(seen[i], seen[k]);
  }
  ck_assert_str_eq(xai_status_text(1), xai_status_text(-1000));
  ck_assert_str_eq(xai_status_text(INT32_MIN), xai_status_text(-1000));
  ck_assert_str_eq(xai_version(), XAI_VERSION_STRING);
  ck_assert_int_eq((int)sizeof(xai_error), 512);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("abi");
  TCase *tc = tcase_create("abi");
  tcase_add_checked_fixture(tc, start, stop);
  tcase_add_loop_test(tc, options_of_any_size, 0, SIZES);
  tcase_add_loop_test(tc, requests_of_any_size, 0, SIZES);
  tcase_add_test(tc, requests_cut_anywhere);
  tcase_add_test(tc, options_are_checked);
  tcase_add_test(tc, null_is_refused);
  tcase_add_test(tc, null_is_harmless);
  tcase_add_test(tc, null_in_a_request_is_refused);
  tcase_add_test(tc, freed_in_any_order);
  tcase_add_test(tc, wrapped_data_are_released_once);
  tcase_add_test(tc, tensors_are_checked);
  tcase_add_test(tc, tables_end);
  tcase_add_test(tc, statuses_have_texts);
  suite_add_tcase(suite, tc);
  return run_suite(suite);
}

/* The caller's rows, and what is said about requests that cannot be served. */
#include "models.h"
#include "net.h"

/* Nodes n_a .. n_h; linear layers n_a (with n_b folded in), n_e, n_h. */
static const char network[] =
    "opset 13; input x N,2,6,6; const w 3,2,3,3 ~1; const s 3 ~+2; const t 3 ~3; const m 3 ~4;"
    "const v 3 ~+5; const u 4,3,2,2 ~6; const d 4 ~7; const e 36,3 ~8; output y;"
    "a = Conv(x, w); b = BatchNormalization(a, s, t, m, v); c = Relu(b);"
    "p = AveragePool(c) kernel_shape=[1,1]; f = Conv(p, u, d); g = Relu(f); h = Flatten(g);"
    "y = MatMul(h, e)";

typedef struct bed {
  net n;
  xai_tensor *x;
} bed;

static bed bed_open(const char *text) {
  bed b = {net_open(text, 1), NULL};
  b.x = net_input(&b.n, 0, 2, 1);
  return b;
}

static void bed_close(bed *b) {
  xai_tensor_free(b->x);
  net_close(&b->n);
}

/* ---- rows ---- */

START_TEST(rows_match_as_documented) {
  static const struct {
    const char *one, *other;
  } same[] = {
      {"op:Conv=gamma", "n_a=gamma;n_e=gamma"},
      {"Conv=gamma", "op:C*v=gamma"},
      {"Conv=gamma", "depth:0-1=gamma"},
      {"MatMul=flat", "depth:2=flat"},
      {"MatMul=flat", "name:n_h=flat"},
      {"MatMul=flat", "depth:2-2=flat"},
      {"n_h=flat", "name:*_h=flat"},
      {"op:*=z-plus", "*=z-plus"},
      {"n_?=z-plus", "*=z-plus"},
      {"n_a=flat;*=gamma,gamma=1", "n_a=flat;n_e=gamma,gamma=1;n_h=gamma,gamma=1"}, /* the first */
      {"n_a=flat;n_a=w-square", "n_a=flat"},
      {"op:Relu=gradient", "n_c=gradient;n_f=gradient"},
      {"op:AveragePool=pass", "n_d=norm"}, /* of one pixel each */
  };
  bed b = bed_open(network);
  for (size_t i = 0; i < sizeof same / sizeof *same; i++)
    expect_same(same[i].one, &b.n, (ask){"lrp-0", .rows = same[i].one, .x = {b.x}}, &b.n,
                (ask){"lrp-0", .rows = same[i].other, .x = {b.x}}, i + 1 == 13 ? 1e-5 : 0);
  bed_close(&b);
}
END_TEST

/* Rows come before the method's own, for their nodes only. */
START_TEST(rows_come_first) {
  bed b = bed_open(network);
  int64_t n;
  float *plain = relevance(&b.n, (ask){"lrp-0", .x = {b.x}}, &n);
  float *rows = relevance(&b.n, (ask){"lrp-0", .rows = "n_e=z-plus", .x = {b.x}}, NULL);
  ck_assert(memcmp(plain, rows, (size_t)n * sizeof *rows));
  free(plain);
  free(rows);
  expect_same("rows", &b.n, (ask){"epsilon-plus", .rows = "op:MatMul=gamma", .x = {b.x}}, &b.n,
              (ask){"lrp-gamma", .rows = "op:Conv=z-plus", .x = {b.x}}, 0);
  expect_same("parameters of the method", &b.n,
              (ask){"lrp-gamma,gamma=2", .rows = "op:Conv=gamma", .x = {b.x}}, &b.n,
              (ask){"lrp-gamma,gamma=2", .x = {b.x}}, 0);
  bed_close(&b);
}
END_TEST

/* ---- refusals ---- */

static const struct refusal {
  const char *method, *rows, *from, *at;
  int status;
  const char *where, *text;
} refusals[] = {
#define A XAI_E_ARGUMENT
    {"nonsense", .status = A, .where = "nonsense", .text = "unknown method 'nonsense'"},
    {"Gradient", .status = A, .where = "Gradient", .text = "'Gradient'"},
    {"gradient,foo=1", .status = A, .where = "foo", .text = "'gradient' has no parameter 'foo'"},
    {"gradient,output=both", .status = A, .where = "output", .text = "logit|final|log-prob"},
    {"gradient,output=logit,output=final", .status = A, .where = "output", .text = "twice"},
    {"gradient,seed=value", .status = A, .where = "seed", .text = "'value'"},
    {"gradient,seed=tensor", .status = A, .where = "seed", .text = "seed"},
    {"gradient-x-input,root=abc", .status = A, .where = "root", .text = "number, not 'abc'"},
    {"gradient", .rows = "*=epsilon", .status = A, .where = "rows", .text = "no rules"},
    {"gradient", .from = "nowhere", .status = A, .where = "nowhere", .text = "no tensor 'nowhere'"},
    {"gradient", .at = "x,nowhere", .status = A, .where = "nowhere", .text = "no tensor 'nowhere'"},
    {"gradient", .at = "w", .status = A, .where = "w", .text = "does not depend on any input"},
    {",foo=1", .status = A, .where = "foo", .text = "a run has no parameter 'foo'"},
    {",output=log-prob", .status = A, .where = "output", .text = "final|logit"},
    {NULL, .at = "nowhere", .status = A, .where = "nowhere", .text = "no tensor 'nowhere'"},
#if XAI_LRP
    {"lrp-gamma,gamma=-1", .status = A, .where = "gamma", .text = "-1, not within 0 to inf"},
    {"lrp-gamma,gamma=nan", .status = A, .where = "gamma", .text = "gamma"},
    {"lrp-gamma,gamma=1e", .status = A, .where = "gamma", .text = "number, not '1e'"},
    {"lrp-gamma,gamma=0.5,gamma=0.25", .status = A, .where = "gamma", .text = "'0.5' and '0.25'"},
    {"lrp-0,epsilon=1", .status = A, .where = "epsilon", .text = "no parameter 'epsilon'"},
    {"lrp-0,bias=maybe", .status = A, .where = "bias", .text = "absorb|zero"},
    {"lrp-0,maxpool=loser", .status = A, .where = "maxpool", .text = "winner"},
    {"lrp-alpha-beta,alpha=2,beta=0.5", .status = A, .where = "alpha", .text = "must be 1"},
    {"lrp-alpha-beta,beta=abc", .status = A, .where = "beta", .text = "number, not 'abc'"},
    {"lrp-alpha-beta,alpha=0.5", .status = A, .where = "alpha", .text = "not within 1"},
    {"epsilon-gamma-box", .status = A, .where = "low", .text = "low="},
    {"epsilon-gamma-box,low=-1", .status = A, .where = "high", .text = "high="},
    {"deep-taylor,high=1", .status = A, .where = "low", .text = "low="},
    {"lrp-composite,low=-1,high=text", .status = A, .where = "high", .text = "high"},
    {"lrp-0", .rows = "*=nonsense", .status = A, .where = "nonsense", .text = "rule 'nonsense'"},
    {"lrp-0", .rows = "*=gamma,foo=1", .status = A, .where = "foo",
     .text = "rule 'gamma' has no parameter 'foo'"},
    {"lrp-0", .rows = "*=gamma,gamma=-2", .status = A, .where = "gamma", .text = "not within"},
    {"lrp-0", .rows = "*=alpha-beta,alpha=3,beta=1", .status = A, .where = "alpha", .text = "be 1"},
    {"lrp-0", .rows = "op:Gru=gamma", .status = A, .where = "op:Gru", .text = "matches 'op:Gru'"},
    {"lrp-0", .rows = "name:zz=gamma", .status = A, .where = "name:zz", .text = "'name:zz'"},
    {"lrp-0", .rows = "depth:3-9=gamma", .status = A, .where = "depth:3-9", .text = "'depth:3-9'"},
    {"lrp-0", .rows = "depth:x=gamma", .status = A, .where = "depth:x", .text = "depth:A-B"},
    {"lrp-0", .rows = "depth:=gamma", .status = A, .where = "depth:", .text = "depth:A-B"},
    {"lrp-0", .rows = "op:Relu=gamma", .status = A, .where = "op:Relu", .text = "rule 'gamma'"},
    {"lrp-0", .rows = "op:Conv=pass", .status = A, .where = "n_e", .text = "cannot pass"},
    {"lrp-0", .rows = "n_e=z-box", .status = A, .where = "low", .text = "low="},
    {"lrp-0", .rows = "n_e=z-box,low=-1,high=1", .status = XAI_E_UNSUPPORTED, .where = "n_c",
     .text = "through node 'n_c' (Relu)"},
#else
    {"lrp-0", .status = XAI_E_UNSUPPORTED, .where = "lrp-0", .text = "without LRP"},
    {"deep-taylor", .status = XAI_E_UNSUPPORTED, .where = "deep-taylor", .text = "XAI_LRP=OFF"},
#endif
};
enum { REFUSALS = sizeof refusals / sizeof *refusals };

static void expect_refusal(const net *n, ask a, int want, const char *where, const char *text) {
  xai_result *r = (void *)&r;
  int status = ask_status(n, a, &r, NULL, &net_error);
  ck_assert_msg(status == want, "'%s' wanted: status %d '%s', not %d", text, status,
                status ? net_error.text : "", want);
  ck_assert_int_eq(net_error.status, want);
  ck_assert_ptr_null(r);
  ck_assert_msg(!strcmp(net_error.where, where), "'%s': where is '%s', not '%s'", net_error.text,
                net_error.where, where);
  ck_assert_msg(strstr(net_error.text, text) != NULL, "'%s' lacks '%s'", net_error.text, text);
}

START_TEST(a_wrong_request_is_refused) {
  const struct refusal *c = &refusals[_i];
  bed b = bed_open(network);
  ask a = {c->method, .rows = c->rows, .from = c->from, .at = c->at, .x = {b.x}};
  expect_refusal(&b.n, a, c->status, c->where, c->text);
  xai_result_free(explain(&b.n, (ask){"gradient", .x = {b.x}}));
  bed_close(&b);
}
END_TEST

/* ---- targets ---- */

START_TEST(a_wrong_target_is_refused) {
  static const struct {
    int dtype, rank;
    int64_t shape[3], data[6];
    const char *text;
  } rows[] = {{XAI_I64, 1, {1}, {3}, "target 3 is out of range: the explained tensor has 3 el"},
              {XAI_I64, 1, {2}, {0, -2}, "target -2 is out of range"},
              {XAI_I64, 1, {1}, {INT64_MAX}, "out of range"},
              {XAI_I64, 2, {1, 3}, {0, 0, 0}, "3 columns for 2 items"},
              {XAI_I64, 1, {0}, {0}, "0 targets"},
              {XAI_I64, 3, {1, 1, 1}, {0}, "int64"},
              {XAI_I32, 1, {1}, {0}, "int64 [T]"},
              {XAI_F32, 2, {1, 4}, {0}, "does not fit"},
              {XAI_F32, 2, {0, 3}, {0}, "does not fit"}};
  bed b = bed_open(network);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    xai_tensor *t = tensor_of(rows[i].dtype, rows[i].rank, rows[i].shape, rows[i].data);
    expect_refusal(&b.n, (ask){"gradient", .x = {b.x}, .target = t}, A, "target", rows[i].text);
    xai_tensor_free(t);
  }
  expect_refusal(&b.n, (ask){"gradient", .x = {b.x}, .top = 4}, A, "target", "4 targets of 3");
  expect_refusal(&b.n, (ask){"gradient", .x = {b.x}, .trace = 1}, A, "trace", "keeps no trace");
  xai_tensor *mask = tensor_of(XAI_F32, 2, (const int64_t[]){1, 3}, NULL);
  xai_tensor *seed = tensor_of(XAI_F32, 1, (const int64_t[]){4}, NULL);
  expect_refusal(&b.n, (ask){"gradient,output=log-prob", .x = {b.x}, .target = mask}, A, "target",
                 "mask");
  expect_refusal(&b.n, (ask){"gradient", .x = {b.x}, .seed = seed}, A, "seed", "does not fit");
  xai_tensor_free(mask);
  xai_tensor_free(seed);
  bed_close(&b);
}
END_TEST

/* ---- inputs ---- */

START_TEST(a_wrong_input_is_refused) {
  static const struct {
    int dtype, rank;
    int64_t shape[4];
    const char *text, *other; /* both are said */
  } rows[] = {{XAI_F32, 4, {2, 2, 6, 5}, "2x6x6", "2x2x6x5"},
              {XAI_F32, 3, {2, 6, 6}, "2x6x6", "not 2x6x6"},
              {XAI_F32, 0, {0}, "2x6x6", "not"},
              {XAI_I64, 4, {1, 2, 6, 6}, "float32", "int64"},
              {XAI_BOOL, 4, {1, 2, 6, 6}, "float32", "bool"}};
  static const char *const methods[] = {NULL, "gradient"};
  bed b = bed_open(network);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    for (int m = 0; m < 2; m++) {
      xai_tensor *t = tensor_of(rows[i].dtype, rows[i].rank, rows[i].shape, NULL);
      expect_refusal(&b.n, (ask){methods[m], .x = {t}}, XAI_E_INPUT, "x", rows[i].text);
      ck_assert_msg(strstr(net_error.text, rows[i].other) != NULL, "'%s' lacks '%s'",
                    net_error.text, rows[i].other);
      xai_tensor_free(t);
    }
  for (int m = 0; m < 2; m++)
    expect_refusal(&b.n, (ask){.method = methods[m]}, XAI_E_INPUT, "x", "is missing");
  xai_param named = {.name = "z", .tensor = b.x};
  xai_request r = {.struct_size = sizeof r, .inputs = &named, .n_inputs = 1};
  xai_result *out;
  ck_assert_int_eq(xai_run(b.n.s, &r, &out, &net_error), XAI_E_INPUT);
  ck_assert_str_eq(net_error.where, "z");
  named.name = NULL; /* a single input needs no name */
  ck_assert_int_eq(xai_run(b.n.s, &r, &out, &net_error), XAI_OK);
  xai_result_free(out);
  bed_close(&b);
}
END_TEST

START_TEST(no_items_run_to_none_and_have_no_reason) {
  net n = net_open(models[0].text, 1);
  xai_tensor *none = net_input(&n, 0, 0, 1);
  xai_result *r = explain(&n, (ask){.x = {none}});
  ck_assert_int_eq(count_of(found(r, "output/y")), 0);
  expect_refusal(&n, (ask){"gradient", .x = {none}}, XAI_E_INPUT, "from", "empty");
  xai_result_free(r);
  xai_tensor_free(none);
  net_close(&n);
}
END_TEST

START_TEST(two_inputs_are_told_apart) {
  net n = net_open(model_named("two-inputs")->text, 1);
  xai_tensor *two = net_input(&n, 0, 2, 1), *three = net_input(&n, 1, 3, 2);
  xai_result *out;
  xai_param in[] = {{.tensor = two}, {.tensor = two}};
  xai_request r = {.struct_size = sizeof r, .inputs = in, .n_inputs = 2};
  ck_assert_int_eq(xai_run(n.s, &r, &out, &net_error), XAI_E_INPUT);
  ck_assert(strstr(net_error.text, "name"));
  expect_refusal(&n, (ask){"gradient", .x = {two}}, XAI_E_INPUT, "z", "is missing");
  ck_assert_int_ne(ask_status(&n, (ask){"gradient", .x = {two, three}}, &out, NULL, &net_error), 0);
  in[0].name = "z"; /* in any order */
  in[1].name = "x";
  ck_assert_int_eq(xai_run(n.s, &r, &out, &net_error), XAI_OK);
  xai_result_free(out);
  xai_tensor_free(two);
  xai_tensor_free(three);
  net_close(&n);
}
END_TEST

START_TEST(integers_have_relevance_at_embeddings_only) {
  net n = net_open("opset 13; input ids i64 N,4; input mask i64 N,4; const t 5,3 ~1; output y;"
                   "e = Gather(t, ids); f = Cast(mask) to=1; g = Unsqueeze(f, k);"
                   "const k i64 1 = 2; h = Mul(e, g); y = ReduceSum(h, l) keepdims=0;"
                   "const l i64 2 = 1 2", 1);
  xai_tensor *x[] = {net_input(&n, 0, 2, 1), net_input(&n, 1, 2, 2)};
  const int64_t *shape;
  xai_result *r = explain(&n, (ask){"gradient", .x = {x[0], x[1]}});
  ck_assert_int_eq(xai_tensor_shape(found(r, "relevance/ids"), &shape), 3);
  ck_assert_ptr_null(xai_result_find(r, "relevance/mask"));
  xai_result_free(r);
  r = explain(&n, (ask){"gradient,reduce=sum", .x = {x[0], x[1]}, .at = "ids"});
  ck_assert_int_eq(xai_tensor_shape(found(r, "relevance/ids"), &shape), 2);
  xai_result_free(r);
  expect_refusal(&n, (ask){"gradient", .x = {x[0], x[1]}, .at = "mask"}, A, "mask", "integers");
  expect_refusal(&n, (ask){"gradient", .x = {x[0], x[1]}, .from = "mask"}, A, "from", "integers");
  xai_tensor_free(x[0]);
  xai_tensor_free(x[1]);
  net_close(&n);
}
END_TEST

/* ---- numbers and operators that have no relevance ---- */

START_TEST(what_is_not_finite_is_refused) {
  net n = net_open("opset 13; input x N,2; output y; y = Sqrt(x)", 1);
  xai_tensor *zero = FLOATS(2, 0, 1), *negative = FLOATS(2, -1, 4);
  xai_tensor *first = INTS(1, 0);
  ask a = {"gradient", .x = {zero}, .target = first}; /* the slope at 0 is infinite */
  expect_refusal(&n, a, XAI_E_NUMBER, "x", "not finite");
  a.x[0] = negative;
  expect_refusal(&n, a, XAI_E_NUMBER, "target", "not finite");
  xai_tensor_free(zero);
  xai_tensor_free(negative);
  xai_tensor_free(first);
  net_close(&n);
}
END_TEST

START_TEST(a_contradiction_is_that_of_open_sizes) {
  static const struct {
    const char *text;
    int status;
    const char *said;
  } rows[] = {
      {"opset 13; input x N,S; input z N,T; output y; y = Add(x, z)", XAI_E_INPUT, "where input 'x' is 1x5"},
      {"opset 13; input x 1,5; input z N,T; output y; y = Add(x, z)", XAI_E_INPUT, "where input 'z' is 1x4"},
      {"opset 13; input x 1,5; input z 1,4; output y; y = Add(x, z)", XAI_E_MODEL, "1x5 and 1x4"}};
  xai_tensor *x = tensor_of(XAI_F32, 2, (const int64_t[]){1, 5}, NULL);
  xai_tensor *z = tensor_of(XAI_F32, 2, (const int64_t[]){1, 4}, NULL);
  for (int i = 0; i < 3; i++) {
    net n = net_open(rows[i].text, 1);
    expect_refusal(&n, (ask){.x = {x, z}}, rows[i].status, "n_a", rows[i].said);
    ck_assert_int_eq(net_error.node, 0);
    net_close(&n);
  }
  xai_tensor_free(x);
  xai_tensor_free(z);
}
END_TEST

/* ---- the log ---- */

typedef struct told {
  int lines, layers; /* of level 1, of level 2 */
  char last[256], layer[256];
} told;

static void listen(void *user, int level, const char *text) {
  told *t = user;
  ck_assert(level == 1 || level == 2);
  if (level == 1) t->lines++;
  else t->layers++;
  snprintf(level == 1 ? t->last : t->layer, sizeof t->last, "%s", text);
}

/* One line a graph, a session and a plan: shapes that were seen before are not planned again. One of
 * level 2 a layer. */
START_TEST(the_log_tells_what_is_made) {
  told t = {0};
  xai_options o = {.struct_size = sizeof o, .log = listen, .log_user = &t};
  pb model = model_text("opset 13; input x N,4; output y; y = Relu(x)");
  net n;
  ck_assert_int_eq(xai_graph_parse(model.p, model.n, &o, &n.g, &net_error), XAI_OK);
  pb_free(&model);
  ck_assert_str_eq(t.last, "graph: 1 nodes left of the file's, 1 inputs, 1 outputs");
  ck_assert_int_eq(xai_session_create(n.g, &o, &n.s, &net_error), XAI_OK);
  ck_assert_msg(t.lines == 2 && !strncmp(t.last, "session: ", 9), "%s", t.last);
  static const int items[] = {2, 2, 3, 2}, lines[] = {3, 3, 4, 4};
  for (int i = 0; i < 4; i++) {
    xai_tensor *x = net_input(&n, 0, items[i], 1);
    xai_result_free(explain(&n, (ask){.x = {x}}));
    ck_assert_msg(t.lines == lines[i] && !strncmp(t.last, "plan: 1 nodes, 0 steps back", 27), "%d: %s",
                  t.lines, t.last);
    double us;
    char rest[64] = "";
    ck_assert_int_eq(t.layers, i + 1);
    ck_assert_msg(sscanf(t.layer, "forward %lf us %63[^\n]", &us, rest) == 2, "%s", t.layer);
    ck_assert_msg(us >= 0 && !strncmp(rest, "Relu", 4), "%s", t.layer);
    xai_tensor_free(x);
  }
  net_close(&n);
}
END_TEST

START_TEST(no_relevance_is_defined_through_some_nodes) {
  static const char *const texts[] = {
      "opset 13; input x N,1,3,3; input w 1,1,2,2; output y; y = Conv(x, w)",
      "opset 13; input x 2,3; const w 2,4 ~1; output y; y = Gemm(x, w) transA=1"};
  for (int i = 0; i < 2; i++) {
    net n = net_open(texts[i], 1);
    xai_tensor *x = net_input(&n, 0, 1, 1), *w = i ? NULL : net_input(&n, 1, 1, 2);
    ask a = {"lrp-0", .x = {x, w}};
    expect_refusal(&n, a, XAI_E_UNSUPPORTED, "n_a", "no relevance is defined through node 'n_a'");
    ck_assert_int_eq(net_error.node, 0);
    a.rows = "n_a=gradient"; /* the caller's own choice, where there is a gradient */
    if (i == 1) xai_result_free(explain(&n, a));
    else expect_refusal(&n, a, XAI_E_UNSUPPORTED, "n_a", "no derivative");
    xai_tensor_free(x);
    xai_tensor_free(w);
    net_close(&n);
  }
}
END_TEST

int main(void) {
  Suite *suite = suite_create("requests");
  TCase *tc = tcase_create("requests");
  tcase_add_loop_test(tc, rows_match_as_documented, 0, IF_LRP(1));
  tcase_add_loop_test(tc, rows_come_first, 0, IF_LRP(1));
  tcase_add_loop_test(tc, a_wrong_request_is_refused, 0, REFUSALS);
  tcase_add_test(tc, a_wrong_target_is_refused);
  tcase_add_test(tc, a_wrong_input_is_refused);
  tcase_add_test(tc, no_items_run_to_none_and_have_no_reason);
  tcase_add_test(tc, two_inputs_are_told_apart);
  tcase_add_test(tc, integers_have_relevance_at_embeddings_only);
  tcase_add_test(tc, a_contradiction_is_that_of_open_sizes);
  tcase_add_test(tc, the_log_tells_what_is_made);
  tcase_add_test(tc, what_is_not_finite_is_refused);
  tcase_add_loop_test(tc, no_relevance_is_defined_through_some_nodes, 0, IF_LRP(1));
  suite_add_tcase(suite, tc);
  return run_suite(suite);
}

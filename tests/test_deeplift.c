/* DeepLIFT: sum R = f(x) - f(x0), the paper's examples, its two rules by their definition. */
#include "models.h"
#include "net.h"

static const char *const methods[] = {"deeplift-rescale", "deeplift-revealcancel"};
enum { METHODS = 2 };

/* What models.h lacks. */
static const model_row more[] = {
    {"extrema", 0, 0,
     "opset 13; input x N,3,4,4; const a 4,3,2,2 ~1; const b 4 ~2; const c 4,3 ~3; const k = 0.25;"
     "const q i64 2 = 2 3; output y; g = Conv(x, a, b); h = Max(g, k); i = Min(g, h, k);"
     "j = Relu(g); l = ReduceMax(j) axes=[2]; m = ReduceMin(g) axes=[2]; n = Max(l, m); o = Min(l, n);"
     "r = ReduceSum(o, q) keepdims=0; s = GlobalMaxPool(i); t = Flatten(s); u = Sub(r, t);"
     "y = MatMul(u, c)"},
    {"smooth", 0, 0,
     "opset 13; input x N,6; const a 6,6 ~1; const b 6 ~2; const c 6,3 ~4; const one = 1;"
     "const two = 2; const zero = 0; const few = 0.25; output y;"
     "g = Gemm(x, a, b); h = Softmax(g) axis=1; i = Exp(g);"
     "j = ReduceSum(i, k); const k i64 1 = 1; l = Div(i, j); m = Mul(l, h); n = Gelu(g);"
     "o = Pow(n, two); p = Add(o, one); q = Sqrt(p); r = Reciprocal(q); s = Greater(g, zero);"
     "u = Where(s, g, few); v = ReduceL2(u) axes=[1]; w = Add(v, r); z = Mul(w, m);"
     "aa = ReduceLogSumExp(g) axes=[1]; ab = Add(aa, z); ac = Where(s, g, zero); ad = Add(ab, ac);"
     "ae = LpNormalization(g) axis=1; af = Add(ae, ad); ag = Div(one, p); ah = Add(af, ag);"
     "y = MatMul(ah, c)"},
    {"chain", 0, 0, /* scales and shifts between a sum and its nonlinearity */
     "opset 13; input x N,2,5,5; const a 4,2,3,3 ~1; const s 4 ~2; const t 4 ~3; const m 4 ~4;"
     "const v 4 ~+5; const k = -0.5; const b 4,3,3 ~6; const e 4,3 ~7; output y; g = Conv(x, a);"
     "h = BatchNormalization(g, s, t, m, v); i = Mul(h, k); j = Sub(b, i); r = Relu(j);"
     "l = AveragePool(r) kernel_shape=[2,2]; n = Tanh(l); o = Add(n, n); p = GlobalAveragePool(o);"
     "q = Relu(p); u = Flatten(q); y = MatMul(u, e)"},
};
enum { MORE = sizeof more / sizeof *more };

static const model_row *row(int i) { return i < MODELS ? &models[i] : &more[i - MODELS]; }

static bool has_floats(const net *n) { return n->g->values[n->g->inputs[0]].dtype == XAI_F32; }

static xai_tensor *filled(const xai_tensor *x, float v) {
  xai_tensor *t = like(x, floats(x));
  for (int64_t i = 0; i < count_of(t); i++) writable(t)[i] = v;
  return t;
}

/* ---- completeness ---- */

enum { ITEMS = 3, TARGETS = 2 };

static void expect_complete(const model_row *m, const char *method, float baseline) {
  if (!strcmp(m->name, "compared")) return; /* what a comparison changes has no multiplier */
  net n = net_open(m->text, 1);
  xai_tensor *target = INTS(TARGETS, 1, 2), *x[2] = {NULL, NULL}, *x0[2] = {NULL, NULL};
  char text[96], name[80];
  for (int k = 0; k < n.g->n_inputs; k++) {
    x[k] = net_input(&n, k, ITEMS, 50 + (uint64_t)k);
    x0[k] = filled(x[k], baseline);
  }
  snprintf(text, sizeof text, "%s,baseline=%g", method, (double)baseline);
  xai_result *r = explain(&n, (ask){.method = text, .x = {x[0], x[1]}, .target = target});
  xai_result *base = explain(&n, (ask){"gradient", .x = {x0[0], x0[1]}, .target = target});
  const float *f = values(r, "f", NULL), *f0 = values(base, "f", NULL);
  const float *gap = values(r, "gap", NULL);
  for (int i = 0; i < TARGETS * ITEMS; i++) {
    double sum = 0, change = (double)f[i] - (double)f0[i];
    for (int k = 0; k < n.g->n_inputs; k++) {
      int64_t size;
      snprintf(name, sizeof name, "relevance/%s", n.g->values[n.g->inputs[k]].name);
      const float *R = values(r, name, &size);
      size /= TARGETS * ITEMS;
      sum += sum_of(R + i * size, size);
    }
    double room = 1e-4 * fabs(change) + 1e-6 * (fabs((double)f[i]) + fabs((double)f0[i]));
    ck_assert_msg(fabs(sum - change) <= room, "%s %s: sum R = %.9g, f - f0 = %.9g", m->name, text,
                  sum, change);
    ck_assert_double_eq_tol((double)gap[i], change - sum, 1e-6 * fabs((double)f[i]) + 1e-6);
  }
  xai_result_free(r);
  xai_result_free(base);
  xai_tensor_free(target);
  for (int k = 0; k < 2; k++) {
    xai_tensor_free(x[k]);
    xai_tensor_free(x0[k]);
  }
  net_close(&n);
}

START_TEST(sums_to_the_difference) {
  const model_row *m = row(_i);
  net n = net_open(m->text, 1);
  bool explainable = has_floats(&n);
  net_close(&n);
  for (int k = 0; k < METHODS && explainable; k++) {
    expect_complete(m, methods[k], 0);
    expect_complete(m, methods[k], 0.375f);
    expect_complete(m, methods[k], -2);
  }
}
END_TEST

START_TEST(log_probability) {
  net n = net_open(model_named("classifier")->text, 1);
  xai_tensor *x = net_input(&n, 0, 1, 3), *x0 = filled(x, 0), *target = INTS(1, 2);
  for (int k = 0; k < METHODS; k++) {
    char text[64];
    int64_t count;
    snprintf(text, sizeof text, "%s,output=log-prob", methods[k]);
    ask a = {.method = "gradient,output=log-prob", .x = {x0}, .target = target};
    xai_result *base = explain(&n, a);
    a.method = text;
    a.x[0] = x;
    xai_result *r = explain(&n, a);
    const float *R = values(r, "relevance/x", &count);
    double change = (double)*values(r, "f", NULL) - (double)*values(base, "f", NULL);
    ck_assert_double_eq_tol(sum_of(R, count), change, 1e-5);
    xai_result_free(r);
    xai_result_free(base);
  }
  xai_tensor_free(x);
  xai_tensor_free(x0);
  xai_tensor_free(target);
  net_close(&n);
}
END_TEST

/* ---- known values ---- */

#define MIN_OF_TWO /* x1 - relu(x1 - x2) [section 3.5.2 of the paper] */ \
  "opset 13; input x N,2; const a 2,1 = 1 -1; const b 2,1 = 1 0; output y;" \
  "h = MatMul(x, a); r = Relu(h); i = MatMul(x, b); y = Sub(i, r)"
#define MIN_BY_SUB \
  "opset 13; input x N,2; output y; g, h = Split(x) axis=1; i = Sub(g, h); r = Relu(i);" \
  "y = Sub(g, r)"
#define REDUCE(which) \
  "opset 13; input x N,2; output y; y = Reduce" which "(x) axes=[1] keepdims=1"
#define MAX_OF_TWO /* METHODS section 7 */ \
  "opset 13; input x N,2; const a 2,3 = 1 -1 1 -1 1 1; const b 3,1 = 0.5; output y;" \
  "h = MatMul(x, a); r = Relu(h); y = MatMul(r, b)"

static const struct known {
  const char *text, *baseline;
  float x[2], rescale[2], reveal[2];
} known[] = {
    {MIN_OF_TWO, "0", {3, 2}, {0, 2}, {1, 1}},
    {MIN_OF_TWO, "0", {2, 3}, {2, 0}, {1, 1}},
    {MIN_OF_TWO, "1", {4, 3}, {0, 2}, {1, 1}},
    {MIN_OF_TWO, "0", {2, 2}, {2, 0}, {1, 1}}, /* no difference: relu'(0) = 0 */
    {MIN_BY_SUB, "0", {3, 2}, {0, 2}, {1, 1}},
    {MIN_BY_SUB, "0", {2, 3}, {2, 0}, {1, 1}},
    {MAX_OF_TWO, "0", {3, 1}, {3, 0}, {2.5f, 0.5f}},
    {MAX_OF_TWO, "0", {1, 3}, {0, 3}, {0.5f, 2.5f}},
    {MAX_OF_TWO, "2", {2, 2}, {0, 0}, {0, 0}},
    /* the winner at x takes a rise, the winner at x0 a fall */
    {REDUCE("Max"), "2", {5, 3}, {3, 0}, {3, 0}},
    {REDUCE("Max"), "2", {-1, 1}, {-1, 0}, {-1, 0}},
    {REDUCE("Min"), "2", {5, 3}, {1, 0}, {1, 0}},
    {REDUCE("Min"), "2", {-1, 1}, {-3, 0}, {-3, 0}},
    /* a product: the mean of the other factor */
    {"opset 13; input x N,2; output y; g, h = Split(x) axis=1; y = Mul(g, h)",
     "1", {3, 5}, {6, 8}, {6, 8}},
};
enum { KNOWN = sizeof known / sizeof *known };

START_TEST(known_values) {
  const struct known *k = &known[_i];
  net n = net_open(k->text, 1);
  xai_tensor *x = FLOATS(2, k->x[0], k->x[1]);
  for (int m = 0; m < METHODS; m++) {
    char text[64];
    snprintf(text, sizeof text, "%s,baseline=%s", methods[m], k->baseline);
    float *R = relevance(&n, (ask){text, .x = {x}}, NULL);
    expect_near(text, R, m ? k->reveal : k->rescale, 2, 1e-6);
    free(R);
  }
  xai_tensor_free(x);
  net_close(&n);
}
END_TEST

static double relu(double v) { return v > 0 ? v : 0; }

/* RevealCancel on y = relu(x a + b) c + d for one item and target, term by term. */
static void reveal_by_hand(const float *x, const float *x0, const float *a, const float *b,
                           const float *c, double *R) {
  enum { IN = 6, HIDDEN = 9 };
  for (int i = 0; i < IN; i++) R[i] = 0;
  for (int h = 0; h < HIDDEN; h++) {
    double z0 = (double)b[h], up = 0, down = 0;
    for (int i = 0; i < IN; i++) {
      double w = (double)a[i * HIDDEN + h], term = w * ((double)x[i] - (double)x0[i]);
      z0 += w * (double)x0[i];
      *(term > 0 ? &up : &down) += term;
    }
    double z = z0 + up + down;
    double rise = 0.5 * (relu(z0 + up) - relu(z0) + relu(z) - relu(z0 + down));
    double fall = 0.5 * (relu(z0 + down) - relu(z0) + relu(z) - relu(z0 + up));
    for (int i = 0; i < IN; i++) {
      double term = (double)a[i * HIDDEN + h] * ((double)x[i] - (double)x0[i]);
      if (term != 0) R[i] += (double)c[h] * term * (term > 0 ? rise / up : fall / down);
    }
  }
}

START_TEST(reveal_cancel_by_definition) {
  net n = net_open(model_named("mlp")->text, 1);
  const float *w[3];
  const char *const names[] = {"a", "b", "c"};
  for (int i = 0; i < 3; i++) w[i] = xai__f(&n.g->values[xai__graph_find(n.g, names[i])].constant);
  xai_tensor *x = net_input(&n, 0, 5, 8), *x0 = net_input(&n, 0, 5, 9), *target = INTS(1, 2);
  xai_param base = {"baseline", x0, NULL, 0};
  int64_t count;
  ask a = {"deeplift-revealcancel", .x = {x}, .target = target, .more = &base, .n_more = 1};
  float *R = relevance(&n, a, &count);
  for (int item = 0; item < 5; item++) {
    double expected[6];
    const float *v = floats(x) + item * 6, *v0 = floats(x0) + item * 6;
    reveal_by_hand(v, v0, w[0], w[1], w[2] + 2 * 9, expected);
    for (int i = 0; i < 6; i++) ck_assert_double_eq_tol((double)R[item * 6 + i], expected[i], 2e-6);
  }
  free(R);
  xai_tensor_free(x);
  xai_tensor_free(x0);
  xai_tensor_free(target);
  net_close(&n);
}
END_TEST

/* ---- agreements ---- */

START_TEST(linear_network_is_gradient_times_difference) {
  net n = net_open("opset 13; input x N,2,6,6; const a 3,2,3,3 ~1; const b 3 ~2; const c 12,4 ~3;"
                   "output y; h = Conv(x, a, b);"
                   "p = AveragePool(h) kernel_shape=[2,2] strides=[2,2]; f = Flatten(p); y = MatMul(f, c)", 1);
  xai_tensor *x = net_input(&n, 0, 2, 5);
  for (int m = 0; m < METHODS; m++) {
    char text[64];
    snprintf(text, sizeof text, "%s,baseline=0.5", methods[m]);
    ask gradient = {"gradient-x-input,root=0.5", .x = {x}};
    expect_same("linear", &n, (ask){text, .x = {x}}, &n, gradient, 1e-6);
  }
  xai_tensor_free(x);
  net_close(&n);
}
END_TEST

/* What stands between a sum and its nonlinearity counts as part of the sum. */
START_TEST(scales_and_shifts_belong_to_the_sum) {
  net whole = net_open("opset 13; input x N,3; const a 3,4 = 2 -1 -1 4 3 -2 -5 1 6 -3 2 -2;"
                       "const b 4 = 1 0 -1 2; const c 4,2 ~1; output y;"
                       "h = Gemm(x, a, b); r = Relu(h); y = MatMul(r, c)", 1);
  net split = net_open("opset 13; input x N,3; const k = -2;"
                       "const a 3,4 = -1 0.5 0.5 -2 -1.5 1 2.5 -0.5 -3 1.5 -1 1;"
                       "const b 4 = 1 0 -1 2; const c 4,2 ~1; output y;"
                       "h = MatMul(x, a); i = Mul(k, h); j = Add(i, b); r = Relu(j);"
                       "y = MatMul(r, c)", 1);
  xai_tensor *x = net_input(&whole, 0, 4, 6);
  ask a = {"deeplift-revealcancel,baseline=0.25", .x = {x}};
  expect_same("scaled", &whole, a, &split, a, 1e-6);
  xai_tensor_free(x);
  net_close(&whole);
  net_close(&split);
}
END_TEST

/* The same bits for an item alone, a target alone, and any number of threads. */
START_TEST(batch_is_singles) {
  const model_row *m = row(_i);
  net n = net_open(m->text, 1), other = net_open(m->text, 3);
  xai_tensor *x[2] = {NULL, NULL}, *one[2] = {NULL, NULL};
  xai_tensor *targets = INTS(2, 0, 2), *target = INTS(1, 2);
  for (int k = 0; k < n.g->n_inputs; k++) x[k] = net_input(&n, k, ITEMS, 70 + (uint64_t)k);
  for (int method = 0; method < METHODS && has_floats(&n); method++) {
    int64_t count, part;
    ask a = {methods[method], .x = {x[0], x[1]}, .target = targets};
    float *all = relevance(&n, a, &count), *threads = relevance(&other, a, NULL);
    ck_assert_mem_eq(all, threads, (size_t)count * sizeof *all);
    free(threads);
    for (int item = 0; item < ITEMS; item++) {
      for (int k = 0; k < n.g->n_inputs; k++) {
        one[k] = net_input(&n, k, 1, 0);
        int64_t size = count_of(one[k]);
        memcpy(writable(one[k]), floats(x[k]) + item * size, (size_t)size * sizeof(float));
      }
      a = (ask){methods[method], .x = {one[0], one[1]}, .target = target};
      float *alone = relevance(&n, a, &part);
      const float *same = all + count / 2 + item * part;
      ck_assert_msg(!memcmp(alone, same, (size_t)part * sizeof *alone), "%s %s: item %d", m->name,
                    methods[method], item);
      free(alone);
      for (int k = 0; k < 2; k++) xai_tensor_free(one[k]);
      one[0] = one[1] = NULL;
    }
    free(all);
  }
  for (int k = 0; k < 2; k++) xai_tensor_free(x[k]);
  xai_tensor_free(targets);
  xai_tensor_free(target);
  net_close(&n);
  net_close(&other);
}
END_TEST

START_TEST(baselines) {
  net n = net_open(model_named("conv")->text, 1);
  xai_tensor *x = net_input(&n, 0, 2, 4), *half = filled(x, 0.5f), *same = like(x, floats(x));
  xai_tensor *item = net_input(&n, 0, 1, 4), *wrong = FLOATS(5, 1, 2, 3, 4, 5);
  for (int i = 0; i < count_of(item); i++) writable(item)[i] = 0.5f;
  for (int m = 0; m < METHODS; m++) {
    char text[64];
    snprintf(text, sizeof text, "%s,baseline=0.5", methods[m]);
    const xai_tensor *alike[] = {half, item};
    for (int i = 0; i < 2; i++) {
      xai_param p = {"baseline", alike[i], NULL, 0};
      ask a = {methods[m], .x = {x}, .more = &p, .n_more = 1};
      expect_same("tensor", &n, (ask){text, .x = {x}}, &n, a, 0);
    }
    int64_t count;
    xai_param p = {"baseline", same, NULL, 0}, q = {"baseline", wrong, NULL, 0};
    ask a = {methods[m], .x = {x}, .more = &p, .n_more = 1};
    float *R = relevance(&n, a, &count);
    for (int64_t i = 0; i < count; i++)
      ck_assert_msg(R[i] == 0, "x = x0, but R = %g", (double)R[i]);
    free(R);
    xai_result *r;
    xai_error err;
    a.more = &q;
    ck_assert_int_eq(ask_status(&n, a, &r, NULL, &err), XAI_E_ARGUMENT);
    ck_assert_str_eq(err.where, "baseline");
    ck_assert_msg(strstr(err.text, "1x5") && strstr(err.text, "2x2x9x8"), "%s", err.text);
  }
  xai_tensor *const all[] = {x, half, same, item, wrong};
  for (int i = 0; i < 5; i++) xai_tensor_free(all[i]);
  net_close(&n);
}
END_TEST

/* ---- requests ---- */

static int stop_late(void *user, const char *stage, double done, double left) {
  (void)stage, (void)left;
  int *calls = user;
  ++*calls;
  return done > 0.6;
}

START_TEST(requests) {
  net n = net_open(model_named("two-inputs")->text, 1);
  net ids = net_open(model_named("embedding")->text, 1);
  xai_tensor *x = net_input(&n, 0, 2, 1), *z = net_input(&n, 1, 2, 2);
  xai_tensor *tokens = net_input(&ids, 0, 2, 3), *seed = FLOATS(3, 0, 1, 0), *target = INTS(1, 1);
  for (int m = 0; m < METHODS; m++) {
    xai_result *r;
    xai_error err;
    int calls = 0;
    ask a = {methods[m], .x = {x, z}, .progress = stop_late, .user = &calls};
    ck_assert_int_eq(ask_status(&n, a, &r, NULL, &err), XAI_E_CANCELLED);
    ck_assert_int_gt(calls, 4);
    a = (ask){methods[m], .x = {tokens}};
    ck_assert_int_eq(ask_status(&ids, a, &r, NULL, &err), XAI_E_UNSUPPORTED);
    ck_assert_msg(strstr(err.text, "float inputs only") != NULL, "%s", err.text);
    a = (ask){methods[m], .at = "h", .x = {x, z}};
    ck_assert_int_eq(ask_status(&n, a, &r, NULL, &err), XAI_E_UNSUPPORTED);
    a.at = "x"; /* the other input moves, too: R does not depend on who asks */
    expect_same("one of two", &n, a, &n, (ask){methods[m], .x = {x, z}}, 0);
    a.at = NULL;
    a.seed = seed;
    expect_same("seed", &n, a, &n, (ask){methods[m], .x = {x, z}, .target = target}, 0);
  }
  xai_tensor *const all[] = {x, z, tokens, seed, target};
  for (int i = 0; i < 5; i++) xai_tensor_free(all[i]);
  net_close(&n);
  net_close(&ids);
}
END_TEST

int main(void) {
  Suite *s = suite_create("deeplift");
  TCase *c = tcase_create("deeplift");
  tcase_add_loop_test(c, sums_to_the_difference, 0, MODELS + MORE);
  tcase_add_test(c, log_probability);
  tcase_add_loop_test(c, known_values, 0, KNOWN);
  tcase_add_test(c, reveal_cancel_by_definition);
  tcase_add_test(c, linear_network_is_gradient_times_difference);
  tcase_add_test(c, scales_and_shifts_belong_to_the_sum);
  tcase_add_loop_test(c, batch_is_singles, 0, MODELS + MORE);
  tcase_add_test(c, baselines);
  tcase_add_test(c, requests);
  suite_add_tcase(s, c);
  return run_suite(s);
}

/* What is explained: outputs, targets, seeds, where relevance is read [METHODS section 0]. */
#include "models.h"
#include "net.h"

#define SMOOTH \
  "opset 13; input x N,4; const a 4,6 ~1; const b 6 ~2; const c 6,5 ~3; const d 5 ~4; output y;" \
  "g = Gemm(x, a, b); h = Tanh(g); m = Gemm(h, c, d); "
#define MAP \
  "opset 13; input x N,2,3,2; const a 4,2,1,1 ~1; const b 3,4,2,1 ~2; const c 3 ~3; output y;" \
  "g = Conv(x, a); h = Tanh(g); m = Conv(h, b, c); "

/* Networks whose logits are m; `axis` is that of the classes. */
static const struct smooth {
  const char *text;
  int axis;
} smooth[] = {
    {SMOOTH "y = Softmax(m)", 1},
    {SMOOTH "y = LogSoftmax(m) axis=-1", 1},
    {SMOOTH "y = Sigmoid(m)", 1},
    {SMOOTH "s = Softmax(m); r = Reshape(s, k); const k i64 3 = 0 5 1; y = Squeeze(r, l);"
            "const l i64 1 = 2", 1},
    {SMOOTH "e = Exp(m); s = ReduceSum(e, k); const k i64 1 = -1; y = Div(e, s)", 1},
    {MAP "y = Softmax(m) axis=1", 1},
    {MAP "t = Transpose(m) perm=[0,2,3,1]; y = Softmax(t) axis=-1", 3},
};
enum { SMOOTHS = sizeof smooth / sizeof *smooth };

static const char *const outputs[] = {"gradient,output=logit", "gradient,output=final",
                                      "gradient,output=log-prob"};

/* f of every item, for target c. */
static double value_of(const net *n, const char *method, const xai_tensor *x, const xai_tensor *c,
                       int64_t item) {
  xai_result *r = explain(n, (ask){method, .x = {x}, .target = c});
  double f = (double)values(r, "f", NULL)[item];
  xai_result_free(r);
  return f;
}

/* The tensor that a run answers, as doubles; *n elements. */
static double *run_values(const net *n, const char *at, const xai_tensor *x, int64_t *count) {
  char name[64];
  xai_result *r = explain(n, (ask){.at = at, .x = {x}});
  snprintf(name, sizeof name, "output/%s", at);
  const float *v = values(r, name, count);
  double *copy = malloc((size_t)*count * sizeof *copy);
  for (int64_t i = 0; i < *count; i++) copy[i] = (double)v[i];
  xai_result_free(r);
  return copy;
}

/* Elements of an item, classes, and elements behind a class, of the smooth networks' logits. */
typedef struct classes {
  int64_t size, n, inner;
} classes;

static classes classes_of(const struct smooth *s) {
  if (strncmp(s->text, MAP, 40)) return (classes){5, 5, 1};
  return s->axis == 1 ? (classes){12, 3, 4} : (classes){12, 3, 1};
}

/* The i-th class at the position of element c of an item. */
static int64_t class_at(classes k, int64_t c, int64_t i) {
  return c / (k.n * k.inner) * k.n * k.inner + i * k.inner + c % k.inner;
}

static double log_sum_exp(const double *m, classes k, int64_t c) {
  double sum = 0;
  for (int64_t i = 0; i < k.n; i++) sum += exp(m[class_at(k, c, i)]);
  return log(sum);
}

static const char *logits(const struct smooth *s) { return s->axis == 3 ? "t" : "m"; }

START_TEST(gradients_are_differences) {
  const struct smooth *s = &smooth[_i];
  classes k = classes_of(s);
  net n = net_open(s->text, 1);
  xai_tensor *x = net_input(&n, 0, 2, 5), *target = INTS(1, k.size - 2);
  int64_t n_m, n_y, n_x = count_of(x) / 2, c = k.size - 2;
  double *m = run_values(&n, logits(s), x, &n_m), *y = run_values(&n, "y", x, &n_y);
  for (int i = 0; i < 3; i++) {
    float *g = relevance(&n, (ask){outputs[i], .x = {x}, .target = target}, NULL);
    double top = largest(g, 2 * n_x);
    for (int64_t item = 0; item < 2; item++) {
      const double *logit = m + item * k.size;
      double f = value_of(&n, outputs[i], x, target, item);
      double want[] = {logit[c], y[item * k.size + c], logit[c] - log_sum_exp(logit, k, c)};
      ck_assert_msg(fabs(f - want[i]) < 1e-5, "%s %s: f is %g, not %g", s->text, outputs[i], f,
                    want[i]);
    }
    for (int64_t e = 0; e < 2 * n_x; e++) {
      const float h = 1.0f / 64, old = writable(x)[e];
      writable(x)[e] = old + h;
      double up = value_of(&n, outputs[i], x, target, e / n_x);
      writable(x)[e] = old - h;
      double down = value_of(&n, outputs[i], x, target, e / n_x);
      writable(x)[e] = old;
      double slope = (up - down) / (2 * (double)h);
      ck_assert_msg(fabs((double)g[e] - slope) <= 2e-3 * top, "%s\n%s: element %lld is %g, not %g",
                    s->text, outputs[i], (long long)e, (double)g[e], slope);
    }
    free(g);
  }
  free(m);
  free(y);
  xai_tensor_free(target);
  xai_tensor_free(x);
  net_close(&n);
}
END_TEST

/* ---- seeds: the relevance of the explained tensor itself ---- */

static double seed_value(const char *seed, const double *m, classes k, int64_t c, int64_t e) {
  double p = exp(m[e] - log_sum_exp(m, k, c));
  bool same = class_at(k, c, 0) == class_at(k, e, 0); /* at the target's position */
  if (!strcmp(seed, "log-prob")) return same ? ((e == c) - p) * m[e] : 0;
  if (!strcmp(seed, "gradient log-prob")) return same ? (e == c) - p : 0;
  if (!strcmp(seed, "contrast") && same && e != c) return -m[e] / (double)(k.n - 1);
  return e == c ? (strcmp(seed, "one") ? m[e] : 1) : 0;
}

START_TEST(the_seed_is_as_asked) {
  static const struct {
    const char *method, *seed;
  } rows[] = {{"gradient", "one"},
              {"gradient,seed=one,bias=zero", "one"},
              {"gradient,output=log-prob", "gradient log-prob"},
              {"lrp-0", "value"},
              {"lrp-0,seed=value", "value"},
              {"lrp-0,seed=one", "one"},
              {"lrp-0,seed=contrast", "contrast"},
              {"lrp-0,output=log-prob", "log-prob"},
              {"excitation-backprop", "one"},
              {"excitation-backprop,seed=value", "value"},
              {"deep-taylor,seed=one", "one"}};
  const struct smooth *s = &smooth[_i];
  classes k = classes_of(s);
  net n = net_open(s->text, 1);
  xai_tensor *x = net_input(&n, 0, 2, 5);
  int64_t n_m;
  double *m = run_values(&n, logits(s), x, &n_m);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    if (!XAI_LRP && strncmp(rows[i].method, "gradient", 8)) continue;
    char name[32];
    snprintf(name, sizeof name, "relevance/%s", logits(s));
    xai_result *r = explain(&n, (ask){rows[i].method, .x = {x}, .at = logits(s), .top = 2});
    const float *R = values(r, name, NULL);
    const int64_t *c = xai_tensor_data(found(r, "target"));
    for (int64_t e = 0; e < 2 * n_m; e++) {
      int64_t item = e / k.size; /* [target][item] */
      double want = seed_value(rows[i].seed, m + item % 2 * k.size, k, c[item], e % k.size);
      ck_assert_msg(fabs((double)R[e] - want) < 1e-5, "%s\n%s: element %lld is %g, not %g", s->text,
                    rows[i].method, (long long)e, (double)R[e], want);
    }
    xai_result_free(r);
  }
  free(m);
  xai_tensor_free(x);
  net_close(&n);
}
END_TEST

/* ---- which elements ---- */

START_TEST(targets_are_as_asked) {
  net n = net_open(SMOOTH "y = Softmax(m)", 1);
  xai_tensor *x = net_input(&n, 0, 3, 7);
  int64_t n_m;
  double *m = run_values(&n, "m", x, &n_m);
  xai_tensor *two = INTS(2, 3, -1), *zero = INTS(1, 0);
  xai_tensor *each =
      tensor_of(XAI_I64, 2, (const int64_t[]){2, 3}, (const int64_t[]){4, 3, 2, -1, 0, -1});
  int64_t best[3] = {0}, second[3];
  for (int i = 0; i < 3; i++) {
    for (int c = 0; c < 5; c++)
      if (m[5 * i + c] > m[5 * i + best[i]]) best[i] = c;
    second[i] = best[i] ? 0 : 1;
    for (int c = 0; c < 5; c++)
      if (c != best[i] && m[5 * i + c] > m[5 * i + second[i]]) second[i] = c;
  }
  const struct {
    ask a;
    int64_t want[6], n;
  } rows[] = {
      {{"gradient", .x = {x}}, {best[0], best[1], best[2]}, 1},
      {{"gradient", .x = {x}, .top = 2},
       {best[0], best[1], best[2], second[0], second[1], second[2]}, 2},
      {{"gradient", .x = {x}, .target = zero}, {0, 0, 0}, 1},
      {{"gradient", .x = {x}, .target = two}, {3, 3, 3, best[0], best[1], best[2]}, 2},
      {{"gradient", .x = {x}, .target = each}, {4, 3, 2, best[0], 0, best[2]}, 2},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    xai_result *r = explain(&n, rows[i].a);
    const int64_t *shape, *got = xai_tensor_data(found(r, "target"));
    ck_assert_int_eq(xai_tensor_shape(found(r, "target"), &shape), 2);
    ck_assert(shape[0] == rows[i].n && shape[1] == 3);
    const float *f = values(r, "f", NULL);
    for (int64_t e = 0; e < 3 * rows[i].n; e++) {
      ck_assert_int_eq(got[e], rows[i].want[e]);
      ck_assert(fabs((double)f[e] - m[5 * (e % 3) + got[e]]) < 1e-6);
    }
    int rank = xai_tensor_shape(found(r, "relevance/x"), &shape);
    ck_assert_int_eq(rank, rows[i].n > 1 ? 3 : 2);
    if (rank == 3) ck_assert_int_eq(shape[0], rows[i].n);
    xai_result_free(r);
  }
  free(m);
  xai_tensor *mine[] = {x, two, zero, each};
  for (int i = 0; i < 4; i++) xai_tensor_free(mine[i]);
  net_close(&n);
}
END_TEST

START_TEST(the_first_of_equals_is_the_largest) {
  net n = net_open("opset 13; input x N,4; output y; y = Relu(x)", 1);
  xai_tensor *x = FLOATS(4, 1, 3, 3, 2), *best = INTS(1, -1);
  const ask rows[] = {{"gradient", .x = {x}}, {"gradient", .x = {x}, .top = 3},
                      {"gradient", .x = {x}, .target = best}};
  const int64_t want[] = {1, 2, 3};
  for (int i = 0; i < 3; i++) {
    xai_result *r = explain(&n, rows[i]);
    const xai_tensor *target = found(r, "target");
    for (int64_t k = 0; k < count_of(target); k++)
      ck_assert_int_eq(((const int64_t *)xai_tensor_data(target))[k], want[k]);
    xai_result_free(r);
  }
  xai_tensor_free(x);
  xai_tensor_free(best);
  net_close(&n);
}
END_TEST

/* A weight per element: the explanation of the weighted sum. */
START_TEST(a_mask_weighs_the_targets) {
  net n = net_open(SMOOTH "y = Softmax(m)", 1);
  xai_tensor *x = net_input(&n, 0, 2, 7), *three = INTS(1, 3), *one = INTS(1, 1);
  xai_tensor *mask = tensor_of(XAI_F32, 2, (const int64_t[]){2, 5},
                               (const float[]){0, 0, 0, 1, 0, 0, 2, 0, -0.5f, 0});
  static const char *const methods[] = {"gradient", "gradient-x-input", "lrp-0", "lrp-0,seed=one"};
  for (int i = 0; i < (XAI_LRP ? 4 : 2); i++) {
    int64_t count;
    float *a = relevance(&n, (ask){methods[i], .x = {x}, .target = three}, &count);
    float *b = relevance(&n, (ask){methods[i], .x = {x}, .target = one}, NULL);
    float *both = relevance(&n, (ask){methods[i], .x = {x}, .target = mask}, NULL);
    float want[16];
    for (int64_t k = 0; k < count; k++) want[k] = 2 * b[k] - a[k] / 2;
    expect_near(methods[i], both, a, count, 1e-6);
    expect_near(methods[i], both + count, want, count, 1e-5);
    free(a);
    free(b);
    free(both);
  }
  xai_tensor_free(mask);
  xai_tensor_free(three);
  xai_tensor_free(one);
  xai_tensor_free(x);
  net_close(&n);
}
END_TEST

/* ---- from and at ---- */

START_TEST(inner_tensors_are_explained_and_answered) {
  net n = net_open("opset 13; input x N,2; const w 2,2 = 1 2 -1 1; const u 2,2 = 1 0 3 1; output y;"
                   "h = MatMul(x, w); r = Relu(h); m = MatMul(r, u); y = Softmax(m)", 1);
  xai_tensor *x = FLOATS(2, 3, 1), *one = INTS(1, 1); /* h = 2 7; m = 23 7 */
  static const struct {
    const char *method, *from, *at;
    int64_t n;
    float want[4];
  } rows[] = {
      {"gradient", "h", "x", 2, {2, 1}},        {"gradient", "m", "x", 2, {2, 1}},
      {"gradient", NULL, "h", 2, {0, 1}},       {"gradient-x-input", NULL, "r", 2, {0, 7}},
      {"gradient-x-input", "r", "x", 2, {6, 1}}, {"gradient", "r", "r", 2, {0, 1}},
      {"lrp-0", NULL, "r,x", 2, {0, 7}},        {"lrp-0", "h", "h,x", 2, {0, 7}},
      {"gradient", "h", "m", 2, {0, 0}}, /* m comes after h */
      {"gradient-x-input,reduce=sum", NULL, "x", 1, {7}},
      {"lrp-0,reduce=sum", NULL, "r", 1, {7}},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    if (!XAI_LRP && !strncmp(rows[i].method, "lrp", 3)) continue;
    xai_result *r = explain(&n, (ask){rows[i].method, .x = {x}, .from = rows[i].from,
                                      .at = rows[i].at, .target = one});
    char name[32];
    int64_t count;
    snprintf(name, sizeof name, "relevance/%.1s", rows[i].at);
    const float *R = values(r, name, &count);
    ck_assert_msg(count == rows[i].n, "row %zu: %lld elements", i, (long long)count);
    expect_near(rows[i].method, R, rows[i].want, count, 1e-6);
    xai_result_free(r);
  }
  xai_tensor_free(x);
  xai_tensor_free(one);
  net_close(&n);
}
END_TEST

START_TEST(a_root_is_subtracted) {
  net n = net_open("opset 13; input x N,2,2; output y; const k i64 2 = 1 2; s = Mul(x, x);"
                   "y = ReduceSum(s, k) keepdims=0", 1);
  const int64_t shape[] = {1, 2, 2};
  const float data[] = {1, 2, 3, 4}, want[][4] = {{0, 4, 12, 24}, {0, 4, 6, 16}, {0, 4, 12, 0}};
  xai_tensor *x = tensor_of(XAI_F32, 3, shape, data);
  xai_tensor *channel = tensor_of(XAI_F32, 1, shape + 1, (const float[]){1, 2});
  xai_tensor *whole = tensor_of(XAI_F32, 3, shape, (const float[]){1, 1, 1, 4});
  const xai_param root[] = {
      {"root", NULL, NULL, 1}, {"root", channel, NULL, 0}, {"root", whole, NULL, 0}};
  for (int i = 0; i < 3; i++) {
    ask a = {"gradient-x-input", .x = {x}, .more = &root[i], .n_more = 1};
    float *R = relevance(&n, a, NULL);
    expect_near("root", R, want[i], 4, 1e-6);
    free(R);
  }
  xai_tensor_free(x);
  xai_tensor_free(channel);
  xai_tensor_free(whole);
  net_close(&n);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("targets");
  TCase *tc = tcase_create("targets");
  tcase_add_loop_test(tc, gradients_are_differences, 0, SMOOTHS);
  tcase_add_loop_test(tc, the_seed_is_as_asked, 0, SMOOTHS);
  tcase_add_test(tc, targets_are_as_asked);
  tcase_add_test(tc, the_first_of_equals_is_the_largest);
  tcase_add_test(tc, a_mask_weighs_the_targets);
  tcase_add_test(tc, inner_tensors_are_explained_and_answered);
  tcase_add_test(tc, a_root_is_subtracted);
  suite_add_tcase(suite, tc);
  return run_suite(suite);
}

/* Every prior: its gradient is that of its log density, its tensors come back, bad ones are
 * refused. Loops over prior_cases.h; each kind's own equations are in test_prior_*.c. */
#include "prior_cases.h"

START_TEST(every_kind_has_a_case) {
  const char *name, *schema;
  for (size_t i = 0; !xai_catalog(XAI_PRIOR, i, &name, &schema); i++) {
    bool has = false;
    for (int k = 0; k < PRIOR_CASES; k++) has |= !strcmp(prior_cases[k].kind, name);
    ck_assert_msg(has, "prior '%s' has no case", name);
  }
}
END_TEST

/* Central differences in float32 x, log p in double. */
static void expect_gradient(const char *what, const xai_prior *p, const xai_tensor *x) {
  const double step = 1e-3;
  xai_result *r = logp_of(p, x, 1);
  const int64_t n = count_of(x), batch = count_of(found(r, "logp"));
  const float *g = values(r, "gradient", NULL);
  const double size = largest(g, n) + 1e-3;
  for (int64_t i = 0; i < n; i++) {
    double logp[2];
    for (int side = 0; side < 2; side++) {
      xai_tensor *moved = like(x, floats(x));
      writable(moved)[i] += (float)(side ? step : -step);
      xai_result *at = logp_of(p, moved, 1);
      logp[side] = doubles(at, "logp")[i / (n / batch)];
      xai_result_free(at);
      xai_tensor_free(moved);
    }
    const double want = (logp[1] - logp[0]) / (2 * step);
    ck_assert_msg(fabs((double)g[i] - want) < 2e-3 * size, "%s: gradient %lld is %.9g, not %.9g",
                  what, (long long)i, (double)g[i], want);
  }
  xai_result_free(r);
}

START_TEST(the_gradient_is_that_of_log_p) {
  const prior_case *c = &prior_cases[_i];
  xai_prior *p = prior_of(c);
  xai_tensor *x = prior_x(c);
  expect_gradient(c->name, p, x);
  xai_tensor_free(x);
  xai_prior_free(p);
}
END_TEST

/* Items do not see each other, and threads change no bit. */
START_TEST(threads_change_nothing) {
  const prior_case *c = &prior_cases[_i];
  xai_prior *p = prior_of(c);
  xai_tensor *x = prior_x(c);
  xai_result *one = logp_of(p, x, 1);
  for (int threads = 2; threads < 5; threads++) {
    xai_result *r = logp_of(p, x, threads);
    expect_same_result(c->name, r, one);
    xai_result_free(r);
  }
  xai_result_free(one);
  xai_tensor_free(x);
  xai_prior_free(p);
}
END_TEST

/* A prior made of its description is the same. */
START_TEST(a_description_makes_it_again) {
  const prior_case *c = &prior_cases[_i];
  xai_prior *p = prior_of(c), *again;
  xai_tensor *x = prior_x(c);
  xai_result *r, *a = logp_of(p, x, 1);
  xai_param params[16];
  size_t n = 0;
  ck_assert(!xai_prior_describe(p, &r, &net_error));
  for (; !xai_result_get(r, n, &params[n].name, &params[n].tensor, &params[n].text); n++) {}
  params[n++] = (xai_param){.name = "trace/note", .number = 1}; /* a note of a fit: skipped */
  ck_assert_msg(!xai_prior_create(NULL, params, n, &again, &net_error), "%s", net_error.text);
  xai_result_free(r);
  xai_prior_free(p);
  r = logp_of(again, x, 1);
  expect_same_result(c->name, r, a);
  xai_result_free(r);
  xai_result_free(a);
  xai_tensor_free(x);
  xai_prior_free(again);
}
END_TEST

START_TEST(an_empty_batch) {
  const prior_case *c = &prior_cases[_i];
  if (!strcmp(c->name, "mean, one an item")) return; /* of three */
  int64_t shape[4];
  memcpy(shape, c->x, sizeof shape);
  shape[0] = 0;
  xai_prior *p = prior_of(c);
  xai_tensor *x = tensor_of(XAI_F32, c->rank, shape, NULL);
  xai_result *r = logp_of(p, x, 1);
  ck_assert_int_eq(count_of(found(r, "logp")), 0);
  xai_result_free(r);
  xai_tensor_free(x);
  xai_prior_free(p);
}
END_TEST

static void expect_bad(const char *what, const char *kind, const xai_param *p, size_t n, int want,
                       const char *where) {
  xai_prior *out = (xai_prior *)&out;
  int status = xai_prior_create(kind, p, n, &out, &net_error);
  ck_assert_msg(status == want, "%s: status %d '%s', not %d", what, status, net_error.text, want);
  ck_assert_ptr_null(out);
  ck_assert_msg(!strcmp(net_error.where, where), "%s: '%s' at '%s', not '%s'", what, net_error.text,
                net_error.where, where);
}

/* Each tensor in turn: not finite, of integers, missing, unknown. */
START_TEST(bad_tensors_are_refused) {
  const prior_case *c = &prior_cases[_i];
  xai_param p[CASE_KEYS + 1];
  size_t n = prior_params(c, p);
  for (size_t k = 0; k < n; k++) {
    const xai_tensor *good = p[k].tensor;
    if (c->keys[k].numbers == TWO) continue; /* a number that came as a tensor */
    float *v = writable((xai_tensor *)(uintptr_t)good), kept = v[0];
    for (int turn = 0; turn < 2; turn++) {
      v[0] = turn ? INFINITY : NAN;
      expect_bad(c->name, c->kind, p, n, XAI_E_INPUT, p[k].name);
      ck_assert_msg(strstr(net_error.text, "not finite at element 0"), "%s", net_error.text);
    }
    v[0] = kept;
    const int64_t *shape;
    int rank = xai_tensor_shape(good, &shape);
    xai_tensor *integers = tensor_of(XAI_I64, rank, shape, NULL);
    p[k].tensor = integers;
    expect_bad(c->name, c->kind, p, n, XAI_E_INPUT, p[k].name);
    xai_tensor_free(integers);
    p[k].tensor = good;
  }
  p[n] = (xai_param){.name = "no-such-key", .number = 1};
  expect_bad(c->name, c->kind, p, n + 1, XAI_E_ARGUMENT, "no-such-key");
  free_params(p, n);
}
END_TEST

START_TEST(bad_inputs_are_refused) {
  const prior_case *c = &prior_cases[_i];
  static const int64_t wrong[] = {2, 31};
  xai_prior *p = prior_of(c);
  xai_result *r;
  xai_tensor *x = tensor_of(XAI_F32, 2, wrong, NULL), *ints = tensor_of(XAI_I64, c->rank, c->x, NULL);
  xai_tensor *scalar = tensor_of(XAI_F32, 0, NULL, NULL);
  ck_assert_int_eq(xai_prior_logp(p, ints, NULL, &r, &net_error), XAI_E_INPUT);
  ck_assert_ptr_null(r);
  ck_assert_int_eq(xai_prior_logp(p, scalar, NULL, &r, &net_error), XAI_E_INPUT);
  if (c->keys[0].name || !strcmp(c->kind, "tv")) {
    ck_assert_int_eq(xai_prior_logp(p, x, NULL, &r, &net_error), XAI_E_INPUT);
    ck_assert_msg(strstr(net_error.text, "31"), "%s", net_error.text);
  }
  xai_tensor_free(x);
  xai_tensor_free(ints);
  xai_tensor_free(scalar);
  xai_prior_free(p);
}
END_TEST

START_TEST(bad_calls_are_refused) {
  xai_prior *p = (xai_prior *)&p;
  xai_result *r = (xai_result *)&r;
  const float data[] = {1};
  const int64_t shape[] = {1};
  xai_tensor *x = tensor_of(XAI_F32, 1, shape, data);
  expect_bad("unknown", "no-such-prior", NULL, 0, XAI_E_ARGUMENT, "no-such-prior");
  expect_bad("no kind", NULL, NULL, 0, XAI_E_ARGUMENT, "kind");
  expect_bad("no array", "l2", NULL, 3, XAI_E_ARGUMENT, "params");
  expect_bad("no tensor", "mean", NULL, 0, XAI_E_INPUT, "mean");
  ck_assert_int_eq(xai_prior_create("l2", NULL, 0, NULL, &net_error), XAI_E_ARGUMENT);
  ck_assert_int_eq(xai_prior_custom(NULL, NULL, &p, &net_error), XAI_E_ARGUMENT);
  ck_assert_int_eq(xai_prior_logp(NULL, x, NULL, &r, &net_error), XAI_E_ARGUMENT);
  ck_assert_ptr_null(r);
  ck_assert_int_eq(xai_prior_describe(NULL, &r, &net_error), XAI_E_ARGUMENT);
  ck_assert(!xai_prior_create("l2", NULL, 0, &p, NULL));
  ck_assert_int_eq(xai_prior_logp(p, NULL, NULL, &r, NULL), XAI_E_ARGUMENT);
  ck_assert_int_eq(xai_prior_logp(p, x, NULL, NULL, NULL), XAI_E_ARGUMENT);
  xai_prior_free(p);
  xai_prior_free(NULL);
  xai_tensor_free(x);
}
END_TEST

/* -x^4 / 4 of each element; refuses when told to. */
static int quartic(void *refuse, int64_t batch, int64_t n, const float *x, double *logp,
                   float *gradient) {
  for (int64_t b = 0; b < batch; b++) {
    logp[b] = 0;
    for (int64_t i = b * n; i < (b + 1) * n; i++) {
      logp[b] -= pow((double)x[i], 4) / 4;
      if (gradient) gradient[i] = -x[i] * x[i] * x[i];
    }
  }
  return *(int *)refuse;
}

START_TEST(a_callers_own) {
  static const int64_t shape[] = {2, 3};
  int refuse = 0;
  xai_prior *p;
  xai_result *r;
  xai_tensor *x = tensor_by_chance(XAI_F32, 2, shape, 5);
  ck_assert(!xai_prior_custom(quartic, &refuse, &p, &net_error));
  expect_gradient("custom", p, x);
  refuse = 1;
  ck_assert_int_eq(xai_prior_logp(p, x, NULL, &r, &net_error), XAI_E_CANCELLED);
  ck_assert_ptr_null(r);
  xai_tensor_free(x);
  xai_prior_free(p);
}
END_TEST

/* The gradient of a weighted sum is added to what was there. */
START_TEST(a_product_of_experts) {
  enum { N = 10 };
  const int64_t shape[] = {2, 5};
  xai_tensor *x = tensor_by_chance(XAI_F32, 2, shape, 9);
  xai_prior *a = prior_of(&prior_cases[0]), *b = prior_of(&prior_cases[1]);
  xai_result *ra = logp_of(a, x, 1), *rb = logp_of(b, x, 1);
  const xai_term terms[] = {{a, 0.5, NULL}, {b, -2, NULL}};
  const xai__view view = {.dtype = XAI_F32, .shape = {2, {2, 5}}, .data = writable(x)};
  float gradient[N], want[N];
  double each[4];
  xai__engine *e;
  for (int i = 0; i < N; i++) {
    gradient[i] = (float)i;
    want[i] = (float)i + 0.5f * values(ra, "gradient", NULL)[i] - 2 * values(rb, "gradient", NULL)[i];
  }
  ck_assert(!xai__engine_create(NULL, 1, 0, &e, &net_error));
  ck_assert(!xai__terms_logp(terms, 2, e, &view, each, gradient, &net_error));
  expect_near("sum", gradient, want, N, 1e-6);
  for (int i = 0; i < 4; i++)
    ck_assert_double_eq(each[i], doubles(i < 2 ? ra : rb, "logp")[i % 2]);
  xai__engine_free(e);
  xai_result_free(ra);
  xai_result_free(rb);
  xai_prior_free(a);
  xai_prior_free(b);
  xai_tensor_free(x);
}
END_TEST

int main(void) {
  Suite *s = suite_create("prior");
  TCase *t = tcase_create("prior");
  tcase_add_test(t, every_kind_has_a_case);
  tcase_add_loop_test(t, the_gradient_is_that_of_log_p, 0, PRIOR_CASES);
  tcase_add_loop_test(t, threads_change_nothing, 0, PRIOR_CASES);
  tcase_add_loop_test(t, a_description_makes_it_again, 0, PRIOR_CASES);
  tcase_add_loop_test(t, an_empty_batch, 0, PRIOR_CASES);
  tcase_add_loop_test(t, bad_tensors_are_refused, 0, PRIOR_CASES);
  tcase_add_loop_test(t, bad_inputs_are_refused, 0, PRIOR_CASES);
  tcase_add_test(t, bad_calls_are_refused);
  tcase_add_test(t, a_callers_own);
  tcase_add_test(t, a_product_of_experts);
  suite_add_tcase(s, t);
  SRunner *r = srunner_create(s);
  srunner_run_all(r, CK_ENV);
  int failed = srunner_ntests_failed(r);
  srunner_free(r);
  return failed != 0;
}

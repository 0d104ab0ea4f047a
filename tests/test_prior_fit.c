/* Fits: what is common to all kinds (threads, limits, bad data, cancel), and Gaussians and mixtures
 * against the data they are fitted to. */
#include "fit_cases.h"

/* ---- every kind ---- */

START_TEST(every_kind_has_a_case) {
  const char *name, *schema;
  for (size_t i = 0; !xai_catalog(XAI_FIT, i, &name, &schema); i++) {
    bool has = !XAI_BLAS && !strcmp(name, "gaussian"); /* refused then */
    for (int k = 0; k < FIT_CASES; k++) has |= !strcmp(fit_cases[k].kind, name);
    ck_assert_msg(has, "fit '%s' has no case", name);
  }
}
END_TEST

/* The result makes a prior, which gives the data the log density that the notes say. */
START_TEST(a_fit_makes_a_prior) {
  const fit_case *c = &fit_cases[_i];
  xai_tensor *data = fit_data(c, 300, 1), *held = fit_data(c, 50, 2);
  xai_result *r = fit_of(c, data, held, 1);
  xai_prior *p = prior_of_fit(r);
  const xai_tensor *sets[] = {data, held};
  for (int i = 0; i < 2; i++) {
    xai_result *at = logp_of(p, sets[i], 1);
    const int64_t n = count_of(found(at, "logp"));
    double mean = 0;
    for (int64_t k = 0; k < n; k++) mean += doubles(at, "logp")[k] / (double)n;
    const double noted = *doubles(r, i ? "fit/logp-held-out" : "fit/logp");
    ck_assert_msg(fabs(mean - noted) < 1e-5 * (1 + fabs(noted)), "%s: %g, noted %g", c->name, mean, noted);
    xai_result_free(at);
  }
  ck_assert_ptr_null(xai_result_find(r, "partial"));
  xai_prior_free(p);
  xai_result_free(r);
  xai_tensor_free(data);
  xai_tensor_free(held);
}
END_TEST

START_TEST(threads_change_nothing) {
  const fit_case *c = &fit_cases[_i];
  xai_tensor *data = fit_data(c, 300, 1);
  xai_result *one = fit_of(c, data, NULL, 1);
  for (int threads = 2; threads < 4; threads++) {
    xai_result *r = fit_of(c, data, NULL, threads);
    expect_same_result(c->name, r, one);
    xai_result_free(r);
  }
  xai_result_free(one);
  xai_tensor_free(data);
}
END_TEST

typedef struct purse {
  int blocks, left; /* that are out; allocations until one fails */
} purse;

static void *from_purse(void *user, void *p, size_t old_size, size_t size, size_t align) {
  purse *c = user;
  (void)old_size;
  if (!size) {
    c->blocks--;
    free(p);
    return NULL;
  }
  if (c->left-- <= 0) return NULL;
  c->blocks++;
  return aligned_alloc(align, (size + align - 1) / align * align);
}

/* Any allocation may fail: a clear status, and nothing is left behind. */
START_TEST(allocations_fail) {
  const fit_case *c = &fit_cases[_i];
  xai_tensor *data = fit_data(c, 40, 1);
  for (int after = 0, done = 0; !done && after < 2000; after++) {
    purse own = {0, after};
    const xai_options o = {.struct_size = sizeof o, .threads = 1, .realloc = from_purse, .realloc_user = &own};
    xai_result *r;
    const int status = fit_status(c, data, NULL, &o, NULL, NULL, &r);
    ck_assert_msg(status == XAI_OK || status == XAI_E_MEMORY, "%s, allocation %d: %d %s", c->name, after,
                  status, net_error.text);
    ck_assert((status == XAI_OK) == (r != NULL));
    done = !status;
    xai_result_free(r);
    ck_assert_msg(own.blocks == 0, "%s, allocation %d: %d blocks are left", c->name, after, own.blocks);
  }
  const xai_options little = {.struct_size = sizeof little, .threads = 1, .max_memory = 2000};
  xai_result *r;
  ck_assert_int_eq(fit_status(c, data, NULL, &little, NULL, NULL, &r), XAI_E_LIMIT);
  xai_tensor_free(data);
}
END_TEST

static int stop_after(void *user, const char *stage, double done, double left) {
  (void)stage, (void)left;
  ck_assert(done >= 0 && done <= 1);
  return --*(int *)user <= 0;
}

/* Cancelled at any report: nothing, or an expert that works, marked partial. */
START_TEST(cancelled) {
  const fit_case *c = &fit_cases[_i];
  xai_tensor *data = fit_data(c, 1500, 1);
  bool any = false;
  for (int after = 1; after < 12; after++) {
    int left = after;
    xai_result *r;
    const int status = fit_status(c, data, NULL, NULL, stop_after, &left, &r);
    if (status == XAI_E_CANCELLED && r) {
      any = true;
      ck_assert_int_eq(*(const int64_t *)xai_tensor_data(found(r, "partial")), 1);
      xai_prior_free(prior_of_fit(r));
    } else {
      ck_assert_msg(status == XAI_E_CANCELLED || (!status && left > 0), "%s: %d", c->name, status);
    }
    xai_result_free(r);
  }
  ck_assert_msg(any == c->in_steps, "%s: %s", c->name, any ? "a partial fit" : "no partial fit");
  xai_tensor_free(data);
}
END_TEST

START_TEST(bad_data_are_refused) {
  const fit_case *c = &fit_cases[_i];
  xai_tensor *data = fit_data(c, 20, 1);
  xai_result *r;
  const int64_t other[] = {3, 31}, none[] = {0, 4}, flat[] = {9};
  xai_tensor *wrong = tensor_of(XAI_F32, 2, other, NULL), *integers = tensor_of(XAI_I64, 2, other, NULL);
  xai_tensor *empty = tensor_of(XAI_F32, 2, none, NULL), *line = tensor_of(XAI_F32, 1, flat, NULL);
  const struct {
    const xai_tensor *data, *held;
    const char *where;
  } rows[] = {{data, wrong, "held-out"}, {data, integers, "held-out"}, {integers, NULL, "data"},
              {empty, NULL, "data"},     {line, NULL, "data"},         {NULL, data, "data"}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    ck_assert_int_eq(fit_status(c, rows[i].data, rows[i].held, NULL, NULL, NULL, &r), XAI_E_INPUT);
    ck_assert_str_eq(net_error.where, rows[i].where);
    ck_assert_ptr_null(r);
  }
  writable(data)[7] = NAN;
  ck_assert_int_eq(fit_status(c, data, NULL, NULL, NULL, NULL, &r), XAI_E_INPUT);
  ck_assert_msg(strstr(net_error.text, "element 7"), "%s", net_error.text);
  xai_tensor_free(data);
  xai_tensor_free(wrong);
  xai_tensor_free(integers);
  xai_tensor_free(empty);
  xai_tensor_free(line);
}
END_TEST

START_TEST(bad_requests_are_refused) {
  const fit_case bad[] = {{.kind = "tv", .params = ""},
                          {.kind = "gmm", .params = "no-such=1"},
                          {.kind = "gmm", .params = "components=0"},
                          {.kind = "gmm", .params = "components=1000"},
                          {.kind = "gmm", .params = "covariance=round"},
                          {.kind = "gaussian", .params = "shrinkage=2"},
                          {.kind = "gaussian", .params = "rank=100"},
                          {.kind = NULL, .params = ""}};
  const int64_t shape[] = {20, 4};
  xai_tensor *data = tensor_by_chance(XAI_F32, 2, shape, 1);
  xai_result *r = (xai_result *)&r;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    ck_assert_msg(fit_status(&bad[i], data, NULL, NULL, NULL, NULL, &r) == XAI_E_ARGUMENT, "row %zu: %s",
                  i, net_error.text);
    ck_assert_ptr_null(r);
  }
  ck_assert_int_eq(xai_fit(NULL, NULL, &r, NULL), XAI_E_ARGUMENT);
  ck_assert_int_eq(xai_fit(NULL, NULL, NULL, NULL), XAI_E_ARGUMENT);
  ck_assert_int_eq(xai_prior_sample(NULL, NULL, NULL, &r, NULL), XAI_E_ARGUMENT);
  xai_tensor_free(data);
}
END_TEST

#if XAI_BLAS
/* ---- the Gaussian ---- */

/* Mean and covariance of [items][n]. */
static void moments(const xai_tensor *t, int n, double *mean, double *C) {
  const int64_t items = count_of(t) / n;
  memset(mean, 0, (size_t)n * sizeof *mean);
  memset(C, 0, (size_t)(n * n) * sizeof *C);
  for (int64_t k = 0; k < items * n; k++) mean[k % n] += (double)floats(t)[k] / (double)items;
  for (int64_t k = 0; k < items; k++)
    for (int i = 0; i < n * n; i++)
      C[i] += ((double)floats(t)[k * n + i / n] - mean[i / n]) *
              ((double)floats(t)[k * n + i % n] - mean[i % n]) / (double)items;
}

START_TEST(the_gaussian_has_the_datas_moments) {
  enum { N = 6 };
  const fit_case c = {"", "gaussian", "shrinkage=0", 2, {0, N}, false};
  xai_tensor *data = fit_data(&c, 1500, 3); /* more than are summed up at a time */
  xai_result *r = fit_of(&c, data, NULL, 1);
  double mean[N], C[N * N];
  moments(data, N, mean, C);
  const float *m = values(r, "mean", NULL), *L = values(r, "factor", NULL);
  for (int i = 0; i < N; i++) {
    ck_assert_double_eq_tol((double)m[i], mean[i], 1e-6);
    for (int j = 0; j < N; j++) {
      double S = 0;
      for (int k = 0; k < N; k++) S += (double)L[i * N + k] * (double)L[j * N + k];
      ck_assert_double_eq_tol(S, C[i * N + j], 1e-5);
    }
  }
  xai_result_free(r);
  xai_tensor_free(data);
}
END_TEST

/* Fewer items than elements: shrunk towards a sphere, and better for it on other data. */
START_TEST(shrinkage_makes_it_definite) {
  const fit_case c = {"", "gaussian", "", 2, {0, 30}, false}, none = {"", "gaussian", "shrinkage=0", 2, {0, 30}, false};
  xai_tensor *data = fit_data(&c, 20, 3), *held = fit_data(&c, 200, 4);
  xai_result *r = fit_of(&c, data, held, 1), *refused;
  ck_assert_double_gt(*doubles(r, "fit/shrinkage"), 0.01);
  ck_assert_double_gt(*doubles(r, "fit/logp-held-out"), -200);
  ck_assert_int_eq(fit_status(&none, data, NULL, NULL, NULL, NULL, &refused), XAI_E_INPUT);
  ck_assert_msg(strstr(net_error.text, "not positive definite"), "%s", net_error.text);
  xai_result_free(r);
  xai_tensor_free(data);
  xai_tensor_free(held);
}
END_TEST

/* Data of three strong directions and noise: components find them, and give other data the density
 * that the full covariance gives. */
START_TEST(components_are_the_covariance) {
  enum { N = 12, ITEMS = 4000 };
  const fit_case full = {"", "gaussian", "shrinkage=0", 2, {0, N}, false};
  const fit_case three = {"", "gaussian", "shrinkage=0,rank=3", 2, {0, N}, false};
  const fit_case two = {"", "gaussian", "shrinkage=0,rank=2", 2, {0, N}, false};
  xai_tensor *data = directions_by_chance(ITEMS, N, 3, 1), *held = directions_by_chance(500, N, 3, 2);
  xai_result *a = fit_of(&full, data, held, 1), *b = fit_of(&three, data, held, 1), *c = fit_of(&two, data, held, 1);
  const double best = *doubles(a, "fit/logp-held-out");
  ck_assert_double_eq_tol(*doubles(b, "fit/logp-held-out"), best, 0.1);
  ck_assert_double_lt(*doubles(c, "fit/logp-held-out"), best - 0.5);
  double mean[N], C[N * N];
  moments(data, N, mean, C);
  const float *W = values(b, "components", NULL), *noise = values(b, "noise", NULL);
  for (int i = 0; i < N; i++) { /* the diagonal is kept, whatever is cut */
    double S = (double)noise[i];
    for (int k = 0; k < 3; k++) S += (double)W[k * N + i] * (double)W[k * N + i];
    ck_assert_double_eq_tol(S, C[i * N + i], 1e-4 * C[i * N + i] + 1e-5);
  }
  xai_result_free(a);
  xai_result_free(b);
  xai_result_free(c);
  xai_tensor_free(data);
  xai_tensor_free(held);
}
END_TEST
#else
START_TEST(without_blas_it_says_so) {
  const fit_case c = {"", "gaussian", "", 2, {0, 4}, false};
  xai_tensor *data = fit_data(&c, 20, 3);
  xai_result *r;
  ck_assert_int_eq(fit_status(&c, data, NULL, NULL, NULL, NULL, &r), XAI_E_UNSUPPORTED);
  ck_assert_msg(strstr(net_error.text, "XAI_BLAS"), "%s", net_error.text);
  xai_tensor_free(data);
}
END_TEST
#endif

/* ---- the mixture ---- */

static const char *const mixtures[] = {"components=3,floor=0,tolerance=0,steps=25",
                                       "components=3,floor=0,tolerance=0,steps=25,covariance=full"};

START_TEST(no_step_lowers_the_likelihood) {
  const fit_case c = {"", "gmm", mixtures[_i], 2, {0, 5}, true};
  xai_tensor *data = fit_data(&c, 700, 3);
  xai_result *r = fit_of(&c, data, NULL, 1);
  int64_t n;
  const float *trace = values(r, "trace/logp", &n);
  ck_assert_int_gt(n, 5);
  for (int64_t i = 1; i < n; i++)
    ck_assert_msg(trace[i] >= trace[i - 1] - 1e-5f * fabsf(trace[i]), "step %lld: %.9g after %.9g", (long long)i,
                  (double)trace[i], (double)trace[i - 1]);
  ck_assert(trace[n - 1] > trace[0]);
  xai_result_free(r);
  xai_tensor_free(data);
}
END_TEST

/* Four heaps far apart, of 1 to 4 parts in 10: each becomes a component. */
START_TEST(the_mixture_finds_the_heaps) {
  enum { ITEMS = 1000 };
  const fit_case c = {"", "gmm", "components=4", 2, {0, 2}, true};
  static const float at[4][2] = {{0, 0}, {9, 0}, {0, 9}, {9, 9}};
  static const int heap_of[10] = {0, 1, 1, 2, 2, 2, 3, 3, 3, 3};
  xai_tensor *data = fit_data(&c, ITEMS, 3); /* around 0 */
  for (int i = 0; i < 2 * ITEMS; i++) writable(data)[i] = writable(data)[i] * 0.3f + at[heap_of[i / 2 % 10]][i % 2];
  xai_result *r = fit_of(&c, data, NULL, 1);
  const float *mean = values(r, "means", NULL), *weight = values(r, "weights", NULL);
  for (int h = 0; h < 4; h++) {
    int hits = 0;
    for (int k = 0; k < 4; k++) {
      if (fabsf(mean[2 * k] - at[h][0]) > 0.3f || fabsf(mean[2 * k + 1] - at[h][1]) > 0.3f) continue;
      ck_assert_double_eq_tol((double)weight[k], 0.1 * (h + 1), 1e-3);
      hits++;
    }
    ck_assert_msg(hits == 1, "heap %d has %d components", h, hits);
  }
  xai_result_free(r);
  xai_tensor_free(data);
}
END_TEST

int main(void) {
  Suite *s = suite_create("prior_fit");
  TCase *t = tcase_create("prior_fit");
  tcase_add_test(t, every_kind_has_a_case);
  tcase_add_loop_test(t, a_fit_makes_a_prior, 0, FIT_CASES);
  tcase_add_loop_test(t, threads_change_nothing, 0, FIT_CASES);
  tcase_add_loop_test(t, allocations_fail, 0, FIT_CASES);
  tcase_add_loop_test(t, cancelled, 0, FIT_CASES);
  tcase_add_loop_test(t, bad_data_are_refused, 0, FIT_CASES);
  tcase_add_test(t, bad_requests_are_refused);
#if XAI_BLAS
  tcase_add_test(t, the_gaussian_has_the_datas_moments);
  tcase_add_test(t, shrinkage_makes_it_definite);
  tcase_add_test(t, components_are_the_covariance);
#else
  tcase_add_test(t, without_blas_it_says_so);
#endif
  tcase_add_loop_test(t, no_step_lowers_the_likelihood, 0, XAI_BLAS ? 2 : 1);
  tcase_add_test(t, the_mixture_finds_the_heaps);
  suite_add_tcase(s, t);
  SRunner *r = srunner_create(s);
  srunner_run_all(r, CK_ENV);
  int failed = srunner_ntests_failed(r);
  srunner_free(r);
  return failed != 0;
}

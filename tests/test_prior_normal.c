/* Gaussians and their mixtures: densities against the definition, samples against moments, fits
 * against what the data were drawn from. */
#include "prior_cases.h"

static const prior_case *case_named(const char *name) {
  for (int i = 0; i < PRIOR_CASES; i++)
    if (!strcmp(prior_cases[i].name, name)) return &prior_cases[i];
  ck_abort_msg("no case '%s'", name);
  return NULL;
}

/* log of the normal density with covariance S by Gaussian elimination. */
static double log_normal(int n, const double *S, const double *away) {
  double a[8][9], det = 1, sum = 0;
  for (int i = 0; i < n; i++) {
    for (int j = 0; j < n; j++) a[i][j] = S[i * n + j];
    a[i][n] = away[i];
  }
  for (int i = 0; i < n; i++) { /* definite: no pivoting is needed */
    det *= a[i][i];
    for (int k = i + 1; k < n; k++)
      for (int j = n; j >= i; j--) a[k][j] -= a[k][i] / a[i][i] * a[i][j];
  }
  for (int i = n - 1; i >= 0; i--) {
    for (int j = i + 1; j < n; j++) a[i][n] -= a[i][j] * a[j][n];
    a[i][n] /= a[i][i];
    sum += a[i][n] * away[i];
  }
  return -0.5 * (n * log(2 * 3.14159265358979323846) + log(det) + sum);
}

/* The covariance that a case's keys stand for. */
static void covariance_of(const xai_param *p, size_t n_params, int n, double *S) {
  memset(S, 0, (size_t)(n * n) * sizeof *S);
  for (size_t k = 0; k < n_params; k++) {
    const float *v = floats(p[k].tensor);
    const int rows = (int)(count_of(p[k].tensor) / n);
    for (int i = 0; i < n; i++)
      for (int j = 0; j < n; j++) {
        double *s = &S[i * n + j];
        if (!strcmp(p[k].name, "covariance")) *s += (double)v[i * n + j];
        if (!strcmp(p[k].name, "noise")) *s += i == j ? (double)v[i] : 0;
        for (int m = 0; m < rows && !strcmp(p[k].name, "factor"); m++)
          *s += (double)v[i * n + m] * (double)v[j * n + m];
        for (int m = 0; m < rows && !strcmp(p[k].name, "components"); m++)
          *s += (double)v[m * n + i] * (double)v[m * n + j];
      }
  }
}

static const char *const gaussians[] = {"gaussian, factor", "gaussian, diagonal",
                                        "gaussian, covariance", "gaussian, components"};
enum { GAUSSIANS = XAI_BLAS ? 4 : 2 };

START_TEST(density_is_the_definition) {
  const prior_case *c = case_named(gaussians[_i]);
  xai_param p[CASE_KEYS];
  const size_t n_params = prior_params(c, p);
  const int n = (int)count_of(p[0].tensor);
  double S[64], away[8];
  covariance_of(p, n_params, n, S);
  xai_prior *prior = prior_of(c);
  xai_tensor *x = prior_x(c);
  xai_result *r = logp_of(prior, x, 1);
  for (int64_t b = 0; b < c->x[0]; b++) {
    for (int i = 0; i < n; i++) away[i] = (double)floats(x)[b * n + i] - (double)floats(p[0].tensor)[i];
    const double want = log_normal(n, S, away), got = doubles(r, "logp")[b];
    ck_assert_msg(fabs(got - want) < 1e-5 * (1 + fabs(want)), "%s: %.9g, not %.9g", c->name, got, want);
  }
  xai_result_free(r);
  xai_tensor_free(x);
  xai_prior_free(prior);
  free_params(p, n_params);
}
END_TEST

static xai_result *samples_of(const xai_prior *p, double samples, uint64_t seed, int threads) {
  xai_options o = {.struct_size = sizeof o, .threads = threads};
  xai_param param = {"samples", NULL, NULL, samples};
  xai_request request = {.struct_size = sizeof request, .params = &param, .n_params = 1, .random_seed = seed};
  xai_result *r;
  ck_assert_msg(!xai_prior_sample(p, &request, &o, &r, &net_error), "%s", net_error.text);
  return r;
}

START_TEST(samples_have_the_moments) {
  enum { N = 40000 };
  const prior_case *c = case_named(gaussians[_i]);
  xai_param p[CASE_KEYS];
  const size_t n_params = prior_params(c, p);
  const int n = (int)count_of(p[0].tensor);
  double S[64], mean[8] = {0}, C[64] = {0};
  covariance_of(p, n_params, n, S);
  xai_prior *prior = prior_of(c);
  xai_result *r = samples_of(prior, N, 3, 1), *again = samples_of(prior, N, 3, 2), *other = samples_of(prior, N, 4, 1);
  const float *x = values(r, "samples", NULL);
  expect_same_result("threads", again, r);
  ck_assert(memcmp(x, values(other, "samples", NULL), 64) != 0);
  for (int k = 0; k < N; k++)
    for (int i = 0; i < n; i++) mean[i] += (double)x[k * n + i] / N;
  for (int k = 0; k < N; k++)
    for (int i = 0; i < n * n; i++)
      C[i] += ((double)x[k * n + i / n] - mean[i / n]) * ((double)x[k * n + i % n] - mean[i % n]) / N;
  for (int i = 0; i < n; i++) { /* five standard errors */
    const double room = 5 * sqrt(S[i * n + i] / N);
    ck_assert_msg(fabs(mean[i] - (double)floats(p[0].tensor)[i]) < room, "%s: mean %d is %g", c->name, i, mean[i]);
    for (int j = 0; j < n; j++) {
      const double size = sqrt((S[i * n + i] * S[j * n + j] + S[i * n + j] * S[i * n + j]) / N);
      ck_assert_msg(fabs(C[i * n + j] - S[i * n + j]) < 5 * size, "%s: covariance %d,%d is %g, not %g",
                    c->name, i, j, C[i * n + j], S[i * n + j]);
    }
  }
  xai_result_free(r);
  xai_result_free(again);
  xai_result_free(other);
  xai_prior_free(prior);
  free_params(p, n_params);
}
END_TEST

int main(void) {
  Suite *s = suite_create("prior_normal");
  TCase *t = tcase_create("prior_normal");
  tcase_add_loop_test(t, density_is_the_definition, 0, GAUSSIANS);
  tcase_add_loop_test(t, samples_have_the_moments, 0, GAUSSIANS);
  suite_add_tcase(s, t);
  SRunner *r = srunner_create(s);
  srunner_run_all(r, CK_ENV);
  int failed = srunner_ntests_failed(r);
  srunner_free(r);
  return failed != 0;
}

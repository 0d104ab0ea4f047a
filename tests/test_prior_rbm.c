/* Boltzmann machines: the density against sums over all hidden states, filters against the unrolled
 * matrix, samples and log Z against enumeration, and what training does to the likelihood. */
#include "fit_cases.h"
#include "prior/rbm.h"

static xai_prior *prior_made(const char *kind, const xai_param *p, size_t n) {
  xai_prior *prior;
  ck_assert_msg(!xai_prior_create(kind, p, n, &prior, &net_error), "%s", net_error.text);
  return prior;
}

static xai_tensor *scaled_by_chance(int rank, const int64_t *shape, uint64_t seed, float scale) {
  xai_tensor *t = tensor_by_chance(XAI_F32, rank, shape, seed);
  for (int64_t i = 0; i < count_of(t); i++) writable(t)[i] *= scale;
  return t;
}

/* ---- a machine whose units can be counted ---- */

enum { N = 3, M = 5, STATES = 1 << M };

typedef struct small {
  xai_tensor *w, *a, *b, *s;
  double log_z, mean[N], square[N]; /* of x, exactly */
} small;

/* With moments from the mixture that the hidden states make of it: weight exp(b'h + ...), mean a + W h. */
static small small_machine(float scale) {
  static const int64_t wide[] = {N, M}, n[] = {N}, m[] = {M};
  small k = {scaled_by_chance(2, wide, 1, scale), scaled_by_chance(1, n, 2, 1), scaled_by_chance(1, m, 3, 1),
             scaled_by_chance(1, n, 4, 0.3f), 0, {0}, {0}};
  double weight[STATES], sum = 0;
  for (int i = 0; i < N; i++) writable(k.s)[i] = 0.5f + fabsf(floats(k.s)[i]);
  for (int h = 0; h < STATES; h++) {
    double v = 0;
    for (int j = 0; j < M; j++) v += (h >> j & 1) * (double)floats(k.b)[j];
    for (int i = 0; i < N; i++) {
      const double s = (double)floats(k.s)[i], a = (double)floats(k.a)[i];
      double d = 0;
      for (int j = 0; j < M; j++) d += (h >> j & 1) * (double)floats(k.w)[i * M + j];
      v += (a * d + d * d / 2) / (s * s) + log(s * sqrt(2 * 3.14159265358979323846));
    }
    sum += weight[h] = exp(v);
  }
  for (int h = 0; h < STATES; h++)
    for (int i = 0; i < N; i++) {
      const double s = (double)floats(k.s)[i];
      double d = (double)floats(k.a)[i];
      for (int j = 0; j < M; j++) d += (h >> j & 1) * (double)floats(k.w)[i * M + j];
      k.mean[i] += weight[h] / sum * d;
      k.square[i] += weight[h] / sum * (d * d + s * s);
    }
  k.log_z = log(sum);
  return k;
}

static xai_prior *small_prior(const small *k) {
  const xai_param p[] = {{"W", k->w, NULL, 0}, {"a", k->a, NULL, 0}, {"b", k->b, NULL, 0}, {"s", k->s, NULL, 0},
                         {"log_z", NULL, NULL, k->log_z}};
  return prior_made("rbm", p, 5);
}

static void small_free(small *k) {
  xai_tensor_free(k->w);
  xai_tensor_free(k->a);
  xai_tensor_free(k->b);
  xai_tensor_free(k->s);
}

/* sum over h of p(x, h) */
START_TEST(density_is_the_sum_over_hidden_states) {
  enum { BATCH = 4 };
  small k = small_machine(0.7f);
  xai_prior *p = small_prior(&k);
  const int64_t shape[] = {BATCH, N};
  xai_tensor *x = tensor_by_chance(XAI_F32, 2, shape, 9);
  xai_result *r = logp_of(p, x, 1);
  for (int b = 0; b < BATCH; b++) {
    double sum = 0;
    for (int h = 0; h < STATES; h++) {
      double v = 0;
      for (int j = 0; j < M; j++) v += (h >> j & 1) * (double)floats(k.b)[j];
      for (int i = 0; i < N; i++) {
        const double s = (double)floats(k.s)[i], at = (double)floats(x)[b * N + i], d = at - (double)floats(k.a)[i];
        v -= d * d / (2 * s * s);
        for (int j = 0; j < M; j++) v += (h >> j & 1) * at / (s * s) * (double)floats(k.w)[i * M + j];
      }
      sum += exp(v - k.log_z);
    }
    ck_assert_double_eq_tol(doubles(r, "logp")[b], log(sum), 1e-5);
  }
  xai_result_free(r);
  xai_tensor_free(x);
  xai_prior_free(p);
  small_free(&k);
}
END_TEST

/* Two visible units: the integral over a grid is 1 with the log_z that the fit enumerates. */
START_TEST(density_integrates_to_one) {
  enum { SIDE = 400 };
  const fit_case c = {"", "rbm", "hidden=6,epochs=20,rate=0.05", 2, {0, 2}, true};
  xai_tensor *data = fit_data(&c, 500, 1);
  xai_result *r = fit_of(&c, data, NULL, 1);
  xai_prior *p = prior_of_fit(r);
  const int64_t shape[] = {SIDE, 2};
  const double step = 20.0 / SIDE;
  double sum = 0;
  xai_tensor *x = tensor_of(XAI_F32, 2, shape, NULL);
  for (int row = 0; row < SIDE; row++) {
    for (int i = 0; i < SIDE; i++) {
      writable(x)[2 * i] = (float)((row + 0.5) * step - 10);
      writable(x)[2 * i + 1] = (float)((i + 0.5) * step - 10);
    }
    xai_result *at = logp_of(p, x, 1);
    for (int i = 0; i < SIDE; i++) sum += exp(doubles(at, "logp")[i]) * step * step;
    xai_result_free(at);
  }
  ck_assert_double_eq_tol(sum, 1, 1e-4);
  xai_tensor_free(x);
  xai_prior_free(p);
  xai_result_free(r);
  xai_tensor_free(data);
}
END_TEST

START_TEST(without_hidden_units_it_is_the_gaussian) {
  const int64_t wide[] = {4, 0}, none[] = {0}, four[] = {4}, shape[] = {3, 4};
  xai_tensor *w = tensor_of(XAI_F32, 2, wide, NULL), *b = tensor_of(XAI_F32, 1, none, NULL);
  xai_tensor *a = tensor_by_chance(XAI_F32, 1, four, 1), *x = tensor_by_chance(XAI_F32, 2, shape, 2);
  const float deviations[] = {0.5f, 1, 2, 0.25f}, variances[] = {0.25f, 1, 4, 0.0625f};
  xai_tensor *s = tensor_of(XAI_F32, 1, four, deviations), *noise = tensor_of(XAI_F32, 1, four, variances);
  const double log_z = 2 * log(2 * 3.14159265358979323846) + log(0.25);
  const xai_param machine[] = {{"W", w, NULL, 0}, {"a", a, NULL, 0}, {"b", b, NULL, 0}, {"s", s, NULL, 0},
                               {"log_z", NULL, NULL, log_z}};
  const xai_param normal[] = {{"mean", a, NULL, 0}, {"noise", noise, NULL, 0}};
  xai_prior *p = prior_made("rbm", machine, 5), *q = prior_made("gaussian", normal, 2);
  xai_result *r = logp_of(p, x, 1), *want = logp_of(q, x, 1);
  for (int i = 0; i < 3; i++) ck_assert_double_eq_tol(doubles(r, "logp")[i], doubles(want, "logp")[i], 1e-5);
  expect_near("gradient", values(r, "gradient", NULL), values(want, "gradient", NULL), 12, 1e-6);
  xai_result_free(r);
  xai_result_free(want);
  xai_prior_free(p);
  xai_prior_free(q);
  xai_tensor_free(w), xai_tensor_free(a), xai_tensor_free(b), xai_tensor_free(s);
  xai_tensor_free(noise), xai_tensor_free(x);
}
END_TEST

START_TEST(without_visible_units_it_is_refused) {
  const int64_t wide[] = {0, 4}, none[] = {0}, four[] = {4}, filters[] = {4, 1, 0, 2}, one[] = {1};
  xai_tensor *w = tensor_of(XAI_F32, 2, wide, NULL), *a = tensor_of(XAI_F32, 1, none, NULL);
  xai_tensor *b = tensor_of(XAI_F32, 1, four, NULL), *s = tensor_of(XAI_F32, 1, one, (const float[]){1});
  xai_tensor *k = tensor_of(XAI_F32, 4, filters, NULL), *c = tensor_of(XAI_F32, 1, one, NULL);
  const xai_param dense[] = {{"W", w, NULL, 0}, {"a", a, NULL, 0}, {"b", b, NULL, 0}, {"s", s, NULL, 0}};
  const xai_param conv[] = {{"W", k, NULL, 0}, {"c", c, NULL, 0}, {"b", b, NULL, 0}, {"s", s, NULL, 0}};
  xai_prior *p;
  ck_assert_int_eq(xai_prior_create("rbm", dense, 4, &p, &net_error), XAI_E_INPUT);
  ck_assert_int_eq(xai_prior_create("conv-rbm", conv, 4, &p, &net_error), XAI_E_INPUT);
  xai_tensor_free(w), xai_tensor_free(a), xai_tensor_free(b), xai_tensor_free(s);
  xai_tensor_free(k), xai_tensor_free(c);
}
END_TEST

/* ---- filters ---- */

enum { C = 2, K = 3, H = 4, W = 5, KH = 2, KW = 3, OH = H - KH + 1, OW = W - KW + 1, CONV_N = C * H * W, CONV_M = K * OH * OW };

typedef struct filters {
  xai_tensor *w, *c, *b, *s, *dense_w, *dense_a, *dense_b;
} filters;

static filters some_filters(void) {
  static const int64_t w[] = {K, C, KH, KW}, c[] = {C}, b[] = {K}, one[] = {1}, wide[] = {CONV_N, CONV_M},
                       visible[] = {C, H, W}, hidden[] = {CONV_M};
  const float deviation = 0.8f;
  filters f = {scaled_by_chance(4, w, 1, 0.5f), tensor_by_chance(XAI_F32, 1, c, 2), tensor_by_chance(XAI_F32, 1, b, 3),
               tensor_of(XAI_F32, 1, one, &deviation), tensor_of(XAI_F32, 2, wide, NULL),
               tensor_of(XAI_F32, 3, visible, NULL), tensor_of(XAI_F32, 1, hidden, NULL)};
  for (int j = 0; j < CONV_M; j++) {
    const int k = j / (OH * OW), y = j / OW % OH, x = j % OW;
    writable(f.dense_b)[j] = floats(f.b)[k];
    for (int t = 0; t < C * KH * KW; t++) {
      const int i = t / (KH * KW) * H * W + (y + t / KW % KH) * W + x + t % KW;
      writable(f.dense_w)[i * CONV_M + j] = floats(f.w)[k * C * KH * KW + t];
    }
  }
  for (int i = 0; i < CONV_N; i++) writable(f.dense_a)[i] = floats(f.c)[i / (H * W)];
  return f;
}

static void filters_free(filters *f) {
  xai_tensor_free(f->w), xai_tensor_free(f->c), xai_tensor_free(f->b), xai_tensor_free(f->s);
  xai_tensor_free(f->dense_w), xai_tensor_free(f->dense_a), xai_tensor_free(f->dense_b);
}

START_TEST(filters_are_the_unrolled_matrix) {
  filters f = some_filters();
  const xai_param conv[] = {{"W", f.w, NULL, 0}, {"c", f.c, NULL, 0}, {"b", f.b, NULL, 0}, {"s", f.s, NULL, 0}};
  const xai_param dense[] = {{"W", f.dense_w, NULL, 0}, {"a", f.dense_a, NULL, 0}, {"b", f.dense_b, NULL, 0},
                             {"s", f.s, NULL, 0}};
  const int64_t shape[] = {3, C, H, W};
  xai_tensor *x = tensor_by_chance(XAI_F32, 4, shape, 7);
  xai_prior *p = prior_made("conv-rbm", conv, 4), *q = prior_made("rbm", dense, 4);
  xai_result *r = logp_of(p, x, 1), *want = logp_of(q, x, 1);
  for (int i = 0; i < 3; i++) ck_assert_double_eq_tol(doubles(r, "logp")[i], doubles(want, "logp")[i], 1e-4);
  expect_near("gradient", values(r, "gradient", NULL), values(want, "gradient", NULL), 3 * CONV_N, 1e-5);
  xai_result_free(r);
  xai_result_free(want);
  xai_tensor_free(x);
  xai_prior_free(p);
  xai_prior_free(q);
  filters_free(&f);
}
END_TEST

/* With pooling, the last sum of F is over blocks. */
START_TEST(pooled_blocks_are_the_definition) {
  enum { SIDE = 5, OUT = 4, POOL = 2 };
  const int64_t w[] = {2, 1, 2, 2}, c[] = {1}, b[] = {2}, shape[] = {1, 1, SIDE, SIDE};
  const float s = 0.7f;
  xai_tensor *tw = tensor_by_chance(XAI_F32, 4, w, 1), *tc = tensor_by_chance(XAI_F32, 1, c, 2);
  xai_tensor *tb = tensor_by_chance(XAI_F32, 1, b, 3), *ts = tensor_of(XAI_F32, 0, NULL, &s);
  xai_tensor *x = tensor_by_chance(XAI_F32, 4, shape, 4);
  const xai_param params[] = {{"W", tw, NULL, 0}, {"c", tc, NULL, 0}, {"b", tb, NULL, 0}, {"s", ts, NULL, 0},
                              {"pool", NULL, NULL, POOL}};
  xai_prior *p = prior_made("conv-rbm", params, 5);
  double want = 0;
  for (int i = 0; i < SIDE * SIDE; i++) want -= pow((double)floats(x)[i] - (double)floats(tc)[0], 2) / (2 * 0.49);
  for (int k = 0; k < 2; k++)
    for (int block = 0; block < 4; block++) {
      double sum = 1;
      for (int u = 0; u < 4; u++) {
        const int y = block / 2 * 2 + u / 2, at = block % 2 * 2 + u % 2;
        double pre = (double)floats(tb)[k];
        for (int t = 0; t < 4; t++)
          pre += (double)floats(tw)[k * 4 + t] * (double)floats(x)[(y + t / 2) * SIDE + at + t % 2] / 0.49;
        sum += exp(pre);
      }
      want += log(sum);
    }
  xai_result *r = logp_of(p, x, 1);
  ck_assert_double_eq_tol(*doubles(r, "logp"), want, 1e-4);
  const int64_t odd[] = {1, 1, 6, 6};
  xai_tensor *other = tensor_of(XAI_F32, 4, odd, NULL);
  xai_result *none;
  ck_assert_int_eq(xai_prior_logp(p, other, NULL, &none, &net_error), XAI_E_INPUT);
  ck_assert_msg(strstr(net_error.text, "pool=2"), "%s", net_error.text);
  xai_result_free(r);
  xai_prior_free(p);
  xai_tensor_free(tw), xai_tensor_free(tc), xai_tensor_free(tb), xai_tensor_free(ts);
  xai_tensor_free(x), xai_tensor_free(other);
}
END_TEST

/* ---- chance ---- */

/* Gibbs samples: after a hundred steps each is independent of its start. */
START_TEST(samples_have_the_moments) {
  enum { SAMPLES = 20000 };
  small k = small_machine(0.5f);
  xai_prior *p = small_prior(&k);
  const xai_param params[] = {{"samples", NULL, NULL, SAMPLES}, {"steps", NULL, NULL, 100}};
  const xai_request request = {.struct_size = sizeof request, .params = params, .n_params = 2, .random_seed = 5};
  xai_result *r, *again;
  const xai_options two = {.struct_size = sizeof two, .threads = 2};
  ck_assert_msg(!xai_prior_sample(p, &request, NULL, &r, &net_error), "%s", net_error.text);
  ck_assert(!xai_prior_sample(p, &request, &two, &again, &net_error));
  expect_same_result("threads", again, r);
  const float *x = values(r, "samples", NULL);
  for (int i = 0; i < N; i++) {
    double mean = 0, square = 0;
    for (int n = 0; n < SAMPLES; n++) {
      mean += (double)x[n * N + i] / SAMPLES;
      square += (double)x[n * N + i] * (double)x[n * N + i] / SAMPLES;
    }
    const double variance = k.square[i] - k.mean[i] * k.mean[i], room = 5 * sqrt(variance / SAMPLES);
    ck_assert_msg(fabs(mean - k.mean[i]) < room, "mean %d is %g, not %g", i, mean, k.mean[i]);
    ck_assert_msg(fabs(square - k.square[i]) < 5 * sqrt(3 * k.square[i] * k.square[i] / SAMPLES),
                  "square %d is %g, not %g", i, square, k.square[i]);
  }
  xai_result_free(r);
  xai_result_free(again);
  xai_prior_free(p);
  small_free(&k);
}
END_TEST

static xai__rbm small_rbm(const small *k, float spread[3 * N + M]) {
  xai__rbm r = {.channels = N, .filters = M, .pool = 1, .kernel = {1, 1}, .size = {1, 1}, .out = {1, 1},
                .n = N, .m = M, .w = floats(k->w)};
  xai__rbm_spread(&r, floats(k->a), floats(k->s), N, floats(k->b), spread);
  return r;
}

START_TEST(log_z_by_enumeration_and_by_annealing) {
  small k = small_machine(0.7f);
  float spread[3 * N + M];
  const xai__rbm r = small_rbm(&k, spread);
  xai__engine *e;
  double exact, annealed, deviation;
  ck_assert(!xai__engine_create(NULL, 1, 0, &e, &net_error));
  ck_assert(!xai__rbm_log_z_exact(&r, e, &exact, &net_error));
  ck_assert_double_eq_tol(exact, k.log_z, 1e-5);
  ck_assert(!xai__rbm_log_z_ais(&r, e, 200, 500, 3, &annealed, &deviation, &net_error));
  ck_assert_msg(fabs(annealed - exact) < 5 * deviation + 1e-3 && deviation < 0.05, "%g +- %g, not %g", annealed,
                deviation, exact);
  xai__engine_free(e);
  small_free(&k);
}
END_TEST

/* The same of filters with pooling, whose states are fewer. */
START_TEST(log_z_with_pooling) {
  enum { SIDE = 5, PLANE = 16 };
  const int64_t w[] = {1, 1, 2, 2};
  xai_tensor *tw = scaled_by_chance(4, w, 1, 0.5f);
  const float c = 0.1f, s = 0.8f, b = -0.2f;
  float spread[3 * SIDE * SIDE + PLANE];
  xai__rbm r = {.conv = true, .channels = 1, .filters = 1, .kernel = {2, 2}, .pool = 2, .w = floats(tw)};
  xai__engine *e;
  double exact, annealed, deviation;
  ck_assert(!xai__rbm_resize(&r, SIDE, SIDE, "test", &net_error));
  xai__rbm_spread(&r, &c, &s, 1, &b, spread);
  ck_assert(!xai__engine_create(NULL, 1, 0, &e, &net_error));
  ck_assert(!xai__rbm_log_z_exact(&r, e, &exact, &net_error));
  ck_assert(!xai__rbm_log_z_ais(&r, e, 200, 500, 3, &annealed, &deviation, &net_error));
  ck_assert_msg(fabs(annealed - exact) < 5 * deviation + 1e-3 && deviation < 0.05, "%g +- %g, not %g", annealed,
                deviation, exact);
  xai__engine_free(e);
  xai_tensor_free(tw);
}
END_TEST

/* Whatever the instruction set: uniform bits that are the same, and normal numbers that are normal. */
START_TEST(chance_is_the_same_on_every_isa) {
  enum { COUNT = 64 * 1000 + 17 };
  float *pre = calloc(COUNT, sizeof *pre), *state[2], *z[2];
  for (int i = 0; i < COUNT; i++) pre[i] = (float)(i % 9) / 2 - 2;
  for (int k = 0; k < 2; k++) {
    xai__engine *e;
    ck_assert(!xai__engine_create(NULL, k + 1, k ? 0 : 1, &e, &net_error));
    state[k] = calloc(COUNT, sizeof(float));
    z[k] = calloc(COUNT, sizeof(float));
    xai__bernoulli b = {5, 6, COUNT, 0, 1, 1, pre, NULL, state[k]};
    xai__normal_units u = {5, 7, COUNT, 0, z[k]};
    xai__parallel(e, xai__groups(COUNT), 1, xai__units_of(e)->bernoulli, &b);
    xai__parallel(e, xai__groups(COUNT), 1, xai__units_of(e)->normals, &u);
    xai__engine_free(e);
  }
  double on[9] = {0}, moment[5] = {0};
  int differ = 0;
  for (int i = 0; i < COUNT; i++) {
    differ += state[0][i] != state[1][i];
    on[i % 9] += (double)state[0][i] * 9 / COUNT;
    ck_assert_msg(fabsf(z[0][i] - z[1][i]) < 1e-5f * (1 + fabsf(z[0][i])), "%d: %g, %g", i, (double)z[0][i], (double)z[1][i]);
    for (int k = 1; k < 5; k++) moment[k] += pow((double)z[0][i], k) / COUNT;
  }
  ck_assert_int_le(differ, 1); /* a probability at the very edge of a number */
  for (int k = 0; k < 9; k++) ck_assert_double_eq_tol(on[k], 1 / (1 + exp(2 - k / 2.0)), 0.03);
  ck_assert_double_eq_tol(moment[1], 0, 5 / sqrt(COUNT));
  ck_assert_double_eq_tol(moment[2], 1, 5 * sqrt(2.0 / COUNT));
  ck_assert_double_eq_tol(moment[3], 0, 5 * sqrt(15.0 / COUNT));
  ck_assert_double_eq_tol(moment[4], 3, 5 * sqrt(96.0 / COUNT));
  uint32_t words[4];
  xai__philox(5, 6, 3, words); /* block 3 of group 0 makes elements 3, 19, 35, 51 */
  for (int j = 0; j < 4; j++) {
    const double u = ((words[j] >> 9) + 0.5) / 8388608, p = 1 / (1 + exp(-(double)pre[16 * j + 3]));
    ck_assert_int_eq(state[0][16 * j + 3] > 0, u < p);
  }
  free(pre);
  for (int k = 0; k < 2; k++) free(state[k]), free(z[k]);
}
END_TEST

/* ---- training ---- */

static const char *const trainings[] = {
    "hidden=6,rate=0.02,batch=50,deviation=0.6",
    "hidden=6,rate=0.02,batch=50,steps=5,variance=learned",
    "hidden=6,rate=0.01,batch=50,persistent=on,momentum=0,deviation=0.6",
    "hidden=6,rate=0.05,batch=50,visible=mean,momentum=0,deviation=0.6",
};

/* Items around (-1, -1) and (1, 1). */
static xai_tensor *two_heaps(int64_t items, uint64_t seed) {
  const fit_case shape = {"", "rbm", "", 2, {0, 2}, true};
  xai_tensor *t = fit_data(&shape, items, seed);
  for (int64_t i = 0; i < 2 * items; i++) writable(t)[i] = 0.4f * floats(t)[i] + (i / 2 % 2 ? 1.0f : -1.0f);
  return t;
}

/* The exact log p rises, for other data too, above that of the one Gaussian it starts from; both heaps
 * are modes, and what is between them is not. */
START_TEST(training_raises_the_exact_likelihood) {
  const int64_t three[] = {3, 2};
  double logp[2], held[2];
  xai_tensor *data = two_heaps(1000, 1), *other = two_heaps(500, 2);
  xai_tensor *x = tensor_of(XAI_F32, 2, three, (const float[]){-1, -1, 0, 0, 1, 1});
  for (int k = 0; k < 2; k++) {
    char params[128];
    snprintf(params, sizeof params, "%s,epochs=%d", trainings[_i], k ? 100 : 1);
    const fit_case c = {"", "rbm", params, 2, {0, 2}, true};
    xai_result *r = fit_of(&c, data, other, 1);
    logp[k] = *doubles(r, "fit/logp");
    held[k] = *doubles(r, "fit/logp-held-out");
    xai_prior *p = prior_of_fit(r);
    xai_result *at = logp_of(p, x, 1);
    for (int heap = 0; heap < 3 && k; heap += 2)
      ck_assert_double_gt(doubles(at, "logp")[heap], doubles(at, "logp")[1] + 0.5);
    xai_result_free(at);
    xai_prior_free(p);
    xai_result_free(r);
  }
  ck_assert_msg(logp[1] > logp[0] + 0.3, "log p %g, then %g", logp[0], logp[1]);
  ck_assert_msg(held[1] > held[0] + 0.3, "held out: %g, then %g", held[0], held[1]);
  xai_tensor_free(x);
  xai_tensor_free(data);
  xai_tensor_free(other);
}
END_TEST

/* Few items and many units: the gap between data and held-out data grows. */
START_TEST(the_gap_shows_overfitting) {
  const fit_case c = {"", "rbm", "hidden=60,epochs=300,rate=0.05,batch=10,decay=0,betas=0", 2, {0, 12}, true};
  xai_tensor *data = fit_data(&c, 20, 1), *held = fit_data(&c, 200, 2);
  xai_result *r = fit_of(&c, data, held, 1);
  const float *gap = values(r, "trace/gap", NULL), *error = values(r, "trace/reconstruction", NULL);
  ck_assert_msg(gap[299] > gap[0] + 1, "the gap is %g, then %g", (double)gap[0], (double)gap[299]);
  ck_assert_msg(error[299] < error[0], "the reconstruction %g, then %g", (double)error[0], (double)error[299]);
  xai_result_free(r);
  xai_tensor_free(data);
  xai_tensor_free(held);
}
END_TEST

START_TEST(sparsity_is_reached) {
  const fit_case c = {"", "rbm", "hidden=10,epochs=100,rate=0.02,sparsity=0.1,sparsity-cost=5", 2, {0, 6}, true};
  xai_tensor *data = fit_data(&c, 1000, 1);
  xai_result *r = fit_of(&c, data, NULL, 1);
  const float *w = values(r, "W", NULL), *b = values(r, "b", NULL), s = *values(r, "s", NULL);
  double on = 0;
  for (int k = 0; k < 1000; k++)
    for (int j = 0; j < 10; j++) {
      double pre = (double)b[j];
      for (int i = 0; i < 6; i++) pre += (double)w[i * 10 + j] * (double)floats(data)[k * 6 + i] / (double)(s * s);
      on += 1 / (1 + exp(-pre)) / 10000;
    }
  ck_assert_double_eq_tol(on, 0.1, 0.04);
  xai_result_free(r);
  xai_tensor_free(data);
}
END_TEST

/* Filters that see a stripe: exact likelihood of 3 x 3 pictures with one map of 2 x 2. */
START_TEST(filters_learn) {
  double logp[2];
  for (int k = 0; k < 2; k++) {
    const fit_case c = {"", "conv-rbm", k ? "filters=2,side=2,epochs=40,rate=0.05,batch=20,deviation=0.5" : "filters=2,side=2,epochs=1,rate=0,batch=20,deviation=0.5",
                        4, {0, 1, 3, 3}, true};
    xai_tensor *data = fit_data(&c, 400, 1);
    for (int i = 0; i < 3600; i++) /* a row that is bright */
      writable(data)[i] = 0.3f * floats(data)[i] + (i / 9 * 7 % 3 == i / 3 % 3 ? 2.0f : 0);
    xai_result *r = fit_of(&c, data, NULL, 1);
    logp[k] = *doubles(r, "fit/logp");
    xai_result_free(r);
    xai_tensor_free(data);
  }
  ck_assert_msg(logp[1] > logp[0] + 2, "log p %g, then %g", logp[0], logp[1]);
}
END_TEST

/* Nothing to learn but a mean and a deviation. */
START_TEST(a_fit_without_hidden_units_is_the_gaussian) {
  const fit_case c = {"", "rbm", "hidden=0,epochs=2,rate=0", 2, {0, 3}, true};
  xai_tensor *data = fit_data(&c, 300, 1);
  xai_result *r = fit_of(&c, data, NULL, 1);
  double mean[3] = {0}, variance = 0;
  for (int i = 0; i < 900; i++) mean[i % 3] += (double)floats(data)[i] / 300;
  for (int i = 0; i < 900; i++) variance += pow((double)floats(data)[i] - mean[i % 3], 2) / 900;
  for (int i = 0; i < 3; i++) ck_assert_double_eq_tol((double)values(r, "a", NULL)[i], mean[i], 1e-5);
  ck_assert_double_eq_tol(*doubles(r, "fit/logp"), -1.5 * (log(2 * 3.14159265358979323846 * variance) + 1), 1e-4);
  xai_result_free(r);
  xai_tensor_free(data);
}
END_TEST

START_TEST(divergence_is_said) {
  const fit_case c = {"", "rbm", "hidden=20,epochs=50,rate=1e6", 2, {0, 6}, true};
  xai_tensor *data = fit_data(&c, 200, 1);
  xai_result *r;
  ck_assert_int_eq(fit_status(&c, data, NULL, NULL, NULL, NULL, &r), XAI_E_NUMBER);
  ck_assert_msg(strstr(net_error.text, "diverged"), "%s", net_error.text);
  ck_assert_ptr_null(r);
  xai_tensor_free(data);
}
END_TEST

int main(void) {
  Suite *s = suite_create("prior_rbm");
  TCase *t = tcase_create("prior_rbm");
  tcase_add_test(t, density_is_the_sum_over_hidden_states);
  tcase_add_test(t, density_integrates_to_one);
  tcase_add_test(t, without_hidden_units_it_is_the_gaussian);
  tcase_add_test(t, without_visible_units_it_is_refused);
  tcase_add_test(t, filters_are_the_unrolled_matrix);
  tcase_add_test(t, pooled_blocks_are_the_definition);
  tcase_add_test(t, samples_have_the_moments);
  tcase_add_test(t, log_z_by_enumeration_and_by_annealing);
  tcase_add_test(t, log_z_with_pooling);
  tcase_add_test(t, chance_is_the_same_on_every_isa);
  tcase_add_loop_test(t, training_raises_the_exact_likelihood, 0, sizeof trainings / sizeof *trainings);
  tcase_add_test(t, the_gap_shows_overfitting);
  tcase_add_test(t, sparsity_is_reached);
  tcase_add_test(t, filters_learn);
  tcase_add_test(t, a_fit_without_hidden_units_is_the_gaussian);
  tcase_add_test(t, divergence_is_said);
  suite_add_tcase(s, t);
  SRunner *r = srunner_create(s);
  srunner_run_all(r, CK_ENV);
  int failed = srunner_ntests_failed(r);
  srunner_free(r);
  return failed != 0;
}

/* The method prototype: known maxima, the same bits however it is run, what it says of bad requests. */
#include "models.h"
#include "net.h"
#include "prior/prior.h"

static const char linear[] = "opset 13; input x N,3; const w 3,2 = 1 -2 0.5 1 -1 3; output y; y = MatMul(x, w)";
static const char pictures[] =
    "opset 13; input x N,1,8,8; const w 4,1,3,3 ~1; const v 64,5 ~2; output y;"
    "a = Conv(x, w) pads=[1,1,1,1]; b = Tanh(a); p = AveragePool(b) kernel_shape=[2,2] strides=[2,2];"
    "f = Flatten(p); y = MatMul(f, v)";
static const char one_at_a_time[] =
    "opset 13; input x 1,1,8,8; const w 4,1,3,3 ~1; const v 64,5 ~2; output y;"
    "a = Conv(x, w) pads=[1,1,1,1]; b = Tanh(a); p = AveragePool(b) kernel_shape=[2,2] strides=[2,2];"
    "f = Flatten(p); y = MatMul(f, v)";
static const char decoder[] = "opset 13; input z N,6; const u 6,64 ~5; const s i64 4 = -1 1 8 8; output x;"
                              "a = MatMul(z, u); b = Tanh(a); x = Reshape(b, s)";

static xai_prior *prior_by(const char *kind, const char *key, const xai_tensor *t) {
  xai_prior *p;
  xai_param param = {key, t, NULL, 0};
  ck_assert_msg(!xai_prior_create(kind, &param, key != NULL, &p, &net_error), "%s", net_error.text);
  return p;
}

static double score(const xai_result *r, int64_t i) { return (double)values(r, "score", NULL)[i]; }

/* ---- known maxima ---- */

/* w'x - eta |x - x0|^2 is largest at x0 + w / (2 eta); with a linear map around the optimiser, too. */
START_TEST(linear_score_near_a_point) {
  static const char *const how[] = {
      "prototype,score=logit,optimizer=gradient,rate=0.1,init=zeros",
      "prototype,score=logit,optimizer=momentum,rate=0.02,steps=400,init=zeros",
      "prototype,score=logit,optimizer=adam,rate=0.01,steps=3000",
      "prototype,score=logit,optimizer=gradient,rate=0.1,init=mean"};
  net n = net_open(linear, 1);
  xai_tensor *x0 = FLOATS(3, 0.5f, -1, 2), *both = INTS(2, 0, 1);
  xai_prior *near = prior_by("near", "x0", x0);
  const xai_term term = {near, 2, NULL};
  const float want[] = {0.75f, -0.875f, 1.75f, 0, -0.75f, 2.75f};
  for (size_t i = 0; i < sizeof how / sizeof *how; i++) {
    xai_result *r = explain(&n, (ask){how[i], .target = both, .terms = &term, .n_terms = 1});
    expect_near(how[i], values(r, "prototype", NULL), want, 6, 2e-3);
    ck_assert_float_eq_tol(values(r, "prior", NULL)[1], -(0.25f + 0.0625f + 0.5625f), 1e-2f);
    xai_result_free(r);
  }
  xai_prior_free(near);
  xai_tensor_free(x0);
  xai_tensor_free(both);
  net_close(&n);
}
END_TEST

/* w'x + log N(x; m, S) is largest at m + S w, S = L L'. */
START_TEST(linear_score_under_a_gaussian) {
  net n = net_open(linear, 1);
  const float m[] = {0.5f, -1, 2}, L[] = {1, 0, 0, 0.5f, 0.75f, 0, -0.25f, 0.5f, 0.5f}, w[] = {-2, 1, 3};
  xai_tensor *mean = FLOATS(3, 0.5f, -1, 2), *class = INTS(1, 1);
  xai_tensor *factor = tensor_of(XAI_F32, 2, (int64_t[]){3, 3}, L);
  const xai_param params[] = {{"mean", mean, NULL, 0}, {"factor", factor, NULL, 0}};
  xai_prior *p;
  ck_assert_msg(!xai_prior_create("gaussian", params, 2, &p, &net_error), "%s", net_error.text);
  const xai_term term = {p, 1, NULL};
  float want[3];
  for (int i = 0; i < 3; i++) {
    want[i] = m[i];
    for (int j = 0; j < 3; j++)
      for (int k = 0; k < 3; k++) want[i] += L[3 * i + k] * L[3 * j + k] * w[j];
  }
  xai_result *r = explain(&n, (ask){"prototype,score=logit,optimizer=gradient,rate=0.1,steps=3000,init=mean",
                                    .target = class, .terms = &term, .n_terms = 1});
  expect_near("m + S w", values(r, "prototype", NULL), want, 3, 1e-3);
  xai_result_free(r);
  xai_prior_free(p);
  xai_tensor_free(mean);
  xai_tensor_free(factor);
  xai_tensor_free(class);
  net_close(&n);
}
END_TEST

/* A heavy expert wins: its mode. None, or one of weight 0, the same bits. */
START_TEST(the_weight_of_the_expert) {
  net n = net_open(pictures, 1);
  xai_tensor *class = INTS(1, 3), *mean = tensor_by_chance(XAI_F32, 4, (int64_t[]){1, 1, 8, 8}, 9);
  xai_prior *p = prior_by("mean", "mean", mean);
  xai_term term = {p, 1000, NULL};
  ask a = {"prototype,optimizer=gradient,rate=4e-4", .target = class, .terms = &term, .n_terms = 1};
  xai_result *r = explain(&n, a);
  expect_near("mode", values(r, "prototype", NULL), floats(mean), 64, 1e-3);
  xai_result_free(r);
  a.method = "prototype,steps=20";
  term.weight = 0;
  r = explain(&n, a);
  a.n_terms = 0;
  xai_result *none = explain(&n, a);
  ck_assert(!memcmp(values(r, "prototype", NULL), values(none, "prototype", NULL), 64 * 4));
  ck_assert_double_eq(score(r, 0), score(none, 0));
  xai_result_free(r);
  xai_result_free(none);
  xai_prior_free(p);
  xai_tensor_free(class);
  xai_tensor_free(mean);
  net_close(&n);
}
END_TEST

/* The network's own score at the prototype, as log-prob and as logit; and that an ascent ascends. */
START_TEST(scores_are_the_networks) {
  static const char *const how[] = {"prototype,steps=60", "prototype,steps=60,score=logit",
                                    "prototype,steps=60,jitter=2", "prototype,steps=60,blur=2",
                                    "prototype,steps=60,frequency=1,low=-1,high=1"};
  net n = net_open(pictures, 1);
  xai_tensor *classes = INTS(3, 4, 0, 2);
  for (size_t i = 0; i < sizeof how / sizeof *how; i++) {
    xai_result *r = explain(&n, (ask){how[i], .target = classes, .trace = 1});
    xai_result *run = explain(&n, (ask){NULL, .x = {xai_result_find(r, "prototype")}});
    const float *y = values(run, "output/y", NULL), *first = values(r, "trace/score", NULL);
    for (int k = 0; k < 3; k++) {
      static const int class[] = {4, 0, 2};
      double sum = 0, f = (double)y[5 * k + class[k]];
      for (int c = 0; c < 5; c++) sum += exp((double)y[5 * k + c]);
      ck_assert_double_eq_tol(score(r, k), i == 1 ? f : f - log(sum), 1e-5);
      if (i != 2) ck_assert_double_gt(score(r, k), (double)first[k] + 0.3); /* 2: where it lies */
    }
    xai_result_free(run);
    xai_result_free(r);
  }
  xai_tensor_free(classes);
  net_close(&n);
}
END_TEST

/* A hidden unit by its index, a channel by a mask: their own value is the score. */
START_TEST(hidden_units_and_channels) {
  net n = net_open(pictures, 1);
  float mask[64] = {0};
  for (int i = 16; i < 32; i++) mask[i] = 1.0f / 16; /* the mean of channel 1 */
  xai_tensor *unit = INTS(1, 17), *channel = tensor_of(XAI_F32, 3, (int64_t[]){4, 4, 4}, mask);
  xai_result *r = explain(&n, (ask){"prototype,low=-1,high=1", .from = "p", .target = unit});
  xai_result *all = explain(&n, (ask){"prototype,low=-1,high=1", .from = "p", .target = channel});
  xai_result *run = explain(&n, (ask){NULL, .at = "p", .x = {xai_result_find(all, "prototype")}});
  ck_assert_double_gt(score(r, 0), 0.9);
  ck_assert_double_gt(score(all, 0), 0.5);
  ck_assert_double_eq_tol(score(all, 0), sum_of(values(run, "output/p", NULL) + 16, 16) / 16, 1e-5);
  ck_assert_ptr_null(xai_result_find(all, "target"));
  xai_result_free(run);
  xai_result_free(all);
  xai_result_free(r);
  xai_tensor_free(unit);
  xai_tensor_free(channel);
  net_close(&n);
}
END_TEST

START_TEST(the_box_holds) {
  net n = net_open(pictures, 1);
  float low[64], high[64];
  for (int i = 0; i < 64; i++) low[i] = -(high[i] = 0.01f * (float)(i + 1));
  xai_tensor *class = INTS(1, 0), *at_least = tensor_of(XAI_F32, 3, (int64_t[]){1, 8, 8}, low);
  xai_tensor *at_most = tensor_of(XAI_F32, 3, (int64_t[]){1, 8, 8}, high);
  const xai_param box[] = {{"low", at_least, NULL, 0}, {"high", at_most, NULL, 0}};
  static const char *const how[] = {"prototype,noise=3", "prototype,frequency=1.5,rate=0.3"};
  for (int i = 0; i < 2; i++) {
    xai_result *r = explain(&n, (ask){how[i], .target = class, .more = box, .n_more = 2});
    const float *x = values(r, "prototype", NULL);
    int reached = 0;
    for (int k = 0; k < 64; k++) {
      ck_assert(x[k] >= low[k] && x[k] <= high[k]);
      reached += x[k] == low[k] || x[k] == high[k];
    }
    ck_assert_int_gt(reached, 30);
    xai_result_free(r);
  }
  xai_tensor_free(class);
  xai_tensor_free(at_least);
  xai_tensor_free(at_most);
  net_close(&n);
}
END_TEST

/* The cosine transform is orthonormal: with f^0 the ascent by gradient is the plain one; a narrow blur
 * is none. */
START_TEST(maps_that_change_nothing) {
  static const char *const how[] = {"prototype,optimizer=gradient,frequency=1e-9",
                                    "prototype,optimizer=gradient,blur=0.1"};
  net n = net_open(pictures, 1);
  xai_tensor *class = INTS(1, 1);
  xai_result *plain = explain(&n, (ask){"prototype,optimizer=gradient", .target = class});
  for (int i = 0; i < 2; i++) {
    xai_result *r = explain(&n, (ask){how[i], .target = class});
    expect_near(how[i], values(r, "prototype", NULL), values(plain, "prototype", NULL), 64, 1e-4);
    xai_result_free(r);
  }
  xai_result_free(plain);
  xai_tensor_free(class);
  net_close(&n);
}
END_TEST

/* ---- generators ---- */

/* A decoder that does nothing: the plain search, bit for bit, wherever the priors are. */
START_TEST(the_identity_decodes_nothing) {
  net n = net_open(pictures, 1);
  xai_graph *same = graph_open("opset 13; input z N,1,8,8; const one = 1; output x; x = Mul(z, one)");
  xai_tensor *classes = INTS(2, 1, 2);
  xai_prior *l2 = prior_by("l2", NULL, NULL);
  xai_term term = {l2, 0.01, NULL};
  static const char *const how[] = {"prototype,restarts=2", "prototype,jitter=1,frequency=1,low=0,high=1"};
  for (int i = 0; i < 2; i++) {
    ask a = {how[i], .target = classes, .terms = &term, .n_terms = 1};
    xai_result *plain = explain(&n, a);
    a.decoder = same;
    for (int on = 0; on < 3; on++) {
      static const char *const space[] = {NULL, "code", "input"};
      int64_t count;
      term.on = space[on];
      xai_result *r = explain(&n, a);
      const float *x = values(plain, "prototype", &count);
      ck_assert(!memcmp(values(r, "prototype", NULL), x, (size_t)count * 4));
      ck_assert(!memcmp(values(r, "code", NULL), x, (size_t)count * 4));
      xai_result_free(r);
    }
    term.on = NULL;
    xai_result_free(plain);
  }
  xai_prior_free(l2);
  xai_graph_free(same);
  xai_tensor_free(classes);
  net_close(&n);
}
END_TEST

/* Through a decoder: prototype = g(code), and the code's prior is over codes. */
START_TEST(search_in_code_space) {
  net n = net_open(pictures, 1), d = net_open(decoder, 1);
  xai_tensor *classes = INTS(2, 0, 3);
  xai_prior *l2 = prior_by("l2", NULL, NULL);
  const xai_term term = {l2, 0.05, NULL};
  xai_result *r = explain(&n, (ask){"prototype,restarts=2", .target = classes, .terms = &term,
                                    .n_terms = 1, .decoder = d.g, .trace = 10});
  xai_result *x = explain(&d, (ask){NULL, .x = {xai_result_find(r, "code")}});
  const float *code = values(r, "code", NULL);
  expect_near("g(code)", values(r, "prototype", NULL), values(x, "output/x", NULL), 4 * 64, 1e-6);
  for (int i = 0; i < 4; i++) {
    double norm = 0;
    for (int k = 0; k < 6; k++) norm += (double)code[6 * i + k] * (double)code[6 * i + k];
    ck_assert_float_eq_tol(values(r, "prior", NULL)[i], (float)-norm, 1e-4f);
    ck_assert_double_gt(score(r, i), (double)values(r, "trace/score", NULL)[i]);
  }
  xai_result_free(x);
  xai_result_free(r);
  xai_prior_free(l2);
  xai_tensor_free(classes);
  net_close(&n);
  net_close(&d);
}
END_TEST

/* ---- the same bits ---- */

/* The items of target k among those of all. */
static void expect_target(const xai_result *all, int64_t k, const xai_result *alone) {
  int64_t n, items;
  const float *x = values(alone, "prototype", &n), *f = values(alone, "score", &items);
  ck_assert(!memcmp(values(all, "prototype", NULL) + k * n, x, (size_t)n * 4));
  ck_assert(!memcmp(values(all, "score", NULL) + k * items, f, (size_t)items * 4));
}

/* Of threads, of a network that takes one item a time, of each target alone. */
START_TEST(same_bits_however_it_runs) {
  static const char how[] = "prototype,steps=30,restarts=2,jitter=1,blur=1,frequency=1";
  net n = net_open(pictures, 1), one = net_open(one_at_a_time, 2), d = net_open(decoder, 1);
  xai_tensor *classes = INTS(3, 0, 4, 2);
  const xai_graph *with[] = {NULL, d.g};
  for (int k = 0; k < 2; k++) {
    ask a = {k ? "prototype,steps=30,restarts=2,jitter=1" : how, .target = classes, .decoder = with[k],
             .random_seed = 7};
    xai_result *r = explain(&n, a), *other;
    for (int threads = 2; threads < 5; threads++) {
      net many = net_open(pictures, threads);
      other = explain(&many, a);
      expect_same_result("threads", other, r);
      xai_result_free(other);
      net_close(&many);
    }
    other = explain(&one, a);
    expect_same_result("batch of one", other, r);
    xai_result_free(other);
    for (int64_t c = 0; c < 3; c++) {
      xai_tensor *class = INTS(1, ((const int64_t *)xai_tensor_data(classes))[c]);
      a.target = class;
      other = explain(&n, a);
      expect_target(r, c, other);
      xai_result_free(other);
      xai_tensor_free(class);
    }
    a.target = classes;
    a.random_seed = 8;
    other = explain(&n, a);
    ck_assert_double_ne(score(r, 0), score(other, 0));
    ck_assert_double_ne(score(r, 0), score(r, 1)); /* restarts begin elsewhere */
    xai_result_free(other);
    xai_result_free(r);
  }
  xai_tensor_free(classes);
  net_close(&n);
  net_close(&one);
  net_close(&d);
}
END_TEST

/* Of several restarts the one of the highest score. */
START_TEST(the_best_restart) {
  net n = net_open(pictures, 1), d = net_open(decoder, 1);
  xai_tensor *classes = INTS(3, 4, 0, 2);
  for (int coded = 0; coded < 2; coded++) {
    ask a = {"prototype,steps=10,restarts=5,noise=1", .target = classes, .decoder = coded ? d.g : NULL};
    xai_result *all = explain(&n, a);
    a.method = "prototype,steps=10,restarts=5,noise=1,keep=best";
    xai_result *best = explain(&n, a);
    for (int k = 0; k < 3; k++) {
      int first = 5 * k;
      for (int i = first; i < 5 * k + 5; i++)
        if (score(all, i) > score(all, first)) first = i;
      ck_assert_double_eq(score(best, k), score(all, first));
      ck_assert(!memcmp(values(best, "prototype", NULL) + 64 * k, values(all, "prototype", NULL) + 64 * first, 64 * 4));
    }
    xai_result_free(all);
    xai_result_free(best);
  }
  xai_tensor_free(classes);
  net_close(&n);
  net_close(&d);
}
END_TEST

/* A start that is given; with further restarts around it. */
START_TEST(starts) {
  net n = net_open(pictures, 1);
  xai_tensor *class = INTS(1, 2), *x = net_input(&n, 0, 1, 3), *two = net_input(&n, 0, 2, 4);
  ask a = {"prototype,steps=1,rate=0", .target = class, .x = {x}};
  xai_result *r = explain(&n, a);
  ck_assert(!memcmp(values(r, "prototype", NULL), floats(x), 64 * 4));
  xai_result_free(r);
  a.method = "prototype,steps=1,rate=0,restarts=2";
  r = explain(&n, a);
  ck_assert(!memcmp(values(r, "prototype", NULL), floats(x), 64 * 4));
  ck_assert(memcmp(values(r, "prototype", NULL) + 64, floats(x), 64 * 4));
  xai_result_free(r);
  a.method = "prototype,steps=1,rate=0,restarts=2,noise=0";
  a.x[0] = two;
  r = explain(&n, a);
  ck_assert(!memcmp(values(r, "prototype", NULL), floats(two), 128 * 4));
  xai_result_free(r);
  xai_tensor_free(two);
  xai_tensor_free(x);
  xai_tensor_free(class);
  net_close(&n);
}
END_TEST

/* Other inputs stay as they are given; one item serves all. */
START_TEST(the_other_inputs_are_fixed) {
  net n = net_open("opset 13; input x N,3; input gate N,3; const w 3,2 ~1; output y; a = Mul(x, gate); y = MatMul(a, w)", 1);
  xai_tensor *classes = INTS(2, 0, 1), *gate = FLOATS(3, 1, 0, 1);
  xai_result *r = explain(&n, (ask){"prototype,score=logit,init=zeros", .target = classes, .x = {NULL, gate}});
  const float *x = values(r, "prototype", NULL);
  ck_assert_float_eq(x[1], 0); /* behind the closed gate */
  ck_assert_float_ne(x[0], 0);
  ck_assert_float_eq(x[4], 0);
  xai_result_free(r);
  r = explain(&n, (ask){"prototype,score=logit,init=zeros", .at = "gate", .target = classes, .x = {gate}});
  ck_assert_float_ne(values(r, "prototype", NULL)[0], 0);
  xai_result_free(r);
  xai_tensor_free(classes);
  xai_tensor_free(gate);
  net_close(&n);
}
END_TEST

/* ---- cancel, trace, priors of one's own ---- */

static int stop_after(void *left, const char *stage, double done, double seconds) {
  (void)stage, (void)seconds;
  ck_assert(done >= 0 && done <= 1);
  return --*(int *)left <= 0;
}

START_TEST(a_cancelled_ascent_gives_its_best) {
  net n = net_open(pictures, 1), d = net_open(decoder, 1);
  xai_tensor *class = INTS(1, 2);
  for (int coded = 0; coded < 2; coded++) {
    int left = 400;
    ask a = {"prototype,steps=100000", .target = class, .decoder = coded ? d.g : NULL,
             .progress = stop_after, .user = &left};
    xai_result *r, *start;
    ck_assert_int_eq(ask_status(&n, a, &r, NULL, &net_error), XAI_E_CANCELLED);
    ck_assert_ptr_nonnull(r);
    ck_assert_int_eq(*(const int64_t *)xai_tensor_data(found(r, "partial")), 1);
    start = explain(&n, (ask){"prototype,steps=1,rate=0", .target = class, .decoder = a.decoder});
    ck_assert_ptr_null(xai_result_find(start, "partial"));
    ck_assert_double_gt(score(r, 0), score(start, 0));
    xai_result_free(start);
    xai_result_free(r);
    left = 1; /* before anything is known */
    ck_assert_int_eq(ask_status(&n, a, &r, NULL, &net_error), XAI_E_CANCELLED);
    ck_assert_ptr_null(r);
  }
  xai_tensor_free(class);
  net_close(&n);
  net_close(&d);
}
END_TEST

START_TEST(the_trace_tells_the_way) {
  net n = net_open(pictures, 1);
  xai_tensor *classes = INTS(2, 0, 1);
  xai_prior *l2 = prior_by("l2", NULL, NULL);
  const xai_term terms[] = {{l2, 0.01, NULL}, {l2, 0.02, NULL}};
  xai_result *r = explain(&n, (ask){"prototype,steps=50,restarts=3", .target = classes, .terms = terms,
                                    .n_terms = 2, .trace = 20});
  const int64_t *shape, *step = xai_tensor_data(found(r, "trace/step"));
  ck_assert_int_eq(xai_tensor_shape(found(r, "trace/prior"), &shape), 4);
  ck_assert(shape[0] == 3 && shape[1] == 2 && shape[2] == 2 && shape[3] == 3);
  ck_assert(step[0] == 0 && step[1] == 20 && step[2] == 40);
  const float *score_at = values(r, "trace/score", NULL), *prior_at = values(r, "trace/prior", NULL);
  for (int i = 0; i < 6; i++) {
    ck_assert_float_gt(score_at[6 + i], score_at[i]);
    ck_assert_float_eq(prior_at[i], prior_at[6 + i]); /* the same prior twice */
  }
  xai_result_free(r);
  xai_prior_free(l2);
  xai_tensor_free(classes);
  net_close(&n);
}
END_TEST

static int own_logp(void *user, int64_t batch, int64_t n, const float *x, double *logp, float *g) {
  ++*(int *)user;
  for (int64_t b = 0; b < batch; b++) {
    logp[b] = 0;
    for (int64_t i = b * n; i < (b + 1) * n; i++) {
      logp[b] -= (double)x[i] * (double)x[i];
      if (g) g[i] = -2 * x[i];
    }
  }
  return 0;
}

START_TEST(a_prior_of_ones_own) {
  net n = net_open(pictures, 1);
  int calls = 0;
  xai_tensor *class = INTS(1, 0);
  xai_prior *own, *l2 = prior_by("l2", NULL, NULL);
  ck_assert(!xai_prior_custom(own_logp, &calls, &own, &net_error));
  xai_term term = {own, 0.1, NULL};
  ask a = {"prototype,steps=50", .target = class, .terms = &term, .n_terms = 1};
  xai_result *r = explain(&n, a);
  term.prior = l2;
  xai_result *same = explain(&n, a);
  expect_same_result("own", r, same);
  ck_assert_int_eq(calls, 51);
  xai_result_free(r);
  xai_result_free(same);
  xai_prior_free(own);
  xai_prior_free(l2);
  xai_tensor_free(class);
  net_close(&n);
}
END_TEST

/* ---- bad requests ---- */

START_TEST(bad_requests) {
  net n = net_open(pictures, 1), flat = net_open(linear, 1);
  net ints = net_open("opset 13; input x i64 N,2; const e 4,3 ~1; output y; y = Gather(e, x)", 1);
  net open_axes = net_open("opset 13; input x N,1,H,W; output y; p = GlobalAveragePool(x); y = Flatten(p)", 1);
  xai_graph *narrow = graph_open("opset 13; input z N,6; const u 6,60 ~5; const s i64 4 = -1 1 6 10; output x;"
                                 "a = MatMul(z, u); x = Reshape(a, s)");
  xai_graph *two = graph_open("opset 13; input z N,6; input k N,6; output x; x = Add(z, k)");
  xai_tensor *class = INTS(1, 1), *max = INTS(1, -1), *far = INTS(1, 5), *x = net_input(&n, 0, 1, 1);
  xai_tensor *x3 = FLOATS(3, 1, 2, 3), *masks = tensor_by_chance(XAI_F32, 2, (int64_t[]){2, 5}, 1);
  xai_prior *l2 = prior_by("l2", NULL, NULL), *mean3 = prior_by("mean", "mean", x3);
  const xai_term on_code = {l2, 1, "code"}, on_what = {l2, 1, "pixels"}, none = {NULL, 1, NULL};
  const xai_term wrong_size = {mean3, 1, NULL}, heavy = {l2, (double)INFINITY, NULL}, fine = {l2, 1, NULL};
  const struct {
    const net *n;
    ask a;
    int status;
    const char *says;
  } cases[] = {
      {&n, {"prototype", .trace = 0}, XAI_E_ARGUMENT, "needs a target"},
      {&n, {"prototype", .target = max}, XAI_E_ARGUMENT, "not its maximum (-1)"},
      {&n, {"prototype", .target = far}, XAI_E_ARGUMENT, "target 5 is out of range: the explained tensor has 5"},
      {&n, {"prototype", .target = masks}, XAI_E_ARGUMENT, "one mask, not 2"},
      {&n, {"prototype", .target = x}, XAI_E_ARGUMENT, "a target mask of shape 1x1x8x8"},
      {&n, {"prototype,steps=0", .target = class}, XAI_E_ARGUMENT, "'steps'"},
      {&n, {"prototype,optimizer=newton", .target = class}, XAI_E_ARGUMENT, "one of adam|momentum|gradient, not 'newton'"},
      {&n, {"prototype,low=1,high=0", .target = class}, XAI_E_ARGUMENT, "low is above high"},
      {&n, {"prototype,low=white", .target = class}, XAI_E_ARGUMENT, "not 'white'"},
      {&n, {"prototype,init=mean", .target = class}, XAI_E_ARGUMENT, "needs a prior over 'x' that has a mean"},
      {&n, {"prototype,init=zeros", .target = class, .x = {x}}, XAI_E_ARGUMENT, "were both given"},
      {&n, {"prototype,restarts=100000", .target = class, .trace = -1}, XAI_E_ARGUMENT, "trace is -1"},
      {&n, {"prototype", .target = class, .ledger = 1}, XAI_E_ARGUMENT, "no ledger"},
      {&n, {"prototype", .target = class, .at = "b"}, XAI_E_UNSUPPORTED, "'b' is no float input"},
      {&n, {"prototype", .target = class, .terms = &on_code, .n_terms = 1}, XAI_E_ARGUMENT, "on=code needs a decoder"},
      {&n, {"prototype", .target = class, .terms = &on_what, .n_terms = 1}, XAI_E_ARGUMENT, "not 'pixels'"},
      {&n, {"prototype", .target = class, .terms = &none, .n_terms = 1}, XAI_E_ARGUMENT, "term 0 has no prior"},
      {&n, {"prototype", .target = class, .terms = &heavy, .n_terms = 1}, XAI_E_ARGUMENT, "weight of term 0 is not finite"},
      {&n, {"prototype", .target = class, .terms = &wrong_size, .n_terms = 1}, XAI_E_INPUT,
       "is over 3 elements, an item of the input has 64"},
      {&n, {"prototype", .target = class, .decoder = narrow}, XAI_E_INPUT,
       "makes 'x' of shape 1x1x6x10 (float32), which does not fit input 'x' of shape ?x1x8x8"},
      {&n, {"prototype", .target = class, .decoder = two}, XAI_E_UNSUPPORTED, "this one has 2 inputs"},
      {&n, {"prototype", .target = class, .x = {x3}}, XAI_E_INPUT, "a start for 'x' is floats of shape 1x1x8x8"},
      {&flat, {"prototype,jitter=1", .target = class}, XAI_E_ARGUMENT, "jitter is for pictures"},
      {&flat, {"prototype,frequency=1", .target = class}, XAI_E_ARGUMENT, "frequency is for pictures"},
      {&flat, {"prototype,blur=1", .target = class}, XAI_E_ARGUMENT, "blur is for pictures"},
      {&flat, {"prototype,optimizer=gradient,rate=100", .target = class, .terms = &fine, .n_terms = 1}, XAI_E_NUMBER,
       "diverged at step"},
      {&ints, {"prototype", .target = class}, XAI_E_UNSUPPORTED, "no float input"},
      {&open_axes, {"prototype", .target = class}, XAI_E_INPUT, "axis 2 of 'x'"},
      {&n, {"gradient", .target = class, .x = {x}, .terms = &fine, .n_terms = 1}, XAI_E_ARGUMENT, "takes no priors"},
      {&n, {"smoothgrad,of=prototype", .target = class, .x = {x}}, XAI_E_ARGUMENT, "is no gradient method"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    xai_result *r = NULL;
    int status = ask_status(cases[i].n, cases[i].a, &r, NULL, &net_error);
    ck_assert_msg(status == cases[i].status && strstr(net_error.text, cases[i].says), "case %zu, '%s': %d '%s'", i,
                  cases[i].says, status, status ? net_error.text : "");
    ck_assert_ptr_null(r);
  }
  const xai_graph *graphs[] = {narrow, two};
  for (int i = 0; i < 2; i++) xai_graph_free((xai_graph *)(uintptr_t)graphs[i]);
  xai_tensor *tensors[] = {class, max, far, x, x3, masks};
  for (int i = 0; i < 6; i++) xai_tensor_free(tensors[i]);
  xai_prior_free(l2);
  xai_prior_free(mean3);
  net_close(&n);
  net_close(&flat);
  net_close(&ints);
  net_close(&open_axes);
}
END_TEST

/* ---- memory ---- */

typedef struct purse {
  long long now, most;
  int left;
} purse;

static void *from_purse(void *user, void *p, size_t old_size, size_t size, size_t align) {
  purse *c = user;
  if (size && c->left-- <= 0) return NULL;
  c->now += (long long)size - (long long)old_size;
  if (c->now > c->most) c->most = c->now;
  free(p);
  return size ? aligned_alloc(align, (size + align - 1) / align * align) : NULL;
}

/* Any allocation may fail; the bill of xai_memory is enough, and not twice what is used. */
START_TEST(memory_runs_out) {
  xai_graph *g = graph_open(pictures), *d = graph_open(decoder);
  xai_tensor *classes = INTS(2, 0, 1);
  xai_prior *l2 = prior_by("l2", NULL, NULL);
  const xai_term term = {l2, 0.1, NULL};
  ask a = {"prototype,steps=2,jitter=1", .target = classes, .terms = &term, .n_terms = 1, .decoder = d, .trace = 1};
  for (int k = 0, done = 0; !done; k++) {
    purse c = {.left = k};
    net n = {g, NULL};
    xai_options o = {.struct_size = sizeof o, .threads = 1, .realloc = from_purse, .realloc_user = &c};
    xai_result *r = NULL;
    int status = xai_session_create(g, &o, &n.s, &net_error);
    long long before = c.now;
    if (!status) status = ask_status(&n, a, &r, NULL, &net_error);
    ck_assert_msg(!status || status == XAI_E_MEMORY, "allocation %d: %d %s", k, status, net_error.text);
    done = !status;
    if (done) {
      int64_t bill;
      long long used = c.most - before;
      c.left = 1000;
      ck_assert(!ask_status(&n, a, NULL, &bill, &net_error));
      ck_assert_msg(used <= bill, "%lld bytes used, %lld on the bill", used, (long long)bill);
    }
    xai_result_free(r);
    xai_session_free(n.s);
    ck_assert_int_eq(c.now, 0);
  }
  xai_prior_free(l2);
  xai_tensor_free(classes);
  xai_graph_free(g);
  xai_graph_free(d);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("prototype");
  TCase *c = tcase_create("prototype");
  tcase_add_test(c, linear_score_near_a_point);
  tcase_add_test(c, linear_score_under_a_gaussian);
  tcase_add_test(c, the_weight_of_the_expert);
  tcase_add_test(c, scores_are_the_networks);
  tcase_add_test(c, hidden_units_and_channels);
  tcase_add_test(c, the_box_holds);
  tcase_add_test(c, maps_that_change_nothing);
  tcase_add_test(c, the_identity_decodes_nothing);
  tcase_add_test(c, search_in_code_space);
  tcase_add_test(c, same_bits_however_it_runs);
  tcase_add_test(c, the_best_restart);
  tcase_add_test(c, starts);
  tcase_add_test(c, the_other_inputs_are_fixed);
  tcase_add_test(c, a_cancelled_ascent_gives_its_best);
  tcase_add_test(c, the_trace_tells_the_way);
  tcase_add_test(c, a_prior_of_ones_own);
  tcase_add_test(c, bad_requests);
  tcase_add_test(c, memory_runs_out);
  suite_add_tcase(suite, c);
  return run_suite(suite);
}

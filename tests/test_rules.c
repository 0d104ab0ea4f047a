/* Every rule on every kind of linear layer, against its definition on the layer's matrix.
 *
 * The matrix is what xai_run answers to unit vectors, so that whatever is folded into the layer is
 * part of it. Weights and inputs are small multiples of 1/64: z is exact, and so is its sign. */
#include "dense_rule.h"
#include "net.h"

#define BN_OUT "const s 3 ~4; const t 3 ~5; const m 3 ~6; const v 3 = 4 0.25 1; "
#define BN_IN "const s 2 ~4; const t 2 ~5; const m 2 ~6; const v 2 = 0.25 4; "

static const char *const layers[] = {
    "opset 13; input x N,5; const w 5,4 ~1; const b 4 ~2; y = Gemm(x, w, b); output y",
    "opset 13; input x 4,3; const w 4,5 ~1; const b 5,1 ~2; output y;"
    "y = Gemm(w, x, b) transA=1 alpha=0.5 beta=-2.0",
    "opset 13; input x 3,4; const w 4,5 ~1; const b 3,5 ~2; y = Gemm(x, w, b) beta=0.5; output y",
    "opset 13; input x N,5; const w 5,4 ~1; const b = 0.5; y = Gemm(x, w, b); output y",
    "opset 13; input x N,5; const w 5,4 ~1; y = Gemm(x, w) alpha=2.0; output y",
    "opset 13; input x N,6,6; const w 3,2,3 ~1; const b 3 ~2; output y; "
    "p = Reshape(x, k); const k i64 3 = 0 2 18; y = Conv(p, w, b) pads=[1,1]",
    "opset 13; input x N,2,5,4; const w 3,2,3,3 ~1; const b 3 ~2; output y;"
    "y = Conv(x, w, b) pads=[1,0,1,1]",
    "opset 13; input x N,4,5,5; const w 6,2,2,3 ~1; const b 6 ~2; output y;"
    "y = Conv(x, w, b) group=2 strides=[2,1]",
    "opset 13; input x N,3,6,6; const w 3,1,3,3 ~1; output y;"
    "y = Conv(x, w) group=3 dilations=[2,2] pads=[2,2,2,2]",
    "opset 13; input x N,2,6,5; const w 4,2,1,1 ~1; const b 4 ~2; output y;"
    "y = Conv(x, w, b) strides=[2,2]",
    "opset 13; input x N,2,5,5; const w 2,2,3,3 ~1; const b 2 ~2; output y;"
    "y = Conv(x, w, b) auto_pad='SAME_UPPER' strides=[2,2]",
    "opset 13; input x N,2,3,3; const w 2,3,3,3 ~1; const b 3 ~2; output y;"
    "y = ConvTranspose(x, w, b) strides=[2,2] pads=[1,1,1,1] output_padding=[1,1]",
    "opset 13; input x N,4,4; const w 4,2,3 ~1; output y; y = ConvTranspose(x, w) group=2",
    "opset 13; input x N,3,4; const w 4,5 ~1; y = MatMul(x, w); output y",
    "opset 13; input x N,4,3; const w 5,4 ~1; y = MatMul(w, x); output y",
    "opset 13; input x N,2,3,4; const w 2,4,2 ~1; y = MatMul(x, w); output y",
    "opset 13; input x N,4; const w 4 ~1; y = MatMul(x, w); output y",
    /* with what is folded in */
    "opset 13; input x N,3,4; const w 4,5 ~1; const b 5 ~2; output y;"
    "h = MatMul(x, w); y = Add(b, h)",
    "opset 13; input x N,4; const w 4,5 ~1; const b 5 ~2; const c 1,5 ~3; output y;"
    "h = Gemm(x, w, b); y = Sub(h, c)",
    "opset 13; input x N,4,3; const w 5,4 ~1; const b 5,1 ~2; output y;"
    "h = MatMul(w, x); y = Add(h, b)",
    "opset 13; input x N,2,4,4; const w 3,2,2,2 ~1; const b 3,1,1 ~2; const c 3 ~3; output y;"
    "h = Conv(x, w, c); y = Add(h, b)",
    "opset 13; input x 2,2,4,4; const w 3,2,2,2 ~1; const b 1,1,3,3 ~2; const c 3 ~3; output y;"
    "h = Conv(x, w, c); y = Add(h, b)",
    "opset 13; input x N,2,4,4; const w 3,2,3,3 ~1; const b 3 ~2; " BN_OUT "output y;"
    "h = Conv(x, w, b) pads=[1,1,1,1]; y = BatchNormalization(h, s, t, m, v) epsilon=0.0",
    "opset 13; input x N,2,3; const w 2,3,2 ~1; " BN_OUT "output y;"
    "h = ConvTranspose(x, w); y = BatchNormalization(h, s, t, m, v) epsilon=0.0",
    "opset 13; input x N,4; const w 3,4 ~1; const b 3 ~2; " BN_OUT "output y;"
    "h = Gemm(x, w, b) transB=1; y = BatchNormalization(h, s, t, m, v) epsilon=0.0",
    "opset 13; input x N,2,4,4; const w 3,2,2,2 ~1; const b 3 ~2; " BN_IN "output y;"
    "h = BatchNormalization(x, s, t, m, v) epsilon=0.0; y = Conv(h, w, b)",
    "opset 13; input x N,2; const w 2,5 ~1; const b 5 ~2; " BN_IN "output y;"
    "h = BatchNormalization(x, s, t, m, v) epsilon=0.0; y = Gemm(h, w, b)",
    "opset 13; input x N,2,3; const w 3,2,2 ~1; " BN_OUT "const c 3,1 ~3; output y;"
    "h = Conv(x, w); g = BatchNormalization(h, s, t, m, v) epsilon=0.0; y = Add(g, c)",
};
enum { LAYERS = sizeof layers / sizeof *layers };

static const char *const rules[] = {
    "epsilon", "epsilon,epsilon=0", "epsilon,epsilon=0.5", "epsilon,epsilon=0,rms=0.25",
    "epsilon,epsilon=0.1,rms=1", "gamma", "gamma,gamma=0", "gamma,gamma=4,stabilizer=0.125",
    "alpha-beta", "alpha-beta,alpha=1", "alpha-beta,alpha=3,beta=2", "alpha-beta,alpha=1.5",
    "z-plus", "z-plus,stabilizer=0", "w-square", "w-square,stabilizer=1", "flat",
    "flat,stabilizer=0.5", "z-box,low=-1.5,high=2", "z-box,low=0,high=0",
    "z-box", /* of a bound a channel */
    "gradient"};
enum { RULES = sizeof rules / sizeof *rules };

/* ---- the layer's matrix ---- */

typedef struct layer {
  net n;
  xai_tensor *x;
  dense d;
  double *b, *zero, *x_wide, *R, *low, *high;
  xai_tensor *seed, *bound[2]; /* R as a tensor; bounds a channel */
} layer;

static double *doubles(int64_t n) {
  double *p = calloc((size_t)n + 1, sizeof *p);
  ck_assert_ptr_nonnull(p);
  return p;
}

static float *run_on(layer *l, const float *x, int64_t *n) {
  const int64_t *shape;
  xai_tensor *t = like(l->x, x);
  xai_result *r = explain(&l->n, (ask){.x = {t}});
  const float *y = values(r, "output/y", n);
  xai_tensor_shape(found(r, "output/y"), &shape);
  l->d.items = shape[0];
  float *copy = malloc((size_t)*n * sizeof *copy);
  memcpy(copy, y, (size_t)*n * sizeof *copy);
  xai_result_free(r);
  xai_tensor_free(t);
  return copy;
}

static void probe(layer *l) {
  dense *d = &l->d;
  d->nx = count_of(l->x);
  float *unit = calloc((size_t)d->nx, sizeof *unit), *at_zero = run_on(l, unit, &d->nz);
  d->w = doubles(d->nx * d->nz);
  d->b = l->b = doubles(d->nz);
  for (int64_t j = 0; j < d->nz; j++) d->b[j] = (double)at_zero[j];
  for (int64_t i = 0; i < d->nx; i++) {
    unit[i] = 1;
    float *y = run_on(l, unit, &d->nz);
    for (int64_t j = 0; j < d->nz; j++) d->w[j * d->nx + i] = (double)y[j] - (double)at_zero[j];
    unit[i] = 0;
    free(y);
  }
  free(unit);
  free(at_zero);
}

/* Bounds of channel k: -1 - k/8 and 1 + k/4. */
static void make_bounds(layer *l) {
  const int64_t *shape;
  int rank = xai_tensor_shape(l->x, &shape);
  int64_t inner = 1, channels = shape[1];
  float bound[2][64];
  for (int i = 2; i < rank; i++) inner *= shape[i];
  for (int64_t k = 0; k < channels; k++) {
    bound[0][k] = -1 - (float)k / 8;
    bound[1][k] = 1 + (float)k / 4;
  }
  for (int i = 0; i < 2; i++) l->bound[i] = tensor_of(XAI_F32, 1, &channels, bound[i]);
  l->low = doubles(l->d.nx);
  l->high = doubles(l->d.nx);
  for (int64_t i = 0; i < l->d.nx; i++) {
    l->low[i] = (double)bound[0][i / inner % channels];
    l->high[i] = (double)bound[1][i / inner % channels];
  }
}

static layer layer_open(const char *text) {
  layer l = {.n = net_open(text, 1)};
  l.x = net_input(&l.n, 0, 2, 11);
  probe(&l);
  make_bounds(&l);
  l.zero = doubles(l.d.nz);
  l.x_wide = doubles(l.d.nx);
  l.R = doubles(l.d.nz);
  l.d.c = doubles(l.d.nx);
  l.d.R_in = doubles(l.d.nx);
  l.d.room = doubles(l.d.nx);
  l.seed = tensor_by_chance(XAI_F32, 1, &l.d.nz, 13);
  for (int64_t j = 0; j < l.d.nz; j++) l.R[j] = (double)floats(l.seed)[j];
  l.d.R = l.R;
  l.d.x = l.x_wide;
  return l;
}

static void layer_close(layer *l) {
  double *mine[] = {l->d.w, l->b,      l->zero,   l->x_wide, l->R,
                    l->d.c, l->d.R_in, l->d.room, l->low,    l->high};
  for (size_t i = 0; i < sizeof mine / sizeof *mine; i++) free(mine[i]);
  for (int i = 0; i < 2; i++) xai_tensor_free(l->bound[i]);
  xai_tensor_free(l->seed);
  xai_tensor_free(l->x);
  net_close(&l->n);
}

/* ---- the comparison ---- */

/* The rule's definition: in l->d.R_in. */
static void define(layer *l, const char *rule, bool bias) {
  dense *d = &l->d;
  d->rule = rule;
  d->b = bias ? l->b : l->zero;
  d->stabilizer = rule_number(d, "stabilizer", 1e-6);
  double *low = doubles(d->nx), *high = doubles(d->nx);
  for (int64_t i = 0; i < d->nx; i++) {
    low[i] = rule_number(d, "low", l->low[i]);
    high[i] = rule_number(d, "high", l->high[i]);
    l->x_wide[i] = (double)floats(l->x)[i];
  }
  d->low = low;
  d->high = high;
  dense_explain(d);
  free(low);
  free(high);
}

static double ledger_total(const xai_result *r, const char *column) {
  char name[32];
  snprintf(name, sizeof name, "ledger/%s", column);
  const xai_tensor *t = found(r, name);
  double sum = 0;
  for (int64_t i = 0; i < count_of(t); i++) sum += ((const double *)xai_tensor_data(t))[i];
  return sum;
}

static void compare(layer *l, const char *text, const char *rule, bool bias) {
  char row[128], method[64];
  snprintf(row, sizeof row, "*=%s%s", rule, strstr(rule, "stabilizer") ? "" : ",stabilizer=1e-6");
  snprintf(method, sizeof method, "lrp-0,bias=%s", bias ? "absorb" : "zero");
  xai_param bounds[] = {{"low", l->bound[0], NULL, 0}, {"high", l->bound[1], NULL, 0}};
  bool per_channel = !strcmp(rule, "z-box");
  ask a = {.method = method, .rows = row, .x = {l->x}, .seed = l->seed, .ledger = 1};
  if (per_channel) { /* a row of a text takes no tensors: the method's own */
    a.method = bias ? "lrp-composite,bias=absorb,stabilizer=1e-6" : "lrp-composite,bias=zero";
    a.rows = NULL;
    a.more = bounds;
    a.n_more = 2;
  }
  xai_result *r = explain(&l->n, a);
  int64_t n;
  const float *got = values(r, "relevance/x", &n);
  ck_assert_int_eq(n, l->d.nx);
  define(l, rule, bias);
  const dense *d = &l->d;
  double sum = 0, size = 0;
  for (int64_t i = 0; i < n; i++) {
    ck_assert_msg(fabs((double)got[i] - d->R_in[i]) <= d->room[i] + 1e-9,
                  "%s\n%s bias=%d: element %lld is %.9g, not %.9g (+- %.2g)", text, rule, bias,
                  (long long)i, (double)got[i], d->R_in[i], d->room[i]);
    sum += fabs((double)got[i]) + d->room[i];
    size += fabs(d->R_in[i]);
  }
  if (strncmp(rule, "gradient", 8)) {
    double room = 1e-5 * (sum + size + fabs(d->bias));
    double got_bias = ledger_total(r, "bias"), got_empty = ledger_total(r, "empty");
    ck_assert_msg(fabs(got_bias - d->bias) <= room, "%s\n%s bias=%d: ledger bias %g, not %g", text,
                  rule, bias, got_bias, d->bias);
    ck_assert_msg(fabs(got_empty - d->empty) <= room, "%s\n%s bias=%d: ledger empty %g, not %g",
                  text, rule, bias, got_empty, d->empty);
  }
  xai_result_free(r);
}

/* Inputs of mixed sign, without negatives, without positives, with zeros. */
static void vary_input(layer *l, int how) {
  for (int64_t i = 0; i < l->d.nx; i++) {
    float *x = &writable(l->x)[i];
    if (how == 1) *x = fabsf(*x);
    if (how == 2) *x = -fabsf(*x);
    if (how == 3 && i % 3 != 1) *x = 0;
  }
}

START_TEST(a_rule_on_a_layer_is_its_definition) {
  layer l = layer_open(layers[_i]);
  for (int how = 0; how < 4; how++) {
    vary_input(&l, how);
    for (int i = 0; i < RULES; i++)
      for (int bias = 0; bias < 2; bias++) compare(&l, layers[_i], rules[i], bias);
  }
  layer_close(&l);
}
END_TEST

/* A rule that was added must be added here too. */
START_TEST(every_rule_is_compared) {
  const char *name;
  for (size_t i = 0; !xai_catalog(XAI_RULE, i, &name, NULL); i++) {
    bool compared = !strcmp(name, "pass") || !strcmp(name, "norm"); /* test_identities.c */
    for (int k = 0; k < RULES; k++) compared |= !strncmp(name, rules[k], strcspn(rules[k], ","));
    ck_assert_msg(compared, "rule '%s' is not compared with its definition", name);
  }
}
END_TEST

int main(void) {
  Suite *suite = suite_create("rules");
  TCase *tc = tcase_create("layers");
  tcase_add_loop_test(tc, a_rule_on_a_layer_is_its_definition, 0, IF_LRP(LAYERS));
  tcase_add_test(tc, every_rule_is_compared);
  suite_add_tcase(suite, tc);
  return run_suite(suite);
}

/* Vectorised functions and rows, for every instruction set of this machine: against double
 * precision within a bound in units of the last place, and the same bits at every position of an array. */
#include <check.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/kernels.h"
#include "op/simd.h"

enum { MANY = 4096 };

/* ck_assert_msg is slow where it holds. */
#define EXPECT(holds, ...) ((holds) ? (void)0 : ck_abort_msg(__VA_ARGS__))

/* ---- functions ---- */

static double sigmoid(double x) { return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x)); }
static double softplus(double x) { return (x > 0 ? x : 0) + log1p(exp(-fabs(x))); }
static double elu(double x) { return x > 0 ? x : expm1(x); }
static double gelu(double x) { return x * 0.5 * erfc(-x * sqrt(0.5)); }
static double gelu_by_tanh(double x) {
  return x * sigmoid(2 * sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x));
}
static double silu(double x) { return x == -INFINITY ? NAN : x * sigmoid(x); }
static double mish(double x) { return x * tanh(softplus(x)); }

/* bound: of the error, in units of the last place of f(x), or of the larger of f(x) and x where the
 * function nears 0 as a difference (of_x). */
static const struct {
  const char *name;
  int row;
  double (*f)(double);
  double bound;
  bool of_x;
} functions[] = {
    {"exp", XAI__ROW_Exp, exp, 1.1, false},
    {"log", XAI__ROW_Log, log, 0.9, false},
    {"sigmoid", XAI__ROW_Sigmoid, sigmoid, 2.3, false},
    {"softplus", XAI__ROW_Softplus, softplus, 1.7, false},
    {"tanh", XAI__ROW_Tanh, tanh, 2.6, false},
    {"erf", XAI__ROW_Erf, erf, 1.2, false},
    {"elu", XAI__ROW_Elu, elu, 1.6, false},
    {"gelu", XAI__ROW_Gelu, gelu, 2.5, true},
    {"tail of gelu", XAI__ROW_Gelu, gelu, 7.5, false},
    {"gelu by tanh", XAI__ROW_GeluByTanh, gelu_by_tanh, 2, true},
    {"silu", XAI__ROW_Swish, silu, 2, true},
    {"mish", XAI__ROW_Mish, mish, 3, true},
    {"sqrt", XAI__ROW_Sqrt, sqrt, 0.5000001, false},
};
enum { FUNCTIONS = sizeof functions / sizeof *functions };

static const xai__simd *simd_of(int isa) {
  xai__engine *e;
  xai_error err;
  if (xai__isa(isa) != isa) return NULL; /* not on this machine */
  ck_assert_int_eq(xai__engine_create(NULL, 1, isa, &e, &err), XAI_OK);
  const xai__simd *s = xai__simd_of(e);
  xai__engine_free(e);
  return s;
}

static double last_place(double v) {
  int e;
  frexp(v, &e);
  return ldexp(1, e - 24 < -149 ? -149 : e - 24);
}

static float of_bits(uint32_t u) {
  float x;
  memcpy(&x, &u, sizeof x);
  return x;
}

static void values(const xai__simd *s, int row, const float *x, float *y, int64_t n) {
  xai__pointwise p = {.alpha = 1, .beta = 1, .x = x, .out = y};
  s->activation[row].value(&p, 0, n);
}

static void check_value(int f, float x, float y) {
  const double want = functions[f].f((double)x), most = (double)FLT_MAX * (1 + 0x1p-25);
  if (isnan(want)) {
    EXPECT(isnan(y), "%s(%g) is %g", functions[f].name, (double)x, (double)y);
  } else if (fabs(want) >= most) {
    EXPECT(y == (float)want, "%s(%g) is %g", functions[f].name, (double)x, (double)y);
  } else {
    const double size = functions[f].of_x && fabs((double)x) > fabs(want) ? (double)x : want;
    const double error = fabs((double)y - want) / last_place((double)(float)size);
    EXPECT(error <= functions[f].bound || (double)FLT_MAX * (1 - 0x1p-22) < fabs(want),
                  "%s(%.9g) is %.9g, not %.9g: %g units of the last place", functions[f].name,
                  (double)x, (double)y, want, error);
    EXPECT(signbit(y) == 0 || signbit(want) != 0 || functions[f].of_x,
                  "%s(%.9g) is %.9g", functions[f].name, (double)x, (double)y);
  }
}

/* Every 4093rd number, and those around powers of two, among them all special ones. */
START_TEST(functions_are_exact_to_some_units_of_the_last_place) {
  const xai__simd *s = simd_of(_i);
  static float x[MANY], y[MANY];
  if (!s) return;
  for (int f = 0; f < FUNCTIONS; f++) {
    for (uint64_t at = 0; at < (uint64_t)1 << 32;) {
      int n = 0;
      for (; n < MANY && at < (uint64_t)1 << 32; at += 4093) x[n++] = of_bits((uint32_t)at);
      values(s, functions[f].row, x, y, n);
      for (int i = 0; i < n; i++) check_value(f, x[i], y[i]);
    }
    int n = 0;
    for (uint32_t power = 0; power < 512; power++)
      for (uint32_t i = 0; i < 5; i++) x[n++] = of_bits((power << 23) + i - 2);
    values(s, functions[f].row, x, y, n);
    for (int i = 0; i < n; i++) check_value(f, x[i], y[i]);
  }
}
END_TEST

START_TEST(an_element_has_the_same_bits_everywhere) {
  const xai__simd *s = simd_of(_i);
  float x[64], slope[64], y[64], one;
  if (!s) return;
  for (int row = 0; row < XAI__ROWS; row++)
    for (uint32_t n = 1; n <= 64; n++) {
      for (uint32_t i = 0; i < n; i++) x[i] = of_bits((n * 64 + i) * 2654435769u);
      values(s, row, x, y, n);
      xai__pointwise p = {.alpha = 1, .beta = 1, .x = x, .y = y, .g = x, .out = slope};
      memset(slope, 0, sizeof slope);
      s->activation[row].slope(&p, 0, n);
      for (uint32_t i = 0; i < n; i++) {
        values(s, row, x + i, &one, 1);
        EXPECT(!memcmp(&one, y + i, sizeof one) || (isnan(one) && isnan(y[i])),
                      "row %d, element %u of %u", row, i, n);
        one = 0;
        p.x = p.g = x + i;
        p.y = y + i;
        p.out = &one;
        s->activation[row].slope(&p, 0, 1);
        EXPECT(!memcmp(&one, slope + i, sizeof one) || (isnan(one) && isnan(slope[i])),
                      "slope of row %d, element %u of %u", row, i, n);
      }
    }
}
END_TEST

/* ---- rows ---- */

static float noise(uint32_t *state) {
  *state = *state * 1664525u + 1013904223u;
  return (float)(*state >> 8) / 0x1p23f - 1;
}

#define NEAR(got, want, size)                                                       \
  EXPECT(fabs((double)(got) - (want)) <= 1e-6 * (fabs(want) + (size)),       \
                "n %d, step %d, element %d: %g, not %g", n, step, i, (double)(got), want)

START_TEST(softmax_rows_are_those_of_the_definition) {
  const xai__simd *s = simd_of(_i);
  float x[600], y[600], l[600], g[600], dy[600], dl[600], r[600];
  uint32_t state = 1;
  if (!s) return;
  for (int n = 1; n <= 100; n++)
    for (int step = 1; step <= 3; step += 2) {
      double sum = 0, pg = 0, all = 0, top = -INFINITY;
      for (int i = 0; i < n * step; i++) {
        x[i] = 8 * noise(&state);
        g[i] = noise(&state);
        dy[i] = dl[i] = r[i] = 0;
      }
      if (n > 5) x[3 * step] = -INFINITY;
      for (int i = 0; i < n; i++) top = fmax(top, (double)x[i * step]);
      for (int i = 0; i < n; i++) sum += exp((double)x[i * step] - top);
      xai__softmax c = {.n = n, .step = step, .x = x, .y = y, .g = g, .out = y};
      s->softmax_forward(&c);
      c.out = r;
      s->softmax_relevance(&c);
      c.out = dy;
      s->softmax_vjp(&c);
      c.log = true;
      c.out = l;
      s->softmax_forward(&c);
      c.y = l;
      c.out = dl;
      s->softmax_vjp(&c);
      for (int i = 0; i < n; i++) {
        all += (double)g[i * step];
        pg += exp((double)x[i * step] - top) / sum * (double)g[i * step];
      }
      for (int i = 0; i < n; i++) {
        const double p = exp((double)x[i * step] - top) / sum;
        NEAR(y[i * step], p, 0);
        if (p > 0) NEAR(l[i * step], (double)x[i * step] - top - log(sum), 1);
        NEAR(dy[i * step], p * ((double)g[i * step] - pg), p);
        NEAR(dl[i * step], (double)g[i * step] - p * all, 1 + fabs(all));
        NEAR(r[i * step], p > 0 ? (double)x[i * step] * ((double)g[i * step] - p * all) : 0,
             8 * (1 + fabs(all)));
      }
    }
}
END_TEST

START_TEST(normalised_rows_are_those_of_the_definition) {
  const xai__simd *s = simd_of(_i);
  float x[600], g[600], w[600], b[600], y[600], dx[600], r[600];
  uint32_t state = 1;
  if (!s) return;
  for (int k = 1; k <= 70; k++)
    for (int step = 1; step <= 7; step += 3) { /* elements that share a parameter */
      const int n = k * step;
      double mean = 0, square = 0, hm = 0, hn = 0;
      for (int i = 0; i < n; i++) {
        x[i] = 3 + noise(&state);
        g[i] = noise(&state);
        w[i] = noise(&state);
        b[i] = noise(&state);
        dx[i] = r[i] = 0;
        mean += (double)x[i] / n;
      }
      for (int i = 0; i < n; i++) square += ((double)x[i] - mean) * ((double)x[i] - mean) / n;
      const double inverse = 1 / sqrt(square + 0.25);
      for (int i = 0; i < n; i++) {
        hm += (double)w[i / step] * (double)g[i] / n;
        hn += (double)w[i / step] * (double)g[i] * ((double)x[i] - mean) * inverse / n;
      }
      xai__norm c = {.n = n, .inner = step, .epsilon = 0.25f,
                     .x = x, .g = g, .w = w, .b = b, .y = y};
      s->norm_forward(&c);
      c.y = dx;
      s->norm_vjp(&c);
      c.y = r;
      s->norm_relevance(&c);
      for (int i = 0; i < n; i++) {
        const double e = ((double)x[i] - mean) * inverse, h = (double)w[i / step] * (double)g[i];
        NEAR(y[i], e * (double)w[i / step] + (double)b[i / step], 1);
        NEAR(dx[i], (h - hm - e * hn) * inverse, 1);
        NEAR(r[i], (double)x[i] * (h - hm) * inverse, 4);
      }
    }
}
END_TEST

int main(void) {
  Suite *s = suite_create("vector math");
  TCase *t = tcase_create("vector math");
  const int from = XAI__ISA_PORTABLE, to = XAI__ISA_512 + 1;
  tcase_add_loop_test(t, functions_are_exact_to_some_units_of_the_last_place, from, to);
  tcase_add_loop_test(t, an_element_has_the_same_bits_everywhere, from, to);
  tcase_add_loop_test(t, softmax_rows_are_those_of_the_definition, from, to);
  tcase_add_loop_test(t, normalised_rows_are_those_of_the_definition, from, to);
  suite_add_tcase(s, t);
  SRunner *r = srunner_create(s);
  srunner_run_all(r, CK_ENV);
  const int failed = srunner_ntests_failed(r);
  srunner_free(r);
  return failed != 0;
}

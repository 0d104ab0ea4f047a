/* What an element of the vectorised functions and rows costs, by instruction set, against a loop
 * over the C library's function. One thread, arrays in L1; the least of many rounds.
 *
 *   cmake --build --preset release --target bench_functions && build/release/bench_functions */
#include <math.h>
#include <stdio.h>
#include <time.h>

#include "engine/kernels.h"
#include "op/simd.h"

enum { N = 4096, ROUNDS = 400 };

static float x[N], y[N], w[N];

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static float sigmoid(float v) { return 1 / (1 + expf(-v)); }
static float softplus(float v) { return log1pf(expf(v)); }
static float gelu(float v) { return 0.5f * v * (1 + erff(v * 0.70710678f)); }
static float silu(float v) { return v / (1 + expf(-v)); }

static const struct {
  const char *name;
  int row;
  float (*plain)(float);
} functions[] = {
    {"exp", XAI__ROW_Exp, expf},           {"log", XAI__ROW_Log, logf},
    {"tanh", XAI__ROW_Tanh, tanhf},        {"erf", XAI__ROW_Erf, erff},
    {"sigmoid", XAI__ROW_Sigmoid, sigmoid}, {"softplus", XAI__ROW_Softplus, softplus},
    {"gelu", XAI__ROW_Gelu, gelu},         {"silu", XAI__ROW_Swish, silu},
    {"elu", XAI__ROW_Elu, expm1f},         {"sqrt", XAI__ROW_Sqrt, sqrtf},
};

/* Nanoseconds an element of what `statement` does to N of them. */
#define COST(result, statement)                                \
  do {                                                         \
    double least_ = INFINITY;                                  \
    for (int r_ = 0; r_ < ROUNDS; r_++) {                      \
      const double start_ = now();                             \
      statement;                                               \
      const double t_ = now() - start_;                        \
      if (t_ < least_) least_ = t_;                            \
    }                                                          \
    result = least_ / N;                                       \
  } while (0)

static double plain(float (*volatile f)(float)) {
  double cost;
  COST(cost, for (int i = 0; i < N; i++) y[i] = f(x[i]));
  return cost;
}

static double values(const xai__simd *s, int row) {
  xai__pointwise p = {.alpha = 1, .beta = 1, .x = x, .out = y};
  double cost;
  COST(cost, s->activation[row].value(&p, 0, N));
  return cost;
}

static double softmax(const xai__simd *s) {
  const xai__softmax row = {.n = N, .step = 1, .x = x, .out = y};
  double cost;
  COST(cost, s->softmax_forward(&row));
  return cost;
}

static double norm(const xai__simd *s) {
  xai__norm row = {.n = N, .inner = 1, .epsilon = 1e-5f, .x = x, .w = w, .b = w, .y = y};
  double cost;
  COST(cost, s->norm_forward(&row));
  return cost;
}

int main(void) {
  const xai__simd *simd[XAI__ISA_512 + 1] = {NULL};
  for (int isa = XAI__ISA_PORTABLE; isa <= XAI__ISA_512; isa++) {
    xai__engine *e;
    if (xai__isa(isa) != isa || xai__engine_create(NULL, 1, isa, &e, NULL)) continue;
    simd[isa] = xai__simd_of(e);
    xai__engine_free(e);
  }
  for (int i = 0; i < N; i++) {
    x[i] = (float)(i % 1000) * 0.006f + 0.001f;
    w[i] = 1;
  }
  const int best = xai__isa(0);
  printf("%-12s %9s %9s %9s %9s %8s\n", "ns/element", "C", "portable", "256 bit", "512 bit", "C/best");
  for (size_t f = 0; f < sizeof functions / sizeof *functions; f++) {
    const double c = plain(functions[f].plain);
    printf("%-12s %9.3f", functions[f].name, c);
    for (int isa = XAI__ISA_PORTABLE; isa <= XAI__ISA_512; isa++)
      printf(" %9.3f", simd[isa] ? values(simd[isa], functions[f].row) : NAN);
    printf(" %8.1f\n", c / values(simd[best], functions[f].row));
  }
  printf("%-12s %9s", "softmax", "");
  for (int isa = XAI__ISA_PORTABLE; isa <= XAI__ISA_512; isa++)
    printf(" %9.3f", simd[isa] ? softmax(simd[isa]) : NAN);
  printf("\n%-12s %9s", "layer norm", "");
  for (int isa = XAI__ISA_PORTABLE; isa <= XAI__ISA_512; isa++)
    printf(" %9.3f", simd[isa] ? norm(simd[isa]) : NAN);
  printf("\n");
  return 0;
}

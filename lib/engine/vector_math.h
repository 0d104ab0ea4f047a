/* Elementary functions of float32 without branches: loops over them become vector code in whatever
 * instruction set a file is compiled for, and an element has the same bits at every position.
 *
 *   exp    2^n e^r, n = round(x / ln 2), |r| <= ln 2 / 2, e^r = 1 + r + r^2 E(r)
 *   log    n ln 2 + log(1 + f), 1 + f in [sqrt 1/2, sqrt 2), log(1 + f) = f - f^2 / 2 + f^3 L(f)
 *   tanh   -t / (t + 2), t = e^(-2|x|) - 1
 *   erf    x + x S(x^2) below 0.93, 1 - exp(-G(x)) above
 *   normal tail e^(-x^2 / 2) t P(|x| t), t = 1 / (1 + 0.35 |x|)
 *
 * E, L, S, G, P are polynomials fitted to the least relative error of the function. Errors, in units
 * of the last place, are bounded in tests/test_vector_math.c. Infinities, NaN, -0 and denormals are
 * what C's functions make of them. */
#ifndef XAI_ENGINE_VECTOR_MATH_H
#define XAI_ENGINE_VECTOR_MATH_H
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
#define XAI__FMA(a, b, c) __builtin_fmaf(a, b, c)
#else
#define XAI__FMA(a, b, c) ((a) * (b) + (c))
#endif

/* Before a loop whose iterations do not depend on each other, though operands may be the same. */
#if defined(__clang__)
#define XAI__VECTOR_LOOP _Pragma("clang loop vectorize(assume_safety) interleave_count(2)")
#else
#define XAI__VECTOR_LOOP _Pragma("GCC ivdep")
#endif

static inline uint32_t xai__bits(float x) {
  uint32_t u;
  memcpy(&u, &x, sizeof u);
  return u;
}

static inline float xai__of_bits(uint32_t u) {
  float x;
  memcpy(&x, &u, sizeof x);
  return x;
}

#define XAI__LN2_HIGH 0.693359375f /* few bits: n times it is exact */
#define XAI__LN2_LOW -2.12194440e-4f

/* x = n ln 2 + r; returns r, and n, which stays in the last bits of a large number. */
static inline float xai__exp_rest(float x, int32_t *n) {
  const float round = 12582912.0f; /* 1.5 * 2^23 */
  const float t = XAI__FMA(x, 1.44269504f, round), whole = t - round;
  *n = (int32_t)(xai__bits(t) - xai__bits(round));
  const float r = XAI__FMA(whole, -XAI__LN2_HIGH, x);
  return XAI__FMA(whole, -XAI__LN2_LOW, r);
}

/* e^r - 1 */
static inline float xai__exp_near_0(float r) {
  float p = 1.38708716e-3f;
  p = XAI__FMA(p, r, 8.36644694e-3f);
  p = XAI__FMA(p, r, 4.16674353e-2f);
  p = XAI__FMA(p, r, 1.6666545e-1f);
  p = XAI__FMA(p, r, 4.9999997e-1f);
  return XAI__FMA(r * r, p, r);
}

/* x = n ln 2 + r; returns e^r - 1, and n. */
static inline float xai__exp_parts(float x, int32_t *n) {
  return xai__exp_near_0(xai__exp_rest(x, n));
}

/* 2^n for n in [-126, 127] */
static inline float xai__power_of_2(int32_t n) {
  return xai__of_bits((uint32_t)(n + 127) << 23);
}

/* e 2^n in two steps: it may be denormal or infinite. */
static inline float xai__scaled(float e, int32_t n) {
  const int32_t half = n >> 1;
  return e * xai__power_of_2(half) * xai__power_of_2(n - half);
}

static inline float xai__exp(float x) {
  int32_t n;
  x = x < -104 ? -104 : x;
  x = x > 89 ? 89 : x;
  const float e = 1 + xai__exp_parts(x, &n);
  return xai__scaled(e, n);
}

/* e^x - 1 */
static inline float xai__expm1(float x) {
  int32_t n;
  float a = x < -18 ? -18 : x;
  a = a > 89 ? 89 : a;
  const float e = xai__exp_parts(a, &n), scale = xai__power_of_2(n - 1); /* half: 2^128 is none */
  const float y = 2 * XAI__FMA(e, scale, scale - 0.5f);
  return x == 0 ? x : y;
}

/* log(1 + f) for 1 + f in [sqrt 1/2, sqrt 2), plus n ln 2 */
static inline float xai__log_parts(float f, float n) {
  const float square = f * f;
  float p = 6.75164536e-2f;
  p = XAI__FMA(p, f, -1.16725735e-1f);
  p = XAI__FMA(p, f, 1.18838862e-1f);
  p = XAI__FMA(p, f, -1.24059089e-1f);
  p = XAI__FMA(p, f, 1.42202795e-1f);
  p = XAI__FMA(p, f, -1.66679993e-1f);
  p = XAI__FMA(p, f, 2.00020745e-1f);
  p = XAI__FMA(p, f, -2.50000089e-1f);
  p = XAI__FMA(p, f, 3.33333135e-1f);
  float y = XAI__FMA(n, XAI__LN2_LOW, p * f * square);
  y = XAI__FMA(-0.5f, square, y);
  return XAI__FMA(n, XAI__LN2_HIGH, f + y);
}

static inline float xai__log(float x) {
  const uint32_t sqrt_half = 0x3f3504f3;
  const float normal = x < FLT_MIN ? x * 0x1p23f : x;
  const int32_t n = (int32_t)(xai__bits(normal) - sqrt_half) >> 23;
  const float m = xai__of_bits(xai__bits(normal) - ((uint32_t)n << 23));
  float y = xai__log_parts(m - 1, (float)n - (x < FLT_MIN ? 23.0f : 0.0f));
  y = x > FLT_MAX ? x : y;
  y = x == 0 ? -INFINITY : y;
  return x >= 0 ? y : NAN;
}

/* log(1 + x) for x in [0, 1] */
static inline float xai__log1p_of_fraction(float x) {
  const int halve = x > 0.41421356f;
  return xai__log_parts(halve ? 0.5f * (x - 1) : x, halve ? 1.0f : 0.0f);
}

static inline float xai__sigmoid(float x) {
  const float e = xai__exp(-fabsf(x));
  return (x < 0 ? e : 1) / (1 + e);
}

/* x sigmoid(a x), in fewer steps than the two: off by units of the last place of x, and 0 where e^-ax
 * is more than a float holds. */
static inline float xai__swish(float x, float a) {
  const float t = a * x, far = 87;
  const int32_t size = (int32_t)(xai__bits(t) & 0x7fffffff), most = (int32_t)xai__bits(far);
  const uint32_t near = (uint32_t)(size < most ? size : most), sign = ~xai__bits(t) & 0x80000000;
  int32_t n;
  const float e = 1 + xai__exp_parts(xai__of_bits(near | sign), &n);
  const float y = x / (1 + xai__of_bits(xai__bits(e) + ((uint32_t)n << 23)));
  return t < -far ? x * 0 : y;
}

static inline float xai__softplus(float x) {
  return (x < 0 ? 0 : x) + xai__log1p_of_fraction(xai__exp(-fabsf(x)));
}

static inline float xai__tanh(float x) {
  const float t = xai__expm1(-2 * fabsf(x));
  return copysignf(t / (t + 2), x);
}

static inline float xai__erf(float x) {
  const float square = x * x;
  float a = fabsf(x);
  float low = -5.95958962e-4f;
  low = XAI__FMA(low, square, 4.98735299e-3f);
  low = XAI__FMA(low, square, -2.67629661e-2f);
  low = XAI__FMA(low, square, 1.1281731e-1f);
  low = XAI__FMA(low, square, -3.76124889e-1f);
  low = XAI__FMA(low, square, 1.28379151e-1f);
  low = XAI__FMA(low, a, a);
  const int small = a < 0.93f;
  a = a > 4 ? 4 : a;
  float g = 1.95932473e-4f;
  g = XAI__FMA(g, a, -3.04319081e-3f);
  g = XAI__FMA(g, a, 2.22268682e-2f);
  g = XAI__FMA(g, a, -1.03931561e-1f);
  g = XAI__FMA(g, a, -6.37182236e-1f);
  g = XAI__FMA(g, a, -1.12767565f);
  g = XAI__FMA(g, a, -1.95666522e-4f);
  int32_t n;
  const float e = xai__exp_parts(g, &n), scale = xai__power_of_2(n);
  const float high = (1 - scale) - e * scale;
  return copysignf(small ? low : high, x);
}

#define XAI__SQRT_2_PI 0.79788456080286536f /* sqrt(2 / pi) */
#define XAI__GELU_CUBE 0.044715f

static inline float xai__within_15(float x) { return x > 15 ? 15 : x; }

/* e^(-x^2 / 2), 0 from 15 on: the square is taken as that of x's first bits, which is exact, and the rest. */
static inline float xai__bell(float x) {
  const float a = xai__within_15(fabsf(x));
  const float head = xai__of_bits(xai__bits(a) & 0xfffff000);
  int32_t n;
  const float r = xai__exp_rest(-0.5f * head * head, &n);
  const float e = 1 + xai__exp_near_0(XAI__FMA(-0.5f * (a - head), a + head, r));
  return xai__scaled(e, n);
}

/* The share of the normal distribution below -|x|, over the bell of x. */
static inline float xai__normal_tail(float x) {
  const float a = xai__within_15(fabsf(x)), t = 1 / XAI__FMA(0.35f, a, 1.0f), s = a * t;
  float p = -6.5659782e-6f;
  p = XAI__FMA(p, s, 5.7411201e-5f);
  p = XAI__FMA(p, s, -1.1772810e-4f);
  p = XAI__FMA(p, s, -8.4526847e-5f);
  p = XAI__FMA(p, s, -9.6293057e-4f);
  p = XAI__FMA(p, s, 4.4006653e-3f);
  p = XAI__FMA(p, s, 3.1978023e-2f);
  p = XAI__FMA(p, s, -2.2394120e-1f);
  p = XAI__FMA(p, s, 5e-1f);
  return p * t;
}

/* x times the share below x */
static inline float xai__gelu(float x) {
  const float y = xai__within_15(x) * xai__normal_tail(x) * xai__bell(x);
  return x > 0 ? x - y : y;
}

/* Its approximation by tanh, of the argument below. */
static inline float xai__gelu_inner(float x) {
  return XAI__SQRT_2_PI * (x + XAI__GELU_CUBE * x * x * x);
}
static inline float xai__gelu_by_tanh(float x) {
  return 0.5f * x * (1 + xai__tanh(xai__gelu_inner(x)));
}

#endif

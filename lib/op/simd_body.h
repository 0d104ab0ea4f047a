/* The loops of simd.h, for the instruction set of the file that includes this one. Sums are in
 * double, over LANES terms side by side: the same bits in every instruction set. */
#include "engine/vector_math.h"
#include "op/simd.h"

#if defined(__clang__) /* loops that call the C library stay as they are */
#pragma clang diagnostic ignored "-Wpass-failed"
#endif

#define INLINE static inline __attribute__((always_inline))

enum { LANES = 16 };

static inline double combined(const double *lane) {
  double sum[LANES];
  for (int i = 0; i < LANES; i++) sum[i] = lane[i];
  for (int half = LANES / 2; half > 0; half /= 2)
    for (int i = 0; i < half; i++) sum[i] += sum[i + half];
  return sum[0];
}

/* Adds the sum of `term`, an expression of i, over [0, n) to `total`. */
#define ADD_SUM(total, n, term)                                  \
  do {                                                           \
    double lane_[LANES] = {0};                                   \
    const int64_t whole_ = (n) / LANES * LANES;                  \
    for (int64_t at_ = 0; at_ < whole_; at_ += LANES)            \
      for (int l_ = 0; l_ < LANES; l_++) {                       \
        const int64_t i = at_ + l_;                              \
        lane_[l_] += (term);                                     \
      }                                                          \
    for (int64_t i = whole_; i < (n); i++) lane_[i - whole_] += (term); \
    total += combined(lane_);                                    \
  } while (0)

/* ---- pointwise functions ---- */

#define TWO_SQRT_PI 1.12837916709551257f /* 2 / sqrt(pi) */

static inline float sign(float x) { return (float)((x > 0) - (x < 0)); }
static inline float clamp(float x, float low, float high) {
  x = x < low ? low : x; /* low first: with low > high the result is high */
  return x > high ? high : x;
}
static inline float gelu_slope(float x) {
  const float bell = xai__bell(x), tail = bell * xai__normal_tail(x);
  return XAI__FMA(0.5f * XAI__SQRT_2_PI * x, bell, x > 0 ? 1 - tail : tail);
}
static inline float gelu_by_tanh_slope(float x) {
  const float t = xai__tanh(xai__gelu_inner(x));
  return 0.5f * (1 + t) +
         0.5f * x * (1 - t * t) * XAI__SQRT_2_PI * (1 + 3 * XAI__GELU_CUBE * x * x);
}
static inline float mish_slope(float x) {
  const float t = xai__tanh(xai__softplus(x));
  return t + x * (1 - t * t) * xai__sigmoid(x);
}
static inline float swish_slope(float x, float alpha) {
  const float s = xai__sigmoid(alpha * x);
  return s + alpha * x * s * (1 - s);
}
static inline float shrink(float x, const xai__pointwise *p) {
  const float low = x < -p->alpha ? x + p->beta : 0;
  return x > p->alpha ? x - p->beta : low;
}
static inline float hard_swish_slope(float x) {
  const float middle = (2 * x + 3) / 6;
  return x <= -3 ? 0 : x >= 3 ? 1 : middle;
}

/* Slopes may be infinite (Sqrt at 0): what has no gradient stays without. */
#define LOOP(name, value, slope)                                               \
  static void value_##name(void *ctx, int64_t begin, int64_t end) {            \
    const xai__pointwise copy = *(const xai__pointwise *)ctx, *const p = &copy; \
    (void)p;                                                                   \
    XAI__VECTOR_LOOP                                                           \
    for (int64_t i = begin; i < end; i++) {                                    \
      const float x = copy.x[i];                                               \
      copy.out[i] = value;                                                     \
    }                                                                          \
  }                                                                            \
  static void apply_##name(float alpha, float beta, float *v, int64_t n) {     \
    value_##name(&(xai__pointwise){alpha, beta, v, v, NULL, v}, 0, n);         \
  }                                                                            \
  static void slope_##name(void *ctx, int64_t begin, int64_t end) {            \
    const xai__pointwise copy = *(const xai__pointwise *)ctx, *const p = &copy; \
    (void)p;                                                                   \
    XAI__VECTOR_LOOP                                                           \
    for (int64_t i = begin; i < end; i++) {                                    \
      const float x = copy.x[i], y = copy.y[i], g = copy.g[i];                 \
      (void)x;                                                                 \
      (void)y;                                                                 \
      const float step = g * (slope);                                          \
      copy.out[i] += g != 0 ? step : 0;                                        \
    }                                                                          \
  }
#define ROW(name, operands, attributes, shapes, value, slope, ...) LOOP(name, value, slope)
#include "op/activation_list.h"
#undef LOOP
#undef ROW

/* ---- softmax ---- */

/* Loops over the elements j of a row, without strides where there are none. */
#define EACH(s, body)                                               \
  do {                                                              \
    if ((s)->step == 1) {                                           \
      XAI__VECTOR_LOOP                                              \
      for (int64_t j = 0; j < (s)->n; j++) body                     \
    } else                                                          \
      for (int64_t j = 0, e_ = (s)->n * (s)->step; j < e_; j += (s)->step) body \
  } while (0)

/* Compilers do not find this one: v > most ? v : most. */
typedef float wide __attribute__((vector_size(4 * LANES)));
typedef int32_t wide_mask __attribute__((vector_size(4 * LANES)));

static float top_of(const xai__softmax *s) {
  float top = -INFINITY;
  const float *x = s->x;
  if (s->step == 1) {
    float lane[LANES];
    for (int l = 0; l < LANES; l++) lane[l] = -INFINITY;
    wide most, v;
    memcpy(&most, lane, sizeof most);
    for (; x + LANES <= s->x + s->n; x += LANES) {
      memcpy(&v, x, sizeof v);
      const wide_mask more = v > most;
      most = (wide)(((wide_mask)v & more) | ((wide_mask)most & ~more));
    }
    memcpy(lane, &most, sizeof lane);
    for (int l = 0; l < LANES; l++) top = lane[l] > top ? lane[l] : top;
  }
  for (; x < s->x + s->n * s->step; x += s->step) top = *x > top ? *x : top;
  return top == -INFINITY ? 0 : top; /* all masked */
}

static void softmax_forward(const xai__softmax *s) {
  const float *const x = s->x, top = top_of(s);
  float *const out = s->out;
  double sum = 0;
  if (s->log) {
    ADD_SUM(sum, s->n, (double)xai__exp(x[i * s->step] - top));
    const float shift = sum > 0 ? (float)log(sum) : 0;
    EACH(s, { out[j] = x[j] - top - shift; });
    return;
  }
  EACH(s, { out[j] = xai__exp(x[j] - top); });
  if (s->step == 1)
    ADD_SUM(sum, s->n, (double)out[i]);
  else
    ADD_SUM(sum, s->n, (double)out[i * s->step]);
  const float scale = sum > 0 ? (float)(1 / sum) : 0;
  EACH(s, { out[j] *= scale; });
}

/* out += J' g: p (g - sum p g), or with the logarithm g - p sum g */
static void softmax_vjp(const xai__softmax *s) {
  const float *const y = s->y, *const g = s->g;
  float *const out = s->out;
  double sum = 0;
  if (s->log)
    ADD_SUM(sum, s->n, (double)g[i * s->step]);
  else if (s->step == 1)
    ADD_SUM(sum, s->n, (double)g[i] * (double)y[i]);
  else
    ADD_SUM(sum, s->n, (double)g[i * s->step] * (double)y[i * s->step]);
  const float all = (float)sum;
  if (s->log)
    EACH(s, { out[j] += g[j] - xai__exp(y[j]) * all; });
  else
    EACH(s, { out[j] += y[j] * (g[j] - all); });
}

/* out = x (g - p sum g) */
static void softmax_relevance(const xai__softmax *s) {
  const float *const x = s->x, *const y = s->y, *const g = s->g;
  float *const out = s->out;
  double sum = 0;
  ADD_SUM(sum, s->n, (double)g[i * s->step]);
  const float all = (float)sum;
  const bool is_log = s->log;
  EACH(s, {
    const float e = xai__exp(y[j]);
    const float r = x[j] * (g[j] - (is_log ? e : y[j]) * all);
    out[j] = x[j] == -INFINITY ? 0 : r;
  });
}

/* ---- normalisations ---- */

static void find_moments(xai__norm *s) {
  const float *const x = s->x;
  const double n = (double)s->n;
  double sum = 0, square = 0;
  if (!s->rms) ADD_SUM(sum, s->n, (double)x[i]);
  const double mean = sum / n;
  ADD_SUM(square, s->n, ((double)x[i] - mean) * ((double)x[i] - mean));
  s->mean = mean;
  s->inverse = 1 / sqrt(square / n + (double)s->epsilon);
}

/* A stretch of a row: n elements from `at` on, whose parameters begin at k and are one each (step
 * 1) or one for all (step 0, constants both: the loops are compiled for either). */
typedef struct stretch {
  int64_t at, k, n;
} stretch;
typedef void (*stretch_fn)(xai__norm *s, stretch p, int step, double *sum);

INLINE void each_stretch(xai__norm *s, stretch_fn f, double *sum) {
  if (s->inner == 1)
    f(s, (stretch){0, 0, s->n}, 1, sum);
  else
    for (int64_t at = 0, k = 0; at < s->n; at += s->inner, k++)
      f(s, (stretch){at, k, s->inner}, 0, sum);
}

INLINE void forward_stretch(xai__norm *s, stretch p, int step, double *unused) {
  const double mean = s->mean, inverse = s->inverse;
  const float *const x = s->x + p.at, *const w = s->w + p.k, *const b = s->b ? s->b + p.k : NULL;
  float *const y = s->y + p.at;
  (void)unused;
  if (b) {
    XAI__VECTOR_LOOP
    for (int64_t i = 0; i < p.n; i++)
      y[i] = (float)(((double)x[i] - mean) * inverse) * w[step * i] + b[step * i];
  } else {
    XAI__VECTOR_LOOP
    for (int64_t i = 0; i < p.n; i++)
      y[i] = (float)(((double)x[i] - mean) * inverse) * w[step * i];
  }
}

static void norm_forward(xai__norm *s) {
  find_moments(s);
  each_stretch(s, forward_stretch, NULL);
}

/* sum of h, and of h (x - m), with h = w g */
INLINE void sum_stretch(xai__norm *s, stretch p, int step, double *sum) {
  const float *const x = s->x + p.at, *const w = s->w + p.k, *const g = s->g + p.at;
  ADD_SUM(sum[0], p.n, (double)(g[i] * w[step * i]));
  ADD_SUM(sum[1], p.n, (double)(g[i] * w[step * i]) * ((double)x[i] - s->mean));
}

INLINE void vjp_stretch(xai__norm *s, stretch p, int step, double *sum) {
  const double mean = s->mean, inverse = s->inverse;
  const double h_mean = sum[0], along = sum[1], shift = sum[2];
  const float *const x = s->x + p.at, *const w = s->w + p.k, *const g = s->g ? s->g + p.at : NULL;
  float *const y = s->y + p.at;
  XAI__VECTOR_LOOP
  for (int64_t i = 0; i < p.n; i++) {
    const double h = g ? (double)(g[i] * w[step * i]) : 0, n = ((double)x[i] - mean) * inverse;
    y[i] += (float)((h - h_mean - n * along) * inverse + shift);
  }
}

/* y += (h - mean h - n mean(h n)) / s, with n = (x - m) / s; and what further results, the mean and
 * 1 / s, hand back */
static void norm_vjp(xai__norm *s) {
  const double n = (double)s->n;
  double sum[3] = {0};
  find_moments(s);
  if (s->g) each_stretch(s, sum_stretch, sum);
  sum[0] = s->rms ? 0 : sum[0] / n;
  sum[1] = (sum[1] + s->stretch) * s->inverse / n;
  sum[2] = s->shift / n;
  each_stretch(s, vjp_stretch, sum);
}

INLINE void relevance_stretch(xai__norm *s, stretch p, int step, double *sum) {
  const double mean = sum[0], inverse = s->inverse;
  const float *const x = s->x + p.at, *const w = s->w + p.k, *const g = s->g + p.at;
  float *const y = s->y + p.at;
  XAI__VECTOR_LOOP
  for (int64_t i = 0; i < p.n; i++)
    y[i] += (float)((double)x[i] * ((double)(g[i] * w[step * i]) - mean) * inverse);
}

/* y += x (h - mean h) / s */
static void norm_relevance(xai__norm *s) {
  double sum[2] = {0};
  find_moments(s);
  each_stretch(s, sum_stretch, sum);
  sum[0] /= (double)s->n;
  each_stretch(s, relevance_stretch, sum);
}

const xai__simd SIMD = {
    .activation = {
#define LOOP(name, ...) [XAI__ROW_##name] = {value_##name, slope_##name, apply_##name},
#define ROW LOOP
#include "op/activation_list.h"
    },
    .softmax_forward = softmax_forward,
    .softmax_vjp = softmax_vjp,
    .softmax_relevance = softmax_relevance,
    .norm_forward = norm_forward,
    .norm_vjp = norm_vjp,
    .norm_relevance = norm_relevance,
};

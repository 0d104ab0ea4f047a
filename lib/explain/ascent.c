/* Optimisers, blur, frequency parametrisation, box. */
#include "explain/ascent.h"

#include <math.h>
#include <string.h>

#include "rule/rule.h"

/* ---- optimisers: element by element ---- */

typedef struct update {
  xai__ascent *a;
  float *g;
  float rate, keep, new_m, new_v; /* adam: 1 / (1 - beta^t) */
} update;

static void run(xai__ascent *a, float *g, xai__range_fn f, update u) {
  u.a = a;
  u.g = g;
  u.rate = (float)a->rate;
  u.keep = (float)a->momentum;
  xai__parallel(a->engine, a->items * a->size, XAI__GRAIN, f, &u);
}

static void gradient_range(void *ctx, int64_t begin, int64_t end) {
  const update *u = ctx;
  for (int64_t i = begin; i < end; i++) u->g[i] *= u->rate;
}

static void momentum_range(void *ctx, int64_t begin, int64_t end) {
  const update *u = ctx;
  for (int64_t i = begin; i < end; i++) {
    float m = u->a->m[i] = u->keep * u->a->m[i] + u->g[i];
    u->g[i] = u->rate * m;
  }
}

/* [Kingma and Ba 2015] */
static void adam_range(void *ctx, int64_t begin, int64_t end) {
  const update *u = ctx;
  for (int64_t i = begin; i < end; i++) {
    float g = u->g[i];
    float m = u->a->m[i] = u->keep * u->a->m[i] + (1 - u->keep) * g;
    float v = u->a->v[i] = 0.999f * u->a->v[i] + 0.001f * g * g;
    u->g[i] = u->rate * (m * u->new_m) / (sqrtf(v * u->new_v) + 1e-8f);
  }
}

static void by_gradient(xai__ascent *a, int64_t step, float *g) {
  (void)step;
  run(a, g, gradient_range, (update){0});
}

static void by_momentum(xai__ascent *a, int64_t step, float *g) {
  (void)step;
  run(a, g, momentum_range, (update){0});
}

static void by_adam(xai__ascent *a, int64_t step, float *g) {
  double t = (double)step + 1;
  run(a, g, adam_range, (update){.new_m = (float)(1 / (1 - pow(a->momentum, t))),
                                 .new_v = (float)(1 / (1 - pow(0.999, t)))});
}

static const struct {
  const char *name;
  void (*step)(xai__ascent *a, int64_t step, float *g);
  bool m, v; /* what it keeps */
} optimizers[] = {{"adam", by_adam, true, true},
                  {"momentum", by_momentum, true, false},
                  {"gradient", by_gradient, false, false}};

/* ---- maps along the two axes of a picture ---- */

static int64_t height(const xai__ascent *a) { return a->item.d[a->item.rank - 2]; }
static int64_t width(const xai__ascent *a) { return a->item.d[a->item.rank - 1]; }

/* The orthonormal cosine transform (DCT-II): row k holds frequency k. */
static void make_cosine(int64_t n, float *c) {
  for (int64_t k = 0; k < n; k++)
    for (int64_t i = 0; i < n; i++)
      c[k * n + i] = (float)(sqrt((k ? 2.0 : 1.0) / (double)n) *
                             cos(3.141592653589793 * ((double)i + 0.5) * (double)k / (double)n));
}

/* Each row: a normal density around its element, cut at the border; sums to 1. */
static void make_smooth(int64_t n, double sigma, float *s) {
  const double narrow = -0.5 / (sigma * sigma);
  for (int64_t i = 0; i < n; i++) {
    double sum = 0;
    for (int64_t k = 0; k < n; k++) sum += exp(narrow * (double)((i - k) * (i - k)));
    for (int64_t k = 0; k < n; k++)
      s[i * n + k] = (float)(exp(narrow * (double)((i - k) * (i - k))) / sum);
  }
}

/* g = A g B' for every plane: A at maps [H][H], B behind it [W][W]; transposed: A' g B. */
static int map(xai__ascent *a, const float *maps, bool transposed, float *g, xai_error *err) {
  const int64_t h = height(a), w = width(a), planes = a->items * a->size / (h * w);
  const xai__gemm columns = {.batch = planes, .m = h, .n = w, .k = h, .b_stride = h * w,
                             .z_stride = h * w, .a_transposed = transposed};
  const xai__gemm rows = {.batch = 1, .m = planes * h, .n = w, .k = w, .b_transposed = !transposed};
  XAI__TRY(xai__gemm_run(a->engine, &columns, maps, g, a->work, xai__set, err));
  return xai__gemm_run(a->engine, &rows, a->work, maps + h * h, g, xai__set, err);
}

static void multiply_range(void *ctx, int64_t begin, int64_t end) {
  const update *u = ctx;
  const int64_t plane = height(u->a) * width(u->a);
  for (int64_t i = begin; i < end; i++) u->g[i] *= u->a->scale[i % plane];
}

static int make_maps(xai__ascent *a, const char *name, xai__arena *arena, xai_error *err) {
  const char *what = a->blur > 0 ? "blur" : "frequency";
  if (a->item.rank < 3 || height(a) < 1 || width(a) < 1)
    return xai__fail(err, XAI_E_ARGUMENT, what, "%s is for pictures [N,...,H,W]: '%s' is %s", what,
                     name, xai__shape_text(&a->item).text);
  const int64_t h = height(a), w = width(a);
  const size_t n = (size_t)(h * h + w * w);
  if (!(a->work = xai__arena_new(arena, (size_t)(a->items * a->size), sizeof(float), err)))
    return err->status;
  if (a->blur > 0 && !(a->smooth = xai__arena_new(arena, n, sizeof(float), err)))
    return err->status;
  if (!(a->power > 0)) return XAI_OK;
  a->cosine = xai__arena_new(arena, n, sizeof(float), err);
  a->scale = xai__arena_new(arena, (size_t)(h * w), sizeof(float), err);
  if (!a->cosine || !a->scale) return err->status;
  make_cosine(h, a->cosine);
  make_cosine(w, a->cosine + h * h);
  double sum = 0, most = (double)(h > w ? h : w);
  for (int pass = 0; pass < 2; pass++)
    for (int64_t i = 0; i < h * w; i++) {
      double y = (double)(i / w) * most / (double)h, x = (double)(i % w) * most / (double)w;
      double s = pow(fmax(1, sqrt(x * x + y * y)), -a->power);
      if (!pass) sum += s * s;
      a->scale[i] = (float)(s * sqrt((double)(h * w) / fmax(sum, 1e-300)));
    }
  return XAI_OK;
}

/* ---- box ---- */

typedef struct box {
  const xai__ascent *a;
  float *x;
  const float *step; /* added first, or NULL */
} box;

static void box_range(void *ctx, int64_t begin, int64_t end) {
  const box *b = ctx;
  const xai__ascent *a = b->a;
  for (int64_t i = begin; i < end; i++) {
    float x = b->step ? b->x[i] + b->step[i] : b->x[i];
    if (a->low && x < a->low[i % a->size]) x = a->low[i % a->size];
    if (a->high && x > a->high[i % a->size]) x = a->high[i % a->size];
    b->x[i] = x;
  }
}

void xai__ascent_clip(const xai__ascent *a, float *x) {
  box b = {a, x, NULL};
  xai__parallel(a->engine, a->items * a->size, XAI__GRAIN, box_range, &b);
}

static int make_bound(xai__ascent *a, const xai__params *p, const char *which, const char *name,
                      xai__arena *arena, const float **out, xai_error *err) {
  const xai__value *bound = xai__params_find(p, which);
  if (!bound->set) return XAI_OK;
  if (bound->label)
    return xai__fail(err, XAI_E_ARGUMENT, which, "parameter '%s' is a number or a tensor, not '%s'",
                     which, bound->label);
  xai__view to = {.dtype = XAI_F32, .shape = a->item};
  to.data = xai__arena_new(arena, (size_t)a->size + 1, sizeof(float), err);
  if (!to.data) return err->status;
  *out = xai__f(&to);
  return xai__bound_fill(a->engine, bound, &to, name, err);
}

/* ---- the whole ---- */

int xai__ascent_begin(xai__ascent *a, xai__engine *e, const xai__params *p, const xai__shape *item,
                      int64_t items, const char *name, xai__arena *arena, xai_error *err) {
  const int64_t size = xai__count(item);
  *a = (xai__ascent){.engine = e, .item = *item, .items = items, .size = size,
                     .steps = (int64_t)xai__params_number(p, "steps"),
                     .rate = xai__params_number(p, "rate"),
                     .momentum = xai__params_number(p, "momentum"),
                     .blur = xai__params_number(p, "blur"),
                     .power = xai__params_number(p, "frequency")};
  for (size_t i = 0; i < sizeof optimizers / sizeof *optimizers; i++) {
    if (!xai__params_is(p, "optimizer", optimizers[i].name)) continue;
    const size_t n = (size_t)(items * size) + 1;
    a->optimizer = optimizers[i].step;
    if (optimizers[i].m && !(a->m = xai__arena_new(arena, n, sizeof(float), err)))
      return err->status;
    if (optimizers[i].v && !(a->v = xai__arena_new(arena, n, sizeof(float), err)))
      return err->status;
  }
  XAI__TRY(make_bound(a, p, "low", name, arena, &a->low, err));
  XAI__TRY(make_bound(a, p, "high", name, arena, &a->high, err));
  for (int64_t i = 0; a->low && a->high && i < size; i++)
    if (a->low[i] > a->high[i])
      return xai__fail(err, XAI_E_ARGUMENT, "low", "low is above high at element %lld of '%s'",
                       (long long)i, name);
  return a->blur > 0 || a->power > 0 ? make_maps(a, name, arena, err) : XAI_OK;
}

int xai__ascent_step(xai__ascent *a, int64_t step, float *x, float *g, xai_error *err) {
  update u = {.a = a, .g = g};
  const int64_t n = a->items * a->size;
  const double sigma = a->blur * (1 - (double)step / (double)a->steps);
  if (sigma > 0.1) { /* narrower than that is none */
    make_smooth(height(a), sigma, a->smooth);
    make_smooth(width(a), sigma, a->smooth + height(a) * height(a));
    XAI__TRY(map(a, a->smooth, false, g, err));
  }
  if (a->cosine) {
    XAI__TRY(map(a, a->cosine, false, g, err));
    xai__parallel(a->engine, n, XAI__GRAIN, multiply_range, &u);
  }
  a->optimizer(a, step, g);
  if (a->cosine) {
    xai__parallel(a->engine, n, XAI__GRAIN, multiply_range, &u);
    XAI__TRY(map(a, a->cosine, true, g, err));
  }
  box b = {a, x, g};
  xai__parallel(a->engine, n, XAI__GRAIN, box_range, &b);
  return XAI_OK;
}

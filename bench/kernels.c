/* The blocked kernels, layer shape by layer shape, against what the processor can do: milliseconds
 * and GFLOP/s of a forward product (bias, Relu), of a z-plus denominator with its division, of the
 * adjoint times x, and of the plain engine's forward product. Weights come from memory, not from
 * cache: each run takes the next of several copies.
 *
 *   cmake --build --preset release --target bench_kernels && build/release/bench_kernels [threads]
 *
 * Prints a table; the same as JSON on file descriptor 3 if it is open (3>kernels.json). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/os.h"
#include "engine/blocked.h"

typedef struct layer {
  const char *net;
  int groups, c, m, size, kernel, stride;
} layer;

static const layer layers[] = {
    {"VGG-16", 1, 3, 64, 224, 3, 1},          {"VGG-16", 1, 64, 64, 224, 3, 1},
    {"VGG-16", 1, 128, 128, 112, 3, 1},       {"VGG-16", 1, 256, 256, 56, 3, 1},
    {"VGG-16", 1, 512, 512, 28, 3, 1},        {"VGG-16", 1, 512, 512, 14, 3, 1},
    {"ResNet", 1, 3, 64, 224, 7, 2},          {"ResNet", 1, 64, 64, 56, 3, 1},
    {"ResNet", 1, 128, 128, 28, 3, 1},        {"ResNet", 1, 256, 256, 14, 3, 1},
    {"ResNet", 1, 512, 512, 7, 3, 1},         {"ResNet", 1, 128, 128, 56, 3, 2},
    {"ResNet", 1, 256, 256, 28, 3, 2},        {"ResNet", 1, 512, 512, 14, 3, 2},
    {"ResNet-50", 1, 64, 256, 56, 1, 1},      {"ResNet-50", 1, 256, 64, 56, 1, 1},
    {"ResNet-50", 1, 128, 512, 28, 1, 1},     {"ResNet-50", 1, 512, 128, 28, 1, 1},
    {"ResNet-50", 1, 256, 1024, 14, 1, 1},    {"ResNet-50", 1, 1024, 256, 14, 1, 1},
    {"ResNet-50", 1, 512, 2048, 7, 1, 1},     {"ResNet-50", 1, 2048, 512, 7, 1, 1},
    {"ResNet-50", 1, 256, 512, 56, 1, 2},     {"ResNet-50", 1, 1024, 2048, 14, 1, 2},
    {"MobileNetV2", 1, 3, 32, 224, 3, 2},     {"MobileNetV2", 96, 1, 1, 112, 3, 2},
    {"MobileNetV2", 144, 1, 1, 56, 3, 1},     {"MobileNetV2", 384, 1, 1, 14, 3, 1},
    {"MobileNetV2", 960, 1, 1, 7, 3, 1},      {"MobileNetV2", 1, 24, 144, 56, 1, 1},
    {"MobileNetV2", 1, 144, 24, 56, 1, 1},    {"MobileNetV2", 1, 96, 576, 14, 1, 1},
    {"MobileNetV2", 1, 320, 1280, 7, 1, 1}};
enum { LAYERS = sizeof layers / sizeof *layers, COLUMNS = 6, MOST_COPIES = 32 };
static const char *const column_names[COLUMNS] = {
    "forward", "z-plus", "adjoint", "plain", "winograd", "its adjoint"};

#define COLD_FLOATS (16 << 20)
#define RUNS 9

/* ---- peak ---- */

typedef float vector __attribute__((vector_size(64)));

/* Twelve chains, none waiting for another. */
static void multiply_add(void *ctx, int64_t begin, int64_t end) {
  float *sink = ctx;
  for (int64_t i = begin; i < end; i++) {
    const vector zero = {0}, x = zero + 0.5f;
    vector a = x, b = x, c = x, d = x, f = x, g = x, h = x, k = x, m = x, n = x, p = x, q = x;
    for (int r = 0; r < 1 << 20; r++) {
      a = a * x + x, b = b * x + x, c = c * x + x, d = d * x + x, f = f * x + x, g = g * x + x;
      h = h * x + x, k = k * x + x, m = m * x + x, n = n * x + x, p = p * x + x, q = q * x + x;
      __asm__ volatile("" : "+v"(a), "+v"(b), "+v"(c), "+v"(d), "+v"(f), "+v"(g), "+v"(h),
                       "+v"(k), "+v"(m), "+v"(n), "+v"(p), "+v"(q));
    }
    const vector sum = a + b + c + d + f + g + h + k + m + n + p + q;
    sink[i] += sum[0];
  }
}

static double peak(xai__engine *e, int threads) {
  float sink[64] = {0};
  double best = 0;
  for (int i = 0; i < 5; i++) {
    const double start = xai__seconds();
    xai__parallel(e, 4 * threads, 1, multiply_add, sink);
    const double gf = 4.0 * threads * (1 << 20) * 12 * 32 / (xai__seconds() - start) * 1e-9;
    best = gf > best ? gf : best;
  }
  return best;
}

/* ---- one layer ---- */

static float *noise(int64_t n, bool positive) {
  static uint32_t state = 1;
  float *v = aligned_alloc(64, ((size_t)n * sizeof *v + 127) / 64 * 64);
  if (!v) exit(1);
  for (int64_t i = 0; i < n; i++) {
    state = state * 1664525 + 1013904223;
    v[i] = (float)(state >> 8) * 0x1p-24f - (positive ? 0.0f : 0.5f);
  }
  return v;
}

static xai__blocked blocked(int64_t c, int64_t size, int64_t border, bool plain) {
  xai__blocked b = {1, c, size, size, plain ? 0 : border, plain, NULL};
  b.data = noise(xai__blocked_count(&b), true);
  if (plain) return b;
  for (int64_t i = 0; i < xai__blocked_count(&b); i++) { /* zero border and spare lanes */
    const int64_t w = size + 2 * border, x = i / 16 % w, y = i / 16 / w % w;
    const int64_t channel = i / 16 / w / w * 16 + i % 16;
    if (x < border || x >= w - border || y < border || y >= w - border || channel >= c)
      b.data[i] = 0;
  }
  return b;
}

typedef struct bench {
  xai__engine *e;
  xai__product p;
  xai__blocked x, z, r;
  float *packed[2][MOST_COPIES], *plain_x, *plain_z;
  int copies;
} bench;

static void once(bench *b, int column, int i) {
  const xai__edit same = xai__identity, positive = {XAI__LINEAR, 1, 0};
  const bool winograd = column >= 4;
  const xai__finish relu = {.form = XAI__CLIP, .high = INFINITY, .winograd = winograd};
  const xai__finish divide = {.form = XAI__DIVIDE, .coef = 1, .stabilizer = 1e-6f, .other = &b->r};
  const xai__finish times = {.form = XAI__TIMES, .coef = 1, .edit = same, .other = &b->x,
                             .winograd = winograd};
  const float *forward = b->packed[0][i % b->copies], *back = b->packed[1][i % b->copies];
  xai_error err;
  int status = 0;
  if (column == 0 || column == 4)
    status = xai__blocked_forward(b->e, &b->p, forward, &b->x, same, same, same, &b->z, &relu,
                                  &err);
  else if (column == 1)
    status = xai__blocked_forward(b->e, &b->p, forward, &b->x, same, positive, positive, &b->z,
                                  &divide, &err);
  else if (column == 2 || column == 5) {
    xai__blocked g = b->x;
    g.data = b->plain_x;
    status = xai__blocked_adjoint(b->e, &b->p, back, &b->z, same, &g, &times, &err);
  } else {
    status = xai__product_forward(b->e, &b->p, b->plain_x, same, same, same, b->plain_z, xai__set,
                                  &err);
  }
  if (status) exit(fprintf(stderr, "%s\n", err.text) > 0);
}

static int ascending(const void *a, const void *b) {
  return *(const double *)a < *(const double *)b ? -1 : 1;
}

static double median_ms(bench *b, int column) {
  double t[RUNS];
  once(b, column, 0);
  for (int i = 0; i < RUNS; i++) {
    const double start = xai__seconds();
    once(b, column, i + 1);
    t[i] = (xai__seconds() - start) * 1e3;
  }
  qsort(t, RUNS, sizeof *t, ascending);
  return t[RUNS / 2];
}

static void measure(xai__engine *e, const layer *l, double ms[COLUMNS], double *flop) {
  const int64_t pad = (l->kernel - 1) / 2, out = (l->size + 2 * pad - l->kernel) / l->stride + 1;
  bench b = {.e = e};
  b.p = (xai__product){.kind = XAI__CONV, .n = 1, .groups = l->groups, .c = l->c, .m = l->m,
                       .in = {1, l->size, l->size}, .out = {1, out, out},
                       .kernel = {1, l->kernel, l->kernel}, .stride = {1, l->stride, l->stride},
                       .dilation = {1, 1, 1}, .pad = {0, pad, pad},
                       .n_bias = (int64_t)l->groups * l->m};
  float *w = noise(xai__product_weight_count(&b.p), false), *bias = noise(b.p.n_bias, false);
  b.p.w = w;
  b.p.b = bias;
  const int64_t back = xai__blocked_border(&b.p, XAI__PACK_ADJOINT);
  b.x = blocked((int64_t)l->groups * l->c, l->size, pad, xai__blocked_image(&b.p));
  b.z = blocked(b.p.n_bias, out, back, false);
  b.r = blocked(b.p.n_bias, out, 0, false);
  b.plain_x = noise(xai__blocked_count(&b.x), true);
  b.plain_z = noise(xai__product_out_count(&b.p), true);
  b.copies = (int)(COLD_FLOATS / xai__product_weight_count(&b.p)) + 1;
  if (b.copies > MOST_COPIES) b.copies = MOST_COPIES;
  for (int form = 0; form < 2; form++)
    for (int i = 0; i < b.copies; i++) {
      const xai__pack_form read = xai__pack_read(&b.p, (xai__pack_form)form);
      b.packed[form][i] = noise(xai__pack_count(&b.p, read), false);
      xai__pack(e, &b.p, read, b.packed[form][i]);
    }
  for (int column = 0; column < COLUMNS; column++) ms[column] = median_ms(&b, column);
  *flop = 2.0 * (double)xai__product_weight_count(&b.p) * (double)(out * out);
  float *all[] = {w, bias, b.x.data, b.z.data, b.r.data, b.plain_x, b.plain_z};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
  for (int i = 0; i < 2 * b.copies; i++) free(b.packed[i / b.copies][i % b.copies]);
}

int main(int argc, char **argv) {
  const int threads = argc > 1 ? atoi(argv[1]) : xai__processors();
  xai__engine *e;
  if (xai__engine_create(NULL, threads, 0, &e, NULL)) return 1;
  xai__engine_begin(e);
  FILE *json = fdopen(3, "w");
  const double top = peak(e, threads);
  printf("%d threads, instruction set %d, multiply-add peak %.0f GFLOP/s\n", threads,
         xai__engine_isa(e), top);
  printf("%-12s %-30s", "", "ms (GFLOP/s)");
  for (int c = 0; c < COLUMNS; c++) printf("%16s", column_names[c]);
  printf("\n");
  if (json) fprintf(json, "{\"threads\": %d, \"peak_gflops\": %.1f, \"layers\": [", threads, top);
  for (int i = 0; i < LAYERS; i++) {
    const layer *l = &layers[i];
    double ms[COLUMNS], flop;
    measure(e, l, ms, &flop);
    char shape[64];
    snprintf(shape, sizeof shape, "%dx%ds%d %d -> %d @%d%s", l->kernel, l->kernel, l->stride,
             l->groups * l->c, l->groups * l->m, l->size, l->groups > 1 ? " depthwise" : "");
    printf("%-12s %-30s", l->net, shape);
    if (json) fprintf(json, "%s\n{\"net\": \"%s\", \"shape\": \"%s\"", i ? "," : "", l->net, shape);
    for (int c = 0; c < COLUMNS; c++) {
      printf("%9.3f (%4.0f)", ms[c], flop / ms[c] * 1e-6);
      if (json) fprintf(json, ", \"%s_ms\": %.4f", column_names[c], ms[c]);
    }
    printf("\n");
    fflush(stdout);
    if (json) fprintf(json, "}");
  }
  if (json) {
    fprintf(json, "\n]}\n");
    fclose(json);
  }
  xai__engine_end(e);
  xai__engine_free(e);
  return 0;
}

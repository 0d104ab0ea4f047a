/* Matrix products of the engine, weights in place and packed before, against OpenBLAS: square, and
 * the layers of ViT-B/16, a BERT-sized encoder and ConvNeXt-T. Two threads each; medians.
 *
 *   cmake --build --preset release --target bench_sgemm && build/release/bench_sgemm [NAME]
 *
 * OpenBLAS is opened at run time (libopenblas.so.0) and told to use two threads; unset
 * OPENBLAS_CORETYPE, or it may not use the best of its kernels. Each side is timed in a block of its
 * own, after calls that do not count, so that neither waits for the other's spinning threads.
 * Weights rotate over enough copies that they come from memory, as in a network. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/engine.h"

enum { ROUNDS = 21, WARM = 3, THREADS = 2 };

static const struct {
  const char *name;
  int m, n, k, copies;
  bool transposed; /* weights [n][k] */
} shapes[] = {
    {"square 1024", 1024, 1024, 1024, 1, false},
    {"square 2048", 2048, 2048, 2048, 1, false},
    {"vit 197 x 768 x 2304", 197, 2304, 768, 12, false},
    {"vit 197 x 768 x 768 T", 197, 768, 768, 12, true},
    {"vit 197 x 768 x 3072", 197, 3072, 768, 12, false},
    {"vit 197 x 3072 x 768", 197, 768, 3072, 12, false},
    {"bert 128 x 768 x 768", 128, 768, 768, 12, false},
    {"bert 128 x 768 x 3072", 128, 3072, 768, 12, false},
    {"bert 128 x 3072 x 768", 128, 768, 3072, 12, false},
    {"convnext 3136 x 96 x 384", 3136, 384, 96, 3, false},
    {"convnext 3136 x 384 x 96", 3136, 96, 384, 3, false},
    {"convnext 784 x 192 x 768", 784, 768, 192, 3, false},
    {"convnext 784 x 768 x 192", 784, 192, 768, 3, false},
    {"convnext 49 x 768 x 3072", 49, 3072, 768, 3, false},
    {"vector 1 x 4096 x 4096 T", 1, 4096, 4096, 8, true},
    {"vector 1 x 25088 x 4096 T", 1, 4096, 25088, 1, true},
    {"vector 1 x 4096 x 25088", 1, 25088, 4096, 1, false},
};

typedef void (*sgemm_fn)(int order, int ta, int tb, int m, int n, int k, float alpha,
                         const float *a, int lda, const float *b, int ldb, float beta, float *c,
                         int ldc);
typedef void (*threads_fn)(int n);
typedef char *(*core_fn)(void);

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static int compare(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static float *noise(size_t n) {
  float *v = malloc(n * sizeof *v);
  if (!v) exit(1);
  for (size_t i = 0; i < n; i++) v[i] = (float)(rand() % 2001 - 1000) * 1e-3f;
  return v;
}

enum side { BLAS, IN_PLACE, PACKED, SIDES };

typedef struct bench {
  int s; /* shape */
  sgemm_fn sgemm;
  xai__engine *e;
  float *x, *w, *packed, *z;
} bench;

static xai__product product_of(const bench *b, int copy) {
  const int n = shapes[b->s].n, k = shapes[b->s].k;
  return (xai__product){.kind = XAI__MATMUL, .n = 1, .groups = 1, .c = k, .m = n, .batch = 1,
                        .rows = shapes[b->s].m, .w_batches = 1,
                        .w_transposed = shapes[b->s].transposed,
                        .w = b->w + (size_t)copy * (size_t)n * (size_t)k};
}

static void call(const bench *b, enum side side, int copy) {
  const int m = shapes[b->s].m, n = shapes[b->s].n, k = shapes[b->s].k;
  xai__product p = product_of(b, copy);
  if (side == BLAS) {
    b->sgemm(101, 111, p.w_transposed ? 112 : 111, m, n, k, 1, b->x, k, p.w,
             p.w_transposed ? k : n, 0, b->z, n);
    return;
  }
  if (side == PACKED) p.packed = b->packed + copy * xai__product_pack_count(b->e, &p);
  if (xai__product_forward(b->e, &p, b->x, xai__identity, xai__identity, xai__identity, b->z,
                           xai__set, NULL))
    exit(1);
}

/* The median, in ms; 0 if this side has nothing to say. */
static double time_of(const bench *b, enum side side) {
  double t[ROUNDS];
  if ((side == BLAS && !b->sgemm) || (side == PACKED && !b->packed)) return 0;
  nanosleep(&(struct timespec){0, 100 * 1000 * 1000}, NULL);
  for (int r = -WARM; r < ROUNDS; r++) {
    const double start = now();
    call(b, side, (r + WARM) % shapes[b->s].copies);
    if (r >= 0) t[r] = now() - start;
  }
  qsort(t, ROUNDS, sizeof *t, compare);
  return t[ROUNDS / 2];
}

static void pack(bench *b) {
  const xai__product first = product_of(b, 0);
  const int64_t each = xai__product_pack_count(b->e, &first);
  b->packed = each ? noise((size_t)(each * shapes[b->s].copies)) : NULL;
  for (int i = 0; i < shapes[b->s].copies && each; i++) {
    const xai__product p = product_of(b, i);
    xai__product_pack(b->e, &p, b->packed + i * each);
  }
}

int main(int argc, char **argv) {
  void *blas = dlopen("libopenblas.so.0", RTLD_NOW);
  bench b = {.sgemm = blas ? (sgemm_fn)(uintptr_t)dlsym(blas, "cblas_sgemm") : NULL};
  const threads_fn threads =
      blas ? (threads_fn)(uintptr_t)dlsym(blas, "openblas_set_num_threads") : NULL;
  const core_fn core = blas ? (core_fn)(uintptr_t)dlsym(blas, "openblas_get_corename") : NULL;
  if (threads) threads(THREADS);
  if (xai__engine_create(NULL, THREADS, 0, &b.e, NULL)) return 1;
  printf("OpenBLAS: %s\n", core ? core() : "not there");
  printf("%-26s %9s %7s | %9s %7s %6s | %9s %7s %6s\n", "rows x terms x outputs", "BLAS ms", "GF",
         "in place", "GF", "ratio", "packed", "GF", "ratio");
  for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
    if (argc > 1 && !strstr(shapes[s].name, argv[1])) continue;
    const size_t m = (size_t)shapes[s].m, n = (size_t)shapes[s].n, k = (size_t)shapes[s].k;
    b.s = (int)s;
    b.x = noise(m * k);
    b.w = noise(n * k * (size_t)shapes[s].copies);
    b.z = noise(m * n);
    pack(&b);
    double t[SIDES];
    for (int side = 0; side < SIDES; side++) t[side] = time_of(&b, (enum side)side);
    const double work = 2e-6 * (double)(m * n * k);
    printf("%-26s", shapes[s].name);
    for (int side = 0; side < SIDES; side++) {
      if (t[side] > 0) printf(" %9.3f %7.1f", t[side], work / t[side]);
      else printf(" %9s %7s", "-", "-");
      if (side && t[side] > 0 && t[BLAS] > 0) printf(" %6.2f", t[side] / t[BLAS]);
      if (side + 1 < SIDES) printf(" |");
    }
    printf("\n");
    free(b.x);
    free(b.w);
    free(b.z);
    free(b.packed);
  }
  xai__engine_free(b.e);
  return 0;
}

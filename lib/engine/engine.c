/* An engine's life, its scratch stack and the whole-array loops. */
#include "engine/engine.h"

#include <stdatomic.h>
#include <string.h>

#include "engine/state.h"

int xai__engine_create(xai__memory *m, int threads, int max_isa, xai__engine **out,
                       xai_error *err) {
  *out = NULL;
  xai__engine *e = xai__new(m, 1, sizeof *e, err);
  if (!e) return xai__no_memory(err);
  e->memory = m;
  e->isa = xai__isa(max_isa);
  xai__kernels_choose(e->isa, &e->k, &e->block_kernels);
  int status = xai__pool_create(m, threads, &e->pool, err);
  if (status) {
    xai__free(e);
    return status;
  }
  *out = e;
  return XAI_OK;
}

void xai__engine_free(xai__engine *e) {
  if (!e) return;
  xai__pool_free(e->pool);
  for (int i = 0; i < e->blocks; i++) xai__free(e->block[i].data);
  xai__free(e);
}

xai__memory *xai__engine_memory(const xai__engine *e) { return e->memory; }

int xai__engine_isa(const xai__engine *e) { return e->isa; }

void xai__engine_begin(xai__engine *e) { xai__pool_begin(e->pool); }

void xai__engine_end(xai__engine *e) { xai__pool_end(e->pool); }

/* ---- parallel ranges ---- */

typedef struct range_job {
  int64_t n, parts;
  xai__range_fn f;
  void *ctx;
} range_job;

static void range_task(void *ctx, int64_t task, int thread) {
  (void)thread;
  const range_job *j = ctx;
  const int64_t each = j->n / j->parts, more = j->n % j->parts;
  const int64_t begin = task * each + (task < more ? task : more);
  j->f(j->ctx, begin, begin + each + (task < more));
}

void xai__parallel(xai__engine *e, int64_t n, int64_t grain, xai__range_fn f, void *ctx) {
  if (n <= 0) return;
  if (grain < 1) grain = 1;
  const int threads = xai__pool_threads(e->pool);
  const int64_t most = threads == 1 ? 1 : (int64_t)threads * 4;
  int64_t parts = n / grain;
  if (parts > most) parts = most;
  if (parts < 1) parts = 1;
  range_job j = {n, parts, f, ctx};
  xai__pool_run(e->pool, parts, range_task, &j);
}

/* ---- scratch ---- */

#define SCRATCH_BLOCK ((size_t)1 << 20)
#define SCRATCH_ALIGN 64

size_t xai__scratch_mark(const xai__engine *e) { return e->top; }

/* The next block takes what does not fit the one that holds the top. A free block that is too
 * small is given back with all behind it, and one of at least their size replaces them: a stack
 * that was emptied soon consists of a single block. */
void *xai__scratch(xai__engine *e, size_t n, size_t size, xai_error *err) {
  if (size && n > (SIZE_MAX / 4) / size) {
    xai__fail(err, XAI_E_LIMIT, NULL, "scratch of %zu x %zu bytes", n, size);
    return NULL;
  }
  const size_t bytes = (n * size + SCRATCH_ALIGN) / SCRATCH_ALIGN * SCRATCH_ALIGN;
  size_t base = 0;
  int i = 0; /* the block that holds the top */
  for (; i < e->blocks && e->top >= base + e->block[i].size; i++) base += e->block[i].size;
  for (; i < e->blocks; base += e->block[i++].size) {
    const size_t used = e->top > base ? e->top - base : 0;
    if (e->block[i].size - used >= bytes) {
      e->top = base + used + bytes;
      return e->block[i].data + used;
    }
    if (used == 0) break;
  }
  size_t idle = 0;
  while (e->blocks > i) {
    idle += e->block[--e->blocks].size;
    xai__free(e->block[e->blocks].data);
  }
  if (i == XAI__SCRATCH_BLOCKS) {
    xai__fail(err, XAI_E_MEMORY, NULL, "scratch stack too deep");
    return NULL;
  }
  size_t want = bytes > base / 2 ? bytes : base / 2; /* grows by halves: few blocks */
  if (want < idle) want = idle;
  if (want < SCRATCH_BLOCK) want = SCRATCH_BLOCK;
  char *p = xai__new_raw(e->memory, want, 1, want > bytes ? NULL : err);
  if (!p && want > bytes) p = xai__new_raw(e->memory, want = bytes, 1, err);
  if (!p) return NULL;
  e->block[i].data = p;
  e->block[i].size = want;
  e->blocks = i + 1;
  e->top = base + bytes;
  return p;
}

void xai__scratch_release(xai__engine *e, size_t mark) { e->top = mark; }

int64_t xai__scratch_held(const xai__engine *e) {
  int64_t bytes = 0;
  for (int i = 0; i < e->blocks; i++) bytes += (int64_t)e->block[i].size;
  return bytes;
}

/* ---- whole-array loops ---- */

#define LOOP_GRAIN 16384
#define SEARCHED 4096 /* between looks at whether it was found */

typedef struct loop_job {
  const xai__kernels *k;
  float *y;
  const float *x;
  float scale;
} loop_job;

static void fill_range(void *ctx, int64_t begin, int64_t end) {
  const loop_job *j = ctx;
  for (int64_t i = begin; i < end; i++) j->y[i] = j->scale;
}

void xai__fill(xai__engine *e, float *y, int64_t n, float v) {
  loop_job j = {.y = y, .scale = v};
  xai__parallel(e, n, LOOP_GRAIN, fill_range, &j);
}

static void add_scaled_range(void *ctx, int64_t begin, int64_t end) {
  const loop_job *j = ctx;
  j->k->add_scaled(j->y + begin, j->x + begin, end - begin, j->scale);
}

void xai__add_scaled(xai__engine *e, float *y, const float *x, int64_t n, float scale) {
  loop_job j = {&e->k, y, x, scale};
  xai__parallel(e, n, LOOP_GRAIN, add_scaled_range, &j);
}

typedef struct product_job {
  float *y;
  const float *a, *b;
} product_job;

static void add_product_range(void *ctx, int64_t begin, int64_t end) {
  const product_job *j = ctx;
  for (int64_t i = begin; i < end; i++) j->y[i] += j->b[i] != 0 ? j->a[i] * j->b[i] : 0;
}

void xai__add_product(xai__engine *e, float *y, const float *a, const float *b, int64_t n) {
  product_job j = {y, a, b};
  xai__parallel(e, n, LOOP_GRAIN, add_product_range, &j);
}

typedef struct search {
  float sign;
  const float *by, *v;
  _Atomic bool found;
} search;

static void search_range(void *ctx, int64_t begin, int64_t end) {
  search *j = ctx;
  while (begin < end && !atomic_load_explicit(&j->found, memory_order_relaxed)) {
    const int64_t stop = end - begin > SEARCHED ? begin + SEARCHED : end;
    int found = 0;
    for (; begin < stop; begin++) found |= (j->sign * j->by[begin] > 0) & (j->v[begin] != 0);
    if (found) atomic_store_explicit(&j->found, true, memory_order_relaxed);
  }
}

bool xai__any_where(xai__engine *e, float sign, const float *by, const float *v, int64_t n) {
  search j = {.sign = sign, .by = by, .v = v};
  xai__parallel(e, n, LOOP_GRAIN, search_range, &j);
  return j.found;
}

bool xai__any_negative(xai__engine *e, const float *x, int64_t n) {
  return xai__any_where(e, -1, x, x, n);
}

bool xai__all_finite(const float *x, int64_t n) {
  for (int64_t i = 0; i < n;) {
    const int64_t end = n - i > 4096 ? i + 4096 : n;
    float zero = 0; /* v * 0 is 0, or NaN where v is not finite */
    for (; i < end; i++) zero += x[i] * 0;
    if (zero != 0) return false;
  }
  return true;
}

/* Sums are over a fixed number of parts, whoever computes them, then over the parts in order. */
#define SUM_PARTS 64

typedef struct sum_job {
  const float *x, *y;
  int64_t n;
  double part[SUM_PARTS];
} sum_job;

/* Four chains, for the latency of an addition. */
static double sum_of(const float *x, const float *y, int64_t n) {
  double s[4] = {0};
  const int64_t even = n / 4 * 4;
  for (int64_t i = 0; i < even; i += 4)
    for (int c = 0; c < 4; c++) s[c] += (double)x[i + c] * (y ? (double)y[i + c] : 1);
  for (int64_t i = even; i < n; i++) s[0] += (double)x[i] * (y ? (double)y[i] : 1);
  return (s[0] + s[1]) + (s[2] + s[3]);
}

static void sum_range(void *ctx, int64_t begin, int64_t end) {
  sum_job *j = ctx;
  const int64_t each = j->n / SUM_PARTS + 1;
  for (int64_t i = begin; i < end; i++) {
    const int64_t from = i * each < j->n ? i * each : j->n;
    const int64_t to = from + each < j->n ? from + each : j->n;
    j->part[i] = sum_of(j->x + from, j->y ? j->y + from : NULL, to - from);
  }
}

double xai__dot(xai__engine *e, const float *x, const float *y, int64_t n) {
  if (n <= 0) return 0;
  sum_job j = {.x = x, .y = y, .n = n};
  const int64_t grain = n < SUM_PARTS * LOOP_GRAIN ? SUM_PARTS * LOOP_GRAIN / n + 1 : 1;
  xai__parallel(e, SUM_PARTS, grain, sum_range, &j);
  double sum = 0;
  for (int i = 0; i < SUM_PARTS; i++) sum += j.part[i];
  return sum;
}

double xai__sum(xai__engine *e, const float *x, int64_t n) { return xai__dot(e, x, NULL, n); }

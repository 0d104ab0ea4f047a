/* Convolutions as products of packed tiles: one side is the filters, the other the positions of
 * all items, packed straight from the images (no im2col copy); a batch is a group. */
#include "engine/convolve.h"

#include "engine/state.h"

#define CHANNELS_AHEAD 4
#define FLOATS_A_LINE 16

typedef struct filters {
  xai__side side;
  const xai__convolution *c;
  const int64_t *tap; /* offset of each tap in a kernel */
  int64_t taps;
  bool whole; /* all taps of the kernel, in order */
} filters;

typedef struct images {
  xai__side side;
  const xai__convolution *c;
  const xai__window *w;
} images;

static int64_t smallest_from(int64_t k, int64_t tap, int64_t taps) {
  return k > tap ? (k - tap + taps - 1) / taps : 0;
}

/* The kernels of a source channel that is packed soon: hardware does not see the leap. */
static void prefetch_channel(const xai__convolution *c, const float *from, int64_t s, int n) {
  if (s >= c->sc) return;
  for (int64_t i = 0; i < n * c->w_target; i += FLOATS_A_LINE)
    __builtin_prefetch(from + s * c->w_source + i);
}

/* k = s * taps + tap. Where the channels' kernels lie beside each other, so do more k: one
 * transposition serves them all. */
static void pack_whole(const filters *f, const xai__kernels *kernels, const float *from, int n,
                       int64_t k0, int64_t k1, int width, float *to) {
  const xai__convolution *c = f->c;
  if (c->w_source == f->taps) {
    kernels->transpose(from + k0, c->w_target, n, k1 - k0, width, to);
  } else if (f->taps == 1) {
    kernels->copy(from + k0 * c->w_source, c->w_source, n, k1 - k0, width, to);
  } else {
    for (int64_t k = k0, next; k < k1; k = next) {
      next = (k / f->taps + 1) * f->taps < k1 ? (k / f->taps + 1) * f->taps : k1;
      prefetch_channel(c, from, k / f->taps + CHANNELS_AHEAD, n);
      kernels->transpose(from + k / f->taps * c->w_source + k % f->taps, c->w_target, n, next - k,
                         width, to + (k - k0) * width);
    }
  }
}

static void pack_filters(const xai__side *side, const xai__kernels *kernels, int64_t group,
                         int64_t first, int n, int64_t k0, int64_t k1, int width, float *to) {
  const filters *f = (const filters *)(const void *)side;
  const xai__convolution *c = f->c;
  const float *from = c->w + group * c->w_group + first * c->w_target;
  if (side->edit.form == XAI__ONES) {
    kernels->edit(side->edit, to, (k1 - k0) * width);
  } else if (f->whole) {
    pack_whole(f, kernels, from, n, k0, k1, width, to);
  } else {
    for (int64_t k = k0; k < k1; k++, to += width) {
      if (k % f->taps == 0 && c->w_target < c->w_source)
        prefetch_channel(c, from, k / f->taps + CHANNELS_AHEAD, n);
      const float *w = from + k / f->taps * c->w_source + f->tap[k % f->taps];
      for (int i = 0; i < n; i++) to[i] = w[i * c->w_target];
      for (int i = n; i < width; i++) to[i] = 0;
    }
  }
}

static void place_filters(const xai__side *side, int64_t group, int64_t first, int n,
                          int64_t *offset) {
  const xai__convolution *c = ((const filters *)(const void *)side)->c;
  for (int i = 0; i < n; i++) offset[i] = (group * c->tc + first + i) * c->target;
}

/* A stretch of positions that lie along one row of one item. */
typedef struct stretch {
  int at, count;
  int64_t base, p[3]; /* the item's channel; the first position */
} stretch;

static int stretches_of(const images *m, int64_t group, int64_t first, int n, stretch *s) {
  const xai__convolution *c = m->c;
  const xai__axis *a = m->w->axis;
  int many = 0;
  for (int at = 0; at < n; many++) {
    const int64_t i = first + at, item = i / m->w->positions;
    int64_t p = i % m->w->positions;
    stretch *t = &s[many];
    t->base = (item * c->groups + group) * c->sc * c->source;
    t->p[2] = p % a[2].count;
    p /= a[2].count;
    t->p[1] = p % a[1].count;
    t->p[0] = p / a[1].count;
    t->at = at;
    t->count = a[2].count - t->p[2] < n - at ? (int)(a[2].count - t->p[2]) : n - at;
    at += t->count;
  }
  return many;
}

/* What the taps (t0, t1, t2) see of the stretches. */
static int runs_of(const images *m, const stretch *s, int many, int64_t t0, int64_t t1, int64_t t2,
                   xai__run *run) {
  const xai__axis *a = m->w->axis;
  int64_t begin, end;
  int runs = 0;
  xai__axis_inside(&a[2], t2, &begin, &end);
  for (int i = 0; i < many; i++) {
    const int64_t y0 = s[i].p[0] * a[0].step + a[0].at + t0 * a[0].at_step;
    const int64_t y1 = s[i].p[1] * a[1].step + a[1].at + t1 * a[1].at_step;
    if (y0 < 0 || y0 >= a[0].source || y1 < 0 || y1 >= a[1].source) continue;
    const int64_t from = begin > s[i].p[2] ? begin : s[i].p[2];
    const int64_t to = end < s[i].p[2] + s[i].count ? end : s[i].p[2] + s[i].count;
    if (from >= to) continue;
    const int64_t y2 = from * a[2].step + a[2].at + t2 * a[2].at_step;
    run[runs++] = (xai__run){s[i].at + (int)(from - s[i].p[2]), (int)(to - from),
                             s[i].base + (y0 * a[1].source + y1) * a[2].source + y2};
  }
  return runs;
}

static void pack_images(const xai__side *side, const xai__kernels *kernels, int64_t group,
                        int64_t first, int n, int64_t k0, int64_t k1, int width, float *to) {
  const images *m = (const images *)(const void *)side;
  const xai__axis *a = m->w->axis;
  const bool ones = side->edit.form == XAI__ONES;
  stretch stretches[XAI__MAX_LANES];
  xai__run run[XAI__MAX_LANES];
  const int many = stretches_of(m, group, first, n, stretches);
  const int64_t taps = m->w->taps, source = m->c->source;
  int64_t tap = 0;
  for (int64_t t0 = 0; t0 < a[0].taps; t0++)
    for (int64_t t1 = 0; t1 < a[1].taps; t1++)
      for (int64_t t2 = 0; t2 < a[2].taps; t2++, tap++) {
        const int64_t from = smallest_from(k0, tap, taps), end = smallest_from(k1, tap, taps);
        if (from >= end) continue;
        const int runs = runs_of(m, stretches, many, t0, t1, t2, run);
        kernels->gather(m->c->x + from * source, source, end - from, run, runs, a[2].step, ones,
                        width, to + (from * taps + tap - k0) * width, taps * width);
      }
}

static void place_images(const xai__side *side, int64_t group, int64_t first, int n,
                         int64_t *offset) {
  (void)group;
  const images *m = (const images *)(const void *)side;
  const xai__convolution *c = m->c;
  const xai__axis *last = &m->w->axis[2];
  const int64_t item_size = c->groups * c->tc * c->target;
  for (int i = 0; i < n;) {
    const int64_t item = (first + i) / m->w->positions, p = (first + i) % m->w->positions;
    int64_t at = item * item_size + xai__window_place(m->w, p);
    int64_t left = last->count - p % last->count; /* of the row */
    for (; left > 0 && i < n; left--, at += last->place_step) offset[i++] = at;
  }
}

static int one_phase(xai__engine *e, const xai__convolution *c, const xai__window *w,
                     xai_error *err) {
  const size_t mark = xai__scratch_mark(e);
  int64_t *tap = xai__scratch(e, (size_t)w->taps, sizeof *tap, err);
  if (!tap) return xai__no_memory(err);
  const int64_t *kernel = c->geometry.p->kernel;
  const bool whole = w->taps == kernel[0] * kernel[1] * kernel[2];
  const filters f = {{c->tc, c->we, NULL, pack_filters, place_filters, NULL}, c, tap, w->taps, whole};
  for (int64_t t = 0; t < w->taps; t++) tap[t] = xai__window_tap(w, t);
  const images m = {{c->n * w->positions, c->xe, NULL, pack_images, place_images, NULL}, c, w};
  xai__problem p = {.batch = c->groups,
                    .k = c->sc * w->taps,
                    .row = &f.side,
                    .lane = &m.side,
                    .spot = c->spot,
                    .bias_per_batch = c->tc};
  xai__problem_orient(&e->k, &p);
  const int status = xai__problem_run(e, &p, err);
  xai__scratch_release(e, mark);
  return status;
}

int xai__convolve(xai__engine *e, const xai__convolution *c, xai_error *err) {
  if (c->n <= 0 || c->groups <= 0 || c->tc <= 0 || c->target <= 0) return XAI_OK;
  bool done;
  XAI__TRY(xai__convolve_direct(e, c, &done, err));
  if (done) return XAI_OK;
  const int64_t phases = xai__window_phases(&c->geometry);
  for (int64_t i = 0; i < phases; i++) {
    const xai__window w = xai__window_of(&c->geometry, i);
    if (w.taps == 0 && !c->spot.bias && c->spot.ep.form != XAI__SET) continue; /* adds nothing */
    XAI__TRY(one_phase(e, c, &w, err));
  }
  return XAI_OK;
}

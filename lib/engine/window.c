/* Geometry of convolutions and their adjoints. */
#include "engine/window.h"

static int64_t common_divisor(int64_t a, int64_t b) {
  while (b) {
    const int64_t r = a % b;
    a = b;
    b = r;
  }
  return a;
}

/* Small element o meets large element i at kernel element k where
 * i = o stride - pad + k dilation. */
static xai__axis forward_axis(const xai__geometry *g, int d) {
  const xai__product *p = g->p;
  return (xai__axis){.count = g->small[d],
                     .place_step = 1,
                     .target = g->small[d],
                     .source = g->large[d],
                     .kernel = p->kernel[d],
                     .step = p->stride[d],
                     .at = -p->pad[d],
                     .at_step = p->dilation[d],
                     .taps = p->kernel[d],
                     .tap_step = 1};
}

/* For i = phase + q stride, the kernel elements that meet some o are every
 * stride / gcd(stride, dilation)-th one, if any, and o moves with q one by one. */
static xai__axis adjoint_axis(const xai__geometry *g, int d, int64_t phase) {
  const xai__product *p = g->p;
  const int64_t stride = p->stride[d], dilation = p->dilation[d];
  const int64_t every = stride / common_divisor(stride, dilation);
  const int64_t candidates = every < p->kernel[d] ? every : p->kernel[d];
  int64_t first = 0;
  while (first < candidates && (phase + p->pad[d] - first * dilation) % stride) first++;
  xai__axis a = {.count = (g->large[d] - phase + stride - 1) / stride,
                 .place = phase,
                 .place_step = stride,
                 .target = g->large[d],
                 .source = g->small[d],
                 .kernel = p->kernel[d],
                 .step = 1};
  if (first == candidates) return a;
  a.at = (phase + p->pad[d] - first * dilation) / stride;
  a.at_step = -(every * dilation / stride);
  a.taps = (p->kernel[d] - first + every - 1) / every;
  a.tap = first;
  a.tap_step = every;
  return a;
}

int64_t xai__axis_phases(const xai__geometry *g, int d) {
  if (!g->adjoint) return 1;
  return g->p->stride[d] < g->large[d] ? g->p->stride[d] : g->large[d];
}

xai__axis xai__axis_of(const xai__geometry *g, int d, int64_t phase) {
  return g->adjoint ? adjoint_axis(g, d, phase) : forward_axis(g, d);
}

void xai__axis_inside(const xai__axis *a, int64_t t, int64_t *begin, int64_t *end) {
  const int64_t at = a->at + t * a->at_step;
  *begin = at < 0 ? (-at + a->step - 1) / a->step : 0;
  *end = a->source > at ? (a->source - at + a->step - 1) / a->step : 0;
  if (*end > a->count) *end = a->count;
  if (*begin > *end) *begin = *end;
}

int64_t xai__window_phases(const xai__geometry *g) {
  return xai__axis_phases(g, 0) * xai__axis_phases(g, 1) * xai__axis_phases(g, 2);
}

/* Axes that only copy positions one to one become a single long row. */
static void flatten(xai__window *w) {
  for (int d = 0; d < 3; d++) {
    const xai__axis *a = &w->axis[d];
    if (a->taps != 1 || a->step != 1 || a->at != 0 || a->place_step != 1 ||
        a->count != a->source || a->count != a->target)
      return;
  }
  for (int d = 0; d < 3; d++) {
    const int64_t extent = d == 2 ? w->positions : 1;
    w->axis[d].count = w->axis[d].source = w->axis[d].target = extent;
  }
}

xai__window xai__window_of(const xai__geometry *g, int64_t phase) {
  xai__window w = {.positions = 1, .taps = 1};
  for (int d = 2; d >= 0; d--) {
    const int64_t phases = xai__axis_phases(g, d);
    w.axis[d] = xai__axis_of(g, d, phase % phases);
    phase /= phases;
    w.positions *= w.axis[d].count;
    w.taps *= w.axis[d].taps;
  }
  flatten(&w);
  return w;
}

int64_t xai__window_tap(const xai__window *w, int64_t t) {
  int64_t offset = 0, scale = 1;
  for (int d = 2; d >= 0; d--) {
    const xai__axis *a = &w->axis[d];
    offset += (a->tap + t % a->taps * a->tap_step) * scale;
    scale *= a->kernel;
    t /= a->taps;
  }
  return offset;
}

int64_t xai__window_place(const xai__window *w, int64_t i) {
  int64_t offset = 0, scale = 1;
  for (int d = 2; d >= 0; d--) {
    const xai__axis *a = &w->axis[d];
    offset += (a->place + i % a->count * a->place_step) * scale;
    scale *= a->target;
    i /= a->count;
  }
  return offset;
}

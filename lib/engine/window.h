/* The geometry shared by convolutions and their adjoints: a *gather* computes target positions from
 * source positions, tap by tap.
 *
 * Along one axis: position p of the gather is element place + p * place_step of the target, and its
 * tap t reads element p * step + at + t * at_step of the source, if there is one, with kernel
 * element tap + t * tap_step. A convolution is one gather. Its adjoint is one gather a *phase*,
 * phases being the target elements modulo the stride: each sees its own, evenly spaced, part of the
 * kernel. The `large` side is the input of the convolution, the `small` side its output. */
#ifndef XAI_ENGINE_WINDOW_H
#define XAI_ENGINE_WINDOW_H
#include "engine/engine.h"

typedef struct xai__axis {
  int64_t count, place, place_step; /* positions, and where they are in the target */
  int64_t target, source, kernel;   /* extents */
  int64_t step, at, at_step;
  int64_t taps, tap, tap_step;
} xai__axis;

typedef struct xai__window {
  xai__axis axis[3];
  int64_t positions, taps; /* of all axes */
} xai__window;

/* One product's convolution, and the direction in which it is gathered. */
typedef struct xai__geometry {
  bool adjoint; /* large from small */
  int64_t large[3], small[3];
  const xai__product *p;
} xai__geometry;

int64_t xai__axis_phases(const xai__geometry *g, int d);
xai__axis xai__axis_of(const xai__geometry *g, int d, int64_t phase);
/* Positions [begin, end) whose tap t reads inside the source. */
void xai__axis_inside(const xai__axis *a, int64_t t, int64_t *begin, int64_t *end);

int64_t xai__window_phases(const xai__geometry *g);
xai__window xai__window_of(const xai__geometry *g, int64_t phase);
/* Offset of tap t in a kernel; of position i in a target channel. */
int64_t xai__window_tap(const xai__window *w, int64_t t);
int64_t xai__window_place(const xai__window *w, int64_t i);

#endif

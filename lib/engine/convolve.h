/* Convolutions and their adjoints as gathers (window.h):
 *   z[n][g tc + t][place(i)] (epilogue)= sum over s, tap of
 *       w(g, t, s, tap) x[n][g sc + s][read(i, tap)] + bias. */
#ifndef XAI_ENGINE_CONVOLVE_H
#define XAI_ENGINE_CONVOLVE_H
#include "engine/gemm.h"
#include "engine/window.h"

typedef struct xai__convolution {
  xai__geometry geometry;
  int64_t n, groups, sc, tc; /* source and target channels of one group */
  int64_t source, target;    /* elements of one channel */
  const float *w;            /* steps between groups, target and source channels: */
  int64_t w_group, w_target, w_source;
  xai__edit we, xe;
  const float *x;
  xai__spot spot; /* bias OF_ROW: of channel g tc + t */
} xai__convolution;

int xai__convolve(xai__engine *e, const xai__convolution *c, xai_error *err);
/* For few target channels; *done is false where it does not serve this shape. */
int xai__convolve_direct(xai__engine *e, const xai__convolution *c, bool *done, xai_error *err);

#endif

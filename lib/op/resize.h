/* Resize and Upsample: what their attributes and operands ask for. resize.c plans, resample.c
 * computes. */
#ifndef XAI_OP_RESIZE_H
#define XAI_OP_RESIZE_H
#include "op/check.h"

typedef enum { XAI__NEAREST, XAI__LINEAR_MODE, XAI__CUBIC } xai__resize_mode;
typedef enum {
  XAI__HALF_PIXEL,
  XAI__HALF_PIXEL_SYMMETRIC,
  XAI__PYTORCH_HALF_PIXEL,
  XAI__ALIGN_CORNERS,
  XAI__ASYMMETRIC,
  XAI__CROP_AND_RESIZE
} xai__resize_coordinates;
typedef enum {
  XAI__ROUND_PREFER_FLOOR,
  XAI__ROUND_PREFER_CEIL,
  XAI__FLOOR,
  XAI__CEIL
} xai__resize_rounding;

typedef struct xai__resize_attr {
  const char *name[4]; /* mode, coordinates, rounding, aspect policy: resolved into choice */
  int choice[4];
  float cubic_a, outside_value;
  int64_t exclude_outside, antialias;
  xai__ints axes;
  xai__floats scales;
} xai__resize_attr;

/* Per axis: result size = floor(size * scale), and the region for CROP_AND_RESIZE. */
typedef struct xai__resize_plan {
  xai__resize_mode mode;
  xai__resize_coordinates coordinates;
  xai__resize_rounding rounding;
  bool antialias, exclude_outside;
  float cubic_a, outside_value;
  xai__shape in, out;
  double scale[XAI__MAX_RANK], from[XAI__MAX_RANK], to[XAI__MAX_RANK];
} xai__resize_plan;

/* y = resampled x; gx += the transpose. */
int xai__resample(xai__call *c, const xai__resize_plan *p, const float *x, float *y);
int xai__resample_back(xai__call *c, const xai__resize_plan *p, const float *gy, float *gx);

#endif

/* Sliding windows over 1 to 3 spatial axes, for convolution and pooling (ONNX Conv, MaxPool).
 *
 *   position along an axis: o * stride - pad + k * dilation, o < out, k < kernel
 *
 * Axes are right-aligned in arrays of three; unused ones have size 1. */
#ifndef XAI_OP_SPATIAL_H
#define XAI_OP_SPATIAL_H
#include "op/op.h"

/* The attributes; first member of the operator's own struct. */
typedef struct xai__spatial_attr {
  const char *auto_pad;
  xai__ints kernel_shape, strides, dilations, pads;
} xai__spatial_attr;

#define XAI__SPATIAL_FIELD(name, type, required) \
  {#name, type, offsetof(xai__spatial_attr, name), 0, required}
#define XAI__SPATIAL_FIELDS(kernel_required)                          \
  XAI__SPATIAL_FIELD(auto_pad, XAI__TEXT, false),                     \
      XAI__SPATIAL_FIELD(kernel_shape, XAI__INTS, kernel_required),   \
      XAI__SPATIAL_FIELD(strides, XAI__INTS, false),                  \
      XAI__SPATIAL_FIELD(dilations, XAI__INTS, false),                \
      XAI__SPATIAL_FIELD(pads, XAI__INTS, false)

typedef struct xai__spatial {
  int axes; /* 1 to 3 */
  int64_t in[3], out[3], kernel[3], stride[3], dilation[3];
  int64_t pad[3], pad_end[3]; /* leading, trailing */
} xai__spatial;

/* Largest size, stride, dilation or pad; keeps every product of two of them in 64 bits. */
#define XAI__SPATIAL_MAX ((int64_t)1 << 30)

/* (k - 1) * dilation + 1 */
int64_t xai__spatial_extent(const xai__spatial *w, int axis);

/* Everything but `out`, and the pads only where auto_pad leaves them to `pads`. kernel: the sizes
 * of the weight's spatial axes, or NULL if kernel_shape gives them. */
int xai__spatial_read(const xai__call *c, const xai__spatial_attr *a, const int64_t *kernel,
                     xai__spatial *w);
/* The same, and `out` and all pads of a convolution or pooling. */
int xai__spatial_resolve(const xai__call *c, const xai__spatial_attr *a, const int64_t *kernel,
                        bool ceil_mode, xai__spatial *w);
/* Splits `total` of padding in two: SAME_UPPER puts the odd one at the end. */
void xai__spatial_split(const xai__spatial_attr *a, int64_t total, int64_t *begin, int64_t *end);
/* The geometry of a convolution's product. */
void xai__spatial_product(const xai__spatial *w, xai__product *p);
/* out = (n, channels, w->out) */
void xai__spatial_shape(const xai__spatial *w, int64_t n, int64_t channels, xai__shape *out);

#endif

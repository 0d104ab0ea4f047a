/* Sliding windows over 1 to 3 spatial axes, for convolution and pooling (ONNX Conv, MaxPool).
 *
 *   position along an axis: o * stride - pad + k * dilation, o < out, k < kernel
 *
 * Axes are right-aligned in arrays of three; unused ones have size 1. */
#ifndef XAI_OP_WINDOW_H
#define XAI_OP_WINDOW_H
#include "op/op.h"

/* The attributes; first member of the operator's own struct. */
typedef struct xai__window_attr {
  const char *auto_pad;
  xai__ints kernel_shape, strides, dilations, pads;
} xai__window_attr;

#define XAI__WINDOW_FIELDS(kernel_required)                                                    \
  {"auto_pad", XAI__TEXT, offsetof(xai__window_attr, auto_pad), 0, false},                     \
      {"kernel_shape", XAI__INTS, offsetof(xai__window_attr, kernel_shape), 0, kernel_required}, \
      {"strides", XAI__INTS, offsetof(xai__window_attr, strides), 0, false},                   \
      {"dilations", XAI__INTS, offsetof(xai__window_attr, dilations), 0, false},               \
      {"pads", XAI__INTS, offsetof(xai__window_attr, pads), 0, false}

typedef struct xai__window {
  int axes; /* 1 to 3 */
  int64_t in[3], out[3], kernel[3], stride[3], dilation[3];
  int64_t pad[3], pad_end[3]; /* leading, trailing */
} xai__window;

/* Largest size, stride, dilation or pad; keeps every product of two of them in 64 bits. */
#define XAI__WINDOW_MAX ((int64_t)1 << 30)

/* (k - 1) * dilation + 1 */
int64_t xai__window_extent(const xai__window *w, int axis);

/* Everything but `out`, and the pads only where auto_pad leaves them to `pads`. kernel: the sizes
 * of the weight's spatial axes, or NULL if kernel_shape gives them. */
int xai__window_read(const xai__call *c, const xai__window_attr *a, const int64_t *kernel,
                     xai__window *w);
/* The same, and `out` and all pads of a convolution or pooling. */
int xai__window_resolve(const xai__call *c, const xai__window_attr *a, const int64_t *kernel,
                        bool ceil_mode, xai__window *w);
/* Splits `total` of padding in two: SAME_UPPER puts the odd one at the end. */
void xai__window_split(const xai__window_attr *a, int64_t total, int64_t *begin, int64_t *end);
/* The geometry of a convolution's product. */
void xai__window_product(const xai__window *w, xai__product *p);
/* out = (n, channels, w->out) */
void xai__window_shape(const xai__window *w, int64_t n, int64_t channels, xai__shape *out);

#endif

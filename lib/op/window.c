/* HannWindow, HammingWindow, BlackmanWindow: w_i = a0 - a1 cos(2 pi i / m) + a2 cos(4 pi i / m) with
 * m = n, or n - 1 where the window is not periodic. MelWeightMatrix: triangles on the mel scale
 * [onnx.ai]. Constants, once their sizes are known. */
#include <math.h>

#include "op/check.h"

#define TAU 6.283185307179586476925286766559

typedef struct {
  int64_t output_datatype, periodic;
} window_attr;
static const xai__field window_fields[] = {
    {.name = "output_datatype", .type = XAI__INT, .offset = offsetof(window_attr, output_datatype), .preset = 1},
    {.name = "periodic", .type = XAI__INT, .offset = offsetof(window_attr, periodic), .preset = 1},
    {0}};

/* Also of MelWeightMatrix, whose struct begins with it. */
static int dtype(const xai__node *node, const int *in_dtype, int k) {
  (void)in_dtype, (void)k;
  return (int)*(const int64_t *)node->attr;
}

static int check(const xai__node *node, void *attr, xai_error *err) {
  int64_t type = *(const int64_t *)attr;
  if (type > 0 && type < 64 && xai__dtype_storage((int)type)) return XAI_OK;
  return xai__fail(err, XAI_E_UNSUPPORTED, node->name, "%s of data type %lld", node->op->type,
                   (long long)type);
}

static int known_number(xai__call *c, int i, const char *what, int64_t *v) {
  const int64_t *list;
  int64_t n;
  XAI__TRY(xai__known_ints(c, i, what, &list, &n));
  if (n != 1 || *list < 0 || *list > INT32_MAX)
    return XAI__MALFORMED(c, "%s: %s is not one number from 0 to %d", c->node->op->type, what, INT32_MAX);
  *v = *list;
  return XAI_OK;
}

static int window_infer(xai__call *c) {
  c->out[0].dtype = xai__dtype_storage(dtype(c->node, NULL, 0));
  c->out[0].shape.rank = 1;
  return known_number(c, 0, "size", &c->out[0].shape.d[0]);
}

static void put(const xai__view *v, int64_t i, double x) {
  if (v->dtype == XAI_F32) xai__f(v)[i] = (float)x;
  else xai__i(v)[i] = xai__truncated(x);
}

static int window(xai__call *c, double a0, double a1, double a2) {
  int64_t n = xai__count(&c->out[0].shape), m = ((const window_attr *)c->node->attr)->periodic ? n : n - 1;
  for (int64_t i = 0; i < n; i++) {
    double angle = m ? TAU * (double)i / (double)m : 0;
    put(&c->out[0], i, a0 - a1 * cos(angle) + a2 * cos(2 * angle));
  }
  return XAI_OK;
}
static int hann(xai__call *c) { return window(c, 0.5, 0.5, 0); }
static int hamming(xai__call *c) { return window(c, 25.0 / 46, 21.0 / 46, 0); }
static int blackman(xai__call *c) { return window(c, 0.42, 0.5, 0.08); }

#define WINDOW(Type, f)                                                                            \
  const xai__op xai__op_##Type = {                                                                 \
      .type = #Type, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1, .since = 17,            \
      .fields = window_fields, .attr_size = sizeof(window_attr), .check = check, .dtype = dtype,   \
      .infer = window_infer, .forward = f, .cross = XAI__CROSS_NONE}
WINDOW(HannWindow, hann);
WINDOW(HammingWindow, hamming);
WINDOW(BlackmanWindow, blackman);

/* ---- MelWeightMatrix(bins, dft_length, sample_rate, lower, upper): [dft_length / 2 + 1, bins] ---- */

static const xai__field mel_fields[] = {
    {.name = "output_datatype", .type = XAI__INT, .offset = 0, .preset = 1}, {0}};

static int mel_infer(xai__call *c) {
  int64_t length = 0, rate = 0;
  c->out[0].dtype = xai__dtype_storage(dtype(c->node, NULL, 0));
  c->out[0].shape.rank = 2;
  XAI__TRY(known_number(c, 0, "num_mel_bins", &c->out[0].shape.d[1]));
  XAI__TRY(known_number(c, 1, "dft_length", &length));
  XAI__TRY(known_number(c, 2, "sample_rate", &rate));
  if (!rate) return XAI__MALFORMED(c, "MelWeightMatrix: sample_rate is 0");
  c->out[0].shape.d[0] = length / 2 + 1;
  for (int i = 3; i < 5; i++) {
    XAI__TRY(xai__need_float(c, i));
    if (xai__count(&c->in[i].shape) != 1)
      return XAI__MALFORMED(c, "MelWeightMatrix: operand %d is not one number", i);
  }
  return XAI_OK;
}

static double to_mel(double hertz) { return 2595 * log10(1 + hertz / 700); }
static double to_hertz(double mel) { return 700 * (pow(10, mel / 2595) - 1); }

/* The spectrum's bin of edge i of bins + 2, evenly spaced in mel. */
static double edge(const xai__call *c, int64_t i) {
  double low = to_mel((double)xai__f(&c->in[3])[0]), high = to_mel((double)xai__f(&c->in[4])[0]);
  double mel = low + (double)i * (high - low) / (double)(c->out[0].shape.d[1] + 2);
  double length = (double)xai__i(&c->in[1])[0], rate = (double)xai__i(&c->in[2])[0];
  return floor((length + 1) * to_hertz(mel) / rate);
}

static int mel_forward(xai__call *c) {
  int64_t rows = c->out[0].shape.d[0], bins = c->out[0].shape.d[1];
  for (int64_t j = 0; j < bins; j++) {
    double low = edge(c, j), centre = edge(c, j + 1), high = edge(c, j + 2);
    for (int64_t i = 0; i < rows; i++) {
      double f = (double)i, w = 0;
      if (low == centre ? f == centre : f >= low && f <= centre)
        w = low == centre ? 1 : (f - low) / (centre - low);
      else if (f > centre && f < high) w = (high - f) / (high - centre);
      put(&c->out[0], i * bins + j, w);
    }
  }
  return XAI_OK;
}

const xai__op xai__op_MelWeightMatrix = {
    .type = "MelWeightMatrix", .min_in = 5, .max_in = 5, .min_out = 1, .max_out = 1, .since = 17,
    .fields = mel_fields, .attr_size = sizeof(int64_t), .check = check, .dtype = dtype,
    .infer = mel_infer, .forward = mel_forward, .cross = XAI__CROSS_NONE};

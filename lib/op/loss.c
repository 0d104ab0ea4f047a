/* NegativeLogLikelihoodLoss (ONNX 12, 13, 22), SoftmaxCrossEntropyLoss (12, 13).
 *
 *   l = -w_t x_t,   result: l, sum l, or mean: sum l / sum w_t
 *
 * for each sample, x (N,C,D...) along axis 1 and t (N,D...) its label; w (C), 1 where there is
 * none, 0 for the label ignore_index. Cross entropy is that of the log-probabilities, its result 1:
 * x - log sum exp x. */
#include "op/check.h"
#include "op/loop.h"
#include <math.h>
#include <string.h>

typedef struct loss_attr {
  int64_t ignore; /* NOTHING: none is */
  const char *reduction;
} loss_attr;
#define NOTHING INT64_MIN
static const xai__field fields[] = {
    {"ignore_index", XAI__INT, offsetof(loss_attr, ignore), -0x1p63, false},
    {"reduction", XAI__TEXT, offsetof(loss_attr, reduction), 0, false},
    {0}};

static int check(const xai__node *node, void *attr, xai_error *err) {
  loss_attr *a = attr;
  const char **r = &a->reduction;
  if (!*r) *r = "mean";
  if (!strcmp(*r, "mean") || !strcmp(*r, "sum") || !strcmp(*r, "none")) return XAI_OK;
  return xai__fail(err, XAI_E_MODEL, node->name, "%s: unknown reduction '%s'", node->op->type,
                   a->reduction);
}

static bool is_none(const loss_attr *a) { return a->reduction[0] == 'n'; }
static bool is_entropy(const xai__call *c) { return c->node->op->type[0] == 'S'; }

static int infer(xai__call *c) {
  const xai__shape *x = &c->in[0].shape, *t = &c->in[1].shape;
  XAI__TRY(xai__need_float(c, 0));
  XAI__TRY(xai__need_rank(c, 0, 2, XAI__MAX_RANK));
  XAI__TRY(xai__need_countable(c, x));
  XAI__TRY(xai__need_int(c, 1));
  xai__shape samples = {x->rank - 1, {x->d[0]}};
  for (int i = 2; i < x->rank; i++) samples.d[i - 1] = x->d[i];
  if (!xai__shape_equal(t, &samples) || x->d[1] < 1)
    return XAI__MALFORMED(c, "%s: labels of shape %s for scores of %s", c->node->op->type,
                          xai__shape_text(t).text, xai__shape_text(x).text);
  XAI__TRY(xai__need_vector(c, 2, x->d[1], "weights"));
  c->out[0] = (xai__view){.dtype = XAI_F32, .shape = {0}};
  if (is_none(c->node->attr)) c->out[0].shape = samples;
  if (c->n_out > 1) c->out[1] = (xai__view){.dtype = XAI_F32, .shape = *x};
  return XAI_OK;
}

/* Sample s has its classes at first + k * inner. */
typedef struct samples {
  int64_t n, classes, inner, ignore;
  const int64_t *label;
  const float *x, *w;
  float *loss, *log_p; /* written; log_p may be NULL */
  bool entropy;
  const float *g, *g_log; /* backwards: of each sample's loss (or one for all), of log_p */
  bool one_g;
  double scale;
  float *gx;
} samples;

static samples samples_of(const xai__call *c) {
  const xai__shape *x = &c->in[0].shape;
  return (samples){.n = xai__count(&c->in[1].shape), .classes = x->d[1],
                   .inner = xai__span(x, 2, x->rank),
                   .ignore = ((const loss_attr *)c->node->attr)->ignore,
                   .label = xai__i(&c->in[1]), .x = xai__f(&c->in[0]),
                   .w = xai__has(c, 2) ? xai__f(&c->in[2]) : NULL, .entropy = is_entropy(c),
                   .scale = 1};
}

static int64_t first_of(const samples *a, int64_t s) {
  return s / a->inner * a->classes * a->inner + s % a->inner;
}
static bool is_ignored(const samples *a, int64_t s) {
  return a->ignore != NOTHING && a->label[s] == a->ignore;
}
static double weight(const samples *a, int64_t s) {
  if (is_ignored(a, s)) return 0;
  return a->w ? (double)a->w[a->label[s]] : 1;
}

/* log sum exp x of a sample; 0 where x holds log-probabilities already. */
static double normalizer(const samples *a, int64_t first) {
  double sum = 0, top = -INFINITY;
  if (!a->entropy) return 0;
  for (int64_t k = 0; k < a->classes; k++) top = fmax(top, (double)a->x[first + k * a->inner]);
  if (!(top > -INFINITY)) top = 0;
  for (int64_t k = 0; k < a->classes; k++) sum += exp((double)a->x[first + k * a->inner] - top);
  return top + log(sum);
}

static void measure(void *ctx, int64_t begin, int64_t end) {
  const samples *a = ctx;
  for (int64_t s = begin; s < end; s++) {
    int64_t first = first_of(a, s);
    double z = normalizer(a, first), w = weight(a, s);
    a->loss[s] = 0;
    if (w != 0) a->loss[s] = (float)(w * (z - (double)a->x[first + a->label[s] * a->inner]));
    for (int64_t k = 0; a->log_p && k < a->classes; k++)
      a->log_p[first + k * a->inner] = (float)((double)a->x[first + k * a->inner] - z);
  }
}

static void differentiate(void *ctx, int64_t begin, int64_t end) {
  const samples *a = ctx;
  for (int64_t s = begin; s < end; s++) {
    int64_t first = first_of(a, s);
    double g = a->g ? (double)a->g[a->one_g ? 0 : s] * a->scale * weight(a, s) : 0, sum = g;
    double z = normalizer(a, first);
    for (int64_t k = 0; a->g_log && k < a->classes; k++)
      sum -= (double)a->g_log[first + k * a->inner];
    for (int64_t k = 0; k < a->classes; k++) {
      int64_t at = first + k * a->inner;
      double d = a->g_log ? (double)a->g_log[at] : 0;
      if (g != 0 && k == a->label[s]) d -= g;
      if (a->entropy) d += exp((double)a->x[at] - z) * sum;
      a->gx[at] += (float)d;
    }
  }
}

static double total_weight(const samples *a) {
  double sum = 0;
  for (int64_t s = 0; s < a->n; s++) sum += weight(a, s);
  return sum;
}

static int forward_marked(xai__call *c) {
  const loss_attr *attr = c->node->attr;
  samples a = samples_of(c);
  for (int64_t s = 0; s < a.n; s++)
    if ((a.label[s] < 0 || a.label[s] >= a.classes) && !is_ignored(&a, s))
      return xai__fail(c->err, c->in_static[1] ? XAI_E_MODEL : XAI_E_INPUT, c->node->name,
                       "%s: label %lld, there are %lld classes", c->node->op->type,
                       (long long)a.label[s], (long long)a.classes);
  a.log_p = c->n_out > 1 ? xai__f(&c->out[1]) : NULL;
  a.loss = is_none(attr) ? xai__f(&c->out[0])
                         : xai__scratch(c->engine, (size_t)a.n, sizeof *a.loss, c->err);
  if (!a.loss) return c->err->status;
  xai__split(c->engine, a.n, xai__grain(a.classes), measure, &a);
  if (is_none(attr)) return XAI_OK;
  double sum = 0, whole = attr->reduction[0] == 'm' ? total_weight(&a) : 1;
  for (int64_t s = 0; s < a.n; s++) sum += (double)a.loss[s];
  *xai__f(&c->out[0]) = (float)(sum / whole);
  return XAI_OK;
}

static int forward(xai__call *c) {
  size_t mark = xai__scratch_mark(c->engine);
  int status = forward_marked(c);
  xai__scratch_release(c->engine, mark);
  return status;
}

static int vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  const loss_attr *attr = c->node->attr;
  samples a = samples_of(c);
  XAI__TRY(xai__vjp_only(c, gin, 1));
  if (!gin[0].data) return XAI_OK;
  a.g = xai__f(&gout[0]);
  a.g_log = c->n_out > 1 ? xai__f(&gout[1]) : NULL;
  a.one_g = !is_none(attr);
  if (attr->reduction[0] == 'm') a.scale = 1 / total_weight(&a);
  a.gx = xai__f(&gin[0]);
  xai__split(c->engine, a.n, xai__grain(a.classes), differentiate, &a);
  return XAI_OK;
}

/* Linear in the log-probabilities, whatever the labels are. */
static xai__crossing crossing(const xai__node *node, const bool *in_static) {
  if (in_static[0]) return XAI__CROSS_NONE;
  return node->n_in < 3 || in_static[2] ? XAI__CROSS_NORM : XAI__CROSS_REFUSED;
}

#define LOSS(name, results)                                                                  \
  .type = name, .min_in = 2, .max_in = 3, .min_out = 1, .max_out = results, .since = 12,     \
  .fields = fields, .attr_size = sizeof(loss_attr), .check = check, .infer = infer,          \
  .forward = forward, .vjp = vjp, .vjp_needs = XAI__NEEDS_IN
const xai__op xai__op_NegativeLogLikelihoodLoss = {LOSS("NegativeLogLikelihoodLoss", 1),
                                                   .crossing = crossing, .homogeneous = true};
const xai__op xai__op_SoftmaxCrossEntropyLoss = {LOSS("SoftmaxCrossEntropyLoss", 2),
                                                 .cross = XAI__CROSS_REFUSED};

/* RNN, GRU, LSTM (ONNX 1, 3, 7, 14, 22): attributes, operands and shapes.
 *
 *   X (T,N,I), W (D,G,I), R (D,G,H), B (D,2 G), sequence_lens (N), initial h and c (D,N,H),
 *   P (D,3 H);   Y (T,D,N,H), Y_h and Y_c (D,N,H);   layout 1: N first */
#include "op/check.h"
#include "op/recurrent.h"
#include "op/simd.h"
#include <math.h>
#include <string.h>

#define SHARED                                                                                     \
  {"direction", XAI__TEXT, offsetof(xai__recurrent_attr, direction), 0, false},                    \
      {"activations", XAI__TEXTS, offsetof(xai__recurrent_attr, functions), 0, false},             \
      {"activation_alpha", XAI__FLOATS, offsetof(xai__recurrent_attr, alpha), 0, false},           \
      {"activation_beta", XAI__FLOATS, offsetof(xai__recurrent_attr, beta), 0, false},             \
      {"clip", XAI__FLOAT, offsetof(xai__recurrent_attr, clip), 0, false},                         \
      {"hidden_size", XAI__INT, offsetof(xai__recurrent_attr, hidden_size), 0, false},             \
      {"output_sequence", XAI__INT, offsetof(xai__recurrent_attr, output_sequence), 0, false},     \
      {"layout", XAI__INT, offsetof(xai__recurrent_attr, layout), 0, false}
const xai__field xai__rnn_fields[] = {SHARED, {0}};
const xai__field xai__gru_fields[] = {
    SHARED,
    {"linear_before_reset", XAI__INT, offsetof(xai__recurrent_attr, linear_before_reset), 0, false},
    {0}};
const xai__field xai__lstm_fields[] = {
    SHARED,
    {"input_forget", XAI__INT, offsetof(xai__recurrent_attr, input_forget), 0, false},
    {0}};

/* ---- activations: rows of activation_list.h, and two more ---- */

static void affine(void *ctx, int64_t begin, int64_t end) {
  const xai__pointwise *p = ctx;
  for (int64_t i = begin; i < end; i++) p->out[i] = p->alpha * p->x[i] + p->beta;
}
static void affine_slope(void *ctx, int64_t begin, int64_t end) {
  const xai__pointwise *p = ctx;
  for (int64_t i = begin; i < end; i++) p->out[i] += p->alpha * p->g[i];
}
static void scaled_tanh(void *ctx, int64_t begin, int64_t end) {
  const xai__pointwise *p = ctx;
  for (int64_t i = begin; i < end; i++) p->out[i] = p->alpha * tanhf(p->beta * p->x[i]);
}
static void scaled_tanh_slope(void *ctx, int64_t begin, int64_t end) {
  const xai__pointwise *p = ctx;
  for (int64_t i = begin; i < end; i++) {
    float t = tanhf(p->beta * p->x[i]);
    p->out[i] += p->alpha * p->beta * (1 - t * t) * p->g[i];
  }
}

/* Presets NAN: the function has no such parameter, and takes none from the lists. */
static const struct {
  const char *name;
  int row; /* -1: `own` */
  float alpha, beta;
  xai__range_fn value, slope;
} functions[] = {{"Relu", XAI__ROW_Relu, NAN, NAN, NULL, NULL},
                 {"Tanh", XAI__ROW_Tanh, NAN, NAN, NULL, NULL},
                 {"Sigmoid", XAI__ROW_Sigmoid, NAN, NAN, NULL, NULL},
                 {"Affine", -1, 1, 0, affine, affine_slope},
                 {"LeakyRelu", XAI__ROW_LeakyRelu, 0.01f, NAN, NULL, NULL},
                 {"ThresholdedRelu", XAI__ROW_ThresholdedRelu, 1, NAN, NULL, NULL},
                 {"ScaledTanh", -1, 1, 1, scaled_tanh, scaled_tanh_slope},
                 {"HardSigmoid", XAI__ROW_HardSigmoid, 0.2f, 0.5f, NULL, NULL},
                 {"Elu", XAI__ROW_Elu, 1, NAN, NULL, NULL},
                 {"Softsign", XAI__ROW_Softsign, NAN, NAN, NULL, NULL},
                 {"Softplus", XAI__ROW_Softplus, NAN, NAN, NULL, NULL}};
enum { N_FUNCTIONS = sizeof functions / sizeof *functions };

/* Names are read without regard to case, as exporters differ. */
static bool same_name(const char *a, const char *b) {
  for (; *a && *b; a++, b++)
    if ((*a | 0x20) != (*b | 0x20)) return false;
  return *a == *b;
}

static int find_function(const char *name) {
  for (int i = 0; i < N_FUNCTIONS; i++)
    if (same_name(functions[i].name, name)) return i;
  return -1;
}

int xai__recurrent_check(const xai__node *node, void *attr, xai_error *err) {
  xai__recurrent_attr *a = attr;
  const char *type = node->op->type;
  if (!a->direction) a->direction = "forward";
  if (strcmp(a->direction, "forward") && strcmp(a->direction, "reverse") &&
      strcmp(a->direction, "bidirectional"))
    return xai__fail(err, XAI_E_MODEL, node->name, "%s: unknown direction '%s'", type,
                     a->direction);
  if (a->layout != 0 && a->layout != 1)
    return xai__fail(err, XAI_E_MODEL, node->name, "%s: layout %lld, must be 0 or 1", type,
                     (long long)a->layout);
  for (int i = 0; i < a->functions.n; i++)
    if (find_function(a->functions.v[i]) < 0)
      return xai__fail(err, XAI_E_UNSUPPORTED, node->name, "%s: activation '%s' is not supported",
                       type, a->functions.v[i]);
  return XAI_OK;
}

/* The functions of one direction. Parameters are taken from the lists in the order of all functions
 * that have them. */
static int read_functions(xai__recurrent *r, const xai__cell *cell) {
  const xai__recurrent_attr *a = r->a;
  int n = cell->functions, all = n * (int)r->directions, alpha = 0, beta = 0;
  const xai__simd *simd = xai__simd_of(r->c->engine);
  if (a->functions.n && a->functions.n != all)
    return XAI__MALFORMED(r->c, "%s: %d activations, must be %d", r->c->node->op->type,
                          a->functions.n, all);
  for (int i = 0; i < all; i++) {
    int k = find_function(a->functions.n ? a->functions.v[i] : cell->presets[i % n]);
    float p = functions[k].alpha, q = functions[k].beta;
    if (!isnan(p) && alpha < a->alpha.n) p = a->alpha.v[alpha++];
    if (!isnan(q) && beta < a->beta.n) q = a->beta.v[beta++];
    if (i / n != r->direction) continue;
    xai__cell_function *f = &r->f[i % n];
    *f = (xai__cell_function){functions[k].value, functions[k].slope, p, q, INFINITY};
    if (a->clip > 0 && i % n < 2) f->clip = a->clip; /* the third one is of a state */
    if (functions[k].row < 0) continue;
    f->value = simd->activation[functions[k].row].value;
    f->slope = simd->activation[functions[k].row].slope;
  }
  return XAI_OK;
}

/* ---- shapes ---- */

static int need_shape(const xai__call *c, int i, const char *what, xai__shape want) {
  if (!xai__has(c, i)) return XAI_OK;
  if (i != XAI__CELL_LENS) XAI__TRY(xai__need_float(c, i));
  else XAI__TRY(xai__need_int(c, i));
  if (xai__shape_equal(&c->in[i].shape, &want)) return XAI_OK;
  return XAI__MALFORMED(c, "%s: operand %d (%s) has shape %s, must have %s", c->node->op->type, i,
                        what, xai__shape_text(&c->in[i].shape).text, xai__shape_text(&want).text);
}

/* (D,N,H), or with N first. */
static xai__shape state_shape(const xai__recurrent *r) {
  if (r->a->layout) return (xai__shape){3, {r->items, r->directions, r->size}};
  return (xai__shape){3, {r->directions, r->items, r->size}};
}

int xai__recurrent_read(xai__call *c, const xai__cell *cell, xai__recurrent *r) {
  const xai__recurrent_attr *a = c->node->attr;
  const xai__shape *x = &c->in[XAI__CELL_X].shape, *w = &c->in[XAI__CELL_W].shape;
  XAI__TRY(xai__need_float(c, XAI__CELL_X));
  XAI__TRY(xai__need_rank(c, XAI__CELL_X, 3, 3));
  XAI__TRY(xai__need_rank(c, XAI__CELL_W, 3, 3));
  int64_t gates = cell->gates, size = w->d[1] / gates;
  *r = (xai__recurrent){.c = c, .a = a, .steps = x->d[a->layout ? 1 : 0],
                        .items = x->d[a->layout ? 0 : 1], .inputs = x->d[2], .size = size,
                        .gates = gates, .directions = a->direction[0] == 'b' ? 2 : 1};
  if (r->steps < 1 || r->items < 1 || r->inputs < 1 || size < 1 ||
      (a->hidden_size && a->hidden_size != size))
    return XAI__MALFORMED(c, "%s: X of shape %s, W of %s, hidden_size %lld", c->node->op->type,
                          xai__shape_text(x).text, xai__shape_text(w).text,
                          (long long)a->hidden_size);
  if (xai__has(c, XAI__CELL_LENS)) r->lens = xai__i(&c->in[XAI__CELL_LENS]);
  return XAI_OK;
}

int xai__recurrent_infer(xai__call *c, const xai__cell *cell) {
  xai__recurrent r;
  XAI__TRY(xai__recurrent_read(c, cell, &r));
  int64_t d = r.directions, g = r.gates * r.size;
  XAI__TRY(need_shape(c, XAI__CELL_W, "W", (xai__shape){3, {d, g, r.inputs}}));
  XAI__TRY(need_shape(c, XAI__CELL_R, "R", (xai__shape){3, {d, g, r.size}}));
  XAI__TRY(need_shape(c, XAI__CELL_B, "B", (xai__shape){2, {d, 2 * g}}));
  XAI__TRY(need_shape(c, XAI__CELL_LENS, "sequence_lens", (xai__shape){1, {r.items}}));
  XAI__TRY(need_shape(c, XAI__CELL_H, "initial_h", state_shape(&r)));
  XAI__TRY(need_shape(c, XAI__CELL_C, "initial_c", state_shape(&r)));
  XAI__TRY(need_shape(c, XAI__CELL_P, "P", (xai__shape){2, {d, 3 * r.size}}));
  XAI__TRY(read_functions(&r, cell));
  xai__shape y = {4, {r.steps, d, r.items, r.size}}, traced = {2, {r.steps + 1, r.items}};
  if (r.a->layout) y = (xai__shape){4, {r.items, r.steps, d, r.size}};
  traced.d[traced.rank++] = 4 * g;
  XAI__TRY(xai__need_countable(c, &traced));
  for (int k = 0; k < c->n_out; k++)
    c->out[k] = (xai__view){.dtype = XAI_F32, .shape = k ? state_shape(&r) : y};
  return XAI_OK;
}

int xai__recurrent_direction(xai__recurrent *r, const xai__cell *cell, int direction) {
  const xai__call *c = r->c;
  int64_t g = r->gates * r->size;
  r->direction = direction;
  r->reverse = direction == 1 || r->a->direction[0] == 'r';
  r->w = xai__f(&c->in[XAI__CELL_W]) + direction * g * r->inputs;
  r->r = xai__f(&c->in[XAI__CELL_R]) + direction * g * r->size;
  r->wb = xai__has(c, XAI__CELL_B) ? xai__f(&c->in[XAI__CELL_B]) + direction * 2 * g : NULL;
  r->rb = r->wb ? r->wb + g : NULL;
  r->p = xai__has(c, XAI__CELL_P) ? xai__f(&c->in[XAI__CELL_P]) + direction * 3 * r->size : NULL;
  return read_functions(r, cell);
}

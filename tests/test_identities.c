/* The identities of METHODS sections 4 and 7: methods that must agree, on every network for which
 * they do. */
#include "models.h"
#include "net.h"

typedef struct bed { /* a network and inputs of three items */
  const model_row *m;
  net n;
  xai_tensor *x[2];
} bed;

static bed bed_open(const model_row *m, uint64_t seed) {
  bed b = {m, net_open(m->text, 1), {NULL, NULL}};
  for (int k = 0; k < b.n.g->n_inputs; k++) b.x[k] = net_input(&b.n, k, 3, seed + (uint64_t)k);
  return b;
}

static void bed_close(bed *b) {
  for (int k = 0; k < 2; k++) xai_tensor_free(b->x[k]);
  net_close(&b->n);
}

/* Two methods with rows, "METHOD;ROWS". */
static ask bed_ask(const bed *b, const char *text, char *room) {
  strcpy(room, text);
  char *rows = strchr(room, ';');
  if (rows) *rows++ = 0;
  return (ask){.method = room, .rows = rows, .x = {b->x[0], b->x[1]}, .top = 2};
}

static void expect_agreement(const bed *b, const char *one, const char *other, double part) {
  char room[2][256];
  expect_same(b->m->name, &b->n, bed_ask(b, one, room[0]), &b->n, bed_ask(b, other, room[1]), part);
}

/* ---- agreements on every network ---- */

static const struct agreement {
  const char *one, *other;
  double part; /* of the maximum; 0: the same bits */
} agreements[] = {
    {"lrp-epsilon,epsilon=0,stabilizer=0", "lrp-0", 0},
    {"lrp-epsilon,epsilon=1e-9,stabilizer=1e-9", "lrp-0", 1e-4},
    {"lrp-0;*=epsilon,epsilon=0", "lrp-0", 0},
    {"lrp-0;*=epsilon,epsilon=0.25", "lrp-epsilon,epsilon=0.25,stabilizer=0", 0},
    {"lrp-gamma,gamma=0,stabilizer=0", "lrp-0", 2e-4},
    {"lrp-gamma,gamma=0,stabilizer=0,bias=zero", "lrp-0,bias=zero", 2e-4},
    {"lrp-alpha-beta,alpha=1", "lrp-z-plus", 0},
    {"lrp-alpha-beta,alpha=1,beta=0,bias=zero", "lrp-z-plus,bias=zero", 0},
    /* composites are what their rows say */
    {"epsilon-plus", "lrp-epsilon;op:Conv*=z-plus", 0},
    {"epsilon-alpha2-beta1", "lrp-epsilon;op:Conv*=alpha-beta,alpha=2,beta=1", 0},
    {"epsilon-gamma-box,low=-1,high=1;*=epsilon,epsilon=1e-6", "lrp-epsilon", 0},
    {"lrp-gamma,gamma=0.5", "lrp-flat;*=gamma,gamma=0.5", 0},
    {"excitation-backprop", "lrp-z-plus,seed=one,activation=gradient", 0},
    {"excitation-backprop,seed=value", "lrp-z-plus,activation=gradient", 0},
    {"deep-taylor,bias=absorb", "deep-taylor", 0},
    {"deep-taylor;*=z-plus", "lrp-z-plus,bias=zero", 0},
    {"attn-lrp", "lrp-epsilon", 0},
    {"cp-lrp", "lrp-epsilon,softmax=detach,matmul=value,mul=value", 0},
    {"gradient", "lrp-0,seed=one;*=gradient", 1e-4},
    {"saliency;", "saliency,bias=zero", 0},
};
enum { AGREEMENTS = sizeof agreements / sizeof *agreements };

START_TEST(methods_agree) {
  bed b = bed_open(&models[_i], 31);
  for (int i = 0; i < AGREEMENTS; i++) {
    const struct agreement *a = &agreements[i];
    if (strstr(a->other, "op:Conv") && !strstr(b.m->text, "Conv(")) continue;
    expect_agreement(&b, a->one, a->other, a->part);
  }
  bed_close(&b);
}
END_TEST

/* With biases in the denominators: R = x df/dx. */
START_TEST(lrp_0_is_gradient_x_input) {
  bed b = bed_open(&models[_i], 41);
  if (b.m->homogeneous) expect_agreement(&b, "lrp-0", "gradient-x-input", 2e-4);
  bed_close(&b);
}
END_TEST

/* The smaller the stabiliser the nearer. */
START_TEST(epsilon_tends_to_lrp_0) {
  static const char *const steps[] = {
      "lrp-epsilon,epsilon=0.01,stabilizer=0.01", "lrp-epsilon,epsilon=1e-4,stabilizer=1e-4",
      "lrp-epsilon,epsilon=1e-6,stabilizer=1e-6", "lrp-epsilon,epsilon=1e-8,stabilizer=1e-8"};
  bed b = bed_open(&models[_i], 51);
  int64_t n;
  double last = INFINITY;
  float *R = relevance(&b.n, (ask){"lrp-0", .x = {b.x[0], b.x[1]}}, &n);
  for (int i = 0; i < 4; i++) {
    float *E = relevance(&b.n, (ask){steps[i], .x = {b.x[0], b.x[1]}}, &n);
    double away = 0;
    for (int64_t k = 0; k < n; k++) away = fmax(away, fabs((double)(E[k] - R[k])));
    away /= largest(R, n);
    ck_assert_msg(away <= last / 4 || away < 1e-4, "%s: %s is %g away, after %g", b.m->name,
                  steps[i], away, last);
    last = away;
    free(E);
  }
  ck_assert_msg(last < 1e-4, "%s: still %g away", b.m->name, last);
  free(R);
  bed_close(&b);
}
END_TEST

/* Networks whose layers see x >= 0 and, where relevance comes from, have z > 0. */
START_TEST(gamma_tends_to_z_plus) {
  static const char *const texts[] = {
      "opset 13; input x N,6; const a 6,9 ~1; const b 9 ~2; const c 9,9 ~3; const d 9 ~4;"
      "const e 9,3 ~+5; output y; h = Gemm(x, a, b); r = Relu(h); i = Gemm(r, c, d); s = Relu(i);"
      "y = MatMul(s, e)",
      "opset 13; input x N,2,6,6; const a 4,2,3,3 ~1; const b 4 ~-2; const c 3,4,2,2 ~3;"
      "const d 3 ~4; const e 12,2 ~+5; output y; h = Conv(x, a, b); r = Relu(h);"
      "i = Conv(r, c, d); s = Relu(i); p = MaxPool(s) kernel_shape=[2,2]; f = Flatten(p);"
      "y = MatMul(f, e)"};
  net n = net_open(texts[_i], 1);
  xai_tensor *x = net_input(&n, 0, 3, 61);
  for (int64_t i = 0; i < count_of(x); i++) writable(x)[i] = fabsf(floats(x)[i]);
  expect_same(texts[_i], &n, (ask){"lrp-gamma,gamma=1e6,stabilizer=0", .x = {x}}, &n,
              (ask){"lrp-z-plus,stabilizer=0", .x = {x}}, 1e-4);
  xai_tensor_free(x);
  net_close(&n);
}
END_TEST

/* Layers wide enough for Winograd, with and without a ReLU behind them: it is used, where the method
 * allows it, and does no harm. */
START_TEST(winograd_is_near) {
  static const struct {
    const char *method;
    bool uses;
  } rows[] = {{"epsilon-plus", true},        {"lrp-alpha-beta", true},
              {"lrp-gamma", true},           {"epsilon-gamma-box,low=-1,high=1", true},
              {"lrp-gamma,gamma=0.1", false}, {"lrp-epsilon", false},
              {"gradient", true}};
  net n = net_open("opset 13; input x N,3,18,15; const a 32,3,3,3 ~1; const b 32 ~2;"
                   "const c 32,32,3,3 ~3; const d 32 ~4; const e 48,32,3,3 ~5; const f 48 ~6;"
                   "const g 32,48,3,3 ~7; const h 32 ~8; const w 32,4 ~9; output y;"
                   "i = Conv(x, a, b) pads=[1,1,1,1]; r = Relu(i); j = Conv(r, c, d) pads=[1,1,1,1];"
                   "s = Relu(j); k = Conv(s, e, f) pads=[1,1,1,1]; t = Relu(k);"
                   "l = Conv(t, g, h) pads=[1,1,1,1]; m = Add(l, s); u = Relu(m);"
                   "p = GlobalAveragePool(u); q = Flatten(p); y = MatMul(q, w)", 2);
  xai_tensor *x = net_input(&n, 0, 2, 81);
  char off[64];
  int64_t size;
  snprintf(off, sizeof off, "%s,winograd=off", rows[_i].method);
  float *R = relevance(&n, (ask){rows[_i].method, .x = {x}}, &size);
  float *S = relevance(&n, (ask){off, .x = {x}}, &size);
  ck_assert_int_eq(memcmp(R, S, (size_t)size * sizeof *R) != 0, rows[_i].uses);
  expect_near(rows[_i].method, R, S, size, 2e-5);
  free(R);
  free(S);
  xai_tensor_free(x);
  net_close(&n);
}
END_TEST

/* Bounds of 0 at the first layers leave x W: LRP-0 without bias. */
START_TEST(z_box_of_0_is_lrp_0_without_bias) {
  bed b = bed_open(&models[_i], 71);
  const char *box = "lrp-0,bias=zero;depth:0=z-box,low=0,high=0,stabilizer=0";
  if (b.m->bounded) expect_agreement(&b, box, "lrp-0,bias=zero", 1e-4);
  bed_close(&b);
}
END_TEST

/* Given the relevance of their outputs. */
START_TEST(flat_and_w_square_do_not_see_x) {
  static const char *const layers[] = {
      "opset 13; input x N,4; const w 4,3 ~1; const b 3 ~2; y = Gemm(x, w, b); output y",
      "opset 13; input x N,2,5,5; const w 3,2,3,3 ~1; const b 3 ~2; output y;"
      "y = Conv(x, w, b) pads=[1,1,1,1] strides=[2,2]"};
  static const char *const methods[] = {"lrp-flat", "lrp-w-square", "lrp-w-square,bias=zero"};
  net n = net_open(layers[_i], 1);
  xai_tensor *x = net_input(&n, 0, 2, 1), *z = net_input(&n, 0, 2, 2);
  xai_result *r = explain(&n, (ask){.x = {x}});
  int64_t n_out = count_of(found(r, "output/y"));
  xai_tensor *seed = tensor_by_chance(XAI_F32, 1, &n_out, 3);
  xai_result_free(r);
  for (size_t i = 0; i < 3; i++)
    expect_same(layers[_i], &n, (ask){methods[i], .x = {x}, .seed = seed}, &n,
                (ask){methods[i], .x = {z}, .seed = seed}, 0);
  xai_tensor_free(seed);
  xai_tensor_free(x);
  xai_tensor_free(z);
  net_close(&n);
}
END_TEST

/* Which rule each layer gets: six linear layers, of which two are first. */
#define BOX "low=-1,high=1"
#define SECOND_THIRD "depth:2-3=epsilon,epsilon=0,rms=0.25;depth:4-5=epsilon,epsilon=0"

static const struct agreement composites[] = {
    {"epsilon-plus", "lrp-epsilon;op:Conv=z-plus", 0},
    {"epsilon-plus-flat", "lrp-epsilon;depth:0-1=flat;op:Conv=z-plus", 0},
    {"epsilon-alpha2-beta1", "lrp-epsilon;op:Conv=alpha-beta", 0},
    {"epsilon-alpha2-beta1-flat", "lrp-epsilon;depth:0-1=flat;op:Conv=alpha-beta", 0},
    {"epsilon-gamma-box," BOX, "lrp-epsilon;depth:0-1=z-box," BOX ";op:Conv=gamma", 0},
    {"deep-taylor", "lrp-epsilon,bias=zero;depth:0-1=w-square;*=z-plus", 0},
    {"deep-taylor," BOX, "lrp-epsilon,bias=zero;depth:0-1=z-box," BOX ";*=z-plus", 0},
    {"excitation-backprop", "lrp-epsilon,seed=one,activation=gradient;*=z-plus", 0},
    {"lrp-composite," BOX, "lrp-epsilon;depth:0-1=z-box," BOX ";" SECOND_THIRD, 0},
    {"lrp-composite," BOX ";depth:1=gamma", /* rows of the caller come first */
     "lrp-epsilon;depth:0=z-box," BOX ";depth:1=gamma;" SECOND_THIRD, 0},
};

START_TEST(composites_are_their_rows) {
  static const model_row six = {
      "six layers", 1, 1,
      "opset 13; input x N,2,5,5; const a 3,2,3,3 ~1; const b 3 ~2; const c 3,2,3,3 ~3;"
      "const d 4,3,2,2 ~4; const e 16,5 ~5; const f 5 ~6; const g 5,4 ~7; const h 4,3 ~8; output y;"
      "k = Conv(x, a, b); l = Conv(x, c); m = Add(k, l); o = Relu(m); p = Conv(o, d); q = Relu(p);"
      "r = Flatten(q); s = Gemm(r, e, f); t = Relu(s); u = MatMul(t, g); v = Relu(u);"
      "y = MatMul(v, h)"};
  bed b = bed_open(&six, 91);
  expect_agreement(&b, composites[_i].one, composites[_i].other, composites[_i].part);
  bed_close(&b);
}
END_TEST

START_TEST(a_composite_by_thirds) {
  static const model_row four = {
      "four layers", 1, 1,
      "opset 13; input x N,4; const a 4,6 ~1; const b 6,5 ~2; const c 5,5 ~3; const d 5,3 ~4;"
      "output y; e = MatMul(x, a); f = Relu(e); g = MatMul(f, b); h = Relu(g); i = MatMul(h, c);"
      "j = Relu(i); y = MatMul(j, d)"};
  bed b = bed_open(&four, 92);
  expect_agreement(&b, "lrp-composite,gamma=1," BOX,
                   "lrp-epsilon;depth:0=z-box," BOX ";depth:1=gamma,gamma=1;"
                   "depth:2=epsilon,epsilon=0,rms=0.25;depth:3=epsilon,epsilon=0", 0);
  bed_close(&b);
}
END_TEST

/* ---- folded and written out ---- */

static const struct twins {
  const char *one, *other;
} twins[] = {
    /* scale 2, -1 and shift 0.5, 1: v = 1/4, 1; s = 1, -1; m = 0.25, 0; t = 1, 1 */
    {"opset 13; input x N,3; const w 3,2 = 1 2 -3 4 5 -6; const b 2 = 1 -2; const s 2 = 1 -1;"
     "const t 2 = 1 1; const m 2 = 0.25 0; const v 2 = 0.25 1; const u 2,2 ~1; output y;"
     "h = Gemm(x, w, b); g = BatchNormalization(h, s, t, m, v) epsilon=0.0; r = Relu(g);"
     "y = MatMul(r, u)",
     "opset 13; input x N,3; const w 3,2 = 2 -2 -6 -4 10 6; const b 2 = 2.5 3; const u 2,2 ~1;"
     "output y; g = Gemm(x, w, b); r = Relu(g); y = MatMul(r, u)"},
    {"opset 13; input x N,2,4; const w 2,2,2 = 1 2 3 4 -5 6 7 -8; const s 2 = 1 -1;"
     "const t 2 = 1 1; const m 2 = 0.25 0; const v 2 = 0.25 1; const u 6,2 ~1; output y;"
     "g = BatchNormalization(x, s, t, m, v) epsilon=0.0; h = Conv(g, w); r = Relu(h);"
     "f = Flatten(r); y = MatMul(f, u)",
     "opset 13; input x N,2,4; const w 2,2,2 = 2 4 -3 -4 -10 12 -7 8; const b 2 = 8.5 -0.5;"
     "const u 6,2 ~1; output y; h = Conv(x, w, b); r = Relu(h); f = Flatten(r); y = MatMul(f, u)"},
    {"opset 13; input x N,3; const w 3,2 ~1; const b 2 = 1 -2; const c 2 = 0.5 1; const u 2,2 ~1;"
     "output y; h = MatMul(x, w); g = Add(b, h); k = Sub(g, c); r = Relu(k); y = MatMul(r, u)",
     "opset 13; input x N,3; const w 3,2 ~1; const b 2 = 0.5 -3; const u 2,2 ~1; output y;"
     "h = Gemm(x, w, b); r = Relu(h); y = MatMul(r, u)"},
    {"opset 13; input x N,2,3; const w 3,2,2 ~1; const b 2,2 ~2; const v 2,2,2 ~3; output y;"
     "h = Einsum(x, w) equation='bsd,dhk->bshk'; g = Add(h, b); r = Relu(g);"
     "k = Einsum(r, v) equation='bshk,hkd->bsd'; const o i64 1 = 1; y = ReduceSum(k, o) keepdims=0",
     "opset 13; input x N,2,3; const w 3,2,2 ~1; const b 2,2 ~2; const v 2,2,2 ~3; output y;"
     "const p i64 2 = 3 4; const q i64 2 = 4 2; const f i64 1 = -1; w2 = Reshape(w, p);"
     "b2 = Reshape(b, f); v2 = Reshape(v, q); h = MatMul(x, w2); g = Add(h, b2); r = Relu(g);"
     "k = MatMul(r, v2); const o i64 1 = 1; y = ReduceSum(k, o) keepdims=0"},
    /* bounds through a negative scale */
    {"opset 13; input x N,2; const k = -2; const w 2,3 = 1 -2 3 -4 5 -6; const u 3,2 ~2; output y;"
     "a = Mul(x, k); h = MatMul(a, w); r = Relu(h); y = MatMul(r, u)",
     "opset 13; input x N,2; const w 2,3 = -2 4 -6 8 -10 12; const u 3,2 ~2; output y;"
     "h = MatMul(x, w); r = Relu(h); y = MatMul(r, u)"},
    /* and through a part of a Split */
    {"opset 13; input x N,4; const s i64 2 = 2 2; const w 2,3 = 1 -2 3 -4 5 -6; const v 2,3 ~5;"
     "const u 3,2 ~2; output y; a, b = Split(x, s) axis=1; h = MatMul(a, w); k = MatMul(b, v);"
     "q = Relu(h); o = Relu(k); r = Add(q, o); y = MatMul(r, u)",
     "opset 13; input x N,4; const w 2,3 = 1 -2 3 -4 5 -6; const v 2,3 ~5; const u 3,2 ~2; output y;"
     "const c i64 1 = 0; const d i64 1 = 2; const e i64 1 = 4; const t i64 1 = 1;"
     "a = Slice(x, c, d, t); b = Slice(x, d, e, t); h = MatMul(a, w); k = MatMul(b, v);"
     "q = Relu(h); o = Relu(k); r = Add(q, o); y = MatMul(r, u)"},
    /* names that are gone: Identity, Dropout; a constant computed by nodes */
    {"opset 13; input x N,3; const w 3,2 ~1; const u 2,2 ~2; output y; i = Identity(x);"
     "h = MatMul(i, w); d = Dropout(h); r = Relu(d); k = MatMul(r, u); y = Identity(k)",
     "opset 13; input x N,3; const w 3,2 ~1; const u 2,2 ~2; output y; h = MatMul(x, w);"
     "r = Relu(h); y = MatMul(r, u)"},
    /* written out in primitives: an activation, whose gates are no gates; a normalisation; a
     * softmax */
    {"opset 13; input x N,3; const w 3,4 ~1; const u 4,2 ~2; output y; h = MatMul(x, w);"
     "s = Sigmoid(h); r = Mul(s, h); y = MatMul(r, u)",
     "opset 24; input x N,3; const w 3,4 ~1; const u 4,2 ~2; output y; h = MatMul(x, w);"
     "r = Swish(h); y = MatMul(r, u)"},
    {"opset 13; input x N,3; const w 3,4 ~1; const u 4,2 ~2; const c = 1.4142135; const o = 1;"
     "const z = 0.5; output y; h = MatMul(x, w); a = Div(h, c); b = Erf(a); d = Add(b, o);"
     "e = Mul(h, d); r = Mul(e, z); y = MatMul(r, u)",
     "opset 20; input x N,3; const w 3,4 ~1; const u 4,2 ~2; output y; h = MatMul(x, w);"
     "r = Gelu(h); y = MatMul(r, u)"},
    {"opset 13; input x N,3; const w 3,4 ~1; const u 4,2 ~2; const g 4 ~3; const b 4 ~4;"
     "const p = 2; const e = 0.0001; output y; h = MatMul(x, w); m = ReduceMean(h) axes=[-1];"
     "d = Sub(h, m); q = Pow(d, p); v = ReduceMean(q) axes=[-1]; i = Add(v, e); s = Sqrt(i);"
     "j = Div(d, s); k = Mul(j, g); r = Add(k, b); y = MatMul(r, u)",
     "opset 17; input x N,3; const w 3,4 ~1; const u 4,2 ~2; const g 4 ~3; const b 4 ~4; output y;"
     "h = MatMul(x, w); r = LayerNormalization(h, g, b) epsilon=0.0001; y = MatMul(r, u)"},
    {"opset 13; input x N,3; const w 3,4 ~1; const v 4,4 ~2; const u 4,2 ~3; const k i64 1 = -1;"
     "output y; h = MatMul(x, w); e = Exp(h); s = ReduceSum(e, k); p = Div(e, s);"
     "l = MatMul(h, v); r = Mul(p, l); y = MatMul(r, u)",
     "opset 13; input x N,3; const w 3,4 ~1; const v 4,4 ~2; const u 4,2 ~3; output y;"
     "h = MatMul(x, w); p = Softmax(h); l = MatMul(h, v); r = Mul(p, l); y = MatMul(r, u)"},
    /* channels last and back, in blocks and by plain copies */
    {"opset 17; input x N,3,6,5; const w 20,3,3,3 ~1; const g 20 ~3; const d 20,1,3,3 ~4; const v 2,20,1,1 ~5;"
     "const s 20,1,1 ~6; output y; h = Conv(x, w) pads=[1,1,1,1]; t = Transpose(h) perm=[0,2,3,1];"
     "n = LayerNormalization(t, g); u = Transpose(n) perm=[0,3,1,2]; m = Mul(s, u); a = Add(m, h);"
     "c = Conv(a, d) group=20 pads=[1,1,1,1]; r = Relu(c); e = Conv(r, v); p = GlobalAveragePool(e); y = Flatten(p)",
     "opset 17; input x N,3,6,5; const w 20,3,3,3 ~1; const g 20 ~3; const d 20,1,3,3 ~4; const v 2,20,1,1 ~5;"
     "const s 20,1,1 ~6; output y; h = Conv(x, w) pads=[1,1,1,1]; t1 = Transpose(h) perm=[0,2,1,3]; t = Transpose(t1) perm=[0,1,3,2];"
     "n = LayerNormalization(t, g); u1 = Transpose(n) perm=[0,1,3,2]; u = Transpose(u1) perm=[0,2,1,3]; m = Mul(s, u); a = Add(m, h);"
     "c = Conv(a, d) group=20 pads=[1,1,1,1]; r = Relu(c); e = Conv(r, v); p = GlobalAveragePool(e); y = Flatten(p)"},
    /* attention of two heads */
    {"opset 13; input x N,3,3; const w 3,4 ~1; const v 3,4 ~2; const l 3,4 ~3; const u 4,2 ~4;"
     "const k i64 4 = 0 0 2 2; const f i64 3 = 0 0 4; const d = 0.70710678; const m 3,3 ~5;"
     "output y; q = MatMul(x, w); q1 = Reshape(q, k); q2 = Transpose(q1) perm=[0,2,1,3];"
     "z = MatMul(x, v); z1 = Reshape(z, k); z2 = Transpose(z1) perm=[0,2,3,1]; e = MatMul(x, l); e1 = Reshape(e, k);"
     "e2 = Transpose(e1) perm=[0,2,1,3]; s = MatMul(q2, z2); s1 = Mul(s, d); s2 = Add(s1, m);"
     "p = Softmax(s2); o = MatMul(p, e2); o1 = Transpose(o) perm=[0,2,1,3]; r = Reshape(o1, f);"
     "y = MatMul(r, u)",
     "opset 23; input x N,3,3; const w 3,4 ~1; const v 3,4 ~2; const l 3,4 ~3; const u 4,2 ~4;"
     "const m 3,3 ~5; output y; q = MatMul(x, w); z = MatMul(x, v); e = MatMul(x, l);"
     "r = Attention(q, z, e, m) q_num_heads=2 kv_num_heads=2; y = MatMul(r, u)"},
};
enum { TWINS = sizeof twins / sizeof *twins };

START_TEST(a_folded_network_is_explained_like_the_other) {
  static const char *const methods[] = {
      "gradient", "gradient-x-input", "lrp-0", "lrp-epsilon", "lrp-gamma", "lrp-alpha-beta",
      "lrp-z-plus", "lrp-w-square", "lrp-flat", "deep-taylor", "lrp-gamma,bias=zero",
      "epsilon-plus-flat", "epsilon-gamma-box,low=-1,high=2", "lrp-composite,low=-1,high=2",
      "excitation-backprop", "cp-lrp", "lrp-epsilon,softmax=gradient"};
  net one = net_open(twins[_i].one, 1), other = net_open(twins[_i].other, 1);
  xai_tensor *x = net_input(&one, 0, 3, 81);
  for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
    if (!XAI_LRP && i > 1) break;
    expect_same(twins[_i].one, &one, (ask){methods[i], .x = {x}}, &other,
                (ask){methods[i], .x = {x}}, 1e-4);
  }
  xai_tensor_free(x);
  net_close(&one);
  net_close(&other);
}
END_TEST

/* Nothing is computed in one go where every value is asked for. */
START_TEST(a_result_is_the_same_with_all_values) {
  net n = net_open(twins[_i].one, 2);
  xai_tensor *x = net_input(&n, 0, 20, 82);
  xai_result *alone = explain(&n, (ask){.x = {x}}), *all = explain(&n, (ask){.at = "*", .x = {x}});
  int64_t count;
  char name[160];
  snprintf(name, sizeof name, "output/%s", n.g->values[n.g->outputs[0]].name);
  const float *y = values(alone, "output/y", &count);
  expect_near(twins[_i].one, y, values(all, name, NULL), count, 2e-6);
  xai_result_free(alone);
  xai_result_free(all);
  xai_tensor_free(x);
  net_close(&n);
}
END_TEST

/* Nor is a value in another layout than rows. */
START_TEST(relevance_is_the_same_with_all_values) {
  static const char *const methods[] = {
      "gradient", "lrp-epsilon,rewrite=off", "lrp-epsilon,mul=uniform,rewrite=off",
      "lrp-epsilon,mul=value,bias=zero,rewrite=off", "epsilon-plus,rewrite=off"};
  bed b = bed_open(&models[_i], 83);
  int64_t count;
  for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
    if (!XAI_LRP && i > 0) break;
    ask q = {.method = methods[i], .x = {b.x[0], b.x[1]}};
    xai_result *alone = explain(&b.n, q);
    q.at = "*";
    xai_result *all = explain(&b.n, q);
    char name[160];
    snprintf(name, sizeof name, "relevance/%s", b.n.g->values[b.n.g->inputs[0]].name);
    if (xai_result_find(alone, name)) {
      const float *R = values(alone, name, &count);
      expect_near(b.m->name, R, values(all, name, NULL), count, 2e-5);
    }
    xai_result_free(alone);
    xai_result_free(all);
  }
  bed_close(&b);
}
END_TEST

/* ---- recurrent layers, and their steps written out ---- */

#define STEPS "opset 14; input x N,2,3; const u 2,2 ~90; output y; const k0 i64 = 0;" \
  "const k1 i64 = 1; x0 = Gather(x, k0) axis=1; x1 = Gather(x, k1) axis=1; y = MatMul(h1, u);"
#define LAYER "opset 14; input x N,2,3; const u 2,2 ~90; output y; const k0 i64 1 = 0;" \
  "w0 = Unsqueeze(w, k0); r0 = Unsqueeze(r, k0); b0 = Unsqueeze(b, k0); h1 = Squeeze(l, k1);" \
  "const k1 i64 1 = 1; y = MatMul(h1, u);"
#define GATE(g, w, r, b) "const w" g " 2,3 ~" w "; const r" g " 2,2 ~" r "; const b" g " 2 ~" b ";"
/* W x_t + b, and R h added to it */
#define INTO(to, g, t) to " = Gemm(x" t ", w" g ", b" g ") transB=1;"
#define WITH(to, from, g, h) \
  to "r = Gemm(" h ", r" g ") transB=1; " to " = Add(" from ", " to "r);"

#define LSTM_GATES \
  GATE("i", "1", "2", "3") GATE("o", "4", "5", "6") GATE("f", "7", "8", "9")                      \
  GATE("c", "10", "11", "12")
#define GRU_GATES GATE("z", "1", "2", "3") GATE("r", "4", "5", "6") GATE("h", "7", "8", "9")

static const struct twins cells[] = {
    {STEPS GATE("h", "1", "2", "3") INTO("a", "h", "0") "h0 = Tanh(a);"
     INTO("c", "h", "1") WITH("d", "c", "h", "h0") "h1 = Tanh(d)",
     LAYER GATE("h", "1", "2", "3") "const z 2 = 0; w = Identity(wh); r = Identity(rh);"
     "b = Concat(bh, z) axis=0; , l = RNN(x, w0, r0, b0) layout=1"},
    {STEPS LSTM_GATES INTO("pi", "i", "0") INTO("po", "o", "0") INTO("pc", "c", "0")
     "i = Sigmoid(pi); o = Sigmoid(po); g = Tanh(pc); c0 = Mul(i, g); t = Tanh(c0); h0 = Mul(o, t);"
     INTO("qi", "i", "1") INTO("qo", "o", "1") INTO("qf", "f", "1") INTO("qc", "c", "1")
     WITH("si", "qi", "i", "h0") WITH("so", "qo", "o", "h0") WITH("sf", "qf", "f", "h0")
     WITH("sc", "qc", "c", "h0") "ii = Sigmoid(si); oo = Sigmoid(so); ff = Sigmoid(sf);"
     "gg = Tanh(sc); cf = Mul(ff, c0); ci = Mul(ii, gg); c1 = Add(cf, ci); tt = Tanh(c1);"
     "h1 = Mul(oo, tt)",
     LAYER LSTM_GATES "const z 8 = 0; w = Concat(wi, wo, wf, wc) axis=0;"
     "r = Concat(ri, ro, rf, rc) axis=0; b = Concat(bi, bo, bf, bc, z) axis=0;"
     ", l = LSTM(x, w0, r0, b0) layout=1"},
    {STEPS GRU_GATES INTO("pz", "z", "0") INTO("ph", "h", "0") "nz = Neg(pz); m = Sigmoid(nz);"
     "n = Tanh(ph); h0 = Mul(m, n);" INTO("qz", "z", "1") INTO("qr", "r", "1") INTO("qh", "h", "1")
     WITH("sz", "qz", "z", "h0") WITH("sr", "qr", "r", "h0") "z = Sigmoid(sz); r = Sigmoid(sr);"
     "v = Mul(r, h0);" WITH("sh", "qh", "h", "v") "nn = Tanh(sh); ns = Neg(sz); mm = Sigmoid(ns);"
     "hn = Mul(mm, nn); hh = Mul(z, h0); h1 = Add(hn, hh)",
     LAYER GRU_GATES "const z 6 = 0; w = Concat(wz, wr, wh) axis=0; r = Concat(rz, rr, rh) axis=0;"
     "b = Concat(bz, br, bh, z) axis=0; , l = GRU(x, w0, r0, b0) layout=1"},
    {STEPS GRU_GATES INTO("pz", "z", "0") INTO("ph", "h", "0") "nz = Neg(pz); m = Sigmoid(nz);"
     "n = Tanh(ph); h0 = Mul(m, n);" INTO("qz", "z", "1") INTO("qr", "r", "1") INTO("qh", "h", "1")
     WITH("sz", "qz", "z", "h0") WITH("sr", "qr", "r", "h0") "z = Sigmoid(sz); r = Sigmoid(sr);"
     "v = Gemm(h0, rh) transB=1; rv = Mul(r, v); sh = Add(qh, rv); nn = Tanh(sh);"
     "ns = Neg(sz); mm = Sigmoid(ns); hn = Mul(mm, nn); hh = Mul(z, h0); h1 = Add(hn, hh)",
     LAYER GRU_GATES "const z 6 = 0; w = Concat(wz, wr, wh) axis=0;"
     "r = Concat(rz, rr, rh) axis=0; b = Concat(bz, br, bh, z) axis=0;"
     ", l = GRU(x, w0, r0, b0) layout=1 linear_before_reset=1"},
};

START_TEST(a_recurrent_layer_is_explained_like_its_steps) {
  static const char *const methods[] = {"gradient", "gradient-x-input", "lrp-0", "lrp-epsilon"};
  net one = net_open(cells[_i].one, 1), other = net_open(cells[_i].other, 1);
  xai_tensor *x = net_input(&one, 0, 3, 81);
  for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
    if (!XAI_LRP && i > 1) break;
    expect_same(cells[_i].one, &one, (ask){methods[i], .x = {x}}, &other,
                (ask){methods[i], .x = {x}}, 1e-4);
  }
  xai_tensor_free(x);
  net_close(&one);
  net_close(&other);
}
END_TEST

/* ---- the analytic oracle: f = max(x1, x2) ---- */

#define MAXIMUM(end)                                                                              \
  "opset 13; input x N,2; const a 2,3 = 1 -1 1 -1 1 1; const b 3,1 = 0.5 0.5 0.5; const c = 7;"   \
  "output y; h = MatMul(x, a); r = Relu(h); " end
enum { SIDE = 17, POINTS = SIDE * SIDE };

static xai_tensor *grid(void) {
  float x[POINTS][2];
  for (int i = 0; i < POINTS; i++) {
    x[i][0] = (float)(i / SIDE) / 8;
    x[i][1] = (float)(i % SIDE) / 8;
  }
  return tensor_of(XAI_F32, 2, (const int64_t[]){POINTS, 2}, x);
}

static void oracle(const char *method, double x1, double x2, double *R) {
  if (!strcmp(method, "sensitivity")) {
    R[0] = x1 > x2;
    R[1] = x2 > x1;
  } else if (!strcmp(method, "gradient-x-input")) {
    R[0] = x1 > x2 ? x1 : 0;
    R[1] = x2 > x1 ? x2 : 0;
  } else {
    R[0] = ((x1 > x2 ? x1 - x2 : 0) + x1) / 2;
    R[1] = ((x2 > x1 ? x2 - x1 : 0) + x2) / 2;
  }
}

START_TEST(the_maximum_of_two_numbers) {
  static const char *const methods[] = {"sensitivity", "gradient-x-input",
                                        "lrp-z-plus,stabilizer=0"};
  net n = net_open(MAXIMUM("y = MatMul(r, b)"), 1);
  xai_tensor *x = grid();
  const float *at = floats(x);
  for (size_t i = 0; i < (XAI_LRP ? 3 : 2); i++) {
    float *R = relevance(&n, (ask){methods[i], .x = {x}}, NULL);
    double steepest = 0;
    for (int p = 0; p < POINTS; p++) {
      double want[2];
      const float *v = at + 2 * p;
      if (i < 2 && v[0] == v[1]) continue; /* on the kink: one half of each */
      oracle(methods[i], (double)v[0], (double)v[1], want);
      for (int k = 0; k < 2; k++)
        ck_assert_msg(fabs((double)R[2 * p + k] - want[k]) < 1e-6, "%s at %g, %g: %g, not %g",
                      methods[i], (double)v[0], (double)v[1], (double)R[2 * p + k], want[k]);
      for (int q = 0; q < p; q++) {
        const float *u = at + 2 * q;
        if (i < 2 && u[0] == u[1]) continue;
        double change = 0;
        for (int k = 0; k < 2; k++) change += fabs((double)(R[2 * p + k] - R[2 * q + k]));
        double away = hypot((double)(v[0] - u[0]), (double)(v[1] - u[1]));
        steepest = fmax(steepest, change / away);
      }
    }
    double off = i == 2 ? fabs(steepest - sqrt(2)) : 0;
    ck_assert_msg(i == 2 ? off < 1e-5 : steepest > 4, "%s: %g", methods[i], steepest); /* jumps */
    free(R);
  }
  xai_tensor_free(x);
  net_close(&n);
}
END_TEST

/* f + C: the gradient explains a variation. */
START_TEST(a_constant_leaves_the_gradient) {
  net n = net_open(MAXIMUM("y = MatMul(r, b)"), 1);
  net m = net_open(MAXIMUM("s = MatMul(r, b); y = Add(s, c)"), 1);
  xai_tensor *x = grid();
  expect_same("f + C", &n, (ask){"gradient", .x = {x}}, &m, (ask){"gradient", .x = {x}}, 0);
  expect_same("f + C", &n, (ask){"sensitivity", .x = {x}}, &m, (ask){"sensitivity", .x = {x}}, 0);
  xai_tensor_free(x);
  net_close(&n);
  net_close(&m);
}
END_TEST

/* Over a background of one item expected gradients are integrated gradients from it; inputs must have
 * as many items each. */
START_TEST(a_background_is_a_set_of_baselines) {
  net n = net_open("opset 13; input a N,6; input b N,3; const w 6,3 ~3; m = MatMul(a, w); h = Mul(m, b); "
                   "y = Sigmoid(h); output y", 1);
  const int64_t shape[] = {1, 12};
  inputs in = inputs_of(&n, 1, 5);
  xai_tensor *set = tensor_by_chance(XAI_F32, 2, shape, 9);
  xai_param more = {"background", set, NULL, 0};
  xai_result *r;
  ask a = {"expected-gradients", .x = {in.x[0], in.x[1]}, .more = &more, .n_more = 1};
  ck_assert_int_eq(ask_status(&n, a, &r, NULL, &net_error), XAI_E_ARGUMENT); /* 2 items of a, 4 of b */
  ck_assert_ptr_nonnull(strstr(net_error.text, "2 items for input 'a' and 4 for 'b'"));
  xai_tensor_free(set);
  inputs_free(&in);
  net_close(&n);

  n = net_open("opset 13; input x N,6; const w 6,3 ~3; m = MatMul(x, w); y = Sigmoid(m); output y", 1);
  const int64_t one[] = {1, 6};
  in = inputs_of(&n, 2, 5);
  more.tensor = set = tensor_by_chance(XAI_F32, 2, one, 9);
  r = explain(&n, (ask){"expected-gradients", .x = {in.x[0]}, .more = &more, .n_more = 1});
  more.name = "baseline";
  xai_result *from = explain(&n, (ask){"integrated-gradients", .x = {in.x[0]}, .more = &more, .n_more = 1});
  expect_near("expected and integrated gradients", values(r, "relevance/x", NULL),
              values(from, "relevance/x", NULL), 12, 1e-6);
  xai_result_free(r);
  xai_result_free(from);
  xai_tensor_free(set);
  inputs_free(&in);
  net_close(&n);
}
END_TEST

/* The L-fold composition of t(x) = 2 relu(x) - 4 relu(x - 1/2): 2^L pieces of slope +-2^L. */
START_TEST(gradients_shatter) {
  enum { L = 5, PIECES = 1 << L, A_PIECE = 4, N = PIECES * A_PIECE };
  char text[1024] = "opset 13; input x N,1; const a 1,2 = 1 1; const b 2 = 0 -0.5;"
                    "const c 2,1 = 2 -4; output y; v0 = Add(x, z); const z = 0;";
  for (int i = 0; i < L; i++) {
    size_t end = strlen(text);
    snprintf(text + end, sizeof text - end,
             "h%d = Gemm(v%d, a, b); r%d = Relu(h%d); v%d = MatMul(r%d, c);", i, i, i, i, i + 1, i);
  }
  snprintf(text + strlen(text), sizeof text - strlen(text), "y = Add(v%d, z)", L);
  net n = net_open(text, 1);
  float at[N];
  for (int i = 0; i < N; i++) at[i] = ((float)i + 0.5f) / N;
  xai_tensor *x = tensor_of(XAI_F32, 2, (const int64_t[]){N, 1}, at);
  float *g = relevance(&n, (ask){"gradient", .x = {x}}, NULL);
  int changes = 0;
  for (int i = 0; i < N; i++) {
    ck_assert_float_eq(fabsf(g[i]), (float)PIECES);
    changes += i > 0 && g[i] != g[i - 1];
  }
  ck_assert_int_eq(changes, PIECES - 1);
  free(g);
  xai_tensor_free(x);
  net_close(&n);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("identities");
  TCase *tc = tcase_create("identities");
  tcase_add_loop_test(tc, methods_agree, 0, IF_LRP(MODELS));
  tcase_add_loop_test(tc, lrp_0_is_gradient_x_input, 0, IF_LRP(MODELS));
  tcase_add_loop_test(tc, epsilon_tends_to_lrp_0, 0, IF_LRP(MODELS));
  tcase_add_loop_test(tc, gamma_tends_to_z_plus, 0, IF_LRP(2));
  tcase_add_loop_test(tc, winograd_is_near, 0, IF_LRP(7));
  tcase_add_loop_test(tc, z_box_of_0_is_lrp_0_without_bias, 0, IF_LRP(MODELS));
  tcase_add_loop_test(tc, flat_and_w_square_do_not_see_x, 0, IF_LRP(2));
  int n_composites = sizeof composites / sizeof *composites;
  tcase_add_loop_test(tc, composites_are_their_rows, 0, IF_LRP(n_composites));
  tcase_add_loop_test(tc, a_composite_by_thirds, 0, IF_LRP(1));
  tcase_add_loop_test(tc, a_folded_network_is_explained_like_the_other, 0, TWINS);
  tcase_add_loop_test(tc, a_result_is_the_same_with_all_values, 0, TWINS);
  tcase_add_loop_test(tc, relevance_is_the_same_with_all_values, 0, MODELS);
  tcase_add_loop_test(tc, a_recurrent_layer_is_explained_like_its_steps, 0,
                      sizeof cells / sizeof *cells);
  tcase_add_test(tc, the_maximum_of_two_numbers);
  tcase_add_test(tc, a_constant_leaves_the_gradient);
  tcase_add_test(tc, a_background_is_a_set_of_baselines);
  tcase_add_test(tc, gradients_shatter);
  suite_add_tcase(suite, tc);
  return run_suite(suite);
}

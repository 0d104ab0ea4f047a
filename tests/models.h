/* Small networks by chance, of every kind that relevance crosses in its own way. */
#ifndef XAI_TESTS_MODELS_H
#define XAI_TESTS_MODELS_H
#include <string.h>

typedef struct model_row {
  const char *name;
  int homogeneous; /* piecewise linear with biases: lrp-0 is gradient x input */
  int bounded;     /* bounds of the inputs can be carried to every first layer */
  const char *text;
} model_row;

static const model_row models[] = {
    {"mlp", 1, 1,
     "opset 13; input x N,6; const a 6,9 ~1; const b 9 ~2; const c 4,9 ~3; const d 4 ~4; output y;"
     "h = Gemm(x, a, b); r = Relu(h); y = Gemm(r, c, d) transB=1"},
    {"classifier", 1, 1,
     "opset 13; input x N,6; const a 6,8 ~5; const b 8 ~6; const c 8,8 ~7; const d 8 ~8;"
     "const e 8,5 ~9; output y;"
     "h = MatMul(x, a); i = Add(h, b); r = LeakyRelu(i) alpha=0.25; j = MatMul(r, c);"
     "k = Sub(j, d); l = Relu(k); m = MatMul(l, e); y = Softmax(m) axis=1"},
    {"conv", 1, 1,
     "opset 13; input x N,2,9,8; const a 4,2,3,3 ~1; const b 4 ~-2; const c 6,2,3,2 ~3;"
     "const d 6 ~4; const e 36,3 ~5; const f 3 ~6; output y;"
     "h = Conv(x, a, b) pads=[1,1,1,1]; r = Relu(h);"
     "p = MaxPool(r) kernel_shape=[2,2] strides=[1,2];"
     "q = Conv(p, c, d) group=2 strides=[2,1] dilations=[1,2]; s = Relu(q);"
     "t = AveragePool(s) kernel_shape=[2,2] strides=[1,1] pads=[0,0,1,1]; u = Flatten(t);"
     "y = Gemm(u, e, f)"},
    {"norms", 1, 1, /* a BatchNormalization behind a layer, before one, and between poolings */
     "opset 13; input x N,2,8,8; const a 4,2,3,3 ~1; const s 4 ~+2; const t 4 ~3; const m 4 ~4;"
     "const v 4 ~+5; const c 5,4,2,2 ~6; const d 5 ~7; const s2 5 ~8; const t2 5 ~9;"
     "const v2 5 ~+10; const e 5,4 ~11; output y;"
     "g = Conv(x, a); h = BatchNormalization(g, s, t, m, v); r = Relu(h);"
     "p = AveragePool(r) kernel_shape=[2,2] strides=[2,2];"
     "i = BatchNormalization(p, t, s, t, v); j = Conv(i, c, d); k = Relu(j);"
     "l = BatchNormalization(k, s2, t2, d, v2); n = GlobalAveragePool(l); o = Flatten(n);"
     "w = BatchNormalization(o, s2, t2, d, v2); y = Gemm(w, e) alpha=0.5"},
    {"residual", 1, 1,
     "opset 13; input x N,3,6,6; const a 3,3,3,3 ~1; const b 3 ~2; const c 3,3,3,3 ~3;"
     "const d 3 ~4; const e 12,4 ~5; const f 4 ~6; output y;"
     "h = Conv(x, a, b) pads=[1,1,1,1]; r = Relu(h); i = Conv(r, c, d) pads=[1,1,1,1];"
     "j = Add(i, x); k = Relu(j); l = Add(k, k); m = GlobalMaxPool(l); u = Flatten(m);"
     "n = AveragePool(k) kernel_shape=[4,4] strides=[2,2]; o = ReduceMean(n) axes=[2,3] keepdims=0;"
     "p = Sub(l, r); q = GlobalAveragePool(p); v = Flatten(q); w = Sum(o, u, v);"
     "z = Concat(w, v, o, u) axis=1; y = Gemm(z, e, f)"},
    {"branches", 1, 0,
     "opset 13; input x N,4,6,6; const a 2,2,3,3 ~1; const b 2 ~2; const c 3,2,1,1 ~3;"
     "const e 59,3 ~5; const f 3 ~6; const k i64 2 = 0 -1; const n0 i64 1 = 0; const n1 i64 1 = 21;"
     "const n2 i64 1 = 80; const one i64 1 = 1; const half 1 = -0.5; output y;"
     "g, h = Split(x) axis=1; i = Conv(g, a, b); j = Conv(h, c) strides=[2,2]; r = Relu(i);"
     "o = Transpose(r) perm=[0,2,3,1]; u = Reshape(o, k); s = Relu(j); v = Flatten(s);"
     "w = Concat(u, v) axis=1; t = Mul(w, half); z = Slice(t, n0, n1, one);"
     "p = Concat(t, z) axis=1; d = Slice(p, n1, n2, one); y = Gemm(d, e, f)"},
    {"dense", 1, 1, /* Concats of what others join too, of one value twice, of an input, with an activation */
     "opset 13; input x N,3,6,6; const a 16,3,3,3 ~1; const b 16,16,1,1 ~2; const c 16,32,3,3 ~3;"
     "const d 8,48,1,1 ~4; const e 134,3 ~5; const f 3 ~6; output y;"
     "h = Conv(x, a) pads=[1,1,1,1]; r = Relu(h); i = Conv(r, b); s = Concat(r, i) axis=1;"
     "j = Conv(s, c) pads=[1,1,1,1]; t = Concat(r, i, j) axis=1; k = Conv(t, d); l = Relu(k);"
     "m = Concat(t, j, j, k) axis=1; n = Concat(x, l, x) axis=1; o = Relu(m);"
     "p = GlobalAveragePool(o); q = GlobalMaxPool(n); u = GlobalAveragePool(s);"
     "v = Concat(p, q, u) axis=1; w = Flatten(v); y = Gemm(w, e, f)"},
    {"upward", 1, 1,
     "opset 13; input x N,3,4,4; const a 3,4,3,3 ~1; const b 4 ~2; const c 12,3 ~3;"
     "const p i64 8 = 0 0 1 0 0 0 0 1; const s i64 2 = 0 -1; output y;"
     "h = ConvTranspose(x, a, b) strides=[2,2] pads=[1,1,1,1]; r = Relu(h); g = Pad(r, p);"
     "k = MaxPool(g) kernel_shape=[3,2] strides=[2,2]; n = ReduceMax(k) axes=[3];"
     "o = Reshape(n, s); y = MatMul(o, c)"},
    {"gates", 0, 1,
     "opset 13; input x N,3,5,5; const a 4,3,3,3 ~1; const b 4 ~2; const c 4,4,1,1 ~3;"
     "const d 4 ~4; const e 4,3 ~5; output y; h = Conv(x, a, b); i = Sigmoid(h); j = Mul(h, i);"
     "k = GlobalAveragePool(j); l = Conv(k, c, d); m = Sigmoid(l); n = Mul(j, m); o = Tanh(n);"
     "p = Mul(o, n); q = Div(p, g); const g 1 = 4; r = GlobalAveragePool(q); s = Flatten(r);"
     "t = Mul(s, s); u = Add(s, t); y = MatMul(u, e)"},
    {"channels", 0, 0, /* one number a channel: constant, from the tensor itself, as a sum and a factor */
     "opset 13; input x N,3,6,6; const a 20,3,3,3 ~1; const b 20 ~2; const c 5,20,1,1 ~3; const d 5 ~4;"
     "const e 20,5,1,1 ~5; const f 20 ~6; const g 20,20,3,3 ~7; const s 1,20,1,1 ~+8; const t 20,1,1 ~9;"
     "const w 20,3 ~10; output y; h = Conv(x, a, b) pads=[1,1,1,1]; i = Sigmoid(h); j = Mul(i, h);"
     "k = GlobalAveragePool(j); l = Conv(k, c, d); m = Relu(l); n = Conv(m, e, f); o = Sigmoid(n);"
     "p = Mul(o, j); q = Mul(p, s); r = Conv(q, g); u = Relu(r); v = GlobalMaxPool(u);"
     "z = Conv(v, e0, f) group=20; const e0 20,1,1,1 ~11; a1 = Add(u, z); a2 = Add(t, a1);"
     "a3 = GlobalAveragePool(a2); a4 = Flatten(a3); y = MatMul(a4, w)"},
    {"attention", 0, 0,
     "opset 17; input x N,4,6; const s 6 ~1; const t 6 ~2; const q 6,6 ~3; const k 6,6 ~4;"
     "const v 6,6 ~5; const bq 6 ~6; const bv 6 ~7; const o 6,6 ~8; const f 6,12 ~9;"
     "const g 12 ~10; const h 12,6 ~11; const w 6,3 ~12; const c 3 ~13; const r = 0.5; output y;"
     "n = LayerNormalization(x, s, t); q1 = MatMul(n, q); q2 = Add(q1, bq); k1 = MatMul(n, k);"
     "k2 = Transpose(k1) perm=[0,2,1]; v1 = MatMul(n, v); v2 = Add(v1, bv); a1 = MatMul(q2, k2);"
     "a2 = Mul(a1, r); a3 = Softmax(a2) axis=-1; a4 = MatMul(a3, v2); a5 = MatMul(a4, o);"
     "m1 = Add(x, a5); m2 = MatMul(m1, f); m3 = Add(g, m2); m4 = Relu(m3); m5 = MatMul(m4, h);"
     "m6 = Add(m1, m5); p = ReduceMean(m6) axes=[1] keepdims=0; y = Gemm(p, w, c)"},
    {"masked", 0, 0,
     "opset 17; input x N,4,6; const q 6,6 ~3; const k 6,6 ~4; const v 6,6 ~5; const w 6,3 ~12; const c 3 ~13;"
     "const u 4,4 = 0 -inf -inf -inf 0 0 -inf -inf 0 0 0 -inf 0 0 0 0; const m 1,4 = 0 0 -inf 0; output y;"
     "q1 = MatMul(x, q); k1 = MatMul(x, k); k2 = Transpose(k1) perm=[0,2,1]; v1 = MatMul(x, v);"
     "a1 = MatMul(q1, k2); a2 = Add(a1, u); a3 = Add(a2, m); a4 = Softmax(a3) axis=-1;"
     "a5 = MatMul(a4, v1); m1 = Add(x, a5); p = ReduceMean(m1) axes=[1] keepdims=0; y = Gemm(p, w, c)"},
    {"compared", 0, 0,
     "opset 17; input x N,4,6; const q 6,6 ~3; const z = 0; const w 6,3 ~12; const c 3 ~13; output y;"
     "h = MatMul(x, q); g = Greater(h, z); m = Cast(g) to=1; f = Mul(x, m); e = Add(f, m);"
     "t = Transpose(m) perm=[0,2,1]; a = MatMul(t, e); p = ReduceMean(a) axes=[1] keepdims=0;"
     "y = Gemm(p, w, c)"},
    {"two-inputs", 1, 1,
     "opset 13; input x N,4; input z N,4; const a 4,5 ~1; const b 5 ~2; const c 4,5 ~3;"
     "const d 5,3 ~4; output y; g = Gemm(x, a, b); h = Gemm(z, c); i = Add(g, h); j = Relu(i);"
     "k = Max(g, h); l = Add(j, k); y = MatMul(l, d)"},
    {"embedding", 1, 0,
     "opset 13; input ids i64 N,4; const t 5,6 ~1; const p 4,6 ~2; const a 6,5 ~3; const b 5 ~4;"
     "const c 5,3 ~5; output y; e = Gather(t, ids); f = Add(e, p); g = MatMul(f, a); h = Add(g, b);"
     "i = Relu(h); j = ReduceMean(i) axes=[1] keepdims=0; y = MatMul(j, c)"},
};
enum { MODELS = sizeof models / sizeof *models };

static inline const model_row *model_named(const char *name) {
  for (int i = 0; i < MODELS; i++)
    if (!strcmp(models[i].name, name)) return &models[i];
  return NULL;
}

#endif

/* How relevance crosses each kind of operator, in numbers computed by hand [METHODS sections 0, 1
 * and 3]. */
#include "net.h"

#define TWO "opset 17; input x 1,2; input z 1,2; output y; "
#define ONE "opset 17; input x 1,2; output y; "

static const struct crossing {
  const char *text, *method;
  float x[8], z[8], R[8], want[8], want_z[8]; /* R: of y */
} crossings[] = {
    /* sums */
    {TWO "y = Add(x, z)", "lrp-0", {1, 2}, {3, -1}, {8, 5}, {2, 10}, {6, -5}},
    {TWO "y = Add(x, z)", "lrp-0,stabilizer=1", {1, 2}, {3, -1}, {10, 6}, {2, 6}, {6, -3}},
    {TWO "y = Add(x, z)", "lrp-0,stabilizer=1", {1, 2}, {-1, -1}, {8, 4}, {8, 4}, {-8, -2}},
    {TWO "y = Add(x, z)", "lrp-0", {1, 2}, {-1, -1}, {8, 4}, {0, 8}, {0, -4}},
    {ONE "const w 2,1 = 1 -1; y = MatMul(x, w)", "lrp-epsilon,epsilon=2", {3, 3}, {0}, {8},
     {12, -12}, {0}},
    {TWO "y = Sub(x, z)", "lrp-0", {3, 1}, {1, -1}, {4, 6}, {6, 3}, {-2, 3}},
    {TWO "y = Sum(x, z, x)", "lrp-0", {1, 1}, {2, -4}, {4, 6}, {2, -6}, {2, 12}},
    {ONE "y = Add(x, x)", "lrp-0", {1, -2}, {0}, {4, 8}, {4, 8}, {0}},
    {ONE "h = Add(x, x); y = Add(h, x)", "lrp-0", {1, -2}, {0}, {4, 8}, {4, 8}, {0}},
    {ONE "y = Sub(x, x)", "lrp-0", {1, -2}, {0}, {4, 8}, {0, 0}, {0}},
    {ONE "const c 2 = 1 -1; y = Add(x, c)", "lrp-0", {1, 3}, {0}, {4, 8}, {2, 12}, {0}},
    {ONE "const c 2 = 1 -1; y = Add(x, c)", "lrp-0,bias=zero", {1, 3}, {0}, {4, 8}, {4, 8}, {0}},
    {ONE "const c 2 = 1 1; y = Sub(c, x)", "lrp-0", {2, 3}, {0}, {4, 8}, {8, 12}, {0}},
    {ONE "const c 2 = 2 -3; h = Mul(x, c); y = Div(h, d); const d = 7", "lrp-0", {1, 3}, {0},
     {4, 8}, {4, 8}, {0}},
    /* products and quotients of activations */
    {TWO "y = Mul(x, z)", "lrp-0", {1, 2}, {3, 4}, {4, 8}, {2, 4}, {2, 4}},
    {ONE "y = Mul(x, x)", "lrp-0", {1, 2}, {0}, {4, 8}, {4, 8}, {0}},
    {TWO "y = Mul(x, z)", "lrp-0,mul=value", {1, 2}, {3, 4}, {4, 8}, {4, 8}, {0, 0}},
    {TWO "g = Sigmoid(z); y = Mul(x, g)", "lrp-0", {1, 2}, {3, 4}, {4, 8}, {4, 8}, {0, 0}},
    {TWO "g = Sigmoid(z); y = Mul(g, x)", "lrp-0", {1, 2}, {3, 4}, {4, 8}, {4, 8}, {0, 0}},
    {TWO "g = HardSigmoid(z); y = Mul(g, x)", "lrp-0", {1, 2}, {3, 4}, {4, 8}, {4, 8}, {0, 0}},
    {TWO "g = Softmax(z); y = Mul(g, x)", "lrp-0", {1, 2}, {3, 4}, {4, 8}, {4, 8}, {0, 0}},
    {TWO "g = Tanh(z); y = Mul(g, x)", "lrp-0", {1, 2}, {3, 4}, {4, 8}, {4, 8}, {0, 0}},
    {TWO "f = Tanh(x); g = Sigmoid(z); y = Mul(f, g)", "lrp-0", {1, 2}, {3, 4}, {4, 8}, {4, 8},
     {0, 0}},
    {TWO "f = Sigmoid(x); g = Sigmoid(z); y = Mul(f, g)", "lrp-0", {1, 2}, {3, 4}, {4, 8}, {2, 4},
     {2, 4}},
    {TWO "g = Sigmoid(z); y = Mul(x, g)", "lrp-0,mul=uniform", {1, 2}, {3, 4}, {4, 8}, {2, 4},
     {2, 4}},
    {TWO "f = Sigmoid(z); g = Transpose(f) perm=[0,1]; y = Mul(x, g)", "lrp-0", {1, 2}, {3, 4},
     {4, 8}, {4, 8}, {0, 0}},
    {TWO "y = Div(x, z)", "lrp-0", {1, 2}, {3, 4}, {4, 8}, {4, 8}, {0, 0}},
    {TWO "const k i64 2 = 2 1; const l i64 2 = 1 2; const m i64 2 = 1 1; a = Reshape(x, l);"
         "b = Reshape(z, k); y = MatMul(a, b)", "lrp-0", {1, 2}, {3, 4}, {11}, {1.5f, 4},
     {1.5f, 4}},
    {TWO "const k i64 2 = 2 1; a = Softmax(x); b = Reshape(z, k); y = MatMul(a, b)",
     "lrp-0,matmul=value", {1, 1}, {3, 5}, {8}, {0, 0}, {3, 5}},
    /* linear maps with parameters: no shift, whatever the bias */
    {"opset 13; input x 1,1,2; output y; const s 3 = 1 1 2; y = Resize(x,, s) mode='linear'",
     "lrp-0,bias=zero", {1, 3}, {0}, {2, 3, 5, 6}, {4, 12}, {0}},
    {"opset 23; input x 1,1,1,2; output y; const c 1,1,1 = 0.6; const s 1,1,1 = 0.8;"
     "y = RotaryEmbedding(x, c, s)", "lrp-0,bias=zero", {1, 2}, {0}, {2, 2}, {-0.4f, 4.4f}, {0}},
    {"opset 13; input x 1,2; output y; const t i64 1 = 1;"
     "y = NegativeLogLikelihoodLoss(x, t) reduction='none'", "lrp-0", {-1, -2}, {0}, {4}, {0, 4},
     {0}},
    /* what comes out of a comparison has no relevance: a constant */
#define MASK TWO "const k = 0; g = Greater(z, k); m = Cast(g) to=1; "
    {MASK "y = Mul(m, x)", "lrp-0", {1, 2}, {3, -4}, {4, 8}, {4, 8}, {0, 0}},
    {MASK "y = Mul(x, m)", "lrp-0,mul=uniform", {1, 2}, {3, -4}, {4, 8}, {4, 8}, {0, 0}},
    {MASK "y = Mul(x, m)", "lrp-0,rewrite=off", {1, 2}, {3, -4}, {4, 8}, {4, 8}, {0, 0}},
    {MASK "y = Add(x, m)", "lrp-0", {1, 3}, {3, -4}, {4, 8}, {2, 8}, {0, 0}},
    {MASK "y = Add(x, m)", "lrp-0,bias=zero", {1, 3}, {3, -4}, {4, 8}, {4, 8}, {0, 0}},
    {MASK "const l i64 2 = 2 1; c = Reshape(m, l); y = MatMul(x, c)", "lrp-0", {1, 3}, {3, 4}, {8},
     {2, 6}, {0, 0}},
    {MASK "y = Einsum(x, m) equation='ij,ij->i'", "lrp-0", {1, 3}, {3, 4}, {8}, {2, 6}, {0, 0}},
    /* recurrent: z = 2 x + 3 h + 1, from h = 1 */
    {"opset 14; input x 1,1,1; input z 1,1,1; output y; const w 1,1,1 = 2; const r 1,1,1 = 3;"
     "const b 1,2 = 1 0; l = RNN(x, w, r, b,, z) activations=['Relu']; y = Squeeze(l)", "lrp-0",
     {2}, {1}, {16}, {8}, {6}},
    {"opset 14; input x 1,1,1; input z 1,1,1; output y; const w 1,1,1 = 2; const r 1,1,1 = 3;"
     "const b 1,2 = 1 0; l = RNN(x, w, r, b,, z) activations=['Relu']; y = Squeeze(l)",
     "lrp-0,bias=zero", {2}, {1}, {14}, {8}, {6}},
    /* activations */
    {ONE "y = Relu(x)", "lrp-0", {-1, 3}, {0}, {4, 8}, {4, 8}, {0}},
    {ONE "y = Relu(x)", "lrp-0,activation=gradient", {-1, 3}, {0}, {4, 8}, {0, 8}, {0}},
    {ONE "y = Gelu(x)", "lrp-0", {-1, 3}, {0}, {4, 8}, {4, 8}, {0}},
    {ONE "s = Sigmoid(x); y = Mul(x, s)", "lrp-0", {-1, 3}, {0}, {4, 8}, {4, 8}, {0}},
    {ONE "const a = 3; const b = 6; const n = 0; p = Add(x, a); q = Clip(p, n, b); r = Mul(x, q);"
         "y = Div(r, b)", "lrp-0", {-1, 2}, {0}, {4, 8}, {4, 8}, {0}},
    {ONE "const a = 3; const b = 6; const n = 0; p = Add(x, a); q = Clip(p, n, b); r = Mul(x, q);"
         "y = Div(r, b)", "lrp-0,activation=gradient", {-1, 2}, {0}, {6, 12}, {1, 14}, {0}},
    /* pooling and reductions */
    {"opset 13; input x 1,1,1,4; output y; y = AveragePool(x) kernel_shape=[1,2] strides=[1,2]",
     "lrp-0", {1, 3, -1, 3}, {0}, {8, 4}, {2, 6, -2, 6}, {0}},
    {"opset 13; input x 1,1,1,4; output y; y = GlobalAveragePool(x)", "lrp-0", {1, 3, -1, 5}, {0},
     {8}, {1, 3, -1, 5}, {0}},
    {ONE "y = ReduceSum(x)", "lrp-0", {1, 3}, {0}, {8}, {2, 6}, {0}},
    {"opset 13; input x 1,1,1,4; output y; y = MaxPool(x) kernel_shape=[1,2] strides=[1,2]",
     "lrp-0", {1, 3, 2, 2}, {0}, {8, 4}, {0, 8, 4, 0}, {0}},
    {"opset 13; input x 1,1,1,4; output y; y = MaxPool(x) kernel_shape=[1,2] strides=[1,2]",
     "lrp-0,maxpool=proportional", {1, 3, 2, 2}, {0}, {8, 4}, {2, 6, 2, 2}, {0}},
    {"opset 13; input x 1,1,1,4; output y; y = MaxPool(x) kernel_shape=[1,2] strides=[1,2]",
     "lrp-0,maxpool=average", {1, 3, 2, 2}, {0}, {8, 4}, {4, 4, 2, 2}, {0}},
    {"opset 13; input x 1,1,1,4; output y; y = GlobalMaxPool(x)", "lrp-0", {1, 3, 3, 2}, {0}, {8},
     {0, 8, 0, 0}, {0}},
    {TWO "y = Max(x, z)", "lrp-0", {1, 4}, {3, 4}, {8, 4}, {0, 4}, {8, 0}},
    {TWO "y = Min(x, z)", "lrp-0", {1, 4}, {3, 2}, {8, 4}, {8, 0}, {0, 4}},
    {ONE "y = ReduceMin(x) axes=[1]", "lrp-0", {1, 3}, {0}, {8}, {8, 0}, {0}},
    /* softmax: x (R - p sum R) with p = 1/4, 3/4 */
    {ONE "y = Softmax(x)", "lrp-0,output=final", {0, 1.0986123f}, {0}, {4, 8}, {0, -1.0986123f},
     {0}},
    {ONE "y = Softmax(x)", "lrp-0,output=final,softmax=gradient", {0, 1.0986123f}, {0}, {4, 8},
     {-0.75f, 0.75f}, {0}},
    {ONE "y = Softmax(x)", "lrp-0,output=final,softmax=detach", {0, 1.0986123f}, {0}, {4, 8},
     {0, 0}, {0}},
    {ONE "y = Softmax(x)", "cp-lrp,output=final", {0, 1.0986123f}, {0}, {4, 8}, {0, 0}, {0}},
    {TWO "a = Concat(x, z) axis=1; const m 4 = 0 0 0 -inf; b = Add(a, m); c = Softmax(b);"
         "y = Mul(c, d); const d = 1", "lrp-0,output=final", {1, 1}, {1, 5}, {3, 6, 9, 2},
     {3 - 20.0f / 3, 6 - 20.0f / 3}, {9 - 20.0f / 3, 0}},
    /* normalisation. y = w (x - m) / s + b with m = 2, s = 1 */
    {ONE "const w 2 = 2 1; const b 2 = 1 0; y = LayerNormalization(x, w, b) epsilon=0.0", "lrp-0",
     {1, 3}, {0}, {3, 5}, {-5.5f, 16.5f}, {0}},
    {ONE "const w 2 = 2 1; const b 2 = 1 0; y = LayerNormalization(x, w, b) epsilon=0.0",
     "lrp-0,bias=zero", {1, 3}, {0}, {3, 5}, {-4, 12}, {0}},
    {ONE "const w 2 = 2 1; const b 2 = 1 0; y = LayerNormalization(x, w, b) epsilon=0.0",
     "lrp-0,layernorm=pass", {1, 3}, {0}, {3, 5}, {3, 5}, {0}},
    {"opset 13; input x 1,2,2; output y; const w 2 = 2 1; const b 2 = 1 0;"
     "y = InstanceNormalization(x, w, b) epsilon=0.0", "lrp-0",
     {1, 3, 1, 3}, {0}, {3, 6, 3, 5}, {-5, 15, -4, 12}, {0}},
    {ONE "y = LpNormalization(x)", "lrp-0", {3, 4}, {0}, {3, 5}, {3, 5}, {0}},
    {"opset 13; input x 1,2,1; output y; y = LRN(x) size=3", "lrp-0", {3, 4}, {0}, {3, 5}, {3, 5},
     {0}},
    {ONE "const s 2 = 2 1; const t 2 = 1 0; const m 2 = 0 1; const v 2 = 1 1;"
         "y = BatchNormalization(x, s, t, m, v) epsilon=0.0", "lrp-0", {1, 3}, {0}, {3, 8}, {2, 12},
     {0}},
    {ONE "const s 2 = 2 1; const t 2 = 1 0; const m 2 = 0 1; const v 2 = 1 1;"
         "y = BatchNormalization(x, s, t, m, v) epsilon=0.0", "lrp-0,bias=zero", {1, 3}, {0},
     {3, 8}, {3, 8}, {0}},
    {ONE "const s 2 = 2 1; const t 2 = 1 0; const m 2 = 0 1; const v 2 = 1 1;"
         "y = BatchNormalization(x, s, t, m, v) epsilon=0.0", "lrp-0,batchnorm=pass", {1, 3}, {0},
     {3, 8}, {3, 8}, {0}},
    /* routed */
    {TWO "y = Concat(z, x) axis=1", "lrp-0", {1, 3}, {5, 6}, {1, 2, 3, 4}, {3, 4}, {1, 2}},
    {ONE "const k i64 3 = 1 0 1; y = Gather(x, k) axis=1", "lrp-0", {1, 3}, {0}, {1, 2, 3}, {2, 4},
     {0}},
    {ONE "const k i64 2 = 3 2; y = Expand(x, k)", "lrp-0", {1, 3}, {0}, {1, 2, 3, 4, 5, 6}, {9, 12},
     {0}},
    {ONE "const k i64 4 = 0 1 0 2; y = Pad(x, k)", "lrp-0", {1, 3}, {0}, {9, 1, 2, 9, 9}, {1, 2},
     {0}},
    {ONE "const a i64 1 = 1; const b i64 1 = 2; y = Slice(x, a, b, a)", "lrp-0", {1, 3}, {0}, {7},
     {0, 7}, {0}},
    {ONE "y = Transpose(x)", "lrp-0", {1, 3}, {0}, {7, 8}, {7, 8}, {0}},
    /* backward passes of gradient methods: h = (x0 + x1, x1 - x0), f = w relu(h) */
#define HAND(w) ONE "const a 2,2 = 1 -1 1 1; const w 2,1 = " w "; h = Gemm(x, a); r = Relu(h); \
      y = Gemm(r, w)"
    {HAND("-1 1"), "gradient", {2, -1}, {0}, {1}, {-1, -1}, {0}},
    {HAND("-1 1"), "guided-backprop", {2, -1}, {0}, {1}, {0, 0}, {0}},
    {HAND("-1 1"), "deconvnet", {2, -1}, {0}, {1}, {-1, 1}, {0}},
    {HAND("1 1"), "guided-backprop", {2, -1}, {0}, {1}, {1, 1}, {0}},
    {HAND("1 1"), "deconvnet", {2, -1}, {0}, {1}, {0, 2}, {0}},
    {HAND("1 1"), "deconvnet", {2, -1}, {0}, {-3}, {0, 0}, {0}},
    {ONE "const l = 0; const h = 2; y = Clip(x, l, h)", "guided-backprop", {1, 3}, {0}, {4, 5},
     {4, 0}, {0}},
    {ONE "const l = 0; const h = 2; y = Clip(x, l, h)", "guided-backprop", {1, -3}, {0}, {-4, 5},
     {0, 0}, {0}},
    {ONE "const l = 0; const h = 2; y = Clip(x, l, h)", "deconvnet", {1, 3}, {0}, {4, 5}, {4, 5},
     {0}},
    {ONE "const l = -1; const h = 2; y = Clip(x, l, h)", "guided-backprop", {1, 3}, {0}, {-4, 5},
     {-4, 0}, {0}},
    {ONE "y = LeakyRelu(x) alpha=0.5", "guided-backprop", {1, -3}, {0}, {-4, 5}, {-4, 2.5f}, {0}},
    {ONE "y = Relu(x)", "gradient", {0, 3}, {0}, {4, 5}, {0, 5}, {0}},
    {ONE "y = Abs(x)", "gradient", {0, -3}, {0}, {4, 5}, {0, -5}, {0}},
    {ONE "const l = 1; const h = 3; y = Clip(x, l, h)", "gradient", {1, 3}, {0}, {4, 5}, {0, 0},
     {0}},
    {ONE "y = Mul(x, x)", "gradient-x-input,root=1", {2, 3}, {0}, {1, 1}, {4, 12}, {0}},
    {ONE "y = Mul(x, x)", "saliency", {-2, 3}, {0}, {1, 1}, {4, 6}, {0}},
    {ONE "y = Mul(x, x)", "sensitivity", {-2, 3}, {0}, {1, 1}, {16, 36}, {0}},
};
enum { CROSSINGS = sizeof crossings / sizeof *crossings };

static xai_tensor *input_from(const net *n, int k, const float *data) {
  if (k >= n->g->n_inputs) return NULL;
  const xai__shape *s = &n->g->values[n->g->inputs[k]].shape;
  return tensor_of(XAI_F32, s->rank, s->d, data);
}

START_TEST(relevance_crosses_as_by_hand) {
  const struct crossing *c = &crossings[_i];
  if (!XAI_LRP && strstr(c->method, "lrp")) return;
  net n = net_open(c->text, 1);
  xai_tensor *x = input_from(&n, 0, c->x), *z = input_from(&n, 1, c->z);
  xai_result *r = explain(&n, (ask){.x = {x, z}});
  xai_tensor *seed = like(found(r, "output/y"), c->R);
  xai_result_free(r);
  r = explain(&n, (ask){c->method, .x = {x, z}, .seed = seed});
  int64_t count;
  double top = fmax(largest(c->want, 8), fmax(largest(c->want_z, 8), 1));
  for (int k = 0; k < n.g->n_inputs; k++) {
    const float *want = k ? c->want_z : c->want;
    const float *R = values(r, k ? "relevance/z" : "relevance/x", &count);
    for (int64_t i = 0; i < count; i++)
      ck_assert_msg(fabs((double)(R[i] - want[i])) <= 1e-5 * top,
                    "%s\n%s: input %d, element %lld: %g, not %g", c->text, c->method, k,
                    (long long)i, (double)R[i], (double)want[i]);
  }
  xai_result_free(r);
  xai_tensor_free(seed);
  xai_tensor_free(x);
  xai_tensor_free(z);
  net_close(&n);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("crossings");
  TCase *tc = tcase_create("by hand");
  tcase_add_loop_test(tc, relevance_crosses_as_by_hand, 0, CROSSINGS);
  suite_add_tcase(suite, tc);
  return run_suite(suite);
}

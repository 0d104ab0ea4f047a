/* Writes small models for the fuzzer to start from: seeds FOLDER. */
#include <stdio.h>

#include "../model_text.h"

static const char *const models[] = {
    "opset 13; input x N,1,6,6; const w 2,1,3,3 = 0.5 -1; const b 2 = 1 -1; c = Conv(x, w, b)"
    "pads=[1,1,1,1]; r = Relu(c); p = MaxPool(r) kernel_shape=[2,2] strides=[2,2];"
    "const s i64 2 = 0 -1; f = Reshape(p, s); const v 3,18 = 1 2 3; y = Gemm(f, v) transB=1;"
    "q = Softmax(y) axis=-1; output q",
    "opset 9; input x 1,4,5; const w 6,2,3 = 1; c = Conv(x, w) group=2 auto_pad='SAME_UPPER'"
    "strides=[2] dilations=[1]; const s 6 = 1; b = BatchNormalization(c, s, s, s, s) epsilon=0.1;"
    "g = GlobalAveragePool(b); f = Flatten(g); l = LogSoftmax(f); output l",
    "opset 11; input x 1,2,3,3; const w 2,3,2,2 = 1; c = ConvTranspose(x, w) strides=[2,2]"
    "output_padding=[1,1]; a = AveragePool(c) kernel_shape=[3,3] ceil_mode=1 strides=[2,2]"
    "count_include_pad=1 pads=[1,1,1,1]; output a",
    "opset 13; input x 2,3; input z 3,4; m = MatMul(x, z); t = Transpose(m) perm=[1,0];"
    "u = Concat(t, t) axis=0; const p i64 2 = 3 5; a, b = Split(u, p) axis=0; n = Neg(b); output a;"
    "output n",
    "opset 17; input x 4,6; const b i64 1 = 1; const e i64 1 = 100; const a i64 1 = 1;"
    "const s i64 1 = 2; y = Slice(x, b, e, a, s); const p i64 4 = 1 1 1 1; z = Pad(y, p);"
    "c = Clip(z, f); const f = 0.5; output c",
    "opset 13; input x N,3; h = Shape(x); const z i64 1 = 0; g = Gather(h, z);"
    "const m i64 1 = -1; s = Concat(g, m) axis=0; y = Reshape(x, s); output y",
    "opset 13; input x 2,3; const a i64 1 = 1; s = ReduceSum(x, a) keepdims=1; d = Div(x, s);"
    "m = ReduceMean(d) axes=[0]; e = Sub(d, m); q = Mul(e, e); r = Sqrt(q); k = Exp(r); output k",
    "opset 13; const n i64 2 = 2 3; const v = 0.5; const w 1 = 2; c = ConstantOfShape(n) value=$w;"
    "const s i64 3 = 2 2 3; e = Expand(c, s); i = Cast(e) to=7; d = Constant() value=$v;"
    "input x 2,3; y = Add(x, e); u = Unsqueeze(y, o); const o i64 1 = 0; t = Squeeze(u, o);"
    "a = Max(t, d); z = Pow(a, d); output z; output i",
    "opset 12; input x f16 1,4; l = LeakyRelu(x) alpha=0.1; s = Sigmoid(l); t = Tanh(s);"
    "d, k = Dropout(t); i = Identity(d); p = Elu(i) alpha=1.5; a, b = Split(p) axis=1; output a;"
    "output b",
    "opset 13; input x u8 4; f = Cast(x) to=1; const i i64 2,2 = 0 3 1 -1; g = Gather(f, i);"
    "const r i64 2 = 1 2; t = Tile(g, r); m = ArgMax(t) axis=1; output t; output m",
};

int main(int argc, char **argv) {
  for (size_t i = 0; argc == 2 && i < sizeof models / sizeof *models; i++) {
    char path[4096];
    pb model = model_text(models[i]);
    snprintf(path, sizeof path, "%s/seed_%zu.onnx", argv[1], i);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(model.p, 1, model.n, f) != model.n || fclose(f)) return EXIT_FAILURE;
    pb_free(&model);
  }
  return argc == 2 ? EXIT_SUCCESS : EXIT_FAILURE;
}

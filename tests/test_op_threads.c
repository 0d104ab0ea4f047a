/* Operators large enough to be split: forward, vjp and own relevance give the same bits for any
 * number of threads, and see no data race (run under the thread sanitizer). */
#include "op_operand.h"

#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
static const op_case cases[] = {
    {"Conv", 11, "pads=1,1,1,1", "f:2x8x32x32 c:16x8x3x3 c:16"},
    {"Conv", 11, "group=16;pads=1,1,1,1", "f:2x16x32x32 c:16x1x3x3"},
    {"ConvTranspose", 11, "strides=2,2", "f:2x8x20x20 c:8x8x3x3 c:8"},
    {"Gemm", 13, "transB=1;alpha=2;beta=0.5", "f:70x300 f:90x300 f:90"},
    {"MatMul", 13, "", "f:2x3x40x50 f:3x50x60"},
    {"MatMul", 13, "", "f:4x50x64 f:64x30"},
    {"MaxPool", 12, "kernel_shape=3,3;strides=2,2;pads=1,1,1,1", "f:4x16x40x40"},
    {"AveragePool", 12, "kernel_shape=3,3;pads=1,1,1,1", "f:4x16x40x40"},
    {"LpPool", 18, "kernel_shape=3,3", "f:2x8x40x40"},
    {"GlobalAveragePool", 1, "", "f:8x64x16x16"},
    {"GlobalMaxPool", 1, "", "f:8x64x16x16"},
    {"BatchNormalization", 15, "", "f:4x16x40x40 c:16 c:16 c:16 q:16"},
    {"Softmax", 13, "", "f:600x100"},
    {"Softmax", 13, "axis=1", "f:4x20x700"},
    {"LogSoftmax", 13, "", "f:600x100"},
    {"LayerNormalization", 17, "", "f:300x192 c:192 c:192", .n_out = 3},
    {"InstanceNormalization", 6, "", "f:4x32x25x25 c:32 c:32"},
    {"GroupNormalization", 21, "num_groups=8", "f:4x32x25x25 c:32 c:32"},
    {"LRN", 13, "size=5", "f:2x24x40x40"},
    {"LpNormalization", 22, "axis=1", "f:20x100x30"},
    {"Relu", 14, "", "f:4x16x40x40"},
    {"Gelu", 20, "", "f:300x192"},
    {"PRelu", 16, "", "f:4x16x40x40 f:16x1x1"},
    {"Add", 14, "", "f:4x16x40x40 f:16x1x1"},
    {"Mul", 14, "", "f:4x16x40x40 f:4x1x40x40"},
    {"ReduceMean", 13, "axes=1", "f:40x50x60"},
    {"ReduceMean", 13, "axes=-1", "f:300x192"},
    {"ReduceMax", 13, "axes=0", "f:40x50x60"},
    {"Transpose", 13, "perm=0,2,3,1", "f:4x16x40x40"},
    {"Concat", 13, "axis=1", "f:4x8x40x40 f:4x9x40x40"},
};
enum { CASES = sizeof cases / sizeof *cases };

/* Everything a row computes, one after the other. */
typedef struct record {
  float *data;
  int64_t n;
} record;

static void note(record *r, const xai__view *v) {
  if (v->shape.rank < 0 || !v->data || v->dtype != XAI_F32) return;
  int64_t n = xai__count(&v->shape);
  r->data = realloc(r->data, (size_t)(r->n + n) * sizeof(float));
  ck_assert_ptr_nonnull(r->data);
  memcpy(r->data + r->n, v->data, (size_t)n * sizeof(float));
  r->n += n;
}

static void compute(const op_case *c, int threads, record *r) {
  static const bool no_softmax[MAX_OPERANDS];
  static const xai__own_options options = {1e-6f, false, "lrp", "half", "proportional", no_softmax,
                                           NULL};
  xai__engine *engine;
  xai_error err;
  fixture f;
  xai__view gout[MAX_OPERANDS], gin[MAX_OPERANDS];
  random_state = 1;
  ck_assert_int_eq(xai__engine_create(NULL, threads, 0, &engine, &err), XAI_OK);
  set_up(&f, c, xai__op_find(NULL, c->type), engine);
  int status = plan(&f);
  if (!status) status = run(&f);
  ck_assert_msg(!status, "%s: %s", c->type, f.err.text);
  for (int k = 0; k < f.node.n_out; k++) {
    note(r, &f.out[k]);
    gout[k] = float_like(&f.out[k], 0);
    fill_grid(xai__f(&gout[k]), xai__count(&gout[k].shape), -1, 1);
  }
  for (int relevance = 0; relevance < 2; relevance++) {
    if (relevance && !f.node.op->relevance) continue;
    for (int i = 0; i < f.node.n_in; i++) {
      gin[i] = f.view[i];
      gin[i].data = NULL;
      if (f.in[i].kind == 'f') gin[i] = float_like(&f.view[i], 0);
    }
    status = relevance ? f.node.op->relevance(&f.call, &options, gout, gin)
                       : f.node.op->vjp(&f.call, gout, gin);
    ck_assert_msg(!status, "%s: %s", c->type, f.err.text);
    for (int i = 0; i < f.node.n_in; i++) note(r, &gin[i]);
  }
  release(0);
  xai__engine_free(engine);
}

START_TEST(bits_do_not_depend_on_threads) {
  static const int threads[] = {2, 3, 7};
  record one = {0};
  max_elements = 1 << 22;
  compute(&cases[_i], 1, &one);
  for (size_t i = 0; i < sizeof threads / sizeof *threads; i++) {
    record many = {0};
    compute(&cases[_i], threads[i], &many);
    ck_assert_int_eq(one.n, many.n);
    ck_assert_msg(!memcmp(one.data, many.data, (size_t)one.n * sizeof(float)),
                  "%s with %d threads differs from one", cases[_i].type, threads[i]);
    free(many.data);
  }
  free(one.data);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("op_threads");
  TCase *tc = tcase_create("rows");
  tcase_add_loop_test(tc, bits_do_not_depend_on_threads, 0, CASES);
  suite_add_tcase(suite, tc);
  SRunner *runner = srunner_create(suite);
  srunner_run_all(runner, CK_ENV);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed ? 1 : 0;
}

/* Quantised layers: what they compute, against integer arithmetic written out here, and how they are
 * explained: as the layer of real numbers that they stand for. */
#include "net.h"

static const float *run_one(const net *n, xai_tensor *x, xai_result **r) {
  *r = explain(n, (ask){.x = {x}});
  return NULL;
}

static int saturate(double v, int low, int high) {
  return (int)fmin(fmax(nearbyint(v), low), high);
}

/* ---- values ---- */

START_TEST(qlinear_conv_counts_in_integers) {
  net n = net_open("opset 10; input x u8 1,1,3,3; const xs = 0.5; const xz u8 = 3; const w i8 2,1,2,2 = 1 -2 3 4 -5 6 7 -8;"
                   "const ws 2 = 0.25 0.125; const wz i8 2 = 0 0; const ys = 0.75; const yz u8 = 10;"
                   "const b i32 2 = 5 -7; y = QLinearConv(x, xs, xz, w, ws, wz, ys, yz, b); output y u8 1,2,2,2", 1);
  static const unsigned char x[9] = {0, 9, 3, 200, 17, 255, 4, 3, 90};
  static const int w[2][4] = {{1, -2, 3, 4}, {-5, 6, 7, -8}}, b[2] = {5, -7};
  static const double ws[2] = {0.25, 0.125};
  xai_tensor *t = tensor_of(XAI_U8, 4, (const int64_t[]){1, 1, 3, 3}, x);
  xai_result *r;
  run_one(&n, t, &r);
  const xai_tensor *y = found(r, "output/y");
  ck_assert_int_eq(xai_tensor_dtype(y), XAI_U8);
  const unsigned char *got = xai_tensor_data(y);
  for (int o = 0; o < 2; o++)
    for (int i = 0; i < 4; i++) {
      int sum = b[o];
      for (int k = 0; k < 4; k++) sum += w[o][k] * (x[(i / 2 + k / 2) * 3 + i % 2 + k % 2] - 3);
      ck_assert_int_eq(got[o * 4 + i], saturate(sum * (0.5 * ws[o] / 0.75) + 10, 0, 255));
    }
  xai_result_free(r);
  xai_tensor_free(t);
  net_close(&n);
}
END_TEST

/* a: rows of three, its zero point one for all or one a row; b's one for all or one a column. */
static const struct matmul_row {
  const char *text;
  int za[2], zb[2];
  double sa[2], sb[2], sy; /* sy 0: the sums themselves */
} matmul_rows[] = {
    {"const za u8 = 7; const zb i8 = -2; y = MatMulInteger(a, b, za, zb); output y i32 2,2",
     {7, 7}, {-2, -2}, {1, 1}, {1, 1}, 0},
    {"y = MatMulInteger(a, b); output y i32 2,2", {0, 0}, {0, 0}, {1, 1}, {1, 1}, 0},
    {"const za u8 2 = 7 9; const zb i8 2 = -2 5; y = MatMulInteger(a, b, za, zb); output y i32 2,2",
     {7, 9}, {-2, 5}, {1, 1}, {1, 1}, 0},
    {"const sa = 0.5; const za u8 = 7; const sb = 0.25; const zb i8 = -2; const sy = 4; const zy u8 = 100;"
     "y = QLinearMatMul(a, sa, za, b, sb, zb, sy, zy); output y u8 2,2",
     {7, 7}, {-2, -2}, {0.5, 0.5}, {0.25, 0.25}, 4},
    {"const sa = 0.5; const za u8 = 7; const sb 2 = 0.25 0.5; const zb i8 2 = -2 1; const sy = 4; const zy u8 = 100;"
     "y = QLinearMatMul(a, sa, za, b, sb, zb, sy, zy); output y u8 2,2",
     {7, 7}, {-2, 1}, {0.5, 0.5}, {0.25, 0.5}, 4},
    {"const sa 2 = 0.5 1; const za u8 2 = 7 8; const sb 2 = 0.25 0.5; const zb i8 2 = -2 1; const sy = 4; const zy u8 = 100;"
     "y = QLinearMatMul(a, sa, za, b, sb, zb, sy, zy); output y u8 2,2",
     {7, 8}, {-2, 1}, {0.5, 1}, {0.25, 0.5}, 4},
};

START_TEST(matrix_products_count_in_integers) {
  const struct matmul_row *m = &matmul_rows[_i];
  char text[1024];
  snprintf(text, sizeof text, "opset 10; input a u8 2,3; const b i8 3,2 = 1 -2 3 -4 5 6; %s", m->text);
  net n = net_open(text, 1);
  static const unsigned char a[6] = {1, 200, 30, 44, 5, 255};
  static const int b[6] = {1, -2, 3, -4, 5, 6};
  xai_tensor *t = tensor_of(XAI_U8, 2, (const int64_t[]){2, 3}, a);
  xai_result *r;
  run_one(&n, t, &r);
  const xai_tensor *y = found(r, "output/y");
  ck_assert_int_eq(xai_tensor_dtype(y), m->sy != 0 ? XAI_U8 : XAI_I32);
  for (int i = 0; i < 4; i++) {
    int sum = 0, row = i / 2, col = i % 2;
    for (int k = 0; k < 3; k++) sum += (a[row * 3 + k] - m->za[row]) * (b[k * 2 + col] - m->zb[col]);
    if (m->sy != 0)
      ck_assert_int_eq(((const unsigned char *)xai_tensor_data(y))[i],
                       saturate(sum * (m->sa[row] * m->sb[col] / m->sy) + 100, 0, 255));
    else
      ck_assert_int_eq(((const int32_t *)xai_tensor_data(y))[i], sum);
  }
  xai_result_free(r);
  xai_tensor_free(t);
  net_close(&n);
}
END_TEST

START_TEST(conv_integer_pads_with_the_zero_point) {
  net n = net_open("opset 10; input x u8 1,1,2,2; const w u8 1,1,2,2 = 1 2 3 4; const xz u8 = 5; const wz u8 = 1;"
                   "y = ConvInteger(x, w, xz, wz) pads=[1,1,0,0]; output y i32 1,1,2,2", 1);
  xai_tensor *t = tensor_of(XAI_U8, 4, (const int64_t[]){1, 1, 2, 2}, (const unsigned char[]){9, 8, 7, 6});
  xai_result *r;
  run_one(&n, t, &r);
  const int32_t *y = xai_tensor_data(found(r, "output/y")), want[] = {12, 17, 10, 10};
  for (int i = 0; i < 4; i++) ck_assert_int_eq(y[i], want[i]);
  xai_result_free(r);
  xai_tensor_free(t);
  net_close(&n);
}
END_TEST

START_TEST(the_type_of_the_zero_point_is_the_results) {
  static const struct { const char *type; int low, high; } types[] = {
      {"u8", 0, 255}, {"i8", -128, 127}, {"u16", 0, 65535}, {"i16", -32768, 32767}};
  char text[256];
  snprintf(text, sizeof text, "opset 21; input x 1,2; const s = 1; const z %s = 2; q = QuantizeLinear(x, s, z);"
           "y = DequantizeLinear(q, s, z); output y", types[_i].type);
  net n = net_open(text, 1);
  xai_tensor *x = FLOATS(2, -1e6f, 1e6f);
  xai_result *r;
  run_one(&n, x, &r);
  const float *y = values(r, "output/y", NULL);
  ck_assert_float_eq(y[0], (float)(types[_i].low - 2));
  ck_assert_float_eq(y[1], (float)(types[_i].high - 2));
  xai_result_free(r);
  xai_tensor_free(x);
  net_close(&n);
}
END_TEST

/* ---- explanations: those of the network of real numbers, to the width of a step ---- */

#define PLAIN "input x 1,4; const w 4,3 = 1 -2 3 -4 5 6 -7 8 2 -3 1 4; const b 3 = 1 -2 3; const v 3,2 = 2 -1 -3 4 5 1;"
static const char *const twins[][2] = {
    {"opset 13;" PLAIN "z = Gemm(x, w, b); h = Relu(z); y = MatMul(h, v); output y",
     "opset 13;" PLAIN "const s = 0.001; const z16 i16 = 3; q = QuantizeLinear(x, s, z16); d = DequantizeLinear(q, s, z16);"
     "z = Gemm(d, w, b); h = Relu(z); const t = 0.01; q2 = QuantizeLinear(h, t, z16); d2 = DequantizeLinear(q2, t, z16);"
     "y = MatMul(d2, v); output y"},
    {"opset 13;" PLAIN "h = MatMul(x, w); y = MatMul(h, v); output y",
     "opset 13;" PLAIN "const s = 0.001; const z16 i16 = 3; q = QuantizeLinear(x, s, z16); const w16 i16 4,3 = 1 -2 3 -4 5 6 -7 8 2 -3 1 4;"
     "const one = 1; const t = 0.01; const zero i16 = 0; m = QLinearMatMul(q, s, z16, w16, one, zero, t, z16);"
     "h = DequantizeLinear(m, t, z16); y = MatMul(h, v); output y"},
    {"opset 13;" PLAIN "h = MatMul(x, w); y = MatMul(h, v); output y",
     "opset 13;" PLAIN "q, s, z = DynamicQuantizeLinear(x); const w8 i8 4,3 = 1 -2 3 -4 5 6 -7 8 2 -3 1 4;"
     "i = MatMulInteger(q, w8, z); f = Cast(i) to=1; const ws = 1; sw = Mul(s, ws); h = Mul(f, sw); y = MatMul(h, v); output y"},
};
static const char *const methods[] = {"gradient", "gradient-x-input", "lrp-0", "lrp-z-plus", "lrp-epsilon"};
enum { TWINS = sizeof twins / sizeof *twins, METHODS = sizeof methods / sizeof *methods };

START_TEST(explained_as_the_network_it_stands_for) {
  net plain = net_open(twins[_i][0], 1), quantised = net_open(twins[_i][1], 1);
  xai_tensor *x = FLOATS(4, 0.8f, -0.4f, 0.2f, 0.6f);
  for (int k = 0; k < METHODS; k++) {
    if (!XAI_LRP && !strncmp(methods[k], "lrp", 3)) continue;
    expect_same(twins[_i][1], &quantised, (ask){methods[k], .x = {x}}, &plain, (ask){methods[k], .x = {x}},
                0.02);
  }
  xai_tensor_free(x);
  net_close(&plain);
  net_close(&quantised);
}
END_TEST

START_TEST(a_saturated_value_has_no_gradient) {
  net n = net_open("opset 13; input x 1,2; const s = 0.01; const z i8 = 0; q = QuantizeLinear(x, s, z);"
                   "d = DequantizeLinear(q, s, z); const w 2,1 = 3 5; y = MatMul(d, w); output y", 1);
  xai_tensor *x = FLOATS(2, 0.5f, 9);
  float *g = relevance(&n, (ask){"gradient", .x = {x}}, NULL);
  ck_assert_float_eq_tol(g[0], 3, 1e-5f);
  ck_assert_float_eq(g[1], 0);
  free(g);
  xai_tensor_free(x);
  net_close(&n);
}
END_TEST

/* ---- files that contradict themselves ---- */

static const struct { const char *text; int status; } broken[] = {
    {"opset 10; input x u8 1,1,3,3; const s = 1; const z u8 = 0; y = QLinearConv(x, s, z, s, s, z, s); output y", XAI_E_MODEL},
    {"opset 10; input x u8 1,1,3,3; const s = 1; const z u8 = 0; const w u8 1,1,2,2 = 1; const two 2 = 1;"
     "y = QLinearConv(x, s, z, w, two, z, s, z); output y", XAI_E_MODEL},
    {"opset 10; input a u8 2,3; y = MatMulInteger(a); output y", XAI_E_MODEL},
    {"opset 10; input a u8 2,3; const b u8 3,2 = 1; y = MatMulInteger(a, b) alpha=1; output y", XAI_E_UNSUPPORTED},
    {"opset 9; input a u8 2,3; const b u8 3,2 = 1; y = MatMulInteger(a, b); output y", XAI_E_UNSUPPORTED},
};

START_TEST(broken_files_are_refused) {
  pb model = model_text(broken[_i].text);
  xai_options o = {.struct_size = sizeof o};
  xai_graph *g;
  xai_session *s = NULL;
  int status = xai_graph_parse(model.p, model.n, &o, &g, &net_error);
  if (!status) status = xai_session_create(g, &o, &s, &net_error);
  if (!status) {
    net n = {g, s};
    const xai__graph_value *v = &g->values[g->inputs[0]];
    xai_tensor *x = tensor_of(v->dtype, v->shape.rank, v->shape.d, NULL);
    xai_result *r;
    status = ask_status(&n, (ask){.x = {x}}, &r, NULL, &net_error);
    xai_tensor_free(x);
  }
  ck_assert_msg(status == broken[_i].status, "%d: %s", status, net_error.text);
  xai_session_free(s);
  xai_graph_free(g);
  pb_free(&model);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("quantised");
  TCase *tc = tcase_create("quantised");
  tcase_add_test(tc, qlinear_conv_counts_in_integers);
  tcase_add_loop_test(tc, matrix_products_count_in_integers, 0, sizeof matmul_rows / sizeof *matmul_rows);
  tcase_add_test(tc, conv_integer_pads_with_the_zero_point);
  tcase_add_loop_test(tc, the_type_of_the_zero_point_is_the_results, 0, 4);
  tcase_add_loop_test(tc, explained_as_the_network_it_stands_for, 0, TWINS);
  tcase_add_test(tc, a_saturated_value_has_no_gradient);
  tcase_add_loop_test(tc, broken_files_are_refused, 0, sizeof broken / sizeof *broken);
  suite_add_tcase(suite, tc);
  return run_suite(suite);
}

/* Models that are wrong: each gets its status and a text that names what is wrong, wherever it is
 * found (loading, session, run), and nothing ever crashes or hangs. */
#include "model_check.h"

/* ---- wrong models, as text ---- */

static const struct {
  const char *model;
  int status;
  const char *text;
} wrong[] = {
    {"opset 13; input x 1,2; y = Relu(x); output y", XAI_OK, ""},
    /* the graph */
    {"opset 13; input x 2; output y", MODEL, "'y'"},
    {"opset 13; input x 2; y = Relu(x)", MODEL, "no output"},
    {"opset 13; input x 2; y = Add(x, q); output y", MODEL, "'q'"},
    {"opset 13; input x 2; y = Relu(x); y = Neg(x); output y", MODEL, "'y' is defined twice"},
    {"opset 13; input x 2; const y 2 = 1; y = Neg(x); output y", MODEL, "'y' is defined twice"},
    {"opset 13; input x 2; const c 2; const c 2; y = Add(x, c); output y", MODEL, "'c'"},
    {"opset 13; input x 2; input x 2; y = Relu(x); output y", MODEL, "'x'"},
    {"opset 13; input x 2; x = Neg(x); output x", MODEL, "'x'"},
    {"opset 13; input x 2; y = Add(x, z); z = Neg(y); output y", MODEL, "cycle"},
    {"opset 13; input x 2; y = Add(x, y); output y", MODEL, "cycle"},
    {"opset 13; input x str 2; y = Relu(x); output y", UNSUPPORTED, "'x': data type string"},
    {"opset 13; input x 1,1,1,1,1,1,1,1,1; y = Relu(x); output y", UNSUPPORTED, "'x'"},
    {"opset 13; input x -5; y = Relu(x); output y", XAI_OK, ""}, /* symbolic */
    /* operators */
    {"opset 13; input x 2; y = Frobnicate(x); output y", UNSUPPORTED, "Frobnicate"},
    {"opset 13; input x 2; y = com.example.Relu(x); output y", UNSUPPORTED, "com.example"},
    {"opset 13; input x 2; y = If(x); output y", MODEL, "no subgraph 'then_branch'"},
    {"opset 13; input x 2; y = (x); output y", MODEL, "n_a"},
    {"input x 2; y = Mod(x, x); output y", UNSUPPORTED, "opset 1)"},
    {"opset 5; input x 2; y = Mod(x, x); output y", UNSUPPORTED, "opset 5)"},
    {"opset 0; input x 2; y = Relu(x); output y", MODEL, "version 0"},
    {"opset -3; input x 2; y = Relu(x); output y", MODEL, "version -3"},
    {"opset 13; input x 2; y = Relu(); output y", MODEL, "n_a"},
    {"opset 13; input x 2; y = Relu(x, x); output y", MODEL, "n_a"},
    {"opset 13; input x 2; y, z = Relu(x); output y", MODEL, "n_a"},
    {"opset 13; input x 2; y = Add(, x); output y", MODEL, "n_a"},
    {"opset 13; input x 2; y = Dropout(, x); output y", MODEL, "n_a"},
    {"opset 13; input x 2; y = Identity(); output x", MODEL, "n_a"},
    {"opset 13; input x 2; y = Relu(x) frob=1; output y", UNSUPPORTED, "frob"},
    {"opset 13; input x 1,2; y = Softmax(x) axis=1.5; output y", MODEL, "axis"},
    {"opset 13; input x 1,2; y = Softmax(x) axis=[1]; output y", MODEL, "axis"},
    {"opset 13; input x 1,2; y = Softmax(x) axis='1'; output y", MODEL, "axis"},
    /* shapes */
    {"opset 13; input x 1,2; y = Softmax(x) axis=2; output y", MODEL, "axis 2"},
    {"opset 13; input x 2; const c 3; y = Add(x, c); output y", MODEL, "n_a"},
    {"opset 13; input x 1,3,8,8; const w 4,2,3,3; y = Conv(x, w); output y", MODEL, "n_a"},
    {"opset 13; input x 1,3,8,8; const w 4,3,3,3; y = Conv(x, w) kernel_shape=[5,5]; output y",
     MODEL, "n_a"},
    {"opset 13; input x 1,3,8,8; const w 4,3,3,3; const b 5; y = Conv(x, w, b); output y", MODEL,
     "n_a"},
    {"opset 13; input x 1,3,8,8; const w 4,3,3,3; y = Conv(x, w) group=2; output y", MODEL, "n_a"},
    {"opset 13; input x 1,3,8,8; const w 4,3,3,3; y = Conv(x, w) group=0; output y", MODEL, "n_a"},
    {"opset 13; input x 1,3,8,8; const w 4,3,9,9; y = Conv(x, w); output y", MODEL, "n_a"},
    {"opset 13; input x 1,3,8,8; const w 4,3,3,3; y = Conv(x, w) strides=[0,1]; output y", MODEL,
     "n_a"},
    {"opset 13; input x 1,3,8,8; const w 4,3,3,3; y = Conv(x, w) strides=[1,1,1]; output y", MODEL,
     "n_a"},
    {"opset 13; input x 1,3,8,8; const w 4,3,3,3; y = Conv(x, w) dilations=[-1,1]; output y",
     MODEL, "n_a"},
    {"opset 13; input x 1,3,8,8; const w 4,3,3,3; y = Conv(x, w) pads=[-1,0,0,0]; output y", MODEL,
     "n_a"},
    {"opset 13; input x 1,3,8,8; const w 4,3,3,3; y = Conv(x, w)"
     " pads=[4611686018427387904,0,4611686018427387904,0]; output y", MODEL, "n_a"},
    {"opset 13; input x 1,3,8,8; const w 4,3,3,3; y = Conv(x, w) auto_pad='SOME'; output y", MODEL,
     "n_a"},
    {"opset 13; input x 3; const w 4,3,3,3; y = Conv(x, w); output y", MODEL, "n_a"},
    {"opset 13; input x 1,3,8,8; y = MaxPool(x) kernel_shape=[0,2]; output y", MODEL, "n_a"},
    {"opset 13; input x 1,3,8,8; y = MaxPool(x); output y", MODEL, "kernel_shape"},
    {"opset 13; input x 1,4; const w 3,5; y = Gemm(x, w); output y", MODEL, "n_a"},
    {"opset 13; input x 1,4; const w 3,5; y = MatMul(x, w); output y", MODEL, "n_a"},
    {"opset 13; input x 6; const s i64 1 = 7; y = Reshape(x, s); output y", MODEL, "n_a"},
    {"opset 13; input x 6; const s i64 2 = -1 -1; y = Reshape(x, s); output y", MODEL, "n_a"},
    {"opset 13; input x 6; const s i64 2 = -2 -3; y = Reshape(x, s); output y", MODEL, "n_a"},
    {"opset 13; input x 6; const s i64 2 = 4 -1; y = Reshape(x, s); output y", MODEL, "n_a"},
    {"opset 13; input x 6; const s i64 3 = 4294967296 4294967296 6; y = Reshape(x, s); output y",
     MODEL, "n_a"},
    {"opset 13; input x 6; input s i64 2; y = Reshape(x, s); output y", MODEL, "n_a"},
    {"opset 13; input x 2,3; y = Transpose(x) perm=[0,0]; output y", MODEL, "n_a"},
    {"opset 13; input x 2,3; y = Transpose(x) perm=[0,2]; output y", MODEL, "n_a"},
    {"opset 13; input x 2,3; const a i64 1 = 0; y = Squeeze(x, a); output y", MODEL, "n_a"},
    {"opset 13; input x 2; const a i64 2 = 0 0; y = Unsqueeze(x, a); output y", MODEL, "n_a"},
    {"opset 13; input x 2,3; const c 2,4; y = Concat(x, c) axis=0; output y", MODEL, "n_a"},
    {"opset 13; input x 2,3; y = Concat(x, x); output y", MODEL, "axis"},
    {"opset 13; input x 6; const s i64 2 = 2 5; y, z = Split(x, s); output y", MODEL, "n_a"},
    {"opset 13; input x 6; const s i64 2 = -1 7; y, z = Split(x, s); output y", MODEL, "n_a"},
    {"opset 13; input x 6; const b i64 1 = 0; const e i64 1 = 5; const a i64 1 = 0;"
     "const s i64 1 = 0; y = Slice(x, b, e, a, s); output y", MODEL, "n_a"},
    {"opset 13; input x 6; const b i64 2 = 0; const e i64 1 = 5; y = Slice(x, b, e); output y",
     MODEL, "n_a"},
    {"opset 13; input x 6; const b i64 1 = 0; const e i64 1 = 5; const a i64 1 = 4;"
     "y = Slice(x, b, e, a); output y", MODEL, "n_a"},
    {"opset 13; input x 6; const i i64 1 = 6; y = Gather(x, i); output y", MODEL, "n_a"},
    {"opset 13; input x 6; const i i64 1 = -7; y = Gather(x, i); output y", MODEL, "n_a"},
    {"opset 13; input x 2; const p i64 3 = 1; y = Pad(x, p); output y", MODEL, "n_a"},
    {"opset 13; input x 2; const p i64 2 = -3 0; y = Pad(x, p); output y", MODEL, "n_a"},
    {"opset 13; input x 0; const p i64 2 = 5 0; y = Pad(x, p) mode='edge'; output y", MODEL,
     "n_a"},
    {"opset 13; input x 1,3,2; const c 4; y = BatchNormalization(x, c, c, c, c); output y", MODEL,
     "n_a"},
    {"opset 13; input x 2; y = Cast(x) to=8; output y", UNSUPPORTED, "n_a"},
    {"opset 13; input x 2,3; y = ReduceMean(x) axes=[2]; output y", MODEL, "axis 2"},
    {"opset 13; y = Constant(); output y", MODEL, "n_a"},
    /* sizes */
    {"opset 13; const s i64 1 = 1099511627776; y = ConstantOfShape(s); output y", LIMIT, "n_a"},
    {"opset 13; const s i64 8 = 2147483648; y = ConstantOfShape(s); output y", MODEL, "n_a"},
    {"opset 13; const s i64 1 = -1; y = ConstantOfShape(s); output y", MODEL, "n_a"},
    {"opset 13; input x 1; const s i64 2 = 1048576; y = Expand(x, s); output y", LIMIT, "n_a"},
    {"opset 13; input x 1; const p i64 2 = 4611686018427387904 4611686018427387904;"
     "y = Pad(x, p); output y", MODEL, "n_a"},
    {"opset 13; input x 1048577; y = Relu(x); output y", LIMIT, "x"},
    {"opset 13; input x 1024,1; input z 1,1025; y = MatMul(x, z); output y", LIMIT, "n_a"},
};

START_TEST(wrong_models) {
  pb model = model_text(wrong[_i].model);
  expect(wrong[_i].model, run_bytes(model.p, model.n), wrong[_i].status, wrong[_i].text);
  pb_free(&model);
}
END_TEST

/* ---- wrong tensors: as an initializer and as a handle ---- */

static const struct {
  const char *what;
  int dtype, rank;
  int64_t dims[9];
  size_t raw, floats; /* bytes, elements */
  int status;
  const char *text;
} wrong_tensors[] = {
    {"none", 1, 1, {2}, 8, 0, XAI_OK, ""},
    {"no elements", 1, 2, {0, 5}, 0, 0, XAI_OK, ""},
    {"short raw", 1, 2, {2, 2}, 15, 0, MODEL, "'t' has shape 2x2 (float32, 16 bytes) but 15 bytes"},
    {"long raw", 1, 2, {2, 2}, 17, 0, MODEL, "16 bytes) but 17 bytes"},
    {"short typed", 1, 1, {4}, 0, 3, MODEL, "4 elements) but 3 elements"},
    {"long typed", 1, 1, {2}, 0, 3, MODEL, "2 elements) but 3 elements"},
    {"no data", 1, 1, {1}, 0, 0, MODEL, "1 elements) but 0 elements"},
    {"wrong field", 7, 1, {3}, 0, 3, MODEL, "3 elements) but 0 elements"},
    {"negative", 1, 1, {-2}, 8, 0, MODEL, "'t': dimension 0 is -2"},
    {"overflow", 1, 3, {1 << 30, 1 << 30, 16}, 8, 0, MODEL, "'t': shape 1073741824x"},
    {"bytes overflow", 11, 2, {1 << 30, 1 << 30}, 8, 0, MODEL, "'t': shape 1073741824x"},
    {"huge", 1, 1, {1LL << 40}, 8, 0, MODEL, "'t' has shape 1099511627776"},
    {"rank", 1, 9, {1, 1, 1, 1, 1, 1, 1, 1, 1}, 4, 0, UNSUPPORTED, "'t' has rank 9"},
    {"undefined", 0, 1, {1}, 4, 0, UNSUPPORTED, "'t': data type 0"},
    {"string", 8, 1, {1}, 4, 0, UNSUPPORTED, "'t': data type string"},
    {"complex", 14, 1, {1}, 8, 0, UNSUPPORTED, "'t': data type complex64"},
    {"unknown", 99, 1, {1}, 4, 0, UNSUPPORTED, "'t': data type 99"},
    {"negative type", -1, 1, {1}, 4, 0, UNSUPPORTED, "'t': data type -1"},
};

static int run_initializer(const pb *tensor) {
  pb graph = {0}, in = pb_value("x", 1, 0, NULL), out = pb_value("t", 1, -1, NULL);
  pb_bytes(&graph, 5, tensor->p, tensor->n);
  pb_message(&graph, 11, &in);
  pb_message(&graph, 12, &out);
  pb model = pb_model(&graph, 13);
  int status = run_bytes(model.p, model.n);
  pb_free(&model);
  return status;
}

static void expect_tensor(const char *what, const pb *t, int status, const char *text) {
  xai_tensor *handle = NULL;
  expect(what, xai_tensor_parse(t->p, t->n, &handle, &err), status, text);
  ck_assert((handle != NULL) == !status);
  xai_tensor_free(handle);
  expect(what, run_initializer(t), status, text);
}

START_TEST(tensors) {
  static const unsigned char zeros[32];
  pb t = pb_tensor("t", wrong_tensors[_i].dtype, wrong_tensors[_i].rank, wrong_tensors[_i].dims,
                   zeros, wrong_tensors[_i].raw);
  for (size_t i = 0; i < wrong_tensors[_i].floats; i++) pb_float(&t, 4, 1);
  expect_tensor(wrong_tensors[_i].what, &t, wrong_tensors[_i].status, wrong_tensors[_i].text);
  pb_free(&t);
}
END_TEST

START_TEST(tensors_elsewhere) {
  static const int64_t two[] = {2};
  pb t = pb_tensor("t", 1, 1, two, "", 0);
  pb_int(&t, 14, 1);
  expect_tensor("external", &t, MODEL, "'t' keeps its data in a file without a name");
  pb_free(&t);
  t = pb_tensor("t", 1, 1, two, "01234567", 8);
  pb_bytes(&t, 3, "", 0);
  expect_tensor("segment", &t, UNSUPPORTED, "'t' is a segment");
  pb_free(&t);
  t = pb_tensor("", 1, 1, two, "01234567", 8);
  expect("nameless", run_initializer(&t), MODEL, "no name");
  pb_free(&t);
}
END_TEST

/* ---- wrong attributes of a node ---- */

static const struct {
  int type;
  unsigned field; /* of the value */
  int status;
  const char *text;
} wrong_attributes[] = {{5, 6, UNSUPPORTED, "'then' is a subgraph"},
                        {10, 11, UNSUPPORTED, "'then' is a list of subgraphs"},
                        {8, 9, UNSUPPORTED, "attribute 'then' is not supported"},
                        {9, 10, UNSUPPORTED, "'then' is a list of tensors"},
                        {11, 22, UNSUPPORTED, "'then' is a sparse tensor"},
                        {14, 15, UNSUPPORTED, "'then' is a list of types"},
                        {4, 6, MODEL, "'then' lacks its tensor"},
                        {4, 5, UNSUPPORTED, "data type 0"},
                        {0, 5, MODEL, "'then' has no type"},
                        {77, 5, UNSUPPORTED, "'then' has type 77"},
                        {2, 21, MODEL, "'then' refers to"}};

START_TEST(attributes) {
  pb graph = {0}, node = {0}, attr = {0}, in = pb_value("x", 1, 0, NULL),
     out = pb_value("y", 1, -1, NULL);
  pb_text(&attr, 1, "then");
  pb_text(&attr, wrong_attributes[_i].field, wrong_attributes[_i].field == 21 ? "other" : "");
  pb_int(&attr, 20, wrong_attributes[_i].type);
  pb_text(&node, 1, "x");
  pb_text(&node, 2, "y");
  pb_text(&node, 3, "the_node");
  pb_text(&node, 4, "Relu");
  pb_message(&node, 5, &attr);
  pb_message(&graph, 1, &node);
  pb_message(&graph, 11, &in);
  pb_message(&graph, 12, &out);
  pb model = pb_model(&graph, 13);
  int status = run_bytes(model.p, model.n);
  expect("attribute", status, wrong_attributes[_i].status, wrong_attributes[_i].text);
  expect("attribute", status, wrong_attributes[_i].status, "the_node");
  pb_free(&model);
}
END_TEST

/* ---- wrong files ---- */

static void expect_more(const char *text, unsigned field, pb *more, int status,
                        const char *message) {
  pb model = model_text(text);
  pb_message(&model, field, more);
  expect(text, run_bytes(model.p, model.n), status, message);
  pb_free(&model);
}

START_TEST(files) {
  static const char png[] = "\x89PNG\r\n\x1A\n\0\0\0\rIHDR";
  static const char html[] = "<!DOCTYPE html><html><head>";
  pb import = {0}, f = {0}, graph = {0}, sequence = {0}, value = {0}, sparse = {0};
  expect("empty", run_bytes("", 0), MODEL, "empty");
  expect("PNG", run_bytes(png, sizeof png), MODEL, "not an ONNX model");
  expect("HTML", run_bytes(html, sizeof html), MODEL, "not an ONNX model");
  expect("no graph", run_bytes("\x08\x08", 2), MODEL, "no graph");
  pb_text(&import, 1, "bad\xFF");
  expect_more("opset 13", 8, &import, MODEL, "not UTF-8");

  const char *good = "opset 13; input x 2; y = Relu(x); output y";
  const char *foo = "opset 13; input x 2; y = com.example.Foo(x); output y";
  pb_text(&f, 1, "Foo");
  pb_text(&f, 10, "com.example");
  pb copy = {0};
  pb_raw(&copy, f.p, f.n);
  expect_more(good, 25, &copy, XAI_OK, ""); /* a function that is not called */
  expect_more(foo, 25, &f, MODEL, "gives function 'Foo' 1 operands");
  pb_text(&f, 1, "Relu");
  expect_more(good, 25, &f, MODEL, "gives function 'Relu' 1 operands"); /* before our operator */

  pb_bytes(&sparse, 15, "", 0);
  expect_more(good, 7, &sparse, UNSUPPORTED, "sparse");
  pb_bytes(&sequence, 4, "", 0);
  pb_text(&value, 1, "s");
  pb_message(&value, 2, &sequence);
  pb_message(&graph, 11, &value);
  expect_more(good, 7, &graph, UNSUPPORTED, "'s' is no dense tensor");
  pb_text(&value, 1, "s");
  pb_message(&graph, 11, &value);
  expect_more(good, 7, &graph, MODEL, "'s' has no element type");
  for (int i = 0; i < 40; i++) {
    pb one = {0};
    pb_text(&one, 1, "d");
    pb_int(&one, 2, 1);
    pb_message(&import, 8, &one);
  }
  pb all = model_text(good);
  pb_raw(&all, import.p, import.n);
  expect("opsets", run_bytes(all.p, all.n), LIMIT, "opset imports");
  pb_free(&import);
  pb_free(&all);
}
END_TEST

static Suite *suite(void) {
  Suite *s = suite_create("malformed");
  TCase *c = tcase_create("malformed");
  tcase_add_loop_test(c, wrong_models, 0, sizeof wrong / sizeof *wrong);
  tcase_add_loop_test(c, tensors, 0, sizeof wrong_tensors / sizeof *wrong_tensors);
  tcase_add_test(c, tensors_elsewhere);
  tcase_add_loop_test(c, attributes, 0, sizeof wrong_attributes / sizeof *wrong_attributes);
  tcase_add_test(c, files);
  suite_add_tcase(s, c);
  return s;
}

int main(void) {
  SRunner *r = srunner_create(suite());
  srunner_run_all(r, CK_NORMAL);
  int failed = srunner_ntests_failed(r);
  srunner_free(r);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

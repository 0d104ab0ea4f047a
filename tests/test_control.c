/* Functions of a model, If, Loop and Scan: what is written out is the network that it stands for. */
#include "net.h"
#include "onnx/wire.h"

/* ---- models: the text of model_text.h, and nodes with subgraphs, and functions ---- */

/* The GraphProto of a model of text. */
static pb graph_of(const char *text) {
  pb model = model_text(text), graph = {0};
  xai__wire w = {model.p, model.p, model.p + model.n, "ModelProto"}, found;
  ck_assert_int_eq(xai__wire_find(&w, 7, "GraphProto", &found, &net_error), 1);
  pb_raw(&graph, found.p, (size_t)(found.end - found.p));
  pb_free(&model);
  return graph;
}

static void names(pb *to, unsigned field, const char *list) { /* "a,b,,c" */
  while (*list) {
    size_t n = strcspn(list, ",");
    pb_bytes(to, field, list, n);
    list += n + (list[n] == ',');
  }
}

typedef struct control {
  const char *type, *in, *out, *attr, *graph, *attr_2, *graph_2;
} control;

static void add_graph_attribute(pb *node, const char *name, const char *text) {
  if (!name) return;
  pb attr = {0}, graph = graph_of(text);
  pb_text(&attr, 1, name);
  pb_message(&attr, 6, &graph);
  pb_int(&attr, 20, 5);
  pb_message(node, 5, &attr);
}

static void add_scan_inputs(pb *node, int64_t n) {
  pb attr = {0};
  pb_text(&attr, 1, "num_scan_inputs");
  pb_int(&attr, 3, n);
  pb_int(&attr, 20, 2);
  pb_message(node, 5, &attr);
}

/* Field 7 may come twice: the graphs' nodes are read one after the other. */
static void add_control(pb *model, const control *c) {
  pb node = {0}, graph = {0};
  names(&node, 1, c->in);
  names(&node, 2, c->out);
  pb_text(&node, 3, "control");
  pb_text(&node, 4, c->type);
  add_graph_attribute(&node, c->attr, c->graph);
  add_graph_attribute(&node, c->attr_2, c->graph_2);
  if (!strcmp(c->type, "Scan")) add_scan_inputs(&node, 1);
  pb_message(&graph, 1, &node);
  pb_message(model, 7, &graph);
}

/* r = LeakyRelu(a + b), its alpha the caller's, or 0.25. */
static void add_function(pb *model, const char *name, const char *in, const char *out,
                         const char *text, int refers) {
  pb f = {0}, import = {0}, own = {0}, graph = graph_of(text);
  pb_text(&f, 1, name);
  names(&f, 4, in);
  names(&f, 5, out);
  xai__wire w = {graph.p, graph.p, graph.p + graph.n, "GraphProto"}, node;
  while (xai__wire_find(&w, 1, "NodeProto", &node, &net_error) > 0)
    pb_bytes(&f, 7, node.p, (size_t)(node.end - node.p));
  if (refers) {
    pb last = {0}, attr = {0}, preset = {0};
    pb_text(&attr, 1, "alpha");
    pb_text(&attr, 21, "slope");
    pb_int(&attr, 20, 1);
    pb_text(&last, 1, "t");
    pb_text(&last, 2, "r");
    pb_text(&last, 4, "LeakyRelu");
    pb_message(&last, 5, &attr);
    pb_message(&f, 7, &last);
    pb_text(&preset, 1, "slope");
    pb_float(&preset, 2, 0.25f);
    pb_int(&preset, 20, 1);
    pb_message(&f, 11, &preset);
  }
  pb_int(&import, 2, 13);
  pb_message(&f, 9, &import);
  pb_text(&own, 1, "my");
  pb_int(&own, 2, 1);
  pb_message(&f, 9, &own);
  pb_text(&f, 10, "my");
  pb_message(model, 25, &f);
  pb_free(&graph);
}

typedef struct row {
  const char *text;
  control control; /* type NULL: none */
  const char *plain; /* the network that it is */
} row;

#define HEAD "opset 13; opset my 1; input x 2,3; const w 3 = 1 -2 3; output y;"
#define PLAIN "opset 13; input x 2,3; const w 3 = 1 -2 3; output y;"
#define BODY "input i i64; input c bool; input s 2,3; s2 = Add(s, x); s3 = Mul(s2, w); f = Cast(i) to=1;" \
             "z = Add(s3, f); o = Identity(c); t = Identity(z); output o; output z; output t"
static const row rows[] = {
    {HEAD "const c bool = 1;", {"If", "c", "y", "then_branch", "a = Relu(x); output a", "else_branch", "b = Neg(x); output b"},
     PLAIN "y = Relu(x)"},
    {HEAD "const c bool = 0;", {"If", "c", "y", "then_branch", "a = Relu(x); output a", "else_branch", "const k = 2; b = Mul(x, k); output b"},
     PLAIN "const k = 2; y = Mul(x, k)"},
    /* a branch that is not taken need not be possible */
    {HEAD "s = Shape(x); const one i64 = 1; d = Gather(s, one); c = Equal(d, one);",
     {"If", "c", "y", "then_branch", "const ax i64 1 = 1; a = Squeeze(x, ax); output a", "else_branch", "b = Mul(x, w); output b"},
     PLAIN "y = Mul(x, w)"},
    /* computed: one of two of the same shape */
    {HEAD "r = ReduceSum(x) keepdims=0; q = Mul(r, r); const z = -1; c = Greater(q, z);",
     {"If", "c", "y", "then_branch", "a = Mul(x, w); output a", "else_branch", "b = Neg(x); output b"}, PLAIN "y = Mul(x, w)"},
    {HEAD "const m i64 = 2;", {"Loop", "m,,x", "h,y", "body", BODY, NULL, NULL},
     PLAIN "const one = 1; a = Add(x, x); b = Mul(a, w); c = Add(b, x); d = Mul(c, w); e = Add(d, one);"
           "const ax i64 1 = 0; u = Unsqueeze(b, ax); v = Unsqueeze(e, ax); y = Concat(u, v) axis=0"},
    {HEAD "m = Constant() value_int=2; n = Identity(m);", {"Loop", "n,,x", "y", "body", BODY, NULL, NULL},
     PLAIN "const one = 1; a = Add(x, x); b = Mul(a, w); c = Add(b, x); d = Mul(c, w); y = Add(d, one)"},
    {HEAD "const m i64 = 0;", {"Loop", "m,,x", "y", "body", BODY, NULL, NULL}, PLAIN "y = Identity(x)"},
    {HEAD "const h 3 = 5;", {"Scan", "h,x", "e,y", "body", "input s 3; input r 3; a = Add(s, r); b = Mul(a, w); output a; output b", NULL, NULL},
     PLAIN "const h 3 = 5; p, q = Split(x) axis=0; const ax i64 1 = 0; p1 = Squeeze(p, ax); q1 = Squeeze(q, ax); a = Add(h, p1); b = Mul(a, w);"
           "c = Add(a, q1); d = Mul(c, w); u = Unsqueeze(b, ax); v = Unsqueeze(d, ax); y = Concat(u, v) axis=0"},
    {HEAD "y = my.Act(x, w)", {.type = NULL}, PLAIN "t = Add(x, w); y = LeakyRelu(t) alpha=0.25"},
    {HEAD "y = my.Act(x, w) slope=0.5", {.type = NULL}, PLAIN "t = Add(x, w); y = LeakyRelu(t) alpha=0.5"},
    {HEAD "y, v = my.Twice(x)", {.type = NULL}, PLAIN "t = Add(x, x); y = LeakyRelu(t) alpha=0.25"},
    {HEAD "t = Add(x, w); u, y = my.Twice(t)", {.type = NULL}, PLAIN "y = Add(x, w)"},
    {HEAD "const c bool = 1;", {"If", "c", "y", "then_branch", "a = my.Act(x, w); output a", "else_branch", "b = Neg(x); output b"},
     PLAIN "t = Add(x, w); y = LeakyRelu(t) alpha=0.25"},
};
enum { ROWS = sizeof rows / sizeof *rows };

static pb model_of(const row *r) {
  pb model = model_text(r->text);
  add_function(&model, "Act", "a,b", "r", "t = Add(a, b)", 1);
  add_function(&model, "Twice", "a", "r,a", "r = my.Act(a, a)", 0);
  add_function(&model, "Self", "a", "r", "r = my.Self(a)", 0);
  add_function(&model, "Bomb", "a", "r", "t = my.Bomb2(a); u = my.Bomb2(t); v = my.Bomb2(u); r = my.Bomb2(v)", 0);
  add_function(&model, "Bomb2", "a", "r", "t = my.Bomb3(a); u = my.Bomb3(t); r = my.Bomb3(u)", 0);
  add_function(&model, "Bomb3", "a", "r", "t = Relu(a); u = Relu(t); v = Relu(u); r = Relu(v)", 0);
  if (r->control.type) add_control(&model, &r->control);
  return model;
}

START_TEST(written_out_as_it_stands_for) {
  const row *r = &rows[_i];
  xai_options o = {.struct_size = sizeof o, .threads = 1};
  pb model = model_of(r);
  net n = {NULL, NULL}, plain = net_open(r->plain, 1);
  int status = xai_graph_parse(model.p, model.n, &o, &n.g, &net_error);
  ck_assert_msg(!status, "%s: %s", r->text, net_error.text);
  pb_free(&model);
  n.s = session_open(n.g, 1);
  xai_tensor *x = net_input(&n, 0, 1, 3);
  xai_result *got = explain(&n, (ask){.x = {x}}), *want = explain(&plain, (ask){.x = {x}});
  int64_t count, other;
  const float *a = values(got, "output/y", &count), *b = values(want, "output/y", &other);
  ck_assert_int_eq(count, other);
  expect_near(r->text, a, b, count, 1e-6);
  xai_result_free(got);
  xai_result_free(want);
  expect_same(r->text, &n, (ask){"gradient", .x = {x}}, &plain, (ask){"gradient", .x = {x}}, 1e-6);
  if (XAI_LRP) expect_same(r->text, &n, (ask){"lrp-0", .x = {x}}, &plain, (ask){"lrp-0", .x = {x}}, 1e-5);
  xai_tensor_free(x);
  net_close(&n);
  net_close(&plain);
}
END_TEST

/* ---- what is refused ---- */

static const struct {
  row r;
  int status;
  const char *text;
} refused[] = {
    {{HEAD "y = my.Self(x)", {.type = NULL}, NULL}, XAI_E_LIMIT, "nested"},
    {{HEAD "y = my.Bomb(x)", {.type = NULL}, NULL}, XAI_E_LIMIT, "max_nodes"},
    {{HEAD "y = my.Act(x, w, x)", {.type = NULL}, NULL}, XAI_E_MODEL, "3 operands"},
    {{HEAD "y = my.Nothing(x)", {.type = NULL}, NULL}, XAI_E_UNSUPPORTED, "'Nothing' (domain 'my'"},
    {{HEAD "y = If(x)", {.type = NULL}, NULL}, XAI_E_MODEL, "then_branch"},
    {{HEAD "const c bool = 1;", {"If", "c", "y", "then_branch", "a = Relu(x); output a", NULL, NULL}, NULL}, XAI_E_MODEL, "else_branch"},
    {{HEAD "const c bool = 1;", {"If", "c", "y", "then_branch", "a = Relu(x); output a; output x", "else_branch", "b = Neg(x); output b"}, NULL},
     XAI_E_MODEL, "2 outputs"},
    {{HEAD "const c bool = 1;", {"If", "c", "y", "then_branch", "a = Relu(nobody); output a", "else_branch", "b = Neg(x); output b"}, NULL},
     XAI_E_MODEL, "nobody"},
    {{HEAD "const c bool = 1;", {"If", "c", "y", "then_branch", "a = Unheard(x); output a", "else_branch", "b = Neg(x); output b"}, NULL},
     XAI_E_UNSUPPORTED, "'Unheard'"},
    {{HEAD "r = ReduceSum(x) keepdims=0; m = Cast(r) to=7;", {"Loop", "m,,x", "y", "body", BODY, NULL, NULL}, NULL}, XAI_E_UNSUPPORTED, "how often"},
    {{HEAD, {"Loop", ",,x", "y", "body", BODY, NULL, NULL}, NULL}, XAI_E_UNSUPPORTED, "how often"},
    {{HEAD "const m i64 = 1000;", {"Loop", "m,,x", "y", "body", BODY, NULL, NULL}, NULL}, XAI_E_LIMIT, "max_nodes"},
    {{HEAD "const m i64 = 2;", {"Loop", "m,,x,x", "y", "body", BODY, NULL, NULL}, NULL}, XAI_E_MODEL, "a body of"},
    {{HEAD "const m i64 = 2;", {"Loop", "m", "y", "body", BODY, NULL, NULL}, NULL}, XAI_E_MODEL, "operands"},
    {{HEAD "const m i64 = 0;", {"Loop", "m,,x", "h,y", "body", BODY, NULL, NULL}, NULL}, XAI_E_UNSUPPORTED, "does not run"},
    {{HEAD "const m i64 = 3;", {"Loop", "m,,x", "y", "body", "input i i64; input c bool; input s 2,3; r = ReduceSum(s) keepdims=0; const z = 0; d = Greater(r, z); t = Relu(s); output d; output t", NULL, NULL}, NULL},
     XAI_E_UNSUPPORTED, "condition"},
};
enum { REFUSED = sizeof refused / sizeof *refused };

START_TEST(refused_by_name) {
  xai_options o = {.struct_size = sizeof o, .threads = 1, .max_nodes = 40};
  pb model = model_of(&refused[_i].r);
  xai_graph *g;
  int status = xai_graph_parse(model.p, model.n, &o, &g, &net_error);
  pb_free(&model);
  ck_assert_msg(status == refused[_i].status && strstr(net_error.text, refused[_i].text), "%s: %d %s",
                refused[_i].r.text, status, status ? net_error.text : "");
}
END_TEST

/* Branches of different shapes and a computed condition: no plan for shapes, but one for the data. */
START_TEST(branches_of_different_shapes) {
  row r = {HEAD "r = ReduceSum(x) keepdims=0; const z = 0; c = Greater(r, z);",
           {"If", "c", "y", "then_branch", "a = Relu(x); output a", "else_branch", "b = ReduceMax(x) axes=[1]; output b"}, NULL};
  pb model = model_of(&r);
  xai_options o = {.struct_size = sizeof o, .threads = 1};
  net n;
  ck_assert_int_eq(xai_graph_parse(model.p, model.n, &o, &n.g, &net_error), XAI_OK);
  pb_free(&model);
  n.s = session_open(n.g, 1);
  for (int sign = -1; sign <= 1; sign += 2) {
    const int64_t shape[] = {2, 3};
    float v[6];
    for (int i = 0; i < 6; i++) v[i] = (float)(sign * (i + 1));
    xai_tensor *x = tensor_of(XAI_F32, 2, shape, v);
    xai_result *y = explain(&n, (ask){.x = {x}}), *ignored;
    ck_assert_int_eq(count_of(found(y, "output/y")), sign > 0 ? 6 : 2);
    xai_result_free(y);
    float *g = relevance(&n, (ask){"gradient", .x = {x}}, NULL);
    ck_assert_float_eq(sum_of(g, 6) > 0, 1);
    free(g);
    /* points on the way are other data, which might take the other branch */
    ck_assert_int_eq(ask_status(&n, (ask){"integrated-gradients", .x = {x}}, &ignored, NULL, &net_error),
                     XAI_E_UNSUPPORTED);
    xai_tensor_free(x);
  }
  net_close(&n);
}
END_TEST

/* Bytes changed and cut off at random: an error or a graph, never a crash. */
START_TEST(damaged_models_do_not_crash) {
  xai_options o = {.struct_size = sizeof o, .threads = 1, .max_nodes = 1000, .max_memory = 1 << 24};
  uint64_t seed = (uint64_t)_i + 1;
  pb model = model_of(&rows[_i]);
  for (int k = 0; k < 400; k++) {
    unsigned char *copy = malloc(model.n);
    memcpy(copy, model.p, model.n);
    size_t n = model.n;
    for (int j = 0; j < 1 + k % 3; j++) {
      uint32_t where = (uint32_t)(fabsf(model_chance(&seed)) * 4096) * 131, what = (uint32_t)(fabsf(model_chance(&seed)) * 255);
      copy[where % n] = (unsigned char)what;
    }
    if (k % 7 == 0) n -= (size_t)(fabsf(model_chance(&seed)) * (float)(n / 2));
    unsigned char *exact = realloc(copy, n);
    xai_graph *g;
    if (!xai_graph_parse(exact, n, &o, &g, NULL)) xai_graph_free(g);
    free(exact);
  }
  pb_free(&model);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("control");
  TCase *tc = tcase_create("control");
  tcase_add_loop_test(tc, written_out_as_it_stands_for, 0, ROWS);
  tcase_add_loop_test(tc, refused_by_name, 0, REFUSED);
  tcase_add_test(tc, branches_of_different_shapes);
  tcase_add_loop_test(tc, damaged_models_do_not_crash, 0, ROWS);
  suite_add_tcase(suite, tc);
  return run_suite(suite);
}

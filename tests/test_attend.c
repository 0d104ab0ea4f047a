/* Attention in one go (op/attend.c): bit for bit what its nodes give one by one, for any number of
 * threads and any split of a batch; and only where its nodes may be left out. */
#include "net.h"

/* Tokens of 3 heads of 5 numbers, in one product. */
#define QKV "opset 13; input x N,19,7; const w 7,45 ~1; output y; "
#define SPLIT \
  "const k i64 5 = 0 19 3 3 5; const i0 i64 = 0; const i1 i64 = 1; const i2 i64 = -1; h = MatMul(x, w);" \
  "a = Reshape(h, k); b = Transpose(a) perm=[2,0,3,1,4]; q = Gather(b, i0) axis=0;" \
  "l = Gather(b, i1) axis=0; v = Gather(b, i2) axis=0; "
#define HEADS "f = Transpose(o) perm=[0,2,1,3]; const r i64 3 = 0 19 15; y = Reshape(f, r)"

static const struct {
  const char *text, *inner; /* inner: values that are not there in one go */
  bool served;
} cases[] = {
    {QKV SPLIT "t = Transpose(l) perm=[0,1,3,2]; s = MatMul(q, t); p = Softmax(s); o = MatMul(p, v);" HEADS,
     "b,q,t,s,p,o", true},
    /* scaled on both sides, as torch writes it */
    {QKV SPLIT "const c = 0.6; t = Transpose(l) perm=[0,1,3,2]; m = Mul(q, c); n = Mul(c, t); s = MatMul(m, n);"
               "p = Softmax(s) axis=3; o = MatMul(p, v);" HEADS,
     "m,n,s,p,o", true},
    /* scaled twice: the first is a value of its own */
    {QKV SPLIT "const c = 0.6; t = Transpose(l) perm=[0,1,3,2]; m = Mul(q, c); n = Mul(m, c); s = MatMul(n, t);"
               "p = Softmax(s); o = MatMul(p, v);" HEADS,
     "m,n,s,p,o", true},
    /* a result that is not turned, which another node reads, too */
    {QKV SPLIT "t = Transpose(l) perm=[0,1,3,2]; s = MatMul(q, t); p = Softmax(s); o = MatMul(p, v); y = Relu(o)",
     "s,p,o", true},
    /* matrices, of any number of rows; a row of constants times x is no view */
    {"opset 13; input x N,33; const w 33,70 ~1; const v 70,40 ~2; const m 33 ~3; output y; n = Mul(x, m);"
     "const u 33,33 ~4; k = MatMul(n, u); const z 33,1 = 1; q = Mul(x, m); t = Transpose(q); s = MatMul(k, t);"
     "p = Softmax(s); o = MatMul(p, x); y = Neg(o)",
     "s,p,o", true},
    /* not the last axis; the weights are read twice; they are on the right; leading axes that repeat */
    {QKV SPLIT "t = Transpose(l) perm=[0,1,3,2]; s = MatMul(q, t); p = Softmax(s) axis=2; o = MatMul(p, v);" HEADS,
     "s,p", false},
    {QKV SPLIT "t = Transpose(l) perm=[0,1,3,2]; s = MatMul(q, t); p = Softmax(s); o = MatMul(p, v);"
               "g = ReduceMax(p) axes=[3]; y = Add(o, g)",
     "s,p", false},
    {QKV SPLIT "t = Transpose(l) perm=[0,1,3,2]; s = MatMul(q, t); p = Softmax(s); o = MatMul(t, p);"
               "y = Neg(o)",
     "s,p", false},
    {QKV SPLIT "const e i64 1 = 1; t = Transpose(l) perm=[0,1,3,2]; s = MatMul(q, t); p = Softmax(s);"
               "g = ReduceMean(v) axes=[1]; o = MatMul(p, g);" HEADS,
     "s,p", false},
};
enum { CASES = sizeof cases / sizeof *cases, ITEMS = 3 };

static xai_result *answer(const net *n, xai_tensor *x, const char *at) {
  return explain(n, (ask){.x = {x}, .at = at});
}

static void count_attention(void *user, int level, const char *text) {
  *(int *)user += level == 2 && strstr(text, " Attention ") != NULL;
}

START_TEST(bits_are_those_of_the_nodes) {
  char at[64] = "y,";
  net one = net_open(cases[_i].text, 1);
  xai_tensor *x = net_input(&one, 0, ITEMS, 5);
  xai_result *apart = answer(&one, x, strcat(at, cases[_i].inner));
  for (int threads = 1; threads <= 7; threads += 2) {
    net n = {one.g, session_open(one.g, threads)};
    xai_result *r = answer(&n, x, "y");
    int64_t count;
    const float *y = values(r, "output/y", &count);
    ck_assert(!memcmp(y, values(apart, "output/y", NULL), (size_t)count * sizeof *y));
    xai_result_free(r);
    xai_session_free(n.s);
  }
  xai_result_free(apart);
  xai_tensor_free(x);
  net_close(&one);
}
END_TEST

START_TEST(it_is_in_one_go_where_it_may_be) {
  int found_one = 0, apart = 0;
  char at[64] = "y,";
  net n = {graph_open(cases[_i].text), NULL};
  xai_options o = {.struct_size = sizeof o, .threads = 1, .log = count_attention, .log_user = &found_one};
  ck_assert(!xai_session_create(n.g, &o, &n.s, &net_error));
  xai_tensor *x = net_input(&n, 0, ITEMS, 5);
  xai_result_free(answer(&n, x, "y"));
  ck_assert_int_eq(found_one, cases[_i].served);
  xai_session_free(n.s);
  o.log_user = &apart;
  ck_assert(!xai_session_create(n.g, &o, &n.s, &net_error));
  xai_result_free(answer(&n, x, strcat(at, cases[_i].inner)));
  ck_assert_int_eq(apart, 0);
  xai_tensor_free(x);
  net_close(&n);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("attend");
  TCase *tc = tcase_create("all");
  tcase_add_loop_test(tc, bits_are_those_of_the_nodes, 0, CASES);
  tcase_add_loop_test(tc, it_is_in_one_go_where_it_may_be, 0, CASES);
  suite_add_tcase(suite, tc);
  SRunner *runner = srunner_create(suite);
  srunner_run_all(runner, CK_ENV);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed ? 1 : 0;
}

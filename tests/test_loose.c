/* Weights wherever they lie in the file: the same results as from copies, without their memory. */
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "net.h"

static const struct model {
  const char *name, *text;
  int loose;                      /* whether nothing but linear layers reads the large constants */
  long long floats; /* that these have */
} rows[] = {
    {"layers", /* blocked, plain, scaled, and of many rows */
     "opset 13; input x N,32,6,6; const a 64,32,3,3 ~1; const b 64 ~2; const t 64,32,3,3 ~3;"
     "const c 40,1152 ~4; const d 40 ~5; const e 40,500 ~6; const p 500 ~7; output y;"
     "h = Conv(x, a, b) pads=[1,1,1,1]; r = Relu(h); u = ConvTranspose(r, t) pads=[1,1,1,1];"
     "s = Relu(u); f = Flatten(s); g = Gemm(f, c, d) alpha=0.5 transB=1; i = Relu(g);"
     "j = MatMul(i, e); k = Add(j, p); y = Relu(k)", 1, 64 * 32 * 9 * 2 + 40 * 1152 + 40 * 500},
    {"folded",
     "opset 13; input x N,16,5,5; const a 130,16,3,3 ~1; const s 130 ~2; const t 130 ~3;"
     "const m 130 ~4; const v 130 ~+5; const w 130,200 ~6; const s2 200 ~+7; const t2 200 ~8;"
     "const q 200,130 ~9; output y; h = Conv(x, a); i = BatchNormalization(h, s, t, m, v); r = Relu(i);"
     "g = GlobalAveragePool(r); f = Flatten(g); k = BatchNormalization(f, s, t, m, v); l = MatMul(k, w);"
     "n = BatchNormalization(l, s2, t2, t2, s2); o = Relu(n); y = MatMul(o, q)", 1,
     130 * 16 * 9 + 130 * 200 * 2},
    {"shared", /* read by others, too; left of the product; given back */
     "opset 13; input x N,4,130; const w 130,130 ~1; const v 130,130 ~2; const a 140,130 ~3;"
     "const e 64,140,1 ~4; const z 130,130 ~5; output y; output z; h = MatMul(x, w); r = Relu(h);"
     "s = Slice(w, i0, i1, i2); const i0 i64 1 = 0; const i1 i64 1 = 4; const i2 i64 1 = 0;"
     "k = Add(r, s); t = Transpose(v) perm=[1,0]; l = MatMul(k, t); m = Relu(l);"
     "n = Transpose(m) perm=[0,2,1]; o = MatMul(a, n); p = MatMul(m, z); q = Conv(o, e);"
     "u = ReduceMean(q) axes=[1,2] keepdims=1; y = Add(p, u)", 0, 0}};
enum { ROWS = sizeof rows / sizeof *rows, OFFSETS = 4 };

static const char *const methods[] = {NULL, "gradient", "deeplift-rescale", "integrated-gradients,steps=3",
                                      "epsilon-plus", "lrp-gamma", "lrp-w-square", "lrp-alpha-beta",
                                      "lrp-epsilon,rewrite=off"};
enum { METHODS = sizeof methods / sizeof *methods };

/* Bytes that the graph holds of its own. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long long held;

static void *count(void *user, void *p, size_t old_size, size_t size, size_t align) {
  (void)user;
  pthread_mutex_lock(&lock);
  held += (long long)size - (long long)(p ? old_size : 0);
  pthread_mutex_unlock(&lock);
  free(p);
  return size ? aligned_alloc(align, (size + align - 1) / align * align) : NULL;
}

/* The model from a file in which all lies `shift` bytes further. */
static xai_graph *graph_from_file(const char *text, int shift) {
  char path[] = "/tmp/xai-loose-XXXXXX";
  int fd = mkstemp(path);
  pb head = {0}, model = model_text(text);
  pb_text(&head, 2, &"xxxx"[4 - shift]); /* producer_name */
  pb_raw(&head, model.p, model.n);
  ck_assert(fd >= 0 && write(fd, head.p, head.n) == (ssize_t)head.n);
  close(fd);
  xai_options o = {.struct_size = sizeof o, .threads = 1, .realloc = count};
  xai_graph *g;
  int status = xai_graph_load(path, &o, &g, &net_error);
  ck_assert_msg(!status, "%s: %s", text, net_error.text);
  unlink(path);
  pb_free(&head);
  pb_free(&model);
  return g;
}

START_TEST(results_do_not_depend_on_where_weights_lie) {
  const struct model *row = &rows[_i / OFFSETS];
  net copied = net_open(row->text, 2);
  for (int m = 0; m < (XAI_LRP ? METHODS : 4); m++)
    for (int64_t items = 1; items <= 40; items += 39) {
      held = 0;
      net n = {graph_from_file(row->text, _i % OFFSETS), NULL};
      if (row->loose)
        ck_assert_msg(held < row->floats, "%s: %lld bytes held for %lld weights", row->name, held, row->floats);
      n.s = session_open(n.g, 2);
      inputs in = inputs_of(&n, items, 1);
      const char *at = m ? NULL : row->loose ? "y,a" : "y,w,e";
      ask a = {methods[m], .x = {in.x[0]}, .at = at, .top = m ? 2 : 0};
      for (int twice = 0; twice < 2; twice++) {
        xai_result *r = explain(&n, a), *want = explain(&copied, a);
        expect_same_result(row->name, r, want);
        xai_result_free(r);
        xai_result_free(want);
      }
      inputs_free(&in);
      net_close(&n);
      ck_assert_int_eq(held, 0);
    }
  net_close(&copied);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("loose");
  TCase *tc = tcase_create("loose");
  tcase_add_loop_test(tc, results_do_not_depend_on_where_weights_lie, 0, ROWS * OFFSETS);
  suite_add_tcase(suite, tc);
  return run_suite(suite);
}

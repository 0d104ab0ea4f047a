/* Models that no program wrote: nested beyond reason, cut off anywhere, any bit wrong;
 * and a good one when memory runs out. */
#include "model_check.h"

/* Graphs in attributes in nodes in graphs, and sequences of sequences, thousands deep. */
START_TEST(nesting) {
  pb graph = {0}, sequence = {0}, value = {0};
  for (int i = 0; i < 2000; i++) {
    pb attr = {0}, node = {0};
    pb_text(&attr, 1, "then");
    pb_int(&attr, 20, 5);
    pb_message(&attr, 6, &graph);
    pb_text(&node, 4, "Relu");
    pb_message(&node, 5, &attr);
    pb_message(&graph, 1, &node);
  }
  pb model = pb_model(&graph, 13);
  expect("graphs", run_bytes(model.p, model.n), UNSUPPORTED, "'then' is a subgraph");
  pb_free(&model);
  for (int i = 0; i < 2000; i++) {
    pb type = {0}, element = {0};
    pb_message(&element, 1, &sequence);
    pb_message(&type, 4, &element);
    sequence = type;
  }
  pb_text(&value, 1, "s");
  pb_message(&value, 2, &sequence);
  pb_message(&graph, 11, &value);
  model = pb_model(&graph, 13);
  expect("sequences", run_bytes(model.p, model.n), UNSUPPORTED, "'s'");
  pb_free(&model);
}
END_TEST

/* ---- a good model, damaged ---- */

static const char small[] =
    "opset 13; input x N,1,4,4; const w 2,1,3,3 = 0.5 -1; const b 2 = 1 -1;"
    "c = Conv(x, w, b) pads=[1,1,1,1]; r = Relu(c);"
    "p = MaxPool(r) kernel_shape=[2,2] strides=[2,2]; const s i64 2 = 0 -1; f = Reshape(p, s);"
    "const v 3,8 = 1 2 3; y = Gemm(f, v) transB=1; q = Softmax(y) axis=-1; output q 1,3";

START_TEST(truncated) {
  pb model = model_text(small);
  ck_assert_msg(!run_bytes(model.p, model.n), "%s", err.text);
  for (size_t n = 0; n < model.n; n++) {
    int status = run_bytes(model.p, n);
    ck_assert_msg(status == MODEL || status == UNSUPPORTED, "%zu of %zu bytes: %d", n, model.n,
                  status);
  }
  pb_free(&model);
}
END_TEST

START_TEST(flipped) {
  pb model = model_text(small);
  int good = 0;
  for (size_t i = (size_t)_i; i < 8 * model.n; i += 8) {
    model.p[i / 8] ^= (unsigned char)(1 << i % 8);
    good += run_bytes(model.p, model.n) == XAI_OK;
    model.p[i / 8] ^= (unsigned char)(1 << i % 8);
  }
  ck_assert_int_gt(good, 0); /* some bits are in weights and in names */
  pb_free(&model);
}
END_TEST

/* ---- a good model, and no memory ---- */

typedef struct poor {
  int left;    /* allocations that succeed */
  int blocks;  /* not yet freed */
} poor;

static void *poor_realloc(void *user, void *p, size_t old_size, size_t size, size_t align) {
  poor *m = user;
  (void)old_size;
  if (!size) {
    m->blocks -= p != NULL;
    free(p);
    return NULL;
  }
  ck_assert(!p);
  if (m->left-- <= 0) return NULL;
  m->blocks++;
  return aligned_alloc(align, (size + align - 1) / align * align);
}

START_TEST(out_of_memory) {
  pb model = model_text(small);
  int n = 0, status;
  do {
    poor m = {.left = n};
    status = model_run(model.p, model.n, poor_realloc, &m, &err);
    ck_assert_msg(!status || status == XAI_E_MEMORY, "allocation %d: %s", n, err.text);
    ck_assert_msg(!m.blocks, "allocation %d: %d blocks are left", n, m.blocks);
    if (m.left > 0) break; /* not even explaining ran out */
    n++;
  } while (n < 100000);
  ck_assert_int_gt(n, 10);
  pb_free(&model);
}
END_TEST

static Suite *suite(void) {
  Suite *s = suite_create("damaged");
  TCase *c = tcase_create("damaged");
  tcase_add_test(c, nesting);
  tcase_add_test(c, truncated);
  tcase_add_loop_test(c, flipped, 0, 8);
  tcase_add_test(c, out_of_memory);
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

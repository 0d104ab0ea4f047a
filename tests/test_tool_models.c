/* The shipped networks on the shipped pictures, against logits that onnxruntime computed
 * (docs/examples/train/golden.txt: model picture logit0 ... logit9). */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/graph.h"
#include "image.h"

enum { SIDE = 28, CLASSES = 10 };
#define TOLERANCE 1e-4 /* of the largest logit */

static xai_error err;

static const char *in_examples(const char *folder, const char *name) {
  static char path[4096];
  const char *source = getenv("XAI_SOURCE");
  snprintf(path, sizeof path, "%s/docs/examples/%s/%s", source ? source : ".", folder, name);
  return path;
}

static xai_tensor *read_picture(const char *name) {
  struct image file, gray;
  char text[256];
  ck_assert_msg(!image_read(in_examples("images", name), &file, text), "%s", text);
  ck_assert_msg(!image_convert(&file, 1, &gray, text), "%s", text);
  ck_assert(gray.width == SIDE && gray.height == SIDE);
  const int64_t shape[] = {1, 1, SIDE, SIDE};
  float x[SIDE * SIDE];
  for (int i = 0; i < SIDE * SIDE; i++) x[i] = (float)gray.pixels[i] / 255;
  image_free(&file);
  image_free(&gray);
  xai_tensor *t = NULL;
  ck_assert_msg(!xai_tensor_create(XAI_F32, 4, shape, x, &t, &err), "%s", err.text);
  return t;
}

static void check_line(const xai_graph *g, xai_session *s, const char *picture,
                       const double *want) {
  xai_tensor *x = read_picture(picture);
  int tail;
  const char *logit = g->values[xai__graph_logit(g, g->outputs[0], &tail)].name;
  xai_param input = {.tensor = x};
  xai_request r = {
      .struct_size = sizeof r, .inputs = &input, .n_inputs = 1, .at = &logit, .n_at = 1};
  xai_result *result = NULL;
  char name[256];
  snprintf(name, sizeof name, "output/%s", logit);
  ck_assert_msg(!xai_run(s, &r, &result, &err), "%s", err.text);
  const float *y = xai_tensor_data(xai_result_find(result, name));
  double largest = 0;
  for (int i = 0; i < CLASSES; i++) largest = fmax(largest, fabs(want[i]));
  for (int i = 0; i < CLASSES; i++)
    ck_assert_msg(fabs((double)y[i] - want[i]) <= TOLERANCE * largest, "%s, logit %d: %g, not %g",
                  picture, i, (double)y[i], want[i]);
  xai_result_free(result);
  xai_tensor_free(x);
}

START_TEST(golden_logits) {
  FILE *f = fopen(in_examples("train", "golden.txt"), "r");
  char model[128], picture[128], loaded[128] = "";
  int lines = 0;
  xai_graph *g = NULL;
  xai_session *s = NULL;
  ck_assert_msg(f != NULL, "no golden.txt");
  while (fscanf(f, "%127s %127s", model, picture) == 2) {
    double want[CLASSES];
    for (int i = 0; i < CLASSES; i++) ck_assert_int_eq(fscanf(f, "%lf", &want[i]), 1);
    if (strcmp(model, loaded)) {
      xai_session_free(s);
      xai_graph_free(g);
      ck_assert_msg(!xai_graph_load(in_examples("models", model), NULL, &g, &err), "%s", err.text);
      ck_assert_msg(!xai_session_create(g, NULL, &s, &err), "%s", err.text);
      strcpy(loaded, model);
    }
    check_line(g, s, picture, want);
    lines++;
  }
  ck_assert_int_eq(lines, 2 * 20); /* networks x pictures */
  xai_session_free(s);
  xai_graph_free(g);
  fclose(f);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("models");
  TCase *c = tcase_create("models");
  tcase_add_test(c, golden_logits);
  suite_add_tcase(suite, c);
  SRunner *r = srunner_create(suite);
  srunner_run_all(r, CK_NORMAL);
  int failed = srunner_ntests_failed(r);
  srunner_free(r);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* A table of 3.2 GB beside its model: offsets and lengths beyond 32 bits. The file is sparse. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net.h"

START_TEST(a_table_beyond_two_gigabytes) {
  static const int64_t n = 200000000, dims[2] = {200000000, 4}, one[1] = {1};
  static const float row[4] = {1, 2, 3, 4};
  char folder[] = "/tmp/xai-long-XXXXXX", path[64];
  ck_assert_ptr_nonnull(mkdtemp(folder));
  snprintf(path, sizeof path, "%s/table", folder);
  int fd = open(path, O_RDWR | O_CREAT, 0600);
  ck_assert(fd >= 0 && !ftruncate(fd, 64 + n * 16));
  ck_assert(pwrite(fd, row, sizeof row, 64 + (n - 1) * 16) == sizeof row);
  close(fd);
  pb graph = {0}, t = {0}, node = {0};
  pb_dims(&t, 2, dims);
  pb_int(&t, 2, 1);
  pb_text(&t, 8, "w");
  static const char *const entries[][2] = {{"location", "table"}, {"offset", "64"}, {"length", "3200000000"}};
  for (int i = 0; i < 3; i++) {
    pb e = {0};
    pb_text(&e, 1, entries[i][0]);
    pb_text(&e, 2, entries[i][1]);
    pb_message(&t, 13, &e);
  }
  pb_int(&t, 14, 1);
  pb_message(&graph, 5, &t);
  pb x = pb_value("x", 7, 1, one), y = pb_value("y", 1, -1, NULL);
  pb_message(&graph, 11, &x);
  pb_message(&graph, 12, &y);
  pb_text(&node, 1, "w");
  pb_text(&node, 1, "x");
  pb_text(&node, 2, "y");
  pb_text(&node, 4, "Gather");
  pb_message(&graph, 1, &node);
  pb model = pb_model(&graph, 13);
  xai_options o = {.struct_size = sizeof o, .external_dir = folder, .max_memory = 100 << 20};
  xai_graph *g;
  xai_tensor *index = INTS(1, n - 1);
  snprintf(path, sizeof path, "%s/model", folder);
  FILE *f = fopen(path, "wb");
  ck_assert(f && fwrite(model.p, 1, model.n, f) == model.n && !fclose(f));
  pb_free(&model);
  ck_assert_msg(!xai_graph_load(path, &o, &g, &net_error), "%s", net_error.text);
  net m = {g, session_open(g, 1)};
  xai_result *r = explain(&m, (ask){.x = {index}});
  for (int i = 0; i < 4; i++) ck_assert_float_eq(values(r, "output/y", NULL)[i], row[i]);
  xai_result_free(r);
  xai_tensor_free(index);
  net_close(&m);
  remove(path);
  snprintf(path, sizeof path, "%s/table", folder);
  remove(path);
  rmdir(folder);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("long_external");
  TCase *tc = tcase_create("long_external");
  tcase_add_test(tc, a_table_beyond_two_gigabytes);
  suite_add_tcase(suite, tc);
  return run_suite(suite);
}

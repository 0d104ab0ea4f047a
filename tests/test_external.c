/* Tensor data in other files: what is read, where it may be, and everything that may not. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net.h"

static char folder[] = "/tmp/xai-external-XXXXXX";

static const float weights[6] = {1, -2, 3, 0.5f, 4, -1};

static void write_file(const char *name, const void *data, size_t n) {
  char path[256];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *f = fopen(path, "wb");
  ck_assert_ptr_nonnull(f);
  ck_assert_uint_eq(fwrite(data, 1, n, f), n);
  fclose(f);
}

static void in_folder(const char *format, char *path, const char *name) {
  snprintf(path, 256, format, folder, name);
}

static void start(void) {
  char path[256], bytes[64] = {0};
  strcpy(strrchr(folder, '-'), "-XXXXXX");
  ck_assert_ptr_nonnull(mkdtemp(folder));
  memcpy(bytes + 8, weights, sizeof weights); /* aligned */
  memcpy(bytes + 33, weights, sizeof weights);
  write_file("data.bin", bytes, 57);
  write_file("empty.bin", bytes, 0);
  in_folder("%s/%s", path, "sub");
  mkdir(path, 0700);
  write_file("sub/data.bin", bytes, 57);
  in_folder("%s/%s", path, "fifo");
  ck_assert_int_eq(mkfifo(path, 0600), 0);
  in_folder("%s/%s", path, "inside");
  ck_assert_int_eq(symlink("sub/data.bin", path), 0);
  in_folder("%s/%s", path, "outside");
  ck_assert_int_eq(symlink("/etc/passwd", path), 0);
  in_folder("%s/%s", path, "up");
  ck_assert_int_eq(symlink("..", path), 0);
}

static void stop(void) {
  static const char *const names[] = {"data.bin", "empty.bin", "sub/data.bin", "sub/model.onnx", "fifo", "inside",
                                      "outside", "up", "model.onnx", "sub"};
  char path[256];
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    in_folder("%s/%s", path, names[i]);
    remove(path);
  }
  rmdir(folder);
}

static void entry(pb *t, const char *key, const char *value) {
  pb e = {0};
  if (!value) return;
  pb_text(&e, 1, key);
  pb_text(&e, 2, value);
  pb_message(t, 13, &e);
}

/* y = x w with w of 2x3 in a file. */
static pb model_of(const char *location, const char *offset, const char *length, int64_t rows, int raw) {
  pb graph = {0}, t = {0}, node = {0};
  const int64_t dims[2] = {rows, 3}, in[2] = {1, rows};
  pb_dims(&t, 2, dims);
  pb_int(&t, 2, 1);
  pb_text(&t, 8, "w");
  if (raw) pb_bytes(&t, 9, weights, sizeof weights);
  entry(&t, "location", location);
  entry(&t, "offset", offset);
  entry(&t, "length", length);
  pb_int(&t, 14, 1);
  pb_message(&graph, 5, &t);
  pb x = pb_value("x", 1, 2, in), y = pb_value("y", 1, -1, NULL);
  pb_message(&graph, 11, &x);
  pb_message(&graph, 12, &y);
  pb_text(&node, 1, "x");
  pb_text(&node, 1, "w");
  pb_text(&node, 2, "y");
  pb_text(&node, 4, "MatMul");
  pb_message(&graph, 1, &node);
  return pb_model(&graph, 13);
}

static void check_runs(xai_graph *g) {
  net n = {g, session_open(g, 1)};
  xai_tensor *x = FLOATS(2, 2, 4);
  xai_result *r = explain(&n, (ask){.x = {x}});
  for (int i = 0; i < 3; i++)
    ck_assert_float_eq(values(r, "output/y", NULL)[i], 2 * weights[i] + 4 * weights[3 + i]);
  xai_result_free(r);
  xai_tensor_free(x);
  net_close(&n);
}

static const struct row {
  const char *location, *offset, *length;
  int64_t rows;
  int status, raw;
} rows[] = {
    {"data.bin", "8", "24", 2, XAI_OK, 0},
    {"data.bin", "8", NULL, 2, XAI_OK, 0},
    {"data.bin", "33", "24", 2, XAI_OK, 0}, /* not aligned */
    {"sub/data.bin", "8", "24", 2, XAI_OK, 0},
    {"./sub/../data.bin", "8", "24", 2, -1, 0}, /* within: where the system can tell */
    {"inside", "8", "24", 2, -1, 0},
    {"data.bin", "34", "24", 2, XAI_E_MODEL, 0},
    {"data.bin", "18446744073709551615", "24", 2, XAI_E_MODEL, 0},
    {"data.bin", "99999999999999999999", "24", 2, XAI_E_MODEL, 0},
    {"data.bin", "-8", "24", 2, XAI_E_MODEL, 0},
    {"data.bin", "8 ", "24", 2, XAI_E_MODEL, 0},
    {"data.bin", "8", "20", 2, XAI_E_MODEL, 0},
    {"data.bin", "8", "", 2, XAI_E_MODEL, 0},
    {"data.bin", "8", NULL, 1000000, XAI_E_MODEL, 0},
    {"data.bin", "8", "24", 2, XAI_E_MODEL, 1},
    {"none.bin", "8", "24", 2, XAI_E_IO, 0},
    {"empty.bin", "0", "24", 2, XAI_E_MODEL, 0},
    {"sub", "0", "24", 2, XAI_E_IO, 0},
    {"fifo", "0", "24", 2, XAI_E_IO, 0},
    {"", "0", "24", 2, XAI_E_MODEL, 0},
    {NULL, "0", "24", 2, XAI_E_MODEL, 0},
    {"/etc/passwd", "0", "24", 2, XAI_E_MODEL, 0},
    {"../data.bin", "0", "24", 2, XAI_E_MODEL, 0},
    {"sub/../../data.bin", "0", "24", 2, XAI_E_MODEL, 0},
    {"..", "0", "24", 2, XAI_E_MODEL, 0},
    {"outside", "0", "24", 2, XAI_E_MODEL, 0},
    {"up/data.bin", "0", "24", 2, XAI_E_MODEL, 0},
};
enum { ROWS = sizeof rows / sizeof *rows };

/* Row by row: from the model's own folder, from a folder that is named, from memory. */
START_TEST(files_are_found_and_confined) {
  const struct row *r = &rows[_i % ROWS];
  int how = _i / ROWS;
  char path[256];
  pb model = model_of(r->location, r->offset, r->length, r->rows, r->raw);
  xai_options o = {.struct_size = sizeof o, .external_dir = how ? folder : NULL};
  xai_graph *g;
  write_file("model.onnx", model.p, model.n);
  write_file("sub/model.onnx", model.p, model.n);
  in_folder("%s/%s", path, how ? "sub/model.onnx" : "model.onnx");
  int status = how == 2 ? xai_graph_parse(model.p, model.n, &o, &g, &net_error)
                        : xai_graph_load(path, &o, &g, &net_error);
  pb_free(&model);
  if (r->status == -1 && status) ck_assert_int_eq(status, XAI_E_MODEL);
  else ck_assert_msg(status == (r->status == -1 ? 0 : r->status), "%d: %s", status, net_error.text);
  if (!status) check_runs(g);
  else ck_assert(net_error.text[0] && !g);
}
END_TEST

START_TEST(a_model_in_memory_has_no_folder) {
  pb model = model_of("data.bin", "8", "24", 2, 0);
  xai_options o = {.struct_size = sizeof o};
  xai_graph *g;
  ck_assert_int_eq(xai_graph_parse(model.p, model.n, &o, &g, &net_error), XAI_E_MODEL);
  ck_assert_ptr_nonnull(strstr(net_error.text, "external_dir"));
  o.external_dir = "/nowhere/at/all";
  ck_assert_int_eq(xai_graph_parse(model.p, model.n, &o, &g, &net_error), XAI_E_IO);
  pb_free(&model);
}
END_TEST

START_TEST(a_model_of_the_working_folder) {
  pb model = model_of("data.bin", "8", "24", 2, 0);
  xai_options o = {.struct_size = sizeof o};
  xai_graph *g;
  write_file("model.onnx", model.p, model.n);
  pb_free(&model);
  ck_assert_int_eq(chdir(folder), 0);
  ck_assert_int_eq(xai_graph_load("model.onnx", &o, &g, &net_error), XAI_OK);
  ck_assert_int_eq(chdir("/"), 0);
  check_runs(g);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("external");
  TCase *tc = tcase_create("external");
  tcase_add_checked_fixture(tc, start, stop);
  tcase_add_loop_test(tc, files_are_found_and_confined, 0, 3 * ROWS);
  tcase_add_test(tc, a_model_in_memory_has_no_folder);
  tcase_add_test(tc, a_model_of_the_working_folder);
  suite_add_tcase(suite, tc);
  return run_suite(suite);
}

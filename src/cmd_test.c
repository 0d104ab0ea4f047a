/* xai test: ONNX backend test folders. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "commands.h"
#include "compare.h"
#include "file.h"
#include "json.h"
#include "say.h"
#include "stop.h"
#include "workers.h"

enum verdict { PASSED, FAILED, REFUSED };
static const char *const verdicts[] = {"pass", "fail", "unsupported"};

enum { PATH = 4096, WHY = WORKERS_TEXT, DEPTH = 32 };
static const double relative = 1e-3, absolute = 1e-7; /* as the suite has them */

/* The folders with a model, and what came of them. */
struct tally {
  struct options o; /* of one case: the cases are what runs at the same time */
  struct json json;
  char **folders;
  size_t n, count[3];
};

/* One test_data_set folder: its inputs in the model's order. */
struct data_set {
  xai_param *inputs;
  const struct model *m;
};

static xai_tensor *read_tensor(const char *folder, const char *kind, size_t i, char why[WHY]) {
  char path[PATH + 64], text[256];
  unsigned char *bytes;
  size_t size;
  xai_tensor *t = NULL;
  xai_error err;
  snprintf(path, sizeof path, "%s/%s_%zu.pb", folder, kind, i);
  if (file_read(path, 0, &bytes, &size, text)) {
    snprintf(why, WHY, "%s", text);
    return NULL;
  }
  if (xai_tensor_parse(bytes, size, &t, &err))
    snprintf(why, WHY, "%s_%zu.pb: %s", kind, i, err.text);
  free(bytes);
  return t;
}

static void data_free(struct data_set *d) {
  for (size_t i = 0; d->inputs && i < d->m->n_inputs; i++) {
    xai_tensor_free((xai_tensor *)(size_t)d->inputs[i].tensor);
  }
  free(d->inputs);
}

static enum verdict compare_outputs(const struct model *m, const char *folder,
                                    const xai_result *result, char why[WHY]) {
  for (size_t i = 0; i < m->n_outputs; i++) {
    char key[600], text[256] = "";
    snprintf(key, sizeof key, "output/%s", m->outputs[i].name);
    const xai_tensor *got = xai_result_find(result, key);
    xai_tensor *want = read_tensor(folder, "output", i, why);
    if (!want)
      return FAILED;
    int bad = !got || compare_tensors(got, want, relative, absolute, text);
    xai_tensor_free(want);
    if (!bad)
      continue;
    snprintf(why, WHY, "output '%.100s': %s", m->outputs[i].name, got ? text : "missing");
    return FAILED;
  }
  return PASSED;
}

static enum verdict refused(const xai_error *err, char why[WHY]) {
  snprintf(why, WHY, "%s", err->text[0] ? err->text : xai_status_text(err->status));
  return err->status == XAI_E_UNSUPPORTED ? REFUSED : FAILED;
}

static enum verdict run_data(const struct model *m, const struct options *o, const char *folder,
                             char why[WHY]) {
  struct data_set d = {calloc(m->n_inputs + 1, sizeof(xai_param)), m};
  enum verdict verdict = d.inputs ? PASSED : FAILED;
  xai_result *result = NULL;
  xai_error err;
  for (size_t i = 0; i < m->n_inputs && verdict == PASSED; i++) {
    d.inputs[i].name = m->inputs[i].name;
    d.inputs[i].tensor = read_tensor(folder, "input", i, why);
    if (!d.inputs[i].tensor)
      verdict = FAILED;
  }
  xai_request request;
  memset(&request, 0, sizeof request);
  request.struct_size = sizeof request;
  request.inputs = d.inputs;
  request.n_inputs = m->n_inputs;
  request.cancel = stop_cancel();
  if (verdict == PASSED) {
    stop_hold();
    if (xai_run(m->session, &request, &result, &err))
      verdict = refused(&err, why);
    stop_release();
  }
  if (verdict == PASSED)
    verdict = compare_outputs(m, folder, result, why);
  if (verdict == PASSED && o->explain && compare_gradient(m, o, d.inputs, why) < 0)
    verdict = FAILED;
  xai_result_free(result);
  data_free(&d);
  return verdict;
}

static int by_name(const struct dirent **a, const struct dirent **b) { return alphasort(a, b); }
static int is_data(const struct dirent *e) { return !strncmp(e->d_name, "test_data_set_", 14); }
static int is_visible(const struct dirent *e) { return e->d_name[0] != '.'; }

/* Every data set of one case. */
static enum verdict run_case(const struct options *o, const char *folder, char why[WHY]) {
  char path[PATH + 16];
  struct model m;
  xai_error err;
  snprintf(path, sizeof path, "%s/model.onnx", folder);
  why[0] = 0;
  enum verdict verdict = PASSED;
  if (model_try(path, o, NULL, &m, &err))
    verdict = refused(&err, why);
  else if (model_session(&m, o, NULL, NULL))
    verdict = FAILED;
  struct dirent **list = NULL;
  int n = verdict == PASSED ? scandir(folder, &list, is_data, by_name) : 0;
  if (n < 1 && verdict == PASSED) {
    snprintf(why, WHY, "no test_data_set_* in the folder");
    verdict = FAILED;
  }
  for (int i = 0; i < n; i++) {
    snprintf(path, sizeof path, "%.*s/%.*s", PATH - 300, folder, 255, list[i]->d_name);
    if (verdict == PASSED)
      verdict = run_data(&m, o, path, why);
    free(list[i]);
  }
  free(list);
  model_free(&m);
  return verdict;
}

static void run_task(void *ctx, size_t i, struct outcome *out) {
  const struct tally *t = ctx;
  out->value = (int)run_case(&t->o, t->folders[i], out->text);
}

static int report_case(void *ctx, size_t i, const struct outcome *out) {
  struct tally *t = ctx;
  t->count[out->value]++;
  if (t->o.json) {
    json_open_line(&t->json, NULL, '{');
    json_text(&t->json, "case", t->folders[i]);
    json_text(&t->json, "result", verdicts[out->value]);
    json_text(&t->json, "why", out->value == PASSED ? NULL : out->text);
    json_close_line(&t->json, '}');
  } else if (out->value != PASSED) {
    printf("%-11s %s: %s\n", verdicts[out->value], t->folders[i], out->text);
  } else if (!t->o.quiet) {
    printf("%-11s %s\n", verdicts[out->value], t->folders[i]);
  }
  return EXIT_FINE;
}

static int add_case(struct tally *t, const char *folder) {
  char **folders = realloc(t->folders, (t->n + 1) * sizeof *folders);
  if (folders)
    t->folders = folders;
  if (!folders || !(folders[t->n] = strdup(folder)))
    return say_no_memory();
  t->n++;
  return EXIT_FINE;
}

static int search(struct tally *t, const char *folder, int depth) {
  char path[PATH];
  struct stat status;
  struct dirent **list;
  int size = snprintf(path, sizeof path, "%s/model.onnx", folder);
  if (size >= PATH || depth > DEPTH)
    return EXIT_FINE;
  if (!access(path, F_OK))
    return add_case(t, folder);
  int n = scandir(folder, &list, is_visible, by_name), code = EXIT_FINE;
  if (n < 0)
    return say(EXIT_INPUT, "%s: cannot read the folder", folder);
  for (int i = 0; i < n; i++) {
    size = snprintf(path, sizeof path, "%s/%s", folder, list[i]->d_name);
    bool is_folder = size < PATH && !lstat(path, &status) && S_ISDIR(status.st_mode);
    if (is_folder && !code)
      code = search(t, path, depth + 1);
    free(list[i]);
  }
  free(list);
  return code;
}

static int print_json(struct tally *t) {
  json_close_array(&t->json);
  json_integer(&t->json, "passed", (int64_t)t->count[PASSED]);
  json_integer(&t->json, "failed", (int64_t)(t->n - t->count[PASSED]));
  json_integer(&t->json, "refused", (int64_t)t->count[REFUSED]);
  json_close_object(&t->json);
  return json_print(json_finish(&t->json));
}

int cmd_test(const struct options *o) {
  struct tally t;
  int code = EXIT_FINE;
  memset(&t, 0, sizeof t);
  t.o = *o;
  t.o.threads = 1;
  if (!o->args.n)
    return say(EXIT_USAGE, "which DIR? see 'xai test --help'");
  for (size_t i = 0; i < o->args.n && !code; i++) {
    char folder[PATH];
    size_t n = strlen(o->args.v[i]);
    while (n > 1 && o->args.v[i][n - 1] == '/')
      n--;
    snprintf(folder, sizeof folder, "%.*s", (int)n, o->args.v[i]);
    code = search(&t, folder, 0);
  }
  if (!code && !t.n)
    code = say(EXIT_INPUT, "no model.onnx under %s", o->args.v[0]);
  json_open_object(&t.json, NULL);
  json_text(&t.json, "library", xai_version());
  json_open_array(&t.json, "cases");
  if (!code)
    code = workers_run(t.n, (size_t)o->threads, FAILED, run_task, report_case, &t);
  if (!code && o->json)
    code = print_json(&t);
  else if (!code)
    printf("%zu passed, %zu failed, %zu refused\n", t.count[PASSED], t.n - t.count[PASSED],
           t.count[REFUSED]);
  json_discard(&t.json);
  for (size_t i = 0; i < t.n; i++)
    free(t.folders[i]);
  free(t.folders);
  return code ? code : t.count[PASSED] == t.n ? EXIT_FINE : EXIT_LATER;
}

/* xai fit: a density expert from data. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "array.h"
#include "bundle.h"
#include "commands.h"
#include "json.h"
#include "output.h"
#include "params.h"
#include "preprocess.h"
#include "progress.h"
#include "say.h"
#include "show.h"
#include "stop.h"

/* Bytes of pictures [N,H,W], [N,H,W,C] or [N,C,H,W] as values [N,C,H,W]. */
static int from_pixels(const struct npy_array *a, const char *name, const struct options *o,
                       struct npy_array *out) {
  struct image one;
  struct preprocess how;
  char err[256];
  size_t items = a->rank ? (size_t)a->shape[0] : 0;
  int code = preprocess_parse(o->preprocess ? o->preprocess : "zero-one", &how);
  if (code)
    return code;
  if (!o->preprocess)
    say_note("pixels are prepared as 'zero-one'; --preprocess says otherwise");
  for (size_t i = 0; i < items && !code; i++) {
    if (preprocess_pixels(a, i, &one))
      return say(EXIT_INPUT, "%s: is not of pictures", name);
    struct picture_layout layout = {LAYOUT_CHW, one.channels, one.height, one.width, true};
    const int64_t shape[] = {(int64_t)items, one.channels, one.height, one.width};
    size_t n = (size_t)one.channels * (size_t)one.height * (size_t)one.width;
    float *values = preprocess_values(&one, &layout, &how);
    image_free(&one);
    if (!values)
      code = say_no_memory();
    else if (!i && npy_alloc(NPY_F32, 4, shape, name, out, err))
      code = say(EXIT_LIMIT, "%s", err);
    else
      memcpy((float *)out->data + i * n, values, n * sizeof *values);
    free(values);
  }
  return code;
}

/* Data of a file as a float32 tensor, items along axis 0. */
static int read_data(const char *path, const struct options *o, xai_tensor **out) {
  struct npy_array raw, values;
  char err[256];
  int code = array_read(path, &raw);
  if (code)
    return code;
  memset(&values, 0, sizeof values);
  if (raw.type == NPY_U8 && (raw.rank == 3 || raw.rank == 4)) {
    code = from_pixels(&raw, path, o, &values);
  } else if (npy_alloc(NPY_F32, raw.rank, raw.shape, path, &values, err)) {
    code = say(EXIT_LIMIT, "%s", err);
  } else if (npy_to_float(&raw, values.data)) {
    code = say(EXIT_INPUT, "%s: holds no numbers", path);
  }
  npy_free(&raw);
  if (!code)
    code = array_to_tensor(&values, path, out);
  npy_free(&values);
  return code;
}

/* The last number of an array; false where it has none. */
static bool last_number(const struct npy_array *a, double *out) {
  if (a->type == NPY_TEXT || !a->count)
    return false;
  *out = array_value(a, a->count - 1);
  return true;
}

/* The notes of the fit: what it says of itself. */
static int show(const struct bundle *b) {
  struct table t;
  double v;
  table_begin(&t, 2, 2);
  table_add(&t, "kind");
  table_add(&t, "%s", bundle_text(b, "kind"));
  for (size_t i = 0; i < b->n; i++) {
    if (!strchr(b->names[i], '/') || !last_number(&b->v[i], &v))
      continue;
    table_add(&t, "%s", b->names[i]);
    table_add(&t, "%.6g", v);
  }
  return table_end(&t);
}

static int show_as_json(const struct bundle *b) {
  struct json j;
  json_begin(&j);
  json_open_object(&j, NULL);
  json_open_object(&j, "provenance");
  for (size_t i = 0; i < b->n; i++) {
    if (b->v[i].type == NPY_TEXT)
      json_text(&j, b->names[i], b->v[i].data);
  }
  json_close_object(&j);
  json_open_object(&j, "notes");
  for (size_t i = 0; i < b->n; i++) {
    const struct npy_array *a = &b->v[i];
    if (!strchr(b->names[i], '/') || a->type == NPY_TEXT)
      continue;
    if (!a->rank) {
      json_number(&j, b->names[i], array_value(a, 0));
      continue;
    }
    json_open_line(&j, b->names[i], '[');
    for (size_t k = 0; k < a->count; k++)
      json_number(&j, NULL, array_value(a, k));
    json_close_line(&j, ']');
  }
  json_close_object(&j);
  json_close_object(&j);
  return json_print(json_finish(&j));
}

/* Notes of our own, which an expert skips: names with a '/'. */
static int add_provenance(struct bundle *b, const struct options *o, const char *pixels) {
  char seed[32];
  snprintf(seed, sizeof seed, "%" PRId64, o->random_seed);
  const struct {
    const char *name, *text;
  } facts[] = {{"provenance/tool", "xai " XAI_VERSION_STRING},
               {"provenance/library", xai_version()},
               {"provenance/data", o->args.v[1]},
               {"provenance/preprocess", pixels},
               {"provenance/random-seed", seed}};
  int code = EXIT_FINE;
  for (size_t i = 0; i < sizeof facts / sizeof facts[0] && !code; i++) {
    if (facts[i].text)
      code = bundle_add_text(b, facts[i].name, facts[i].text);
  }
  return code;
}

static int check(const struct options *o) {
  if (o->args.n < 2)
    return say(EXIT_USAGE, "which %s? see 'xai fit --help'", o->args.n ? "DATA" : "KIND and DATA");
  const char *path = o->out.n == 1 ? o->out.v[0] : "";
  size_t n = strlen(path);
  if (n < 5 || strcasecmp(path + n - 4, ".npz"))
    return say(EXIT_USAGE, "an expert is written to one --out FILE.npz");
  return output_check(path);
}

static int fit(const struct options *o, const struct params *params, const xai_param *inputs,
               size_t n_inputs) {
  xai_options library = options_library(o);
  xai_request r;
  xai_error err;
  xai_result *result = NULL;
  struct bundle b;
  int code = EXIT_FINE;
  memset(&b, 0, sizeof b);
  memset(&r, 0, sizeof r);
  r.struct_size = sizeof r;
  r.method = o->args.v[0];
  r.params = params->v;
  r.n_params = params->n;
  r.inputs = inputs;
  r.n_inputs = n_inputs;
  r.random_seed = (uint64_t)o->random_seed;
  r.cancel = stop_cancel();
  r.progress = progress_call;
  progress_begin("fit", 1, o->quiet);
  stop_hold();
  int status = xai_fit(&r, &library, &result, &err);
  stop_release();
  progress_end();
  if (result)
    code = bundle_of_result(result, &b);
  xai_result_free(result);
  if (!code && b.n)
    code = add_provenance(&b, o, o->preprocess);
  if (!code && b.n)
    code = bundle_write(&b, o->out.v[0]); /* of a stopped fit, too */
  if (!code && b.n)
    code = o->json ? show_as_json(&b) : show(&b);
  bundle_free(&b);
  return status ? say_error(&err, SAY_RUNNING, NULL) : code;
}

int cmd_fit(const struct options *o) {
  struct params params = {NULL, 0};
  xai_param inputs[2];
  size_t n = 0;
  const char *const files[] = {o->args.n > 1 ? o->args.v[1] : NULL, o->held_out};
  int code = check(o);
  for (size_t i = 2; i < o->args.n && !code; i++)
    code = params_parse(&params, o->args.v[i], "xai fit");
  for (size_t i = 0; i < 2 && !code; i++) {
    xai_tensor *t;
    if (!files[i])
      continue;
    code = read_data(files[i], o, &t);
    if (!code)
      inputs[n++] = (xai_param){i ? "held-out" : "data", t, NULL, 0};
  }
  if (!code)
    code = fit(o, &params, inputs, n);
  for (size_t i = 0; i < n; i++)
    xai_tensor_free((xai_tensor *)(size_t)inputs[i].tensor);
  params_free(&params);
  return code;
}

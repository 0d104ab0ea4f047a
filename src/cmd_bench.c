/* xai bench: how long a model takes to load, to run and to explain, and with how much memory.
 *
 * Every round times the forward pass and each method once, in turn, so that what else the machine
 * does falls on all alike; ratios are of medians. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include "array.h"
#include "commands.h"
#include "explaining.h"
#include "input.h"
#include "json.h"
#include "layers.h"
#include "progress.h"
#include "say.h"
#include "show.h"
#include "stop.h"

enum { ROUNDS = 10, MOST_ROUNDS = 10000, WARM = 2 };

/* The forward pass (method.name NULL), or a method. */
struct side {
  struct method method;
  double *seconds; /* [rounds], sorted at the end */
  int64_t memory;
  struct layers layers;
};

struct bench {
  const struct options *o;
  struct model model;
  struct input_set *set; /* NULL: drawn inputs */
  xai_param *inputs;
  struct side *sides;
  size_t n, rounds, most_layers;
  struct layers *heard; /* whose layers are timed at the moment, or NULL */
  double load, first; /* seconds from the start to the graph, and to the first result */
};

static double median(const struct side *s, size_t rounds) {
  return (s->seconds[(rounds - 1) / 2] + s->seconds[rounds / 2]) / 2;
}

static int by_size(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static const char *call_name(const struct side *s) {
  return s->method.name ? s->method.text : "forward";
}

/* The most that this process had in memory at once. Linux's getrusage counts what the parent had
 * before this program began, so its own words go first. */
static int64_t peak_memory(void) {
  struct rusage use;
  char line[256];
  long long kib = 0;
  FILE *status = fopen("/proc/self/status", "r");
  while (status && !kib && fgets(line, sizeof line, status))
    sscanf(line, "VmHWM: %lld", &kib);
  if (status)
    fclose(status);
  if (!kib && !getrusage(RUSAGE_SELF, &use))
    kib = use.ru_maxrss;
  return kib * 1024;
}

static xai_request request_of(const struct bench *b, const struct side *s) {
  xai_request r;
  memset(&r, 0, sizeof r);
  r.struct_size = sizeof r;
  r.method = s->method.name;
  r.params = s->method.params.v;
  r.n_params = s->method.params.n;
  r.inputs = b->inputs;
  r.n_inputs = b->model.n_inputs;
  r.random_seed = (uint64_t)b->o->random_seed;
  r.cancel = stop_cancel();
  return r;
}

/* Calls the library once: the seconds it took. */
static int run_side(const struct bench *b, const struct side *s, double *seconds) {
  xai_request r = request_of(b, s);
  xai_result *result = NULL;
  xai_error err;
  stop_hold();
  double start = progress_now();
  int status = (s->method.name ? xai_explain : xai_run)(b->model.session, &r, &result, &err);
  *seconds = progress_now() - start;
  stop_release();
  xai_result_free(result);
  return status ? say_error(&err, SAY_RUNNING, s->method.name) : EXIT_FINE;
}

static int measure(struct bench *b) {
  int code = EXIT_FINE;
  progress_begin("timing", b->rounds, b->o->quiet);
  for (size_t r = 0; r < b->rounds && !code; r++) {
    progress_span(r, 1);
    for (size_t i = 0; i < b->n && !code; i++) {
      struct side *s = &b->sides[i];
      double seconds;
      /* A session plans a call of another kind anew: that is not what a second call costs. */
      for (int k = 0; k < (r ? 1 : WARM) && !code; k++)
        code = run_side(b, s, &seconds);
      b->heard = b->most_layers ? &s->layers : NULL;
      if (!code)
        code = run_side(b, s, &s->seconds[r]);
      b->heard = NULL;
      layers_called(&s->layers);
      if (!code && s->layers.failed)
        code = say_no_memory();
    }
    if (!code)
      progress_call(NULL, "timing", 1, -1);
  }
  progress_end();
  for (size_t i = 0; i < b->n && !code; i++) {
    qsort(b->sides[i].seconds, b->rounds, sizeof(double), by_size);
    layers_sort(&b->sides[i].layers);
    xai_request r = request_of(b, &b->sides[i]);
    xai_error err;
    if (xai_memory(b->model.session, &r, &b->sides[i].memory, &err))
      code = say_error(&err, SAY_RUNNING, b->sides[i].method.name);
  }
  return code;
}

static void print_input(const struct bench *b, size_t i) {
  char text[160];
  const int64_t *shape;
  int rank = xai_tensor_shape(b->inputs[i].tensor, &shape);
  array_shape_text(rank, shape, text);
  printf("%-12s %s %s%s\n", "input", b->model.inputs[i].name, text, b->set ? "" : " (drawn)");
}

static int print_text(const struct bench *b) {
  char bytes[SHOW_BYTES];
  struct table t;
  printf("%-12s %s\n", "model", b->model.path);
  for (size_t i = 0; i < b->model.n_inputs; i++)
    print_input(b, i);
  printf("%-12s %.1f ms\n", "load", 1e3 * b->load);
  printf("%-12s %.1f ms\n", "first result", 1e3 * b->first);
  show_bytes(peak_memory(), bytes);
  printf("%-12s %s\n\n", "peak memory", bytes);
  table_begin(&t, 5, 2 | 4 | 8 | 16);
  static const char *const heads[] = {"call", "median ms", "fastest ms", "x forward", "memory"};
  for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++)
    table_add(&t, "%s", heads[i]);
  for (size_t i = 0; i < b->n; i++) {
    const struct side *s = &b->sides[i];
    show_bytes(s->memory, bytes);
    table_add(&t, "%s", call_name(s));
    table_add(&t, "%.2f", 1e3 * median(s, b->rounds));
    table_add(&t, "%.2f", 1e3 * s->seconds[0]);
    table_add(&t, "%.2f", median(s, b->rounds) / median(b->sides, b->rounds));
    table_add(&t, "%s", bytes);
  }
  int code = table_end(&t);
  for (size_t i = 0; i < b->n && b->most_layers && !code; i++) {
    const struct side *s = &b->sides[i];
    putchar('\n');
    code = layers_print(&s->layers, call_name(s), b->most_layers, s->seconds[0]);
  }
  return code;
}

static int print_json(const struct bench *b) {
  struct json j;
  json_begin(&j);
  json_open_object(&j, NULL);
  json_text(&j, "library", xai_version());
  json_text(&j, "model", b->model.path);
  json_text(&j, "model_sha256", b->model.sha256);
  json_open_array(&j, "inputs");
  for (size_t i = 0; i < b->model.n_inputs; i++) {
    const int64_t *shape;
    int rank = xai_tensor_shape(b->inputs[i].tensor, &shape);
    json_open_line(&j, NULL, '{');
    json_text(&j, "name", b->model.inputs[i].name);
    json_shape(&j, "shape", rank, shape);
    json_close_line(&j, '}');
  }
  json_close_array(&j);
  json_integer(&j, "rounds", (int64_t)b->rounds);
  json_number(&j, "load_ms", 1e3 * b->load);
  json_number(&j, "first_ms", 1e3 * b->first);
  json_integer(&j, "peak_memory", peak_memory());
  json_open_array(&j, "calls");
  for (size_t i = 0; i < b->n; i++) {
    const struct side *s = &b->sides[i];
    json_open_line(&j, NULL, '{');
    json_text(&j, "call", call_name(s));
    json_number(&j, "median_ms", 1e3 * median(s, b->rounds));
    json_number(&j, "fastest_ms", 1e3 * s->seconds[0]);
    json_number(&j, "x_forward", median(s, b->rounds) / median(b->sides, b->rounds));
    json_integer(&j, "memory", s->memory);
    if (b->most_layers)
      layers_json(&s->layers, b->most_layers, &j);
    json_close_line(&j, '}');
  }
  json_close_array(&j);
  json_close_object(&j);
  return json_print(json_finish(&j));
}

static int prepare_sides(struct bench *b) {
  static const char *usual[] = {"gradient", NULL};
  const struct options *o = b->o;
  const char *const *methods = o->methods.n ? o->methods.v : usual;
  size_t n = o->methods.n ? o->methods.n : sizeof usual / sizeof usual[0];
  b->rounds = !o->rounds ? ROUNDS : o->rounds > MOST_ROUNDS ? MOST_ROUNDS : (size_t)o->rounds;
  b->most_layers = o->layers > 0 ? (size_t)o->layers : 0;
  b->n = n + 1;
  b->sides = calloc(b->n, sizeof *b->sides);
  int code = b->sides ? EXIT_FINE : say_no_memory();
  for (size_t i = 0; i < b->n && !code; i++) {
    b->sides[i].seconds = malloc(b->rounds * sizeof(double));
    if (!b->sides[i].seconds)
      code = say_no_memory();
    else if (i)
      code = method_parse(methods[i - 1], o, &b->sides[i].method);
  }
  return code;
}

/* The inputs given, the first items of them in one batch, or drawn ones. */
static int prepare_inputs(struct bench *b) {
  const struct options *o = b->o;
  if (o->args.n < 2) {
    b->inputs = calloc(b->model.n_inputs + 1, sizeof *b->inputs);
    return b->inputs ? model_blank(&b->model, true, b->inputs) : say_no_memory();
  }
  int code = input_open(&b->model, o, o->args.v + 1, o->args.n - 1, &b->set);
  size_t count = code ? 0 : input_count(b->set), chunk = code ? 0 : input_chunk(b->set);
  return code ? code : input_tensors(b->set, 0, count < chunk ? count : chunk, &b->inputs);
}

int cmd_bench(const struct options *o) {
  struct bench b;
  memset(&b, 0, sizeof b);
  b.o = o;
  if (!o->args.n)
    return say(EXIT_USAGE, "which MODEL? see 'xai bench --help'");
  int code = prepare_sides(&b);
  double start = progress_now(), ignored;
  if (!code)
    code = model_load(o->args.v[0], o, NULL, &b.model);
  b.load = progress_now() - start;
  if (!code)
    code = prepare_inputs(&b);
  start = progress_now() - b.load; /* reading inputs is not the library's time */
  if (!code)
    code = model_session(&b.model, o, b.most_layers ? layers_log : NULL, &b.heard);
  if (!code)
    code = run_side(&b, b.sides, &ignored);
  b.first = progress_now() - start;
  if (!code)
    code = measure(&b);
  if (!code && o->json)
    code = model_digest(&b.model);
  if (!code)
    code = o->json ? print_json(&b) : print_text(&b);
  for (size_t i = 0; b.sides && i < b.n; i++) {
    free(b.sides[i].seconds);
    layers_free(&b.sides[i].layers);
    method_free(&b.sides[i].method);
  }
  free(b.sides);
  if (b.set)
    input_release(b.set, b.inputs);
  else
    model_blank_free(&b.model, b.inputs);
  input_close(b.set);
  model_free(&b.model);
  return code;
}

/* xai prototype: what a class looks like to the network. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "array.h"
#include "commands.h"
#include "expert.h"
#include "file.h"
#include "gallery.h"
#include "json.h"
#include "output.h"
#include "params.h"
#include "preprocess.h"
#include "progress.h"
#include "say.h"
#include "stop.h"
#include "target.h"

enum { MOST_INPUTS = 64 };

struct work {
  const struct options *o;
  struct model model, decoder;
  struct target target;
  struct experts experts;
  struct params params;
  xai_param inputs[MOST_INPUTS]; /* names borrowed, tensors ours */
  size_t n_inputs;
  char *names; /* of the arguments, cut */
  struct bundle bundle;
};

/* ---- outputs ---- */

static int write_npy(const struct bundle *b, const struct options *o, const char *path) {
  char err[256];
  (void)o;
  return npy_write(path, bundle_find(b, "prototype"), err) ? say(EXIT_LATER, "%s", err)
                                                           : EXIT_FINE;
}

static int write_npz(const struct bundle *b, const struct options *o, const char *path) {
  (void)o;
  return bundle_write(b, path);
}

static int write_json(const struct bundle *b, const struct options *o, const char *path) {
  char err[256], *text = gallery_json(b);
  (void)o;
  if (!text)
    return say_no_memory();
  int code = file_write(path, text, strlen(text), err) ? say(EXIT_LATER, "%s", err) : EXIT_FINE;
  free(text);
  return code;
}

static const struct {
  const char *extension;
  int (*write)(const struct bundle *b, const struct options *o, const char *path);
} formats[] = {
    {".npz", write_npz}, {".npy", write_npy}, {".png", gallery_sheet}, {".json", write_json}};
enum { FORMATS = sizeof formats / sizeof formats[0] };

/* The index of its format, or FORMATS. */
static size_t format_of(const char *path) {
  size_t n = strlen(path), i = 0;
  for (; i < FORMATS; i++) {
    size_t m = strlen(formats[i].extension);
    if (n > m && !strcasecmp(path + n - m, formats[i].extension))
      break;
  }
  return i;
}

static int check_outputs(const struct options *o) {
  int code = EXIT_FINE;
  for (size_t i = 0; i < o->out.n && !code; i++) {
    if (format_of(o->out.v[i]) == FORMATS)
      code = say(EXIT_USAGE, "--out %s: the name must end in .npz, .npy, .png or .json",
                 o->out.v[i]);
    else
      code = output_check(o->out.v[i]);
  }
  return code;
}

static int write_outputs(const struct work *w) {
  int code = EXIT_FINE;
  for (size_t i = 0; i < w->o->out.n && !code; i++)
    code = formats[format_of(w->o->out.v[i])].write(&w->bundle, w->o, w->o->out.v[i]);
  if (!code && w->o->json)
    code = json_print(gallery_json(&w->bundle));
  else if (!code && !w->o->out.n)
    code = gallery_table(&w->bundle);
  return code;
}

/* ---- what is asked for ---- */

static const struct port *searched(const struct work *w) {
  return w->o->at.n ? model_input(&w->model, w->o->at.v[0])
         : w->model.n_inputs ? &w->model.inputs[0]
                             : NULL;
}

/* How pixels become values, where the input takes pictures: text NULL where it does not. */
static int choose_pixels(const struct work *w, struct picture_layout *layout,
                         struct preprocess *how) {
  bool guessed;
  memset(how, 0, sizeof *how);
  if (!searched(w) || picture_layout_of(searched(w), layout))
    return EXIT_FINE;
  int code = preprocess_choose(&w->model, w->o, layout, how, &guessed);
  if (!code && guessed && !w->o->quiet)
    say_note("pixels are taken as '%s', guessed from the shape; --preprocess says otherwise",
             how->text);
  return code;
}

/* The box that pixels can take, unless another was asked for. */
static int add_box(struct work *w, const struct picture_layout *layout,
                   const struct preprocess *how) {
  if (!how->text || w->o->climb.low || w->o->climb.high || w->o->generator)
    return EXIT_FINE;
  int code = EXIT_FINE;
  for (int side = 0; side < 2 && !code; side++) {
    char text[160];
    size_t n = 0;
    for (int c = 0; c < layout->channels; c++)
      n += (size_t)snprintf(text + n, sizeof text - n, "%s%.9g", c ? ":" : "",
                            (255 * side * how->scale - how->mean[c]) / how->std[c]);
    code = params_add(&w->params, side ? "high" : "low", text);
  }
  return code;
}

static int add_params(struct work *w) {
  const struct climb *c = &w->o->climb;
  const struct {
    const char *name, *value;
  } given[] = {{"score", c->score},         {"steps", c->steps},       {"rate", c->rate},
               {"optimizer", c->optimizer}, {"momentum", c->momentum}, {"restarts", c->restarts},
               {"keep", c->keep},           {"noise", c->noise},       {"low", c->low},
               {"high", c->high},           {"jitter", c->jitter},     {"blur", c->blur},
               {"frequency", c->frequency}};
  int code = EXIT_FINE;
  for (size_t i = 0; i < sizeof given / sizeof given[0] && !code; i++) {
    if (given[i].value)
      code = params_add(&w->params, given[i].name, given[i].value);
  }
  return code;
}

static int add_input(struct work *w, const char *name, const char *file) {
  struct npy_array a;
  xai_tensor *t;
  if (w->n_inputs == MOST_INPUTS)
    return say(EXIT_USAGE, "at most %d inputs", MOST_INPUTS);
  int code = array_read(file, &a);
  if (code)
    return code;
  code = array_to_tensor(&a, file, &t);
  npy_free(&a);
  if (!code)
    w->inputs[w->n_inputs++] = (xai_param){name, t, NULL, 0};
  return code;
}

/* NAME=FILE of the inputs that stay as they are; --init FILE. */
static int add_inputs(struct work *w) {
  const struct options *o = w->o;
  const char *init = o->climb.init;
  size_t size = 1;
  for (size_t i = 1; i < o->args.n; i++)
    size += strlen(o->args.v[i]) + 1;
  char *at = w->names = calloc(1, size);
  int code = at ? EXIT_FINE : say_no_memory();
  for (size_t i = 1; i < o->args.n && !code; i++) {
    const char *equals = strchr(o->args.v[i], '=');
    if (!equals)
      return say(EXIT_USAGE, "a prototype has no INPUT: '%s' is no NAME=FILE of another input",
                 o->args.v[i]);
    memcpy(at, o->args.v[i], (size_t)(equals - o->args.v[i]));
    code = add_input(w, at, equals + 1);
    at += strlen(at) + 1;
  }
  if (code || !init)
    return code;
  if (!strcmp(init, "noise") || !strcmp(init, "zeros") || !strcmp(init, "mean"))
    return params_add(&w->params, "init", init);
  const struct port *z = o->generator ? w->decoder.inputs : searched(w);
  return add_input(w, z ? z->name : NULL, init);
}

static int prepare(struct work *w) {
  const struct options *o = w->o;
  int code = check_outputs(o);
  if (!code)
    code = experts_parse(&o->priors, &w->experts);
  if (!code)
    code = model_load(o->args.v[0], o, NULL, &w->model);
  if (!code && o->generator)
    code = model_load(o->generator, o, NULL, &w->decoder);
  if (!code)
    code = model_read_labels(&w->model, o->labels);
  if (!code)
    code = target_parse(&w->model, o, &w->target);
  if (!code && !w->target.tensor)
    code = say(EXIT_USAGE, "a prototype needs a --target: a number, several, all or @mask.npy");
  if (!code && w->decoder.graph && !w->decoder.n_inputs)
    code = say(EXIT_USAGE, "--generator %s: has no input", o->generator);
  if (!code)
    code = add_params(w);
  if (!code)
    code = add_inputs(w);
  if (!code)
    code = model_digest(&w->model);
  return code ? code : model_session(&w->model, o, NULL, NULL);
}

/* ---- the call ---- */

static int add_provenance(struct work *w, const char *pixels) {
  char seed[32], *labels;
  size_t size = 1;
  const struct model *m = &w->model;
  snprintf(seed, sizeof seed, "%" PRId64, w->o->random_seed);
  for (size_t i = 0; i < m->labels.n; i++)
    size += strlen(m->labels.v[i]) + 1;
  labels = calloc(1, size);
  if (!labels)
    return say_no_memory();
  for (size_t i = 0; i < m->labels.n; i++) {
    if (i)
      strcat(labels, "\n");
    strcat(labels, m->labels.v[i]);
  }
  const struct {
    const char *name, *text;
  } facts[] = {{"tool", "xai " XAI_VERSION_STRING}, {"library", xai_version()},
               {"model", m->path},                  {"model_sha256", m->sha256},
               {"generator", w->o->generator},      {"priors", w->experts.text},
               {"random_seed", seed},               {"preprocess", pixels},
               {"labels", w->target.mask || w->target.output != m->outputs ? NULL : labels}};
  int code = EXIT_FINE;
  for (size_t i = 0; i < sizeof facts / sizeof facts[0] && !code; i++) {
    if (facts[i].text && *facts[i].text)
      code = bundle_add_text(&w->bundle, facts[i].name, facts[i].text);
  }
  free(labels);
  return code;
}

static int climb(struct work *w) {
  const struct options *o = w->o;
  struct picture_layout layout;
  struct preprocess how;
  xai_request r;
  xai_error err;
  xai_result *result = NULL;
  int code = choose_pixels(w, &layout, &how);
  if (!code)
    code = add_box(w, &layout, &how);
  if (code)
    return code;
  memset(&r, 0, sizeof r);
  r.struct_size = sizeof r;
  r.method = "prototype";
  r.params = w->params.v;
  r.n_params = w->params.n;
  r.inputs = w->inputs;
  r.n_inputs = w->n_inputs;
  r.from = w->target.from;
  r.target = w->target.tensor;
  r.at = o->at.v;
  r.n_at = o->at.n;
  r.terms = w->experts.terms;
  r.n_terms = w->experts.n;
  r.decoder = w->decoder.graph;
  r.random_seed = (uint64_t)o->random_seed;
  r.trace = (int32_t)(o->climb.trace > 1 << 30 ? 1 << 30 : o->climb.trace);
  r.cancel = stop_cancel();
  r.progress = progress_call;
  progress_begin("prototype", 1, o->quiet);
  stop_hold();
  int status = xai_explain(w->model.session, &r, &result, &err);
  stop_release();
  progress_end();
  if (result)
    code = bundle_of_result(result, &w->bundle);
  xai_result_free(result);
  if (!code && w->bundle.n)
    code = add_provenance(w, how.text);
  if (!code && w->bundle.n)
    code = write_outputs(w); /* of a stopped ascent, too */
  return status ? say_error(&err, SAY_RUNNING, NULL) : code;
}

int cmd_prototype(const struct options *o) {
  struct work w;
  memset(&w, 0, sizeof w);
  w.o = o;
  if (!o->args.n)
    return say(EXIT_USAGE, "which MODEL? see 'xai prototype --help'");
  int code = prepare(&w);
  if (!code)
    code = climb(&w);
  for (size_t i = 0; i < w.n_inputs; i++)
    xai_tensor_free((xai_tensor *)(size_t)w.inputs[i].tensor);
  free(w.names);
  bundle_free(&w.bundle);
  params_free(&w.params);
  experts_free(&w.experts);
  target_free(&w.target);
  model_free(&w.decoder);
  model_free(&w.model);
  return code;
}

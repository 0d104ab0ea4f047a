/* Methods, rules and the calls that explain. */
#include "explaining.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "progress.h"
#include "say.h"
#include "stop.h"
#include "tokens.h"

static bool in_catalog(int kind, const char *name) {
  const char *entry, *schema;
  for (size_t i = 0; !xai_catalog(kind, i, &entry, &schema); i++) {
    if (!strcmp(entry, name))
      return true;
  }
  return false;
}

int method_check(const struct method *m) {
  const char *names[256], *schema;
  size_t n = 0;
  if (in_catalog(XAI_METHOD, m->name))
    return EXIT_FINE;
  while (n < 256 && !xai_catalog(XAI_METHOD, n, &names[n], &schema))
    n++;
  const char *near = say_nearest(m->name, names, n);
  return say(EXIT_USAGE, "unknown method '%s'%s%s%s; see 'xai methods'", m->name,
             near ? ", did you mean '" : "", near ? near : "",
             near                              ? "'?"
             : in_catalog(XAI_METHOD, "lrp-0") ? ""
                                               : " (this build has no relevance propagation)");
}

int method_parse(const char *text, const struct options *o, struct method *out) {
  const struct {
    const char *name, *value;
  } shorthands[] = {{"seed", o->seed}, {"bias", o->bias}, {"output", o->output}};
  memset(out, 0, sizeof *out);
  if (!text)
    text = in_catalog(XAI_METHOD, "epsilon-plus") ? "epsilon-plus" : "gradient-x-input";
  out->text = text;
  int code = params_named(text, "--method", &out->name, &out->params);
  if (!code)
    code = method_check(out);
  for (size_t i = 0; i < sizeof shorthands / sizeof shorthands[0] && !code; i++) {
    if (shorthands[i].value)
      code = params_add(&out->params, shorthands[i].name, shorthands[i].value);
  }
  return code;
}

void method_free(struct method *m) {
  free(m->name);
  params_free(&m->params);
}

static int row_parse(const char *text, xai_row *row, struct params *params) {
  const char *equals = strchr(text, '=');
  if (!equals || equals == text || !equals[1]) {
    return say(EXIT_USAGE, "--rule takes GLOB=RULE[,k=v...], not '%s'", text);
  }
  char *rule = NULL, *match = strndup(text, (size_t)(equals - text));
  int code = match ? params_named(equals + 1, "--rule", &rule, params) : say_no_memory();
  row->match = match;
  row->rule = rule;
  row->params = params->v;
  row->n_params = params->n;
  if (!code && !in_catalog(XAI_RULE, rule)) {
    const char *names[256], *schema;
    size_t n = 0;
    while (n < 256 && !xai_catalog(XAI_RULE, n, &names[n], &schema))
      n++;
    const char *near = say_nearest(rule, names, n);
    code = say(EXIT_USAGE, "unknown rule '%s'%s%s%s; see 'xai rules'", rule,
               near ? ", did you mean '" : "", near ? near : "", near ? "'?" : "");
  }
  return code;
}

int rows_parse(const struct options *o, struct rows *out) {
  int code = EXIT_FINE;
  memset(out, 0, sizeof *out);
  out->v = calloc(o->rules.n + 1, sizeof *out->v);
  out->params = calloc(o->rules.n + 1, sizeof *out->params);
  if (!out->v || !out->params)
    return say_no_memory();
  for (size_t i = 0; i < o->rules.n && !code; i++) {
    code = row_parse(o->rules.v[i], &out->v[i], &out->params[i]);
    out->n++;
  }
  return code;
}

void rows_free(struct rows *r) {
  for (size_t i = 0; i < r->n; i++) {
    free((char *)(size_t)r->v[i].match);
    free((char *)(size_t)r->v[i].rule);
    params_free(&r->params[i]);
  }
  free(r->v);
  free(r->params);
  memset(r, 0, sizeof *r);
}

/* The scale of every heatmap of an item. */
static int add_scales(struct report *r, size_t item) {
  struct item *it = &r->items[item];
  double *scale = malloc(r->n_targets * sizeof *scale);
  bool all = scale != NULL;
  for (size_t t = 0; t < r->n_targets && all; t++) {
    struct map map;
    int code = map_make(r, item, t, &map);
    if (code) {
      free(scale);
      return code;
    }
    scale[t] = map.scale;
    all = map.values != NULL;
    free(map.values);
  }
  if (!all)
    free(scale);
  else
    it->scale = scale;
  return EXIT_FINE;
}

/* The request of one call, but for its inputs. */
static void fill_request(const struct report *r, const struct method *method,
                         const struct rows *rows, const struct target *target, bool ledger,
                         xai_request *out) {
  const struct options *o = r->options;
  memset(out, 0, sizeof *out);
  out->struct_size = sizeof *out;
  out->method = method->name;
  out->params = method->params.v;
  out->n_params = method->params.n;
  out->n_inputs = r->model->n_inputs;
  out->from = target->from;
  out->top = target->top;
  out->at = o->at.v;
  out->n_at = o->at.n;
  out->rows = rows->v;
  out->n_rows = rows->n;
  out->random_seed = (uint64_t)o->random_seed;
  out->ledger = ledger;
  out->cancel = stop_cancel();
  out->progress = progress_call;
}

int explain_all(struct report *r, const struct method *method, const struct rows *rows,
                struct target *target, const struct lines *token_labels,
                const struct outputs *files, struct ledger *ledger) {
  size_t count = input_count(r->inputs), chunk = input_chunk(r->inputs);
  int code = EXIT_FINE;
  xai_request request;
  fill_request(r, method, rows, target, ledger != NULL, &request);
  progress_begin(method->name, count, r->options->quiet);
  for (size_t first = 0; first < count && !code; first += chunk) {
    size_t n = count - first < chunk ? count - first : chunk;
    xai_param *inputs;
    xai_result *result = NULL;
    xai_error err;
    if (stop_wanted())
      return stop_say();
    code = input_tensors(r->inputs, first, n, &inputs);
    if (code)
      break;
    if (target->later)
      code = target_place(r->model, inputs, n, target);
    request.inputs = inputs;
    request.target = target->tensor;
    progress_span(first, n);
    stop_hold();
    if (!code && xai_explain(r->model->session, &request, &result, &err)) {
      code = say_error(&err, SAY_RUNNING, NULL);
    }
    stop_release();
    input_release(r->inputs, inputs);
    if (!code)
      code = report_add(r, result, "relevance", n);
    if (!code && ledger)
      code = ledger_add(ledger, result);
    xai_result_free(result);
    for (size_t i = 0; i < n && !code; i++) {
      code = add_scales(r, first + i);
      if (!code)
        code = tokens_add(r, first + i, token_labels);
      if (!code)
        code = output_item(files, r, first + i);
    }
  }
  progress_end();
  return code ? code : output_end(files, r);
}

/* xai explain: why the network decided so. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include "commands.h"
#include "contact.h"
#include "explaining.h"
#include "input.h"
#include "say.h"
#include "show.h"
#include "tokens.h"

enum { MOST_ZOOM = 64, SHOWN = 4 };

/* All that the command holds. */
struct work {
  const struct options *o;
  struct model model;
  struct input_set *inputs;
  struct target target;
  struct rows rows;
  struct method *methods;
  struct report *reports; /* as many */
  size_t n;
  struct outputs files;
  struct ledger ledger;
  struct lines token_labels;
};

static bool ends_in(const char *text, const char *end) {
  size_t n = strlen(text), m = strlen(end);
  return n >= m && !strcasecmp(text + n - m, end);
}

/* What the options alone can tell. */
static int check_options(const struct options *o) {
  if (!o->args.n)
    return say(EXIT_USAGE, "which MODEL? see 'xai explain --help'");
  if (o->zoom > MOST_ZOOM)
    return say(EXIT_USAGE, "--zoom goes up to %d", MOST_ZOOM);
  if (o->clip > 100)
    return say(EXIT_USAGE, "--clip takes a percentile, 0 to 100");
  if (o->methods.n > 1 && !o->sheet) {
    return say(EXIT_USAGE, "several methods need --sheet FILE.png");
  }
  if (o->methods.n > 1 && (o->out.n || o->ledger || o->json)) {
    return say(EXIT_USAGE, "--out, --ledger and --json take one method, not %zu", o->methods.n);
  }
  if (o->sheet && !ends_in(o->sheet, ".png")) {
    return say(EXIT_USAGE, "--sheet %s: the name must end in .png", o->sheet);
  }
  if (o->ledger && !ends_in(o->ledger, ".json")) {
    return say(EXIT_USAGE, "--ledger %s: the name must end in .json", o->ledger);
  }
  return output_formats(o, true);
}

static int prepare(struct work *w) {
  const struct options *o = w->o;
  w->n = o->methods.n ? o->methods.n : 1;
  w->methods = calloc(w->n, sizeof *w->methods);
  w->reports = calloc(w->n, sizeof *w->reports);
  int code = w->methods && w->reports ? EXIT_FINE : say_no_memory();
  for (size_t i = 0; i < w->n && !code; i++) {
    code = method_parse(o->methods.n ? o->methods.v[i] : NULL, o, &w->methods[i]);
  }
  for (size_t i = 0; i < w->n && !code; i++) {
    if (!strcmp(w->methods[i].name, "prototype"))
      code = say(EXIT_USAGE, "a prototype explains no input: see 'xai prototype --help'");
  }
  if (!code)
    code = rows_parse(o, &w->rows);
  if (!code)
    code = model_load(o->args.v[0], o, NULL, &w->model);
  if (!code && o->args.n < 2 && !o->tokens.n && w->model.n_inputs) {
    code = say(EXIT_USAGE, "which INPUT? see 'xai explain --help'");
  }
  if (!code)
    code = model_read_labels(&w->model, o->labels);
  if (!code && o->token_labels)
    code = lines_read(o->token_labels, &w->token_labels);
  if (!code)
    code = target_parse(&w->model, o, &w->target);
  if (!code && o->sheet && w->target.n > 1) {
    code = say(EXIT_USAGE, "--sheet takes one target, not %zu", w->target.n);
  }
  if (!code)
    code = input_open(&w->model, o, o->args.v + 1, o->args.n - 1, &w->inputs);
  if (!code)
    code = tokens_check(w->inputs, &w->token_labels);
  if (!code)
    code = output_plan(o, w->inputs, w->target.n, true, &w->files);
  if (!code && o->sheet)
    code = output_check(o->sheet);
  if (!code && o->ledger)
    code = output_check(o->ledger);
  if (!code && (o->json || o->sheet || o->ledger || w->files.n))
    code = model_digest(&w->model);
  return code ? code : model_session(&w->model, o, NULL, NULL);
}

static int work(struct work *w) {
  const struct options *o = w->o;
  bool few = input_count(w->inputs) * w->target.n <= SHOWN;
  int code = EXIT_FINE;
  if (o->sheet || (few && isatty(STDOUT_FILENO)))
    w->files.keep = true;
  for (size_t i = 0; i < w->n && !code; i++) {
    struct report *r = &w->reports[i];
    code = report_begin(r, &w->model, o, w->inputs, true, 5);
    r->output = w->target.mask ? NULL : w->target.output;
    if (!code) {
      code = explain_all(r, &w->methods[i], &w->rows, &w->target, &w->token_labels, &w->files,
                         o->ledger ? &w->ledger : NULL);
    }
  }
  if (!code && o->sheet)
    code = contact_write(w->reports, w->methods, w->n, o->sheet);
  if (!code && o->ledger)
    code = ledger_write(&w->ledger, w->reports, o->ledger);
  if (!code && o->json)
    code = show_json(w->reports);
  else if (!code && !w->files.n && !o->sheet)
    code = show_explanation(w->reports);
  return !code && o->ledger ? ledger_show(&w->ledger, w->reports) : code;
}

int cmd_explain(const struct options *o) {
  struct work w;
  memset(&w, 0, sizeof w);
  w.o = o;
  int code = check_options(o);
  if (!code)
    code = prepare(&w);
  if (!code)
    code = work(&w);
  for (size_t i = 0; i < w.n; i++) {
    if (w.methods)
      method_free(&w.methods[i]);
    if (w.reports)
      report_free(&w.reports[i]);
  }
  free(w.methods);
  free(w.reports);
  rows_free(&w.rows);
  target_free(&w.target);
  output_free(&w.files);
  ledger_free(&w.ledger);
  lines_free(&w.token_labels);
  input_close(w.inputs);
  model_free(&w.model);
  return code;
}

/* xai run: inputs through the network. */
#include <stdio.h>
#include <string.h>
#include "commands.h"
#include "input.h"
#include "output.h"
#include "progress.h"
#include "report.h"
#include "say.h"
#include "show.h"
#include "stop.h"

/* One library call: n items from `first` on. */
static int run_items(struct report *r, const struct outputs *files, size_t first, size_t n) {
  const struct options *o = r->options;
  xai_error err;
  xai_result *result = NULL;
  xai_param *inputs;
  int code = input_tensors(r->inputs, first, n, &inputs);
  if (code)
    return code;
  xai_param output = {"output", NULL, o->output, 0};
  xai_request request;
  memset(&request, 0, sizeof request);
  request.struct_size = sizeof request;
  request.params = &output;
  request.n_params = o->output ? 1 : 0;
  request.inputs = inputs;
  request.n_inputs = r->model->n_inputs;
  request.at = o->at.v;
  request.n_at = o->at.n;
  request.random_seed = (uint64_t)o->random_seed;
  request.cancel = stop_cancel();
  request.progress = progress_call;
  progress_span(first, n);
  stop_hold();
  int status = xai_run(r->model->session, &request, &result, &err);
  stop_release();
  input_release(r->inputs, inputs);
  if (status)
    code = say_error(&err, SAY_RUNNING, NULL);
  if (!code)
    code = report_add(r, result, "output", n);
  xai_result_free(result);
  for (size_t i = 0; i < n && !code; i++)
    code = output_item(files, r, first + i);
  return code;
}

static int run_all(struct report *r, const struct outputs *files) {
  size_t count = input_count(r->inputs), chunk = input_chunk(r->inputs);
  int code = EXIT_FINE;
  progress_begin("running", count, r->options->quiet);
  for (size_t first = 0; first < count && !code; first += chunk) {
    code = stop_wanted()
               ? stop_say()
               : run_items(r, files, first, count - first < chunk ? count - first : chunk);
  }
  progress_end();
  return code ? code : output_end(files, r);
}

int cmd_run(const struct options *o) {
  struct model m;
  struct report r;
  struct outputs files;
  struct input_set *inputs = NULL;
  memset(&m, 0, sizeof m);
  memset(&r, 0, sizeof r);
  memset(&files, 0, sizeof files);
  if (!o->args.n)
    return say(EXIT_USAGE, "which MODEL? see 'xai run --help'");
  if (o->output && !strcmp(o->output, "log-prob")) {
    return say(EXIT_USAGE, "--output log-prob is for 'xai explain'");
  }
  int code = output_formats(o, false);
  if (!code)
    code = model_load(o->args.v[0], o, NULL, &m);
  if (!code && o->args.n < 2 && !o->tokens.n && m.n_inputs) {
    code = say(EXIT_USAGE, "which INPUT? see 'xai run --help'");
  }
  if (!code)
    code = model_read_labels(&m, o->labels);
  if (!code)
    code = input_open(&m, o, o->args.v + 1, o->args.n - 1, &inputs);
  if (!code)
    code = output_plan(o, inputs, 1, false, &files);
  if (!code && (o->json || files.n))
    code = model_digest(&m);
  if (!code)
    code = model_session(&m, o, NULL, NULL);
  size_t top = o->top > REPORT_MOST_TOP ? REPORT_MOST_TOP : o->top > 0 ? (size_t)o->top : 5;
  if (!code)
    code = report_begin(&r, &m, o, inputs, false, top);
  if (!code)
    code = run_all(&r, &files);
  if (!code && o->json)
    code = show_json(&r);
  else if (!code && !files.n)
    code = show_run(&r);
  output_free(&files);
  report_free(&r);
  input_close(inputs);
  model_free(&m);
  return code;
}

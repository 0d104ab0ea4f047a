/* Occlusion [Zeiler and Fergus 2014]: a pixel's relevance is the mean, over the windows that cover it,
 * of f(x) - f(x with the window replaced by `value`).
 *
 * Windows span all channels: every axis from 2 on (of a tensor of rank 2 or less: the last one). They
 * start every `stride` pixels until they cover the end, and are cut at the border. */
#include <string.h>

#include "explain/job.h"

typedef struct occlusion {
  xai__job *j;
  int input;
  xai__shape shape;
  int first;                  /* first axis that a window cuts */
  int64_t window, stride;
  int64_t starts[XAI__MAX_RANK], total; /* windows along each axis, and in all */
  float value;
  float *x;       /* the input with a window replaced */
  int *coverage;  /* per element of an item */
} occlusion;

/* Calls f on each run [from, from + n) of one item's elements inside window w. */
typedef void (*run_fn)(occlusion *o, int64_t from, int64_t n, void *ctx);

static void each_run(occlusion *o, int64_t w, run_fn f, void *ctx) {
  int64_t low[XAI__MAX_RANK], high[XAI__MAX_RANK], at[XAI__MAX_RANK];
  int rank = o->shape.rank;
  for (int i = rank - 1; i >= 1; i--) {
    low[i] = 0;
    high[i] = o->shape.d[i];
    if (i < o->first) continue;
    low[i] = w % o->starts[i] * o->stride;
    if (low[i] + o->window < high[i]) high[i] = low[i] + o->window;
    w /= o->starts[i];
  }
  for (int i = 1; i < rank; i++) at[i] = low[i];
  for (;;) {
    int64_t offset = 0;
    for (int i = 1; i < rank; i++) offset = offset * o->shape.d[i] + at[i];
    f(o, offset, high[rank - 1] - low[rank - 1], ctx);
    int i = rank - 2;
    while (i >= 1 && ++at[i] == high[i]) {
      at[i] = low[i];
      i--;
    }
    if (i < 1) return;
  }
}

static void cover(occlusion *o, int64_t from, int64_t n, void *ctx) {
  (void)ctx;
  for (int64_t e = from; e < from + n; e++) o->coverage[e]++;
}

static void replace(occlusion *o, int64_t from, int64_t n, void *ctx) {
  int64_t size = xai__span(&o->shape, 1, o->shape.rank);
  (void)ctx;
  for (int64_t item = 0; item < o->shape.d[0]; item++)
    for (int64_t e = from; e < from + n; e++) o->x[item * size + e] = o->value;
}

typedef struct credit {
  float *R;
  float drop;
} credit;

static void add_drop(occlusion *o, int64_t from, int64_t n, void *ctx) {
  const credit *c = ctx;
  for (int64_t e = from; e < from + n; e++) c->R[e] += c->drop / (float)o->coverage[e];
}

static int run_window(occlusion *o, int at, int64_t w, void **data) {
  xai__job *j = o->j;
  const xai__targets *t = &j->targets;
  int64_t n = xai__count(&o->shape), size = n / o->shape.d[0];
  memcpy(o->x, j->in.data[o->input], (size_t)n * sizeof *o->x);
  each_run(o, w, replace, NULL);
  XAI__TRY(xai__forward(j->plan, data, &j->watch, j->err));
  const float *y = xai__f(&j->plan->value[j->source]);
  for (int64_t k = 0; k < t->n; k++)
    for (int64_t item = 0; item < t->items; item++) {
      double f = xai__targets_value(t, k, item, y + item * t->size);
      credit c = {xai__job_full(j, k, at) + item * size, (float)(t->f[k * t->items + item] - f)};
      each_run(o, w, add_drop, &c);
    }
  return XAI_OK;
}

static int run_input(occlusion *o, int at) {
  xai__job *j = o->j;
  const xai_graph *g = j->s->graph;
  for (o->input = 0; g->inputs[o->input] != j->at[at];) o->input++;
  o->shape = j->in.shape[o->input];
  if (o->shape.rank < 2 || o->shape.d[0] != j->targets.items)
    return xai__fail(j->err, XAI_E_UNSUPPORTED, j->name[at], "occlusion needs an input with a batch axis and another, not %s",
                     xai__shape_text(&o->shape).text);
  o->first = o->shape.rank > 2 ? 2 : 1;
  o->total = 1;
  for (int i = o->first; i < o->shape.rank; i++) {
    int64_t rest = o->shape.d[i] - o->window;
    o->starts[i] = rest > 0 ? (rest + o->stride - 1) / o->stride + 1 : 1;
    o->total *= o->starts[i];
  }
  size_t n = (size_t)xai__count(&o->shape);
  o->x = xai__arena_new(&j->in.arena, n + 1, sizeof *o->x, j->err);
  o->coverage = xai__arena_new(&j->in.arena, n + 1, sizeof *o->coverage, j->err);
  void **data = xai__arena_new(&j->in.arena, (size_t)g->n_inputs, sizeof *data, j->err);
  if (!o->x || !o->coverage || !data) return j->err->status;
  memcpy(data, j->in.data, (size_t)g->n_inputs * sizeof *data);
  data[o->input] = o->x;
  for (int64_t w = 0; w < o->total && n; w++) each_run(o, w, cover, NULL);
  for (int64_t w = 0; w < o->total && n; w++) {
    j->watch.span = 1 / (double)(o->total * j->n_at);
    j->watch.from = (double)(at * o->total + w) * j->watch.span;
    XAI__TRY(run_window(o, at, w, data));
  }
  return XAI_OK;
}

int xai__run_occlusion(xai__job *j) {
  occlusion o = {.j = j, .window = (int64_t)xai__params_number(&j->params, "window"),
                 .stride = (int64_t)xai__params_number(&j->params, "stride"),
                 .value = (float)xai__params_number(&j->params, "value")};
  if (o.stride > o.window)
    return xai__fail(j->err, XAI_E_ARGUMENT, "stride", "stride %lld is larger than window %lld: pixels would be left out",
                     (long long)o.stride, (long long)o.window);
  XAI__TRY(xai__job_inputs_only(j));
  XAI__TRY(xai__job_begin(j));
  for (int i = 0; i < j->n_at; i++) XAI__TRY(run_input(&o, i));
  return xai__job_end(j);
}

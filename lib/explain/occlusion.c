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
  int64_t times;  /* windows a batch */
  xai__plan *plan;
  void **data;    /* per graph input: `times` copies; those of `input` with a window replaced */
  float *x;       /* the copy at hand */
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

/* Windows [first, first + times), the last one over again where there are fewer. */
static int run_windows(occlusion *o, int at, int64_t first) {
  xai__job *j = o->j;
  const xai__targets *t = &j->targets;
  int64_t n = xai__count(&o->shape), size = n / o->shape.d[0];
  for (int64_t i = 0; i < o->times; i++) {
    o->x = (float *)o->data[o->input] + i * n;
    memcpy(o->x, j->in.data[o->input], (size_t)n * sizeof *o->x);
    each_run(o, first + i < o->total ? first + i : o->total - 1, replace, NULL);
  }
  XAI__TRY(xai__forward(o->plan, o->data, &j->watch, j->err));
  const float *y = xai__f(&o->plan->value[j->source]);
  for (int64_t i = 0; i < o->times && first + i < o->total; i++)
    for (int64_t k = 0; k < t->n; k++)
      for (int64_t item = 0; item < t->items; item++) {
        double f = xai__targets_value(t, k, item, y + (i * t->items + item) * t->size);
        credit c = {xai__job_full(j, k, at) + item * size, (float)(t->f[k * t->items + item] - f)};
        each_run(o, first + i, add_drop, &c);
      }
  return XAI_OK;
}

/* The inputs, `times` over. */
static int make_data(occlusion *o) {
  xai__job *j = o->j;
  const xai_graph *g = j->s->graph;
  o->data = xai__arena_new(&j->in.arena, (size_t)g->n_inputs, sizeof *o->data, j->err);
  if (!o->data) return j->err->status;
  for (int i = 0; i < g->n_inputs; i++) {
    size_t bytes = (size_t)xai__count(&j->in.shape[i]) *
                   xai__dtype_size(j->plan->value[g->inputs[i]].dtype);
    o->data[i] = xai__arena_new(&j->in.arena, bytes + 1, (size_t)o->times, j->err);
    if (!o->data[i]) return j->err->status;
    for (int64_t t = 0; t < o->times; t++)
      memcpy((char *)o->data[i] + (size_t)t * bytes, j->in.data[i], bytes);
  }
  return XAI_OK;
}

static occlusion read_params(xai__job *j) {
  return (occlusion){.j = j, .window = (int64_t)xai__params_number(&j->params, "window"),
                     .stride = (int64_t)xai__params_number(&j->params, "stride"),
                     .value = (float)xai__params_number(&j->params, "value")};
}

static void count_windows(occlusion *o) {
  o->first = o->shape.rank > 2 ? 2 : 1;
  o->total = 1;
  for (int i = o->first; i < o->shape.rank; i++) {
    int64_t rest = o->shape.d[i] - o->window;
    o->starts[i] = rest > 0 ? (rest + o->stride - 1) / o->stride + 1 : 1;
    o->total *= o->starts[i];
  }
}

int64_t xai__extra_windows(const xai__job *j) {
  occlusion o = read_params((xai__job *)(uintptr_t)j);
  int64_t most = 1;
  for (int i = 0; i < j->s->graph->n_inputs; i++) {
    o.shape = j->in.shape[i];
    count_windows(&o);
    if (o.total > most) most = o.total;
  }
  return (xai__job_batch(j, most) + 1) * (j->plan->bytes + xai__extra_inputs(j));
}

static int run_input(occlusion *o, int at) {
  xai__job *j = o->j;
  const xai_graph *g = j->s->graph;
  for (o->input = 0; g->inputs[o->input] != j->at[at];) o->input++;
  o->shape = j->in.shape[o->input];
  if (o->shape.rank < 2 || o->shape.d[0] != j->targets.items)
    return xai__fail(j->err, XAI_E_UNSUPPORTED, j->name[at], "occlusion needs an input with a batch axis and another, not %s",
                     xai__shape_text(&o->shape).text);
  count_windows(o);
  size_t n = (size_t)xai__count(&o->shape);
  o->coverage = xai__arena_new(&j->in.arena, n + 1, sizeof *o->coverage, j->err);
  if (!o->coverage) return j->err->status;
  if (!o->times) o->times = xai__job_batch(j, o->total); /* the same plan for every input */
  XAI__TRY(xai__job_plan(j, o->times, &o->plan));
  XAI__TRY(make_data(o));
  for (int64_t w = 0; w < o->total && n; w++) each_run(o, w, cover, NULL);
  for (int64_t w = 0; w < o->total && n; w += o->times) {
    double share = 1 / (double)(o->total * j->n_at);
    j->watch.from = (double)(at * o->total + w) * share;
    j->watch.span = (double)(o->times < o->total - w ? o->times : o->total - w) * share;
    XAI__TRY(run_windows(o, at, w));
  }
  return XAI_OK;
}

int xai__run_occlusion(xai__job *j) {
  occlusion o = read_params(j);
  if (o.stride > o.window)
    return xai__fail(j->err, XAI_E_ARGUMENT, "stride", "stride %lld is larger than window %lld: pixels would be left out",
                     (long long)o.stride, (long long)o.window);
  XAI__TRY(xai__job_inputs_only(j));
  XAI__TRY(xai__job_begin(j));
  for (int i = 0; i < j->n_at; i++) XAI__TRY(run_input(&o, i));
  return xai__job_end(j);
}

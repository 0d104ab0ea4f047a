/* Fits Boltzmann machines, dense (rbm) and convolutional (conv-rbm), by steps of contrastive divergence
 * over shuffled batches; a and s start at the data's mean and deviation, W small and by chance. Then
 * log_z, where `betas` is not 0.
 *
 * What is trained is the machine of x - shift, shift the data's mean, which is far better conditioned
 * [Montavon and Mueller 2012, the centering trick]; that of x has a + shift and b - W' shift / s^2. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/random.h"
#include "prior/contrast.h"

enum { CHAINS = 100, WATCHED = 1000, ORDER = 1, WEIGHTS, TRAINING, ANNEALING }; /* upper half of a stream */

typedef struct training {
  xai__fit *f;
  xai__contrast t;
  int64_t epochs, done;           /* done: steps */
  int64_t *order;                 /* of the items */
  float *shift;                   /* [n_a] */
  float *reconstruction, *gap;    /* traces [epochs] */
} training;

static uint64_t stream(int what, int64_t i) { return (uint64_t)what << 32 | (uint64_t)i; }

/* ---- the start ---- */

/* Means of elements (or channels); returns the variance around them. */
static double find_shift(const xai__fit *f, int64_t n_a, float *shift, double *mean) {
  const int64_t width = f->n / n_a;
  double sum = 0;
  xai__fit_mean(f, mean);
  for (int64_t k = 0; k < n_a; k++) {
    double of_channel = 0;
    for (int64_t i = k * width; i < (k + 1) * width; i++) of_channel += mean[i] / (double)width;
    shift[k] = (float)of_channel;
  }
  for (int64_t item = 0; item < f->items; item++)
    for (int64_t k = 0; k < n_a; k++)
      for (int64_t i = k * width; i < (k + 1) * width; i++) {
        const double d = (double)f->data[item * f->n + i] - (double)shift[k];
        sum += d * d;
      }
  return sum / (double)(f->items * f->n);
}

/* x - shift of one item. */
static void take(const training *g, const float *x, float *to) {
  const int64_t width = g->f->n / g->t.n_a;
  for (int64_t k = 0; k < g->t.n_a; k++)
    for (int64_t i = k * width; i < (k + 1) * width; i++) to[i] = x[i] - g->shift[k];
}

static int start(training *g, xai__arena *arena) {
  xai__fit *f = g->f;
  xai__contrast *t = &g->t;
  const xai__value *given = xai__params_find(&f->params, "deviation");
  XAI__TRY(xai__contrast_allocate(t, arena, f->err));
  double variance = find_shift(f, t->n_a, g->shift, t->pull);
  if (given->set) variance = given->number * given->number;
  if (!(variance > 0)) variance = 1; /* constant data */
  t->low = 1e-3 * variance;
  t->high = 10 * variance;
  for (int64_t i = 0; i < t->n_s; i++) t->s[i] = (float)sqrt(variance);
  xai__normals(f->seed, stream(WEIGHTS, 0), t->n_w, t->w);
  const float scale = 0.1f * (float)sqrt(variance / (double)(t->r.conv ? t->n_w / t->n_b : f->n));
  for (int64_t i = 0; i < t->n_w; i++) t->w[i] *= scale;
  for (int64_t j = 0; j < t->n_b && t->sparsity > 0; j++) t->b[j] = logf(t->sparsity / (1 - t->sparsity));
  for (int64_t k = 0; k < t->batch; k++) /* persistent chains start at data */
    take(g, f->data + k * f->items / t->batch * f->n, t->x + (t->batch + k) * f->n);
  for (int64_t i = 0; i < f->items; i++) g->order[i] = i;
  xai__contrast_spread(t);
  return XAI_OK;
}

/* ---- how it goes ---- */

/* Mean F and squared error of one step down and up, of some items. */
static int watch_items(training *g, const float *data, int64_t items, double *energy, double *error) {
  const xai__rbm *r = &g->t.r;
  const int64_t batch = g->t.batch;
  xai__engine *e = g->f->engine;
  const size_t mark = xai__scratch_mark(e);
  double *quadratic = xai__scratch(e, (size_t)(2 * batch), sizeof *quadratic, g->f->err);
  int status = quadratic ? XAI_OK : g->f->err->status;
  if (items > WATCHED) items = WATCHED;
  *energy = *error = 0;
  for (int64_t first = 0; first < items && !status; first += batch) {
    const int64_t count = items - first < batch ? items - first : batch;
    float *x = g->t.x; /* the next step fills it anew */
    for (int64_t k = 0; k < count; k++) take(g, data + (first + k) * r->n, x + k * r->n);
    xai__rbm_scale(r, e, count, x, NULL, 1, x, g->t.scaled);
    status = xai__rbm_up(r, e, count, g->t.scaled, g->t.pre, g->f->err);
    if (!status) {
      xai__rbm_energies(r, e, count, x, g->t.pre, 1, quadratic, quadratic + batch);
      xai__rbm_hidden(r, e, count, g->t.pre, 1, 1, NULL, g->t.state, NULL);
      status = xai__rbm_down(r, e, count, g->t.state, g->t.mean, g->f->err);
    }
    for (int64_t k = 0; k < count && !status; k++) *energy += quadratic[k] - quadratic[batch + k];
    for (int64_t i = 0; i < count * r->n && !status; i++) {
      const double d = (double)x[i] - (double)g->t.mean[i];
      *error += d * d / (double)r->n;
    }
  }
  *energy /= (double)items;
  *error /= (double)items;
  xai__scratch_release(e, mark);
  return status;
}

static int end_epoch(training *g, int64_t epoch, char stage[96]) {
  xai__fit *f = g->f;
  double energy, error, held_energy = 0, ignored;
  XAI__TRY(watch_items(g, f->data, f->items, &energy, &error));
  if (!isfinite(energy) || !isfinite(error))
    return xai__fail(f->err, XAI_E_NUMBER, "rate", "the fit diverged in epoch %lld: try a lower rate than %g",
                     (long long)(epoch + 1), (double)g->t.rate);
  if (f->held) XAI__TRY(watch_items(g, f->held_out, f->held, &held_energy, &ignored));
  g->reconstruction[epoch] = (float)error;
  g->gap[epoch] = (float)(held_energy - energy);
  snprintf(stage, 96, "epoch %lld: reconstruction %.6g%s%.6g", (long long)(epoch + 1), error,
           f->held ? ", free-energy gap " : "", f->held ? held_energy - energy : 0);
  if (!f->held) snprintf(stage, 96, "epoch %lld: reconstruction %.6g", (long long)(epoch + 1), error);
  return XAI_OK;
}

/* ---- the epochs ---- */

static void shuffle(training *g, int64_t epoch) {
  for (int64_t i = g->f->items - 1; i > 0; i--) {
    uint32_t words[4];
    xai__philox(g->f->seed, stream(ORDER, epoch), (uint64_t)i, words);
    const int64_t other = (int64_t)(((uint64_t)words[0] << 32 | words[1]) % (uint64_t)(i + 1)), swap = g->order[i];
    g->order[i] = g->order[other];
    g->order[other] = swap;
  }
}

static int run_epoch(training *g, int64_t epoch, const char *stage) {
  xai__fit *f = g->f;
  xai__contrast *t = &g->t;
  const int64_t batches = f->items / t->batch;
  shuffle(g, epoch);
  for (int64_t k = 0; k < batches; k++) {
    const double part = (double)(epoch * batches + k) / (double)(g->epochs * batches);
    XAI__TRY(xai__watch_check(&f->watch, stage, part, f->err));
    for (int64_t i = 0; i < t->batch; i++)
      take(g, f->data + g->order[k * t->batch + i] * f->n, t->x + i * f->n);
    XAI__TRY(xai__contrast_step(t, f->engine, f->err));
    g->done++;
  }
  return XAI_OK;
}

/* shift' W / s^2 of hidden unit (or filter) j. */
static double shifted(const training *g, int64_t j) {
  const xai__contrast *t = &g->t;
  const int64_t taps = t->n_w / t->n_b;
  double sum = 0;
  for (int64_t i = 0; i < taps; i++) {
    const double s = (double)t->s[t->n_s == 1 ? 0 : i];
    const double w = (double)(t->r.conv ? t->w[j * taps + i] : t->w[i * t->n_b + j]);
    sum += (double)g->shift[i * t->n_a / taps] * w / (s * s);
  }
  return sum;
}

static int give(training *g, int64_t epochs) {
  xai__fit *f = g->f;
  const xai__contrast *t = &g->t;
  const int64_t dense[] = {t->r.n, t->r.m};
  const int64_t conv[] = {t->r.filters, t->r.channels, t->r.kernel[0], t->r.kernel[1]};
  float *w, *a, *b, *s, *trace;
  XAI__TRY(xai__fit_tensor(f, "W", t->r.conv ? 4 : 2, t->r.conv ? conv : dense, &w));
  XAI__TRY(t->r.conv ? xai__fit_tensor(f, "c", 1, &t->n_a, &a) : xai__fit_tensor(f, "a", f->item.rank, f->item.d, &a));
  XAI__TRY(xai__fit_tensor(f, "b", 1, &t->n_b, &b));
  XAI__TRY(xai__fit_tensor(f, "s", 1, &t->n_s, &s));
  memcpy(w, t->w, (size_t)t->n_w * sizeof *w);
  for (int64_t i = 0; i < t->n_a; i++) a[i] = t->a[i] + g->shift[i];
  for (int64_t j = 0; j < t->n_b; j++) b[j] = (float)((double)t->b[j] - shifted(g, j));
  memcpy(s, t->s, (size_t)t->n_s * sizeof *s);
  if (t->r.conv) {
    XAI__TRY(xai__fit_number(f, "pool", (double)t->r.pool));
    XAI__TRY(xai__fit_number(f, "height", (double)t->r.size[0]));
    XAI__TRY(xai__fit_number(f, "width", (double)t->r.size[1]));
  }
  XAI__TRY(xai__fit_tensor(f, "trace/reconstruction", 1, &epochs, &trace));
  memcpy(trace, g->reconstruction, (size_t)epochs * sizeof *trace);
  if (!f->held) return XAI_OK;
  XAI__TRY(xai__fit_tensor(f, "trace/gap", 1, &epochs, &trace));
  memcpy(trace, g->gap, (size_t)epochs * sizeof *trace);
  return XAI_OK;
}

static int give_log_z(training *g) {
  xai__fit *f = g->f;
  const int64_t betas = (int64_t)xai__params_number(&f->params, "betas");
  double log_z, deviation = 0;
  if (!betas) return XAI_OK;
  if (g->t.r.m <= XAI__EXACT) {
    XAI__TRY(xai__rbm_log_z_exact(&g->t.r, f->engine, &log_z, f->err));
  } else {
    XAI__TRY(xai__rbm_log_z_ais(&g->t.r, f->engine, CHAINS, betas, f->seed ^ stream(ANNEALING, 0), &log_z, &deviation, f->err));
  }
  XAI__TRY(xai__fit_number(f, "log_z", log_z));
  return xai__fit_number(f, "fit/log_z-deviation", deviation);
}

static int train(training *g) {
  xai__fit *f = g->f;
  char stage[96] = "epoch 0";
  int64_t epoch = 0;
  int status = XAI_OK;
  for (; epoch < g->epochs && !status; epoch++) {
    status = run_epoch(g, epoch, stage);
    if (!status) status = end_epoch(g, epoch, stage);
    if (status) break;
  }
  f->cut_short = status == XAI_E_CANCELLED && g->done;
  if (status && !f->cut_short) return status;
  const xai_error stopped = *f->err;
  XAI__TRY(give(g, epoch));
  if (!status) return give_log_z(g);
  *f->err = stopped;
  return status;
}

/* What both kinds share, once r and the n_* are set. */
static int run(xai__fit *f, xai__contrast *t) {
  const xai__params *p = &f->params;
  training g = {.f = f, .t = *t, .epochs = (int64_t)xai__params_number(p, "epochs")};
  xai__arena arena = {.memory = f->memory};
  const int64_t batch = (int64_t)xai__params_number(p, "batch");
  g.t.batch = batch < f->items ? batch : f->items;
  g.t.steps = (int64_t)xai__params_number(p, "steps");
  g.t.persistent = xai__params_is(p, "persistent", "on");
  g.t.sample = xai__params_is(p, "visible", "sample");
  g.t.learn_variance = xai__params_is(p, "variance", "learned");
  g.t.rate = (float)xai__params_number(p, "rate");
  g.t.momentum = (float)xai__params_number(p, "momentum");
  g.t.decay = (float)xai__params_number(p, "decay");
  g.t.sparsity = (float)xai__params_number(p, "sparsity");
  g.t.sparsity_cost = (float)xai__params_number(p, "sparsity-cost");
  g.t.seed = f->seed;
  g.t.stream = stream(TRAINING, 0);
  if (g.t.learn_variance && !t->r.conv) g.t.n_s = f->n;
  g.order = xai__arena_new(&arena, (size_t)f->items, sizeof *g.order, f->err);
  g.reconstruction = xai__arena_new(&arena, (size_t)g.epochs, sizeof(float), f->err);
  g.gap = xai__arena_new(&arena, (size_t)g.epochs, sizeof(float), f->err);
  g.shift = xai__arena_new(&arena, (size_t)t->n_a, sizeof(float), f->err);
  int status = g.order && g.shift && g.reconstruction && g.gap ? XAI_OK : f->err->status;
  if (!status) status = start(&g, &arena);
  if (!status) status = train(&g);
  xai__arena_free(&arena);
  return status;
}

static int run_dense(xai__fit *f) {
  const int64_t m = (int64_t)xai__params_number(&f->params, "hidden");
  xai__contrast t = {.r = {.channels = f->n, .filters = m, .pool = 1, .kernel = {1, 1}, .size = {1, 1},
                           .out = {1, 1}, .n = f->n, .m = m},
                     .n_w = f->n * m, .n_a = f->n, .n_s = 1, .n_b = m};
  return run(f, &t);
}

static int run_conv(xai__fit *f) {
  const int64_t filters = (int64_t)xai__params_number(&f->params, "filters"), channels = f->item.d[0];
  const int64_t side = (int64_t)xai__params_number(&f->params, "side");
  xai__contrast t = {.r = {.conv = true, .channels = channels, .filters = filters, .kernel = {side, side},
                           .pool = (int64_t)xai__params_number(&f->params, "pool")},
                     .n_a = channels, .n_s = 1, .n_b = filters};
  if (f->item.rank != 3)
    return xai__fail(f->err, XAI_E_INPUT, "data", "conv-rbm is fitted to pictures [N,C,H,W], an item of 'data' is %s",
                     xai__shape_text(&f->item).text);
  XAI__TRY(xai__rbm_resize(&t.r, f->item.d[1], f->item.d[2], "data", f->err));
  t.n_w = filters * channels * side * side;
  return run(f, &t);
}

#define COMMON                                                                                       \
  "epochs=10[1,1000000];batch=100[1,100000];rate=0.01[0,inf];steps=1[1,10000];persistent=off|on;"     \
  "visible=sample|mean;momentum=0.9[0,1];decay=1e-4[0,inf];sparsity=0[0,0.99];sparsity-cost=1[0,inf];" \
  "variance=fixed|learned;deviation=[0,inf];betas=1000[0,1000000]"

const xai__fit_kind xai__fit_rbm = {"rbm", "hidden=100[0,1000000];" COMMON, run_dense};
const xai__fit_kind xai__fit_conv_rbm = {
    "conv-rbm", "filters=16[1,100000];side=5[1,10000];pool=1[1,1000];" COMMON, run_conv};

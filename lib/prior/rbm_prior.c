/* The priors rbm and conv-rbm: log p = -F(x) - log_z (rbm.h); log_z is 0 where it is not known.
 * gradient = (W sigmoid(pre) - (x - a)) / s^2. */
#include <math.h>
#include <string.h>

#include "prior/rbm.h"

typedef struct machine {
  xai__rbm r;
  const float *a, *s, *b; /* of channels and filters */
  int64_t n_s;
  double log_z;
} machine;

static int check_deviation(const float *s, int64_t n, xai_error *err) {
  for (int64_t i = 0; i < n; i++)
    if (!(s[i] > 0) || !isfinite(1 / (s[i] * s[i])))
      return xai__fail(err, XAI_E_INPUT, "s", "'s' is %g at element %lld: a deviation must be positive",
                       (double)s[i], (long long)i);
  return XAI_OK;
}

/* s: one number, or one a visible unit. */
static int read_deviation(xai_prior *p, machine *k, bool several, xai_error *err) {
  float *s;
  XAI__TRY(xai__prior_tensor(p, "s", -1, NULL, &s, err));
  k->n_s = xai__count(&xai__params_find(&p->params, "s")->tensor->shape);
  if (k->n_s != 1 && !(several && k->n_s == k->r.n))
    return xai__fail(err, XAI_E_INPUT, "s", "tensor 's' of prior '%s' has %lld elements, not 1%s", p->kind->name,
                     (long long)k->n_s, several ? " or one a visible unit" : "");
  k->s = s;
  return check_deviation(s, k->n_s, err);
}

static int check_visible(const xai_prior *p, int64_t n, xai_error *err) {
  if (n) return XAI_OK;
  return xai__fail(err, XAI_E_INPUT, "W", "tensor 'W' of prior '%s' is %s: there is no visible unit", p->kind->name,
                   xai__shape_text(&xai__params_find(&p->params, "W")->tensor->shape).text);
}

static int create(xai_prior *p, xai_error *err) {
  machine *k = p->state = xai__arena_new(&p->arena, 1, sizeof *k, err);
  float *w, *a, *b;
  if (!k) return err->status;
  XAI__TRY(xai__prior_tensor(p, "a", -1, NULL, &a, err));
  p->item = xai__params_find(&p->params, "a")->tensor->shape;
  int64_t shape[] = {xai__count(&p->item), -1};
  XAI__TRY(xai__prior_tensor(p, "W", 2, shape, &w, err));
  XAI__TRY(xai__prior_tensor(p, "b", 1, shape + 1, &b, err));
  XAI__TRY(check_visible(p, shape[0], err));
  k->r = (xai__rbm){.channels = shape[0], .filters = shape[1], .pool = 1, .kernel = {1, 1}, .size = {1, 1},
                    .out = {1, 1}, .n = shape[0], .m = shape[1], .w = w};
  k->a = a;
  k->b = b;
  k->log_z = xai__params_number(&p->params, "log_z");
  return read_deviation(p, k, true, err);
}

static int create_conv(xai_prior *p, xai_error *err) {
  machine *k = p->state = xai__arena_new(&p->arena, 1, sizeof *k, err);
  float *w, *c, *b;
  int64_t shape[] = {-1, -1, -1, -1};
  if (!k) return err->status;
  XAI__TRY(xai__prior_tensor(p, "W", 4, shape, &w, err));
  XAI__TRY(xai__prior_tensor(p, "c", 1, shape + 1, &c, err));
  XAI__TRY(xai__prior_tensor(p, "b", 1, shape, &b, err));
  XAI__TRY(check_visible(p, shape[1] * shape[2] * shape[3], err));
  k->r = (xai__rbm){.conv = true, .channels = shape[1], .filters = shape[0], .kernel = {shape[2], shape[3]},
                    .pool = (int64_t)xai__params_number(&p->params, "pool"), .w = w};
  k->a = c;
  k->b = b;
  k->log_z = xai__params_number(&p->params, "log_z");
  XAI__TRY(read_deviation(p, k, false, err));
  const int64_t height = (int64_t)xai__params_number(&p->params, "height");
  const int64_t width = (int64_t)xai__params_number(&p->params, "width");
  if ((!height || !width) && (height || width || k->log_z != 0))
    return xai__fail(err, XAI_E_INPUT, "height", "prior 'conv-rbm' has %s: it needs height and width",
                     height || width ? "one side of a picture" : "a log_z, that of one size of picture");
  if (!height) return XAI_OK;
  p->item = (xai__shape){3, {shape[1], height, width}};
  return xai__rbm_resize(&k->r, height, width, "height", err);
}

static int fits_conv(const xai_prior *p, const xai__shape *x, xai_error *err) {
  xai__rbm r = ((const machine *)p->state)->r;
  if (x->rank != 4 || x->d[1] != r.channels)
    return xai__fail(err, XAI_E_INPUT, p->kind->name, "prior 'conv-rbm' is over pictures [N,%lld,H,W], the input is %s",
                     (long long)r.channels, xai__shape_text(x).text);
  if (p->item.rank && (p->item.d[1] != x->d[2] || p->item.d[2] != x->d[3]))
    return xai__fail(err, XAI_E_INPUT, p->kind->name, "prior 'conv-rbm' is over pictures of %lldx%lld, the input is %s",
                     (long long)p->item.d[1], (long long)p->item.d[2], xai__shape_text(x).text);
  return xai__rbm_resize(&r, x->d[2], x->d[3], p->kind->name, err);
}

/* The machine for a size of x, with a, s and b one a unit in scratch. */
static int prepare(const machine *k, xai__engine *e, const xai__shape *item, xai__rbm *r, xai_error *err) {
  *r = k->r;
  if (r->conv) XAI__TRY(xai__rbm_resize(r, item->d[1], item->d[2], "conv-rbm", err));
  float *to = xai__scratch(e, (size_t)(3 * r->n + r->m), sizeof *to, err);
  if (!to) return err->status;
  xai__rbm_spread(r, k->a, k->s, k->n_s, k->b, to);
  return XAI_OK;
}

static int evaluate(const machine *k, xai__engine *e, const xai__view *x, double *logp, float *gradient,
                    xai_error *err) {
  const int64_t batch = x->shape.d[0];
  xai__shape item = {x->shape.rank - 1, {0}};
  xai__rbm r;
  xai__rbm_batch work;
  memcpy(item.d, x->shape.d + 1, (size_t)item.rank * sizeof *item.d);
  XAI__TRY(prepare(k, e, &item, &r, err));
  XAI__TRY(xai__rbm_scratch(&r, e, batch, &work, err));
  double *quadratic = xai__scratch(e, (size_t)batch, sizeof *quadratic, err);
  double *softplus = xai__scratch(e, (size_t)batch, sizeof *softplus, err);
  if (!quadratic || !softplus) return err->status;
  xai__rbm_scale(&r, e, batch, xai__f(x), NULL, 1, xai__f(x), work.scaled);
  XAI__TRY(xai__rbm_up(&r, e, batch, work.scaled, work.pre, err));
  xai__rbm_energies(&r, e, batch, xai__f(x), work.pre, 1, quadratic, softplus);
  for (int64_t i = 0; i < batch; i++) logp[i] = softplus[i] - quadratic[i] - k->log_z;
  if (!gradient) return XAI_OK;
  xai__rbm_hidden(&r, e, batch, work.pre, 1, 1, NULL, work.state, NULL);
  XAI__TRY(xai__rbm_down(&r, e, batch, work.state, gradient, err));
  for (int64_t i = 0; i < batch * r.n; i++)
    gradient[i] = (gradient[i] - xai__f(x)[i]) * r.precision[i % r.n];
  return XAI_OK;
}

static int logp(const xai_prior *p, xai__engine *e, const xai__view *x, double *logp, float *gradient,
                xai_error *err) {
  const size_t mark = xai__scratch_mark(e);
  const int status = evaluate(p->state, e, x, logp, gradient, err);
  xai__scratch_release(e, mark);
  return status;
}

/* A batch of chains of block Gibbs steps, from the Gaussian without hidden units. */
static int run_chains(const xai__rbm *r, xai__engine *e, const xai__sampling *s, int64_t first, int64_t batch,
                      float *x, xai_error *err) {
  xai__rbm_batch work;
  xai__chance c = {s->seed, 0, first};
  XAI__TRY(xai__rbm_scratch(r, e, batch, &work, err));
  for (int64_t i = 0; i < batch; i++) memcpy(work.scaled + i * r->n, r->a, (size_t)r->n * sizeof *x);
  xai__rbm_normals(r, e, batch, &c, x);
  xai__rbm_scale(r, e, batch, work.scaled, x, 1, x, NULL);
  for (int64_t step = 0; step < s->steps; step++) {
    const double done = (double)first + (double)batch * (double)step / (double)s->steps;
    XAI__TRY(xai__watch_check(s->watch, "sampling", done / (double)s->n, err));
    c.stream = (uint64_t)(1 + 2 * step);
    XAI__TRY(xai__rbm_gibbs(r, e, batch, 1, &c, &work, x, err));
  }
  return XAI_OK;
}

static int sample(const xai_prior *p, xai__engine *e, const xai__sampling *s, float *x, xai_error *err) {
  enum { BATCH = 256 };
  const size_t mark = xai__scratch_mark(e);
  xai__rbm r;
  int status = prepare(p->state, e, &p->item, &r, err);
  const size_t prepared = xai__scratch_mark(e);
  for (int64_t first = 0; first < s->n && !status; first += BATCH) {
    const int64_t batch = s->n - first < BATCH ? s->n - first : BATCH;
    status = run_chains(&r, e, s, first, batch, x + first * r.n, err);
    xai__scratch_release(e, prepared);
  }
  xai__scratch_release(e, mark);
  return status;
}

const xai__prior_kind xai__prior_rbm = {"rbm", "W=;a=;b=;s=;log_z=0", create, NULL, logp, sample};
const xai__prior_kind xai__prior_conv_rbm = {
    "conv-rbm", "W=;c=;b=;s=;log_z=0;pool=1[1,1000];height=0[0,1000000];width=0[0,1000000]", create_conv, fits_conv,
    logp, sample};

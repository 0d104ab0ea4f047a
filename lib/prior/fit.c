/* The table of fits, and what its rows share. */
#include "prior/fit.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/os.h"

static const xai__fit_kind *const kinds[] = {&xai__fit_gaussian, &xai__fit_gmm, &xai__fit_rbm, &xai__fit_conv_rbm};

const xai__fit_kind *xai__fit_at(size_t i) {
  return i < sizeof kinds / sizeof *kinds ? kinds[i] : NULL;
}

static const xai__fit_kind *find_kind(const char *name, xai_error *err) {
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    if (name && !strcmp(kinds[i]->name, name)) return kinds[i];
  xai__fail(err, XAI_E_ARGUMENT, name ? name : "method", "'%s' is no prior that can be fitted",
            name ? name : "");
  return NULL;
}

/* ---- the data ---- */

static int check_items(const xai_tensor *t, const char *name, const xai__fit *f) {
  xai_error *err = f->err;
  if (t->dtype != XAI_F32)
    return xai__fail(err, XAI_E_INPUT, name, "'%s' is %s, not float32", name, xai__dtype_name(t->dtype));
  if (t->shape.rank < 2 || !xai__count(&t->shape))
    return xai__fail(err, XAI_E_INPUT, name, "'%s' is %s: items along the first of two axes or more are needed",
                     name, xai__shape_text(&t->shape).text);
  if (f->n && xai__span(&t->shape, 1, t->shape.rank) != f->n)
    return xai__fail(err, XAI_E_INPUT, name, "an item of '%s' has %lld elements, one of 'data' %lld", name,
                     (long long)xai__span(&t->shape, 1, t->shape.rank), (long long)f->n);
  const float *x = t->data;
  for (int64_t i = 0; i < xai__count(&t->shape); i++)
    if (!isfinite(x[i]))
      return xai__fail(err, XAI_E_INPUT, name, "'%s' is not finite at element %lld", name, (long long)i);
  return XAI_OK;
}

static int read_data(xai__fit *f, const xai_request *r) {
  const xai_tensor *data = NULL, *held = NULL;
  for (size_t i = 0; i < r->n_inputs; i++) {
    const char *name = r->inputs[i].name;
    if (!r->inputs[i].tensor)
      return xai__fail(f->err, XAI_E_INPUT, name, "input '%s' is NULL", name ? name : "data");
    if (!name || !strcmp(name, "data"))
      data = r->inputs[i].tensor;
    else if (!strcmp(name, "held-out"))
      held = r->inputs[i].tensor;
    else
      return xai__fail(f->err, XAI_E_INPUT, name, "a fit has no input '%s'; it takes data and held-out", name);
  }
  if (!data) return xai__fail(f->err, XAI_E_INPUT, "data", "a fit needs the input 'data'");
  XAI__TRY(check_items(data, "data", f));
  f->data = data->data;
  f->items = data->shape.d[0];
  f->n = xai__span(&data->shape, 1, data->shape.rank);
  f->item.rank = data->shape.rank - 1;
  memcpy(f->item.d, data->shape.d + 1, (size_t)f->item.rank * sizeof *f->item.d);
  if (!held) return XAI_OK;
  XAI__TRY(check_items(held, "held-out", f));
  f->held_out = held->data;
  f->held = held->shape.d[0];
  return XAI_OK;
}

void xai__fit_mean(const xai__fit *f, double *mean) {
  memset(mean, 0, (size_t)f->n * sizeof *mean);
  for (int64_t i = 0; i < f->items; i++)
    for (int64_t k = 0; k < f->n; k++) mean[k] += (double)f->data[i * f->n + k];
  for (int64_t k = 0; k < f->n; k++) mean[k] /= (double)f->items;
}

/* ---- the result ---- */

int xai__fit_tensor(xai__fit *f, const char *key, int rank, const int64_t *shape, float **data) {
  xai__shape s = {rank, {0}};
  xai_tensor *t;
  memcpy(s.d, shape, (size_t)rank * sizeof *shape);
  XAI__TRY(xai__result_tensor(f->out, key, NULL, XAI_F32, &s, &t, f->err));
  *data = t->data;
  return XAI_OK;
}

int xai__fit_number(xai__fit *f, const char *key, double value) {
  const xai__shape scalar = {0, {0}};
  xai_tensor *t;
  XAI__TRY(xai__result_tensor(f->out, key, NULL, XAI_F64, &scalar, &t, f->err));
  *(double *)t->data = value;
  return XAI_OK;
}

/* The prior that the result describes. */
static int make_prior(xai__fit *f, xai_prior **p) {
  xai_param params[XAI__MAX_PARAMS];
  size_t n = 0;
  const char *name, *text;
  const xai_tensor *t;
  for (size_t i = 0; !xai_result_get(f->out, i, &name, &t, &text); i++)
    if (!strchr(name, '/') && n < XAI__MAX_PARAMS) params[n++] = (xai_param){name, t, text, 0};
  return xai__prior_create(NULL, params, n, p, f->err);
}

/* Note of the mean of log p over the first items at most. */
static int note_logp(xai__fit *f, const xai_prior *p, const char *key, const float *x, int64_t items) {
  enum { AT_MOST = 4096, BATCH = 256 };
  double sum = 0, logp[BATCH];
  if (items > AT_MOST) items = AT_MOST;
  for (int64_t i = 0; i < items; i += BATCH) {
    xai__view view = {.dtype = XAI_F32,
                      .shape = {f->item.rank + 1, {items - i < BATCH ? items - i : BATCH}},
                      .data = (float *)(uintptr_t)(x + i * f->n)};
    memcpy(view.shape.d + 1, f->item.d, (size_t)f->item.rank * sizeof *f->item.d);
    XAI__TRY(xai__prior_logp(p, f->engine, &view, logp, NULL, f->err));
    for (int64_t k = 0; k < view.shape.d[0]; k++) sum += logp[k];
  }
  return xai__fit_number(f, key, sum / (double)items);
}

static int note_fit(xai__fit *f) {
  xai_prior *p;
  XAI__TRY(make_prior(f, &p));
  int status = note_logp(f, p, "fit/logp", f->data, f->items);
  if (!status && f->held) status = note_logp(f, p, "fit/logp-held-out", f->held_out, f->held);
  xai_prior_free(p);
  return status;
}

static int note_partial(xai__fit *f) {
  const xai__shape scalar = {0, {0}};
  xai_tensor *t;
  XAI__TRY(xai__result_tensor(f->out, "partial", NULL, XAI_I64, &scalar, &t, f->err));
  *(int64_t *)t->data = 1;
  return XAI_OK;
}

int xai__fit_run(const xai_request *r, xai__engine *e, xai_result *out, xai_error *err) {
  char what[64];
  xai__fit f = {.seed = r->random_seed, .engine = e, .memory = xai__engine_memory(e), .out = out, .err = err};
  f.watch = (xai__watch){r->cancel, r->progress, r->progress_user, xai__seconds(), 0, 1, NULL};
  const xai__fit_kind *kind = find_kind(r->method, err);
  if (!kind) return XAI_E_ARGUMENT;
  snprintf(what, sizeof what, "the fit of '%s'", kind->name);
  xai__params_schema(&f.params, kind->schema);
  for (size_t i = 0; i < r->n_params; i++)
    XAI__TRY(xai__params_set(&f.params, kind->schema, what, &r->params[i], err));
  XAI__TRY(read_data(&f, r));
  XAI__TRY(xai__result_text(out, "kind", NULL, kind->name, err));
  const int status = kind->run(&f);
  if (status && !(status == XAI_E_CANCELLED && f.cut_short)) return status;
  const xai_error stopped = *err; /* the notes may be made nevertheless */
  XAI__TRY(note_fit(&f));
  if (status) XAI__TRY(note_partial(&f));
  *err = stopped;
  return status;
}

/* The table of priors, and what its rows share. */
#include "prior/prior.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const xai__prior_kind *const kinds[] = {
    &xai__prior_l2, &xai__prior_mean, &xai__prior_near, &xai__prior_tv, &xai__prior_gaussian, &xai__prior_gmm, &xai__prior_rbm, &xai__prior_conv_rbm,
};

const xai__prior_kind *xai__prior_at(size_t i) {
  return i < sizeof kinds / sizeof *kinds ? kinds[i] : NULL;
}

static const xai__prior_kind *find_kind(const char *name, xai_error *err) {
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    if (name && !strcmp(kinds[i]->name, name)) return kinds[i];
  xai__fail(err, XAI_E_ARGUMENT, name ? name : "kind", "unknown prior '%s'", name ? name : "");
  return NULL;
}

/* ---- making one ---- */

static double scalar(const xai_tensor *t) {
  switch (t->dtype) {
    case XAI_F64: return *(const double *)t->data;
    case XAI_F32: return (double)*(const float *)t->data;
    case XAI_I64: return (double)*(const int64_t *)t->data;
    case XAI_I32: return (double)*(const int32_t *)t->data;
    default: return NAN;
  }
}

static int set_param(xai_prior *p, const char *what, const xai_param *given, xai_error *err) {
  xai_param value = *given;
  if (!value.name || strchr(value.name, '/') || !strcmp(value.name, "kind") ||
      !strcmp(value.name, "partial"))
    return XAI_OK;
  const xai__value *known = xai__params_find(&p->params, value.name);
  if (known && known->set && value.tensor && xai__count(&value.tensor->shape) == 1) {
    value.number = scalar(value.tensor); /* a file has tensors only */
    value.tensor = NULL;
  }
  return xai__params_set(&p->params, p->kind->schema, what, &value, err);
}

int xai__prior_new(const xai__prior_kind *kind, xai_prior **out, xai_error *err) {
  *out = xai__new(NULL, 1, sizeof **out, err);
  if (!*out) return XAI_E_MEMORY;
  atomic_init(&(*out)->refs, 1);
  (*out)->kind = kind;
  xai__params_schema(&(*out)->params, kind->schema);
  return XAI_OK;
}

int xai__prior_create(const char *name, const xai_param *params, size_t n, xai_prior **out,
                      xai_error *err) {
  char what[64];
  *out = NULL;
  for (size_t i = 0; i < n && !name; i++)
    if (params[i].name && !strcmp(params[i].name, "kind")) name = params[i].text;
  const xai__prior_kind *kind = find_kind(name, err);
  xai_prior *p;
  if (!kind) return XAI_E_ARGUMENT;
  XAI__TRY(xai__prior_new(kind, &p, err));
  snprintf(what, sizeof what, "prior '%s'", kind->name);
  int status = XAI_OK;
  for (size_t i = 0; i < n && !status; i++) status = set_param(p, what, &params[i], err);
  for (int i = 0; i < p->params.n; i++) xai_tensor_ref(p->params.v[i].tensor);
  if (!status && kind->create) status = kind->create(p, err);
  if (status)
    xai_prior_free(p);
  else
    *out = p;
  return status;
}

xai_prior *xai__prior_ref(const xai_prior *p) {
  xai_prior *shared = (xai_prior *)(uintptr_t)p;
  if (shared) atomic_fetch_add(&shared->refs, 1);
  return shared;
}

void xai_prior_free(xai_prior *p) {
  if (!p || atomic_fetch_sub(&p->refs, 1) != 1) return;
  for (int i = 0; i < p->params.n; i++)
    xai_tensor_free((xai_tensor *)(uintptr_t)p->params.v[i].tensor);
  xai__arena_free(&p->arena);
  xai__free(p);
}

bool xai__prior_has(const xai_prior *p, const char *key) {
  const xai__value *v = xai__params_find(&p->params, key);
  return v && v->tensor;
}

int xai__prior_tensor(xai_prior *p, const char *key, int rank, int64_t *shape, float **data,
                      xai_error *err) {
  const xai__value *v = xai__params_find(&p->params, key);
  const char *kind = p->kind->name;
  if (!v || !v->tensor)
    return xai__fail(err, XAI_E_INPUT, key, "prior '%s' needs the tensor '%s'", kind, key);
  const xai_tensor *t = v->tensor;
  xai__shape want = t->shape;
  bool fits = rank < 0 || rank == t->shape.rank;
  for (int k = 0; k < rank && fits; k++) {
    want.d[k] = shape[k] < 0 ? t->shape.d[k] : shape[k];
    fits = want.d[k] == t->shape.d[k];
  }
  if (!fits && rank != t->shape.rank)
    return xai__fail(err, XAI_E_INPUT, key, "tensor '%s' of prior '%s' has %d axes, not %d", key,
                     kind, t->shape.rank, rank);
  if (!fits)
    return xai__fail(err, XAI_E_INPUT, key, "tensor '%s' of prior '%s' is %s, not %s", key, kind,
                     xai__shape_text(&t->shape).text, xai__shape_text(&want).text);
  for (int k = 0; k < rank; k++) shape[k] = t->shape.d[k];
  if (xai__dtype_storage(t->dtype) != XAI_F32)
    return xai__fail(err, XAI_E_INPUT, key, "tensor '%s' of prior '%s' is %s, not of floats", key,
                     kind, xai__dtype_name(t->dtype));
  const int64_t n = xai__count(&t->shape);
  *data = xai__arena_new(&p->arena, (size_t)n + 1, sizeof **data, err);
  if (!*data) return err->status;
  xai__to_storage(t->dtype, t->data, n, *data);
  for (int64_t i = 0; i < n; i++)
    if (!isfinite((*data)[i]))
      return xai__fail(err, XAI_E_INPUT, key, "tensor '%s' of prior '%s' is not finite at element %lld",
                       key, kind, (long long)i);
  return XAI_OK;
}

/* ---- using one ---- */

int xai__prior_fits(const xai_prior *p, const xai__shape *x, xai_error *err) {
  if (x->rank < 1)
    return xai__fail(err, XAI_E_INPUT, p->kind->name, "prior '%s' is over batches: a scalar has none",
                     p->kind->name);
  if (p->kind->fits) return p->kind->fits(p, x, err);
  const int64_t n = xai__span(x, 1, x->rank), own = xai__count(&p->item);
  if (!p->item.rank || n == own) return XAI_OK;
  return xai__fail(err, XAI_E_INPUT, p->kind->name,
                   "prior '%s' is over %lld elements, an item of the input has %lld", p->kind->name,
                   (long long)own, (long long)n);
}

int xai__prior_logp(const xai_prior *p, xai__engine *e, const xai__view *x, double *logp,
                    float *gradient, xai_error *err) {
  return p->kind->logp(p, e, x, logp, gradient, err);
}

int xai__terms_logp(const xai_term *terms, size_t n, xai__engine *e, const xai__view *x,
                    double *each, float *gradient, xai_error *err) {
  const int64_t count = xai__count(&x->shape), batch = x->shape.d[0];
  const size_t mark = xai__scratch_mark(e);
  float *g = xai__scratch(e, (size_t)count + 1, sizeof *g, err);
  double *logp = xai__scratch(e, (size_t)batch + 1, sizeof *logp, err);
  int status = g && logp ? XAI_OK : err->status;
  for (size_t i = 0; i < n && !status; i++) {
    status = xai__prior_logp(terms[i].prior, e, x, each ? each + (int64_t)i * batch : logp, g, err);
    if (!status) xai__add_scaled(e, gradient, g, count, (float)terms[i].weight);
  }
  xai__scratch_release(e, mark);
  return status;
}

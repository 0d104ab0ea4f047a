/* The exported calls on density experts. */
#include <string.h>

#include "api/load.h"
#include "base/os.h"
#include "prior/fit.h"

/* What such a call works with: memory within the caller's limits, threads, a result to fill. */
typedef struct work {
  xai__memory *memory;
  xai__engine *engine;
  xai_result *result;
} work;

static int begin(const xai_options *given, work *w, xai_error *err) {
  xai_options o;
  XAI__TRY(xai__load_options(&o, given, err));
  w->memory = xai__memory_create(o.realloc, o.realloc_user, o.max_memory);
  if (!w->memory) return xai__fail(err, XAI_E_MEMORY, NULL, "out of memory");
  XAI__TRY(xai__engine_create(w->memory, o.threads, o.max_isa, &w->engine, err));
  return xai__result_create(w->memory, &w->result, err);
}

/* Hands the result over, or not; a cancelled fit's as far as it is. */
static int end(work *w, int status, xai_result **out) {
  if (status && !(status == XAI_E_CANCELLED && xai_result_find(w->result, "partial")))
    xai_result_free(w->result);
  else
    *out = w->result;
  xai__engine_free(w->engine);
  xai__memory_release(w->memory);
  return status;
}

int xai_prior_create(const char *kind, const xai_param *params, size_t n, xai_prior **out,
                     xai_error *err) {
  xai_error local;
  if (!err) err = &local;
  if (!out) return xai__fail(err, XAI_E_ARGUMENT, "out", "out is NULL");
  *out = NULL;
  if (n && !params)
    return xai__fail(err, XAI_E_ARGUMENT, "params", "params: elements are counted, but the array is NULL");
  return xai__prior_create(kind, params, n, out, err);
}

int xai_prior_custom(xai_logp_fn f, void *user, xai_prior **out, xai_error *err) {
  xai_error local;
  if (!err) err = &local;
  if (!out) return xai__fail(err, XAI_E_ARGUMENT, "out", "out is NULL");
  *out = NULL;
  if (!f) return xai__fail(err, XAI_E_ARGUMENT, "f", "the callback is NULL");
  return xai__prior_custom(f, user, out, err);
}

static int describe(const xai_prior *p, xai_result *r, xai_error *err) {
  XAI__TRY(xai__result_text(r, "kind", NULL, p->kind->name, err));
  for (int i = 0; i < p->params.n; i++) {
    const xai__value *v = &p->params.v[i];
    if (!v->set) continue;
    const xai_tensor number = {.dtype = XAI_F64, .data = (void *)(uintptr_t)&v->number};
    const xai_tensor *t = v->tensor ? v->tensor : &number;
    xai_tensor *copy;
    XAI__TRY(xai__result_tensor(r, v->name, NULL, t->dtype, &t->shape, &copy, err));
    memcpy(copy->data, t->data, (size_t)xai__count(&t->shape) * xai__dtype_size(t->dtype));
  }
  return XAI_OK;
}

int xai_prior_describe(const xai_prior *p, xai_result **out, xai_error *err) {
  xai_error local;
  if (!err) err = &local;
  if (!out) return xai__fail(err, XAI_E_ARGUMENT, "out", "out is NULL");
  *out = NULL;
  if (!p) return xai__fail(err, XAI_E_ARGUMENT, "prior", "prior is NULL");
  xai_result *r;
  XAI__TRY(xai__result_create(NULL, &r, err));
  int status = describe(p, r, err);
  if (status)
    xai_result_free(r);
  else
    *out = r;
  return status;
}

static int logp(const xai_prior *p, const xai_tensor *x, work *w, xai_error *err) {
  const xai__view view = {.dtype = XAI_F32, .shape = x->shape, .data = x->data};
  xai_tensor *logp, *gradient;
  if (x->dtype != XAI_F32)
    return xai__fail(err, XAI_E_INPUT, "x", "x is %s, not float32", xai__dtype_name(x->dtype));
  XAI__TRY(xai__prior_fits(p, &x->shape, err));
  const xai__shape batch = {1, {x->shape.d[0]}};
  XAI__TRY(xai__result_tensor(w->result, "logp", NULL, XAI_F64, &batch, &logp, err));
  XAI__TRY(xai__result_tensor(w->result, "gradient", NULL, XAI_F32, &x->shape, &gradient, err));
  return xai__prior_logp(p, w->engine, &view, logp->data, gradient->data, err);
}

int xai_prior_logp(const xai_prior *p, const xai_tensor *x, const xai_options *o, xai_result **out,
                   xai_error *err) {
  xai_error local;
  work w = {0};
  if (!err) err = &local;
  if (!out) return xai__fail(err, XAI_E_ARGUMENT, "out", "out is NULL");
  *out = NULL;
  if (!p || !x) return xai__fail(err, XAI_E_ARGUMENT, p ? "x" : "prior", "%s is NULL", p ? "x" : "prior");
  int status = begin(o, &w, err);
  if (!status) status = logp(p, x, &w, err);
  return end(&w, status, out);
}

static int sample(const xai_prior *p, const xai_request *r, work *w, xai_error *err) {
  xai__params params = {0};
  xai_tensor *x;
  static const char schema[] = "samples=1[1,1000000000];steps=1000[1,1000000000]";
  xai__params_schema(&params, schema);
  for (size_t i = 0; i < r->n_params; i++)
    XAI__TRY(xai__params_set(&params, schema, "sampling", &r->params[i], err));
  if (!p->kind->sample || !p->item.rank)
    return xai__fail(err, XAI_E_UNSUPPORTED, p->kind->name, "prior '%s' cannot be sampled%s", p->kind->name,
                     p->kind->sample ? ": the size of an item is not known" : "");
  const xai__watch watch = {r->cancel, r->progress, r->progress_user, xai__seconds(), 0, 1, NULL};
  const xai__sampling s = {(int64_t)xai__params_number(&params, "samples"),
                           (int64_t)xai__params_number(&params, "steps"), r->random_seed, &watch};
  xai__shape shape = {p->item.rank + 1, {s.n}};
  memcpy(shape.d + 1, p->item.d, (size_t)p->item.rank * sizeof *shape.d);
  XAI__TRY(xai__result_tensor(w->result, "samples", NULL, XAI_F32, &shape, &x, err));
  return p->kind->sample(p, w->engine, &s, x->data, err);
}

int xai_prior_sample(const xai_prior *p, const xai_request *r, const xai_options *o, xai_result **out,
                     xai_error *err) {
  xai_error local;
  xai_request request;
  work w = {0};
  if (!err) err = &local;
  if (!out) return xai__fail(err, XAI_E_ARGUMENT, "out", "out is NULL");
  *out = NULL;
  if (!p) return xai__fail(err, XAI_E_ARGUMENT, "prior", "prior is NULL");
  XAI__TRY(xai__load_request(&request, r, err));
  int status = begin(o, &w, err);
  if (!status) status = sample(p, &request, &w, err);
  return end(&w, status, out);
}

int xai_fit(const xai_request *r, const xai_options *o, xai_result **out, xai_error *err) {
  xai_error local;
  xai_request request;
  work w = {0};
  if (!err) err = &local;
  if (!out) return xai__fail(err, XAI_E_ARGUMENT, "out", "out is NULL");
  *out = NULL;
  if (!r) return xai__fail(err, XAI_E_ARGUMENT, "request", "request is NULL");
  XAI__TRY(xai__load_request(&request, r, err));
  int status = begin(o, &w, err);
  if (!status) status = xai__fit_run(&request, w.engine, w.result, err);
  return end(&w, status, out);
}

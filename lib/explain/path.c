/* Methods that average gradients over points between a baseline and the input, or around it:
 * integrated-gradients [Sundararajan et al. 2017], expected-gradients [Erion et al. 2021],
 * smoothgrad [Smilkov et al. 2017].
 *
 *   R = sum over points e of weight_e F_e(df/dx at p_e),   p_e = b + alpha (z - b),   z = x + noise
 *
 * where F multiplies by (z - b) for the first two and is the inner method's finish for the third.
 * Points run in batches along axis 0 where the model's batch axis is free. */
#include <math.h>
#include <string.h>

#include "base/number.h"
#include "base/random.h"
#include "explain/job.h"

typedef struct path {
  xai__job *j;
  int64_t steps, sets, samples, points; /* points = steps * sets * samples */
  double *alpha, *weight;               /* per step */
  double one;                           /* both, where there is but one step */
  xai__backward backward;
  xai__ending finish; /* TIMES_INPUT: by z - b */
  double noise;       /* sigma over max - min of an item */
  int64_t times;      /* points a batch */
  xai__plan *plan;
  void **data; /* per graph input: `times` copies */
  float **base; /* per graph input: [sets][input], or NULL for integers */
  float *z;     /* one input */
} path;

/* ---- points ---- */

static int make_steps(path *p) {
  const xai__params *params = &p->j->params;
  p->steps = (int64_t)xai__params_number(params, "steps");
  p->alpha = xai__arena_new(&p->j->in.arena, (size_t)p->steps, sizeof *p->alpha, p->j->err);
  p->weight = xai__arena_new(&p->j->in.arena, (size_t)p->steps, sizeof *p->weight, p->j->err);
  if (!p->alpha || !p->weight) return p->j->err->status;
  if (xai__params_is(params, "quadrature", "gauss-legendre")) xai__gauss_legendre(p->steps, p->alpha, p->weight);
  for (int64_t i = 0; i < p->steps && !xai__params_is(params, "quadrature", "gauss-legendre"); i++) {
    p->alpha[i] = (double)(i + 1) / (double)p->steps;
    p->weight[i] = 1.0 / (double)p->steps;
  }
  return XAI_OK;
}

/* z = x + noise of sample s for one input. The noise is the same for every item of a batch. */
static void make_z(path *p, int input, int64_t sample) {
  xai__job *j = p->j;
  int64_t n = xai__count(&j->in.shape[input]), item = n / (j->in.batch ? j->in.batch : 1);
  const float *x = j->in.data[input];
  memcpy(p->z, x, (size_t)n * sizeof *x);
  if (!(p->noise > 0)) return;
  float *normal = p->z + n;
  xai__normals(j->r->random_seed, ((uint64_t)sample << 16) + (uint64_t)input, item, normal);
  for (int64_t b = 0; b * item < n; b++) {
    float low = INFINITY, high = -INFINITY;
    for (int64_t k = 0; k < item; k++) {
      low = fminf(low, x[b * item + k]);
      high = fmaxf(high, x[b * item + k]);
    }
    for (int64_t k = 0; k < item; k++) p->z[b * item + k] += (float)p->noise * (high - low) * normal[k];
  }
}

/* Point e in terms of step, set and sample. */
typedef struct point {
  int64_t step, set, sample;
} point;
static point point_of(const path *p, int64_t e) {
  return (point){e % p->steps, e / p->steps % p->sets, e / p->steps / p->sets};
}

static void fill_inputs(path *p, int64_t first) {
  xai__job *j = p->j;
  const xai_graph *g = j->s->graph;
  for (int i = 0; i < g->n_inputs; i++) {
    int64_t n = xai__count(&j->in.shape[i]);
    size_t bytes = (size_t)n * xai__dtype_size(p->plan->value[g->inputs[i]].dtype);
    for (int64_t t = 0; t < p->times; t++) {
      char *to = (char *)p->data[i] + (size_t)t * bytes;
      if (!p->base[i]) {
        memcpy(to, j->in.data[i], bytes);
        continue;
      }
      int64_t e = first + t < p->points ? first + t : p->points - 1; /* the rest has no weight */
      point at = point_of(p, e);
      const float *b = p->base[i] + at.set * n;
      float alpha = (float)p->alpha[at.step];
      make_z(p, i, at.sample);
      if (alpha != 1) /* else z itself, to the bit */
        for (int64_t k = 0; k < n; k++) p->z[k] = b[k] + alpha * (p->z[k] - b[k]);
      memcpy(to, p->z, bytes);
    }
  }
}

/* ---- sums ---- */

static int input_index(const path *p, int value) {
  const xai_graph *g = p->j->s->graph;
  for (int i = 0; i < g->n_inputs; i++)
    if (g->inputs[i] == value) return i;
  return -1;
}

static void add_point(path *p, int64_t k, int i, int64_t e, const float *grad) {
  xai__job *j = p->j;
  int64_t n = xai__count(&j->plan->value[j->at[i]].shape);
  point at = point_of(p, e);
  float *R = xai__job_full(j, k, i);
  float w = (float)(p->weight[at.step] / (double)(p->sets * p->samples));
  if (p->finish == XAI__TIMES_INPUT) {
    int input = input_index(p, j->at[i]);
    const float *b = p->base[input] + at.set * n;
    make_z(p, input, at.sample);
    for (int64_t m = 0; m < n; m++) R[m] += w * (p->z[m] - b[m]) * grad[m];
    return;
  }
  for (int64_t m = 0; m < n; m++) {
    float g = grad[m];
    R[m] += w * (p->finish == XAI__AS_IS ? g : p->finish == XAI__ABSOLUTE ? fabsf(g) : g * g);
  }
}

static int run_batch(path *p, int64_t first) {
  xai__job *j = p->j;
  fill_inputs(p, first);
  XAI__TRY(xai__forward(p->plan, p->data, &j->watch, j->err));
  const double span = j->watch.span; /* of the forward pass, and of each target */
  for (int64_t k = 0, group; k < j->targets.n; k += group) {
    j->watch.from += j->watch.span;
    group = xai__job_group(j, p->plan, k);
    j->watch.span = span * (double)group;
    XAI__TRY(xai__job_sweep(j, p->plan, k, group, p->backward));
    for (int64_t c = 0; c < group * j->n_at; c++) {
      const int i = (int)(c % j->n_at);
      const float *grad = xai__plan_grad(p->plan, j->at[i], c / j->n_at);
      int64_t n = xai__count(&j->plan->value[j->at[i]].shape);
      for (int64_t t = 0; t < p->times && first + t < p->points; t++)
        add_point(p, k + c / j->n_at, i, first + t, grad + t * n);
    }
  }
  return XAI_OK;
}

/* ---- the run ---- */

/* As if every parameter that multiplies points did. */
int64_t xai__extra_points(const xai__job *j) {
  const xai__value *set = xai__params_find(&j->params, "background");
  double points = fmax(1, xai__params_number(&j->params, "steps")) *
                  fmax(1, xai__params_number(&j->params, "samples"));
  int64_t sets = set && set->tensor && set->tensor->shape.rank ? set->tensor->shape.d[0] : 1;
  int64_t times = xai__job_batch(j, (int64_t)points * sets);
  return times * (j->plan->bytes + xai__extra_inputs(j)) + (2 + sets) * xai__extra_inputs(j);
}

static int make_buffers(path *p) {
  xai__job *j = p->j;
  const xai_graph *g = j->s->graph;
  size_t largest = 0;
  p->data = xai__arena_new(&j->in.arena, (size_t)g->n_inputs, sizeof *p->data, j->err);
  if (!p->data) return j->err->status;
  for (int i = 0; i < g->n_inputs; i++) {
    size_t n = (size_t)xai__count(&j->in.shape[i]);
    size_t bytes = n * xai__dtype_size(j->plan->value[g->inputs[i]].dtype) * (size_t)p->times;
    if (n > largest) largest = n;
    if (!(p->data[i] = xai__arena_new(&j->in.arena, bytes + 1, 1, j->err))) return j->err->status;
  }
  p->z = xai__arena_new(&j->in.arena, 2 * largest + 1, sizeof *p->z, j->err);
  return p->z ? XAI_OK : j->err->status;
}

static int run_path(path *p) {
  xai__job *j = p->j;
  if (p->finish == XAI__TIMES_INPUT) XAI__TRY(xai__job_inputs_only(j));
  XAI__TRY(xai__job_begin(j));
  p->points = p->steps * p->sets * p->samples;
  p->times = xai__job_batch(j, p->points);
  XAI__TRY(make_buffers(p));
  XAI__TRY(xai__job_plan(j, p->times, &p->plan));
  for (int64_t e = 0; e < p->points; e += p->times) {
    double share = 1 / (double)p->points;
    j->watch.from = (double)e * share;
    j->watch.span = share * (double)(p->times < p->points - e ? p->times : p->points - e) / (double)(1 + j->targets.n);
    XAI__TRY(run_batch(p, e));
  }
  return xai__job_end(j);
}

static int report_gap(path *p) {
  xai__job *j = p->j;
  double *f0 = xai__arena_new(&j->in.arena, (size_t)(j->targets.n * j->targets.items) + 1, sizeof *f0, j->err);
  if (!f0) return j->err->status;
  for (int64_t set = 0; set < p->sets; set++)
    XAI__TRY(xai__job_forward_baseline(j, p->base, set, 1 / (double)p->sets, f0));
  return xai__job_gap(j, f0);
}

int xai__run_integrated(xai__job *j) {
  path p = {.j = j, .samples = 1, .finish = XAI__TIMES_INPUT};
  XAI__TRY(make_steps(&p));
  XAI__TRY(xai__job_baseline(j, "baseline", &p.base, &p.sets));
  XAI__TRY(run_path(&p));
  return report_gap(&p);
}

int xai__run_expected(xai__job *j) {
  path p = {.j = j, .samples = 1, .finish = XAI__TIMES_INPUT};
  const xai__value *v = xai__params_find(&j->params, "background");
  if (!v->tensor)
    return xai__fail(j->err, XAI_E_ARGUMENT, "background", "expected-gradients needs background=, a tensor of items");
  XAI__TRY(make_steps(&p));
  XAI__TRY(xai__job_baseline(j, "background", &p.base, &p.sets));
  XAI__TRY(run_path(&p));
  return report_gap(&p);
}

int xai__run_smoothgrad(xai__job *j) {
  const xai__value *of = xai__params_find(&j->params, "of");
  xai_error ignored;
  const xai__method *inner = xai__method_find(of->text, &ignored);
  bool integrated = inner && inner->run == xai__run_integrated;
  if (!inner || inner->relevance || (inner->run != xai__run_single && !integrated))
    return xai__fail(j->err, XAI_E_ARGUMENT, "of", "of='%s' is no gradient method that smoothgrad can average",
                     of->text);
  for (int i = 0; i < j->params.n; i++)
    if (j->params.v[i].given && !xai__schema_has("samples=;noise=;of=", j->params.v[i].name) &&
        !xai__schema_has(inner->schema, j->params.v[i].name))
      return xai__fail(j->err, XAI_E_ARGUMENT, j->params.v[i].name, "method '%s' has no parameter '%s'",
                       inner->name, j->params.v[i].name);
  path p = {.j = j, .one = 1, .backward = inner->backward,
            .samples = (int64_t)xai__params_number(&j->params, "samples"),
            .noise = xai__params_number(&j->params, "noise"),
            .finish = integrated ? XAI__TIMES_INPUT : inner->finish};
  if (integrated) {
    XAI__TRY(make_steps(&p));
  } else {
    p.steps = 1;
    p.alpha = p.weight = &p.one;
  }
  XAI__TRY(xai__job_baseline(j, integrated ? "baseline" : "root", &p.base, &p.sets));
  return run_path(&p);
}

/* One explanation in the making: what every method's `run` is given and may call.
 *
 * When run is called the inputs are read, the targets are known, and job->plan holds the forward
 * pass over them and is ready for a reverse sweep to job->at. */
#ifndef XAI_EXPLAIN_JOB_H
#define XAI_EXPLAIN_JOB_H
#include "explain/method.h"
#include "explain/target.h"

struct xai__job {
  xai_session *s;
  const xai_request *r;
  const xai__method *method;
  xai__params params;
  xai__inputs in;
  xai__plan *plan;
  xai__targets targets;
  xai__rules *rules;         /* relevance methods: of the plan */
  xai__assignment *assigned; /* per step of the plan */
  double *ledger;            /* [nodes][columns] of one target, or NULL */
  int source, tail;          /* the explained value; the node behind it that was skipped, or -1 */
  int *at, n_at;             /* values whose relevance is wanted */
  const char **name;         /* their names in the result */
  xai_tensor **R;            /* their relevance in the result */
  float **full;              /* where it is written: [n_at], all targets; R's own data unless reduced */
  xai_result *out;
  xai__watch watch;
  double reached; /* of the work, as the watch reports it */
  xai_error *err;
};

int xai__choose_source(xai__job *j);
int xai__choose_at(xai__job *j);

/* The tensors "relevance/NAME" of job->at. After them methods write to xai__job_full. */
int xai__job_begin(xai__job *j);
/* Where target k's relevance of at[i] goes, of the value's shape. */
float *xai__job_full(const xai__job *j, int64_t k, int i);
/* From there to the result: sums over features where asked for, checks that all is finite. */
int xai__job_end(xai__job *j);

/* The job's plan with every input's axis 0 `times` as long. */
int xai__job_plan(xai__job *j, int64_t times, xai__plan **out);
/* How many of `points` variations of the inputs to run at a time: about a quarter of a gigabyte of
 * activations, or half of what the session's limit leaves; 1 where the model's batch axis is fixed. */
int64_t xai__job_batch(const xai__job *j, int64_t points);
/* How many targets from k on one sweep over plan p serves. */
int64_t xai__job_group(const xai__job *j, const xai__plan *p, int64_t k);
/* Seeds n targets from k on and sweeps back over plan p, whose forward pass is done: by the method's
 * rules, or by gradients with the ReLU edit `how`. */
int xai__job_sweep(xai__job *j, xai__plan *p, int64_t k, int64_t n, xai__backward how);
/* Refuses `at` that are no inputs of the graph. */
int xai__job_inputs_only(xai__job *j);
int xai__job_scores(xai__job *j, const char *name, const double *v); /* "name": [targets][items] */
int xai__job_report(xai__job *j);                /* texts: method, params, source */
int xai__job_class_axis(const xai__job *j);      /* of the source: that of the softmax behind it, or -1 */

/* ---- what starts from a baseline ---- */

/* The parameter `name`: a number, or a tensor that repeats over the input's items. base[i] of graph
 * input i: [sets][input], NULL for integers. sets is 1, but for "background" one an item of it. */
int xai__job_baseline(xai__job *j, const char *name, float ***base, int64_t *sets);
/* Runs the job's plan on one set of them, integers as they are; f0 [targets][items] += weight * f. */
int xai__job_forward_baseline(xai__job *j, float *const *base, int64_t set, double weight, double *f0);
/* Completeness: "gap" = f(x) - f0 - sum R, per target and item. */
int xai__job_gap(xai__job *j, const double *f0);

/* ---- what they take beyond the plan: copies of the inputs, a second plan, a batch of points ---- */
int64_t xai__extra_inputs(const xai__job *j);
int64_t xai__extra_plan(const xai__job *j);
int64_t xai__extra_points(const xai__job *j);
int64_t xai__extra_windows(const xai__job *j);

/* ---- the methods' runs ---- */
int xai__run_single(xai__job *j);
int xai__run_integrated(xai__job *j);
int xai__run_expected(xai__job *j);
int xai__run_smoothgrad(xai__job *j);
int xai__run_deeplift_rescale(xai__job *j);
int xai__run_deeplift_revealcancel(xai__job *j);
int xai__run_taylor(xai__job *j);
int xai__run_occlusion(xai__job *j);
int xai__run_gradcam(xai__job *j);

/* ---- a method that serves the whole call ---- */
int xai__prototype(xai_session *s, const xai_request *r, xai_result *out, xai_error *err);
int xai__prototype_bill(xai_session *s, const xai_request *r, int64_t *bytes, xai_error *err);

#endif

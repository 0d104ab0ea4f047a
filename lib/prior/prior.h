/* Density experts: what a plausible input x looks like, as log p(x) and its gradient.
 *
 * A prior is a row (xai__prior_kind): the keys of its named tensors, how it is made of them, log p
 * with its gradient for a batch, and how it is sampled. To add one: a file and a row in prior.c.
 * docs/PRIORS.md lists the keys; they are the same for xai_prior_create, for what xai_fit gives and
 * in the tool's files. A caller's own (xai_prior_custom) is a row without keys. */
#ifndef XAI_PRIOR_PRIOR_H
#define XAI_PRIOR_PRIOR_H
#include "base/param.h"
#include "base/watch.h"
#include "engine/engine.h"
#include "tensor/result.h"

/* How samples are to be drawn: of a Markov chain, where the prior has no direct way, `steps` after
 * its start. */
typedef struct xai__sampling {
  int64_t n, steps;
  uint64_t seed;
  const xai__watch *watch;
} xai__sampling;

typedef struct xai__prior_kind {
  const char *name, *schema;
  /* Checks p->params and makes p->state of them. NULL: there is none. */
  int (*create)(xai_prior *p, xai_error *err);
  /* Refuses inputs of this shape (axis 0 is the batch). NULL: items have p->item elements. */
  int (*fits)(const xai_prior *p, const xai__shape *x, xai_error *err);
  /* logp[item], and its gradient, of x's shape, unless that is NULL. Both are overwritten. */
  int (*logp)(const xai_prior *p, xai__engine *e, const xai__view *x, double *logp,
              float *gradient, xai_error *err);
  /* x[n][item]. NULL: cannot be sampled. */
  int (*sample)(const xai_prior *p, xai__engine *e, const xai__sampling *s, float *x,
                xai_error *err);
} xai__prior_kind;

struct xai_prior {
  atomic_int refs;
  const xai__prior_kind *kind;
  xai__params params; /* with a reference to each tensor */
  xai__shape item;    /* of one x, as far as it is known; else rank 0 */
  xai__arena arena;   /* where the state lives */
  void *state;
};

const xai__prior_kind *xai__prior_at(size_t i); /* NULL past the end */

/* kind NULL: the text parameter "kind" names it. Parameters with a '/' in their name, and
 * "partial", are notes of a fit and are skipped; a tensor of one element serves where a number is wanted. */
int xai__prior_create(const char *kind, const xai_param *params, size_t n, xai_prior **out,
                      xai_error *err);
int xai__prior_custom(xai_logp_fn f, void *user, xai_prior **out, xai_error *err);
xai_prior *xai__prior_ref(const xai_prior *p);

/* ---- using it ---- */

/* XAI_E_INPUT unless x's items (axis 0 is the batch) are what the prior is over. */
int xai__prior_fits(const xai_prior *p, const xai__shape *x, xai_error *err);
/* x must fit. */
int xai__prior_logp(const xai_prior *p, xai__engine *e, const xai__view *x, double *logp,
                    float *gradient, xai_error *err);
/* The product of experts: gradient += sum over terms of weight * d logp; each term's unweighted
 * logp to each[n][batch], unless NULL. Terms are those of one space: `on` is not looked at. */
int xai__terms_logp(const xai_term *terms, size_t n, xai__engine *e, const xai__view *x,
                    double *each, float *gradient, xai_error *err);

/* ---- for the rows ---- */

/* One without a state: the parameters have their defaults. */
int xai__prior_new(const xai__prior_kind *kind, xai_prior **out, xai_error *err);

/* The tensor of that key in float32, all finite. rank and shape: what it must be, -1 for any length
 * (then the length found is written there); rank -1: any shape. XAI_E_INPUT if it is missing. */
int xai__prior_tensor(xai_prior *p, const char *key, int rank, int64_t *shape, float **data,
                      xai_error *err);
bool xai__prior_has(const xai_prior *p, const char *key); /* a tensor */

extern const xai__prior_kind xai__prior_l2, xai__prior_mean, xai__prior_near, xai__prior_tv,
    xai__prior_gaussian, xai__prior_gmm, xai__prior_rbm, xai__prior_conv_rbm;

#endif

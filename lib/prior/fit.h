/* Fitting density experts to data: a row a kind.
 *
 * A fit reads data [N, item...], and held-out data where there are any, and adds to the result the
 * expert's tensors by the keys of docs/PRIORS.md, and notes with a '/' in their name. */
#ifndef XAI_PRIOR_FIT_H
#define XAI_PRIOR_FIT_H
#include "prior/prior.h"

typedef struct xai__fit {
  xai__params params;
  const float *data, *held_out; /* [items][n], [held][n] or NULL; all finite */
  xai__shape item;
  int64_t n, items, held;
  uint64_t seed;
  bool cut_short; /* by the row: it was cancelled, and its expert so far is in the result */
  xai__watch watch;
  xai__engine *engine;
  xai__memory *memory;
  xai_result *out;
  xai_error *err;
} xai__fit;

typedef struct xai__fit_kind {
  const char *name, *schema;
  int (*run)(xai__fit *f);
} xai__fit_kind;

const xai__fit_kind *xai__fit_at(size_t i); /* NULL past the end */
/* r: method is the kind, inputs are "data" (or nameless) and "held-out". */
int xai__fit_run(const xai_request *r, xai__engine *e, xai_result *out, xai_error *err);

/* ---- for the rows ---- */

/* A zeroed float32 tensor of the result, borrowed. */
int xai__fit_tensor(xai__fit *f, const char *key, int rank, const int64_t *shape, float **data);
int xai__fit_number(xai__fit *f, const char *key, double value);
/* mean[n] over all items. */
void xai__fit_mean(const xai__fit *f, double *mean);

extern const xai__fit_kind xai__fit_gaussian, xai__fit_gmm, xai__fit_rbm, xai__fit_conv_rbm;

#endif

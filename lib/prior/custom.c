/* A caller's own density: a row around his callback. */
#include "prior/prior.h"

typedef struct custom {
  xai_logp_fn f;
  void *user;
} custom;

static int logp(const xai_prior *p, xai__engine *e, const xai__view *x, double *logp,
                float *gradient, xai_error *err) {
  const custom *c = p->state;
  const int64_t batch = x->shape.d[0], item = xai__span(&x->shape, 1, x->shape.rank);
  (void)e;
  if (c->f(c->user, batch, item, xai__f(x), logp, gradient))
    return xai__fail(err, XAI_E_CANCELLED, "custom", "cancelled by the prior's callback");
  return XAI_OK;
}

static const xai__prior_kind kind = {"custom", "", NULL, NULL, logp, NULL};

int xai__prior_custom(xai_logp_fn f, void *user, xai_prior **out, xai_error *err) {
  XAI__TRY(xai__prior_new(&kind, out, err));
  custom *c = (*out)->state = xai__arena_new(&(*out)->arena, 1, sizeof *c, err);
  if (!c) {
    xai_prior_free(*out);
    *out = NULL;
    return err->status;
  }
  *c = (custom){f, user};
  return XAI_OK;
}

/* The gradient sweep, with the edited ReLU of guided backpropagation [Springenberg et al. 2015] and
 * of the deconvolutional network [Zeiler and Fergus 2014]. */
#include "explain/method.h"
#include "op/blocked.h"

static bool is_relu(const xai__call *c) {
  return c->node->op->relu && (!c->node->op->relu_at || c->node->op->relu_at(c));
}

typedef struct clamp_job {
  const float *from;
  float *to;
} clamp_job;

static void clamp(void *ctx, int64_t begin, int64_t end) {
  const clamp_job *j = ctx;
  for (int64_t i = begin; i < end; i++) j->to[i] = j->from[i] > 0 ? j->from[i] : 0;
}

int xai__gradient_cross(void *gradient, const xai__step *step, xai__call *c, const xai__view *gout,
                        const xai__view *gin) {
  const xai__gradient *g = gradient;
  if (g->how == XAI__PLAIN || !is_relu(c)) return xai__step_vjp(g->plan, step, c, gout, gin);
  int64_t n = xai__stored(&gout[0]);
  xai__view positive = gout[0];
  positive.data = xai__scratch(c->engine, (size_t)n, sizeof(float), c->err);
  if (!positive.data) return c->err->status;
  clamp_job j = {xai__f(&gout[0]), xai__f(&positive)};
  xai__parallel(c->engine, n, XAI__GRAIN, clamp, &j);
  if (g->how == XAI__GUIDED) return xai__node_vjp(c, &positive, gin);
  if (gin[0].data && gin[0].fresh) xai__fill(c->engine, xai__f(&gin[0]), n, 0);
  if (gin[0].data) xai__add_scaled(c->engine, xai__f(&gin[0]), xai__f(&positive), n, 1);
  return XAI_OK;
}

int xai__gradient_reads(void *none, const xai__steps *steps, unsigned char *reads, xai_error *err) {
  (void)none, (void)err;
  for (int i = 0; i < steps->n; i++) {
    const xai__step *s = &steps->v[i];
    bool linear = s->cross == XAI__CROSS_LINEAR;
    reads[i] = XAI__ANY_LAYOUT | (linear ? XAI__BEGINS | XAI__ALL_TARGETS : xai__op_vjp_reads(s->node.op));
  }
  return XAI_OK;
}

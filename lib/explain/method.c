/* The table of methods. */
#include "explain/ascent.h"
#include "explain/job.h"

#include <stdio.h>
#include <string.h>

#define GRADIENT \
  "seed=one|tensor;output=logit|final|log-prob;bias=absorb|zero;reduce=none|sum;winograd=on|off"
#define LRP ";output=logit|final|log-prob;reduce=none|sum;" XAI__RELEVANCE_SCHEMA
#define SEED "seed=value|one|contrast|tensor"
#define EPSILON "epsilon=1e-6[0,inf];"
#define GAMMA "gamma=0.25[0,inf];"
#define BOUNDS "low=;high=;"

#define BASELINE "baseline=0|tensor;"
#define STEPS "steps=50[1,100000];quadrature=gauss-legendre|riemann-right;"

#define BY_GRADIENT(name, schema, backward, finish) \
  {name, schema GRADIENT, false, backward, finish, NULL, xai__run_single, NULL, false, NULL, NULL}
#define OF_ITS_OWN(name, schema, run, extra) \
  {name, schema GRADIENT, false, XAI__PLAIN, XAI__AS_IS, NULL, run, extra, false, NULL, NULL}
#define BY_OWN_SWEEP(name, schema, run, extra) \
  {name, schema GRADIENT, false, XAI__PLAIN, XAI__AS_IS, NULL, run, extra, true, NULL, NULL}
#define BY_RULES_WITH(name, schema, fixed) \
  {name, schema LRP, true, XAI__PLAIN, XAI__AS_IS, fixed, xai__run_single, NULL, false, NULL, NULL}
#define BY_RULES(name, schema, fixed) \
  BY_RULES_WITH(name, schema XAI__STABILIZER_SCHEMA XAI__PRODUCT_SCHEMA SEED, fixed)

static const xai__method methods[] = {
    BY_GRADIENT("gradient", "", XAI__PLAIN, XAI__AS_IS),
    BY_GRADIENT("saliency", "", XAI__PLAIN, XAI__ABSOLUTE),
    BY_GRADIENT("sensitivity", "", XAI__PLAIN, XAI__SQUARE_OF),
    BY_GRADIENT("gradient-x-input", "root=0|tensor;", XAI__PLAIN, XAI__TIMES_INPUT),
    BY_GRADIENT("guided-backprop", "", XAI__GUIDED, XAI__AS_IS),
    BY_GRADIENT("deconvnet", "", XAI__DECONV, XAI__AS_IS),
    OF_ITS_OWN("taylor", "", xai__run_taylor, xai__extra_inputs),
    OF_ITS_OWN("integrated-gradients", BASELINE STEPS, xai__run_integrated, xai__extra_points),
    BY_OWN_SWEEP("deeplift-rescale", BASELINE, xai__run_deeplift_rescale, xai__extra_plan),
    BY_OWN_SWEEP("deeplift-revealcancel", BASELINE, xai__run_deeplift_revealcancel, xai__extra_plan),
    OF_ITS_OWN("expected-gradients", "background=;" STEPS, xai__run_expected, xai__extra_points),
    OF_ITS_OWN("smoothgrad", "samples=20[1,100000];noise=0.1[0,inf];of=gradient;root=0|tensor;" BASELINE STEPS,
               xai__run_smoothgrad, xai__extra_points),
    OF_ITS_OWN("grad-cam", "layer=;", xai__run_gradcam, xai__extra_plan),
    OF_ITS_OWN("occlusion", "window=8[1,inf];stride=4[1,inf];value=0;", xai__run_occlusion,
               xai__extra_windows),
    {.name = "prototype",
     .schema = "score=log-prob|logit;" XAI__ASCENT_SCHEMA "init=noise|zeros|mean;noise=0.1[0,inf];"
               "restarts=1[1,100000];keep=all|best;jitter=0[0,1000]",
     .alone = xai__prototype,
     .alone_bill = xai__prototype_bill},
#if XAI_LRP
    BY_RULES_WITH("lrp-0", "stabilizer=0[0,inf];" XAI__PRODUCT_SCHEMA SEED, NULL),
    BY_RULES("lrp-epsilon", EPSILON, NULL),
    BY_RULES("lrp-gamma", GAMMA, NULL),
    BY_RULES("lrp-alpha-beta", "alpha=2[1,inf];beta=[0,inf];", NULL),
    BY_RULES("lrp-z-plus", "", NULL),
    BY_RULES("lrp-w-square", "", NULL),
    BY_RULES("lrp-flat", "", NULL),
    BY_RULES("epsilon-plus", EPSILON, NULL),
    BY_RULES("epsilon-plus-flat", EPSILON, NULL),
    BY_RULES("epsilon-alpha2-beta1", EPSILON, NULL),
    BY_RULES("epsilon-alpha2-beta1-flat", EPSILON, NULL),
    BY_RULES("epsilon-gamma-box", BOUNDS GAMMA EPSILON, NULL),
    BY_RULES("deep-taylor", BOUNDS, "bias=zero"),
    BY_RULES_WITH("excitation-backprop",
                  XAI__STABILIZER_SCHEMA XAI__PRODUCT_SCHEMA "seed=one|value|contrast|tensor",
                  "activation=gradient"),
    BY_RULES("lrp-composite", BOUNDS GAMMA, NULL),
    BY_RULES("attn-lrp", EPSILON, NULL),
    BY_RULES_WITH("cp-lrp",
                  EPSILON XAI__STABILIZER_SCHEMA
                  "mul=value|gate|uniform;softmax=detach|lrp|gradient;matmul=value|half;" SEED,
                  NULL),
#endif
};

const xai__method *xai__method_at(size_t i) {
  return i < sizeof methods / sizeof *methods ? &methods[i] : NULL;
}

const xai__method *xai__method_find(const char *name, xai_error *err) {
  static const char *const lrp[] = {"lrp-", "epsilon-", "deep-taylor", "excitation-backprop", "attn-lrp", "cp-lrp"};
  if (!name) {
    xai__fail(err, XAI_E_ARGUMENT, "method", "a method is needed: NULL given");
    return NULL;
  }
  for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
    if (!strcmp(methods[i].name, name)) return &methods[i];
  bool left_out = false;
  for (size_t i = 0; i < sizeof lrp / sizeof *lrp; i++)
    left_out |= !XAI_LRP && !strncmp(name, lrp[i], strlen(lrp[i]));
  if (left_out)
    xai__fail(err, XAI_E_UNSUPPORTED, name,
              "method '%s' is not in this library: it was built without LRP (XAI_LRP=OFF)", name);
  else
    xai__fail(err, XAI_E_ARGUMENT, name, "unknown method '%s'", name);
  return NULL;
}

int xai__method_params(const xai__method *m, const xai_param *given, size_t n, xai__params *out,
                       xai_error *err) {
  char what[80];
  snprintf(what, sizeof what, "method '%.60s'", m->name);
  xai__params_schema(out, m->schema);
  for (size_t i = 0; i < n; i++) XAI__TRY(xai__params_set(out, m->schema, what, &given[i], err));
  xai__params fixed = {0};
  XAI__TRY(xai__params_parse(&fixed, m->schema, m->fixed, err));
  for (int i = 0; i < fixed.n; i++) /* wins over the caller's */
    for (int k = 0; k < out->n; k++)
      if (fixed.v[i].given && !strcmp(fixed.v[i].name, out->v[k].name)) out->v[k] = fixed.v[i];
  return XAI_OK;
}

int xai__method_fold(const xai__method *m, const xai__params *p) {
  if (m->own_sweep || xai__params_is(p, "rewrite", "off")) return XAI__FOLD_NONE;
  if (!m->relevance) return XAI__FOLD_LINEAR;
  return XAI__FOLD_ALL;
}

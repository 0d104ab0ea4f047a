/* The table of methods. */
#include "explain/method.h"

#include <string.h>

#define GRADIENT "seed=one|tensor;output=logit|final|log-prob;bias=absorb|zero;reduce=none|sum"
#define LRP "output=logit|final|log-prob;reduce=none|sum;" XAI__RELEVANCE_SCHEMA
#define BY_VALUE "seed=value|one|contrast|tensor;"
#define EPSILON "epsilon=1e-6[0,inf];"

static const xai__method methods[] = {
    {"gradient", GRADIENT, false, XAI__PLAIN, XAI__AS_IS, NULL},
    {"saliency", GRADIENT, false, XAI__PLAIN, XAI__ABSOLUTE, NULL},
    {"sensitivity", GRADIENT, false, XAI__PLAIN, XAI__SQUARE_OF, NULL},
    {"gradient-x-input", "root=0;" GRADIENT, false, XAI__PLAIN, XAI__TIMES_INPUT, NULL},
    {"guided-backprop", GRADIENT, false, XAI__GUIDED, XAI__AS_IS, NULL},
    {"deconvnet", GRADIENT, false, XAI__DECONV, XAI__AS_IS, NULL},
#if XAI_LRP
    {"lrp-0", BY_VALUE "stabilizer=0[0,inf];" LRP, true, XAI__PLAIN, XAI__AS_IS, NULL},
    {"lrp-epsilon", EPSILON BY_VALUE LRP, true, XAI__PLAIN, XAI__AS_IS, NULL},
    {"lrp-gamma", "gamma=0.25[0,inf];" BY_VALUE LRP, true, XAI__PLAIN, XAI__AS_IS, NULL},
    {"lrp-alpha-beta", "alpha=2[1,inf];beta=[0,inf];" BY_VALUE LRP, true, XAI__PLAIN, XAI__AS_IS,
     NULL},
    {"lrp-z-plus", BY_VALUE LRP, true, XAI__PLAIN, XAI__AS_IS, NULL},
    {"lrp-w-square", BY_VALUE LRP, true, XAI__PLAIN, XAI__AS_IS, NULL},
    {"lrp-flat", BY_VALUE LRP, true, XAI__PLAIN, XAI__AS_IS, NULL},
    {"epsilon-plus", EPSILON BY_VALUE LRP, true, XAI__PLAIN, XAI__AS_IS, NULL},
    {"epsilon-plus-flat", EPSILON BY_VALUE LRP, true, XAI__PLAIN, XAI__AS_IS, NULL},
    {"epsilon-alpha2-beta1", EPSILON BY_VALUE LRP, true, XAI__PLAIN, XAI__AS_IS, NULL},
    {"epsilon-alpha2-beta1-flat", EPSILON BY_VALUE LRP, true, XAI__PLAIN, XAI__AS_IS, NULL},
    {"epsilon-gamma-box", "low=;high=;gamma=0.25[0,inf];" EPSILON BY_VALUE LRP, true, XAI__PLAIN,
     XAI__AS_IS, NULL},
    {"deep-taylor", "low=;high=;" BY_VALUE LRP, true, XAI__PLAIN, XAI__AS_IS, "bias=zero"},
    {"excitation-backprop", "seed=one|value|contrast|tensor;" LRP, true, XAI__PLAIN, XAI__AS_IS,
     "activation=gradient"},
    {"lrp-composite", "low=;high=;gamma=0.25[0,inf];" BY_VALUE LRP, true, XAI__PLAIN, XAI__AS_IS,
     NULL},
#endif
};

const xai__method *xai__method_at(size_t i) {
  return i < sizeof methods / sizeof *methods ? &methods[i] : NULL;
}

const xai__method *xai__method_find(const char *name, xai_error *err) {
  static const char *const lrp[] = {"lrp-", "epsilon-", "deep-taylor", "excitation-backprop"};
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

/* The table of rules [METHODS section 2]. */
#include "rule/rule.h"

#include <math.h>
#include <string.h>

#define X XAI__AT_X

#if XAI_LRP
static int check_alpha_beta(const xai__params *p, xai_error *err) {
  const xai__value *beta = xai__params_find(p, "beta");
  double a = xai__params_number(p, "alpha"), b = beta && beta->set ? beta->number : a - 1;
  if (b >= 0 && fabs(a - b - 1) < 1e-6) return XAI_OK;
  return xai__fail(err, XAI_E_ARGUMENT, "alpha", "alpha - beta must be 1 and beta >= 0, not alpha=%g beta=%g",
                   a, b);
}
#endif

static const xai__rule rules[] = {
#if XAI_LRP
    {"epsilon", "epsilon=1e-6[0,inf];rms=0[0,inf]", XAI__RULE_TERMS, 1, 1,
     {{X, XAI__ID, XAI__ID, XAI__ID, 0, 1}},
     {{XAI__ALL, XAI__BY_ONE}}, true, false, NULL},
    {"gamma", "gamma=0.25[0,inf]", XAI__RULE_TERMS, 4, 2,
     {{X, XAI__POS, XAI__MORE_POS, XAI__MORE_POS, 0, 1},
      {X, XAI__NEG, XAI__MORE_NEG, XAI__NONE, 0, 1},
      {X, XAI__POS, XAI__MORE_NEG, XAI__MORE_NEG, 1, 1},
      {X, XAI__NEG, XAI__MORE_POS, XAI__NONE, 1, 1}},
     {{XAI__WHERE_POS, XAI__BY_ONE}, {XAI__WHERE_NEG, XAI__BY_ONE}}, false, true, NULL},
    {"alpha-beta", "alpha=2[1,inf];beta=[0,inf]", XAI__RULE_TERMS, 4, 2,
     {{X, XAI__POS, XAI__POS, XAI__POS, 0, 1},
      {X, XAI__NEG, XAI__NEG, XAI__NONE, 0, 1},
      {X, XAI__POS, XAI__NEG, XAI__NEG, 1, 1},
      {X, XAI__NEG, XAI__POS, XAI__NONE, 1, 1}},
     {{XAI__ALL, XAI__BY_ALPHA}, {XAI__ALL, XAI__BY_MINUS_BETA}}, false, false, check_alpha_beta},
    {"z-plus", "", XAI__RULE_TERMS, 2, 1,
     {{X, XAI__POS, XAI__POS, XAI__POS, 0, 1}, {X, XAI__NEG, XAI__NEG, XAI__NONE, 0, 1}},
     {{XAI__ALL, XAI__BY_ONE}}, false, false, NULL},
    {"w-square", "", XAI__RULE_TERMS, 1, 1,
     {{X, XAI__ONE, XAI__SQUARED, XAI__SQUARED, 0, 1}},
     {{XAI__ALL, XAI__BY_ONE}}, false, false, NULL},
    {"flat", "", XAI__RULE_TERMS, 1, 1,
     {{X, XAI__ONE, XAI__ONE, XAI__NONE, 0, 1}},
     {{XAI__ALL, XAI__BY_ONE}}, false, false, NULL},
    {"z-box", "low=;high=", XAI__RULE_TERMS, 3, 1,
     {{X, XAI__ID, XAI__ID, XAI__NONE, 0, 1},
      {XAI__AT_LOW, XAI__ID, XAI__POS, XAI__NONE, 0, -1},
      {XAI__AT_HIGH, XAI__ID, XAI__NEG, XAI__NONE, 0, -1}},
     {{XAI__ALL, XAI__BY_ONE}}, false, false, NULL},
    {"norm", "", XAI__RULE_NORM, 0, 0, {{0}}, {{0}}, false, false, NULL},
#endif
    {"pass", "", XAI__RULE_PASS, 0, 0, {{0}}, {{0}}, false, false, NULL},
    {"gradient", "", XAI__RULE_GRADIENT, 0, 0, {{0}}, {{0}}, false, false, NULL},
};

#define FORGIVING 0.125 /* of the part of z that has its sign, added to it */

bool xai__rule_forgives(const xai__rule *rule, const xai__params *p) {
  return rule->onto_z && xai__params_number(p, "gamma") >= FORGIVING;
}

const xai__rule *xai__rule_at(size_t i) {
  return i < sizeof rules / sizeof *rules ? &rules[i] : NULL;
}

const xai__rule *xai__rule_find(const char *name) {
  for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
    if (!strcmp(rules[i].name, name)) return &rules[i];
  return NULL;
}

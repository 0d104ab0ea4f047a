/* The table of composites, and how rows are matched. */
#include "rule/composite.h"

#include <stdio.h>
#include <string.h>

#include "base/number.h"

#if XAI_LRP
static bool is_linear(const xai__step *s, int n, const xai__params *p) {
  (void)n;
  (void)p;
  return s->cross == XAI__CROSS_LINEAR;
}

static bool is_conv(const xai__step *s, int n, const xai__params *p) {
  return is_linear(s, n, p) &&
         (!strcmp(s->node.op->type, "Conv") || !strcmp(s->node.op->type, "ConvTranspose"));
}

static bool is_first(const xai__step *s, int n, const xai__params *p) {
  return is_linear(s, n, p) && s->first;
}

static bool is_first_conv(const xai__step *s, int n, const xai__params *p) {
  return is_first(s, n, p) && is_conv(s, n, p);
}

static bool is_first_bounded(const xai__step *s, int n, const xai__params *p) {
  const xai__value *low = xai__params_find(p, "low"), *high = xai__params_find(p, "high");
  return is_first(s, n, p) && ((low && low->set) || (high && high->set));
}

static bool is_in_first_third(const xai__step *s, int n, const xai__params *p) {
  return is_linear(s, n, p) && 3 * s->linear < n;
}

static bool is_in_second_third(const xai__step *s, int n, const xai__params *p) {
  return is_linear(s, n, p) && 3 * s->linear < 2 * n;
}

#endif

static const xai__composite composites[] = {
#if XAI_LRP
    {"lrp-0", {{is_linear, "epsilon", "epsilon=0"}}},
    {"lrp-epsilon", {{is_linear, "epsilon", NULL}}},
    {"attn-lrp", {{is_linear, "epsilon", NULL}}},
    {"cp-lrp", {{is_linear, "epsilon", NULL}}},
    {"lrp-gamma", {{is_linear, "gamma", NULL}}},
    {"lrp-alpha-beta", {{is_linear, "alpha-beta", NULL}}},
    {"lrp-z-plus", {{is_linear, "z-plus", NULL}}},
    {"lrp-w-square", {{is_linear, "w-square", NULL}}},
    {"lrp-flat", {{is_linear, "flat", NULL}}},
    {"epsilon-plus", {{is_conv, "z-plus", NULL}, {is_linear, "epsilon", NULL}}},
    {"epsilon-plus-flat",
     {{is_first, "flat", NULL}, {is_conv, "z-plus", NULL}, {is_linear, "epsilon", NULL}}},
    {"epsilon-alpha2-beta1",
     {{is_conv, "alpha-beta", "alpha=2,beta=1"}, {is_linear, "epsilon", NULL}}},
    {"epsilon-alpha2-beta1-flat",
     {{is_first, "flat", NULL},
      {is_conv, "alpha-beta", "alpha=2,beta=1"},
      {is_linear, "epsilon", NULL}}},
    {"epsilon-gamma-box",
     {{is_first_conv, "z-box", NULL}, {is_conv, "gamma", NULL}, {is_linear, "epsilon", NULL}}},
    {"excitation-backprop", {{is_linear, "z-plus", NULL}}},
    {"deep-taylor",
     {{is_first_bounded, "z-box", NULL}, {is_first, "w-square", NULL}, {is_linear, "z-plus", NULL}}},
    {"lrp-composite",
     {{is_first, "z-box", NULL},
      {is_in_first_third, "gamma", NULL},
      {is_in_second_third, "epsilon", "epsilon=0,rms=0.25"},
      {is_linear, "epsilon", "epsilon=0"}}},
#endif
    {NULL, {{0}}}};

const xai__composite *xai__composite_find(const char *name) {
  for (const xai__composite *c = composites; c->name; c++)
    if (!strcmp(c->name, name)) return c;
  return NULL;
}

/* ---- rows of the caller ---- */

/* "A-B" or "A"; false if it is neither. */
static bool parse_depths(const char *text, double *low, double *high) {
  char first[32];
  size_t dash = strcspn(text, "-");
  snprintf(first, sizeof first, "%.*s", (int)dash, text);
  return xai__number_parse(first, low) && xai__number_parse(text[dash] ? text + dash + 1 : first, high);
}

static int user_match(const xai_row *row, const xai__step *s, bool *matches, xai_error *err) {
  const char *m = row->match;
  if (!strncmp(m, "op:", 3)) {
    *matches = xai__glob(m + 3, s->node.op->type);
  } else if (!strncmp(m, "name:", 5)) {
    *matches = xai__glob(m + 5, s->node.name);
  } else if (!strncmp(m, "depth:", 6)) {
    double low, high;
    if (!parse_depths(m + 6, &low, &high))
      return xai__fail(err, XAI_E_ARGUMENT, m, "'%s' is not depth:A or depth:A-B", m);
    *matches = s->linear >= 0 && s->linear >= low && s->linear <= high;
  } else {
    *matches = xai__glob(m, s->node.op->type) || xai__glob(m, s->node.name);
  }
  return XAI_OK;
}

/* Term rules serve linear layers only. */
static bool can_serve(const xai__rule *rule, const xai__step *s) {
  if (s->cross == XAI__CROSS_NONE) return false;
  return rule->kind != XAI__RULE_TERMS || s->cross == XAI__CROSS_LINEAR;
}

/* The rule's parameters: its schema's defaults, then the method's of the same names. */
static xai__params *rule_params(const xai__rule *rule, const xai__params *method, xai__arena *a,
                                xai_error *err) {
  xai__params *p = xai__arena_new(a, 1, sizeof *p, err);
  if (!p) return NULL;
  xai__params_schema(p, rule->schema);
  xai__params_schema(p, "stabilizer=1e-6");
  for (int i = 0; i < p->n; i++) {
    const xai__value *v = xai__params_find(method, p->v[i].name);
    if (v && v->set) p->v[i] = *v;
    p->v[i].given = false;
  }
  return p;
}

/* A pointwise function; Mul and Div by a constant pass too but are none, unless they end one that
 * is written out. */
static bool is_activation(const xai__step *s) {
  bool scale = !strcmp(s->node.op->type, "Mul") || !strcmp(s->node.op->type, "Div");
  return s->cross == XAI__CROSS_PASS && (s->n_inner || !scale);
}

static int check(const xai__rule *rule, const xai__params *p, xai_error *err) {
  return rule->check ? rule->check(p, err) : XAI_OK;
}

static int assign_user(const xai_row *row, const xai__params *method, const xai__steps *steps,
                       xai__arena *a, xai__assignment *out, xai_error *err) {
  if (!row->match || !row->rule)
    return xai__fail(err, XAI_E_ARGUMENT, "rows", "a row needs a match and a rule");
  const xai__rule *rule = xai__rule_find(row->rule);
  if (!rule)
    return xai__fail(err, XAI_E_ARGUMENT, row->rule, "unknown rule '%s'", row->rule);
  xai__params *p = rule_params(rule, method, a, err);
  if (!p) return err->status;
  char what[64];
  snprintf(what, sizeof what, "rule '%.40s'", rule->name);
  char schema[160];
  snprintf(schema, sizeof schema, "%s%sstabilizer=1e-6[0,inf]", rule->schema, *rule->schema ? ";" : "");
  for (size_t i = 0; i < row->n_params; i++)
    XAI__TRY(xai__params_set(p, schema, what, &row->params[i], err));
  XAI__TRY(check(rule, p, err));
  bool any = false;
  for (int i = 0; i < steps->n; i++) {
    bool matches = false;
    XAI__TRY(user_match(row, &steps->v[i], &matches, err));
    if (!matches || !can_serve(rule, &steps->v[i])) continue;
    any = true;
    if (!out[i].rule) out[i] = (xai__assignment){rule, p, XAI__BY_USER};
  }
  if (any) return XAI_OK;
  return xai__fail(err, XAI_E_ARGUMENT, row->match, "no node that rule '%s' can serve matches '%s'",
                   rule->name, row->match);
}

int xai__assign(const xai__composite *composite, const xai_row *rows, size_t n_rows,
                const xai__params *method, const xai__steps *steps, xai__arena *a,
                xai__assignment **out, xai_error *err) {
  xai__assignment *all = xai__arena_new(a, (size_t)steps->n + 1, sizeof *all, err);
  if (!all) return err->status;
  for (size_t i = 0; i < n_rows; i++)
    XAI__TRY(assign_user(&rows[i], method, steps, a, all, err));
  for (const xai__composite_row *row = composite->row; row < composite->row + 4 && row->match; row++) {
    const xai__rule *rule = xai__rule_find(row->rule);
    xai__params *p = rule_params(rule, method, a, err);
    if (!p) return err->status;
    XAI__TRY(xai__params_parse(p, rule->schema, row->params, err));
    XAI__TRY(check(rule, p, err));
    for (int i = 0; i < steps->n; i++)
      if (!all[i].rule && row->match(&steps->v[i], steps->n_linear, method))
        all[i] = (xai__assignment){rule, p, XAI__BY_COMPOSITE};
  }
  const xai__rule *gradient = xai__rule_find("gradient");
  for (int i = 0; i < steps->n; i++) {
    const xai__step *s = &steps->v[i];
    if (all[i].rule) continue;
    all[i].params = method;
    if (is_activation(s) && xai__params_is(method, "activation", "gradient"))
      all[i] = (xai__assignment){gradient, method, XAI__BY_COMPOSITE};
  }
  *out = all;
  return XAI_OK;
}

void xai__assignment_text(const xai__step *step, const xai__assignment *a, char *text, size_t size) {
  int n = snprintf(text, size, "%s", a->rule ? a->rule->name : xai__crossing_text(step->cross));
  for (int i = 0; a->rule && i < a->params->n && n >= 0 && (size_t)n < size; i++) {
    const xai__value *v = &a->params->v[i];
    if (v->set && xai__schema_has(a->rule->schema, v->name))
      n += snprintf(text + n, size - (size_t)n, " %s=%s", v->name, v->text);
  }
}

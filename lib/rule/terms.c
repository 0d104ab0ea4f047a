/* A rule on a linear layer: its groups of terms, one after the other [METHODS section 2]. */
#include <math.h>
#include <string.h>

#include "op/own.h"
#include "rule/rule.h"

/* Everything the loops over groups and terms share. */
typedef struct context {
  xai__call *call;
  xai__product p;
  const xai__rule *rule;
  const xai__bounds *bounds;
  xai__edit edit[XAI__NONE + 1];
  float coef[XAI__BY_MINUS_BETA + 1];
  float stabilizer, rms;
  const float *x, *z; /* z: W x + b as the rule sees it; NULL if not needed */
  const float *R;
  int64_t n_x, n_z, items;
  bool negative_x;
} context;

static void name_edits(context *k, const xai__params *p) {
  float g = 1 + (float)xai__params_number(p, "gamma");
  const xai__value *beta = xai__params_find(p, "beta");
  float alpha = (float)xai__params_number(p, "alpha");
  static const xai__edit fixed[] = {
      [XAI__ID] = {XAI__LINEAR, 1, 1},  [XAI__POS] = {XAI__LINEAR, 1, 0},
      [XAI__NEG] = {XAI__LINEAR, 0, 1}, [XAI__SQUARED] = {XAI__SQUARE, 0, 0},
      [XAI__ONE] = {XAI__ONES, 0, 0},   [XAI__NONE] = {XAI__LINEAR, 0, 0}};
  memcpy(k->edit, fixed, sizeof fixed);
  k->edit[XAI__MORE_POS] = (xai__edit){XAI__LINEAR, g, 1};
  k->edit[XAI__MORE_NEG] = (xai__edit){XAI__LINEAR, 1, g};
  k->coef[XAI__BY_ONE] = 1;
  k->coef[XAI__BY_ALPHA] = alpha;
  k->coef[XAI__BY_MINUS_BETA] = -(beta && beta->set ? (float)beta->number : alpha - 1);
}

/* The array a term reads; NULL if the term adds nothing. */
static const float *operand(const context *k, const xai__rule_term *t) {
  if (t->at == XAI__AT_LOW) return k->bounds->low;
  if (t->at == XAI__AT_HIGH) return k->bounds->high;
  return t->x == XAI__NEG && !k->negative_x ? NULL : k->x;
}

static xai__edit signed_edit(xai__edit e, float sign) {
  if (e.form == XAI__LINEAR) {
    e.pos *= sign;
    e.neg *= sign;
  }
  return e;
}

/* z_g: the denominator of a group. */
static int denominator(context *k, int group, float *z) {
  bool begun = false;
  for (int i = 0; i < k->rule->n_terms; i++) {
    const xai__rule_term *t = &k->rule->term[i];
    const float *x = operand(k, t);
    if (t->group != group || !x) continue;
    XAI__TRY(xai__product_forward(k->call->engine, &k->p, x, k->edit[t->x],
                                  signed_edit(k->edit[t->w], t->sign), k->edit[t->b], z,
                                  begun ? xai__add_to : xai__set, k->call->err));
    begun = true;
  }
  return XAI_OK;
}

/* The bias's share: sum of be(b) s. */
static double bias_share(const context *k, int group, const float *s) {
  double sum = 0;
  if (!k->p.b) return 0;
  int64_t per_channel = k->p.kind == XAI__MATMUL ? k->p.m : k->p.groups * k->p.m, inner = 1;
  if (k->p.n_bias == per_channel) {
    if (k->p.kind != XAI__MATMUL) inner = k->p.out[0] * k->p.out[1] * k->p.out[2];
    if (k->p.kind == XAI__MATMUL && k->p.w_left) inner = k->p.rows;
  }
  for (int i = 0; i < k->rule->n_terms; i++) {
    const xai__rule_term *t = &k->rule->term[i];
    if (t->group != group || t->b == XAI__NONE) continue;
    for (int64_t j = 0; j < k->n_z; j++)
      sum += (double)xai__edited(k->edit[t->b], k->p.b[j / inner % k->p.n_bias]) * (double)s[j];
  }
  return sum;
}

/* s = coef R / stab(z, e) where the group serves, in place of z. */
typedef struct division {
  const context *k;
  xai__served served;
  float coef, e;
  float *z;
} division;

static bool is_served(const division *d, int64_t i) {
  return d->served == XAI__ALL || (d->served == XAI__WHERE_POS ? d->k->z[i] > 0 : d->k->z[i] < 0);
}

static void divide(void *ctx, int64_t begin, int64_t end) {
  const division *d = ctx;
  for (int64_t i = begin; i < end; i++)
    d->z[i] = is_served(d, i) ? d->coef * xai__ratio(d->k->R[i], xai__stab(d->z[i], d->e)) : 0;
}

/* What the division of a group will not hand on; before the division. */
static void account(const division *d, int64_t begin, int64_t end, double *ledger) {
  for (int64_t i = begin; i < end; i++) {
    if (!is_served(d, i)) continue;
    double R = (double)(d->coef * d->k->R[i]), z = (double)d->z[i];
    float stab = xai__stab(d->z[i], d->e);
    if (z == 0 || stab == 0)
      ledger[XAI__EMPTY] += R;
    else
      ledger[XAI__STABILISER] += R - z * R / (double)stab;
  }
}

static int run_group(context *k, int group, const float *z_ready, float *dx, double *ledger) {
  xai__engine *e = k->call->engine;
  size_t mark = xai__scratch_mark(e);
  float *s = xai__scratch(e, (size_t)k->n_z, sizeof *s, k->call->err);
  if (!s) return k->call->err->status;
  if (z_ready)
    memcpy(s, z_ready, (size_t)k->n_z * sizeof *s);
  else
    XAI__TRY(denominator(k, group, s));
  /* rms(z): over all axes but the batch, so each item has its own stabiliser. */
  int64_t items = k->rms > 0 ? k->items : 1, size = items ? k->n_z / items : 0;
  for (int64_t item = 0; item < items; item++) {
    context part = *k;
    division d = {&part, k->rule->group[group].served, k->coef[k->rule->group[group].coef],
                  k->stabilizer, s + item * size};
    part.R = k->R + item * size;
    if (k->z) part.z = k->z + item * size;
    if (k->rms > 0 && size)
      d.e += k->rms * (float)sqrt(xai__dot(e, part.z, part.z, size) / (double)size);
    if (ledger) account(&d, 0, size, ledger);
    xai__parallel(e, size, 4096, divide, &d);
  }
  if (ledger) ledger[XAI__BIAS] += bias_share(k, group, s);
  int status = XAI_OK;
  for (int i = 0; i < k->rule->n_terms && !status; i++) {
    const xai__rule_term *t = &k->rule->term[i];
    const float *x = operand(k, t);
    if (t->group != group || !x) continue;
    xai__epilogue ep = {XAI__MULTIPLY_ADD, t->sign, x, k->edit[t->x]};
    status = xai__product_adjoint(e, &k->p, s, k->edit[t->w], dx, ep, k->call->err);
  }
  xai__scratch_release(e, mark);
  return status;
}

int xai__rule_terms(xai__rules *r, const xai__step *step, xai__call *c, const xai__assignment *a,
                    const xai__view *gout, const xai__view *gin, double *ledger) {
  context k = {.call = c, .rule = a->rule, .bounds = &r->bounds[step - r->plan->steps.v]};
  int x;
  XAI__TRY(xai__rules_product(r, step, c, &k.p, &x));
  if (!gin[x].data) return XAI_OK;
  bool no_bias = xai__params_is(r->params, "bias", "zero"), had_bias = k.p.b != NULL;
  if (no_bias) {
    k.p.b = NULL;
    k.p.n_bias = 0;
  }
  name_edits(&k, a->params);
  for (int i = 0; i < a->rule->n_terms; i++)
    if (a->rule->term[i].at != XAI__AT_X) {
      XAI__TRY(xai__layer_bounds(r, step, a->params, c->err));
      break;
    }
  k.x = xai__f(&c->in[x]);
  k.R = xai__f(&gout[0]);
  k.n_x = xai__count(&c->in[x].shape);
  k.n_z = xai__count(&c->out[0].shape);
  k.negative_x = xai__any_negative(c->engine, k.x, k.n_x);
  k.stabilizer = (float)xai__params_number(a->params, a->rule->absolute ? "epsilon" : "stabilizer");
  k.rms = a->rule->absolute ? (float)xai__params_number(a->params, "rms") : 0;
  k.items = c->out[0].shape.rank > 0 ? c->out[0].shape.d[0] : 1;

  bool plain = a->rule->absolute; /* the denominator is z itself */
  if (plain || a->rule->group[0].served != XAI__ALL) {
    k.z = xai__f(&c->out[0]);
    if (no_bias && had_bias) {
      float *z = xai__scratch(c->engine, (size_t)k.n_z, sizeof *z, c->err);
      if (!z) return c->err->status;
      XAI__TRY(xai__product_forward(c->engine, &k.p, k.x, xai__identity, xai__identity,
                                    xai__identity, z, xai__set, c->err));
      k.z = z;
    }
    if (ledger && !plain)
      for (int64_t i = 0; i < k.n_z; i++)
        if (k.z[i] == 0) ledger[XAI__EMPTY] += (double)k.R[i];
  }
  for (int g = 0; g < a->rule->n_groups; g++)
    if (k.coef[a->rule->group[g].coef] != 0)
      XAI__TRY(run_group(&k, g, plain ? k.z : NULL, xai__f(&gin[x]), ledger));
  return XAI_OK;
}

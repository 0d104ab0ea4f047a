/* A rule on a linear layer: its groups of terms, one after the other [METHODS section 2]. */
#include <math.h>
#include <string.h>

#include "exec/convert.h"
#include "op/own.h"
#include "rule/rule.h"

/* Everything the loops over groups and terms share. */
typedef struct context {
  xai__layer_use u;
  xai__engine *engine;
  xai_error *err;
  const xai__rule *rule;
  xai__edit edit[XAI__NONE + 1];
  float coef[XAI__BY_MINUS_BETA + 1];
  float stabilizer, rms;
  xai__blocked x, z, low, high; /* as the layer works; z: W x + b as the rule sees it, or no data */
  xai__blocked fixed; /* the terms at low and high */
  const xai__blocked *onto; /* what the terms at x are added to, or NULL */
  xai__blocked R, dx;           /* the same, of u.times targets */
  float *kept[XAI__MAX_GROUPS]; /* where denominators are kept, */
  bool made[XAI__MAX_GROUPS];   /* and whether they are there */
  bool fresh;                   /* dx holds nothing yet */
  int64_t n_z, items;           /* floats of z; numbers along its first axis, */
  double size;                  /* of so many elements each */
  bool negative_x, winograd, forgives;
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
static const xai__blocked *operand(const context *k, const xai__rule_term *t) {
  if (t->at == XAI__AT_LOW) return &k->low;
  if (t->at == XAI__AT_HIGH) return &k->high;
  return t->x == XAI__NEG && !k->negative_x ? NULL : &k->x;
}

/* x+ of an x that is nowhere negative is x. */
static xai__edit edit_of(const context *k, const xai__rule_term *t) {
  return t->x == XAI__POS && !k->negative_x ? xai__identity : k->edit[t->x];
}

/* The edit of weights or bias in a sum: what it adds to them where z is there already. */
static xai__edit summed(const context *k, xai__edit_name name) {
  xai__edit e = k->edit[name];
  if (!k->rule->onto_z || name == XAI__NONE) return e;
  return (xai__edit){XAI__LINEAR, e.pos - 1, e.neg - 1};
}

static xai__edit signed_edit(xai__edit e, float sign) {
  if (e.form == XAI__LINEAR) {
    e.pos *= sign;
    e.neg *= sign;
  }
  return e;
}

/* Terms of one sign: their sum is far from 0 where it matters, so Winograd's sums will do. */
static bool of_one_sign(const context *k, int group) {
  for (int i = 0; i < k->rule->n_terms; i++) {
    const xai__rule_term *t = &k->rule->term[i];
    if (t->group == group && ((t->w != XAI__POS && t->w != XAI__NEG) ||
                              (t->x != XAI__POS && t->x != XAI__NEG)))
      return false;
  }
  return true;
}

/* s = what `division` makes of the terms of a group, those at x or those at the bounds, added to
 * `sum`, if there is one. */
static int divided(context *k, int group, bool at_x, const xai__finish *division,
                   const xai__blocked *sum, const xai__blocked *s) {
  int last = -1;
  const xai__blocked *read[XAI__MAX_TERMS] = {NULL};
  for (int i = 0; i < k->rule->n_terms; i++) {
    const xai__rule_term *t = &k->rule->term[i];
    if (t->group == group && (t->at == XAI__AT_X) == at_x) read[i] = operand(k, t);
    if (read[i]) last = i;
  }
  for (int i = 0; i <= last; i++) {
    const xai__rule_term *t = &k->rule->term[i];
    const xai__blocked *x = read[i];
    if (!x) continue;
    xai__finish f = i == last ? *division : (xai__finish){.form = XAI__KEEP, .winograd = division->winograd};
    f.add = sum;
    XAI__TRY(xai__layer_forward(&k->u, x, edit_of(k, t), signed_edit(summed(k, t->w), t->sign),
                                summed(k, t->b), s, &f));
    sum = s;
  }
  return XAI_OK;
}

/* The bias's share: sum of be(b) s. */
static double bias_share(const context *k, int group, const float *s) {
  double sum = 0;
  if (!k->u.p.b) return 0;
  int64_t per_channel = k->u.p.kind == XAI__MATMUL ? k->u.p.m : k->u.p.groups * k->u.p.m, inner = 1;
  if (k->u.p.n_bias == per_channel) {
    if (k->u.p.kind != XAI__MATMUL) inner = k->u.p.out[0] * k->u.p.out[1] * k->u.p.out[2];
    if (k->u.p.kind == XAI__MATMUL && k->u.p.w_left) inner = k->u.p.rows;
  }
  for (int i = 0; i < k->rule->n_terms; i++) {
    const xai__rule_term *t = &k->rule->term[i];
    if (t->group != group || t->b == XAI__NONE) continue;
    for (int64_t j = 0; j < k->n_z; j++)
      sum += (double)xai__edited(k->edit[t->b], k->u.p.b[j / inner % k->u.p.n_bias]) * (double)s[j];
  }
  return sum;
}

/* What the division of a group will not hand on; z of plain views, before the division. */
static void account(const context *k, const xai__finish *d, const float *z, double *ledger) {
  for (int64_t i = 0; i < k->n_z; i++) {
    if (d->by && !(d->by_sign * d->by->data[i] > 0)) continue;
    double R = (double)(d->coef * k->R.data[i]);
    float stab = xai__stab(z[i], d->stabilizer);
    if (z[i] == 0 || stab == 0)
      ledger[XAI__EMPTY] += R;
    else
      ledger[XAI__STABILISER] += R - (double)z[i] * R / (double)stab;
  }
}

/* Part `item` of items along the first axis. */
static xai__blocked part_of(const xai__blocked *t, int64_t item, int64_t size) {
  return (xai__blocked){.n = 1, .c = 1, .h = 1, .w = size, .plain = true, .data = t->data + item * size};
}

/* s = what `division` makes of denominators z that all targets share. */
static void divide_each(const context *k, const xai__blocked *z, const xai__finish *division, float *s,
                        double *ledger) {
  for (int64_t t = 0; t < k->u.times; t++, s += k->n_z) {
    context one = *k;
    xai__finish f = *division;
    one.R = part_of(&k->R, t, k->n_z);
    f.other = &one.R;
    if (ledger) account(&one, &f, z->data, ledger);
    xai__layer_divide(k->engine, z, &f, s);
  }
}

/* z itself is the denominator: rms(z) is over all axes but the first, so each item has its own
 * stabiliser. */
static void divide_z(const context *k, const xai__finish *division, float *s, double *ledger) {
  if (k->rms == 0) divide_each(k, &k->z, division, s, ledger);
  const int64_t size = k->items ? k->n_z / k->items : 0;
  for (int64_t i = 0; k->rms != 0 && size && i < k->items; i++) {
    context one = *k;
    xai__finish f = *division;
    const xai__blocked z = part_of(&k->z, i, size);
    one.n_z = size;
    one.u.times = 1;
    f.stabilizer += k->rms * (float)sqrt(xai__dot(k->engine, z.data, z.data, size) / k->size);
    for (int64_t t = 0; t < k->u.times; t++) {
      one.R = part_of(&k->R, t * k->items + i, size);
      divide_each(&one, &z, &f, s + (t * k->items + i) * size, ledger);
    }
  }
}

/* Whether a group has relevance to hand on. Behind a ReLU none arrives where z < 0. */
static bool has_work(const context *k, int group) {
  xai__served served = k->rule->group[group].served;
  if (k->coef[k->rule->group[group].coef] == 0) return false;
  if (served == XAI__ALL) return true;
  const float sign = served == XAI__WHERE_POS ? 1 : -1;
  bool any = false;
  for (int64_t t = 0; t < k->u.times && !any; t++)
    any = xai__any_where(k->engine, sign, k->z.data, k->R.data + t * k->n_z, k->n_z);
  return any;
}

typedef struct bending {
  const float *z;
  float *d, more, stabilizer;
} bending;

static void bend(void *ctx, int64_t begin, int64_t end) {
  const bending *j = ctx;
  for (int64_t i = begin; i < end; i++) {
    const float z = j->z[i], part = j->d[i] > 0 ? j->d[i] : 0; /* not what Winograd leaves of 0 */
    j->d[i] = xai__stab(z > 0 ? z + part : (1 + j->more) * z - part, j->stabilizer);
  }
}

/* Denominators to be kept. Those onto z serve both groups, as the sums of the first are enough:
 * with p = g z+, z + p where z > 0 and z + g z- = (1 + g) z - p where z < 0, which cancel nothing. */
static int keep(context *k, int group, const xai__finish *division, const xai__blocked *d) {
  xai__finish stab = *division;
  stab.form = XAI__STAB;
  if (k->rule->onto_z) stab.stabilizer = 0;
  if (k->made[group]) return XAI_OK;
  k->made[group] = true;
  if (!k->rule->onto_z) return divided(k, group, true, &stab, k->onto, d);
  XAI__TRY(divided(k, 0, true, &stab, NULL, d));
  bending j = {k->z.data, d->data, k->edit[XAI__MORE_POS].pos - 1, k->stabilizer};
  xai__parallel(k->engine, k->n_z, XAI__GRAIN, bend, &j);
  k->made[0] = k->made[1] = true;
  return XAI_OK;
}

/* Room for them: where several targets share them, or groups onto z do. */
static int keep_room(context *k) {
  for (int g = 0; g < k->rule->n_groups; g++) {
    k->kept[g] = g && k->rule->onto_z ? k->kept[0]
                                      : xai__scratch(k->engine, (size_t)k->n_z, sizeof(float), k->err);
    if (!k->kept[g]) return k->err->status;
  }
  return XAI_OK;
}

/* s = R / denominators, which need not be there at all where they are not kept. */
static int divide_group(context *k, int group, const xai__finish *division, const xai__blocked *s,
                        double *ledger) {
  const xai__finish sum = {.form = XAI__KEEP, .winograd = division->winograd};
  xai__finish kept = *division;
  xai__blocked d = k->z;
  if (!k->kept[group] && !ledger) return divided(k, group, true, division, k->onto, s);
  if (!k->kept[group]) {
    XAI__TRY(divided(k, group, true, &sum, k->onto, s));
    divide_each(k, s, division, s->data, ledger);
    return XAI_OK;
  }
  d.data = k->kept[group];
  kept.stabilizer = 0;
  XAI__TRY(keep(k, group, division, &d));
  divide_each(k, &d, &kept, s->data, NULL);
  return XAI_OK;
}

/* x once for each target. */
static int for_targets(const context *k, const xai__blocked *x, xai__blocked *all) {
  *all = *x;
  if (k->u.times == 1) return XAI_OK;
  const int64_t n = xai__blocked_count(x);
  all->n *= k->u.times;
  all->data = xai__scratch(k->engine, (size_t)(n * k->u.times), sizeof(float), k->err);
  for (int64_t t = 0; all->data && t < k->u.times; t++)
    memcpy(all->data + t * n, x->data, (size_t)n * sizeof(float));
  return all->data ? XAI_OK : k->err->status;
}

static int run_group(context *k, int group, double *ledger) {
  size_t mark = xai__scratch_mark(k->engine);
  xai__blocked s = k->R;
  s.data = xai__scratch(k->engine, (size_t)(k->n_z * k->u.times), sizeof(float), k->err);
  if (!s.data) return k->err->status;
  xai__served served = k->rule->group[group].served;
  xai__finish division = {.form = XAI__DIVIDE,
                          .winograd = k->winograd && (k->forgives || of_one_sign(k, group)),
                          .coef = k->coef[k->rule->group[group].coef],
                          .stabilizer = k->stabilizer,
                          .other = &k->R,
                          .by = served == XAI__ALL ? NULL : &k->z,
                          .by_sign = served == XAI__WHERE_POS ? 1 : -1};
  if (k->rule->absolute) divide_z(k, &division, s.data, ledger);
  else XAI__TRY(divide_group(k, group, &division, &s, ledger));
  if (ledger) ledger[XAI__BIAS] += bias_share(k, group, s.data);
  for (int i = 0; i < k->rule->n_terms; i++) {
    const xai__rule_term *t = &k->rule->term[i];
    xai__blocked x;
    if (t->group != group || !operand(k, t)) continue;
    XAI__TRY(for_targets(k, operand(k, t), &x));
    xai__finish f = {.form = XAI__TIMES, .coef = t->sign, .other = &x, .edit = edit_of(k, t),
                     .accumulate = !k->fresh, .winograd = division.winograd};
    XAI__TRY(xai__layer_adjoint(&k->u, &s, k->edit[t->w], &k->dx, &f));
    k->fresh = false;
  }
  xai__scratch_release(k->engine, mark);
  return XAI_OK;
}

/* The relevance of u.times targets. */
static int run_groups(context *k, const xai__view *gout, const xai__view *gin, double *ledger) {
  xai__view room;
  XAI__TRY(xai__layer_take(&k->u, gout, XAI__ADJOINT_SIDE, &k->R));
  if (ledger && !k->rule->absolute && k->z.data)
    for (int64_t i = 0; i < k->n_z; i++)
      if (k->z.data[i] == 0) ledger[XAI__EMPTY] += (double)k->R.data[i];
  XAI__TRY(xai__layer_room(&k->u, gin, XAI__INPUT_SIDE, &room));
  k->dx = xai__blocked_of(&room);
  k->fresh = room.data != gin->data || gin->fresh;
  bool work[XAI__MAX_GROUPS] = {false};
  for (int g = 0; g < k->rule->n_groups; g++) work[g] = has_work(k, g);
  if (k->rule->onto_z && (work[1] || k->negative_x) && !k->kept[0] && !ledger) XAI__TRY(keep_room(k));
  for (int g = 0; g < k->rule->n_groups; g++)
    if (work[g]) XAI__TRY(run_group(k, g, ledger));
  if (k->fresh) xai__fill(k->engine, k->dx.data, xai__blocked_count(&k->dx), 0);
  return xai__convert_back(k->engine, &room, gin, !gin->fresh, k->err);
}

/* W x + b where the rule sees no bias, or else as the forward sweep left it. */
static int take_z(context *k, const xai__call *c, bool without_bias) {
  if (!without_bias) return xai__layer_take(&k->u, &c->out[0], XAI__ADJOINT_SIDE, &k->z);
  k->z.data = xai__scratch(k->engine, (size_t)k->n_z, sizeof(float), k->err);
  if (!k->z.data) return k->err->status;
  return xai__layer_forward(&k->u, &k->x, xai__identity, xai__identity, xai__identity, &k->z,
                            &(xai__finish){.form = XAI__KEEP});
}

/* The bounds lie in rows, like the values they were made from. */
static int take_bounds(context *k, xai__rules *r, const xai__step *step, const xai__assignment *a,
                       const xai__view *x) {
  const xai__bounds *bounds = &r->bounds[step - r->plan->steps.v];
  xai__view low = *x, high = *x;
  bool used = false;
  for (int i = 0; i < a->rule->n_terms; i++) used |= a->rule->term[i].at != XAI__AT_X;
  if (!used) return XAI_OK;
  XAI__TRY(xai__layer_bounds(r, step, a->params, k->err));
  low.blocked = high.blocked = 0;
  low.data = bounds->low;
  high.data = bounds->high;
  XAI__TRY(xai__layer_take(&k->u, &low, XAI__INPUT_SIDE, &k->low));
  return xai__layer_take(&k->u, &high, XAI__INPUT_SIDE, &k->high);
}

/* Terms at the bounds are the same for all x. */
static int take_fixed(context *k, xai__bounds *bounds) {
  if (!k->low.data) return XAI_OK;
  const bool made = bounds->sum != NULL;
  if (!made)
    bounds->sum = xai__new_raw(xai__engine_memory(k->engine), (size_t)k->n_z, sizeof(float), k->err);
  if (!bounds->sum) return k->err->status;
  k->fixed = k->z;
  k->fixed.data = bounds->sum;
  k->onto = &k->fixed;
  return made ? XAI_OK
              : divided(k, 0, false, &(xai__finish){.form = XAI__KEEP}, NULL, &k->fixed);
}

/* Whether a value is a ReLU's, which needs no looking at. */
static bool is_rectified(const xai_graph *g, int v) {
  int n = g->values[v].producer;
  while (n >= 0 && g->nodes[n].op->alias) n = g->values[g->nodes[n].in[0]].producer;
  return n >= 0 && g->nodes[n].op->relu && !g->nodes[n].op->relu_at;
}

int xai__rule_terms(xai__rules *r, const xai__step *step, xai__call *c, const xai__assignment *a,
                    const xai__view *gout, const xai__view *gin, double *ledger) {
  context k = {.engine = c->engine, .err = c->err, .rule = a->rule,
               .forgives = xai__rule_forgives(a->rule, a->params),
               .winograd = r->plan->winograd == XAI__WINOGRAD_FORWARD};
  XAI__TRY(xai__layer_open(r->plan, step, &r->plan->layer[step - r->plan->steps.v], c, &k.u));
  int x = k.u.x;
  if (!gin[x].data) return XAI_OK;
  bool no_bias = xai__params_is(r->params, "bias", "zero"), had_bias = k.u.p.b != NULL;
  if (no_bias) {
    k.u.p.b = NULL;
    k.u.p.n_bias = 0;
  }
  name_edits(&k, a->params);
  XAI__TRY(take_bounds(&k, r, step, a, &c->in[x]));
  XAI__TRY(xai__layer_take(&k.u, &c->in[x], XAI__INPUT_SIDE, &k.x));
  xai__view z = c->out[0];
  z.data = NULL; /* its layout */
  XAI__TRY(xai__layer_take(&k.u, &z, XAI__ADJOINT_SIDE, &k.z));
  k.n_z = xai__blocked_count(&k.z);
  k.items = c->out[0].shape.rank > 0 ? c->out[0].shape.d[0] : 1;
  k.size = k.items ? (double)(xai__count(&c->out[0].shape) / k.items) : 0;
  k.negative_x = !is_rectified(r->plan->graph, step->node.in[x]) &&
                 xai__any_negative(c->engine, k.x.data, xai__blocked_count(&k.x));
  k.stabilizer = (float)xai__params_number(a->params, a->rule->absolute ? "epsilon" : "stabilizer");
  k.rms = a->rule->absolute ? (float)xai__params_number(a->params, "rms") : 0;
  /* The denominator is z itself, or z says who is served. */
  if (a->rule->absolute || a->rule->group[0].served != XAI__ALL)
    XAI__TRY(take_z(&k, c, no_bias && had_bias));

  if (a->rule->onto_z) k.onto = &k.z;
  else XAI__TRY(take_fixed(&k, &r->bounds[step - r->plan->steps.v]));
  const int64_t targets = xai__times(gout), together = xai__layer_together(&k.u, targets);
  if (targets > 1 && !a->rule->absolute) XAI__TRY(keep_room(&k));
  for (int64_t t = 0; t < targets; t += k.u.times) {
    size_t mark = xai__scratch_mark(c->engine);
    k.u.times = together < targets - t ? together : targets - t;
    const xai__view R = xai__some_targets(&gout[0], t, k.u.times), to = xai__some_targets(&gin[x], t, k.u.times);
    XAI__TRY(run_groups(&k, &R, &to, ledger));
    xai__scratch_release(c->engine, mark);
  }
  return XAI_OK;
}

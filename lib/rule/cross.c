/* How relevance crosses one step: a function per crossing [METHODS section 3]. */
#include <string.h>

#include "exec/convert.h"
#include "op/broadcast.h"
#include "op/own.h"
#include "rule/rule.h"

/* One step being crossed. */
typedef struct crossing {
  xai__rules *r;
  const xai__step *step;
  xai__call *c;
  const xai__assignment *a;
  const xai__view *gout, *gin;
  double *ledger; /* of the step's origin, or NULL */
} crossing;

static bool option_is(const crossing *x, const char *name, const char *choice) {
  return xai__params_is(x->r->params, name, choice);
}

static float stabilizer(const crossing *x) {
  return (float)xai__params_number(x->r->params, "stabilizer");
}

/* to += share * R, summed where `to` is repeated; blocked ones by way of plain copies. */
static int sum_blocked(const crossing *x, const xai__view *to, const xai__view *R, float share) {
  xai__engine *e = x->c->engine;
  xai__view plain, room;
  XAI__TRY(xai__convert(e, R, 0, &plain, x->c->err));
  XAI__TRY(xai__convert_room(e, to, 0, &room, x->c->err));
  if (room.data != to->data) xai__fill(e, xai__f(&room), xai__count(&room.shape), 0);
  xai__sum_to(e, &room, &plain, share);
  return xai__convert_back(e, &room, to, true, x->c->err);
}

/* gin[k] += share * R, summed where operand k is repeated. */
static int hand_to(crossing *x, int k, float share) {
  const xai__view *to = &x->gin[k], *R = &x->gout[0];
  xai__shape both;
  if (!to->data) return XAI_OK;
  if (xai__count(&to->shape) == xai__count(&R->shape) && to->blocked == R->blocked) { /* also in another shape */
    xai__add_scaled(x->c->engine, xai__f(to), xai__f(R), xai__stored(R), share);
    return XAI_OK;
  }
  if (!xai__shape_broadcast(&to->shape, &R->shape, &both) || !xai__shape_equal(&both, &R->shape))
    return xai__fail(x->c->err, XAI_E_ARGUMENT, x->c->node->name,
                     "relevance of shape %s cannot pass to operand %d of node '%s' (%s), of shape %s",
                     xai__shape_text(&R->shape).text, k, x->c->node->name, x->c->node->op->type,
                     xai__shape_text(&to->shape).text);
  if (to->blocked || R->blocked) return sum_blocked(x, to, R, share);
  xai__sum_to(x->c->engine, to, R, share);
  return XAI_OK;
}

static double total(const crossing *x, const xai__view *v, int n) {
  double sum = 0;
  for (int k = 0; k < n; k++) {
    bool counted = !v[k].data; /* an operand used twice has one relevance */
    for (int i = 0; i < k; i++) counted |= v[i].data == v[k].data;
    if (!counted) sum += xai__sum(x->c->engine, xai__f(&v[k]), xai__count(&v[k].shape));
  }
  return sum;
}

static int cross_pass(crossing *x) { return hand_to(x, x->step->operand, 1); }

/* gin += J' gout of the step, with all it stands for. */
static int step_vjp(const crossing *x, const xai__view *gout, const xai__view *gin) {
  return xai__step_vjp(x->r->plan, x->step, x->c, gout, gin);
}

static int cross_gradient(crossing *x) { return step_vjp(x, x->gout, x->gin); }

static int cross_none(crossing *x) {
  (void)x;
  return XAI_OK;
}

static int cross_refused(crossing *x) {
  return xai__fail(x->c->err, XAI_E_UNSUPPORTED, x->c->node->name,
                   "no relevance is defined through node '%s' (%s)", x->c->node->name,
                   x->c->node->op->type);
}

/* Zeros where nothing was handed on yet, for crossings that only add. */
static void begin(const crossing *x) {
  for (int k = 0; k < x->c->n_in; k++)
    if (x->gin[k].data && x->gin[k].fresh)
      xai__fill(x->c->engine, xai__f(&x->gin[k]), xai__stored(&x->gin[k]), 0);
}

typedef struct sum_job {
  const xai__call *c;
  const xai__view *gin;
  const float *y, *R;
  float stabilizer;
} sum_job;

/* Pieces stay near while their ratio meets one operand after the other. */
static void share_sum(void *ctx, int64_t begin, int64_t end) {
  enum { PIECE = 1024 };
  const sum_job *j = ctx;
  float ratio[PIECE];
  for (int64_t n; begin < end; begin += n) {
    n = end - begin < PIECE ? end - begin : PIECE;
    const float *y = j->y + begin, *R = j->R + begin;
    for (int64_t i = 0; i < n; i++) ratio[i] = xai__ratio(R[i], xai__stab(y[i], j->stabilizer));
    for (int k = 0; k < j->c->n_in; k++) {
      const float *x = xai__f(&j->c->in[k]) + begin;
      if (!j->gin[k].data) continue;
      float *dx = xai__f(&j->gin[k]) + begin;
      bool fresh = j->gin[k].fresh;
      for (int i = 0; i < k; i++) fresh = fresh && j->gin[i].data != j->gin[k].data; /* twice the same */
      if (fresh)
        for (int64_t i = 0; i < n; i++) dx[i] = x[i] * ratio[i];
      else
        for (int64_t i = 0; i < n; i++) dx[i] += x[i] * ratio[i];
    }
  }
}

/* A sum of tensors of one shape in one go; false: it is not that simple. */
static bool cross_sum(crossing *x) {
  const xai__call *c = x->c;
  bool simple = c->node->op->sum && !x->ledger && !x->step->n_inner;
  for (int k = 0; k < c->n_in && simple; k++)
    simple = !c->in_static[k] && xai__shape_equal(&c->in[k].shape, &c->out[0].shape);
  sum_job j = {c, x->gin, xai__f(&c->out[0]), xai__f(&x->gout[0]), stabilizer(x)};
  if (simple) xai__parallel(c->engine, xai__stored(&c->out[0]), XAI__GRAIN, share_sum, &j);
  return simple;
}

/* Any linear map without weights: R_i = x_i J_i' (R / stab(y)). What constants and shifts add to y
 * takes its share as a bias. */
static int cross_norm(crossing *x) {
  xai__call *c = x->c;
  xai__engine *e = c->engine;
  xai__view y = c->out[0];
  int64_t n = xai__stored(&y);
  if (cross_sum(x)) return XAI_OK;
  begin(x);
  bool shifted = x->step->shifted, no_bias = option_is(x, "bias", "zero");
  for (int k = 0; k < c->n_in && !c->node->op->homogeneous; k++)
    shifted |= c->in_static[k] && c->in[k].shape.rank >= 0 && c->in[k].dtype == XAI_F32;
  if (no_bias && x->step->shifted) /* y before the last of several nodes adds the shift */
    y = x->r->plan->value[x->r->plan->graph->nodes[x->step->inner[x->step->n_inner - 2]].out[0]];
  else if (no_bias && shifted)
    return cross_pass(x);
  float *s = xai__scratch(e, (size_t)n, sizeof *s, c->err);
  xai__view *g = xai__scratch(e, (size_t)c->n_in, sizeof *g, c->err);
  if (!s || !g) return c->err->status;
  xai__own_divide(e, xai__f(&x->gout[0]), xai__f(&y), 1, n, stabilizer(x), s, x->ledger);
  for (int k = 0; k < c->n_in; k++) {
    g[k] = x->gin[k];
    if (!g[k].data) continue;
    int64_t m = xai__stored(&g[k]);
    if (!(g[k].data = xai__scratch(e, (size_t)m, sizeof(float), c->err))) return c->err->status;
    xai__fill(e, xai__f(&g[k]), m, 0);
  }
  xai__view share = x->gout[0];
  share.data = s;
  XAI__TRY(step_vjp(x, &share, g));
  double kept = x->ledger && shifted ? total(x, x->gout, 1) + total(x, x->gin, c->n_in) : 0;
  for (int k = 0; k < c->n_in; k++)
    if (g[k].data)
      xai__add_product(e, xai__f(&x->gin[k]), xai__f(&c->in[k]), xai__f(&g[k]), xai__stored(&g[k]));
  if (x->ledger && shifted)
    x->ledger[XAI__BIAS] += kept - total(x, x->gin, c->n_in) - x->ledger[XAI__STABILISER] - x->ledger[XAI__EMPTY];
  return XAI_OK;
}

static bool from_softmax(const crossing *x, int k) {
  return x->step->gate && x->step->gate[k] == XAI__GATE_SOFTMAX;
}

static int cross_own(crossing *x) {
  xai__call *c = x->c;
  const char *const names[] = {"softmax", "matmul", "maxpool"};
  const char *text[3];
  for (int i = 0; i < 3; i++) text[i] = xai__params_find(x->r->params, names[i])->text;
  bool *softmax = xai__scratch(c->engine, (size_t)c->n_in + 1, 1, c->err);
  if (!softmax) return c->err->status;
  for (int k = 0; k < c->n_in; k++) softmax[k] = from_softmax(x, k);
  xai__own_options o = {stabilizer(x), option_is(x, "bias", "zero"), text[0], text[1], text[2],
                        softmax, x->ledger};
  return c->node->op->relevance(c, &o, x->gout, x->gin);
}

static int cross_route(crossing *x) {
  bool own = x->c->node->op->relevance && !option_is(x, "maxpool", "winner");
  return own ? cross_own(x) : cross_gradient(x);
}

/* Which factor of a product is a gate: 0, 1, or -1 if none or both are. */
static int gate_factor(const crossing *x) {
  const bool *constant = x->c->in_static;
  if (constant[0] != constant[1]) return constant[0] ? 0 : 1;
  if (option_is(x, "mul", "uniform")) return -1;
  int a = x->step->gate[0], b = x->step->gate[1];
  if (a == XAI__GATE_TANH && b > XAI__GATE_TANH) a = XAI__NO_GATE;
  if (b == XAI__GATE_TANH && a > XAI__GATE_TANH) b = XAI__NO_GATE;
  if (a && b) return -1;
  if (a || b) return a ? 0 : 1;
  if (!option_is(x, "mul", "value")) return -1;
  int64_t n = xai__count(&x->c->out[0].shape);
  if (xai__count(&x->c->in[0].shape) < n && xai__count(&x->c->in[1].shape) == n) return 0;
  return 1;
}

static int cross_gate(crossing *x) {
  int gate = gate_factor(x);
  if (gate >= 0) return hand_to(x, 1 - gate, 1);
  XAI__TRY(hand_to(x, 0, 0.5f));
  return hand_to(x, 1, 0.5f);
}

static int cross_terms(crossing *x) {
  if (!x->a->rule)
    return xai__fail(x->c->err, XAI_E_UNSUPPORTED, x->c->node->name,
                     "no rule is assigned to linear layer '%s'", x->c->node->name);
  return xai__rule_terms(x->r, x->step, x->c, x->a, x->gout, x->gin, x->ledger);
}

/* Whether an option lets relevance pass this normalisation unchanged. */
static bool passes(const crossing *x) {
  const char *option = x->step->n_inner ? "layernorm" : x->c->node->op->pass_option;
  return option && option_is(x, option, "pass");
}

/* By crossing, and by the kind of an assigned rule. */
static int (*const by_crossing[])(crossing *) = {
    [XAI__CROSS_NONE] = cross_none,     [XAI__CROSS_PASS] = cross_pass,
    [XAI__CROSS_LINEAR] = cross_terms,  [XAI__CROSS_NORM] = cross_norm,
    [XAI__CROSS_ROUTE] = cross_route,   [XAI__CROSS_GATE] = cross_gate,
    [XAI__CROSS_OWN] = cross_own,       [XAI__CROSS_REFUSED] = cross_refused,
};
static int (*const by_rule[])(crossing *) = {
    [XAI__RULE_TERMS] = cross_terms,
    [XAI__RULE_PASS] = cross_pass,
    [XAI__RULE_NORM] = cross_norm,
    [XAI__RULE_GRADIENT] = cross_gradient,
};

/* Where what is left over goes: relevance moved to a constant, or a rule that does not conserve. */
static xai__column remainder_column(const crossing *x) {
  if (x->a->rule && x->a->rule->kind == XAI__RULE_GRADIENT) return XAI__RULE;
  if (x->step->cross == XAI__CROSS_OWN) return XAI__RULE;
  if (x->step->cross == XAI__CROSS_ROUTE) return XAI__CONSTANT;
  return XAI__COLUMNS;
}

/* What can have no relevance is a constant to the step. */
static int hold_constants(const xai__step *step, xai__call *c, const xai__view **gin) {
  xai__view *wanted = xai__scratch(c->engine, (size_t)c->n_in + 1, sizeof *wanted, c->err);
  if (!wanted) return c->err->status;
  for (int k = 0; k < c->n_in; k++) {
    wanted[k] = (*gin)[k];
    if (step->constant[k]) wanted[k].data = NULL;
  }
  c->in_static = step->constant;
  *gin = wanted;
  return XAI_OK;
}

int xai__rules_cross(void *rules, const xai__step *step, xai__call *c, const xai__view *gout,
                     const xai__view *gin) {
  xai__rules *r = rules;
  XAI__TRY(hold_constants(step, c, &gin));
  crossing x = {r, step, c, &r->assigned[step - r->plan->steps.v], gout, gin, NULL};
  double before = 0, row[XAI__COLUMNS] = {0};
  if (r->ledger) {
    x.ledger = row;
    before = total(&x, gin, c->n_in);
  }
  int (*cross)(crossing *) = x.a->rule ? by_rule[x.a->rule->kind] : by_crossing[step->cross];
  if (!x.a->rule && passes(&x)) {
    begin(&x);
    cross = cross_pass;
  }
  XAI__TRY(cross(&x));
  if (!r->ledger) return XAI_OK;
  row[XAI__IN] = total(&x, gout, c->n_out);
  row[XAI__OUT] = total(&x, gin, c->n_in) - before;
  double rest = row[XAI__IN];
  for (int i = XAI__OUT; i < XAI__COLUMNS; i++) rest -= row[i];
  xai__column column = remainder_column(&x);
  if (column < XAI__COLUMNS) row[column] += rest;
  for (int i = 0; i < XAI__COLUMNS; i++) r->ledger[step->origin * XAI__COLUMNS + i] += row[i];
  return XAI_OK;
}

/* ---- what the crossings read ---- */

/* Of a step of several nodes or with something folded in, whose vjp is not the operator's. */
static unsigned char vjp_reads(const xai__step *s) {
  if (s->n_inner) return XAI__READS_IN | XAI__READS_OUT;
  return s->cross == XAI__CROSS_LINEAR ? 0 : xai__op_vjp_reads(s->node.op);
}

static unsigned char rule_reads(const xai__step *s, const xai__assignment *a) {
  const xai__rule *rule = a->rule;
  const unsigned char all_targets = s->cross == XAI__CROSS_LINEAR ? XAI__ALL_TARGETS : 0;
  if (rule->kind == XAI__RULE_PASS) return XAI__HANDS_ON | XAI__ANY_LAYOUT;
  if (rule->kind == XAI__RULE_GRADIENT) return vjp_reads(s) | XAI__ANY_LAYOUT | all_targets;
  unsigned char reads = XAI__READS_IN | XAI__READS_OUT | XAI__ANY_LAYOUT;
  if (rule->kind == XAI__RULE_NORM) return reads | XAI__BEGINS;
  if (rule->term[0].w == XAI__SQUARED || rule->term[0].w == XAI__ONE) reads |= XAI__MAKES_WEIGHTS;
  if (!rule->absolute && rule->group[0].served == XAI__ALL) reads ^= XAI__READS_OUT; /* makes its own z */
  return reads | XAI__BEGINS | XAI__ALL_TARGETS | (xai__rule_forgives(rule, a->params) ? XAI__FORGIVES : 0);
}

static unsigned char crossing_reads(const xai__params *params, const xai__step *s) {
  bool winner = xai__params_is(params, "maxpool", "winner");
  switch (s->cross) {
    case XAI__CROSS_PASS: return XAI__HANDS_ON | XAI__ANY_LAYOUT;
    case XAI__CROSS_NORM: return XAI__READS_IN | XAI__READS_OUT | XAI__ANY_LAYOUT | XAI__BEGINS;
    case XAI__CROSS_ROUTE:
      if (winner || !s->node.op->relevance) return vjp_reads(s) | XAI__ANY_LAYOUT;
      break;
    case XAI__CROSS_GATE: return XAI__ANY_LAYOUT;
    case XAI__CROSS_NONE: return 0;
    default: break;
  }
  return XAI__READS_IN | XAI__READS_OUT;
}

void xai__rules_reads(const xai__params *params, const xai__assignment *assigned,
                      const xai__steps *steps, unsigned char *reads) {
  for (int i = 0; i < steps->n; i++)
    reads[i] = assigned[i].rule ? rule_reads(&steps->v[i], &assigned[i])
                                : crossing_reads(params, &steps->v[i]);
}

int xai__rules_create(xai__plan *p, xai__rules **out, xai_error *err) {
  xai__memory *m = xai__engine_memory(p->engine);
  xai__rules *r = xai__new(m, 1, sizeof *r, err);
  if (!r) return err->status;
  r->plan = p;
  r->bounds = xai__new(m, (size_t)p->steps.n + 1, sizeof *r->bounds, err);
  if (!r->bounds) {
    xai__free(r);
    return err->status;
  }
  *out = r;
  return XAI_OK;
}

void xai__rules_begin(xai__rules *r, const xai__params *params, const xai__assignment *assigned,
                      double *ledger) {
  for (int i = 0; i < r->plan->steps.n; i++)
    if (!r->bounds[i].n_key[0] || !r->bounds[i].n_key[1]) xai__bounds_drop(&r->bounds[i]);
  r->params = params;
  r->assigned = assigned;
  r->ledger = ledger;
}

void xai__rules_free(xai__rules *r) {
  if (!r) return;
  for (int i = 0; i < r->plan->steps.n; i++) xai__bounds_drop(&r->bounds[i]);
  xai__free(r->bounds);
  xai__free(r);
}

/* Rules: how relevance crosses a step. A rule never names an operator.
 *
 * For a linear layer z = W x + b a rule is a list of terms [METHODS section 2]: each term edits the
 * input, the weights and the bias, and belongs to a group; the terms of a group add up to one
 * denominator, and the group serves some outputs with one coefficient:
 *   z_g = sum over terms of sign * (we(W) xe(x) + be(b)),   s_g = R / stab(z_g, e) where served,
 *   R_in += coef_g * sign * xe(x) * we(W)' s_g.
 * To add a rule: a row in rule.c. */
#ifndef XAI_RULE_RULE_H
#define XAI_RULE_RULE_H
#include "base/param.h"
#include "exec/layer.h"

typedef enum { XAI__RULE_TERMS, XAI__RULE_PASS, XAI__RULE_NORM, XAI__RULE_GRADIENT } xai__rule_kind;
typedef enum { XAI__ID, XAI__POS, XAI__NEG, XAI__MORE_POS, XAI__MORE_NEG, XAI__SQUARED, XAI__ONE,
               XAI__NONE } xai__edit_name; /* MORE_POS: v + gamma v+ */
typedef enum { XAI__AT_X, XAI__AT_LOW, XAI__AT_HIGH } xai__operand_name;
typedef enum { XAI__ALL, XAI__WHERE_POS, XAI__WHERE_NEG } xai__served;
typedef enum { XAI__BY_ONE, XAI__BY_ALPHA, XAI__BY_MINUS_BETA } xai__coef_name;

#define XAI__MAX_TERMS 4
#define XAI__MAX_GROUPS 2

typedef struct xai__rule_term {
  xai__operand_name at;
  xai__edit_name x, w, b;
  int group;
  float sign;
} xai__rule_term;

typedef struct xai__rule {
  const char *name, *schema;
  xai__rule_kind kind;
  int n_terms, n_groups;
  xai__rule_term term[XAI__MAX_TERMS];
  struct {
    xai__served served;
    xai__coef_name coef;
  } group[XAI__MAX_GROUPS];
  bool absolute; /* stabilised by `epsilon` and `rms`, not by `stabilizer` */
  bool onto_z;   /* the denominators are z and what its edits of W and b add: of z's sign where served */
  int (*check)(const xai__params *p, xai_error *err);
} xai__rule;

const xai__rule *xai__rule_find(const char *name);
/* Whether z is so far from 0 in denominators that an error of Winograd's size in it does no harm. */
bool xai__rule_forgives(const xai__rule *rule, const xai__params *p);
const xai__rule *xai__rule_at(size_t i); /* NULL past the end */

/* Parameters that every relevance method takes besides its own, and three whose defaults vary. */
#define XAI__RELEVANCE_SCHEMA                                                             \
  "bias=absorb|zero;activation=pass|gradient;maxpool=winner|proportional|average;"        \
  "batchnorm=norm|pass;layernorm=lrp|pass;rewrite=on|off;winograd=on|off"
#define XAI__STABILIZER_SCHEMA "stabilizer=1e-6[0,inf];"
#define XAI__PRODUCT_SCHEMA "mul=gate|uniform|value;softmax=lrp|detach|gradient;matmul=half|value;"

/* What one step does with relevance. rule NULL: the default of its crossing. */
typedef struct xai__assignment {
  const xai__rule *rule;
  const xai__params *params; /* of the rule; of the method where there is no rule */
  enum { XAI__BY_DEFAULT, XAI__BY_COMPOSITE, XAI__BY_USER } by;
} xai__assignment;

#define XAI__BOUND_KEY 24

/* z-box bounds of a linear layer's input, of its shape; NULL: not made. They stay while the
 * parameters do. */
typedef struct xai__bounds {
  float *low, *high;
  float *sum; /* what a rule's terms at the bounds add to z, as the layer works; NULL: not made */
  float key[2][XAI__BOUND_KEY]; /* the parameters low and high, if they are small enough to keep: */
  int n_key[2];                 /* else 0 */
} xai__bounds;

/* A relevance sweep over a plan: the user of xai__rules_cross. */
typedef struct xai__rules {
  xai__plan *plan;
  const xai__params *params; /* of the method */
  const xai__assignment *assigned; /* per step of plan->steps */
  xai__bounds *bounds;             /* per step */
  double *ledger;                  /* [nodes][XAI__COLUMNS] or NULL */
} xai__rules;

int xai__rules_create(xai__plan *p, xai__rules **out, xai_error *err);
/* For the sweeps that follow; borrowed. */
void xai__rules_begin(xai__rules *r, const xai__params *params, const xai__assignment *assigned,
                      double *ledger);
void xai__rules_free(xai__rules *r);
/* What crossing each of `steps` reads (xai__reading), the method's parameters and rules being these. */
void xai__rules_reads(const xai__params *params, const xai__assignment *assigned,
                      const xai__steps *steps, unsigned char *reads);
/* The xai__cross_fn of relevance. */
int xai__rules_cross(void *rules, const xai__step *step, xai__call *c, const xai__view *gout,
                     const xai__view *gin);

/* A bound of the input `name`, written out: a number, a vector of channels, or a tensor that repeats. */
int xai__bound_fill(xai__engine *e, const xai__value *bound, const xai__view *to, const char *name,
                    xai_error *err);

/* ---- inside the room ---- */

/* A linear layer by its terms. */
int xai__rule_terms(xai__rules *r, const xai__step *step, xai__call *c, const xai__assignment *a,
                    const xai__view *gout, const xai__view *gin, double *ledger);
void xai__bounds_drop(xai__bounds *b);
/* Makes the step's bounds from the parameters low and high, unless they are there. */
int xai__layer_bounds(xai__rules *r, const xai__step *step, const xai__params *params,
                      xai_error *err);

#endif

/* Pieces of the operators' own relevance functions. */
#ifndef XAI_OP_OWN_H
#define XAI_OP_OWN_H
#include "op/op.h"

/* stab(z, e) = z + e sgn(z), sgn(0) = +1 */
static inline float xai__stab(float z, float e) { return z + (z >= 0 ? e : -e); }
/* r / d, and 0 where d is 0: METHODS' 0/0. */
/* Without a branch, so that loops of it are vectorised. */
static inline float xai__ratio(float r, float d) { return (d != 0 ? r : 0) / (d != 0 ? d : 1); }

/* s = R / stab(scale z, e) for n elements, in parallel. What scale z s does not hand on goes to the
 * ledger (NULL: not wanted) as stabiliser, or as empty where the denominator is 0; nothing is lost
 * where z is infinite, by a mask. */
void xai__own_divide(xai__engine *e, const float *R, const float *z, float scale, int64_t n,
                     float stabilizer, float *s, double *ledger);
/* ledger[column] += sum R - sum taken, unless the ledger is NULL. taken may be NULL. */
void xai__own_lose(xai__engine *e, const float *R, int64_t n, const float *taken, int64_t n_taken,
                   double *ledger, xai__column column);

/* Relevance of an operator that is linear in operand 0, whatever its other operands are, which are
 * held constant: x_i J_i' (R / stab(y)), from its vjp. What is not x's in y is a bias. */
int xai__own_first(xai__call *c, const xai__own_options *o, const xai__view *gout,
                   const xai__view *gin);

/* Sum of all that is there of n arrays. */
double xai__own_total(const xai__call *c, const xai__view *v, int n);
/* What came and was not handed on, of operands whose relevance was `before` in all, is the rule's. */
void xai__own_lose_rest(const xai__call *c, const xai__own_options *o, const xai__view *gout,
                        const xai__view *gin, double before);

#endif

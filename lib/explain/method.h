/* Methods of explanation: a row each [METHODS sections 1 and 4].
 *
 * Most methods are one reverse sweep (gradients, or relevance by a composite of rules) and what is
 * done with the result: single.c. The others have a `run` of their own, a file each. To add one: a
 * row in method.c; a composite's rows are in rule/composite.c. */
#ifndef XAI_EXPLAIN_METHOD_H
#define XAI_EXPLAIN_METHOD_H
#include "explain/session.h"

typedef enum { XAI__PLAIN, XAI__GUIDED, XAI__DECONV } xai__backward; /* what a ReLU does */
typedef enum { XAI__AS_IS, XAI__ABSOLUTE, XAI__SQUARE_OF, XAI__TIMES_INPUT } xai__ending;

typedef struct xai__job xai__job;

typedef struct xai__method {
  const char *name, *schema;
  bool relevance;            /* by rules; else by gradients */
  xai__backward backward;
  xai__ending finish;
  const char *fixed; /* what the method itself decides, "k=v,k=v" */
  int (*run)(xai__job *j);
  int64_t (*extra)(const xai__job *j); /* bytes that run takes beyond the plan; NULL: none */
  bool own_sweep; /* crosses steps by a function of its own, which reads everything */
  /* A method without inputs to explain serves the whole call itself, and its bill; else NULL. */
  int (*alone)(xai_session *s, const xai_request *r, xai_result *out, xai_error *err);
  int (*alone_bill)(xai_session *s, const xai_request *r, int64_t *bytes, xai_error *err);
} xai__method;

const xai__method *xai__method_at(size_t i); /* NULL past the end */
const xai__method *xai__method_find(const char *name, xai_error *err); /* NULL name: an error, too */

/* Its parameters: the schema's defaults, what the caller set, what the method fixes. */
int xai__method_params(const xai__method *m, const xai_param *given, size_t n, xai__params *out,
                       xai_error *err);
/* xai__folding of its sweep. */
int xai__method_fold(const xai__method *m, const xai__params *p);

/* The xai__cross_fn of gradients over a plan. */
typedef struct xai__gradient {
  xai__plan *plan;
  xai__backward how;
} xai__gradient;
int xai__gradient_cross(void *gradient, const xai__step *step, xai__call *c, const xai__view *gout,
                        const xai__view *gin);
/* What it reads: a xai__reads_fn, no user. */
int xai__gradient_reads(void *none, const xai__steps *steps, unsigned char *reads, xai_error *err);

#endif

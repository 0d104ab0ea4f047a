/* Composites: which rule each step gets [METHODS section 4]. The first matching row wins; the
 * caller's own rows come before the composite's. To add one: a row list in composite.c. */
#ifndef XAI_RULE_COMPOSITE_H
#define XAI_RULE_COMPOSITE_H
#include "rule/rule.h"

typedef struct xai__composite_row {
  bool (*match)(const xai__step *step, int n_linear, const xai__params *method);
  const char *rule, *params; /* "k=v,k=v" on top of the method's parameters of the rule's names */
} xai__composite_row;

typedef struct xai__composite {
  const char *name;
  xai__composite_row row[4]; /* ended by a NULL match */
} xai__composite;

const xai__composite *xai__composite_find(const char *name);

/* Assigns every step of `steps`; the parameters live in the arena. */
int xai__assign(const xai__composite *composite, const xai_row *rows, size_t n_rows,
                const xai__params *method, const xai__steps *steps, xai__arena *a,
                xai__assignment **out, xai_error *err);

/* "z-plus gamma=0.25": the rule of a step, or of its crossing; for reports. */
void xai__assignment_text(const xai__step *step, const xai__assignment *a, char *text, size_t size);

#endif

/* Named parameters checked against a schema.
 *
 * Schema: entries joined by ';': "gamma=0.25", "bias=absorb|zero" (first choice is the default),
 * "root=0|tensor" (or a tensor), "low=" (no default: unset; a number, a name or a tensor). A bound follows in brackets: "gamma=0.25[0,inf]",
 * "steps=50[1,100000]". */
#ifndef XAI_BASE_PARAM_H
#define XAI_BASE_PARAM_H
#include "base/error.h"
#include <stdbool.h>

#define XAI__MAX_PARAMS 24

typedef struct xai__value {
  char name[24];
  char text[40];            /* of a choice, or of the number; "" when unset; cut if a long name */
  const char *label;        /* a name the caller gave, whole; borrowed, else NULL */
  double number;            /* of a number */
  const xai_tensor *tensor; /* borrowed from the request, or NULL */
  bool set;                 /* has a value, given or default */
  bool given;               /* by the caller */
} xai__value;

typedef struct xai__params {
  int n;
  xai__value v[XAI__MAX_PARAMS];
} xai__params;

/* Appends a schema's entries with their defaults; an entry already there is left alone. */
void xai__params_schema(xai__params *p, const char *schema);
/* Sets one from the caller. `what` names the owner in messages: "method 'lrp-gamma'".
 * Unknown name, wrong choice, value out of bounds: XAI_E_ARGUMENT. The same value twice is fine,
 * two different ones are not. */
int xai__params_set(xai__params *p, const char *schema, const char *what, const xai_param *value,
                    xai_error *err);
/* Parses "k=v,k=v" (a composite's own row). Text must fit the schema: it is ours. */
int xai__params_parse(xai__params *p, const char *schema, const char *text, xai_error *err);
const xai__value *xai__params_find(const xai__params *p, const char *name); /* NULL if none */
double xai__params_number(const xai__params *p, const char *name);          /* 0 if unset */
bool xai__params_is(const xai__params *p, const char *name, const char *choice);
bool xai__schema_has(const char *schema, const char *name);

#endif

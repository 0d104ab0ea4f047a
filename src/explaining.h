/* One method on all items. */
#ifndef XAI_TOOL_EXPLAINING_H
#define XAI_TOOL_EXPLAINING_H
#include "ledger.h"
#include "output.h"
#include "params.h"
#include "report.h"
#include "target.h"

/* A method as it was asked for. */
struct method {
  const char *text; /* NAME[,k=v...], borrowed */
  char *name;
  struct params params; /* with --seed, --bias and --output */
};

/* The user's own rows. */
struct rows {
  xai_row *v;
  struct params *params;
  size_t n;
};

/* text NULL: the default method. */
int method_parse(const char *text, const struct options *o, struct method *out);
void method_free(struct method *m);
/* An unknown name says so with the nearest there is. */
int method_check(const struct method *m);
int rows_parse(const struct options *o, struct rows *out);
void rows_free(struct rows *r);

/* Fills the report, writing files as items come; ledger may be NULL. */
int explain_all(struct report *r, const struct method *method, const struct rows *rows,
                struct target *target, const struct lines *token_labels,
                const struct outputs *files, struct ledger *ledger);
#endif

/* --ledger: where the relevance of every node went, summed over the items. */
#ifndef XAI_TOOL_LEDGER_H
#define XAI_TOOL_LEDGER_H
#include "report.h"

enum ledger_column {
  LEDGER_IN,
  LEDGER_OUT,
  LEDGER_BIAS,
  LEDGER_STABILISER,
  LEDGER_EMPTY,
  LEDGER_CONSTANT,
  LEDGER_RULE,
  LEDGER_COLUMNS
};

struct ledger {
  size_t n_targets, n_nodes;
  double *sums[LEDGER_COLUMNS]; /* [target][node] */
  char *names;                  /* of the nodes, joined by newlines */
};

/* Adds one result's account. */
int ledger_add(struct ledger *l, const xai_result *result);
void ledger_free(struct ledger *l);
int ledger_write(const struct ledger *l, const struct report *r, const char *path);
/* Warns when more than 5 % vanished otherwise than into biases; on a terminal a short table. */
int ledger_show(const struct ledger *l, const struct report *r);
#endif

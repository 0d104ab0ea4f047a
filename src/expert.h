/* --prior: density experts as they are asked for.
 *
 *   NAME[,k=v...]        of the catalogue, its tensors as @FILE[:KEY]
 *   FILE.npz[,k=v...]    what `xai fit` wrote, or any file with the keys of docs/PRIORS.md
 *
 * each with weight= (default 1) and on=input|code. */
#ifndef XAI_TOOL_EXPERT_H
#define XAI_TOOL_EXPERT_H
#include "options.h"

struct experts {
  xai_term *terms;
  char **on;   /* what the terms' texts point to */
  char *text;  /* as they were given, one a line */
  size_t n;
};

int experts_parse(const struct texts *priors, struct experts *out);
void experts_free(struct experts *e);
#endif

/* --target and --from: what to explain.
 *
 *   max | N | N,M,.. | top:K | all | c:y:x (also several) | channel:K | @mask.npy[:KEY], each also OUTPUT/...
 */
#ifndef XAI_TOOL_TARGET_H
#define XAI_TOOL_TARGET_H
#include "model.h"

struct target {
  char *from;                /* tensor to explain, NULL: the library's default */
  const struct port *output; /* the output it belongs to, NULL: an inner tensor */
  xai_tensor *tensor;        /* int64 [T] or float32 [T, item]; NULL: the maximum, or `top` */
  int64_t top;               /* K of top:K, else 0 */
  bool mask;                 /* weights, so targets have no index */
  size_t n;                  /* how many targets an item has */
  char *later; /* index tuples that wait for sizes which only a run tells; NULL: none */
};

int target_parse(const struct model *m, const struct options *o, struct target *out);
/* Places `later` by running the model on the n items of `inputs`. */
int target_place(const struct model *m, const xai_param *inputs, size_t n, struct target *t);
void target_free(struct target *t);
#endif

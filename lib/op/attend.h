/* Attention in one go. Files do not have this operator: the planner puts it in the place of two
 * products with a softmax between them (exec/fuse.c). */
#ifndef XAI_OP_ATTEND_H
#define XAI_OP_ATTEND_H
#include "op/strided.h"

/* Z = softmax(A B) C: parts of operands 0, 1, 2 and of the result, leading axes and those of a matrix. */
typedef struct xai__attend {
  xai__strided a, b, c, z;
} xai__attend;

/* Whether the engine can read, and write, them where they lie. */
bool xai__attend_serves(const xai__attend *a);
extern const xai__op xai__op_attend;

#endif

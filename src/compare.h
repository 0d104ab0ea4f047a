/* Comparing what a model returned with what a test expects, and gradients with differences. */
#ifndef XAI_TOOL_COMPARE_H
#define XAI_TOOL_COMPARE_H
#include "model.h"

/* |a - b| <= atol + rtol |b| of every element; NaN equals NaN, types do not matter. 0, or -1 with
 * the first or worst difference in `why`. */
int compare_tensors(const xai_tensor *got, const xai_tensor *want, double rtol, double atol,
                    char why[256]);

/* df/dx along a random direction against a central difference, for the largest element
 * of the first output's logits and every float input. 0; -1 with the reason; 1 when there is
 * nothing to check. */
int compare_gradient(const struct model *m, const struct options *o, const xai_param *inputs,
                     char why[256]);
#endif

/* The public result: a list of named tensors and texts. */
#ifndef XAI_TENSOR_RESULT_H
#define XAI_TENSOR_RESULT_H
#include "tensor/tensor.h"

int xai__result_create(xai__memory *m, xai_result **out, xai_error *err);
/* Adds a zeroed tensor "PREFIX/NAME" (NAME may be NULL: "PREFIX") and gives it back, borrowed. */
int xai__result_tensor(xai_result *r, const char *prefix, const char *name, int dtype,
                       const xai__shape *shape, xai_tensor **t, xai_error *err);
int xai__result_text(xai_result *r, const char *prefix, const char *name, const char *text,
                     xai_error *err);

#endif

/* Products of strided matrices: z[b][i][j] (epilogue)= sum over k of a[b][i][k] w[b][j][k]. */
#ifndef XAI_ENGINE_MATRIX_H
#define XAI_ENGINE_MATRIX_H
#include "engine/gemm.h"

/* Element (i, k) of batch b is at data[b * batch + i * step + k * k_step], one of step and
 * k_step being 1; in z, the index moves by z_step and the batch by z_batch (one side only). */
typedef struct xai__matrix_side {
  xai__side side;
  const float *data;
  int64_t batch, step, k_step, z_batch, z_step;
} xai__matrix_side;

xai__matrix_side xai__matrix(const float *data, int64_t count, xai__edit edit, int64_t batch,
                             int64_t step, int64_t k_step, int64_t z_batch, int64_t z_step);

/* One row x [batches][k] (xe not yet applied): see gemv.c. */
int xai__gemv(xai__engine *e, const xai__matrix_side *w, const float *x, xai__edit xe,
              int64_t batches, int64_t k, const xai__spot *spot, xai_error *err);

#endif

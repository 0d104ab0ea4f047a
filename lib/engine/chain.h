/* Two products with a function of rows between them. */
#ifndef XAI_ENGINE_CHAIN_H
#define XAI_ENGINE_CHAIN_H
#include "engine/engine.h"

/* Element (row, column) of a batch is data[at[batch] + i * row + j * column] times scale; row or column
 * is 1. */
typedef struct xai__chained {
  const float *data;
  const int64_t *at;
  int64_t row, column;
  float scale;
} xai__chained;

/* z[batch][m][v] = f(a[m][k] b[k][n]) c[n][v]: f changes a row of n numbers, each row by itself. z's
 * rows begin z_row apart from z_at[batch] on, and are v numbers beside each other. The same bits as
 * xai__gemm_run twice. */
typedef struct xai__chain {
  int64_t batch, m, k, n, v;
  xai__chained a, b, c;
  const xai__map *f;
  float *z;
  const int64_t *z_at;
  int64_t z_row;
} xai__chain;
int xai__chain_run(xai__engine *e, const xai__chain *c, xai_error *err);

#endif

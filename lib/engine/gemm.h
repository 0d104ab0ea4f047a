/* The one matrix product: z[i][j] (epilogue)= sum over k of A[i][k] B[j][k] + bias, for each batch.
 *
 * The two operands are *sides*: a side packs panels of itself (edit applied) and knows what its
 * index means in z. One side lies along the rows of a tile, the other along its lanes; either way
 * the bits are the same. */
#ifndef XAI_ENGINE_GEMM_H
#define XAI_ENGINE_GEMM_H
#include "engine/kernels.h"

typedef struct xai__side {
  int64_t count; /* number of indices, in each batch */
  xai__edit edit;
  const float *packed; /* all of it as xai__side_pack makes it, or NULL; used as lanes only */
  /* Packs [k0, k1) of indices [first, first + n) to `to`[k1 - k0][width], 0 from n to width. */
  void (*pack)(const struct xai__side *s, const xai__kernels *kernels, int64_t batch,
               int64_t first, int n, int64_t k0, int64_t k1, int width, float *to);
  /* The part of the index in the offset of an element of z. */
  void (*place)(const struct xai__side *s, int64_t batch, int64_t first, int n, int64_t *offset);
  /* What packing [k0, k1) of the panel from `first` on will read. NULL, count 0: it cannot say. */
  xai__fetch (*ahead)(const struct xai__side *s, int64_t batch, int64_t first, int64_t k0,
                      int64_t k1);
} xai__side;

typedef struct xai__problem {
  int64_t batch, k;
  const xai__side *row, *lane;
  xai__spot spot;        /* bias_kind OF_ROW or OF_LANE: that side is the channels ... */
  int64_t bias_per_batch; /* ... and the bias of index i in a batch is b[batch * this + i] */
} xai__problem;

/* Panels of all indices, K long, edits left out: how many floats, and packing them. */
int64_t xai__side_pack_count(const xai__kernels *kernels, int64_t count, int64_t k);
void xai__side_pack(xai__engine *e, const xai__side *s, int64_t k, float *to);

/* Swaps the sides; the second if the tiles fit much better that way. Tiles are stored faster where
 * lanes are neighbours in z. */
void xai__problem_turn(xai__problem *p);
void xai__problem_orient(const xai__kernels *k, xai__problem *p);
int xai__problem_run(xai__engine *e, const xai__problem *p, xai_error *err);

#endif

/* The table of inner kernels for blocked tensors of one instruction set.
 *
 * A sum is one chain of fused multiplications and additions a *piece*, the pieces added up in
 * order; the chain does not depend on the tile an output falls in. */
#ifndef XAI_ENGINE_BLOCK_KERNELS_H
#define XAI_ENGINE_BLOCK_KERNELS_H
#include "engine/blocked.h"

#define XAI__CHUNK 32         /* output channels that are packed together; the last may be 16 */
#define XAI__TILE_PIXELS 14   /* of the largest tile of any instruction set */

/* What the tiles of a convolution share. Pixel p of run r of a tile reads x[r] + p * step.
 * Of an image, taps are (tap, channel), and a block is some of them (plane 0). */
typedef struct xai__tile {
  bool image;
  int64_t blocks, last, plane; /* of x: channel blocks, channels in the last, floats between */
  int64_t taps;                /* of a block; an image's last block has `last` */
  const int64_t *tap;          /* offsets in x */
  int64_t step;       /* floats between pixels: a multiple of 16, or of an image 1, 2, ... */
  int64_t piece;      /* blocks of a piece of the sum */
  int lanes;          /* of a row of weights: 32 or 16 */
  int64_t ahead;      /* floats from the weights to the next ones, to be fetched; 0: none */
  xai__edit we;       /* LINEAR */
} xai__tile;

/* Where the sums of a tile go straight from registers: v = sum + bias, within [low, high], to pixels
 * that lie side by side, by run and block of channels. */
typedef struct xai__landing {
  float low, high;
  const float *bias[2];
  float *z[2][2];
} xai__landing;

/* How a run of pixels goes to memory: 16 lanes each, `step` floats apart in every tensor. */
typedef struct xai__finish_run {
  const xai__finish *f;
  int lanes;         /* that the block has; the others become 0 */
  bool guarded;      /* STAB, DIVIDE: 0 where v is 0 */
  const float *bias; /* 16, or NULL */
  float *z;
  const float *add, *other, *by;
  int64_t step;
} xai__finish_run;

typedef struct xai__block_kernels {
  /* A tile is one or two runs; pixels of a run at most, and for this convolution. */
  int most;
  int (*half)(const xai__tile *t);
  /* acc[runs * pixels][lanes] = sum over blocks, taps, channels of w x; unless it has where to land. */
  void (*tile)(const xai__tile *t, int pixels, int runs, const float *const x[2], const float *w,
               float *acc, const xai__landing *to);
  /* The same with a weight a channel: acc[..][16] = sum over taps of w[tap][16] x[tap]. */
  void (*depthwise)(const xai__tile *t, int pixels, int runs, const float *const x[2],
                    const float *w, float *acc, const xai__landing *to);
  /* acc rows are acc_step apart */
  void (*finish)(const xai__finish_run *r, int pixels, const float *acc, int64_t acc_step);
  /* Winograd's transforms (blocked_winograd.c): of a 6x6 window of a plane; of the 3x3 kernels of
   * `lanes` outputs at w + tap[], those `ahead` being fetched; of 36 products m[point * step] into [4][4][16] sums, those below
   * guard times the largest being set to 0. Point p goes to to[p * step]. */
  void (*winograd_input)(const float *x, int64_t pitch, float *to, int64_t step);
  void (*winograd_weights)(xai__edit we, const float *w, const int64_t tap[9], int lanes,
                           int64_t ahead, float *to, int64_t step);
  void (*winograd_output)(const float *m, int64_t step, const float *bias, float guard, float *to);
  /* Of the taps x[r * pitch + c * step][16], r < rows, c < columns, in order: the greatest, and
   * (unless NULL) the number of the first that is it; then g at that tap += s. */
  void (*greatest)(const float *x, int64_t pitch, int64_t step, int64_t rows, int64_t columns,
                   float *top, float *winner);
  void (*route)(const float *winner, const float *s, float *g, int64_t pitch, int64_t step,
                int64_t rows, int64_t columns);
  /* y[i] = x[i] + v, or x[i] v; add: y[i] += that; 16 lanes each, i < n */
  void (*by_channel)(bool product, bool add, const float *x, const float *v, int64_t n, float *y);
  /* sum += s[i], or s[i] x[i] unless x is NULL; i < n in order, `step` floats apart, in double */
  void (*total)(const float *s, const float *x, int64_t step, int64_t n, double sum[XAI__BLOCK]);
  /* to[i][16] from channels[c * plane + i], 0 for lanes past c; and back (add: to +=) */
  void (*interleave)(const float *from, int64_t plane, int c, int64_t n, float *to);
  void (*separate)(const float *from, int c, int64_t n, float *to, int64_t plane, bool add);
} xai__block_kernels;

void xai__block_kernels_portable(xai__block_kernels *k);
void xai__block_kernels_avx2(xai__block_kernels *k);
void xai__block_kernels_avx512(xai__block_kernels *k);
void xai__block_kernels_neon(xai__block_kernels *k);

#endif

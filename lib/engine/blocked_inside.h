/* What the files of the blocked engine share. */
#ifndef XAI_ENGINE_BLOCKED_INSIDE_H
#define XAI_ENGINE_BLOCKED_INSIDE_H
#include <string.h>

#include "engine/blocked.h"
#include "engine/state.h"
#include "engine/window.h"

static inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static inline int64_t at_most(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t at_least(int64_t a, int64_t b) { return a > b ? a : b; }

int64_t xai__blocked_blocks(const xai__blocked *b);
int64_t xai__blocked_pitch(const xai__blocked *b); /* floats of a row, of a plane */
int64_t xai__blocked_plane(const xai__blocked *b);
float *xai__blocked_row(const xai__blocked *b, int64_t item, int64_t block, int64_t y); /* x = 0 */
/* Zeroes the border beside a row; above the first and below the last, too. */
void xai__blocked_clear_border(const xai__blocked *b, int64_t item, int64_t block, int64_t y);

/* A product as the kernels see it in one direction: groups of channels in and out, small groups
 * merged until they fill blocks (zeros between them); depthwise: `groups` blocks, 1 in, 16 out. */
typedef struct xai__filters {
  const xai__product *p;
  bool adjoint, depthwise, image; /* image: the adjoint of one, which writes it */
  int64_t groups, in, out;
  xai__geometry geometry;
} xai__filters;

xai__filters xai__filters_of(const xai__product *p, xai__pack_form form);
/* Phases of the direction, and the floats packed before one. A phase is packed
 * [group][chunk of 32 or 16 out][block of in][tap][channel][out]. */
int64_t xai__filters_phases(const xai__filters *f);
void xai__filters_axes(const xai__filters *f, int64_t phase, xai__axis axis[2]);
int64_t xai__filters_taps(const xai__filters *f, int64_t phase);
int64_t xai__filters_offset(const xai__filters *f, int64_t phase);
/* Weights edited by what registers do not: squares and ones. */
void xai__pack_edited(xai__engine *e, const xai__filters *f, xai__edit we, float *to);
/* A chunk of `lanes` out of an adjoint from `first` on, [block of in][tap][channel][lanes], from the
 * FORWARD form; axis: of the phase. */
void xai__pack_turn(const xai__kernels *k, const xai__filters *f, const xai__axis axis[2],
                    const float *forward, int64_t group, int64_t first, int lanes, float *to);

/* Element (y, x) of channel block b of an item: data + item * .. + b * .. + y * .. + x * pixel. */
typedef struct xai__source {
  const float *data;
  int64_t item, block, pitch, pixel;
  int64_t h, w, border; /* not of images */
} xai__source;

/* One phase of a convolution or its adjoint at work. */
typedef struct xai__gather {
  const xai__block_kernels *k;
  const xai__filters *f;
  const xai__blocked *z;
  const xai__finish *finish;
  const float *w, *bias; /* bias: of all blocks, or NULL */
  const xai__kernels *turn; /* w is packed FORWARD and this an adjoint: turns it; or NULL */
  float *panel;             /* [threads][panel_size]: a turned chunk */
  int64_t panel_size;
  xai__source x;
  bool empty;        /* x has no elements */
  int64_t in_blocks; /* of a group of x */
  xai__axis axis[2];
  xai__tile tile;
  int64_t rows, row_parts, chunk_parts;
  int64_t chunks, out, terms; /* of a group; its channels, full blocks; terms of a sum */
} xai__gather;

/* One result row of a chunk: where it reads, and where its (one or two) blocks go. */
typedef struct xai__line {
  const float *x;
  xai__finish_run run[2];
} xai__line;

/* The weights of a chunk of t->lanes channels from `first` on. */
const float *xai__gather_weights(const xai__gather *g, int64_t group, int64_t first, int lanes, int thread);
/* block: of the result, the first of `blocks`. Zeroes the border beside the row. */
void xai__gather_line(const xai__gather *g, int64_t row, int64_t group, int64_t block, int blocks,
                      xai__line *l);
/* Finishes pixels [first, first + pixels) of a row. */
void xai__gather_finish(const xai__gather *g, const xai__finish_run *row, int64_t first,
                        int pixels, const float *acc, int64_t acc_step);

/* Bytes that Winograd takes for a product and its adjoint, at most; 0: does not serve. */
int64_t xai__winograd_scratch(const xai__engine *e, const xai__product *p);
bool xai__winograd_serves(const xai__gather *g);
int xai__winograd(xai__engine *e, const xai__gather *g, xai_error *err);

/* The adjoint of a convolution that reads an image. Packed [ky][phase][m][kx of the phase][c]: pixel
 * `phase` + stride i of a row sees those kx that have its phase, at s[i + shift]. */
static inline int64_t xai__image_phase(const xai__product *p, int64_t kx) {
  const int64_t v = (kx * p->dilation[2] - p->pad[2]) % p->stride[2];
  return v < 0 ? v + p->stride[2] : v;
}
static inline int64_t xai__image_shift(const xai__product *p, int64_t kx) {
  return (xai__image_phase(p, kx) + p->pad[2] - kx * p->dilation[2]) / p->stride[2];
}
int xai__blocked_image_adjoint(xai__engine *e, const xai__filters *f, const float *packed,
                               const xai__blocked *s, xai__edit we, const xai__blocked *g,
                               const xai__finish *finish, xai_error *err);
/* SQUARE and ONES, and edits of few weights, become weights of their own, in scratch; what is left
 * of `we` is LINEAR. */
int xai__blocked_weights(xai__engine *e, const xai__filters *f, const float *packed, xai__edit *we,
                         const float **w, xai_error *err);

#endif

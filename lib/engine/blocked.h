/* Convolution and pooling on blocked, padded activations: the fast path of convolutional networks.
 *
 * A blocked tensor is [n][ceil(c / 16)][h + 2 border][w + 2 border][16] floats. Lanes past c and
 * the border are zero in every blocked tensor handed over, and in every one that is written: a
 * convolution reads its padding there and has no boundary code. Images (at most
 * XAI__IMAGE_CHANNELS channels) stay plain, [n][c][h][w].
 *
 * Work is split over outputs, never over a sum: the same bits for any number of threads. */
#ifndef XAI_ENGINE_BLOCKED_H
#define XAI_ENGINE_BLOCKED_H
#include "engine/engine.h"

#define XAI__BLOCK 16
#define XAI__IMAGE_CHANNELS 4

typedef struct xai__blocked {
  int64_t n, c, h, w, border;
  bool plain; /* an image: not blocked, border 0 */
  float *data;
} xai__blocked;

int64_t xai__blocked_count(const xai__blocked *b); /* floats, a multiple of 16 unless plain */
void xai__blocked_from_plain(xai__engine *e, const float *plain, const xai__blocked *to);
/* add: plain += */
void xai__blocked_to_plain(xai__engine *e, const xai__blocked *from, float *plain, bool add);

/* ---- convolution ---- */

/* Two spatial axes (or one), a bias of channels, groups that fill blocks or nearly so. */
bool xai__blocked_serves(const xai__product *p);
/* The input is an image: x of the forward product, and what the adjoint writes, are plain. */
bool xai__blocked_image(const xai__product *p);

/* Weights in the order in which a direction reads them; edits are applied in registers. */
typedef enum { XAI__PACK_FORWARD, XAI__PACK_ADJOINT } xai__pack_form;
/* What a direction reads: the adjoint turns the FORWARD form, chunk by chunk on the way, but for images
 * and depthwise convolutions. */
xai__pack_form xai__pack_read(const xai__product *p, xai__pack_form direction);
int64_t xai__pack_count(const xai__product *p, xai__pack_form form); /* floats */
/* to: 64-byte aligned */
void xai__pack(xai__engine *e, const xai__product *p, xai__pack_form form, float *to);
/* The border that x (forward) or s (adjoint) must at least have. */
int64_t xai__blocked_border(const xai__product *p, xai__pack_form form);

/* What happens to a sum on its way to memory, in this order:
 *   v = sum + be(b);  v += add;  one of the forms;  then stored, or added to what is there.
 *   KEEP    v
 *   CLIP    v within [low, high] (Relu: 0, INFINITY)
 *   BEND    edit(v) (LeakyRelu)
 *   STAB    stab(v, stabilizer): a denominator
 *   DIVIDE  coef R / stab(v, stabilizer), 0 where that is 0 or `by` does not serve; R = other
 *   TIMES   coef edit(x) v; x = other
 *   APPLY   apply(v), while it is near; forward only, and not accumulated
 * The tensors have the result's shape and any border; they are plain where the result is. */
typedef struct xai__finish {
  enum { XAI__KEEP, XAI__CLIP, XAI__BEND, XAI__STAB, XAI__DIVIDE, XAI__TIMES, XAI__APPLY } form;
  bool accumulate;
  /* May be done by Winograd's F(4x4, 3x3): off by 5e-6 of the largest result around;
   * denominators below 1e-5 of the largest in their 4x4 tile are then 0, and a division serves 0. */
  bool winograd;
  float low, high, coef, stabilizer;
  xai__edit edit;
  void (*apply)(float low, float high, float *v, int64_t n); /* in place */
  const xai__blocked *add, *other;
  const xai__blocked *by; /* DIVIDE: served where by_sign * by > 0; NULL: everywhere */
  float by_sign;
} xai__finish;

/* z = finish(we(w) xe(x) + be(b)); packed: as xai__pack_read says. */
int xai__blocked_forward(xai__engine *e, const xai__product *p, const float *packed,
                         const xai__blocked *x, xai__edit xe, xai__edit we, xai__edit be,
                         const xai__blocked *z, const xai__finish *f, xai_error *err);
/* g = finish(we(w)' s). */
int xai__blocked_adjoint(xai__engine *e, const xai__product *p, const float *packed,
                         const xai__blocked *s, xai__edit we, const xai__blocked *g,
                         const xai__finish *f, xai_error *err);

/* Bytes of scratch that a product and its adjoint take to be fast, at most. */
int64_t xai__blocked_scratch(const xai__engine *e, const xai__product *p, bool winograd);

/* ---- one number a channel: v [n or 1][c], h = w = 1 ---- */

/* y = x + v, or x v */
void xai__blocked_by_channel(xai__engine *e, bool product, const xai__blocked *x,
                             const xai__blocked *v, const xai__blocked *y);
/* g += s v */
void xai__blocked_by_channel_back(xai__engine *e, const xai__blocked *s, const xai__blocked *v,
                                  const xai__blocked *g);
/* g [n or 1][c] += the sums of s, or of s x (x not NULL), over pixels, and items where g has one */
void xai__blocked_channel_sums(xai__engine *e, const xai__blocked *s, const xai__blocked *x,
                               const xai__blocked *g);

/* ---- pooling ---- */

/* Windows along (height, width); taps outside the image do not exist, but where include_pad they
 * count in a mean if they lie before in + pad_end. A global pooling's kernel is the image. */
typedef struct xai__pooling {
  enum { XAI__POOL_MAX, XAI__POOL_MEAN } kind;
  int64_t kernel[2], stride[2], dilation[2], pad[2], pad_end[2];
  bool include_pad;
} xai__pooling;

void xai__blocked_pool(xai__engine *e, const xai__pooling *p, const xai__blocked *x,
                       const xai__blocked *y);
/* g += the transpose applied to s: to the winner (the first on ties), or spread; then x is not
 * read. fresh: g =, borders and all. */
void xai__blocked_pool_back(xai__engine *e, const xai__pooling *p, const xai__blocked *x,
                            const xai__blocked *s, const xai__blocked *g, bool fresh);

#endif

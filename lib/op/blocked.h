/* Operators on blocked operands (engine/blocked.h): channels along axis 1 in blocks, in a border of
 * zeros. The executor decides which values are blocked, and converts for operators that do not say
 * here that they take them. */
#ifndef XAI_OP_BLOCKED_H
#define XAI_OP_BLOCKED_H
#include "op/op.h"

/* A view as the engine sees it: blocked; or one item of numbers in rows where it is not (an image of
 * rank 3 or 4 keeps its axes). */
xai__blocked xai__blocked_of(const xai__view *v);
/* Floats (or integers) that a view's data hold, with border and spare lanes. */
int64_t xai__stored(const xai__view *v);
static inline int64_t xai__times(const xai__view *v) { return v->times ? v->times : 1; }
/* The relevance of n targets from target `first` on. */
xai__view xai__some_targets(const xai__view *v, int64_t first, int64_t n);
/* Whether the blocked and the plain form of a view are the same numbers in the same order. */
bool xai__blocked_is_plain(const xai__view *v);

/* The first pixel of a row of a plane: item * blocks + block. */
static inline float *xai__blocked_row(const xai__blocked *b, int64_t plane, int64_t row) {
  const int64_t pitch = b->w + 2 * b->border;
  return b->data + ((plane * (b->h + 2 * b->border) + row + b->border) * pitch + b->border) * XAI__BLOCK;
}
static inline int64_t xai__blocked_planes(const xai__blocked *b) {
  return b->n * ((b->c + XAI__BLOCK - 1) / XAI__BLOCK);
}
/* Zeros in the border and the spare lanes. */
void xai__blocked_clear(xai__engine *e, const xai__blocked *b);

/* What an operator does where its activations are blocked. */
struct xai__op_blocked {
  /* Shapes, types, static data and the layouts of operands (their borders not yet) are known, and one
   * at least is blocked (TURNS: or none): whether it can, and make a blocked result. */
  bool (*serves)(const xai__call *c);
  /* ALIKE: element for element, operands and results must have the same border. TURNS: blocked operands
   * give a plain result, and plain ones a blocked one, where its readers may take it. */
  enum { XAI__ANEW, XAI__ALIKE, XAI__TURNS } result;
  int (*forward)(xai__call *c);
  int (*vjp)(xai__call *c, const xai__view *gout, const xai__view *gin);
};

/* Pointwise operators of tensors of one shape: their own functions, on flat arrays. */
extern const xai__op_blocked xai__blocked_alike;
/* Transpose between channels in blocks and channels last. */
extern const xai__op_blocked xai__blocked_channels_last;
/* Sums and products of two: of one shape, or of one number a channel (channels.c). */
extern const xai__op_blocked xai__blocked_channels;

#endif

/* Loops over an index box, along which several streams walk by strides.
 *
 * xai__loop_each is the one strided copy behind Transpose, Slice, Expand, Pad, Concat, Split, Tile
 * and all broadcasting; xai__loop_fold the one reduction behind Reduce* and the gradient of every
 * broadcast operand. Both are parallel over what they write, so no result depends on the number of
 * threads. */
#ifndef XAI_OP_LOOP_H
#define XAI_OP_LOOP_H
#include "op/op.h"

#define XAI__LOOP_RANK (2 * XAI__MAX_RANK)
#define XAI__STREAMS 5

typedef struct xai__loop {
  int rank, streams;
  int64_t d[XAI__LOOP_RANK];
  int64_t stride[XAI__STREAMS][XAI__LOOP_RANK]; /* in elements */
} xai__loop;

/* n indices in a row: stream k starts at element at[k] and goes on by step[k]. */
typedef struct xai__run {
  int64_t n, at[XAI__STREAMS], step[XAI__STREAMS];
} xai__run;
typedef void (*xai__run_fn)(void *ctx, const xai__run *r);

/* A loop over `box` without streams; one more stream, of natural layout `shape` broadcast over the
 * box; one more with the given strides. */
xai__loop xai__loop_over(const xai__shape *box);
void xai__loop_add(xai__loop *l, const xai__shape *shape);
void xai__loop_add_strides(xai__loop *l, const int64_t *stride);
/* Row-major strides of a shape. */
void xai__strides(const xai__shape *s, int64_t *stride);

/* xai__parallel, except that small work stays on this thread, and so does planning (e NULL). */
void xai__split(xai__engine *e, int64_t n, int64_t grain, xai__range_fn f, void *ctx);

/* Every index once. Runs go along the last axes; no two indices may write one element. */
void xai__loop_each(xai__engine *e, const xai__loop *l, xai__run_fn f, void *ctx);

/* Folds the axes along which stream 0 has stride 0. Every element of stream 0 gets an accumulator,
 * set to `start`; `take` adds a run to it (acc_step 0: all n to acc[0]; 1: element i to acc[i]), in
 * index order; `give` stores n finished accumulators at element at + i * step of stream 0. */
typedef union xai__acc {
  double f;
  int64_t i;
} xai__acc;
typedef struct xai__fold {
  xai__acc start;
  void (*take)(void *ctx, xai__acc *acc, int64_t acc_step, const xai__run *r);
  void (*give)(void *ctx, const xai__acc *acc, int64_t n, int64_t at, int64_t step);
} xai__fold;
void xai__loop_fold(xai__engine *e, const xai__loop *l, const xai__fold *fold, void *ctx);

/* In a `take`: adds `term`, an expression of i, over the run r; eight sums side by side where all
 * go to one accumulator. */
#define XAI__TAKE_SUM(term)                                                                        \
  do {                                                                                             \
    if (acc_step) {                                                                                \
      for (int64_t i = 0; i < r->n; i++) acc[i].f += (double)(term);                               \
    } else {                                                                                       \
      double lane_[8] = {0};                                                                       \
      int64_t done_ = 0;                                                                           \
      for (; done_ + 8 <= r->n; done_ += 8)                                                        \
        for (int j_ = 0; j_ < 8; j_++) {                                                           \
          int64_t i = done_ + j_;                                                                  \
          lane_[j_] += (double)(term);                                                             \
        }                                                                                          \
      for (int64_t i = done_; i < r->n; i++) lane_[0] += (double)(term);                           \
      acc->f += ((lane_[0] + lane_[1]) + (lane_[2] + lane_[3])) +                                  \
                ((lane_[4] + lane_[5]) + (lane_[6] + lane_[7]));                                   \
    }                                                                                              \
  } while (0)
/* A `give`: to[at + i * step] += scale * acc[i]. */
void xai__give_sums(const xai__acc *acc, int64_t n, int64_t step, float scale, float *to);

/* to[...] = from[...] and to[...] += scale * from[...] (float32) over a loop of two streams. */
void xai__copy(xai__engine *e, const xai__loop *l, int dtype, void *to, const void *from);
void xai__add_copy(xai__engine *e, const xai__loop *l, float *to, const float *from, float scale);
/* The same where `to` repeats along some axes (stride 0): sums over them first. */
void xai__add_sums(xai__engine *e, const xai__loop *l, float *to, const float *from, float scale);

/* The box of `part`'s shape within `whole` that begins at start[] and goes by step[] (NULL: 1).
 * get: part = box, or part += box (float32); put: the other way round. */
void xai__box_get(xai__engine *e, const xai__view *part, const xai__view *whole,
                  const int64_t *start, const int64_t *step, bool add);
void xai__box_put(xai__engine *e, const xai__view *part, const xai__view *whole,
                  const int64_t *start, const int64_t *step, bool add);

#endif

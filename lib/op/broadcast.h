/* numpy broadcasting of operands, and its transpose: sums back to an operand's shape. */
#ifndef XAI_OP_BROADCAST_H
#define XAI_OP_BROADCAST_H
#include "op/check.h"
#include "op/loop.h"

/* out[0].shape is that of operands from..n_in-1 together, which must be there. */
int xai__infer_broadcast(xai__call *c, int from);

/* Before opset 7 `axis` says where the second shape begins in the first (absent: at its end). */
typedef struct xai__legacy_attr {
  int64_t broadcast, axis; /* INT64_MIN: absent */
} xai__legacy_attr;
extern const xai__field xai__legacy_fields[];
/* The call with its two operands in `in`, the second with axes of 1 behind it where `axis` asks for
 * them: to be broadcast as today. */
int xai__legacy_align(const xai__call *c, xai__view in[2], xai__call *aligned);

/* to = from, repeated to the shape of `to`. */
void xai__broadcast_copy(xai__engine *e, const xai__view *to, const xai__view *from);
/* to += scale * from (float32), summed over the axes along which `to` is repeated in `from`. */
void xai__sum_to(xai__engine *e, const xai__view *to, const xai__view *from, float scale);

/* z = f(x, y) elementwise, for xai__broadcast_each. */
typedef struct xai__operands {
  void *z;
  const void *x, *y;
} xai__operands;
void xai__broadcast_each(xai__call *c, const xai__view *z, const xai__view *x, const xai__view *y,
                         xai__run_fn f);

/* Defines such an f: runs of z are contiguous, those of x and y contiguous or one element. */
#define XAI__ELEMENTWISE(name, TZ, TX, TY, expr)                                                   \
  static void name(void *ctx_, const xai__run *r) {                                                \
    const xai__operands *o = ctx_;                                                                 \
    TZ *z = (TZ *)o->z + r->at[0];                                                                 \
    const TX *xs = (const TX *)o->x + r->at[1];                                                    \
    const TY *ys = (const TY *)o->y + r->at[2];                                                    \
    int64_t sx = r->step[1], sy = r->step[2];                                                      \
    if (sx == 1 && sy == 1) {                                                                      \
      for (int64_t i = 0; i < r->n; i++) {                                                         \
        TX x = xs[i];                                                                              \
        TY y = ys[i];                                                                              \
        z[i] = (expr);                                                                             \
      }                                                                                            \
    } else if (sx == 1) {                                                                          \
      TY y = *ys;                                                                                  \
      for (int64_t i = 0; i < r->n; i++) {                                                         \
        TX x = xs[i];                                                                              \
        z[i] = (expr);                                                                             \
      }                                                                                            \
    } else {                                                                                       \
      TX x = *xs;                                                                                  \
      for (int64_t i = 0; i < r->n; i++) {                                                         \
        TY y = ys[i * sy];                                                                         \
        z[i] = (expr);                                                                             \
      }                                                                                            \
    }                                                                                              \
  }

#endif

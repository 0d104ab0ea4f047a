/* Transpose between (N,C,H,W), blocked, and (N,H,W,C), plain: sixteen channels at a time, as layer
 * normalisation between convolutions needs it. */
#include <string.h>

#include "op/blocked.h"
#include "op/strided.h"

/* The axes of operand 0 in the order of the result's. */
static bool is_turned(const xai__call *c, int a, int b, int d) {
  xai__strided axes = {.shape = c->in[0].shape, .stride = {0, 1, 2, 3}};
  return c->in[0].shape.rank == 4 && c->node->op->view(c, &axes) && axes.stride[0] == 0 &&
         axes.stride[1] == a && axes.stride[2] == b && axes.stride[3] == d;
}

static bool serves(const xai__call *c) {
  if (c->in[0].dtype != XAI_F32) return false;
  if (c->in[0].blocked) return is_turned(c, 2, 3, 1);
  return is_turned(c, 3, 1, 2) && c->out[0].shape.d[1] >= XAI__BLOCK;
}

typedef struct move {
  const xai__blocked *b;
  float *flat; /* [n][h][w][c] */
  enum { OUT, IN, ADD_OUT, ADD_IN } how; /* of the blocked tensor, or into it */
} move;

static inline void move_channels(const move *m, float *block, float *flat, int64_t n) {
  const bool out = m->how == OUT || m->how == ADD_OUT;
  float *to = out ? flat : block;
  const float *from = out ? block : flat;
  if (m->how == ADD_OUT || m->how == ADD_IN)
    for (int64_t i = 0; i < n; i++) to[i] += from[i];
  else if (n == XAI__BLOCK)
    memcpy(to, from, XAI__BLOCK * sizeof *to);
  else
    memcpy(to, from, (size_t)n * sizeof *to);
}

static void move_rows(void *ctx, int64_t begin, int64_t end) {
  const move *m = ctx;
  const xai__blocked *b = m->b;
  const int64_t blocks = (b->c + XAI__BLOCK - 1) / XAI__BLOCK;
  for (int64_t row = begin; row < end; row++)
    for (int64_t i = 0; i < blocks; i++) {
      const int64_t left = b->c - i * XAI__BLOCK, n = left < XAI__BLOCK ? left : XAI__BLOCK;
      float *block = xai__blocked_row(b, row / b->h * blocks + i, row % b->h);
      float *flat = m->flat + row * b->w * b->c + i * XAI__BLOCK;
      for (int64_t x = 0; x < b->w; x++, block += XAI__BLOCK, flat += b->c) move_channels(m, block, flat, n);
    }
}

static void run(xai__engine *e, const xai__view *blocked, const xai__view *flat, bool into, bool add) {
  const xai__blocked b = xai__blocked_of(blocked);
  if (into && !add) xai__blocked_clear(e, &b);
  xai__parallel(e, b.n * b.h, xai__grain(b.w * b.c), move_rows,
                &(move){&b, xai__f(flat), into ? (add ? ADD_IN : IN) : add ? ADD_OUT : OUT});
}

static int forward(xai__call *c) {
  const bool into = c->out[0].blocked;
  run(c->engine, into ? &c->out[0] : &c->in[0], into ? &c->in[0] : &c->out[0], into, false);
  return XAI_OK;
}

static int vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  if (!gin[0].data || !gout[0].data) return XAI_OK;
  const bool into = gin[0].blocked;
  run(c->engine, into ? &gin[0] : &gout[0], into ? &gout[0] : &gin[0], into, true);
  return XAI_OK;
}

const xai__op_blocked xai__blocked_channels_last = {serves, XAI__TURNS, forward, vjp};

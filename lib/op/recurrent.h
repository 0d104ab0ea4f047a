/* RNN, GRU, LSTM: what they share. recurrent_shape.c reads attributes and operands, recurrent.c
 * walks along the sequences, a file a cell says what happens in one step.
 *
 * A direction's weights are W (G,I) and R (G,H), its biases Wb and Rb (G); G = gates H. Traces are
 * in the order of steps: step k of item b is t = k, or backwards t = length - 1 - k; an item whose
 * sequence is over keeps its state. */
#ifndef XAI_OP_RECURRENT_H
#define XAI_OP_RECURRENT_H
#include "op/own.h"

typedef struct xai__recurrent_attr {
  const char *direction;
  xai__texts functions;
  xai__floats alpha, beta;
  float clip;
  int64_t hidden_size, layout, linear_before_reset, input_forget, output_sequence;
} xai__recurrent_attr;

/* An activation, over a xai__pointwise. */
typedef struct xai__cell_function {
  xai__range_fn value, slope;
  float alpha, beta, clip; /* clip: infinity for none */
} xai__cell_function;

enum { XAI__CELL_FUNCTIONS = 3 };

typedef struct xai__recurrent {
  xai__call *c;
  const xai__recurrent_attr *a;
  int64_t steps, items, inputs, size, gates, directions; /* T, N, I, H, G / H, D */
  const int64_t *lens;
  /* of one direction */
  int direction;
  bool reverse;
  const float *w, *r, *wb, *rb, *p; /* biases, peepholes: NULL where there are none */
  xai__cell_function f[XAI__CELL_FUNCTIONS];
  /* traces: before activation, after it (T,N,G); states (T + 1,N,H); GRU: see there (T,N,H) */
  float *z, *y, *h, *cell, *u;
  /* one step: k, and what is worked on */
  int64_t k;
  float *part; /* (N,G) */
  /* backwards, o NULL: by the derivative, else by relevance */
  const xai__own_options *o;
  float *gh, *gcell; /* (N,H): of the states after the step, then of those before it */
  float *gz;         /* (N,G): of z; by relevance R / stab(z), of the candidate's gate alone */
} xai__recurrent;

/* One step of a cell. `forward` fills y[k] and the states k + 1 from z[k], which holds W x + Wb, to
 * which it adds what comes from the state. `back` takes gh and gcell of the states after the step
 * to those before it, and fills gz. */
typedef struct xai__cell {
  int gates, functions, candidate; /* gate that relevance flows through: the others are factors */
  bool has_cell;
  const char *presets[XAI__CELL_FUNCTIONS];
  int (*forward)(xai__recurrent *r);
  int (*back)(xai__recurrent *r);
} xai__cell;

enum {
  XAI__CELL_X, XAI__CELL_W, XAI__CELL_R, XAI__CELL_B, XAI__CELL_LENS, XAI__CELL_H, XAI__CELL_C,
  XAI__CELL_P
};

/* ---- recurrent_shape.c ---- */

extern const xai__field xai__rnn_fields[], xai__gru_fields[], xai__lstm_fields[];
int xai__recurrent_check(const xai__node *node, void *attr, xai_error *err);
int xai__recurrent_infer(xai__call *c, const xai__cell *cell);
/* Sizes; then the parameters of one direction. */
int xai__recurrent_read(xai__call *c, const xai__cell *cell, xai__recurrent *r);
int xai__recurrent_direction(xai__recurrent *r, const xai__cell *cell, int direction);

/* ---- recurrent.c ---- */

int xai__recurrent_forward(xai__call *c, const xai__cell *cell);
/* o NULL: vjp. */
int xai__recurrent_back(xai__call *c, const xai__cell *cell, const xai__own_options *o,
                        const xai__view *gout, const xai__view *gin);

/* For steps. Item b of an array (N,width) or of step k of a trace. */
static inline bool xai__cell_active(const xai__recurrent *r, int64_t b) {
  return !r->lens || r->k < r->lens[b];
}
static inline float *xai__cell_at(const xai__recurrent *r, float *trace, int64_t k, int64_t b,
                                  int64_t width) {
  return trace + (k * r->items + b) * width;
}
/* part (N, n H) = x (N,H) R' of the n gates from `first` on; out (N,H) (epilogue)= s (N, n H) R. */
int xai__cell_recur(xai__recurrent *r, const float *x, int first, int n);
int xai__cell_recur_back(xai__recurrent *r, const float *s, int first, int n, float *out,
                         xai__epilogue ep);
/* y = f(z) and g_z += f'(z) g, for H elements: clipped. */
void xai__cell_activate(const xai__recurrent *r, int f, const float *z, float *y);
void xai__cell_slope(const xai__recurrent *r, int f, const float *z, const float *y,
                     const float *g, float *gz);
/* Every item, in parallel; f takes the xai__recurrent. */
void xai__cell_items(xai__recurrent *r, xai__range_fn f);

#endif

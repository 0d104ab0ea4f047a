/* Attention: attributes, sizes and shapes; attention.c has the equations. */
#include "op/attention.h"
#include <math.h>
#include <string.h>

const xai__field xai__attention_fields[] = {
    {"is_causal", XAI__INT, offsetof(xai__attention_attr, causal), 0, false},
    {"q_num_heads", XAI__INT, offsetof(xai__attention_attr, q_heads), 0, false},
    {"kv_num_heads", XAI__INT, offsetof(xai__attention_attr, kv_heads), 0, false},
    {"qk_matmul_output_mode", XAI__INT, offsetof(xai__attention_attr, mode), 0, false},
    {"softmax_precision", XAI__INT, offsetof(xai__attention_attr, precision), 1, false},
    {"left_window_size", XAI__INT, offsetof(xai__attention_attr, left), -1, false},
    {"right_window_size", XAI__INT, offsetof(xai__attention_attr, right), -1, false},
    {"scale", XAI__FLOAT, offsetof(xai__attention_attr, scale), (double)NAN, false},
    {"softcap", XAI__FLOAT, offsetof(xai__attention_attr, cap), 0, false},
    {0}};

/* ---- geometry ---- */

/* Operand i as (n, heads, length, size). */
static int read_heads(const xai__call *c, int i, int64_t heads, int64_t d[4]) {
  const xai__shape *s = &c->in[i].shape;
  XAI__TRY(xai__need_float(c, i));
  XAI__TRY(xai__need_rank(c, i, 3, 4));
  XAI__TRY(xai__need_countable(c, s));
  if (s->rank == 4) {
    memcpy(d, s->d, 4 * sizeof *d);
  } else {
    if (heads < 1 || s->d[2] % heads)
      return XAI__MALFORMED(c, "Attention: %lld heads of operand %d, of shape %s", (long long)heads,
                            i, xai__shape_text(s).text);
    d[0] = s->d[0], d[1] = heads, d[2] = s->d[1], d[3] = s->d[2] / heads;
  }
  for (int k = 0; k < 4; k++)
    if (d[k] < 1 && k != 2)
      return XAI__MALFORMED(c, "Attention: operand %d is empty: %s", i, xai__shape_text(s).text);
  return XAI_OK;
}

static int need_shape(const xai__call *c, int i, const int64_t *d, int rank) {
  xai__shape want = {rank, {0}};
  if (!xai__has(c, i)) return XAI_OK;
  memcpy(want.d, d, (size_t)rank * sizeof *d);
  if (xai__shape_equal(&c->in[i].shape, &want)) return XAI_OK;
  return XAI__MALFORMED(c, "Attention: operand %d has shape %s, must have %s", i,
                        xai__shape_text(&c->in[i].shape).text, xai__shape_text(&want).text);
}

int xai__attention_dims_of(const xai__call *c, xai__attention_dims *d) {
  const xai__attention_attr *a = c->node->attr;
  int64_t q[4], k[4], v[4];
  XAI__TRY(read_heads(c, Q, a->q_heads, q));
  XAI__TRY(read_heads(c, K, a->kv_heads, k));
  XAI__TRY(read_heads(c, V, a->kv_heads, v));
  if (c->in[Q].shape.rank != c->in[K].shape.rank || c->in[Q].shape.rank != c->in[V].shape.rank ||
      k[0] != q[0] || v[0] != q[0] || q[1] % k[1] || v[1] != k[1] || k[3] != q[3] || v[2] != k[2])
    return XAI__MALFORMED(c, "Attention: Q of shape %s, K of %s and V of %s do not fit together",
                          xai__shape_text(&c->in[Q].shape).text,
                          xai__shape_text(&c->in[K].shape).text,
                          xai__shape_text(&c->in[V].shape).text);
  if (xai__has(c, PAST_K) != xai__has(c, PAST_V))
    return XAI__MALFORMED(c, "Attention: past keys and values must both be there");
  *d = (xai__attention_dims){.n = q[0], .heads = q[1], .kv_heads = k[1], .q_len = q[2],
                             .kv_len = k[2], .size = q[3], .v_size = v[3],
                             .group = q[1] / k[1] * q[2]};
  if (xai__has(c, PAST_K)) {
    XAI__TRY(xai__need_rank(c, PAST_K, 4, 4));
    d->past = c->in[PAST_K].shape.d[2];
    XAI__TRY(xai__need_float(c, PAST_K));
    XAI__TRY(xai__need_float(c, PAST_V));
    XAI__TRY(need_shape(c, PAST_K, (int64_t[]){d->n, d->kv_heads, d->past, d->size}, 4));
    XAI__TRY(need_shape(c, PAST_V, (int64_t[]){d->n, d->kv_heads, d->past, d->v_size}, 4));
  }
  d->total = d->past + d->kv_len;
  xai__shape scores = {4, {d->n, d->heads, d->q_len, d->total}};
  return xai__need_countable(c, &scores);
}

int xai__attention_mask(const xai__call *c, const xai__attention_dims *d, int64_t *columns,
                        int64_t stride[4]) {
  const xai__shape *s = &c->in[MASK].shape;
  memset(stride, 0, 4 * sizeof *stride);
  *columns = d->total;
  if (!xai__has(c, MASK)) return XAI_OK;
  if (s->rank && s->d[s->rank - 1] != 1) *columns = s->d[s->rank - 1];
  xai__shape whole = {4, {d->n, d->heads, d->q_len, *columns}}, both;
  if (*columns <= d->total && xai__shape_broadcast(s, &whole, &both) &&
      xai__shape_equal(&both, &whole)) {
    xai__shape_strides_over(s, &whole, stride);
    return XAI_OK;
  }
  whole.d[3] = d->total;
  return XAI__MALFORMED(c, "Attention: a mask of shape %s for scores of %s",
                        xai__shape_text(s).text, xai__shape_text(&whole).text);
}

int xai__attention_infer(xai__call *c) {
  const xai__attention_attr *a = c->node->attr;
  xai__attention_dims d;
  int64_t columns, stride[4];
  XAI__TRY(xai__attention_dims_of(c, &d));
  XAI__TRY(xai__attention_mask(c, &d, &columns, stride));
  if (xai__has(c, LENGTHS)) {
    XAI__TRY(xai__need_int(c, LENGTHS));
    XAI__TRY(need_shape(c, LENGTHS, &d.n, 1));
  }
  if (a->mode < XAI__QK_RAW || a->mode > XAI__QK_WEIGHTS)
    return XAI__MALFORMED(c, "Attention: qk_matmul_output_mode is %lld, must be 0 to 3",
                          (long long)a->mode);
  xai__shape shapes[] = {{4, {d.n, d.heads, d.q_len, d.v_size}},
                         {4, {d.n, d.kv_heads, d.total, d.size}},
                         {4, {d.n, d.kv_heads, d.total, d.v_size}},
                         {4, {d.n, d.heads, d.q_len, d.total}}};
  if (c->in[Q].shape.rank == 3) shapes[0] = (xai__shape){3, {d.n, d.q_len, d.heads * d.v_size}};
  for (int k = 0; k < c->n_out; k++) c->out[k] = (xai__view){.dtype = XAI_F32, .shape = shapes[k]};
  return XAI_OK;
}

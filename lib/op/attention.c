/* Attention (ONNX 23, 24, 25): scaled dot products of heads, with masks and a cache.
 *
 *   C = scale Q K',  A = cap tanh(C / cap) (cap 0: C),  S = A + mask,  P = softmax S,  Y = P V
 *
 * Q (N,Hq,L,E), K (N,Hk,M,E), V (N,Hk,M,F), or (N,L,Hq E), ...; Hq / Hk heads of Q share one of K
 * and V (a *pair* below is an item and one of its Hk heads). Past keys and values come before K
 * and V: T of them in all. Query i stands at p = offset + i, offset = what is cached before it, and
 * sees key j where j < its item's number of keys, p - left <= j <= p + right (causal: right 0) and
 * the mask, boolean or added, does not say -inf. A row that sees nothing is 0.
 * Relevance as if written out [Achtibat et al. 2024]: half of Y's to V, half through softmax, mask
 * and cap to Q K', where Q and K take half each; matmul=value: all to V. */
#include "op/attention.h"
#include "op/own.h"
#include "op/simd.h"
#include <math.h>
#include <string.h>

/* ---- heads in front ---- */

/* Between a tensor of d = (n, heads, length, size), in a shape of rank 4 or 3, and the rows from
 * `from` on of (n, heads, n_rows, size): heads = tensor, tensor = heads, tensor += heads. */
enum { GET, PUT, ADD };
static void move(xai__call *c, int rank, const int64_t d[4], int64_t from, int64_t n_rows,
                 float *tensor, float *heads, int way) {
  int64_t size = d[3], whole[4] = {d[1] * n_rows * size, n_rows * size, size, 1};
  int64_t part[4] = {d[1] * d[2] * size, d[2] * size, size, 1};
  if (rank == 3) part[1] = size, part[2] = d[1] * size;
  xai__loop l = xai__loop_over(&(xai__shape){4, {d[0], d[1], d[2], size}});
  xai__loop_add_strides(&l, way == GET ? whole : part);
  xai__loop_add_strides(&l, way == GET ? part : whole);
  heads += from * size;
  if (way == ADD) xai__add_copy(c->engine, &l, tensor, heads, 1);
  else xai__copy(c->engine, &l, XAI_F32, way == GET ? heads : tensor, way == GET ? tensor : heads);
}

static float *take(xai__call *c, int64_t n) {
  return xai__scratch(c->engine, (size_t)n, sizeof(float), c->err);
}

/* A view's data with heads in front; d: its (n, heads, length, size). NULL: no memory. */
static float *in_front(xai__call *c, const xai__view *v, const int64_t d[4]) {
  if (v->shape.rank == 4) return v->data;
  float *heads = take(c, xai__count(&v->shape));
  if (heads) move(c, 3, d, 0, d[2], v->data, heads, GET);
  return heads;
}

/* Past and present keys (k = 0) or values (1) with heads in front: in `to`, if that is there. */
static float *cached(xai__call *c, const xai__attention_dims *d, int k, float *to) {
  const xai__view *now = &c->in[K + k];
  int64_t size = k ? d->v_size : d->size;
  int64_t here[4] = {d->n, d->kv_heads, d->kv_len, size};
  if (!to && !d->past) return in_front(c, now, here);
  if (!to) to = take(c, d->n * d->kv_heads * d->total * size);
  if (!to) return NULL;
  int64_t before[4] = {d->n, d->kv_heads, d->past, size};
  if (d->past) move(c, 4, before, 0, d->total, xai__f(&c->in[PAST_K + k]), to, GET);
  move(c, now->shape.rank, here, d->past, d->total, now->data, to, GET);
  return to;
}

/* ---- rows of scores ---- */

/* Some pairs, from `first` on. A row is a query of one head: T elements of raw, p and g. */
typedef struct rows {
  const xai__call *c;
  const xai__attention_attr *a;
  xai__attention_dims d;
  const xai__own_options *o; /* of relevance */
  float scale;
  int64_t first, columns, mask[4];
  float *raw, *p, *g; /* C; P; what comes back to P, then to Q K' */
  float *qk;          /* result 3, or what comes back to it, or NULL */
  float *g_mask;      /* what comes back to S, where the mask is wanted */
} rows;

typedef struct row {
  int64_t at, qk, mask; /* in raw, p, g; in result 3; in the mask */
  int64_t from, to;     /* keys that may be seen */
} row;

static row row_of(const rows *r, int64_t k) {
  const xai__attention_dims *d = &r->d;
  int64_t pair = r->first + k / d->group, i = k % d->q_len;
  int64_t n = pair / d->kv_heads, sharing = d->heads / d->kv_heads;
  int64_t head = pair % d->kv_heads * sharing + k % d->group / d->q_len;
  const int64_t *lengths = xai__has(r->c, LENGTHS) ? xai__i(&r->c->in[LENGTHS]) : NULL;
  int64_t end = lengths ? lengths[n] : d->total;
  int64_t p = i + (d->past || !lengths ? d->past : end - d->q_len);
  row w = {k * d->total, ((n * d->heads + head) * d->q_len + i) * d->total,
           n * r->mask[0] + head * r->mask[1] + i * r->mask[2], 0, end};
  if (r->columns < w.to) w.to = r->columns;
  int64_t right = r->a->causal ? 0 : r->a->right;
  if (right >= 0 && right < d->total && p + right + 1 < w.to) w.to = p + right + 1;
  if (r->a->left >= 0 && p > r->a->left) w.from = p - r->a->left;
  if (w.to < w.from) w.to = w.from;
  return w;
}

static float capped(const rows *r, float raw) {
  return r->a->cap > 0 ? r->a->cap * tanhf(raw / r->a->cap) : raw;
}

/* s: S of n keys of row w, from key `at` on; -inf where they are not seen. May write over raw. */
static void score(const rows *r, const row *w, const float *raw, int64_t at, int64_t n, float *s) {
  const xai__view *mask = xai__has(r->c, MASK) ? &r->c->in[MASK] : NULL;
  int64_t from = w->from > at ? w->from - at : 0, to = w->to - at < n ? w->to - at : n;
  int64_t first = w->mask + at * r->mask[3], step = r->mask[3];
  if (r->a->cap > 0)
    for (int64_t j = 0; j < n; j++) s[j] = capped(r, raw[at + j]);
  else if (s != raw + at)
    memcpy(s, raw + at, (size_t)n * sizeof *s);
  if (mask && mask->dtype == XAI_F32)
    for (int64_t j = from; j < to; j++) s[j] += xai__f(mask)[first + j * step];
  else if (mask)
    for (int64_t j = from; j < to; j++) s[j] = xai__i(mask)[first + j * step] ? s[j] : -INFINITY;
  for (int64_t j = 0; j < n && j < from; j++) s[j] = -INFINITY;
  for (int64_t j = to > 0 ? to : 0; j < n; j++) s[j] = -INFINITY;
}

/* raw: Q K' to C; p = softmax S. */
static void weigh(void *ctx, int64_t begin, int64_t end) {
  const rows *r = ctx;
  int64_t n = r->d.total, mode = r->qk ? r->a->mode : -1;
  size_t bytes = (size_t)n * sizeof(float);
  void (*softmax)(const xai__softmax *) = xai__simd_of(r->c->engine)->softmax_forward;
  for (int64_t k = begin; k < end; k++) {
    row w = row_of(r, k);
    float *raw = r->raw + w.at, *p = r->p + w.at, *qk = r->qk ? r->qk + w.qk : NULL;
    for (int64_t j = 0; j < n; j++) raw[j] *= r->scale;
    if (mode == XAI__QK_RAW) memcpy(qk, raw, bytes);
    for (int64_t j = 0; j < n && mode == XAI__QK_CAPPED; j++) qk[j] = capped(r, raw[j]);
    score(r, &w, raw, 0, n, p); /* forward, raw and p are one */
    if (mode == XAI__QK_MASKED) memcpy(qk, p, bytes);
    softmax(&(xai__softmax){.n = n, .step = 1, .x = p, .out = p});
    if (mode == XAI__QK_WEIGHTS) memcpy(qk, p, bytes);
  }
}

enum { PIECE = 256 }; /* keys at a time, backwards */

/* g: dL/dP to dL/d(Q K'). */
static void differentiate(void *ctx, int64_t begin, int64_t end) {
  const rows *r = ctx;
  int64_t n = r->d.total;
  for (int64_t k = begin; k < end; k++) {
    row w = row_of(r, k);
    const float *raw = r->raw + w.at, *p = r->p + w.at, *qk = r->qk ? r->qk + w.qk : NULL;
    float *g = r->g + w.at, s[PIECE];
    int64_t mode = qk ? r->a->mode : -1;
    double sum = 0;
    for (int64_t j = 0; j < n; j++) {
      if (mode == XAI__QK_WEIGHTS) g[j] += qk[j];
      sum += (double)p[j] * (double)g[j];
    }
    for (int64_t j = 0; j < n; j++) {
      g[j] = p[j] * (g[j] - (float)sum);
      if (j % PIECE == 0) score(r, &w, raw, j, n - j < PIECE ? n - j : PIECE, s);
      if (mode == XAI__QK_MASKED && s[j % PIECE] > -INFINITY) g[j] += qk[j];
      if (r->g_mask) r->g_mask[w.qk + j] = g[j];
      if (mode == XAI__QK_CAPPED) g[j] += qk[j];
      float t = r->a->cap > 0 ? capped(r, raw[j]) / r->a->cap : 0;
      g[j] *= 1 - t * t;
      if (mode == XAI__QK_RAW) g[j] += qk[j];
      g[j] *= r->scale;
    }
  }
}

/* g: s V' to what Q K' hands on to either side, s = R / stab(2 Y). */
static void attribute(void *ctx, int64_t begin, int64_t end) {
  const rows *r = ctx;
  int64_t n = r->d.total;
  bool gradient = !strcmp(r->o->softmax, "gradient");
  bool added = xai__has(r->c, MASK) && r->c->in[MASK].dtype == XAI_F32;
  for (int64_t k = begin; k < end; k++) {
    row w = row_of(r, k);
    const float *raw = r->raw + w.at, *p = r->p + w.at;
    float *g = r->g + w.at, piece[PIECE];
    double sum = 0;
    for (int64_t j = 0; j < n; j++) {
      g[j] *= p[j];
      sum += (double)g[j] * (gradient ? (double)p[j] : 1);
    }
    for (int64_t j = 0; j < n; j++) {
      if (j % PIECE == 0) score(r, &w, raw, j, n - j < PIECE ? n - j : PIECE, piece);
      float s = piece[j % PIECE], before = capped(r, raw[j]);
      if (s == -INFINITY) {
        g[j] = 0;
        continue;
      }
      g[j] = gradient ? p[j] * (g[j] - (float)sum) : s * (g[j] - p[j] * (float)sum);
      if (added) {
        float share = xai__ratio(g[j], xai__stab(s, r->o->stabilizer));
        if (r->g_mask) r->g_mask[w.qk + j] = (s - before) * share;
        if (!r->o->bias_zero || r->g_mask) g[j] = before * share;
      }
      g[j] = r->scale * xai__ratio(g[j], xai__stab(2 * raw[j], r->o->stabilizer));
    }
  }
}

/* ---- all pairs ---- */

typedef struct tensors {
  float *q, *k, *v, *y; /* heads in front */
  float *gq, *gk, *gv;  /* backwards: added to; gq NULL: nothing goes through the softmax */
} tensors;

/* What the scores of one go may take: a few pairs, so that they stay in the cache. */
enum { SCORES = 1 << 18 };

/* Forward: writes t->y. Backward: t->y is what came back, `back` turns it round. */
static int run_pairs(xai__call *c, rows *r, const tensors *t, xai__range_fn back) {
  const xai__attention_dims *d = &r->d;
  int64_t all = d->n * d->kv_heads, pair = d->group * d->total;
  int64_t most = pair < SCORES && pair > 0 ? SCORES / pair : 1;
  if (most > all) most = all;
  r->raw = take(c, most * pair);
  r->p = back ? take(c, most * pair) : r->raw;
  r->g = back ? take(c, most * pair) : NULL;
  if (!r->raw || !r->p || (back && !r->g)) return XAI_E_MEMORY;
  int64_t sq = d->group * d->size, sk = d->total * d->size, sv = d->total * d->v_size,
          sy = d->group * d->v_size;
  if (!pair) {
    if (!back) xai__fill(c->engine, t->y, all * sy, 0);
    return XAI_OK;
  }
  for (r->first = 0; r->first < all; r->first += most) {
    int64_t i = r->first, n = most < all - i ? most : all - i, grain = xai__grain(d->total);
    float *q = t->q + i * sq, *k = t->k + i * sk, *v = t->v + i * sv, *y = t->y + i * sy;
    xai__gemm to_scores = {n, d->group, d->total, d->size, sq, sk, pair, false, true};
    xai__gemm to_y = {n, d->group, d->v_size, d->total, pair, sv, sy, false, false};
    XAI__TRY(xai__gemm_run(c->engine, &to_scores, q, k, r->raw, xai__set, c->err));
    float *qk = r->qk;
    if (back) r->qk = NULL;
    xai__parallel(c->engine, n * d->group, grain, weigh, r);
    r->qk = qk;
    if (!back) {
      XAI__TRY(xai__gemm_run(c->engine, &to_y, r->p, v, y, xai__set, c->err));
      continue;
    }
    xai__gemm to_v = {n, d->total, d->v_size, d->group, pair, sy, sv, true, false};
    XAI__TRY(xai__gemm_run(c->engine, &to_v, r->p, y, t->gv + i * sv, xai__add_to, c->err));
    if (!t->gq) continue;
    xai__gemm to_p = {n, d->group, d->total, d->v_size, sy, sv, pair, false, true};
    xai__gemm to_q = {n, d->group, d->size, d->total, pair, sk, sq, false, false};
    xai__gemm to_k = {n, d->total, d->size, d->group, pair, sq, sk, true, false};
    XAI__TRY(xai__gemm_run(c->engine, &to_p, y, v, r->g, xai__set, c->err));
    xai__parallel(c->engine, n * d->group, grain, back, r);
    XAI__TRY(xai__gemm_run(c->engine, &to_q, r->g, k, t->gq + i * sq, xai__add_to, c->err));
    XAI__TRY(xai__gemm_run(c->engine, &to_k, r->g, q, t->gk + i * sk, xai__add_to, c->err));
  }
  return XAI_OK;
}

static int begin(xai__call *c, rows *r, tensors *t) {
  const xai__attention_attr *a = c->node->attr;
  *r = (rows){.c = c, .a = a};
  XAI__TRY(xai__attention_dims_of(c, &r->d));
  const xai__attention_dims *d = &r->d;
  XAI__TRY(xai__attention_mask(c, d, &r->columns, r->mask));
  r->scale = isnan(a->scale) ? 1 / sqrtf((float)d->size) : a->scale;
  for (int64_t i = 0; xai__has(c, LENGTHS) && i < d->n; i++) {
    int64_t keys = xai__i(&c->in[LENGTHS])[i];
    if (keys < 0 || keys > d->total)
      return xai__fail(c->err, c->in_static[LENGTHS] ? XAI_E_MODEL : XAI_E_INPUT, c->node->name,
                       "Attention: item %lld has %lld keys, there are %lld", (long long)i,
                       (long long)keys, (long long)d->total);
  }
  t->q = in_front(c, &c->in[Q], (int64_t[]){d->n, d->heads, d->q_len, d->size});
  t->k = cached(c, d, 0, c->n_out > 1 ? c->out[1].data : NULL);
  t->v = cached(c, d, 1, c->n_out > 2 ? c->out[2].data : NULL);
  return t->q && t->k && t->v ? XAI_OK : c->err->status;
}

static int forward_marked(xai__call *c) {
  rows r;
  tensors t = {0};
  XAI__TRY(begin(c, &r, &t));
  int64_t y[4] = {r.d.n, r.d.heads, r.d.q_len, r.d.v_size}, n = xai__count(&c->out[0].shape);
  bool packed = c->out[0].shape.rank == 3;
  r.qk = c->n_out > 3 ? xai__f(&c->out[3]) : NULL;
  t.y = packed ? take(c, n) : xai__f(&c->out[0]);
  if (!t.y) return c->err->status;
  XAI__TRY(run_pairs(c, &r, &t, NULL));
  if (packed) move(c, 3, y, 0, y[2], xai__f(&c->out[0]), t.y, PUT);
  return XAI_OK;
}

/* gin[i] += rows from `from` on of g (n, heads, rows, size), if it is wanted. */
static void hand_back(xai__call *c, const xai__view *gin, int i, const int64_t d[4], int64_t from,
                      int64_t n_rows, float *g) {
  if (i < c->n_in && gin[i].data)
    move(c, gin[i].shape.rank, d, from, n_rows, xai__f(&gin[i]), g, ADD);
}

static float *zeros(xai__call *c, int64_t n) {
  float *x = take(c, n);
  if (x) xai__fill(c->engine, x, n, 0);
  return x;
}

/* x *= y */
static void times(float *x, const float *y, int64_t n) {
  for (int64_t i = 0; i < n; i++) x[i] *= y[i];
}

/* gout to gin: o NULL by the derivative, else by relevance. */
static int backward(xai__call *c, const xai__own_options *o, const xai__view *gout,
                    const xai__view *gin) {
  rows r;
  tensors t = {0};
  XAI__TRY(begin(c, &r, &t));
  const xai__attention_dims *d = &r.d;
  bool value = o && (!strcmp(o->matmul, "value") || !strcmp(o->softmax, "detach"));
  bool all = o && !strcmp(o->matmul, "value");
  int64_t nq = d->n * d->heads * d->q_len * d->size, kv = d->n * d->kv_heads * d->total;
  int64_t ny = xai__count(&c->out[0].shape), y[4] = {d->n, d->heads, d->q_len, d->v_size};
  xai__view back = gout[0];
  if (!back.data || o) {
    if (!(back.data = zeros(c, ny))) return c->err->status;
    back.shape = c->out[0].shape;
  }
  if (o)
    xai__own_divide(c->engine, xai__f(&gout[0]), xai__f(&c->out[0]), all ? 1 : 2, ny,
                    o->stabilizer, xai__f(&back), NULL);
  t.y = in_front(c, &back, y);
  t.gv = zeros(c, kv * d->v_size);
  t.gq = value ? NULL : zeros(c, nq);
  t.gk = zeros(c, kv * d->size);
  r.o = o;
  r.qk = !o && c->n_out > 3 ? gout[3].data : NULL;
  bool mask = c->n_in > MASK && gin[MASK].data;
  if (mask) r.g_mask = zeros(c, d->n * d->heads * d->q_len * d->total);
  if (!t.y || !t.gv || !t.gk || (!value && !t.gq) || (mask && !r.g_mask)) return c->err->status;
  for (int k = 0; k < 2 && !o; k++)
    if (c->n_out > 1 + k && gout[1 + k].data)
      xai__add_scaled(c->engine, k ? t.gv : t.gk, xai__f(&gout[1 + k]),
                      xai__count(&gout[1 + k].shape), 1);
  XAI__TRY(run_pairs(c, &r, &t, o ? attribute : differentiate));
  if (o) {
    if (t.gq) times(t.gq, t.q, nq);
    times(t.gk, t.k, kv * d->size);
    times(t.gv, t.v, kv * d->v_size);
  }
  if (t.gq) hand_back(c, gin, Q, (int64_t[]){d->n, d->heads, d->q_len, d->size}, 0, d->q_len, t.gq);
  for (int k = 0; k < 2; k++) {
    int64_t size = k ? d->v_size : d->size;
    float *g = k ? t.gv : t.gk;
    hand_back(c, gin, K + k, (int64_t[]){d->n, d->kv_heads, d->kv_len, size}, d->past, d->total, g);
    hand_back(c, gin, PAST_K + k, (int64_t[]){d->n, d->kv_heads, d->past, size}, 0, d->total, g);
  }
  if (!mask) return XAI_OK;
  xai__shape seen = {4, {d->n, d->heads, d->q_len, r.columns}};
  xai__loop l = xai__loop_over(&seen);
  xai__loop_add_strides(&l, r.mask);
  xai__loop_add_strides(&l, (int64_t[]){d->heads * d->q_len * d->total, d->q_len * d->total,
                                        d->total, 1});
  xai__add_sums(c->engine, &l, xai__f(&gin[MASK]), r.g_mask, 1);
  return XAI_OK;
}

/* ---- the operator ---- */

static int forward(xai__call *c) {
  size_t mark = xai__scratch_mark(c->engine);
  int status = forward_marked(c);
  xai__scratch_release(c->engine, mark);
  return status;
}

static int vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  size_t mark = xai__scratch_mark(c->engine);
  int status = backward(c, NULL, gout, gin);
  xai__scratch_release(c->engine, mark);
  return status;
}

static int relevance(xai__call *c, const xai__own_options *o, const xai__view *gout,
                     const xai__view *gin) {
  if (!gout[0].data) return XAI_OK;
  double before = o->ledger ? xai__own_total(c, gin, c->n_in) : 0;
  size_t mark = xai__scratch_mark(c->engine);
  int status = backward(c, o, gout, gin);
  xai__scratch_release(c->engine, mark);
  xai__own_lose_rest(c, o, gout, gin, before);
  return status;
}

const xai__op xai__op_Attention = {
    .type = "Attention", .min_in = 3, .max_in = 7, .min_out = 1, .max_out = 4, .since = 23,
    .fields = xai__attention_fields, .attr_size = sizeof(xai__attention_attr),
    .infer = xai__attention_infer, .forward = forward, .vjp = vjp, .cross = XAI__CROSS_OWN,
    .relevance = relevance};

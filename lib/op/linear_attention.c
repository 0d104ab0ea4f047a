/* LinearAttention (ONNX 27): a recurrent state S (d_k,d_v) for each item and head of k and v.
 *
 *   linear       S' = S + k v'                      gated        S' = D S + k v',  D = exp g
 *   delta        S' = S + b k (v - S' k)'           gated_delta  S' = D S + b k (v - (D S)' k)'
 *   o = scale S' q
 *
 * q (N,T,Hq d_k), k (N,T,H d_k), v (N,T,H d_v); Hq / H heads of q share a state; past state
 * (N,H,d_k,d_v), zeros where there is none; g (N,T,H d_k), or (N,T,H) one a head; b (N,T,H) or
 * (N,T,1). Heads are independent and computed in double, backwards with the states of all steps. */
#include "op/check.h"
#include "op/loop.h"
#include <math.h>
#include <string.h>

enum { Q, K, V, PAST, DECAY, RATE };

typedef struct attention_attr {
  int64_t q_heads, kv_heads, chunk_size;
  const char *rule;
  float scale;
} attention_attr;
static const xai__field fields[] = {
    {"q_num_heads", XAI__INT, offsetof(attention_attr, q_heads), 0, true},
    {"kv_num_heads", XAI__INT, offsetof(attention_attr, kv_heads), 0, true},
    {"chunk_size", XAI__INT, offsetof(attention_attr, chunk_size), 64, false},
    {"update_rule", XAI__TEXT, offsetof(attention_attr, rule), 0, false},
    {"scale", XAI__FLOAT, offsetof(attention_attr, scale), 0, false},
    {0}};

static int check(const xai__node *node, void *attr, xai_error *err) {
  static const char *const rules[] = {"linear", "gated", "delta", "gated_delta"};
  attention_attr *a = attr;
  if (!a->rule) a->rule = "gated_delta";
  for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
    if (!strcmp(a->rule, rules[i])) return XAI_OK;
  return xai__fail(err, XAI_E_MODEL, node->name, "LinearAttention: unknown update_rule '%s'",
                   a->rule);
}

/* ---- geometry ---- */

typedef struct dims {
  int64_t n, steps, q_heads, heads, size, v_size; /* N, T, Hq, H, d_k, d_v */
  bool gated, delta;
  int64_t decays, rates; /* elements of g and b in a step */
  double scale;
} dims;

static int need_shape(const xai__call *c, int i, xai__shape want) {
  XAI__TRY(xai__need_float(c, i));
  if (xai__shape_equal(&c->in[i].shape, &want)) return XAI_OK;
  return XAI__MALFORMED(c, "LinearAttention: operand %d has shape %s, must have %s", i,
                        xai__shape_text(&c->in[i].shape).text, xai__shape_text(&want).text);
}

static int read_dims(const xai__call *c, dims *d) {
  const attention_attr *a = c->node->attr;
  const xai__shape *q = &c->in[Q].shape, *v = &c->in[V].shape;
  XAI__TRY(xai__need_rank(c, Q, 3, 3));
  XAI__TRY(xai__need_rank(c, V, 3, 3));
  XAI__TRY(xai__need_float(c, Q));
  if (a->kv_heads < 1 || a->q_heads < 1 || a->q_heads % a->kv_heads || q->d[2] % a->q_heads ||
      v->d[2] % a->kv_heads)
    return XAI__MALFORMED(c, "LinearAttention: %lld heads of q %s share %lld of v %s",
                          (long long)a->q_heads, xai__shape_text(q).text, (long long)a->kv_heads,
                          xai__shape_text(v).text);
  *d = (dims){.n = q->d[0], .steps = q->d[1], .q_heads = a->q_heads, .heads = a->kv_heads,
              .size = q->d[2] / a->q_heads, .v_size = v->d[2] / a->kv_heads,
              .gated = a->rule[0] == 'g', .delta = strstr(a->rule, "delta") != NULL};
  d->scale = a->scale != 0 ? (double)a->scale : 1 / sqrt((double)d->size);
  if (d->gated && xai__has(c, DECAY)) d->decays = c->in[DECAY].shape.d[2];
  if (d->delta && xai__has(c, RATE)) d->rates = c->in[RATE].shape.d[2];
  return XAI_OK;
}

static int infer(xai__call *c) {
  dims d = {0};
  XAI__TRY(read_dims(c, &d));
  if (d.n < 1 || d.size < 1 || d.v_size < 1 || (d.gated && !xai__has(c, DECAY)) ||
      (d.delta && !xai__has(c, RATE)))
    return XAI__MALFORMED(c, "LinearAttention: update_rule '%s' needs %s%s",
                          ((const attention_attr *)c->node->attr)->rule, d.gated ? "a decay " : "",
                          d.delta ? "a rate" : "heads that are not empty");
  xai__shape state = {4, {d.n, d.heads, d.size, d.v_size}};
  XAI__TRY(need_shape(c, K, (xai__shape){3, {d.n, d.steps, d.heads * d.size}}));
  XAI__TRY(need_shape(c, V, (xai__shape){3, {d.n, d.steps, d.heads * d.v_size}}));
  if (xai__has(c, PAST)) XAI__TRY(need_shape(c, PAST, state));
  bool by_head = d.decays == d.heads, one = d.rates == 1;
  if (d.gated)
    XAI__TRY(need_shape(
        c, DECAY, (xai__shape){3, {d.n, d.steps, by_head ? d.heads : d.heads * d.size}}));
  if (d.delta) XAI__TRY(need_shape(c, RATE, (xai__shape){3, {d.n, d.steps, one ? 1 : d.heads}}));
  xai__shape traced = {5, {d.n, d.heads, d.steps + 1, d.size, d.v_size}};
  XAI__TRY(xai__need_countable(c, &traced));
  c->out[0] = (xai__view){.dtype = XAI_F32, .shape = {3, {d.n, d.steps, d.q_heads * d.v_size}}};
  if (c->n_out > 1) c->out[1] = (xai__view){.dtype = XAI_F32, .shape = state};
  return xai__need_countable(c, &c->out[0].shape);
}

/* ---- one head ---- */

typedef struct heads {
  const xai__call *c;
  dims d;
  const xai__view *gout, *gin;
  double *work;     /* of each head: states S; dS; two vectors of d_v */
  int64_t traced;   /* states of a head that are kept */
  int64_t together; /* heads that share a rate, of one item, stay on one thread */
} heads;

/* One step of head h of item n: pointers into the operands. */
typedef struct step {
  int64_t q, k, v, o, decay, rate; /* where its elements begin */
  int64_t per_key;                 /* decay: 1 if there is one for each key element, else 0 */
} step;

static step step_of(const dims *d, int64_t head, int64_t t) {
  int64_t n = head / d->heads, h = head % d->heads, row = n * d->steps + t;
  int64_t share = d->q_heads / d->heads, by_key = d->decays != d->heads;
  return (step){(row * d->q_heads + h * share) * d->size,
                (row * d->heads + h) * d->size,
                (row * d->heads + h) * d->v_size,
                (row * d->q_heads + h * share) * d->v_size,
                row * d->decays + h * (by_key ? d->size : 1),
                row * d->rates + (d->rates == 1 ? 0 : h),
                by_key};
}

static double decay_at(const heads *a, const step *s, int64_t i) {
  return a->d.gated ? exp((double)xai__f(&a->c->in[DECAY])[s->decay + i * s->per_key]) : 1;
}

static double rate_at(const heads *a, const step *s) {
  return a->d.delta ? (double)xai__f(&a->c->in[RATE])[s->rate] : 1;
}

/* e (d_v): v, or v - (D S)' k. Times the rate it is what k writes. */
static void news(const heads *a, const step *s, const double *state, double *e) {
  const dims *d = &a->d;
  const float *k = xai__f(&a->c->in[K]) + s->k, *v = xai__f(&a->c->in[V]) + s->v;
  for (int64_t j = 0; j < d->v_size; j++) e[j] = (double)v[j];
  for (int64_t i = 0; d->delta && i < d->size; i++) {
    double f = decay_at(a, s, i) * (double)k[i];
    for (int64_t j = 0; j < d->v_size; j++) e[j] -= f * state[i * d->v_size + j];
  }
}

static int64_t state_size(const heads *a) { return a->d.size * a->d.v_size; }
/* Of a head's work: states, dS, and vectors. */
static double *work_of(const heads *a, int64_t head) {
  return a->work + head * ((a->traced + 1) * state_size(a) + 2 * a->d.v_size);
}

static void begin(const heads *a, int64_t head, double *state) {
  const xai__view *past = &a->c->in[PAST];
  int64_t n = state_size(a);
  for (int64_t i = 0; i < n; i++)
    state[i] = xai__has(a->c, PAST) ? (double)xai__f(past)[head * n + i] : 0;
}

/* S of step t to S of the next one, which may be the same. */
static void advance(const heads *a, const step *s, const double *from, double *to, double *e) {
  const dims *d = &a->d;
  const float *k = xai__f(&a->c->in[K]) + s->k;
  double rate = rate_at(a, s);
  news(a, s, from, e);
  for (int64_t i = 0; i < d->size; i++) {
    double f = decay_at(a, s, i);
    for (int64_t j = 0; j < d->v_size; j++)
      to[i * d->v_size + j] = f * from[i * d->v_size + j] + (double)k[i] * rate * e[j];
  }
}

static void forward_heads(void *ctx, int64_t first, int64_t end) {
  const heads *a = ctx;
  const dims *d = &a->d;
  int64_t share = d->q_heads / d->heads, n = state_size(a);
  for (int64_t head = first * a->together; head < end * a->together; head++) {
    double *state = work_of(a, head), *r = state + 2 * n; /* behind dS */
    begin(a, head, state);
    for (int64_t t = 0; t < d->steps; t++) {
      step s = step_of(d, head, t);
      advance(a, &s, state, state, r);
      for (int64_t g = 0; g < share; g++) {
        const float *q = xai__f(&a->c->in[Q]) + s.q + g * d->size;
        float *o = xai__f(&a->c->out[0]) + s.o + g * d->v_size;
        for (int64_t j = 0; j < d->v_size; j++) r[j] = 0;
        for (int64_t i = 0; i < d->size; i++)
          for (int64_t j = 0; j < d->v_size; j++) r[j] += (double)q[i] * state[i * d->v_size + j];
        for (int64_t j = 0; j < d->v_size; j++) o[j] = (float)(d->scale * r[j]);
      }
    }
    float *last = a->c->n_out > 1 ? xai__f(&a->c->out[1]) : NULL;
    for (int64_t i = 0; last && i < n; i++) last[head * n + i] = (float)state[i];
  }
}

/* ---- backwards ---- */

static float *wanted(const heads *a, int i) {
  return i < a->c->n_in ? xai__f(&a->gin[i]) : NULL;
}

/* o = scale S' q: to q, and to dS. */
static void back_result(const heads *a, const step *s, const double *next, double *ds) {
  const dims *d = &a->d;
  const float *go = xai__f(&a->gout[0]);
  float *gq = wanted(a, Q);
  for (int64_t g = 0; go && g < d->q_heads / d->heads; g++) {
    const float *q = xai__f(&a->c->in[Q]) + s->q + g * d->size, *at = go + s->o + g * d->v_size;
    for (int64_t i = 0; i < d->size; i++) {
      double sum = 0;
      for (int64_t j = 0; j < d->v_size; j++) {
        sum += next[i * d->v_size + j] * (double)at[j];
        ds[i * d->v_size + j] += d->scale * (double)q[i] * (double)at[j];
      }
      if (gq) gq[s->q + g * d->size + i] += (float)(d->scale * sum);
    }
  }
}

/* S' = D S + b k e': dS' to dS; e, de: vectors. */
static void back_step(const heads *a, const step *s, const double *state, double *ds, double *e,
                      double *de) {
  const dims *d = &a->d;
  const float *k = xai__f(&a->c->in[K]) + s->k;
  float *gk = wanted(a, K), *gv = wanted(a, V), *gd = wanted(a, DECAY), *gb = wanted(a, RATE);
  double rate = rate_at(a, s), to_rate = 0;
  news(a, s, state, e);
  for (int64_t j = 0; j < d->v_size; j++) de[j] = 0;
  for (int64_t i = 0; i < d->size; i++)
    for (int64_t j = 0; j < d->v_size; j++) de[j] += (double)k[i] * ds[i * d->v_size + j];
  for (int64_t j = 0; j < d->v_size; j++) {
    to_rate += de[j] * e[j];
    de[j] *= rate;
    if (gv) gv[s->v + j] += (float)de[j];
  }
  for (int64_t i = 0; i < d->size; i++) {
    double f = decay_at(a, s, i), to_k = 0, to_f = 0;
    for (int64_t j = 0; j < d->v_size; j++) {
      double *at = ds + i * d->v_size + j, from = state[i * d->v_size + j];
      double erased = d->delta ? de[j] : 0; /* e = v - (D S)' k */
      to_k += *at * rate * e[j] - erased * f * from;
      to_f += *at * from - erased * (double)k[i] * from;
      *at = f * (*at - erased * (double)k[i]);
    }
    if (gk) gk[s->k + i] += (float)to_k;
    if (gd && d->gated) gd[s->decay + i * s->per_key] += (float)(to_f * f);
  }
  if (gb && d->delta) gb[s->rate] += (float)to_rate;
}

static void back_heads(void *ctx, int64_t first, int64_t end) {
  const heads *a = ctx;
  const dims *d = &a->d;
  int64_t n = state_size(a);
  for (int64_t head = first * a->together; head < end * a->together; head++) {
    double *states = work_of(a, head), *ds = states + a->traced * n, *r = ds + n;
    const float *last = a->c->n_out > 1 ? xai__f(&a->gout[1]) : NULL;
    begin(a, head, states);
    for (int64_t t = 0; t < d->steps; t++) {
      step s = step_of(d, head, t);
      advance(a, &s, states + t * n, states + (t + 1) * n, r);
    }
    for (int64_t i = 0; i < n; i++) ds[i] = last ? (double)last[head * n + i] : 0;
    for (int64_t t = d->steps - 1; t >= 0; t--) {
      step s = step_of(d, head, t);
      back_result(a, &s, states + (t + 1) * n, ds);
      back_step(a, &s, states + t * n, ds, r, r + d->v_size);
    }
    float *past = wanted(a, PAST);
    for (int64_t i = 0; past && i < n; i++) past[head * n + i] += (float)ds[i];
  }
}

/* ---- the operator ---- */

static int run(heads *a, xai__range_fn f) {
  xai__engine *e = a->c->engine;
  const dims *d = &a->d;
  size_t mark = xai__scratch_mark(e);
  int64_t each = (a->traced + 1) * state_size(a) + 2 * d->v_size;
  a->together = d->rates == 1 ? d->heads : 1;
  a->work = xai__scratch(e, (size_t)(d->n * d->heads * each), sizeof *a->work, a->c->err);
  if (a->work)
    xai__split(e, d->n * d->heads / a->together, xai__grain(d->steps * state_size(a)), f, a);
  xai__scratch_release(e, mark);
  return a->work ? XAI_OK : XAI_E_MEMORY;
}

static int forward(xai__call *c) {
  heads a = {.c = c, .traced = 1};
  XAI__TRY(read_dims(c, &a.d));
  return run(&a, forward_heads);
}

static int vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  heads a = {.c = c, .gout = gout, .gin = gin};
  XAI__TRY(read_dims(c, &a.d));
  a.traced = a.d.steps + 1;
  return run(&a, back_heads);
}

const xai__op xai__op_LinearAttention = {
    .type = "LinearAttention", .min_in = 3, .max_in = 6, .min_out = 1, .max_out = 2, .since = 27,
    .fields = fields, .attr_size = sizeof(attention_attr), .check = check, .infer = infer,
    .forward = forward, .vjp = vjp, .vjp_needs = XAI__NEEDS_IN, .cross = XAI__CROSS_REFUSED};

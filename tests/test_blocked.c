/* Blocked convolution and pooling against plain loops in double precision: hostile shapes, every
 * edit and finish, every instruction set, any number of threads. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "chance.h"
#include "engine/blocked.h"

static const xai__edit edits[] = {{XAI__LINEAR, 1, 1},    {XAI__LINEAR, 1, 0},
                                  {XAI__LINEAR, 0, 1},    {XAI__LINEAR, 1.25f, 1},
                                  {XAI__LINEAR, 0, -1},   {XAI__SQUARE, 0, 0},
                                  {XAI__ONES, 0, 0},      {XAI__LINEAR, 0, 0}};
enum { N_EDITS = sizeof edits / sizeof *edits };

static xai__edit any_edit(void) {
  return chance() % 2 ? edits[0] : edits[chance() % N_EDITS];
}

static xai__engine *engine(int threads, int isa) {
  xai__engine *e;
  ck_assert_int_eq(xai__engine_create(NULL, threads, isa, &e, NULL), XAI_OK);
  return e;
}

/* ---- tensors: a plain copy and a blocked one ---- */

typedef struct tensor {
  float *plain;
  xai__blocked b;
} tensor;

/* v: [n][c][h][w], taken over; garbage: the blocked tensor is to be written, all of it. */
static tensor tensor_of(xai__engine *e, int64_t n, int64_t c, int64_t h, int64_t w,
                        int64_t border, bool image, bool garbage, float *v) {
  tensor t = {v, {n, c, h, w, image ? 0 : border, image, NULL}};
  const int64_t count = xai__blocked_count(&t.b);
  const size_t bytes = ((size_t)count * sizeof(float) + 127) / 64 * 64;
  t.b.data = aligned_alloc(64, bytes);
  memset(t.b.data, 0xff, bytes); /* NaN */
  if (garbage) return t;
  if (image)
    memcpy(t.b.data, v, (size_t)count * sizeof *v);
  else
    xai__blocked_from_plain(e, v, &t.b);
  return t;
}

static void free_tensor(tensor *t) {
  free(t->plain);
  free(t->b.data);
}

/* The plain values of a tensor whose border and spare lanes are zero. */
static float *values_of(xai__engine *e, const xai__blocked *b) {
  float *v = calloc((size_t)(b->n * b->c * b->h * b->w + 1), sizeof *v);
  if (b->plain) {
    memcpy(v, b->data, (size_t)xai__blocked_count(b) * sizeof *v);
    return v;
  }
  const int64_t blocks = (b->c + 15) / 16, height = b->h + 2 * b->border;
  const int64_t width = b->w + 2 * b->border;
  for (int64_t i = 0; i < xai__blocked_count(b); i++) {
    const int64_t x = i / 16 % width - b->border, y = i / 16 / width % height - b->border;
    const int64_t c = i / 16 / width / height % blocks * 16 + i % 16;
    if (c >= b->c || x < 0 || x >= b->w || y < 0 || y >= b->h)
      if (b->data[i] != 0) ck_abort_msg("channel %d row %d column %d of %dx%dx%d is %g", (int)c,
                    (int)y, (int)x, (int)b->c, (int)b->h, (int)b->w, (double)b->data[i]);
  }
  xai__blocked_to_plain(e, b, v, false);
  return v;
}

START_TEST(layouts_convert) {
  xai__engine *e[] = {engine(1, 1), engine(2, 2), engine(3, 3)};
  for (int i = 0; i < 300; i++) {
    xai__engine *a = e[i % 3];
    const int64_t n = between(0, 3), c = between(1, 50), h = between(1, 20), w = between(1, 40);
    tensor t = tensor_of(a, n, c, h, w, between(0, 3), false, false, noise(n * c * h * w));
    float *v = values_of(a, &t.b);
    ck_assert(!memcmp(v, t.plain, (size_t)(n * c * h * w) * sizeof *v));
    xai__blocked_to_plain(a, &t.b, v, true);
    for (int64_t k = 0; k < n * c * h * w; k++)
      if (v[k] != 2 * t.plain[k]) ck_abort_msg("%g, not %g", (double)v[k], 2 * (double)t.plain[k]);
    free(v);
    free_tensor(&t);
  }
  for (int i = 0; i < 3; i++) xai__engine_free(e[i]);
}
END_TEST

/* ---- a random convolution ---- */

typedef struct problem {
  xai__product p;
  bool adjoint;
  xai__edit xe, we, be;
  xai__finish f;
  int64_t border[5];                            /* of the tensors below */
  float *w, *b, *x, *y, *add, *other, *by;      /* plain; y: what is there before */
  int64_t in[4], out[4];                        /* shapes of x and y */
} problem;

static int64_t count(const int64_t d[4]) { return d[0] * d[1] * d[2] * d[3]; }

static xai__product random_product(void) {
  xai__product p = {.kind = XAI__CONV, .n = between(1, 3), .groups = 1};
  const int kind = (int)between(0, 6);
  p.c = between(1, 40);
  p.m = between(1, 70);
  if (kind == 0) { /* depthwise */
    p.groups = between(2, 40);
    p.c = p.m = 1;
  } else if (kind == 1) { /* groups of blocks */
    p.groups = between(2, 3);
    p.c = 16 * between(1, 2);
    p.m = 16 * between(1, 3);
  } else if (kind == 2) { /* groups to be merged */
    p.groups = 8;
    p.c = p.m = chance() % 2 ? 4 : 8;
  } else if (kind == 3) {
    p.c = between(1, 4);
  }
  const int axes = chance() % 4 ? 2 : 1;
  for (int d = 0; d < 3; d++) {
    const bool used = d >= 3 - axes;
    p.kernel[d] = used ? between(1, 4) : 1;
    p.stride[d] = used ? (chance() % 3 ? between(1, 2) : between(1, 5)) : 1;
    p.dilation[d] = used && chance() % 3 == 0 ? between(1, 3) : 1;
    p.pad[d] = used ? between(0, 3) : 0;
    const int64_t reach = (p.kernel[d] - 1) * p.dilation[d] + 1, after = used ? between(0, 3) : 0;
    p.in[d] = used ? between(1, axes == 1 ? 90 : chance() % 2 ? 9 : 31) : 1;
    const int64_t room = p.in[d] + p.pad[d] + after - reach;
    p.out[d] = used ? (room >= 0 ? room / p.stride[d] + 1 : 0) : 1;
  }
  return p;
}

/* What XAI__APPLY is tried with: nowhere steeper than 1, and not 0 at 0. */
static void soften(float low, float high, float *v, int64_t n) {
  (void)high;
  for (int64_t i = 0; i < n; i++) v[i] = v[i] / (1 + fabsf(v[i])) + low;
}

static problem random_problem(void) {
  problem q = {.adjoint = chance() % 2, .xe = xai__identity};
  do q.p = random_product();
  while (!q.p.out[1] && !q.p.out[2] && chance() % 4);
  const int64_t small[] = {q.p.n, q.p.groups * q.p.m, q.p.out[1], q.p.out[2]};
  const int64_t large[] = {q.p.n, q.p.groups * q.p.c, q.p.in[1], q.p.in[2]};
  memcpy(q.in, q.adjoint ? small : large, sizeof q.in);
  memcpy(q.out, q.adjoint ? large : small, sizeof q.out);
  q.w = noise(xai__product_weight_count(&q.p));
  q.p.n_bias = q.p.groups * q.p.m;
  q.b = noise(q.p.n_bias);
  q.p.w = q.w;
  q.p.b = chance() % 3 ? q.b : NULL;
  if (!q.adjoint) q.xe = any_edit();
  q.we = any_edit();
  q.be = any_edit();
  q.x = noise(count(q.in));
  q.y = noise(count(q.out));
  q.add = chance() % 3 ? NULL : noise(count(q.out));
  q.other = noise(count(q.out));
  q.by = chance() % 2 ? NULL : noise(count(q.out));
  q.f = (xai__finish){.form = (unsigned)between(XAI__KEEP, q.adjoint ? XAI__TIMES : XAI__APPLY),
                      .accumulate = chance() % 3 == 0, .apply = soften,
                      .low = chance() % 2 ? 0 : -1, .high = chance() % 2 ? 2 : INFINITY,
                      .coef = -1.5f, .stabilizer = chance() % 2 ? 0.25f : 0, .edit = any_edit(),
                      .by_sign = chance() % 2 ? 1 : -1};
  if (q.f.form == XAI__APPLY) q.f.accumulate = false;
  for (int i = 0; i < 5; i++) q.border[i] = between(0, 2);
  return q;
}

static void free_problem(problem *q) {
  float *all[] = {q->w, q->b, q->x, q->y, q->add, q->other, q->by};
  for (int i = 0; i < 7; i++) free(all[i]);
}

/* ---- the reference ---- */

typedef struct answer {
  double *want, *slack;
} answer;

static void add_links(const problem *q, answer *a) {
  const xai__product *p = &q->p;
  const int64_t taps = p->kernel[1] * p->kernel[2];
  for (int64_t i = 0; i < p->n * p->groups * p->m * p->out[1] * p->out[2]; i++) {
    const int64_t ox = i % p->out[2], oy = i / p->out[2] % p->out[1];
    const int64_t m = i / p->out[2] / p->out[1] % (p->groups * p->m);
    const int64_t n = i / p->out[2] / p->out[1] / (p->groups * p->m);
    for (int64_t c = 0; c < p->c; c++)
      for (int64_t t = 0; t < taps; t++) {
        const int64_t y = oy * p->stride[1] - p->pad[1] + t / p->kernel[2] * p->dilation[1];
        const int64_t x = ox * p->stride[2] - p->pad[2] + t % p->kernel[2] * p->dilation[2];
        if (y < 0 || y >= p->in[1] || x < 0 || x >= p->in[2]) continue;
        const int64_t channel = n * p->groups * p->c + m / p->m * p->c + c;
        const int64_t large = (channel * p->in[1] + y) * p->in[2] + x;
        const int64_t from = q->adjoint ? i : large, to = q->adjoint ? large : i;
        const double v = (double)xai__edited(q->we, q->w[(m * p->c + c) * taps + t]) *
                         (double)xai__edited(q->xe, q->x[from]);
        a->want[to] += v;
        a->slack[to] += fabs(v);
      }
  }
}

/* Turns a sum, off by at most *slack, into what the finish makes of it. */
static double finished(const problem *q, int64_t i, double v, double *slack) {
  const xai__finish *f = &q->f;
  if (f->form == XAI__CLIP) return fmin((double)f->high, fmax((double)f->low, v));
  if (f->form == XAI__BEND) {
    *slack *= f->edit.form == XAI__SQUARE ? 2 * fabs(v) + 1 : 2;
    if (f->edit.form == XAI__SQUARE) return v * v;
    if (f->edit.form == XAI__ONES) return 1;
    return v * (double)(v > 0 ? f->edit.pos : f->edit.neg);
  }
  if (f->form == XAI__TIMES) {
    const double by = (double)f->coef * (double)xai__edited(f->edit, q->other[i]);
    *slack *= fabs(by);
    return v * by;
  }
  if (f->form == XAI__APPLY) return v / (1 + fabs(v)) + (double)f->low;
  if (f->form == XAI__STAB) {
    const double e = (double)f->stabilizer;
    *slack += fabs(v) <= *slack ? 2 * e : 1e-7 * e;
    return v + (v >= 0 ? e : -e);
  }
  if (f->form == XAI__DIVIDE) {
    const double e = (double)f->stabilizer, d = v + (v >= 0 ? e : -e);
    if (q->by && !(f->by_sign * q->by[i] > 0)) {
      *slack = 0;
      return 0;
    }
    if (fabs(v) <= 2 * *slack || fabs(d) <= 2 * *slack) { /* could be anything */
      *slack = v == 0 && *slack == 0 ? 0 : INFINITY;
      return v == 0 && e == 0 ? 0 : (double)f->coef * (double)q->other[i] / e;
    }
    const double r = (double)f->coef * (double)q->other[i] / d;
    *slack = fabs(r) * (2 * *slack / fabs(d) + 1e-6);
    return r;
  }
  return v;
}

static answer answer_of(const problem *q) {
  const size_t n = (size_t)count(q->out) + 1;
  answer a = {calloc(n, sizeof *a.want), calloc(n, sizeof *a.slack)};
  add_links(q, &a);
  for (int64_t i = 0; i < count(q->out); i++) {
    double v = a.want[i], size = a.slack[i];
    const double bias = q->adjoint || !q->p.b ? 0
                        : (double)xai__edited(q->be, q->b[i / (q->out[2] * q->out[3]) % q->out[1]]);
    const double add = q->add ? (double)q->add[i] : 0;
    v += bias + add;
    size = 4e-6 * (size + fabs(bias) + fabs(add));
    v = finished(q, i, v, &size);
    a.want[i] = v + (q->f.accumulate ? (double)q->y[i] : 0);
    a.slack[i] = size + (q->f.accumulate ? 1e-6 : 1e-12) + 1e-6 * fabs(a.want[i]);
  }
  return a;
}

/* ---- solving it ---- */

static float *copy_of(const float *v, int64_t n) {
  float *c = malloc((size_t)(n + 1) * sizeof *c);
  memcpy(c, v, (size_t)n * sizeof *c);
  return c;
}

static float *solve(xai__engine *e, const problem *q) {
  const xai__pack_form form = q->adjoint ? XAI__PACK_ADJOINT : XAI__PACK_FORWARD;
  const bool image = xai__blocked_image(&q->p);
  const int64_t need = xai__blocked_border(&q->p, form);
  const int64_t *in = q->in, *out = q->out;
  tensor x = tensor_of(e, in[0], in[1], in[2], in[3], need + q->border[0], image && !q->adjoint,
                       false, copy_of(q->x, count(in)));
  const float *beside[] = {q->y, q->add, q->other, q->by};
  tensor t[4] = {{0}};
  for (int i = 0; i < 4; i++)
    if (beside[i])
      t[i] = tensor_of(e, out[0], out[1], out[2], out[3], q->border[i + 1], image && q->adjoint,
                       i == 0 && !q->f.accumulate, copy_of(beside[i], count(out)));
  xai__finish f = q->f;
  f.add = q->add ? &t[1].b : NULL;
  f.other = &t[2].b;
  f.by = q->by ? &t[3].b : NULL;
  const xai__pack_form read = xai__pack_read(&q->p, form);
  const size_t bytes = (size_t)xai__pack_count(&q->p, read) * sizeof(float);
  float *packed = aligned_alloc(64, (bytes + 127) / 64 * 64);
  xai__pack(e, &q->p, read, packed);
  const int status =
      q->adjoint ? xai__blocked_adjoint(e, &q->p, packed, &x.b, q->we, &t[0].b, &f, NULL)
                 : xai__blocked_forward(e, &q->p, packed, &x.b, q->xe, q->we, q->be, &t[0].b, &f,
                                        NULL);
  ck_assert_int_eq(status, XAI_OK);
  float *z = values_of(e, &t[0].b);
  free(packed);
  free_tensor(&x);
  for (int i = 0; i < 4; i++) free_tensor(&t[i]);
  return z;
}

static void check(const problem *q, const answer *a, const float *z, int isa) {
  for (int64_t i = 0; i < count(q->out); i++)
    if (!(fabs((double)z[i] - a->want[i]) <= a->slack[i]))
      ck_abort_msg("isa %d adjoint %d form %d (%d groups of %d -> %d, kernel %dx%d stride %dx%d): "
                   "element %lld: %g, not %g +- %g", isa, q->adjoint, (int)q->f.form,
                   (int)q->p.groups, (int)q->p.c, (int)q->p.m, (int)q->p.kernel[1],
                   (int)q->p.kernel[2], (int)q->p.stride[1], (int)q->p.stride[2], (long long)i,
                   (double)z[i], a->want[i], a->slack[i]);
}

START_TEST(convolutions_agree_with_the_reference) {
  xai__engine *e[] = {engine(1, 1), engine(1, 2), engine(1, 3)};
  for (int i = 0; i < 700; i++) {
    problem q = random_problem();
    ck_assert(xai__blocked_serves(&q.p));
    answer a = answer_of(&q);
    for (int isa = 0; isa < 3; isa++) {
      float *z = solve(e[isa], &q);
      check(&q, &a, z, isa + 1);
      free(z);
    }
    free(a.want);
    free(a.slack);
    free_problem(&q);
  }
  for (int isa = 0; isa < 3; isa++) xai__engine_free(e[isa]);
}
END_TEST

START_TEST(bits_do_not_depend_on_threads_or_batches) {
  for (int isa = 1; isa <= 3; isa++) {
    xai__engine *e[] = {engine(1, isa), engine(2, isa), engine(3, isa), engine(7, isa)};
    for (int i = 0; i < 60; i++) {
      problem q = random_problem();
      float *first = solve(e[0], &q);
      for (int k = 1; k < 4; k++) {
        float *z = solve(e[k], &q);
        ck_assert_msg(!memcmp(z, first, (size_t)count(q.out) * sizeof *z), "problem %d, isa %d", i,
                      isa);
        free(z);
      }
      for (int64_t n = 0; n < q.p.n; n++) {
        problem one = q;
        const int64_t in = count(q.in) / q.p.n, out = count(q.out) / q.p.n;
        one.p.n = one.in[0] = one.out[0] = 1;
        one.x += n * in;
        float **beside[] = {&one.y, &one.add, &one.other, &one.by};
        for (int k = 0; k < 4; k++)
          if (*beside[k]) *beside[k] += n * out;
        float *z = solve(e[n], &one);
        ck_assert_msg(!memcmp(z, first + n * out, (size_t)out * sizeof *z),
                      "problem %d, isa %d, item %d", i, isa, (int)n);
        free(z);
      }
      free(first);
      free_problem(&q);
    }
    for (int k = 0; k < 4; k++) xai__engine_free(e[k]);
  }
}
END_TEST

/* ---- Winograd ---- */

/* Inputs are not negative and weights edited by v+: a division's denominators are far from 0. */
static problem winograd_problem(bool divide) {
  problem q = random_problem();
  free_problem(&q);
  xai__product *p = &q.p;
  *p = (xai__product){.kind = XAI__CONV, .n = between(1, 2), .groups = 1, .c = between(32, 70),
                      .m = between(32, 70), .in = {1, between(14, 30), between(14, 30)},
                      .kernel = {1, 3, 3}, .stride = {1, 1, 1}, .dilation = {1, 1, 1}};
  if (chance() % 4 == 0) {
    p->groups = 2;
    p->c = p->m = 32;
  }
  for (int d = 0; d < 3; d++) {
    p->pad[d] = d ? between(0, 2) : 0;
    p->out[d] = d ? p->in[d] + p->pad[d] + between(0, 2) - 2 : 1;
  }
  p->n_bias = p->groups * p->m;
  const int64_t small[] = {p->n, p->groups * p->m, p->out[1], p->out[2]};
  const int64_t large[] = {p->n, p->groups * p->c, p->in[1], p->in[2]};
  q.adjoint = chance() % 2;
  memcpy(q.in, q.adjoint ? small : large, sizeof q.in);
  memcpy(q.out, q.adjoint ? large : small, sizeof q.out);
  q.w = noise(xai__product_weight_count(p));
  q.b = noise(p->n_bias);
  p->w = q.w;
  p->b = q.b;
  q.x = noise(count(q.in));
  q.y = noise(count(q.out));
  q.other = noise(count(q.out));
  q.add = q.by = NULL;
  q.xe = xai__identity;
  q.we = divide ? edits[1] : edits[chance() % 5];
  q.be = divide ? edits[1] : edits[0];
  for (int64_t i = 0; divide && i < count(q.in); i++) q.x[i] = fabsf(q.x[i]);
  const unsigned forms[] = {XAI__KEEP, XAI__TIMES, XAI__STAB, XAI__DIVIDE};
  q.f = (xai__finish){.form = forms[2 * divide + (int)(chance() % 2)],
                      .winograd = true, .coef = 1, .edit = edits[0], .stabilizer = 1e-6f};
  return q;
}

/* Off by at most 5e-6 of the largest sum. */
static void check_winograd(const problem *q, const float *z, int isa) {
  problem sums = *q;
  sums.f = (xai__finish){.form = XAI__KEEP};
  answer v = answer_of(&sums), a = answer_of(q);
  double top = 0;
  for (int64_t i = 0; i < count(q->out); i++) top = fmax(top, fabs(v.want[i]));
  for (int64_t i = 0; i < count(q->out); i++) {
    double slack = 5e-6 * top;
    if (q->f.form == XAI__TIMES) slack *= fabs((double)q->other[i]);
    if (q->f.form == XAI__DIVIDE) slack *= fabs(a.want[i] / v.want[i]);
    if (!(fabs((double)z[i] - a.want[i]) <= slack + 1e-12))
      ck_abort_msg("isa %d adjoint %d form %d (%dx%d): element %lld: %g, not %g +- %g", isa,
                   q->adjoint, (int)q->f.form, (int)q->out[2], (int)q->out[3], (long long)i,
                   (double)z[i], a.want[i], slack);
  }
  free(v.want);
  free(v.slack);
  free(a.want);
  free(a.slack);
}

START_TEST(winograd_is_close_and_the_same_for_any_threads) {
  for (int isa = 1; isa <= 3; isa++) {
    xai__engine *e[] = {engine(1, isa), engine(2, isa), engine(5, isa)};
    for (int i = 0; i < 12; i++) {
      problem q = winograd_problem(i % 3 == 0);
      float *first = solve(e[0], &q);
      check_winograd(&q, first, isa);
      for (int k = 1; k < 3; k++) {
        float *z = solve(e[k], &q);
        ck_assert_msg(!memcmp(z, first, (size_t)count(q.out) * sizeof *z), "problem %d", i);
        free(z);
      }
      free(first);
      free_problem(&q);
    }
    for (int k = 0; k < 3; k++) xai__engine_free(e[k]);
  }
}
END_TEST

/* Only rounding is left of a denominator that is 0: the guard takes it for 0, and serves 0. */
START_TEST(winograd_guards_denominators_near_zero) {
  xai__engine *e = engine(2, 0);
  problem q = winograd_problem(true);
  free_problem(&q);
  q = winograd_problem(true);
  while (q.adjoint) {
    free_problem(&q);
    q = winograd_problem(true);
  }
  q.p.b = NULL;
  const int64_t per = xai__product_weight_count(&q.p) / q.p.n_bias;
  for (int64_t i = 0; i < per; i++) q.w[i] = i % 9 < 3 ? 1.0f : 0.0f; /* upper taps of channel 0 */
  const int64_t row = q.in[3], plane = q.in[2] * row;
  for (int64_t i = 0; i < count(q.in); i++) /* dark below row 5, bright above */
    q.x[i] = i % plane / row < 5 ? 1000.0f * (1.0f + q.x[i]) : 0.0f;
  float *z = solve(e, &q);
  for (int64_t y = 5 + q.p.pad[1]; y < q.out[2]; y++)
    for (int64_t x = 0; x < q.out[3]; x++)
      if (z[y * q.out[3] + x] != 0)
        ck_abort_msg("row %d: %g", (int)y, (double)z[y * q.out[3] + x]);
  free(z);
  free_problem(&q);
  xai__engine_free(e);
}
END_TEST

/* What is not finite is seen where it is read, and nowhere else. */
START_TEST(not_finite_values_stay_where_they_are) {
  for (int isa = 1; isa <= 3; isa++) {
    xai__engine *e = engine(2, isa);
    for (int i = 0; i < 150; i++) {
      problem q = random_problem();
      q.we = q.xe = xai__identity;
      q.f.form = chance() % 2 ? XAI__KEEP : XAI__CLIP;
      if (count(q.in) == 0 || (q.p.groups > 1 && q.p.c < 16)) { /* merged groups mix */
        free_problem(&q);
        continue;
      }
      float *before = solve(e, &q);
      const int64_t at = between(0, count(q.in) - 1);
      q.x[at] = i % 2 ? NAN : INFINITY;
      answer a = answer_of(&q);
      float *z = solve(e, &q);
      for (int64_t k = 0; k < count(q.out); k++) {
        const bool hit = !isfinite(a.want[k]) || !isfinite(a.slack[k]);
        if (hit && i % 2 && !isnan(z[k]))
          ck_abort_msg("problem %d, isa %d: NaN became %g", i, isa, (double)z[k]);
        if (!hit && z[k] != before[k])
          ck_abort_msg("problem %d, isa %d: %g became %g", i, isa, (double)before[k],
                       (double)z[k]);
      }
      free(before);
      free(z);
      free(a.want);
      free(a.slack);
      free_problem(&q);
    }
    xai__engine_free(e);
  }
}
END_TEST

/* ---- pooling ---- */


/* y (forward) or g (back, added to noise of its own seed). */
static void pool_reference(const xai__pooling *p, const float *x, const float *s,
                           const int64_t d[4], const int64_t o[4], float *y, float *g) {
  for (int64_t i = 0; i < count(o); i++) {
    const int64_t ox = i % o[3], oy = i / o[3] % o[2], plane = i / o[3] / o[2] * d[2] * d[3];
    double sum = 0, n = 0;
    int64_t best = -1;
    for (int pass = 0; pass < 2; pass++) {
      for (int64_t t = 0; t < p->kernel[0] * p->kernel[1]; t++) {
        const int64_t r = oy * p->stride[0] - p->pad[0] + t / p->kernel[1] * p->dilation[0];
        const int64_t c = ox * p->stride[1] - p->pad[1] + t % p->kernel[1] * p->dilation[1];
        const bool inside = r >= 0 && r < d[2] && c >= 0 && c < d[3];
        const bool counted = r < d[2] + p->pad_end[0] && c < d[3] + p->pad_end[1];
        if (pass == 0 && (inside || (p->include_pad && counted))) n++;
        if (!inside) continue;
        const int64_t at = plane + r * d[3] + c;
        if (pass == 0) {
          sum += (double)x[at];
          if (best < 0 || x[at] > x[best]) best = at;
        } else if (p->kind == XAI__POOL_MEAN) {
          g[at] += s[i] / (float)n;
        }
      }
      if (pass == 1 && p->kind == XAI__POOL_MAX && best >= 0) g[best] += s[i];
    }
    y[i] = p->kind == XAI__POOL_MEAN ? (float)sum / (float)n : x[best];
  }
}

START_TEST(pooling_agrees_with_the_reference) {
  xai__engine *e[] = {engine(1, 1), engine(2, 2), engine(3, 3)};
  for (int i = 0; i < 300; i++) {
    xai__engine *a = e[i % 3];
    xai__pooling p = {.kind = chance() % 2 ? XAI__POOL_MAX : XAI__POOL_MEAN,
                      .include_pad = chance() % 2};
    int64_t d[4] = {between(1, 2), between(1, 40), 0, 0}, o[4] = {d[0], d[1], 0, 0};
    for (int k = 0; k < 2; k++) {
      p.kernel[k] = between(1, 4);
      p.stride[k] = between(1, 3);
      p.dilation[k] = between(1, 2);
      p.pad[k] = between(0, p.kernel[k] - 1);
      p.pad_end[k] = between(0, p.kernel[k] - 1);
      const int64_t reach = (p.kernel[k] - 1) * p.dilation[k] + 1;
      d[k + 2] = between(reach, 20);
      o[k + 2] = (d[k + 2] + p.pad[k] + p.pad_end[k] - reach) / p.stride[k] + 1;
    }
    const int64_t n = count(d), m = count(o);
    tensor x = tensor_of(a, d[0], d[1], d[2], d[3], between(0, 2), false, false, noise(n));
    for (int64_t k = 0; k < n; k++)
      if (chance() % 4 == 0) x.plain[k] = 0; /* ties */
    xai__blocked_from_plain(a, x.plain, &x.b);
    tensor y = tensor_of(a, o[0], o[1], o[2], o[3], between(0, 2), false, true, noise(m));
    tensor s = tensor_of(a, o[0], o[1], o[2], o[3], between(0, 2), false, false, noise(m));
    const bool fresh = chance() % 2;
    tensor g = tensor_of(a, d[0], d[1], d[2], d[3], between(0, 2), false, fresh, noise(n));
    if (fresh) memset(g.plain, 0, (size_t)n * sizeof *g.plain);
    pool_reference(&p, x.plain, s.plain, d, o, y.plain, g.plain);
    xai__blocked_pool(a, &p, &x.b, &y.b);
    xai__blocked_pool_back(a, &p, p.kind == XAI__POOL_MAX ? &x.b : NULL, &s.b, &g.b, fresh);
    float *v = values_of(a, &y.b), *u = values_of(a, &g.b);
    for (int64_t k = 0; k < m; k++)
      if (v[k] != y.plain[k]) ck_abort_msg("%g, not %g", (double)v[k], (double)y.plain[k]);
    for (int64_t k = 0; k < n; k++)
      if (!(fabsf(u[k] - g.plain[k]) < 1e-5f))
        ck_abort_msg("%g, not %g", (double)u[k], (double)g.plain[k]);
    free(v);
    free(u);
    free_tensor(&x);
    free_tensor(&y);
    free_tensor(&s);
    free_tensor(&g);
  }
  for (int i = 0; i < 3; i++) xai__engine_free(e[i]);
}
END_TEST

/* ---- one number a channel ---- */

START_TEST(channels_agree_with_the_reference) {
  xai__engine *e[] = {engine(1, 1), engine(2, 2), engine(3, 3), engine(4, 0)};
  for (int i = 0; i < 300; i++) {
    xai__engine *a = e[i % 4];
    const int64_t d[4] = {between(1, 3), between(1, 40), between(1, 20), between(1, 30)};
    const int64_t items = chance() % 2 ? d[0] : 1, n = count(d), m = items * d[1], pixels = d[2] * d[3];
    const bool product = chance() % 2;
    tensor x = tensor_of(a, d[0], d[1], d[2], d[3], between(0, 2), false, false, noise(n));
    tensor s = tensor_of(a, d[0], d[1], d[2], d[3], between(0, 2), false, false, noise(n));
    tensor y = tensor_of(a, d[0], d[1], d[2], d[3], between(0, 2), false, true, noise(n));
    tensor g = tensor_of(a, d[0], d[1], d[2], d[3], between(0, 2), false, false, noise(n));
    tensor v = tensor_of(a, items, d[1], 1, 1, between(0, 2), false, false, noise(m));
    tensor u = tensor_of(a, items, d[1], 1, 1, between(0, 2), false, false, noise(m));
    double *sum = calloc((size_t)m, sizeof *sum);
    for (int64_t k = 0; k < n; k++) {
      const int64_t c = k / pixels % m; /* of v */
      const float by = v.plain[c], from = x.plain[k];
      y.plain[k] = product ? from * by : from + by;
      g.plain[k] += s.plain[k] * by;
      sum[c] += product ? (double)s.plain[k] * (double)from : (double)s.plain[k];
    }
    xai__blocked_by_channel(a, product, &x.b, &v.b, &y.b);
    xai__blocked_by_channel_back(a, &s.b, &v.b, &g.b);
    xai__blocked_channel_sums(a, &s.b, product ? &x.b : NULL, &u.b);
    float *got[] = {values_of(a, &y.b), values_of(a, &g.b), values_of(a, &u.b)};
    for (int64_t k = 0; k < n; k++)
      if (got[0][k] != y.plain[k] || !(fabsf(got[1][k] - g.plain[k]) < 1e-6f))
        ck_abort_msg("%g and %g, not %g and %g", (double)got[0][k], (double)got[1][k],
                     (double)y.plain[k], (double)g.plain[k]);
    for (int64_t k = 0; k < m; k++)
      if (!(fabs((double)got[2][k] - (double)u.plain[k] - sum[k]) < 1e-4))
        ck_abort_msg("sum %g, not %g", (double)got[2][k], (double)u.plain[k] + sum[k]);
    free(sum);
    for (int k = 0; k < 3; k++) free(got[k]);
    tensor *all[] = {&x, &s, &y, &g, &v, &u};
    for (int k = 0; k < 6; k++) free_tensor(all[k]);
  }
  for (int i = 0; i < 4; i++) xai__engine_free(e[i]);
}
END_TEST

int main(void) {
  chance_state = 7;
  Suite *s = suite_create("blocked");
  TCase *t = tcase_create("all");
  tcase_add_test(t, layouts_convert);
  tcase_add_test(t, convolutions_agree_with_the_reference);
  tcase_add_test(t, bits_do_not_depend_on_threads_or_batches);
  tcase_add_test(t, winograd_is_close_and_the_same_for_any_threads);
  tcase_add_test(t, winograd_guards_denominators_near_zero);
  tcase_add_test(t, not_finite_values_stay_where_they_are);
  tcase_add_test(t, channels_agree_with_the_reference);
  tcase_add_test(t, pooling_agrees_with_the_reference);
  suite_add_tcase(s, t);
  SRunner *r = srunner_create(s);
  srunner_run_all(r, CK_ENV);
  const int failed = srunner_ntests_failed(r);
  srunner_free(r);
  return failed != 0;
}

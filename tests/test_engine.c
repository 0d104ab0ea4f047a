/* The engine against a plain double-precision reference, on hostile shapes: every kind, edit and
 * epilogue, every instruction set, any number of threads, failing allocations. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "chance.h"
#include "engine/engine.h"

static const xai__edit edits[] = {{XAI__LINEAR, 1, 1},    {XAI__LINEAR, 1, 0},
                                  {XAI__LINEAR, 0, 1},    {XAI__LINEAR, 1.25f, 1},
                                  {XAI__LINEAR, 1, 1.5f}, {XAI__SQUARE, 0, 0},
                                  {XAI__ONES, 0, 0},      {XAI__LINEAR, 0, 0}};
enum { N_EDITS = sizeof edits / sizeof *edits };

static xai__edit any_edit(void) {
  return chance() % 2 ? edits[0] : edits[chance() % N_EDITS];
}

/* ---- the reference ---- */

/* Calls f for every pair (index in x, index in w, index in z) that a product connects. */
typedef void (*link_fn)(void *ctx, int64_t x, int64_t w, int64_t z);

static void links_of_convolution(const xai__product *p, link_fn f, void *ctx) {
  const bool transpose = p->kind == XAI__CONV_TRANSPOSE;
  const int64_t *large = transpose ? p->out : p->in, *small = transpose ? p->in : p->out;
  const int64_t u = transpose ? p->c : p->m, v = transpose ? p->m : p->c;
  const int64_t taps = p->kernel[0] * p->kernel[1] * p->kernel[2];
  const int64_t positions = small[0] * small[1] * small[2];
  const int64_t pixels = large[0] * large[1] * large[2];
  for (int64_t o = 0; o < positions; o++)
    for (int64_t t = 0; t < taps; t++) {
      int64_t i[3], a = o, b = t;
      bool inside = true;
      for (int d = 2; d >= 0; d--) {
        i[d] = a % small[d] * p->stride[d] - p->pad[d] + b % p->kernel[d] * p->dilation[d];
        inside = inside && i[d] >= 0 && i[d] < large[d];
        a /= small[d];
        b /= p->kernel[d];
      }
      if (!inside) continue;
      const int64_t pixel = (i[0] * large[1] + i[1]) * large[2] + i[2];
      for (int64_t n = 0; n < p->n; n++)
        for (int64_t g = 0; g < p->groups; g++)
          for (int64_t cu = 0; cu < u; cu++)
            for (int64_t cv = 0; cv < v; cv++) {
              const int64_t at_small = ((n * p->groups + g) * u + cu) * positions + o;
              const int64_t at_large = ((n * p->groups + g) * v + cv) * pixels + pixel;
              const int64_t w = ((g * u + cu) * v + cv) * taps + t;
              f(ctx, transpose ? at_small : at_large, w, transpose ? at_large : at_small);
            }
    }
}

static void links(const xai__product *p, link_fn f, void *ctx) {
  if (p->kind != XAI__MATMUL) {
    links_of_convolution(p, f, ctx);
    return;
  }
  for (int64_t b = 0; b < p->batch; b++)
    for (int64_t r = 0; r < p->rows; r++)
      for (int64_t c = 0; c < p->c; c++)
        for (int64_t m = 0; m < p->m; m++) {
          const int64_t x = p->w_left ? c * p->rows + r : r * p->c + c;
          const int64_t z = p->w_left ? m * p->rows + r : r * p->m + m;
          const int64_t w = p->w_transposed != p->w_left ? m * p->c + c : c * p->m + m;
          f(ctx, b * p->rows * p->c + x, (p->w_batches > 1 ? b * p->c * p->m : 0) + w,
            b * p->rows * p->m + z);
        }
}

typedef struct reference {
  const float *x, *w;
  xai__edit xe, we;
  bool adjoint;
  double *sum, *size; /* the result, and the sum of the magnitudes */
} reference;

static void add_link(void *ctx, int64_t x, int64_t w, int64_t z) {
  reference *r = ctx;
  const int64_t from = r->adjoint ? z : x, to = r->adjoint ? x : z;
  const double v =
      (double)xai__edited(r->we, r->w[w]) * (double)xai__edited(r->xe, r->x[from]);
  r->sum[to] += v;
  r->size[to] += fabs(v);
}

static double bias_at(const xai__product *p, xai__edit be, int64_t z) {
  if (!p->b) return 0;
  const int64_t channels = p->kind == XAI__MATMUL ? p->m : p->groups * p->m;
  const int64_t count = xai__product_out_count(p);
  int64_t i = z % p->n_bias;
  if (p->n_bias == channels && p->kind == XAI__MATMUL)
    i = p->w_left ? z / p->rows % p->m : z % p->m;
  else if (p->n_bias == channels)
    i = z / (count / p->n / channels) % channels;
  return (double)xai__edited(be, p->b[i]);
}

/* ---- one random product ---- */

static xai__product random_convolution(bool transpose) {
  xai__product p = {.kind = transpose ? XAI__CONV_TRANSPOSE : XAI__CONV};
  p.n = between(1, 3);
  const int shape = (int)between(0, 5); /* depthwise, few channels, groups, one wide layer */
  p.groups = shape == 0 ? between(1, 9) : shape == 2 ? between(2, 4) : 1;
  p.c = shape == 0 ? 1 : between(1, shape == 3 ? 70 : 7);
  p.m = shape == 0 ? between(1, 2) : between(1, shape == 4 ? 70 : 7);
  const int axes = (int)between(1, 3);
  for (int d = 0; d < 3; d++) {
    const bool used = d >= 3 - axes;
    p.kernel[d] = used ? between(1, 4) : 1;
    p.stride[d] = used ? between(1, 3) : 1;
    p.dilation[d] = used ? between(1, 3) : 1;
    p.pad[d] = used ? between(0, 4) : 0;
    const int64_t reach = (p.kernel[d] - 1) * p.dilation[d] + 1;
    int64_t large = used ? between(1, axes == 1 ? 90 : axes == 2 ? 14 : 6) : 1, small = 1;
    const int64_t after = used ? between(0, 3) : 0; /* trailing pad */
    if (used && large + p.pad[d] + after >= reach)
      small = (large + p.pad[d] + after - reach) / p.stride[d] + 1;
    p.in[d] = transpose ? small : large;
    p.out[d] = transpose ? large : small;
  }
  return p;
}

static xai__product random_matmul(void) {
  xai__product p = {.kind = XAI__MATMUL, .groups = 1};
  p.n = between(1, 3);
  p.batch = p.n * between(1, 2);
  p.rows = chance() % 3 ? between(1, 17) : between(1, 60);
  p.c = chance() % 4 ? between(1, 80) : between(1, 3500);
  p.m = between(1, p.c > 80 ? 40 : 90);
  p.w_transposed = chance() % 2;
  p.w_left = chance() % 2;
  p.w_batches = chance() % 3 ? 1 : p.batch;
  return p;
}

static xai__product random_product(void) {
  const uint32_t kind = chance() % 3;
  return kind == 2 ? random_matmul() : random_convolution(kind == 1);
}

typedef struct problem {
  xai__product p;
  bool adjoint;
  xai__edit xe, we, be;
  xai__epilogue ep;
  float *x, *w, *b, *y, *beside; /* y: before; beside: x of the epilogue */
  int64_t in, out;
} problem;

static void three_minus_twice(const xai__map *m, float *v, int64_t n) {
  (void)m;
  for (int64_t i = 0; i < n; i++) v[i] = 3 - 2 * v[i];
}
static const xai__map a_map = {three_minus_twice};

static problem random_problem(void) {
  problem q = {.p = random_product(), .adjoint = chance() % 2};
  const int64_t in = xai__product_in_count(&q.p), out = xai__product_out_count(&q.p);
  q.in = q.adjoint ? out : in;
  q.out = q.adjoint ? in : out;
  q.xe = q.adjoint ? xai__identity : any_edit();
  q.we = any_edit();
  q.be = any_edit();
  q.x = noise(q.in);
  q.w = noise(xai__product_weight_count(&q.p));
  q.y = noise(q.out);
  q.beside = noise(q.out);
  const int64_t channels = q.p.kind == XAI__MATMUL ? q.p.m : q.p.groups * q.p.m;
  const int64_t sizes[] = {channels, out / q.p.n, out};
  q.p.n_bias = sizes[chance() % 3];
  q.b = noise(q.p.n_bias);
  q.p.w = q.w;
  q.p.b = chance() % 3 ? q.b : NULL;
  const int form = (int)between(0, 3);
  q.ep = form == 1 ? xai__add_to : xai__set;
  if (form == 2) q.ep = (xai__epilogue){XAI__MULTIPLY_ADD, -0.75f, q.beside, any_edit(), NULL};
  if (form == 3) q.ep.x = chance() % 3 ? q.beside : NULL;
  if (form == 3) q.ep.map = chance() % 3 ? &a_map : NULL;
  return q;
}

static void free_problem(problem *q) {
  free(q->x);
  free(q->w);
  free(q->b);
  free(q->y);
  free(q->beside);
}

static float *solve(xai__engine *e, const problem *q, xai_error *err, int *status) {
  float *z = malloc((size_t)(q->out + 1) * sizeof *z);
  memcpy(z, q->y, (size_t)q->out * sizeof *z);
  *status = q->adjoint
                ? xai__product_adjoint(e, &q->p, q->x, q->we, z, q->ep, err)
                : xai__product_forward(e, &q->p, q->x, q->xe, q->we, q->be, z, q->ep, err);
  return z;
}

/* What must come out, and how much it may be off. */
typedef struct answer {
  double *want, *size;
} answer;

static answer answer_of(const problem *q) {
  const size_t n = (size_t)q->out + 1;
  answer a = {calloc(n, sizeof *a.want), calloc(n, sizeof *a.size)};
  reference r = {q->x, q->w, q->xe, q->we, q->adjoint, a.want, a.size};
  links(&q->p, add_link, &r);
  for (int64_t i = 0; i < q->out; i++) {
    const double bias = q->adjoint ? 0 : bias_at(&q->p, q->be, i);
    double by = 1;
    if (q->ep.form == XAI__MULTIPLY_ADD)
      by = (double)q->ep.coef * (double)xai__edited(q->ep.edit, q->beside[i]);
    const float *add = q->ep.form == XAI__SET ? q->ep.x : q->y;
    const double more = add ? (double)add[i] : 0;
    a.want[i] = (a.want[i] + bias) * by + more;
    a.size[i] = (a.size[i] + fabs(bias)) * fabs(by) + fabs(more);
    if (!q->ep.map) continue;
    a.want[i] = 3 - 2 * a.want[i];
    a.size[i] = 3 + 2 * a.size[i];
  }
  return a;
}

/* One assertion an array: Check writes a file at each. */
static void check(const problem *q, const answer *a, const float *z) {
  for (int64_t i = 0; i < q->out; i++)
    if (!(fabs((double)z[i] - a->want[i]) <= 4e-6 * a->size[i] + 1e-12))
      ck_abort_msg("kind %d adjoint %d element %lld: %g, not %g", (int)q->p.kind, q->adjoint,
                   (long long)i, (double)z[i], a->want[i]);
}

static void free_answer(answer *a) {
  free(a->want);
  free(a->size);
}

static xai__engine *engine(int threads, int isa) {
  xai__engine *e;
  ck_assert_int_eq(xai__engine_create(NULL, threads, isa, &e, NULL), XAI_OK);
  return e;
}

/* ---- tests ---- */

START_TEST(products_agree_with_the_reference) {
  xai__engine *e[] = {engine(1, 1), engine(1, 2), engine(1, 3)};
  for (int i = 0; i < 2000; i++) {
    problem q = random_problem();
    answer a = answer_of(&q);
    for (int isa = 0; isa < 3; isa++) {
      int status;
      float *z = solve(e[isa], &q, NULL, &status);
      ck_assert_int_eq(status, XAI_OK);
      check(&q, &a, z);
      free(z);
    }
    free_answer(&a);
    free_problem(&q);
  }
  for (int isa = 0; isa < 3; isa++) xai__engine_free(e[isa]);
}
END_TEST

/* Large enough for each way of sharing the work: rows packed for all, lanes packed for all, sums
 * cut into pieces. In place or packed before, by any number of threads: the same bits. */
START_TEST(large_matrix_products) {
  static const int64_t shapes[][3] = {
      {700, 400, 45}, {20, 3100, 70}, {3, 600, 100}, {200, 130, 333}};
  const int64_t rows = shapes[_i][0], c = shapes[_i][1], m = shapes[_i][2];
  float *x = noise(rows * c), *w = noise(c * m), *z = noise(rows * m), *first = noise(rows * m);
  for (int isa = 1; isa <= 3; isa++)
    for (int variant = 0; variant < 8; variant++) {
      xai__engine *e = engine(variant & 1 ? 3 : 1, isa);
      xai__product p = {.kind = XAI__MATMUL, .n = 1, .groups = 1, .c = c, .m = m, .batch = 1,
                        .rows = rows, .w_batches = 1, .w_transposed = (variant & 4) != 0, .w = w};
      float *packed = noise(xai__product_pack_count(e, &p));
      if (variant & 2) {
        xai__product_pack(e, &p, packed);
        p.packed = packed;
      }
      ck_assert_int_eq(xai__product_forward(e, &p, x, xai__identity, xai__identity, xai__identity,
                                            z, xai__set, NULL),
                       XAI_OK);
      if (variant & 3)
        ck_assert_msg(!memcmp(z, first, (size_t)(rows * m) * sizeof *z), "isa %d, variant %d", isa,
                      variant);
      else
        memcpy(first, z, (size_t)(rows * m) * sizeof *z);
      for (int64_t i = variant & 3 ? rows * m : 0; i < rows * m; i++) {
        double want = 0;
        for (int64_t k = 0; k < c; k++)
          want += (double)x[i / m * c + k] * (double)w[variant & 4 ? i % m * c + k : k * m + i % m];
        if (!(fabs(want - (double)z[i]) < 1e-6 * (double)c))
          ck_abort_msg("element %lld: %g, not %g", (long long)i, (double)z[i], want);
      }
      free(packed);
      xai__engine_free(e);
    }
  free(x);
  free(w);
  free(z);
  free(first);
}
END_TEST

START_TEST(adjoint_is_the_transpose) {
  xai__engine *e = engine(2, 0);
  for (int i = 0; i < 300; i++) {
    xai__product p = random_product();
    const int64_t in = xai__product_in_count(&p), out = xai__product_out_count(&p);
    float *x = noise(in), *s = noise(out), *w = noise(xai__product_weight_count(&p));
    float *z = noise(out), *g = noise(in);
    const xai__edit we = any_edit();
    p.w = w;
    ck_assert_int_eq(xai__product_forward(e, &p, x, xai__identity, we, xai__identity, z, xai__set,
                                          NULL),
                     XAI_OK);
    ck_assert_int_eq(xai__product_adjoint(e, &p, s, we, g, xai__set, NULL), XAI_OK);
    double size = 0;
    for (int64_t j = 0; j < out; j++) size += fabs((double)z[j] * (double)s[j]);
    for (int64_t j = 0; j < in; j++) size += fabs((double)x[j] * (double)g[j]);
    ck_assert_double_eq_tol(xai__dot(e, z, s, out), xai__dot(e, x, g, in), 1e-5 * size + 1e-12);
    free(x);
    free(s);
    free(w);
    free(z);
    free(g);
  }
  xai__engine_free(e);
}
END_TEST

/* A layer large enough to be shared out, of every kind. */
static problem large_problem(int which) {
  static const xai__product shapes[] = {
      {.kind = XAI__CONV, .n = 3, .groups = 1, .c = 40, .m = 67, .in = {1, 15, 15},
       .out = {1, 15, 15}, .kernel = {1, 3, 3}, .stride = {1, 1, 1}, .dilation = {1, 1, 1},
       .pad = {0, 1, 1}},
      {.kind = XAI__CONV, .n = 3, .groups = 1, .c = 200, .m = 50, .in = {1, 7, 7},
       .out = {1, 4, 4}, .kernel = {1, 3, 3}, .stride = {1, 2, 2}, .dilation = {1, 1, 1},
       .pad = {0, 1, 1}},
      {.kind = XAI__CONV, .n = 3, .groups = 32, .c = 1, .m = 1, .in = {1, 31, 31},
       .out = {1, 16, 16}, .kernel = {1, 3, 3}, .stride = {1, 2, 2}, .dilation = {1, 1, 1},
       .pad = {0, 1, 1}},
      {.kind = XAI__CONV, .n = 3, .groups = 8, .c = 4, .m = 4, .in = {1, 20, 20},
       .out = {1, 20, 20}, .kernel = {1, 3, 3}, .stride = {1, 1, 1}, .dilation = {1, 1, 1},
       .pad = {0, 1, 1}},
      {.kind = XAI__CONV_TRANSPOSE, .n = 3, .groups = 1, .c = 64, .m = 32, .in = {1, 9, 9},
       .out = {1, 18, 18}, .kernel = {1, 4, 4}, .stride = {1, 2, 2}, .dilation = {1, 1, 1},
       .pad = {0, 1, 1}},
      {.kind = XAI__CONV, .n = 3, .groups = 1, .c = 64, .m = 3, .in = {1, 24, 24},
       .out = {1, 24, 24}, .kernel = {1, 1, 1}, .stride = {1, 1, 1}, .dilation = {1, 1, 1}},
      {.kind = XAI__MATMUL, .n = 3, .groups = 1, .batch = 3, .rows = 1, .c = 3000, .m = 200,
       .w_transposed = true, .w_batches = 1},
      {.kind = XAI__MATMUL, .n = 3, .groups = 1, .batch = 3, .rows = 1, .c = 3000, .m = 200,
       .w_batches = 1},
      {.kind = XAI__MATMUL, .n = 3, .groups = 1, .batch = 3, .rows = 33, .c = 120, .m = 150,
       .w_left = true, .w_batches = 1}};
  problem q = {.xe = {XAI__LINEAR, 1, 0.5f}, .we = {XAI__LINEAR, 1.5f, 1}};
  if (which >= 2 * (int)(sizeof shapes / sizeof *shapes)) return q;
  q.p = shapes[which / 2];
  q.adjoint = which % 2;
  const int64_t in = xai__product_in_count(&q.p), out = xai__product_out_count(&q.p);
  q.in = q.adjoint ? out : in;
  q.out = q.adjoint ? in : out;
  if (q.adjoint) q.xe = xai__identity;
  q.be = xai__identity;
  q.x = noise(q.in);
  q.w = noise(xai__product_weight_count(&q.p));
  q.p.n_bias = q.p.kind == XAI__MATMUL ? q.p.m : q.p.groups * q.p.m;
  q.b = noise(q.p.n_bias);
  q.y = noise(q.out);
  q.beside = noise(q.out);
  q.p.w = q.w;
  q.p.b = q.b;
  q.ep = (xai__epilogue){XAI__MULTIPLY_ADD, 0.3f, q.beside, {XAI__LINEAR, 1, 2}, NULL};
  return q;
}

static problem item_of(const problem *q, int64_t i) {
  problem one = *q;
  one.p.n = 1;
  one.p.batch /= q->p.n;
  one.in /= q->p.n;
  one.out /= q->p.n;
  one.x += i * one.in;
  one.y += i * one.out;
  one.beside += i * one.out;
  one.ep.x = one.beside;
  return one;
}

START_TEST(bits_do_not_depend_on_threads_or_batches) {
  for (int isa = 1; isa <= 3; isa++) {
    xai__engine *e[] = {engine(1, isa), engine(2, isa), engine(3, isa), engine(4, isa)};
    for (int which = 0;; which++) {
      problem q = large_problem(which);
      if (!q.out) break;
      int status;
      float *first = solve(e[0], &q, NULL, &status);
      if (isa == 1) {
        answer a = answer_of(&q);
        check(&q, &a, first);
        free_answer(&a);
      }
      for (int i = 1; i < 4; i++) {
        float *z = solve(e[i], &q, NULL, &status);
        ck_assert_msg(!memcmp(z, first, (size_t)q.out * sizeof *z), "case %d, isa %d, %d threads",
                      which, isa, i + 1);
        free(z);
      }
      for (int64_t i = 0; i < q.p.n; i++) {
        const problem one = item_of(&q, i);
        float *z = solve(e[i], &one, NULL, &status);
        ck_assert_msg(!memcmp(z, first + i * one.out, (size_t)one.out * sizeof *z),
                      "case %d, isa %d, item %d", which, isa, (int)i);
        free(z);
      }
      free(first);
      free_problem(&q);
    }
    for (int i = 0; i < 4; i++) xai__engine_free(e[i]);
  }
}
END_TEST

START_TEST(plain_products) {
  xai__engine *e = engine(3, 0);
  for (int i = 0; i < 300; i++) {
    xai__gemm g = {.batch = between(1, 3), .m = between(1, 40), .n = between(1, 70),
                   .k = between(0, 50), .a_transposed = chance() % 2, .b_transposed = chance() % 2};
    const bool shared = chance() % 3 == 0, one_a = chance() % 3 == 0;
    g.a_stride = one_a ? 0 : g.m * g.k;
    g.b_stride = g.k * g.n;
    g.z_stride = shared ? 0 : g.m * g.n;
    const int64_t count = (shared ? 1 : g.batch) * g.m * g.n;
    float *a = noise(g.batch * g.m * g.k), *b = noise(g.batch * g.k * g.n);
    float *y = noise(count), *x = noise(count), *z = malloc((size_t)count * sizeof *z);
    const bool multiply = chance() % 2;
    const xai__epilogue product = {XAI__MULTIPLY_ADD, 2, x, {XAI__LINEAR, 1, 0}, NULL};
    memcpy(z, y, (size_t)count * sizeof *z);
    ck_assert_int_eq(xai__gemm_run(e, &g, a, b, z, multiply ? product : xai__add_to, NULL), XAI_OK);
    for (int64_t t = 0; t < count; t++) {
      double want = 0;
      for (int64_t s = 0; s < g.batch; s++) {
        if (!shared && s != t / (g.m * g.n)) continue;
        const int64_t r = t / g.n % g.m, c = t % g.n;
        for (int64_t k = 0; k < g.k; k++)
          want += (double)a[s * g.a_stride + (g.a_transposed ? k * g.m + r : r * g.k + k)] *
                  (double)b[s * g.b_stride + (g.b_transposed ? c * g.k + k : k * g.n + c)];
      }
      if (multiply) want *= 2 * (x[t] > 0 ? (double)x[t] : 0);
      if (fabs((double)z[t] - (double)y[t] - want) > 1e-4)
        ck_abort_msg("element %lld: %g", (long long)t, (double)z[t]);
    }
    free(a);
    free(b);
    free(x);
    free(y);
    free(z);
  }
  xai_error err = {0};
  float v[2] = {0};
  const xai__gemm sum = {.batch = 2, .m = 1, .n = 1, .k = 1, .a_stride = 1, .b_stride = 1};
  ck_assert_int_lt(xai__gemm_run(e, &sum, v, v, v, xai__set, &err), 0);
  xai__engine_free(e);
}
END_TEST

START_TEST(nothing_to_do) {
  xai__engine *e = engine(2, 0);
  const xai__product empty[] = {
      {.kind = XAI__CONV, .groups = 1, .c = 3, .m = 3, .in = {1, 1, 4}, .out = {1, 1, 4},
       .kernel = {1, 1, 1}, .stride = {1, 1, 1}, .dilation = {1, 1, 1}},
      {.kind = XAI__CONV, .n = 2, .groups = 4, .c = 1, .m = 1, .in = {1, 0, 4}, .out = {1, 0, 4},
       .kernel = {1, 1, 1}, .stride = {1, 1, 1}, .dilation = {1, 1, 1}},
      {.kind = XAI__MATMUL, .rows = 0, .batch = 3, .c = 3, .m = 5}};
  for (int i = 0; i < 3; i++) {
    ck_assert_int_eq(xai__product_forward(e, &empty[i], NULL, xai__identity, xai__identity,
                                          xai__identity, NULL, xai__set, NULL),
                     XAI_OK);
    ck_assert_int_eq(
        xai__product_adjoint(e, &empty[i], NULL, xai__identity, NULL, xai__set, NULL), XAI_OK);
  }
  const xai__product no_input = {.kind = XAI__MATMUL, .n = 1, .rows = 2, .batch = 1, .m = 3};
  float z[6] = {9, 9, 9, 9, 9, 9};
  ck_assert_int_eq(xai__product_forward(e, &no_input, NULL, xai__identity, xai__identity,
                                        xai__identity, z, xai__set, NULL),
                   XAI_OK);
  for (int i = 0; i < 6; i++) ck_assert(z[i] == 0);
  xai__engine_free(e);
}
END_TEST

/* ---- memory ---- */

typedef struct faulty {
  int left, blocks; /* allocations that still succeed; blocks that live */
} faulty;

static void *faulty_realloc(void *user, void *p, size_t old_size, size_t size, size_t align) {
  faulty *f = user;
  (void)old_size;
  if (!size) {
    if (p) f->blocks--;
    free(p);
    return NULL;
  }
  if (f->left-- <= 0) return NULL;
  f->blocks++;
  return aligned_alloc(align, (size + align - 1) / align * align);
}

START_TEST(every_failing_allocation_is_reported) {
  for (int which = 0; which < 16; which++) {
    problem q = large_problem(which);
    bool done = false;
    for (int n = 1; !done; n++) { /* the first allocation is the allocator itself */
      ck_assert_int_lt(n, 50);
      faulty f = {.left = n};
      xai_error err = {0};
      xai__engine *e = NULL;
      xai__memory *m = xai__memory_create(faulty_realloc, &f, 0);
      ck_assert_ptr_nonnull(m);
      int status = xai__engine_create(m, 2, 0, &e, &err);
      ck_assert(status == XAI_OK || (e == NULL && status == XAI_E_MEMORY));
      if (e) {
        free(solve(e, &q, &err, &status));
        ck_assert(status == XAI_OK || status == XAI_E_MEMORY);
        done = status == XAI_OK;
        f.left = 100; /* and it works once there is memory again */
        int again;
        free(solve(e, &q, &err, &again));
        ck_assert_int_eq(again, XAI_OK);
        ck_assert_uint_eq(xai__scratch_mark(e), 0);
      }
      if (status) ck_assert_int_eq(err.status, XAI_E_MEMORY);
      xai__engine_free(e);
      ck_assert_int_eq(xai__memory_used(m), 0);
      xai__memory_release(m);
      ck_assert_int_eq(f.blocks, 0);
    }
    free_problem(&q);
  }
}
END_TEST

START_TEST(scratch_is_a_stack) {
  faulty f = {.left = 1000};
  xai__memory *m = xai__memory_create(faulty_realloc, &f, 0);
  xai__engine *e;
  ck_assert_int_eq(xai__engine_create(m, 1, 0, &e, NULL), XAI_OK);
  for (int round = 0; round < 200; round++) {
    struct {
      unsigned char *data;
      size_t size, mark;
    } block[12];
    const int n = (int)between(1, 12);
    for (int i = 0; i < n; i++) {
      block[i].mark = xai__scratch_mark(e);
      block[i].size = (size_t)between(0, chance() % 4 ? 3000 : 3000000);
      block[i].data = xai__scratch(e, block[i].size, 1, NULL);
      ck_assert_ptr_nonnull(block[i].data);
      ck_assert_uint_eq((uintptr_t)block[i].data % 64, 0);
      memset(block[i].data, i + 1, block[i].size);
      if (i && chance() % 5 == 0) xai__scratch_release(e, block[i--].mark);
      for (int j = 0; j <= i && j < n; j++)
        if (block[j].size) {
          ck_assert_int_eq(block[j].data[0], block[j].data[block[j].size - 1]);
        }
      if (chance() % 20 == 0) break;
    }
    xai__scratch_release(e, 0);
  }
  const int before = f.left;
  for (int round = 0; round < 50; round++) {
    ck_assert_ptr_nonnull(xai__scratch(e, 1000, 1000, NULL));
    ck_assert_ptr_nonnull(xai__scratch(e, 500, 1000, NULL));
    xai__scratch_release(e, 0);
  }
  ck_assert_int_ge(f.left, before - 2); /* reused */
  ck_assert_ptr_null(xai__scratch(e, SIZE_MAX / 2, 16, NULL));
  xai__engine_free(e);
  ck_assert_int_eq(f.blocks, 1);
  xai__memory_release(m);
}
END_TEST

/* ---- threads and loops ---- */

static void count_range(void *ctx, int64_t begin, int64_t end) {
  int *hits = ctx;
  for (int64_t i = begin; i < end; i++) hits[i]++;
}

START_TEST(ranges_cover_once) {
  for (int threads = 1; threads <= 5; threads++) {
    xai__engine *e = engine(threads, 0), *other = engine(2, 0);
    for (int i = 0; i < 500; i++) {
      int hits[200] = {0};
      const int64_t n = between(0, 200);
      xai__parallel(i % 7 ? e : other, n, between(0, 20), count_range, hits);
      int64_t once = 0;
      for (int64_t j = 0; j < n; j++) once += hits[j] == 1;
      ck_assert_int_eq(once, n);
    }
    xai__engine_free(e);
    xai__engine_free(other);
  }
}
END_TEST

START_TEST(whole_array_loops) {
  xai__engine *e[] = {engine(1, 0), engine(4, 0)};
  const int64_t sizes[] = {0, 1, 5, 63, 1000, 300001};
  for (int i = 0; i < 6; i++) {
    const int64_t n = sizes[i];
    float *x = noise(n), *y = noise(n), *z = malloc((size_t)(n + 1) * sizeof *z);
    double sum = 0, dot = 0;
    for (int64_t j = 0; j < n; j++) sum += (double)x[j], dot += (double)x[j] * (double)y[j];
    ck_assert_double_eq_tol(xai__sum(e[0], x, n), sum, 1e-8);
    ck_assert_double_eq_tol(xai__dot(e[0], x, y, n), dot, 1e-8);
    ck_assert(xai__sum(e[0], x, n) == xai__sum(e[1], x, n));
    ck_assert(xai__dot(e[0], x, y, n) == xai__dot(e[1], x, y, n));
    memcpy(z, y, (size_t)n * sizeof *z);
    xai__add_scaled(e[1], z, x, n, 0.5f);
    int64_t right = 0;
    for (int64_t j = 0; j < n; j++) right += fabsf(z[j] - (y[j] + 0.5f * x[j])) < 1e-6f;
    ck_assert_int_eq(right, n);
    xai__fill(e[1], z, n, 3);
    for (int64_t j = right = 0; j < n; j++) right += z[j] == 3;
    ck_assert_int_eq(right, n);
    ck_assert(!xai__any_negative(e[1], z, n) && xai__all_finite(z, n));
    if (n) {
      z[n - 1] = -1;
      ck_assert(xai__any_negative(e[1], z, n) && xai__all_finite(z, n));
      z[n / 2] = INFINITY;
      ck_assert(!xai__all_finite(z, n));
      z[n / 2] = NAN;
      ck_assert(!xai__all_finite(z, n));
    }
    free(x);
    free(y);
    free(z);
  }
  xai__engine_free(e[0]);
  xai__engine_free(e[1]);
}
END_TEST

int main(void) {
  Suite *s = suite_create("engine");
  TCase *c = tcase_create("engine");
  tcase_add_test(c, products_agree_with_the_reference);
  tcase_add_loop_test(c, large_matrix_products, 0, 4);
  tcase_add_test(c, adjoint_is_the_transpose);
  tcase_add_test(c, bits_do_not_depend_on_threads_or_batches);
  tcase_add_test(c, plain_products);
  tcase_add_test(c, nothing_to_do);
  tcase_add_test(c, every_failing_allocation_is_reported);
  tcase_add_test(c, scratch_is_a_stack);
  tcase_add_test(c, ranges_cover_once);
  tcase_add_test(c, whole_array_loops);
  suite_add_tcase(s, c);
  SRunner *r = srunner_create(s);
  srunner_run_all(r, CK_NORMAL);
  const int failed = srunner_ntests_failed(r);
  srunner_free(r);
  return failed != 0;
}

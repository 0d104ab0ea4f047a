/* The blocked kernels of one instruction set, from its simd_*.h and: HALF, the pixels of a run;
 * LANES, the output channels of a tile (WIDE vectors); and the name FILL. */
#define WIDE (LANES / VECTOR)
#define BLOCK_VECTORS (XAI__BLOCK / VECTOR)

/* ---- the tile ---- */

/* Forms of weight edits. */
enum { AS_IS, POSITIVE, NEGATIVE, BENT, FORMS };

INLINE V edited_weight(const int form, V w, V pos, V neg) {
  if (form == POSITIVE) return MAX(SPLAT(0.0f), w);
  if (form == NEGATIVE) return MIN(SPLAT(0.0f), w);
  if (form == BENT) return w * select_positive(w, pos, neg);
  return w;
}

/* Of a vector of lanes from `lane` on, in all pixels: Q, P in the first run. Copies, which no store can
 * change, stay in registers. */
INLINE void land(const xai__landing *to, const int P, const int Q, int lane, const V *sum, int step) {
  const int block = lane / XAI__BLOCK, at = lane % XAI__BLOCK;
  const V low = SPLAT(to->low), high = SPLAT(to->high), bias = load(to->bias[block] + at);
  float *const z0 = to->z[0][block] + at, *const z1 = Q > P ? to->z[1][block] + at : z0;
  UNROLL for (int q = 0; q < Q; q++)
    store(q >= P ? z1 + (q - P) * XAI__BLOCK : z0 + q * XAI__BLOCK,
          MIN(high, MAX(low, sum[q * step] + bias)));
}

/* Q pixels, P in the first run, by N vectors; S: floats between pixels (0: t->step); ONE: a channel
 * a tap. lane: the first of LANES. */
INLINE void tile_of(const int P, const int Q, const int N, const int S, const bool ONE,
                    const int form, const xai__tile *t, const float *const x[2], const float *w,
                    float *acc, const xai__landing *landing, int lane) {
  const int64_t step = S ? S : t->step, row = t->lanes;
  const V pos = SPLAT(t->we.pos), neg = SPLAT(t->we.neg);
  const float *x0 = x[0], *x1 = x[1];
  int64_t at = 0; /* of the next block */
  for (int64_t left = t->blocks, piece; left > 0; left -= piece) {
    V c[2 * HALF][WIDE];
    UNROLL for (int q = 0; q < Q; q++)
      UNROLL for (int v = 0; v < N; v++) c[q][v] = SPLAT(0.0f);
    piece = left < t->piece ? left : t->piece;
    for (int64_t b = 0; b < piece; b++, at += t->plane) {
      const bool last = b == left - 1, image = ONE || (S == 0 && t->image);
      const int64_t channels = image ? 1 : last ? t->last : XAI__BLOCK;
      const int64_t taps = image && last ? t->last : t->taps;
      const int64_t *tap = t->tap + (image ? (t->blocks - left + b) * t->taps : 0);
      for (int64_t i = 0; i < taps; i++) {
        const float *a0 = x0 + at + tap[i], *a1 = x1 + at + tap[i];
        for (int64_t k = 0; k < channels; k++, a0++, a1++, w += row) {
          V y[WIDE];
          if (!ONE) __builtin_prefetch(w + t->ahead, 0, 2);
          UNROLL for (int v = 0; v < N; v++)
            y[v] = edited_weight(form, load(w + v * VECTOR), pos, neg);
          UNROLL for (int q = 0; q < Q; q++) {
            const V s = SPLAT(q >= P ? a1[(q - P) * step] : a0[q * step]);
            UNROLL for (int v = 0; v < N; v++) c[q][v] = FMA(s, y[v], c[q][v]);
          }
        }
      }
    }
    const bool first = left == t->blocks;
    if (!first)
      UNROLL for (int q = 0; q < Q; q++)
        UNROLL for (int v = 0; v < N; v++) c[q][v] += load(acc + q * row + v * VECTOR);
    if (left == piece && landing) {
      UNROLL for (int v = 0; v < N; v++)
        land(landing, P, Q, (LANES < XAI__CHUNK ? lane : 0) + v * VECTOR, &c[0][v], WIDE);
      return;
    }
    UNROLL for (int q = 0; q < Q; q++)
      UNROLL for (int v = 0; v < N; v++) store(acc + q * row + v * VECTOR, c[q][v]);
  }
}

#define TILE_CASE(P, R, N, S, ONE, form)                          \
  case R * 8 + P:                                                 \
    tile_of(P, R * P, N, S, ONE, form, t, x, w, acc, to, lane);   \
    break;
#if HALF == 7
#define TILE_CASES(R, N, S, ONE, form)                                                           \
  TILE_CASE(1, R, N, S, ONE, form) TILE_CASE(2, R, N, S, ONE, form)                              \
  TILE_CASE(3, R, N, S, ONE, form) TILE_CASE(4, R, N, S, ONE, form)                              \
  TILE_CASE(5, R, N, S, ONE, form) TILE_CASE(6, R, N, S, ONE, form)                              \
  TILE_CASE(7, R, N, S, ONE, form)
#else
#define TILE_CASES(R, N, S, ONE, form)                                                           \
  TILE_CASE(1, R, N, S, ONE, form) TILE_CASE(2, R, N, S, ONE, form)                              \
  TILE_CASE(3, R, N, S, ONE, form)
#endif

/* Functions for the combinations that matter; the others take runs of 1 or 2. */
typedef void tile_fn(const xai__tile *t, int pixels, int runs, const float *const x[2],
                     const float *w, float *acc, const xai__landing *to, int lane);
#define TILES(name, N, S, ONE, form)                                                             \
  static void name(const xai__tile *t, int pixels, int runs, const float *const x[2],            \
                   const float *w, float *acc, const xai__landing *to, int lane) {               \
    switch (runs * 8 + pixels) { TILE_CASES(1, N, S, ONE, form) TILE_CASES(2, N, S, ONE, form) } \
  }
#define FEW_TILES(name, N, form)                                                                 \
  static void name(const xai__tile *t, int pixels, int runs, const float *const x[2],            \
                   const float *w, float *acc, const xai__landing *to, int lane) {               \
    switch (runs * 8 + pixels) {                                                                 \
      TILE_CASE(1, 1, N, 0, false, form) TILE_CASE(2, 1, N, 0, false, form)                      \
      TILE_CASE(1, 2, N, 0, false, form) TILE_CASE(2, 2, N, 0, false, form)                      \
    }                                                                                            \
  }

TILES(wide_as_is, WIDE, XAI__BLOCK, false, AS_IS)
TILES(wide_positive, WIDE, XAI__BLOCK, false, POSITIVE)
TILES(wide_negative, WIDE, XAI__BLOCK, false, NEGATIVE)
TILES(wide_bent, WIDE, XAI__BLOCK, false, BENT)
TILES(apart_as_is, WIDE, 2 * XAI__BLOCK, false, AS_IS)
TILES(apart_positive, WIDE, 2 * XAI__BLOCK, false, POSITIVE)
TILES(apart_negative, WIDE, 2 * XAI__BLOCK, false, NEGATIVE)
TILES(apart_bent, WIDE, 2 * XAI__BLOCK, false, BENT)
TILES(image_as_is, WIDE, 1, true, AS_IS)
TILES(image_apart_as_is, WIDE, 2, true, AS_IS)
FEW_TILES(few_as_is, WIDE, AS_IS)
FEW_TILES(few_bent, WIDE, BENT)
#if LANES > XAI__BLOCK
TILES(slim_as_is, BLOCK_VECTORS, XAI__BLOCK, false, AS_IS)
TILES(slim_positive, BLOCK_VECTORS, XAI__BLOCK, false, POSITIVE)
FEW_TILES(few_slim_as_is, BLOCK_VECTORS, AS_IS)
FEW_TILES(few_slim_bent, BLOCK_VECTORS, BENT)
#endif

/* By step: 16, 32; of an image 1, 2; any. */
enum { NEIGHBOURS, APART, IMAGE, IMAGE_APART, ANY, KINDS };
static tile_fn *const wide_tiles[KINDS][FORMS] = {
    [NEIGHBOURS] = {wide_as_is, wide_positive, wide_negative, wide_bent},
    [APART] = {apart_as_is, apart_positive, apart_negative, apart_bent},
    [IMAGE] = {image_as_is},
    [IMAGE_APART] = {image_apart_as_is},
    [ANY] = {few_as_is, few_bent, few_bent, few_bent}};
#if LANES > XAI__BLOCK
static tile_fn *const slim_tiles[KINDS][FORMS] = {
    [NEIGHBOURS] = {slim_as_is, slim_positive},
    [ANY] = {few_slim_as_is, few_slim_bent, few_slim_bent, few_slim_bent}};
#endif

static int kind_of_step(const xai__tile *t) {
  if (t->image) return t->step == 1 ? IMAGE : t->step == 2 ? IMAGE_APART : ANY;
  return t->step == XAI__BLOCK ? NEIGHBOURS : t->step == 2 * XAI__BLOCK ? APART : ANY;
}

static int form_of(xai__edit e) {
  if (xai__edit_is_identity(e)) return AS_IS;
  if (e.pos == 1 && e.neg == 0) return POSITIVE;
  return e.pos == 0 && e.neg == 1 ? NEGATIVE : BENT;
}

static tile_fn *find(const xai__tile *t, bool *any) {
  tile_fn *const(*table)[FORMS] = wide_tiles;
  const int kind = kind_of_step(t), form = form_of(t->we);
#if LANES > XAI__BLOCK
  if (t->lanes < LANES) table = slim_tiles;
#endif
  *any = kind == ANY || !table[kind][form];
  return table[*any ? ANY : kind][form];
}

static int half(const xai__tile *t) {
  bool any;
  find(t, &any);
  return any ? 2 : HALF;
}

static void tile(const xai__tile *t, int pixels, int runs, const float *const x[2], const float *w,
                 float *acc, const xai__landing *to) {
  bool any;
  tile_fn *const run = find(t, &any);
  for (int l = 0; l < t->lanes; l += LANES) run(t, pixels, runs, x, w + l, acc + l, to, l);
}

/* ---- a weight a channel ---- */

/* Q pixels, P in the first run. */
INLINE void depthwise_of(const int P, const int Q, const int S, const bool edit,
                         const xai__tile *t, const float *const x[2], const float *w, float *acc,
                         const xai__landing *to) {
  const int64_t step = S ? S : t->step;
  const V pos = SPLAT(t->we.pos), neg = SPLAT(t->we.neg);
  const float *const x0 = x[0], *const x1 = x[1];
  V c[2 * HALF][BLOCK_VECTORS];
  UNROLL for (int q = 0; q < Q; q++)
    UNROLL for (int v = 0; v < BLOCK_VECTORS; v++) c[q][v] = SPLAT(0.0f);
  for (int64_t tap = 0; tap < t->taps; tap++, w += XAI__BLOCK) {
    const float *const a0 = x0 + t->tap[tap], *const a1 = x1 + t->tap[tap];
    UNROLL for (int v = 0; v < BLOCK_VECTORS; v++) {
      const V y = edited_weight(edit ? BENT : AS_IS, load(w + v * VECTOR), pos, neg);
      UNROLL for (int q = 0; q < Q; q++)
        c[q][v] = FMA(load((q >= P ? a1 + (q - P) * step : a0 + q * step) + v * VECTOR), y, c[q][v]);
    }
  }
  UNROLL for (int v = 0; v < BLOCK_VECTORS; v++)
    if (to)
      land(to, P, Q, v * VECTOR, &c[0][v], BLOCK_VECTORS);
    else
      UNROLL for (int q = 0; q < Q; q++) store(acc + q * XAI__BLOCK + v * VECTOR, c[q][v]);
}

#define DEPTHWISE_CASE(P, R, S)                                          \
  case R * 8 + P:                                                        \
    if (xai__edit_is_identity(t->we))                                    \
      depthwise_of(P, R * P, S, false, t, x, w, acc, to);                    \
    else                                                                 \
      depthwise_of(P, R * P, S, true, t, x, w, acc, to);                     \
    break;
#if HALF == 7
#define DEPTHWISE_CASES(R, S)                                            \
  DEPTHWISE_CASE(1, R, S) DEPTHWISE_CASE(2, R, S)                        \
  DEPTHWISE_CASE(3, R, S) DEPTHWISE_CASE(4, R, S)                        \
  DEPTHWISE_CASE(5, R, S) DEPTHWISE_CASE(6, R, S) DEPTHWISE_CASE(7, R, S)
#else
#define DEPTHWISE_CASES(R, S) \
  DEPTHWISE_CASE(1, R, S) DEPTHWISE_CASE(2, R, S) DEPTHWISE_CASE(3, R, S)
#endif

static void depthwise(const xai__tile *t, int pixels, int runs, const float *const x[2],
                      const float *w, float *acc, const xai__landing *to) {
  const int which = runs * 8 + pixels;
  if (t->step == XAI__BLOCK)
    switch (which) { DEPTHWISE_CASES(1, XAI__BLOCK) DEPTHWISE_CASES(2, XAI__BLOCK) }
  else if (t->step == 2 * XAI__BLOCK)
    switch (which) { DEPTHWISE_CASES(1, 2 * XAI__BLOCK) DEPTHWISE_CASES(2, 2 * XAI__BLOCK) }
  else
    switch (which) { DEPTHWISE_CASES(1, 0) DEPTHWISE_CASES(2, 0) }
}

/* ---- Winograd's F(4x4, 3x3): points 0, +-p, +-q, infinity with p = 1/sqrt 2, q = sqrt 2 ---- */

#define WINOGRAD_P 0.70710678118654752f
#define WINOGRAD_Q 1.41421356237309505f

/* v = B' d */
INLINE void of_input(const V d[6], V v[6]) {
  const V p = SPLAT(WINOGRAD_P), q = SPLAT(WINOGRAD_Q), two = SPLAT(2.0f), half = SPLAT(0.5f);
  const V more = SPLAT(2.5f), e1 = d[4] - two * d[2], o1 = p * (d[3] - two * d[1]);
  const V e2 = d[4] - half * d[2], o2 = q * (d[3] - half * d[1]);
  v[0] = (d[0] - more * d[2]) + d[4];
  v[1] = e1 + o1;
  v[2] = e1 - o1;
  v[3] = e2 + o2;
  v[4] = e2 - o2;
  v[5] = (d[1] - more * d[3]) + d[5];
}

/* u = G g */
INLINE void of_weights(V g0, V g1, V g2, V u[6]) {
  const V p = SPLAT(WINOGRAD_P), q = SPLAT(WINOGRAD_Q), two = SPLAT(2.0f), half = SPLAT(0.5f);
  const V third = SPLAT(-2.0f / 3), sixth = SPLAT(1.0f / 6);
  const V a = third * (g0 + half * g2), b = third * (p * g1);
  const V c = sixth * (g0 + two * g2), d = sixth * (q * g1);
  u[0] = g0;
  u[1] = a + b;
  u[2] = a - b;
  u[3] = c + d;
  u[4] = c - d;
  u[5] = g2;
}

/* y = A' m */
INLINE void of_output(const V m[6], V y[4]) {
  const V p = SPLAT(WINOGRAD_P), q = SPLAT(WINOGRAD_Q), two = SPLAT(2.0f), half = SPLAT(0.5f);
  const V s = m[1] + m[2], t = m[3] + m[4], a = p * (m[1] - m[2]), b = q * (m[3] - m[4]);
  y[0] = (m[0] + s) + t;
  y[1] = a + b;
  y[2] = half * s + two * t;
  y[3] = (half * a + two * b) + m[5];
}

static void winograd_input(const float *x, int64_t pitch, float *to, int64_t step) {
  for (int l = 0; l < XAI__BLOCK; l += VECTOR) {
    V t[6][6], d[6], v[6];
    for (int y = 0; y < 6; y++) {
      UNROLL for (int i = 0; i < 6; i++) d[i] = load(x + y * pitch + i * XAI__BLOCK + l);
      of_input(d, t[y]);
    }
    for (int i = 0; i < 6; i++) {
      UNROLL for (int y = 0; y < 6; y++) d[y] = t[y][i];
      of_input(d, v);
      UNROLL for (int y = 0; y < 6; y++) store(to + (y * 6 + i) * step + l, v[y]);
    }
  }
}

INLINE void winograd_weights_as(const int form, xai__edit we, const float *w, const int64_t tap[9],
                                int64_t ahead, float *to, int64_t step) {
  const V pos = SPLAT(we.pos), neg = SPLAT(we.neg);
  V t[3][6], u[6];
  UNROLL for (int i = 0; i < 9; i++) __builtin_prefetch(w + tap[i] + ahead);
  UNROLL for (int y = 0; y < 3; y++)
    of_weights(edited_weight(form, load(w + tap[3 * y]), pos, neg),
               edited_weight(form, load(w + tap[3 * y + 1]), pos, neg),
               edited_weight(form, load(w + tap[3 * y + 2]), pos, neg), t[y]);
  UNROLL for (int i = 0; i < 6; i++) {
    of_weights(t[0][i], t[1][i], t[2][i], u);
    UNROLL for (int y = 0; y < 6; y++) store(to + (y * 6 + i) * step, u[y]);
  }
}

static void winograd_weights(xai__edit we, const float *w, const int64_t tap[9], int lanes,
                             int64_t ahead, float *to, int64_t step) {
  const int form = form_of(we);
  for (int l = 0; l < lanes; l += VECTOR)
    if (form == AS_IS)
      winograd_weights_as(AS_IS, we, w + l, tap, ahead, to + l, step);
    else if (form == POSITIVE)
      winograd_weights_as(POSITIVE, we, w + l, tap, ahead, to + l, step);
    else
      winograd_weights_as(BENT, we, w + l, tap, ahead, to + l, step);
}

static void winograd_output(const float *m, int64_t step, const float *bias, float guard,
                            float *to) {
  for (int l = 0; l < XAI__BLOCK; l += VECTOR) {
    V t[6][4], d[6], y[4][4];
    for (int r = 0; r < 6; r++) {
      UNROLL for (int i = 0; i < 6; i++) d[i] = load(m + (r * 6 + i) * step + l);
      of_output(d, t[r]);
    }
    V top = SPLAT(0.0f);
    for (int i = 0; i < 4; i++) {
      V column[4];
      UNROLL for (int r = 0; r < 6; r++) d[r] = t[r][i];
      of_output(d, column);
      UNROLL for (int r = 0; r < 4; r++) {
        y[r][i] = bias ? column[r] + load(bias + l) : column[r] + SPLAT(0.0f);
        top = MAX(top, MAX(y[r][i], -y[r][i]));
      }
    }
    const V least = SPLAT(guard) * top;
    for (int r = 0; r < 4; r++)
      for (int i = 0; i < 4; i++) {
        const V v = y[r][i], size = MAX(v, -v);
        store(to + (r * 4 + i) * XAI__BLOCK + l,
              guard > 0 ? select_positive(least - size, SPLAT(0.0f), v) : v);
      }
  }
}

/* ---- finish ---- */

INLINE V edited_value(xai__edit e, V v) {
  if (e.form == XAI__SQUARE) return v * v;
  if (e.form == XAI__ONES) return SPLAT(1.0f);
  return v * select_positive(v, SPLAT(e.pos), SPLAT(e.neg));
}

INLINE V stabilized(V v, V e) { return v + select_positive(-v, -e, e); }

/* R / stab(v, e), 0 where the denominator is 0. */
INLINE V stabilized_ratio(V r, V v, V e) {
  const V d = stabilized(v, e), size = MAX(d, -d);
  return select_positive(size, r / d, size);
}

INLINE V finished(const int form, const xai__finish *f, bool guarded, V v, const float *other,
                  const float *by) {
  const V zero = SPLAT(0.0f);
  if (form == XAI__CLIP) return MIN(SPLAT(f->high), MAX(SPLAT(f->low), v));
  if (form == XAI__BEND) return edited_value(f->edit, v);
  if (form == XAI__TIMES) return SPLAT(f->coef) * edited_value(f->edit, load(other)) * v;
  if (form == XAI__STAB) {
    const V d = stabilized(v, SPLAT(f->stabilizer));
    return guarded ? select_positive(MAX(v, -v), d, v) : d;
  }
  if (form == XAI__DIVIDE) {
    const V ratio = SPLAT(f->coef) * stabilized_ratio(load(other), v, SPLAT(f->stabilizer));
    v = guarded ? select_positive(MAX(v, -v), ratio, v) : ratio;
    return by ? select_positive(SPLAT(f->by_sign) * load(by), v, zero) : v;
  }
  return v;
}

static const float first_lanes[2 * XAI__BLOCK] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};

/* Copies, which no store can change, stay in registers. plain: nothing to add, all lanes. */
INLINE void finish_as(const int form, const bool plain, const xai__finish_run *run, int pixels,
                      const float *acc, int64_t acc_step) {
  const xai__finish_run r = *run;
  const xai__finish f = *r.f;
  const float *keep = first_lanes + XAI__BLOCK - r.lanes;
  for (int v = 0; v < XAI__BLOCK; v += VECTOR) {
    V bias = SPLAT(0.0f);
    if (r.bias) bias = load(r.bias + v);
    for (int64_t p = 0, at = v; p < pixels; p++, at += r.step) {
      V a = load(acc + p * acc_step + v) + bias;
      if (!plain && r.add) a += load(r.add + at);
      a = finished(form, &f, r.guarded, a, r.other + at, r.by ? r.by + at : NULL);
      if (!plain && r.lanes < XAI__BLOCK) a = select_positive(load(keep + v), a, SPLAT(0.0f));
      if (!plain && f.accumulate) a += load(r.z + at);
      store(r.z + at, a);
    }
  }
}

#define FINISH_AS(form)                                          \
    if (plain)                                                   \
      finish_as(form, true, r, pixels, acc, acc_step);           \
    else                                                         \
      finish_as(form, false, r, pixels, acc, acc_step);          \
    break;
#define FINISH_CASE(form) case form: FINISH_AS(form)

static void finish(const xai__finish_run *r, int pixels, const float *acc, int64_t acc_step) {
  const bool plain = !r->add && !r->f->accumulate && r->lanes == XAI__BLOCK;
  switch (r->f->form) {
    FINISH_CASE(XAI__CLIP) FINISH_CASE(XAI__BEND) FINISH_CASE(XAI__STAB) FINISH_CASE(XAI__DIVIDE)
    FINISH_CASE(XAI__TIMES)
    default: FINISH_AS(XAI__KEEP)
  }
}

/* ---- maxima ---- */

static void greatest(const float *x, int64_t pitch, int64_t step, int64_t rows, int64_t columns,
                     float *top, float *winner) {
  for (int l = 0; l < XAI__BLOCK; l += VECTOR) {
    V most = SPLAT(0.0f), who = SPLAT(0.0f);
    float tap = 0;
    if (rows > 0 && columns > 0) most = load(x + l);
    for (int64_t r = 0; r < rows; r++)
      for (int64_t c = 0; c < columns; c++, tap++) {
        const V t = load(x + r * pitch + c * step + l), more = t - most;
        most = select_positive(more, t, most);
        if (winner) who = select_positive(more, SPLAT(tap), who);
      }
    store(top + l, most);
    if (winner) store(winner + l, who);
  }
}

static void route(const float *winner, const float *s, float *g, int64_t pitch, int64_t step,
                  int64_t rows, int64_t columns) {
  const V half = SPLAT(0.5f), zero = SPLAT(0.0f);
  for (int l = 0; l < XAI__BLOCK; l += VECTOR) {
    const V who = load(winner + l), v = load(s + l);
    float tap = 0;
    for (int64_t r = 0; r < rows; r++)
      for (int64_t c = 0; c < columns; c++, tap++) {
        const V away = who - SPLAT(tap);
        float *to = g + r * pitch + c * step + l;
        store(to, load(to) + select_positive(half - MAX(away, -away), v, zero));
      }
  }
}

/* ---- one number a channel ---- */

static void by_channel(bool product, bool add, const float *x, const float *v, int64_t n, float *y) {
  for (int l = 0; l < XAI__BLOCK; l += VECTOR) {
    const V by = load(v + l);
    for (int64_t i = l; i < n * XAI__BLOCK; i += XAI__BLOCK) {
      V a = product ? load(x + i) * by : load(x + i) + by;
      if (add) a += load(y + i);
      store(y + i, a);
    }
  }
}

/* Half as many, in double. */
typedef float half_vector __attribute__((vector_size(2 * VECTOR)));
typedef double double_vector __attribute__((vector_size(4 * VECTOR)));
enum { DOUBLES = VECTOR / 2, DOUBLE_VECTORS = XAI__BLOCK / DOUBLES };

INLINE double_vector load_doubles(const float *p) {
  half_vector v;
  memcpy(&v, p, sizeof v);
  return __builtin_convertvector(v, double_vector);
}

INLINE void total_of(const bool product, const float *s, const float *x, int64_t step, int64_t n,
                     double sum[XAI__BLOCK]) {
  double_vector all[DOUBLE_VECTORS];
  memcpy(all, sum, sizeof all);
  for (int64_t i = 0; i < n; i++, s += step)
    UNROLL for (int v = 0; v < DOUBLE_VECTORS; v++) {
      double_vector a = load_doubles(s + v * DOUBLES);
      if (product) a *= load_doubles(x + i * step + v * DOUBLES);
      all[v] += a;
    }
  memcpy(sum, all, sizeof all);
}

static void total(const float *s, const float *x, int64_t step, int64_t n, double sum[XAI__BLOCK]) {
  if (x) total_of(true, s, x, step, n, sum);
  else total_of(false, s, NULL, step, n, sum);
}

/* ---- layouts ---- */

static void interleave(const float *from, int64_t plane, int c, int64_t n, float *to) {
  int64_t i = 0;
  for (; c == XAI__BLOCK && i + VECTOR <= n; i += VECTOR)
    for (int b = 0; b < XAI__BLOCK; b += VECTOR) {
      V t[VECTOR];
      UNROLL for (int v = 0; v < VECTOR; v++) t[v] = load(from + (b + v) * plane + i);
      turn(t);
      UNROLL for (int v = 0; v < VECTOR; v++) store(to + (i + v) * XAI__BLOCK + b, t[v]);
    }
  for (; i < n; i++)
    for (int b = 0; b < XAI__BLOCK; b++) to[i * XAI__BLOCK + b] = b < c ? from[b * plane + i] : 0;
}

static void separate(const float *from, int c, int64_t n, float *to, int64_t plane, bool add) {
  int64_t i = 0;
  for (; c == XAI__BLOCK && i + VECTOR <= n; i += VECTOR)
    for (int b = 0; b < XAI__BLOCK; b += VECTOR) {
      V t[VECTOR];
      UNROLL for (int v = 0; v < VECTOR; v++) t[v] = load(from + (i + v) * XAI__BLOCK + b);
      turn(t);
      UNROLL for (int v = 0; v < VECTOR; v++) {
        float *at = to + (b + v) * plane + i;
        if (add) t[v] += load(at);
        store(at, t[v]);
      }
    }
  for (; i < n; i++)
    for (int b = 0; b < c; b++) {
      float *at = to + b * plane + i;
      *at = (add ? *at : 0) + from[i * XAI__BLOCK + b];
    }
}

void FILL(xai__block_kernels *k) {
  *k = (xai__block_kernels){HALF, half, tile, depthwise, finish, winograd_input,
                             winograd_weights, winograd_output, greatest, route, by_channel, total, interleave, separate};
}

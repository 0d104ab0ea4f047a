/* The kernels of one instruction set, from what its file defines: the vector V of VECTOR floats,
 * ROWS of a tile, FMA, FMA1 (scalar), SPLAT, turn(V t[VECTOR]) which transposes, and the name
 * FILL; select_positive(v, pos, neg); with HAS_MASKS also load_part, store_part and copy_even. */
/* ---- the tile: R rows by N vectors of accumulators in registers ----
 * A sum over k is one of XAI__PIECE terms at a time, the pieces added up one after the other: the
 * rounding error of long sums is that of short ones. */

INLINE void tile_step(const int R, const int N, const float *a, const float *b, V c[ROWS][2]) {
  V w[2];
  UNROLL for (int v = 0; v < N; v++) w[v] = load(b + v * VECTOR);
  UNROLL for (int r = 0; r < R; r++) {
    const V x = SPLAT(a[r]);
    UNROLL for (int v = 0; v < N; v++) c[r][v] = FMA(x, w[v], c[r][v]);
  }
}

INLINE void tile_of(const int R, const int N, int64_t k, const float *a, const float *b,
                    float *acc, bool resume, xai__fetch ahead) {
  do {
    V c[ROWS][2];
    int64_t n = k < XAI__PIECE ? k : XAI__PIECE;
    UNROLL for (int r = 0; r < R; r++)
      UNROLL for (int v = 0; v < N; v++) c[r][v] = SPLAT(0.0f);
    k -= n;
    for (; n >= XAI__AHEAD; n -= XAI__AHEAD) {
      __builtin_prefetch(ahead.at, 0, 2);
      __builtin_prefetch(ahead.at + 16, 0, 2);
      if (--ahead.count > 0) ahead.at += ahead.step;
      UNROLL for (int i = 0; i < XAI__AHEAD; i++, a += R, b += N * VECTOR) tile_step(R, N, a, b, c);
    }
    for (; n > 0; n--, a += R, b += N * VECTOR) tile_step(R, N, a, b, c);
    UNROLL for (int r = 0; r < R; r++) /* -0 becomes 0, so that terms of 0 may be left out */
      UNROLL for (int v = 0; v < N; v++) {
        float *to = acc + (r * N + v) * VECTOR;
        store(to, c[r][v] + (resume ? load(to) : SPLAT(0.0f)));
      }
    resume = true;
  } while (k > 0);
}

#define TILE(R) \
  case R: \
    if (vectors == 2) \
      tile_of(R, 2, k, a, b, acc, resume, ahead); \
    else \
      tile_of(R, 1, k, a, b, acc, resume, ahead); \
    break;

static void tile(int rows, int vectors, int64_t k, const float *a, const float *b, float *acc,
                 bool resume, xai__fetch ahead) {
  switch (rows) {
    TILE(1) TILE(2) TILE(3) TILE(4) TILE(5) TILE(6)
#if ROWS > 6
    TILE(7) TILE(8) TILE(9) TILE(10) TILE(11) TILE(12)
#endif
#if ROWS > 12
    TILE(13) TILE(14)
#endif
  }
}

/* ---- packing ----
 * Rows of an operand are far apart, which hardware does not prefetch well. */

#define AHEAD 64 /* floats */

#ifndef HAS_MASKS
INLINE V load_part(const float *p, int n) {
  float t[VECTOR] = {0};
  for (int i = 0; i < n; i++) t[i] = p[i];
  return load(t);
}

INLINE void store_part(float *p, V v, int n) {
  float t[VECTOR];
  store(t, v);
  for (int i = 0; i < n; i++) p[i] = t[i];
}

INLINE void copy_even(const float *x, int n, float *to) {
  for (int i = 0; i < n; i++) to[i] = x[2 * i];
}
#endif

INLINE void copy_run(const float *x, int n, float *to) {
  for (; n >= VECTOR; n -= VECTOR, x += VECTOR, to += VECTOR) store(to, load(x));
  if (n) store_part(to, load_part(x, n), n);
}

/* The last vector of a panel's row may spill into the next row, which is written later (the buffer
 * has slack behind its end); so it may not where a row holds more than one such vector. */
INLINE void store_last(float *p, V v, int n) {
  if (n >= VECTOR || ROWS <= VECTOR)
    store(p, v);
  else
    store_part(p, v, n);
}

/* VECTOR columns of VECTOR rows, or of fewer that fill the panel: what is behind them spills. */
INLINE void transpose_square(const float *from, int64_t stride, int rows, int width, float *to) {
  V t[VECTOR];
  UNROLL for (int r = 0; r < VECTOR; r++) {
    const float *row = from + (r < rows ? r : rows - 1) * stride;
    __builtin_prefetch(row + AHEAD);
    t[r] = load(row);
  }
  turn(t);
  UNROLL for (int c = 0; c < VECTOR; c++) store_last(to + c * width, t[c], rows);
}

static void transpose(const float *from, int64_t stride, int count, int64_t k, int width,
                      float *to) {
  for (int64_t j = 0; j < k; j += VECTOR, to += VECTOR * width, from += VECTOR) {
    const int columns = k - j < VECTOR ? (int)(k - j) : VECTOR;
    for (int i = 0; i < width; i += VECTOR) {
      const int rows = count - i < VECTOR ? count - i : VECTOR;
      if (columns == VECTOR && (rows == VECTOR || rows == width - i)) {
        transpose_square(from + i * stride, stride, rows, width, to + i);
        continue;
      }
      V t[VECTOR];
      for (int r = 0; r < VECTOR; r++)
        t[r] = r < rows ? load_part(from + (i + r) * stride, columns) : SPLAT(0.0f);
      turn(t);
      for (int c = 0; c < columns; c++) store_last(to + c * width + i, t[c], width - i);
    }
  }
}

static void copy(const float *from, int64_t stride, int count, int64_t k, int width, float *to) {
  for (; k > 0; k--, to += width, from += stride) {
    for (int i = count; i < width; i++) to[i] = 0;
    for (int i = 0; i < width; i += 16) __builtin_prefetch(from + width + i); /* the next panel */
    copy_run(from, count, to);
  }
}

static void turn_block(const float *from, int64_t stride, int count, int n, int64_t ahead, int64_t pitch,
                       float *to) {
  for (int i = 0; i < count; i++) __builtin_prefetch(from + ahead + i * stride);
  for (int j = 0; j < n; j += VECTOR)
    for (int i = 0; i < 16; i += VECTOR) {
      const float *row = from + i * stride + j;
      V t[VECTOR];
      if (n - j >= VECTOR && count - i >= VECTOR) {
        UNROLL for (int r = 0; r < VECTOR; r++) t[r] = load(row + r * stride);
      } else {
        for (int r = 0; r < VECTOR; r++)
          t[r] = i + r < count ? load_part(row + r * stride, n - j < VECTOR ? n - j : VECTOR) : SPLAT(0.0f);
      }
      turn(t);
      for (int c = 0; c < VECTOR && j + c < n; c++) store(to + (j + c) * pitch + i, t[c]);
    }
}

static void gather(const float *from, int64_t plane, int64_t channels, const xai__run *run,
                   int runs, int64_t step, bool ones, int width, float *to, int64_t to_step) {
  int covered = 0;
  for (int j = 0; j < runs; j++) covered += run[j].count;
  for (int64_t c = 0; c < channels; c++, from += plane, to += to_step) {
    if (covered < width)
      for (int i = 0; i < width; i++) to[i] = 0;
    for (int j = 0; j < runs; j++)
      if (ones)
        for (int i = 0; i < run[j].count; i++) to[run[j].at + i] = 1;
      else if (step == 1) {
        for (int i = 0; i < width; i += 16) __builtin_prefetch(from + run[j].from + width + i);
        copy_run(from + run[j].from, run[j].count, to + run[j].at);
      } else if (step == 2)
        copy_even(from + run[j].from, run[j].count, to + run[j].at);
      else
        for (int i = 0; i < run[j].count; i++)
          to[run[j].at + i] = from[run[j].from + i * step];
  }
}

static void edit(xai__edit e, float *v, int64_t n) {
  if (e.form == XAI__LINEAR)
    for (int64_t i = 0; i < n; i++) v[i] = v[i] * (v[i] > 0 ? e.pos : e.neg);
  else if (e.form == XAI__SQUARE)
    for (int64_t i = 0; i < n; i++) v[i] = v[i] * v[i];
  else
    for (int64_t i = 0; i < n; i++) v[i] = 1;
}

/* ---- one row times a matrix ---- */

enum { IDENTITY, LINEAR, SQUARE, ONES };

INLINE V edited(const int form, xai__edit e, V v) {
  if (form == LINEAR) return v * select_positive(v, SPLAT(e.pos), SPLAT(e.neg));
  if (form == SQUARE) return v * v;
  if (form == ONES) return SPLAT(1.0f);
  return v;
}

#define FOR_EDIT(e, CALL)                     \
  do {                                        \
    if (xai__edit_is_identity(e))             \
      CALL(IDENTITY);                         \
    else if ((e).form == XAI__LINEAR)         \
      CALL(LINEAR);                           \
    else if ((e).form == XAI__SQUARE)         \
      CALL(SQUARE);                           \
    else                                      \
      CALL(ONES);                             \
  } while (0)

/* R rows of w into n sums. */
INLINE void add_rows(const int R, const int form, const float *w, int64_t stride,
                     const int64_t *at, const float *x, int64_t n, xai__edit e, float *acc) {
  const float *row[8];
  V by[8];
  UNROLL for (int r = 0; r < R; r++) {
    row[r] = w + at[r] * stride;
    by[r] = SPLAT(x[at[r]]);
  }
  int64_t j = 0;
  for (; j + VECTOR <= n; j += VECTOR) {
    V a = load(acc + j);
    UNROLL for (int r = 0; r < R; r++) a = FMA(by[r], edited(form, e, load(row[r] + j)), a);
    store(acc + j, a);
  }
  if (j == n) return;
  V a = load_part(acc + j, (int)(n - j));
  UNROLL for (int r = 0; r < R; r++)
    a = FMA(by[r], edited(form, e, load_part(row[r] + j, (int)(n - j))), a);
  store_part(acc + j, a, (int)(n - j));
}

static void sum_rows(const float *w, int64_t stride, const int64_t *at, int64_t k, const float *x,
                     int64_t n, xai__edit e, float *acc) {
  float piece[XAI__GEMV_RANGE];
  memset(acc, 0, (size_t)n * sizeof *acc);
#define EIGHT(form) add_rows(8, form, w, stride, at, x, n, e, piece)
#define SINGLE(form) add_rows(1, form, w, stride, at, x, n, e, piece)
  while (k > 0) {
    int64_t in_piece = 0;
    while (in_piece < k && at[in_piece] / XAI__PIECE == at[0] / XAI__PIECE) in_piece++;
    k -= in_piece;
    memset(piece, 0, (size_t)n * sizeof *piece);
    for (; in_piece >= 8; in_piece -= 8, at += 8) FOR_EDIT(e, EIGHT);
    for (; in_piece > 0; in_piece--, at++) FOR_EDIT(e, SINGLE);
    for (int64_t j = 0; j < n; j++) acc[j] += piece[j]; /* as at the end of a tile */
  }
}

/* Squares of `rows` rows (at most a vector) and `columns` of w, transposed into the sums. So many rows
 * are more streams than hardware fetches ahead by itself. */
#define COLUMNS_AHEAD 192
INLINE V add_square(const int form, const float *w, int64_t stride, int rows, int columns,
                    const float *x, xai__edit e, V acc) {
  V t[VECTOR];
  if (rows == VECTOR && columns == VECTOR) {
    UNROLL for (int r = 0; r < VECTOR; r++) {
      __builtin_prefetch(w + r * stride + COLUMNS_AHEAD);
      t[r] = edited(form, e, load(w + r * stride));
    }
    turn(t);
    UNROLL for (int c = 0; c < VECTOR; c++) acc = FMA(SPLAT(x[c]), t[c], acc);
    return acc;
  }
  for (int r = 0; r < VECTOR; r++)
    t[r] = r < rows ? edited(form, e, load_part(w + r * stride, columns)) : SPLAT(0.0f);
  turn(t);
  for (int c = 0; c < columns; c++) acc = FMA(SPLAT(x[c]), t[c], acc);
  return acc;
}

INLINE void add_columns(const int form, const float *w, int64_t stride, int n, int64_t k,
                        const float *x, xai__edit e, float *acc) {
  V a = SPLAT(0.0f);
  while (k > 0) {
    int64_t left = k < XAI__PIECE ? k : XAI__PIECE;
    V c = SPLAT(0.0f);
    for (k -= left; left > 0; left -= VECTOR, w += VECTOR, x += VECTOR)
      c = add_square(form, w, stride, n, left < VECTOR ? (int)left : VECTOR, x, e, c);
    a = c + a;
  }
  store(acc, a);
}

static void sum_columns(const float *w, int64_t stride, int n, int64_t k, const float *x,
                        xai__edit e, float *acc) {
#define COLUMNS(form) add_columns(form, w, stride, n, k, x, e, acc)
  FOR_EDIT(e, COLUMNS);
}

/* ---- results ---- */

static void emit(const xai__epilogue *ep, float *y, const float *x, const float *acc, int64_t n) {
  const float coef = ep->coef, pos = coef * ep->edit.pos, neg = coef * ep->edit.neg;
  if (ep->form == XAI__SET) {
    if (x)
      for (int64_t i = 0; i < n; i++) y[i] = acc[i] + x[i];
    else
      copy_run(acc, (int)n, y);
    if (ep->map) ep->map->f(ep->map, y, n);
  } else if (ep->form == XAI__ADD)
    for (int64_t i = 0; i < n; i++) y[i] += acc[i];
  else if (ep->edit.form == XAI__LINEAR)
    for (int64_t i = 0; i < n; i++) y[i] += x[i] * (x[i] > 0 ? pos : neg) * acc[i];
  else if (ep->edit.form == XAI__SQUARE)
    for (int64_t i = 0; i < n; i++) y[i] += coef * (x[i] * x[i]) * acc[i];
  else
    for (int64_t i = 0; i < n; i++) y[i] += coef * acc[i];
}

static void add_tile_bias(const xai__spot *s, float *acc, int rows, int lanes, int width,
                          const int64_t *row, const int64_t *lane, int64_t at) {
  for (int r = 0; r < rows; r++, acc += width) {
    if (s->bias_kind == XAI__BIAS_OF_ROW) {
      const float b = xai__edited(s->be, s->bias[at + r]);
      for (int l = 0; l < lanes; l++) acc[l] += b;
    } else if (s->bias_kind == XAI__BIAS_OF_LANE) {
      for (int l = 0; l < lanes; l++) acc[l] += xai__edited(s->be, s->bias[at + l]);
    } else {
      for (int l = 0; l < lanes; l++)
        acc[l] += xai__edited(s->be, s->bias[(row[r] + lane[l]) % s->n_bias]);
    }
  }
}

/* emit where neighbours in y and x are `step` apart. */
static void emit_apart(const xai__epilogue *ep, float *y, const float *x, int64_t step,
                       const float *acc, int64_t n) {
  if (ep->form == XAI__SET && !x && !ep->map)
    for (int64_t i = 0; i < n; i++) y[i * step] = acc[i];
  else if (ep->form == XAI__ADD)
    for (int64_t i = 0; i < n; i++) y[i * step] += acc[i];
  else
    for (int64_t i = 0; i < n; i++) emit(ep, y + i * step, x ? x + i * step : NULL, acc + i, 1);
}

/* Offsets from `from` on that lie equally far apart. */
static int length_of_run(const int64_t *at, int from, int n, int64_t *step) {
  int i = from + 1;
  *step = i < n ? at[i] - at[from] : 1;
  while (i < n && at[i] - at[i - 1] == *step) i++;
  return i - from;
}

static bool are_neighbours(const int64_t *at, int n) {
  int64_t apart = 0;
  for (int i = 0; i < n; i++) apart |= at[i] ^ (at[0] + i);
  return apart == 0;
}

static int count_neighbours(const int64_t *at, int n) {
  int count = 0;
  for (int i = 1; i < n; i++) count += at[i] == at[i - 1] + 1;
  return count;
}

/* to[lanes][XAI__MAX_ROWS] */
static void turn_tile(const float *acc, int rows, int lanes, int width, float *to) {
  for (int l = 0; l < lanes; l += VECTOR)
    for (int r = 0; r < rows; r += VECTOR) {
      V t[VECTOR];
      for (int i = 0; i < VECTOR; i++)
        t[i] = r + i < rows ? load(acc + (r + i) * width + l) : SPLAT(0.0f);
      turn(t);
      for (int i = 0; i < VECTOR; i++) store(to + (l + i) * XAI__MAX_ROWS + r, t[i]);
    }
}

INLINE V lane_bias(const xai__spot *s, int64_t at) {
  return s->bias ? edited(1 + (int)s->be.form, s->be, load(s->bias + at)) : SPLAT(0.0f);
}

/* SET of a tile of 2 VECTOR lanes that are neighbours in z. */
INLINE void set_wide(const xai__spot *s, float *acc, int rows, const int64_t *row, int64_t lane,
                     int64_t bias_at) {
  const xai__map *map = s->ep.map;
  const V low = lane_bias(s, bias_at), high = lane_bias(s, bias_at + VECTOR);
  for (int r = 0; r < rows; r++) {
    float *from = acc + r * 2 * VECTOR, *to = map ? from : s->z + row[r] + lane;
    V a = load(from) + low, b = load(from + VECTOR) + high;
    if (s->ep.x) {
      a = a + load(s->ep.x + row[r] + lane);
      b = b + load(s->ep.x + row[r] + lane + VECTOR);
    }
    store(to, a);
    store(to + VECTOR, b);
  }
  if (!map) return;
  map->f(map, acc, rows * 2 * VECTOR);
  for (int r = 0; r < rows; r++) copy_run(acc + r * 2 * VECTOR, 2 * VECTOR, s->z + row[r] + lane);
}

static void finish(const xai__spot *s, float *acc, int rows, int lanes, int width,
                   const int64_t *row, const int64_t *lane, int64_t bias_at) {
  float turned[XAI__MAX_LANES * XAI__MAX_ROWS];
  if (s->ep.form == XAI__SET && lanes == 2 * VECTOR && are_neighbours(lane, lanes) &&
      (!s->bias || s->bias_kind == XAI__BIAS_OF_LANE)) {
    set_wide(s, acc, rows, row, lane[0], bias_at);
    return;
  }
  xai__epilogue ep = s->ep;
  if (s->bias) add_tile_bias(s, acc, rows, lanes, width, row, lane, bias_at);
  if (ep.map && !ep.x) {
    ep.map->f(ep.map, acc, rows * width);
    ep.map = NULL;
  }
  if (count_neighbours(row, rows) * lanes > count_neighbours(lane, lanes) * rows) {
    turn_tile(acc, rows, lanes, width, turned);
    const int64_t *t = row;
    row = lane;
    lane = t;
    const int n = rows;
    rows = lanes;
    lanes = n;
    acc = turned;
    width = XAI__MAX_ROWS;
  }
  int64_t step;
  for (int l = 0, n; l < lanes; l += n) {
    n = length_of_run(lane, l, lanes, &step);
    for (int r = 0; r < rows; r++) {
      float *y = s->z + row[r] + lane[l];
      const float *x = ep.x ? ep.x + row[r] + lane[l] : NULL, *from = acc + r * width + l;
      if (step == 1)
        emit(&ep, y, x, from, n);
      else
        emit_apart(&ep, y, x, step, from, n);
    }
  }
}

/* ---- convolution without packing ---- */

INLINE void slide_of(const int R, const int N, int64_t k, const float *w, const float *x,
                     const int64_t *at, float *acc, int64_t acc_row) {
  V c[4][8];
  UNROLL for (int r = 0; r < R; r++)
    UNROLL for (int v = 0; v < N; v++) c[r][v] = SPLAT(0.0f);
  for (int64_t j = 0; j < k; j++, w += R) {
    V b[8];
    UNROLL for (int v = 0; v < N; v++) b[v] = load(x + at[j] + v * VECTOR);
    UNROLL for (int r = 0; r < R; r++)
      UNROLL for (int v = 0; v < N; v++) c[r][v] = FMA(SPLAT(w[r]), b[v], c[r][v]);
  }
  UNROLL for (int r = 0; r < R; r++)
    UNROLL for (int v = 0; v < N; v++) store(acc + r * acc_row + v * VECTOR, c[r][v]);
}

INLINE void slide_rows(const int R, const int most, int64_t k, const float *w, const float *x,
                       const int64_t *at, int64_t n, float *acc, int64_t acc_row) {
  int64_t vectors = (n + VECTOR - 1) / VECTOR;
#define SLIDE(N)                                                                       \
  for (; vectors >= N; vectors -= N, x += N * VECTOR, acc += N * VECTOR)               \
    slide_of(R, N, k, w, x, at, acc, acc_row);
  if (most >= 8) SLIDE(8)
  if (most == 7) SLIDE(7)
  if (most >= 4) SLIDE(4)
  SLIDE(2)
  SLIDE(1)
}

static void slide(int rows, int64_t k, const float *w, const float *x, const int64_t *at,
                  int64_t n, float *acc, int64_t acc_row) {
  const int few = ROWS > 6 ? 4 : 2;
  if (rows == 1)
    slide_rows(1, 8, k, w, x, at, n, acc, acc_row);
  else if (rows == 2)
    slide_rows(2, 4, k, w, x, at, n, acc, acc_row);
  else if (rows == 3)
    slide_rows(3, few == 4 ? 7 : few, k, w, x, at, n, acc, acc_row);
  else
    slide_rows(4, few, k, w, x, at, n, acc, acc_row);
}

static void take(xai__edit e, const float *x, int64_t step, int64_t n, float *to) {
  if (step == 1)
    memcpy(to, x, (size_t)n * sizeof *to);
  else if (step == 2)
    for (int64_t i = 0; i < n; i++) to[i] = x[2 * i];
  else
    for (int64_t i = 0; i < n; i++) to[i] = x[i * step];
  if (!xai__edit_is_identity(e)) edit(e, to, n);
}

static void weave(const float *from, int64_t stride, int64_t phases, int64_t n, float *to) {
  if (phases == 2) {
    const float *odd = from + stride;
    for (int64_t i = 0; i < n / 2; i++) {
      to[2 * i] = from[i];
      to[2 * i + 1] = odd[i];
    }
    if (n % 2) to[n - 1] = from[n / 2];
    return;
  }
  for (int64_t f = 0; f < phases; f++, from += stride)
    for (int64_t i = f, j = 0; i < n; i += phases) to[i] = from[j++];
}

static void add_bias(const xai__spot *s, float *acc, int64_t n, int64_t element, int64_t channel) {
  if (!s->bias) return;
  if (s->bias_kind == XAI__BIAS_OF_ROW) {
    const float b = xai__edited(s->be, s->bias[channel]);
    for (int64_t i = 0; i < n; i++) acc[i] += b;
  } else {
    for (int64_t i = 0; i < n; i++)
      acc[i] += xai__edited(s->be, s->bias[(element + i) % s->n_bias]);
  }
}

static void add_scaled(float *y, const float *x, int64_t n, float scale) {
  for (int64_t i = 0; i < n; i++) y[i] += scale * x[i];
}

void FILL(xai__kernels *k) {
  *k = (xai__kernels){VECTOR, ROWS, tile, transpose, copy, turn_block, gather, edit, finish,
                      sum_rows, sum_columns, slide, take, weave, add_bias, emit, add_scaled};
}

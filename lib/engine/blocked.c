/* Blocked tensors: their size, and the way in and out. */
#include "engine/blocked_inside.h"

int64_t xai__blocked_blocks(const xai__blocked *b) { return (b->c + XAI__BLOCK - 1) / XAI__BLOCK; }
int64_t xai__blocked_pitch(const xai__blocked *b) { return (b->w + 2 * b->border) * XAI__BLOCK; }
int64_t xai__blocked_plane(const xai__blocked *b) {
  return (b->h + 2 * b->border) * xai__blocked_pitch(b);
}

int64_t xai__blocked_count(const xai__blocked *b) {
  if (b->plain || b->h == 0 || b->w == 0) return b->n * b->c * b->h * b->w;
  return b->n * xai__blocked_blocks(b) * xai__blocked_plane(b);
}

float *xai__blocked_row(const xai__blocked *b, int64_t item, int64_t block, int64_t y) {
  return b->data + (item * xai__blocked_blocks(b) + block) * xai__blocked_plane(b) +
         (y + b->border) * xai__blocked_pitch(b) + b->border * XAI__BLOCK;
}

void xai__blocked_clear_border(const xai__blocked *b, int64_t item, int64_t block, int64_t y) {
  const size_t side = (size_t)(b->border * XAI__BLOCK) * sizeof(float);
  const int64_t pitch = xai__blocked_pitch(b);
  if (b->border == 0) return;
  float *row = xai__blocked_row(b, item, block, y) - b->border * XAI__BLOCK;
  memset(row, 0, side);
  memset(row + pitch - b->border * XAI__BLOCK, 0, side);
  const size_t end = (size_t)(b->border * pitch) * sizeof(float);
  if (y == 0) memset(row - b->border * pitch, 0, end);
  if (y == b->h - 1) memset(row + pitch, 0, end);
}

/* ---- conversion: a task is some rows of (item, block, y) ---- */

typedef struct conversion {
  const xai__block_kernels *k;
  const xai__blocked *b;
  float *plain;
  const float *from;
  bool add;
} conversion;

/* Channels of a block, and where its first lies in the plain tensor. */
static int channels_of(const xai__blocked *b, int64_t block) {
  const int64_t left = b->c - block * XAI__BLOCK;
  return left < XAI__BLOCK ? (int)left : XAI__BLOCK;
}

static void rows_from_plain(void *ctx, int64_t begin, int64_t end) {
  const conversion *j = ctx;
  const xai__blocked *b = j->b;
  const int64_t blocks = xai__blocked_blocks(b);
  for (int64_t i = begin; i < end; i++) {
    const int64_t y = i % b->h, block = i / b->h % blocks, item = i / b->h / blocks;
    const float *from = j->from + ((item * b->c + block * XAI__BLOCK) * b->h + y) * b->w;
    j->k->interleave(from, b->h * b->w, channels_of(b, block), b->w,
                     xai__blocked_row(b, item, block, y));
    xai__blocked_clear_border(b, item, block, y);
  }
}

static void rows_to_plain(void *ctx, int64_t begin, int64_t end) {
  const conversion *j = ctx;
  const xai__blocked *b = j->b;
  const int64_t blocks = xai__blocked_blocks(b);
  for (int64_t i = begin; i < end; i++) {
    const int64_t y = i % b->h, block = i / b->h % blocks, item = i / b->h / blocks;
    float *to = j->plain + ((item * b->c + block * XAI__BLOCK) * b->h + y) * b->w;
    j->k->separate(xai__blocked_row(b, item, block, y), channels_of(b, block), b->w, to,
                   b->h * b->w, j->add);
  }
}

#define CONVERSION_GRAIN 8192 /* floats */

static void convert(xai__engine *e, conversion *j, xai__range_fn rows) {
  const int64_t n = j->b->n * xai__blocked_blocks(j->b) * j->b->h;
  if (xai__blocked_count(j->b) == 0) return;
  j->k = &e->block_kernels;
  xai__parallel(e, n, CONVERSION_GRAIN / (j->b->w * XAI__BLOCK + 1) + 1, rows, j);
}

void xai__blocked_from_plain(xai__engine *e, const float *plain, const xai__blocked *to) {
  convert(e, &(conversion){.b = to, .from = plain}, rows_from_plain);
}

void xai__blocked_to_plain(xai__engine *e, const xai__blocked *from, float *plain, bool add) {
  convert(e, &(conversion){.b = from, .plain = plain, .add = add}, rows_to_plain);
}

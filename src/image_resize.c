/* Resizing. The bilinear filter is the antialiased one of Pillow, to the bit: a triangle as wide
 * as a pixel of the coarser side, weights rounded to 22-bit fixed point, one axis after the other
 * with 8 bits in between [Pillow 13, Resample.c; before version 13 the width always went first,
 * which differs by at most one level]. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "file.h"
#include "image.h"

enum { PRECISION = 32 - 8 - 2 };

/* Output sample i of a line is sum_k weight[i][k] * in[first[i] + k]. */
struct filter {
  int length, taps;
  int *first, *used, *weight;
};

static void filter_free(struct filter *f) {
  free(f->first);
  free(f->used);
  free(f->weight);
}

/* Samples begin .. begin + length - 1 of a line of `in` samples resized to `whole`. */
static int filter_make(struct filter *f, int in, int whole, int begin, int length, char err[256]) {
  double scale = (double)in / whole, wide = scale < 1 ? 1 : scale, inverse = 1 / wide;
  f->length = length;
  f->taps = (int)ceil(wide) * 2 + 1;
  size_t n = (size_t)length, taps = (size_t)f->taps;
  double *exact = malloc(taps * sizeof *exact);
  f->first = malloc(n * sizeof *f->first);
  f->used = malloc(n * sizeof *f->used);
  f->weight = malloc(n * taps * sizeof *f->weight);
  if (!exact || !f->first || !f->used || !f->weight) {
    free(exact);
    filter_free(f);
    return err_set(err, "out of memory for resizing a picture");
  }
  for (int i = 0; i < length; i++) {
    double centre = (begin + i + 0.5) * scale, sum = 0;
    int lo = (int)(centre - wide + 0.5), hi = (int)(centre + wide + 0.5);
    if (lo < 0) lo = 0;
    if (hi > in) hi = in;
    for (int k = 0; k < hi - lo; k++) {
      double x = fabs((k + lo - centre + 0.5) * inverse);
      exact[k] = x < 1 ? 1 - x : 0;
      sum += exact[k];
    }
    int *weight = f->weight + (size_t)i * taps;
    for (int k = 0; k < hi - lo; k++) {
      double w = sum != 0 ? exact[k] / sum : exact[k];
      weight[k] = (int)(0.5 + w * (1 << PRECISION));
    }
    f->first[i] = lo;
    f->used[i] = hi - lo;
  }
  free(exact);
  return 0;
}

static unsigned char rounded(int sum) {
  int level = sum >> PRECISION;
  return (unsigned char)(level < 0 ? 0 : level > 255 ? 255 : level);
}

/* Filters along one axis. `step` is the distance in bytes between neighbours along it. */
static void filter_line(const struct filter *f, const unsigned char *in, unsigned char *out,
                        size_t step, size_t out_step) {
  for (int i = 0; i < f->length; i++) {
    const int *weight = f->weight + (size_t)i * (size_t)f->taps;
    const unsigned char *p = in + (size_t)f->first[i] * step;
    int sum = 1 << (PRECISION - 1);
    for (int k = 0; k < f->used[i]; k++, p += step) sum += *p * weight[k];
    out[(size_t)i * out_step] = rounded(sum);
  }
}

static int resize_rows(const struct image *in, const struct filter *f, struct image *out,
                       char err[256]) {
  size_t c = (size_t)in->channels;
  if (image_alloc(f->length, in->height, in->channels, out, err)) return -1;
  for (int y = 0; y < in->height; y++)
    for (size_t k = 0; k < c; k++)
      filter_line(f, in->pixels + (size_t)y * (size_t)in->width * c + k,
                  out->pixels + (size_t)y * (size_t)out->width * c + k, c, c);
  return 0;
}

/* One output row at a time: its inputs are whole rows, read in order. */
static int resize_columns(const struct image *in, const struct filter *f, struct image *out,
                          char err[256]) {
  size_t stride = (size_t)in->width * (size_t)in->channels;
  int *sum = malloc(stride * sizeof *sum);
  if (!sum || image_alloc(in->width, f->length, in->channels, out, err)) {
    free(sum);
    return err_set(err, "out of memory for resizing a picture");
  }
  for (int i = 0; i < f->length; i++) {
    const int *weight = f->weight + (size_t)i * (size_t)f->taps;
    const unsigned char *p = in->pixels + (size_t)f->first[i] * stride;
    unsigned char *q = out->pixels + (size_t)i * stride;
    for (size_t x = 0; x < stride; x++) sum[x] = 1 << (PRECISION - 1);
    for (int k = 0; k < f->used[i]; k++, p += stride)
      for (size_t x = 0; x < stride; x++) sum[x] += p[x] * weight[k];
    for (size_t x = 0; x < stride; x++) q[x] = rounded(sum[x]);
  }
  free(sum);
  return 0;
}

static int copy_columns(const struct image *in, int begin, int length, struct image *out,
                        char err[256]) {
  size_t c = (size_t)in->channels;
  if (image_alloc(length, in->height, in->channels, out, err)) return -1;
  for (int y = 0; y < in->height; y++)
    memcpy(out->pixels + (size_t)y * (size_t)length * c,
           in->pixels + ((size_t)y * (size_t)in->width + (size_t)begin) * c, (size_t)length * c);
  return 0;
}

static int copy_rows(const struct image *in, int begin, int length, struct image *out,
                     char err[256]) {
  size_t stride = (size_t)in->width * (size_t)in->channels;
  if (image_alloc(in->width, length, in->channels, out, err)) return -1;
  memcpy(out->pixels, in->pixels + (size_t)begin * stride, (size_t)length * stride);
  return 0;
}

/* An axis: resized to `whole`, of which `length` samples from `begin` on are wanted. */
struct axis {
  int whole, begin, length;
};

static int pass_x(const struct image *in, struct axis x, struct image *out, char err[256]) {
  struct filter f;
  if (x.whole == in->width) return copy_columns(in, x.begin, x.length, out, err);
  if (filter_make(&f, in->width, x.whole, x.begin, x.length, err)) return -1;
  int rc = resize_rows(in, &f, out, err);
  filter_free(&f);
  return rc;
}

static int pass_y(const struct image *in, struct axis y, struct image *out, char err[256]) {
  struct filter f;
  if (y.whole == in->height) return copy_rows(in, y.begin, y.length, out, err);
  if (filter_make(&f, in->height, y.whole, y.begin, y.length, err)) return -1;
  int rc = resize_columns(in, &f, out, err);
  filter_free(&f);
  return rc;
}

static int resize_window(const struct image *in, struct axis x, struct axis y, struct image *out,
                         char err[256]) {
  struct image between;
  int dx = in->width - x.whole, dy = in->height - y.whole, y_first = dy > 0 && dy > 2 * dx;
  memset(out, 0, sizeof *out);
  if (y_first ? pass_y(in, y, &between, err) : pass_x(in, x, &between, err)) return -1;
  int rc = y_first ? pass_x(&between, x, out, err) : pass_y(&between, y, out, err);
  image_free(&between);
  return rc;
}

static int check_target(int width, int height, struct image *out, char err[256]) {
  memset(out, 0, sizeof *out);
  if (width < 1 || height < 1 || width > IMAGE_MAX_SIDE || height > IMAGE_MAX_SIDE)
    return err_set(err, "a picture cannot be resized to %dx%d", width, height);
  return 0;
}

int image_resize(const struct image *in, int width, int height, struct image *out, char err[256]) {
  struct axis x = {width, 0, width}, y = {height, 0, height};
  if (check_target(width, height, out, err)) return -1;
  return resize_window(in, x, y, out, err);
}

int image_resize_nearest(const struct image *in, int width, int height, struct image *out,
                         char err[256]) {
  size_t c = (size_t)in->channels;
  if (check_target(width, height, out, err)) return -1;
  if (image_alloc(width, height, in->channels, out, err)) return -1;
  for (int y = 0; y < height; y++)
    for (int x = 0; x < width; x++) {
      size_t sy = (size_t)((y * 2LL + 1) * in->height / (height * 2LL));
      size_t sx = (size_t)((x * 2LL + 1) * in->width / (width * 2LL));
      memcpy(out->pixels + ((size_t)y * (size_t)width + (size_t)x) * c,
             in->pixels + (sy * (size_t)in->width + sx) * c, c);
    }
  return 0;
}

/* The middle: half of the excess, a half rounded to even as Python does. */
static int middle(int excess) {
  int half = excess / 2;
  return excess % 2 && half % 2 ? half + 1 : half;
}

int image_fit(const struct image *in, int width, int height, enum image_fit fit, int gray,
              struct image *out, int *box, char err[256]) {
  struct axis x = {width, 0, width}, y = {height, 0, height};
  if (check_target(width, height, out, err)) return -1;
  /* in is wider than the target, compared to its height */
  int64_t wide = (int64_t)in->width * height, high = (int64_t)in->height * width;
  int px = 0, py = 0;
  if (fit == IMAGE_CROP) {
    if (wide > high) x.whole = (int)(wide / in->height);
    if (wide < high) y.whole = (int)(high / in->width);
    x.begin = middle(x.whole - width);
    y.begin = middle(y.whole - height);
  } else if (fit == IMAGE_PAD) {
    if (wide > high) y.whole = (int)(high / in->width);
    if (wide < high) x.whole = (int)(wide / in->height);
    x.length = x.whole = x.whole < 1 ? 1 : x.whole;
    y.length = y.whole = y.whole < 1 ? 1 : y.whole;
    px = middle(width - x.whole);
    py = middle(height - y.whole);
  }
  if (box) {
    box[0] = px, box[1] = py;
    box[2] = x.length, box[3] = y.length;
  }
  if (x.length == width && y.length == height) return resize_window(in, x, y, out, err);
  struct image small;
  if (resize_window(in, x, y, &small, err)) return -1;
  size_t c = (size_t)in->channels, stride = (size_t)width * c;
  if (image_alloc(width, height, in->channels, out, err)) {
    image_free(&small);
    return -1;
  }
  memset(out->pixels, gray, stride * (size_t)height);
  for (int row = 0; row < small.height; row++)
    memcpy(out->pixels + (size_t)(row + py) * stride + (size_t)px * c,
           small.pixels + (size_t)row * (size_t)small.width * c, (size_t)small.width * c);
  image_free(&small);
  return 0;
}

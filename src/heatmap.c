/* Relevance as a picture: reduction over channels, scale, colours, overlay. */
#include "heatmap.h"
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "file.h"

static double number(float value) {
  return isfinite(value) ? (double)value : 0;
}

void heatmap_reduce(const float *relevance, size_t channels, size_t pixels,
                    enum heatmap_channels how, float *map) {
  for (size_t i = 0; i < pixels; i++) {
    double sum = 0, largest = 0;
    for (size_t c = 0; c < channels; c++) {
      double value = number(relevance[c * pixels + i]);
      sum += value;
      if (fabs(value) > fabs(largest)) largest = value;
    }
    if (how == HEATMAP_MAX_ABS)
      sum = largest;
    else if (how == HEATMAP_MEAN && channels > 0)
      sum /= (double)channels;
    map[i] = (float)sum;
  }
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

double heatmap_scale(const float *map, size_t n, double clip) {
  double largest = 0;
  for (size_t i = 0; i < n; i++) largest = fmax(largest, fabs(number(map[i])));
  if (!(clip > 0 && clip < 100) || largest == 0) return largest;
  double *sorted = malloc(n * sizeof *sorted);
  if (!sorted) return -1;
  for (size_t i = 0; i < n; i++) sorted[i] = fabs(number(map[i]));
  qsort(sorted, n, sizeof *sorted, ascending);
  double at = clip / 100 * (double)(n - 1);
  size_t lo = (size_t)at, hi = lo + 1 < n ? lo + 1 : lo;
  double scale = sorted[lo] + (sorted[hi] - sorted[lo]) * (at - (double)lo);
  free(sorted);
  return scale > 0 ? scale : largest;
}

/* From white (t = 0) outwards, at |t| = 1/4, 1/2, 3/4, 1: [palette][against, for][step][rgb]. */
static const unsigned char ramps[2][2][4][3] = {
    {{{196, 219, 239}, {117, 172, 217}, {44, 108, 185}, {12, 48, 125}},
     {{253, 206, 190}, {246, 134, 106}, {220, 46, 45}, {150, 4, 24}}},
    {{{218, 210, 234}, {168, 150, 205}, {110, 80, 166}, {56, 20, 105}},
     {{254, 217, 166}, {248, 162, 72}, {214, 104, 12}, {138, 58, 4}}}};

void heatmap_colour(enum heatmap_palette palette, double t, unsigned char rgb[3]) {
  static const unsigned char white[3] = {255, 255, 255};
  double a = isnan(t) ? 0 : fmin(fabs(t), 1) * 4;
  int step = a >= 4 ? 3 : (int)a;
  const unsigned char(*ramp)[3] = ramps[palette == HEATMAP_ORANGE_PURPLE][t > 0];
  const unsigned char *from = step > 0 ? ramp[step - 1] : white, *to = ramp[step];
  for (int c = 0; c < 3; c++)
    rgb[c] = (unsigned char)lrint(from[c] + (to[c] - from[c]) * (a - step));
}

int heatmap_is_dark(const unsigned char rgb[3]) { /* ITU-R 601 luma */
  return 299 * rgb[0] + 587 * rgb[1] + 114 * rgb[2] < 128000;
}

static double share(float value, double scale) {
  double t = scale > 0 ? number(value) / scale : 0;
  return t > 1 ? 1 : t < -1 ? -1 : t;
}

int heatmap_render(const float *map, int height, int width, double scale,
                   enum heatmap_palette palette, struct image *out, char err[256]) {
  if (image_alloc(width, height, 3, out, err)) return -1;
  size_t n = (size_t)width * (size_t)height;
  for (size_t i = 0; i < n; i++)
    heatmap_colour(palette, share(map[i], scale), out->pixels + 3 * i);
  return 0;
}

/* One axis: out[i] averages the cells that (i, i+1) * in/out covers, or interpolates between two
 * centres, or takes the nearest. `step` is the distance between neighbours, in and out. */
static void resample_line(const float *in, int n_in, size_t step_in, float *out, int n_out,
                          size_t step_out, int smooth) {
  double ratio = (double)n_in / n_out;
  for (int i = 0; i < n_out; i++) {
    double value = 0;
    if (n_out < n_in) {
      double begin = i * ratio, end = begin + ratio, weight = 0;
      for (int k = (int)begin; k < n_in && k < end; k++) {
        double part = fmin(end, k + 1) - fmax(begin, k);
        value += part * number(in[(size_t)k * step_in]);
        weight += part;
      }
      value /= weight;
    } else if (smooth) {
      double at = fmin(fmax((i + 0.5) * ratio - 0.5, 0), n_in - 1);
      int lo = (int)at, hi = lo + 1 < n_in ? lo + 1 : lo;
      double a = number(in[(size_t)lo * step_in]), b = number(in[(size_t)hi * step_in]);
      value = a + (b - a) * (at - lo);
    } else {
      value = number(in[(size_t)((i + 0.5) * ratio) * step_in]);
    }
    out[(size_t)i * step_out] = (float)value;
  }
}

int heatmap_resample(const float *map, int height, int width, int smooth, float *out,
                     int out_height, int out_width) {
  size_t w = (size_t)width, ow = (size_t)out_width;
  float *rows = malloc((size_t)height * ow * sizeof *rows);
  if (!rows) return -1;
  for (int y = 0; y < height; y++)
    resample_line(map + (size_t)y * w, width, 1, rows + (size_t)y * ow, out_width, 1, smooth);
  for (int x = 0; x < out_width; x++)
    resample_line(rows + x, height, ow, out + x, out_height, ow, smooth);
  free(rows);
  return 0;
}

int heatmap_overlay(const float *map, int height, int width, double scale,
                    enum heatmap_palette palette, int smooth, const struct image *picture,
                    struct image *out, char err[256]) {
  struct image gray;
  memset(out, 0, sizeof *out);
  if (image_convert(picture, 1, &gray, err)) return -1;
  size_t n = (size_t)gray.width * (size_t)gray.height;
  float *large = malloc(n * sizeof *large);
  if (!large || heatmap_resample(map, height, width, smooth, large, gray.height, gray.width) ||
      image_alloc(gray.width, gray.height, 3, out, err)) {
    free(large);
    image_free(&gray);
    return err_set(err, "out of memory for an overlay");
  }
  for (size_t i = 0; i < n; i++) {
    unsigned char rgb[3];
    double t = share(large[i], scale), cover = 0.85 * sqrt(fabs(t));
    double level = 96 + gray.pixels[i] * (159.0 / 255); /* light, so that colour stands out */
    heatmap_colour(palette, t < 0 ? t * 0.6 - 0.25 : t * 0.6 + 0.25, rgb);
    for (int c = 0; c < 3; c++)
      out->pixels[3 * i + (size_t)c] = (unsigned char)lrint(level + (rgb[c] - level) * cover);
  }
  free(large);
  image_free(&gray);
  return 0;
}

static int find(const char *name, const char *const *names, int n) {
  for (int i = 0; i < n; i++)
    if (strcmp(name, names[i]) == 0) return i;
  return -1;
}

int heatmap_palette_find(const char *name) {
  static const char *const names[] = {"red-blue", "orange-purple"};
  return find(name, names, 2);
}

int heatmap_channels_find(const char *name) {
  static const char *const names[] = {"sum", "mean", "max-abs"};
  return find(name, names, 3);
}

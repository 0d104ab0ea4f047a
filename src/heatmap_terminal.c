/* A heatmap for a terminal. With colour each character shows two elements, one over the other: the
 * upper half block in the one's colour on the other's. Without, each character stands for the mean
 * of two such elements: a letter-like ramp for support, a line-like one against. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "heatmap.h"

static const char supports[] = " .+x#@", against[] = " `-=~%";

struct text {
  char *bytes;
  size_t used, capacity;
};

static void add(struct text *t, const char *format, ...) {
  va_list ap;
  va_start(ap, format);
  int n = vsnprintf(t->bytes + t->used, t->capacity - t->used, format, ap);
  va_end(ap);
  if (n > 0) t->used += (size_t)n;
}

/* At most 48 bytes a character and 8 a line: "\x1b[38;2;255;255;255;48;2;255;255;255m" is 38. */
static int reserve(struct text *t, int lines, int columns) {
  t->used = 0;
  t->capacity = ((size_t)columns * 48 + 8) * (size_t)lines + 1;
  t->bytes = malloc(t->capacity);
  if (t->bytes) t->bytes[0] = 0;
  return t->bytes ? 0 : -1;
}

static void colour_line(struct text *t, const float *upper, const float *lower, int columns,
                        double scale, enum heatmap_palette palette) {
  unsigned char was[6] = {0}, now[6];
  int known = 0;
  for (int x = 0; x < columns; x++) {
    heatmap_colour(palette, scale > 0 ? (double)upper[x] / scale : 0, now);
    heatmap_colour(palette, scale > 0 && lower ? (double)lower[x] / scale : 0, now + 3);
    if (!known || memcmp(now, was, lower ? 6 : 3) != 0) {
      add(t, "\x1b[38;2;%d;%d;%d", now[0], now[1], now[2]);
      if (lower) add(t, ";48;2;%d;%d;%d", now[3], now[4], now[5]);
      add(t, "m");
      memcpy(was, now, sizeof was);
      known = 1;
    }
    add(t, "\xe2\x96\x80");
  }
  add(t, "\x1b[0m\n");
}

static void plain_line(struct text *t, const float *row, int columns, double scale) {
  size_t begin = t->used;
  for (int x = 0; x < columns; x++) {
    double share = scale > 0 ? (double)row[x] / scale : 0;
    int level = (int)ceil(fmin(fabs(share), 1) * 5 - 0.5); /* below a tenth: blank */
    add(t, "%c", share > 0 ? supports[level] : against[level]);
  }
  while (t->used > begin && t->bytes[t->used - 1] == ' ') t->used--;
  add(t, "\n");
}

char *heatmap_terminal(const float *map, int height, int width, double scale,
                       enum heatmap_palette palette, int columns, int colour) {
  if (height < 1 || width < 1 || columns < 1) return NULL;
  int w = width < columns ? width : columns;
  double exact = (double)height * w / width;
  int h = exact < 1 ? 1 : (int)lrint(exact);
  int lines = (h + 1) / 2;
  if (!colour) h = lines;
  struct text t;
  float *small = malloc((size_t)w * (size_t)h * sizeof *small);
  if (!small || heatmap_resample(map, height, width, 0, small, h, w) || reserve(&t, lines, w)) {
    free(small);
    return NULL;
  }
  for (int line = 0; line < lines; line++) {
    if (colour) {
      const float *upper = small + (size_t)line * 2 * (size_t)w;
      colour_line(&t, upper, line * 2 + 1 < h ? upper + w : NULL, w, scale, palette);
    } else {
      plain_line(&t, small + (size_t)line * (size_t)w, w, scale);
    }
  }
  free(small);
  return t.bytes;
}

char *heatmap_legend(enum heatmap_palette palette, int colour) {
  struct text t;
  if (reserve(&t, 1, 32)) return NULL;
  if (!colour) {
    add(&t, "%s supports, %s speaks against, blank is near zero", supports + 1, against + 1);
    return t.bytes;
  }
  int warm = palette == HEATMAP_ORANGE_PURPLE;
  static const double steps[] = {-1, -0.7, -0.4, 0, 0.4, 0.7, 1};
  add(&t, "%s speaks against ", warm ? "purple" : "blue");
  for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
    unsigned char rgb[3];
    heatmap_colour(palette, steps[i], rgb);
    add(&t, "\x1b[48;2;%d;%d;%dm ", rgb[0], rgb[1], rgb[2]);
  }
  add(&t, "\x1b[0m %s supports", warm ? "orange" : "red");
  return t.bytes;
}

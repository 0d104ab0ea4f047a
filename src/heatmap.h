/* Relevance as a picture: red supports, blue speaks against, white is zero, symmetric scale.
 *
 * A map is H x W floats, row-major. Values that are not finite count as zero. */
#ifndef XAI_TOOL_HEATMAP_H
#define XAI_TOOL_HEATMAP_H
#include <stddef.h>
#include "image.h"

enum heatmap_channels { HEATMAP_SUM, HEATMAP_MEAN, HEATMAP_MAX_ABS };
enum heatmap_palette {
  HEATMAP_RED_BLUE,     /* "red-blue" */
  HEATMAP_ORANGE_PURPLE /* "orange-purple": safe for the common kinds of colour blindness */
};

/* relevance (C,H,W) -> map[H*W]; max-abs keeps the sign of the largest value. */
void heatmap_reduce(const float *relevance, size_t channels, size_t pixels,
                    enum heatmap_channels how, float *map);

/* The symmetric scale: the clip-th percentile of |map| as numpy.percentile gives it, the largest
 * |map| when clip is 0 or >= 100 or the percentile is 0. 0 for a map of zeros (then everything is
 * white). -1 without memory. */
double heatmap_scale(const float *map, size_t n, double clip);

/* t = value / scale, clamped to -1..1, to a colour. */
void heatmap_colour(enum heatmap_palette palette, double t, unsigned char rgb[3]);

/* Whether white letters are read better on it than black ones. */
int heatmap_is_dark(const unsigned char rgb[3]);

/* To another size: nearest, or smooth: bilinear where it grows, averaged where it shrinks (which
 * smooth = 0 does as well, so that nothing is lost). -1 without memory. */
int heatmap_resample(const float *map, int height, int width, int smooth, float *out,
                     int out_height, int out_width);

/* One pixel an element. */
int heatmap_render(const float *map, int height, int width, double scale,
                   enum heatmap_palette palette, struct image *out, char err[256]);

/* The map, stretched to the picture's size (smooth: bilinear, else nearest), over the greyed
 * picture: the stronger the relevance, the more of its colour shows. */
int heatmap_overlay(const float *map, int height, int width, double scale,
                    enum heatmap_palette palette, int smooth, const struct image *picture,
                    struct image *out, char err[256]);

/* The map for a terminal, at most `columns` wide (larger maps are averaged down, never up), lines
 * ended by '\n'. colour: half blocks in 24-bit colour, UTF-8; otherwise ASCII characters, see
 * heatmap_legend. NULL without memory or with a size below 1; freed with free(). */
char *heatmap_terminal(const float *map, int height, int width, double scale,
                       enum heatmap_palette palette, int columns, int colour);

/* One line without '\n' that explains heatmap_terminal's output; freed with free(). */
char *heatmap_legend(enum heatmap_palette palette, int colour);

/* By name, for options; -1 for an unknown one. */
int heatmap_palette_find(const char *name);  /* red-blue, orange-purple */
int heatmap_channels_find(const char *name); /* sum, mean, max-abs */
#endif

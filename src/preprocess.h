/* From pixels to what a network was trained on: value = (pixel * scale - mean) / std.
 *
 * Pixels are 0..255; mean and std are per channel in the network's order (after `bgr`), or one for
 * all. Names: imagenet, zero-one, minus-one-one, bytes, none (bytes, and the picture must have the
 * network's size already). A list: scale=1/255,mean=a:b:c,std=a:b:c,bgr ; what is left out is
 * scale 1, mean 0, std 1, RGB. */
#ifndef XAI_TOOL_PREPROCESS_H
#define XAI_TOOL_PREPROCESS_H
#include <stdbool.h>
#include "image.h"
#include "model.h"
#include "npy.h"

enum { PREPROCESS_CHANNELS = 4 };

struct preprocess {
  double scale, mean[PREPROCESS_CHANNELS], std[PREPROCESS_CHANNELS];
  bool bgr, resize;
  enum image_fit fit;
  const char *text; /* as it was given or guessed; borrowed */
};

/* How an input takes a picture. */
struct picture_layout {
  enum { LAYOUT_CHW, LAYOUT_HWC, LAYOUT_HW, LAYOUT_FLAT } kind;
  int channels, height, width; /* height, width -1: whatever the picture has */
  bool batch;                  /* axis 0 stands before it */
};

/* 0, or -1 when the input's shape is not that of a picture (1 or 3 channels). */
int picture_layout_of(const struct port *input, struct picture_layout *out);

/* --preprocess, else the model's metadata, else by shape. `guessed`: the last. */
int preprocess_choose(const struct model *m, const struct options *o,
                      const struct picture_layout *layout, struct preprocess *out, bool *guessed);
int preprocess_parse(const char *text, struct preprocess *out);

/* The picture at the network's size and number of channels. */
int preprocess_fit(const struct image *in, const struct picture_layout *layout,
                   const struct preprocess *p, const char *name, struct image *out);
/* Its values in the input's layout: channels * height * width floats, to be freed. */
float *preprocess_values(const struct image *fitted, const struct picture_layout *layout,
                         const struct preprocess *p);
/* The way back: pixels from values, cut to 0..255; -1 without memory. */
int preprocess_picture(const float *values, const struct picture_layout *layout,
                       const struct preprocess *p, struct image *out);
/* Picture `item` of a uint8 array [N,H,W], [N,H,W,C] or [N,C,H,W]; -1 when it is none of them. */
int preprocess_pixels(const struct npy_array *a, size_t item, struct image *out);
#endif

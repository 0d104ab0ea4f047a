/* Pixels to values. */
#include "preprocess.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "params.h"
#include "say.h"

static const struct {
  const char *name, *list;
  bool resize;
} names[] = {
    {"imagenet", "scale=1/255,mean=0.485:0.456:0.406,std=0.229:0.224:0.225", true},
    {"zero-one", "scale=1/255", true},
    {"minus-one-one", "scale=1/127.5,mean=1", true},
    {"bytes", "scale=1", true},
    {"none", "scale=1", false},
};

static bool is_channels(int64_t n) { return n == 1 || n == 3; }

/* side * side * channels == n? */
static int flat_side(int64_t n, int *channels) {
  static const int counts[] = {1, 3};
  for (size_t i = 0; i < 2; i++) {
    int64_t side = n % counts[i] ? 0 : (int64_t)floor(sqrt((double)(n / counts[i])) + 0.5);
    if (side > 3 && side <= IMAGE_MAX_SIDE && side * side * counts[i] == n) {
      *channels = counts[i];
      return (int)side;
    }
  }
  return 0;
}

int picture_layout_of(const struct port *input, struct picture_layout *out) {
  const int64_t *s = input->shape;
  memset(out, 0, sizeof *out);
  out->batch = input->rank >= 2 && (s[0] == -1 || s[0] == 1);
  if (input->rank == 3 && is_channels(s[0]) && s[1] != 1)
    out->batch = false;
  int rank = input->rank - out->batch;
  s += out->batch;
  int64_t height = -1, width = -1, channels = 1;
  if (rank == 3 && (is_channels(s[0]) || !is_channels(s[2]))) {
    out->kind = LAYOUT_CHW;
    channels = s[0] == -1 ? 3 : s[0];
    height = s[1];
    width = s[2];
  } else if (rank == 3) {
    out->kind = LAYOUT_HWC;
    height = s[0];
    width = s[1];
    channels = s[2];
  } else if (rank == 2) {
    out->kind = LAYOUT_HW;
    height = s[0];
    width = s[1];
  } else if (rank == 1) {
    int n = 0, side = flat_side(s[0], &n);
    if (!side)
      return -1;
    out->kind = LAYOUT_FLAT;
    height = width = side;
    channels = n;
  } else {
    return -1;
  }
  if (!is_channels(channels) || height > IMAGE_MAX_SIDE || width > IMAGE_MAX_SIDE)
    return -1;
  out->channels = (int)channels;
  out->height = (int)height;
  out->width = (int)width;
  return 0;
}

static int channel_list(const char *key, const char *text, double out[PREPROCESS_CHANNELS]) {
  int n = params_numbers(text, out, PREPROCESS_CHANNELS);
  if (n != 1 && n != 3) {
    return say(EXIT_USAGE, "--preprocess: %s takes 1 or 3 numbers joined by ':', not '%s'", key,
               text);
  }
  for (int i = n; i < PREPROCESS_CHANNELS; i++)
    out[i] = out[n == 1 ? 0 : n - 1];
  return EXIT_FINE;
}

static int parse_entry(char *entry, struct preprocess *out) {
  char *value = strchr(entry, '=');
  if (value)
    *value++ = 0;
  if (!strcmp(entry, "bgr") && !value) {
    out->bgr = true;
  } else if (!strcmp(entry, "scale") && value) {
    if (params_number(value, &out->scale)) {
      return say(EXIT_USAGE, "--preprocess: scale takes a number, not '%s'", value);
    }
  } else if (!strcmp(entry, "mean") && value) {
    return channel_list("mean", value, out->mean);
  } else if (!strcmp(entry, "std") && value) {
    int code = channel_list("std", value, out->std);
    if (code)
      return code;
    for (int i = 0; i < PREPROCESS_CHANNELS; i++) {
      if (out->std[i] == 0)
        return say(EXIT_USAGE, "--preprocess: std is 0");
    }
  } else {
    return say(EXIT_USAGE,
               "--preprocess takes imagenet, zero-one, minus-one-one, bytes, none or a list of "
               "scale=, mean=, std= and bgr, not '%s'",
               entry);
  }
  return EXIT_FINE;
}

int preprocess_parse(const char *text, struct preprocess *out) {
  memset(out, 0, sizeof *out);
  out->scale = 1;
  out->resize = true;
  out->text = text;
  for (int i = 0; i < PREPROCESS_CHANNELS; i++)
    out->std[i] = 1;
  const char *list = text;
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    if (strcmp(text, names[i].name))
      continue;
    list = names[i].list;
    out->resize = names[i].resize;
  }
  char *copy = strdup(list);
  if (!copy)
    return say_no_memory();
  int code = EXIT_FINE;
  for (char *entry = copy, *next; entry && !code; entry = next) {
    next = strchr(entry, ',');
    if (next)
      *next++ = 0;
    code = parse_entry(entry, out);
  }
  free(copy);
  return code;
}

int preprocess_choose(const struct model *m, const struct options *o,
                      const struct picture_layout *layout, struct preprocess *out, bool *guessed) {
  const char *text = o->preprocess ? o->preprocess : model_text(m, "metadata/xai.preprocess");
  bool large = layout->height < 0 || (layout->height >= 64 && layout->width >= 64);
  *guessed = !text;
  if (!text)
    text = layout->channels == 3 && large ? "imagenet" : "zero-one";
  int code = preprocess_parse(text, out);
  out->fit = !o->fit || !strcmp(o->fit, "stretch") ? IMAGE_STRETCH
             : !strcmp(o->fit, "crop")             ? IMAGE_CROP
                                                   : IMAGE_PAD;
  return code;
}

int preprocess_fit(const struct image *in, const struct picture_layout *layout,
                   const struct preprocess *p, const char *name, struct image *out) {
  char err[256];
  int height = layout->height < 0 ? in->height : layout->height;
  int width = layout->width < 0 ? in->width : layout->width;
  struct image converted;
  if (!p->resize && (in->height != height || in->width != width)) {
    return say(EXIT_INPUT, "%s: is %d x %d, the model takes %d x %d, and 'none' does not resize",
               name, in->width, in->height, width, height);
  }
  if (image_convert(in, layout->channels, &converted, err))
    return say(EXIT_INPUT, "%s", err);
  int failed = image_fit(&converted, width, height, p->fit, 0, out, NULL, err);
  image_free(&converted);
  return failed ? say(EXIT_INPUT, "%s", err) : EXIT_FINE;
}

float *preprocess_values(const struct image *fitted, const struct picture_layout *layout,
                         const struct preprocess *p) {
  size_t channels = (size_t)fitted->channels;
  size_t pixels = (size_t)fitted->width * (size_t)fitted->height;
  float *values = malloc(channels * pixels * sizeof *values + 1);
  if (!values)
    return NULL;
  bool planar = layout->kind == LAYOUT_CHW || layout->kind == LAYOUT_FLAT;
  for (size_t i = 0; i < pixels; i++) {
    for (size_t c = 0; c < channels; c++) {
      unsigned char pixel = fitted->pixels[i * channels + (p->bgr ? channels - 1 - c : c)];
      double value = (pixel * p->scale - p->mean[c]) / p->std[c];
      values[planar ? c * pixels + i : i * channels + c] = (float)value;
    }
  }
  return values;
}

int preprocess_picture(const float *values, const struct picture_layout *layout,
                       const struct preprocess *p, struct image *out) {
  char err[256];
  if (image_alloc(layout->width, layout->height, layout->channels, out, err))
    return -1;
  size_t channels = (size_t)out->channels, pixels = (size_t)out->width * (size_t)out->height;
  bool planar = layout->kind == LAYOUT_CHW || layout->kind == LAYOUT_FLAT;
  for (size_t i = 0; i < pixels; i++) {
    for (size_t c = 0; c < channels; c++) {
      double value = (double)values[planar ? c * pixels + i : i * channels + c];
      double pixel = floor((value * p->std[c] + p->mean[c]) / p->scale + 0.5);
      out->pixels[i * channels + (p->bgr ? channels - 1 - c : c)] =
          (unsigned char)(pixel > 0 ? pixel < 255 ? pixel : 255 : 0);
    }
  }
  return 0;
}

int preprocess_pixels(const struct npy_array *a, size_t item, struct image *out) {
  char err[256];
  const int64_t *s = a->shape;
  int rank = a->rank;
  bool planar = rank == 4 && is_channels(s[1]) && !is_channels(s[3]);
  if (a->type != NPY_U8 || (rank != 3 && rank != 4))
    return -1;
  if (rank == 4 && !planar && !is_channels(s[3]))
    return -1;
  int64_t height = s[planar ? 2 : 1], width = s[planar ? 3 : 2];
  int64_t channels = rank == 3 ? 1 : planar ? s[1] : s[3];
  if (height < 1 || width < 1 || height > IMAGE_MAX_SIDE || width > IMAGE_MAX_SIDE)
    return -1;
  if (image_alloc((int)width, (int)height, (int)channels, out, err))
    return -1;
  size_t pixels = (size_t)(height * width), n = pixels * (size_t)channels;
  const unsigned char *from = (const unsigned char *)a->data + item * n;
  for (size_t i = 0; i < pixels; i++) {
    for (size_t c = 0; c < (size_t)channels; c++) {
      out->pixels[i * (size_t)channels + c] =
          from[planar ? c * pixels + i : i * (size_t)channels + c];
    }
  }
  return 0;
}

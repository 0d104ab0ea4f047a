/* Pictures: PNG and JPEG in, PNG out, resizing as Pillow does.
 *
 * Pixels are rows from the top, channels interleaved (H,W,C), 8 bits; channels is 1 (gray) or
 * 3 (RGB). Alpha is composited on white, 16 bits are scaled to 8, EXIF orientation is applied. */
#ifndef XAI_TOOL_IMAGE_H
#define XAI_TOOL_IMAGE_H
#include <stddef.h>

enum { IMAGE_MAX_SIDE = 16384 };

struct image {
  int width, height, channels;
  unsigned char *pixels; /* malloc, width * height * channels */
};

enum image_fit {
  IMAGE_STRETCH, /* to the size, whatever that does to the aspect */
  IMAGE_CROP,    /* fill the size, cut the middle out */
  IMAGE_PAD      /* fit inside the size, centred on a background */
};

struct image_text {
  const char *key;   /* 1 to 79 Latin letters: a PNG keyword */
  const char *value; /* UTF-8 of any length; tEXt when ASCII, iTXt otherwise */
};

/* PNG and JPEG are told apart by content. */
int image_read(const char *path, struct image *out, char err[256]);
int image_parse(const void *bytes, size_t size, const char *name, struct image *out,
                char err[256]);
int image_sniff(const void *bytes, size_t size); /* 1 when it begins like a PNG or a JPEG */

/* *bytes is freed with free(). texts may be NULL when n_texts is 0. */
int image_format_png(const struct image *im, const struct image_text *texts, size_t n_texts,
                     unsigned char **bytes, size_t *size, char err[256]);
int image_write_png(const char *path, const struct image *im, const struct image_text *texts,
                    size_t n_texts, char err[256]);

/* Zero-filled (black). */
int image_alloc(int width, int height, int channels, struct image *out, char err[256]);
void image_free(struct image *im);

/* out never aliases in. Bit-equal with Pillow's Image.resize(size, BILINEAR) for L and RGB. */
int image_resize(const struct image *in, int width, int height, struct image *out, char err[256]);
int image_resize_nearest(const struct image *in, int width, int height, struct image *out,
                         char err[256]);
/* As image_resize; gray is the padding's level, 0..255 (used by IMAGE_PAD only). The part of the
 * result that shows the picture is written to box[4] = x, y, width, height, unless box is NULL. */
int image_fit(const struct image *in, int width, int height, enum image_fit fit, int gray,
              struct image *out, int *box, char err[256]);
/* 1 to 3: copies the level; 3 to 1: Pillow's convert("L"), ITU-R 601 luma. */
int image_convert(const struct image *in, int channels, struct image *out, char err[256]);
#endif

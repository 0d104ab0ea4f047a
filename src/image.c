/* Pictures: what PNG and JPEG share, and conversion between gray and RGB. */
#include "image.h"
#include <stdlib.h>
#include <string.h>
#include "file.h"
#include "image_internal.h"

int image_check_size(unsigned long width, unsigned long height, const char *name, char err[256]) {
  if (width < 1 || height < 1) return err_set(err, "%s: the picture has no pixels", name);
  if (width > IMAGE_MAX_SIDE || height > IMAGE_MAX_SIDE)
    return err_set(err, "%s: %lux%lu pixels, at most %dx%d are supported", name, width, height,
                   IMAGE_MAX_SIDE, IMAGE_MAX_SIDE);
  return 0;
}

int image_alloc(int width, int height, int channels, struct image *out, char err[256]) {
  memset(out, 0, sizeof *out);
  if (width < 1 || height < 1 || width > IMAGE_MAX_SIDE || height > IMAGE_MAX_SIDE ||
      (channels != 1 && channels != 3))
    return err_set(err, "a picture of %dx%d with %d channels is not supported", width, height,
                   channels);
  out->pixels = calloc((size_t)width * (size_t)height, (size_t)channels);
  if (!out->pixels) return err_set(err, "out of memory for a picture of %dx%d", width, height);
  out->width = width;
  out->height = height;
  out->channels = channels;
  return 0;
}

void image_free(struct image *im) {
  free(im->pixels);
  memset(im, 0, sizeof *im);
}

static int is_png(const unsigned char *p, size_t size) {
  return size >= 8 && memcmp(p, "\x89PNG\r\n\x1a\n", 8) == 0;
}

static int is_jpeg(const unsigned char *p, size_t size) {
  return size >= 3 && memcmp(p, "\xff\xd8\xff", 3) == 0;
}

int image_sniff(const void *bytes, size_t size) {
  return is_png(bytes, size) || is_jpeg(bytes, size);
}

int image_parse(const void *bytes, size_t size, const char *name, struct image *out,
                char err[256]) {
  memset(out, 0, sizeof *out);
  if (is_png(bytes, size)) return image_parse_png(bytes, size, name, out, err);
  if (is_jpeg(bytes, size)) return image_parse_jpeg(bytes, size, name, out, err);
  size_t n = strlen(name);
  const char *what = n > 4 && strcmp(name + n - 4, ".png") == 0 ? "a PNG" : "a PNG or JPEG picture";
  if ((n > 4 && strcmp(name + n - 4, ".jpg") == 0) || (n > 5 && strcmp(name + n - 5, ".jpeg") == 0))
    what = "a JPEG";
  return err_set(err, "%s: not %s: bad signature", name, what);
}

int image_read(const char *path, struct image *out, char err[256]) {
  unsigned char *bytes;
  size_t size;
  memset(out, 0, sizeof *out);
  if (file_read(path, (size_t)1 << 30, &bytes, &size, err)) return -1;
  int rc = image_parse(bytes, size, file_name(path), out, err);
  free(bytes);
  return rc;
}

int image_convert(const struct image *in, int channels, struct image *out, char err[256]) {
  if (image_alloc(in->width, in->height, channels, out, err)) return -1;
  size_t n = (size_t)in->width * (size_t)in->height;
  const unsigned char *p = in->pixels;
  unsigned char *q = out->pixels;
  if (in->channels == channels) {
    memcpy(q, p, n * (size_t)channels);
  } else if (channels == 3) {
    for (size_t i = 0; i < n; i++, q += 3) q[0] = q[1] = q[2] = p[i];
  } else {
    for (size_t i = 0; i < n; i++, p += 3)
      q[i] = (unsigned char)((p[0] * 19595 + p[1] * 38470 + p[2] * 7471 + 0x8000) >> 16);
  }
  return 0;
}

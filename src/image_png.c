/* PNG through libpng. Its errors come back by longjmp to the function that called it. */
#include <png.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "file.h"
#include "image_internal.h"

/* On the heap: what changes between setjmp and longjmp must not live in a local variable. */
struct state {
  jmp_buf escape;
  char why[160];
  const unsigned char *bytes; /* reading */
  size_t size, at;
  unsigned char **rows;
  unsigned char *out; /* writing */
  size_t capacity;
};

static void on_error(png_structp png, png_const_charp text) {
  struct state *s = png_get_error_ptr(png);
  snprintf(s->why, sizeof s->why, "%s", text);
  longjmp(s->escape, 1);
}

static void on_warning(png_structp png, png_const_charp text) {
  (void)png;
  (void)text;
}

static void pull(png_structp png, png_bytep to, png_size_t n) {
  struct state *s = png_get_io_ptr(png);
  if (n > s->size - s->at) png_error(png, "truncated");
  memcpy(to, s->bytes + s->at, n);
  s->at += n;
}

static void push(png_structp png, png_bytep from, png_size_t n) {
  struct state *s = png_get_io_ptr(png);
  if (n > s->capacity - s->size) {
    size_t capacity = s->capacity + s->capacity / 2 + n + 4096;
    unsigned char *grown = realloc(s->out, capacity);
    if (!grown) png_error(png, "out of memory");
    s->out = grown;
    s->capacity = capacity;
  }
  memcpy(s->out + s->size, from, n);
  s->size += n;
}

static void flush(png_structp png) {
  (void)png;
}

/* Gray-alpha or RGBA rows to gray or RGB on white, in place. */
static void composite(unsigned char *p, size_t n, int channels) {
  unsigned char *q = p;
  for (size_t i = 0; i < n; i++, p += channels + 1, q += channels) {
    unsigned a = p[channels];
    for (int c = 0; c < channels; c++)
      q[c] = (unsigned char)((p[c] * a + 255 * (255 - a) + 127) / 255);
  }
}

static void read_all(png_structp png, png_infop info, struct state *s, const char *name,
                     struct image *out, char err[256]) {
  static const unsigned char unread[] = "tEXt\0zTXt\0iTXt\0iCCP\0sPLT\0eXIf\0hIST";
  png_set_read_fn(png, s, pull);
  png_set_user_limits(png, 0x7fffffff, 0x7fffffff); /* ours are checked below, by name */
  png_set_chunk_malloc_max(png, 8 << 20);
  png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, unread, (int)sizeof unread / 5);
  png_set_crc_action(png, PNG_CRC_ERROR_QUIT, PNG_CRC_WARN_DISCARD);
  png_read_info(png, info);
  png_uint_32 width = png_get_image_width(png, info), height = png_get_image_height(png, info);
  int type = png_get_color_type(png, info), depth = png_get_bit_depth(png, info);
  if (image_check_size(width, height, name, err)) longjmp(s->escape, 2);
  /* Deflate never shrinks past 1:1032: a small file that claims more is not worth the memory. */
  if ((uint64_t)height * png_get_rowbytes(png, info) / 1032 > s->size) png_error(png, "truncated");
  if (type == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png);
  if (type == PNG_COLOR_TYPE_GRAY && depth < 8) png_set_expand_gray_1_2_4_to_8(png);
  if (png_get_valid(png, info, PNG_INFO_tRNS)) png_set_tRNS_to_alpha(png);
  if (depth == 16) png_set_scale_16(png);
  png_set_interlace_handling(png);
  png_read_update_info(png, info);
  int stored = png_get_channels(png, info), channels = stored < 3 ? 1 : 3;
  size_t stride = png_get_rowbytes(png, info);
  if (stride != (size_t)width * (size_t)stored) png_error(png, "unexpected row size");
  out->pixels = malloc(stride * height);
  s->rows = malloc(height * sizeof *s->rows);
  if (!out->pixels || !s->rows) png_error(png, "out of memory");
  for (png_uint_32 y = 0; y < height; y++) s->rows[y] = out->pixels + y * stride;
  png_read_image(png, s->rows);
  png_read_end(png, NULL);
  out->width = (int)width;
  out->height = (int)height;
  out->channels = channels;
  if (stored == channels) return;
  composite(out->pixels, (size_t)width * height, channels);
  unsigned char *smaller = realloc(out->pixels, (size_t)width * height * (size_t)channels);
  if (smaller) out->pixels = smaller;
}

int image_parse_png(const void *bytes, size_t size, const char *name, struct image *out,
                    char err[256]) {
  memset(out, 0, sizeof *out);
  struct state *s = calloc(1, sizeof *s);
  png_structp png =
      s ? png_create_read_struct(PNG_LIBPNG_VER_STRING, s, on_error, on_warning) : NULL;
  png_infop info = png ? png_create_info_struct(png) : NULL;
  if (!info) {
    png_destroy_read_struct(&png, NULL, NULL);
    free(s);
    return err_set(err, "%s: out of memory", name);
  }
  s->bytes = bytes;
  s->size = size;
  int escaped = setjmp(s->escape);
  if (escaped == 0) read_all(png, info, s, name, out, err);
  png_destroy_read_struct(&png, &info, NULL);
  if (escaped) image_free(out);
  if (escaped == 1) err_set(err, "%s: damaged PNG: %s", name, s->why);
  free(s->rows);
  free(s);
  return escaped ? -1 : 0;
}

static int is_ascii(const char *s) {
  while (*s)
    if ((unsigned char)*s++ >= 128) return 0;
  return 1;
}

static void write_all(png_structp png, png_infop info, struct state *s, const struct image *im,
                      png_text *text, int n_texts) {
  size_t stride = (size_t)im->width * (size_t)im->channels;
  png_set_write_fn(png, s, push, flush);
  png_set_user_limits(png, 0x7fffffff, 0x7fffffff);
  png_set_IHDR(png, info, (png_uint_32)im->width, (png_uint_32)im->height, 8,
               im->channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  if (n_texts > 0) png_set_text(png, info, text, n_texts);
  png_write_info(png, info);
  for (int y = 0; y < im->height; y++) png_write_row(png, im->pixels + (size_t)y * stride);
  png_write_end(png, info);
}

static png_text *text_table(const struct image_text *texts, size_t n_texts, char err[256]) {
  png_text *text = calloc(n_texts + 1, sizeof *text);
  if (!text) err_set(err, "out of memory for a PNG");
  for (size_t i = 0; text && i < n_texts; i++) {
    union {
      const char *given;
      char *text;
    } key = {texts[i].key}, value = {texts[i].value}; /* libpng copies both */
    size_t n = strlen(texts[i].key);
    if (n < 1 || n > 79 || !is_ascii(texts[i].key)) {
      free(text);
      err_set(err, "'%.100s' is no PNG keyword", texts[i].key);
      return NULL;
    }
    text[i].compression = is_ascii(texts[i].value) ? PNG_TEXT_COMPRESSION_NONE
                                                   : PNG_ITXT_COMPRESSION_NONE;
    text[i].key = key.text;
    text[i].text = value.text;
    text[i].text_length = strlen(texts[i].value);
  }
  return text;
}

int image_format_png(const struct image *im, const struct image_text *texts, size_t n_texts,
                     unsigned char **bytes, size_t *size, char err[256]) {
  *bytes = NULL;
  *size = 0;
  png_text *text = text_table(texts, n_texts, err);
  if (!text) return -1;
  struct state *s = calloc(1, sizeof *s);
  png_structp png =
      s ? png_create_write_struct(PNG_LIBPNG_VER_STRING, s, on_error, on_warning) : NULL;
  png_infop info = png ? png_create_info_struct(png) : NULL;
  if (!info) {
    png_destroy_write_struct(&png, NULL);
    free(s);
    free(text);
    return err_set(err, "out of memory for a PNG");
  }
  int escaped = setjmp(s->escape);
  if (escaped == 0) write_all(png, info, s, im, text, (int)n_texts);
  png_destroy_write_struct(&png, &info);
  free(text);
  if (escaped) {
    err_set(err, "PNG cannot be written: %s", s->why);
    free(s->out);
  } else {
    *bytes = s->out;
    *size = s->size;
  }
  free(s);
  return escaped ? -1 : 0;
}

int image_write_png(const char *path, const struct image *im, const struct image_text *texts,
                    size_t n_texts, char err[256]) {
  unsigned char *bytes;
  char why[256];
  size_t size;
  if (image_format_png(im, texts, n_texts, &bytes, &size, why))
    return err_set(err, "%s: %.200s", path, why);
  int rc = file_write(path, bytes, size, err);
  free(bytes);
  return rc;
}

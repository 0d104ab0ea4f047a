/* The tool's pictures: PNG and JPEG, resizing against Pillow, heatmaps, contact sheets. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <jpeglib.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "font.h"
#include "heatmap.h"
#include "image.h"
#include "sha256.h"
#include "sheet.h"

static char err[256];

#define OK(call) ck_assert_msg((call) == 0, "%s: %s", #call, err)
#define FAILS(call, text)                                                \
  do {                                                                   \
    err[0] = 0;                                                          \
    ck_assert_int_eq(call, -1);                                          \
    ck_assert_msg(strstr(err, text), "'%s' should say '%s'", err, text); \
  } while (0)

static uint64_t state = 1;

static uint32_t chance(void) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(state >> 33);
}

/* The pattern that the digests of `resizes` were made from. */
static struct image pattern(int width, int height, int channels) {
  struct image im;
  OK(image_alloc(width, height, channels, &im, err));
  unsigned char *p = im.pixels;
  for (int y = 0; y < height; y++)
    for (int x = 0; x < width; x++)
      for (int c = 0; c < channels; c++)
        *p++ = (unsigned char)(x * x * 7 + y * 13 * x + c * 57 + (x ^ y) * 5);
  return im;
}

static int read_image(const void *bytes, size_t size) {
  struct image im;
  int rc = image_parse(bytes, size, "x.png", &im, err);
  if (rc) ck_assert_ptr_null(im.pixels);
  image_free(&im);
  return rc;
}

static void read_exactly(const unsigned char *bytes, size_t size) {
  unsigned char *copy = malloc(size + (size == 0)); /* so that ASan sees a step too far */
  memcpy(copy, bytes, size);
  err[0] = 0;
  int rc = read_image(copy, size);
  ck_assert(rc == 0 || (rc == -1 && err[0]));
  free(copy);
}

/* ---- PNG ---- */

static size_t chunk(unsigned char *out, const char *type, const void *data, size_t n) {
  for (int i = 0; i < 4; i++) out[i] = (unsigned char)(n >> (24 - 8 * i));
  memcpy(out + 4, type, 4);
  if (n > 0) memcpy(out + 8, data, n);
  uint32_t crc = (uint32_t)crc32(0, out + 4, (uInt)(n + 4));
  for (int i = 0; i < 4; i++) out[8 + n + (size_t)i] = (unsigned char)(crc >> (24 - 8 * i));
  return n + 12;
}

/* A PNG by hand, of rows with their filter bytes; palette and tRNS may be empty. */
static size_t png(unsigned char *out, uint32_t width, uint32_t height, int depth, int type,
                  const void *palette, size_t n_palette, const void *alpha, size_t n_alpha,
                  const void *rows, size_t n_rows) {
  unsigned char head[13] = {0}, packed[4096];
  uLongf n = sizeof packed;
  for (int i = 0; i < 4; i++) {
    head[i] = (unsigned char)(width >> (24 - 8 * i));
    head[4 + i] = (unsigned char)(height >> (24 - 8 * i));
  }
  head[8] = (unsigned char)depth;
  head[9] = (unsigned char)type;
  ck_assert_int_eq(compress(packed, &n, rows, (uLong)n_rows), Z_OK);
  unsigned char *p = out;
  memcpy(p, "\x89PNG\r\n\x1a\n", 8);
  p += 8;
  p += chunk(p, "IHDR", head, 13);
  if (n_palette > 0) p += chunk(p, "PLTE", palette, n_palette);
  if (n_alpha > 0) p += chunk(p, "tRNS", alpha, n_alpha);
  p += chunk(p, "IDAT", packed, n);
  p += chunk(p, "IEND", NULL, 0);
  return (size_t)(p - out);
}

static void expect(const unsigned char *bytes, size_t size, int channels, const char *pixels,
                   size_t n) {
  struct image im;
  OK(image_parse(bytes, size, "x.png", &im, err));
  ck_assert_int_eq(im.channels, channels);
  ck_assert_uint_eq((size_t)im.width * (size_t)im.height * (size_t)channels, n);
  ck_assert_mem_eq(im.pixels, pixels, n);
  image_free(&im);
}

START_TEST(png_kinds) {
  unsigned char f[8192];
  size_t n;
  n = png(f, 2, 2, 8, 0, 0, 0, 0, 0, "\0\1\2\0\3\4", 6);
  expect(f, n, 1, "\1\2\3\4", 4);
  n = png(f, 8, 1, 1, 0, 0, 0, 0, 0, "\0\xa0", 2);
  expect(f, n, 1, "\xff\0\xff\0\0\0\0\0", 8);
  n = png(f, 2, 1, 16, 0, 0, 0, 0, 0, "\0\x80\x80\xff\xff", 5);
  expect(f, n, 1, "\x80\xff", 2);
  n = png(f, 1, 1, 8, 2, 0, 0, 0, 0, "\0\1\2\3", 4);
  expect(f, n, 3, "\1\2\3", 3);
  n = png(f, 2, 1, 16, 2, 0, 0, 0, 0, "\0\1\1\2\2\3\3\xfe\xfe\xfd\xfd\xfc\xfc", 13);
  expect(f, n, 3, "\1\2\3\xfe\xfd\xfc", 6);
  /* alpha on white: 0 is white, 255 the colour, 51 a fifth of it */
  n = png(f, 3, 1, 8, 4, 0, 0, 0, 0, "\0\0\0\0\xff\0\x33", 7);
  expect(f, n, 1, "\xff\0\xcc", 3);
  n = png(f, 2, 1, 8, 6, 0, 0, 0, 0, "\0\1\2\3\xff\0\xff\0\x33", 9);
  expect(f, n, 3, "\1\2\3\xcc\xff\xcc", 6);
  n = png(f, 4, 1, 2, 3, "\1\2\3\4\5\6\7\x8\x9", 9, "\xff\0", 2, "\0\x18", 2);
  expect(f, n, 3, "\1\2\3\xff\xff\xff\7\x8\x9\1\2\3", 12);
  n = png(f, 2, 1, 8, 2, 0, 0, "\0\1\0\2\0\3", 6, "\0\1\2\3\4\5\6", 7); /* one colour is clear */
  expect(f, n, 3, "\xff\xff\xff\4\5\6", 6);
}
END_TEST

START_TEST(png_refusals) {
  unsigned char f[8192];
  size_t n = png(f, 16384, 16384, 8, 2, 0, 0, 0, 0, "\0\1\2\3", 4);
  FAILS(read_image(f, n), "x.png: damaged PNG: truncated");
  n = png(f, 16385, 2, 8, 0, 0, 0, 0, 0, "\0\1\2\3", 4);
  FAILS(read_image(f, n), "x.png: 16385x2 pixels, at most 16384x16384 are supported");
  n = png(f, 2, 2, 8, 0, 0, 0, 0, 0, "\0\1\2\0\3\4", 6);
  FAILS(read_image(f, n - 13), "truncated");
  f[n / 2] ^= 1;
  FAILS(read_image(f, n), "damaged PNG: ");
  FAILS(read_image("hello", 5), "x.png: not a PNG: bad signature");
  FAILS(read_image("", 0), "bad signature");
  struct image im;
  FAILS(image_read("no/such.png", &im, err), "no/such.png: ");
}
END_TEST

START_TEST(png_round_trip) {
  for (int channels = 1; channels <= 3; channels += 2) {
    struct image a = pattern(61, 37, channels), b;
    char *lengthy = malloc(100001);
    memset(lengthy, 'x', 100000);
    lengthy[100000] = 0;
    struct image_text texts[3] = {
        {"method", "epsilon-plus"}, {"label", "caf\xc3\xa9"}, {"provenance", lengthy}};
    unsigned char *bytes;
    size_t size;
    OK(image_format_png(&a, texts, 3, &bytes, &size, err));
    ck_assert_uint_gt(size, 100000);
    ck_assert_int_eq(image_sniff(bytes, size), 1);
    OK(image_parse(bytes, size, "a", &b, err));
    ck_assert(b.width == 61 && b.height == 37 && b.channels == channels);
    ck_assert_mem_eq(a.pixels, b.pixels, 61 * 37 * (size_t)channels);
    int ascii = 0, wide = 0;
    for (size_t i = 0; i + 20 < size; i++) {
      ascii += memcmp(bytes + i, "tEXtmethod\0epsilon-plus", 23) == 0;
      wide += memcmp(bytes + i, "iTXtlabel\0\0\0\0\0caf\xc3\xa9", 19) == 0;
    }
    ck_assert(ascii == 1 && wide == 1);
    free(bytes);
    free(lengthy);
    image_free(&b);
    texts[0].key = "";
    FAILS(image_format_png(&a, texts, 1, &bytes, &size, err), "no PNG keyword");
    FAILS(image_write_png("no/such/x.png", &a, NULL, 0, err), "no/such/x.png: ");
    image_free(&a);
  }
}
END_TEST

/* Flips bytes and mends the chunks' checksums, or libpng would look no further. */
START_TEST(png_damage) {
  struct image a = pattern(40, 30, 3);
  unsigned char f[8192], *bytes;
  size_t size;
  OK(image_format_png(&a, NULL, 0, &bytes, &size, err));
  for (size_t n = 0; n < size; n += 1 + n / 32) read_exactly(bytes, n);
  free(bytes);
  image_free(&a);
  unsigned char rows[2048];
  for (int type = 0; type <= 6; type++) {
    if (type == 1 || type == 5) continue;
    for (size_t i = 0; i < sizeof rows; i++) rows[i] = (unsigned char)chance();
    for (size_t i = 0; i < sizeof rows; i += 32) rows[i] = (unsigned char)(chance() % 5);
    for (int times = 0; times < 600; times++) {
      size_t n = png(f, 30, 20, 8, type, "abcdefghijkl", type == 3 ? 12 : 0, "\1\2\3\4\5\6",
                     type == 3 ? 3 : 0, rows, sizeof rows);
      for (int k = 0; k < 3; k++) f[8 + chance() % (n - 8)] ^= (unsigned char)(1u << chance() % 8);
      for (size_t at = 8; chance() % 4 && at + 12 <= n;) {
        size_t length = (size_t)f[at + 2] << 8 | f[at + 3];
        if (f[at] || f[at + 1] || length > n - at - 12) break;
        uint32_t crc = (uint32_t)crc32(0, f + at + 4, (uInt)(length + 4));
        unsigned char *p = f + at + 8 + length;
        for (int i = 0; i < 4; i++) p[i] = (unsigned char)(crc >> (24 - 8 * i));
        at += length + 12;
      }
      read_exactly(f, n);
    }
  }
}
END_TEST

/* ---- JPEG ---- */

static unsigned char *jpeg(const struct image *im, int progressive, int orientation,
                           unsigned long *size) {
  struct jpeg_compress_struct c;
  struct jpeg_error_mgr manager;
  unsigned char *bytes = NULL;
  *size = 0;
  c.err = jpeg_std_error(&manager);
  jpeg_create_compress(&c);
  jpeg_mem_dest(&c, &bytes, size);
  c.image_width = (JDIMENSION)im->width;
  c.image_height = (JDIMENSION)im->height;
  c.input_components = im->channels;
  c.in_color_space = im->channels == 1 ? JCS_GRAYSCALE : im->channels == 3 ? JCS_RGB : JCS_CMYK;
  jpeg_set_defaults(&c);
  jpeg_set_quality(&c, 100, TRUE);
  c.comp_info[0].h_samp_factor = c.comp_info[0].v_samp_factor = 1;
  if (progressive) jpeg_simple_progression(&c);
  jpeg_start_compress(&c, TRUE);
  unsigned char exif[] = "Exif\0\0MM\0*\0\0\0\x8\0\1\1\x12\0\3\0\0\0\1\0?\0\0\0\0\0";
  exif[25] = (unsigned char)orientation;
  if (orientation) jpeg_write_marker(&c, JPEG_APP0 + 1, exif, sizeof exif - 1);
  for (int y = 0; y < im->height; y++) {
    JSAMPROW row = im->pixels + (size_t)y * (size_t)im->width * (size_t)im->channels;
    jpeg_write_scanlines(&c, &row, 1);
  }
  jpeg_finish_compress(&c);
  jpeg_destroy_compress(&c);
  return bytes;
}

/* Soft enough for JPEG to keep it within a few levels. */
static struct image slope(int width, int height, int channels) {
  struct image im = {width, height, channels, NULL};
  unsigned char *p = im.pixels = malloc((size_t)(width * height * channels));
  for (int y = 0; y < height; y++)
    for (int x = 0; x < width; x++)
      for (int c = 0; c < channels; c++) *p++ = (unsigned char)(40 + 3 * x + 5 * y - 20 * c);
  return im;
}

START_TEST(jpeg_kinds) {
  for (int channels = 1; channels <= 4; channels += channels == 1 ? 2 : 1)
    for (int progressive = 0; progressive < 2; progressive++) {
      struct image a = slope(24, 16, channels), b;
      unsigned long size;
      unsigned char *bytes = jpeg(&a, progressive, 0, &size);
      OK(image_parse(bytes, size, "a", &b, err));
      ck_assert(b.width == 24 && b.height == 16 && b.channels == (channels == 1 ? 1 : 3));
      for (size_t i = 0; i < 24 * 16; i++)
        for (size_t c = 0; c < (size_t)b.channels; c++) {
          int want = a.pixels[i * (size_t)channels + c];
          if (channels == 4) want = want * a.pixels[i * 4 + 3] / 255; /* Adobe: inverted inks */
          ck_assert_int_le(abs(b.pixels[i * (size_t)b.channels + c] - want), 4);
        }
      free(bytes);
      image_free(&a);
      image_free(&b);
    }
}
END_TEST

START_TEST(jpeg_orientation) {
  struct image a = slope(24, 16, 1), b;
  for (int o = 0; o <= 9; o++) {
    unsigned long size;
    unsigned char *bytes = jpeg(&a, 0, o, &size);
    OK(image_parse(bytes, size, "a", &b, err));
    int turned = o >= 5 && o <= 8;
    ck_assert(b.width == (turned ? 16 : 24) && b.height == (turned ? 24 : 16));
    /* The stored picture grows brighter to the right (3) and downwards (5). */
    static const int right[10] = {3, 3, -3, -3, 3, 5, -5, -5, 5, 3};
    static const int down[10] = {5, 5, 5, -5, -5, 3, 3, -3, -3, 5};
    int w = b.width, h = b.height;
    const unsigned char *p = b.pixels;
    ck_assert_int_le(abs(p[w - 1] - p[0] - right[o] * (w - 1)), 6);
    ck_assert_int_le(abs(p[(h - 1) * w] - p[0] - down[o] * (h - 1)), 6);
    free(bytes);
    image_free(&b);
  }
  image_free(&a);
}
END_TEST

START_TEST(jpeg_damage) {
  struct image a = slope(40, 30, 3);
  for (int progressive = 0; progressive < 2; progressive++) {
    unsigned long size;
    unsigned char *bytes = jpeg(&a, progressive, 6, &size), *copy = malloc(size);
    for (size_t n = 0; n < size; n += 1 + n / 32) {
      read_exactly(bytes, n);
      if (n > 3 && n < size - 2) FAILS(read_image(bytes, n), "damaged JPEG: ");
    }
    for (int times = 0; times < 1500; times++) {
      memcpy(copy, bytes, size);
      for (int k = 0; k < 2; k++)
        copy[2 + chance() % (size - 2)] ^= (unsigned char)(1u << chance() % 8);
      read_exactly(copy, size);
    }
    free(bytes);
    free(copy);
  }
  image_free(&a);
}
END_TEST

/* ---- resizing ---- */

/* Image.fromarray(pattern).resize((w, h), Image.BILINEAR).tobytes(), Pillow 13.0: SHA-256. */
static const struct {
  int width, height, channels, to_width, to_height;
  const char *digest;
} resizes[] = {
    {64, 48, 3, 28, 28, "5c6f7b44d3010507"},  {64, 48, 1, 224, 224, "33cf1dd049afa361"},
    {61, 97, 3, 20, 10, "db13e076048c607d"},  {97, 61, 3, 200, 30, "b631563438889afc"},
    {40, 40, 3, 40, 13, "ccdf0b7c2ae6b304"},  {40, 40, 1, 13, 40, "d440992882626e40"},
    {300, 5, 3, 7, 5, "8898c871ffd217c0"},    {3, 2, 3, 17, 19, "7dd84ea8b18f353a"},
    {50, 400, 1, 49, 20, "9402f4c631b1599e"}, {512, 343, 3, 224, 224, "f2f406fc2f82ff8f"}};

START_TEST(resize_as_pillow) {
  struct image a = pattern(resizes[_i].width, resizes[_i].height, resizes[_i].channels), b;
  char hex[65];
  OK(image_resize(&a, resizes[_i].to_width, resizes[_i].to_height, &b, err));
  sha256_hex(b.pixels, (size_t)b.width * (size_t)b.height * (size_t)b.channels, hex);
  hex[16] = 0;
  ck_assert_str_eq(hex, resizes[_i].digest);
  image_free(&a);
  image_free(&b);
}
END_TEST

START_TEST(fits) {
  struct image a = pattern(100, 60, 3), whole, b;
  int box[4];
  OK(image_fit(&a, 32, 32, IMAGE_STRETCH, 0, &b, box, err));
  ck_assert(box[0] == 0 && box[1] == 0 && box[2] == 32 && box[3] == 32);
  OK(image_resize(&a, 32, 32, &whole, err));
  ck_assert_mem_eq(b.pixels, whole.pixels, 32 * 32 * 3);
  image_free(&b);
  image_free(&whole);
  OK(image_fit(&a, 32, 32, IMAGE_CROP, 0, &b, NULL, err)); /* of 53 x 32, from column 10 on */
  OK(image_resize(&a, 53, 32, &whole, err));
  for (size_t y = 0; y < 32; y++)
    ck_assert_mem_eq(b.pixels + y * 96, whole.pixels + (y * 53 + 10) * 3, 96);
  image_free(&b);
  image_free(&whole);
  OK(image_fit(&a, 32, 32, IMAGE_PAD, 128, &b, box, err));
  ck_assert(box[0] == 0 && box[2] == 32 && box[3] == 19 && box[1] == 6);
  OK(image_resize(&a, 32, 19, &whole, err));
  ck_assert_mem_eq(b.pixels + (size_t)box[1] * 96, whole.pixels, 19 * 96);
  ck_assert(b.pixels[0] == 128 && b.pixels[32 * 96 - 1] == 128);
  image_free(&b);
  image_free(&whole);
  OK(image_resize(&a, 100, 60, &b, err));
  ck_assert_mem_eq(b.pixels, a.pixels, 100 * 60 * 3);
  image_free(&b);
  FAILS(image_resize(&a, 0, 5, &b, err), "0x5");
  FAILS(image_resize(&a, 5, 16385, &b, err), "5x16385");
  image_free(&a);
  a = pattern(16384, 1, 1); /* extreme shapes need no extreme memory */
  OK(image_fit(&a, 224, 224, IMAGE_CROP, 0, &b, NULL, err));
  image_free(&b);
  OK(image_fit(&a, 224, 224, IMAGE_PAD, 0, &b, box, err));
  ck_assert_int_eq(box[3], 1);
  image_free(&b);
  image_free(&a);
}
END_TEST

START_TEST(converts) {
  struct image a, g, c;
  OK(image_alloc(2, 1, 3, &a, err));
  memcpy(a.pixels, "\xff\0\0\1\2\3", 6);
  OK(image_convert(&a, 1, &g, err));
  ck_assert(g.pixels[0] == 76 && g.pixels[1] == 2);
  OK(image_convert(&g, 3, &c, err));
  ck_assert_mem_eq(c.pixels, "\x4c\x4c\x4c\2\2\2", 6);
  image_free(&a);
  image_free(&c);
  OK(image_resize_nearest(&g, 6, 2, &a, err));
  ck_assert_mem_eq(a.pixels, "LLL\2\2\2LLL\2\2\2", 12);
  image_free(&a);
  image_free(&g);
}
END_TEST

/* ---- heatmaps ---- */

START_TEST(heatmap_numbers) {
  static const float r[12] = {1, -2, 3, 0, /**/ -4, -2, 1, NAN, /**/ 2, 3, -1, INFINITY};
  float map[4];
  heatmap_reduce(r, 3, 4, HEATMAP_SUM, map);
  ck_assert(map[0] == -1 && map[1] == -1 && map[2] == 3 && map[3] == 0);
  heatmap_reduce(r, 3, 4, HEATMAP_MEAN, map);
  ck_assert(map[2] == 1);
  heatmap_reduce(r, 3, 4, HEATMAP_MAX_ABS, map);
  ck_assert(map[0] == -4 && map[1] == 3 && map[2] == 3 && map[3] == 0);
  ck_assert(heatmap_scale(r, 12, 0) == 4);
  ck_assert(heatmap_scale(r, 12, 100) == 4);
  ck_assert(fabs(heatmap_scale(r, 12, 90) - 3) < 1e-12); /* numpy: 3.0 */
  ck_assert(fabs(heatmap_scale(r, 12, 97) - 3.67) < 1e-12);
  ck_assert(heatmap_scale(r + 3, 1, 50) == 0);
  static const float sparse[5] = {0, 0, 0, 0, 2};
  ck_assert(heatmap_scale(sparse, 5, 50) == 2); /* the percentile is 0: all or nothing */
  ck_assert_int_eq(heatmap_palette_find("orange-purple"), HEATMAP_ORANGE_PURPLE);
  ck_assert_int_eq(heatmap_palette_find("jet"), -1);
  ck_assert_int_eq(heatmap_channels_find("max-abs"), HEATMAP_MAX_ABS);
  ck_assert_int_eq(heatmap_channels_find(""), -1);
}
END_TEST

START_TEST(heatmap_colours) {
  for (int palette = 0; palette < 2; palette++) {
    unsigned char c[3];
    int last = 256;
    heatmap_colour((enum heatmap_palette)palette, 0, c);
    ck_assert_mem_eq(c, "\xff\xff\xff", 3);
    heatmap_colour((enum heatmap_palette)palette, NAN, c);
    ck_assert_mem_eq(c, "\xff\xff\xff", 3);
    for (int i = 1; i <= 20; i++) {
      heatmap_colour((enum heatmap_palette)palette, i / 20.0, c);
      ck_assert_int_gt(c[0], c[2]); /* warm supports */
      ck_assert_int_lt(c[1], last); /* darker all the way */
      last = c[1];
      heatmap_colour((enum heatmap_palette)palette, -i / 20.0, c);
      ck_assert_int_gt(c[2], c[0]);
    }
  }
  float map[4] = {2, -2, 0, 5};
  struct image im, over, photo = pattern(20, 10, 3);
  unsigned char red[3];
  heatmap_colour(HEATMAP_RED_BLUE, 1, red);
  OK(heatmap_render(map, 2, 2, 2, HEATMAP_RED_BLUE, &im, err));
  ck_assert_mem_eq(im.pixels, red, 3);
  ck_assert_mem_eq(im.pixels + 6, "\xff\xff\xff", 3);
  ck_assert_mem_eq(im.pixels + 9, red, 3);
  image_free(&im);
  OK(heatmap_render(map, 2, 2, 0, HEATMAP_RED_BLUE, &im, err)); /* a map of zeros has scale 0 */
  ck_assert_mem_eq(im.pixels, "\xff\xff\xff", 3);
  image_free(&im);
  for (int smooth = 0; smooth < 2; smooth++) {
    OK(heatmap_overlay(map, 2, 2, 2, HEATMAP_RED_BLUE, smooth, &photo, &over, err));
    ck_assert(over.width == 20 && over.height == 10 && over.channels == 3);
    ck_assert_int_gt(over.pixels[0], over.pixels[2] + 60);
    ck_assert_int_gt(over.pixels[19 * 3 + 2], over.pixels[19 * 3] + 60);
    const unsigned char *zero = over.pixels + 9 * 20 * 3;
    ck_assert(zero[0] == zero[1] && zero[1] == zero[2]);
    image_free(&over);
  }
  image_free(&photo);
}
END_TEST

START_TEST(heatmap_sizes) {
  float map[12], out[48], sum = 0;
  for (int i = 0; i < 12; i++) map[i] = (float)i;
  OK(heatmap_resample(map, 3, 4, 0, out, 6, 8));
  ck_assert(out[0] == 0 && out[1] == 0 && out[2] == 1 && out[8] == 0 && out[16] == 4);
  OK(heatmap_resample(map, 3, 4, 1, out, 3, 8));
  ck_assert(out[0] == 0 && out[1] == 0.25f && out[2] == 0.75f && out[7] == 3);
  OK(heatmap_resample(map, 3, 4, 1, out, 2, 3));
  for (int i = 0; i < 6; i++) sum += out[i];
  ck_assert(fabsf(sum - 33) < 1e-4f); /* the mean stays 5.5 */
}
END_TEST

static void count(const char *s, int *lines, int *widest, int *escapes) {
  int column = 0;
  *lines = *widest = *escapes = 0;
  for (; *s; s++) {
    if (*s == '\x1b') {
      ++*escapes;
      while (*s != 'm') s++;
    } else if (*s == '\n') {
      ++*lines;
      column = 0;
    } else if ((*s & 0xc0) != 0x80) {
      column++;
    }
    if (column > *widest) *widest = column;
  }
}

START_TEST(heatmap_terminals) {
  static const int cases[][5] = {/* height, width, columns: lines, columns used */
                                 {28, 28, 80, 14, 28}, {224, 224, 60, 30, 60}, {5, 7, 80, 3, 7},
                                 {1, 300, 40, 1, 40},  {9, 1, 80, 5, 1},       {1, 1, 1, 1, 1}};
  float *map = calloc(224 * 224, sizeof *map);
  for (int i = 0; i < 224 * 224; i++) map[i] = 1;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
    for (int colour = 0; colour < 2; colour++) {
      const int *c = cases[i];
      int lines, widest, escapes;
      char *s = heatmap_terminal(map, c[0], c[1], 1, HEATMAP_RED_BLUE, c[2], colour);
      ck_assert_ptr_nonnull(s);
      count(s, &lines, &widest, &escapes);
      ck_assert_int_eq(lines, c[3]);
      ck_assert_int_eq(widest, c[4]);
      ck_assert(colour ? escapes >= lines : escapes == 0);
      free(s);
    }
  static const float signs[4] = {1, -1, 0, 0.25f};
  char *s = heatmap_terminal(signs, 1, 4, 1, HEATMAP_RED_BLUE, 80, 0);
  ck_assert_str_eq(s, "@% .\n");
  free(s);
  ck_assert_ptr_null(heatmap_terminal(signs, 0, 4, 1, HEATMAP_RED_BLUE, 80, 0));
  for (int colour = 0; colour < 2; colour++) {
    s = heatmap_legend(HEATMAP_ORANGE_PURPLE, colour);
    ck_assert_ptr_nonnull(strstr(s, "supports"));
    ck_assert_int_eq(strstr(s, "\x1b[") != NULL, colour);
    free(s);
  }
  free(map);
}
END_TEST

/* ---- font and sheet ---- */

START_TEST(font) {
  for (int a = 1; a < 96; a++) {
    int dots = 0;
    for (int row = 0; row < 9; row++) {
      ck_assert_uint_lt(font_glyphs[a][row], 32);
      dots += font_glyphs[a][row] != 0;
    }
    ck_assert_int_gt(dots, 0);
    for (int b = 0; b < a; b++) ck_assert(memcmp(font_glyphs[a], font_glyphs[b], 9) != 0);
  }
  ck_assert_uint_eq(font_length("caf\xc3\xa9 \xff"), 6);
  struct image im;
  static const unsigned char white[3] = {255, 255, 255};
  OK(image_alloc(30, 12, 3, &im, err));
  font_draw(&im, -7, -3, 3, white, "clipped on all sides", 20);
  font_draw(&im, 0, 0, 1, white, "abc", 0);
  image_free(&im);
}
END_TEST

START_TEST(sheets) {
  struct image small = pattern(28, 28, 1), large = pattern(500, 300, 3), out;
  struct sheet_cell cells[4] = {
      {&small, "one"}, {&large, "a caption so long that it has to wrap, wrap, wrap and be cut"},
      {NULL, NULL}, {&small, "two\nlines"}};
  const char *titles[2] = {"input", NULL};
  const char *rows[2] = {"first\n0.97", "second_without_a_space_in_it"};
  struct sheet s = {.title = "A title", .footer = "a footer", .columns = 2, .rows = 2,
                    .cells = cells, .column_titles = titles, .row_captions = rows, .legend = 1};
  for (int smooth = 0; smooth < 2; smooth++) {
    s.smooth = smooth;
    OK(sheet_render(&s, &out, err));
    ck_assert(out.channels == 3 && out.width > 700 && out.height > 500);
    size_t row = (size_t)out.width * 3;
    const unsigned char *last = out.pixels + (size_t)(out.height - 1) * row;
    for (size_t x = 0; x < row; x++) /* the margin is white */
      ck_assert(out.pixels[x] == 255 && last[x] == 255);
    image_free(&out);
  }
  struct sheet_cell lonely = {&small, NULL};
  struct sheet bare = {.columns = 1, .rows = 1, .cells = &lonely};
  OK(sheet_render(&bare, &out, err));
  ck_assert(out.width == 168 + 48 && out.height == 168 + 48); /* six dots an element */
  for (size_t y = 0; y < 28; y++)
    for (size_t x = 0; x < 28; x++) {
      const unsigned char *p = out.pixels + ((24 + y * 6 + 3) * 216 + 24 + x * 6 + 3) * 3;
      ck_assert_uint_eq(p[0], small.pixels[y * 28 + x]);
      ck_assert_uint_eq(p[1], small.pixels[y * 28 + x]);
    }
  image_free(&out);
  bare.columns = 0;
  FAILS(sheet_render(&bare, &out, err), "0 columns");
  bare.columns = 1;
  bare.cell_width = bare.cell_height = IMAGE_MAX_SIDE;
  FAILS(sheet_render(&bare, &out, err), "the contact sheet would have");
  image_free(&small);
  image_free(&large);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("tool pictures");
  TCase *t = tcase_create("all");
  tcase_add_test(t, png_kinds);
  tcase_add_test(t, png_refusals);
  tcase_add_test(t, png_round_trip);
  tcase_add_test(t, png_damage);
  tcase_add_test(t, jpeg_kinds);
  tcase_add_test(t, jpeg_orientation);
  tcase_add_test(t, jpeg_damage);
  tcase_add_loop_test(t, resize_as_pillow, 0, (int)(sizeof resizes / sizeof resizes[0]));
  tcase_add_test(t, fits);
  tcase_add_test(t, converts);
  tcase_add_test(t, heatmap_numbers);
  tcase_add_test(t, heatmap_colours);
  tcase_add_test(t, heatmap_sizes);
  tcase_add_test(t, heatmap_terminals);
  tcase_add_test(t, font);
  tcase_add_test(t, sheets);
  suite_add_tcase(suite, t);
  SRunner *runner = srunner_create(suite);
  srunner_run_all(runner, CK_NORMAL);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed != 0;
}

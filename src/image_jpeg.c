/* JPEG through libjpeg. Its errors come back by longjmp to image_parse_jpeg. */
#include <stdio.h> /* jpeglib.h wants FILE */
#include <jerror.h>
#include <jpeglib.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include "file.h"
#include "image_internal.h"

enum { MAX_SCANS = 200 }; /* of a progressive file: more is an attempt to waste time */

struct state {
  struct jpeg_error_mgr manager; /* first: libjpeg hands it back */
  struct jpeg_progress_mgr progress;
  jmp_buf escape;
  char why[JMSG_LENGTH_MAX];
};

static void on_error(j_common_ptr cinfo) {
  struct state *s = (struct state *)cinfo->err;
  s->manager.format_message(cinfo, s->why);
  longjmp(s->escape, 1);
}

/* Warnings about missing or senseless data: libjpeg would fill in gray, which nobody should have
 * explained to them. */
static void on_message(j_common_ptr cinfo, int level) {
  int code = cinfo->err->msg_code;
  if (level < 0 && (code == JWRN_JPEG_EOF || code == JWRN_HIT_MARKER || code == JWRN_HUFF_BAD_CODE))
    on_error(cinfo);
}

static void on_progress(j_common_ptr cinfo) {
  struct state *s = (struct state *)cinfo->err;
  if (((j_decompress_ptr)cinfo)->input_scan_number <= MAX_SCANS) return;
  snprintf(s->why, sizeof s->why, "too many scans");
  longjmp(s->escape, 1);
}

/* EXIF: "Exif\0\0", a TIFF header, then directory 0; tag 0x112 is the orientation, 1..8. */
static int exif_orientation(const unsigned char *p, size_t n) {
  if (n < 14 || memcmp(p, "Exif\0\0", 6) != 0) return 1;
  p += 6;
  n -= 6;
  int big = p[0] == 'M';
#define GET16(q) (big ? (unsigned)(q)[0] << 8 | (q)[1] : (unsigned)(q)[1] << 8 | (q)[0])
#define GET32(q) \
  (big ? (size_t)GET16(q) << 16 | GET16((q) + 2) : (size_t)GET16((q) + 2) << 16 | GET16(q))
  if (p[0] != p[1] || (!big && p[0] != 'I') || GET16(p + 2) != 42) return 1;
  size_t at = GET32(p + 4);
  if (at > n || n - at < 2) return 1;
  size_t count = GET16(p + at);
  at += 2;
  for (size_t i = 0; i < count && n - at >= 12; i++, at += 12)
    if (GET16(p + at) == 0x112 && GET16(p + at + 2) == 3) {
      unsigned value = GET16(p + at + 8);
      return value >= 1 && value <= 8 ? (int)value : 1;
    }
#undef GET16
#undef GET32
  return 1;
}

/* Turns the picture so that it stands as it was taken. Orientations 5 to 8 swap the sides. */
static int orient(struct image *im, int orientation, const char *name, char err[256]) {
  struct image to;
  int swap = orientation >= 5, w = im->width, h = im->height;
  if (orientation == 1) return 0;
  if (image_alloc(swap ? h : w, swap ? w : h, im->channels, &to, err))
    return err_set(err, "%s: out of memory", name);
  int mirror = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  int upside = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  size_t c = (size_t)im->channels;
  for (int y = 0; y < to.height; y++)
    for (int x = 0; x < to.width; x++) {
      /* where this pixel comes from; mirror and upside are of the stored picture */
      int sx = swap ? y : x, sy = swap ? x : y;
      if (mirror) sx = w - 1 - sx;
      if (upside) sy = h - 1 - sy;
      memcpy(to.pixels + ((size_t)y * (size_t)to.width + (size_t)x) * c,
             im->pixels + ((size_t)sy * (size_t)w + (size_t)sx) * c, c);
    }
  image_free(im);
  *im = to;
  return 0;
}

/* As Pillow does: Adobe's inverted ink unless the file says nothing of Adobe. */
static void cmyk_row(const unsigned char *in, unsigned char *out, int width, int inverted) {
  for (int x = 0; x < width; x++, in += 4, out += 3)
    for (int c = 0; c < 3; c++) {
      int ink = inverted ? 255 - in[c] : in[c], light = inverted ? in[3] : 255 - in[3];
      int product = ink * light + 128;
      int level = light - (((product >> 8) + product) >> 8);
      out[c] = (unsigned char)(level < 0 ? 0 : level);
    }
}

struct job {
  struct jpeg_decompress_struct cinfo;
  struct state state;
  unsigned char *row; /* of CMYK */
  int orientation, refused;
};

static void read_all(struct job *j, const unsigned char *bytes, size_t size, const char *name,
                     struct image *out, char err[256]) {
  struct jpeg_decompress_struct *cinfo = &j->cinfo;
  jpeg_create_decompress(cinfo);
  cinfo->progress = &j->state.progress;
  jpeg_mem_src(cinfo, bytes, (unsigned long)size);
  jpeg_save_markers(cinfo, JPEG_APP0 + 1, 0xffff);
  jpeg_read_header(cinfo, TRUE);
  unsigned long width = cinfo->image_width, height = cinfo->image_height;
  j->refused = image_check_size(width, height, name, err);
  if (j->refused) longjmp(j->state.escape, 1);
  /* A block of 64 pixels takes a bit at least: a small file that claims more wastes memory. */
  if (width * height / 1024 > size) {
    snprintf(j->state.why, sizeof j->state.why, "truncated");
    longjmp(j->state.escape, 1);
  }
  for (jpeg_saved_marker_ptr m = cinfo->marker_list; m && j->orientation == 1; m = m->next)
    j->orientation = exif_orientation(m->data, m->data_length);
  int cmyk = cinfo->jpeg_color_space == JCS_CMYK || cinfo->jpeg_color_space == JCS_YCCK;
  int gray = cinfo->jpeg_color_space == JCS_GRAYSCALE;
  cinfo->out_color_space = cmyk ? JCS_CMYK : gray ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_start_decompress(cinfo);
  out->width = (int)width;
  out->height = (int)height;
  out->channels = gray ? 1 : 3;
  size_t stride = width * (gray ? 1 : 3);
  out->pixels = malloc(stride * height);
  j->row = malloc(width * 4);
  if (!out->pixels || !j->row) {
    snprintf(j->state.why, sizeof j->state.why, "out of memory");
    longjmp(j->state.escape, 1);
  }
  while (cinfo->output_scanline < height) {
    unsigned char *to = out->pixels + cinfo->output_scanline * stride;
    JSAMPROW row = cmyk ? j->row : to;
    jpeg_read_scanlines(cinfo, &row, 1);
    if (cmyk) cmyk_row(j->row, to, (int)width, cinfo->saw_Adobe_marker);
  }
  jpeg_finish_decompress(cinfo);
}

int image_parse_jpeg(const void *bytes, size_t size, const char *name, struct image *out,
                     char err[256]) {
  memset(out, 0, sizeof *out);
  struct job *j = calloc(1, sizeof *j);
  if (!j) return err_set(err, "%s: out of memory", name);
  j->orientation = 1;
  j->cinfo.err = jpeg_std_error(&j->state.manager);
  j->state.manager.error_exit = on_error;
  j->state.manager.emit_message = on_message;
  j->state.progress.progress_monitor = on_progress;
  int rc = 0;
  if (setjmp(j->state.escape) == 0) {
    read_all(j, bytes, size, name, out, err);
  } else {
    rc = -1;
    if (!j->refused) err_set(err, "%s: damaged JPEG: %.150s", name, j->state.why);
  }
  jpeg_destroy_decompress(&j->cinfo);
  if (rc == 0) rc = orient(out, j->orientation, name, err);
  if (rc) image_free(out);
  free(j->row);
  free(j);
  return rc;
}

/* A contact sheet. First everything is measured, then drawn. */
#include "sheet.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "file.h"
#include "font.h"
#include "heatmap.h"
#include "utf8.h"

enum {
  MAX_LINES = 3, /* of a wrapped text */
  ROW_CAPTION_CHARS = 16,
  WIDENING = 48, /* characters for which a title may widen a narrow sheet */
  BAR = 81       /* length of the legend's colours, in font dots */
};

static const unsigned char ink[3] = {28, 30, 34}, soft_ink[3] = {84, 88, 96};
static const char minus[] = "speaks against", plus[] = "supports";
static const unsigned char frame_colour[3] = {208, 210, 214};

/* Where things are, in dots; u is the size of a font dot. */
struct layout {
  int u, width, height;         /* of the cells' boxes */
  int margin, gap, line;        /* around all, between cells, from text line to text line */
  int left, top;                /* of the first cell */
  int title_lines;              /* of the column titles */
  int *y, *row_height;          /* of each row: where its pictures begin, the tallest of them */
  int bottom;                   /* of the last row, captions included */
  size_t cell_chars, side_chars;
};

/* Cuts the next line off *text: at '\n', or at the last space within `limit` characters, or there.
 * Returns 0 at the end of the text. */
static int next_line(const char **text, size_t limit, char *line, size_t capacity) {
  const char *s = *text, *end = s, *space = NULL;
  size_t n = 0, step;
  uint32_t code;
  if (!s || !*s) return 0;
  while ((step = utf8_next(end, &code)) > 0 && code != '\n' && n < limit) {
    if (code == ' ') space = end;
    end += step;
    n++;
  }
  int cut = *end && *end != '\n';
  if (cut && *end != ' ' && space && space > s) end = space;
  *text = end;
  while (**text == ' ') ++*text;
  if (**text == '\n') ++*text;
  size_t bytes = (size_t)(end - s);
  if (bytes >= capacity) bytes = capacity - 1;
  memcpy(line, s, bytes);
  line[bytes] = 0;
  return 1;
}

static int count_lines(const char *text, size_t limit) {
  char line[512];
  int n = 0;
  while (n < MAX_LINES && next_line(&text, limit, line, sizeof line)) n++;
  return n;
}

/* Lines of a text, centred on x (align 0) or ending at x (align 1), from y down. The last line that
 * fits takes what is left of the text, so that font_draw shows that it was cut. */
static void draw_text(struct image *im, const struct layout *l, const char *text, size_t limit,
                      int x, int y, int align, const unsigned char rgb[3]) {
  char line[512];
  for (int n = 0; n < MAX_LINES; n++, y += l->line) {
    const char *begin = text;
    if (!next_line(&text, limit, line, sizeof line)) return;
    const char *shown = n == MAX_LINES - 1 && *text ? begin : line;
    size_t length = font_length(shown);
    int width = (int)(length < limit ? length : limit) * FONT_WIDTH * l->u - l->u;
    font_draw(im, align ? x - width : x - width / 2, y, l->u, rgb, shown, limit);
  }
}

static void rectangle(struct image *im, int x, int y, int w, int h, const unsigned char rgb[3]) {
  for (int j = y; j < y + h; j++)
    for (int i = x; i < x + w; i++) {
      if (i < 0 || j < 0 || i >= im->width || j >= im->height) continue;
      memcpy(im->pixels + ((size_t)j * (size_t)im->width + (size_t)i) * 3, rgb, 3);
    }
}

static void choose_cell(const struct sheet *s, struct layout *l) {
  int w = 1, h = 1;
  for (int i = 0; i < s->rows * s->columns; i++) {
    const struct image *im = s->cells[i].image;
    if (im && im->width > w) w = im->width;
    if (im && im->height > h) h = im->height;
  }
  int side = w > h ? w : h, times = side < 168 ? 168 / side : 1;
  l->width = s->cell_width > 0 ? s->cell_width : w * times > 320 ? 320 : w * times;
  l->height = s->cell_height > 0 ? s->cell_height : h * times > 320 ? 320 : h * times;
}

/* Size in the box: whole multiples when enlarged by nearest neighbour, so that every element is a
 * square of the same size. */
static void fitted(const struct sheet *s, const struct layout *l, const struct image *in,
                   int *width, int *height) {
  int64_t w = l->width, h = l->height;
  if (w * in->height > h * in->width)
    w = h * in->width / in->height;
  else
    h = w * in->height / in->width;
  if (!s->smooth && w >= in->width && h >= in->height) {
    h = w / in->width * in->height;
    w = w / in->width * in->width;
  }
  *width = w < 1 ? 1 : (int)w;
  *height = h < 1 ? 1 : (int)h;
}

static int64_t measure_row(const struct sheet *s, struct layout *l, int row) {
  int tallest = 0, lines = 0;
  for (int c = 0; c < s->columns; c++) {
    const struct sheet_cell *cell = s->cells + row * s->columns + c;
    int w, h = 0, n = count_lines(cell->caption, l->cell_chars);
    if (cell->image) fitted(s, l, cell->image, &w, &h);
    if (h > tallest) tallest = h;
    if (n > lines) lines = n;
  }
  l->row_height[row] = tallest > 0 ? tallest : l->height;
  return l->row_height[row] + (lines > 0 ? 4 * l->u + lines * l->line : 0);
}

static int measure(const struct sheet *s, struct layout *l, int64_t *width, int64_t *height) {
  int u = l->u = s->text_scale > 0 ? s->text_scale : 2;
  choose_cell(s, l);
  l->margin = 12 * u;
  l->gap = 8 * u;
  l->line = 11 * u;
  l->cell_chars = (size_t)((l->width + l->gap / 2) / (FONT_WIDTH * u));
  if (l->cell_chars < 3) l->cell_chars = 3;
  l->y = calloc((size_t)s->rows, sizeof *l->y);
  l->row_height = calloc((size_t)s->rows, sizeof *l->row_height);
  if (!l->y || !l->row_height) return -1;
  l->side_chars = 0;
  for (int r = 0; s->row_captions && r < s->rows; r++) {
    const char *text = s->row_captions[r];
    char line[512];
    for (int n = 0; n < MAX_LINES && next_line(&text, ROW_CAPTION_CHARS, line, sizeof line); n++)
      if (font_length(line) > l->side_chars) l->side_chars = font_length(line);
  }
  l->left = l->margin;
  if (l->side_chars > 0) l->left += (int)l->side_chars * FONT_WIDTH * u + l->gap;
  l->title_lines = 0;
  for (int c = 0; s->column_titles && c < s->columns; c++) {
    int n = count_lines(s->column_titles[c], l->cell_chars);
    if (n > l->title_lines) l->title_lines = n;
  }
  int64_t y = l->margin;
  if (s->title && *s->title) y += 16 * u + l->gap;
  if (l->title_lines > 0) y += l->title_lines * l->line + 3 * u;
  l->top = (int)y;
  for (int r = 0; r < s->rows; r++) {
    if (y > INT32_MAX / 2) return 0; /* refused by the caller */
    l->y[r] = (int)y;
    y += measure_row(s, l, r) + l->gap;
    *height = y;
  }
  l->bottom = (int)(y - l->gap);
  if (s->legend) y += l->line + l->gap;
  if (s->footer && *s->footer) y += l->line + l->gap / 2;
  *height = y - l->gap + l->margin;
  *width = (int64_t)l->left + (int64_t)s->columns * (l->width + l->gap) - l->gap + l->margin;
  int64_t letter = FONT_WIDTH * u, title = s->title ? (int64_t)font_length(s->title) : 0;
  int64_t least = 2 * l->margin + (title < WIDENING ? title : WIDENING) * letter;
  if (*width < least) *width = least;
  least = l->left + (int64_t)(sizeof minus + sizeof plus) * letter + BAR * u + l->margin;
  if (s->legend && *width < least) *width = least;
  return 0;
}

static int scaled(const struct sheet *s, const struct layout *l, const struct image *in,
                  struct image *out, char err[256]) {
  struct image sized;
  int w, h;
  fitted(s, l, in, &w, &h);
  int rc = !s->smooth && w >= in->width && h >= in->height
               ? image_resize_nearest(in, w, h, &sized, err)
               : image_resize(in, w, h, &sized, err);
  if (rc) return -1;
  rc = image_convert(&sized, 3, out, err);
  image_free(&sized);
  return rc;
}

static int draw_cell(const struct sheet *s, const struct layout *l, const struct sheet_cell *cell,
                     int x, int row, struct image *out, char err[256]) {
  int y = l->y[row], high = l->row_height[row];
  int line = l->u > 2 ? l->u / 2 : 1;
  if (cell->image) {
    struct image im;
    if (scaled(s, l, cell->image, &im, err)) return -1;
    int px = x + (l->width - im.width) / 2, py = y + (high - im.height) / 2;
    rectangle(out, px - line, py - line, im.width + 2 * line, im.height + 2 * line, frame_colour);
    for (int j = 0; j < im.height; j++)
      memcpy(out->pixels + ((size_t)(py + j) * (size_t)out->width + (size_t)px) * 3,
             im.pixels + (size_t)j * (size_t)im.width * 3, (size_t)im.width * 3);
    image_free(&im);
  }
  draw_text(out, l, cell->caption, l->cell_chars, x + l->width / 2, y + high + 4 * l->u, 0,
            soft_ink);
  return 0;
}

/* "speaks against", the colours from -1 to 1, "supports"; then the footer. */
static void draw_foot(const struct sheet *s, const struct layout *l, struct image *out) {
  int u = l->u, y = l->bottom + l->gap, x = s->row_captions ? l->left : l->margin;
  if (s->legend) {
    int bar = BAR * u, text = (int)(sizeof minus - 1) * FONT_WIDTH * u;
    font_draw(out, x, y, u, soft_ink, minus, sizeof minus - 1);
    x += text + 2 * u;
    rectangle(out, x - 1, y - 1, bar + 2, 7 * u + 2, frame_colour);
    for (int i = 0; i < bar; i++) {
      unsigned char rgb[3];
      heatmap_colour((enum heatmap_palette)(s->legend - 1), 2.0 * i / (bar - 1) - 1, rgb);
      rectangle(out, x + i, y, 1, 7 * u, rgb);
    }
    font_draw(out, x + bar + 4 * u, y, u, soft_ink, plus, sizeof plus - 1);
    y += l->line + l->gap / 2;
  }
  if (s->footer && *s->footer)
    font_draw(out, l->margin, y, u, soft_ink, s->footer,
              (size_t)(out->width - 2 * l->margin) / (size_t)(FONT_WIDTH * u));
}

static int draw(const struct sheet *s, const struct layout *l, struct image *out, char err[256]) {
  if (s->title && *s->title) {
    int u = l->u + (l->u + 1) / 2; /* half as large again */
    size_t room = (size_t)(out->width - 2 * l->margin) / (size_t)(FONT_WIDTH * u);
    if (font_length(s->title) > room) u = l->u; /* rather smaller than cut */
    room = (size_t)(out->width - 2 * l->margin) / (size_t)(FONT_WIDTH * u);
    font_draw(out, l->margin, l->margin, u, ink, s->title, room);
  }
  for (int c = 0; s->column_titles && c < s->columns; c++) {
    int lines = count_lines(s->column_titles[c], l->cell_chars);
    draw_text(out, l, s->column_titles[c], l->cell_chars,
              l->left + c * (l->width + l->gap) + l->width / 2,
              l->top - 3 * l->u - lines * l->line, 0, ink);
  }
  for (int r = 0; r < s->rows; r++) {
    if (s->row_captions) {
      int lines = count_lines(s->row_captions[r], ROW_CAPTION_CHARS);
      draw_text(out, l, s->row_captions[r], ROW_CAPTION_CHARS, l->left - l->gap,
                l->y[r] + (l->row_height[r] - lines * l->line) / 2, 1, ink);
    }
    for (int c = 0; c < s->columns; c++)
      if (draw_cell(s, l, s->cells + r * s->columns + c, l->left + c * (l->width + l->gap), r,
                    out, err))
        return -1;
  }
  draw_foot(s, l, out);
  return 0;
}

int sheet_render(const struct sheet *s, struct image *out, char err[256]) {
  struct layout l = {.y = NULL};
  int64_t width = 0, height = 0;
  int rc = -1;
  memset(out, 0, sizeof *out);
  if (s->columns < 1 || s->rows < 1 || s->columns > 1024 || s->rows > 1024 || s->text_scale > 16 ||
      s->cell_width > IMAGE_MAX_SIDE || s->cell_height > IMAGE_MAX_SIDE)
    return err_set(err, "a contact sheet of %d columns and %d rows is not supported", s->columns,
                   s->rows);
  if (measure(s, &l, &width, &height))
    err_set(err, "out of memory for a contact sheet");
  else if (width > IMAGE_MAX_SIDE || height > IMAGE_MAX_SIDE)
    err_set(err, "the contact sheet would have %lldx%lld pixels, at most %dx%d are supported",
            (long long)width, (long long)height, IMAGE_MAX_SIDE, IMAGE_MAX_SIDE);
  else
    rc = image_alloc((int)width, (int)height, 3, out, err);
  if (rc == 0) {
    memset(out->pixels, 255, (size_t)width * (size_t)height * 3);
    rc = draw(s, &l, out, err);
    if (rc) image_free(out);
  }
  free(l.y);
  free(l.row_height);
  return rc;
}

/* Contact sheets. */
#include "contact.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "font.h"
#include "say.h"
#include "sheet.h"

enum { CAPTION = 160 };

struct cells {
  struct sheet_cell *v;
  struct image *images;
  char (*captions)[CAPTION];
  const char **titles;
  char (*names)[CAPTION]; /* of the methods, with room to break lines */
  size_t n;
};

static void caption_of(const struct report *r, size_t item, char *out) {
  const struct item *it = &r->items[item];
  int64_t class = it->target[0];
  const char *label = model_label(r->model, r->output, class);
  if (label)
    snprintf(out, CAPTION, "%.100s %.3g", label, (double)it->f[0]);
  else if (class >= 0)
    snprintf(out, CAPTION, "%lld: %.3g", (long long)class, (double)it->f[0]);
  else
    snprintf(out, CAPTION, "f = %.3g", (double)it->f[0]);
}

/* The cells of one input: its picture, then each method's heatmap. */
static int fill_row(const struct report *reports, size_t n, size_t item, struct cells *c) {
  size_t at = item * (n + 1);
  int code = input_picture(reports[0].inputs, item, &c->images[at]);
  if (code)
    return code;
  caption_of(&reports[0], item, c->captions[at]);
  if (!c->images[at].pixels) {
    snprintf(c->captions[at], CAPTION, "%.150s", reports[0].items[item].name);
  }
  for (size_t m = 0; m < n; m++) {
    const struct report *r = &reports[m];
    struct map map;
    size_t k = at + 1 + m;
    code = map_make(r, item, 0, &map);
    if (!code && !map.values) {
      code = say(EXIT_USAGE, "--sheet: the relevance of '%s' makes no picture", r->names[0]);
    }
    if (!code)
      code = map_picture(r, item, &map, r->options->overlay, 1, &c->images[k]);
    free(map.values);
    if (code)
      return code;
    snprintf(c->captions[k], CAPTION, "sum %.3g", report_sum(r, item, 0));
  }
  for (size_t k = at; k < at + n + 1; k++) {
    c->v[k].image = c->images[k].pixels ? &c->images[k] : NULL;
    c->v[k].caption = c->captions[k];
  }
  return EXIT_FINE;
}

/* "gamma,gamma=0.1" as "gamma, gamma=0.1": a title can break there. */
static void spaced(const char *text, char *out) {
  size_t n = 0;
  for (; *text && n < CAPTION - 2; text++) {
    out[n++] = *text;
    if (*text == ',')
      out[n++] = ' ';
  }
  out[n] = 0;
}

/* Cells as wide as the longest word of a title, where whole dots allow it. */
static void choose_size(const struct cells *c, struct sheet *sheet) {
  enum { LEAST = 168, MOST = 320, LETTER = 2 * FONT_WIDTH };
  size_t longest = 0;
  int width = 1, height = 1;
  for (int m = 0; m < sheet->columns; m++) {
    for (const char *p = c->titles[m]; *p; p += strspn(p, " ")) {
      size_t n = strcspn(p, " ");
      if (n > longest)
        longest = n;
      p += n;
    }
  }
  for (size_t i = 0; i < c->n; i++) {
    if (c->images[i].width > width)
      width = c->images[i].width;
    if (c->images[i].height > height)
      height = c->images[i].height;
  }
  int want = longest * LETTER > LEAST ? (int)(longest * LETTER) : LEAST;
  int times = (want + width - 1) / width;
  if (width * times > MOST)
    return; /* as the sheet sees fit */
  sheet->cell_width = width * times;
  sheet->cell_height = height * times;
}

static int write_sheet(const struct report *reports, const struct method *methods, size_t n,
                       const struct cells *c, const char *path) {
  char err[256], title[300];
  struct image out;
  struct sheet sheet;
  const char *slash = strrchr(reports[0].model->path, '/');
  snprintf(title, sizeof title, "%s", slash ? slash + 1 : reports[0].model->path);
  memset(&sheet, 0, sizeof sheet);
  sheet.title = title;
  sheet.columns = (int)n + 1;
  sheet.rows = (int)reports[0].n_items;
  sheet.cells = c->v;
  sheet.column_titles = c->titles;
  c->titles[0] = "input";
  size_t size = 1;
  for (size_t m = 0; m < n; m++) {
    spaced(methods[m].text, c->names[m]);
    c->titles[m + 1] = c->names[m];
    size += strlen(methods[m].text) + 1;
  }
  choose_size(c, &sheet);
  if (sheet_render(&sheet, &out, err))
    return say(EXIT_LATER, "%s: %s", path, err);
  char *all = calloc(1, size);
  if (!all) {
    image_free(&out);
    return say_no_memory();
  }
  for (size_t m = 0; m < n; m++) {
    if (m)
      strcat(all, ";");
    strcat(all, methods[m].text);
  }
  const struct image_text texts[] = {{"tool", "xai " XAI_VERSION_STRING},
                                     {"library", xai_version()},
                                     {"model", reports[0].model->path},
                                     {"model_sha256", reports[0].model->sha256},
                                     {"methods", all}};
  int code = image_write_png(path, &out, texts, sizeof texts / sizeof texts[0], err)
                 ? say(EXIT_LATER, "%s", err)
                 : EXIT_FINE;
  free(all);
  image_free(&out);
  return code;
}

int contact_write(const struct report *reports, const struct method *methods, size_t n,
                  const char *path) {
  struct cells c;
  c.n = reports[0].n_items * (n + 1);
  c.v = calloc(c.n, sizeof *c.v);
  c.images = calloc(c.n, sizeof *c.images);
  c.captions = calloc(c.n, sizeof *c.captions);
  c.titles = calloc(n + 1, sizeof *c.titles);
  c.names = calloc(n + 1, sizeof *c.names);
  int code = c.v && c.images && c.captions && c.titles && c.names ? EXIT_FINE : say_no_memory();
  for (size_t i = 0; i < reports[0].n_items && !code; i++)
    code = fill_row(reports, n, i, &c);
  if (!code)
    code = write_sheet(reports, methods, n, &c, path);
  for (size_t i = 0; c.images && i < c.n; i++)
    image_free(&c.images[i]);
  free(c.v);
  free(c.images);
  free(c.captions);
  free(c.titles);
  free(c.names);
  return code;
}

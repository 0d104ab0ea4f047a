/* HTML: a report in one file, with its pictures inside; nothing is loaded from elsewhere.
 *
 * Per item and target: the input, the heatmap and both together (a picture), or the tokens on the
 * colour of their relevance (a text), then f, the sum of the relevance and its largest elements. At
 * the end where all of it comes from: the model, the method with all its parameters. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "file.h"
#include "heatmap.h"
#include "output.h"
#include "say.h"
#include "show.h"
#include "text.h"
#include "tokens.h"

static const char head[] =
    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<style>\n"
    "body { font: 16px/1.5 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 "
    "1em; "
    "color: #222; background: #fff }\n"
    "h1 { font-size: 1.4em } h2 { font-size: 1.1em; margin-top: 2em; border-top: 1px solid #ccc; "
    "padding-top: 1em }\n"
    "figure { display: inline-block; margin: 0 1em 1em 0 } figcaption { font-size: .85em; color: "
    "#555 }\n"
    "img { width: 16em; image-rendering: pixelated; border: 1px solid #ccc }\n"
    "table { border-collapse: collapse; margin: 1em 0 } th, td { text-align: left; padding: .1em "
    "1em "
    ".1em 0; vertical-align: top; overflow-wrap: anywhere } th { font-weight: 600; white-space: "
    "nowrap }\n"
    ".tokens { line-height: 2.2 } .tokens span { padding: .2em .3em; border-radius: .2em; "
    "white-space: "
    "pre-wrap }\n"
    ".scale span { padding: .1em .6em }\n"
    "</style>\n";

static enum heatmap_palette palette_of(const struct report *r) {
  const char *name = r->options->palette;
  return (enum heatmap_palette)(name ? heatmap_palette_find(name) : HEATMAP_RED_BLUE);
}

/* "<span style=...>" in the colour of t in -1..1. */
static void open_span(struct text *h, enum heatmap_palette palette, double t) {
  unsigned char rgb[3];
  heatmap_colour(palette, t, rgb);
  text_add(h, "<span style=\"background:#%02x%02x%02x;color:%s\"", rgb[0], rgb[1], rgb[2],
           heatmap_is_dark(rgb) ? "#fff" : "#000");
}

static int put_picture(struct text *h, const struct image *picture, const char *caption) {
  unsigned char *bytes;
  size_t size;
  char err[256];
  if (image_format_png(picture, NULL, 0, &bytes, &size, err))
    return say(EXIT_LATER, "%s", err);
  text_add(h, "<figure><img alt=\"%s\" src=\"data:image/png;base64,", caption);
  text_base64(h, bytes, size);
  text_add(h, "\"><figcaption>%s</figcaption></figure>\n", caption);
  free(bytes);
  return EXIT_FINE;
}

/* What relevance looks like on the map, and on the input where that is a picture. */
static int put_maps(struct text *h, const struct report *r, size_t item, size_t target) {
  struct map map;
  struct image input, drawn;
  int code = map_make(r, item, target, &map);
  if (code || !map.values || map.height < 2 || map.width < 2) {
    free(map.values);
    return code;
  }
  code = input_picture(r->inputs, item, &input);
  bool seen = !code && input.pixels;
  if (seen)
    code = put_picture(h, &input, "input");
  image_free(&input);
  for (int overlay = 0; overlay <= seen && !code; overlay++) {
    code = map_picture(r, item, &map, overlay, 1, &drawn);
    if (code)
      break;
    code = put_picture(h, &drawn, overlay ? "relevance on the input" : "relevance");
    image_free(&drawn);
  }
  free(map.values);
  return code;
}

static void put_tokens(struct text *h, const struct report *r, const struct tokens *t,
                       size_t target) {
  double scale = tokens_scale(t, target);
  text_add(h, "<p class=\"tokens\">\n");
  for (size_t i = 0; i < t->n; i++) {
    double R = t->relevance[target * t->n + i];
    open_span(h, palette_of(r), scale > 0 ? R / scale : 0);
    text_add(h, " title=\"%+.6g\">", R);
    text_html(h, t->label[i]);
    text_add(h, "</span>\n");
  }
  text_add(h, "</p>\n");
}

static void put_scale(struct text *h, const struct report *r) {
  text_add(h, "<p class=\"scale\">speaks against ");
  for (int step = -3; step <= 3; step++) {
    open_span(h, palette_of(r), step / 3.0);
    text_add(h, ">%s</span>", step ? "&nbsp;" : "0");
  }
  text_add(h, " supports</p>\n");
}

static void put_row(struct text *h, const char *key, const char *value) {
  text_add(h, "<tr><th>");
  text_html(h, key);
  text_add(h, "</th><td>");
  text_html(h, value);
  text_add(h, "</td></tr>\n");
}

static void put_fact(struct text *h, const struct fact *f) {
  char number[32];
  if (f->whole)
    snprintf(number, sizeof number, "%" PRId64, f->integer);
  else
    snprintf(number, sizeof number, "%.6g", f->number);
  put_row(h, f->key, f->text ? f->text : number);
}

/* The elements with the most relevance, of every tensor. */
static void put_top(struct text *h, const struct report *r, size_t item, size_t target) {
  text_add(h, "<table>\n<tr><th>most relevant</th><th>at</th><th>relevance</th></tr>\n");
  for (size_t k = 0; k < r->n_names; k++) {
    const struct summary *s = &r->items[item].summaries[target * r->n_names + k];
    for (size_t i = 0; i < s->n_top; i++) {
      char index[64];
      show_index(s, s->top[i], index);
      text_add(h, "<tr><td>");
      text_html(h, r->names[k]);
      text_add(h, "</td><td>%s</td><td>%+.6g</td></tr>\n", index, s->value[i]);
    }
  }
  text_add(h, "</table>\n");
}

static int put_target(struct text *h, const struct report *r, size_t item, size_t target) {
  struct fact facts[REPORT_FACTS];
  const struct tokens *tokens = &r->items[item].tokens;
  size_t n = report_item_facts(r, item, target, 0, facts);
  text_add(h, "<h2>");
  text_html(h, r->items[item].name);
  text_add(h, "</h2>\n");
  if (tokens->n)
    put_tokens(h, r, tokens, target);
  int code = tokens->n ? EXIT_FINE : put_maps(h, r, item, target);
  put_scale(h, r);
  text_add(h, "<table>\n");
  for (size_t i = 1; i < n; i++) /* without `input` */
    put_fact(h, &facts[i]);
  text_add(h, "</table>\n");
  put_top(h, r, item, target);
  return code;
}

static void put_provenance(struct text *h, const struct report *r) {
  struct fact facts[REPORT_FACTS];
  size_t n = report_facts(r, facts);
  text_add(h, "<h2>Where this comes from</h2>\n<table>\n");
  for (size_t i = 0; i < n; i++)
    put_fact(h, &facts[i]);
  text_add(h, "</table>\n</body>\n</html>\n");
}

int output_html(const struct report *r, const struct extract *e, const char *path) {
  struct text h = {0};
  char err[256];
  int code = EXIT_FINE;
  text_put(&h, head, sizeof head - 1);
  text_add(&h, "<title>");
  text_html(&h, r->model->path);
  text_add(&h, "</title>\n</head>\n<body>\n<h1>");
  text_html(&h, r->method);
  text_add(&h, " explains ");
  text_html(&h, r->model->path);
  text_add(&h, "</h1>\n");
  for (size_t i = 0; i < e->n_items * e->n_targets && !code; i++)
    code = put_target(&h, r, e->first + i / e->n_targets, e->first_target + i % e->n_targets);
  put_provenance(&h, r);
  size_t size = h.size;
  char *bytes = text_finish(&h);
  if (!code && !bytes)
    code = say_no_memory();
  if (!code && file_write(path, bytes, size, err))
    code = say(EXIT_LATER, "%s", err);
  free(bytes);
  return code;
}

/* Heatmaps: from a relevance tensor to a map, from a map to a picture and a .png file. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "heatmap.h"
#include "output.h"
#include "preprocess.h"
#include "say.h"

/* How a tensor [1, ...] lies as channels, height, width; false: it is no map. */
static bool lie(const struct report *r, const struct npy_array *a, const char *name, size_t *c,
                size_t *h, size_t *w, bool *last) {
  const int64_t *s = a->shape;
  int rank = a->rank;
  struct picture_layout layout;
  const struct port *port = model_input(r->model, name);
  *last = false;
  *c = 1;
  if (rank > 1) {
    s++;
    rank--;
  }
  if (port && rank == 1 && !picture_layout_of(port, &layout) && layout.kind == LAYOUT_FLAT) {
    *c = (size_t)layout.channels;
    *h = (size_t)layout.height;
    *w = (size_t)layout.width;
  } else if (rank == 3 && (s[2] == 1 || s[2] == 3) && s[0] != 1 && s[0] != 3) {
    *last = true;
    *h = (size_t)s[0];
    *w = (size_t)s[1];
    *c = (size_t)s[2];
  } else {
    *w = rank > 0 ? (size_t)s[rank - 1] : 1;
    *h = rank > 1 ? (size_t)s[rank - 2] : 1;
    for (int i = 0; i < rank - 2; i++)
      *c *= (size_t)s[i];
  }
  return *h && *w && *c && *h <= IMAGE_MAX_SIDE && *w <= IMAGE_MAX_SIDE && *c * *h * *w == a->count;
}

int map_make(const struct report *r, size_t item, size_t target, struct map *out) {
  const struct npy_array *a = &r->items[item].tensors[target * r->n_names];
  const struct options *o = r->options;
  size_t c, h, w;
  bool last;
  memset(out, 0, sizeof *out);
  if (a->type != NPY_F32 || !lie(r, a, r->names[0], &c, &h, &w, &last))
    return EXIT_FINE;
  const float *values = a->data;
  float *planes = NULL;
  out->values = malloc(h * w * sizeof *out->values);
  if (out->values && last && c > 1) {
    planes = malloc(a->count * sizeof *planes);
    for (size_t i = 0; planes && i < a->count; i++)
      planes[i % c * h * w + i / c] = values[i];
    values = planes;
  }
  if (!out->values || !values) {
    free(out->values);
    return say_no_memory();
  }
  int how = o->channels ? heatmap_channels_find(o->channels) : HEATMAP_SUM;
  heatmap_reduce(values, c, h * w, (enum heatmap_channels)how, out->values);
  free(planes);
  out->height = (int)h;
  out->width = (int)w;
  /* Small pictures side by side need more colour than numbers need their range. */
  double clip = o->clip > 0 ? o->clip : o->sheet ? 99.5 : 100;
  out->scale = heatmap_scale(out->values, h * w, clip);
  return EXIT_FINE;
}

int map_picture(const struct report *r, size_t item, const struct map *map, bool overlay, int zoom,
                struct image *out) {
  char err[256];
  const char *name = r->options->palette;
  int found = name ? heatmap_palette_find(name) : HEATMAP_RED_BLUE, failed;
  enum heatmap_palette palette = (enum heatmap_palette)found;
  struct image plain, large;
  memset(&plain, 0, sizeof plain);
  if (overlay) {
    struct image picture;
    int code = input_picture(r->inputs, item, &picture);
    if (code)
      return code;
    if (!picture.pixels)
      return say(EXIT_USAGE, "--overlay: the input is no picture");
    /* One dot of the picture an element, unless the map is coarser than its input. */
    failed =
        image_resize_nearest(&picture, picture.width * zoom, picture.height * zoom, &large, err);
    int smooth = map->width < picture.width || map->height < picture.height;
    image_free(&picture);
    if (!failed) {
      failed = heatmap_overlay(map->values, map->height, map->width, map->scale, palette, smooth,
                               &large, out, err);
      image_free(&large);
    }
  } else {
    failed = heatmap_render(map->values, map->height, map->width, map->scale, palette, &plain, err);
    if (!failed && zoom == 1) {
      *out = plain;
    } else if (!failed) {
      failed = image_resize_nearest(&plain, map->width * zoom, map->height * zoom, out, err);
      image_free(&plain);
    }
  }
  return failed ? say(EXIT_LATER, "%s", err) : EXIT_FINE;
}

/* Provenance as PNG texts; numbers into `room`. */
static size_t texts_of(const struct fact *facts, size_t n, char room[][32],
                       struct image_text *out) {
  for (size_t i = 0; i < n; i++) {
    if (!facts[i].text) {
      if (facts[i].whole)
        snprintf(room[i], 32, "%" PRId64, facts[i].integer);
      else
        snprintf(room[i], 32, "%.9g", facts[i].number);
    }
    out[i] = (struct image_text){facts[i].key, facts[i].text ? facts[i].text : room[i]};
  }
  return n;
}

int output_png(const struct report *r, const struct extract *e, const char *path) {
  struct map map;
  struct image picture;
  char err[256], room[REPORT_FACTS][32];
  int zoom = r->options->zoom > 0 ? (int)r->options->zoom : 1;
  int code = map_make(r, e->first, e->first_target, &map);
  if (code)
    return code;
  if (!map.values)
    return say(EXIT_LATER, "%s: '%s' does not make a picture", path, r->names[0]);
  code = map_picture(r, e->first, &map, r->options->overlay, zoom, &picture);
  free(map.values);
  if (code)
    return code;
  struct fact facts[REPORT_FACTS];
  struct image_text texts[REPORT_FACTS];
  size_t n = report_item_facts(r, e->first, e->first_target, report_facts(r, facts), facts);
  facts[n++] = (struct fact){.key = "scale", .number = map.scale};
  n = texts_of(facts, n, room, texts);
  if (image_write_png(path, &picture, texts, n, err))
    code = say(EXIT_LATER, "%s", err);
  image_free(&picture);
  return code;
}

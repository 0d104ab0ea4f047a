/* Prototypes as pictures, table and JSON. */
#include "gallery.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "json.h"
#include "preprocess.h"
#include "say.h"
#include "sheet.h"
#include "show.h"

enum { CAPTION = 200, MOST_COLUMNS = 10, SIDE = 84 };

/* ---- what a bundle says ---- */

/* Line i of a text, into out. */
static void line_of(const char *text, size_t i, char out[CAPTION]) {
  for (; text && i; i--) {
    text = strchr(text, '\n');
    text = text ? text + 1 : NULL;
  }
  snprintf(out, CAPTION, "%.*s", text ? (int)strcspn(text, "\n") : 0, text ? text : "");
}

static size_t count(const struct bundle *b) { return bundle_find(b, "score")->count; }
static size_t restarts(const struct bundle *b) { return (size_t)bundle_find(b, "score")->shape[1]; }
static size_t experts(const struct bundle *b) {
  const struct npy_array *p = bundle_find(b, "prior");
  return count(b) ? p->count / count(b) : 0;
}
static double score(const struct bundle *b, size_t i) {
  return (double)((const float *)bundle_find(b, "score")->data)[i];
}
static double prior(const struct bundle *b, size_t k, size_t i) {
  return (double)((const float *)bundle_find(b, "prior")->data)[k * count(b) + i];
}
static int64_t target(const struct bundle *b, size_t i) {
  const struct npy_array *t = bundle_find(b, "target");
  return t ? ((const int64_t *)t->data)[i] : -1;
}
/* Whether the score is a log-probability. */
static bool is_log_prob(const struct bundle *b) {
  const char *params = bundle_text(b, "params");
  return params && strstr(params, "score=log-prob");
}

static void label_of(const struct bundle *b, size_t i, char out[CAPTION]) {
  int64_t class = target(b, i);
  line_of(class < 0 ? NULL : bundle_text(b, "labels"), (size_t)class, out);
  if (!*out && class >= 0)
    snprintf(out, CAPTION, "%" PRId64, class);
}

/* "gaussian" of "experts/gaussian.npz,weight=1". */
static void expert_name(const struct bundle *b, size_t k, char out[CAPTION]) {
  char line[CAPTION];
  line_of(bundle_text(b, "priors"), k, line);
  line[strcspn(line, ",")] = 0;
  const char *slash = strrchr(line, '/'), *name = slash ? slash + 1 : line;
  const char *dot = strrchr(name, '.');
  snprintf(out, CAPTION, "%.*s", dot && dot != name ? (int)(dot - name) : CAPTION - 1, name);
}

static bool fits(const struct bundle *b) {
  const struct npy_array *x = bundle_find(b, "prototype"), *f = bundle_find(b, "score");
  const struct npy_array *p = bundle_find(b, "prior"), *t = bundle_find(b, "target");
  return x && f && p && x->type == NPY_F32 && f->type == NPY_F32 && p->type == NPY_F32 &&
         x->rank > 0 && f->rank == 2 && f->count > 0 && (size_t)x->shape[0] == f->count &&
         p->rank == 3 && p->count == (size_t)p->shape[0] * f->count &&
         (!t || (t->type == NPY_I64 && t->count == f->count));
}

int gallery_check(const struct bundle *b, const char *name) {
  return fits(b) ? EXIT_FINE : say(EXIT_INPUT, "%s: holds no prototypes", name);
}

/* ---- pictures ---- */

/* Prototype i as a picture; EXIT_USAGE where it is none. */
static int picture(const struct bundle *b, size_t i, struct image *out) {
  const struct npy_array *x = bundle_find(b, "prototype");
  const char *text = bundle_text(b, "preprocess");
  struct port port;
  struct picture_layout layout;
  struct preprocess how;
  memset(&port, 0, sizeof port);
  port.rank = x->rank;
  for (int k = 0; k < x->rank && k < MODEL_MAX_RANK; k++)
    port.shape[k] = k ? x->shape[k] : -1;
  if (x->rank > MODEL_MAX_RANK || picture_layout_of(&port, &layout))
    return say(EXIT_USAGE, "these prototypes make no picture");
  int code = preprocess_parse(text ? text : "zero-one", &how);
  if (code)
    return code;
  const float *values = (const float *)x->data + i * (x->count / (size_t)x->shape[0]);
  return preprocess_picture(values, &layout, &how, out) ? say_no_memory() : EXIT_FINE;
}

static void caption_of(const struct bundle *b, size_t i, bool label, char out[CAPTION]) {
  char name[CAPTION];
  size_t n = 0, k = experts(b);
  *out = 0;
  if (label)
    label_of(b, i, name);
  if (label && *name)
    n += (size_t)snprintf(out, CAPTION, "%.18s\n", name); /* one line: three are shown */
  if (is_log_prob(b))
    n += (size_t)snprintf(out + n, CAPTION - n, "p %.3f", exp(score(b, i)));
  else
    n += (size_t)snprintf(out + n, CAPTION - n, "f %.3g", score(b, i));
  if (k) {
    expert_name(b, k - 1, name); /* the last one, who may be there to judge only */
    snprintf(out + n, CAPTION - n, "\n%.40s %.4g", name, prior(b, k - 1, i));
  }
}

struct layout {
  struct sheet sheet;
  struct sheet_cell *cells;
  struct image *images;
  char (*captions)[CAPTION];
  char (*titles)[CAPTION], (*sides)[CAPTION];
  const char **title_texts, **side_texts;
  size_t n;
};

static int layout_begin(struct layout *l, size_t columns, size_t rows) {
  memset(l, 0, sizeof *l);
  l->n = columns * rows;
  l->cells = calloc(l->n, sizeof *l->cells);
  l->images = calloc(l->n, sizeof *l->images);
  l->captions = calloc(l->n, sizeof *l->captions);
  l->titles = calloc(columns, sizeof *l->titles);
  l->sides = calloc(rows, sizeof *l->sides);
  l->title_texts = calloc(columns, sizeof *l->title_texts);
  l->side_texts = calloc(rows, sizeof *l->side_texts);
  l->sheet.columns = (int)columns;
  l->sheet.rows = (int)rows;
  l->sheet.cells = l->cells;
  bool all = l->cells && l->images && l->captions && l->titles && l->sides && l->title_texts &&
             l->side_texts;
  return all ? EXIT_FINE : say_no_memory();
}

static void layout_free(struct layout *l) {
  for (size_t i = 0; l->images && i < l->n; i++)
    image_free(&l->images[i]);
  free(l->cells);
  free(l->images);
  free(l->captions);
  free(l->titles);
  free(l->sides);
  free(l->title_texts);
  free(l->side_texts);
}

static int put(struct layout *l, size_t at, const struct bundle *b, size_t i, bool label) {
  int code = picture(b, i, &l->images[at]);
  caption_of(b, i, label, l->captions[at]);
  l->cells[at] = (struct sheet_cell){&l->images[at], l->captions[at]};
  return code;
}

/* Renders and writes, with what the first bundle says of itself. */
static int layout_write(struct layout *l, const struct bundle *b, const struct options *o,
                        const char *path) {
  static const char *const keys[] = {"tool", "library", "model", "model_sha256", "generator",
                                     "method", "params", "source", "priors", "random_seed"};
  struct image_text texts[sizeof keys / sizeof keys[0]];
  struct image out;
  char err[256];
  size_t n = 0;
  int side = l->images[0].width > l->images[0].height ? l->images[0].width : l->images[0].height;
  int times = o->zoom > 0 ? (int)o->zoom : side < SIDE ? (SIDE + side - 1) / side : 1;
  l->sheet.cell_width = l->images[0].width * times;
  l->sheet.cell_height = l->images[0].height * times;
  l->sheet.text_scale = side * times < 112 ? 1 : 2;
  for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
    const char *text = bundle_text(b, keys[i]);
    if (text && *text)
      texts[n++] = (struct image_text){keys[i], text};
  }
  if (sheet_render(&l->sheet, &out, err))
    return say(EXIT_LATER, "%s: %s", path, err);
  int code = image_write_png(path, &out, texts, n, err) ? say(EXIT_LATER, "%s", err) : EXIT_FINE;
  image_free(&out);
  return code;
}

int gallery_sheet(const struct bundle *b, const struct options *o, const char *path) {
  struct layout l;
  size_t n = count(b), r = restarts(b), columns = r > 1 ? r : n < MOST_COLUMNS ? n : MOST_COLUMNS;
  size_t rows = (n + columns - 1) / columns;
  int code = layout_begin(&l, columns, rows);
  for (size_t i = 0; i < n && !code; i++)
    code = put(&l, i, b, i, r == 1);
  for (size_t i = 0; i < rows && !code && r > 1; i++) {
    label_of(b, i * r, l.sides[i]);
    l.side_texts[i] = l.sides[i];
    l.sheet.row_captions = l.side_texts;
  }
  if (!code)
    code = layout_write(&l, b, o, path);
  layout_free(&l);
  return code;
}

int gallery_rows(const struct bundle *b, const char *const *names, size_t n,
                 const struct options *o, const char *path) {
  struct layout l;
  size_t columns = 0;
  for (size_t k = 0; k < n; k++)
    columns = count(&b[k]) > columns ? count(&b[k]) : columns;
  int code = layout_begin(&l, columns, n);
  for (size_t k = 0; k < n && !code; k++) {
    for (size_t i = 0; i < count(&b[k]) && !code; i++)
      code = put(&l, k * columns + i, &b[k], i, false);
    const char *slash = strrchr(names[k], '/'), *name = slash ? slash + 1 : names[k];
    const char *dot = strrchr(name, '.');
    snprintf(l.sides[k], CAPTION, "%.*s", dot && dot != name ? (int)(dot - name) : 60, name);
    l.side_texts[k] = l.sides[k];
  }
  for (size_t i = 0; i < count(&b[0]) && !code; i++) {
    label_of(&b[0], i, l.titles[i]);
    l.title_texts[i] = l.titles[i];
  }
  l.sheet.row_captions = l.side_texts;
  l.sheet.column_titles = l.title_texts;
  if (!code)
    code = layout_write(&l, &b[0], o, path);
  layout_free(&l);
  return code;
}

/* ---- numbers ---- */

int gallery_table(const struct bundle *b) {
  struct table t;
  char name[CAPTION];
  size_t k = experts(b), r = restarts(b);
  bool log_prob = is_log_prob(b);
  table_begin(&t, 4 + (size_t)log_prob + k, ~2u);
  table_add(&t, "target");
  table_add(&t, "label");
  table_add(&t, "restart");
  table_add(&t, "score");
  if (log_prob)
    table_add(&t, "probability");
  for (size_t e = 0; e < k; e++) {
    expert_name(b, e, name);
    table_add(&t, "%s", name);
  }
  for (size_t i = 0; i < count(b); i++) {
    line_of(target(b, i) < 0 ? NULL : bundle_text(b, "labels"), (size_t)target(b, i), name);
    if (target(b, i) < 0)
      table_add(&t, "mask");
    else
      table_add(&t, "%" PRId64, target(b, i));
    table_add(&t, "%s", name);
    table_add(&t, "%zu", i % r);
    table_add(&t, "%.6g", score(b, i));
    if (log_prob)
      table_add(&t, "%.4f", exp(score(b, i)));
    for (size_t e = 0; e < k; e++)
      table_add(&t, "%.6g", prior(b, e, i));
  }
  return table_end(&t);
}

static void write_items(struct json *j, const struct bundle *b) {
  char name[CAPTION];
  json_open_array(j, "prototypes");
  for (size_t i = 0; i < count(b); i++) {
    json_open_object(j, NULL);
    if (target(b, i) >= 0) {
      line_of(bundle_text(b, "labels"), (size_t)target(b, i), name);
      json_integer(j, "target", target(b, i));
      json_text(j, "label", *name ? name : NULL);
    }
    json_integer(j, "restart", (int64_t)(i % restarts(b)));
    json_number(j, "score", score(b, i));
    if (is_log_prob(b))
      json_number(j, "probability", exp(score(b, i)));
    json_open_array(j, "priors");
    for (size_t k = 0; k < experts(b); k++) {
      expert_name(b, k, name);
      json_open_line(j, NULL, '{');
      json_text(j, "name", name);
      json_number(j, "logp", prior(b, k, i));
      json_close_line(j, '}');
    }
    json_close_array(j);
    json_close_object(j);
  }
  json_close_array(j);
}

char *gallery_json(const struct bundle *b) {
  struct json j;
  json_begin(&j);
  json_open_object(&j, NULL);
  json_open_object(&j, "provenance");
  for (size_t i = 0; i < b->n; i++) {
    if (b->v[i].type == NPY_TEXT && strcmp(b->names[i], "labels"))
      json_text(&j, b->names[i], b->v[i].data);
  }
  json_close_object(&j);
  json_boolean(&j, "partial", bundle_find(b, "partial") != NULL);
  write_items(&j, b);
  json_close_object(&j);
  return json_finish(&j);
}

/* Tables and heatmaps on the terminal. */
#include "show.h"
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "font.h"
#include "heatmap.h"
#include "json.h"
#include "output.h"
#include "say.h"
#include "tokens.h"

void table_begin(struct table *t, size_t columns, unsigned right) {
  memset(t, 0, sizeof *t);
  t->columns = columns;
  t->right = right;
}

void table_add(struct table *t, const char *format, ...) {
  char text[512];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  char **cells = t->failed ? NULL : realloc(t->cells, (t->n + 1) * sizeof *cells);
  if (cells)
    t->cells = cells;
  if (!cells || !(cells[t->n] = strdup(text)))
    t->failed = true;
  else
    t->n++;
}

int table_end(struct table *t) {
  bool failed = t->failed;
  size_t *width = calloc(t->columns + 1, sizeof *width);
  if (!width)
    failed = true;
  for (size_t i = 0; i < t->n && !failed; i++) {
    size_t length = font_length(t->cells[i]);
    if (length > width[i % t->columns])
      width[i % t->columns] = length;
  }
  for (size_t i = 0; i < t->n && !failed; i++) {
    size_t c = i % t->columns;
    int pad = (int)(width[c] - font_length(t->cells[i]));
    bool right = t->right >> c & 1, last = c + 1 == t->columns;
    printf("%*s%s", right ? pad : 0, "", t->cells[i]);
    if (last)
      printf("\n");
    else
      printf("%*s  ", right ? 0 : pad, "");
  }
  for (size_t i = 0; i < t->n; i++)
    free(t->cells[i]);
  free(t->cells);
  free(width);
  memset(t, 0, sizeof *t);
  return failed ? say_no_memory() : EXIT_FINE;
}

void show_bytes(int64_t bytes, char out[SHOW_BYTES]) {
  static const char *const units[] = {"bytes", "KiB", "MiB", "GiB"};
  double size = (double)bytes;
  int unit = 0;
  for (; size >= 1024 && unit < 3; unit++)
    size /= 1024;
  snprintf(out, SHOW_BYTES, "%.*f %s", unit ? 1 : 0, size, units[unit]);
}

void show_index(const struct summary *s, int64_t flat, char out[64]) {
  int64_t at[NPY_MAX_RANK];
  int first = s->rank > 1 && s->shape[0] == 1; /* without the item's own axis */
  size_t n = 0;
  for (int d = s->rank - 1; d >= 0; d--) {
    at[d] = s->shape[d] ? flat % s->shape[d] : 0;
    flat = s->shape[d] ? flat / s->shape[d] : 0;
  }
  out[0] = 0;
  int last = s->rank;
  while (last > first + 1 && s->shape[last - 1] == 1)
    last--; /* [1000,1,1] is a list */
  for (int d = first; d < last && n < 44; d++) {
    n += (size_t)snprintf(out + n, 64 - n, "%s%" PRId64, d > first ? ":" : "", at[d]);
  }
}

int show_json(const struct report *r) {
  struct extract all = {0, r->n_items, 0, r->n_targets};
  return json_print(output_json_text(r, &all));
}

static bool has_labels(const struct report *r, const struct port *port) {
  return port && r->model->labels.n > 0;
}

int show_run(const struct report *r) {
  int code = EXIT_FINE;
  for (size_t i = 0; i < r->n_items && !code; i++) {
    for (size_t k = 0; k < r->n_names && !code; k++) {
      const struct summary *s = &r->items[i].summaries[k];
      const struct port *port = model_output(r->model, r->names[k]);
      bool labels = has_labels(r, port);
      if (r->n_items > 1 || r->n_names > 1) {
        printf("%s%s%s%s\n", i + k ? "\n" : "", r->items[i].name, r->n_names > 1 ? ": " : "",
               r->n_names > 1 ? r->names[k] : "");
      }
      struct table t;
      table_begin(&t, labels ? 3 : 2, labels ? 5 : 3);
      table_add(&t, "%s", "index");
      if (labels)
        table_add(&t, "%s", "label");
      table_add(&t, "%s", "value");
      for (size_t n = 0; n < s->n_top; n++) {
        char index[64];
        const char *label = labels ? model_label(r->model, port, s->top[n]) : NULL;
        show_index(s, s->top[n], index);
        table_add(&t, "%s", index);
        if (labels)
          table_add(&t, "%s", label ? label : "-");
        table_add(&t, "%.6g", s->value[n]);
      }
      code = table_end(&t);
    }
  }
  return code;
}

static int terminal_columns(void) {
  struct winsize size;
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || size.ws_col < 20)
    return 80;
  return size.ws_col > 120 ? 120 : size.ws_col;
}

static int show_heatmap(const struct report *r, size_t item, size_t target, bool legend) {
  struct map map = {0};
  const struct tokens *tokens = &r->items[item].tokens;
  const char *none = getenv("NO_COLOR"), *term = getenv("TERM");
  int colour = !(none && *none) && !(term && !strcmp(term, "dumb"));
  int code = tokens->n ? EXIT_FINE : map_make(r, item, target, &map);
  if (code || (!tokens->n && (!map.values || map.height < 2))) {
    free(map.values);
    return code;
  }
  const char *name = r->options->palette;
  enum heatmap_palette palette =
      (enum heatmap_palette)(name ? heatmap_palette_find(name) : HEATMAP_RED_BLUE);
  char *text = tokens->n ? tokens_terminal(tokens, target, palette, terminal_columns(), colour)
                         : heatmap_terminal(map.values, map.height, map.width, map.scale, palette,
                                            terminal_columns(), colour);
  char *line = legend && (colour || !tokens->n) ? heatmap_legend(palette, colour) : NULL;
  free(map.values);
  if (text)
    printf("\n%s%s%s", text, line ? line : "", line ? "\n" : "");
  free(text);
  free(line);
  return text ? EXIT_FINE : say_no_memory();
}

/* "movie +0.53, ..." */
static void most_relevant_tokens(const struct tokens *t, size_t target, char out[256]) {
  const double *R = t->relevance + target * t->n;
  size_t n = 0, shown[3];
  out[0] = 0;
  for (size_t k = 0; k < 3 && k < t->n && n < 160; k++) {
    shown[k] = t->n;
    for (size_t i = 0; i < t->n; i++) {
      bool taken = false;
      for (size_t j = 0; j < k; j++)
        taken |= shown[j] == i;
      if (!taken && (shown[k] == t->n || fabs(R[i]) > fabs(R[shown[k]])))
        shown[k] = i;
    }
    n += (size_t)snprintf(out + n, 256 - n, "%s%.40s %+.3g", k ? ", " : "", t->label[shown[k]],
                          R[shown[k]]);
  }
}

/* "0:12:7 +0.53, ..." */
static void most_relevant(const struct summary *s, char out[256]) {
  size_t n = 0;
  out[0] = 0;
  for (size_t i = 0; i < s->n_top && i < 3 && n < 160; i++) {
    char index[64];
    show_index(s, s->top[i], index);
    n += (size_t)snprintf(out + n, 256 - n, "%s%s %+.3g", i ? ", " : "", index, s->value[i]);
  }
}

int show_explanation(const struct report *r) {
  struct table t;
  bool labels = has_labels(r, r->output);
  table_begin(&t, labels ? 6 : 5, labels ? 26u : 14u);
  table_add(&t, "%s", "input");
  table_add(&t, "%s", "target");
  if (labels)
    table_add(&t, "%s", "label");
  table_add(&t, "%s", "f");
  table_add(&t, "%s", "sum R");
  table_add(&t, "%s", "most relevant");
  for (size_t i = 0; i < r->n_items; i++) {
    const struct item *it = &r->items[i];
    for (size_t k = 0; k < r->n_targets; k++) {
      char most[256];
      const char *label = labels ? model_label(r->model, r->output, it->target[k]) : NULL;
      table_add(&t, "%s", it->name);
      if (it->target[k] < 0)
        table_add(&t, "%s", "mask");
      else
        table_add(&t, "%" PRId64, it->target[k]);
      if (labels)
        table_add(&t, "%s", label ? label : "-");
      table_add(&t, "%.6g", (double)it->f[k]);
      table_add(&t, "%.6g", report_sum(r, i, k));
      if (it->tokens.n)
        most_relevant_tokens(&it->tokens, k, most);
      else
        most_relevant(&it->summaries[k * r->n_names], most);
      table_add(&t, "%s", most);
    }
  }
  int code = table_end(&t);
  if (!isatty(STDOUT_FILENO))
    return code;
  size_t shown = r->n_items * r->n_targets > 4 ? 0 : r->n_items * r->n_targets;
  for (size_t k = 0; k < shown && !code; k++) {
    size_t item = k / r->n_targets;
    if (!r->items[item].tensors[0].data)
      break; /* gone to its file already */
    code = show_heatmap(r, item, k % r->n_targets, k + 1 == shown);
  }
  return code;
}

/* Tokens. */
#include "tokens.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "font.h"
#include "say.h"
#include "text.h"

int tokens_check(const struct input_set *s, const struct lines *labels) {
  for (size_t i = 0; labels->n && i < input_count(s); i++) {
    int64_t *ids;
    size_t n;
    char name[200];
    int code = input_tokens(s, i, &ids, &n);
    free(ids);
    if (code)
      return code;
    input_name(s, i, name, sizeof name);
    if (!n)
      return say(EXIT_USAGE, "--token-labels: no input of the model is a list of tokens");
    if (n != labels->n)
      return say(EXIT_INPUT, "--token-labels: %zu labels for the %zu tokens of %s", labels->n, n,
                 name);
  }
  return EXIT_FINE;
}

static int name_them(const int64_t *ids, const struct lines *labels, struct tokens *t) {
  t->label = calloc(t->n, sizeof *t->label);
  for (size_t i = 0; i < t->n && t->label; i++) {
    char number[24];
    snprintf(number, sizeof number, "%" PRId64, ids[i]);
    t->label[i] = strdup(labels->n == t->n ? labels->v[i] : number);
    if (!t->label[i])
      return say_no_memory();
  }
  return t->label ? EXIT_FINE : say_no_memory();
}

int tokens_add(struct report *r, size_t item, const struct lines *labels) {
  struct item *it = &r->items[item];
  struct tokens *t = &it->tokens;
  int64_t *ids;
  bool found = false;
  int code = input_tokens(r->inputs, item, &ids, &t->n);
  if (!code && t->n) {
    t->relevance = calloc(r->n_targets * t->n, sizeof *t->relevance);
    code = t->relevance ? name_them(ids, labels, t) : say_no_memory();
  }
  free(ids);
  for (size_t k = 0; k < r->n_targets * r->n_names && t->n && !code; k++) {
    const struct npy_array *a = &it->tensors[k];
    if (a->type != NPY_F32 || a->rank < 2 || a->shape[0] != 1 || a->shape[1] != (int64_t)t->n)
      continue;
    size_t features = a->count / t->n;
    for (size_t i = 0; i < a->count; i++)
      t->relevance[k / r->n_names * t->n + i / features] += (double)((const float *)a->data)[i];
    found = true;
  }
  if (!found)
    tokens_free(t);
  return code;
}

double tokens_scale(const struct tokens *t, size_t target) {
  double scale = 0;
  for (size_t i = 0; i < t->n; i++)
    scale = fmax(scale, fabs(t->relevance[target * t->n + i]));
  return scale;
}

char *tokens_terminal(const struct tokens *t, size_t target, enum heatmap_palette palette,
                      int columns, bool colour) {
  struct text out = {0};
  double scale = tokens_scale(t, target);
  size_t used = 0;
  for (size_t i = 0; i < t->n; i++) {
    double R = t->relevance[target * t->n + i];
    char number[24] = "";
    if (!colour)
      snprintf(number, sizeof number, "(%+.3g)", R);
    size_t width = font_length(t->label[i]) + strlen(number);
    if (used && used + 1 + width > (size_t)columns) {
      text_add(&out, "\n");
      used = 0;
    } else if (used) {
      text_add(&out, " ");
      used++;
    }
    used += width;
    if (colour) {
      unsigned char ground[3];
      heatmap_colour(palette, scale > 0 ? R / scale : 0, ground);
      int ink = heatmap_is_dark(ground) ? 255 : 0;
      text_add(&out, "\x1b[38;2;%d;%d;%d;48;2;%d;%d;%dm", ink, ink, ink, ground[0], ground[1],
               ground[2]);
    }
    text_plain(&out, t->label[i]);
    text_add(&out, "%s", colour ? "\x1b[0m" : number);
  }
  text_add(&out, "\n");
  return text_finish(&out);
}

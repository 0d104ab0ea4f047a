#include "layers.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "show.h"

/* The layer of that name; layers come in the same order call after call. */
static struct layer *find(struct layers *l, const char *sweep, size_t sweep_size, const char *rest) {
  for (size_t i = 0; i < l->n; i++) {
    struct layer *v = &l->v[(l->next + i) % l->n];
    if (strncmp(v->line, sweep, sweep_size) || strcmp(v->line + sweep_size, rest))
      continue;
    l->next = (size_t)(v - l->v) + 1;
    return v;
  }
  if (l->n == l->capacity) {
    size_t capacity = 2 * l->capacity + 64;
    struct layer *more = realloc(l->v, capacity * sizeof *more);
    if (!more)
      return NULL;
    l->v = more;
    l->capacity = capacity;
  }
  char *line = malloc(sweep_size + strlen(rest) + 1);
  if (!line)
    return NULL;
  memcpy(line, sweep, sweep_size);
  strcpy(line + sweep_size, rest);
  l->v[l->n] = (struct layer){line, 0, -1};
  return &l->v[l->n++];
}

void layers_log(void *user, int level, const char *text) {
  struct layers *l = *(struct layers **)user;
  char *end;
  if (!l || level != 2)
    return;
  size_t sweep = strcspn(text, " ");
  double us = strtod(text + sweep, &end);
  if (strncmp(end, " us ", 4))
    return;
  struct layer *v = find(l, text, sweep, end + 3);
  if (v)
    v->call += 1e-6 * us;
  else
    l->failed = 1;
}

void layers_called(struct layers *l) {
  for (size_t i = 0; i < l->n; i++) {
    struct layer *v = &l->v[i];
    if (v->fastest < 0 || v->call < v->fastest)
      v->fastest = v->call;
    v->call = 0;
  }
}

static int by_cost(const void *a, const void *b) {
  double x = ((const struct layer *)a)->fastest, y = ((const struct layer *)b)->fastest;
  return (x < y) - (x > y);
}

void layers_sort(struct layers *l) {
  if (l->n)
    qsort(l->v, l->n, sizeof *l->v, by_cost);
}

int layers_print(const struct layers *l, const char *call, size_t most, double seconds) {
  struct table t;
  table_begin(&t, 3, 1 | 2);
  table_add(&t, "fastest ms");
  table_add(&t, "%% of call");
  table_add(&t, "layer of %s", call);
  for (size_t i = 0; i < l->n && i < most; i++) {
    table_add(&t, "%.3f", 1e3 * l->v[i].fastest);
    table_add(&t, "%.1f", 100 * l->v[i].fastest / seconds);
    table_add(&t, "%s", l->v[i].line);
  }
  return table_end(&t);
}

void layers_json(const struct layers *l, size_t most, struct json *j) {
  json_open_array(j, "layers");
  for (size_t i = 0; i < l->n && i < most; i++) {
    json_open_line(j, NULL, '{');
    json_text(j, "layer", l->v[i].line);
    json_number(j, "fastest_ms", 1e3 * l->v[i].fastest);
    json_close_line(j, '}');
  }
  json_close_array(j);
}

void layers_free(struct layers *l) {
  for (size_t i = 0; i < l->n; i++)
    free(l->v[i].line);
  free(l->v);
  memset(l, 0, sizeof *l);
}

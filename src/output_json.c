/* JSON: the report, also of --json.
 *
 * {"provenance": {...}, "items": [
 *    a run:          {"input", "top": [{"index", "label", "value"}], "outputs": [{...}]}
 *    an explanation: {"input", "targets": [{"target", "label", "f", "sum", "scale",
 *                     "relevance": [{"name", "shape", "sum", "min", "max", "top": [...]}]}]} ]}
 * `top` of a run is that of its first output; "at" is the index along every axis. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "file.h"
#include "json.h"
#include "output.h"
#include "say.h"

void json_fact(struct json *j, const struct fact *f) {
  if (f->text)
    json_text(j, f->key, f->text);
  else if (f->whole)
    json_integer(j, f->key, f->integer);
  else
    json_number(j, f->key, f->number);
}

/* The largest elements; port: whose classes they are, NULL for none. */
static void write_top(struct json *j, const struct report *r, const struct summary *s,
                      const struct port *port, bool labels) {
  json_open_array(j, "top");
  for (size_t i = 0; i < s->n_top; i++) {
    json_open_line(j, NULL, '{');
    json_integer(j, "index", s->top[i]);
    if (labels)
      json_text(j, "label", model_label(r->model, port, s->top[i]));
    if (s->rank > 2 || !labels) {
      int64_t at[NPY_MAX_RANK], rest = s->top[i];
      for (int d = s->rank - 1; d >= 0; d--) {
        at[d] = s->shape[d] ? rest % s->shape[d] : 0;
        rest = s->shape[d] ? rest / s->shape[d] : 0;
      }
      json_shape(j, "at", s->rank, at);
    }
    json_number(j, "value", s->value[i]);
    json_close_line(j, '}');
  }
  json_close_array(j);
}

static void write_summary(struct json *j, const struct report *r, size_t k,
                          const struct summary *s) {
  const struct port *port = r->explains ? NULL : model_output(r->model, r->names[k]);
  json_open_object(j, NULL);
  json_text(j, "name", r->names[k]);
  json_shape(j, "shape", s->rank, s->shape);
  json_number(j, "sum", s->sum);
  json_number(j, "min", s->low);
  json_number(j, "max", s->high);
  write_top(j, r, s, port, port != NULL);
  json_close_object(j);
}

static void write_target(struct json *j, const struct report *r, size_t item, size_t t) {
  struct fact facts[REPORT_FACTS];
  size_t n = report_item_facts(r, item, t, 0, facts);
  json_open_object(j, NULL);
  for (size_t i = 1; i < n; i++)
    json_fact(j, &facts[i]); /* without `input` */
  if (r->items[item].scale)
    json_number(j, "scale", r->items[item].scale[t]);
  const struct tokens *tokens = &r->items[item].tokens;
  if (tokens->n)
    json_open_array(j, "tokens");
  for (size_t i = 0; i < tokens->n; i++) {
    json_open_line(j, NULL, '{');
    json_text(j, "token", tokens->label[i]);
    json_number(j, "value", tokens->relevance[t * tokens->n + i]);
    json_close_line(j, '}');
  }
  if (tokens->n)
    json_close_array(j);
  json_open_array(j, "relevance");
  for (size_t k = 0; k < r->n_names; k++) {
    write_summary(j, r, k, &r->items[item].summaries[t * r->n_names + k]);
  }
  json_close_array(j);
  json_close_object(j);
}

static void write_item(struct json *j, const struct report *r, size_t item,
                       const struct extract *e) {
  const struct item *it = &r->items[item];
  json_open_object(j, NULL);
  json_text(j, "input", it->name);
  if (r->explains) {
    json_open_array(j, "targets");
    for (size_t t = 0; t < e->n_targets; t++)
      write_target(j, r, item, e->first_target + t);
    json_close_array(j);
  } else {
    write_top(j, r, &it->summaries[0], model_output(r->model, r->names[0]), true);
    json_open_array(j, "outputs");
    for (size_t k = 0; k < r->n_names; k++)
      write_summary(j, r, k, &it->summaries[k]);
    json_close_array(j);
  }
  json_close_object(j);
}

char *output_json_text(const struct report *r, const struct extract *e) {
  struct fact facts[REPORT_FACTS];
  struct json j;
  size_t n = report_facts(r, facts);
  json_begin(&j);
  json_open_object(&j, NULL);
  if (e->n_items)
    json_open_object(&j, "provenance");
  for (size_t i = 0; i < n; i++)
    json_fact(&j, &facts[i]);
  if (e->n_items) {
    json_close_object(&j);
    json_open_array(&j, "items");
    for (size_t i = 0; i < e->n_items; i++)
      write_item(&j, r, e->first + i, e);
    json_close_array(&j);
  }
  json_close_object(&j);
  return json_finish(&j);
}

int output_json(const struct report *r, const struct extract *e, const char *path) {
  char err[256], *text = output_json_text(r, e);
  if (!text)
    return say_no_memory();
  int code = file_write(path, text, strlen(text), err) ? say(EXIT_LATER, "%s", err) : EXIT_FINE;
  free(text);
  return code;
}

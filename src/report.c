/* Collecting results. */
#include "report.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "array.h"
#include "say.h"

static const char *const score_names[REPORT_SCORES] = {"gap", "root-f"};

int report_begin(struct report *r, struct model *m, const struct options *o, struct input_set *s,
                 bool explains, size_t top) {
  memset(r, 0, sizeof *r);
  r->options = o;
  r->model = m;
  r->inputs = s;
  r->explains = explains;
  r->n_top = top;
  r->items = calloc(input_count(s) + 1, sizeof *r->items);
  size_t size = 1;
  for (size_t i = 0; i < o->rules.n; i++)
    size += strlen(o->rules.v[i]) + 1;
  r->rules = o->rules.n ? calloc(1, size) : NULL;
  for (size_t i = 0; r->rules && i < o->rules.n; i++) {
    if (i)
      strcat(r->rules, ";");
    strcat(r->rules, o->rules.v[i]);
  }
  return r->items && (r->rules || !o->rules.n) ? EXIT_FINE : say_no_memory();
}

void report_drop(struct report *r, size_t item) {
  struct npy_array *t = r->items[item].tensors;
  for (size_t i = 0; t && i < r->n_targets * r->n_names; i++)
    npy_free(&t[i]);
}

void tokens_free(struct tokens *t) {
  for (size_t i = 0; t->label && i < t->n; i++)
    free(t->label[i]);
  free(t->label);
  free(t->relevance);
  memset(t, 0, sizeof *t);
}

void report_free(struct report *r) {
  for (size_t i = 0; r->items && i < r->n_items; i++) {
    struct item *it = &r->items[i];
    report_drop(r, i);
    for (size_t k = 0; it->summaries && k < r->n_targets * r->n_names; k++) {
      free(it->summaries[k].top);
      free(it->summaries[k].value);
    }
    free(it->tensors);
    free(it->summaries);
    free(it->target);
    free(it->f);
    for (size_t s = 0; s < REPORT_SCORES; s++)
      free(it->score[s]);
    free(it->scale);
    tokens_free(&it->tokens);
    free(it->name);
    free(it->stem);
  }
  for (size_t i = 0; i < r->n_names; i++)
    free(r->names[i]);
  free(r->names);
  free(r->items);
  free(r->method);
  free(r->params);
  free(r->source);
  free(r->rules);
  memset(r, 0, sizeof *r);
}

/* Is a at index i before b at index j? NaN goes last; ties go to the first index. */
static bool before(double a, int64_t i, double b, int64_t j) {
  if (isnan(a) || isnan(b))
    return isnan(a) == isnan(b) ? i < j : isnan(b);
  return a > b || (a == b && i < j);
}

/* sizes: rank by |value|. Insertion into a short list. */
static int summarise(const struct npy_array *a, size_t top, bool sizes, struct summary *out) {
  memset(out, 0, sizeof *out);
  out->rank = a->rank;
  memcpy(out->shape, a->shape, (size_t)a->rank * sizeof *a->shape);
  if (top > a->count)
    top = a->count;
  out->top = malloc((top + 1) * sizeof *out->top);
  out->value = malloc((top + 1) * sizeof *out->value);
  if (!out->top || !out->value)
    return say_no_memory();
  for (size_t i = 0; i < a->count; i++) {
    double x = array_value(a, i), rank = sizes ? fabs(x) : x;
    out->sum += x;
    if (i == 0 || x < out->low)
      out->low = x;
    if (i == 0 || x > out->high)
      out->high = x;
    size_t k = out->n_top;
    while (k > 0) {
      double other = sizes ? fabs(out->value[k - 1]) : out->value[k - 1];
      if (!before(rank, (int64_t)i, other, out->top[k - 1]))
        break;
      k--;
    }
    if (k == top)
      continue;
    size_t last = out->n_top < top ? out->n_top++ : top - 1;
    memmove(out->top + k + 1, out->top + k, (last - k) * sizeof *out->top);
    memmove(out->value + k + 1, out->value + k, (last - k) * sizeof *out->value);
    out->top[k] = (int64_t)i;
    out->value[k] = x;
  }
  return EXIT_FINE;
}

/* The names "prefix/..." of the first result are those of all. */
static int read_names(struct report *r, const xai_result *result, const char *prefix) {
  const char *name, *text;
  const xai_tensor *t;
  size_t skip = strlen(prefix);
  for (size_t i = 0; !xai_result_get(result, i, &name, &t, &text); i++) {
    if (text && !strcmp(name, "method") && !(r->method = strdup(text)))
      return say_no_memory();
    if (text && !strcmp(name, "params") && !(r->params = strdup(text)))
      return say_no_memory();
    if (text && !strcmp(name, "source") && !(r->source = strdup(text)))
      return say_no_memory();
    if (!t || strncmp(name, prefix, skip) || name[skip] != '/')
      continue;
    char **names = realloc(r->names, (r->n_names + 1) * sizeof *names);
    if (!names)
      return say_no_memory();
    r->names = names;
    if (!(names[r->n_names] = strdup(name + skip + 1)))
      return say_no_memory();
    r->n_names++;
  }
  r->n_targets = 1;
  const int64_t *shape;
  const xai_tensor *f = xai_result_find(result, "f");
  if (r->explains && f && xai_tensor_shape(f, &shape) == 2)
    r->n_targets = (size_t)shape[0];
  if (r->n_names)
    return EXIT_FINE;
  return say(EXIT_LATER, "the library returned no %s", prefix);
}

/* Item k of n, target t, of a result tensor [T?, A, ...] with A = n * rows. */
static int cut(const struct report *r, const struct npy_array *a, size_t t, size_t k, size_t n,
               struct npy_array *out) {
  char err[256];
  int64_t shape[NPY_MAX_RANK];
  int lead = r->n_targets > 1, rank = a->rank - lead;
  if (rank < 0 || (n > 1 && (rank == 0 || a->shape[lead] % (int64_t)n))) {
    return say(EXIT_LATER, "a result has no axis for its %zu items", n);
  }
  memcpy(shape, a->shape + lead, (size_t)rank * sizeof *shape);
  if (n > 1)
    shape[0] /= (int64_t)n;
  if (npy_alloc(a->type, rank, shape, "result", out, err))
    return say_no_memory();
  size_t size = npy_type_size(a->type);
  memcpy(out->data, (const char *)a->data + (t * n + k) * out->count * size, out->count * size);
  return EXIT_FINE;
}

static char *name_of(const struct report *r, size_t item, bool stem) {
  char text[512];
  if (stem)
    input_stem(r->inputs, item, text, sizeof text);
  else
    input_name(r->inputs, item, text, sizeof text);
  return strdup(text);
}

static int add_item(struct report *r, const xai_result *result, const char *prefix, size_t k,
                    size_t n) {
  size_t cells = r->n_targets * r->n_names;
  struct item *it = &r->items[r->n_items];
  r->n_items++;
  it->name = name_of(r, r->n_items - 1, false);
  it->stem = name_of(r, r->n_items - 1, true);
  it->tensors = calloc(cells, sizeof *it->tensors);
  it->summaries = calloc(cells, sizeof *it->summaries);
  if (!it->name || !it->stem || !it->tensors || !it->summaries)
    return say_no_memory();
  for (size_t c = 0; c < cells; c++) {
    char key[600];
    struct npy_array whole;
    int owned;
    snprintf(key, sizeof key, "%s/%s", prefix, r->names[c % r->n_names]);
    const xai_tensor *t = xai_result_find(result, key);
    if (!t)
      return say(EXIT_LATER, "the library returned no %s", key);
    int code = array_of_tensor(t, &whole, &owned);
    if (!code)
      code = cut(r, &whole, c / r->n_names, k, n, &it->tensors[c]);
    if (owned)
      npy_free(&whole);
    if (!code)
      code = summarise(&it->tensors[c], r->n_top, r->explains, &it->summaries[c]);
    if (code)
      return code;
  }
  if (!r->explains)
    return EXIT_FINE;
  const xai_tensor *targets = xai_result_find(result, "target");
  const xai_tensor *f = xai_result_find(result, "f");
  it->target = malloc(r->n_targets * sizeof *it->target);
  it->f = malloc(r->n_targets * sizeof *it->f);
  if (!it->target || !it->f)
    return say_no_memory();
  const int64_t *shape;
  size_t stride = f && xai_tensor_shape(f, &shape) == 2 ? (size_t)shape[1] : n;
  for (size_t t = 0; t < r->n_targets; t++) {
    it->target[t] = targets ? ((const int64_t *)xai_tensor_data(targets))[t * stride + k] : -1;
    it->f[t] = f ? ((const float *)xai_tensor_data(f))[t * stride + k] : NAN;
  }
  for (size_t s = 0; s < REPORT_SCORES; s++) {
    const xai_tensor *score = xai_result_find(result, score_names[s]);
    if (!score)
      continue;
    if (!(it->score[s] = malloc(r->n_targets * sizeof **it->score)))
      return say_no_memory();
    for (size_t t = 0; t < r->n_targets; t++)
      it->score[s][t] = ((const float *)xai_tensor_data(score))[t * stride + k];
  }
  return EXIT_FINE;
}

int report_add(struct report *r, const xai_result *result, const char *prefix, size_t n) {
  int code = r->names ? EXIT_FINE : read_names(r, result, prefix);
  for (size_t k = 0; k < n && !code; k++)
    code = add_item(r, result, prefix, k, n);
  return code;
}

double report_sum(const struct report *r, size_t item, size_t target) {
  double sum = 0;
  for (size_t k = 0; k < r->n_names; k++) {
    sum += r->items[item].summaries[target * r->n_names + k].sum;
  }
  return sum;
}

size_t report_facts(const struct report *r, struct fact out[REPORT_FACTS]) {
  const struct options *o = r->options;
  const struct fact all[] = {
      {.key = "tool", .text = "xai " XAI_VERSION_STRING},
      {.key = "library", .text = xai_version()},
      {.key = "command", .text = o->command},
      {.key = "model", .text = r->model->path},
      {.key = "model_sha256", .text = r->model->sha256},
      {.key = "method", .text = r->method},
      {.key = "params", .text = r->params},
      {.key = "rules", .text = r->rules},
      {.key = "source", .text = r->source},
      {.key = "targets", .text = r->explains ? (o->target ? o->target : "max") : NULL},
      {.key = "preprocess", .text = input_preprocess(r->inputs)},
      {.key = "fit", .text = input_preprocess(r->inputs) ? (o->fit ? o->fit : "stretch") : NULL},
      {.key = "random_seed", .integer = o->random_seed, .whole = true},
  };
  size_t n = 0;
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
    if (all[i].text || all[i].whole)
      out[n++] = all[i];
  }
  return n;
}

size_t report_item_facts(const struct report *r, size_t item, size_t target, size_t n,
                         struct fact out[REPORT_FACTS]) {
  const struct item *it = &r->items[item];
  out[n++] = (struct fact){.key = "input", .text = it->name};
  if (!it->target)
    return n;
  int64_t index = it->target[target];
  const char *label = model_label(r->model, r->output, index);
  if (index >= 0) {
    out[n++] = (struct fact){.key = "target", .integer = index, .whole = true};
  } else {
    out[n++] = (struct fact){.key = "target", .text = "mask"};
  }
  if (label)
    out[n++] = (struct fact){.key = "label", .text = label};
  out[n++] = (struct fact){.key = "f", .number = (double)it->f[target]};
  out[n++] = (struct fact){.key = "sum", .number = report_sum(r, item, target)};
  for (size_t s = 0; s < REPORT_SCORES; s++)
    if (it->score[s])
      out[n++] = (struct fact){.key = score_names[s], .number = (double)it->score[s][target]};
  return n;
}

/* .npy and .npz outputs.
 *
 * .npy: the first tensor, [rows...] of one target or [T, rows...] of several.
 * .npz: "relevance/NAME" (a run: "output/NAME") alike, target int64 [T,N], f float32 [T,N], sum
 * float64 [T,N], and the text `provenance` (JSON). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "npz.h"
#include "output.h"
#include "say.h"

/* Tensor k of all items and targets of the extract as one array. */
static int gather(const struct report *r, const struct extract *e, size_t k, const char *path,
                  struct npy_array *out) {
  const struct npy_array *first = &r->items[e->first].tensors[e->first_target * r->n_names + k];
  int64_t shape[NPY_MAX_RANK];
  int lead = e->n_targets > 1, stacked = first->rank == 0 && e->n_items > 1;
  int rank = first->rank + lead + stacked;
  char err[256];
  if (rank > NPY_MAX_RANK)
    return say(EXIT_LATER, "%s: too many axes", path);
  shape[0] = (int64_t)e->n_targets;
  if (first->rank)
    memcpy(shape + lead, first->shape, (size_t)first->rank * sizeof *shape);
  if (stacked)
    shape[lead] = (int64_t)e->n_items;
  for (size_t i = 1; i < e->n_items; i++) {
    const struct npy_array *a = &r->items[e->first + i].tensors[e->first_target * r->n_names + k];
    bool fits = a->rank == first->rank;
    for (int d = 1; d < a->rank && fits; d++)
      fits = a->shape[d] == first->shape[d];
    if (!fits) {
      return say(EXIT_LATER,
                 "%s: items of different shapes do not fit one array; put %%i into the "
                 "name",
                 path);
    }
    if (!stacked)
      shape[lead] += a->shape[0];
  }
  if (npy_alloc(first->type, rank, shape, path, out, err))
    return say(EXIT_LIMIT, "%s", err);
  char *to = out->data;
  for (size_t t = 0; t < e->n_targets; t++) {
    for (size_t i = 0; i < e->n_items; i++) {
      const struct npy_array *a =
          &r->items[e->first + i].tensors[(e->first_target + t) * r->n_names + k];
      size_t size = a->count * npy_type_size(a->type);
      memcpy(to, a->data, size);
      to += size;
    }
  }
  return EXIT_FINE;
}

int output_npy(const struct report *r, const struct extract *e, const char *path) {
  struct npy_array a;
  char err[256];
  int code = gather(r, e, 0, path, &a);
  if (code)
    return code;
  if (npy_write(path, &a, err))
    code = say(EXIT_LATER, "%s", err);
  npy_free(&a);
  if (!code && r->n_names > 1 && e->first == 0 && e->first_target == 0) {
    say_note("%s holds '%s', the first of %zu tensors; an .npz holds all", path, r->names[0],
             r->n_names);
  }
  return code;
}

static int add_tensor(const struct report *r, const struct extract *e, size_t k, const char *path,
                      struct npz_writer *w) {
  struct npy_array a;
  char err[256], key[600];
  int code = gather(r, e, k, path, &a);
  if (code)
    return code;
  snprintf(key, sizeof key, "%s/%s", r->explains ? "relevance" : "output", r->names[k]);
  if (npz_add(w, key, &a, err))
    code = say(EXIT_LATER, "%s", err);
  npy_free(&a);
  return code;
}

/* target, f and sum of an explanation. */
static int add_numbers(const struct report *r, const struct extract *e, struct npz_writer *w) {
  size_t n = e->n_targets * e->n_items;
  int64_t shape[2] = {(int64_t)e->n_targets, (int64_t)e->n_items};
  int64_t *target = malloc(n * sizeof *target);
  float *f = malloc(n * sizeof *f);
  double *sum = malloc(n * sizeof *sum);
  char err[256];
  int code = target && f && sum ? EXIT_FINE : say_no_memory();
  for (size_t k = 0; k < n && !code; k++) {
    size_t t = e->first_target + k / e->n_items, i = e->first + k % e->n_items;
    target[k] = r->items[i].target[t];
    f[k] = r->items[i].f[t];
    sum[k] = report_sum(r, i, t);
  }
  if (!code) {
    struct npy_array at = npy_view(NPY_I64, 2, shape, target);
    struct npy_array af = npy_view(NPY_F32, 2, shape, f);
    struct npy_array as = npy_view(NPY_F64, 2, shape, sum);
    if (npz_add(w, "target", &at, err) || npz_add(w, "f", &af, err) ||
        npz_add(w, "sum", &as, err)) {
      code = say(EXIT_LATER, "%s", err);
    }
  }
  free(target);
  free(f);
  free(sum);
  return code;
}

int output_npz(const struct report *r, const struct extract *e, const char *path) {
  struct npz_writer *w;
  char err[256];
  if (npz_create(path, 1, &w, err))
    return say(EXIT_LATER, "%s", err);
  int code = EXIT_FINE;
  for (size_t k = 0; k < r->n_names && !code; k++)
    code = add_tensor(r, e, k, path, w);
  if (!code && r->explains)
    code = add_numbers(r, e, w);
  if (!code) {
    struct extract none = *e;
    none.n_items = 0;
    char *text = output_json_text(r, &none);
    if (!text)
      code = say_no_memory();
    else if (npz_add_text(w, "provenance", text, err))
      code = say(EXIT_LATER, "%s", err);
    free(text);
  }
  if (code) {
    npz_abandon(w);
    return code;
  }
  return npz_finish(w, err) ? say(EXIT_LATER, "%s", err) : EXIT_FINE;
}

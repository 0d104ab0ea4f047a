/* Targets. */
#include "target.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "array.h"
#include "say.h"
#include "stop.h"

static int bad(const char *text) {
  return say(EXIT_USAGE,
             "--target takes max, N, N,M,.., top:K, all, c:y:x, channel:K, OUTPUT/N or @mask.npy, not '%s'",
             text);
}

/* Digits only, up to one of `ends`; -1 when there are none. */
static int64_t digits(const char **text, const char *ends) {
  int64_t n = 0;
  const char *p = *text;
  if (*p < '0' || *p > '9')
    return -1;
  for (; *p >= '0' && *p <= '9'; p++) {
    if (n > (INT64_MAX - 9) / 10)
      return -1;
    n = n * 10 + (*p - '0');
  }
  if (*p && !strchr(ends, *p))
    return -1;
  *text = p;
  return n;
}

/* The tensor to explain. */
static const char *source_of(const struct target *t) {
  const struct port *p = t->output;
  return t->from ? t->from : p ? (p->logit ? p->logit : p->name) : "";
}

/* The shape of the tensor to explain, -1 for an unknown size; returns its rank, -1 if unknown. */
static int whole_shape(const struct model *m, const struct target *t, int64_t shape[16]) {
  size_t n;
  int rank = -1;
  const struct port *p = t->output;
  const char *name = source_of(t);
  if (p && p->rank && !strcmp(p->name, name)) { /* 0 may be unknown */
    memcpy(shape, p->shape, (size_t)p->rank * sizeof *shape);
    return p->rank;
  }
  for (size_t i = 0; i < m->n_inputs; i++) { /* nodes have shapes for open sizes of 1 */
    for (int k = 1; k < m->inputs[i].rank; k++)
      if (m->inputs[i].shape[k] < 0)
        return -1;
  }
  struct node *nodes = model_nodes(m, &n);
  for (size_t i = 0; nodes && i < n; i++) {
    size_t length = strlen(name);
    if (strncmp(nodes[i].outputs, name, length))
      continue;
    if (nodes[i].outputs[length] && nodes[i].outputs[length] != ',')
      continue;
    if (!strcmp(nodes[i].shape, "?"))
      break;
    rank = 0;
    for (const char *s = nodes[i].shape; *s && rank < 16; s += *s == ',') {
      shape[rank] = digits(&s, ",");
      if (shape[rank++] < 0)
        s += strcspn(s, ",");
    }
  }
  if (nodes)
    model_nodes_free(nodes, n);
  return rank;
}

/* The same of one item: without axis 0 where that is symbolic or 1. */
static int item_shape(const struct model *m, const struct target *t, int64_t shape[16]) {
  int rank = whole_shape(m, t, shape);
  if (rank < 1 || shape[0] > 1)
    return rank;
  memmove(shape, shape + 1, (size_t)(rank - 1) * sizeof *shape);
  return rank - 1;
}

static int unknown_shape(const char *text) {
  return say(EXIT_USAGE,
             "--target %s: the model does not say the shape of what is explained; give "
             "flat indices",
             text);
}

/* "c:y:x" to its flat index; *text is moved to its end. */
static int flat_index(const char *all, const char **text, const int64_t *shape, int rank,
                      int64_t *out) {
  int64_t index[16];
  int n = 0;
  for (;; ++*text) {
    if (n == 16 || (index[n++] = digits(text, ":,")) < 0)
      return bad(all);
    if (**text != ':')
      break;
  }
  *out = index[0];
  if (n == 1)
    return EXIT_FINE;
  if (n != rank) {
    return say(EXIT_USAGE, "--target %s: %d indices for an item of %d axes", all, n, rank);
  }
  *out = 0;
  for (int i = 0; i < n; i++) {
    if (index[i] >= shape[i]) {
      return say(EXIT_USAGE,
                 "--target %s: index %" PRId64 " of axis %d is out of range 0..%" PRId64, all,
                 index[i], i, shape[i] - 1);
    }
    *out = *out * shape[i] + index[i];
  }
  return EXIT_FINE;
}

static int make_list(const int64_t *list, size_t n, struct target *t) {
  int64_t shape = (int64_t)n;
  xai_error err;
  t->n = n;
  if (xai_tensor_create(XAI_I64, 1, &shape, list, &t->tensor, &err)) {
    return say_error(&err, SAY_RUNNING, "--target");
  }
  return EXIT_FINE;
}

static int parse_list(const char *text, const int64_t *shape, int rank, struct target *t) {
  int64_t *list = malloc((strlen(text) + 1) * sizeof *list);
  if (!list)
    return say_no_memory();
  int code = EXIT_FINE;
  size_t n = 0;
  for (const char *p = text;; p++) {
    code = flat_index(text, &p, shape, rank, &list[n]);
    for (size_t i = 0; i < n && !code; i++) {
      if (list[i] == list[n]) {
        code = say(EXIT_USAGE, "--target %s: %" PRId64 " stands twice", text, list[n]);
      }
    }
    n++;
    if (code || *p != ',')
      break;
  }
  if (!code)
    code = make_list(list, n, t);
  free(list);
  return code;
}

/* Flat indices, and tuples where the model says all sizes; other tuples are kept for later. */
static int parse_indices(const struct model *m, const char *text, struct target *t) {
  int64_t shape[16];
  int rank = strchr(text, ':') ? item_shape(m, t, shape) : 0;
  bool known = rank >= 0;
  for (int i = 0; i < rank; i++)
    known &= shape[i] >= 0;
  if (known)
    return parse_list(text, shape, rank, t);
  for (const char *p = text; (p = strchr(p, ',')); p++)
    t->n++;
  t->later = strdup(text);
  return t->later ? EXIT_FINE : say_no_memory();
}

int target_place(const struct model *m, const xai_param *inputs, size_t n, struct target *t) {
  const char *name = source_of(t);
  const int64_t *whole;
  int64_t shape[16];
  xai_result *result = NULL;
  xai_error err;
  xai_request request = {.struct_size = sizeof request, .inputs = inputs, .n_inputs = m->n_inputs,
                         .at = &name, .n_at = 1, .cancel = stop_cancel()};
  char key[600];
  snprintf(key, sizeof key, "output/%s", name);
  stop_hold();
  int status = xai_run(m->session, &request, &result, &err);
  stop_release();
  if (status)
    return say_error(&err, SAY_RUNNING, NULL);
  int rank = xai_tensor_shape(xai_result_find(result, key), &whole);
  memcpy(shape, whole, (size_t)rank * sizeof *shape);
  xai_result_free(result);
  int items = rank > 0 && shape[0] == (int64_t)n; /* axis 0 counts them */
  xai_tensor_free(t->tensor);
  t->tensor = NULL;
  return parse_list(t->later, shape + items, rank - items, t);
}

static int parse_all(const struct model *m, struct target *t) {
  int64_t shape[16], count = 1;
  int rank = item_shape(m, t, shape);
  for (int i = 0; i < rank; i++) {
    if (shape[i] < 0 || count > (1 << 24) / (shape[i] ? shape[i] : 1))
      return unknown_shape("all");
    count *= shape[i];
  }
  if (rank < 0 || count < 1)
    return unknown_shape("all");
  int64_t *list = malloc((size_t)count * sizeof *list);
  if (!list)
    return say_no_memory();
  for (int64_t i = 0; i < count; i++)
    list[i] = i;
  int code = make_list(list, (size_t)count, t);
  free(list);
  return code;
}

/* Weights of the shape of one item become those of T = 1 target; with one axis more, of T. */
/* The mean of channel K, axis 0 of an item, as a mask. */
static int parse_channel(const struct model *m, const char *text, struct target *t) {
  const char *p = text;
  int64_t shape[16], channel = digits(&p, ""), size = 1;
  int rank = item_shape(m, t, shape);
  if (channel < 0)
    return say(EXIT_USAGE, "--target channel:%s: channel:K takes a number", text);
  for (int i = 0; i < rank; i++) {
    if (shape[i] < 1 || (i && size > (1 << 24) / shape[i]))
      return unknown_shape("channel:K");
    size *= i ? shape[i] : 1;
  }
  if (rank < 1 || rank >= MODEL_MAX_RANK)
    return unknown_shape("channel:K");
  if (channel >= shape[0])
    return say(EXIT_USAGE, "--target channel:%s: '%s' has %" PRId64 " channels", text,
               source_of(t), shape[0]);
  xai_error err;
  memmove(shape + 1, shape, (size_t)rank * sizeof *shape);
  shape[0] = 1;
  if (xai_tensor_create(XAI_F32, rank + 1, shape, NULL, &t->tensor, &err))
    return say_error(&err, SAY_RUNNING, NULL);
  float *weights = (float *)(size_t)xai_tensor_data(t->tensor) + channel * size;
  for (int64_t i = 0; i < size; i++)
    weights[i] = 1 / (float)size;
  t->mask = true;
  return EXIT_FINE;
}

static int read_mask(const struct model *m, const char *spec, struct target *t) {
  struct npy_array a, floats;
  char err[256];
  int64_t shape[16];
  int code = array_read(spec, &a), rank = item_shape(m, t, shape);
  if (code)
    return code;
  if (rank >= 0 && a.rank != rank && a.rank != rank + 1) {
    char have[160], want[160];
    array_shape_text(a.rank, a.shape, have);
    array_shape_text(rank, shape, want);
    npy_free(&a);
    return say(EXIT_INPUT, "%s: a mask of shape %s does not fit items of %s", spec, have, want);
  }
  if (a.rank == rank || rank < 0) {
    if (a.rank == NPY_MAX_RANK)
      return say(EXIT_INPUT, "%s: too many axes", spec);
    memmove(a.shape + 1, a.shape, (size_t)a.rank * sizeof *a.shape);
    a.shape[0] = 1;
    a.rank++;
  }
  if (npy_alloc(NPY_F32, a.rank, a.shape, spec, &floats, err)) {
    code = say(EXIT_LIMIT, "%s", err);
  } else if (npy_to_float(&a, floats.data)) {
    code = say(EXIT_INPUT, "%s: a mask is numbers", spec);
  } else {
    code = array_to_tensor(&floats, spec, &t->tensor);
  }
  t->mask = true;
  t->n = a.shape[0] > 0 ? (size_t)a.shape[0] : 1;
  npy_free(&a);
  if (floats.data)
    npy_free(&floats);
  return code;
}

static int set_from(struct target *t, const char *name, size_t n) {
  free(t->from);
  t->from = strndup(name, n);
  return t->from ? EXIT_FINE : say_no_memory();
}

/* "OUTPUT/REST": sets the tensor to explain and moves *text to REST. */
static int parse_output(const struct model *m, const struct options *o, const char **text,
                        struct target *t) {
  const char *mask = strstr(*text, "/@"), *slash = mask ? mask : strrchr(*text, '/');
  char name[512];
  if (**text == '@' || !slash)
    return EXIT_FINE;
  snprintf(name, sizeof name, "%.*s", (int)(slash - *text), *text);
  const struct port *p = model_output(m, name);
  if (!p) {
    return say(EXIT_USAGE, "--target %s: the model has no output '%s' (its first is '%s')", *text,
               name, m->n_outputs ? m->outputs[0].name : "");
  }
  if (o->from)
    return say(EXIT_USAGE, "--target %s and --from both name a tensor", *text);
  bool final = o->output && !strcmp(o->output, "final");
  t->output = p;
  *text = slash + 1;
  const char *tensor = p->logit && !final ? p->logit : p->name;
  return set_from(t, tensor, strlen(tensor));
}

/* "TENSOR" or "TENSOR:INDEX"; *text is the index then. */
static int parse_from(const struct model *m, const struct options *o, const char **text,
                      struct target *t) {
  const char *colon = strrchr(o->from, ':');
  size_t n = strlen(o->from);
  if (!model_has_tensor(m, o->from) && colon) {
    if (o->target)
      return say(EXIT_USAGE, "--from %s and --target both name a target", o->from);
    n = (size_t)(colon - o->from);
    *text = colon + 1;
  }
  int code = set_from(t, o->from, n);
  if (!code && !model_has_tensor(m, t->from)) {
    code = say(EXIT_USAGE, "--from: the model has no tensor '%s'", t->from);
  }
  t->output = code ? NULL : model_output(m, t->from);
  return code;
}

int target_parse(const struct model *m, const struct options *o, struct target *out) {
  const char *text = o->target ? o->target : "max";
  memset(out, 0, sizeof *out);
  out->n = 1;
  if (m->n_outputs)
    out->output = &m->outputs[0];
  int code = o->from ? parse_from(m, o, &text, out) : EXIT_FINE;
  if (!code)
    code = parse_output(m, o, &text, out);
  if (code)
    return code;
  if (!strcmp(text, "max"))
    return EXIT_FINE;
  if (!strcmp(text, "all"))
    return parse_all(m, out);
  if (text[0] == '@')
    return read_mask(m, text + 1, out);
  if (!strncmp(text, "channel:", 8))
    return parse_channel(m, text + 8, out);
  if (!strncmp(text, "top:", 4)) {
    const char *p = text + 4;
    out->top = digits(&p, "");
    if (out->top < 1)
      return bad(text);
    out->n = (size_t)out->top;
    return EXIT_FINE;
  }
  return parse_indices(m, text, out);
}

void target_free(struct target *t) {
  free(t->from);
  free(t->later);
  xai_tensor_free(t->tensor);
  memset(t, 0, sizeof *t);
}

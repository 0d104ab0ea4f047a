/* One input file: what is in it and whether it fits the model. */
#include "input_source.h"
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "array.h"
#include "file.h"
#include "idx.h"
#include "npz.h"
#include "say.h"

void source_free(struct source *s) {
  free(s->path);
  npy_free(&s->array);
  image_free(&s->image);
}

const struct source *source_of(const struct slot *slot, size_t item, size_t *place) {
  const struct source *s = slot->sources;
  while (item >= s->items)
    item -= (s++)->items;
  *place = item;
  return s;
}

/* Takes over what the source owns, whatever it returns. */
static int append(struct slot *slot, struct source *new) {
  struct source *sources = realloc(slot->sources, (slot->n_sources + 1) * sizeof *sources);
  if (!sources) {
    source_free(new);
    return say_no_memory();
  }
  slot->sources = sources;
  slot->sources[slot->n_sources++] = *new;
  slot->items += new->items;
  return EXIT_FINE;
}

static void insert_axis(struct npy_array *a, int axis) {
  memmove(a->shape + axis + 1, a->shape + axis, (size_t)(a->rank - axis) * sizeof *a->shape);
  a->shape[axis] = 1;
  a->rank++;
}

/* Gives a uint8 array the shape [N,H,W], [N,H,W,C] or [N,C,H,W]; false when it has no such. */
static bool as_pixels(struct npy_array *a, const struct slot *slot) {
  const struct picture_layout *l = &slot->layout;
  if (a->type != NPY_U8 || !slot->pictures)
    return false;
  if (a->rank == 2)
    insert_axis(a, 0);
  if (a->rank == 3 && l->channels == 3) {
    bool first = a->shape[0] == 3 && a->shape[2] != 3, last = a->shape[2] == 3;
    if (first || last)
      insert_axis(a, 0);
  }
  if (a->rank != 3 && a->rank != 4)
    return false;
  struct image probe;
  if (!a->shape[0] || preprocess_pixels(a, 0, &probe))
    return false;
  image_free(&probe);
  return true;
}

/* Gives an array the axes of the port; false, with a line, when it does not fit. */
static bool as_port(struct npy_array *a, const struct port *p, const char *path) {
  char have[160], want[160];
  array_shape_text(a->rank, a->shape, have);
  array_shape_text(p->rank, p->shape, want);
  if (a->rank < p->rank && a->rank >= 1 && p->rank >= 2) {
    bool items = a->rank == p->rank - 1 && p->shape[1] == 1 && a->shape[0] != 1;
    if (items)
      insert_axis(a, 1);
    while (a->rank < p->rank)
      insert_axis(a, 0);
  }
  if (a->rank != p->rank) {
    say(EXIT_INPUT, "%s: shape %s has %d axes, input '%s' %s has %d", path, have, a->rank, p->name,
        want, p->rank);
    return false;
  }
  for (int i = 0; i < p->rank; i++) {
    bool any = p->shape[i] == -1 || (i == 0 && p->shape[0] == 1);
    if (any || a->shape[i] == p->shape[i])
      continue;
    say(EXIT_INPUT, "%s: shape %s does not fit input '%s' %s: axis %d is %" PRId64 ", not %" PRId64,
        path, have, p->name, want, i, a->shape[i], p->shape[i]);
    return false;
  }
  return true;
}

/* Takes over the array, whatever it returns. declared: someone said these bytes are pixels. */
static int add_array(struct slot *slot, const char *path, struct npy_array *a, bool declared) {
  struct source new = {.path = strdup(path), .array = *a};
  int code = EXIT_FINE;
  if (!new.path) {
    code = say_no_memory();
  } else if (declared && as_pixels(&new.array, slot)) {
    new.kind = SOURCE_PIXELS;
    new.items = (size_t) new.array.shape[0];
  } else if (!as_port(&new.array, slot->port, path)) {
    code = EXIT_INPUT;
  } else {
    new.kind = SOURCE_ARRAY;
    new.items = slot->batched ? (size_t) new.array.shape[0] : 1;
  }
  if (!code && !new.items)
    code = say(EXIT_INPUT, "%s: holds no item", path);
  if (code) {
    source_free(&new);
    return code;
  }
  return append(slot, &new);
}

/* The only input there is, or none with a line. */
static struct slot *only_slot(struct input_set *s, const char *path) {
  if (s->n_slots == 1)
    return &s->slots[0];
  char names[200] = "";
  for (size_t i = 0; i < s->n_slots && strlen(names) < 150; i++) {
    size_t n = strlen(names);
    snprintf(names + n, sizeof names - n, "%s%.60s", i ? ", " : "", s->slots[i].port->name);
  }
  say(EXIT_INPUT, "the model has %zu inputs (%s): give each as NAME=%s", s->n_slots, names, path);
  return NULL;
}

static bool pixels_declared(const struct input_set *s) {
  return s->options->preprocess || model_text(s->model, "metadata/xai.preprocess");
}

/* An archive whose arrays have the names of the inputs. EXIT_FINE and *used = 0: it is not one. */
static int add_archive(struct input_set *s, const char *path, const void *bytes, size_t size,
                       size_t *used) {
  struct npz *z;
  char err[256];
  *used = 0;
  if (npz_parse(bytes, size, path, &z, err))
    return say(EXIT_INPUT, "%s", err);
  int code = EXIT_FINE;
  for (size_t i = 0; i < s->n_slots && !code; i++) {
    struct npy_array a;
    if (npz_find(z, s->slots[i].port->name) < 0)
      continue;
    if (npz_get(z, s->slots[i].port->name, &a, err))
      code = say(EXIT_INPUT, "%s", err);
    else
      code = add_array(&s->slots[i], path, &a, pixels_declared(s));
    ++*used;
  }
  npz_close(z);
  return code;
}

static int add_picture(struct input_set *s, struct slot *slot, const char *path,
                       struct image *image) {
  struct source new = {.kind = SOURCE_PICTURE, .items = 1};
  if (image)
    new.image = *image;
  if (!slot)
    slot = only_slot(s, path);
  int code = slot ? EXIT_FINE : EXIT_INPUT;
  if (slot && !slot->pictures) {
    char want[160];
    array_shape_text(slot->port->rank, slot->port->shape, want);
    code = say(EXIT_INPUT, "%s is a picture, but input '%s' %s does not take pictures", path,
               slot->port->name, want);
  }
  if (!code) {
    new.path = strdup(path);
    if (!new.path)
      code = say_no_memory();
  }
  if (code) {
    source_free(&new);
    return code;
  }
  return append(slot, &new);
}

static int add_bytes(struct input_set *s, struct slot *slot, const char *path, const char *key,
                     const void *bytes, size_t size) {
  const char *name = file_name(path);
  char err[256];
  if (image_sniff(bytes, size)) {
    struct image image;
    if (image_parse(bytes, size, name, &image, err))
      return say(EXIT_INPUT, "%s", err);
    return add_picture(s, slot, name, &image);
  }
  if (size > 4 && !memcmp(bytes, "PK", 2) && !slot && !key) {
    size_t used;
    int code = add_archive(s, name, bytes, size, &used);
    if (code || used)
      return code;
  }
  if (!slot)
    slot = only_slot(s, name);
  if (!slot)
    return EXIT_INPUT;
  bool idx = idx_sniff(bytes, size);
  struct npy_array a;
  int code = array_parse(bytes, size, name, key, &a);
  return code ? code : add_array(slot, name, &a, idx || pixels_declared(s));
}

bool slot_takes_tokens(const struct slot *slot) {
  return (slot->port->dtype == XAI_I64 || slot->port->dtype == XAI_I32) && !slot->pictures;
}

static struct slot *tokens_slot(struct input_set *s, const char *text, size_t name) {
  for (size_t i = 0; i < s->n_slots; i++) {
    struct slot *slot = &s->slots[i];
    bool named = strlen(slot->port->name) == name && !strncmp(slot->port->name, text, name);
    if (slot_takes_tokens(slot) && (named || !text[name]))
      return slot;
  }
  return NULL;
}

int source_add_tokens(struct input_set *s, const char *text) {
  const char *equals = strrchr(text, '=');
  size_t name = equals ? (size_t)(equals - text) : strlen(text);
  struct slot *slot = tokens_slot(s, text, name);
  if (!slot)
    return say(EXIT_INPUT, "--tokens %s: the model has no input%s%.*s%s of int64 or int32", text,
               equals ? " '" : "", equals ? (int)name : 0, text, equals ? "'" : "");
  int64_t count = 1;
  for (const char *p = text; *p; p++)
    count += *p == ',';
  struct npy_array a;
  char err[256];
  if (npy_alloc(NPY_I64, 1, &count, "--tokens", &a, err))
    return say(EXIT_LIMIT, "%s", err);
  const char *p = equals ? equals + 1 : text;
  int64_t *ids = a.data;
  for (int64_t i = 0; i < count; i++) {
    char *end;
    errno = 0;
    ids[i] = strtoll(p, &end, 10);
    if (end == p || errno || isspace((unsigned char)*p) || *end != (i + 1 < count ? ',' : 0)) {
      npy_free(&a);
      return say(EXIT_USAGE, "--tokens takes whole numbers with commas between, not '%s'", text);
    }
    p = end + 1;
  }
  return add_array(slot, "tokens", &a, false);
}

int source_add(struct input_set *s, struct slot *slot, const char *path) {
  char err[256], file[4096];
  unsigned char head[16], *bytes;
  size_t size = 0;
  const char *key;
  size_t n = array_split_key(path, &key);
  if (n >= sizeof file)
    return say(EXIT_INPUT, "a file name of %zu bytes is too long", n);
  memcpy(file, path, n);
  file[n] = 0;
  FILE *f = strcmp(file, "-") ? fopen(file, "rb") : NULL;
  if (f) {
    size = fread(head, 1, sizeof head, f);
    fclose(f);
    if (!key && image_sniff(head, size))
      return add_picture(s, slot, file, NULL);
  }
  if (file_read(file, 0, &bytes, &size, err))
    return say(EXIT_INPUT, "%s", err);
  int code = add_bytes(s, slot, file, key, bytes, size);
  free(bytes);
  return code;
}

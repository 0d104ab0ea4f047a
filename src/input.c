/* The list of items. */
#include "input.h"
#include <dirent.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>
#include "input_source.h"
#include "say.h"

enum { MOST_ITEMS = 256, MOST_ELEMENTS = 1 << 22 }; /* of one library call */

/* What a folder is searched for. */
static const char *const extensions[] = {".png", ".jpg", ".jpeg", ".npy", ".npz", ".pb", ".idx"};

static bool has_extension(const char *name) {
  const char *dot = strrchr(name, '.');
  for (size_t i = 0; dot && i < sizeof extensions / sizeof extensions[0]; i++) {
    if (!strcasecmp(dot, extensions[i]))
      return name[0] != '.';
  }
  return false;
}

static int wanted(const struct dirent *e) { return has_extension(e->d_name); }

static int add_folder(struct input_set *s, struct slot *slot, const char *path) {
  struct dirent **list;
  int n = scandir(path, &list, wanted, alphasort), code = EXIT_FINE;
  if (n < 0)
    return say(EXIT_INPUT, "%s: cannot read the folder", path);
  if (n == 0)
    code = say(EXIT_INPUT, "%s: no picture or array in this folder", path);
  for (int i = 0; i < n; i++) {
    char file[4096];
    size_t length = strlen(path);
    const char *slash = length && path[length - 1] == '/' ? "" : "/";
    int size = snprintf(file, sizeof file, "%s%s%s", path, slash, list[i]->d_name);
    if (!code && size < (int)sizeof file)
      code = source_add(s, slot, file);
    free(list[i]);
  }
  free(list);
  return code;
}

static int add_glob(struct input_set *s, struct slot *slot, const char *pattern) {
  glob_t found;
  int code = EXIT_FINE;
  if (glob(pattern, 0, NULL, &found))
    return say(EXIT_INPUT, "%s: no file matches", pattern);
  for (size_t i = 0; i < found.gl_pathc && !code; i++) {
    code = source_add(s, slot, found.gl_pathv[i]);
  }
  globfree(&found);
  return code;
}

static int add_argument(struct input_set *s, const char *arg) {
  struct slot *slot = NULL;
  const char *equals = strchr(arg, '=');
  for (size_t i = 0; equals && i < s->n_slots; i++) {
    const char *name = s->slots[i].port->name;
    size_t n = strlen(name);
    if (!strncmp(arg, name, n) && arg[n] == '=') {
      slot = &s->slots[i];
      arg += n + 1;
      break;
    }
  }
  if (equals && !slot && access(arg, F_OK)) {
    return say(EXIT_INPUT, "%s: the model has no input '%.*s' (its first is '%s')", arg,
               (int)(equals - arg), arg, s->n_slots ? s->slots[0].port->name : "");
  }
  struct stat status;
  if (stat(arg, &status) == 0) {
    return S_ISDIR(status.st_mode) ? add_folder(s, slot, arg) : source_add(s, slot, arg);
  }
  return strpbrk(arg, "*?[") ? add_glob(s, slot, arg) : source_add(s, slot, arg);
}

static int prepare_slot(struct input_set *s, size_t i) {
  struct slot *slot = &s->slots[i];
  const struct port *p = slot->port = &s->model->inputs[i];
  slot->batched = p->rank >= 1 && (p->shape[0] == -1 || p->shape[0] == 1);
  slot->pictures = picture_layout_of(p, &slot->layout) == 0;
  if (!slot->pictures)
    return EXIT_FINE;
  if (!slot->layout.batch)
    slot->batched = false;
  int code =
      preprocess_choose(s->model, s->options, &slot->layout, &slot->preprocess, &slot->guessed);
  bool whole = p->dtype == XAI_U8 || p->dtype == XAI_I8 || p->dtype == XAI_I32 ||
               p->dtype == XAI_I64 || p->dtype == XAI_BOOL;
  if (!code && whole && slot->guessed) {
    enum image_fit fit = slot->preprocess.fit;
    code = preprocess_parse("bytes", &slot->preprocess);
    slot->preprocess.fit = fit;
  }
  return code;
}

/* All inputs have the same number of items; notes what was guessed. */
static int count_items(struct input_set *s) {
  s->chunk = MOST_ITEMS;
  for (size_t i = 0; i < s->n_slots; i++) {
    const struct slot *slot = &s->slots[i];
    const struct port *p = slot->port;
    if (!slot->items)
      return say(EXIT_INPUT, "input '%s' is missing", p->name);
    if (slot->items != s->slots[0].items) {
      return say(EXIT_INPUT, "input '%s' has %zu items, but '%s' has %zu", p->name, slot->items,
                 s->slots[0].port->name, s->slots[0].items);
    }
    size_t elements = 1;
    for (int k = 1; k < p->rank; k++) {
      if (p->shape[k] < 0 && slot->n_sources > 1)
        s->chunk = 1; /* their sizes may differ */
      if (p->shape[k] > 0)
        elements *= (size_t)p->shape[k];
    }
    if (elements < slot->sources[0].array.count / slot->sources[0].items) {
      elements = slot->sources[0].array.count / slot->sources[0].items;
    }
    if (!slot->batched || p->shape[0] != -1)
      s->chunk = 1;
    while (s->chunk > 1 && s->chunk * elements > MOST_ELEMENTS)
      s->chunk /= 2;
    if (slot->guessed && slot->sources[0].kind != SOURCE_ARRAY) {
      say_note("pixels are prepared as '%s', guessed from the shape; --preprocess says otherwise",
               slot->preprocess.text);
    }
  }
  for (size_t i = 0; i < s->model->n_outputs; i++) {
    const struct port *p = &s->model->outputs[i];
    if (!p->rank || p->shape[0] != -1)
      s->chunk = 1;
  }
  s->items = s->n_slots ? s->slots[0].items : 1;
  return EXIT_FINE;
}

int input_open(const struct model *m, const struct options *o, const char *const *args, size_t n,
               struct input_set **out) {
  struct input_set *s = calloc(1, sizeof *s);
  *out = s;
  if (!s)
    return say_no_memory();
  s->model = m;
  s->options = o;
  s->slots = calloc(m->n_inputs + 1, sizeof *s->slots);
  if (!s->slots)
    return say_no_memory();
  s->n_slots = m->n_inputs;
  int code = EXIT_FINE;
  for (size_t i = 0; i < s->n_slots && !code; i++)
    code = prepare_slot(s, i);
  for (size_t i = 0; i < n && !code; i++)
    code = add_argument(s, args[i]);
  for (size_t i = 0; i < o->tokens.n && !code; i++)
    code = source_add_tokens(s, o->tokens.v[i]);
  return code ? code : count_items(s);
}

void input_close(struct input_set *s) {
  for (size_t i = 0; s && s->slots && i < s->n_slots; i++) {
    for (size_t k = 0; k < s->slots[i].n_sources; k++)
      source_free(&s->slots[i].sources[k]);
    free(s->slots[i].sources);
  }
  if (s)
    free(s->slots);
  free(s);
}

size_t input_count(const struct input_set *s) { return s->items; }
size_t input_chunk(const struct input_set *s) { return s->chunk; }

static const char *base_name(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash && slash[1] ? slash + 1 : path;
}

void input_name(const struct input_set *s, size_t item, char *out, size_t size) {
  size_t place;
  if (!s->n_slots) {
    snprintf(out, size, "no input");
    return;
  }
  const struct source *from = source_of(&s->slots[0], item, &place);
  if (from->items > 1)
    snprintf(out, size, "%s[%zu]", base_name(from->path), place);
  else
    snprintf(out, size, "%s", base_name(from->path));
}

void input_stem(const struct input_set *s, size_t item, char *out, size_t size) {
  size_t place;
  if (!s->n_slots) {
    snprintf(out, size, "item");
    return;
  }
  const struct source *from = source_of(&s->slots[0], item, &place);
  const char *name = base_name(from->path), *dot = strrchr(name, '.');
  int n = dot && dot != name ? (int)(dot - name) : (int)strlen(name);
  if (from->items > 1)
    snprintf(out, size, "%.*s-%zu", n, name, place);
  else
    snprintf(out, size, "%.*s", n, name);
}

const char *input_preprocess(const struct input_set *s) {
  for (size_t i = 0; i < s->n_slots; i++) {
    const struct slot *slot = &s->slots[i];
    for (size_t k = 0; k < slot->n_sources; k++) {
      if (slot->sources[k].kind != SOURCE_ARRAY)
        return slot->preprocess.text;
    }
  }
  return NULL;
}

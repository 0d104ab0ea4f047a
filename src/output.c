/* Naming and planning of output files. */
#include "output.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>
#include "say.h"
#include "stop.h"

static const struct format {
  const char *extension;
  output_writer *write;
  bool single;          /* one item and one target a file */
  bool explains;        /* only of an explanation */
} formats[] = {
    {".npy", output_npy, false, false},   {".npz", output_npz, false, false},
    {".json", output_json, false, false}, {".png", output_png, true, true},
    {".html", output_html, false, true},
};

static const struct format *format_of(const char *path) {
  const char *dot = strrchr(path, '.'), *slash = strrchr(path, '/');
  for (size_t i = 0; dot && (!slash || dot > slash) && i < sizeof formats / sizeof formats[0];
       i++) {
    if (!strcasecmp(dot, formats[i].extension))
      return &formats[i];
  }
  return NULL;
}

/* Does the name hold the placeholder? %% is a percent sign. */
static bool holds(const char *pattern, char letter) {
  for (const char *p = pattern; *p; p++) {
    if (*p == '%' && p[1] == letter)
      return true;
    if (*p == '%' && p[1] == '%')
      p++;
  }
  return false;
}

static int by_text(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Do two items have the same stem? -1 without memory. */
static int stems_collide(const struct input_set *s) {
  size_t n = input_count(s);
  char **stems = calloc(n + 1, sizeof *stems), text[512];
  int found = stems ? 0 : -1;
  for (size_t i = 0; i < n && found == 0; i++) {
    input_stem(s, i, text, sizeof text);
    stems[i] = strdup(text);
    if (!stems[i])
      found = -1;
  }
  if (found == 0)
    qsort(stems, n, sizeof *stems, by_text);
  for (size_t i = 1; i < n && found == 0; i++)
    found = !strcmp(stems[i - 1], stems[i]);
  for (size_t i = 0; stems && i < n; i++)
    free(stems[i]);
  free(stems);
  return found;
}

static bool is_folder(const char *path) {
  struct stat status;
  size_t n = strlen(path);
  return (n && path[n - 1] == '/') || (!stat(path, &status) && S_ISDIR(status.st_mode));
}

/* Makes a folder unless it is there; its parent must be. */
static int make_folder(const char *path) {
  if (!mkdir(path, 0777) || errno == EEXIST) {
    if (!access(path, W_OK | X_OK))
      return EXIT_FINE;
  }
  return say(EXIT_LATER, "%s: cannot write there: %s", path, strerror(errno));
}

int output_check(const char *path) {
  struct stat status;
  const char *slash = strrchr(path, '/');
  char *folder = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
  if (!folder)
    return say_no_memory();
  bool exists = !stat(path, &status);
  int code = EXIT_FINE;
  if (exists && S_ISDIR(status.st_mode)) {
    code = say(EXIT_LATER, "%s: is a folder", path);
  } else if (access(exists ? path : folder, exists ? W_OK : W_OK | X_OK)) {
    code = say(EXIT_LATER, "%s: cannot write there: %s", path, strerror(errno));
  }
  free(folder);
  return code;
}

static int add(struct outputs *out, const char *pattern, const struct format *format,
               bool optional) {
  struct output *v = realloc(out->v, (out->n + 1) * sizeof *v);
  if (!v)
    return say_no_memory();
  out->v = v;
  struct output *new = &v[out->n];
  memset(new, 0, sizeof *new);
  new->pattern = strdup(pattern);
  if (!new->pattern)
    return say_no_memory();
  new->write = format->write;
  new->by_item = holds(pattern, 'i') || holds(pattern, 'n');
  new->by_target = holds(pattern, 't');
  new->optional = optional;
  if (!new->by_item && format->write != output_json)
    out->keep = true;
  out->n++;
  return EXIT_FINE;
}

/* A folder gets an array (and a heatmap) an item and target, and one report. */
static int add_folder(struct outputs *out, const char *path, const struct input_set *s,
                      size_t n_targets, bool explains) {
  static const char *const names[] = {".npy", ".png"};
  int collide = stems_collide(s), code = collide < 0 ? say_no_memory() : make_folder(path);
  char *pattern = malloc(strlen(path) + 40);
  if (!pattern)
    return say_no_memory();
  const char *slash = path[strlen(path) - 1] == '/' ? "" : "/";
  for (size_t i = 0; i < (explains ? 2u : 1u) && !code; i++) {
    sprintf(pattern, "%s%s%s%s%s", path, slash, collide ? "%i-%n" : "%n",
            n_targets > 1 ? "-%t" : "", names[i]);
    code = add(out, pattern, format_of(names[i]), true);
  }
  if (!code) {
    sprintf(pattern, "%s%sreport.json", path, slash);
    code = add(out, pattern, format_of(pattern), false);
  }
  free(pattern);
  return code;
}

int output_formats(const struct options *o, bool explains) {
  for (size_t i = 0; i < o->out.n; i++) {
    const char *path = o->out.v[i];
    const struct format *format = format_of(path);
    if (!*path)
      return say(EXIT_USAGE, "--out takes a name");
    if (is_folder(path))
      continue;
    if (!format || (format->explains && !explains)) {
      return say(EXIT_USAGE, "--out %s: the name must end in %s", path,
                 explains ? ".npy, .npz, .png, .html or .json (or be a folder/)"
                          : ".npy, .npz or .json (or be a folder/)");
    }
  }
  return EXIT_FINE;
}

static int add_file(struct outputs *out, const char *path, const struct input_set *s,
                    size_t n_targets) {
  const struct format *format = format_of(path);
  bool by_item = holds(path, 'i') || holds(path, 'n');
  if (format->single && input_count(s) > 1 && !by_item) {
    return say(EXIT_USAGE,
               "--out %s: %zu items do not fit one %s; put %%i into the name or give a "
               "folder/",
               path, input_count(s), format->extension);
  }
  if (format->single && n_targets > 1 && !holds(path, 't')) {
    return say(EXIT_USAGE, "--out %s: %zu targets do not fit one %s; put %%t into the name", path,
               n_targets, format->extension);
  }
  if (holds(path, 'n') && !holds(path, 'i') && stems_collide(s)) {
    return say(EXIT_USAGE, "--out %s: two inputs have the same name; use %%i", path);
  }
  for (size_t i = 0; i < out->n; i++) {
    if (!strcmp(out->v[i].pattern, path)) {
      return say(EXIT_USAGE, "--out %s is given twice", path);
    }
  }
  int code = EXIT_FINE;
  const char *slash = strrchr(path, '/');
  if (strchr(path, '%') && slash && slash != path) {
    char *folder = strndup(path, (size_t)(slash - path));
    if (!folder)
      return say_no_memory();
    if (!strchr(folder, '%'))
      code = make_folder(folder);
    free(folder);
  } else if (!strchr(path, '%')) {
    code = output_check(path);
  }
  return code ? code : add(out, path, format, false);
}

int output_plan(const struct options *o, const struct input_set *s, size_t n_targets, bool explains,
                struct outputs *out) {
  int code = EXIT_FINE;
  memset(out, 0, sizeof *out);
  for (size_t i = 0; i < o->out.n && !code; i++) {
    const char *path = o->out.v[i];
    if (is_folder(path))
      code = add_folder(out, path, s, n_targets, explains);
    else
      code = add_file(out, path, s, n_targets);
  }
  return code;
}

void output_free(struct outputs *out) {
  for (size_t i = 0; i < out->n; i++)
    free(out->v[i].pattern);
  free(out->v);
  memset(out, 0, sizeof *out);
}

/* Fills the placeholders; to be freed, NULL without memory. Where the items of one file have
 * different targets (each its own maximum), %t is the target's rank. */
static char *expand(const struct report *r, const char *pattern, const struct extract *e) {
  const struct item *it = &r->items[e->first];
  size_t target = e->first_target;
  char number[24], which[32];
  bool same = it->target != NULL;
  for (size_t i = 1; i < e->n_items && same; i++)
    same = it[i].target[target] == it->target[target];
  snprintf(number, sizeof number, "%zu", e->first);
  if (same && it->target[target] >= 0) {
    snprintf(which, sizeof which, "%" PRId64, it->target[target]);
  } else {
    snprintf(which, sizeof which, "%s%zu", same ? "mask" : "top", target);
  }
  size_t longest = strlen(it->stem) > 24 ? strlen(it->stem) : 24;
  char *path = malloc(strlen(pattern) * (longest + 1) + 1), *to = path;
  if (!path)
    return NULL;
  for (const char *p = pattern; *p; p++) {
    const char *text = *p != '%'     ? NULL
                       : p[1] == 'i' ? number
                       : p[1] == 'n' ? it->stem
                       : p[1] == 't' ? which
                       : p[1] == '%' ? "%"
                                     : NULL;
    if (text) {
      to = stpcpy(to, text);
      p++;
    } else {
      *to++ = *p;
    }
  }
  *to = 0;
  return path;
}

/* One output of the given items, a file a target where the name asks for it. */
static int write_one(const struct output *out, struct report *r, size_t first, size_t n) {
  size_t files = out->by_target ? r->n_targets : 1;
  int code = EXIT_FINE;
  for (size_t t = 0; t < files && !code; t++) {
    struct extract e = {first, n, t, out->by_target ? 1 : r->n_targets};
    struct map map = {0};
    if (out->optional && out->write == output_png) {
      code = map_make(r, first, t, &map);
      bool none = !map.values || map.height < 2 || map.width < 2;
      free(map.values);
      if (code || none)
        continue;
    }
    char *path = expand(r, out->pattern, &e);
    if (!path)
      return say_no_memory();
    stop_hold();
    code = out->write(r, &e, path);
    stop_release();
    if (!code && isatty(STDERR_FILENO) && !out->optional)
      say_note("wrote %s", path);
    free(path);
  }
  return code;
}

int output_item(const struct outputs *out, struct report *r, size_t item) {
  int code = EXIT_FINE;
  for (size_t i = 0; i < out->n && !code; i++) {
    if (out->v[i].by_item)
      code = write_one(&out->v[i], r, item, 1);
  }
  if (!out->keep)
    report_drop(r, item);
  return code;
}

int output_end(const struct outputs *out, struct report *r) {
  int code = EXIT_FINE;
  for (size_t i = 0; i < out->n && !code; i++) {
    const struct output *v = &out->v[i];
    if (!v->by_item)
      code = write_one(v, r, 0, r->n_items);
  }
  return code;
}

/* Parameter lists. */
#include "params.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "array.h"
#include "say.h"

enum { MOST_NUMBERS = 4096 };

int params_number(const char *text, double *out) {
  char *end;
  if (!*text || strpbrk(text, " \t\nxXpP"))
    return -1; /* no blanks, no hexadecimals */
  double x = strtod(text, &end);
  if (end == text)
    return -1;
  if (*end == '/') {
    const char *below = end + 1;
    double y = strtod(below, &end);
    if (end == below)
      return -1;
    x /= y;
  }
  if (*end || !isfinite(x))
    return -1;
  *out = x;
  return 0;
}

int params_numbers(const char *text, double *out, int most) {
  char part[64];
  int n = 0;
  for (;;) {
    size_t length = strcspn(text, ":");
    if (length >= sizeof part || n == most)
      return -1;
    memcpy(part, text, length);
    part[length] = 0;
    if (params_number(part, &out[n++]))
      return -1;
    if (!text[length])
      return n;
    text += length + 1;
  }
}

static int read_tensor(const char *spec, const char *name, const xai_tensor **out) {
  struct npy_array a;
  xai_tensor *t;
  int code = array_read(spec, &a);
  if (code)
    return code;
  code = array_to_tensor(&a, name, &t);
  npy_free(&a);
  *out = t;
  return code;
}

/* Fills the value of p, whose name is set. */
static int set_value(xai_param *p, const char *value) {
  if (value[0] == '@')
    return read_tensor(value + 1, p->name, &p->tensor);
  if (!params_number(value, &p->number))
    return EXIT_FINE;
  if (strchr(value, ':')) {
    double *list = malloc(MOST_NUMBERS * sizeof *list);
    float *floats = malloc(MOST_NUMBERS * sizeof *floats);
    if (!list || !floats) {
      free(list);
      free(floats);
      return say_no_memory();
    }
    int n = params_numbers(value, list, MOST_NUMBERS);
    int64_t shape = n;
    for (int i = 0; i < n; i++)
      floats[i] = (float)list[i];
    xai_tensor *t = NULL;
    xai_error err;
    int status = n > 0 ? xai_tensor_create(XAI_F32, 1, &shape, floats, &t, &err) : 0;
    free(list);
    free(floats);
    if (status)
      return say_error(&err, SAY_RUNNING, p->name);
    p->tensor = t;
    if (t)
      return EXIT_FINE; /* else a name with a colon in it */
  }
  p->text = strdup(value);
  return p->text ? EXIT_FINE : say_no_memory();
}

static void param_free(xai_param *p) {
  free((char *)(size_t)p->name);
  free((char *)(size_t)p->text);
  xai_tensor_free((xai_tensor *)(size_t)p->tensor);
}

static int same(const xai_param *a, const xai_param *b) {
  if (a->tensor || b->tensor) {
    if (!a->tensor || !b->tensor)
      return 0;
    const int64_t *sa, *sb;
    int ra = xai_tensor_shape(a->tensor, &sa), rb = xai_tensor_shape(b->tensor, &sb);
    size_t n = array_dtype_size(xai_tensor_dtype(a->tensor));
    if (ra != rb || memcmp(sa, sb, (size_t)ra * sizeof *sa))
      return 0;
    if (xai_tensor_dtype(a->tensor) != xai_tensor_dtype(b->tensor))
      return 0;
    for (int i = 0; i < ra; i++)
      n *= (size_t)sa[i];
    return !memcmp(xai_tensor_data(a->tensor), xai_tensor_data(b->tensor), n);
  }
  if (a->text || b->text)
    return a->text && b->text && !strcmp(a->text, b->text);
  return a->number == b->number;
}

int params_add(struct params *p, const char *name, const char *value) {
  xai_param one = {strdup(name), NULL, NULL, 0};
  if (!one.name)
    return say_no_memory();
  int code = set_value(&one, value);
  for (size_t i = 0; i < p->n && !code; i++) {
    if (strcmp(p->v[i].name, name))
      continue;
    if (!same(&p->v[i], &one)) {
      code = say(EXIT_USAGE, "'%s' is given twice with different values, the last is '%s'", name,
                 value);
    }
    param_free(&one);
    return code;
  }
  xai_param *v = code ? NULL : realloc(p->v, (p->n + 1) * sizeof *v);
  if (!v) {
    param_free(&one);
    return code ? code : say_no_memory();
  }
  p->v = v;
  p->v[p->n++] = one;
  return EXIT_FINE;
}

int params_parse(struct params *p, const char *list, const char *what) {
  int code = EXIT_FINE;
  char *copy = strdup(list);
  if (!copy)
    return say_no_memory();
  for (char *entry = copy, *next; entry && !code; entry = next) {
    next = strchr(entry, ',');
    if (next)
      *next++ = 0;
    char *value = strchr(entry, '=');
    if (!value || value == entry || !value[1]) {
      code = say(EXIT_USAGE, "%s: '%s' is not name=value", what, entry);
      break;
    }
    *value++ = 0;
    code = params_add(p, entry, value);
  }
  free(copy);
  return code;
}

int params_named(const char *text, const char *what, char **name, struct params *p) {
  size_t n = strcspn(text, ",");
  *name = strndup(text, n);
  if (!*name)
    return say_no_memory();
  if (!n)
    return say(EXIT_USAGE, "%s '%s' begins with no name", what, text);
  return text[n] ? params_parse(p, text + n + 1, what) : EXIT_FINE;
}

void params_drop(struct params *p, size_t i) {
  param_free(&p->v[i]);
  memmove(p->v + i, p->v + i + 1, (p->n - i - 1) * sizeof *p->v);
  p->n--;
}

void params_free(struct params *p) {
  for (size_t i = 0; i < p->n; i++)
    param_free(&p->v[i]);
  free(p->v);
  p->v = NULL;
  p->n = 0;
}

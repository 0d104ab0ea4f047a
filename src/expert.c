/* Density experts. */
#include "expert.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "array.h"
#include "bundle.h"
#include "params.h"
#include "say.h"

static bool is_file(const char *name) {
  size_t n = strlen(name);
  return n > 4 && !strcasecmp(name + n - 4, ".npz");
}

static int check_kind(const char *name) {
  const char *names[64], *schema;
  size_t n = 0;
  while (n < 64 && !xai_catalog(XAI_PRIOR, n, &names[n], &schema)) {
    if (!strcmp(names[n++], name))
      return EXIT_FINE;
  }
  const char *near = say_nearest(name, names, n);
  return say(EXIT_USAGE, "unknown prior '%s'%s%s%s; see 'xai priors', or give a FILE.npz", name,
             near ? ", did you mean '" : "", near ? near : "", near ? "'?" : "");
}

/* The file's arrays and texts as parameters. */
static int add_file(const char *path, struct params *p) {
  struct bundle b;
  int code = bundle_read(path, &b);
  for (size_t i = 0; i < b.n && !code; i++) {
    if (!strcmp(b.names[i], "partial")) /* a fit that was stopped: as good as any */
      continue;
    xai_param *v = realloc(p->v, (p->n + 1) * sizeof *v);
    if (!v) {
      code = say_no_memory();
      break;
    }
    p->v = v;
    xai_param one = {strdup(b.names[i]), NULL, NULL, 0};
    xai_tensor *t = NULL;
    if (!one.name)
      code = say_no_memory();
    else if (b.v[i].type == NPY_TEXT)
      one.text = strdup(b.v[i].data);
    else
      code = array_to_tensor(&b.v[i], b.names[i], &t);
    one.tensor = t;
    p->v[p->n++] = one;
  }
  bundle_free(&b);
  return code;
}

/* Takes weight= and on= out of the list. */
static int take_own(struct params *p, const char *text, xai_term *term, char **on) {
  term->weight = 1;
  for (size_t i = 0; i < p->n;) {
    xai_param *v = &p->v[i];
    if (!strcmp(v->name, "weight")) {
      if (v->text || v->tensor)
        return say(EXIT_USAGE, "--prior %s: weight is a number", text);
      term->weight = v->number;
    } else if (!strcmp(v->name, "on")) {
      if (!v->text || (strcmp(v->text, "input") && strcmp(v->text, "code")))
        return say(EXIT_USAGE, "--prior %s: on is input or code", text);
      term->on = *on = strdup(v->text);
      if (!*on)
        return say_no_memory();
    } else {
      i++;
      continue;
    }
    params_drop(p, i);
  }
  return EXIT_FINE;
}

static int parse(const char *text, xai_term *term, char **on) {
  struct params params = {NULL, 0};
  char *name = NULL;
  xai_prior *prior = NULL;
  xai_error err;
  int code = params_named(text, "--prior", &name, &params);
  bool file = !code && is_file(name);
  if (!code)
    code = take_own(&params, text, term, on);
  if (!code)
    code = file ? add_file(name, &params) : check_kind(name);
  if (!code && xai_prior_create(file ? NULL : name, params.v, params.n, &prior, &err))
    code = say_error(&err, SAY_RUNNING, file ? name : NULL);
  term->prior = prior;
  params_free(&params);
  free(name);
  return code;
}

int experts_parse(const struct texts *priors, struct experts *out) {
  size_t size = 1;
  memset(out, 0, sizeof *out);
  for (size_t i = 0; i < priors->n; i++)
    size += strlen(priors->v[i]) + 1;
  out->terms = calloc(priors->n + 1, sizeof *out->terms);
  out->on = calloc(priors->n + 1, sizeof *out->on);
  out->text = calloc(1, size);
  if (!out->terms || !out->on || !out->text)
    return say_no_memory();
  int code = EXIT_FINE;
  for (size_t i = 0; i < priors->n && !code; i++) {
    if (i)
      strcat(out->text, "\n");
    strcat(out->text, priors->v[i]);
    out->n++;
    code = parse(priors->v[i], &out->terms[i], &out->on[i]);
  }
  return code;
}

void experts_free(struct experts *e) {
  for (size_t i = 0; i < e->n; i++) {
    xai_prior_free((xai_prior *)(size_t)e->terms[i].prior);
    free(e->on[i]);
  }
  free(e->terms);
  free(e->on);
  free(e->text);
  memset(e, 0, sizeof *e);
}

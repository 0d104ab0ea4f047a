/* Named parameters checked against a schema. */
#include "base/param.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/number.h"

/* One entry of a schema, pointing into it. */
typedef struct entry {
  const char *name, *value;
  size_t n_name, n_value;
  double low, high;
  bool choice, takes_tensor, number; /* one of some words; a tensor will do; within bounds */
} entry;

/* Reads the entry at *at and moves on; false at the end. */
static bool next_entry(const char **at, entry *e) {
  const char *s = *at;
  if (!s || !*s) return false;
  size_t n = strcspn(s, ";"), equals = strcspn(s, "="), bracket = strcspn(s, "[;");
  const char *value = s + equals + 1;
  bool several = memchr(s, '|', n) != NULL;
  *e = (entry){s, value, equals, bracket - equals - 1, -(double)INFINITY, (double)INFINITY, false, false,
               s[bracket] == '['};
  e->takes_tensor = (bracket == equals + 1 && !e->number) || (several && n > 7 && !memcmp(s + n - 7, "|tensor", 7));
  e->choice = several && !strchr("0123456789+-.", *value);
  if (s[bracket] == '[') {
    char low[32] = "", high[32] = "";
    size_t comma = bracket + 1 + strcspn(s + bracket + 1, ","), end = comma + strcspn(s + comma, "]");
    snprintf(low, sizeof low, "%.*s", (int)(comma - bracket - 1), s + bracket + 1);
    snprintf(high, sizeof high, "%.*s", (int)(end - comma - 1), s + comma + 1);
    xai__number_parse(low, &e->low);
    xai__number_parse(high, &e->high);
  }
  *at = s[n] ? s + n + 1 : s + n;
  return true;
}

static bool find_entry(const char *schema, const char *name, entry *e) {
  while (next_entry(&schema, e))
    if (strlen(name) == e->n_name && !memcmp(name, e->name, e->n_name)) return true;
  return false;
}

bool xai__schema_has(const char *schema, const char *name) {
  entry e;
  return find_entry(schema, name, &e);
}

static bool has_choice(const entry *e, const char *text) {
  for (const char *s = e->value, *end = e->value + e->n_value; s < end;) {
    size_t n = strcspn(s, "|;[");
    if (n == strlen(text) && !memcmp(s, text, n)) return true;
    s += n + 1;
  }
  return false;
}

static xai__value *find_value(xai__params *p, const char *name) {
  for (int i = 0; i < p->n; i++)
    if (!strcmp(p->v[i].name, name)) return &p->v[i];
  return NULL;
}

static void set_number(xai__value *v, double number) {
  v->number = number;
  v->set = true;
  snprintf(v->text, sizeof v->text, "%s", xai__number_text(number).text);
}

static void set_label(xai__value *v, const char *name) {
  v->label = name;
  snprintf(v->text, sizeof v->text, "%s", name);
}

void xai__params_schema(xai__params *p, const char *schema) {
  entry e;
  while (next_entry(&schema, &e)) {
    char name[24];
    snprintf(name, sizeof name, "%.*s", (int)e.n_name, e.name);
    if (p->n == XAI__MAX_PARAMS || find_value(p, name)) continue;
    xai__value *v = &p->v[p->n++];
    *v = (xai__value){.set = e.n_value > 0};
    memcpy(v->name, name, sizeof name);
    snprintf(v->text, sizeof v->text, "%.*s", (int)strcspn(e.value, "|[;"), e.value);
    double number;
    if (!e.choice && xai__number_parse(v->text, &number)) set_number(v, number);
  }
}

int xai__params_set(xai__params *p, const char *schema, const char *what, const xai_param *value,
                    xai_error *err) {
  entry e;
  const char *name = value->name ? value->name : "";
  if (!find_entry(schema, name, &e))
    return xai__fail(err, XAI_E_ARGUMENT, name, "%s has no parameter '%s'; it takes: %s", what, name,
                     *schema ? schema : "none");
  xai__params_schema(p, schema);
  xai__value *v = find_value(p, name);
  if (!v) return xai__fail(err, XAI_E_ARGUMENT, name, "too many parameters");
  xai__value old = *v;
  v->given = v->set = true;
  v->tensor = value->tensor;
  if (value->tensor) {
    snprintf(v->text, sizeof v->text, "<tensor>");
    if (!e.takes_tensor)
      return xai__fail(err, XAI_E_ARGUMENT, name, "parameter '%s' of %s is a %s, not a tensor", name,
                       what, e.choice ? "word" : "number");
  } else if (e.choice) {
    if (!value->text || !strcmp(value->text, "tensor") || !has_choice(&e, value->text))
      return xai__fail(err, XAI_E_ARGUMENT, name, "parameter '%s' of %s is one of %.*s, not '%s'",
                       name, what, (int)e.n_value, e.value,
                       value->text ? value->text : xai__number_text(value->number).text);
    snprintf(v->text, sizeof v->text, "%s", value->text);
  } else {
    double number = value->number;
    if (value->text && e.n_value && !strchr("0123456789+-.i", *e.value)) {
      set_label(v, value->text); /* a name: its default is one */
    } else if (value->text && !xai__number_parse(value->text, &number)) {
      if (e.n_value || e.number)
        return xai__fail(err, XAI_E_ARGUMENT, name, "parameter '%s' of %s is a number, not '%s'",
                         name, what, value->text);
      set_label(v, value->text); /* no default: a name may do */
    } else if (!(number >= e.low && number <= e.high) || !isfinite(number)) {
      return xai__fail(err, XAI_E_ARGUMENT, name, "parameter '%s' of %s is %s, not within %s to %s",
                       name, what, xai__number_text(number).text, xai__number_text(e.low).text,
                       xai__number_text(e.high).text);
    } else {
      set_number(v, number);
    }
  }
  if (old.given && (old.tensor != v->tensor || strcmp(old.text, v->text)))
    return xai__fail(err, XAI_E_ARGUMENT, name, "parameter '%s' is given twice: '%s' and '%s'", name,
                     old.text, v->text);
  return XAI_OK;
}

int xai__params_parse(xai__params *p, const char *schema, const char *text, xai_error *err) {
  while (text && *text) {
    char name[24], value[40];
    size_t n = strcspn(text, ","), equals = strcspn(text, "=");
    snprintf(name, sizeof name, "%.*s", (int)equals, text);
    snprintf(value, sizeof value, "%.*s", (int)(n - equals - 1), text + equals + 1);
    xai_param param = {name, NULL, value, 0};
    XAI__TRY(xai__params_set(p, schema, "the composite", &param, err));
    text += text[n] ? n + 1 : n;
  }
  return XAI_OK;
}

const xai__value *xai__params_find(const xai__params *p, const char *name) {
  return find_value((xai__params *)(uintptr_t)p, name);
}

double xai__params_number(const xai__params *p, const char *name) {
  const xai__value *v = xai__params_find(p, name);
  return v && v->set ? v->number : 0;
}

bool xai__params_is(const xai__params *p, const char *name, const char *choice) {
  const xai__value *v = xai__params_find(p, name);
  return v && v->set && !strcmp(v->text, choice);
}

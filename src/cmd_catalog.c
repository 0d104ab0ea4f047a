/* xai methods | rules | ops | priors | metrics: what this build knows, with parameters. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "commands.h"
#include "json.h"
#include "say.h"

static const struct {
  const char *name;
  int kind;
} kinds[] = {{"methods", XAI_METHOD},
             {"rules", XAI_RULE},
             {"ops", XAI_OP},
             {"priors", XAI_PRIOR},
             {"metrics", XAI_METRIC}};

int cmd_catalog_is_empty(const char *name) {
  const char *entry, *schema;
  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
    if (!strcmp(kinds[i].name, name))
      return xai_catalog(kinds[i].kind, 0, &entry, &schema) != 0;
  }
  return 0;
}

/* The next entry of a schema "gamma=0.25[0,inf];bias=absorb|zero;low=": name and the rest. */
static const char *next_parameter(const char *schema, char name[64], char value[192]) {
  size_t length = strcspn(schema, ";"), split = strcspn(schema, "=;");
  snprintf(name, 64, "%.*s", (int)split, schema);
  size_t skip = split < length ? split + 1 : length;
  snprintf(value, 192, "%.*s", (int)(length - skip), schema + skip);
  schema += length;
  return *schema == ';' ? schema + 1 : schema;
}

static void json_parameters(struct json *j, const char *schema) {
  char name[64], value[192];
  json_open_array(j, "parameters");
  while (schema && *schema) {
    schema = next_parameter(schema, name, value);
    char *bounds = strchr(value, '[');
    json_open_line(j, NULL, '{');
    json_text(j, "name", name);
    if (bounds) {
      *bounds++ = 0;
      bounds[strcspn(bounds, "]")] = 0;
    }
    size_t first = strcspn(value, "|");
    bool choices = value[first] == '|';
    if (choices) {
      json_open_line(j, "choices", '[');
      for (char *p = value, *bar; p; p = bar ? bar + 1 : NULL) {
        bar = strchr(p, '|');
        if (bar)
          *bar = 0;
        json_text(j, NULL, p);
      }
      json_close_line(j, ']');
    }
    json_text(j, "default", *value ? value : NULL); /* the first choice: the rest was cut */
    if (bounds)
      json_text(j, "bounds", bounds);
    json_close_line(j, '}');
  }
  json_close_array(j);
}

static int print_json(int kind, const char *title) {
  struct json j;
  const char *name, *schema;
  json_begin(&j);
  json_open_object(&j, NULL);
  json_text(&j, "version", xai_version());
  json_open_array(&j, title);
  for (size_t i = 0; !xai_catalog(kind, i, &name, &schema); i++) {
    json_open_object(&j, NULL);
    json_text(&j, "name", name);
    json_parameters(&j, schema);
    json_close_object(&j);
  }
  json_close_array(&j);
  json_close_object(&j);
  return json_print(json_finish(&j));
}

static int list(const struct options *o) {
  const char *name, *schema;
  int kind = 0;
  if (o->args.n) {
    return say(EXIT_USAGE, "'xai %s' takes no arguments, not '%s'", o->command, o->args.v[0]);
  }
  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
    if (!strcmp(kinds[i].name, o->command))
      kind = kinds[i].kind;
  }
  if (o->json)
    return print_json(kind, o->command);
  size_t width = 0;
  for (size_t i = 0; !xai_catalog(kind, i, &name, &schema); i++) {
    if (strlen(name) > width)
      width = strlen(name);
  }
  for (size_t i = 0; !xai_catalog(kind, i, &name, &schema); i++) {
    if (!schema || !*schema) {
      printf("%s\n", name);
      continue;
    }
    printf("%-*s ", (int)width, name);
    char key[64], value[192];
    while (*schema) {
      schema = next_parameter(schema, key, value);
      printf(" %s=%s", key, value);
    }
    printf("\n");
  }
  return EXIT_FINE;
}

int cmd_methods(const struct options *o) { return list(o); }
int cmd_rules(const struct options *o) { return list(o); }
int cmd_ops(const struct options *o) { return list(o); }
int cmd_priors(const struct options *o) { return list(o); }
int cmd_metrics(const struct options *o) { return list(o); }

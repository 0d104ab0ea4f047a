/* The account of every node. */
#include "ledger.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "file.h"
#include "json.h"
#include "say.h"
#include "show.h"

static const char *const columns[LEDGER_COLUMNS] = {"in",    "out",      "bias", "stabiliser",
                                                    "empty", "constant", "rule"};

static const char *text_of(const xai_result *result, const char *key) {
  const char *name, *text;
  const xai_tensor *t;
  for (size_t i = 0; !xai_result_get(result, i, &name, &t, &text); i++) {
    if (text && !strcmp(name, key))
      return text;
  }
  return NULL;
}

int ledger_add(struct ledger *l, const xai_result *result) {
  for (int c = 0; c < LEDGER_COLUMNS; c++) {
    char key[32];
    const int64_t *shape;
    snprintf(key, sizeof key, "ledger/%s", columns[c]);
    const xai_tensor *t = xai_result_find(result, key);
    if (!t || xai_tensor_shape(t, &shape) != 2) {
      return say(EXIT_USAGE, "--ledger: this method keeps no account");
    }
    if (!l->sums[c]) {
      l->n_targets = (size_t)shape[0];
      l->n_nodes = (size_t)shape[1];
      l->sums[c] = calloc(l->n_targets * l->n_nodes + 1, sizeof **l->sums);
      if (!l->sums[c])
        return say_no_memory();
    }
    const double *values = xai_tensor_data(t);
    for (size_t i = 0; i < l->n_targets * l->n_nodes; i++)
      l->sums[c][i] += values[i];
  }
  const char *names = text_of(result, "ledger/nodes");
  if (l->names)
    return EXIT_FINE;
  l->names = strdup(names ? names : "");
  return l->names ? EXIT_FINE : say_no_memory();
}

void ledger_free(struct ledger *l) {
  for (int c = 0; c < LEDGER_COLUMNS; c++)
    free(l->sums[c]);
  free(l->names);
  memset(l, 0, sizeof *l);
}

/* The name of node i, copied. */
static void node_name(const struct ledger *l, size_t i, char out[120]) {
  const char *p = l->names;
  for (; i && (p = strchr(p, '\n')); i--)
    p++;
  snprintf(out, 120, "%.*s", p ? (int)strcspn(p, "\n") : 0, p ? p : "");
}

/* The relevance that the sweep began with: what the last node with any got. */
static double begun(const struct ledger *l, size_t target) {
  const double *in = l->sums[LEDGER_IN] + target * l->n_nodes;
  for (size_t i = l->n_nodes; i-- > 0;) {
    if (in[i] != 0)
      return in[i];
  }
  return 0;
}

/* What a node lost otherwise than into its bias or by definition of its rule. */
static double lost(const struct ledger *l, size_t k) {
  return l->sums[LEDGER_STABILISER][k] + l->sums[LEDGER_EMPTY][k] + l->sums[LEDGER_CONSTANT][k];
}

int ledger_write(const struct ledger *l, const struct report *r, const char *path) {
  struct fact facts[REPORT_FACTS];
  struct json j;
  size_t n = report_facts(r, facts);
  json_begin(&j);
  json_open_object(&j, NULL);
  json_open_object(&j, "provenance");
  for (size_t i = 0; i < n; i++)
    json_fact(&j, &facts[i]);
  json_close_object(&j);
  json_integer(&j, "items", (int64_t)r->n_items);
  json_open_array(&j, "targets");
  for (size_t t = 0; t < l->n_targets; t++) {
    double total[LEDGER_COLUMNS] = {0};
    json_open_object(&j, NULL);
    if (r->n_items == 1 && t < r->n_targets) {
      size_t m = report_item_facts(r, 0, t, 0, facts);
      for (size_t i = 0; i < m; i++)
        json_fact(&j, &facts[i]);
    }
    json_open_array(&j, "nodes");
    for (size_t i = 0; i < l->n_nodes; i++) {
      char name[120];
      node_name(l, i, name);
      json_open_line(&j, NULL, '{');
      json_text(&j, "node", name);
      for (int c = 0; c < LEDGER_COLUMNS; c++) {
        double x = l->sums[c][t * l->n_nodes + i];
        total[c] += x;
        json_number(&j, columns[c], x);
      }
      json_close_line(&j, '}');
    }
    json_close_array(&j);
    json_number(&j, "begun", begun(l, t));
    json_open_line(&j, "lost", '{'); /* in and out of a whole network say nothing */
    for (int c = LEDGER_BIAS; c < LEDGER_COLUMNS; c++)
      json_number(&j, columns[c], total[c]);
    json_close_line(&j, '}');
    json_close_object(&j);
  }
  json_close_array(&j);
  json_close_object(&j);
  char err[256], *text = json_finish(&j);
  if (!text)
    return say_no_memory();
  int code = file_write(path, text, strlen(text), err) ? say(EXIT_LATER, "%s", err) : EXIT_FINE;
  free(text);
  return code;
}

/* The five nodes that lose most for one target. */
static int show_losers(const struct ledger *l, size_t target) {
  struct table t;
  size_t chosen[5], n = 0;
  double whole = begun(l, target);
  for (; n < 5; n++) {
    size_t best = l->n_nodes;
    for (size_t i = 0; i < l->n_nodes; i++) {
      size_t k = target * l->n_nodes + i;
      bool used = false;
      for (size_t c = 0; c < n; c++)
        used = used || chosen[c] == i;
      double size = fabs(lost(l, k)) + fabs(l->sums[LEDGER_BIAS][k]);
      if (used || !(size > 1e-6 * fabs(whole)))
        continue;
      size_t b = target * l->n_nodes + best;
      if (best == l->n_nodes || size > fabs(lost(l, b)) + fabs(l->sums[LEDGER_BIAS][b]))
        best = i;
    }
    if (best == l->n_nodes)
      break;
    chosen[n] = best;
  }
  if (!n)
    return EXIT_FINE;
  table_begin(&t, 6, 62);
  table_add(&t, "%s", "\nloses most at");
  static const int shown[] = {LEDGER_IN, LEDGER_BIAS, LEDGER_STABILISER, LEDGER_EMPTY,
                              LEDGER_CONSTANT};
  for (size_t c = 0; c < 5; c++)
    table_add(&t, "%s", columns[shown[c]]);
  for (size_t i = 0; i < n; i++) {
    char name[120];
    node_name(l, chosen[i], name);
    table_add(&t, "%s", name);
    for (size_t c = 0; c < 5; c++) {
      table_add(&t, "%.4g", l->sums[shown[c]][target * l->n_nodes + chosen[i]]);
    }
  }
  return table_end(&t);
}

int ledger_show(const struct ledger *l, const struct report *r) {
  int code = EXIT_FINE;
  for (size_t t = 0; t < l->n_targets && !code; t++) {
    double gone = 0, whole = begun(l, t);
    size_t worst = 0;
    for (size_t i = 0; i < l->n_nodes; i++) {
      size_t k = t * l->n_nodes + i;
      gone += lost(l, k);
      if (fabs(lost(l, k)) > fabs(lost(l, t * l->n_nodes + worst)))
        worst = i;
    }
    if (fabs(gone) > 0.05 * fabs(whole)) {
      char name[120];
      node_name(l, worst, name);
      say_note("%.0f %% of the relevance vanished otherwise than into biases, most at node '%s'",
               100 * fabs(gone / whole), name);
    }
    if (isatty(STDOUT_FILENO) && !r->options->quiet && !r->options->json && l->n_targets < 4) {
      code = show_losers(l, t);
    }
  }
  return code;
}

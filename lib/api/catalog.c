/* Version, statuses and the catalogue of tables. */
#include "api/load.h"
#include "prior/fit.h"

const char *xai_version(void) { return XAI_VERSION_STRING; }

const char *xai_status_text(int status) {
  static const char *const texts[] = {
      [-XAI_OK] = "ok",
      [-XAI_E_ARGUMENT] = "bad argument",
      [-XAI_E_MEMORY] = "out of memory",
      [-XAI_E_LIMIT] = "limit exceeded",
      [-XAI_E_MODEL] = "malformed model",
      [-XAI_E_UNSUPPORTED] = "not supported",
      [-XAI_E_INPUT] = "bad input tensor",
      [-XAI_E_NUMBER] = "result is not finite",
      [-XAI_E_CANCELLED] = "cancelled",
      [-XAI_E_BUSY] = "session is busy",
      [-XAI_E_IO] = "cannot read file",
  };
  bool known = status <= 0 && status > -(int)(sizeof texts / sizeof *texts);
  return known ? texts[-status] : "unknown status";
}

typedef struct row {
  const char *name, *schema;
} row;

static row method_row(size_t i) {
  const xai__method *m = xai__method_at(i);
  return m ? (row){m->name, m->schema} : (row){NULL, NULL};
}

static row rule_row(size_t i) {
  const xai__rule *r = xai__rule_at(i);
  return r ? (row){r->name, r->schema} : (row){NULL, NULL};
}

static row prior_row(size_t i) {
  const xai__prior_kind *k = xai__prior_at(i);
  return k ? (row){k->name, k->schema} : (row){NULL, NULL};
}

static row fit_row(size_t i) {
  const xai__fit_kind *k = xai__fit_at(i);
  return k ? (row){k->name, k->schema} : (row){NULL, NULL};
}

static row op_row(size_t i) {
  const xai__op *op = xai__op_at(i);
  return op ? (row){op->type, op->domain ? op->domain : ""} : (row){NULL, NULL};
}

static row no_row(size_t i) {
  (void)i;
  return (row){NULL, NULL};
}

int xai_catalog(int kind, size_t i, const char **name, const char **schema) {
  static row (*const tables[])(size_t) = {[XAI_METHOD] = method_row, [XAI_RULE] = rule_row,
                                          [XAI_PRIOR] = prior_row, [XAI_METRIC] = no_row,
                                          [XAI_OP] = op_row, [XAI_FIT] = fit_row};
  if (name) *name = NULL;
  if (schema) *schema = NULL;
  if (kind < XAI_METHOD || kind > XAI_FIT) return XAI_E_ARGUMENT;
  row r = tables[kind](i);
  if (name) *name = r.name;
  if (schema) *schema = r.schema;
  return r.name ? XAI_OK : 1;
}

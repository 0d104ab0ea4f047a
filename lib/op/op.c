/* The table of operators, attribute import, and checks that many operators share. */
#include "op/op.h"
#include <string.h>

#define OP(name) extern const xai__op xai__op_##name;
#include "op/op_list.h"
#undef OP

static const xai__op *const table[] = {
#define OP(name) &xai__op_##name,
#include "op/op_list.h"
#undef OP
    NULL};

const xai__op *xai__op_at(size_t i) {
  return i < sizeof table / sizeof *table ? table[i] : NULL;
}

static const char *domain_name(const char *domain) {
  return domain && strcmp(domain, "ai.onnx") ? domain : "";
}

const char *xai__crossing_text(xai__crossing c) {
  static const char *const words[] = {
      [XAI__CROSS_NONE] = "none",   [XAI__CROSS_PASS] = "pass",   [XAI__CROSS_LINEAR] = "linear",
      [XAI__CROSS_NORM] = "norm",   [XAI__CROSS_ROUTE] = "route", [XAI__CROSS_GATE] = "gate",
      [XAI__CROSS_OWN] = "own",     [XAI__CROSS_REFUSED] = "refused"};
  return words[c];
}

const xai__op *xai__op_find(const char *domain, const char *type) {
  for (size_t i = 0; table[i]; i++)
    if (!strcmp(table[i]->type, type) &&
        !strcmp(domain_name(table[i]->domain), domain_name(domain)))
      return table[i];
  return NULL;
}

/* ---- attributes ---- */

static const struct {
  int onnx;
  const char *name;
} field_types[] = {[XAI__INT] = {2, "an integer"},      [XAI__FLOAT] = {1, "a number"},
                   [XAI__TEXT] = {3, "a string"},       [XAI__INTS] = {7, "a list of integers"},
                   [XAI__FLOATS] = {6, "a list of numbers"}, [XAI__TENSOR] = {4, "a tensor"},
                   [XAI__TEXTS] = {8, "a list of strings"}};

static void set_preset(const xai__field *f, void *slot) {
  if (f->type == XAI__INT) *(int64_t *)slot = (int64_t)f->preset;
  if (f->type == XAI__FLOAT) *(float *)slot = (float)f->preset;
}

static void set_value(const xai__field *f, const xai__attr *a, void *slot) {
  switch (f->type) {
    case XAI__INT: *(int64_t *)slot = a->i; break;
    case XAI__FLOAT: *(float *)slot = a->f; break;
    case XAI__TEXT: *(const char **)slot = a->s; break;
    case XAI__INTS: *(xai__ints *)slot = (xai__ints){a->n, a->ints}; break;
    case XAI__FLOATS: *(xai__floats *)slot = (xai__floats){a->n, a->floats}; break;
    case XAI__TENSOR: *(xai__attr *)slot = *a; break;
    case XAI__TEXTS: *(xai__texts *)slot = (xai__texts){a->n, a->texts}; break;
  }
}

static const xai__attr *find_attr(const xai__attr *attrs, int n, const char *name) {
  for (int i = 0; i < n; i++)
    if (!strcmp(attrs[i].name, name)) return attrs + i;
  return NULL;
}

static bool has_field(const xai__op *op, const char *name) {
  for (const xai__field *f = op->fields; f && f->name; f++)
    if (!strcmp(f->name, name)) return true;
  return false;
}

int xai__op_import(const xai__op *op, const xai__attr *attrs, int n, void *attr, const char *where,
                   xai_error *err) {
  for (int i = 0; i < n; i++)
    if (!has_field(op, attrs[i].name))
      return xai__fail(err, XAI_E_UNSUPPORTED, where, "%s: attribute '%s' is not supported",
                       op->type, attrs[i].name);
  if (op->attr_size) memset(attr, 0, op->attr_size);
  for (const xai__field *f = op->fields; f && f->name; f++) {
    void *slot = (char *)attr + f->offset;
    const xai__attr *a = find_attr(attrs, n, f->name);
    if (!a && f->required)
      return xai__fail(err, XAI_E_MODEL, where, "%s: attribute '%s' is missing", op->type, f->name);
    if (a && a->type != field_types[f->type].onnx)
      return xai__fail(err, XAI_E_MODEL, where, "%s: attribute '%s' is not %s", op->type, f->name,
                       field_types[f->type].name);
    if (a) set_value(f, a, slot);
    else set_preset(f, slot);
  }
  return XAI_OK;
}

/* ---- checks ---- */

int xai__axis(int64_t axis, int rank, const xai__call *c, int *out) {
  if (axis < -rank || axis >= rank)
    return xai__fail(c->err, XAI_E_MODEL, c->node->name, "axis %lld is outside a tensor of rank %d",
                     (long long)axis, rank);
  *out = (int)(axis < 0 ? axis + rank : axis);
  return XAI_OK;
}

int xai__known_ints(xai__call *c, int i, const char *what, const int64_t **v, int64_t *n) {
  const xai__view *in = &c->in[i];
  if (!xai__has(c, i))
    return xai__fail(c->err, XAI_E_MODEL, c->node->name, "operand %d (%s) is missing", i, what);
  if (in->dtype != XAI_I64 || in->shape.rank > 1)
    return xai__fail(c->err, XAI_E_MODEL, c->node->name,
                     "operand %d (%s) must be a list of integers", i, what);
  if (!in->data && xai__count(&in->shape) > 0)
    return xai__fail(c->err, XAI_E_UNSUPPORTED, c->node->name,
                     "operand %d (%s) must be a constant, but it is computed from the input", i,
                     what);
  *v = xai__i(in);
  *n = xai__count(&in->shape);
  return XAI_OK;
}

int xai__need_float(const xai__call *c, int i) {
  if (!xai__has(c, i) || c->in[i].dtype == XAI_F32) return XAI_OK;
  return xai__fail(c->err, XAI_E_UNSUPPORTED, c->node->name,
                   "%s of integers (operand %d) is not supported", c->node->op->type, i);
}

int xai__need_rank(const xai__call *c, int i, int low, int high) {
  int rank = c->in[i].shape.rank;
  if (rank >= low && rank <= high) return XAI_OK;
  if (rank < 0)
    return xai__fail(c->err, XAI_E_MODEL, c->node->name, "operand %d is missing", i);
  if (low == high)
    return xai__fail(c->err, XAI_E_MODEL, c->node->name, "operand %d has rank %d, must have %d", i,
                     rank, low);
  return xai__fail(c->err, XAI_E_MODEL, c->node->name,
                   "operand %d has rank %d, must have between %d and %d", i, rank, low, high);
}

int xai__need_vector(const xai__call *c, int i, int64_t n, const char *what) {
  if (!xai__has(c, i)) return XAI_OK;
  XAI__TRY(xai__need_float(c, i));
  XAI__TRY(xai__need_rank(c, i, 1, 1));
  if (c->in[i].shape.d[0] == n) return XAI_OK;
  return xai__fail(c->err, XAI_E_MODEL, c->node->name,
                   "operand %d (%s) has %lld elements, must have %lld", i, what,
                   (long long)c->in[i].shape.d[0], (long long)n);
}

int xai__vjp_only(const xai__call *c, const xai__view *gin, int n) {
  for (int i = n; i < c->n_in; i++)
    if (gin[i].data)
      return xai__fail(c->err, XAI_E_UNSUPPORTED, c->node->name,
                       "%s has no derivative for its operand %d here", c->node->op->type, i);
  return XAI_OK;
}

xai__crossing xai__cross_first(const xai__node *node, const bool *in_static, xai__crossing cross) {
  for (int i = 1; i < node->n_in; i++)
    if (node->in[i] >= 0 && !in_static[i]) return XAI__CROSS_REFUSED;
  return in_static[0] ? XAI__CROSS_NONE : cross;
}

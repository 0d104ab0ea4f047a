/* From the text of a case row (op_harness.h) to attributes, operands and a node ready to call.
 *
 * Every tensor has its own heap block, so that the sanitizer sees a step outside of it. */
#ifndef XAI_TESTS_OP_OPERAND_H
#define XAI_TESTS_OP_OPERAND_H
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "op_harness.h"

enum { MAX_OPERANDS = 8, MAX_ATTRS = 16, MAX_BLOCKS = 4096 };
static int64_t max_elements = 1 << 16; /* of a result */

static void *blocks[MAX_BLOCKS];
static int n_blocks;

static void *take(int64_t bytes) {
  void *p = malloc((size_t)bytes + !bytes);
  ck_assert(p && n_blocks < MAX_BLOCKS);
  memset(p, 0x5a, (size_t)bytes);
  return blocks[n_blocks++] = p;
}

static void release(int from) {
  while (n_blocks > from) free(blocks[--n_blocks]);
}

static uint64_t random_state;
static uint64_t random_u64(void) { /* splitmix64 */
  uint64_t z = (random_state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}
static int64_t random_below(int64_t n) { return (int64_t)(random_u64() % (uint64_t)n); }

/* A shuffled grid in (low, high): distinct values, none of them 0. */
static void fill_grid(float *x, int64_t n, double low, double high) {
  double step = (high - low) / (double)n;
  for (int64_t i = 0; i < n; i++) x[i] = (float)(low + ((double)i + 0.3) * step);
  for (int64_t i = n - 1; i > 0; i--) {
    int64_t j = random_below(i + 1);
    float t = x[i];
    x[i] = x[j];
    x[j] = t;
  }
}

static void new_data(xai__view *v) {
  int64_t n = xai__count(&v->shape);
  v->data = take(n * (v->dtype == XAI_F32 ? 4 : 8));
}

static xai__view float_like(const xai__view *like, float value) {
  xai__view v = {.dtype = XAI_F32, .shape = like->shape};
  new_data(&v);
  for (int64_t i = 0; i < xai__count(&v.shape); i++) xai__f(&v)[i] = value;
  return v;
}

typedef struct operand {
  char kind; /* f p k c q i j, 0: absent */
  xai__view v;
} operand;

static bool is_known(char kind) { return kind == 'c' || kind == 'q' || kind == 'i'; }
static bool is_float(char kind) { return kind && strchr("fpkcq", kind) != NULL; }

static void fill_operand(operand *o) {
  int64_t n = xai__count(&o->v.shape);
  new_data(&o->v);
  if (!is_float(o->kind)) memset(o->v.data, 0, (size_t)n * 8);
  else if (strchr("pq", o->kind)) fill_grid(xai__f(&o->v), n, 0.5, 1.5);
  else fill_grid(xai__f(&o->v), n, -1, 1);
}

/* KIND ":" SHAPE ["=" VALUES], up to a blank, ';' or the end. */
static operand parse_operand(const char **text) {
  const char *s = *text;
  operand o = {.v = {.dtype = XAI_F32, .shape = {-1, {0}}}};
  if (*s == '-') {
    *text = s + 1;
    return o;
  }
  o.kind = *s;
  o.v.dtype = is_float(o.kind) ? XAI_F32 : XAI_I64;
  ck_assert_msg(strchr("fpkcqij", *s) && s[1] == ':', "bad operand '%s'", s);
  s += 2;
  bool vector = *s == '=';
  o.v.shape.rank = vector ? 1 : 0;
  if (*s == 's') s++;
  while (*s >= '0' && *s <= '9') {
    char *end;
    o.v.shape.d[o.v.shape.rank++] = strtoll(s, &end, 10);
    s = *end == 'x' ? end + 1 : end;
  }
  if (*s != '=') {
    fill_operand(&o);
    *text = s;
    return o;
  }
  int64_t n = 0;
  for (size_t i = 1; i <= strcspn(s + 1, " ;"); i++) n += i == 1 || s[i] == ',';
  if (vector) o.v.shape.d[0] = n;
  ck_assert_msg(xai__count(&o.v.shape) == n, "%lld values for '%s'", (long long)n, *text);
  new_data(&o.v);
  for (int64_t i = 0; i < n; i++) {
    char *end;
    if (o.v.dtype == XAI_F32) xai__f(&o.v)[i] = strtof(s + 1, &end);
    else xai__i(&o.v)[i] = strtoll(s + 1, &end, 10);
    s = end;
  }
  *text = n ? s : s + 1;
  return o;
}

/* ---- attributes ---- */

static char *copy_text(const char *s, size_t n) {
  char *t = take((int64_t)n + 1);
  memcpy(t, s, n);
  t[n] = 0;
  return t;
}

static const xai__field *field_of(const xai__op *op, const char *name) {
  for (const xai__field *f = op->fields; f && f->name; f++)
    if (!strcmp(f->name, name)) return f;
  return NULL;
}

/* Parses numbers of a list; returns where it stopped. */
static const char *parse_list(xai__attr *a, const char *s) {
  int64_t *ints = take(64 * 8);
  float *floats = take(64 * 4);
  char *end = NULL;
  for (a->n = 0; a->n < 64; a->n++) {
    double v = strtod(s, &end);
    if (end == s) break;
    floats[a->n] = (float)v;
    ints[a->n] = strtoll(s, NULL, 10);
    s = *end == ',' ? end + 1 : end;
  }
  a->ints = ints;
  a->floats = floats;
  a->i = a->n ? ints[0] : 0;
  a->f = a->n ? floats[0] : 0;
  return s;
}

static int parse_attrs(const xai__op *op, const char *s, xai__attr *out) {
  static const int onnx[] = {2, 1, 3, 7, 6, 4, 8}; /* by xai__field_type */
  int n = 0;
  while (*s) {
    const char *equals = strchr(s, '=');
    ck_assert_msg(equals && n < MAX_ATTRS, "bad attributes '%s'", s);
    xai__attr *a = &out[n++];
    memset(a, 0, sizeof *a);
    a->name = copy_text(s, (size_t)(equals - s));
    const xai__field *f = field_of(op, a->name);
    a->type = f ? onnx[f->type] : 2;
    s = equals + 1;
    if (a->type == 3) {
      size_t length = strcspn(s, ";");
      a->s = copy_text(s, length);
      s += length;
    } else if (a->type == 8) {
      const char **texts = take(MAX_ATTRS * (int64_t)sizeof *texts);
      for (int i = 0; i < MAX_ATTRS; i++) texts[i] = "?";
      for (; *s && *s != ';'; s += *s == ',') {
        size_t length = strcspn(s, ",;");
        ck_assert(a->n < MAX_ATTRS - 1);
        texts[a->n++] = copy_text(s, length);
        s += length;
      }
      a->texts = texts;
    } else if (a->type == 4) {
      a->tensor = parse_operand(&s).v;
      a->tensor_dtype = a->tensor.dtype;
    } else {
      s = parse_list(a, s);
    }
    if (*s == ';') s++;
  }
  return n;
}

/* ---- a node with its operands ---- */

typedef struct fixture {
  xai__node node;
  xai__call call;
  int n_attrs, index[MAX_OPERANDS];
  xai__attr attrs[MAX_ATTRS];
  operand in[MAX_OPERANDS];
  xai__view view[MAX_OPERANDS], out[MAX_OPERANDS];
  bool in_static[MAX_OPERANDS];
  xai_error err;
} fixture;

static void set_up(fixture *f, const op_case *row, const xai__op *op, xai__engine *e) {
  memset(f, 0, sizeof *f);
  f->n_attrs = parse_attrs(op, row->attrs, f->attrs);
  int n_in = 0;
  for (const char *s = row->in; *s; s += *s == ' ') f->in[n_in++] = parse_operand(&s);
  f->node = (xai__node){op, row->type, row->opset, n_in, row->n_out ? row->n_out : 1, f->index,
                        f->index, take((int64_t)op->attr_size), NULL};
  f->call = (xai__call){&f->node, n_in, f->node.n_out, f->view, f->out, f->in_static, e, &f->err};
}

/* Import, check, infer: as a graph does, with what is known before running. */
static int plan(fixture *f) {
  const xai__op *op = f->node.op;
  void *attr = (void *)(uintptr_t)f->node.attr;
  XAI__TRY(xai__op_import(op, f->attrs, f->n_attrs, attr, f->node.name, &f->err));
  if (op->check) XAI__TRY(op->check(&f->node, attr, &f->err));
  for (int i = 0; i < f->node.n_in; i++) {
    const operand *o = &f->in[i];
    f->index[i] = o->kind ? i : -1;
    f->in_static[i] = !o->kind || is_known(o->kind);
    f->view[i] = o->v;
    if (!is_known(o->kind)) f->view[i].data = NULL;
  }
  for (int k = 0; k < f->node.n_out; k++) f->out[k] = xai__absent;
  if (op->infer) XAI__TRY(op->infer(&f->call));
  else f->out[0] = (xai__view){.dtype = f->in[0].v.dtype, .shape = f->in[0].v.shape};
  return XAI_OK;
}

/* Forward into fresh outputs; XAI_E_LIMIT if they are too large, as from a graph. */
static int run(fixture *f) {
  const xai__op *op = f->node.op;
  int64_t n;
  for (int k = 0; k < f->node.n_out; k++)
    if (f->out[k].shape.rank >= 0 &&
        (!xai__shape_checked_count(&f->out[k].shape, &n) || n > max_elements))
      return xai__fail(&f->err, XAI_E_LIMIT, f->node.name, "too large");
  for (int i = 0; i < f->node.n_in; i++) f->view[i] = f->in[i].v;
  for (int k = 0; k < f->node.n_out; k++)
    if (f->out[k].shape.rank >= 0) new_data(&f->out[k]);
  if (op->alias)
    memcpy(f->out[0].data, f->view[0].data,
           (size_t)xai__count(&f->view[0].shape) * (f->view[0].dtype == XAI_F32 ? 4 : 8));
  return op->forward ? op->forward(&f->call) : XAI_OK;
}

#endif

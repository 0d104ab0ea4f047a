/* Shapes and dtypes. */
#include "tensor/tensor.h"

#include <stdio.h>
#include <string.h>

#include "base/number.h"

int64_t xai__span(const xai__shape *s, int from, int to) {
  int64_t n = 1;
  for (int i = from; i < to; i++) n *= s->d[i];
  return n;
}

int64_t xai__count(const xai__shape *s) { return xai__span(s, 0, s->rank); }

bool xai__shape_checked_count(const xai__shape *s, int64_t *n) {
  *n = 1;
  for (int i = 0; i < s->rank; i++)
    if (s->d[i] == 0) {
      *n = 0;
      return true;
    }
  for (int i = 0; i < s->rank; i++)
    if (!xai__mul(*n, s->d[i], n)) return false;
  return true;
}

bool xai__shape_equal(const xai__shape *a, const xai__shape *b) {
  return a->rank == b->rank &&
         (a->rank <= 0 || !memcmp(a->d, b->d, (size_t)a->rank * sizeof *a->d));
}

bool xai__shape_broadcast(const xai__shape *a, const xai__shape *b, xai__shape *out) {
  xai__shape r = {a->rank > b->rank ? a->rank : b->rank, {0}};
  for (int i = 0; i < r.rank; i++) {
    int ia = i - (r.rank - a->rank), ib = i - (r.rank - b->rank);
    int64_t da = ia < 0 ? 1 : a->d[ia], db = ib < 0 ? 1 : b->d[ib];
    if (da != db && da != 1 && db != 1) return false;
    r.d[i] = da == 1 ? db : da;
  }
  *out = r;
  return true;
}

void xai__shape_strides_over(const xai__shape *s, const xai__shape *over, int64_t *stride) {
  int64_t step = 1;
  for (int i = over->rank - 1; i >= 0; i--) {
    int k = i - (over->rank - s->rank);
    stride[i] = k < 0 || s->d[k] == 1 ? 0 : step;
    if (k >= 0) step *= s->d[k];
  }
}

xai__shape_text_t xai__shape_text(const xai__shape *s) {
  xai__shape_text_t t = {"scalar"};
  size_t n = 0;
  for (int i = 0; i < s->rank && n < sizeof t.text; i++) {
    int k = s->d[i] < 0 ? snprintf(t.text + n, sizeof t.text - n, "%s?", i ? "x" : "")
                        : snprintf(t.text + n, sizeof t.text - n, "%s%lld", i ? "x" : "",
                                   (long long)s->d[i]);
    n += (size_t)k;
  }
  return t;
}

/* ---- dtypes: one row each ---- */

#define READ(type, expression)                                         \
  {                                                                    \
    type e;                                                            \
    memcpy(&e, (const char *)from + (size_t)i * sizeof e, sizeof e);   \
    expression;                                                        \
  }
#define TO(name, type, out, expression)                          \
  static void name(const void *from, int64_t n, void *to) {      \
    out *y = to;                                                 \
    for (int64_t i = 0; i < n; i++) READ(type, y[i] = expression) \
  }
TO(f32_in, float, float, e)
TO(f64_in, double, float, (float)e)
TO(f16_in, uint16_t, float, xai__f16_to_f32(e))
TO(bf16_in, uint16_t, float, xai__bf16_to_f32(e))
TO(u8_in, uint8_t, int64_t, e)
TO(i8_in, int8_t, int64_t, e)
TO(u16_in, uint16_t, int64_t, e)
TO(i16_in, int16_t, int64_t, e)
TO(i32_in, int32_t, int64_t, e)
TO(u32_in, uint32_t, int64_t, e)
TO(i64_in, int64_t, int64_t, e)
TO(bool_in, uint8_t, int64_t, e != 0)
TO(f64_out, float, double, (double)e)
TO(u8_out, int64_t, uint8_t, (uint8_t)e)
TO(i8_out, int64_t, int8_t, (int8_t)e)
TO(u16_out, int64_t, uint16_t, (uint16_t)e)
TO(i16_out, int64_t, int16_t, (int16_t)e)
TO(i32_out, int64_t, int32_t, (int32_t)e)
TO(u32_out, int64_t, uint32_t, (uint32_t)e)
TO(bool_out, int64_t, uint8_t, e != 0)

/* Half floats and integers of four bits are given back as another type, so they have no way out.
 * uint64 beyond the largest int64 is kept by its bits. */
static const struct dtype {
  int dtype, storage, returned;
  size_t size;
  const char *name;
  void (*in)(const void *, int64_t, void *);
  void (*out)(const void *, int64_t, void *);
} dtypes[] = {
    {XAI_F32, XAI_F32, XAI_F32, 4, "float32", f32_in, f32_in},
    {XAI_F64, XAI_F32, XAI_F64, 8, "float64", f64_in, f64_out},
    {XAI_F16, XAI_F32, XAI_F32, 2, "float16", f16_in, NULL},
    {XAI_BF16, XAI_F32, XAI_F32, 2, "bfloat16", bf16_in, NULL},
    {XAI_U4, XAI_I64, XAI_U8, 1, "uint4", u8_in, NULL},
    {XAI_I4, XAI_I64, XAI_I8, 1, "int4", i8_in, NULL},
    {XAI_U8, XAI_I64, XAI_U8, 1, "uint8", u8_in, u8_out},
    {XAI_I8, XAI_I64, XAI_I8, 1, "int8", i8_in, i8_out},
    {XAI_U16, XAI_I64, XAI_U16, 2, "uint16", u16_in, u16_out},
    {XAI_I16, XAI_I64, XAI_I16, 2, "int16", i16_in, i16_out},
    {XAI_I32, XAI_I64, XAI_I32, 4, "int32", i32_in, i32_out},
    {XAI_U32, XAI_I64, XAI_U32, 4, "uint32", u32_in, u32_out},
    {XAI_I64, XAI_I64, XAI_I64, 8, "int64", i64_in, i64_in},
    {XAI_U64, XAI_I64, XAI_U64, 8, "uint64", i64_in, i64_in},
    {XAI_BOOL, XAI_I64, XAI_BOOL, 1, "bool", bool_in, bool_out},
};

static const struct dtype *find(int dtype) {
  for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
    if (dtypes[i].dtype == dtype) return &dtypes[i];
  return NULL;
}

int xai__dtype_storage(int dtype) {
  const struct dtype *d = find(dtype);
  return d ? d->storage : 0;
}

size_t xai__dtype_size(int dtype) {
  const struct dtype *d = find(dtype);
  return d ? d->size : 0;
}

const char *xai__dtype_name(int dtype) {
  const struct dtype *d = find(dtype);
  return d ? d->name : "unknown";
}

int xai__dtype_returned(int dtype) {
  const struct dtype *d = find(dtype);
  return d ? d->returned : XAI_F32;
}

void xai__to_storage(int dtype, const void *from, int64_t n, void *to) {
  find(dtype)->in(from, n, to);
}

void xai__from_storage(int dtype, const void *from, int64_t n, void *to) {
  find(dtype)->out(from, n, to);
}

/* ---- the public handle ---- */

int xai__tensor_new(xai__memory *m, int dtype, const xai__shape *shape, xai_tensor **out,
                    xai_error *err) {
  int64_t n;
  if (!xai__shape_checked_count(shape, &n))
    return xai__fail(err, XAI_E_LIMIT, NULL, "shape %s has too many elements",
                     xai__shape_text(shape).text);
  size_t size = xai__dtype_size(dtype), head = (sizeof(xai_tensor) + 63) / 64 * 64;
  if (size && (uint64_t)n > (SIZE_MAX / 4) / size)
    return xai__fail(err, XAI_E_LIMIT, NULL, "shape %s has too many elements",
                     xai__shape_text(shape).text);
  xai_tensor *t = xai__new(m, head + (size_t)n * size, 1, err);
  if (!t) return err ? err->status : XAI_E_MEMORY;
  atomic_init(&t->refs, 1);
  t->dtype = dtype;
  t->shape = *shape;
  t->data = (char *)t + head;
  *out = t;
  return XAI_OK;
}

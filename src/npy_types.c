/* Element types of NPY arrays: sizes, names, allocation and conversion. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "file.h"
#include "npy.h"

static const struct {
  const char *name;
  size_t size;
} types[] = {[NPY_BOOL] = {"bool", 1},    [NPY_I8] = {"int8", 1},      [NPY_U8] = {"uint8", 1},
             [NPY_I16] = {"int16", 2},    [NPY_U16] = {"uint16", 2},   [NPY_I32] = {"int32", 4},
             [NPY_U32] = {"uint32", 4},   [NPY_I64] = {"int64", 8},    [NPY_U64] = {"uint64", 8},
             [NPY_F16] = {"float16", 2},  [NPY_F32] = {"float32", 4},  [NPY_F64] = {"float64", 8},
             [NPY_TEXT] = {"text", 1}};

size_t npy_type_size(enum npy_type type) {
  return types[type].size;
}

const char *npy_type_name(enum npy_type type) {
  return types[type].name;
}

struct npy_array npy_view(enum npy_type type, int rank, const int64_t *shape, const void *data) {
  struct npy_array a = {.type = type, .rank = rank, .count = 1};
  union {
    const void *borrowed;
    void *data;
  } u = {data}; /* the struct also owns what was read, so its pointer is not const */
  a.data = u.data;
  for (int i = 0; i < rank; i++) {
    a.shape[i] = shape[i];
    a.count *= (size_t)shape[i];
  }
  a.bytes = a.count * npy_type_size(type);
  return a;
}

struct npy_array npy_view_text(const char *utf8) {
  struct npy_array a = npy_view(NPY_TEXT, 0, NULL, utf8);
  a.bytes = strlen(utf8);
  return a;
}

void npy_free(struct npy_array *a) {
  free(a->data);
  memset(a, 0, sizeof *a);
}

int npy_alloc(enum npy_type type, int rank, const int64_t *shape, const char *name,
              struct npy_array *out, char err[256]) {
  memset(out, 0, sizeof *out);
  if (rank < 0 || rank > NPY_MAX_RANK)
    return err_set(err, "%s: %d dimensions, at most %d are supported", name, rank, NPY_MAX_RANK);
  size_t count = 1, most = (size_t)PTRDIFF_MAX / npy_type_size(type);
  int empty = 0;
  for (int i = 0; i < rank; i++) {
    if (shape[i] < 0 || (shape[i] > 0 && count > most / (uint64_t)shape[i]))
      return err_set(err, "%s: the shape is too large", name);
    if (shape[i] == 0)
      empty = 1;
    else
      count *= (size_t)shape[i];
  }
  if (empty) count = 0;
  void *data = calloc(count + (count == 0), npy_type_size(type));
  if (!data)
    return err_set(err, "%s: out of memory for %zu elements of type %s", name, count,
                   npy_type_name(type));
  out->type = type;
  out->rank = rank;
  for (int i = 0; i < rank; i++) out->shape[i] = shape[i];
  out->count = count;
  out->bytes = count * npy_type_size(type);
  out->data = data;
  return 0;
}

float npy_half_to_float(uint16_t half) {
  int exponent = half >> 10 & 31;
  uint32_t fraction = half & 1023u, sign = (uint32_t)(half & 0x8000u) << 16, bits;
  float value;
  if (exponent == 0) {
    value = ldexpf((float)fraction, -24);
    return sign ? -value : value;
  }
  bits = sign | (exponent == 31 ? 0x7f800000u : (uint32_t)(exponent + 112) << 23) | fraction << 13;
  memcpy(&value, &bits, sizeof value);
  return value;
}

uint16_t npy_float_to_half(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  uint16_t sign = (uint16_t)(bits >> 16 & 0x8000u);
  uint32_t magnitude = bits & 0x7fffffffu, half;
  if (magnitude > 0x7f800000u) {
    half = 0x7e00u;
  } else if (magnitude >= 0x477ff000u) { /* 65520 and up */
    half = 0x7c00u;
  } else if (magnitude >= 0x38800000u) { /* normal: round the 13 bits that go */
    half = (magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1u)) >> 13;
  } else { /* subnormal: a whole number of 2^-24, exact in float before the rounding */
    float steps = ldexpf(fabsf(value), 24);
    half = (uint32_t)steps;
    float rest = steps - (float)half;
    half += rest > 0.5f || (rest == 0.5f && (half & 1u));
  }
  return (uint16_t)(sign | half);
}

#define EACH(T, EXPRESSION)                \
  do {                                     \
    const T *x = a->data;                  \
    for (size_t i = 0; i < a->count; i++)  \
      out[i] = EXPRESSION;                 \
    return 0;                              \
  } while (0)

int npy_to_float(const struct npy_array *a, float *out) {
  switch (a->type) {
    case NPY_BOOL:
    case NPY_U8: EACH(uint8_t, x[i]);
    case NPY_I8: EACH(int8_t, x[i]);
    case NPY_I16: EACH(int16_t, x[i]);
    case NPY_U16: EACH(uint16_t, x[i]);
    case NPY_I32: EACH(int32_t, (float)x[i]);
    case NPY_U32: EACH(uint32_t, (float)x[i]);
    case NPY_I64: EACH(int64_t, (float)x[i]);
    case NPY_U64: EACH(uint64_t, (float)x[i]);
    case NPY_F16: EACH(uint16_t, npy_half_to_float(x[i]));
    case NPY_F32: EACH(float, x[i]);
    case NPY_F64: EACH(double, (float)x[i]);
    case NPY_TEXT: break;
  }
  return -1;
}

static int real_to_int64(double value, int64_t *out) {
  if (!(value >= -9223372036854775808.0 && value < 9223372036854775808.0)) return -1;
  *out = (int64_t)value;
  return (double)*out == value ? 0 : -1;
}

int npy_to_int64(const struct npy_array *a, int64_t *out) {
  switch (a->type) {
    case NPY_BOOL:
    case NPY_U8: EACH(uint8_t, x[i]);
    case NPY_I8: EACH(int8_t, x[i]);
    case NPY_I16: EACH(int16_t, x[i]);
    case NPY_U16: EACH(uint16_t, x[i]);
    case NPY_I32: EACH(int32_t, x[i]);
    case NPY_U32: EACH(uint32_t, x[i]);
    case NPY_I64: EACH(int64_t, x[i]);
    case NPY_U64: {
      const uint64_t *x = a->data;
      for (size_t i = 0; i < a->count; i++) {
        if (x[i] > INT64_MAX) return -1;
        out[i] = (int64_t)x[i];
      }
      return 0;
    }
    case NPY_F16:
    case NPY_F32:
    case NPY_F64:
      for (size_t i = 0; i < a->count; i++) {
        double value;
        if (a->type == NPY_F64)
          value = ((const double *)a->data)[i];
        else if (a->type == NPY_F32)
          value = (double)((const float *)a->data)[i];
        else
          value = (double)npy_half_to_float(((const uint16_t *)a->data)[i]);
        if (real_to_int64(value, out + i)) return -1;
      }
      return 0;
    case NPY_TEXT: break;
  }
  return -1;
}

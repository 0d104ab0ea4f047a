/* Arrays and tensors. */
#include "array.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "file.h"
#include "idx.h"
#include "npz.h"
#include "say.h"

/* type 0: numpy has none. */
static const struct {
  int dtype;
  enum npy_type type;
  size_t size;
  const char *name;
} dtypes[] = {{XAI_F32, NPY_F32, 4, "float32"}, {XAI_U8, NPY_U8, 1, "uint8"},
              {XAI_I8, NPY_I8, 1, "int8"},      {XAI_I16, NPY_I16, 2, "int16"},
              {XAI_U16, NPY_U16, 2, "uint16"},  {XAI_U32, NPY_U32, 4, "uint32"},
              {XAI_U64, NPY_U64, 8, "uint64"},  {XAI_I32, NPY_I32, 4, "int32"},
              {XAI_I64, NPY_I64, 8, "int64"},   {XAI_BOOL, NPY_BOOL, 1, "bool"},
              {XAI_F16, NPY_F16, 2, "float16"}, {XAI_F64, NPY_F64, 8, "float64"},
              {XAI_BF16, 0, 2, "bfloat16"}};
enum { DTYPES = sizeof dtypes / sizeof dtypes[0] };

const char *array_dtype_name(int dtype) {
  for (size_t i = 0; i < DTYPES; i++) {
    if (dtypes[i].dtype == dtype)
      return dtypes[i].name;
  }
  return "unknown";
}

int array_dtype_find(const char *name) {
  for (size_t i = 0; i < DTYPES; i++) {
    if (!strcmp(dtypes[i].name, name))
      return dtypes[i].dtype;
  }
  return 0;
}

size_t array_dtype_size(int dtype) {
  for (size_t i = 0; i < DTYPES; i++) {
    if (dtypes[i].dtype == dtype)
      return dtypes[i].size;
  }
  return 0;
}

int array_of_tensor(const xai_tensor *t, struct npy_array *out, int *owned) {
  const int64_t *shape;
  int rank = xai_tensor_shape(t, &shape), dtype = xai_tensor_dtype(t);
  char err[256];
  *owned = 0;
  for (size_t i = 0; i < DTYPES; i++) {
    if (dtypes[i].dtype == dtype && dtypes[i].type) {
      *out = npy_view(dtypes[i].type, rank, shape, xai_tensor_data(t));
      return EXIT_FINE;
    }
  }
  if (dtype != XAI_BF16)
    return say(EXIT_LATER, "a result of unknown type %d", dtype);
  if (npy_alloc(NPY_F32, rank, shape, "result", out, err))
    return say_no_memory();
  *owned = 1;
  const uint16_t *from = xai_tensor_data(t);
  uint32_t *to = out->data;
  for (size_t i = 0; i < out->count; i++)
    to[i] = (uint32_t)from[i] << 16;
  return EXIT_FINE;
}

double array_value(const struct npy_array *a, size_t i) {
  switch (a->type) {
  case NPY_BOOL:
  case NPY_U8:
    return ((const uint8_t *)a->data)[i];
  case NPY_I8:
    return ((const int8_t *)a->data)[i];
  case NPY_I16:
    return ((const int16_t *)a->data)[i];
  case NPY_U16:
    return ((const uint16_t *)a->data)[i];
  case NPY_I32:
    return ((const int32_t *)a->data)[i];
  case NPY_U32:
    return ((const uint32_t *)a->data)[i];
  case NPY_I64:
    return (double)((const int64_t *)a->data)[i];
  case NPY_U64:
    return (double)((const uint64_t *)a->data)[i];
  case NPY_F16:
    return npy_half_to_float(((const uint16_t *)a->data)[i]);
  case NPY_F32:
    return ((const float *)a->data)[i];
  case NPY_F64:
    return ((const double *)a->data)[i];
  case NPY_TEXT:
    break;
  }
  return 0;
}

/* Round to nearest, ties to even; a NaN stays one. */
static uint16_t bfloat16(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  if (isnan(x))
    return (uint16_t)(bits >> 16 | 0x40);
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* A whole number within [low, high]. */
static int whole(const struct npy_array *a, size_t i, int64_t low, int64_t high, int64_t *out) {
  if (a->type == NPY_I64) {
    *out = ((const int64_t *)a->data)[i];
  } else {
    double x = array_value(a, i);
    if (!(x >= -9.2e18 && x <= 9.2e18) || x != floor(x))
      return -1;
    *out = (int64_t)x;
  }
  return *out < low || *out > high ? -1 : 0;
}

int array_convert(const struct npy_array *from, size_t first, size_t count, int dtype, void *to) {
  int64_t n = 0;
  if (from->type == NPY_TEXT)
    return -1;
  for (size_t i = 0; i < DTYPES; i++) {
    if (dtypes[i].dtype == dtype && dtypes[i].type == from->type) {
      memcpy(to, (const char *)from->data + first * dtypes[i].size, count * dtypes[i].size);
      return 0;
    }
  }
  for (size_t i = 0; i < count; i++) {
    size_t k = first + i;
    switch (dtype) {
    case XAI_F32:
      ((float *)to)[i] = (float)array_value(from, k);
      break;
    case XAI_F64:
      ((double *)to)[i] = array_value(from, k);
      break;
    case XAI_F16:
      ((uint16_t *)to)[i] = npy_float_to_half((float)array_value(from, k));
      break;
    case XAI_BF16:
      ((uint16_t *)to)[i] = bfloat16((float)array_value(from, k));
      break;
    case XAI_BOOL:
      ((uint8_t *)to)[i] = array_value(from, k) != 0;
      break;
    case XAI_U8:
      if (whole(from, k, 0, 255, &n))
        return -1;
      ((uint8_t *)to)[i] = (uint8_t)n;
      break;
    case XAI_I8:
      if (whole(from, k, -128, 127, &n))
        return -1;
      ((int8_t *)to)[i] = (int8_t)n;
      break;
    case XAI_U16:
      if (whole(from, k, 0, UINT16_MAX, &n))
        return -1;
      ((uint16_t *)to)[i] = (uint16_t)n;
      break;
    case XAI_I16:
      if (whole(from, k, INT16_MIN, INT16_MAX, &n))
        return -1;
      ((int16_t *)to)[i] = (int16_t)n;
      break;
    case XAI_U32:
      if (whole(from, k, 0, UINT32_MAX, &n))
        return -1;
      ((uint32_t *)to)[i] = (uint32_t)n;
      break;
    case XAI_U64:
      if (whole(from, k, 0, INT64_MAX, &n))
        return -1;
      ((uint64_t *)to)[i] = (uint64_t)n;
      break;
    case XAI_I32:
      if (whole(from, k, INT32_MIN, INT32_MAX, &n))
        return -1;
      ((int32_t *)to)[i] = (int32_t)n;
      break;
    case XAI_I64:
      if (whole(from, k, INT64_MIN, INT64_MAX, &n))
        return -1;
      ((int64_t *)to)[i] = n;
      break;
    default:
      return -1;
    }
  }
  return 0;
}

int array_to_tensor(const struct npy_array *a, const char *name, xai_tensor **out) {
  xai_error err;
  int dtype = a->type == NPY_I16 || a->type == NPY_U16                          ? XAI_I32
              : a->type == NPY_U32 || a->type == NPY_U64 || a->type == NPY_TEXT ? XAI_I64
                                                                                : 0;
  for (size_t i = 0; i < DTYPES && !dtype; i++) {
    if (dtypes[i].type == a->type)
      dtype = dtypes[i].dtype;
  }
  *out = NULL;
  if (a->rank > 8)
    return say(EXIT_INPUT, "%s: %d axes are more than 8", name, a->rank);
  void *data = malloc(a->count * array_dtype_size(dtype) + 1);
  if (!data)
    return say_no_memory();
  int code = EXIT_FINE;
  if (array_convert(a, 0, a->count, dtype, data)) {
    code = say(EXIT_INPUT, "%s: %s does not fit %s", name, npy_type_name(a->type),
               array_dtype_name(dtype));
  } else if (xai_tensor_create(dtype, a->rank, a->shape, data, out, &err)) {
    code = say_error(&err, SAY_READING, name);
  }
  free(data);
  return code;
}

/* A TensorProto has no magic number: it is what nothing else is. */
static int parse_proto(const void *bytes, size_t size, const char *name, struct npy_array *out) {
  xai_tensor *t;
  xai_error err;
  char text[256];
  size_t n = strlen(name);
  if (xai_tensor_parse(bytes, size, &t, &err)) {
    if (n > 3 && !strcmp(name + n - 3, ".pb"))
      return say_error(&err, SAY_READING, name);
    return say(EXIT_INPUT, "%s: is no .npy, .npz, .idx, .png, .jpg or .pb", name);
  }
  struct npy_array view;
  int owned, code = array_of_tensor(t, &view, &owned);
  if (!code && owned) {
    *out = view;
  } else if (!code && npy_alloc(view.type, view.rank, view.shape, name, out, text)) {
    code = say(EXIT_LIMIT, "%s", text);
  } else if (!code) {
    memcpy(out->data, view.data, view.bytes);
  }
  xai_tensor_free(t);
  return code;
}

static int parse_npz(const void *bytes, size_t size, const char *name, const char *key,
                     struct npy_array *out) {
  struct npz *z;
  char err[256];
  if (npz_parse(bytes, size, name, &z, err))
    return say(EXIT_INPUT, "%s", err);
  int code = EXIT_FINE;
  if (!key && npz_count(z) == 1)
    key = npz_name(z, 0);
  if (!key) {
    code = say(EXIT_INPUT, "%s holds %zu arrays: write %s:KEY%s%s", name, npz_count(z), name,
               npz_count(z) ? ", such as " : "", npz_count(z) ? npz_name(z, 0) : "");
  } else if (npz_get(z, key, out, err)) {
    code = say(EXIT_INPUT, "%s", err);
  }
  npz_close(z);
  return code;
}

int array_parse(const void *bytes, size_t size, const char *name, const char *key,
                struct npy_array *out) {
  char err[256];
  memset(out, 0, sizeof *out);
  if (size >= 4 && !memcmp(bytes, "PK", 2))
    return parse_npz(bytes, size, name, key, out);
  if (key)
    return say(EXIT_INPUT, "%s is no .npz archive, so it has no array '%s'", name, key);
  if (size >= 6 && !memcmp(bytes, "\x93NUMPY", 6)) {
    return npy_parse(bytes, size, name, out, err) ? say(EXIT_INPUT, "%s", err) : EXIT_FINE;
  }
  if (idx_sniff(bytes, size)) {
    return idx_parse(bytes, size, name, out, err) ? say(EXIT_INPUT, "%s", err) : EXIT_FINE;
  }
  return parse_proto(bytes, size, name, out);
}

size_t array_split_key(const char *spec, const char **key) {
  const char *colon = strrchr(spec, ':');
  *key = NULL;
  if (!colon || colon == spec || access(spec, F_OK) == 0)
    return strlen(spec);
  *key = colon + 1;
  return (size_t)(colon - spec);
}

int array_read(const char *spec, struct npy_array *out) {
  const char *key;
  char path[4096], err[256];
  unsigned char *bytes;
  size_t size, n = array_split_key(spec, &key);
  memset(out, 0, sizeof *out);
  if (n >= sizeof path)
    return say(EXIT_INPUT, "a file name of %zu bytes is too long", n);
  memcpy(path, spec, n);
  path[n] = 0;
  if (file_read(path, 0, &bytes, &size, err))
    return say(EXIT_INPUT, "%s", err);
  int code = array_parse(bytes, size, file_name(path), key, out);
  free(bytes);
  return code;
}

void array_shape_text(int rank, const int64_t *shape, char out[160]) {
  size_t n = (size_t)snprintf(out, 160, "[");
  for (int i = 0; i < rank && n < 130; i++) {
    n += (size_t)(shape[i] < 0 ? snprintf(out + n, 160 - n, "%sN", i ? "," : "")
                               : snprintf(out + n, 160 - n, "%s%" PRId64, i ? "," : "", shape[i]));
  }
  snprintf(out + n, 160 - n, "]");
}

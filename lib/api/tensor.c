/* The exported tensor calls. */
#include <string.h>

#include "api/load.h"
#include "onnx/onnx.h"

static int read_shape(int dtype, int rank, const int64_t *shape, xai__shape *out, xai_error *err) {
  int64_t n;
  if (!xai__dtype_size(dtype) || dtype == XAI_U4 || dtype == XAI_I4)
    return xai__fail(err, XAI_E_ARGUMENT, "dtype", "%d is no element type", dtype);
  if (rank < 0 || rank > XAI__MAX_RANK || (rank && !shape))
    return xai__fail(err, XAI_E_ARGUMENT, "rank", "rank is %d, not 0 to %d, or there is no shape",
                     rank, XAI__MAX_RANK);
  *out = (xai__shape){rank, {0}};
  for (int i = 0; i < rank; i++) {
    if (shape[i] < 0)
      return xai__fail(err, XAI_E_ARGUMENT, "shape", "dimension %d is %lld", i, (long long)shape[i]);
    out->d[i] = shape[i];
  }
  if (!xai__shape_checked_count(out, &n) || n > INT64_MAX / 16)
    return xai__fail(err, XAI_E_LIMIT, "shape", "shape %s has too many elements", xai__shape_text(out).text);
  return XAI_OK;
}

int xai_tensor_create(int dtype, int rank, const int64_t *shape, const void *data, xai_tensor **out,
                      xai_error *err) {
  xai_error local;
  xai__shape s;
  if (!err) err = &local;
  if (!out) return xai__fail(err, XAI_E_ARGUMENT, "out", "out is NULL");
  *out = NULL;
  XAI__TRY(read_shape(dtype, rank, shape, &s, err));
  XAI__TRY(xai__tensor_new(NULL, dtype, &s, out, err));
  size_t n = (size_t)xai__count(&s) * xai__dtype_size(dtype);
  if (data && n) memcpy((*out)->data, data, n);
  return XAI_OK;
}

int xai_tensor_wrap(int dtype, int rank, const int64_t *shape, void *data,
                    void (*release)(void *user), void *user, xai_tensor **out, xai_error *err) {
  xai_error local;
  xai__shape s;
  if (!err) err = &local;
  if (!out) return xai__fail(err, XAI_E_ARGUMENT, "out", "out is NULL");
  *out = NULL;
  XAI__TRY(read_shape(dtype, rank, shape, &s, err));
  size_t size = xai__dtype_size(dtype);
  if (!data && xai__count(&s))
    return xai__fail(err, XAI_E_ARGUMENT, "data", "data is NULL");
  if ((uintptr_t)data % size)
    return xai__fail(err, XAI_E_ARGUMENT, "data", "data are not aligned to %zu bytes", size);
  xai__shape empty = {1, {0}};
  XAI__TRY(xai__tensor_new(NULL, dtype, &empty, out, err));
  (*out)->shape = s;
  (*out)->data = data;
  (*out)->release = release;
  (*out)->user = user;
  return XAI_OK;
}

int xai_tensor_parse(const void *tensorproto, size_t n, xai_tensor **out, xai_error *err) {
  xai_error local;
  if (!err) err = &local;
  if (!out) return xai__fail(err, XAI_E_ARGUMENT, "out", "out is NULL");
  *out = NULL;
  if (!tensorproto) return xai__fail(err, XAI_E_ARGUMENT, "tensorproto", "tensorproto is NULL");
  return xai__onnx_tensor(tensorproto, n, NULL, out, err);
}

int xai_tensor_dtype(const xai_tensor *t) { return t ? t->dtype : 0; }

int xai_tensor_shape(const xai_tensor *t, const int64_t **shape) {
  if (shape) *shape = t ? t->shape.d : NULL;
  return t ? t->shape.rank : XAI_E_ARGUMENT;
}

const void *xai_tensor_data(const xai_tensor *t) { return t ? t->data : NULL; }

xai_tensor *xai_tensor_ref(const xai_tensor *t) {
  xai_tensor *shared = (xai_tensor *)(uintptr_t)t;
  if (shared) atomic_fetch_add(&shared->refs, 1);
  return shared;
}

void xai_tensor_free(xai_tensor *t) {
  if (!t || atomic_fetch_sub(&t->refs, 1) != 1) return;
  if (t->release) t->release(t->user);
  xai__free(t);
}

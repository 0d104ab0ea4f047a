/* Between files, numpy arrays and the library's tensors. */
#ifndef XAI_TOOL_ARRAY_H
#define XAI_TOOL_ARRAY_H
#include <xai/xai.h>
#include "npy.h"

/* "float32", "int64", ... of a library dtype, and back (0: unknown). */
const char *array_dtype_name(int dtype);
int array_dtype_find(const char *name);
size_t array_dtype_size(int dtype);

/* A view on a tensor; dtypes that numpy lacks (bfloat16) become float32, so it may own its data:
 * free it with npy_free when *owned. */
int array_of_tensor(const xai_tensor *t, struct npy_array *out, int *owned);

/* count elements of `from`, starting at element `first`, as dtype at `to`. Returns 0, or -1 where a
 * value does not fit (a fraction for an integer). */
int array_convert(const struct npy_array *from, size_t first, size_t count, int dtype, void *to);

/* A tensor of the array's own dtype, or of the nearest that the library has. */
int array_to_tensor(const struct npy_array *a, const char *name, xai_tensor **out);

/* .npy, .npz (its only array), .npz:KEY, .pb, .idx, .gz, or - : told apart by content. Exit code;
 * the failure has been said. */
int array_read(const char *spec, struct npy_array *out);
/* The same from bytes; `name` in messages, key NULL or the array wanted of an archive. */
int array_parse(const void *bytes, size_t size, const char *name, const char *key,
                struct npy_array *out);

/* Splits "FILE:KEY" where no file has the whole name: *key is NULL or points into spec. Returns
 * the length of the file's part. */
size_t array_split_key(const char *spec, const char **key);

/* "[3,224,224]", -1 as N. */
void array_shape_text(int rank, const int64_t *shape, char out[160]);
double array_value(const struct npy_array *a, size_t i);
#endif

/* NPY: numpy's array file, versions 1 to 3 [numpy.lib.format].
 *
 * Arrays read are always C order and native endian, whatever the file was. Text (dtype S or U) is
 * read as one UTF-8 string when the array has no dimensions (provenance), and refused otherwise. */
#ifndef XAI_TOOL_NPY_H
#define XAI_TOOL_NPY_H
#include <stddef.h>
#include <stdint.h>

enum { NPY_MAX_RANK = 16 };

enum npy_type {
  NPY_BOOL = 1, /* one byte, 0 or 1 */
  NPY_I8,
  NPY_U8,
  NPY_I16,
  NPY_U16,
  NPY_I32,
  NPY_U32,
  NPY_I64,
  NPY_U64,
  NPY_F16, /* IEEE bits in uint16_t */
  NPY_F32,
  NPY_F64,
  NPY_TEXT /* UTF-8, NUL-terminated; rank 0, count 1 */
};

struct npy_array {
  enum npy_type type;
  int rank;
  int64_t shape[NPY_MAX_RANK];
  size_t count; /* elements: product of shape, 1 when rank is 0 */
  size_t bytes; /* count * element size; of text: strlen */
  void *data;   /* malloc; never NULL after a read, even when count is 0 */
};

int npy_read(const char *path, struct npy_array *out, char err[256]);
int npy_parse(const void *bytes, size_t size, const char *name, struct npy_array *out,
              char err[256]);
/* The same, but bytes (from malloc) belongs to this call whatever it returns: no copy is made. */
int npy_take(unsigned char *bytes, size_t size, const char *name, struct npy_array *out,
             char err[256]);

/* The bytes of an .npy file: version 1.0, C order, little endian. *bytes is freed with free(). */
int npy_format(const struct npy_array *a, unsigned char **bytes, size_t *size, char err[256]);
int npy_write(const char *path, const struct npy_array *a, char err[256]);

/* An array that borrows data, for writing; do not npy_free it. shape may be NULL when rank is 0. */
struct npy_array npy_view(enum npy_type type, int rank, const int64_t *shape, const void *data);
struct npy_array npy_view_text(const char *utf8);

/* Frees data and empties the struct. */
void npy_free(struct npy_array *a);

size_t npy_type_size(enum npy_type type);      /* 1 for text */
const char *npy_type_name(enum npy_type type); /* "float32", "int64", ... as numpy says it */

/* Allocates for the given type and shape, zero-filled, with the overflow checks. */
int npy_alloc(enum npy_type type, int rank, const int64_t *shape, const char *name,
              struct npy_array *out, char err[256]);

/* Every element as a float or int64 into out[count]; -1 on text, and for integers when a value is
 * not a whole number that fits. */
int npy_to_float(const struct npy_array *a, float *out);
int npy_to_int64(const struct npy_array *a, int64_t *out);

float npy_half_to_float(uint16_t half);
uint16_t npy_float_to_half(float value); /* round to nearest, ties to even */
#endif

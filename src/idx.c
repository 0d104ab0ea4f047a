/* IDX, plain or gzipped. */
#include "idx.h"
#include <stdlib.h>
#include <string.h>
#include "file.h"
#include "inflate.h"

enum { HEADER_MAX = 4 + 4 * 255 };

static const struct {
  unsigned code;
  enum npy_type type;
} types[] = {{0x08, NPY_U8},  {0x09, NPY_I8},  {0x0b, NPY_I16},
             {0x0c, NPY_I32}, {0x0d, NPY_F32}, {0x0e, NPY_F64}};

static int is_gzip(const unsigned char *p, size_t size) {
  return size >= 2 && p[0] == 0x1f && p[1] == 0x8b;
}

static enum npy_type type_of(unsigned code) {
  for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
    if (types[i].code == code) return types[i].type;
  return (enum npy_type)0;
}

static int is_idx(const unsigned char *p, size_t size) {
  return size >= 4 && p[0] == 0 && p[1] == 0 && (int)type_of(p[2]) != 0;
}

int idx_sniff(const void *bytes, size_t size) {
  unsigned char head[4];
  int ended;
  if (!is_gzip(bytes, size)) return is_idx(bytes, size);
  return is_idx(head, inflate_into(INFLATE_GZIP, bytes, size, head, sizeof head, &ended));
}

static void to_native(unsigned char *p, size_t count, size_t item) {
  const uint16_t one = 1;
  if (*(const unsigned char *)&one == 0) return;
  for (size_t i = 0; i < count; i++, p += item)
    for (size_t a = 0, z = item - 1; a < z; a++, z--) {
      unsigned char t = p[a];
      p[a] = p[z];
      p[z] = t;
    }
}

int idx_parse(const void *bytes, size_t size, const char *name, struct npy_array *out,
              char err[256]) {
  unsigned char head[HEADER_MAX];
  int64_t shape[NPY_MAX_RANK];
  const unsigned char *p = bytes;
  int gz = is_gzip(p, size), ended;
  size_t there = size;
  memset(out, 0, sizeof *out);
  if (gz) {
    there = inflate_into(INFLATE_GZIP, p, size, head, sizeof head, &ended);
    p = head;
  }
  if (!is_idx(p, there)) return err_set(err, "%s: not an IDX file: bad signature", name);
  int rank = p[3];
  size_t data = 4 + 4 * (size_t)rank;
  if (rank > NPY_MAX_RANK) return err_set(err, "%s: %d dimensions are too many", name, rank);
  if (there < data) return err_set(err, "%s: truncated: the IDX header is cut off", name);
  size_t item = npy_type_size(type_of(p[2])), count = 1;
  size_t most = ((gz ? inflate_bound(size) : size) - data) / item; /* elements at the very best */
  for (int i = 0; i < rank; i++) {
    const unsigned char *q = p + 4 + 4 * i;
    shape[i] = (int64_t)q[0] << 24 | (int64_t)q[1] << 16 | (int64_t)q[2] << 8 | q[3];
    if (shape[i] == 0) count = 0;
  }
  for (int i = 0; i < rank && count > 0; i++) {
    if ((uint64_t)shape[i] > most / count)
      return err_set(err, "%s: truncated: fewer elements than the IDX header says", name);
    count *= (size_t)shape[i];
  }
  if (count > most) return err_set(err, "%s: truncated: no elements", name);
  if (npy_alloc(type_of(p[2]), rank, shape, name, out, err)) return -1;
  size_t want = out->bytes;
  if (!gz) {
    memcpy(out->data, p + data, want);
  } else {
    /* The header again, now with the elements; it is then moved out of the way. */
    unsigned char *grown = realloc(out->data, data + want);
    if (!grown) {
      npy_free(out);
      return err_set(err, "%s: out of memory for %zu bytes", name, data + want);
    }
    out->data = grown;
    size_t got = inflate_into(INFLATE_GZIP, bytes, size, grown, data + want, &ended);
    if (got != data + want || !ended) {
      npy_free(out);
      return err_set(err, got < data + want ? "%s: truncated or damaged gzip data"
                                            : "%s: damaged gzip data, or more than it should hold",
                     name);
    }
    memmove(grown, grown + data, want);
  }
  to_native(out->data, out->count, item);
  return 0;
}

int idx_read(const char *path, struct npy_array *out, char err[256]) {
  unsigned char *bytes;
  size_t size;
  memset(out, 0, sizeof *out);
  if (file_read(path, 0, &bytes, &size, err)) return -1;
  int rc = idx_parse(bytes, size, file_name(path), out, err);
  free(bytes);
  return rc;
}

/* NPZ, reading: the zip directory at the end of the file leads to the members
 * [PKWARE APPNOTE 4.3: 4.3.7 local header, 4.3.12 directory, 4.3.14-16 end records]. */
#include "npz.h"
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include "file.h"
#include "inflate.h"

struct member {
  char *name; /* without ".npy" */
  uint64_t packed, size, offset;
  unsigned flags, method;
  uint32_t crc;
};

struct npz {
  char *file;
  unsigned char *bytes;
  size_t size, count;
  struct member *members;
};

static unsigned get16(const unsigned char *p) {
  return p[0] | (unsigned)p[1] << 8;
}

static uint32_t get32(const unsigned char *p) {
  return get16(p) | (uint32_t)get16(p + 2) << 16;
}

static uint64_t get64(const unsigned char *p) {
  return get32(p) | (uint64_t)get32(p + 4) << 32;
}

/* The end record, searched backwards past a comment of up to 65535 bytes; NULL if none. */
static const unsigned char *find_end(const unsigned char *b, size_t size) {
  if (size < 22) return NULL;
  for (size_t back = 22; back <= size && back <= 22 + 65535; back++) {
    const unsigned char *p = b + size - back;
    if (get32(p) == 0x06054b50 && get16(p + 20) == back - 22) return p;
  }
  return NULL;
}

static int bad(const struct npz *z, const char *what, char err[256]) {
  return err_set(err, "%s: malformed NPZ: %s", z->file, what);
}

/* Where the directory is and how many entries it has, from the zip64 record if there is one. */
static int find_directory(const struct npz *z, uint64_t *offset, uint64_t *size, uint64_t *count,
                          char err[256]) {
  const unsigned char *b = z->bytes, *end = find_end(b, z->size);
  if (!end) {
    if (z->size >= 4 && get32(b) == 0x04034b50)
      return err_set(err, "%s: truncated: the NPZ directory is missing", z->file);
    return err_set(err, "%s: not an NPZ file: no zip directory", z->file);
  }
  *count = get16(end + 10);
  *size = get32(end + 12);
  *offset = get32(end + 16);
  uint64_t limit = (uint64_t)(end - b);
  if (limit >= 20 && get32(end - 20) == 0x07064b50) {
    uint64_t at = get64(end - 20 + 8);
    if (at > limit - 20 || limit - 20 - at < 56 || get32(b + at) != 0x06064b50)
      return bad(z, "bad zip64 end record", err);
    *count = get64(b + at + 32);
    *size = get64(b + at + 40);
    *offset = get64(b + at + 48);
    limit = at;
  }
  if (*offset > limit || *size > limit - *offset) return bad(z, "directory out of bounds", err);
  if (*count > *size / 46) return bad(z, "more members than the directory holds", err);
  return 0;
}

/* Sizes of 0xffffffff stand in the zip64 extra field, in this order. */
static int read_zip64(struct member *m, const unsigned char *extra, size_t n) {
  uint64_t *fields[3] = {&m->size, &m->packed, &m->offset};
  int wanted = 0;
  for (int i = 0; i < 3; i++) wanted += *fields[i] == 0xffffffff;
  while (wanted > 0 && n >= 4) {
    size_t id = get16(extra), length = get16(extra + 2);
    if (length > n - 4) return -1;
    if (id == 1) {
      const unsigned char *p = extra + 4;
      for (int i = 0; i < 3; i++) {
        if (*fields[i] != 0xffffffff) continue;
        if (length < 8) return -1;
        *fields[i] = get64(p);
        p += 8;
        length -= 8;
      }
      return 0;
    }
    extra += 4 + length;
    n -= 4 + length;
  }
  return 0;
}

static char *text_copy(const void *p, size_t n) {
  char *s = malloc(n + 1);
  if (s) {
    memcpy(s, p, n);
    s[n] = 0;
  }
  return s;
}

static int read_directory(struct npz *z, char err[256]) {
  uint64_t offset = 0, size = 0, count = 0;
  if (find_directory(z, &offset, &size, &count, err)) return -1;
  const unsigned char *p = z->bytes + offset, *end = p + size;
  z->members = calloc((size_t)count + 1, sizeof *z->members);
  if (!z->members) return err_set(err, "%s: out of memory", z->file);
  for (uint64_t i = 0; i < count; i++) {
    struct member *m = z->members + z->count;
    if ((size_t)(end - p) < 46 || get32(p) != 0x02014b50) return bad(z, "bad directory", err);
    size_t n = get16(p + 28), extra = get16(p + 30), comment = get16(p + 32);
    if ((size_t)(end - p) - 46 < n + extra + comment) return bad(z, "directory cut off", err);
    m->flags = get16(p + 8);
    m->method = get16(p + 10);
    m->crc = get32(p + 16);
    m->packed = get32(p + 20);
    m->size = get32(p + 24);
    m->offset = get32(p + 42);
    if (read_zip64(m, p + 46 + n, extra)) return bad(z, "bad zip64 sizes", err);
    const unsigned char *name = p + 46;
    p += 46 + n + extra + comment;
    if (n >= 4 && memcmp(name + n - 4, ".npy", 4) == 0) n -= 4;
    if (memchr(name, 0, n)) return bad(z, "bad member name", err);
    m->name = text_copy(name, n);
    if (!m->name) return err_set(err, "%s: out of memory", z->file);
    z->count++;
  }
  return 0;
}

static int open_taken(unsigned char *bytes, size_t size, const char *name, struct npz **out,
                      char err[256]) {
  struct npz *z = calloc(1, sizeof *z);
  *out = NULL;
  if (z) z->file = text_copy(name, strlen(name));
  if (!z || !z->file) {
    free(z);
    free(bytes);
    return err_set(err, "%s: out of memory", name);
  }
  z->bytes = bytes;
  z->size = size;
  if (read_directory(z, err)) {
    npz_close(z);
    return -1;
  }
  *out = z;
  return 0;
}

int npz_open(const char *path, struct npz **out, char err[256]) {
  unsigned char *bytes;
  size_t size;
  *out = NULL;
  if (file_read(path, 0, &bytes, &size, err)) return -1;
  return open_taken(bytes, size, file_name(path), out, err);
}

int npz_parse(const void *bytes, size_t size, const char *name, struct npz **out, char err[256]) {
  unsigned char *copy = malloc(size + 1);
  *out = NULL;
  if (!copy) return err_set(err, "%s: out of memory for %zu bytes", name, size);
  if (size > 0) memcpy(copy, bytes, size);
  return open_taken(copy, size, name, out, err);
}

void npz_close(struct npz *z) {
  if (!z) return;
  for (size_t i = 0; i < z->count; i++) free(z->members[i].name);
  free(z->members);
  free(z->bytes);
  free(z->file);
  free(z);
}

size_t npz_count(const struct npz *z) {
  return z->count;
}

const char *npz_name(const struct npz *z, size_t i) {
  return z->members[i].name;
}

int npz_find(const struct npz *z, const char *name) {
  for (size_t i = z->count; i > 0; i--) /* of equal names the last one counts, as in Python */
    if (strcmp(z->members[i - 1].name, name) == 0) return (int)(i - 1);
  return -1;
}

static uint32_t crc_of(const unsigned char *p, size_t size) {
  return (uint32_t)crc32_z(crc32_z(0, NULL, 0), p, size);
}

int npz_get_at(const struct npz *z, size_t i, struct npy_array *out, char err[256]) {
  memset(out, 0, sizeof *out);
  if (i >= z->count) return err_set(err, "%s: no member %zu", z->file, i);
  const struct member *m = z->members + i;
  char name[200];
  snprintf(name, sizeof name, "%.120s: %.70s", z->file, m->name);
  if (m->flags & 1) return err_set(err, "%s: is encrypted", name);
  if (m->method != 0 && m->method != 8)
    return err_set(err, "%s: compression method %u is not supported", name, m->method);
  if (m->offset > z->size || z->size - m->offset < 30 ||
      get32(z->bytes + m->offset) != 0x04034b50)
    return err_set(err, "%s: malformed NPZ: bad member header", name);
  const unsigned char *head = z->bytes + m->offset;
  size_t skip = 30 + (size_t)get16(head + 26) + get16(head + 28);
  size_t left = z->size - (size_t)m->offset;
  if (skip > left || m->packed > left - skip)
    return err_set(err, "%s: truncated: %llu bytes are missing or more", name,
                   (unsigned long long)(skip > left ? skip - left : m->packed - (left - skip)));
  if (m->method == 0 ? m->size != m->packed : m->size > inflate_bound((size_t)m->packed))
    return err_set(err, "%s: malformed NPZ: the sizes do not agree", name);
  unsigned char *bytes = malloc((size_t)m->size + 1);
  if (!bytes)
    return err_set(err, "%s: out of memory for %llu bytes", name, (unsigned long long)m->size);
  int whole = 1;
  if (m->method == 0)
    memcpy(bytes, head + skip, (size_t)m->size);
  else if (inflate_into(INFLATE_RAW, head + skip, (size_t)m->packed, bytes, (size_t)m->size,
                        &whole) != m->size)
    whole = 0;
  if (!whole || crc_of(bytes, (size_t)m->size) != m->crc) {
    free(bytes);
    return err_set(err, "%s: damaged: %s", name, whole ? "wrong checksum" : "cannot be inflated");
  }
  return npy_take(bytes, (size_t)m->size, name, out, err);
}

int npz_get(const struct npz *z, const char *name, struct npy_array *out, char err[256]) {
  int i = npz_find(z, name);
  memset(out, 0, sizeof *out);
  if (i < 0) return err_set(err, "%s: no array '%s'", z->file, name);
  return npz_get_at(z, (size_t)i, out, err);
}

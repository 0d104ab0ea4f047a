/* NPZ, writing: members one after the other, the zip directory at the end
 * [PKWARE APPNOTE 4.3: 4.3.7 local header, 4.3.12 directory, 4.3.16 end record]. */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include "file.h"
#include "npz.h"

struct entry {
  char *name; /* with ".npy" */
  uint32_t crc, packed, size, offset;
  unsigned method;
};

struct npz_writer {
  struct file_out out;
  char *path;
  int deflate;
  uint64_t at;
  size_t count, capacity;
  struct entry *entries;
};

static void put16(unsigned char *p, unsigned value) {
  p[0] = (unsigned char)(value & 255);
  p[1] = (unsigned char)(value >> 8 & 255);
}

static void put32(unsigned char *p, uint32_t value) {
  put16(p, value & 0xffff);
  put16(p + 2, value >> 16);
}

static char *joined(const char *a, const char *b) {
  size_t n = strlen(a), m = strlen(b);
  char *s = malloc(n + m + 1);
  if (s) {
    memcpy(s, a, n);
    memcpy(s + n, b, m + 1);
  }
  return s;
}

static void writer_free(struct npz_writer *w) {
  for (size_t i = 0; i < w->count; i++) free(w->entries[i].name);
  free(w->entries);
  free(w->path);
  free(w);
}

int npz_create(const char *path, int deflate, struct npz_writer **out, char err[256]) {
  struct npz_writer *w = calloc(1, sizeof *w);
  *out = NULL;
  if (w) w->path = joined(path, "");
  if (!w || !w->path) {
    free(w);
    return err_set(err, "%s: out of memory", path);
  }
  w->deflate = deflate;
  if (file_out_open(&w->out, path, err)) {
    writer_free(w);
    return -1;
  }
  *out = w;
  return 0;
}

/* The fields that a local header and a directory entry share, from "version needed" on. */
static void put_common(unsigned char *p, const struct entry *e) {
  put16(p, 20);
  put16(p + 2, 0x800); /* the name is UTF-8 */
  put16(p + 4, e->method);
  put16(p + 6, 0);
  put16(p + 8, 0x21); /* 1980-01-01 */
  put32(p + 10, e->crc);
  put32(p + 14, e->packed);
  put32(p + 18, e->size);
  put16(p + 22, (unsigned)strlen(e->name));
  put16(p + 24, 0);
}

static int put(struct npz_writer *w, const void *bytes, size_t size, char err[256]) {
  w->at += size;
  return file_out_put(&w->out, bytes, size, err);
}

/* Replaces *bytes by its deflated form if that is smaller. */
static int squeeze(const char *path, unsigned char **bytes, size_t *size, unsigned *method,
                   char err[256]) {
  z_stream z;
  memset(&z, 0, sizeof z);
  if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) != Z_OK)
    return err_set(err, "%s: out of memory", path);
  unsigned char *packed = malloc(*size + 1);
  if (!packed) {
    deflateEnd(&z);
    return err_set(err, "%s: out of memory for %zu bytes", path, *size);
  }
  z.next_in = *bytes;
  z.avail_in = (uInt)*size;
  z.next_out = packed;
  z.avail_out = (uInt)*size;
  if (deflate(&z, Z_FINISH) == Z_STREAM_END) {
    *method = 8;
    *size = z.total_out;
    free(*bytes);
    *bytes = packed;
  } else {
    free(packed);
  }
  deflateEnd(&z);
  return 0;
}

static int add_entry(struct npz_writer *w, const char *name, struct entry **out, char err[256]) {
  if (w->count == w->capacity) {
    size_t capacity = w->capacity * 2 + 16;
    struct entry *grown = realloc(w->entries, capacity * sizeof *grown);
    if (!grown) return err_set(err, "%s: out of memory", w->path);
    w->entries = grown;
    w->capacity = capacity;
  }
  struct entry *e = w->entries + w->count;
  memset(e, 0, sizeof *e);
  e->name = joined(name, ".npy");
  if (!e->name) return err_set(err, "%s: out of memory", w->path);
  for (size_t i = 0; i < w->count; i++)
    if (strcmp(w->entries[i].name, e->name) == 0) {
      free(e->name);
      return err_set(err, "%s: the array '%s' is already there", w->path, name);
    }
  w->count++;
  *out = e;
  return 0;
}

int npz_add(struct npz_writer *w, const char *name, const struct npy_array *a, char err[256]) {
  unsigned char head[30], *bytes;
  char why[256];
  size_t size, packed;
  struct entry *e = NULL;
  if (!w->out.stream) return err_set(err, "%s: an earlier write failed", w->path);
  if (strlen(name) == 0 || strlen(name) > 1000 || w->count >= 65535)
    return err_set(err, "%s: bad array name, or too many arrays", w->path);
  if (npy_format(a, &bytes, &size, why)) return err_set(err, "%s: %.200s", w->path, why);
  if (size > 0xfffffffe || w->at + size > 0xfffffff0) {
    free(bytes);
    return err_set(err, "%s: '%s' would pass the 4 GiB of an NPZ file, use .npy", w->path, name);
  }
  if (add_entry(w, name, &e, err)) {
    free(bytes);
    return -1;
  }
  e->size = (uint32_t)size;
  e->crc = (uint32_t)crc32_z(crc32_z(0, NULL, 0), bytes, size);
  e->offset = (uint32_t)w->at;
  packed = size;
  int rc = w->deflate ? squeeze(w->path, &bytes, &packed, &e->method, err) : 0;
  if (!rc) {
    e->packed = (uint32_t)packed;
    put32(head, 0x04034b50);
    put_common(head + 4, e);
    rc = put(w, head, sizeof head, err) || put(w, e->name, strlen(e->name), err) ||
         put(w, bytes, packed, err);
  } else {
    free(e->name);
    w->count--;
  }
  free(bytes);
  return rc ? -1 : 0;
}

int npz_add_text(struct npz_writer *w, const char *name, const char *utf8, char err[256]) {
  struct npy_array a = npy_view_text(utf8);
  return npz_add(w, name, &a, err);
}

static int put_directory(struct npz_writer *w, char err[256]) {
  unsigned char p[46];
  uint64_t begin = w->at;
  for (size_t i = 0; i < w->count; i++) {
    const struct entry *e = w->entries + i;
    memset(p, 0, sizeof p);
    put32(p, 0x02014b50);
    put16(p + 4, 3 << 8 | 20); /* made by: Unix, 2.0 */
    put_common(p + 6, e);
    put32(p + 38, 0100644u << 16); /* mode, once extracted */
    put32(p + 42, e->offset);
    if (put(w, p, 46, err) || put(w, e->name, strlen(e->name), err)) return -1;
  }
  if (w->at > 0xfffffffe) {
    file_out_abandon(&w->out);
    return err_set(err, "%s: passes the 4 GiB of an NPZ file, use .npy", w->path);
  }
  memset(p, 0, sizeof p);
  put32(p, 0x06054b50);
  put16(p + 8, (unsigned)w->count);
  put16(p + 10, (unsigned)w->count);
  put32(p + 12, (uint32_t)(w->at - begin));
  put32(p + 16, (uint32_t)begin);
  return put(w, p, 22, err);
}

int npz_finish(struct npz_writer *w, char err[256]) {
  int rc = -1;
  if (!w->out.stream)
    err_set(err, "%s: an earlier write failed", w->path);
  else
    rc = put_directory(w, err) || file_out_close(&w->out, err) ? -1 : 0;
  writer_free(w);
  return rc;
}

void npz_abandon(struct npz_writer *w) {
  if (!w) return;
  file_out_abandon(&w->out);
  writer_free(w);
}

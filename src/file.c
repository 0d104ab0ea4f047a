/* Whole files in and out of memory. */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "file.h"
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int err_set(char err[256], const char *format, ...) {
  va_list ap;
  va_start(ap, format);
  vsnprintf(err, 256, format, ap);
  va_end(ap);
  for (char *c = err; *c; c++)
    if (*c == '\n' || *c == '\r') *c = ' ';
  return -1;
}

const char *file_name(const char *path) {
  return strcmp(path, "-") == 0 ? "standard input" : path;
}

static int read_stream(FILE *f, size_t expected, size_t limit, unsigned char **bytes, size_t *size,
                       const char *name, char err[256]) {
  size_t capacity = expected + 1, used = 0;
  unsigned char *buffer = malloc(capacity);
  if (!buffer) return err_set(err, "%s: out of memory for %zu bytes", name, capacity);
  for (;;) {
    size_t n = fread(buffer + used, 1, capacity - used, f);
    used += n;
    if (limit && used > limit) {
      free(buffer);
      return err_set(err, "%s: larger than %zu bytes", name, limit);
    }
    if (n == 0 || used < capacity) {
      if (ferror(f)) {
        free(buffer);
        return err_set(err, "%s: %s", name, strerror(errno));
      }
      if (feof(f)) break;
      continue;
    }
    size_t bigger = capacity + capacity / 2 + 65536;
    unsigned char *grown = bigger > capacity ? realloc(buffer, bigger) : NULL;
    if (!grown) {
      free(buffer);
      return err_set(err, "%s: out of memory for %zu bytes", name, bigger);
    }
    buffer = grown;
    capacity = bigger;
  }
  *bytes = buffer;
  *size = used;
  return 0;
}

int file_read(const char *path, size_t limit, unsigned char **bytes, size_t *size, char err[256]) {
  const char *name = file_name(path);
  *bytes = NULL;
  *size = 0;
  if (strcmp(path, "-") == 0) return read_stream(stdin, 65535, limit, bytes, size, name, err);
  FILE *f = fopen(path, "rb");
  if (!f) return err_set(err, "%s: %s", name, strerror(errno));
  struct stat st;
  size_t expected = 65535;
  if (fstat(fileno(f), &st) == 0) {
    if (S_ISDIR(st.st_mode)) {
      fclose(f);
      return err_set(err, "%s: is a folder", name);
    }
    if (S_ISREG(st.st_mode) && st.st_size >= 0 && (uintmax_t)st.st_size < SIZE_MAX)
      expected = (size_t)st.st_size;
    if (limit && expected > limit && S_ISREG(st.st_mode)) {
      fclose(f);
      return err_set(err, "%s: larger than %zu bytes", name, limit);
    }
  }
  int rc = read_stream(f, expected, limit, bytes, size, name, err);
  fclose(f);
  return rc;
}

static void out_clear(struct file_out *f) {
  free(f->path);
  free(f->part);
  *f = (struct file_out){NULL, NULL, NULL};
}

/* Removes what was begun, without touching a device or pipe that only happens to be named. */
static void out_drop(struct file_out *f) {
  if (f->stream && f->stream != stdout) {
    struct stat st;
    int regular = fstat(fileno(f->stream), &st) == 0 && S_ISREG(st.st_mode);
    fclose(f->stream);
    if (regular) remove(f->part ? f->part : f->path);
  }
  out_clear(f);
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

int file_out_open(struct file_out *f, const char *path, char err[256]) {
  *f = (struct file_out){NULL, NULL, NULL};
  f->path = joined(path, "");
  if (!f->path) return err_set(err, "%s: out of memory", path);
  if (strcmp(path, "-") == 0) {
    f->stream = stdout;
    return 0;
  }
  struct stat st;
  int exists = lstat(path, &st) == 0;
  if (!exists || S_ISREG(st.st_mode)) {
    f->part = joined(path, ".part");
    if (!f->part) {
      out_clear(f);
      return err_set(err, "%s: out of memory", path);
    }
    f->stream = fopen(f->part, "wb");
    if (!f->stream) {
      free(f->part);
      f->part = NULL;
    }
  }
  if (!f->stream) f->stream = fopen(path, "wb");
  if (!f->stream) {
    int cause = errno;
    out_clear(f);
    return err_set(err, "%s: %s", path, strerror(cause));
  }
  return 0;
}

int file_out_put(struct file_out *f, const void *bytes, size_t size, char err[256]) {
  if (size == 0 || fwrite(bytes, 1, size, f->stream) == size) return 0;
  err_set(err, "%s: cannot be written: %s", f->path, strerror(errno));
  out_drop(f);
  return -1;
}

int file_out_close(struct file_out *f, char err[256]) {
  int bad = f->stream == stdout ? fflush(stdout) : fclose(f->stream);
  if (f->stream != stdout) f->stream = NULL;
  if (!bad && f->part) bad = rename(f->part, f->path);
  if (bad) {
    err_set(err, "%s: cannot be written: %s", f->path, strerror(errno));
    if (f->part) remove(f->part);
  }
  out_clear(f);
  return bad ? -1 : 0;
}

void file_out_abandon(struct file_out *f) {
  out_drop(f);
}

int file_write(const char *path, const void *bytes, size_t size, char err[256]) {
  struct file_out f;
  if (file_out_open(&f, path, err) || file_out_put(&f, bytes, size, err)) return -1;
  return file_out_close(&f, err);
}

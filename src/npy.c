/* NPY [numpy.lib.format]: "\x93NUMPY", version, length of the header, the header as the text of a
 * Python dictionary {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }, the elements. */
#include "npy.h"
#include <stdlib.h>
#include <string.h>
#include "file.h"
#include "utf8.h"

struct header {
  enum npy_type type;
  size_t item; /* bytes an element takes in the file */
  int big, fortran, unicode, rank;
  int64_t shape[NPY_MAX_RANK];
  size_t data; /* where the elements begin */
};

struct cursor {
  const char *p, *end;
};

static void skip_space(struct cursor *c) {
  while (c->p < c->end && (*c->p == ' ' || *c->p == '\n' || *c->p == '\t' || *c->p == '\r')) c->p++;
}

static int accept(struct cursor *c, const char *token) {
  size_t n = strlen(token);
  skip_space(c);
  if ((size_t)(c->end - c->p) < n || memcmp(c->p, token, n) != 0) return 0;
  c->p += n;
  return 1;
}

static int quoted(struct cursor *c, char *out, size_t capacity) {
  skip_space(c);
  if (c->p == c->end || (*c->p != '\'' && *c->p != '"')) return -1;
  char quote = *c->p++;
  size_t n = 0;
  while (c->p < c->end && *c->p != quote) {
    if (n + 1 >= capacity || *c->p == '\\' || (unsigned char)*c->p < 32) return -1;
    out[n++] = *c->p++;
  }
  if (c->p == c->end) return -1;
  c->p++;
  out[n] = 0;
  return 0;
}

static int whole(struct cursor *c, int64_t *out) {
  int64_t value = 0;
  skip_space(c);
  const char *begin = c->p;
  for (; c->p < c->end && *c->p >= '0' && *c->p <= '9'; c->p++) {
    if (value > (INT64_MAX - 9) / 10) return -1;
    value = value * 10 + (*c->p - '0');
  }
  if (c->p == begin) return -1;
  if (c->p < c->end && *c->p == 'L') c->p++; /* numpy under Python 2 */
  *out = value;
  return 0;
}

static int read_shape(struct cursor *c, struct header *h, const char *name, char err[256]) {
  static const char malformed[] = "%s: malformed NPY header: bad shape";
  if (!accept(c, "(")) return err_set(err, malformed, name);
  for (h->rank = 0; !accept(c, ")");) {
    int64_t size;
    if (whole(c, &size)) return err_set(err, malformed, name);
    if (h->rank == NPY_MAX_RANK)
      return err_set(err, "%s: more than %d dimensions", name, NPY_MAX_RANK);
    h->shape[h->rank++] = size;
    if (!accept(c, ",")) {
      if (!accept(c, ")") || h->rank == 1) return err_set(err, malformed, name);
      break;
    }
  }
  return 0;
}

static int read_descr(const char *descr, struct header *h, const char *name, char err[256]) {
  static const struct {
    const char *code;
    enum npy_type type;
  } codes[] = {{"b1", NPY_BOOL}, {"i1", NPY_I8},  {"u1", NPY_U8},  {"i2", NPY_I16}, {"u2", NPY_U16},
               {"i4", NPY_I32},  {"u4", NPY_U32}, {"i8", NPY_I64}, {"u8", NPY_U64}, {"f2", NPY_F16},
               {"f4", NPY_F32},  {"f8", NPY_F64}};
  char order = descr[0];
  if (order == '<' || order == '>' || order == '|' || order == '=') descr++;
  h->big = order == '>';
  for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
    if (strcmp(descr, codes[i].code) == 0) {
      h->type = codes[i].type;
      h->item = npy_type_size(h->type);
      return 0;
    }
  if (*descr == 'U' || *descr == 'S') {
    struct cursor c = {descr + 1, descr + strlen(descr)};
    int64_t length;
    h->unicode = *descr == 'U';
    if (whole(&c, &length) || c.p != c.end || length > INT64_MAX / 8)
      return err_set(err, "%s: malformed NPY header: bad descr '%s'", name, descr);
    h->type = NPY_TEXT;
    h->item = (size_t)length * (h->unicode ? 4 : 1);
    return 0;
  }
  return err_set(err, "%s: elements of type '%.40s' are not supported", name, descr);
}

static int read_header(const unsigned char *b, size_t size, const char *name, struct header *h,
                       char err[256]) {
  memset(h, 0, sizeof *h);
  if (size < 10 || memcmp(b, "\x93NUMPY", 6) != 0)
    return err_set(err, "%s: not an NPY file: bad signature", name);
  if (b[6] < 1 || b[6] > 3)
    return err_set(err, "%s: NPY version %d.%d is not supported", name, b[6], b[7]);
  size_t prefix = b[6] == 1 ? 10 : 12, length = b[8] | (size_t)b[9] << 8;
  if (prefix == 12 && size >= 12) length |= (size_t)b[10] << 16 | (size_t)b[11] << 24;
  if (size < prefix || length > size - prefix)
    return err_set(err, "%s: truncated: the NPY header is cut off", name);
  h->data = prefix + length;
  struct cursor c = {(const char *)b + prefix, (const char *)b + h->data};
  char key[32], descr[64];
  int seen = 0;
  if (!accept(&c, "{")) return err_set(err, "%s: malformed NPY header: no dictionary", name);
  while (!accept(&c, "}")) {
    if (quoted(&c, key, sizeof key) || !accept(&c, ":"))
      return err_set(err, "%s: malformed NPY header: bad key", name);
    if (strcmp(key, "descr") == 0) {
      if (accept(&c, "["))
        return err_set(err, "%s: arrays of records are not supported", name);
      if (quoted(&c, descr, sizeof descr))
        return err_set(err, "%s: malformed NPY header: bad descr", name);
      if (read_descr(descr, h, name, err)) return -1;
      seen |= 1;
    } else if (strcmp(key, "fortran_order") == 0) {
      h->fortran = accept(&c, "True");
      if (!h->fortran && !accept(&c, "False"))
        return err_set(err, "%s: malformed NPY header: bad fortran_order", name);
      seen |= 2;
    } else if (strcmp(key, "shape") == 0) {
      if (read_shape(&c, h, name, err)) return -1;
      seen |= 4;
    } else {
      return err_set(err, "%s: malformed NPY header: unknown key '%s'", name, key);
    }
    if (!accept(&c, ",")) {
      if (!accept(&c, "}")) return err_set(err, "%s: malformed NPY header: no closing }", name);
      break;
    }
  }
  if (seen != 7) return err_set(err, "%s: malformed NPY header: an entry is missing", name);
  return 0;
}

static int host_is_big(void) {
  const uint16_t one = 1;
  return *(const unsigned char *)&one == 0;
}

static void swap_items(unsigned char *p, size_t count, size_t item) {
  for (size_t i = 0; i < count; i++, p += item)
    for (size_t a = 0, z = item - 1; a < z; a++, z--) {
      unsigned char t = p[a];
      p[a] = p[z];
      p[z] = t;
    }
}

/* First index fastest -> last index fastest. */
static int transpose(struct npy_array *a, const char *name, char err[256]) {
  size_t item = npy_type_size(a->type), stride[NPY_MAX_RANK], index[NPY_MAX_RANK] = {0}, at = 0;
  if (a->rank < 2 || a->count == 0) return 0;
  unsigned char *to = malloc(a->bytes), *from = a->data;
  if (!to) return err_set(err, "%s: out of memory for %zu bytes", name, a->bytes);
  stride[0] = item;
  for (int d = 1; d < a->rank; d++) stride[d] = stride[d - 1] * (size_t)a->shape[d - 1];
  for (size_t i = 0; i < a->count; i++) {
    memcpy(to + i * item, from + at, item);
    for (int d = a->rank - 1; d >= 0; d--) {
      at += stride[d];
      if (++index[d] < (size_t)a->shape[d]) break;
      at -= stride[d] * index[d];
      index[d] = 0;
    }
  }
  free(from);
  a->data = to;
  return 0;
}

static int read_text(const unsigned char *p, size_t size, const struct header *h, const char *name,
                     struct npy_array *out, char err[256]) {
  /* A code of 4 bytes never grows; a malformed byte becomes the 3 bytes of U+FFFD. */
  char *text = malloc(size * 3 + 1);
  char *copy = malloc(size + 1);
  size_t n = 0;
  if (!text || !copy) {
    free(text);
    free(copy);
    return err_set(err, "%s: out of memory for a text of %zu bytes", name, size);
  }
  memcpy(copy, p, size);
  copy[size] = 0;
  uint32_t code;
  if (h->unicode)
    for (size_t i = 0; i + 4 <= size; i += 4) {
      const unsigned char *q = p + i;
      code = h->big ? (uint32_t)q[0] << 24 | (uint32_t)q[1] << 16 | (uint32_t)q[2] << 8 | q[3]
                    : (uint32_t)q[3] << 24 | (uint32_t)q[2] << 16 | (uint32_t)q[1] << 8 | q[0];
      if (code == 0) break;
      n += utf8_put(code, text + n);
    }
  else
    for (size_t i = 0, step; (step = utf8_next(copy + i, &code)) > 0; i += step)
      n += utf8_put(code, text + n);
  text[n] = 0;
  free(copy);
  *out = npy_view(NPY_TEXT, 0, NULL, text);
  out->bytes = n;
  return 0;
}

int npy_take(unsigned char *bytes, size_t size, const char *name, struct npy_array *out,
             char err[256]) {
  struct header h;
  memset(out, 0, sizeof *out);
  if (read_header(bytes, size, name, &h, err)) goto failed;
  if (h.type == NPY_TEXT) {
    if (h.rank > 0) {
      err_set(err, "%s: arrays of texts are not supported", name);
      goto failed;
    }
    if (h.item > size - h.data) {
      err_set(err, "%s: truncated: a text of %zu bytes, %zu are there", name, h.item,
              size - h.data);
      goto failed;
    }
    int rc = read_text(bytes + h.data, h.item, &h, name, out, err);
    free(bytes);
    return rc;
  }
  size_t count = 1, there = (size - h.data) / h.item;
  for (int i = 0; i < h.rank; i++)
    if (h.shape[i] == 0) count = 0;
  for (int i = 0; i < h.rank && count > 0; i++) {
    if ((uint64_t)h.shape[i] > there / count) {
      err_set(err, "%s: truncated: the shape needs more than the %zu elements of type %s there",
              name, there, npy_type_name(h.type));
      goto failed;
    }
    count *= (size_t)h.shape[i];
  }
  if (count > there) {
    err_set(err, "%s: truncated: the file ends after its header", name);
    goto failed;
  }
  out->type = h.type;
  out->rank = h.rank;
  memcpy(out->shape, h.shape, sizeof h.shape);
  out->count = count;
  out->bytes = count * h.item;
  memmove(bytes, bytes + h.data, out->bytes);
  out->data = bytes;
  unsigned char *smaller = realloc(bytes, out->bytes + 1);
  if (smaller) out->data = smaller;
  if (h.big != host_is_big()) swap_items(out->data, count, h.item);
  if (h.type == NPY_BOOL)
    for (size_t i = 0; i < count; i++) ((uint8_t *)out->data)[i] = ((uint8_t *)out->data)[i] != 0;
  if (h.fortran && transpose(out, name, err)) {
    npy_free(out);
    return -1;
  }
  return 0;
failed:
  free(bytes);
  return -1;
}

int npy_parse(const void *bytes, size_t size, const char *name, struct npy_array *out,
              char err[256]) {
  unsigned char *copy = malloc(size + 1);
  memset(out, 0, sizeof *out);
  if (!copy) return err_set(err, "%s: out of memory for %zu bytes", name, size);
  if (size > 0) memcpy(copy, bytes, size);
  return npy_take(copy, size, name, out, err);
}

int npy_read(const char *path, struct npy_array *out, char err[256]) {
  unsigned char *bytes;
  size_t size;
  memset(out, 0, sizeof *out);
  if (file_read(path, 0, &bytes, &size, err)) return -1;
  return npy_take(bytes, size, file_name(path), out, err);
}

/* The elements as they go to the file. *owned is freed by the caller; NULL: they are a->data. */
static int payload(const struct npy_array *a, unsigned char **owned, size_t *size, size_t *length,
                   char err[256]) {
  uint32_t code;
  *owned = NULL;
  *size = a->bytes;
  *length = 0;
  if (a->type != NPY_TEXT) {
    if (!host_is_big() || npy_type_size(a->type) == 1) return 0;
    *owned = malloc(a->bytes + 1);
    if (!*owned) return err_set(err, "out of memory for %zu bytes", a->bytes);
    memcpy(*owned, a->data, a->bytes);
    swap_items(*owned, a->count, npy_type_size(a->type));
    return 0;
  }
  const char *text = a->data;
  *owned = calloc(strlen(text) + 1, 4);
  if (!*owned) return err_set(err, "out of memory for a text of %zu bytes", strlen(text));
  for (size_t step; (step = utf8_next(text, &code)) > 0; text += step, ++*length)
    for (int i = 0; i < 4; i++) (*owned)[4 * *length + (size_t)i] = (unsigned char)(code >> 8 * i);
  if (*length == 0) *length = 1; /* numpy has no text type without room */
  *size = 4 * *length;
  return 0;
}

/* Returns its length, a multiple of 64. */
static size_t header_text(const struct npy_array *a, size_t length, char out[768]) {
  static const char *const codes[] = {
      [NPY_BOOL] = "|b1", [NPY_I8] = "|i1",  [NPY_U8] = "|u1",  [NPY_I16] = "<i2",
      [NPY_U16] = "<u2",  [NPY_I32] = "<i4", [NPY_U32] = "<u4", [NPY_I64] = "<i8",
      [NPY_U64] = "<u8",  [NPY_F16] = "<f2", [NPY_F32] = "<f4", [NPY_F64] = "<f8"};
  char text[640], descr[32];
  int n = 0;
  if (a->type == NPY_TEXT)
    snprintf(descr, sizeof descr, "<U%zu", length);
  else
    snprintf(descr, sizeof descr, "%s", codes[a->type]);
  n = snprintf(text, sizeof text, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
  for (int i = 0; i < a->rank; i++)
    n += snprintf(text + n, sizeof text - (size_t)n, "%s%lld%s", i ? " " : "",
                  (long long)a->shape[i], i + 1 < a->rank || a->rank == 1 ? "," : "");
  n += snprintf(text + n, sizeof text - (size_t)n, "), }");
  size_t used = (size_t)n, total = (10 + used + 1 + 63) / 64 * 64;
  memcpy(out, "\x93NUMPY\x01\x00", 8);
  out[8] = (char)((total - 10) & 255);
  out[9] = (char)((total - 10) >> 8);
  memcpy(out + 10, text, used);
  memset(out + 10 + used, ' ', total - 10 - used);
  out[total - 1] = '\n';
  return total;
}

int npy_format(const struct npy_array *a, unsigned char **bytes, size_t *size, char err[256]) {
  unsigned char *owned;
  size_t n, length;
  char head[768];
  *bytes = NULL;
  *size = 0;
  if (payload(a, &owned, &n, &length, err)) return -1;
  size_t h = header_text(a, length, head);
  *bytes = malloc(h + n);
  if (!*bytes) {
    free(owned);
    return err_set(err, "out of memory for %zu bytes", h + n);
  }
  memcpy(*bytes, head, h);
  if (n > 0) memcpy(*bytes + h, owned ? owned : a->data, n);
  free(owned);
  *size = h + n;
  return 0;
}

int npy_write(const char *path, const struct npy_array *a, char err[256]) {
  unsigned char *owned;
  size_t n, length;
  char head[768];
  struct file_out f;
  if (payload(a, &owned, &n, &length, err)) return -1;
  size_t h = header_text(a, length, head);
  int rc = file_out_open(&f, path, err) || file_out_put(&f, head, h, err) ||
           file_out_put(&f, owned ? owned : a->data, n, err) || file_out_close(&f, err);
  free(owned);
  return rc ? -1 : 0;
}

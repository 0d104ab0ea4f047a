/* Protocol buffers on the wire [protobuf.dev, encoding]. A message is a sequence of
 * tag = number * 8 + type, then by type: a varint (7 bits a byte, low ones first), 8 or 4 bytes, or
 * a length and that many bytes. */
#include "onnx/wire.h"

#include <limits.h>
#include <string.h>

static size_t at(const xai__wire *w) { return (size_t)(w->p - w->file); }

static int truncated(const xai__wire *w, xai_error *err) {
  return xai__fail(err, XAI_E_MODEL, NULL, "truncated at byte %zu in %s", at(w), w->message);
}

static int read_varint(xai__wire *w, uint64_t *v, xai_error *err) {
  *v = 0;
  for (unsigned shift = 0; shift < 70; shift += 7) {
    if (w->p == w->end) return truncated(w, err);
    uint64_t byte = *w->p++;
    if (shift < 64) *v |= (byte & 127) << shift;
    if (byte < 128) return XAI_OK;
  }
  return xai__fail(err, XAI_E_MODEL, NULL, "number of more than 10 bytes at byte %zu in %s",
                   at(w) - 10, w->message);
}

static int read_fixed(xai__wire *w, size_t size, uint64_t *v, xai_error *err) {
  *v = 0;
  if (xai__wire_left(w) < size) return truncated(w, err);
  for (size_t i = 0; i < size; i++) *v |= (uint64_t)w->p[i] << 8 * i;
  w->p += size;
  return XAI_OK;
}

static size_t width(xai__wire_type type) {
  return type == XAI__WIRE_64 ? 8 : type == XAI__WIRE_32 ? 4 : 0;
}

static int read_number(xai__wire *w, xai__wire_type type, uint64_t *v, xai_error *err) {
  return type == XAI__WIRE_VARINT ? read_varint(w, v, err) : read_fixed(w, width(type), v, err);
}

int xai__wire_next(xai__wire *w, xai__wire_field *f, xai_error *err) {
  uint64_t tag, size;
  if (w->p == w->end) return 0;
  size_t start = at(w);
  XAI__TRY(read_varint(w, &tag, err));
  int type = (int)(tag & 7);
  if (tag > UINT32_MAX || tag < 8 ||
      (type != XAI__WIRE_VARINT && type != XAI__WIRE_BYTES && !width((xai__wire_type)type)))
    return xai__fail(err, XAI_E_MODEL, NULL, "no field can start at byte %zu in %s (tag %llu)",
                     start, w->message, (unsigned long long)tag);
  f->number = (uint32_t)(tag >> 3);
  f->type = (xai__wire_type)type;
  if (f->type != XAI__WIRE_BYTES) {
    XAI__TRY(read_number(w, f->type, &f->bits, err));
    return 1;
  }
  XAI__TRY(read_varint(w, &size, err));
  if (size > xai__wire_left(w))
    return xai__fail(err, XAI_E_MODEL, NULL,
                     "truncated at byte %zu in %s: field %u has %llu bytes, %zu are left", at(w),
                     w->message, (unsigned)f->number, (unsigned long long)size, xai__wire_left(w));
  f->bytes = (xai__wire){w->file, w->p, w->p + size, w->message};
  w->p += size;
  return 1;
}

static int wrong_type(const xai__wire *w, const xai__wire_field *f, xai_error *err) {
  return xai__fail(err, XAI_E_MODEL, NULL, "field %u before byte %zu in %s has wire type %d",
                   (unsigned)f->number, at(w), w->message, (int)f->type);
}

int xai__wire_find(xai__wire *w, uint32_t number, const char *message, xai__wire *out,
                   xai_error *err) {
  xai__wire_field f;
  int more;
  while ((more = xai__wire_next(w, &f, err)) > 0) {
    if (f.number != number) continue;
    if (f.type != XAI__WIRE_BYTES) return wrong_type(w, &f, err);
    *out = f.bytes;
    out->message = message;
    return 1;
  }
  return more;
}

static void store(uint64_t bits, size_t size, unsigned char *to) {
  for (size_t i = 0; i < size; i++) to[i] = (unsigned char)(bits >> 8 * i);
}

int xai__wire_numbers(const xai__wire *w, const xai__wire_field *f, xai__wire_type type,
                      size_t size, unsigned char *to, int64_t *n, xai_error *err) {
  if (f->type == type) {
    if (to) store(f->bits, size, to + (size_t)*n * size);
    ++*n;
    return XAI_OK;
  }
  if (f->type != XAI__WIRE_BYTES) return wrong_type(w, f, err);
  xai__wire packed = f->bytes;
  size_t bytes = xai__wire_left(&packed);
  if (width(type) == size && bytes % size == 0) {
    if (to && bytes) memcpy(to + (size_t)*n * size, packed.p, bytes);
    *n += (int64_t)(bytes / size);
    return XAI_OK;
  }
  while (packed.p != packed.end) {
    uint64_t bits;
    XAI__TRY(read_number(&packed, type, &bits, err));
    if (to) store(bits, size, to + (size_t)*n * size);
    ++*n;
  }
  return XAI_OK;
}

/* ---- messages by table ---- */

static const struct {
  xai__wire_type type;
  size_t size; /* of a list's element; 0: no list */
} kinds[] = {[XAI__WIRE_INT] = {XAI__WIRE_VARINT, 0},
             [XAI__WIRE_FLOAT] = {XAI__WIRE_32, 0},
             [XAI__WIRE_TEXT] = {XAI__WIRE_BYTES, 0},
             [XAI__WIRE_MESSAGE] = {XAI__WIRE_BYTES, 0},
             [XAI__WIRE_INTS] = {XAI__WIRE_VARINT, sizeof(int64_t)},
             [XAI__WIRE_FLOATS] = {XAI__WIRE_32, sizeof(float)},
             [XAI__WIRE_TEXTS] = {XAI__WIRE_BYTES, sizeof(const char *)}};

/* UTF-8 [RFC 3629] without NUL. */
static bool is_text(const unsigned char *s, const unsigned char *end) {
  while (s < end) {
    int more = *s < 0x80 ? 0 : *s < 0xC2 ? -1 : *s < 0xE0 ? 1 : *s < 0xF0 ? 2 : *s < 0xF5 ? 3 : -1;
    if (!*s || more < 0 || end - s <= more) return false;
    if (more > 1) { /* overlong, surrogate or past U+10FFFF: told by the first two bytes */
      unsigned two = (unsigned)(s[0] << 8 | s[1]);
      if (two < 0xE0A0 || (two >= 0xEDA0 && two < 0xEE00) || (two >= 0xF000 && two < 0xF090) ||
          two >= 0xF490)
        return false;
    }
    for (; more >= 0; more--, s++)
      if (more > 0 && (s[1] & 0xC0) != 0x80) return false;
  }
  return true;
}

static int read_text(const xai__wire *w, xai__arena *a, const char **out, xai_error *err) {
  if (!is_text(w->p, w->end))
    return xai__fail(err, XAI_E_MODEL, NULL, "text at byte %zu in %s is not UTF-8", at(w),
                     w->message);
  *out = xai__arena_text(a, (const char *)w->p, xai__wire_left(w), err);
  return *out ? XAI_OK : err->status;
}

static int read_single(const xai__wire *w, const xai__wire_field *f, const xai__wire_rule *r,
                       xai__arena *a, void *to, xai_error *err) {
  if (f->type != kinds[r->kind].type) return wrong_type(w, f, err);
  if (r->kind == XAI__WIRE_TEXT) return read_text(&f->bytes, a, to, err);
  if (r->kind == XAI__WIRE_MESSAGE) {
    *(xai__wire *)to = f->bytes;
    ((xai__wire *)to)->message = r->message;
  }
  if (r->kind == XAI__WIRE_INT) memcpy(to, &f->bits, sizeof f->bits);
  if (r->kind == XAI__WIRE_FLOAT) {
    uint32_t low = (uint32_t)f->bits;
    memcpy(to, &low, sizeof low);
  }
  return XAI_OK;
}

static int read_element(const xai__wire *w, const xai__wire_field *f, const xai__wire_rule *r,
                        xai__arena *a, xai__wire_list *list, xai_error *err) {
  int64_t n = list->n;
  if (kinds[r->kind].type != XAI__WIRE_BYTES) {
    XAI__TRY(xai__wire_numbers(w, f, kinds[r->kind].type, kinds[r->kind].size, list->v, &n, err));
  } else {
    if (f->type != XAI__WIRE_BYTES) return wrong_type(w, f, err);
    if (list->v) XAI__TRY(read_text(&f->bytes, a, (const char **)list->v + n, err));
    n++;
  }
  if (n > INT_MAX) return xai__fail(err, XAI_E_LIMIT, NULL, "too long a list in %s", w->message);
  list->n = (int)n;
  return XAI_OK;
}

static const xai__wire_rule *find_rule(const xai__wire_rule *rules, uint32_t number) {
  for (; rules->number; rules++)
    if (rules->number == number) return rules;
  return NULL;
}

/* Single fields and the lengths of lists, or (fill) the elements of lists. */
static int sweep(xai__wire w, const xai__wire_rule *rules, bool fill, xai__arena *a, void *to,
                 xai_error *err) {
  xai__wire_field f;
  int more;
  while ((more = xai__wire_next(&w, &f, err)) > 0) {
    const xai__wire_rule *r = find_rule(rules, f.number);
    if (!r) continue;
    void *slot = (char *)to + r->offset;
    if (kinds[r->kind].size) XAI__TRY(read_element(&w, &f, r, a, slot, err));
    else if (!fill) XAI__TRY(read_single(&w, &f, r, a, slot, err));
  }
  return more;
}

int xai__wire_read(xai__wire w, const xai__wire_rule *rules, xai__arena *a, void *to,
                   xai_error *err) {
  bool lists = false;
  XAI__TRY(sweep(w, rules, false, a, to, err));
  for (const xai__wire_rule *r = rules; r->number; r++) {
    if (!kinds[r->kind].size) continue;
    xai__wire_list *list = (xai__wire_list *)(void *)((char *)to + r->offset);
    if (!list->n) continue;
    list->v = xai__arena_new(a, (size_t)list->n, kinds[r->kind].size, err);
    if (!list->v) return err->status;
    list->n = 0;
    lists = true;
  }
  return lists ? sweep(w, rules, true, a, to, err) : XAI_OK;
}

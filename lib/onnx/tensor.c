/* TensorProto: dims, data type, and data either raw or in a field of their type. */
#include <string.h>

#include "onnx/message.h"

/* ONNX's names of data types; `field`: number of the typed field that holds them, 0 if we do not
 * read them. Every other field of TensorProto is named in `rules`. */
static const struct {
  const char *name;
  uint32_t field;
  xai__wire_type wire;
} dtypes[] = {{"undefined", 0, 0},
              {"float32", 4, XAI__WIRE_32},
              {"uint8", 5, XAI__WIRE_VARINT},
              {"int8", 5, XAI__WIRE_VARINT},
              {"uint16", 5, XAI__WIRE_VARINT},
              {"int16", 5, XAI__WIRE_VARINT},
              {"int32", 5, XAI__WIRE_VARINT},
              {"int64", 7, XAI__WIRE_VARINT},
              {"string", 0, 0},
              {"bool", 5, XAI__WIRE_VARINT},
              {"float16", 5, XAI__WIRE_VARINT},
              {"float64", 10, XAI__WIRE_64},
              {"uint32", 11, XAI__WIRE_VARINT},
              {"uint64", 11, XAI__WIRE_VARINT},
              {"complex64", 0, 0},
              {"complex128", 0, 0},
              {"bfloat16", 5, XAI__WIRE_VARINT},
              {"float8e4m3fn", 0, 0},
              {"float8e4m3fnuz", 0, 0},
              {"float8e5m2", 0, 0},
              {"float8e5m2fnuz", 0, 0},
              {"uint4", 5, XAI__WIRE_VARINT},
              {"int4", 5, XAI__WIRE_VARINT}};
#define N_DTYPES ((int64_t)(sizeof dtypes / sizeof *dtypes))

typedef struct tensor_proto {
  const char *name;
  int64_t type, location;
  xai__wire segment, raw;
  xai__wire_list dims;
} tensor_proto;

static const xai__wire_rule rules[] = {
    {1, XAI__WIRE_INTS, offsetof(tensor_proto, dims), NULL},
    {2, XAI__WIRE_INT, offsetof(tensor_proto, type), NULL},
    {3, XAI__WIRE_MESSAGE, offsetof(tensor_proto, segment), "Segment"},
    {8, XAI__WIRE_TEXT, offsetof(tensor_proto, name), NULL},
    {9, XAI__WIRE_MESSAGE, offsetof(tensor_proto, raw), "raw_data"},
    {14, XAI__WIRE_INT, offsetof(tensor_proto, location), NULL},
    {0, 0, 0, NULL}};

int xai__onnx_check_dtype(int64_t type, const char *tensor, xai_error *err) {
  if (type > 0 && type < N_DTYPES && dtypes[type].field) return XAI_OK;
  if (type <= 0 || type >= N_DTYPES)
    return xai__fail(err, XAI_E_UNSUPPORTED, tensor, "tensor '%s': data type %lld is not supported",
                     tensor, (long long)type);
  return xai__fail(err, XAI_E_UNSUPPORTED, tensor, "tensor '%s': data type %s is not supported",
                   tensor, dtypes[type].name);
}

static int read_shape(xai__onnx_data *d, const xai__wire_list *dims, xai_error *err) {
  if (dims->n > XAI__MAX_RANK)
    return xai__fail(err, XAI_E_UNSUPPORTED, d->name, "tensor '%s' has rank %d, at most %d works",
                     d->name, dims->n, XAI__MAX_RANK);
  d->shape.rank = dims->n;
  if (dims->n) memcpy(d->shape.d, dims->v, (size_t)dims->n * sizeof *d->shape.d);
  for (int i = 0; i < dims->n; i++)
    if (d->shape.d[i] < 0)
      return xai__fail(err, XAI_E_MODEL, d->name, "tensor '%s': dimension %d is %lld", d->name, i,
                       (long long)d->shape.d[i]);
  int64_t bytes;
  if (!xai__shape_checked_count(&d->shape, &d->count) ||
      !xai__mul(d->count, (int64_t)xai__dtype_size(d->dtype), &bytes))
    return xai__fail(err, XAI_E_MODEL, d->name, "tensor '%s': shape %s has too many elements",
                     d->name, xai__shape_text(&d->shape).text);
  return XAI_OK;
}

static bool is_packed(const xai__onnx_data *d) { return d->dtype == XAI_U4 || d->dtype == XAI_I4; }

/* Elements as the file counts them: integers of four bits are two in one. */
static int64_t stored_count(const xai__onnx_data *d) {
  return is_packed(d) ? d->count / 2 + d->count % 2 : d->count;
}

/* Elements of the typed field, to `to` in declared dtype; NULL: counts them. */
static int typed(const xai__onnx_data *d, unsigned char *to, int64_t *n, xai_error *err) {
  xai__wire w = d->message;
  xai__wire_field f;
  int more;
  *n = 0;
  while ((more = xai__wire_next(&w, &f, err)) > 0)
    if (f.number == dtypes[d->dtype].field)
      XAI__TRY(xai__wire_numbers(&w, &f, dtypes[d->dtype].wire, xai__dtype_size(d->dtype), to, n,
                                 err));
  return more;
}

int64_t xai__onnx_data_bytes(const xai__onnx_data *d) {
  return stored_count(d) * (int64_t)xai__dtype_size(d->dtype);
}

static bool parse_count(const char *text, uint64_t *v) {
  *v = 0;
  if (!text[0]) return false;
  for (; *text; text++) {
    if (*text < '0' || *text > '9' || *v > (UINT64_MAX - 9) / 10) return false;
    *v = *v * 10 + (uint64_t)(*text - '0');
  }
  return true;
}

/* external_data: which file, and where in it. */
static int read_location(xai__onnx_data *d, const tensor_proto *p, xai__arena *a, xai_error *err) {
  struct entry {
    const char *key, *value;
  } e;
  static const xai__wire_rule entry_rules[] = {
      {1, XAI__WIRE_TEXT, offsetof(struct entry, key), NULL},
      {2, XAI__WIRE_TEXT, offsetof(struct entry, value), NULL},
      {0, 0, 0, NULL}};
  xai__wire w = d->message, message;
  int more;
  if (p->location != 1 || p->raw.p != p->raw.end)
    return xai__fail(err, XAI_E_MODEL, p->name, "tensor '%s' has data location %lld%s", p->name,
                     (long long)p->location, p->location == 1 ? ", and data of its own" : "");
  d->length = UINT64_MAX;
  while ((more = xai__wire_find(&w, 13, "StringStringEntryProto", &message, err)) > 0) {
    e = (struct entry){"", ""};
    XAI__TRY(xai__wire_read(message, entry_rules, a, &e, err));
    uint64_t *number = !strcmp(e.key, "offset") ? &d->offset : !strcmp(e.key, "length") ? &d->length : NULL;
    if (!strcmp(e.key, "location")) d->location = e.value;
    if (number && !parse_count(e.value, number))
      return xai__fail(err, XAI_E_MODEL, p->name, "tensor '%s': its %s is '%s'", p->name, e.key, e.value);
  }
  if (more < 0) return more;
  if (d->location && d->location[0]) return XAI_OK;
  return xai__fail(err, XAI_E_MODEL, p->name, "tensor '%s' keeps its data in a file without a name",
                   p->name);
}

int xai__onnx_data_read(xai__wire tensor, xai__arena *a, xai__onnx_data *d, xai_error *err) {
  tensor_proto p = {.name = ""};
  XAI__TRY(xai__wire_read(tensor, rules, a, &p, err));
  *d = (xai__onnx_data){.name = p.name, .dtype = (int)p.type, .message = tensor};
  XAI__TRY(xai__onnx_check_dtype(p.type, p.name, err));
  if (p.segment.p)
    return xai__fail(err, XAI_E_UNSUPPORTED, p.name,
                     "tensor '%s' is a segment of a tensor, which is not supported", p.name);
  XAI__TRY(read_shape(d, &p.dims, err));
  if (p.location) return read_location(d, &p, a, err);
  size_t size = xai__dtype_size(d->dtype);
  int64_t stored = stored_count(d);
  if (p.raw.p && p.raw.p != p.raw.end) {
    d->raw = p.raw.p;
    if (xai__wire_left(&p.raw) != (size_t)stored * size)
      return xai__fail(err, XAI_E_MODEL, p.name,
                       "tensor '%s' has shape %s (%s, %lld bytes) but %zu bytes of data", p.name,
                       xai__shape_text(&d->shape).text, xai__dtype_name(d->dtype),
                       (long long)((size_t)stored * size), xai__wire_left(&p.raw));
    return XAI_OK;
  }
  int64_t n;
  XAI__TRY(typed(d, NULL, &n, err));
  if (n != stored)
    return xai__fail(err, XAI_E_MODEL, p.name,
                     "tensor '%s' has shape %s (%s, %lld elements) but %lld elements of data",
                     p.name, xai__shape_text(&d->shape).text, xai__dtype_name(d->dtype),
                     (long long)stored, (long long)n);
  return XAI_OK;
}

/* Two in a byte, the low four bits first, to one in a byte. */
static void unpack(const xai__onnx_data *d, unsigned char *to) {
  for (int64_t i = d->count - 1; i >= 0; i--) {
    int bits = to[i / 2] >> (i % 2 ? 4 : 0) & 15;
    to[i] = (unsigned char)(d->dtype == XAI_I4 && bits > 7 ? bits - 16 : bits);
  }
}

/* To room for count elements. */
static int copy_elements(const xai__onnx_data *d, void *to, xai_error *err) {
  int64_t n;
  if (!d->raw) XAI__TRY(typed(d, to, &n, err));
  else memcpy(to, d->raw, (size_t)stored_count(d) * xai__dtype_size(d->dtype));
  if (is_packed(d)) unpack(d, to);
  return XAI_OK;
}

int xai__onnx_data_view(const xai__onnx_data *d, xai__arena *keep, xai__view *v, xai_error *err) {
  *v = (xai__view){.dtype = xai__dtype_storage(d->dtype), .shape = d->shape};
  v->data = xai__arena_new(keep, (size_t)d->count, xai__dtype_size(v->dtype), err);
  if (!v->data) return err->status;
  if (v->dtype == d->dtype) return copy_elements(d, v->data, err);
  const void *from = d->raw;
  xai__arena scratch = {keep->memory, NULL};
  int status = XAI_OK;
  if (!from || is_packed(d)) {
    void *declared = xai__arena_new(&scratch, (size_t)d->count, xai__dtype_size(d->dtype), err);
    status = declared ? copy_elements(d, declared, err) : err->status;
    from = declared;
  }
  if (!status) xai__to_storage(d->dtype, from, d->count, v->data);
  xai__arena_free(&scratch);
  return status;
}

int xai__onnx_tensor(const unsigned char *data, size_t n, xai__memory *m, xai_tensor **out,
                     xai_error *err) {
  xai_error local;
  xai__arena scratch = {m, NULL};
  xai__onnx_data d;
  xai_tensor *t = NULL;
  if (!err) err = &local;
  *out = NULL;
  if (!n) return xai__fail(err, XAI_E_MODEL, NULL, "not an ONNX tensor: it is empty");
  int status = xai__onnx_data_read((xai__wire){data, data, data + n, "TensorProto"}, &scratch, &d,
                                   err);
  if (!status && d.location)
    status = xai__fail(err, XAI_E_UNSUPPORTED, d.name,
                       "tensor '%s' keeps its data in another file, which is not supported", d.name);
  if (!status)
    status = xai__tensor_new(m, is_packed(&d) ? xai__dtype_returned(d.dtype) : d.dtype, &d.shape, &t,
                             err);
  if (!status) status = copy_elements(&d, t->data, err);
  if (!status) *out = t;
  xai__arena_free(&scratch);
  return status;
}

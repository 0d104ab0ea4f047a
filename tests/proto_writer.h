/* Writes protocol buffers, byte by byte, so that tests can also write wrong ones. A buffer given
 * to pb_message or pb_free is gone. */
#ifndef XAI_TESTS_PROTO_WRITER_H
#define XAI_TESTS_PROTO_WRITER_H
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct pb {
  unsigned char *p;
  size_t n, room;
} pb;

static inline void pb_raw(pb *b, const void *data, size_t n) {
  if (b->n + n > b->room) {
    b->room = 2 * (b->n + n);
    b->p = realloc(b->p, b->room);
  }
  if (n) memcpy(b->p + b->n, data, n);
  b->n += n;
}

static inline void pb_free(pb *b) {
  free(b->p);
  *b = (pb){0};
}

static inline void pb_varint(pb *b, uint64_t v) {
  do {
    unsigned char byte = (unsigned char)((v & 127) | (v > 127 ? 128 : 0));
    pb_raw(b, &byte, 1);
  } while (v >>= 7);
}

static inline void pb_tag(pb *b, unsigned field, unsigned wire_type) {
  pb_varint(b, (uint64_t)field << 3 | wire_type);
}

static inline void pb_int(pb *b, unsigned field, int64_t v) {
  pb_tag(b, field, 0);
  pb_varint(b, (uint64_t)v);
}

static inline void pb_fixed(pb *b, unsigned field, const void *v, size_t size) {
  pb_tag(b, field, size == 8 ? 1 : 5);
  pb_raw(b, v, size);
}

static inline void pb_float(pb *b, unsigned field, float v) { pb_fixed(b, field, &v, 4); }

static inline void pb_bytes(pb *b, unsigned field, const void *data, size_t n) {
  pb_tag(b, field, 2);
  pb_varint(b, n);
  pb_raw(b, data, n);
}

static inline void pb_text(pb *b, unsigned field, const char *s) {
  pb_bytes(b, field, s, strlen(s));
}

static inline void pb_message(pb *b, unsigned field, pb *message) {
  pb_bytes(b, field, message->p, message->n);
  pb_free(message);
}

/* ---- the messages of ONNX ---- */

static inline void pb_dims(pb *tensor, int rank, const int64_t *dims) {
  for (int i = 0; i < rank; i++) pb_int(tensor, 1, dims[i]);
}

/* TensorProto with raw data. */
static inline pb pb_tensor(const char *name, int dtype, int rank, const int64_t *dims,
                           const void *data, size_t n) {
  pb t = {0};
  pb_dims(&t, rank, dims);
  pb_int(&t, 2, dtype);
  pb_text(&t, 8, name);
  pb_bytes(&t, 9, data, n);
  return t;
}

/* ValueInfoProto; a negative dim is symbolic. rank < 0: no shape. */
static inline pb pb_value(const char *name, int dtype, int rank, const int64_t *dims) {
  pb value = {0}, type = {0}, tensor = {0}, shape = {0};
  for (int i = 0; i < rank; i++) {
    pb dim = {0};
    if (dims[i] < 0) pb_text(&dim, 2, "N");
    else pb_int(&dim, 1, dims[i]);
    pb_message(&shape, 1, &dim);
  }
  pb_int(&tensor, 1, dtype);
  if (rank >= 0) pb_message(&tensor, 2, &shape);
  pb_message(&type, 1, &tensor);
  pb_text(&value, 1, name);
  pb_message(&value, 2, &type);
  return value;
}

/* ModelProto; takes the graph. opset 0: none. */
static inline pb pb_model(pb *graph, int opset) {
  pb model = {0}, import = {0};
  pb_int(&model, 1, 8);
  if (opset) {
    pb_text(&import, 1, "");
    pb_int(&import, 2, opset);
    pb_message(&model, 8, &import);
  }
  pb_message(&model, 7, graph);
  return model;
}

#endif

/* Protocol buffers on the wire: a cursor over a range of bytes that never allocates, recurses or
 * looks past its end; and a reader of one message into a struct, driven by a table. */
#ifndef XAI_ONNX_WIRE_H
#define XAI_ONNX_WIRE_H
#include "base/error.h"
#include "base/memory.h"

/* A message, or what is left of it. p NULL: there is none. */
typedef struct xai__wire {
  const unsigned char *file, *p, *end; /* file: where byte 0 of error messages is */
  const char *message;                 /* "NodeProto" */
} xai__wire;

typedef enum {
  XAI__WIRE_VARINT = 0,
  XAI__WIRE_64 = 1,
  XAI__WIRE_BYTES = 2,
  XAI__WIRE_32 = 5
} xai__wire_type;

typedef struct xai__wire_field {
  uint32_t number;
  xai__wire_type type;
  uint64_t bits;   /* of all types but BYTES */
  xai__wire bytes; /* of BYTES */
} xai__wire_field;

static inline size_t xai__wire_left(const xai__wire *w) { return (size_t)(w->end - w->p); }

/* The next field: 1, 0 at the end, or a negative status. */
int xai__wire_next(xai__wire *w, xai__wire_field *f, xai_error *err);
/* The next occurrence of message `number`: as above. */
int xai__wire_find(xai__wire *w, uint32_t number, const char *message, xai__wire *out,
                   xai_error *err);
/* A field of a repeated number, packed or not: element k of wire type `type` to to + k * size (its
 * low `size` bytes), k counting on from *n. to NULL: counts only. */
int xai__wire_numbers(const xai__wire *w, const xai__wire_field *f, xai__wire_type type,
                      size_t size, unsigned char *to, int64_t *n, xai_error *err);

typedef struct xai__wire_list {
  int n;
  void *v;
} xai__wire_list;

typedef enum {
  XAI__WIRE_INT,     /* int64_t */
  XAI__WIRE_FLOAT,   /* float */
  XAI__WIRE_TEXT,    /* const char *; UTF-8 without NUL, or it is an error */
  XAI__WIRE_MESSAGE, /* xai__wire; also raw bytes */
  XAI__WIRE_INTS,    /* xai__wire_list of int64_t */
  XAI__WIRE_FLOATS,  /* xai__wire_list of float */
  XAI__WIRE_TEXTS    /* xai__wire_list of const char * */
} xai__wire_kind;

typedef struct xai__wire_rule {
  uint32_t number; /* 0 ends the table */
  xai__wire_kind kind;
  size_t offset;
  const char *message; /* of a MESSAGE */
} xai__wire_rule;

/* Fills a struct whose presets the caller has set. The last of several scalars wins; fields
 * without a rule are skipped; texts and lists are allocated in `a`. */
int xai__wire_read(xai__wire w, const xai__wire_rule *rules, xai__arena *a, void *to,
                   xai_error *err);

#endif

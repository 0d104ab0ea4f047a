/* What the files of this room share. Texts live in the arena that was passed. */
#ifndef XAI_ONNX_MESSAGE_H
#define XAI_ONNX_MESSAGE_H
#include "onnx/onnx.h"
#include "onnx/wire.h"

/* The data of a TensorProto, checked against its dims. */
typedef struct xai__onnx_data {
  const char *name;
  int dtype; /* declared, one we know */
  xai__shape shape;
  int64_t count;
  const unsigned char *raw; /* little-endian elements, any alignment; NULL: in typed fields */
  const char *location;     /* the file that has the data, NULL: the message */
  uint64_t offset, length;  /* in that file; length UINT64_MAX: not said */
  xai__wire message;
} xai__onnx_data;

int xai__onnx_data_read(xai__wire tensor, xai__arena *a, xai__onnx_data *d, xai_error *err);
int64_t xai__onnx_data_bytes(const xai__onnx_data *d); /* as they are stored */
/* Finds raw data that are in another file, below the graph's folder, and maps it. */
int xai__onnx_external(xai_graph *g, xai__onnx_data *d, xai_error *err);
/* The elements in storage dtype, allocated in `keep`. */
int xai__onnx_data_view(const xai__onnx_data *d, xai__arena *keep, xai__view *v, xai_error *err);

/* 0, or XAI_E_UNSUPPORTED if tensors of this ONNX data type cannot be held. */
int xai__onnx_check_dtype(int64_t type, const char *tensor, xai_error *err);

#define XAI__ONNX_OPSETS 32

typedef struct xai__onnx_opset {
  const char *domain; /* "" is ai.onnx */
  int version;
} xai__onnx_opset;

/* What a node needs to know of its model. */
typedef struct xai__onnx_model {
  xai_graph *graph;
  bool copy;
  xai__wire message;
  xai__onnx_opset opsets[XAI__ONNX_OPSETS];
  int n_opsets;
} xai__onnx_model;

/* "" for ai.onnx in both spellings. */
const char *xai__onnx_domain(const char *domain);
/* 1 where the model does not say: the files that cannot are of the first opset. */
int xai__onnx_opset_of(const xai__onnx_model *m, const char *domain);
/* XAI_E_UNSUPPORTED if the model itself defines the operator, as a function. */
int xai__onnx_refuse_function(const xai__onnx_model *m, const char *domain, const char *type,
                              xai__arena *a, xai_error *err);

int xai__onnx_node(xai__onnx_model *m, xai__wire node, xai__arena *a, xai_error *err);

#endif

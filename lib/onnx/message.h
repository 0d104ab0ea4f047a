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

/* Where the nodes of a function or a subgraph are written out. Names that it defines get a prefix;
 * formal[i] is tensor actual[i] outside, operands (n_in of them) before results. */
typedef struct xai__onnx_scope {
  const struct xai__onnx_scope *above, *outer; /* the one around; where other names are looked up */
  const char *prefix;
  const char *const *formal, *const *actual;
  int n_in, n;
  bool is_function;
  const xai__attr *attrs; /* of the call of a function */
  int n_attrs;
  xai__wire function;
} xai__onnx_scope;

/* What a node needs to know of its model. */
typedef struct xai__onnx_model {
  xai_graph *graph;
  bool copy;
  xai__wire message;
  const xai__onnx_scope *scope; /* NULL: the graph itself */
  int64_t n_scopes;
  struct xai__onnx_function {
    uint64_t hash; /* of its name and domain */
    xai__wire message;
  } *functions;
  int n_functions;
  xai__onnx_opset opsets[XAI__ONNX_OPSETS];
  int n_opsets;
} xai__onnx_model;

/* "" for ai.onnx in both spellings. */
const char *xai__onnx_domain(const char *domain);
/* 1 where the model does not say: the files that cannot are of the first opset. */
int xai__onnx_opset_of(const xai__onnx_model *m, const char *domain);

/* Calls `read` for every occurrence of a field; what it put into the arena is then gone. */
typedef int (*xai__onnx_reader)(xai__onnx_model *m, xai__wire message, xai__arena *a, xai_error *err);
int xai__onnx_each(xai__onnx_model *m, xai__wire w, uint32_t field, const char *name,
                   xai__onnx_reader read, xai_error *err);
int xai__onnx_initializer(xai__onnx_model *m, xai__wire tensor, xai__arena *a, xai_error *err);
int xai__onnx_function_opset(xai__onnx_model *m, xai__wire import, xai__arena *a, xai_error *err);
int xai__onnx_node(xai__onnx_model *m, xai__wire node, xai__arena *a, xai_error *err);
/* Tells the log of a node's operator, and whether it is supported. */
int xai__onnx_list(xai__onnx_model *m, xai__wire node, xai__arena *a, xai_error *err);

/* ---- scope.c ---- */

/* A node as its file has it, its tensors' names those of the graph. */
typedef struct xai__onnx_call {
  const char *name, *type, *domain, *overload;
  const char *const *in, *const *out;
  int n_in, n_out, opset, n_attrs;
  const xai__attr *attrs; /* but for subgraphs */
} xai__onnx_call;

/* The graph's name of a tensor that is used, or defined, in the present scope. */
const char *xai__onnx_use(const xai__onnx_model *m, const char *name, xai__arena *a, xai_error *err);
const char *xai__onnx_define(const xai__onnx_model *m, const char *name, xai__arena *a,
                             xai_error *err);
/* Lists the model's functions. */
int xai__onnx_functions(xai__onnx_model *m, xai__arena *a, xai_error *err);
/* How a node is written out in its place; NULL: it is an operator. */
typedef int (*xai__onnx_expansion)(xai__onnx_model *m, xai__wire node, const xai__onnx_call *c,
                                   xai__arena *a, xai_error *err);
xai__onnx_expansion xai__onnx_expand(const xai__onnx_model *m, const xai__onnx_call *c);

#endif

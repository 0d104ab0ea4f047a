/* ONNX files [onnx.ai, IR specification; onnx.proto]: bytes to calls of the graph's builder.
 *
 * Wire reader (wire.h) -> messages (model.c, node.c, tensor.c) -> xai__graph_add_*. Functions of the
 * model and subgraphs (scope.c) are written out in place, to a fixed depth; nothing else recurses. */
#ifndef XAI_ONNX_ONNX_H
#define XAI_ONNX_ONNX_H
#include "graph/graph.h"

/* Fills an empty graph and finishes it. copy false: the data stay where they are as long as the
 * graph lives, and aligned float32 and int64 tensors are used in place. err is not NULL. */
int xai__onnx_read(xai_graph *g, const unsigned char *data, size_t n, bool copy, xai_error *err);

/* A TensorProto as a public handle of its declared dtype. */
int xai__onnx_tensor(const unsigned char *data, size_t n, xai__memory *m, xai_tensor **out,
                     xai_error *err);

#endif

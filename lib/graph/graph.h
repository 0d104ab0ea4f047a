/* The graph: nodes and values of a network, immutable once finished.
 *
 * Built by a reader of model files: create, then inputs, constants, nodes and outputs by name in any
 * order, then finish (topological order, Identity and Dropout removed, constants folded). */
#ifndef XAI_GRAPH_GRAPH_H
#define XAI_GRAPH_GRAPH_H
#include "base/cache.h"
#include "base/os.h"
#include "op/op.h"

typedef struct xai__graph_value {
  const char *name;
  int dtype;         /* declared (XAI_F16, ...), 0 unknown */
  xai__shape shape;  /* as the file says: -1 where symbolic, rank -1 where unknown */
  xai__view constant; /* data where known since load */
  int producer;      /* node, or -1 */
  int n_uses;        /* by nodes and as graph output */
  bool is_static;    /* does not depend on the data (the shapes may matter) of any input */
} xai__graph_value;

typedef struct xai__text_pair {
  const char *key, *text;
} xai__text_pair;

/* A file of tensor data. */
typedef struct xai__external {
  const char *name;
  xai__file file;
  struct xai__external *next;
} xai__external;

struct xai_graph {
  atomic_int refs;
  xai__memory *memory;
  xai__arena arena;
  xai__file file; /* mapped model that constants point into, or empty */
  const char *folder; /* where the files of external tensor data are; NULL: nowhere */
  struct xai__external *external; /* those that are mapped */
  xai_options options;
  xai__node *nodes;
  xai__graph_value *values;
  int n_nodes, n_values, n_inputs, n_outputs, n_metadata, n_opsets;
  int *inputs, *outputs;
  const char **output_names; /* the file's, where an Identity before an output was removed */
  xai__text_pair *metadata, *opsets; /* opset: domain, version */
  const char *producer;              /* text, may be "" */
  struct xai__name_table *names;
  xai__cache made; /* what sessions made of its weights: grows, but never changes */
};

/* options: already defaulted; copied. */
int xai__graph_create(const xai_options *o, xai_graph **out, xai_error *err);
xai_graph *xai__graph_ref(const xai_graph *g);
void xai__graph_release(xai_graph *g);

/* Builder. Names are copied; empty names mean "absent" for operands. All check the options' limits.
 * A tensor defined twice is XAI_E_MODEL. */
int xai__graph_add_input(xai_graph *g, const char *name, int dtype, const xai__shape *shape,
                         xai_error *err);
int xai__graph_add_output(xai_graph *g, const char *name, int dtype, const xai__shape *shape,
                          xai_error *err);
/* v: storage dtype; `copy`: false if the data live as long as the graph (mapped). A
 * constant of an input's name gives that input its default: it stops being an input. */
int xai__graph_add_constant(xai_graph *g, const char *name, int dtype, const xai__view *v,
                            bool copy, xai_error *err);
/* A float32 constant that lies in the file as it likes, not aligned: to be read by memcpy only. Once the
 * graph is finished, none but weights of linear layers (xai__is_weight) are left so. */
static inline bool xai__is_loose(const xai__view *v) { return (uintptr_t)v->data % sizeof(float) != 0; }
/* loose.c: the pages of whichever file the bytes lie in are given back: they may be read again. */
void xai__graph_forget(const xai_graph *g, const void *p, size_t bytes);
/* n floats from wherever they lie; their pages are given back on the way. */
void xai__graph_copy(const xai_graph *g, const void *from, int64_t n, float *to);
/* An aligned copy of a loose constant, made once a graph. */
float *xai__graph_aligned(const xai_graph *g, int value, xai_error *err);
/* Whether operand k of a node is the weights of a linear layer. */
bool xai__is_weight(const xai_graph *g, const xai__node *node, int k);

/* domain "" is ai.onnx. An unknown operator or opset: XAI_E_UNSUPPORTED naming both and the node. */
int xai__graph_add_node(xai_graph *g, const char *domain, const char *type, int opset,
                        const char *name, const char *const *in, int n_in, const char *const *out,
                        int n_out, const xai__attr *attrs, int n_attrs, xai_error *err);
int xai__graph_add_text(xai_graph *g, bool opset, const char *key, const char *text,
                        xai_error *err);
int xai__graph_finish(xai_graph *g, xai_error *err);

int xai__graph_find(const xai_graph *g, const char *name); /* value, or -1 */

/* ---- one node, run (by constant folding and by the executor) ---- */

/* Fills out[].shape and dtype and checks them against `max_tensor` elements. */
int xai__node_infer(xai__call *c, int64_t max_tensor);
/* Whether a node may be computed ahead of the run, where nobody can cancel: products of constants cost
 * more than they weigh, and share a budget of XAI__AHEAD multiplications. */
#define XAI__AHEAD 1e10
bool xai__node_is_quick(const xai__call *c, double *budget);
/* Writes out[].data, which are there. */
int xai__node_forward(xai__call *c);
/* The operator's vjp: gin += J' gout; nothing where it has none. */
int xai__node_vjp(xai__call *c, const xai__view *gout, const xai__view *gin);

/* ---- the relevance view ---- */

/* One step of a reverse sweep: a node as relevance sees it. The node may be one of the graph's own
 * or stand for several of them: a linear layer with the Add, Sub or BatchNormalization folded into
 * it (before[], after[]: graph nodes, in the order they run). */
typedef struct xai__step {
  xai__node node;
  int origin; /* node of the graph */
  xai__crossing cross;
  int operand;               /* PASS: the operand that takes all */
  const unsigned char *gate; /* GATE, OWN: per operand, the xai__gate it comes straight from */
  const bool *constant; /* per operand: static, or no relevance can be there (a comparison's result) */
  const int *before, *after;
  int n_before, n_after;
  const int *inner; /* NORM, PASS of several: the graph's nodes that make it up, in order, or NULL */
  int n_inner;
  bool shifted; /* the last of them adds a constant, a bias */
  int linear;  /* LINEAR: index among the linear layers in node order, else -1 */
  bool first;  /* LINEAR: no linear layer among its ancestors */
  bool embedding; /* makes the first float tensor of an integer input: relevance stops here */
} xai__step;

typedef struct xai__steps {
  xai__step *v;
  int n, n_linear;
} xai__steps;

/* What counts as one node: nothing, linear layers with the constants folded into them (LINEAR),
 * softmaxes and normalisations written out (NORMALIZATIONS), activations written out as products. */
enum xai__folding {
  XAI__FOLD_NONE = 0,
  XAI__FOLD_LINEAR = 1,
  XAI__FOLD_ACTIVATIONS = 2,
  XAI__FOLD_NORMALIZATIONS = 4,
  XAI__FOLD_ALL = 7
};
/* The steps of a reverse sweep. Values with pinned[v] set keep their own nodes. pinned may be NULL;
 * `values` are the planned shapes and known data, or NULL (then nothing that depends on shapes
 * is folded). */
int xai__graph_steps(const xai_graph *g, int fold, const bool *pinned, const xai__view *values,
                     xai__arena *a, xai__steps *out, xai_error *err);

/* Whether node `next`, a reader of v, is a shift or a scale-and-shift by constants that the linear layer
 * with result v can take in. `values`: planned shapes, or NULL. */
bool xai__graph_folds(const xai_graph *g, const xai__view *values, const xai__step *linear,
                      const xai__node *next, int v);

/* The tensor before a trailing Softmax, LogSoftmax or Sigmoid of `value` (looked for behind Identity,
 * Reshape, Flatten, Squeeze, Cast); `value` itself if there is none. *tail_node: that node or -1. */
int xai__graph_logit(const xai_graph *g, int value, int *tail_node);

#endif

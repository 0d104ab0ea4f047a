/* Operators: calculus only. One file per family, one row per operator in op_list.h.
 *
 * An operator imports its attributes, infers shapes, runs forward, gives its vector-Jacobian
 * product (vjp), and says in one word how relevance crosses it. It never names a rule.
 *
 * To add one: write `const xai__op xai__op_NAME = {...}` in a file of this folder and put
 * OP(NAME) into op_list.h. A pointwise function is a line of activation_list.h; lib/op/conv.c is a
 * full example. */
#ifndef XAI_OP_OP_H
#define XAI_OP_OP_H
#include "engine/blocked.h"

/* ---- attributes, as a reader of model files hands them over ---- */

typedef struct xai__attr {
  const char *name;
  int type; /* ONNX AttributeType: FLOAT 1, INT 2, STRING 3, TENSOR 4, FLOATS 6, INTS 7, STRINGS 8 */
  float f;
  int64_t i;
  const char *s;
  const float *floats;
  const int64_t *ints;
  const char *const *texts;
  int n;          /* of floats, ints or texts */
  xai__view tensor; /* storage dtype */
  int tensor_dtype; /* declared */
} xai__attr;

/* A field of an operator's attribute struct, filled by name. Absent attributes keep `preset`
 * (INT, FLOAT), NULL (TEXT) or n == 0 (INTS, FLOATS, TEXTS). A required one has `required` set. */
typedef struct xai__ints {
  int n;
  const int64_t *v;
} xai__ints;
typedef struct xai__floats {
  int n;
  const float *v;
} xai__floats;
typedef struct xai__texts {
  int n;
  const char *const *v;
} xai__texts;
typedef enum {
  XAI__INT,
  XAI__FLOAT,
  XAI__TEXT,
  XAI__INTS,
  XAI__FLOATS,
  XAI__TENSOR,
  XAI__TEXTS
} xai__field_type;
typedef struct xai__field {
  const char *name;
  xai__field_type type; /* int64_t, float, const char *, xai__ints, xai__floats, xai__attr,
                         * xai__texts */
  size_t offset;
  double preset;
  bool required;
} xai__field;

/* ---- nodes ---- */

typedef struct xai__op xai__op;
typedef struct xai__op_blocked xai__op_blocked;
typedef struct xai__strided xai__strided;
typedef struct xai__node {
  const xai__op *op;
  const char *name; /* the file's, or made up from type and index */
  int opset;        /* of the operator's domain */
  int n_in, n_out;
  const int *in, *out; /* values; -1: optional and absent */
  const void *attr;    /* the operator's struct, filled from its fields */
  const int *declared; /* data types of the operands as the file has them, 0: unknown; NULL: all */
} xai__node;

/* A node that stands for others, being replaced by them. */
typedef struct xai__expansion xai__expansion;
struct xai__expansion {
  const char *const *in, *const *out; /* names, "" absent */
  int n_in, n_out, opset;
  const xai__attr *attrs;
  int n_attrs;
  const char *name;
  struct xai_graph *graph;
  xai_error *err;
  /* Adds a node of one result. Attributes of the operator's own are checked as in a file. */
  int (*add)(xai__expansion *x, const char *type, const char *out, const char *const *in, int n_in,
             const xai__attr *attrs, int n_attrs);
  /* A name for a tensor in between; NULL: no memory. */
  const char *(*inner)(xai__expansion *x, const char *what);
  bool (*single)(const xai__expansion *x, const char *name); /* a constant of one element */
};

/* How relevance crosses a node. */
typedef enum {
  XAI__CROSS_NONE,   /* does not: the result carries no relevance (Shape, comparisons, constants) */
  XAI__CROSS_PASS,   /* unchanged to operand 0 or the only one that is not static (activations) */
  XAI__CROSS_LINEAR, /* a linear layer: an LRP rule through its `product` */
  XAI__CROSS_NORM,   /* a linear map without weights: in proportion to the summands (pooling, Add) */
  XAI__CROSS_ROUTE,  /* moved by the operator's own vjp (Reshape, Concat, MaxPool) */
  XAI__CROSS_GATE,   /* product of two activations */
  XAI__CROSS_OWN,    /* the operator's own function (softmax, layer norm, matmul of activations) */
  XAI__CROSS_REFUSED /* no relevance is defined (a convolution whose weights are activations) */
} xai__crossing;

const char *xai__crossing_text(xai__crossing c); /* "pass" */

/* What a factor of a product may be. Tanh is one only where the other factor is none; a scale is an
 * inverse norm that the graph found. */
enum xai__gate {
  XAI__NO_GATE,
  XAI__GATE_TANH,
  XAI__GATE_SIGMOID,
  XAI__GATE_SOFTMAX,
  XAI__GATE_SCALE
};

/* One node's operands. An absent optional operand has rank -1; unknown (infer) or unwanted
 * (gin, gout) data are NULL. */
typedef struct xai__call {
  const xai__node *node;
  int n_in, n_out;
  const xai__view *in;
  xai__view *out;
  const bool *in_static; /* operand does not depend on the network's input data */
  xai__engine *engine;
  xai_error *err;
} xai__call;

/* Options that the operators' own relevance functions look at. */
typedef struct xai__own_options {
  float stabilizer;
  bool bias_zero;        /* the rule sees b = 0 */
  const char *softmax;   /* "lrp" | "detach" | "gradient" */
  const char *matmul;    /* "half" | "value" */
  const char *maxpool;   /* "winner" | "proportional" | "average" */
  const bool *from_softmax; /* per operand: comes straight from a softmax (MatMul) */
  double *ledger;        /* adds what is not handed on, by column (xai__column); NULL: not wanted */
} xai__own_options;
/* Columns of the ledger, METHODS: in = sum of the others. */
typedef enum {
  XAI__IN, XAI__OUT, XAI__BIAS, XAI__STABILISER, XAI__EMPTY, XAI__CONSTANT, XAI__RULE, XAI__COLUMNS
} xai__column;

struct xai__op {
  const char *type;   /* "Conv" */
  const char *domain; /* NULL: ai.onnx */
  int min_in, max_in, min_out, max_out; /* max -1: any number */
  int since;          /* first opset whose meaning is implemented here; earlier ones are refused */
  const xai__field *fields; /* ended by a NULL name; NULL: no attributes */
  size_t attr_size;
  bool homogeneous;   /* NORM: constant operands scale, they add nothing (Resize's scales) */
  bool shape_only;    /* output depends on the operands' shapes alone (Shape, Size) */
  /* Output 0 is operand 0, element for element, in another shape (Reshape, Flatten): the executor
   * shares the memory or copies, and adds gradients; vjp stays NULL, and so does forward unless
   * there are further outputs, which it fills (Dropout's mask). */
  bool alias;
  /* After the fields are filled: checks and derived values. NULL: nothing to check. */
  int (*check)(const xai__node *node, void *attr, xai_error *err);
  /* From in[].shape, dtype (and data where an operand is known before running, else data NULL) to
   * out[].shape and dtype (storage). An operand that must be known and is not: XAI_E_UNSUPPORTED.
   * NULL: out 0 like in 0. */
  int (*infer)(xai__call *c);
  /* Declared dtype of output k; NULL: that of operand 0. */
  int (*dtype)(const xai__node *node, const int *in_dtype, int k);
  int (*forward)(xai__call *c);
  /* gin[i] += J_i' gout, for each gin[i] whose data is not NULL; gout[k].data NULL: zero. in and
   * out hold the values of the forward pass. NULL: no derivative (or zero). */
  int (*vjp)(xai__call *c, const xai__view *gout, const xai__view *gin);
  /* Which operands' and results' values vjp looks at, besides static ones (shapes are always there).
   * The others may be gone by then. */
  enum { XAI__NEEDS_ALL, XAI__NEEDS_NONE, XAI__NEEDS_IN, XAI__NEEDS_OUT } vjp_needs;
  bool begins;   /* vjp sets what is fresh (xai__view.fresh), which else is zeroed before */
  bool sum;      /* result 0 is the sum of the operands */
  bool in_place; /* out 0 may be written over in 0, of its shape */
  const xai__op_blocked *blocked; /* on blocked operands (op/blocked.h); NULL: only plain ones */
  /* In place, the same as a finish of a product (engine/blocked.h): fills its form, or says no. */
  bool (*finish)(const xai__call *c, xai__finish *f);
  /* Result 0 is a part of the only operand that is not static: from that operand's view to the
   * result's, or says no (op/strided.h; the executor knows about aliases). Shapes and static data only. */
  bool (*view)(const xai__call *c, xai__strided *v);
  xai__crossing cross; /* used where `crossing` is NULL */
  xai__crossing (*crossing)(const xai__node *node, const bool *in_static);
  /* LINEAR only: the product behind the node. x_operand: which operand is the input. Fills all but
   * p->n_bias and p->b, unless the node has its own bias operand. Shapes only when data are NULL.
   * May put scaled or expanded constants into scratch (Gemm with alpha != 1): release it after
   * use. */
  int (*product)(const xai__call *c, xai__product *p, int *x_operand);
  /* OWN only (also tried for ROUTE with maxpool != winner): gin += relevance from gout. */
  int (*relevance)(xai__call *c, const xai__own_options *o, const xai__view *gout,
                   const xai__view *gin);
  bool relu;    /* guided-backprop and deconvnet edit its backward pass: Relu, Clip with min 0 */
  bool (*relu_at)(const xai__call *c); /* is this node one? NULL: always (Clip: if min is 0) */
  /* Softmax, LogSoftmax: the axis along which it normalises an operand of this rank. NULL: none. */
  int (*axis)(const xai__node *node, int rank);
  const char *pass_option; /* option under which relevance passes it unchanged: "batchnorm" */
  int gate;     /* its result is a gate: one of xai__gate */
  /* If: the operand besides 0 that is looked at, 0 as long as that is not known. The others, and what
   * only they need, are then neither run nor even possible. */
  int (*chosen)(const xai__call *c);
  bool only_first; /* results but the first are scales: no derivative or relevance goes through them */
  /* Adds the nodes that stand in its place, when a file is read. Such a row has arity, `since` and
   * this, and no other function. */
  int (*expand)(xai__expansion *x);
};

const xai__op *xai__op_find(const char *domain, const char *type); /* NULL if there is none */
const xai__op *xai__op_at(size_t i);                               /* NULL past the end */

/* Fills node->attr (allocated by the caller with attr_size) from attributes; unknown ones are an
 * error that names them. Texts, lists and tensors stay the reader's and must outlive the node. */
int xai__op_import(const xai__op *op, const xai__attr *attrs, int n, void *attr, const char *where,
                   xai_error *err);

/* ---- shared by operators ---- */

/* in [-rank, rank) to [0, rank); XAI_E_MODEL otherwise. */
int xai__axis(int64_t axis, int rank, const xai__call *c, int *out);
static inline bool xai__has(const xai__call *c, int i) {
  return i < c->n_in && c->in[i].shape.rank >= 0;
}
/* c->in[i] must be known now (attribute or static operand): int64 list. */
int xai__known_ints(xai__call *c, int i, const char *what, const int64_t **v, int64_t *n);
/* Storage of c->in[i] must be float32, XAI_E_UNSUPPORTED otherwise. Absent is fine. */
int xai__need_float(const xai__call *c, int i);
/* Rank of c->in[i] within [low, high], XAI_E_MODEL otherwise. */
int xai__need_rank(const xai__call *c, int i, int low, int high);
/* c->in[i], unless absent, must be a float vector of n elements. */
int xai__need_vector(const xai__call *c, int i, int64_t n, const char *what);
/* Refuses derivatives that are not implemented: of every operand but the first `n`. */
int xai__vjp_only(const xai__call *c, const xai__view *gin, int n);
/* How relevance crosses a node whose parameters must be constants: `cross`, or REFUSED where an
 * operand other than 0 depends on the input, or NONE where none does. */
xai__crossing xai__cross_first(const xai__node *node, const bool *in_static, xai__crossing cross);
/* Elements an elementwise task should be given at least. */
#define XAI__GRAIN 16384
/* Rows of `cost` elements each that make up such a task. */
static inline int64_t xai__grain(int64_t cost) {
  return cost < XAI__GRAIN ? XAI__GRAIN / (cost > 0 ? cost : 1) : 1;
}

#endif

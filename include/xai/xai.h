/* libxai: why a trained network decided as it did, and what a class looks like to it.
 *
 *   xai_graph_load -> xai_session_create -> xai_run / xai_explain -> xai_result_find
 *   xai_fit -> xai_prior_create -> xai_prior_logp, xai_prior_sample
 *
 * Conventions, once:
 * - int calls return 0 or a negative XAI_E_*; `err` may be NULL and is written on failure only.
 * - `T **out` is yours, freed by xai_T_free (NULL is fine), and is set to NULL on failure (but
 *   for a cancelled prototype).
 * - Graphs, tensors and priors are reference-counted: free drops your reference, children keep theirs, so
 *   any order of freeing is safe. Borrowed pointers live as long as the handle they came from.
 * - A graph or a prior may be used by any number of threads; a session by one call at a time.
 * - All text is UTF-8; numbers in text use '.', whatever the locale.
 * - Callbacks run on the calling thread (the allocator: on any), must not unwind or re-enter the
 *   object they serve; a progress callback returns 0 to go on, anything else to cancel.
 * - Sized structs: zero them, set struct_size; zero means default. Structs marked frozen never
 *   change (they live in arrays).
 * Methods, rules and their parameters: docs/METHODS.md, or xai_catalog() at run time. */
#ifndef XAI_H
#define XAI_H
#include <stddef.h>
#include <stdint.h>
#include <xai/version.h>
#ifdef __cplusplus
extern "C" {
#endif

typedef struct xai_graph xai_graph;     /* a loaded network; immutable */
typedef struct xai_session xai_session; /* one caller's workspace for a graph */
typedef struct xai_tensor xai_tensor;   /* dtype, shape, data; not written after it was handed over */
typedef struct xai_prior xai_prior;     /* a density expert; immutable */
typedef struct xai_result xai_result;   /* named tensors and texts */
typedef struct xai_cancel xai_cancel;   /* sticky flag; set from any thread or a signal handler */

/* Status. Append-only; values are never reused. docs/ERRORS.md says when each is returned. */
enum {
  XAI_OK = 0,
  XAI_E_ARGUMENT = -1,    /* a call's own arguments: NULL, unknown method or parameter, target */
  XAI_E_MEMORY = -2,      /* allocation failed */
  XAI_E_LIMIT = -3,       /* a limit of xai_options would be passed */
  XAI_E_MODEL = -4,       /* the model file is malformed */
  XAI_E_UNSUPPORTED = -5, /* a valid model or request that this build cannot serve */
  XAI_E_INPUT = -6,       /* an input tensor is missing or of the wrong shape or dtype */
  XAI_E_NUMBER = -7,      /* a result would not be finite */
  XAI_E_CANCELLED = -8,   /* by xai_cancel_set or a callback */
  XAI_E_BUSY = -9,        /* the session serves another call */
  XAI_E_IO = -10          /* a file cannot be opened or read */
};

/* Element types: ONNX TensorProto.DataType numbers. */
enum {
  XAI_F32 = 1,
  XAI_U8 = 2,
  XAI_I8 = 3,
  XAI_U16 = 4,
  XAI_I16 = 5,
  XAI_I32 = 6,
  XAI_I64 = 7,
  XAI_BOOL = 9,
  XAI_F16 = 10,
  XAI_F64 = 11,
  XAI_U32 = 12,
  XAI_U64 = 13,
  XAI_BF16 = 16
};

/* Kinds of the catalogue. */
enum { XAI_METHOD = 1, XAI_RULE, XAI_PRIOR, XAI_METRIC, XAI_OP, XAI_FIT };

/* What went wrong. Frozen, 512 bytes. `node`: index in the graph's node order, -1 if none;
 * `where`: name of the tensor, node, parameter or file concerned; `text`: one line. */
typedef struct xai_error {
  int32_t status, node;
  char where[120], text[384];
} xai_error;

/* A named value: the first of tensor, text and number that is set (non-NULL; else number). Frozen. */
typedef struct xai_param {
  const char *name;
  const xai_tensor *tensor;
  const char *text;
  double number;
} xai_param;

/* One row of a composite: nodes matching `match` get `rule`. Frozen. `match` is "op:GLOB",
 * "name:GLOB", "depth:A-B" (index among the linear layers, in node order) or a bare GLOB that is
 * tried on operator type and node name. */
typedef struct xai_row {
  const char *match, *rule;
  const xai_param *params;
  size_t n_params;
} xai_row;

/* One weighted density expert of a prototype. Frozen. */
typedef struct xai_term {
  const xai_prior *prior;
  double weight;
  const char *on; /* "input" or "code" (what the decoder reads); NULL: as docs/METHODS.md says */
} xai_term;

typedef int (*xai_progress_fn)(void *user, const char *stage, double done, double seconds_left);
/* One line about what was done. level 1: a graph that was read, a session that begins, a plan made for
 * new shapes. level 2: a layer that a sweep of a session crossed, as "forward 12.3 us Conv NAME", and
 * "reverse ..." back; on the caller's thread. */
typedef void (*xai_log_fn)(void *user, int level, const char *text);
/* The caller's own density at x [batch][n]: logp[batch] and its gradient, of x's shape, unless that is
 * NULL. Anything but 0 stops the call. */
typedef int (*xai_logp_fn)(void *user, int64_t batch, int64_t n, const float *x, double *logp,
                           float *gradient);
/* realloc in one: size 0 frees, p NULL allocates; align is a power of two up to 64. */
typedef void *(*xai_realloc_fn)(void *user, void *p, size_t old_size, size_t size, size_t align);

/* Options of a graph or a session; zero is the default. */
typedef struct xai_options {
  size_t struct_size;
  int32_t threads;      /* 0: one per processor */
  int32_t max_isa;      /* 0: best there is; 1: portable; 2: AVX2 or NEON; 3: AVX-512 */
  int64_t max_memory;   /* bytes a graph or session may hold; 0: 64 GiB */
  int64_t max_nodes;    /* nodes of a graph; 0: 1,000,000 */
  int64_t max_tensor;   /* elements of one tensor; 0: 2^31 */
  const char *external_dir; /* of a graph: folder of its external tensor data, none outside of it is
                             * opened; NULL: the model file's own, and none for xai_graph_parse */
  xai_realloc_fn realloc;
  void *realloc_user;
  xai_log_fn log;
  void *log_user;
} xai_options;

/* What to run or explain. Zero means default; nothing of it is kept after the call. */
typedef struct xai_request {
  size_t struct_size;
  const char *method;      /* "gradient", "epsilon-plus", ...; NULL with xai_run */
  const xai_param *params; /* of the method, and seed, bias, output, stabilizer, ... */
  size_t n_params;
  const xai_param *inputs; /* tensors by name; a single input may leave its name NULL */
  size_t n_inputs;
  const char *from;         /* tensor to explain; NULL: the logits of output 0 */
  const xai_tensor *target; /* int64 [T] (for every item) or [T,N] (N items): flat index in one item
                             * of `from`, -1 its maximum; or float32 [T, shape of one item]: a weight
                             * per element. NULL: the maximum (or the `top` largest) */
  int64_t top;              /* with target NULL: explain the `top` largest; 0: 1 */
  const char *const *at;    /* tensors whose relevance (xai_run: whose value) is wanted */
  size_t n_at;              /* 0: every input (xai_run: every output) */
  const xai_row *rows;      /* the caller's own rules, tried before the method's */
  size_t n_rows;
  const xai_term *terms; /* of a prototype: its experts */
  size_t n_terms;
  const xai_graph *decoder; /* of a prototype: x = decoder(code); NULL: x itself is searched for */
  uint64_t random_seed;
  int32_t ledger; /* 1: account for the relevance at every node, see docs/METHODS.md */
  int32_t trace;  /* of a prototype only: a row of its way after every so many steps; 0: none */
  xai_cancel *cancel;
  xai_progress_fn progress;
  void *progress_user;
} xai_request;

/* Version of the library at run time, "0.1.0". */
XAI_API const char *xai_version(void);
/* Short text of a status, never NULL. */
XAI_API const char *xai_status_text(int status);
/* Row i of a table. Returns 0, 1 past the end (name and schema NULL), or XAI_E_ARGUMENT.
 * schema: "name=default;name=a|b" with the first choice the default; static text. */
XAI_API int xai_catalog(int kind, size_t i, const char **name, const char **schema);

/* A tensor holding a copy of `data` (NULL: zeros). rank 0..8. */
XAI_API int xai_tensor_create(int dtype, int rank, const int64_t *shape, const void *data,
                              xai_tensor **out, xai_error *err);
/* The same without a copy: `release(user)` runs when the last reference goes. On failure it is
 * not called: the data are still yours. data: aligned for its dtype. */
XAI_API int xai_tensor_wrap(int dtype, int rank, const int64_t *shape, void *data,
                            void (*release)(void *user), void *user, xai_tensor **out,
                            xai_error *err);
/* An ONNX TensorProto (.pb). */
XAI_API int xai_tensor_parse(const void *tensorproto, size_t n, xai_tensor **out, xai_error *err);
XAI_API int xai_tensor_dtype(const xai_tensor *t);
/* Returns the rank; *shape is borrowed. */
XAI_API int xai_tensor_shape(const xai_tensor *t, const int64_t **shape);
/* Row-major elements, borrowed. */
XAI_API const void *xai_tensor_data(const xai_tensor *t);
XAI_API xai_tensor *xai_tensor_ref(const xai_tensor *t);
XAI_API void xai_tensor_free(xai_tensor *t);

/* Reads an ONNX file (mapped: do not change it while the graph lives). */
XAI_API int xai_graph_load(const char *path, const xai_options *o, xai_graph **out, xai_error *err);
/* Reads an ONNX model from memory; copies what it needs. */
XAI_API int xai_graph_parse(const void *model, size_t n, const xai_options *o, xai_graph **out,
                            xai_error *err);
/* The graph as named tensors and texts (docs/API.md lists them): inputs, outputs, nodes, metadata;
 * with a method, how relevance will cross each node. method may be NULL. */
XAI_API int xai_graph_describe(const xai_graph *g, const char *method, xai_result **out,
                               xai_error *err);
XAI_API void xai_graph_free(xai_graph *g);

XAI_API int xai_session_create(const xai_graph *g, const xai_options *o, xai_session **out,
                               xai_error *err);
XAI_API void xai_session_free(xai_session *s);

/* Runs the network: "output/NAME" for each output, or for each tensor of `at`. */
XAI_API int xai_run(xai_session *s, const xai_request *r, xai_result **out, xai_error *err);
/* Explains: "relevance/NAME" of each input or tensor of `at`, with a leading axis of T targets
 * where more than one was asked for; "target" int64 [T,N] and "f" float32 [T,N]; "ledger/..." if
 * asked for; texts "method", "source" and "params" (all resolved).
 * Method "prototype" takes targets but no inputs (or a start), and gives "prototype", "score" and more
 * (docs/API.md). Cancelled, it still hands over *out, its best so far, with the tensor "partial". */
XAI_API int xai_explain(xai_session *s, const xai_request *r, xai_result **out, xai_error *err);
/* Bytes a call would need beyond the graph, before anything runs. */
XAI_API int xai_memory(const xai_session *s, const xai_request *r, int64_t *bytes, xai_error *err);

/* Entry i. Returns 0, 1 past the end, or XAI_E_ARGUMENT. An entry has a tensor or a text; the
 * other is NULL. All borrowed. */
XAI_API int xai_result_get(const xai_result *r, size_t i, const char **name, const xai_tensor **t,
                           const char **text);
/* The tensor of that name or NULL; borrowed. */
XAI_API const xai_tensor *xai_result_find(const xai_result *r, const char *name);
XAI_API void xai_result_free(xai_result *r);

/* A density expert of the kind (a row of XAI_PRIOR) from its named tensors: docs/PRIORS.md. The
 * tensors are kept. A parameter whose name has a '/' is skipped; kind NULL: the text parameter
 * "kind" names it. */
XAI_API int xai_prior_create(const char *kind, const xai_param *params, size_t n, xai_prior **out,
                             xai_error *err);
XAI_API int xai_prior_custom(xai_logp_fn f, void *user, xai_prior **out, xai_error *err);
/* What it was made of, by the same names, and the text "kind". */
XAI_API int xai_prior_describe(const xai_prior *p, xai_result **out, xai_error *err);
/* At each item of the float32 x [N, ...]: "logp" float64 [N], and "gradient" of x's shape. */
XAI_API int xai_prior_logp(const xai_prior *p, const xai_tensor *x, const xai_options *o,
                           xai_result **out, xai_error *err);
/* "samples" float32 [N, ...]. Of the request: the parameters `samples` and, where there is no direct
 * way, `steps` of a Markov chain; random_seed, cancel, progress. r NULL: all defaults. */
XAI_API int xai_prior_sample(const xai_prior *p, const xai_request *r, const xai_options *o,
                             xai_result **out, xai_error *err);
XAI_API void xai_prior_free(xai_prior *p);
/* Fits an expert: method is its kind (a row of XAI_FIT), the inputs are "data" float32 [N, ...] and,
 * if wanted, "held-out". The result is what xai_prior_create takes, with notes (docs/PRIORS.md); of
 * a cancelled fit that has come to something *out is set too, with the tensor "partial". */
XAI_API int xai_fit(const xai_request *r, const xai_options *o, xai_result **out, xai_error *err);

XAI_API int xai_cancel_create(xai_cancel **out);
XAI_API void xai_cancel_set(xai_cancel *c);
XAI_API void xai_cancel_free(xai_cancel *c);

#ifdef __cplusplus
}
#endif
#endif

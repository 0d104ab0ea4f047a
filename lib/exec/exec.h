/* The executor: a memory plan for given input shapes, the forward sweep, the reverse sweep. */
#ifndef XAI_EXEC_EXEC_H
#define XAI_EXEC_EXEC_H
#include "base/cache.h"
#include "base/watch.h"
#include "graph/graph.h"

/* What crossing a step takes: the values of its operands, of its results (those that are static are
 * there anyway, and so are all shapes). */
enum xai__reading {
  XAI__READS_IN = 1,
  XAI__READS_OUT = 2,
  XAI__HANDS_ON = 4, /* reads nothing: step->operand gets what came to result 0, element for element */
  XAI__ANY_LAYOUT = 8, /* takes blocked views where its operator does, or is linear */
  XAI__BEGINS = 16,    /* sets what it is the first to write (xai__view.fresh); else that is zeroed */
  XAI__ALL_TARGETS = 32, /* takes the relevance of several targets (xai__view.times); else it is called for each */
  XAI__FORGIVES = 64,  /* an error of Winograd's size in its results does no harm */
  XAI__MAKES_WEIGHTS = 128 /* multiplies with squares of weights or with ones in their place */
};
static inline unsigned char xai__op_vjp_reads(const xai__op *op) {
  static const unsigned char reads[] = {[XAI__NEEDS_ALL] = XAI__READS_IN | XAI__READS_OUT,
                                        [XAI__NEEDS_NONE] = 0,
                                        [XAI__NEEDS_IN] = XAI__READS_IN,
                                        [XAI__NEEDS_OUT] = XAI__READS_OUT};
  return op->alias ? XAI__HANDS_ON : reads[op->vjp_needs] | (op->begins ? XAI__BEGINS : 0);
}
/* Fills reads[i] of every step, before anything runs. */
typedef int (*xai__reads_fn)(void *user, const xai__steps *steps, unsigned char *reads,
                             xai_error *err);

/* What a plan may look at of the inputs: their shapes; what a network may compute shapes from, few
 * integers or a few numbers in a row (axes, sizes, scales); all data (NonZero, NonMaxSuppression).
 * A plan that knows data serves only these. */
typedef enum { XAI__KNOWS_SHAPES, XAI__KNOWS_SMALL, XAI__KNOWS_ALL } xai__knowledge;

/* Where products may be off by 5e-6 of the largest (xai__finish.winograd): in the forward sweep and in
 * rules of one sign; in vjps and, where it wins much, before their gates. */
typedef enum { XAI__DIRECT, XAI__WINOGRAD_FORWARD, XAI__WINOGRAD_VJP } xai__winograd_use;

/* What a plan is for. Arrays are borrowed while planning. */
typedef struct xai__plan_request {
  const xai__shape *input; /* shape of each graph input */
  void *const *data;       /* and its data, in storage dtype; NULL: only shapes are known */
  xai__knowledge known;    /* which inputs' data are as good as constants */
  const int *want;         /* values to be there after the forward sweep */
  int n_want;
  bool reverse;    /* a reverse sweep follows, from `source` to the values `at` */
  int fold;        /* xai__folding */
  bool everything; /* relevance of every value, not only on the way to `at` (ledger) */
  int source, n_at;
  const int *at;
  int64_t targets; /* that will be asked for; the plan takes as many at a time as memory allows */
  xai__winograd_use winograd;
  int64_t room;        /* bytes that buffer, scratch and results may take */
  xai__reads_fn reads; /* NULL: every step reads everything */
  void *reads_user;
} xai__plan_request;

/* A linear layer's weights and bias with all that is folded in, and packed for the blocked engine, once
 * they are made. */
typedef struct xai__layer {
  const float *w, *b;
  int64_t n_bias;
  const float *aligned; /* loose weights, where they were multiplied in place */
  const float *panels; /* of a matrix product: as xai__product_pack makes them */
  const float *packed[2][3]; /* by xai__pack_form, and by the form of an edit that is packed in */
} xai__layer;

/* What the forward sweep does in one go: a node, with what is folded into it; another value added to
 * its result 0; an activation in place. */
typedef struct xai__unit {
  xai__step step; /* of the node: origin, operand, after[] */
  xai__layer layer;
  bool winograd;
  int add;                    /* value, or -1 */
  const xai__node *activation; /* or NULL */
  int out;                     /* the value that result 0 is in the end, or -1 */
} xai__unit;

/* Immutable but for its buffer and the input data. */
typedef struct xai__plan {
  const xai_graph *graph;
  xai__arena arena;
  xai__engine *engine;
  const xai_options *told; /* whose log hears of every layer, or NULL */
  xai__view *value; /* per value: shape, dtype, data (constants at once; others in `buffer`) */
  int64_t *offset;  /* per value: of its data in the buffer, -1: not there */
  int *owner;       /* per value: the value whose memory it shares (itself as a rule) */
  int64_t *inside;  /* per value: how many bytes into that memory */
  bool *native;     /* per node: works on blocked values */
  bool *kept;       /* per value: there when the forward sweep is done */
  int *node;        /* nodes that are needed, in order */
  int n_nodes;
  xai__unit *unit; /* and how they are run */
  int n_units;
  xai__steps steps;     /* reverse */
  unsigned char *reads; /* per step: xai__reading */
  xai__layer *layer;    /* per step */
  int *step;        /* steps to cross, in the order of the forward sweep */
  int n_steps;
  /* Where memory is short (segments.c): else n_segments is 0, and the arrays are NULL. */
  int n_segments;
  int *first;     /* per segment, and one more: its first unit */
  int *segment;   /* per step to cross: the segment that is computed anew before it */
  bool *rerun;    /* per unit: what that takes */
  int64_t *again; /* per value: where its data then are, -1: where they were */
  int64_t targets;      /* that a reverse sweep serves, at most: their relevances lie one after the other */
  int64_t *grad_offset; /* per value: of its relevance in the buffer, -1: has none */
  int *grad_owner;      /* per value: the value whose relevance it shares (itself as a rule) */
  bool *grad_written;   /* per value, during a sweep */
  int source, n_at;
  int *at;
  xai__winograd_use winograd;
  char *buffer;    /* NULL: it has none now */
  int64_t bytes;   /* that it needs of one */
  int64_t room;    /* that its own has */
  int64_t scratch; /* an estimate of what the sweeps need on top */
  int64_t weights; /* the same, of the graph: forms of weights that sweeps make and the graph keeps */
  bool branches;      /* while planning: some nodes may turn out not to be needed */
  const void **known; /* per input: the data that it was planned for, or NULL */
  xai__cache made; /* folded weights that belong to these shapes */
} xai__plan;

bool xai__plan_knows(xai__knowledge known, const xai__shape *shape, int dtype);
int xai__plan_create(const xai_graph *g, xai__engine *e, const xai__plan_request *r,
                     xai__plan **out, xai_error *err);
void xai__plan_free(xai__plan *p);
/* Whether a plan keeps what a like request reads. */
int xai__plan_serves(xai__plan *p, const xai__plan_request *r, bool *serves, xai_error *err);

/* Takes another plan's buffer if that is large enough, else frees it: what was in it is lost. */
void xai__plan_take_buffer(xai__plan *p, xai__plan *from);

/* data[i] of graph input i in storage dtype; borrowed until the last sweep over it. Allocates the
 * buffer where it has none. */
int xai__forward(xai__plan *p, void *const *data, const xai__watch *w, xai_error *err);

/* How many of `targets` a step had better serve at a time, with so many bytes on its two sides. */
#define XAI__TOGETHER ((int64_t)4 << 20) /* bytes: more are not near */
static inline int64_t xai__together(int64_t in, int64_t out, int64_t targets) {
  const int64_t most = XAI__TOGETHER / ((in > out ? in : out) + 1);
  return most < 1 ? 1 : most < targets ? most : targets;
}

/* How one step hands on what came to its results: gin[i] += ... for each gin[i] with data. */
typedef int (*xai__cross_fn)(void *user, const xai__step *step, xai__call *c,
                             const xai__view *gout, const xai__view *gin);

/* The vjp of a step: of its product with all that is folded in, of its node, or of its inner nodes one
 * after the other from its result to its operand 0, other tensors held constant. */
int xai__step_vjp(xai__plan *p, const xai__step *step, xai__call *c, const xai__view *gout,
                  const xai__view *gin);

/* The relevance of a value: there after xai__reverse for `at`, to be filled for `source` before. target:
 * of the sweep's. */
float *xai__plan_grad(const xai__plan *p, int value, int64_t target);
/* From the source's relevance, already filled, to all of `at` (zero where nothing came), step by step for
 * all of `targets` (at most plan->targets). */
int xai__reverse(xai__plan *p, int64_t targets, xai__cross_fn cross, void *user, const xai__watch *w,
                 xai_error *err);

#endif

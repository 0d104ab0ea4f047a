/* What the files that make a plan share. Time runs 0 .. n-1 over the units forward, n .. n+m-1 over
 * the steps back; in a plan of segments before a segment's steps also over its units once more. */
#ifndef XAI_EXEC_PLANNER_H
#define XAI_EXEC_PLANNER_H
#include "exec/exec.h"

#define XAI__FOREVER INT32_MAX

typedef struct xai__planner {
  xai__plan *p;
  const xai__plan_request *r;
  xai_error *err;
  int *birth, *death;           /* per value, of its data; birth -1: not in the buffer */
  int *grad_birth, *grad_death; /* per value, of its relevance */
  int *again_birth, *again_death; /* per value, of its data computed anew, in a plan of segments */
  bool *passing;                /* per value: not kept from sweep to sweep, but computed anew */
  bool *held;                   /* per value: kept for units that run again */
  bool *active;                 /* per value: its relevance is wanted */
  bool *flag;                   /* per value, scratch */
  int64_t *weights;             /* per unit, then per step to cross: bytes of weights that are read in place */
  xai__view *in;                /* operand views of one node */
  bool *in_static;
} xai__planner;

/* Bytes of a value's data, in its layout. */
int64_t xai__plan_bytes(const xai__plan *p, int value);
/* Zeroed, of the plan's arena. */
void *xai__plan_new(xai__planner *q, size_t n, size_t size);
/* The operand views of a node. */
void xai__plan_views(const xai__plan *p, const xai__node *node, xai__view *in, bool *in_static);

/* steps.c: which steps the reverse sweep crosses, and what they read. */
int xai__plan_steps(xai__planner *q);
/* layout.c: which values are blocked. */
int xai__plan_layouts(xai__planner *q);
/* fuse.c: the units of the forward sweep. */
int xai__plan_units(xai__planner *q);
/* inside.c: which values lie in the results of Concats. */
int xai__plan_inside(xai__planner *q);
/* lives.c: births and deaths. */
void xai__plan_lives(xai__planner *q);
/* The times of crossing a step, and of computing a unit anew before. */
int xai__plan_time_back(const xai__planner *q, int step);
int xai__plan_time_again(const xai__planner *q, int unit);
/* The times there are. */
static inline int xai__plan_times(const xai__plan *p) {
  return p->n_units + p->n_steps + (p->n_segments ? p->n_units : 0) + 1;
}
/* segments.c: the lives and places of all, in segments if need be. */
int xai__plan_segments(xai__planner *q);
/* bill.c: the forms of weights that sweeps make; then what sweeps back from so many targets may take from
 * the engine's scratch. */
int xai__plan_bill(xai__planner *q);
int64_t xai__plan_scratch(const xai__planner *q, int64_t targets);
/* place.c: offsets in one buffer, and how many targets it serves at a time. */
int xai__plan_place(xai__planner *q);

#endif

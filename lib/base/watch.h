/* Cancellation and progress of one call. */
#ifndef XAI_BASE_WATCH_H
#define XAI_BASE_WATCH_H
#include "base/error.h"

typedef struct xai__watch {
  const xai_cancel *cancel; /* may be NULL */
  xai_progress_fn progress; /* may be NULL */
  void *user;
  double start;             /* xai__seconds at the call's begin */
  double from, span;        /* this part of the work is [from, from + span] of the whole */
  double *reached;          /* the most that was reported: it never goes back; may be NULL */
} xai__watch;

/* `part` of this part is done, 0..1. XAI_E_CANCELLED if the caller wants to stop. */
int xai__watch_check(const xai__watch *w, const char *stage, double part, xai_error *err);

#endif

/* Cancellation and progress of one call. */
#include "base/watch.h"

#include <stdatomic.h>

#include "base/memory.h"
#include "base/os.h"

struct xai_cancel {
  atomic_int set; /* lock-free: may be set from a signal handler */
};

int xai_cancel_create(xai_cancel **out) {
  if (!out) return XAI_E_ARGUMENT;
  *out = xai__new(NULL, 1, sizeof **out, NULL);
  if (!*out) return XAI_E_MEMORY;
  atomic_init(&(*out)->set, 0);
  return XAI_OK;
}

void xai_cancel_set(xai_cancel *c) {
  if (c) atomic_store(&c->set, 1);
}

void xai_cancel_free(xai_cancel *c) { xai__free(c); }

int xai__watch_check(const xai__watch *w, const char *stage, double part, xai_error *err) {
  if (w->cancel && atomic_load(&((xai_cancel *)(uintptr_t)w->cancel)->set))
    return xai__fail(err, XAI_E_CANCELLED, NULL, "cancelled");
  if (!w->progress) return XAI_OK;
  double done = w->from + part * w->span;
  if (w->reached) *w->reached = done = done > *w->reached ? done : *w->reached;
  double spent = xai__seconds() - w->start;
  if (w->progress(w->user, stage, done, done > 0 ? spent / done - spent : 0))
    return xai__fail(err, XAI_E_CANCELLED, NULL, "cancelled by the progress callback");
  return XAI_OK;
}

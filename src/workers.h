/* Tasks in worker processes: one that crashes loses its own task and no other. */
#ifndef XAI_TOOL_WORKERS_H
#define XAI_TOOL_WORKERS_H
#include <stddef.h>

enum { WORKERS_TEXT = 512 };

/* What a task came to; `text` says why. */
struct outcome {
  int value;
  char text[WORKERS_TEXT];
};

/* Runs task(ctx, i, out) for i in [0, n), up to `workers` (0: one per processor) at a time, each in
 * a child process, and done(ctx, i, out) in this one in order of i; where done returns anything
 * but 0, all is stopped and that is returned. A task whose process ends has the value `crashed`. */
int workers_run(size_t n, size_t workers, int crashed,
                void (*task)(void *ctx, size_t i, struct outcome *out),
                int (*done)(void *ctx, size_t i, const struct outcome *out), void *ctx);
#endif

/* A thread pool owned by one engine: run() hands out tasks 0..n-1 and returns when all are done.
 *
 * Within a call of the library workers wait by spinning, so that the layers of a network follow
 * each other without a system call; between calls they soon sleep, and the next one wakes them.
 * A worker that sleeps is never waited for: the caller works too, and only waits for workers that
 * took a task. */
#ifndef XAI_ENGINE_POOL_H
#define XAI_ENGINE_POOL_H
#include "base/memory.h"

typedef struct xai__pool xai__pool;
/* thread: 0 (the caller) .. threads-1. */
typedef void (*xai__task_fn)(void *ctx, int64_t task, int thread);

int xai__pool_create(xai__memory *m, int threads, xai__pool **out, xai_error *err);
void xai__pool_free(xai__pool *p);
int xai__pool_threads(const xai__pool *p);
/* A call begins: wakes the workers, and keeps them awake; it ends: lets them sleep. */
void xai__pool_begin(xai__pool *p);
void xai__pool_end(xai__pool *p);
void xai__pool_run(xai__pool *p, int64_t tasks, xai__task_fn f, void *ctx);

#endif

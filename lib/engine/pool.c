/* Thread pool: one job at a time, announced in one atomic word. Each thread has its own range of
 * the tasks, the same in every job of as many, so that it finds in its cache what it wrote; whoever
 * is done takes from the others. */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "engine/pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>

#include "base/error.h"
#include "base/os.h"

#define MAX_THREADS 1024
#define SPINS_BEFORE_YIELD 2000
#define SECONDS_BEFORE_SLEEP 1e-2
#define SECONDS_WITHIN_A_CALL 2e-2

/* The word: job number << 17 | OPEN while workers may join | how many have joined. */
#define OPEN ((uint64_t)1 << 16)
#define JOINED (OPEN - 1)
#define NEXT_JOB ((uint64_t)1 << 17)

typedef struct worker {
  _Alignas(64) _Atomic int64_t next; /* of its range of tasks */
  _Atomic int64_t end;
  xai__pool *pool;
  pthread_t thread;
  int index;
} worker;

struct xai__pool {
  int threads; /* workers that started, and the caller */
  worker *workers;
  _Alignas(64) _Atomic uint64_t word;
  _Alignas(64) atomic_int sleepers, stop, calls, in_call;
  xai__task_fn f;
  void *ctx;
  pthread_mutex_t mutex;
  pthread_cond_t wake;
};

static inline void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ __volatile__("yield");
#endif
}

/* One step of waiting: cheap at first, then friendly to whoever wants the processor. */
static inline void wait_step(int *spins) {
  if (*spins < SPINS_BEFORE_YIELD) {
    (*spins)++;
    relax();
  } else {
    sched_yield();
  }
}

static bool has_tasks(const worker *w) {
  return atomic_load_explicit(&w->next, memory_order_relaxed) <
         atomic_load_explicit(&w->end, memory_order_relaxed);
}

static void take_tasks(xai__pool *p, int thread) {
  for (int i = 0; i < p->threads; i++) {
    worker *w = &p->workers[(thread + i) % p->threads];
    while (has_tasks(w)) {
      const int64_t task = atomic_fetch_add_explicit(&w->next, 1, memory_order_relaxed);
      if (task < atomic_load_explicit(&w->end, memory_order_relaxed)) p->f(p->ctx, task, thread);
    }
  }
}

static bool any_tasks(const xai__pool *p) {
  for (int i = 0; i < p->threads; i++)
    if (has_tasks(&p->workers[i])) return true;
  return false;
}

/* A job that is open and not `last`. */
static bool has_news(xai__pool *p, uint64_t last) {
  uint64_t w = atomic_load(&p->word);
  return atomic_load(&p->stop) || ((w & OPEN) && w / NEXT_JOB != last);
}

/* Or until a call begins. */
static void sleep_until_news(xai__pool *p, uint64_t last) {
  pthread_mutex_lock(&p->mutex);
  const int calls = atomic_load(&p->calls);
  atomic_fetch_add(&p->sleepers, 1);
  while (!has_news(p, last) && atomic_load(&p->calls) == calls) pthread_cond_wait(&p->wake, &p->mutex);
  atomic_fetch_sub(&p->sleepers, 1);
  pthread_mutex_unlock(&p->mutex);
}

static void *work(void *arg) {
  worker *self = arg;
  xai__pool *p = self->pool;
  uint64_t last = 0;
  for (;;) {
    int spins = 0;
    double start = 0;
    while (!has_news(p, last)) {
      wait_step(&spins);
      if (spins < SPINS_BEFORE_YIELD) continue;
      double now = xai__seconds();
      if (start == 0) start = now;
      const double most = atomic_load(&p->in_call) ? SECONDS_WITHIN_A_CALL : SECONDS_BEFORE_SLEEP;
      if (now - start < most) continue;
      sleep_until_news(p, last);
      start = 0;
    }
    if (atomic_load(&p->stop)) return NULL;
    uint64_t w = atomic_load(&p->word);
    if (!(w & OPEN) || w / NEXT_JOB == last) continue;
    if (!any_tasks(p)) { /* too late: do not make it wait */
      last = w / NEXT_JOB;
      continue;
    }
    if (!atomic_compare_exchange_strong(&p->word, &w, w + 1)) continue;
    last = w / NEXT_JOB;
    take_tasks(p, self->index);
    atomic_fetch_sub(&p->word, 1);
  }
}

static void wake_sleepers(xai__pool *p) {
  if (!atomic_load(&p->sleepers)) return;
  pthread_mutex_lock(&p->mutex);
  pthread_cond_broadcast(&p->wake);
  pthread_mutex_unlock(&p->mutex);
}

void xai__pool_begin(xai__pool *p) {
  atomic_store(&p->in_call, 1);
  atomic_fetch_add(&p->calls, 1);
  wake_sleepers(p);
}

void xai__pool_end(xai__pool *p) { atomic_store(&p->in_call, 0); }

void xai__pool_run(xai__pool *p, int64_t tasks, xai__task_fn f, void *ctx) {
  if (p->threads == 1 || tasks <= 1) {
    for (int64_t i = 0; i < tasks; i++) f(ctx, i, 0);
    return;
  }
  p->f = f;
  p->ctx = ctx;
  for (int i = 0; i < p->threads; i++) {
    atomic_store_explicit(&p->workers[i].next, tasks * i / p->threads, memory_order_relaxed);
    atomic_store_explicit(&p->workers[i].end, tasks * (i + 1) / p->threads, memory_order_relaxed);
  }
  uint64_t w = atomic_load(&p->word);
  atomic_store(&p->word, (w / NEXT_JOB + 1) * NEXT_JOB + OPEN);
  wake_sleepers(p);
  take_tasks(p, 0);
  atomic_fetch_and(&p->word, ~OPEN);
  int spins = 0;
  while (atomic_load(&p->word) & JOINED) wait_step(&spins);
}

/* A thread that cannot be started is done without. */
static void start_workers(xai__pool *p, int threads) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before); /* the host's signals are not ours to take */
  for (int i = 1; i < threads; i++) {
    worker *w = &p->workers[i];
    w->pool = p;
    w->index = i;
    if (pthread_create(&w->thread, NULL, work, w)) break;
    p->threads = i + 1;
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
}

int xai__pool_create(xai__memory *m, int threads, xai__pool **out, xai_error *err) {
  *out = NULL;
  if (threads <= 0) threads = xai__processors();
  if (threads > MAX_THREADS) threads = MAX_THREADS;
  xai__pool *p = xai__new(m, 1, sizeof *p, err);
  if (!p) return XAI_E_MEMORY;
  p->workers = xai__new(m, (size_t)threads, sizeof *p->workers, err);
  if (!p->workers) {
    xai__free(p);
    return XAI_E_MEMORY;
  }
  p->threads = 1;
  pthread_mutex_init(&p->mutex, NULL);
  pthread_cond_init(&p->wake, NULL);
  start_workers(p, threads);
  *out = p;
  return XAI_OK;
}

void xai__pool_free(xai__pool *p) {
  if (!p) return;
  pthread_mutex_lock(&p->mutex);
  atomic_store(&p->stop, 1);
  pthread_cond_broadcast(&p->wake);
  pthread_mutex_unlock(&p->mutex);
  for (int i = 1; i < p->threads; i++) pthread_join(p->workers[i].thread, NULL);
  pthread_cond_destroy(&p->wake);
  pthread_mutex_destroy(&p->mutex);
  xai__free(p->workers);
  xai__free(p);
}

int xai__pool_threads(const xai__pool *p) { return p->threads; }

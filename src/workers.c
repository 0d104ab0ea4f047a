/* Tasks are handed out by a counter in memory that the processes share, and so are their outcomes. */
#define _DEFAULT_SOURCE
#include "workers.h"
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "say.h"
#include "stop.h"

enum { MOST = 256 };

struct shared {
  atomic_size_t next;
  struct row {
    atomic_int pid; /* of the process that has it */
    atomic_bool done;
    struct outcome outcome;
  } rows[];
};

struct workers {
  struct shared *shared;
  size_t n, running;
  pid_t pid[MOST];
};

static void work(struct workers *w, void (*task)(void *, size_t, struct outcome *), void *ctx) {
  for (size_t i; (i = atomic_fetch_add(&w->shared->next, 1)) < w->n;) {
    struct row *row = &w->shared->rows[i];
    atomic_store(&row->pid, getpid());
    task(ctx, i, &row->outcome);
    atomic_store(&row->done, true);
  }
}

/* What a process that ended leaves undone has crashed. */
static void bury(struct workers *w, pid_t pid, int status, int crashed) {
  for (size_t i = 0; i < w->running; i++)
    if (w->pid[i] == pid)
      w->pid[i] = w->pid[--w->running];
  for (size_t i = 0; i < w->n; i++) {
    struct row *row = &w->shared->rows[i];
    if (atomic_load(&row->pid) != pid || atomic_load(&row->done))
      continue;
    row->outcome.value = crashed;
    snprintf(row->outcome.text, WORKERS_TEXT, "the process ended (%s %d)",
             WIFSIGNALED(status) ? "signal" : "exit code",
             WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    atomic_store(&row->done, true);
  }
}

static void end(struct workers *w) {
  for (size_t i = 0; i < w->running; i++) {
    kill(w->pid[i], SIGKILL);
    waitpid(w->pid[i], NULL, 0);
  }
  munmap(w->shared, sizeof *w->shared + w->n * sizeof *w->shared->rows);
}

int workers_run(size_t n, size_t workers, int crashed,
                void (*task)(void *ctx, size_t i, struct outcome *out),
                int (*done)(void *ctx, size_t i, const struct outcome *out), void *ctx) {
  struct workers w = {.n = n};
  size_t said = 0, most = workers;
  int code = EXIT_FINE;
  if (!most)
    most = (size_t)(sysconf(_SC_NPROCESSORS_ONLN) > 1 ? sysconf(_SC_NPROCESSORS_ONLN) : 1);
  most = most < MOST ? most : MOST;
  w.shared = mmap(NULL, sizeof *w.shared + n * sizeof *w.shared->rows, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (w.shared == MAP_FAILED)
    return say_no_memory();
  stop_hold();
  while (said < n && !code) {
    while (w.running < most && atomic_load(&w.shared->next) < n && !code) {
      fflush(stdout);
      pid_t pid = fork();
      if (!pid) {
        stop_release();
        work(&w, task, ctx);
        _exit(EXIT_FINE);
      }
      if (pid < 0 && !w.running)
        code = say(EXIT_LATER, "cannot start a process");
      if (pid < 0)
        break;
      w.pid[w.running++] = pid;
    }
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
      bury(&w, pid, status, crashed);
    for (; said < n && !code && atomic_load(&w.shared->rows[said].done); said++)
      code = done(ctx, said, &w.shared->rows[said].outcome);
    if (stop_wanted() && !code)
      code = stop_say();
    if (said < n && !code)
      nanosleep(&(struct timespec){0, 2000000}, NULL);
  }
  stop_release();
  end(&w);
  return code;
}

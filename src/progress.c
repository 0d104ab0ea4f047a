/* The bar. One process, one bar: its state is static. */
#include "progress.h"
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BAR_WIDTH = 30 };

static struct {
  const char *what;
  double started, drawn_at;
  double first, span, total;
  bool wanted, visible;
} bar;

double progress_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void progress_begin(const char *what, size_t total, bool quiet) {
  memset(&bar, 0, sizeof bar);
  bar.what = what;
  bar.total = total ? (double)total : 1;
  bar.span = bar.total;
  bar.started = progress_now();
  bar.wanted = !quiet && isatty(STDERR_FILENO);
}

void progress_span(size_t first, size_t n) {
  bar.first = (double)first;
  bar.span = (double)n;
}

static void draw(double done, double left) {
  char cells[BAR_WIDTH + 1];
  int full = (int)(done * BAR_WIDTH);
  for (int i = 0; i < BAR_WIDTH; i++)
    cells[i] = i < full ? '#' : '.';
  cells[BAR_WIDTH] = 0;
  fprintf(stderr, "\r\033[K%s [%s] %3.0f %%", bar.what, cells, 100 * done);
  if (left >= 0) {
    long s = (long)(left + 0.5);
    if (s >= 3600)
      fprintf(stderr, "  %ld:%02ld:%02ld left", s / 3600, s / 60 % 60, s % 60);
    else
      fprintf(stderr, "  %ld:%02ld left", s / 60, s % 60);
  }
  fflush(stderr);
  bar.visible = true;
}

int progress_call(void *user, const char *stage, double done, double seconds_left) {
  (void)user;
  (void)stage;
  (void)seconds_left; /* knows this call only; the bar knows them all */
  if (!bar.wanted)
    return 0;
  double now = progress_now(), spent = now - bar.started;
  if (spent < 2 || now - bar.drawn_at < 0.2)
    return 0;
  bar.drawn_at = now;
  double all = (bar.first + done * bar.span) / bar.total;
  if (!(all >= 0))
    all = 0;
  if (all > 1)
    all = 1;
  draw(all, all > 0.01 ? spent * (1 - all) / all : -1);
  return 0;
}

void progress_clear(void) {
  if (!bar.visible)
    return;
  fputs("\r\033[K", stderr);
  fflush(stderr);
  bar.visible = false;
}

void progress_end(void) {
  progress_clear();
  bar.wanted = false;
}

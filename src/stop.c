/* Signals to a sticky cancel. The handler only does what is allowed in one. */
#define _XOPEN_SOURCE 700
#include "stop.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>
#include "say.h"

static xai_cancel *cancel;
static volatile sig_atomic_t held, interrupted, timed_out;
static double limit;

static const char timeout_line[] = "xai: the time of --timeout is over\n";

static void handle(int signal_number) {
  bool again = interrupted != 0;
  if (signal_number == SIGALRM)
    timed_out = 1;
  else
    interrupted = 1;
  if (cancel)
    xai_cancel_set(cancel);
  if (held && !(again && signal_number == SIGINT))
    return;
  if (signal_number == SIGALRM) {
    ssize_t n = write(STDERR_FILENO, timeout_line, sizeof timeout_line - 1);
    (void)n;
  }
  _exit(signal_number == SIGALRM ? EXIT_LIMIT : EXIT_INTERRUPT);
}

int stop_begin(double timeout) {
  if (xai_cancel_create(&cancel))
    return say_no_memory();
  limit = timeout;
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = handle;
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
  if (timeout > 0) {
    struct itimerval timer;
    memset(&timer, 0, sizeof timer);
    timer.it_value.tv_sec = (time_t)timeout;
    timer.it_value.tv_usec = (suseconds_t)((timeout - (double)timer.it_value.tv_sec) * 1e6);
    if (!timer.it_value.tv_sec && !timer.it_value.tv_usec)
      timer.it_value.tv_usec = 1;
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
  }
  return EXIT_FINE;
}

void stop_end(void) {
  struct itimerval none;
  memset(&none, 0, sizeof none);
  setitimer(ITIMER_REAL, &none, NULL);
  signal(SIGINT, SIG_DFL);
  signal(SIGTERM, SIG_DFL);
  signal(SIGALRM, SIG_DFL);
  xai_cancel_free(cancel);
  cancel = NULL;
}

xai_cancel *stop_cancel(void) { return cancel; }
void stop_hold(void) { held = 1; }
void stop_release(void) { held = 0; }
bool stop_wanted(void) { return interrupted || timed_out; }
int stop_exit_code(void) { return timed_out && !interrupted ? EXIT_LIMIT : EXIT_INTERRUPT; }

int stop_say(void) {
  if (stop_exit_code() == EXIT_LIMIT) {
    return say(EXIT_LIMIT, "not finished within --timeout %g seconds", limit);
  }
  return say(EXIT_INTERRUPT, "interrupted");
}

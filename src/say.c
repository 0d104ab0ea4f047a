/* Messages and exit codes. */
#include "say.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "progress.h"
#include "stop.h"

static bool quiet_now;

void say_quiet(bool quiet) { quiet_now = quiet; }

static void line(const char *format, va_list args) {
  progress_clear();
  fputs("xai: ", stderr);
  vfprintf(stderr, format, args);
  fputc('\n', stderr);
}

int say(int code, const char *format, ...) {
  va_list args;
  va_start(args, format);
  line(format, args);
  va_end(args);
  return code;
}

void say_note(const char *format, ...) {
  if (quiet_now)
    return;
  va_list args;
  va_start(args, format);
  line(format, args);
  va_end(args);
}

int say_no_memory(void) { return say(EXIT_LIMIT, "out of memory"); }

/* One row a status: its exit code while loading, reading inputs and running. */
static const struct {
  int status, code[3];
} codes[] = {
    {XAI_E_ARGUMENT, {EXIT_MODEL, EXIT_INPUT, EXIT_USAGE}},
    {XAI_E_MEMORY, {EXIT_LIMIT, EXIT_LIMIT, EXIT_LIMIT}},
    {XAI_E_LIMIT, {EXIT_LIMIT, EXIT_LIMIT, EXIT_LIMIT}},
    {XAI_E_MODEL, {EXIT_MODEL, EXIT_INPUT, EXIT_MODEL}},
    {XAI_E_UNSUPPORTED, {EXIT_MODEL, EXIT_INPUT, EXIT_MODEL}},
    {XAI_E_INPUT, {EXIT_INPUT, EXIT_INPUT, EXIT_INPUT}},
    {XAI_E_NUMBER, {EXIT_LATER, EXIT_INPUT, EXIT_LATER}},
    {XAI_E_BUSY, {EXIT_LATER, EXIT_LATER, EXIT_LATER}},
    {XAI_E_IO, {EXIT_MODEL, EXIT_INPUT, EXIT_LATER}},
};

int say_exit_code(const xai_error *err, enum say_doing doing) {
  if (err->status == XAI_E_CANCELLED)
    return stop_exit_code();
  /* A request that no node refused is a wrong request, not a wrong model. */
  if (err->status == XAI_E_UNSUPPORTED && doing == SAY_RUNNING && err->node < 0)
    return EXIT_USAGE;
  for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
    if (codes[i].status == err->status)
      return codes[i].code[doing];
  }
  return EXIT_LATER;
}

int say_error(const xai_error *err, enum say_doing doing, const char *subject) {
  int code = say_exit_code(err, doing);
  if (err->status == XAI_E_CANCELLED)
    return stop_say();
  const char *text = err->text[0] ? err->text : xai_status_text(err->status);
  bool named =
      !err->where[0] || strstr(text, err->where) || (subject && !strcmp(subject, err->where));
  bool begun = !subject || strstr(text, subject);
  return say(code, "%s%s%s%s%s%s", begun ? "" : subject, begun ? "" : ": ", text, named ? "" : " (",
             named ? "" : err->where, named ? "" : ")");
}

/* Edit distance of short words, at most `most` + 1. */
static size_t distance(const char *a, const char *b, size_t most) {
  size_t row[65], n = strlen(b);
  if (n > 64)
    return most + 1;
  for (size_t j = 0; j <= n; j++)
    row[j] = j;
  for (size_t i = 0; a[i]; i++) {
    size_t corner = row[0];
    row[0] = i + 1;
    for (size_t j = 0; j < n; j++) {
      size_t best = corner + (a[i] != b[j]);
      if (row[j] + 1 < best)
        best = row[j] + 1;
      if (row[j + 1] + 1 < best)
        best = row[j + 1] + 1;
      corner = row[j + 1];
      row[j + 1] = best;
    }
  }
  return row[n];
}

const char *say_nearest(const char *typed, const char *const *candidates, size_t n) {
  size_t best = strlen(typed) / 3 + 1;
  const char *nearest = NULL;
  for (size_t i = 0; i < n; i++) {
    size_t d = distance(typed, candidates[i], best);
    if (d < best || (d == best && !nearest)) {
      best = d;
      nearest = candidates[i];
    }
  }
  return nearest;
}

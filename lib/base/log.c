#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/os.h"

void xai__log(const xai_options *o, const char *format, ...) {
  char text[256];
  va_list args;
  if (!o->log) return;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  o->log(o->log_user, 1, text);
}

void xai__log_layer(const xai_options *o, const char *sweep, const char *op, const char *name,
                    double start) {
  char text[256];
  const double us = 1e6 * (xai__seconds() - start);
  snprintf(text, sizeof text, "%s %.1f us %s %s", sweep, us, op, name);
  o->log(o->log_user, 2, text);
}

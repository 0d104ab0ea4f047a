#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

void xai__log(const xai_options *o, const char *format, ...) {
  char text[256];
  va_list args;
  if (!o->log) return;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  o->log(o->log_user, 1, text);
}

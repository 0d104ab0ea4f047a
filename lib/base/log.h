/* What a caller who gave xai_options.log is told. */
#ifndef XAI_BASE_LOG_H
#define XAI_BASE_LOG_H
#include "base/error.h"

/* One line of level 1; does nothing without `log`. */
void xai__log(const xai_options *o, const char *format, ...) XAI__PRINTF(2, 3);

/* A line of level 2: a layer of a sweep that began at `start` and is done now. */
void xai__log_layer(const xai_options *o, const char *sweep, const char *op, const char *name,
                    double start);

#endif

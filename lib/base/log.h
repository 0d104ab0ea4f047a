/* What a caller who gave xai_options.log is told. */
#ifndef XAI_BASE_LOG_H
#define XAI_BASE_LOG_H
#include "base/error.h"

/* One line; does nothing without `log`. */
void xai__log(const xai_options *o, const char *format, ...) XAI__PRINTF(2, 3);

#endif

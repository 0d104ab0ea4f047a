/* Failure: one call fills the caller's xai_error and returns the status to pass up. */
#ifndef XAI_BASE_ERROR_H
#define XAI_BASE_ERROR_H
#include <stdbool.h>
#include <xai/xai.h>

#if defined(__GNUC__)
#define XAI__PRINTF(a, b) __attribute__((format(printf, a, b)))
#else
#define XAI__PRINTF(a, b)
#endif

/* Returns `status`. err may be NULL. `where`: the tensor, node, parameter or file concerned, or
 * NULL. Text is cut to fit at a UTF-8 boundary; invalid UTF-8 and control bytes become '?'.
 * Numbers: pass doubles as "%s" with xai__number_text, which ignores the locale. */
int xai__fail(xai_error *err, int status, const char *where, const char *format, ...)
    XAI__PRINTF(4, 5);
/* Adds the node to an error raised below that knew no node. */
void xai__fail_at_node(xai_error *err, int node, const char *where);

#define XAI__TRY(call)              \
  do {                              \
    int xai__status_ = (call);      \
    if (xai__status_) return xai__status_; \
  } while (0)

#endif

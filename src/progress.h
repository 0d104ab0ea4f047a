/* A progress bar with the time left, on stderr: only on a terminal, only after two seconds. */
#ifndef XAI_TOOL_PROGRESS_H
#define XAI_TOOL_PROGRESS_H
#include <stdbool.h>
#include <stddef.h>

/* total: steps of the whole work (items); each library call covers some of them. */
void progress_begin(const char *what, size_t total, bool quiet);
/* The next library call covers steps first .. first+n. */
void progress_span(size_t first, size_t n);
/* An xai_progress_fn. */
int progress_call(void *user, const char *stage, double done, double seconds_left);
/* Removes the bar, so that a line can be printed. */
void progress_clear(void);
void progress_end(void);
double progress_now(void); /* monotonic seconds */
#endif

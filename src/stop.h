/* Ctrl-C and --timeout: both set a cancel that the library honours.
 *
 * Outside stop_hold/stop_release (loading, reading files) the process ends at once; between them
 * (a library call, writing a file) the work ends itself at the next chance. */
#ifndef XAI_TOOL_STOP_H
#define XAI_TOOL_STOP_H
#include <stdbool.h>
#include <xai/xai.h>

/* timeout: seconds, 0 for none. */
int stop_begin(double timeout);
void stop_end(void);
xai_cancel *stop_cancel(void);
void stop_hold(void);
void stop_release(void);
bool stop_wanted(void);
/* Says why the work stopped, and returns the exit code: interrupted 130, out of time 5. */
int stop_say(void);
int stop_exit_code(void);
#endif

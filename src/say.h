/* What the tool tells its user on stderr, and the exit codes.
 *
 * Convention of the command files: a function that can fail returns an exit code, EXIT_FINE (0) or
 * the code after having said why; the caller only cleans up and hands the code on. */
#ifndef XAI_TOOL_SAY_H
#define XAI_TOOL_SAY_H
#include <stdbool.h>
#include <xai/xai.h>

enum {
  EXIT_FINE = 0,
  EXIT_LATER = 1, /* output not writable, `test` with failures, not a number */
  EXIT_USAGE = 2, /* option, method, parameter, value, target */
  EXIT_MODEL = 3, /* missing, unreadable, malformed, unsupported */
  EXIT_INPUT = 4, /* an input or label file missing, unreadable, of the wrong shape */
  EXIT_LIMIT = 5, /* memory, a limit, time */
  EXIT_INTERRUPT = 130
};

/* What the tool was doing when the library refused: the same status means different things. */
enum say_doing { SAY_LOADING, SAY_READING, SAY_RUNNING };

#if defined(__GNUC__)
#define SAY_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define SAY_PRINTF(text, first)
#endif

/* One line "xai: ..." on stderr; returns code. */
int say(int code, const char *format, ...) SAY_PRINTF(2, 3);
/* The same, but not an error: silent after say_quiet(true). */
void say_note(const char *format, ...) SAY_PRINTF(1, 2);
void say_quiet(bool quiet);

/* A library error as a line; `subject` (NULL: none) begins it, as a file name would. */
int say_error(const xai_error *err, enum say_doing doing, const char *subject);
int say_exit_code(const xai_error *err, enum say_doing doing);
int say_no_memory(void);

/* The candidate nearest to what was typed, or NULL when none is near. */
const char *say_nearest(const char *typed, const char *const *candidates, size_t n);
#endif

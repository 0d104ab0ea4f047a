/* Results on the terminal. */
#ifndef XAI_TOOL_SHOW_H
#define XAI_TOOL_SHOW_H
#include "report.h"

/* Columns of text, as wide as their widest cell; cells are copied. */
struct table {
  char **cells;
  size_t n, columns;
  unsigned right; /* bit c: column c is aligned to the right */
  bool failed;
};
void table_begin(struct table *t, size_t columns, unsigned right);
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
void table_add(struct table *t, const char *format, ...);
/* Prints it and frees it. Exit code. */
int table_end(struct table *t);

int show_run(const struct report *r);
/* The table of an explanation and, on a terminal, the first heatmaps. */
int show_explanation(const struct report *r);
/* The whole report as JSON on stdout. */
int show_json(const struct report *r);
enum { SHOW_BYTES = 32 };
/* "312 bytes", "4.5 MiB". */
void show_bytes(int64_t bytes, char out[SHOW_BYTES]);
/* "3" or "0:12:7": an index along the axes of one item. */
void show_index(const struct summary *s, int64_t flat, char out[64]);
#endif

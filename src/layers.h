/* What each layer of a call costs, from the lines of xai_options.log. */
#ifndef XAI_TOOL_LAYERS_H
#define XAI_TOOL_LAYERS_H
#include "json.h"

struct layer {
  char *line;           /* "forward Conv NAME" */
  double call, fastest; /* seconds, of the call that is running and of the fastest */
};

struct layers {
  struct layer *v;
  size_t n, capacity, next; /* next: where the coming line is likely to be */
  int failed;               /* out of memory */
};

/* An xai_log_fn; user: the struct layers * that is filled, which may be NULL for now. */
void layers_log(void *user, int level, const char *text);
/* A call is over. */
void layers_called(struct layers *l);
/* The dearest first. */
void layers_sort(struct layers *l);
/* A table of the first `most` of a call that took `seconds`. Exit code. */
int layers_print(const struct layers *l, const char *call, size_t most, double seconds);
void layers_json(const struct layers *l, size_t most, struct json *j);
void layers_free(struct layers *l);
#endif

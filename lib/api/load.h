/* What the exported functions share: reading sized structs, and errors for callers that want none. */
#ifndef XAI_API_LOAD_H
#define XAI_API_LOAD_H
#include "explain/explain.h"

/* A caller's sized struct as this library knows it: zero-filled where the caller's is older; an
 * unknown tail of a newer one must be zero. from NULL: all zero. */
int xai__load_struct(void *to, size_t size, const void *from, const char *what, xai_error *err);
/* The same, with the defaults of docs/SECURITY filled in. */
int xai__load_options(xai_options *to, const xai_options *from, xai_error *err);
/* The same of a request, with its arrays there as counted. */
int xai__load_request(xai_request *to, const xai_request *from, xai_error *err);

#endif

/* Running and explaining: what the exported calls of those names do once a session is theirs. */
#ifndef XAI_EXPLAIN_EXPLAIN_H
#define XAI_EXPLAIN_EXPLAIN_H
#include "explain/method.h"

int xai__run(xai_session *s, const xai_request *r, xai_result *out, xai_error *err);
int xai__explain(xai_session *s, const xai_request *r, xai_result *out, xai_error *err);
/* Bytes that the same requests need beyond the graph. */
int xai__run_bill(const xai_session *s, const xai_request *r, int64_t *bytes, xai_error *err);
int xai__explain_bill(const xai_session *s, const xai_request *r, int64_t *bytes, xai_error *err);

/* The method's parameters: schema, what it fixes, what the caller set. */
int xai__method_params(const xai__method *m, const xai_param *given, size_t n, xai__params *out,
                       xai_error *err);
/* xai__folding of a method's sweep. */
int xai__method_fold(const xai__method *m, const xai__params *p);

#endif

/* Running and explaining: what the exported calls of those names do once a session is theirs. */
#ifndef XAI_EXPLAIN_EXPLAIN_H
#define XAI_EXPLAIN_EXPLAIN_H
#include "explain/method.h"

int xai__run(xai_session *s, const xai_request *r, xai_result *out, xai_error *err);
int xai__explain(xai_session *s, const xai_request *r, xai_result *out, xai_error *err);
/* Bytes that the same requests need beyond the graph, for shapes alone. */
int xai__run_bill(xai_session *s, const xai_request *r, int64_t *bytes, xai_error *err);
int xai__explain_bill(xai_session *s, const xai_request *r, int64_t *bytes, xai_error *err);

#endif

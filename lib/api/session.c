/* The exported session calls. */
#include "api/load.h"
#include "base/log.h"

int xai_session_create(const xai_graph *g, const xai_options *o, xai_session **out, xai_error *err) {
  xai_error local;
  xai_options options;
  if (!err) err = &local;
  if (!out) return xai__fail(err, XAI_E_ARGUMENT, "out", "out is NULL");
  *out = NULL;
  if (!g) return xai__fail(err, XAI_E_ARGUMENT, "graph", "graph is NULL");
  XAI__TRY(xai__load_options(&options, o, err));
  xai__memory *m = xai__memory_create(options.realloc, options.realloc_user, options.max_memory);
  if (!m) return xai__fail(err, XAI_E_MEMORY, NULL, "out of memory");
  xai_session *s = xai__new(m, 1, sizeof *s, err);
  if (!s) {
    xai__memory_release(m);
    return err->status;
  }
  s->memory = m;
  s->options = options;
  s->graph = xai__graph_ref(g);
  atomic_init(&s->busy, 0);
  int status = xai__engine_create(m, options.threads, options.max_isa, &s->engine, err);
  if (status) {
    xai_session_free(s);
    return status;
  }
  xai__log(&options, "session: instruction set %d of xai_options.max_isa",
           xai__engine_isa(s->engine));
  *out = s;
  return XAI_OK;
}

void xai_session_free(xai_session *s) {
  if (!s) return;
  xai__session_drop_plans(s);
  xai__engine_free(s->engine);
  xai__graph_release((xai_graph *)(uintptr_t)s->graph);
  xai__memory *m = s->memory;
  xai__free(s);
  xai__memory_release(m);
}

static bool enter(xai_session *s) {
  int idle = 0;
  if (!atomic_compare_exchange_strong(&s->busy, &idle, 1)) return false;
  xai__engine_begin(s->engine);
  return true;
}

static void leave(xai_session *s) {
  xai__engine_end(s->engine);
  atomic_store(&s->busy, 0);
}

typedef int (*work_fn)(xai_session *, const xai_request *, xai_result *, xai_error *);

static int serve(xai_session *s, const xai_request *r, xai_result **out, work_fn work,
                 xai_error *err) {
  xai_error local;
  xai_request request;
  if (!err) err = &local;
  if (!out) return xai__fail(err, XAI_E_ARGUMENT, "out", "out is NULL");
  *out = NULL;
  if (!s || !r) return xai__fail(err, XAI_E_ARGUMENT, s ? "request" : "session", "%s is NULL",
                                 s ? "request" : "session");
  XAI__TRY(xai__load_request(&request, r, err));
  if (!enter(s)) return xai__fail(err, XAI_E_BUSY, NULL, "the session serves another call");
  xai_result *result = NULL;
  int status = xai__result_create(s->memory, &result, err);
  if (!status && (status = work(s, &request, result, err)) &&
      !(status == XAI_E_CANCELLED && xai_result_find(result, "partial"))) {
    xai_result_free(result);
    result = NULL;
  }
  leave(s);
  if (result) *out = result;
  return status;
}

int xai_run(xai_session *s, const xai_request *r, xai_result **out, xai_error *err) {
  return serve(s, r, out, xai__run, err);
}

int xai_explain(xai_session *s, const xai_request *r, xai_result **out, xai_error *err) {
  return serve(s, r, out, xai__explain, err);
}

int xai_memory(const xai_session *s, const xai_request *r, int64_t *bytes, xai_error *err) {
  xai_error local;
  xai_request request;
  xai_session *used = (xai_session *)(uintptr_t)s;
  if (!err) err = &local;
  if (!s || !r || !bytes) return xai__fail(err, XAI_E_ARGUMENT, NULL, "session, request or bytes is NULL");
  *bytes = 0;
  XAI__TRY(xai__load_request(&request, r, err));
  if (!enter(used)) return xai__fail(err, XAI_E_BUSY, NULL, "the session serves another call");
  int status = request.method ? xai__explain_bill(used, &request, bytes, err)
                              : xai__run_bill(used, &request, bytes, err);
  leave(used);
  return status;
}

/* Input tensors and plans of a session. */
#include "explain/session.h"

#include <string.h>

#include "base/log.h"
#include "base/number.h"

int xai__find_value(const xai_graph *g, const char *name, int *value, xai_error *err) {
  *value = name ? xai__graph_find(g, name) : -1;
  if (*value >= 0) return XAI_OK;
  return xai__fail(err, XAI_E_ARGUMENT, name, "the model has no tensor '%s'", name ? name : "(null)");
}

/* ---- plans ---- */

static void drop(xai__cached *c) {
  xai__rules_free(c->rules);
  xai__plan_free(c->plan);
  xai__arena_free(&c->key);
  *c = (xai__cached){0};
}

void xai__session_drop_plans(xai_session *s) {
  for (int i = 0; i < XAI__PLANS; i++) drop(&s->cached[i]);
}

static bool same_ints(const int *a, int n_a, const int *b, int n_b) {
  return n_a == n_b && (!n_a || !memcmp(a, b, (size_t)n_a * sizeof *a));
}

/* Whether the inputs that a plan knows are those of a request. */
static bool same_known(const xai_graph *g, const xai__plan_request *q, const xai__plan_request *r) {
  if (q->known != r->known) return false;
  for (int i = 0; i < g->n_inputs; i++) {
    int dtype = xai__dtype_storage(g->values[g->inputs[i]].dtype);
    size_t n = (size_t)xai__count(&r->input[i]) * xai__dtype_size(dtype);
    if (xai__plan_knows(r->known, &r->input[i], dtype) && n && memcmp(q->data[i], r->data[i], n)) return false;
  }
  return true;
}

static bool same_request(const xai_graph *g, const xai__cached *c, const xai__plan_request *r) {
  const xai__plan_request *q = &c->made_for;
  if (!c->plan) return false;
  for (int i = 0; i < g->n_inputs; i++)
    if (!xai__shape_equal(&q->input[i], &r->input[i])) return false;
  return same_ints(q->want, q->n_want, r->want, r->n_want) &&
         same_ints(q->at, q->n_at, r->at, r->n_at) && q->reverse == r->reverse && q->winograd == r->winograd &&
         q->fold == r->fold && q->targets == r->targets && q->everything == r->everything && q->source == r->source &&
         same_known(g, q, r);
}

static const int *copy_ints(xai__arena *a, const int *v, int n, xai_error *err) {
  int *copy = xai__arena_new(a, (size_t)n + 1, sizeof *copy, err);
  if (copy && n) memcpy(copy, v, (size_t)n * sizeof *copy);
  return copy;
}

/* The inputs that it knows, for same_known. */
static int copy_known(xai_session *s, xai__cached *c, const xai__plan_request *r, xai_error *err) {
  const xai_graph *g = s->graph;
  void **data = xai__arena_new(&c->key, (size_t)g->n_inputs + 1, sizeof *data, err);
  if (!data) return err->status;
  for (int i = 0; i < g->n_inputs; i++) {
    int dtype = xai__dtype_storage(g->values[g->inputs[i]].dtype);
    size_t n = (size_t)xai__count(&r->input[i]) * xai__dtype_size(dtype);
    if (!xai__plan_knows(r->known, &r->input[i], dtype)) continue;
    if (!(data[i] = xai__arena_new(&c->key, n + 1, 1, err))) return err->status;
    if (n) memcpy(data[i], r->data[i], n);
  }
  c->made_for.data = data;
  return XAI_OK;
}

/* What a plan may take: what is left, and what plans and scratch hold now. */
static int64_t room_of(const xai_session *s) {
  int64_t room = xai__memory_room(s->memory);
  if (room == INT64_MAX) return room;
  for (int i = 0; i < XAI__PLANS; i++)
    if (s->cached[i].plan) room += s->cached[i].plan->room + xai__arena_bytes(&s->cached[i].plan->arena);
  return room + xai__scratch_held(s->engine);
}

static int make_cached(xai_session *s, xai__cached *c, const xai__plan_request *r, xai_error *err) {
  size_t n = (size_t)s->graph->n_inputs;
  c->key.memory = s->memory;
  xai__shape *input = xai__arena_new(&c->key, n + 1, sizeof *input, err);
  c->made_for = *r;
  c->made_for.input = input;
  c->made_for.want = copy_ints(&c->key, r->want, r->n_want, err);
  c->made_for.at = copy_ints(&c->key, r->at, r->n_at, err);
  if (!input || !c->made_for.want || !c->made_for.at) return err->status;
  memcpy(input, r->input, n * sizeof *input);
  XAI__TRY(copy_known(s, c, r, err));
  xai__plan_request roomy = *r;
  roomy.room = room_of(s);
  return xai__plan_create(s->graph, s->engine, &roomy, &c->plan, err);
}

/* The cached plan for a request, or XAI__PLANS. */
static int find(const xai_session *s, const xai__plan_request *r, int *found, xai_error *err) {
  bool serves = false;
  for (*found = 0; *found < XAI__PLANS; ++*found) {
    if (same_request(s->graph, &s->cached[*found], r))
      XAI__TRY(xai__plan_serves(s->cached[*found].plan, r, &serves, err));
    if (serves) return XAI_OK;
  }
  return XAI_OK;
}

/* A contradiction of shapes is the inputs' where the file leaves their sizes open. */
static int blame_inputs(const xai_graph *g, const xai__plan_request *r, int status, xai_error *err) {
  const xai_error found = *err;
  for (int i = 0; i < g->n_inputs && status == XAI_E_MODEL; i++) {
    const xai__graph_value *v = &g->values[g->inputs[i]];
    bool open = v->shape.rank < 0;
    for (int k = 0; k < v->shape.rank; k++) open |= v->shape.d[k] < 0;
    if (!open) continue;
    status = xai__fail(err, XAI_E_INPUT, found.where, "%.250s, where input '%s' is %s", found.text,
                       v->name, xai__shape_text(&r->input[i]).text);
    xai__fail_at_node(err, found.node, found.where);
  }
  return status;
}

static int find_or_make(xai_session *s, const xai__plan_request *r, xai__plan **out,
                        xai_error *err) {
  int found;
  xai__cached c = {0};
  XAI__TRY(find(s, r, &found, err));
  if (found < XAI__PLANS) {
    c = s->cached[found];
  } else {
    int status = make_cached(s, &c, r, err);
    if (status) {
      drop(&c);
      return blame_inputs(s->graph, r, status, err);
    }
    if (s->options.log) c.plan->told = &s->options;
    xai__log(&s->options, "plan: %d nodes, %d steps back, %lld bytes", c.plan->n_nodes,
             c.plan->n_steps, (long long)c.plan->bytes);
    drop(&s->cached[--found]);
  }
  memmove(s->cached + 1, s->cached, (size_t)found * sizeof c);
  s->cached[0] = c;
  *out = c.plan;
  return XAI_OK;
}

int xai__session_plan(xai_session *s, const xai__plan_request *r, xai__plan **out, xai_error *err) {
  xai__plan_request again = *r; /* shapes may follow from data: of small inputs, or of all */
  xai_error more;
  int found, most = r->data ? XAI__KNOWS_ALL : XAI__KNOWS_SHAPES;
  for (int known = XAI__KNOWS_SMALL; known <= most; known++) {
    again.known = (xai__knowledge)known;
    XAI__TRY(find(s, &again, &found, err));
    if (found < XAI__PLANS) return find_or_make(s, &again, out, err);
  }
  int status = find_or_make(s, r, out, err);
  for (int known = XAI__KNOWS_SMALL; status == XAI_E_UNSUPPORTED && known <= most; known++) {
    again.known = (xai__knowledge)known;
    int better = find_or_make(s, &again, out, &more);
    if (better == XAI_E_UNSUPPORTED) continue; /* for the same reason, or for want of more */
    if (better) *err = more;
    return better;
  }
  return status;
}

void xai__session_make_room(xai_session *s, xai__plan *p) {
  for (int i = 0; i < XAI__PLANS; i++)
    if (s->cached[i].plan && s->cached[i].plan != p) xai__plan_take_buffer(p, s->cached[i].plan);
  if (p->buffer || xai__memory_room(s->memory) >= p->bytes + p->scratch) return;
  for (int i = 0; i < XAI__PLANS; i++)
    if (s->cached[i].plan != p) drop(&s->cached[i]);
}

int xai__session_rules(xai_session *s, xai__plan *p, xai__rules **out, xai_error *err) {
  int i = 0;
  while (s->cached[i].plan != p) i++;
  if (!s->cached[i].rules) XAI__TRY(xai__rules_create(p, &s->cached[i].rules, err));
  *out = s->cached[i].rules;
  return XAI_OK;
}

/* ---- inputs ---- */

static const xai_tensor *find_input(const xai_request *r, const char *name, int n_inputs) {
  for (size_t i = 0; i < r->n_inputs; i++) {
    const char *given = r->inputs[i].name;
    if (given ? !strcmp(given, name) : n_inputs == 1) return r->inputs[i].tensor;
  }
  return NULL;
}

static int check_shape(const xai__graph_value *v, const xai__shape *given, xai_error *err) {
  bool fits = v->shape.rank < 0 || v->shape.rank == given->rank;
  for (int i = 0; fits && i < v->shape.rank; i++)
    fits = v->shape.d[i] < 0 || v->shape.d[i] == given->d[i];
  if (fits) return XAI_OK;
  return xai__fail(err, XAI_E_INPUT, v->name, "input '%s' takes shape %s, not %s", v->name,
                   xai__shape_text(&v->shape).text, xai__shape_text(given).text);
}

/* The tensor's data in storage dtype, rounded to what the model declares. */
static int read_data(xai__inputs *in, const xai__graph_value *v, const xai_tensor *t, void **data,
                     xai_error *err) {
  int storage = xai__dtype_storage(t->dtype);
  if (v->dtype && storage != xai__dtype_storage(v->dtype))
    return xai__fail(err, XAI_E_INPUT, v->name, "input '%s' takes %s, not %s", v->name,
                     xai__dtype_name(v->dtype), xai__dtype_name(t->dtype));
  bool rounded = v->dtype == XAI_F16 && t->dtype != XAI_F16;
  if (t->dtype == storage && !rounded) {
    *data = t->data;
    return XAI_OK;
  }
  int64_t n = xai__count(&t->shape);
  *data = xai__arena_new(&in->arena, (size_t)n + 1, xai__dtype_size(storage), err);
  if (!*data) return err->status;
  xai__to_storage(t->dtype, t->data, n, *data);
  if (rounded)
    for (int64_t i = 0; i < n; i++) ((float *)*data)[i] = xai__round_to_f16(((float *)*data)[i]);
  return XAI_OK;
}

static bool has_batch_axis(const xai__graph_value *v) {
  return v->shape.rank < 0 || (v->shape.rank > 0 && (v->shape.d[0] < 0 || v->shape.d[0] == 1));
}

int xai__inputs_read(const xai_session *s, const xai_request *r, bool shapes_only, xai__inputs *in,
                     xai_error *err) {
  const xai_graph *g = s->graph;
  size_t n = (size_t)g->n_inputs + 1;
  *in = (xai__inputs){.arena.memory = s->memory, .batch = -1};
  in->shape = xai__arena_new(&in->arena, n, sizeof *in->shape, err);
  in->data = xai__arena_new(&in->arena, n, sizeof *in->data, err);
  if (!in->shape || !in->data) return err->status;
  for (size_t i = 0; i < r->n_inputs; i++) {
    const char *name = r->inputs[i].name;
    bool known = !name && g->n_inputs == 1;
    for (int k = 0; k < g->n_inputs && name; k++)
      known |= xai__graph_find(g, name) == g->inputs[k];
    if (!known)
      return xai__fail(err, XAI_E_INPUT, name,
                       name ? "the model has no input '%s'" : "the model has several inputs: name them%s",
                       name ? name : "");
  }
  for (int i = 0; i < g->n_inputs; i++) {
    const xai__graph_value *v = &g->values[g->inputs[i]];
    const xai_tensor *t = find_input(r, v->name, g->n_inputs);
    if (!t) return xai__fail(err, XAI_E_INPUT, v->name, "input '%s' (%s of shape %s) is missing",
                             v->name, xai__dtype_name(v->dtype), xai__shape_text(&v->shape).text);
    XAI__TRY(check_shape(v, &t->shape, err));
    in->shape[i] = t->shape;
    int64_t batch = has_batch_axis(v) && t->shape.rank > 0 ? t->shape.d[0] : 1;
    in->batch = in->batch < 0 || in->batch == batch ? batch : 1;
    if (!shapes_only) XAI__TRY(read_data(in, v, t, &in->data[i], err));
  }
  if (in->batch < 0) in->batch = 1;
  return XAI_OK;
}

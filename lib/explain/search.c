/* The request of a prototype, and what an ascent climbs. */
#include "explain/search.h"

#include <math.h>
#include <string.h>

#include "prior/prior.h"

/* ---- reading the request ---- */

static bool is_float(const xai_graph *g, int input) {
  return xai__dtype_storage(g->values[g->inputs[input]].dtype) == XAI_F32;
}

/* The input that is looked for: the one of `at`, or the first of floats. */
static int choose_input(xai__search *s) {
  const xai_graph *g = s->j.s->graph;
  const xai_request *r = s->j.r;
  int first = 0, value = -1;
  while (first < g->n_inputs && !is_float(g, first)) first++;
  s->input = first;
  if (r->n_at > 1)
    return xai__fail(s->j.err, XAI_E_ARGUMENT, r->at[1], "a prototype is of one input, not of %zu",
                     r->n_at);
  if (r->n_at) {
    XAI__TRY(xai__find_value(g, r->at[0], &value, s->j.err));
    for (s->input = 0; s->input < g->n_inputs && g->inputs[s->input] != value;) s->input++;
  }
  if (s->input < g->n_inputs && is_float(g, s->input)) return XAI_OK;
  return xai__fail(s->j.err, XAI_E_UNSUPPORTED, r->n_at ? r->at[0] : NULL,
                   r->n_at ? "'%s' is no float input of the model: it has no prototype"
                           : "the model has no float input%s",
                   r->n_at ? r->at[0] : "");
}

static int check_decoder(xai__search *s) {
  const xai_graph *d = s->j.r->decoder;
  s->name = s->j.s->graph->values[s->j.s->graph->inputs[s->input]].name;
  if (!d) return XAI_OK;
  if (d->n_inputs != 1 || !is_float(d, 0))
    return xai__fail(s->j.err, XAI_E_UNSUPPORTED, "decoder",
                     "a decoder has one float input, the code; this one has %d inputs%s",
                     d->n_inputs, d->n_inputs == 1 ? ", of integers" : "");
  s->name = d->values[d->inputs[0]].name;
  s->picture = d->outputs[0];
  return XAI_OK;
}

/* The experts, those over x first. */
static int sort_terms(xai__search *s) {
  const xai_request *r = s->j.r;
  s->n_terms = r->n_terms;
  s->terms = xai__arena_new(&s->arena, s->n_terms + 1, sizeof *s->terms, s->j.err);
  s->order = xai__arena_new(&s->arena, s->n_terms + 1, sizeof *s->order, s->j.err);
  if (!s->terms || !s->order) return s->j.err->status;
  size_t n = 0;
  for (int pass = 0; pass < 2; pass++) {
    for (size_t i = 0; i < r->n_terms; i++) {
      const xai_term *t = &r->terms[i];
      const char *kind = t->prior ? t->prior->kind->name : "";
      const bool of_codes = r->decoder && (!strcmp(kind, "l2") || !strcmp(kind, "mean"));
      const bool on_code = t->on ? !strcmp(t->on, "code") : of_codes;
      if (!t->prior || !isfinite(t->weight))
        return xai__fail(s->j.err, XAI_E_ARGUMENT, "terms",
                         t->prior ? "the weight of term %zu is not finite"
                                  : "term %zu has no prior", i);
      if (t->on && strcmp(t->on, "code") && strcmp(t->on, "input"))
        return xai__fail(s->j.err, XAI_E_ARGUMENT, "on", "on is input or code, not '%s'", t->on);
      if (on_code && !r->decoder)
        return xai__fail(s->j.err, XAI_E_ARGUMENT, "on", "on=code needs a decoder: prior '%s'",
                         kind);
      if (on_code != (pass == 1)) continue;
      s->order[n] = i;
      s->terms[n++] = *t;
    }
    if (!pass) s->n_x = n;
  }
  return XAI_OK;
}

static int count_items(xai__search *s) {
  const xai_request *r = s->j.r;
  const xai_tensor *t = r->target;
  if (!t)
    return xai__fail(s->j.err, XAI_E_ARGUMENT, "target",
                     "a prototype needs a target: what of '%s'?",
                     s->j.s->graph->values[s->j.source].name);
  bool mask = t->dtype == XAI_F32;
  s->targets = mask ? 1 : xai__count(&t->shape);
  if (!mask && (t->dtype != XAI_I64 || t->shape.rank != 1 || s->targets < 1))
    return xai__fail(s->j.err, XAI_E_ARGUMENT, "target",
                     "the targets of prototypes are int64 [T] or one float32 mask, not %s %s",
                     xai__dtype_name(t->dtype), xai__shape_text(&t->shape).text);
  for (int64_t k = 0; !mask && k < s->targets; k++)
    if (((const int64_t *)t->data)[k] < 0)
      return xai__fail(s->j.err, XAI_E_ARGUMENT, "target",
                       "a prototype needs a target, not its maximum (%lld)",
                       (long long)((const int64_t *)t->data)[k]);
  s->restarts = (int64_t)xai__params_number(&s->j.params, "restarts");
  s->items = s->targets * s->restarts;
  if (s->items > 1 << 20)
    return xai__fail(s->j.err, XAI_E_LIMIT, "restarts", "%lld prototypes are too many for one call",
                     (long long)s->items);
  return XAI_OK;
}

static int read_request(xai__search *s) {
  xai__job *j = &s->j;
  const xai_request *r = j->r;
  if (r->n_rows || r->ledger || r->top)
    return xai__fail(j->err, XAI_E_ARGUMENT, r->n_rows ? "rows" : r->ledger ? "ledger" : "top",
                     "method '%s' takes no rules, no ledger and no top", r->method);
  j->method = xai__method_find(r->method, NULL);
  XAI__TRY(xai__method_params(j->method, r->params, r->n_params, &j->params, j->err));
  XAI__TRY(xai__choose_source(j));
  XAI__TRY(choose_input(s));
  XAI__TRY(check_decoder(s));
  XAI__TRY(sort_terms(s));
  XAI__TRY(count_items(s));
  bool output = !r->from;
  for (int i = 0; i < j->s->graph->n_outputs && r->from; i++)
    output |= !strcmp(r->from, j->s->graph->output_names[i]);
  const xai__value *score = xai__params_find(&j->params, "score");
  const xai_param value = {"score", NULL, "logit", 0}; /* their own value, unless asked otherwise */
  if (!score->given && (!output || r->target->dtype == XAI_F32))
    XAI__TRY(xai__params_set(&j->params, j->method->schema, r->method, &value, j->err));
  s->log_prob = xai__params_is(&j->params, "score", "log-prob");
  return XAI_OK;
}

/* ---- shapes and plans ---- */

const xai_tensor *xai__search_start(const xai__search *s) {
  const xai_request *r = s->j.r;
  bool alone = r->decoder || s->j.s->graph->n_inputs == 1;
  for (size_t i = 0; i < r->n_inputs; i++)
    if (r->inputs[i].name ? !strcmp(r->inputs[i].name, s->name) : alone) return r->inputs[i].tensor;
  return NULL;
}

/* The shape of z for n items: as declared, or where that is open as the start is. */
static int shape_of_z(xai__search *s, int64_t n, xai__shape *z) {
  const xai_graph *g = s->j.r->decoder ? s->j.r->decoder : s->j.s->graph;
  const xai__graph_value *v = &g->values[g->inputs[s->j.r->decoder ? 0 : s->input]];
  const xai_tensor *start = xai__search_start(s);
  *z = v->shape.rank < 0 && start ? start->shape : v->shape;
  if (z->rank < 1)
    return xai__fail(s->j.err, XAI_E_UNSUPPORTED, s->name,
                     "the shape of '%s' is not known, or without a batch axis", s->name);
  for (int k = 1; k < z->rank; k++) {
    if (z->d[k] < 0 && start && start->shape.rank == z->rank) z->d[k] = start->shape.d[k];
    if (z->d[k] < 1)
      return xai__fail(s->j.err, XAI_E_INPUT, s->name,
                       "axis %d of '%s' (%s) is open: give a start of the wanted size", k, s->name, xai__shape_text(&v->shape).text);
  }
  z->d[0] = n;
  int64_t count;
  if (xai__shape_checked_count(z, &count) && count <= g->options.max_tensor) return XAI_OK;
  return xai__fail(s->j.err, XAI_E_LIMIT, s->name, "'%s' of shape %s is too large", s->name,
                   xai__shape_text(z).text);
}

static int plan_decoder(xai__search *s) {
  const xai_graph *d = s->j.r->decoder;
  const xai_graph *g = s->j.s->graph;
  const xai__graph_value *to = &g->values[g->inputs[s->input]];
  xai__plan_free(s->decode);
  s->decode = NULL;
  s->x = s->z;
  if (!d) return XAI_OK;
  xai__plan_request q = {.input = &s->z, .want = &s->picture, .n_want = 1, .reverse = true,
                         .source = s->picture, .at = &d->inputs[0], .n_at = 1};
  XAI__TRY(xai__plan_create(d, s->j.s->engine, &q, &s->decode, s->j.err));
  const xai__view *x = &s->decode->value[s->picture];
  s->x = x->shape;
  bool fits = x->dtype == XAI_F32 && x->shape.rank > 0 && x->shape.d[0] == s->z.d[0] &&
              (to->shape.rank < 0 || to->shape.rank == x->shape.rank);
  for (int k = 1; fits && k < to->shape.rank; k++)
    fits = to->shape.d[k] < 0 || to->shape.d[k] == x->shape.d[k];
  if (fits) return XAI_OK;
  return xai__fail(s->j.err, XAI_E_INPUT, d->output_names[0],
                   "the decoder makes '%s' of shape %s (%s), which does not fit input '%s' of "
                   "shape %s",
                   d->output_names[0], xai__shape_text(&x->shape).text, xai__dtype_name(x->dtype),
                   to->name, xai__shape_text(&to->shape).text);
}

/* A fixed input for n items: as it is, or its only item n times. */
static int repeat(xai__search *s, const xai_tensor *t, int64_t n, const xai_tensor **out) {
  *out = t;
  if (!t || t->shape.rank < 1 || t->shape.d[0] != 1 || n == 1) return XAI_OK;
  const size_t bytes = (size_t)xai__count(&t->shape) * xai__dtype_size(t->dtype);
  xai_tensor *many = xai__arena_new(&s->arena, 1, sizeof *many, s->j.err);
  char *data = xai__arena_new(&s->arena, (size_t)n * bytes + 1, 1, s->j.err);
  if (!many || !data) return s->j.err->status;
  for (int64_t i = 0; i < n; i++) memcpy(data + (size_t)i * bytes, t->data, bytes);
  many->dtype = t->dtype;
  many->shape = t->shape;
  many->shape.d[0] = n;
  many->data = data;
  *out = many;
  return XAI_OK;
}

/* The network's inputs for n items, with a place for x, and the plans. */
static int plan(xai__search *s, int64_t n) {
  xai__job *j = &s->j;
  const xai_graph *g = j->s->graph;
  const xai_tensor *start = xai__search_start(s);
  XAI__TRY(shape_of_z(s, n, &s->z));
  XAI__TRY(plan_decoder(s));
  xai_request all = *j->r;
  xai_param *inputs = xai__arena_new(&s->arena, all.n_inputs + 1, sizeof *inputs, j->err);
  xai_tensor *x = xai__arena_new(&s->arena, 1, sizeof *x, j->err);
  int *at = xai__arena_new(&s->arena, 1, sizeof *at, j->err);
  if (!inputs || !x || !at) return j->err->status;
  x->dtype = XAI_F32;
  x->shape = s->x;
  x->data = xai__arena_new(&s->arena, (size_t)xai__count(&s->x) + 1, sizeof(float), j->err);
  if (!x->data) return j->err->status;
  all.n_inputs = 0;
  for (size_t i = 0; i < j->r->n_inputs; i++) {
    if (j->r->inputs[i].tensor == start) continue;
    inputs[all.n_inputs] = j->r->inputs[i];
    XAI__TRY(repeat(s, inputs[all.n_inputs].tensor, n, &inputs[all.n_inputs].tensor));
    all.n_inputs++;
  }
  const char *name = g->values[g->inputs[s->input]].name;
  for (size_t i = 0; i < all.n_inputs; i++)
    if (inputs[i].name && !strcmp(inputs[i].name, name))
      return xai__fail(j->err, XAI_E_INPUT, name,
                       "'%s' is what the decoder makes: a start is of '%s'", name, s->name);
  inputs[all.n_inputs++] = (xai_param){.name = name, .tensor = x};
  all.inputs = inputs;
  xai__arena_free(&j->in.arena);
  XAI__TRY(xai__inputs_read(j->s, &all, false, &j->in, j->err));
  at[0] = g->inputs[s->input];
  j->at = at;
  j->n_at = 1;
  return xai__job_plan(j, 1, &j->plan);
}

/* The length that a graph's input fixes its batch axis to; 0: free. */
static int64_t fixed_batch(const xai_graph *g, int input) {
  const xai__shape *shape = &g->values[g->inputs[input]].shape;
  return shape->rank > 0 && shape->d[0] > 0 ? shape->d[0] : 0;
}

static int choose_chunk(xai__search *s) {
  xai__job *j = &s->j;
  int64_t fixed = fixed_batch(j->s->graph, s->input);
  if (!fixed && j->r->decoder) fixed = fixed_batch(j->r->decoder, 0);
  s->chunk = fixed ? fixed : s->items;
  if (!fixed && s->items > 1) {
    XAI__TRY(plan(s, 1));
    const int64_t most = xai__job_batch(j, s->items), parts = (s->items + most - 1) / most;
    s->chunk = (s->items + parts - 1) / parts;
  }
  s->chunks = (s->items + s->chunk - 1) / s->chunk;
  s->room = s->chunk * s->chunks;
  return plan(s, s->chunk);
}

int xai__search_begin(xai__search *s, xai_session *session, const xai_request *r, xai_result *out,
                      xai_error *err) {
  *s = (xai__search){.j = {.s = session, .r = r, .out = out, .err = err},
                     .arena.memory = session->memory};
  XAI__TRY(read_request(s));
  XAI__TRY(choose_chunk(s));
  const xai__view *y = &s->j.plan->value[s->j.source];
  if (y->dtype != XAI_F32)
    return xai__fail(err, XAI_E_ARGUMENT, "from", "tensor '%s' is of integers: it has no prototype",
                     session->graph->values[s->j.source].name);
  for (size_t i = 0; i < s->n_terms; i++)
    XAI__TRY(xai__prior_fits(s->terms[i].prior, i < s->n_x ? &s->x : &s->z, err));
  s->each = xai__arena_new(&s->arena, s->n_terms * (size_t)s->chunk + 1, sizeof *s->each, err);
  s->target = xai__arena_new(&s->arena, (size_t)s->chunks, sizeof *s->target, err);
  return s->each && s->target ? XAI_OK : err->status;
}

void xai__search_free(xai__search *s) {
  for (int64_t c = 0; s->target && c < s->chunks; c++) xai__targets_free(&s->target[c]);
  xai__plan_free(s->decode);
  xai__arena_free(&s->j.in.arena);
  xai__arena_free(&s->arena);
}

/* ---- evaluating ---- */

/* The targets of a chunk; the network has run. */
static int read_targets(xai__search *s, int64_t c) {
  xai__job *j = &s->j;
  xai_request r = *j->r;
  xai_tensor one = {.dtype = XAI_I64, .shape = {2, {1, s->chunk}}};
  int64_t *index = xai__arena_new(&s->arena, (size_t)s->chunk, sizeof *index, j->err);
  if (!index) return j->err->status;
  for (int64_t i = 0; i < s->chunk && r.target->dtype == XAI_I64; i++) {
    int64_t item = c * s->chunk + i < s->items ? c * s->chunk + i : s->items - 1;
    index[i] = ((const int64_t *)r.target->data)[item / s->restarts];
  }
  one.data = index;
  if (r.target->dtype == XAI_I64) r.target = &one;
  xai__params how = {0};
  xai__params_schema(&how, s->log_prob ? "seed=one|value;output=log-prob|logit"
                                       : "seed=one|value;output=logit|log-prob");
  XAI__TRY(xai__targets_read(&r, &how, &j->plan->value[j->source], s->chunk, xai__job_class_axis(j),
                             j->s->memory, &s->target[c], j->err));
  if (s->target[c].n == 1) return XAI_OK;
  return xai__fail(j->err, XAI_E_ARGUMENT, "target", "a prototype takes one mask, not %lld",
                   (long long)s->target[c].n);
}

/* Each plane of [planes][h][w], moved around. */
static void roll(const xai__shape *s, const int64_t shift[2], const float *from, float *to) {
  const int64_t h = s->d[s->rank - 2], w = s->d[s->rank - 1], planes = xai__count(s) / (h * w);
  const int64_t down = (shift[0] % h + h) % h, right = (shift[1] % w + w) % w;
  for (int64_t p = 0; p < planes; p++)
    for (int64_t y = 0; y < h; y++) {
      const float *row = from + (p * h + y) * w;
      float *moved = to + (p * h + (y + down) % h) * w;
      memcpy(moved + right, row, (size_t)(w - right) * sizeof *row);
      memcpy(moved, row + w - right, (size_t)right * sizeof *row);
    }
}

static void move(const xai__search *s, const int64_t shift[2], const float *from, float *to) {
  if (shift[0] || shift[1])
    roll(&s->x, shift, from, to);
  else
    memcpy(to, from, (size_t)xai__count(&s->x) * sizeof *from);
}

/* Adds the experts [first, first + n) at v: their gradient to g, their values to `prior`. */
static int add_terms(xai__search *s, size_t first, size_t n, const xai__shape *shape, float *v,
                     float *g, double *prior) {
  const xai__view view = {.dtype = XAI_F32, .shape = *shape, .data = v};
  double *each = s->each + first * (size_t)s->chunk;
  if (!n) return XAI_OK;
  XAI__TRY(xai__terms_logp(s->terms + first, n, s->j.s->engine, &view, each, g, s->j.err));
  for (size_t i = 0; i < n; i++)
    memcpy(prior + s->order[first + i] * (size_t)s->room, each + i * (size_t)s->chunk,
           (size_t)s->chunk * sizeof *each);
  return XAI_OK;
}

static int run_network(xai__search *s, int64_t c, const float *x, const int64_t shift[2],
                       double *score) {
  xai__job *j = &s->j;
  move(s, shift, x, j->in.data[s->input]);
  XAI__TRY(xai__forward(j->plan, j->in.data, &j->watch, j->err));
  if (!s->target[c].f) XAI__TRY(read_targets(s, c));
  const xai__targets *t = &s->target[c];
  const float *y = xai__f(&j->plan->value[j->source]);
  for (int64_t i = 0; i < s->chunk; i++) score[i] = xai__targets_value(t, 0, i, y + i * t->size);
  return XAI_OK;
}

int xai__search_evaluate(xai__search *s, int64_t c, float *z, const int64_t shift[2], double *score,
                         double *prior, float *g) {
  xai__job *j = &s->j;
  xai__gradient through = {j->plan, XAI__PLAIN}, decoder = {s->decode, XAI__PLAIN};
  const int64_t back[2] = {-shift[0], -shift[1]};
  void *code = z;
  float *x = z;
  if (s->decode) {
    XAI__TRY(xai__forward(s->decode, &code, &j->watch, j->err));
    x = xai__f(&s->decode->value[s->picture]);
  }
  XAI__TRY(run_network(s, c, x, shift, score));
  xai__targets_seed(&s->target[c], 0, &j->plan->value[j->source],
                    xai__plan_grad(j->plan, j->source, 0));
  XAI__TRY(xai__reverse(j->plan, 1, xai__gradient_cross, &through, &j->watch, j->err));
  float *gx = s->decode ? xai__plan_grad(s->decode, s->picture, 0) : g;
  move(s, back, xai__plan_grad(j->plan, j->at[0], 0), gx);
  XAI__TRY(add_terms(s, 0, s->n_x, &s->x, x, gx, prior));
  if (s->decode) {
    XAI__TRY(xai__reverse(s->decode, 1, xai__gradient_cross, &decoder, &j->watch, j->err));
    memcpy(g, xai__plan_grad(s->decode, s->decode->graph->inputs[0], 0),
           (size_t)xai__count(&s->z) * sizeof *g);
  }
  return add_terms(s, s->n_x, s->n_terms - s->n_x, &s->z, z, g, prior);
}

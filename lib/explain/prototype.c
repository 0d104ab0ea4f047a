/* Activation maximisation: what a class looks like to the network [Simonyan et al. 2014; Montavon et
 * al. 2018, section 3; METHODS section 5]. Gradient ascent on F (search.h), every target and restart
 * at once:
 *
 *   z(0) = init + noise;   z(t+1) = step(z(t), dF/dz)   (ascent.h)
 *
 * Handed over is the best point met. With jitter it is the last, since a lucky shift says little, and
 * its score is taken where it lies. */
#include <math.h>
#include <string.h>

#include "base/number.h"
#include "base/random.h"
#include "explain/ascent.h"
#include "explain/search.h"
#include "prior/prior.h"

enum { START = 1, JITTER }; /* random streams: upper half of their number */

typedef struct climb {
  xai__search s;
  xai__ascent a;
  int64_t jitter;
  float *z, *g, *best;      /* [room][size] */
  double *score, *prior;    /* now: [room], [terms][room] */
  double *best_score, *best_prior, *top; /* there: also F */
  bool met;                 /* every item has a best */
  int64_t *shown, per;      /* the items handed over: `per` a target */
  xai_tensor *trace_step, *trace_score, *trace_prior; /* or NULL */
} climb;

/* ---- the start ---- */

/* Where a prior over z is centred. */
static int centre(climb *k, float *z) {
  static const char *const keys[] = {"mean", "x0", "a", "c"};
  const xai__search *s = &k->s;
  const int64_t size = k->a.size;
  for (size_t i = s->decode ? s->n_x : 0; i < s->n_terms; i++)
    for (size_t n = 0; n < sizeof keys / sizeof *keys; n++) {
      const xai__value *v = xai__params_find(&s->terms[i].prior->params, keys[n]);
      if (!v || !v->set || (v->tensor && xai__dtype_storage(v->tensor->dtype) != XAI_F32)) continue;
      const int64_t given = v->tensor ? xai__count(&v->tensor->shape) : 1;
      float *values = xai__arena_new(&k->s.arena, (size_t)given, sizeof *values, s->j.err);
      if (!values) return s->j.err->status;
      if (given != 1 && given != size) continue;
      *values = (float)v->number;
      if (v->tensor) xai__to_storage(v->tensor->dtype, v->tensor->data, given, values);
      for (int64_t e = 0; e < size; e++) z[e] = values[e % given];
      return XAI_OK;
    }
  return xai__fail(s->j.err, XAI_E_ARGUMENT, "init",
                   "init=mean needs a prior over '%s' that has a mean", s->name);
}

/* The start that the caller gave: one for all, or one an item. */
static int given(climb *k, const xai_tensor *t) {
  const xai__search *s = &k->s;
  const int64_t n = xai__count(&t->shape), size = k->a.size;
  if (xai__params_find(&s->j.params, "init")->given)
    return xai__fail(s->j.err, XAI_E_ARGUMENT, "init",
                     "init=%s and a start for '%s' were both given",
                     xai__params_find(&s->j.params, "init")->text, s->name);
  if (xai__dtype_storage(t->dtype) != XAI_F32 || (n != size && n != size * s->items))
    return xai__fail(s->j.err, XAI_E_INPUT, s->name,
                     "a start for '%s' is floats of shape %s, for one item or all %lld, not %s %s",
                     s->name, xai__shape_text(&k->a.item).text, (long long)s->items,
                     xai__dtype_name(t->dtype), xai__shape_text(&t->shape).text);
  xai__to_storage(t->dtype, t->data, n, k->z);
  for (int64_t i = n / size; i < s->room; i++)
    memcpy(k->z + i * size, k->z + (n == size ? 0 : i - 1) * size, (size_t)size * sizeof *k->z);
  return XAI_OK;
}

/* Chance is added to every restart but the first, and with init=noise to that, too. */
static int make_start(climb *k) {
  const xai__search *s = &k->s;
  const xai__params *p = &s->j.params;
  const int64_t size = k->a.size;
  const xai_tensor *start = xai__search_start(s);
  bool noise = !start && xai__params_is(p, "init", "noise");
  if (start) XAI__TRY(given(k, start));
  if (xai__params_is(p, "init", "mean") && !start) {
    XAI__TRY(centre(k, k->z));
    for (int64_t i = 1; i < s->room; i++)
      memcpy(k->z + i * size, k->z, (size_t)size * sizeof *k->z);
  }
  for (int64_t i = 0; i < s->room; i++) {
    int64_t restart = i % s->restarts;
    if (!noise && !restart) continue;
    xai__normals(s->j.r->random_seed, ((uint64_t)START << 32) + (uint64_t)restart, size, k->g);
    for (int64_t e = 0; e < size; e++)
      k->z[i * size + e] += (float)xai__params_number(p, "noise") * k->g[e];
  }
  xai__ascent_clip(&k->a, k->z);
  return XAI_OK;
}

/* ---- the ascent ---- */

static void choose_shift(const climb *k, int64_t step, int64_t shift[2]) {
  uint32_t w[4];
  const uint64_t span = 2 * (uint64_t)k->jitter + 1;
  xai__philox(k->s.j.r->random_seed, (uint64_t)JITTER << 32, (uint64_t)step, w);
  for (int i = 0; i < 2; i++) shift[i] = (int64_t)(w[i] % span) - k->jitter;
}

/* F's parts and gradient at every item. */
static int evaluate(climb *k, float *z, const int64_t shift[2], int64_t step) {
  xai__search *s = &k->s;
  for (int64_t c = 0; c < s->chunks; c++) {
    const int64_t first = c * s->chunk;
    s->j.watch.from = ((double)step + (double)c / (double)s->chunks) / (double)(k->a.steps + 1);
    XAI__TRY(xai__search_evaluate(s, c, z + first * k->a.size, shift, k->score + first,
                                  k->prior + first, k->g + first * k->a.size));
  }
  return XAI_OK;
}

/* F of item i from its parts. */
static double total(const climb *k, const double *score, const double *prior, int64_t i) {
  double f = score[i];
  for (size_t t = 0; t < k->s.n_terms; t++)
    f += k->s.j.r->terms[t].weight * prior[t * (size_t)k->s.room + (size_t)i];
  return f;
}

static void keep_parts(climb *k, int64_t i) {
  k->best_score[i] = k->score[i];
  for (size_t t = 0; t < k->s.n_terms; t++) {
    const size_t at = t * (size_t)k->s.room + (size_t)i;
    k->best_prior[at] = k->prior[at];
  }
}

/* Remembers the best points (with jitter: these). One that is no number any more, or out of all
 * bounds, is an error. */
static int keep_best(climb *k, int64_t step) {
  const int64_t size = k->a.size;
  for (int64_t i = 0; i < k->s.room; i++) {
    const float *z = k->z + i * size;
    double f = total(k, k->score, k->prior, i);
    bool sound = isfinite(f) && xai__all_finite(k->g + i * size, size);
    for (int64_t e = 0; e < size; e++) sound &= fabsf(z[e]) < 1e12f;
    if (!sound)
      return xai__fail(k->s.j.err, XAI_E_NUMBER, k->s.name,
                       "the ascent diverged at step %lld of %lld (item %lld: score %s): try a smaller "
                       "rate than %s",
                       (long long)step, (long long)k->a.steps, (long long)i,
                       xai__number_text(k->score[i]).text, xai__number_text(k->a.rate).text);
    if (k->met && !k->jitter && f <= k->top[i]) continue;
    k->top[i] = f;
    memcpy(k->best + i * size, z, (size_t)size * sizeof *z);
    keep_parts(k, i);
  }
  k->met = true;
  return XAI_OK;
}

static void write_trace(climb *k, int64_t step) {
  const int64_t every = k->s.j.r->trace, items = k->s.items, row = step / (every ? every : 1);
  if (!every || step % every) return;
  const int64_t n_terms = (int64_t)k->s.n_terms;
  ((int64_t *)k->trace_step->data)[row] = step;
  for (int64_t i = 0; i < items; i++) {
    ((float *)k->trace_score->data)[row * items + i] = (float)k->score[i];
    for (int64_t t = 0; t < n_terms; t++)
      ((float *)k->trace_prior->data)[(row * n_terms + t) * items + i] =
          (float)k->prior[t * k->s.room + i];
  }
}

static int climb_steps(climb *k) {
  int64_t shift[2] = {0, 0};
  for (int64_t step = 0; step <= k->a.steps; step++) {
    if (k->jitter) choose_shift(k, step, shift);
    XAI__TRY(evaluate(k, k->z, shift, step));
    XAI__TRY(keep_best(k, step));
    write_trace(k, step);
    if (step < k->a.steps) XAI__TRY(xai__ascent_step(&k->a, step, k->z, k->g, k->s.j.err));
  }
  if (!k->jitter) return XAI_OK;
  XAI__TRY(evaluate(k, k->best, (const int64_t[2]){0, 0}, k->a.steps));
  for (int64_t i = 0; i < k->s.room; i++) keep_parts(k, i);
  return XAI_OK;
}

/* ---- what it takes, what it gives ---- */

static int make_buffers(climb *k) {
  xai__search *s = &k->s;
  xai_error *err = s->j.err;
  xai__shape item = s->z;
  item.d[0] = 1;
  XAI__TRY(xai__ascent_begin(&k->a, s->j.s->engine, &s->j.params, &item, s->room, s->name,
                             &s->arena, err));
  k->jitter = (int64_t)xai__params_number(&s->j.params, "jitter");
  if (k->jitter && s->x.rank < 3)
    return xai__fail(err, XAI_E_ARGUMENT, "jitter",
                     "jitter is for pictures [N,...,H,W]: the input is %s",
                     xai__shape_text(&s->x).text);
  const size_t n = (size_t)(s->room * k->a.size) + 1, rooms = (size_t)s->room, terms = s->n_terms;
  float **floats[] = {&k->z, &k->g, &k->best};
  double **doubles[] = {&k->score, &k->best_score, &k->top, &k->prior, &k->best_prior};
  for (int i = 0; i < 3; i++)
    if (!(*floats[i] = xai__arena_new(&s->arena, n, sizeof(float), err))) return err->status;
  for (int i = 0; i < 5; i++)
    if (!(*doubles[i] =
              xai__arena_new(&s->arena, (i < 3 ? 1 : terms) * rooms + 1, sizeof(double), err)))
      return err->status;
  return XAI_OK;
}

static int make_trace(climb *k) {
  xai__search *s = &k->s;
  const int64_t every = s->j.r->trace;
  if (every < 0)
    return xai__fail(s->j.err, XAI_E_ARGUMENT, "trace",
                     "trace is %lld: steps from a row to the next, or 0", (long long)every);
  if (!every) return XAI_OK;
  const int64_t rows = k->a.steps / every + 1;
  xai__shape step = {1, {rows}}, score = {3, {rows, s->targets, s->restarts}};
  xai__shape prior = {4, {rows, (int64_t)s->n_terms, s->targets, s->restarts}};
  XAI__TRY(xai__result_tensor(s->j.out, "trace", "step", XAI_I64, &step, &k->trace_step, s->j.err));
  XAI__TRY(
      xai__result_tensor(s->j.out, "trace", "score", XAI_F32, &score, &k->trace_score, s->j.err));
  return xai__result_tensor(s->j.out, "trace", "prior", XAI_F32, &prior, &k->trace_prior, s->j.err);
}

/* Every restart, or of each target the one of the highest F. */
static int choose_shown(climb *k) {
  const xai__search *s = &k->s;
  const bool all = xai__params_is(&s->j.params, "keep", "all");
  k->per = all ? s->restarts : 1;
  k->shown = xai__arena_new(&k->s.arena, (size_t)s->items, sizeof *k->shown, s->j.err);
  if (!k->shown) return s->j.err->status;
  for (int64_t i = 0; i < s->items; i++) {
    int64_t *to = &k->shown[all ? i : i / s->restarts];
    if (all || i % s->restarts == 0 ||
        total(k, k->best_score, k->best_prior, i) > total(k, k->best_score, k->best_prior, *to))
      *to = i;
  }
  return XAI_OK;
}

/* The pictures that the best codes make, each at its item's place; *size numbers an item. */
static int decode_best(climb *k, float **pictures, int64_t *size) {
  xai__search *s = &k->s;
  const xai__watch unwatched = {0};
  *size = xai__span(&s->x, 1, s->x.rank);
  *pictures = xai__arena_new(&s->arena, (size_t)(s->room * *size), sizeof **pictures, s->j.err);
  if (!*pictures) return s->j.err->status;
  for (int64_t c = 0; c < s->chunks; c++) {
    void *code = k->best + c * s->chunk * k->a.size;
    XAI__TRY(xai__forward(s->decode, &code, &unwatched, s->j.err));
    memcpy(*pictures + c * s->chunk * *size, s->decode->value[s->picture].data,
           (size_t)(s->chunk * *size) * sizeof **pictures);
  }
  return XAI_OK;
}

/* "name": of from[room][size] the items that are shown, in a chunk's shape. */
static int give_items(climb *k, const char *name, const xai__shape *chunk, const float *from,
                      int64_t size) {
  xai__shape shape = *chunk;
  xai_tensor *t;
  shape.d[0] = k->s.targets * k->per;
  XAI__TRY(xai__result_tensor(k->s.j.out, name, NULL, XAI_F32, &shape, &t, k->s.j.err));
  for (int64_t i = 0; i < shape.d[0]; i++)
    memcpy((float *)t->data + i * size, from + k->shown[i] * size, (size_t)size * sizeof *from);
  return XAI_OK;
}

static int give_scores(climb *k) {
  xai__search *s = &k->s;
  xai_error *err = s->j.err;
  const int64_t n = s->targets * k->per, n_terms = (int64_t)s->n_terms;
  xai__shape two = {2, {s->targets, k->per}}, three = {3, {n_terms, s->targets, k->per}};
  xai_tensor *score, *prior, *target;
  XAI__TRY(xai__result_tensor(s->j.out, "score", NULL, XAI_F32, &two, &score, err));
  XAI__TRY(xai__result_tensor(s->j.out, "prior", NULL, XAI_F32, &three, &prior, err));
  for (int64_t i = 0; i < n; i++) ((float *)score->data)[i] = (float)k->best_score[k->shown[i]];
  for (int64_t t = 0; t < n_terms; t++)
    for (int64_t i = 0; i < n; i++)
      ((float *)prior->data)[t * n + i] = (float)k->best_prior[t * s->room + k->shown[i]];
  if (s->j.r->target->dtype != XAI_I64) return XAI_OK;
  XAI__TRY(xai__result_tensor(s->j.out, "target", NULL, XAI_I64, &two, &target, err));
  for (int64_t i = 0; i < n; i++)
    ((int64_t *)target->data)[i] = ((const int64_t *)s->j.r->target->data)[i / k->per];
  return XAI_OK;
}

static int give_all(climb *k, bool partial) {
  xai__search *s = &k->s;
  float *pictures;
  int64_t size;
  XAI__TRY(choose_shown(k));
  XAI__TRY(give_items(k, s->decode ? "code" : "prototype", &s->z, k->best, k->a.size));
  if (s->decode) {
    XAI__TRY(decode_best(k, &pictures, &size));
    XAI__TRY(give_items(k, "prototype", &s->x, pictures, size));
  }
  XAI__TRY(give_scores(k));
  XAI__TRY(xai__job_report(&s->j));
  const xai__shape scalar = {0, {0}};
  xai_tensor *t;
  if (!partial) return XAI_OK;
  XAI__TRY(xai__result_tensor(s->j.out, "partial", NULL, XAI_I64, &scalar, &t, s->j.err));
  *(int64_t *)t->data = 1;
  return XAI_OK;
}

static int run(climb *k) {
  xai__job *j = &k->s.j;
  XAI__TRY(xai__search_begin(&k->s, j->s, j->r, j->out, j->err));
  XAI__TRY(make_buffers(k));
  XAI__TRY(make_start(k));
  XAI__TRY(make_trace(k));
  xai__session_make_room(j->s, j->plan);
  j->watch = (xai__watch){j->r->cancel, j->r->progress, j->r->progress_user, xai__seconds(), 0, 0,
                          &j->reached};
  int status = climb_steps(k);
  if (status != XAI_E_CANCELLED) return status ? status : give_all(k, false);
  const xai_error why = *j->err;
  if (k->met && (status = give_all(k, true))) return status;
  *j->err = why;
  return XAI_E_CANCELLED;
}

int xai__prototype(xai_session *s, const xai_request *r, xai_result *out, xai_error *err) {
  climb k = {.s.j = {.s = s, .r = r, .out = out, .err = err}};
  int status = run(&k);
  xai__search_free(&k.s);
  return status;
}

int xai__prototype_bill(xai_session *s, const xai_request *r, int64_t *bytes, xai_error *err) {
  climb k = {.s.j = {.s = s, .r = r, .err = err}};
  int status = xai__search_begin(&k.s, s, r, NULL, err);
  if (!status) status = make_buffers(&k);
  if (!status) {
    const xai__plan *plans[] = {k.s.j.plan, k.s.decode};
    const int64_t rows = 1 + (r->trace > 0 ? k.a.steps / r->trace + 1 : 0);
    const int64_t numbers = 8 * (1 + (int64_t)k.s.n_terms) * rows, x = xai__count(&k.s.x) / k.s.chunk;
    *bytes = xai__arena_bytes(&k.s.arena) + 2 * xai__arena_bytes(&k.s.j.in.arena) +
             k.s.room * (k.a.size + 2 * x + numbers) * (int64_t)sizeof(float) + (1 << 14);
    for (int i = 0; i < 2; i++)
      if (plans[i])
        *bytes += plans[i]->bytes + plans[i]->scratch + plans[i]->weights + xai__arena_bytes(&plans[i]->arena);
  }
  xai__search_free(&k.s);
  return status;
}

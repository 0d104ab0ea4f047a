/* A plan that fits. Values that the reverse sweep reads are kept, as long as there is room for them.
 * Where there is not, the units are cut into segments, and only what crosses a border is kept: before the
 * reverse sweep crosses the steps of a segment, it computes the segment's other values anew, from what was
 * kept, by the same units: the same bits.
 *
 * More segments are tried until all fits. Borders share out the bytes that would be kept, and lie where few
 * bytes cross them. */
#include <string.h>

#include "exec/planner.h"

typedef struct cutter {
  xai__planner *q;
  int *born, *last;  /* per owner: the first unit that writes it, the last one that writes or reads it */
  bool *stays;       /* per owner: read by the caller, or in another segment than its own */
  bool *kept;        /* per owner: of a value that the reverse sweep reads */
  bool *again;       /* per owner: computed anew */
  int64_t *kept_at;  /* per unit: bytes of kept owners born there */
  int64_t *crossing; /* per unit: bytes of owners born before it, and read by it or later */
} cutter;

/* ---- times ---- */

int xai__plan_time_back(const xai__planner *q, int step) {
  const xai__plan *p = q->p;
  const int again = p->n_segments ? p->n_units - p->first[p->segment[step]] : 0;
  return p->n_units + p->n_steps - 1 - step + again;
}

int xai__plan_time_again(const xai__planner *q, int unit) {
  const xai__plan *p = q->p;
  int segment = 0, later = 0;
  while (p->first[segment + 1] <= unit) segment++;
  for (int j = 0; j < p->n_steps; j++) later += p->segment[j] > segment;
  return p->n_units + later + (p->n_units - p->first[segment + 1]) + unit - p->first[segment];
}

/* ---- who reads what ---- */

typedef void (*visit_fn)(cutter *c, int value, int at);

static void visit(cutter *c, const int *v, int n, int at, visit_fn f) {
  for (int k = 0; k < n; k++)
    if (v[k] >= 0) f(c, c->q->p->owner[v[k]], at);
}

static void visit_unit(cutter *c, int i, visit_fn in, visit_fn out) {
  const xai__unit *u = &c->q->p->unit[i];
  const xai__node *node = &u->step.node;
  visit(c, &u->out, 1, i, out);
  if (node->n_out > 1) visit(c, node->out + 1, node->n_out - 1, i, out);
  visit(c, node->in, node->n_in, i, in);
  visit(c, &u->add, 1, i, in);
  if (u->activation) visit(c, u->activation->in + 1, u->activation->n_in - 1, i, in);
}

/* All that the crossing of a step may look at. */
static void visit_step(cutter *c, const xai__step *s, int at, visit_fn f) {
  const xai__node *nodes = c->q->p->graph->nodes;
  visit(c, s->node.in, s->node.n_in, at, f);
  visit(c, s->node.out, s->node.n_out, at, f);
  for (int i = 0; i < s->n_inner; i++) {
    visit(c, nodes[s->inner[i]].in, nodes[s->inner[i]].n_in, at, f);
    visit(c, nodes[s->inner[i]].out, nodes[s->inner[i]].n_out, at, f);
  }
  for (int i = 0; i < s->n_before; i++) visit(c, nodes[s->before[i]].in, nodes[s->before[i]].n_in, at, f);
  for (int i = 0; i < s->n_after; i++) visit(c, nodes[s->after[i]].in, nodes[s->after[i]].n_in, at, f);
}

static void is_read(cutter *c, int owner, int unit) {
  if (c->last[owner] < unit) c->last[owner] = unit;
}

static void is_written(cutter *c, int owner, int unit) {
  if (c->born[owner] < 0) c->born[owner] = unit;
  is_read(c, owner, unit);
}

static void look(cutter *c) {
  const xai__plan *p = c->q->p;
  const int n_values = p->graph->n_values;
  for (int v = 0; v < n_values; v++) c->born[v] = c->last[v] = -1;
  for (int i = 0; i < p->n_units; i++) visit_unit(c, i, is_read, is_written);
  for (int v = 0; v < n_values; v++) c->kept[p->owner[v]] |= p->kept[v];
  for (int v = 0; v < n_values; v++) {
    if (c->q->birth[v] < 0) continue; /* known, given, or within another */
    if (c->kept[v]) c->kept_at[c->born[v]] += xai__plan_bytes(p, v);
    for (int i = c->born[v] + 1; i <= c->last[v]; i++) c->crossing[i] += xai__plan_bytes(p, v);
  }
}

/* ---- cutting ---- */

static void cut(cutter *c, int most) {
  xai__plan *p = c->q->p;
  int64_t all = 0, before = 0;
  for (int i = 0; i < p->n_units; i++) all += c->kept_at[i];
  p->n_segments = 0;
  p->first[0] = 0;
  for (int i = 1, best = -1, part = 1; i < p->n_units && part < most; i++) {
    before += c->kept_at[i - 1];
    const int64_t half = all / (2 * most);
    if (before >= (2 * part - 1) * half && (best < 0 || c->crossing[i] < c->crossing[best])) best = i;
    if (before < (2 * part + 1) * half || best < 0) continue;
    if (best > p->first[p->n_segments]) p->first[++p->n_segments] = best;
    best = -1;
    part++;
  }
  p->first[++p->n_segments] = p->n_units;
  for (int j = p->n_steps - 1, s = p->n_segments - 1; j >= 0; j--) {
    while (s > 0 && p->unit[p->first[s]].step.origin > p->steps.v[p->step[j]].origin) s--;
    p->segment[j] = s;
  }
}

static int segment_of(const xai__plan *p, int unit) {
  int s = 0;
  while (p->first[s + 1] <= unit) s++;
  return s;
}

static void is_seen(cutter *c, int owner, int segment) {
  if (c->born[owner] >= 0 && segment_of(c->q->p, c->born[owner]) != segment) c->stays[owner] = true;
}

static void is_needed(cutter *c, int owner, int unit) {
  (void)unit;
  if (c->born[owner] < 0) return;
  if (c->stays[owner]) c->q->held[owner] = true;
  else c->again[owner] = true;
}

static void lives_again(cutter *c, int owner, int unit) {
  const int time = xai__plan_time_again(c->q, unit);
  if (!c->again[owner]) return;
  if (c->q->again_birth[owner] < 0) c->q->again_birth[owner] = time;
  c->q->again_death[owner] = time;
}

static void is_crossed(cutter *c, int owner, int time) {
  if (c->again[owner] && c->q->passing[owner] && c->q->again_death[owner] < time) c->q->again_death[owner] = time;
}

/* What is computed anew, and how long it lives. */
static void rerun(cutter *c) {
  xai__planner *q = c->q;
  xai__plan *p = q->p;
  const int n_values = p->graph->n_values;
  for (int v = 0; v < n_values; v++) {
    c->stays[v] = c->born[v] < 0 || q->birth[v] < 0 ||
                  segment_of(p, c->born[v]) != segment_of(p, c->last[v]);
    p->again[v] = q->again_birth[v] = q->again_death[v] = -1;
    q->held[v] = false;
  }
  for (int i = 0; i < q->r->n_want; i++) c->stays[p->owner[q->r->want[i]]] = true;
  for (int i = 0; i < p->n_at; i++) c->stays[p->owner[p->at[i]]] = true;
  for (int j = 0; j < p->n_steps; j++) visit_step(c, &p->steps.v[p->step[j]], p->segment[j], is_seen);
  for (int v = 0; v < n_values; v++) c->again[v] = q->passing[v] = c->kept[v] && !c->stays[v];
  for (int i = p->n_units - 1; i >= 0; i--) {
    const xai__unit *u = &p->unit[i];
    p->rerun[i] = u->out >= 0 && c->again[p->owner[u->out]];
    for (int k = 1; k < u->step.node.n_out; k++)
      p->rerun[i] |= u->step.node.out[k] >= 0 && c->again[p->owner[u->step.node.out[k]]];
    if (p->rerun[i]) visit_unit(c, i, is_needed, is_needed);
  }
  for (int i = 0; i < p->n_units; i++)
    if (p->rerun[i]) visit_unit(c, i, lives_again, lives_again);
  for (int j = 0; j < p->n_steps; j++)
    visit_step(c, &p->steps.v[p->step[j]], xai__plan_time_back(q, j), is_crossed);
}

/* ---- all of it ---- */

static int64_t need(const xai__planner *q) {
  const xai__plan *p = q->p;
  int64_t results = (int64_t)1 << 16;
  for (int i = 0; i < p->n_at; i++) results += 2 * xai__plan_bytes(p, p->at[i]);
  return p->bytes + xai__plan_scratch(q, 1) + p->scratch + xai__arena_bytes(&p->arena) + results;
}

static int start(cutter *c) {
  xai__planner *q = c->q;
  xai__plan *p = q->p;
  const size_t n = (size_t)p->graph->n_values, m = (size_t)p->n_units + 1;
  c->born = xai__plan_new(q, n, sizeof(int));
  c->last = xai__plan_new(q, n, sizeof(int));
  c->stays = xai__plan_new(q, n, 1);
  c->kept = xai__plan_new(q, n, 1);
  c->again = xai__plan_new(q, n, 1);
  c->kept_at = xai__plan_new(q, m, sizeof(int64_t));
  c->crossing = xai__plan_new(q, m, sizeof(int64_t));
  q->again_birth = xai__plan_new(q, n, sizeof(int));
  q->again_death = xai__plan_new(q, n, sizeof(int));
  q->passing = xai__plan_new(q, n, 1);
  q->held = xai__plan_new(q, n, 1);
  p->first = xai__plan_new(q, m, sizeof *p->first);
  p->rerun = xai__plan_new(q, m, 1);
  p->segment = xai__plan_new(q, (size_t)p->n_steps, sizeof *p->segment);
  p->again = xai__plan_new(q, n, sizeof *p->again);
  if (!c->born || !c->last || !c->stays || !c->kept || !c->again || !c->kept_at || !c->crossing ||
      !q->again_birth || !q->again_death || !q->passing || !q->held || !p->first || !p->rerun || !p->segment || !p->again)
    return q->err->status;
  look(c);
  return XAI_OK;
}

static int in_segments(cutter *c, int most) {
  cut(c, most);
  rerun(c);
  xai__plan_lives(c->q);
  return xai__plan_place(c->q);
}

int xai__plan_segments(xai__planner *q) {
  enum { MOST = 64 };
  cutter c = {.q = q};
  int best = 0;
  int64_t least = INT64_MAX;
  xai__plan_lives(q);
  XAI__TRY(xai__plan_place(q));
  if (!q->r->reverse || !q->r->reads || need(q) <= q->r->room) return XAI_OK;
  XAI__TRY(start(&c));
  for (int n = 2; n <= MOST && n <= q->p->n_units; n += (n + 1) / 2) {
    XAI__TRY(in_segments(&c, n));
    if (need(q) <= q->r->room) return XAI_OK;
    if (q->p->bytes >= least) continue;
    least = q->p->bytes;
    best = n;
  }
  return best ? in_segments(&c, best) : XAI_OK;
}

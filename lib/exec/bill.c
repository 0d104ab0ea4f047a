/* What a plan's sweeps take beyond its buffer, told before they run: scratch of the session's engine, and
 * the forms of weights that the graph then keeps (layer.c). Upper bounds. */
#include <string.h>

#include "exec/layer.h"
#include "exec/planner.h"

#define MARGIN ((int64_t)5 << 18)
#define ENTRY 1024 /* of a cache: its head and key */

static int64_t bytes_of(const xai__plan *p, const int *v, int n) {
  int64_t count = 0;
  for (int k = 0; k < n; k++)
    if (v[k] >= 0) count += xai__stored(&p->value[v[k]]);
  return count * (int64_t)sizeof(float);
}

/* A node's product, if it is a layer: its weights' operand and bytes. */
typedef struct layer {
  xai__product p;
  int weights; /* -1: it is none */
  int64_t bytes;
  bool copied; /* a copy of them is multiplied */
} layer;

static int read_layer(xai__planner *q, const xai__node *node, layer *l) {
  xai__plan *p = q->p;
  xai__view *out = q->in + node->n_in;
  xai__call c = {node, node->n_in, node->n_out, q->in, out, q->in_static, p->engine, q->err};
  int x;
  *l = (layer){.weights = -1};
  for (int k = 0; k < 2 && k < node->n_in; k++)
    if (xai__is_weight(p->graph, node, k)) l->weights = k;
  if (l->weights < 0) return XAI_OK;
  xai__plan_views(p, node, q->in, q->in_static);
  out[0] = p->value[node->out[0]];
  const size_t mark = xai__scratch_mark(p->engine);
  const int status = node->op->product(&c, &l->p, &x);
  xai__scratch_release(p->engine, mark);
  l->copied = l->p.w != c.in[l->weights].data;
  l->bytes = bytes_of(p, &node->in[l->weights], 1);
  return status;
}

/* The bias of a layer with a constant of one number an element folded in, which the plan keeps. */
static int64_t folded_bytes(const xai__plan *p, const xai__step *s) {
  int64_t bytes = 0;
  for (int k = 0; k < s->n_after; k++)
    if (p->graph->nodes[s->after[k]].n_in == 2) bytes += bytes_of(p, s->node.out, 1); /* Add, Sub */
  return bytes;
}

/* Whether what is folded into a layer changes its weights, and not only its bias. */
static bool is_changed(const xai__plan *p, const xai__step *s, const layer *l) {
  bool changed = s->n_before || (s->n_after && l->copied);
  for (int k = 0; k < s->n_after; k++) changed |= p->graph->nodes[s->after[k]].n_in > 2;
  return changed;
}

/* Bytes of the forms of a layer's weights that the forward sweep makes, or the reverse one; fresh: folded
 * in a way that none was made of before. *making: of copies while one is made. */
static int64_t forms_of(const xai__plan *p, const xai__step *s, const layer *l, bool reverse, bool fresh,
                        unsigned char reads, int64_t *making) {
  if (l->weights < 0) return 0;
  const bool loose = xai__is_loose(&p->graph->values[s->node.in[l->weights]].constant);
  const bool changed = is_changed(p, s, l), own = reads & XAI__MAKES_WEIGHTS;
  int64_t floats, copies;
  if (p->native[s->origin]) {
    const int64_t read = xai__pack_count(&l->p, XAI__PACK_FORWARD);
    const bool apart = xai__pack_read(&l->p, XAI__PACK_ADJOINT) == XAI__PACK_ADJOINT;
    const int64_t turned = reverse && apart ? xai__pack_count(&l->p, XAI__PACK_ADJOINT) : 0;
    floats = (fresh ? read : 0) + (own ? read + 2 * turned : turned);
    copies = (changed || loose) + own;
  } else {
    const int64_t panels = xai__layer_panels(p->engine, &l->p);
    const bool in_place = reverse ? fresh || panels : !panels;
    floats = (reverse ? 0 : panels) + (fresh && changed ? l->bytes : in_place && loose ? l->bytes : 0) / 4;
    copies = !reverse && panels && loose;
  }
  if (*making < copies * l->bytes) *making = copies * l->bytes;
  return floats * (int64_t)sizeof(float) + ENTRY;
}

static bool is_unit(const xai__plan *p, const xai__step *s) {
  for (int i = 0; i < p->n_units; i++) {
    const xai__step *u = &p->unit[i].step;
    if (u->origin == s->origin)
      return !s->n_before && s->n_after == u->n_after &&
             (!s->n_after || !memcmp(s->after, u->after, (size_t)s->n_after * sizeof *s->after));
  }
  return false;
}

int xai__plan_bill(xai__planner *q) {
  xai__plan *p = q->p;
  int64_t making = 0;
  q->weights = xai__plan_new(q, (size_t)(p->n_units + p->n_steps), sizeof *q->weights);
  if (!q->weights) return q->err->status;
  for (int i = 0; i < p->n_units + p->n_steps; i++) {
    const bool reverse = i >= p->n_units;
    const int index = reverse ? p->step[i - p->n_units] : -1;
    const xai__step *s = reverse ? &p->steps.v[index] : &p->unit[i].step;
    const unsigned char reads = reverse ? p->reads[index] : 0;
    layer l;
    XAI__TRY(read_layer(q, &s->node, &l));
    q->weights[i] = l.copied ? 0 : l.bytes;
    p->weights += forms_of(p, s, &l, reverse, !reverse || !is_unit(p, s), reads, &making);
  }
  p->weights += making;
  return XAI_OK;
}

/* Of running one node or crossing one step: arrays of its results' and its operands' size, on top of what
 * a convolution may take to be fast (layout.c). For several targets denominators are kept, and arrays hold
 * those that are served together. */
int64_t xai__plan_scratch(const xai__planner *q, int64_t targets) {
  const xai__plan *p = q->p;
  int64_t most = 0, kept = MARGIN;
  for (int i = 0; i < p->n_units + p->n_steps; i++) {
    const bool reverse = i >= p->n_units;
    const int index = reverse ? p->step[i - p->n_units] : -1;
    const xai__step *s = reverse ? &p->steps.v[index] : &p->unit[i].step;
    const unsigned char reads = reverse ? p->reads[index] : 0;
    const bool by_terms = s->cross == XAI__CROSS_LINEAR && reads & (XAI__READS_IN | XAI__READS_OUT);
    const int64_t out = bytes_of(p, s->node.out, s->node.n_out);
    const int64_t in = bytes_of(p, s->node.in, s->node.n_in) - q->weights[i];
    int64_t bytes = (by_terms ? 2 : 1) * in + (by_terms ? 4 : reverse ? 2 : 1) * out;
    if (reverse && targets > 1) {
      const int64_t x = s->node.n_in ? bytes_of(p, &s->node.in[s->operand], 1) : 0;
      const int64_t arrays = reads & XAI__READS_IN ? 2 : 1;
      bytes = in + 3 * out + arrays * xai__together(x, out, targets) * (x + out);
    }
    if (most < bytes) most = bytes;
    kept += folded_bytes(p, s);
  }
  return most + kept;
}

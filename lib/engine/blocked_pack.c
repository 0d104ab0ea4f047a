/* Weights in the order in which the tiles of a direction read them. */
#include "engine/blocked_inside.h"

#define MOST_WASTE 4 /* multiplications by zeros that merged groups may cost */

static int64_t round_up(int64_t a, int64_t b) { return (a + b - 1) / b * b; }

/* Groups that are merged into one, so that its channels fill whole blocks; 0: not served. */
static int64_t merged_groups(const xai__product *p) {
  if (p->groups == 1) return 1;
  for (int64_t r = 1; r <= MOST_WASTE; r *= 2)
    if (p->groups % r == 0 && r * p->c % XAI__BLOCK == 0 && r * p->m % XAI__BLOCK == 0) return r;
  return 0;
}

static bool is_depthwise(const xai__product *p) { return p->groups > 1 && p->c == 1 && p->m == 1; }

/* The sums of images are not split in pieces (kernels.h): longer ones lose digits that badly
 * conditioned rules then miss. */
#define IMAGE_TERMS 256

bool xai__blocked_serves(const xai__product *p) {
  if (p->kind != XAI__CONV || p->in[0] != 1 || p->out[0] != 1 || p->kernel[0] != 1) return false;
  if (p->pad[0] != 0 || (p->b && p->n_bias != p->groups * p->m)) return false;
  if (xai__blocked_image(p) && p->c * p->kernel[1] * p->kernel[2] > IMAGE_TERMS) return false;
  return is_depthwise(p) || merged_groups(p) > 0;
}

bool xai__blocked_image(const xai__product *p) {
  return p->groups == 1 && p->c <= XAI__IMAGE_CHANNELS;
}

xai__pack_form xai__pack_read(const xai__product *p, xai__pack_form direction) {
  return is_depthwise(p) || xai__blocked_image(p) ? direction : XAI__PACK_FORWARD;
}

xai__filters xai__filters_of(const xai__product *p, xai__pack_form form) {
  xai__filters f = {.p = p, .adjoint = form == XAI__PACK_ADJOINT, .depthwise = is_depthwise(p)};
  f.geometry = (xai__geometry){.adjoint = f.adjoint, .p = p};
  for (int d = 0; d < 3; d++) {
    f.geometry.large[d] = p->in[d];
    f.geometry.small[d] = p->out[d];
  }
  if (f.depthwise) {
    f.groups = round_up(p->groups, XAI__BLOCK) / XAI__BLOCK;
    f.in = 1;
    f.out = XAI__BLOCK;
    return f;
  }
  const int64_t merged = merged_groups(p);
  f.groups = p->groups / merged;
  f.in = merged * (f.adjoint ? p->m : p->c);
  f.out = merged * (f.adjoint ? p->c : p->m);
  f.image = f.adjoint && xai__blocked_image(p);
  return f;
}

int64_t xai__filters_phases(const xai__filters *f) {
  if (f->image) return 1;
  return xai__axis_phases(&f->geometry, 1) * xai__axis_phases(&f->geometry, 2);
}

void xai__filters_axes(const xai__filters *f, int64_t phase, xai__axis axis[2]) {
  const int64_t columns = xai__axis_phases(&f->geometry, 2);
  axis[0] = xai__axis_of(&f->geometry, 1, phase / columns);
  axis[1] = xai__axis_of(&f->geometry, 2, phase % columns);
}

int64_t xai__filters_taps(const xai__filters *f, int64_t phase) {
  xai__axis axis[2];
  if (f->image) return f->p->kernel[1] * f->p->kernel[2];
  xai__filters_axes(f, phase, axis);
  return axis[0].taps * axis[1].taps;
}

static int64_t size_of_tap(const xai__filters *f) {
  return f->groups * f->in * (f->image ? f->out : round_up(f->out, XAI__BLOCK));
}

int64_t xai__filters_offset(const xai__filters *f, int64_t phase) {
  int64_t taps = 0;
  for (int64_t i = 0; i < phase; i++) taps += xai__filters_taps(f, i);
  return taps * size_of_tap(f);
}

int64_t xai__pack_count(const xai__product *p, xai__pack_form form) {
  const xai__filters f = xai__filters_of(p, form);
  return xai__filters_offset(&f, xai__filters_phases(&f));
}

int64_t xai__blocked_border(const xai__product *p, xai__pack_form form) {
  const xai__filters f = xai__filters_of(p, form);
  const int64_t phases = xai__filters_phases(&f);
  int64_t border = 0;
  if (xai__blocked_image(p)) return 0;
  for (int64_t i = 0; i < phases; i++) {
    xai__axis axis[2];
    xai__filters_axes(&f, i, axis);
    for (int d = 0; d < 2; d++) {
      const xai__axis *a = &axis[d];
      if (a->taps == 0 || a->count == 0) continue;
      const int64_t far = (a->taps - 1) * a->at_step, first = a->at + (far < 0 ? far : 0);
      const int64_t last = a->at + (far > 0 ? far : 0) + (a->count - 1) * a->step;
      if (-first > border) border = -first;
      if (last - a->source + 1 > border) border = last - a->source + 1;
    }
  }
  return border;
}

/* ---- packing: a task is some chunks ---- */

typedef struct packing {
  const xai__kernels *k;
  const xai__filters *f;
  xai__edit we;
  int64_t phase, chunks; /* of a group */
  xai__axis axis[2];
  float *to;
} packing;

/* Weight of out channel o and in channel i of group g at kernel element t; 0 between groups. */
static float weight(const xai__filters *f, xai__edit we, int64_t g, int64_t o, int64_t i,
                    int64_t t) {
  const xai__product *p = f->p;
  const int64_t taps = p->kernel[1] * p->kernel[2];
  int64_t large, small; /* channels of the convolution's input and output */
  if (f->depthwise) {
    small = g * XAI__BLOCK + o;
    if (small >= p->groups) return 0;
    return xai__edited(we, p->w[small * taps + t]);
  }
  large = g * (f->adjoint ? f->out : f->in) + (f->adjoint ? o : i);
  small = g * (f->adjoint ? f->in : f->out) + (f->adjoint ? i : o);
  if (large / p->c != small / p->m) return 0;
  return xai__edited(we, p->w[(small * p->c + large % p->c) * taps + t]);
}

/* The kernel element of a phase's tap. */
static int64_t element_of(const xai__filters *f, const xai__axis axis[2], int64_t t) {
  const xai__axis *y = &axis[0], *x = &axis[1];
  return (y->tap + t / x->taps * y->tap_step) * f->p->kernel[2] + x->tap + t % x->taps * x->tap_step;
}

#define MOST_TAPS 64 /* of a channel whose kernels are turned at once */

/* Neither groups side by side nor an edit: a channel's kernels are turned, then their rows put
 * where they belong. Rows of one tap lie `channels` apart. */
static void turn_channels(const packing *j, int64_t g, int64_t first, int lanes, int64_t b,
                          int64_t channels, const int64_t *element, int64_t taps, float *to) {
  const xai__filters *f = j->f;
  const xai__product *p = f->p;
  const int64_t all = p->kernel[1] * p->kernel[2];
  const int64_t of_small = p->c * all, of_large = all;
  const int64_t of_out = f->adjoint ? of_large : of_small;
  const int64_t of_in = f->adjoint ? of_small : of_large;
  const int n = (int)at_most(lanes, f->out - first);
  const float *from = p->w + g * p->m * of_small + first * of_out + b * of_in;
  float rows[MOST_TAPS * XAI__CHUNK];
  if (all == 1 && taps == 1) {
    (f->adjoint ? j->k->copy : j->k->transpose)(from, f->adjoint ? of_in : of_out, n, channels,
                                                lanes, to);
    return;
  }
  for (int64_t i = 0; i < channels; i++, from += of_in) {
    j->k->transpose(from, of_out, n, all, lanes, rows);
    for (int64_t t = 0; t < taps; t++)
      memcpy(to + (t * channels + i) * lanes, rows + element[t] * lanes,
             (size_t)lanes * sizeof *to);
  }
}

static bool turns(const packing *j) {
  const xai__filters *f = j->f;
  const xai__product *p = f->p;
  return !f->depthwise && f->groups == p->groups &&
         xai__edit_is_identity(j->we) && p->kernel[1] * p->kernel[2] <= MOST_TAPS;
}

static void pack_chunk(const packing *j, int64_t g, int64_t chunk) {
  const xai__filters *f = j->f;
  const xai__axis *y = &j->axis[0], *x = &j->axis[1];
  const int64_t taps = y->taps * x->taps;
  const int64_t out = round_up(f->out, XAI__BLOCK), first = chunk * XAI__CHUNK;
  const int64_t lanes = out - first < XAI__CHUNK ? out - first : XAI__CHUNK;
  float *to = j->to + (g * out + first) * f->in * taps;
  const bool turned = turns(j);
  int64_t element[MOST_TAPS];
  for (int64_t t = 0; turned && t < taps; t++) element[t] = element_of(f, j->axis, t);
  for (int64_t b = 0; b < f->in; b += XAI__BLOCK) {
    const int64_t channels = at_most(XAI__BLOCK, f->in - b);
    if (turned) {
      turn_channels(j, g, first, (int)lanes, b, channels, element, taps, to);
      to += channels * taps * lanes;
      continue;
    }
    for (int64_t t = 0; t < taps; t++)
      for (int64_t i = b; i < b + channels; i++)
        for (int64_t l = 0; l < lanes; l++)
          *to++ = first + l < f->out ? weight(f, j->we, g, first + l, i, element_of(f, j->axis, t)) : 0;
  }
}

static void pack_chunks(void *ctx, int64_t begin, int64_t end) {
  const packing *j = ctx;
  for (int64_t i = begin; i < end; i++) pack_chunk(j, i / j->chunks, i % j->chunks);
}

static void pack_image(const xai__filters *f, xai__edit we, float *to) {
  const xai__product *p = f->p;
  for (int64_t ky = 0; ky < p->kernel[1]; ky++)
    for (int64_t phase = 0; phase < p->stride[2]; phase++)
      for (int64_t m = 0; m < p->m; m++)
        for (int64_t kx = 0; kx < p->kernel[2]; kx++)
          for (int64_t c = 0; c < p->c && xai__image_phase(p, kx) == phase; c++)
            *to++ = weight(f, we, 0, c, m, ky * p->kernel[2] + kx);
}

void xai__pack_edited(xai__engine *e, const xai__filters *f, xai__edit we, float *to) {
  const int64_t phases = xai__filters_phases(f);
  packing j = {.k = &e->k, .f = f, .we = we, .to = to};
  if (f->image) {
    pack_image(f, we, to);
    return;
  }
  j.chunks = ceil_div(f->out, XAI__CHUNK);
  for (j.phase = 0; j.phase < phases; j.phase++) {
    xai__filters_axes(f, j.phase, j.axis);
    xai__parallel(e, f->groups * j.chunks, 1, pack_chunks, &j);
    j.to += xai__filters_taps(f, j.phase) * size_of_tap(f);
  }
}

void xai__pack(xai__engine *e, const xai__product *p, xai__pack_form form, float *to) {
  const xai__filters f = xai__filters_of(p, form);
  xai__pack_edited(e, &f, xai__identity, to);
}

void xai__pack_turn(const xai__kernels *k, const xai__filters *f, const xai__axis axis[2],
                    const float *forward, int64_t group, int64_t first, int lanes, float *to) {
  const int64_t taps = axis[0].taps * axis[1].taps, all = f->p->kernel[1] * f->p->kernel[2];
  const int64_t in = round_up(f->in, XAI__BLOCK); /* what the forward direction puts out */
  const int64_t ahead = (all > 4 ? 1 : 2) * f->out * all * XAI__CHUNK;
  for (int64_t b = 0; b < f->in; b += XAI__BLOCK) {
    const int64_t chunk = b / XAI__CHUNK * XAI__CHUNK, pitch = at_most(XAI__CHUNK, in - chunk);
    const int channels = (int)at_most(XAI__BLOCK, f->in - b);
    const float *from = forward + (group * in + chunk) * f->out * all + b - chunk;
    for (int64_t t = 0; t < taps; t++, to += channels * lanes) {
      const int64_t element = element_of(f, axis, t);
      for (int l = 0; l < lanes; l += XAI__BLOCK) {
        const int64_t at = first + l, n = at_least(0, at_most(XAI__BLOCK, f->out - at));
        k->turn(from + (at * all + element * n) * pitch, pitch, (int)n, channels, ahead, lanes, to + l);
      }
    }
  }
}

#define FEW_WEIGHTS (16 * 1024) /* are edited once, the others in registers */

int xai__blocked_weights(xai__engine *e, const xai__filters *f, const float *packed, xai__edit *we,
                         const float **w, xai_error *err) {
  const xai__pack_form form = xai__pack_read(f->p, f->adjoint ? XAI__PACK_ADJOINT : XAI__PACK_FORWARD);
  const xai__filters read = xai__filters_of(f->p, form);
  const int64_t n = xai__pack_count(f->p, form);
  *w = packed;
  const bool few = f->image || n <= FEW_WEIGHTS;
  if (xai__edit_is_identity(*we) || (we->form == XAI__LINEAR && !few)) return XAI_OK;
  float *to = xai__scratch(e, (size_t)n, sizeof *to, err);
  if (!to) return xai__no_memory(err);
  if (we->form == XAI__LINEAR) {
    memcpy(to, packed, (size_t)n * sizeof *to);
    e->k.edit(*we, to, n);
  } else {
    xai__pack_edited(e, &read, *we, to); /* the zeros between groups stay */
  }
  *we = xai__identity;
  *w = to;
  return XAI_OK;
}

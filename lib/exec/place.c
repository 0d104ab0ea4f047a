/* Offsets in one buffer: a sweep over time with a free list. */
#include <string.h>

#include "exec/planner.h"
#include "op/blocked.h"

#define ALIGN 64

typedef struct block {
  int64_t offset, size;
  int birth, death;
  int64_t *where; /* gets the offset */
} block;

typedef struct hole {
  int64_t offset, size;
} hole;

/* Takes `size` bytes: the smallest hole that fits, else the end of the buffer. */
static int64_t take(hole *holes, int *n, int64_t *end, int64_t size) {
  int best = -1;
  for (int i = 0; i < *n; i++)
    if (holes[i].size >= size && (best < 0 || holes[i].size < holes[best].size)) best = i;
  if (best < 0) {
    if (*n && holes[*n - 1].offset + holes[*n - 1].size == *end) { /* grow the last hole */
      int64_t offset = holes[--*n].offset;
      *end = offset + size;
      return offset;
    }
    *end += size;
    return *end - size;
  }
  int64_t offset = holes[best].offset;
  holes[best].offset += size;
  holes[best].size -= size;
  if (!holes[best].size) {
    memmove(holes + best, holes + best + 1, (size_t)(*n - best - 1) * sizeof *holes);
    --*n;
  }
  return offset;
}

static void give(hole *holes, int *n, int64_t offset, int64_t size) {
  int i = 0;
  while (i < *n && holes[i].offset < offset) i++;
  bool left = i > 0 && holes[i - 1].offset + holes[i - 1].size == offset;
  bool right = i < *n && offset + size == holes[i].offset;
  if (left && right) {
    holes[i - 1].size += size + holes[i].size;
    memmove(holes + i, holes + i + 1, (size_t)(--*n - i) * sizeof *holes);
  } else if (left) {
    holes[i - 1].size += size;
  } else if (right) {
    holes[i].offset = offset;
    holes[i].size += size;
  } else {
    memmove(holes + i + 1, holes + i, (size_t)((*n)++ - i) * sizeof *holes);
    holes[i] = (hole){offset, size};
  }
}

/* Blocks by time: first[t] is the first of a chain. */
static void chain(int *first, int *next, int t, int i) {
  next[i] = first[t];
  first[t] = i;
}

static int assign_offsets(xai__planner *q, block *blocks, int n_blocks, int n_times) {
  xai__plan *p = q->p;
  size_t n = (size_t)n_blocks, t = (size_t)n_times;
  int *born = xai__plan_new(q, t, sizeof *born), *dead = xai__plan_new(q, t, sizeof *dead);
  int *next_born = xai__plan_new(q, n, sizeof *next_born), *next_dead = xai__plan_new(q, n, sizeof *next_dead);
  hole *holes = xai__plan_new(q, n, sizeof *holes);
  if (!born || !dead || !next_born || !next_dead || !holes) return q->err->status;
  for (int i = 0; i < n_times; i++) born[i] = dead[i] = -1;
  for (int i = n_blocks - 1; i >= 0; i--) {
    chain(born, next_born, blocks[i].birth, i);
    if (blocks[i].death < n_times) chain(dead, next_dead, blocks[i].death, i);
  }
  int n_holes = 0;
  for (int time = 0; time < n_times; time++) {
    for (int i = born[time]; i >= 0; i = next_born[i]) {
      blocks[i].offset = take(holes, &n_holes, &p->bytes, blocks[i].size);
      *blocks[i].where = blocks[i].offset;
    }
    for (int i = dead[time]; i >= 0; i = next_dead[i])
      give(holes, &n_holes, blocks[i].offset, blocks[i].size);
  }
  return XAI_OK;
}

/* Places values, and the relevances of `targets`. */
static int place(xai__planner *q, int64_t targets) {
  xai__plan *p = q->p;
  const xai_graph *g = p->graph;
  int n = 0;
  block *blocks = xai__plan_new(q, 3 * (size_t)g->n_values, sizeof *blocks);
  if (!blocks) return q->err->status;
  int64_t total = 0;
  p->targets = targets;
  p->bytes = 0;
  for (int v = 0; v < g->n_values; v++) {
    int64_t bytes = 0, all;
    if (q->birth[v] < 0 && q->grad_birth[v] < 0) continue;
    if (!xai__mul(xai__stored(&p->value[v]), (int64_t)xai__dtype_size(p->value[v].dtype),
                  &bytes) ||
        !xai__mul(bytes, targets, &all) || !xai__add(total, 2 * (all + ALIGN), &total))
      return xai__fail(q->err, XAI_E_LIMIT, g->values[v].name, "the tensors need too much memory");
    bytes = (bytes + ALIGN) / ALIGN * ALIGN;
    all = (all + ALIGN) / ALIGN * ALIGN;
    if (q->birth[v] >= 0)
      blocks[n++] = (block){0, bytes, q->birth[v], q->death[v], &p->offset[v]};
    if (p->n_segments && q->again_birth[v] >= 0)
      blocks[n++] = (block){0, bytes, q->again_birth[v], q->again_death[v], &p->again[v]};
    if (q->grad_birth[v] >= 0)
      blocks[n++] = (block){0, all, q->grad_birth[v], q->grad_death[v], &p->grad_offset[v]};
  }
  return assign_offsets(q, blocks, n, xai__plan_times(p));
}

/* How many targets a sweep serves: as their relevances fit what is allowed on top of one. */
static int targets_that_fit(xai__planner *q, int64_t *targets) {
  enum { MOST = 16, MEGABYTES = 128 };
  const xai__plan *p = q->p;
  const int n_times = xai__plan_times(p) - p->n_units;
  int64_t room = xai__memory_room(xai__engine_memory(p->engine)), live = 0, one = 1;
  room = (room - p->bytes - xai__plan_scratch(q, MOST)) / 2;
  if (room > MEGABYTES << 20) room = MEGABYTES << 20;
  int64_t *change = xai__plan_new(q, (size_t)n_times + 1, sizeof *change); /* of bytes, by time */
  if (!change) return q->err->status;
  for (int v = 0; v < p->graph->n_values; v++) {
    if (q->grad_birth[v] < 0) continue;
    const int64_t bytes = xai__stored(&p->value[v]) * (int64_t)sizeof(float);
    const int birth = q->grad_birth[v] - p->n_units, death = q->grad_death[v] - p->n_units;
    change[birth] += bytes;
    if (death < n_times) change[death + 1] -= bytes;
  }
  for (int time = 0; time < n_times; time++) {
    live += change[time];
    if (one < live) one = live;
  }
  const int64_t most = room < one ? 1 : room / one < MOST ? room / one + 1 : MOST;
  const int64_t sweeps = (q->r->targets - 1) / most + 1;
  *targets = (q->r->targets - 1) / sweeps + 1; /* the same for each */
  return XAI_OK;
}

int xai__plan_place(xai__planner *q) {
  int64_t targets = 1;
  XAI__TRY(place(q, targets));
  if (q->r->targets > 1) XAI__TRY(targets_that_fit(q, &targets));
  return targets > 1 ? place(q, targets) : XAI_OK;
}

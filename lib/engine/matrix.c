/* Strided matrices as sides, and the plain product of activations. */
#include "engine/matrix.h"

#include "engine/state.h"

static void pack(const xai__side *side, const xai__kernels *kernels, int64_t batch, int64_t first,
                 int n, int64_t k0, int64_t k1, int width, float *to) {
  const xai__matrix_side *s = (const xai__matrix_side *)(const void *)side;
  const float *from = s->data + batch * s->batch + first * s->step + k0 * s->k_step;
  if (side->edit.form == XAI__ONES)
    kernels->edit(side->edit, to, (k1 - k0) * width);
  else if (s->k_step == 1)
    kernels->transpose(from, s->step, n, k1 - k0, width, to);
  else
    kernels->copy(from, s->k_step, n, k1 - k0, width, to);
}

static xai__fetch ahead(const xai__side *side, int64_t batch, int64_t first, int64_t k0,
                        int64_t k1) {
  const xai__matrix_side *s = (const xai__matrix_side *)(const void *)side;
  const float *from = s->data + batch * s->batch + first * s->step + k0 * s->k_step;
  if (s->k_step != 1) return (xai__fetch){from, s->k_step, k1 - k0};
  const bool block = s->step == k1 - k0; /* whole rows behind each other */
  return (xai__fetch){from, 2 * XAI__MAX_VECTOR, block ? k1 - k0 : 0};
}

static void place(const xai__side *side, int64_t batch, int64_t first, int n, int64_t *offset) {
  const xai__matrix_side *s = (const xai__matrix_side *)(const void *)side;
  for (int i = 0; i < n; i++) offset[i] = batch * s->z_batch + (first + i) * s->z_step;
}

xai__matrix_side xai__matrix(const float *data, int64_t count, xai__edit edit, int64_t batch,
                             int64_t step, int64_t k_step, int64_t z_batch, int64_t z_step) {
  return (xai__matrix_side){{count, edit, NULL, pack, place, ahead}, data, batch, step, k_step,
                            z_batch, z_step};
}

int xai__gemm_run(xai__engine *e, const xai__gemm *g, const float *a, const float *b, float *z,
                  xai__epilogue ep, xai_error *err) {
  const bool in_order = g->z_stride == 0 && g->batch > 1; /* batches add up in the same z */
  if (in_order && ep.form == XAI__SET)
    return xai__fail(err, XAI_E_ARGUMENT, NULL, "batches that share an output cannot be set");
  xai__problem p = {.batch = in_order ? 1 : g->batch, .k = g->k};
  const int64_t calls = in_order ? g->batch : 1;
  for (int64_t i = 0; i < calls; i++) {
    const xai__matrix_side row =
        xai__matrix(a + i * g->a_stride, g->m, xai__identity, g->a_stride,
                    g->a_transposed ? 1 : g->k, g->a_transposed ? g->m : 1, g->z_stride, g->n);
    const xai__matrix_side lane =
        xai__matrix(b + i * g->b_stride, g->n, xai__identity, g->b_stride,
                    g->b_transposed ? g->k : 1, g->b_transposed ? 1 : g->n, 0, 1);
    p.row = &row.side;
    p.lane = &lane.side;
    p.spot = (xai__spot){.z = z, .ep = ep};
    xai__problem_orient(&e->k, &p);
    XAI__TRY(xai__problem_run(e, &p, err));
  }
  return XAI_OK;
}

/* Grad-CAM [Selvaraju et al. 2017]: relu(sum_k mean_ij(df/dA_k) A_k) of a layer A (N,K,h,w), bilinearly
 * upsampled (half-pixel centres) to the input's size: (N,1,H,W). The map before upsampling is "cam". */
#include <math.h>
#include <string.h>

#include "explain/job.h"

/* The raw output of the last convolution with more than one position. */
static int default_layer(xai__job *j, int *layer) {
  const xai_graph *g = j->s->graph;
  for (int i = j->plan->n_nodes - 1; i >= 0; i--) {
    const xai__node *node = &g->nodes[j->plan->node[i]];
    const xai__shape *s = &j->plan->value[node->out[0]].shape;
    if (!strcmp(node->op->type, "Conv") && s->rank > 2 && xai__span(s, 2, s->rank) > 1) {
      *layer = node->out[0];
      return XAI_OK;
    }
  }
  return xai__fail(j->err, XAI_E_UNSUPPORTED, "layer", "no convolution with more than one position: name a layer=");
}

static int choose_layer(xai__job *j, int *layer) {
  const xai__value *v = xai__params_find(&j->params, "layer");
  if (!v->set) return default_layer(j, layer);
  if (!v->label)
    return xai__fail(j->err, XAI_E_ARGUMENT, "layer", "layer= is the name of a tensor");
  return xai__find_value(j->s->graph, v->label, layer, j->err);
}

/* cam [n][positions] of one target, from A and df/dA. */
static void weigh(const xai__shape *s, const float *A, const float *grad, float *cam) {
  int64_t n = s->d[0], channels = s->d[1], positions = xai__span(s, 2, s->rank);
  memset(cam, 0, (size_t)(n * positions) * sizeof *cam);
  for (int64_t i = 0; i < n; i++) {
    float *map = cam + i * positions;
    for (int64_t k = 0; k < channels; k++) {
      const float *a = A + (i * channels + k) * positions, *g = grad + (i * channels + k) * positions;
      double mean = 0;
      for (int64_t p = 0; p < positions; p++) mean += (double)g[p];
      float weight = (float)(mean / (double)positions);
      for (int64_t p = 0; p < positions; p++) map[p] += weight * a[p];
    }
    for (int64_t p = 0; p < positions; p++) map[p] = map[p] > 0 ? map[p] : 0;
  }
}

/* The two samples that position i of `size` lies between, of `from`. */
static void between(int64_t i, int64_t size, int64_t from, int64_t *low, int64_t *high, float *part) {
  double at = ((double)i + 0.5) * (double)from / (double)size - 0.5;
  if (at < 0) at = 0;
  *low = (int64_t)at;
  if (*low > from - 1) *low = from - 1;
  *high = *low + 1 < from ? *low + 1 : *low;
  *part = (float)(at - (double)*low);
}

static void upsample(const float *from, int64_t h, int64_t w, float *to, int64_t H, int64_t W) {
  for (int64_t y = 0; y < H; y++) {
    int64_t top, bottom, left, right;
    float v, u;
    between(y, H, h, &top, &bottom, &v);
    for (int64_t x = 0; x < W; x++) {
      between(x, W, w, &left, &right, &u);
      float a = from[top * w + left] * (1 - u) + from[top * w + right] * u;
      float b = from[bottom * w + left] * (1 - u) + from[bottom * w + right] * u;
      to[y * W + x] = a * (1 - v) + b * v;
    }
  }
}

/* (N,1,...) of a tensor (N,C,...), with a leading axis of targets where there are several. */
static xai__shape map_shape(const xai__job *j, const xai__shape *s) {
  xai__shape r = *s;
  r.d[1] = 1;
  if (j->targets.n == 1) return r;
  memmove(r.d + 1, r.d, (size_t)r.rank++ * sizeof *r.d);
  r.d[0] = j->targets.n;
  return r;
}

static int run_layer(xai__job *j, int layer, const char *name, const xai__shape *input) {
  const xai__shape s = j->plan->value[layer].shape;
  int64_t h = s.rank > 3 ? s.d[2] : 1, w = s.d[s.rank - 1];
  int64_t H = input->rank > 3 ? input->d[2] : 1, W = input->d[input->rank - 1];
  xai__shape cam_shape = map_shape(j, &s), R_shape = map_shape(j, input);
  xai_tensor *cam, *R;
  XAI__TRY(xai__result_tensor(j->out, "relevance", name, XAI_F32, &R_shape, &R, j->err));
  XAI__TRY(xai__result_tensor(j->out, "cam", NULL, XAI_F32, &cam_shape, &cam, j->err));
  for (int64_t k = 0, group; k < j->targets.n; k += group) {
    float *maps = (float *)cam->data + k * s.d[0] * h * w;
    group = xai__job_group(j, j->plan, k);
    j->watch.from = 0.3 + 0.7 * (double)k / (double)j->targets.n;
    j->watch.span = 0.7 * (double)group / (double)j->targets.n;
    XAI__TRY(xai__job_sweep(j, j->plan, k, group, XAI__PLAIN));
    for (int64_t t = 0; t < group; t++)
      weigh(&s, xai__f(&j->plan->value[layer]), xai__plan_grad(j->plan, layer, t), maps + t * s.d[0] * h * w);
    for (int64_t i = 0; i < group * s.d[0]; i++)
      upsample(maps + i * h * w, h, w, (float *)R->data + (k * s.d[0] + i) * H * W, H, W);
  }
  if (xai__all_finite(R->data, xai__count(&R->shape))) return XAI_OK;
  return xai__fail(j->err, XAI_E_NUMBER, name, "the relevance of '%s' is not finite", name);
}

int xai__run_gradcam(xai__job *j) {
  int layer, input = j->at[0];
  XAI__TRY(xai__job_inputs_only(j));
  const char *name = j->name[0];
  const xai__shape shape = j->plan->value[input].shape;
  XAI__TRY(choose_layer(j, &layer));
  const xai__shape *s = &j->plan->value[layer].shape;
  if (s->rank != shape.rank || s->rank < 3 || s->rank > 4 || s->d[0] != shape.d[0])
    return xai__fail(j->err, XAI_E_UNSUPPORTED, "layer", "grad-cam needs a layer with the axes of input '%s' (%s), not %s",
                     name, xai__shape_text(&shape).text, xai__shape_text(s).text);
  j->at = &layer;
  j->n_at = 1;
  XAI__TRY(xai__job_plan(j, 1, &j->plan));
  XAI__TRY(xai__forward(j->plan, j->in.data, &j->watch, j->err));
  return run_layer(j, layer, name, &shape);
}

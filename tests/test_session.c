/* Sessions: the same bits however the work is cut, one call at a time, cancelling. */
#include <pthread.h>

#include "models.h"
#include "net.h"

static const char *const methods[] = {
    "gradient", "guided-backprop", "gradient-x-input", "taylor", "integrated-gradients,steps=4",
    "smoothgrad,samples=3", "occlusion,window=2,stride=1", "grad-cam", "deeplift-rescale",
    "deeplift-revealcancel", /* without LRP */
    "lrp-0", "lrp-gamma", "lrp-alpha-beta", "lrp-flat", "lrp-w-square,bias=zero", "epsilon-plus",
    "deep-taylor", "lrp-epsilon,maxpool=proportional", "cp-lrp", "epsilon-alpha2-beta1,bias=zero",
    "epsilon-gamma-box,low=-9,high=9"};
enum { GRADIENTS = 10, METHODS = sizeof methods / sizeof *methods };

/* Whether the library was built with method i and the network can be explained by it. */
static bool is_served(const net *n, ask a, int i) {
  xai_result *r;
  a.method = methods[i];
  if (!XAI_LRP && i >= GRADIENTS) return false;
  int status = ask_status(n, a, &r, NULL, &net_error);
  xai_result_free(r);
  bool refused = status == XAI_E_UNSUPPORTED || status == XAI_E_NUMBER;
  ck_assert_msg(!status || (refused && i > 2 && i < GRADIENTS), "%s: %d %s", methods[i], status,
                net_error.text);
  return !status;
}

/* Item i alone, of a tensor [items, ...]. */
static xai_tensor *item_of(const xai_tensor *t, int64_t i) {
  const int64_t *shape;
  if (!t) return NULL;
  int rank = xai_tensor_shape(t, &shape), dtype = xai_tensor_dtype(t);
  size_t size = (size_t)(count_of(t) / shape[0]) * (dtype == XAI_I64 ? 8 : 4);
  int64_t one[XAI__MAX_RANK] = {1};
  for (int k = 1; k < rank; k++) one[k] = shape[k];
  return tensor_of(dtype, rank, one, (const char *)xai_tensor_data(t) + (size_t)i * size);
}

static void expect_bits(const char *what, const float *a, const float *b, int64_t n) {
  for (int64_t i = 0; i < n; i++)
    ck_assert_msg(!memcmp(&a[i], &b[i], sizeof *a), "%s: element %lld is %.9g, not %.9g", what,
                  (long long)i, (double)a[i], (double)b[i]);
}

/* ---- the same bits ---- */

START_TEST(a_batch_is_its_items) {
  enum { ITEMS = 5 };
  net n = net_open(models[_i].text, 1);
  inputs in = inputs_of(&n, ITEMS, 3);
  for (int m = 0; m < METHODS; m++) {
    ask a = {methods[m], .x = {in.x[0], in.x[1]}, .top = 2};
    int64_t count;
    if (!is_served(&n, a, m)) continue;
    float *all = relevance(&n, a, &count);
    int64_t size = count / 2 / ITEMS;
    for (int64_t i = 0; i < ITEMS; i++) {
      char what[120];
      snprintf(what, sizeof what, "%s %s, item %d", models[_i].name, methods[m], (int)i);
      for (int k = 0; k < 2; k++) a.x[k] = item_of(in.x[k], i);
      float *one = relevance(&n, a, NULL);
      for (int k = 0; k < 2; k++) {
        expect_bits(what, one + k * size, all + (k * ITEMS + i) * size, size);
        xai_tensor_free((xai_tensor *)(uintptr_t)a.x[k]);
      }
      free(one);
    }
    free(all);
  }
  inputs_free(&in);
  net_close(&n);
}
END_TEST

/* More targets than a sweep serves at a time, together and alone. */
static void expect_each_alone(const char *name, const net *n, const net *other, ask a, int m) {
  enum { TARGETS = 19, KINDS = 4 };
  const int64_t given[TARGETS] = {1, 0, 2, -1, 2, 1}, length = TARGETS; /* and zeros */
  xai_tensor *many = tensor_of(XAI_I64, 1, &length, given);
  int64_t count, size = 0;
  float *alone[KINDS];
  a.target = many;
  float *all = relevance(n, a, &count);
  for (int k = 0; k < KINDS; k++) {
    xai_tensor *one = INTS(1, given[k]);
    a.target = one;
    alone[k] = relevance(other, a, &size);
    xai_tensor_free(one);
  }
  ck_assert_int_eq(size * TARGETS, count);
  for (int t = 0; t < TARGETS; t++) {
    char what[120];
    int k = 0;
    while (given[k] != given[t]) k++;
    snprintf(what, sizeof what, "%s %s, target %d", name, methods[m], t);
    expect_bits(what, alone[k], all + t * size, size);
  }
  for (int k = 0; k < KINDS; k++) free(alone[k]);
  free(all);
  xai_tensor_free(many);
}

START_TEST(many_targets_are_each_alone) {
  net n = net_open(models[_i].text, 1 + _i % 4);
  inputs in = inputs_of(&n, 2, 4);
  xai_tensor *three = INTS(3, 0, 1, 2);
  for (int m = 0; m < METHODS; m++) {
    ask a = {methods[m], .x = {in.x[0], in.x[1]}, .target = three};
    if (is_served(&n, a, m)) expect_each_alone(models[_i].name, &n, &n, a, m);
  }
  xai_tensor_free(three);
  inputs_free(&in);
  net_close(&n);
}
END_TEST

/* Layers of which only some targets are served at a time; others that Winograd's sums serve. */
START_TEST(many_targets_of_large_layers_are_each_alone) {
  net n = net_open(
      "opset 13; input x N,3,40,40; const a 32,3,3,3 ~1; const b 32 ~2; const c 40,32,3,3 ~3;"
      "const d 40 ~4; const e 40,40,3,3 ~5; const f 4000,20 ~6; const g 20 ~7; const h 20,4 ~8;"
      "output y; i = Conv(x, a, b) pads=[1,1,1,1]; j = Relu(i); k = Conv(j, c, d) pads=[1,1,1,1];"
      "l = Relu(k); m = MaxPool(l) kernel_shape=[2,2] strides=[2,2];"
      "o = Conv(m, e) pads=[1,1,1,1]; p = Add(o, m); q = Relu(p);"
      "r = AveragePool(q) kernel_shape=[2,2] strides=[2,2]; s = Flatten(r); t = Gemm(s, f, g);"
      "u = Relu(t); y = MatMul(u, h)", 2);
  net one = {n.g, session_open(n.g, 1)};
  inputs in = inputs_of(&n, 1, 4);
  for (int m = 0; m < METHODS; m++) {
    ask a = {methods[m], .x = {in.x[0]}};
    const bool slow = strchr(methods[m], '=') && m < GRADIENTS; /* or for each target apart */
    if (!slow && strcmp(methods[m], "taylor") && is_served(&n, a, m))
      expect_each_alone("large", &n, &one, a, m);
  }
  inputs_free(&in);
  xai_session_free(one.s);
  net_close(&n);
}
END_TEST

/* 1, 2 and 4 threads; the same session again; another session. */
START_TEST(threads_and_sessions_do_not_show) {
  net n[3] = {net_open(models[_i].text, 1)};
  for (int t = 1; t < 3; t++) n[t] = (net){n[0].g, session_open(n[0].g, 2 * t)};
  inputs in = inputs_of(&n[0], 6, 5), other = inputs_of(&n[0], 2, 6);
  for (int m = 0; m < METHODS; m++) {
    ask a = {methods[m], .x = {in.x[0], in.x[1]}, .top = 2};
    ask small = {m % 2 || !XAI_LRP ? "saliency" : "lrp-gamma", .x = {other.x[0], other.x[1]}};
    if (!is_served(&n[0], a, m)) continue;
    xai_result *first = explain(&n[0], a);
    for (int t = 0; t < 3; t++)
      for (int turn = 0; turn < 2; turn++) {
        xai_result *r = explain(&n[t], a);
        expect_same_result(methods[m], r, first);
        xai_result_free(r);
        xai_result_free(explain(&n[t], small)); /* of another shape and kind */
      }
    xai_result_free(first);
  }
  inputs_free(&in);
  inputs_free(&other);
  for (int t = 1; t < 3; t++) xai_session_free(n[t].s);
  net_close(&n[0]);
}
END_TEST

/* Shapes may follow from the data of a small input: a plan then serves these data only. */
START_TEST(a_small_input_shapes_the_result) {
  net n = net_open("opset 13; input x 2,6; input s i64 2; h = Relu(x); y = Reshape(h, s); output y", 1);
  const int64_t x_shape[] = {2, 6}, s_shape[] = {2}, wanted[][2] = {{3, 4}, {4, 3}, {3, 4}, {12, 1}};
  xai_tensor *x = tensor_by_chance(XAI_F32, 2, x_shape, 3);
  for (int i = 0; i < 4; i++) {
    const int64_t *shape;
    xai_tensor *s = tensor_of(XAI_I64, 1, s_shape, wanted[i]);
    xai_result *r = explain(&n, (ask){NULL, .x = {x, s}});
    ck_assert_int_eq(xai_tensor_shape(found(r, "output/y"), &shape), 2);
    ck_assert(shape[0] == wanted[i][0] && shape[1] == wanted[i][1]);
    xai_result_free(r);
    xai_tensor_free(s);
  }
  const int64_t wrong[] = {5, 5};
  xai_tensor *s = tensor_of(XAI_I64, 1, s_shape, wrong);
  xai_result *r;
  ck_assert_int_eq(ask_status(&n, (ask){NULL, .x = {x, s}}, &r, NULL, &net_error), XAI_E_MODEL);
  xai_tensor_free(s);
  xai_tensor_free(x);
  net_close(&n);
}
END_TEST

/* A layer large enough that its work is split over threads, in every direction. */
START_TEST(large_work_is_the_same_on_threads) {
  static const char *const texts[] = {
      "opset 13; input x N,8,24,24; const a 16,8,3,3 ~1; const b 16 ~2; const c 24,16,3,3 ~3;"
      "const e 24,10 ~4; output y; h = Conv(x, a, b) pads=[1,1,1,1]; r = Relu(h);"
      "p = MaxPool(r) kernel_shape=[2,2] strides=[2,2]; i = Conv(p, c); s = Relu(i);"
      "q = GlobalAveragePool(s); f = Flatten(q); y = MatMul(f, e)",
      "opset 13; input x N,300; const a 300,400 ~1; const b 400 ~2; const c 400,50 ~3; output y;"
      "h = Gemm(x, a, b); r = Relu(h); y = MatMul(r, c)"};
  net n[3] = {net_open(texts[_i], 1)};
  for (int t = 1; t < 3; t++) n[t] = (net){n[0].g, session_open(n[0].g, 2 * t)};
  inputs in = inputs_of(&n[0], 4, 5);
  for (int m = 0; m < METHODS; m++) {
    ask a = {methods[m], .x = {in.x[0]}};
    if (strncmp(methods[m], "occlusion", 9) ? !is_served(&n[0], a, m) : true) continue;
    xai_result *first = explain(&n[0], a);
    for (int t = 1; t < 3; t++) {
      xai_result *r = explain(&n[t], a);
      expect_same_result(methods[m], r, first);
      xai_result_free(r);
    }
    xai_result_free(first);
    xai_tensor *one = item_of(in.x[0], 2);
    int64_t size;
    float *all = relevance(&n[2], a, NULL);
    float *alone = relevance(&n[1], (ask){methods[m], .x = {one}}, &size);
    expect_bits(methods[m], alone, all + 2 * size, size);
    free(all);
    free(alone);
    xai_tensor_free(one);
  }
  inputs_free(&in);
  for (int t = 1; t < 3; t++) xai_session_free(n[t].s);
  net_close(&n[0]);
}
END_TEST

/* ---- several threads of the caller ---- */

typedef struct worker {
  const net *n;
  const inputs *in;
  const xai_result *want[METHODS];
  int turns, bad;
} worker;

static void *work(void *arg) {
  worker *w = arg;
  xai_session *s = NULL;
  xai_options o = {.struct_size = sizeof o, .threads = 2};
  if (xai_session_create(w->n->g, &o, &s, NULL)) w->bad++;
  net own = {w->n->g, s};
  for (int i = 0; i < w->turns && s; i++) {
    int m = i % METHODS;
    xai_result *r = NULL;
    if (!w->want[m]) continue;
    ask a = {methods[m], .x = {w->in->x[0], w->in->x[1]}};
    int status = ask_status(&own, a, &r, NULL, NULL);
    const xai_tensor *R = xai_result_find(r, "relevance/x");
    const xai_tensor *want = xai_result_find(w->want[m], "relevance/x");
    size_t size = (size_t)count_of(want) * sizeof(float);
    w->bad += status || !R || memcmp(xai_tensor_data(R), xai_tensor_data(want), size);
    xai_result_free(r);
  }
  xai_session_free(s);
  return NULL;
}

START_TEST(a_graph_serves_sessions_at_once) {
  enum { WORKERS = 3 };
  static const char *const names[] = {"norms", "attention", "two-inputs"};
  net n = net_open(model_named(names[_i])->text, 1);
  inputs in = inputs_of(&n, 2, 8);
  worker w[WORKERS] = {{&n, &in, {NULL}, 2 * METHODS, 0}};
  for (int m = 0; m < METHODS; m++) {
    ask a = {methods[m], .x = {in.x[0], in.x[1]}};
    if (is_served(&n, a, m)) w[0].want[m] = explain(&n, a);
  }
  pthread_t t[WORKERS];
  for (int i = 1; i < WORKERS; i++) w[i] = w[0];
  for (int i = 0; i < WORKERS; i++) ck_assert(!pthread_create(&t[i], NULL, work, &w[i]));
  for (int i = 0; i < WORKERS; i++) {
    pthread_join(t[i], NULL);
    ck_assert_int_eq(w[i].bad, 0);
  }
  for (int m = 0; m < METHODS; m++) xai_result_free((xai_result *)(uintptr_t)w[0].want[m]);
  inputs_free(&in);
  net_close(&n);
}
END_TEST

/* ---- one call at a time ---- */

typedef struct visit { /* of a progress callback */
  const net *n;
  const inputs *in;
  int calls, busy, stop_at, stages;
  double done;
  xai_cancel *cancel;
  const char *last, *method;
} visit;

/* Every call on a session that is at work: three times busy. */
static void *call_all(void *user) {
  visit *v = user;
  xai_result *r = NULL;
  xai_error e;
  int64_t bytes;
  ask a = {"gradient", .x = {v->in->x[0], v->in->x[1]}};
  v->busy += ask_status(v->n, a, &r, NULL, &e) == XAI_E_BUSY && !r && e.status == XAI_E_BUSY;
  a.method = NULL;
  v->busy += ask_status(v->n, a, &r, NULL, NULL) == XAI_E_BUSY;
  v->busy += ask_status(v->n, a, NULL, &bytes, NULL) == XAI_E_BUSY;
  return NULL;
}

static int reenter(void *user, const char *stage, double done, double left) {
  visit *v = user;
  pthread_t t;
  (void)left;
  if (v->calls++ % 4 == 1) { /* from another thread now and then */
    ck_assert(!pthread_create(&t, NULL, call_all, v));
    pthread_join(t, NULL);
  } else {
    call_all(v);
  }
  if (!v->last || strcmp(stage, v->last)) v->stages++;
  v->last = stage;
  ck_assert_msg(done >= v->done && done <= 1, "%s, %s: %g after %g", v->method, stage,
                done, v->done);
  v->done = done;
  return 0;
}

START_TEST(a_session_is_busy) {
  net n = net_open(models[_i].text, 1);
  inputs in = inputs_of(&n, 2, 9);
  for (int m = 0; m < METHODS; m++) {
    visit v = {.n = &n, .in = &in, .method = methods[m]};
    ask a = {methods[m], .x = {in.x[0], in.x[1]}, .top = 2};
    if (!is_served(&n, a, m)) continue;
    a.progress = reenter;
    a.user = &v;
    xai_result_free(explain(&n, a));
    ck_assert_int_ge(v.calls, n.g->n_nodes - 1); /* a node may be folded, but it runs forward */
    ck_assert_int_eq(v.busy, 3 * v.calls);
    ck_assert_int_ge(v.stages, strncmp(methods[m], "occlusion", 9) ? 2 : 1);
    ck_assert_msg(v.done >= 0.5, "%s ended at %g", methods[m], v.done);
  }
  inputs_free(&in);
  net_close(&n);
}
END_TEST

/* ---- cancelling ---- */

static int stop(void *user, const char *stage, double done, double left) {
  visit *v = user;
  (void)stage, (void)done, (void)left;
  if (v->cancel && v->calls == v->stop_at) xai_cancel_set(v->cancel);
  return v->calls++ == v->stop_at && !v->cancel;
}

/* At every step, by the callback and by the flag; the session is as good as before. */
START_TEST(cancelled_at_every_step) {
  net n = net_open(models[_i].text, 1);
  inputs in = inputs_of(&n, 1, 10);
  xai_error e;
  for (int m = 2; m < METHODS; m += 3) {
    ask a = {methods[m], .x = {in.x[0], in.x[1]}};
    if (!is_served(&n, a, m)) continue;
    xai_result *want = explain(&n, a), *r;
    for (int flag = 0; flag < 2; flag++)
      for (int at = 0, status = XAI_E_CANCELLED; status; at++) {
        visit v = {.stop_at = at};
        if (flag) ck_assert(!xai_cancel_create(&v.cancel));
        ask stopped = a;
        stopped.progress = stop;
        stopped.user = &v;
        stopped.cancel = v.cancel;
        status = ask_status(&n, stopped, &r, NULL, &e);
        if (status) {
          ck_assert_int_eq(status, XAI_E_CANCELLED);
          ck_assert_int_eq(e.status, status);
          ck_assert_ptr_null(r);
        } else if (v.calls > at + flag) { /* set in time: it must have stopped */
          ck_abort_msg("%s: not cancelled at %d of %d", methods[m], at, v.calls);
        }
        xai_result_free(r);
        xai_cancel_free(v.cancel);
        ck_assert_int_lt(at, 1000);
      }
    r = explain(&n, a);
    expect_same_result(methods[m], r, want);
    xai_result_free(r);
    xai_result_free(want);
  }
  inputs_free(&in);
  net_close(&n);
}
END_TEST

static void *cancel_soon(void *cancel) {
  const struct timespec soon = {0, 2000000};
  nanosleep(&soon, NULL);
  xai_cancel_set(cancel);
  return NULL;
}

START_TEST(cancelled_from_another_thread) {
  net n = net_open("opset 13; input x N,300; const a 300,400 ~1; const b 400 ~2; output y;"
                   "const c 400,50 ~3; h = Gemm(x, a, b); r = Relu(h); y = MatMul(r, c)", 2);
  const int64_t targets = 100000;
  xai_tensor *x = net_input(&n, 0, 8, 1), *many = tensor_of(XAI_I64, 1, &targets, NULL);
  xai_cancel *cancel;
  xai_result *r;
  pthread_t t;
  ck_assert(!xai_cancel_create(&cancel));
  ck_assert(!pthread_create(&t, NULL, cancel_soon, cancel));
  ask a = {"gradient", .x = {x}, .target = many, .cancel = cancel};
  ck_assert_int_eq(ask_status(&n, a, &r, NULL, &net_error), XAI_E_CANCELLED);
  pthread_join(t, NULL);
  a.target = NULL;
  ck_assert_int_eq(ask_status(&n, a, &r, NULL, &net_error), XAI_E_CANCELLED); /* it is sticky */
  a.cancel = NULL;
  xai_result_free(explain(&n, a));
  xai_cancel_free(cancel);
  xai_tensor_free(x);
  xai_tensor_free(many);
  net_close(&n);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("session");
  TCase *tc = tcase_create("session");
  tcase_add_loop_test(tc, a_batch_is_its_items, 0, MODELS);
  tcase_add_loop_test(tc, many_targets_are_each_alone, 0, MODELS);
  tcase_add_test(tc, many_targets_of_large_layers_are_each_alone);
  tcase_add_loop_test(tc, threads_and_sessions_do_not_show, 0, MODELS);
  tcase_add_test(tc, a_small_input_shapes_the_result);
  tcase_add_loop_test(tc, large_work_is_the_same_on_threads, 0, 2);
  tcase_add_loop_test(tc, a_graph_serves_sessions_at_once, 0, 3);
  tcase_add_loop_test(tc, a_session_is_busy, 0, MODELS);
  tcase_add_loop_test(tc, cancelled_at_every_step, 0, MODELS);
  tcase_add_test(tc, cancelled_from_another_thread);
  suite_add_tcase(suite, tc);
  return run_suite(suite);
}

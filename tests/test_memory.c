/* Memory: limits, the bill of xai_memory, and any allocation failing. */
#include <pthread.h>

#include "models.h"
#include "net.h"

static const char *const methods[] = {"gradient", "lrp-0", "lrp-gamma", "lrp-alpha-beta",
                                      "deep-taylor"};
enum { METHODS = sizeof methods / sizeof *methods };

static bool has_method(int i) { return XAI_LRP || i < 1; }

/* ---- limits and bills ---- */

/* A realloc hook that counts, and fails after `left` allocations. */
typedef struct purse {
  long long now, most; /* bytes */
  int blocks, left;
  pthread_mutex_t lock;
} purse;

#define FULL {.left = INT32_MAX, .lock = PTHREAD_MUTEX_INITIALIZER}

static void *from_purse(void *user, void *p, size_t old_size, size_t size, size_t align) {
  purse *c = user;
  pthread_mutex_lock(&c->lock);
  bool enough = !size || c->left-- > 0;
  if (enough) {
    c->now += (long long)size - (long long)old_size;
    c->blocks += (size != 0) - (p != NULL);
    if (c->now > c->most) c->most = c->now;
  }
  pthread_mutex_unlock(&c->lock);
  ck_assert(!p || !size); /* this version never grows a block */
  free(p);
  return size && enough ? aligned_alloc(align, (size + align - 1) / align * align) : NULL;
}

static xai_options options_of(purse *c, int threads) {
  return (xai_options){.struct_size = sizeof(xai_options), .threads = threads,
                       .realloc = from_purse, .realloc_user = c};
}

static void limit_session(net *n, int64_t max_memory) {
  xai_options o = {.struct_size = sizeof o, .threads = 1, .max_memory = max_memory};
  ck_assert_msg(!xai_session_create(n->g, &o, &n->s, &net_error), "%s", net_error.text);
}

START_TEST(a_limit_leaves_the_session_whole) {
  net n = {graph_open(models[2].text), NULL};
  limit_session(&n, 4 << 20);
  inputs small = inputs_of(&n, 1, 1), large = inputs_of(&n, 5000, 1);
  for (int m = 0; m < METHODS && has_method(m); m++) {
    xai_result *r, *want = explain(&n, (ask){methods[m], .x = {small.x[0]}});
    ask too_much = {methods[m], .x = {large.x[0]}};
    ck_assert_int_eq(ask_status(&n, too_much, &r, NULL, &net_error), XAI_E_LIMIT);
    ck_assert_ptr_null(r);
    ck_assert_msg(strstr(net_error.text, "max_memory"), "%s", net_error.text);
    too_much.method = NULL;
    ck_assert_int_eq(ask_status(&n, too_much, &r, NULL, &net_error), XAI_E_LIMIT);
    r = explain(&n, (ask){methods[m], .x = {small.x[0]}});
    expect_same_result(methods[m], r, want);
    xai_result_free(r);
    xai_result_free(want);
  }
  inputs_free(&small);
  inputs_free(&large);
  net_close(&n);
}
END_TEST

/* Each of several kinds of work fits the limit alone: none fails for what another left behind. */
START_TEST(what_fits_alone_runs) {
  net n = net_open("opset 13; input x N,100; const w 100,3 ~1; output y; a = Tanh(x); b = Tanh(a);"
                   "c = Tanh(b); d = Tanh(c); e = Tanh(d); f = Tanh(e); g = Tanh(f); h = Tanh(g);"
                   "i = Tanh(h); j = Tanh(i); y = MatMul(j, w)", 1);
  inputs in[2] = {inputs_of(&n, 2000, 1), inputs_of(&n, 1999, 1)};
  int64_t most = 0, bill;
  ask work[10];
  int n_work = 0, kinds = XAI_LRP ? 4 : 1;
  for (int k = 0; k < 2; k++) {
    work[n_work++] = (ask){.x = {in[k].x[0]}};
    for (int m = 0; m < kinds; m++) work[n_work++] = (ask){methods[m], .x = {in[k].x[0]}};
  }
  for (int i = 0; i < n_work; i++) {
    ck_assert_msg(!ask_status(&n, work[i], NULL, &bill, &net_error), "%s", net_error.text);
    if (bill > most) most = bill;
  }
  xai_session_free(n.s);
  limit_session(&n, most + (64 << 10));
  for (int i = 0; i < n_work; i++) xai_result_free(explain(&n, work[i * 7 % n_work]));
  for (int k = 0; k < 2; k++) inputs_free(&in[k]);
  net_close(&n);
}
END_TEST

/* Besides the models, layers of which most of the bill is weights. */
static const char *const heavy[] = {
    "opset 13; input x N,64,4,4; const a 256,64,3,3 ~1; const s 256 ~2; const v 256 ~+5; const b 128,256,1,1 ~6;"
    "const d 64,128,3,3 ~4; output y; h = Conv(x, a) pads=[1,1,1,1]; i = BatchNormalization(h, s, s, s, v);"
    "r = Relu(i); j = Conv(r, b); k = Relu(j); l = Conv(k, d) strides=[2,2]; g = GlobalAveragePool(l);"
    "y = Flatten(g)",
    "opset 13; input x N,700; const a 700,500 ~1; const b 500 ~2; const c 300,500 ~3; const d 300,100 ~4; output y;"
    "h = MatMul(x, a); i = Add(h, b); r = Relu(i); j = Gemm(r, c) transB=1 alpha=0.5; k = Relu(j);"
    "y = MatMul(k, d)",
    "opset 13; input x N,64,9; const a 128,64,5 ~1; const t 128,64,4 ~3; output y; h = Conv(x, a); r = Relu(h);"
    "u = ConvTranspose(r, t); g = GlobalAveragePool(u); y = Flatten(g)"};
enum { HEAVY = sizeof heavy / sizeof *heavy };
static const char *billed(int i) { return i < MODELS ? models[i].text : heavy[i - MODELS]; }

/* The graph of a text, which pays from a purse. */
static xai_graph *graph_of_purse(const char *text, purse *c) {
  xai_options o = options_of(c, 1);
  pb model = model_text(text);
  xai_graph *g;
  ck_assert_msg(!xai_graph_parse(model.p, model.n, &o, &g, &net_error), "%s", net_error.text);
  pb_free(&model);
  return g;
}

/* The bill covers what a call takes, forms of the weights with it, and is not absurd. */
START_TEST(the_bill_is_paid) {
  static const char *const some[] = {NULL, "gradient", "lrp-0", "lrp-gamma", "lrp-alpha-beta", "lrp-w-square"};
  for (int64_t items = 1; items <= 64; items *= 64)
    for (int k = 0; k < (XAI_LRP ? 12 : 4); k++) {
      const int m = k / 2;
      purse c = FULL;
      net n = {graph_of_purse(billed(_i), &c), NULL};
      xai_options o = options_of(&c, 1);
      ck_assert_msg(!xai_session_create(n.g, &o, &n.s, &net_error), "%s", net_error.text);
      inputs in = inputs_of(&n, items, 1);
      ask a = {some[m], .x = {in.x[0], in.x[1]}, .top = m && k % 2 ? 3 : 0};
      long long before = c.now;
      int64_t bill;
      ck_assert_msg(!ask_status(&n, a, NULL, &bill, &net_error), "%s", net_error.text);
      c.most = c.now;
      xai_result *r = explain(&n, a);
      long long paid = c.most - before;
      ck_assert_msg(paid <= bill && bill <= 2 * paid + (1 << 20),
                    "%.40s %s, %lld items, %d targets: a bill of %lld, %lld taken", billed(_i),
                    some[m] ? some[m] : "run", (long long)items, (int)a.top, (long long)bill, paid);
      xai_session_free(n.s);
      xai_graph_free(n.g);
      xai_result_free(r);
      ck_assert(c.now == 0 && c.blocks == 0);
      inputs_free(&in);
    }
}
END_TEST

/* Calls in turn need one buffer, that of the largest. */
START_TEST(plans_share_a_buffer) {
  purse c = FULL;
  net n = {graph_open("opset 13; input x N,1000; output y; a = Sigmoid(x); b = Tanh(a); d = Sigmoid(b); y = Tanh(d)"),
           NULL};
  xai_options o = options_of(&c, 1);
  const long long result = 100 * 1000 * 4;
  ck_assert_msg(!xai_session_create(n.g, &o, &n.s, &net_error), "%s", net_error.text);
  inputs in = inputs_of(&n, 100, 1);
  const ask some[] = {{.x = {in.x[0]}}, {"gradient", .x = {in.x[0]}, .top = 1}};
  xai_result_free(explain(&n, some[1]));
  const long long after_one = c.now;
  c.most = c.now;
  for (int i = 0; i < 4; i++) xai_result_free(explain(&n, some[i % 2]));
  ck_assert_msg(c.most < after_one + 2 * result, "%lld bytes, %lld after the first call", c.most, after_one);
  inputs_free(&in);
  net_close(&n);
  ck_assert_int_eq(c.now, 0);
}
END_TEST

/* ---- computing anew what there is no room for ---- */

/* Blocks of two convolutions around which a value goes, and a classifier. */
static void deep_text(char *text, size_t size, int blocks) {
  size_t n = (size_t)snprintf(text, size, "opset 13; input x N,16,32,32; const w 16,16,3,3 ~1; const b 16 ~2;"
                                          "const v 16,16,1,1 ~3; const e 16,5 ~4; output y; r0 = Conv(x, w, b) pads=[1,1,1,1];");
  for (int i = 0; i < blocks; i++)
    n += (size_t)snprintf(text + n, size - n, "h%d = Conv(r%d, w, b) pads=[1,1,1,1]; i%d = Relu(h%d); j%d = Conv(i%d, v);"
                                              "k%d = Add(j%d, r%d); r%d = Relu(k%d);", i, i, i, i, i, i, i, i, i, i + 1, i);
  snprintf(text + n, size - n, "p = GlobalAveragePool(r%d); f = Flatten(p); y = MatMul(f, e)", blocks);
}

/* What a call takes at most of a session of its own with so much allowed; its result, if it got one. */
static long long call_within(const net *n, ask a, int64_t max_memory, purse *c, xai_result **r, int *status) {
  xai_options o = options_of(c, 2);
  net own = {n->g, NULL};
  o.max_memory = max_memory;
  ck_assert(!xai_session_create(n->g, &o, &own.s, &net_error));
  *status = ask_status(&own, a, r, NULL, &net_error);
  xai_session_free(own.s);
  return c->most;
}

static const struct tight {
  const char *method;
  int recomputes;
} tights[] = {{"gradient", 1}, {"guided-backprop", 1}, {"deeplift-rescale", 0}, {"smoothgrad,samples=3", 1},
              {"lrp-0", 1}, {"lrp-gamma", 1}, {"lrp-alpha-beta", 1}, {"epsilon-plus", 1}, {"lrp-w-square", 1},
              {"attn-lrp", 1}};
enum { TIGHTS = sizeof tights / sizeof *tights };

/* Less memory, the same bits; or an error that says how much is missing. */
static void expect_same_within(const net *n, const char *what, const struct tight *t, ask a, double least) {
  xai_result *want, *r;
  purse first = FULL;
  int status;
  long long all = call_within(n, a, 0, &first, &want, &status);
  ck_assert_msg(!status, "%s %s: %s", what, t->method, net_error.text);
  for (double part = 0.9; part > 0.2; part -= 0.2) {
    const int64_t limit = (int64_t)(part * (double)all);
    purse c = FULL;
    const long long taken = call_within(n, a, limit, &c, &r, &status);
    if (!status) {
      ck_assert_msg(taken <= limit, "%s %s: %lld of %lld", what, t->method, taken, (long long)limit);
      char tag[96];
      snprintf(tag, sizeof tag, "%s %s %.1f", what, t->method, part);
      expect_same_result(tag, r, want);
      xai_result_free(r);
      continue;
    }
    ck_assert_msg(status == XAI_E_LIMIT && strstr(net_error.text, "max_memory"), "%s", net_error.text);
    ck_assert_msg(t->recomputes || strstr(net_error.text, t->method), "%s: %s", t->method, net_error.text);
    ck_assert_msg(part < least || !t->recomputes, "%s %s: %.2f of %lld bytes are not enough: %s", what, t->method, part,
                  all, net_error.text);
  }
  xai_result_free(want);
}

START_TEST(segments_give_the_same_bits) {
  static char text[8192];
  deep_text(text, sizeof text, 20);
  net n = {graph_open(text), NULL};
  inputs in = inputs_of(&n, 6, 1);
  const struct tight *t = &tights[_i];
  expect_same_within(&n, "deep", t, (ask){t->method, .x = {in.x[0]}}, 0.65);
  expect_same_within(&n, "deep, two targets", t, (ask){t->method, .x = {in.x[0]}, .top = 2}, 0.65);
  inputs_free(&in);
  net_close(&n);
  for (int m = 0; m < MODELS; m++) {
    net other = {graph_open(models[m].text), NULL};
    inputs some = inputs_of(&other, 400, 1);
    if (strcmp(models[m].name, "embedding") || (t->recomputes && !strstr(t->method, "smooth")))
      expect_same_within(&other, models[m].name, t, (ask){t->method, .x = {some.x[0], some.x[1]}}, 2);
    inputs_free(&some);
    net_close(&other);
  }
}
END_TEST

/* ---- running out of memory in the middle ---- */

static void expect_out_of_memory(int status, const void *out) {
  ck_assert_msg(status == XAI_E_MEMORY && net_error.status == status, "%d: %s", status,
                net_error.text);
  ck_assert_ptr_null(out);
}

/* Every allocation of a call fails once; after each the session answers as if nothing had been. */
START_TEST(every_allocation_of_a_call_fails) {
  static const char *const some[] = {NULL, "gradient", "guided-backprop", "lrp-0", "lrp-gamma",
                                     "deep-taylor,low=-1,high=1", "lrp-epsilon,bias=zero"};
  net n = net_open(models[_i].text, 1);
  inputs in = inputs_of(&n, 2, 1);
  for (int m = 0; m < (XAI_LRP ? 7 : 3); m++) {
    if (strstr(some[m] ? some[m] : "", "low") && !models[_i].bounded) continue;
    ask a = {some[m], .x = {in.x[0], in.x[1]}, .top = some[m] ? 2 : 0, .ledger = m > 2};
    purse c = FULL;
    xai_options o = options_of(&c, 2);
    net own = {n.g, NULL};
    xai_result *r, *want = explain(&n, a);
    int status = XAI_E_MEMORY;
    ck_assert(!xai_session_create(n.g, &o, &own.s, &net_error));
    for (int k = 0; status; k++) {
      c.left = k;
      if ((status = ask_status(&own, a, &r, NULL, &net_error))) expect_out_of_memory(status, r);
      c.left = INT32_MAX;
      ck_assert_int_lt(k, 1000);
    }
    expect_same_result("after failures", r, want);
    xai_result_free(r);
    c.left = 0; /* all is there already but the result */
    status = ask_status(&own, a, &r, NULL, &net_error);
    expect_out_of_memory(status, r);
    xai_session_free(own.s);
    ck_assert_int_eq(c.blocks, 0);
    xai_result_free(want);
  }
  inputs_free(&in);
  net_close(&n);
}
END_TEST

START_TEST(every_allocation_of_a_session_fails) {
  net n = net_open(models[_i].text, 1);
  pb bytes = model_text(models[_i].text);
  purse c = FULL;
  xai_options o = options_of(&c, 3);
  xai_session *s;
  xai_graph *g;
  xai_result *r;
  int status = XAI_E_MEMORY;
  for (int k = 0; status; k++) {
    c.left = k;
    if ((status = xai_session_create(n.g, &o, &s, &net_error))) expect_out_of_memory(status, s);
    xai_session_free(s);
    ck_assert_int_eq(c.blocks, 0);
  }
  status = XAI_E_MEMORY;
  for (int k = 0; status; k++) {
    c.left = k;
    if ((status = xai_graph_parse(bytes.p, bytes.n, &o, &g, &net_error)))
      expect_out_of_memory(status, g);
    else if ((status = xai_graph_describe(g, XAI_LRP ? "epsilon-plus" : NULL, &r, &net_error)))
      expect_out_of_memory(status, r);
    else
      xai_result_free(r);
    xai_graph_free(g);
    ck_assert_int_eq(c.blocks, 0);
    ck_assert_int_lt(k, 10000);
  }
  pb_free(&bytes);
  net_close(&n);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("memory");
  TCase *tc = tcase_create("memory");
  tcase_add_test(tc, a_limit_leaves_the_session_whole);
  tcase_add_test(tc, what_fits_alone_runs);
  tcase_add_test(tc, plans_share_a_buffer);
  tcase_add_loop_test(tc, the_bill_is_paid, 0, MODELS + HEAVY);
  tcase_add_loop_test(tc, segments_give_the_same_bits, 0, XAI_LRP ? TIGHTS : 4);
  tcase_add_loop_test(tc, every_allocation_of_a_call_fails, 0, MODELS);
  tcase_add_loop_test(tc, every_allocation_of_a_session_fails, 0, MODELS);
  suite_add_tcase(suite, tc);
  return run_suite(suite);
}

/* The ledger: where relevance goes at every node, for every relevance method on every network.
 *
 * Per node and target in = out + bias + stabiliser + empty + constant + rule; over the network what
 * the seed brought in is what arrives plus what was lost [METHODS, sections 0 and 4]. */
#include "explain/method.h"
#include "models.h"
#include "net.h"

enum { IN, OUT, BIAS, STABILISER, EMPTY, CONSTANT, RULE, COLUMNS };
static const char *const columns[COLUMNS] = {
    "ledger/in",    "ledger/out",      "ledger/bias", "ledger/stabiliser",
    "ledger/empty", "ledger/constant", "ledger/rule"};

typedef struct ledger {
  const double *column[COLUMNS]; /* [targets][nodes] */
  int64_t targets, nodes;
} ledger;

static ledger ledger_of(const xai_result *r) {
  ledger l;
  const int64_t *shape;
  for (int i = 0; i < COLUMNS; i++) {
    const xai_tensor *t = found(r, columns[i]);
    ck_assert_int_eq(xai_tensor_dtype(t), XAI_F64);
    ck_assert_int_eq(xai_tensor_shape(t, &shape), 2);
    l.column[i] = xai_tensor_data(t);
  }
  l.targets = shape[0];
  l.nodes = shape[1];
  return l;
}

static double column_total(const ledger *l, int column, int64_t target) {
  double sum = 0;
  for (int64_t i = 0; i < l->nodes; i++) sum += l->column[column][target * l->nodes + i];
  return sum;
}

/* The largest relevance anywhere: of the tensors of the result, and of whole nodes. */
static double scale_of(const xai_result *r, const ledger *l) {
  const char *name, *text;
  const xai_tensor *t;
  double top = 1e-20;
  for (size_t i = 0; !xai_result_get(r, i, &name, &t, &text); i++)
    if (t && !strncmp(name, "relevance/", 10)) top = fmax(top, largest(floats(t), count_of(t)));
  for (int64_t i = 0; i < l->targets * l->nodes; i++) top = fmax(top, fabs(l->column[IN][i]));
  return top;
}

static void check_nodes(const char *what, const ledger *l, double room) {
  for (int64_t i = 0; i < l->targets * l->nodes; i++) {
    double rest = l->column[IN][i];
    for (int k = OUT; k < COLUMNS; k++) rest -= l->column[k][i];
    ck_assert_msg(fabs(rest) <= room, "%s: node %lld is off balance by %g of %g (out %g)", what,
                  (long long)(i % l->nodes), rest, l->column[IN][i], l->column[OUT][i]);
  }
}

/* Relevance that left the network's nodes is that of the tensors where it stops. */
static void check_total(const char *what, const xai_result *r, const ledger *l, bool one,
                        double room) {
  const char *name, *text;
  const xai_tensor *t;
  const xai_tensor *f = found(r, "f");
  int64_t items = count_of(f) / l->targets;
  for (int64_t k = 0; k < l->targets; k++) {
    double seed = one ? (double)items : sum_of(floats(f) + k * items, items), arrived = 0, lost = 0;
    for (size_t i = 0; !xai_result_get(r, i, &name, &t, &text); i++)
      if (t && !strncmp(name, "relevance/", 10)) {
        int64_t n = count_of(t) / l->targets;
        arrived += sum_of(floats(t) + k * n, n);
      }
    for (int i = BIAS; i < COLUMNS; i++) lost += column_total(l, i, k);
    ck_assert_msg(fabs(seed - arrived - lost) <= room, "%s: seed %g, arrived %g, lost %g", what,
                  seed, arrived, lost);
    double kept = column_total(l, IN, k) - column_total(l, OUT, k);
    ck_assert_msg(fabs(kept - lost) <= room, "%s: in - out is %g, not %g", what, kept, lost);
  }
}

static void check_balance(const net *n, const model_row *m, const char *method,
                          xai_tensor *const *x) {
  xai_result *r;
  char what[200];
  ask a = {.method = method, .x = {x[0], x[1]}, .ledger = 1, .top = 2};
  int status = ask_status(n, a, &r, NULL, &net_error);
  snprintf(what, sizeof what, "%s %s", m->name, method);
  if (status == XAI_E_UNSUPPORTED && !m->bounded && strstr(net_error.text, "bounds of the"))
    return;
  ck_assert_msg(!status, "%s: %s", what, net_error.text);
  ledger l = ledger_of(r);
  double top = scale_of(r, &l), room = 1e-5 * top;
  bool one = !strncmp(method, "excitation", 10);
  check_nodes(what, &l, room);
  check_total(what, r, &l, one, room * (double)l.nodes);
  bool no_bias = strstr(method, "bias=zero") || !strncmp(method, "deep-taylor", 11);
  for (int64_t i = 0; no_bias && i < l.targets * l.nodes; i++)
    ck_assert_msg(fabs(l.column[BIAS][i]) <= 1e-30, "%s: node %lld loses %g to its bias", what,
                  (long long)(i % l.nodes), l.column[BIAS][i]);
  xai_result_free(r);
}

static const char *const options[] = {
    "",
    "bias=zero",
    "stabilizer=0",
    "stabilizer=0.1",
    "activation=gradient",
    "maxpool=proportional",
    "maxpool=average",
    "mul=uniform",
    "mul=value",
    "softmax=detach",
    "softmax=gradient",
    "matmul=value",
    "batchnorm=pass",
    "layernorm=pass,bias=zero",
    "output=final",
};
enum { OPTIONS = sizeof options / sizeof *options };

START_TEST(every_method_balances) {
  const model_row *m = &models[_i];
  net n = net_open(m->text, 1);
  xai_tensor *x[2] = {net_input(&n, 0, 2, 21), n.g->n_inputs > 1 ? net_input(&n, 1, 2, 22) : NULL};
  for (size_t i = 0; xai__method_at(i); i++) {
    const xai__method *method = xai__method_at(i);
    if (!method->relevance) continue;
    const char *bounds = xai__schema_has(method->schema, "low") ? ",low=-1,high=1.5" : "";
    for (int k = 0; k < OPTIONS; k++) {
      char text[120];
      snprintf(text, sizeof text, "%s%s%s%s", method->name, bounds, *options[k] ? "," : "",
               options[k]);
      check_balance(&n, m, text, x);
    }
  }
  for (int i = 0; i < 2; i++) xai_tensor_free(x[i]);
  net_close(&n);
}
END_TEST

/* What came into a node is the relevance of its result: what the consumers handed out. */
START_TEST(the_chain_balances) {
  static const char *const methods[] = {"lrp-0", "epsilon-plus", "lrp-alpha-beta,bias=zero"};
  const model_row *m = &models[_i];
  net n = net_open(m->text, 1);
  xai_tensor *x[2] = {net_input(&n, 0, 2, 21), n.g->n_inputs > 1 ? net_input(&n, 1, 2, 22) : NULL};
  for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
    xai_result *r = explain(&n, (ask){methods[i], .at = "*", .x = {x[0], x[1]}, .ledger = 1});
    ledger l = ledger_of(r);
    double room = 1e-5 * scale_of(r, &l);
    for (int k = 0; k < n.g->n_nodes; k++) {
      double came = 0;
      bool tail = k == n.g->n_nodes - 1 && !strcmp(n.g->nodes[k].op->type, "Softmax");
      if (tail || !strcmp(n.g->nodes[k].op->type, "Gather")) continue; /* skipped; the end */
      for (int o = 0; o < n.g->nodes[k].n_out; o++) {
        char name[64];
        snprintf(name, sizeof name, "relevance/%s", n.g->values[n.g->nodes[k].out[o]].name);
        int64_t count;
        const float *R = values(r, name, &count);
        came += sum_of(R, count);
      }
      ck_assert_msg(fabs(came - l.column[IN][k]) <= room,
                    "%s %s: %g came to node %d, which took %g", m->name, methods[i], came, k,
                    l.column[IN][k]);
    }
    xai_result_free(r);
  }
  for (int i = 0; i < 2; i++) xai_tensor_free(x[i]);
  net_close(&n);
}
END_TEST

/* ---- what is lost, by column ---- */

/* y = relu(W x): one output with positive weights, one with negative ones, one of zeros. */
static const char small[] =
    "opset 13; input x 1,2; const w 2,3 = 1 -1 0  2 -2 0; output y; h = MatMul(x, w); y = Relu(h)";

static const struct lost {
  const char *method, *text;
  int column, node;
  float x[2], seed[3];
  double amount;
} losses[] = {
    {"lrp-z-plus", small, EMPTY, 0, {1, 1}, {3, 5, 7}, 12},   /* nothing positive to 1 and 2 */
    {"lrp-z-plus", small, EMPTY, 0, {-1, -1}, {3, 5, 7}, 10}, /* nor to 0 and 2 */
    {"lrp-alpha-beta", small, EMPTY, 0, {1, 1}, {3, 5, 7}, -3 + 2 * 5 + 7}, /* beta, alpha, both */
    {"lrp-0", small, EMPTY, 0, {1, 1}, {3, 5, 7}, 7},
    {"lrp-gamma", small, EMPTY, 0, {1, 1}, {3, 5, 7}, 7},
    {"lrp-w-square", small, EMPTY, 0, {1, 1}, {3, 5, 7}, 7},
    {"lrp-flat", small, EMPTY, 0, {0, 0}, {3, 5, 7}, 0},
    {"deep-taylor,low=1,high=1", small, EMPTY, 0, {1, 1}, {3, 5, 7}, 15}, /* x at both bounds */
    {"lrp-z-plus,stabilizer=1", small, STABILISER, 0, {1, 1}, {4, 0, 0}, 1},
    {"lrp-epsilon,epsilon=1", small, STABILISER, 0, {1, 1}, {4, 0, 0}, 1},
    {"lrp-0",
     "opset 13; input x 1,2; const w 2,1 = 1 2; const b 1 = 1; y = Gemm(x, w, b); output y",
     BIAS, 0, {1, 1}, {8}, 2},
    {"lrp-gamma,gamma=1,stabilizer=0",
     "opset 13; input x 1,2; const w 2,1 = 1 2; const b 1 = 1; y = Gemm(x, w, b); output y",
     BIAS, 0, {1, 1}, {8}, 2},
    {"lrp-z-plus,stabilizer=0",
     "opset 13; input x 1,2; const w 2,1 = 1 2; const b 1 = -1; y = Gemm(x, w, b); output y",
     BIAS, 0, {1, 1}, {8}, 0},
    {"lrp-0", "opset 13; input x 1,2; const c 2 = 1 1; y = Add(x, c); output y",
     BIAS, 0, {1, 3}, {4, 8}, 4},
    {"lrp-0", "opset 13; input x 1,2; a = Sub(x, x); y = Relu(a); output y",
     EMPTY, 0, {1, 3}, {4, 8}, 12},
    {"lrp-0", "opset 13; input x 1,2; const c i64 4 = 0 1 0 0; y = Pad(x, c); output y",
     CONSTANT, 0, {1, 3}, {4, 8, 2}, 4},
    {"lrp-0", "opset 13; input x 1,2; const c 2 = 2 2; y = Max(x, c); output y",
     CONSTANT, 0, {1, 3}, {4, 8}, 4},
    {"lrp-0,output=final,softmax=detach", "opset 13; input x 1,2; y = Softmax(x); output y",
     RULE, 0, {1, 3}, {4, 8}, 12},
};

START_TEST(a_loss_is_counted_in_its_column) {
  const struct lost *c = &losses[_i];
  net n = net_open(c->text, 1);
  xai_tensor *x = FLOATS(2, c->x[0], c->x[1]), *y;
  xai_result *r = explain(&n, (ask){.x = {x}});
  y = like(found(r, "output/y"), c->seed);
  xai_result_free(r);
  r = explain(&n, (ask){c->method, .x = {x}, .seed = y, .ledger = 1});
  ledger l = ledger_of(r);
  double room = 1e-4;
  check_nodes(c->method, &l, room);
  for (int k = BIAS; k < COLUMNS; k++)
    ck_assert_msg(fabs(l.column[k][c->node] - (k == c->column ? c->amount : 0)) <= room,
                  "%s on %s: %s is %g", c->method, c->text, columns[k], l.column[k][c->node]);
  xai_result_free(r);
  xai_tensor_free(x);
  xai_tensor_free(y);
  net_close(&n);
}
END_TEST

START_TEST(the_ledger_names_its_nodes) {
  net n = net_open(models[0].text, 1);
  xai_tensor *x = net_input(&n, 0, 1, 1);
  xai_result *r = explain(&n, (ask){"lrp-0", .x = {x}, .ledger = 1});
  const char *name, *text, *names = NULL;
  const xai_tensor *t;
  for (size_t i = 0; !xai_result_get(r, i, &name, &t, &text); i++)
    if (!strcmp(name, "ledger/nodes")) names = text;
  ck_assert_str_eq(names, "n_a\nn_b\nn_c");
  xai_result_free(r);
  ck_assert_int_eq(ask_status(&n, (ask){"gradient", .x = {x}, .ledger = 1}, &r, NULL, &net_error),
                   XAI_E_ARGUMENT);
  ck_assert_ptr_null(r);
  xai_tensor_free(x);
  net_close(&n);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("ledger");
  TCase *tc = tcase_create("ledger");
  int n_losses = sizeof losses / sizeof *losses;
  tcase_add_loop_test(tc, every_method_balances, 0, IF_LRP(MODELS));
  tcase_add_loop_test(tc, the_chain_balances, 0, IF_LRP(MODELS));
  tcase_add_loop_test(tc, a_loss_is_counted_in_its_column, 0, IF_LRP(n_losses));
  tcase_add_loop_test(tc, the_ledger_names_its_nodes, 0, IF_LRP(1));
  suite_add_tcase(suite, tc);
  return run_suite(suite);
}

/* Every operator by its case rows (op_harness.h says what is done with a row). */
#include <math.h>
#include <stdio.h>

#include "op_operand.h"

#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
static const op_case cases[] = {
#include "op_cases_images.inc"
#include "op_cases_layers.inc"
#include "op_cases_sequence.inc"
#include "op_cases_quantised.inc"
#include "op_cases_shapes.inc"
};
enum { CASES = sizeof cases / sizeof *cases };

static xai__engine *engine;

static void start(void) {
  xai_error err;
  random_state = 1;
  ck_assert_int_eq(xai__engine_create(NULL, 2, 0, &engine, &err), XAI_OK);
}

static void stop(void) {
  release(0);
  xai__engine_free(engine);
}

static char where[256];
static const char *describe(const op_case *c) {
  snprintf(where, sizeof where, "%s-%d {%s} %s", c->type, c->opset, c->attrs, c->in);
  return where;
}

static const xai__op *op_of(const op_case *c) {
  for (size_t i = 0; xai__op_at(i); i++)
    if (!strcmp(xai__op_at(i)->type, c->type)) return xai__op_at(i);
  ck_abort_msg("no operator '%s'", c->type);
  return NULL;
}

static bool has_gradient(char kind) { return kind == 'f' || kind == 'p'; }
static bool has_relevance(char kind) { return has_gradient(kind) || kind == 'k'; }

static double dot(const xai__view *a, const xai__view *b) {
  double sum = 0;
  for (int64_t i = 0; i < xai__count(&a->shape); i++)
    sum += (double)xai__f(a)[i] * (double)xai__f(b)[i];
  return sum;
}

static double total(const xai__view *a) {
  double sum = 0;
  for (int64_t i = 0; i < xai__count(&a->shape); i++) sum += (double)xai__f(a)[i];
  return sum;
}

static void check_want(const op_case *c, const xai__view *got, const char *text) {
  if (!text) return;
  xai__view want = parse_operand(&text).v;
  ck_assert_msg(want.dtype == got->dtype && xai__shape_equal(&want.shape, &got->shape),
                "%s: shape %s, must be %s", describe(c), xai__shape_text(&got->shape).text,
                xai__shape_text(&want.shape).text);
  for (int64_t i = 0; i < xai__count(&want.shape); i++) {
    double a = want.dtype == XAI_F32 ? (double)xai__f(got)[i] : (double)xai__i(got)[i];
    double b = want.dtype == XAI_F32 ? (double)xai__f(&want)[i] : (double)xai__i(&want)[i];
    bool same = isinf(b) || isnan(b) ? a == b || (isnan(a) && isnan(b))
                                     : fabs(a - b) <= 2e-5 * (1 + fabs(b));
    ck_assert_msg(same, "%s: element %lld is %.9g, must be %.9g", describe(c), (long long)i, a, b);
  }
}

/* Plans and runs a row that must work. */
static void succeed(fixture *f, const op_case *c) {
  set_up(f, c, op_of(c), engine);
  int status = plan(f);
  ck_assert_msg(!status, "%s: %s", describe(c), f->err.text);
  status = run(f);
  ck_assert_msg(!status, "%s: %s", describe(c), f->err.text);
}

/* ---- forward ---- */

START_TEST(forward_is_as_wanted) {
  const op_case *c = &cases[_i];
  fixture f;
  if (c->status) {
    set_up(&f, c, op_of(c), engine);
    int status = plan(&f);
    if (!status) status = run(&f);
    ck_assert_msg(status == c->status, "%s: status %d, must be %d", describe(c), status, c->status);
    ck_assert_msg(f.err.text[0], "%s: no message", describe(c));
    return;
  }
  succeed(&f, c);
  for (int k = 0; k < f.node.n_out; k++)
    if (f.out[k].shape.rank >= 0 && f.out[k].dtype == XAI_F32 && !c->want)
      ck_assert_msg(xai__all_finite(f.out[k].data, xai__count(&f.out[k].shape)),
                    "%s: result %d is not finite", describe(c), k);
  check_want(c, &f.out[0], c->want);
  if (f.node.n_out > 1) check_want(c, &f.out[1], c->want_1);
}
END_TEST

/* ---- vjp ---- */

static void random_gout(const fixture *f, xai__view *gout) {
  for (int k = 0; k < f->node.n_out; k++) {
    gout[k] = f->out[k];
    gout[k].data = NULL;
    if (f->out[k].shape.rank < 0 || f->out[k].dtype != XAI_F32) continue;
    new_data(&gout[k]);
    fill_grid(xai__f(&gout[k]), xai__count(&gout[k].shape), -1, 1);
  }
}

static double loss(fixture *f, const xai__view *gout) {
  int mark = n_blocks;
  double sum = 0;
  ck_assert_int_eq(run(f), XAI_OK);
  for (int k = 0; k < f->node.n_out; k++)
    if (gout[k].data) sum += dot(&gout[k], &f->out[k]);
  release(mark);
  return sum;
}

/* What an operator's vjp does not need is not there when it runs. */
static void take_away(fixture *f) {
  unsigned needs = f->node.op->vjp_needs;
  for (int k = 0; k < f->node.n_in; k++)
    if ((needs == XAI__NEEDS_NONE || needs == XAI__NEEDS_OUT) && !f->in_static[k]) f->view[k].data = NULL;
  for (int k = 0; k < f->node.n_out; k++)
    if (needs == XAI__NEEDS_NONE || needs == XAI__NEEDS_IN) f->out[k].data = NULL;
}

static void check_operand(fixture *f, const op_case *c, const xai__view *gout, int i) {
  static const float h = 1.0f / 512, before = 0.25f; /* vjp must add to what is there */
  xai__view gin[MAX_OPERANDS];
  for (int j = 0; j < f->node.n_in; j++) {
    gin[j] = f->view[j];
    gin[j].data = NULL;
  }
  gin[i] = float_like(&f->view[i], before);
  ck_assert_int_eq(run(f), XAI_OK);
  take_away(f);
  int status = f->node.op->vjp(&f->call, gout, gin);
  for (int k = 0; k < f->node.n_in; k++) f->view[k].data = f->in[k].v.data;
  ck_assert_msg(!status, "%s: %s", describe(c), f->err.text);
  ck_assert_int_eq(run(f), XAI_OK);
  for (int64_t j = 0; j < xai__count(&gin[i].shape); j++) {
    float *x = xai__f(&f->in[i].v) + j, kept = *x;
    *x = kept + h;
    double up = loss(f, gout), step = (double)*x;
    *x = kept - h;
    double down = loss(f, gout), wanted = (up - down) / (step - (double)*x);
    *x = kept;
    double got = (double)(xai__f(&gin[i])[j] - before);
    ck_assert_msg(fabs(got - wanted) <= 3e-3 * (1 + fabs(wanted)),
                  "%s: derivative by element %lld of operand %d is %.6g, must be %.6g", describe(c),
                  (long long)j, i, got, wanted);
  }
}

START_TEST(vjp_is_the_derivative) {
  const op_case *c = &cases[_i];
  fixture f;
  xai__view gout[MAX_OPERANDS];
  if (c->status) return;
  succeed(&f, c);
  if (!f.node.op->vjp) return;
  random_gout(&f, gout);
  for (int i = 0; i < f.node.n_in; i++)
    if (has_gradient(f.in[i].kind)) check_operand(&f, c, gout, i);
}
END_TEST

/* ---- linear layers ---- */

static xai__crossing crossing_of(const fixture *f) {
  const xai__op *op = f->node.op;
  return op->crossing ? op->crossing(&f->node, f->in_static) : op->cross;
}

static void check_close(const op_case *c, const char *what, const xai__view *a,
                        const xai__view *b) {
  for (int64_t i = 0; i < xai__count(&a->shape); i++)
    ck_assert_msg(fabsf(xai__f(a)[i] - xai__f(b)[i]) <= 1e-4f, "%s: %s: element %lld is %g, not %g",
                  describe(c), what, (long long)i, (double)xai__f(a)[i], (double)xai__f(b)[i]);
}

START_TEST(a_linear_layer_is_its_product) {
  const op_case *c = &cases[_i];
  fixture f;
  if (c->status) return;
  succeed(&f, c);
  if (!f.node.op->product || crossing_of(&f) != XAI__CROSS_LINEAR) return;
  xai__product p;
  int x;
  ck_assert_int_eq(f.node.op->product(&f.call, &p, &x), XAI_OK);
  ck_assert_int_eq(xai__product_in_count(&p), xai__count(&f.view[x].shape));
  ck_assert_int_eq(xai__product_out_count(&p), xai__count(&f.out[0].shape));
  ck_assert_int_eq(xai__count(&f.out[0].shape) % p.n, 0);
  xai__view z = float_like(&f.out[0], 0), s = z, g = float_like(&f.view[x], 0);
  const xai__edit id = xai__identity, none = {XAI__LINEAR, 0, 0};
  ck_assert_int_eq(xai__product_forward(engine, &p, xai__f(&f.view[x]), id, id, id, xai__f(&z),
                                        xai__set, &f.err), XAI_OK);
  check_close(c, "product and forward", &z, &f.out[0]);
  ck_assert_int_eq(xai__product_forward(engine, &p, xai__f(&f.view[x]), id, id, none, xai__f(&z),
                                        xai__set, &f.err), XAI_OK);
  random_gout(&f, &s);
  ck_assert_int_eq(xai__product_adjoint(engine, &p, xai__f(&s), id, xai__f(&g), xai__set, &f.err),
                   XAI_OK);
  ck_assert_msg(fabs(dot(&z, &s) - dot(&f.view[x], &g)) < 1e-3, "%s: <Wx, s> is %g, <x, W's> %g",
                describe(c), dot(&z, &s), dot(&f.view[x], &g));
  xai__view gin[MAX_OPERANDS] = {{0}};
  gin[x] = float_like(&f.view[x], 0);
  ck_assert_int_eq(f.node.op->vjp(&f.call, &s, gin), XAI_OK);
  check_close(c, "adjoint and vjp", &g, &gin[x]);
}
END_TEST

/* ---- relevance of the operators' own ---- */

static const xai__own_options options[] = {
    {1e-6f, false, "lrp", "half", "winner", NULL, NULL},
    {0, true, "lrp", "half", "proportional", NULL, NULL},
    {1e-2f, false, "detach", "value", "average", (const bool[]){true, false}, NULL},
    {1e-2f, true, "gradient", "value", "proportional", (const bool[]){false, true}, NULL},
    {1e-6f, false, "lrp", "value", "winner", (const bool[]){true, true}, NULL},
};

/* Relevance and what the ledger lost sum to what came. `left_out`: an operand nobody asks for. */
static void check_balance(fixture *f, const op_case *c, xai__own_options o, int left_out) {
  xai__view gout[MAX_OPERANDS], gin[MAX_OPERANDS];
  double ledger[XAI__COLUMNS] = {0}, came = 0, went = 0, size = 1;
  static const bool no_softmax[MAX_OPERANDS];
  random_gout(f, gout);
  for (int k = 1; k < f->node.n_out; k++) gout[k].data = NULL;
  came = total(&gout[0]);
  if (!o.from_softmax) o.from_softmax = no_softmax;
  o.ledger = ledger;
  for (int i = 0; i < f->node.n_in; i++) {
    gin[i] = f->view[i];
    gin[i].data = NULL;
    if (has_relevance(f->in[i].kind) && i != left_out) gin[i] = float_like(&f->view[i], 0);
  }
  int status = f->node.op->relevance(&f->call, &o, gout, gin);
  ck_assert_msg(!status, "%s: %s", describe(c), f->err.text);
  for (int i = 0; i < f->node.n_in; i++)
    if (gin[i].data) {
      went += total(&gin[i]);
      for (int64_t j = 0; j < xai__count(&gin[i].shape); j++)
        size = fmax(size, fabs((double)xai__f(&gin[i])[j]));
    }
  ck_assert(ledger[XAI__IN] == 0 && ledger[XAI__OUT] == 0);
  for (int k = 0; k < XAI__COLUMNS; k++) went += ledger[k];
  ck_assert_msg(fabs(came - went) <= 1e-4 * size, "%s: %g came, %g is accounted for", describe(c),
                came, went);
}

START_TEST(own_relevance_balances) {
  const op_case *c = &cases[_i];
  fixture f;
  if (c->status) return;
  succeed(&f, c);
  xai__crossing cross = crossing_of(&f);
  if (!f.node.op->relevance || (cross != XAI__CROSS_OWN && cross != XAI__CROSS_ROUTE)) return;
  int activations = 0;
  for (int i = 0; i < f.node.n_in; i++) activations += has_relevance(f.in[i].kind);
  if (cross == XAI__CROSS_ROUTE) { /* what goes to other operands is the sweep's to account for */
    if (activations < f.node.n_in) return;
    activations = 1;
  }
  for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
    check_balance(&f, c, options[i], -1);
    for (int j = 0; activations > 1 && j < f.node.n_in; j++) check_balance(&f, c, options[i], j);
  }
}
END_TEST

/* ---- hostile variants: an error or a result, never a crash ---- */

static int64_t hostile(void) {
  static const int64_t v[] = {-1, 0, 1, 2, 3, 5, 1 << 20, 1 << 30, INT32_MAX, (int64_t)1 << 40,
                              INT64_MAX, INT64_MIN, -2, -7};
  return v[random_below((int64_t)(sizeof v / sizeof *v))];
}

static void change_attr(fixture *f) {
  if (!f->n_attrs) return;
  xai__attr *a = &f->attrs[random_below(f->n_attrs)];
  int64_t choice = random_below(8);
  a->i = hostile();
  a->f = (float)hostile();
  if (choice == 0) a->type = (int)random_below(9);
  if (choice == 0 || choice == 1) a->s = "?";
  if (choice == 2 && a->n > 0) a->n--;
  if (choice == 3 && a->type >= 6) a->n++; /* lists are parsed into blocks of 64 */
  if (choice >= 4 && a->ints && a->n > 0)
    ((int64_t *)(uintptr_t)a->ints)[random_below(a->n)] = hostile();
  if (choice >= 4 && a->texts) ((const char **)(uintptr_t)a->texts)[0] = "?";
  if (!a->s) a->s = "";
}

static void change_operand(fixture *f) {
  if (!f->node.n_in) return;
  operand *o = &f->in[random_below(f->node.n_in)];
  xai__shape *s = &o->v.shape;
  int64_t choice = random_below(6), n;
  if (!o->kind) return;
  if (choice == 0) {
    *o = (operand){.v = {XAI_F32, {-1, {0}}, NULL}};
    return;
  }
  if (choice == 1 && s->rank > 0) s->rank--;
  if (choice == 2 && s->rank < XAI__MAX_RANK) s->d[s->rank++] = 1 + random_below(3);
  if (choice == 3 && s->rank > 0) s->d[random_below(s->rank)] = random_below(5);
  if (choice == 4) o->kind = "fcij"[random_below(4)];
  o->v.dtype = is_float(o->kind) ? XAI_F32 : XAI_I64;
  if (!xai__shape_checked_count(s, &n) || n > 4096) *s = (xai__shape){1, {3}};
  fill_operand(o);
  for (int64_t i = 0; !is_float(o->kind) && i < xai__count(s); i++) xai__i(&o->v)[i] = hostile();
}

static void vjp_of_hostile(fixture *f) {
  xai__view gout[MAX_OPERANDS], gin[MAX_OPERANDS];
  random_gout(f, gout);
  for (int i = 0; i < f->node.n_in; i++) {
    gin[i] = f->view[i];
    gin[i].data = NULL;
    if (has_gradient(f->in[i].kind)) gin[i] = float_like(&f->view[i], 0);
  }
  f->node.op->vjp(&f->call, gout, gin);
}

START_TEST(broken_variants_do_not_crash) {
  const op_case *c = &cases[_i];
  fixture f;
  for (int k = 0; k < 300; k++) {
    set_up(&f, c, op_of(c), engine);
    for (int64_t n = 1 + random_below(2); n > 0; n--) {
      if (random_below(2)) change_attr(&f);
      else change_operand(&f);
    }
    for (int i = 0; i < f.node.op->min_in; i++) /* the graph refuses these before infer */
      if (!f.in[i].kind) goto next;
    if (!plan(&f) && f.out[0].shape.rank >= 0 && !run(&f) && f.node.op->vjp) vjp_of_hostile(&f);
  next:
    release(0);
  }
}
END_TEST

/* ---- the tables ---- */

START_TEST(every_operator_has_a_case) {
  char missing[4096] = "";
  for (size_t i = 0; xai__op_at(i); i++) {
    const char *type = xai__op_at(i)->type;
    bool found = xai__op_at(i)->expand != NULL; /* test_quantised.c */
    for (int k = 0; k < CASES && !found; k++)
      found = !strcmp(cases[k].type, type) && !cases[k].status;
    if (!found && strlen(missing) + strlen(type) + 2 < sizeof missing)
      strcat(strcat(missing, " "), type);
  }
  ck_assert_msg(!missing[0], "no case for:%s", missing);
}
END_TEST

START_TEST(operators_are_found_by_name) {
  ck_assert_ptr_eq(xai__op_find("ai.onnx", "Conv"), xai__op_find("", "Conv"));
  ck_assert_str_eq(xai__op_find(NULL, "Conv")->type, "Conv");
  ck_assert_ptr_null(xai__op_find("com.example", "Conv"));
  ck_assert_ptr_null(xai__op_find("", "NoSuchOperator"));
}
END_TEST

int main(void) {
  Suite *suite = suite_create("op");
  TCase *tc = tcase_create("rows");
  tcase_add_checked_fixture(tc, start, stop);
  tcase_add_loop_test(tc, forward_is_as_wanted, 0, CASES);
  tcase_add_loop_test(tc, vjp_is_the_derivative, 0, CASES);
  tcase_add_loop_test(tc, a_linear_layer_is_its_product, 0, CASES);
  tcase_add_loop_test(tc, own_relevance_balances, 0, CASES);
  tcase_add_loop_test(tc, broken_variants_do_not_crash, 0, CASES);
  tcase_add_test(tc, every_operator_has_a_case);
  tcase_add_test(tc, operators_are_found_by_name);
  suite_add_tcase(suite, tc);
  SRunner *runner = srunner_create(suite);
  srunner_run_all(runner, CK_ENV);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed ? 1 : 0;
}

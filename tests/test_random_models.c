/* Random networks of the table's operators with random attributes and operands, most of them
 * wrong in some way: none may crash, hang or fail without saying why. Every new operator is
 * in here at once. XAI_SEED=N XAI_MODELS=M: M models from seed N on (1 and 3,000). */
#include "model_check.h"

static uint64_t state;

static uint32_t chance(uint32_t n) { /* 0 .. n-1 */
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(state >> 33) % n;
}

/* Mostly a small number, now and then an outrageous one. */
static int64_t number(void) {
  static const int64_t hostile[] = {-2,        1000,      65536, INT32_MAX, INT64_MAX,
                                    INT64_MIN, 1LL << 62, 1023,  -100,      INT32_MIN};
  if (!chance(40)) return hostile[chance(sizeof hostile / sizeof *hostile)];
  return chance(10) ? (int64_t)chance(4) : -1;
}

static float real(void) {
  static const float hostile[] = {1e30f, -1e30f, 1e-30f, 0};
  return chance(30) ? (float)chance(200) / 50 - 2 : hostile[chance(4)];
}

static const char *name_of(int i) {
  static char names[4][16];
  static int last;
  last = (last + 1) % 4;
  snprintf(names[last], sizeof names[last], "t%d", i);
  return names[last];
}

/* Few sizes, so that shapes often fit by chance; four axes more often than others. */
static int random_shape(int64_t *dims) {
  int rank = chance(3) ? 4 : (int)chance(6);
  for (int i = 0; i < rank; i++) dims[i] = chance(60) ? 1 + chance(4) : chance(6);
  return rank;
}

static pb random_tensor(int i) {
  int64_t dims[8], count = 1, ints[4096];
  float floats[4096];
  int kind = (int)chance(3), rank = kind ? random_shape(dims) : 1;
  if (!kind) dims[0] = chance(5); /* a list of integers: axes, sizes, indices */
  for (int k = 0; k < rank; k++) count *= dims[k];
  for (int64_t k = 0; k < count; k++) {
    ints[k] = number();
    floats[k] = real();
  }
  return pb_tensor(name_of(i), kind ? XAI_F32 : XAI_I64, rank, dims,
                   kind ? (void *)floats : (void *)ints, (size_t)count * (kind ? 4 : 8));
}

static pb random_attribute(const xai__field *f) {
  static const char *const words[] = {"NOTSET", "VALID",   "SAME_UPPER", "SAME_LOWER", "constant",
                                      "edge",   "reflect", "wrap",       "tanh",       "none",
                                      "linear", "nearest", "bilinear",   "DCR",        "CRD",
                                      "Tanh",   "Relu",    "Sigmoid",    "forward",    "reverse"};
  static const int types[] = {[XAI__INT] = 2,  [XAI__FLOAT] = 1,  [XAI__TEXT] = 3,
                              [XAI__INTS] = 7, [XAI__FLOATS] = 6, [XAI__TENSOR] = 4,
                              [XAI__TEXTS] = 8};
  pb a = {0};
  uint32_t n = chance(5);
  pb_text(&a, 1, f->name);
  pb_int(&a, 20, chance(100) ? types[f->type] : 1 + (int)chance(14));
  if (f->type == XAI__INT) pb_int(&a, 3, number());
  if (f->type == XAI__FLOAT) pb_float(&a, 2, real());
  if (f->type == XAI__TEXT) pb_text(&a, 4, words[chance(sizeof words / sizeof *words)]);
  for (uint32_t i = 0; i < n && f->type == XAI__INTS; i++) pb_int(&a, 8, number());
  for (uint32_t i = 0; i < n && f->type == XAI__FLOATS; i++) pb_float(&a, 7, real());
  for (uint32_t i = 0; i < n && f->type == XAI__TEXTS; i++)
    pb_text(&a, 9, words[chance(sizeof words / sizeof *words)]);
  if (f->type == XAI__TENSOR) {
    pb t = random_tensor(0);
    pb_message(&a, 5, &t);
  }
  return a;
}

static int count_between(int low, int high) {
  if (high < 0 || high > low + 4) high = low + 4;
  return low + (int)chance((uint32_t)(high - low) + 1) + !chance(200);
}

/* Results are tensors n, n + 1, ...; returns how many. */
static int random_node(pb *graph, int n) {
  int n_ops = 0;
  while (xai__op_at((size_t)n_ops)) n_ops++;
  const xai__op *op = xai__op_at(chance((uint32_t)n_ops));
  pb node = {0};
  int n_in = count_between(op->min_in, op->max_in), n_out = count_between(op->min_out, op->max_out);
  pb_text(&node, 4, op->type);
  if (op->domain) pb_text(&node, 7, op->domain);
  for (int i = 0; i < n_in; i++) {
    int recent = chance(2) && n > 2; /* makes chains likely */
    int from = recent ? n - 1 - (int)chance(2) : (int)chance((uint32_t)n + !chance(50));
    pb_text(&node, 1, chance(30) ? name_of(from) : "");
  }
  for (int i = 0; i < n_out; i++) pb_text(&node, 2, chance(60) ? name_of(n + i) : "");
  for (const xai__field *f = op->fields; f && f->name; f++)
    if (f->required ? chance(100) : chance(2)) {
      pb a = random_attribute(f);
      pb_message(&node, 5, &a);
    }
  pb_message(graph, 1, &node);
  return n_out;
}

static pb random_model(uint64_t seed) {
  static const int opsets[] = {7, 9, 11, 12, 13, 15, 17, 18, 21, 24};
  pb graph = {0};
  int n = 0, n_inputs = 1 + (int)chance(2), n_nodes = 1 + (int)chance(4);
  state = seed * 0x9E3779B97F4A7C15u;
  for (; n < n_inputs; n++) {
    int64_t dims[8];
    int rank = random_shape(dims);
    if (rank && !chance(4)) dims[0] = -1;
    pb v = pb_value(name_of(n), chance(12) ? XAI_F32 : XAI_I64, rank, dims);
    pb_message(&graph, 11, &v);
  }
  for (int end = n + 5; n < end; n++) {
    pb t = random_tensor(n);
    pb_message(&graph, 5, &t);
  }
  for (int i = 0; i < n_nodes; i++) n += random_node(&graph, n);
  for (int i = 0; i < 2; i++) {
    pb v = pb_value(name_of(n - 1 - (i ? (int)chance(3) : 0)), XAI_F32, -1, NULL);
    pb_message(&graph, 12, &v);
  }
  return pb_model(&graph, opsets[chance(sizeof opsets / sizeof *opsets)]);
}

static uint64_t setting(const char *name, uint64_t preset) {
  const char *text = getenv(name);
  return text ? strtoull(text, NULL, 10) : preset;
}

START_TEST(random_models) {
  uint64_t first = setting("XAI_SEED", 1), n = setting("XAI_MODELS", 3000), good = 0;
  for (uint64_t seed = first; seed < first + n; seed++) {
    pb model = random_model(seed);
    good += run_bytes(model.p, model.n) == XAI_OK;
    pb_free(&model);
  }
  ck_assert_msg(good * 50 > n || n < 1000, "only %d of %d ran", (int)good, (int)n);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("random_models");
  TCase *c = tcase_create("random_models");
  tcase_add_test(c, random_models);
  suite_add_tcase(suite, c);
  SRunner *r = srunner_create(suite);
  srunner_run_all(r, CK_NORMAL);
  int failed = srunner_ntests_failed(r);
  srunner_free(r);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* What else can be asked: one function a task. usage: tasks MODEL (with an input "image" of
 * N x 1 x 28 x 28 and a tensor "conv3", as docs/examples/models/fashion-lrp.onnx has) */
#include <stdio.h>
#include <string.h>
#include <xai/xai.h>

enum { ITEMS = 2, PIXELS = 28 * 28 };
static xai_session *session;
static xai_param image = {.name = "image"};
static xai_error err;

static xai_result *explain(xai_request request) {
  xai_result *why;
  request.struct_size = sizeof request;
  request.inputs = &image;
  request.n_inputs = 1;
  if (xai_explain(session, &request, &why, &err)) fprintf(stderr, "%s: %s\n", err.where, err.text);
  return why; /* NULL after a failure, which all calls below take */
}

static double sum(const xai_result *r, const char *name) {
  const int64_t *shape;
  const xai_tensor *t = xai_result_find(r, name);
  const float *v = xai_tensor_data(t);
  int64_t n = v != NULL;
  double total = 0;
  for (int i = xai_tensor_shape(t, &shape); i-- > 0;) n *= shape[i];
  for (int64_t i = 0; i < n; i++) total += (double)v[i];
  return total;
}

/* Several targets share the forward pass: here the three best classes of each item, then two by
 * number. The relevance has a leading axis of targets: [T, N, 1, 28, 28]. */
static int several_targets(void) {
  xai_result *why = explain((xai_request){.method = "lrp-epsilon", .top = 3});
  const int64_t *best = xai_tensor_data(xai_result_find(why, "target")); /* [T][N] */
  const float *f = xai_tensor_data(xai_result_find(why, "f"));           /* [T][N] */
  for (int k = 0; why && k < 3; k++)
    printf("item 0, place %d: class %d, f %.4f\n", k + 1, (int)best[k * ITEMS],
           (double)f[k * ITEMS]);
  int failed = !why;
  xai_result_free(why);

  xai_tensor *classes = NULL;
  failed |= xai_tensor_create(XAI_I64, 1, (int64_t[]){2}, (int64_t[]){0, 9}, &classes, &err) != 0;
  why = explain((xai_request){.method = "lrp-epsilon", .target = classes});
  failed |= !why;
  xai_result_free(why);
  xai_tensor_free(classes);
  return failed;
}

/* Parameters of the method, and the caller's own rules, tried before the method's. */
static int own_rules(void) {
  const xai_param params[] = {{.name = "bias", .text = "zero"},
                              {.name = "epsilon", .number = 1e-4}};
  const xai_param gamma = {.name = "gamma", .number = 0.1};
  const xai_row rows[] = {{.match = "depth:0", .rule = "w-square"},
                          {.match = "op:Conv", .rule = "gamma", .params = &gamma, .n_params = 1}};
  xai_result *why = explain((xai_request){
      .method = "lrp-epsilon", .params = params, .n_params = 2, .rows = rows, .n_rows = 2});
  printf("own rules: sum R %.4f\n", sum(why, "relevance/image"));
  xai_result_free(why);
  return !why;
}

/* Relevance of hidden tensors (`at`); the explanation of a hidden tensor's largest element (`from`). */
static int hidden_layers(void) {
  const char *const at[] = {"conv3", "image"};
  xai_result *why = explain((xai_request){.method = "epsilon-plus", .at = at, .n_at = 2});
  printf("at conv3: sum R %.4f; at image: %.4f\n", sum(why, "relevance/conv3"),
         sum(why, "relevance/image"));
  int failed = !why;
  xai_result_free(why);
  why = explain((xai_request){.method = "epsilon-plus", .from = "conv3"});
  printf("from conv3: sum R %.4f\n", sum(why, "relevance/image"));
  failed |= !why;
  xai_result_free(why);
  return failed;
}

/* Where relevance went: f = sum R + what was lost to biases, stabilisers, ... of every node. */
static int ledger(void) {
  xai_result *why = explain((xai_request){.method = "lrp-epsilon", .ledger = 1});
  const char *const columns[] = {"bias", "stabiliser", "empty", "constant", "rule"};
  const xai_tensor *t = xai_result_find(why, "ledger/bias"); /* float64 [T, nodes] */
  const int64_t *shape;
  double lost = 0;
  int64_t nodes = xai_tensor_shape(t, &shape) == 2 ? shape[1] : 0;
  for (int c = 0; c < 5; c++) {
    char name[32];
    snprintf(name, sizeof name, "ledger/%s", columns[c]);
    const double *v = xai_tensor_data(xai_result_find(why, name));
    for (int64_t i = 0; i < nodes; i++) lost += v[i];
  }
  printf("f %.4f = sum R %.4f + lost %.4f\n", sum(why, "f"), sum(why, "relevance/image"), lost);
  xai_result_free(why);
  return !why;
}

/* What a graph says about itself, and how a method will treat each node. */
static int describe(const xai_graph *graph) {
  xai_result *about;
  const char *name, *text;
  const xai_tensor *t;
  if (xai_graph_describe(graph, "epsilon-plus", &about, &err)) return 1;
  for (size_t i = 0; !xai_result_get(about, i, &name, &t, &text); i++)
    if (!strncmp(name, "node/", 5) || !strncmp(name, "logit/", 6)) printf("%s: %s\n", name, text);
  xai_result_free(about);
  return 0;
}

int main(int argc, char **argv) {
  xai_graph *graph = NULL;
  xai_tensor *x = NULL;
  float pixels[ITEMS * PIXELS];
  for (int i = 0; i < ITEMS * PIXELS; i++) pixels[i] = (float)(i % 29) / 28;
  int failed = argc != 2 || xai_graph_load(argv[1], NULL, &graph, &err) ||
               xai_session_create(graph, NULL, &session, &err) ||
               xai_tensor_create(XAI_F32, 4, (int64_t[]){ITEMS, 1, 28, 28}, pixels, &x, &err);
  image.tensor = x;
  if (!failed)
    failed = several_targets() || own_rules() || hidden_layers() || ledger() || describe(graph);
  if (failed) fprintf(stderr, "%s\n", argc == 2 ? err.text : "usage: tasks MODEL");
  xai_tensor_free(x), xai_session_free(session), xai_graph_free(graph);
  return failed;
}

/* Why is this picture what the network says it is? usage: explain model.onnx < 28x28 grey bytes */
#include <stdio.h>
#include <xai/xai.h>

int main(int argc, char **argv) {
  xai_graph *graph = NULL;
  xai_session *session = NULL;
  xai_tensor *image = NULL;
  xai_result *why = NULL;
  xai_error err = {0};
  float pixels[28 * 28] = {0};
  for (int i = 0, c; i < 28 * 28 && (c = getchar()) != EOF; i++) pixels[i] = (float)c / 255;
  const int64_t shape[] = {1, 1, 28, 28};
  int failed = argc != 2 || xai_graph_load(argv[1], NULL, &graph, &err) ||
               xai_session_create(graph, NULL, &session, &err) ||
               xai_tensor_create(XAI_F32, 4, shape, pixels, &image, &err);
  xai_param input = {.name = "image", .tensor = image};
  xai_request request = {.struct_size = sizeof request, .method = "epsilon-plus", .inputs = &input, .n_inputs = 1};
  if (!failed && !(failed = xai_explain(session, &request, &why, &err))) {
    const float *R = xai_tensor_data(xai_result_find(why, "relevance/image"));
    for (int i = 0; i < 28 * 28; i++) printf("%9.5f%c", (double)R[i], i % 28 == 27 ? '\n' : ' ');
  }
  if (failed) fprintf(stderr, "%s: %s\n", err.where, argc == 2 ? err.text : "usage: explain model.onnx");
  xai_result_free(why), xai_tensor_free(image), xai_session_free(session), xai_graph_free(graph);
  return failed != 0;
}

/* A user's program: says what the library can do and, given a model, whether it loads. */
#include <stdio.h>
#include <xai/xai.h>

int main(int argc, char **argv) {
  const char *name, *schema;
  printf("libxai %s:", xai_version());
  for (size_t i = 0; xai_catalog(XAI_METHOD, i, &name, &schema) == XAI_OK; i++) {
    printf(" %s", name);
  }
  printf("\n");
  if (argc < 2) {
    return 0;
  }
  xai_error error;
  xai_graph *graph;
  int status = xai_graph_load(argv[1], NULL, &graph, &error);
  if (status != XAI_OK) {
    fprintf(stderr, "%s: %s\n", xai_status_text(status), error.text);
    return 1;
  }
  xai_graph_free(graph);
  return 0;
}

// A user's program in C++17: says what the library can do and, given a model, whether it loads.
#include <iostream>
#include <memory>
#include <xai/xai.h>

int main(int argc, char **argv) {
  const char *name, *schema;
  std::cout << "libxai " << xai_version() << ":";
  for (size_t i = 0; xai_catalog(XAI_METHOD, i, &name, &schema) == XAI_OK; i++) {
    std::cout << ' ' << name;
  }
  std::cout << '\n';
  if (argc < 2) {
    return 0;
  }
  xai_error error{};
  xai_graph *loaded = nullptr;
  const int status = xai_graph_load(argv[1], nullptr, &loaded, &error);
  const std::unique_ptr<xai_graph, decltype(&xai_graph_free)> graph(loaded, xai_graph_free);
  if (!graph) {
    std::cerr << xai_status_text(status) << ": " << error.text << '\n';
    return 1;
  }
}

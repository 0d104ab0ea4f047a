/* write_model TEXT FILE.onnx: a small model for the scripts beside; model_text.h has the notation. */
#include <stdio.h>

#include "../model_text.h"

int main(int argc, char **argv) {
  FILE *f = argc == 3 ? fopen(argv[2], "wb") : NULL;
  if (!f) return EXIT_FAILURE;
  pb model = model_text(argv[1]);
  size_t written = fwrite(model.p, 1, model.n, f);
  int failed = fclose(f) || written != model.n;
  pb_free(&model);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

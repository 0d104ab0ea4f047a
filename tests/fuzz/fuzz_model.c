/* Any bytes at all as a model and as a tensor: loaded; run and explained if they load. */
#include "../model_run.h"

#ifdef XAI_FUZZ_REPLAY
#include <stdio.h>
#include <stdlib.h>
#endif

static int one_input(const unsigned char *data, size_t n, xai_error *err) {
  xai_tensor *t = NULL;
  xai_tensor_parse(data, n, &t, err);
  xai_tensor_free(t);
  return model_run(data, n, NULL, NULL, err);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n);
int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n) {
  xai_error err;
  one_input(data, n, &err);
  return 0;
}

#ifdef XAI_FUZZ_REPLAY /* without libFuzzer: the files named on the command line, once each */
int main(int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    FILE *f = fopen(argv[i], "rb");
    if (!f || fseek(f, 0, SEEK_END)) return EXIT_FAILURE;
    size_t n = (size_t)ftell(f);
    unsigned char *data = malloc(n + 1);
    rewind(f);
    if (!data || fread(data, 1, n, f) != n) return EXIT_FAILURE;
    fclose(f);
    xai_error err;
    printf("%s: ", argv[i]);
    fflush(stdout);
    puts(one_input(data, n, &err) ? err.text : "runs");
    free(data);
  }
  return EXIT_SUCCESS;
}
#endif

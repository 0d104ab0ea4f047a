/* test_external.c without openat2: paths are walked name by name, as on old kernels. */
#define XAI_NO_OPENAT2
#include "base/os.c"

#include "test_external.c"

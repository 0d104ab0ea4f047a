/* Picks the kernels: the portable ones, overwritten upwards by what the processor has. */
#include "engine/kernels.h"

enum { ISA_256 = 2, ISA_512 = 3 };

void xai__kernels_choose(int max_isa, xai__kernels *k) {
  const int isa = max_isa <= 0 ? ISA_512 : max_isa;
  xai__kernels_portable(k);
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (isa >= ISA_256 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    xai__kernels_avx2(k);
  if (isa >= ISA_512 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
    xai__kernels_avx512(k);
#elif defined(__aarch64__)
  if (isa >= ISA_256) xai__kernels_neon(k);
#else
  (void)isa;
#endif
}

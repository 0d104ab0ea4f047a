/* Picks the kernels: the portable ones, overwritten upwards by what the processor has. */
#include "engine/kernels.h"

int xai__isa(int max_isa) {
  const int most = max_isa <= 0 ? XAI__ISA_512 : max_isa;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (most >= XAI__ISA_512 && __builtin_cpu_supports("avx512f") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl"))
    return XAI__ISA_512;
  if (most >= XAI__ISA_256 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    return XAI__ISA_256;
#elif defined(__aarch64__)
  if (most >= XAI__ISA_256) return XAI__ISA_256;
#endif
  (void)most;
  return XAI__ISA_PORTABLE;
}

void xai__kernels_choose(int isa, xai__kernels *k, xai__block_kernels *b) {
  xai__kernels_portable(k);
  xai__block_kernels_portable(b);
#if defined(__x86_64__)
  if (isa == XAI__ISA_256) xai__kernels_avx2(k), xai__block_kernels_avx2(b);
  if (isa == XAI__ISA_512) xai__kernels_avx512(k), xai__block_kernels_avx512(b);
#elif defined(__aarch64__)
  if (isa == XAI__ISA_256) xai__kernels_neon(k), xai__block_kernels_neon(b);
#else
  (void)isa;
#endif
}

#include "op/simd.h"

const xai__simd *xai__simd_of(const xai__engine *e) {
  switch (xai__engine_isa(e)) {
#if defined(__x86_64__)
  case XAI__ISA_512: return &xai__simd_avx512;
  case XAI__ISA_256: return &xai__simd_avx2;
#elif defined(__aarch64__)
  case XAI__ISA_256: return &xai__simd_neon;
#endif
  default: return &xai__simd_portable;
  }
}

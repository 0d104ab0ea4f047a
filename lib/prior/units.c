#include "prior/units.h"

const xai__units *xai__units_of(const xai__engine *e) {
  switch (xai__engine_isa(e)) {
#if defined(__x86_64__)
  case XAI__ISA_512: return &xai__units_avx512;
  case XAI__ISA_256: return &xai__units_avx2;
#elif defined(__aarch64__)
  case XAI__ISA_256: return &xai__units_neon;
#endif
  default: return &xai__units_portable;
  }
}

/* The loops of simd.h for plain C. */
#define SIMD xai__simd_portable
#include "op/simd_body.h"

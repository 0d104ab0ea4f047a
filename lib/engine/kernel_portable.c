/* Kernels in plain C: vectors of four floats, multiply then add. */
#include "engine/kernels.h"

typedef float V __attribute__((vector_size(16)));
#define VECTOR 4
#define ROWS 6
#define FMA(a, b, c) ((a) * (b) + (c))
#define FMA1(a, b, c) ((a) * (b) + (c))
#define SPLAT(v) ((V){(v), (v), (v), (v)})
#define FILL xai__kernels_portable
#include "engine/kernel_body.h"

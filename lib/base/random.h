/* Counter-based random numbers [Salmon et al. 2011, Philox 4x32-10]: number i of stream s under a
 * seed is a function of (seed, s, i) alone, so any part of a stream can be drawn by any thread. */
#ifndef XAI_BASE_RANDOM_H
#define XAI_BASE_RANDOM_H
#include <stdint.h>

/* Four independent 32-bit words of block `i`. */
void xai__philox(uint64_t seed, uint64_t stream, uint64_t i, uint32_t out[4]);
/* n standard normal numbers: elements [0, n) of a stream. */
void xai__normals(uint64_t seed, uint64_t stream, int64_t n, float *out);

#endif

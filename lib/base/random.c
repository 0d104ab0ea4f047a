/* Philox 4x32-10, and normal numbers from it. */
#include "base/random.h"

#include <math.h>

void xai__philox(uint64_t seed, uint64_t stream, uint64_t i, uint32_t out[4]) {
  uint32_t c[4] = {(uint32_t)i, (uint32_t)(i >> 32), (uint32_t)stream, (uint32_t)(stream >> 32)};
  uint32_t k[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
  for (int round = 0; round < 10; round++) {
    uint64_t a = (uint64_t)0xD2511F53u * c[0], b = (uint64_t)0xCD9E8D57u * c[2];
    uint32_t next[4] = {(uint32_t)(b >> 32) ^ c[1] ^ k[0], (uint32_t)b,
                        (uint32_t)(a >> 32) ^ c[3] ^ k[1], (uint32_t)a};
    for (int j = 0; j < 4; j++) c[j] = next[j];
    k[0] += 0x9E3779B9u;
    k[1] += 0xBB67AE85u;
  }
  for (int j = 0; j < 4; j++) out[j] = c[j];
}

/* Box and Muller: two words a pair. */
void xai__normals(uint64_t seed, uint64_t stream, int64_t n, float *out) {
  const double unit = 1.0 / 4294967296.0, turn = 6.283185307179586;
  for (int64_t i = 0; i < n; i += 4) {
    uint32_t w[4];
    xai__philox(seed, stream, (uint64_t)i / 4, w);
    for (int k = 0; k < 4 && i + k < n; k++) {
      double radius = sqrt(-2 * log((w[k & 2] + 0.5) * unit)), angle = turn * w[(k & 2) + 1] * unit;
      out[i + k] = (float)(radius * (k & 1 ? sin(angle) : cos(angle)));
    }
  }
}

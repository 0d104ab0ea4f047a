/* Numbers that look random, the same every time, for the engine's suites. */
#ifndef XAI_TESTS_CHANCE_H
#define XAI_TESTS_CHANCE_H
#include <stdint.h>
#include <stdlib.h>

static uint64_t chance_state = 1;

static uint32_t chance(void) {
  chance_state = chance_state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(chance_state >> 33);
}

static int64_t between(int64_t low, int64_t high) {
  return low + (int64_t)(chance() % (uint64_t)(high - low + 1));
}

/* n numbers in [-1, 1]; the caller's. */
static float *noise(int64_t n) {
  float *v = malloc((size_t)(n + 1) * sizeof *v);
  for (int64_t i = 0; i < n; i++) v[i] = (float)((int64_t)(chance() % 2001) - 1000) * 1e-3f;
  return v;
}

#endif

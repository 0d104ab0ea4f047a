/* The loops of units.h, for the instruction set of the file that includes this one. */
#include "engine/vector_math.h"
#include "prior/units.h"

enum { LANES = 16, WORDS = 4 };

/* The words of blocks [first, first + 16): word[j][l] of block first + l. See base/random.c. */
static void words(uint64_t seed, uint64_t stream, uint64_t first, uint32_t word[WORDS][LANES]) {
  uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
  XAI__VECTOR_LOOP
  for (int l = 0; l < LANES; l++) {
    const uint64_t i = first + (uint64_t)l;
    word[0][l] = (uint32_t)i;
    word[1][l] = (uint32_t)(i >> 32);
    word[2][l] = (uint32_t)stream;
    word[3][l] = (uint32_t)(stream >> 32);
  }
  for (int round = 0; round < 10; round++) {
    XAI__VECTOR_LOOP
    for (int l = 0; l < LANES; l++) {
      const uint64_t a = (uint64_t)0xD2511F53u * word[0][l], b = (uint64_t)0xCD9E8D57u * word[2][l];
      word[0][l] = (uint32_t)(b >> 32) ^ word[1][l] ^ k0;
      word[1][l] = (uint32_t)b;
      word[2][l] = (uint32_t)(a >> 32) ^ word[3][l] ^ k1;
      word[3][l] = (uint32_t)a;
    }
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
}

/* In (0, 1): the upper 23 bits and a half. */
static inline float unit(uint32_t word) { return ((float)(int32_t)(word >> 9) + 0.5f) * 0x1p-23f; }

static void bernoulli(void *ctx, int64_t begin, int64_t end) {
  const xai__bernoulli b = *(const xai__bernoulli *)ctx;
  for (int64_t g = begin; g < end; g++) {
    const int64_t at = g * XAI__GROUP, left = b.n - at;
    const size_t size = sizeof(float) * (size_t)(left < XAI__GROUP ? left : XAI__GROUP);
    float pre[XAI__GROUP] = {0}, prob[XAI__GROUP], state[XAI__GROUP];
    memcpy(pre, b.pre + at, size);
    XAI__VECTOR_LOOP
    for (int i = 0; i < XAI__GROUP; i++) prob[i] = b.scale * xai__sigmoid(b.beta * pre[i]);
    if (b.prob) memcpy(b.prob + at, prob, size);
    if (!b.state) continue;
    uint32_t word[WORDS][LANES];
    words(b.seed, b.stream, (uint64_t)(b.at_group + g) * LANES, word);
    XAI__VECTOR_LOOP
    for (int i = 0; i < XAI__GROUP; i++) state[i] = unit(word[i / LANES][i % LANES]) < prob[i] ? 1 : 0;
    memcpy(b.state + at, state, size);
  }
}

/* Box and Muller: words 0 and 1 make elements of the first two rows, 2 and 3 of the others. The angle
 * is folded to an eighth of a turn, where Taylor's series are exact to float32. */
static void normals(void *ctx, int64_t begin, int64_t end) {
  const xai__normal_units z = *(const xai__normal_units *)ctx;
  for (int64_t g = begin; g < end; g++) {
    const int64_t at = g * XAI__GROUP, left = z.n - at;
    const size_t size = sizeof(float) * (size_t)(left < XAI__GROUP ? left : XAI__GROUP);
    float out[WORDS][LANES];
    uint32_t word[WORDS][LANES];
    words(z.seed, z.stream, (uint64_t)(z.at_group + g) * LANES, word);
    for (int pair = 0; pair < WORDS; pair += 2) {
      XAI__VECTOR_LOOP
      for (int l = 0; l < LANES; l++) {
        const float radius = sqrtf(-2 * xai__log(unit(word[pair][l])));
        const float turn = unit(word[pair + 1][l]);
        const int32_t q = (int32_t)(turn * 4 + 0.5f);
        const float t = 6.28318530718f * (turn - 0.25f * (float)q), tt = t * t;
        const float s = t * (1 + tt * (-1.6666667e-1f + tt * (8.3333333e-3f + tt * (-1.984127e-4f + tt * 2.7557319e-6f))));
        const float c = 1 + tt * (-0.5f + tt * (4.1666667e-2f + tt * (-1.3888889e-3f + tt * 2.4801587e-5f)));
        const float cosine = q & 1 ? s : c, sine = q & 1 ? c : s;
        out[pair][l] = radius * ((q + 1) & 2 ? -cosine : cosine);
        out[pair + 1][l] = radius * (q & 2 ? -sine : sine);
      }
    }
    memcpy(z.z + at, out, size);
  }
}

static void gaussian(void *ctx, int64_t begin, int64_t end) {
  const xai__gaussian_units u = *(const xai__gaussian_units *)ctx;
  for (int64_t item = begin; item < end; item++) {
    const float *mean = u.mean + item * u.n, *z = u.z ? u.z + item * u.n : NULL;
    float *x = u.x + item * u.n, *scaled = u.scaled ? u.scaled + item * u.n : NULL;
    if (z) {
      XAI__VECTOR_LOOP
      for (int64_t i = 0; i < u.n; i++) x[i] = mean[i] + u.deviation[i] * z[i];
    } else if (x != mean) {
      memcpy(x, mean, (size_t)u.n * sizeof *x);
    }
    if (!scaled) continue;
    XAI__VECTOR_LOOP
    for (int64_t i = 0; i < u.n; i++) scaled[i] = u.sign * u.precision[i] * x[i];
  }
}

/* Sums in double over LANES terms side by side. */
static inline double combined(const double *lane) {
  double sum[LANES];
  for (int i = 0; i < LANES; i++) sum[i] = lane[i];
  for (int half = LANES / 2; half > 0; half /= 2)
    for (int i = 0; i < half; i++) sum[i] += sum[i + half];
  return sum[0];
}

static void energies(void *ctx, int64_t begin, int64_t end) {
  const xai__energies e = *(const xai__energies *)ctx;
  for (int64_t item = begin; item < end; item++) {
    double lane[LANES] = {0}, quadratic[LANES] = {0};
    const float *x = e.x ? e.x + item * e.n : NULL, *pre = e.pre ? e.pre + item * e.m : NULL;
    for (int64_t at = 0; at < e.m && e.softplus; at += LANES) {
      float y[LANES];
      const int count = e.m - at < LANES ? (int)(e.m - at) : LANES;
      for (int l = 0; l < LANES; l++) y[l] = l < count ? pre[at + l] : 0;
      XAI__VECTOR_LOOP
      for (int l = 0; l < LANES; l++) y[l] = xai__softplus(e.beta * y[l]);
      for (int l = 0; l < LANES; l++) lane[l] += l < count ? (double)y[l] : 0;
    }
    for (int64_t at = 0; at < e.n && e.energy; at += LANES)
      for (int l = 0; l < LANES; l++) {
        const int64_t i = at + l < e.n ? at + l : at;
        const double d = (double)x[i] - (double)e.a[i];
        quadratic[l] += at + l < e.n ? d * d * (double)e.precision[i] : 0;
      }
    if (e.softplus) e.softplus[item] = combined(lane);
    if (e.energy) e.energy[item] = 0.5 * combined(quadratic);
  }
}

static void momentum(void *ctx, int64_t begin, int64_t end) {
  const xai__momentum m = *(const xai__momentum *)ctx;
  XAI__VECTOR_LOOP
  for (int64_t i = begin; i < end; i++) {
    m.speed[i] = m.momentum * m.speed[i] + m.rate * m.gradient[i] - m.decay * m.w[i];
    m.w[i] += m.speed[i];
  }
}

const xai__units UNITS = {bernoulli, normals, gaussian, energies, momentum};

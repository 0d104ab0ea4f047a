/* SHA-256 [FIPS 180-4, sections 4.1.2, 5 and 6.2]. */
#include "sha256.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "file.h"

static const uint32_t k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t rotr(uint32_t x, int n) {
  return x >> n | x << (32 - n);
}

static void compress(uint32_t state[8], const unsigned char *p) {
  uint32_t w[64];
  for (int i = 0; i < 16; i++, p += 4)
    w[i] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
  for (int i = 16; i < 64; i++) {
    uint32_t x = w[i - 15], y = w[i - 2];
    w[i] = w[i - 16] + w[i - 7] + (rotr(x, 7) ^ rotr(x, 18) ^ x >> 3) +
           (rotr(y, 17) ^ rotr(y, 19) ^ y >> 10);
  }
  uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
  uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
  for (int i = 0; i < 64; i++) {
    uint32_t t1 = h + (rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25)) + ((e & f) ^ (~e & g)) + k[i] + w[i];
    uint32_t t2 = (rotr(a, 2) ^ rotr(a, 13) ^ rotr(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
    h = g, g = f, f = e, e = d + t1;
    d = c, c = b, b = a, a = t1 + t2;
  }
  state[0] += a, state[1] += b, state[2] += c, state[3] += d;
  state[4] += e, state[5] += f, state[6] += g, state[7] += h;
}

void sha256_init(struct sha256 *s) {
  *s = (struct sha256){.state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f,
                                 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}};
}

void sha256_update(struct sha256 *s, const void *bytes, size_t size) {
  const unsigned char *p = bytes;
  size_t used = (size_t)(s->length % 64);
  s->length += size;
  if (used > 0 && size >= 64 - used) {
    memcpy(s->block + used, p, 64 - used);
    compress(s->state, s->block);
    p += 64 - used;
    size -= 64 - used;
    used = 0;
  }
  if (used == 0)
    for (; size >= 64; p += 64, size -= 64) compress(s->state, p);
  if (size > 0) memcpy(s->block + used, p, size);
}

void sha256_final(struct sha256 *s, unsigned char digest[32]) {
  uint64_t bits = s->length * 8;
  unsigned char pad[72] = {0x80};
  size_t n = 64 - (size_t)((s->length + 8) % 64); /* 1 to 64: the 0x80 and zeros */
  for (int i = 0; i < 8; i++) pad[n + (size_t)i] = (unsigned char)(bits >> (56 - 8 * i));
  sha256_update(s, pad, n + 8);
  for (int i = 0; i < 32; i++) digest[i] = (unsigned char)(s->state[i / 4] >> (24 - 8 * (i % 4)));
}

static void to_hex(struct sha256 *s, char hex[65]) {
  unsigned char digest[32];
  sha256_final(s, digest);
  for (int i = 0; i < 32; i++) {
    hex[2 * i] = "0123456789abcdef"[digest[i] >> 4];
    hex[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
  }
  hex[64] = 0;
}

void sha256_hex(const void *bytes, size_t size, char hex[65]) {
  struct sha256 s;
  sha256_init(&s);
  sha256_update(&s, bytes, size);
  to_hex(&s, hex);
}

int sha256_file(const char *path, char hex[65], char err[256]) {
  unsigned char buffer[16384];
  struct sha256 s;
  FILE *f = fopen(path, "rb");
  hex[0] = 0;
  if (!f) return err_set(err, "%s: %s", path, strerror(errno));
  sha256_init(&s);
  for (size_t n; (n = fread(buffer, 1, sizeof buffer, f)) > 0;) sha256_update(&s, buffer, n);
  int bad = ferror(f), cause = errno;
  fclose(f);
  if (bad) return err_set(err, "%s: %s", path, strerror(cause));
  to_hex(&s, hex);
  return 0;
}

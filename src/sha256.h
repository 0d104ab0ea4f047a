/* SHA-256 [FIPS 180-4]. */
#ifndef XAI_TOOL_SHA256_H
#define XAI_TOOL_SHA256_H
#include <stddef.h>
#include <stdint.h>

struct sha256 {
  uint32_t state[8];
  uint64_t length;
  unsigned char block[64];
};

void sha256_init(struct sha256 *s);
void sha256_update(struct sha256 *s, const void *bytes, size_t size);
void sha256_final(struct sha256 *s, unsigned char digest[32]);

/* 64 lower-case hex digits and a NUL. The file is read in pieces. */
void sha256_hex(const void *bytes, size_t size, char hex[65]);
int sha256_file(const char *path, char hex[65], char err[256]);
#endif

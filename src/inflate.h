/* Decompression of whole buffers through zlib. */
#ifndef XAI_TOOL_INFLATE_H
#define XAI_TOOL_INFLATE_H
#include <stddef.h>

enum inflate_wrap { INFLATE_RAW, INFLATE_GZIP };

/* Inflates at most `capacity` bytes into out. Returns the bytes written; *ended tells whether the
 * stream came to its proper end (checksum included) at or before that many. */
size_t inflate_into(enum inflate_wrap wrap, const unsigned char *in, size_t size,
                    unsigned char *out, size_t capacity, int *ended);

/* Deflate never shrinks more than this: what `size` compressed bytes can hold at most. */
size_t inflate_bound(size_t size);
#endif

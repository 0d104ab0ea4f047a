/* Decompression of whole buffers through zlib. */
#include "inflate.h"
#include <limits.h>
#include <stdint.h>
#include <string.h>
#include <zlib.h>

size_t inflate_bound(size_t size) {
  return size > (SIZE_MAX - 1024) / 1032 ? SIZE_MAX : size * 1032 + 1024;
}

size_t inflate_into(enum inflate_wrap wrap, const unsigned char *in, size_t size,
                    unsigned char *out, size_t capacity, int *ended) {
  z_stream z;
  union {
    const unsigned char *given;
    unsigned char *next;
  } source = {in}; /* zlib does not write there, its type predates const */
  unsigned char spare;
  size_t done = 0, left = size;
  memset(&z, 0, sizeof z);
  *ended = 0;
  if (inflateInit2(&z, wrap == INFLATE_GZIP ? 15 + 16 : -15) != Z_OK) return 0;
  z.next_in = source.next;
  for (;;) {
    /* Once out is full, one byte of room still lets zlib see the end of the stream. */
    size_t room = capacity - done;
    uInt in_now = left > UINT_MAX ? UINT_MAX : (uInt)left;
    uInt out_now = room > UINT_MAX ? UINT_MAX : room ? (uInt)room : 1;
    z.next_out = room ? out + done : &spare;
    z.avail_in = in_now;
    z.avail_out = out_now;
    int rc = inflate(&z, Z_NO_FLUSH);
    left -= in_now - z.avail_in;
    if (room) done += out_now - z.avail_out;
    if (rc == Z_STREAM_END) {
      *ended = room > 0 || z.avail_out == 1;
      /* gzip files may be joined end to end */
      if (wrap == INFLATE_GZIP && *ended && left > 2 && z.next_in[0] == 0x1f &&
          z.next_in[1] == 0x8b && inflateReset(&z) == Z_OK) {
        *ended = 0;
        continue;
      }
      break;
    }
    if (rc != Z_OK || (room == 0 && z.avail_out == 0)) break;
    if (left == 0 && z.avail_out > 0) break;
  }
  inflateEnd(&z);
  return done;
}

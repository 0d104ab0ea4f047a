/* The platform: os.c is the only file that knows it. */
#ifndef XAI_BASE_OS_H
#define XAI_BASE_OS_H
#include <stdbool.h>
#include <xai/xai.h>

typedef struct xai__file {
  const unsigned char *data;
  size_t size;
  bool mapped;
} xai__file;
/* Maps a regular file read-only. */
int xai__file_map(const char *path, xai__file *f, xai_error *err);
void xai__file_unmap(xai__file *f);

int xai__processors(void);
double xai__seconds(void); /* monotonic */

#endif

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
/* The same of a file below a folder. A path that leads out of it, by "..", from the root or by a
 * symbolic link, is XAI_E_MODEL. */
int xai__file_map_beneath(const char *folder, const char *path, xai__file *f, xai_error *err);
void xai__file_unmap(xai__file *f);
/* The n bytes at p, where they lie in a mapped file, need not stay in memory: whoever reads them again
 * gets them from the file. */
void xai__file_forget(const xai__file *f, const void *p, size_t n);
/* How long the folder's part of a path is: 0 for "model.onnx", 4 for "dir/model.onnx". */
size_t xai__folder_length(const char *path);

int xai__processors(void);
double xai__seconds(void); /* monotonic */

#endif

/* Whole files in and out of memory, and the error line shared by the tool's format modules.
 *
 * Convention of npy, npz, idx, image, heatmap, sheet, sha256 and this file: a function returns 0,
 * or -1 with one line in the caller's err[256] that names the file and the cause; outputs are then
 * empty and own nothing. `name` of a *_parse function is only used in that line. */
#ifndef XAI_TOOL_FILE_H
#define XAI_TOOL_FILE_H
#include <stddef.h>
#include <stdio.h>

/* printf into err, cut at 255 bytes; always returns -1, so `return err_set(err, ...)`. */
int err_set(char err[256], const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 2, 3)))
#endif
    ;

/* Path "-" is standard input. limit: most bytes accepted, 0 for no limit. *bytes is the caller's,
 * freed with free(); never NULL on success, even when the file is empty. */
int file_read(const char *path, size_t limit, unsigned char **bytes, size_t *size, char err[256]);

/* Path "-" is standard output. The file appears whole or not at all: an older one stays until the
 * new one is complete. */
int file_write(const char *path, const void *bytes, size_t size, char err[256]);

/* The same in pieces. After a failure of any of them the file is closed and gone. */
struct file_out {
  FILE *stream;
  char *path, *part; /* part: where the bytes go until the end; NULL when they go to path */
};
int file_out_open(struct file_out *f, const char *path, char err[256]);
int file_out_put(struct file_out *f, const void *bytes, size_t size, char err[256]);
int file_out_close(struct file_out *f, char err[256]);
void file_out_abandon(struct file_out *f);

/* "standard input" for "-", else path: how error lines call an input. */
const char *file_name(const char *path);
#endif

/* Whole files in and out of memory, and the error line shared by the tool's format modules.
 *
 * Convention of npy, npz, idx, image, heatmap, sheet, sha256 and this file: a function returns 0,
 * or -1 with one line in the caller's err[256] that names the file and the cause; outputs are then
 * empty and own nothing. `name` of a *_parse function is only used in that line. */
#ifndef XAI_TOOL_FILE_H
#define XAI_TOOL_FILE_H
#include <stddef.h>

/* printf into err, cut at 255 bytes; always returns -1, so `return err_set(err, ...)`. */
int err_set(char err[256], const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 2, 3)))
#endif
    ;

/* Path "-" is standard input. limit: most bytes accepted, 0 for no limit. *bytes is the caller's,
 * freed with free(); never NULL on success, even when the file is empty. */
int file_read(const char *path, size_t limit, unsigned char **bytes, size_t *size, char err[256]);

/* Path "-" is standard output. A regular file that could not be written whole is removed. */
int file_write(const char *path, const void *bytes, size_t size, char err[256]);

/* "standard input" for "-", else path: how error lines call an input. */
const char *file_name(const char *path);
#endif

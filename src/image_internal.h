/* Shared by the image_*.c files only. */
#ifndef XAI_TOOL_IMAGE_INTERNAL_H
#define XAI_TOOL_IMAGE_INTERNAL_H
#include "image.h"

int image_parse_png(const void *bytes, size_t size, const char *name, struct image *out,
                    char err[256]);
int image_parse_jpeg(const void *bytes, size_t size, const char *name, struct image *out,
                     char err[256]);

/* Checks a size read from a file against IMAGE_MAX_SIDE. */
int image_check_size(unsigned long width, unsigned long height, const char *name, char err[256]);
#endif

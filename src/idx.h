/* IDX: the file format of MNIST, big endian: 0 0 type rank, rank sizes of 4 bytes, elements.
 * Gzipped files are recognised by their content, not by their name. */
#ifndef XAI_TOOL_IDX_H
#define XAI_TOOL_IDX_H
#include <stddef.h>
#include "npy.h"

int idx_read(const char *path, struct npy_array *out, char err[256]);
int idx_parse(const void *bytes, size_t size, const char *name, struct npy_array *out,
              char err[256]);

/* 1 when bytes begin like an IDX file; a gzipped one is looked into. */
int idx_sniff(const void *bytes, size_t size);
#endif

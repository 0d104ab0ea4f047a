/* NPZ: several named NPY arrays in a zip archive [numpy.savez; PKWARE APPNOTE].
 *
 * Reads stored and deflated members, with zip64 sizes; writes members below 4 GiB. The times in the
 * archive are fixed, so equal arrays give equal bytes. */
#ifndef XAI_TOOL_NPZ_H
#define XAI_TOOL_NPZ_H
#include <stddef.h>
#include "npy.h"

struct npz;        /* an archive being read; holds the whole file in memory */
struct npz_writer; /* an archive being written */

/* *out is freed with npz_close. npz_parse keeps its own copy of bytes. */
int npz_open(const char *path, struct npz **out, char err[256]);
int npz_parse(const void *bytes, size_t size, const char *name, struct npz **out, char err[256]);
void npz_close(struct npz *z);

size_t npz_count(const struct npz *z);
const char *npz_name(const struct npz *z, size_t i); /* without ".npy"; borrowed */
int npz_find(const struct npz *z, const char *name); /* index, or -1 */

int npz_get_at(const struct npz *z, size_t i, struct npy_array *out, char err[256]);
int npz_get(const struct npz *z, const char *name, struct npy_array *out, char err[256]);

/* Nothing stands at path until npz_finish; then the whole archive or nothing does. npz_finish frees
 * the writer whatever it returns; npz_abandon frees it and writes nothing. Path "-" is standard
 * output. deflate: 0 stores. Adding a name twice is an error. */
int npz_create(const char *path, int deflate, struct npz_writer **out, char err[256]);
int npz_add(struct npz_writer *w, const char *name, const struct npy_array *a, char err[256]);
int npz_add_text(struct npz_writer *w, const char *name, const char *utf8, char err[256]);
int npz_finish(struct npz_writer *w, char err[256]);
void npz_abandon(struct npz_writer *w);
#endif

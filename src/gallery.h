/* Prototypes as pictures, with their scores: what `xai prototype` writes as .png or .json and shows
 * as a table, and what `xai sheet` lays out of several files.
 *
 * A bundle of prototypes holds (docs/TOOL.md) prototype [T R,...], score [T,R], prior [K,T,R],
 * target [T,R], and the texts labels, priors, params and preprocess. */
#ifndef XAI_TOOL_GALLERY_H
#define XAI_TOOL_GALLERY_H
#include "bundle.h"
#include "options.h"

/* Refuses a bundle that lacks them or whose shapes do not agree; `name` in the message. */
int gallery_check(const struct bundle *b, const char *name);

/* A row a target with its restarts, or where there is one restart a row of all targets. */
int gallery_sheet(const struct bundle *b, const struct options *o, const char *path);
/* A row a bundle; names: their files. */
int gallery_rows(const struct bundle *b, const char *const *names, size_t n,
                 const struct options *o, const char *path);
int gallery_table(const struct bundle *b);
/* The text of --json and of .json files; NULL without memory. */
char *gallery_json(const struct bundle *b);
#endif

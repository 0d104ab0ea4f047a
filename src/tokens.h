/* Text: the tokens of an item and the relevance of each, as numbers and in colour.
 *
 * A token's relevance is the sum over all features that its place got, in every tensor [1,S,...]
 * of the explanation, S the number of tokens. */
#ifndef XAI_TOOL_TOKENS_H
#define XAI_TOOL_TOKENS_H
#include "heatmap.h"
#include "report.h"

/* Whether --token-labels, if given, are as many as the tokens of each item. Before anything runs.
 */
int tokens_check(const struct input_set *s, const struct lines *labels);
/* Fills the tokens of an item whose tensors are there; labels may be empty: the ids are names. */
int tokens_add(struct report *r, size_t item, const struct lines *labels);
/* The largest relevance of a token, by which they are coloured. */
double tokens_scale(const struct tokens *t, size_t target);
/* The tokens one after the other, lines at most `columns` wide; colour: on a ground of 24-bit
 * colour, else each with its relevance. NULL without memory; freed with free(). */
char *tokens_terminal(const struct tokens *t, size_t target, enum heatmap_palette palette,
                      int columns, bool colour);
#endif

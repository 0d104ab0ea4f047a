/* INPUT arguments to tensors: files, archives, pictures, folders and globs as a list of items.
 *
 * An item is one element of the batch: a picture, or one row of an array. Arrays are read when the
 * set is opened, pictures when their turn comes. */
#ifndef XAI_TOOL_INPUT_H
#define XAI_TOOL_INPUT_H
#include "model.h"
#include "image.h"

struct input_set;

/* args: FILE or NAME=FILE each. Exit code. */
int input_open(const struct model *m, const struct options *o, const char *const *args, size_t n,
               struct input_set **out);
void input_close(struct input_set *s);

size_t input_count(const struct input_set *s);
/* How many items one library call may take together. */
size_t input_chunk(const struct input_set *s);
/* "boot.png", "x.npy[3]". */
void input_name(const struct input_set *s, size_t item, char *out, size_t size);
/* "boot", "x-3": for file names. */
void input_stem(const struct input_set *s, size_t item, char *out, size_t size);
/* How pixels were prepared; NULL when no input was pixels. */
const char *input_preprocess(const struct input_set *s);

/* The ids of the first input of integers whose items are lists; *n is 0 where there is none. *ids
 * is freed with free(). */
int input_tokens(const struct input_set *s, size_t item, int64_t **ids, size_t *n);

/* Tensors of items first .. first+n, one xai_param a model input; freed with input_release. */
int input_tensors(struct input_set *s, size_t first, size_t n, xai_param **out);
void input_release(const struct input_set *s, xai_param *params);

/* What the item looks like: the picture at the network's size, or an array drawn as one. Exit code;
 * *out is empty (pixels NULL) when it is no picture. */
int input_picture(struct input_set *s, size_t item, struct image *out);
#endif

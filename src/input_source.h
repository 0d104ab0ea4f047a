/* Inside input*.c: where the items of one model input come from. */
#ifndef XAI_TOOL_INPUT_SOURCE_H
#define XAI_TOOL_INPUT_SOURCE_H
#include "input.h"
#include "npy.h"
#include "preprocess.h"

/* One file. */
struct source {
  char *path;
  enum {
    SOURCE_PICTURE, /* a picture file, read when needed */
    SOURCE_PIXELS,  /* a uint8 array of pictures */
    SOURCE_ARRAY    /* an array for the network as it is */
  } kind;
  struct npy_array array; /* with axis 0 for the items, whatever the file had */
  struct image image;     /* a picture of standard input */
  size_t items;
};

/* One input of the model. */
struct slot {
  const struct port *port;
  bool batched;  /* axis 0 counts items */
  bool pictures; /* the shape is that of a picture, layout and preprocess are set */
  bool guessed;
  struct picture_layout layout;
  struct preprocess preprocess;
  struct source *sources;
  size_t n_sources, items;
};

struct input_set {
  const struct model *model;
  const struct options *options;
  struct slot *slots; /* as many as the model has inputs */
  size_t n_slots, items, chunk;
};

/* Whether an input takes lists of tokens: it is of int64 or int32, and no picture. */
bool slot_takes_tokens(const struct slot *slot);
/* Adds an item of "[NAME=]1,2,3"; without NAME it goes to the first input that takes tokens. */
int source_add_tokens(struct input_set *s, const char *text);
/* Adds a file, or "-", to the slot it belongs to (NULL: find out). */
int source_add(struct input_set *s, struct slot *slot, const char *path);
void source_free(struct source *s);
/* The source of an item and its place in it. */
const struct source *source_of(const struct slot *slot, size_t item, size_t *place);
#endif

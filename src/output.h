/* -o: files named by the user, their formats told by the extension.
 *
 * A name may hold %i (number of the item), %n (its name) and %t (target); a folder/ stands for a
 * file of every useful format an item. A name with %i or %n is written as soon as its item is
 * there, one without when all are. */
#ifndef XAI_TOOL_OUTPUT_H
#define XAI_TOOL_OUTPUT_H
#include "image.h"
#include "report.h"

/* Items first .. first + n_items and the same of the targets go into one file. */
struct extract {
  size_t first, n_items, first_target, n_targets;
};

typedef int output_writer(const struct report *r, const struct extract *e, const char *path);

struct output {
  char *pattern;
  output_writer *write;
  bool by_item, by_target; /* the name holds %i or %n; %t */
  bool optional;           /* of a folder: left out where it does not fit */
};

struct outputs {
  struct output *v;
  size_t n;
  bool keep; /* some file waits for the last item */
};

/* Whether all extensions of --out can be written, known before anything is read. */
int output_formats(const struct options *o, bool explains);
/* The same of several items or targets with one name and of folders: before anything runs. */
int output_plan(const struct options *o, const struct input_set *s, size_t n_targets, bool explains,
                struct outputs *out);
void output_free(struct outputs *out);
/* After an item was added to the report; after the last one. */
int output_item(const struct outputs *out, struct report *r, size_t item);
int output_end(const struct outputs *out, struct report *r);
/* Whether a file can be created at path; says so otherwise. Touches nothing. */
int output_check(const char *path);

output_writer output_npy, output_npz, output_png, output_json, output_html;
/* The report of an extract as JSON text; NULL without memory. */
char *output_json_text(const struct report *r, const struct extract *e);

/* The heatmap of a relevance tensor. */
struct map {
  float *values; /* height * width, freed with free() */
  int height, width;
  double scale;
};
/* EXIT_FINE with values NULL: no map can be made of this shape. */
int map_make(const struct report *r, size_t item, size_t target, struct map *out);
/* As a picture, with --overlay over the input. */
int map_picture(const struct report *r, size_t item, const struct map *map, bool overlay, int zoom,
                struct image *out);
#endif

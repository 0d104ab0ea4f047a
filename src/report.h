/* What a run or an explanation gave, item by item: what every output and table is made from.
 *
 * An item has one tensor a name and target (a run: one target, no f). The numbers that summaries
 * need are computed when the item is added, so that its tensors can go when no file waits for
 * them. */
#ifndef XAI_TOOL_REPORT_H
#define XAI_TOOL_REPORT_H
#include "input.h"
#include "model.h"
#include "npy.h"
#include "target.h"

enum { REPORT_MOST_TOP = 1000 };

/* A tensor in a few numbers. */
struct summary {
  int rank;
  int64_t shape[NPY_MAX_RANK];
  double sum, low, high;
  int64_t *top; /* flat indices of the largest values (a run) or of the largest sizes */
  double *value;
  size_t n_top;
};

enum { REPORT_SCORES = 2 }; /* gap, root-f */

/* Of an item that is a text; see tokens.h. n is 0 where it is none. */
struct tokens {
  size_t n;
  char **label;
  double *relevance; /* [target][token] */
};
void tokens_free(struct tokens *t);

struct item {
  char *name, *stem;
  struct npy_array *tensors; /* [target][name]; data NULL once dropped */
  struct summary *summaries; /* the same order */
  int64_t *target;           /* [target]; -1 for a mask; NULL for a run */
  float *f;
  float *score[REPORT_SCORES]; /* what some methods say of themselves; NULL: this one does not */
  double *scale; /* [target], of the heatmap; NULL: no map can be made */
  struct tokens tokens;
};

struct report {
  const struct options *options;
  struct model *model;
  struct input_set *inputs;
  bool explains;
  char *method, *params, *source; /* of an explanation, resolved */
  char *rules;                    /* the user's own, joined; NULL: none */
  const struct port *output;      /* whose classes the targets are; NULL: none */
  size_t n_targets, n_names, n_items, n_top;
  char **names; /* of the tensors: "image" */
  struct item *items;
};

/* top: how many of the largest to keep. Room for all items is made here. */
int report_begin(struct report *r, struct model *m, const struct options *o, struct input_set *s,
                 bool explains, size_t top);
void report_free(struct report *r);
/* Adds the n items of one library call: the tensors named prefix/NAME in `result`. */
int report_add(struct report *r, const xai_result *result, const char *prefix, size_t n);
void report_drop(struct report *r, size_t item);
/* Sum of the relevance in all tensors of one target. */
double report_sum(const struct report *r, size_t item, size_t target);

/* A line of provenance: the text, or where it is NULL the integer (whole) or the number. */
struct fact {
  const char *key, *text;
  double number;
  int64_t integer;
  bool whole;
};
enum { REPORT_FACTS = 24 };
/* Where everything comes from: model, version, method; returns how many facts. */
size_t report_facts(const struct report *r, struct fact out[REPORT_FACTS]);
/* Those of one target of one item are added at n: target, label, f, sum. */
size_t report_item_facts(const struct report *r, size_t item, size_t target, size_t n,
                         struct fact out[REPORT_FACTS]);
struct json;
/* A fact as a member of the open object. */
void json_fact(struct json *j, const struct fact *f);
#endif

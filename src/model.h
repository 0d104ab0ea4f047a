/* A loaded model with what the tool wants to know of it. */
#ifndef XAI_TOOL_MODEL_H
#define XAI_TOOL_MODEL_H
#include <stdbool.h>
#include "lines.h"
#include "options.h"

enum { MODEL_MAX_RANK = 8 };

/* An input or output of the graph. */
struct port {
  const char *name;  /* borrowed from `about` */
  const char *logit; /* of an output: the tensor that explains it by default */
  const char *type;  /* "float32" */
  int dtype, rank;
  int64_t shape[MODEL_MAX_RANK]; /* -1: symbolic */
};

/* One node, in execution order; texts are ours. */
struct node {
  char *op, *name, *outputs, *shape, *crossing;
  char *rule, *origin; /* with a method; else "" */
  char *fields;        /* what they all point into */
};

struct model {
  const char *path;
  xai_graph *graph;
  xai_session *session; /* NULL until model_session */
  xai_result *about;    /* xai_graph_describe */
  struct port *inputs, *outputs;
  size_t n_inputs, n_outputs;
  char sha256[65];
  struct lines labels; /* class names */
};

/* method: NULL, or the one that node.rule is asked for. */
/* model_try says nothing and returns a status; m is freed whatever they return. */
int model_try(const char *path, const struct options *o, const char *method, struct model *m,
              xai_error *err);
int model_load(const char *path, const struct options *o, const char *method, struct model *m);
/* log: heard with `user`, or NULL. */
int model_session(struct model *m, const struct options *o, xai_log_fn log, void *user);
void model_free(struct model *m);

/* An input tensor for each of the model's inputs, symbolic sizes 1: zeros, or floats drawn from
 * [-1, 1) and zeros for the rest. out[n_inputs]; freed with model_blank_free whatever this returns. */
int model_blank(const struct model *m, bool drawn, xai_param *out);
void model_blank_free(const struct model *m, xai_param *inputs);

/* A text entry of the description, NULL if there is none. */
const char *model_text(const struct model *m, const char *key);
const struct port *model_input(const struct model *m, const char *name);
const struct port *model_output(const struct model *m, const char *name);
/* The nodes, *n of them; NULL without memory. Freed with model_nodes_free. */
struct node *model_nodes(const struct model *m, size_t *n);
void model_nodes_free(struct node *nodes, size_t n);
/* Whether some node's output or a graph input has this name. */
bool model_has_tensor(const struct model *m, const char *name);
/* The file's SHA-256, computed when first asked for. */
int model_digest(struct model *m);

/* Class names: of `path`, or of the model's metadata when path is NULL. */
int model_read_labels(struct model *m, const char *path);
/* The class name of the flat index in one item of an output, whose class axis is 1; NULL if none
 * or a size behind that axis is not known. */
const char *model_label(const struct model *m, const struct port *output, int64_t index);
#endif

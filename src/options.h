/* The command line: one table of options for all commands, one struct that they fill.
 *
 * Adding an option: a field here and a row in options.c; parsing and --help follow. */
#ifndef XAI_TOOL_OPTIONS_H
#define XAI_TOOL_OPTIONS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <xai/xai.h>

enum {
  FOR_INFO = 1,
  FOR_RUN = 2,
  FOR_EXPLAIN = 4,
  FOR_TEST = 8,
  FOR_CATALOG = 16,
  FOR_BENCH = 32,
  FOR_PROTOTYPE = 64,
  FOR_SHEET = 128,
  FOR_FIT = 256,
  FOR_ITEMS = FOR_RUN | FOR_EXPLAIN, /* reads inputs, writes files */
  FOR_ALL = 511
};

/* Texts of argv, borrowed; the array is ours. */
struct texts {
  const char **v;
  size_t n;
};

/* Parameters of an ascent, as they were given; NULL: not. */
struct climb {
  const char *score, *steps, *rate, *optimizer, *momentum, *restarts, *keep, *init, *noise, *low, *high,
      *jitter, *blur, *frequency;
  int64_t trace;
};

struct options {
  const char *command;
  xai_log_fn log; /* of graphs and sessions; NULL: none */
  void *log_user;
  struct texts args; /* what is not an option */
  bool help, version, json, quiet;
  int64_t threads, random_seed, max_memory;
  double timeout;
  const char *preprocess, *fit, *token_labels; /* reading */
  struct texts tokens;
  struct texts out;             /* writing */
  const char *labels, *channels, *palette, *sheet, *ledger;
  double clip;
  int64_t zoom;
  bool overlay;
  struct texts methods, rules, at; /* explaining */
  const char *target, *from, *output, *seed, *bias;
  int64_t top, rounds, layers;
  struct texts priors; /* of a prototype, a fit */
  const char *generator, *held_out;
  struct climb climb;
  bool graph, memory, explain; /* info, test */
};

struct command {
  const char *name;
  int bit;           /* FOR_... */
  const char *usage; /* what follows "xai NAME " */
  const char *about; /* one line */
  const char *more;  /* for --help, lines; NULL: none */
  int (*run)(const struct options *o);
};

/* argv[0] is the command's name. Fills *o, which options_free frees whatever this returns. */
int options_parse(const struct command *c, int argc, char **argv, struct options *o);
void options_free(struct options *o);
void options_help(const struct command *c);
/* Of a graph or a session. */
xai_options options_library(const struct options *o);
#endif

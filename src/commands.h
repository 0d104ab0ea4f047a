/* The commands, one file each (cmd_*.c); main.c has their table. */
#ifndef XAI_TOOL_COMMANDS_H
#define XAI_TOOL_COMMANDS_H
#include "options.h"

int cmd_info(const struct options *o);
int cmd_run(const struct options *o);
int cmd_explain(const struct options *o);
int cmd_prototype(const struct options *o);
int cmd_fit(const struct options *o);
int cmd_sheet(const struct options *o);
int cmd_test(const struct options *o);
int cmd_bench(const struct options *o);
int cmd_methods(const struct options *o);
int cmd_rules(const struct options *o);
int cmd_ops(const struct options *o);
int cmd_priors(const struct options *o);
int cmd_metrics(const struct options *o);

/* 1 when `name` is a command that lists a catalogue with nothing in it. */
int cmd_catalog_is_empty(const char *name);
#endif

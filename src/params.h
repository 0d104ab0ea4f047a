/* Parameter lists "NAME[,k=v...]": of methods, rules and preprocessing.
 *
 * A value is a number, a list a:b:c (a float32 tensor), @FILE[:KEY] (a tensor) or a word. */
#ifndef XAI_TOOL_PARAMS_H
#define XAI_TOOL_PARAMS_H
#include <stddef.h>
#include <xai/xai.h>

struct params {
  xai_param *v; /* names, texts and tensors are ours */
  size_t n;
};

/* Adds one; giving the same value twice is fine, two different ones a usage error. */
int params_add(struct params *p, const char *name, const char *value);
/* Adds "k=v,k=v"; `what` names the option in messages. */
int params_parse(struct params *p, const char *list, const char *what);
/* Splits "NAME,k=v": *name is malloced. */
int params_named(const char *text, const char *what, char **name, struct params *p);
void params_drop(struct params *p, size_t i); /* the i-th of them */
void params_free(struct params *p);

/* "1.5", "-2e-3", "1/255": 0 or -1. */
int params_number(const char *text, double *out);
/* "a:b:c" of at most `most` numbers; how many, or -1. */
int params_numbers(const char *text, double *out, int most);
#endif

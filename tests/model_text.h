/* ONNX models from a line of text, for tables of test cases. Statements are separated by ';':
 *
 *   opset 13                    opset com.example 1
 *   input x 1,3,N               float32; a dimension without a number is symbolic
 *   input ids i64 4             dtypes: f32 f64 f16 i64 i32 i16 i8 u16 u8 bool str
 *   const w 2,2 = 1 2 3 4       const w 3,3 = 0.5      one value fills; no dims: "const s = 1"
 *   const w 8,3 ~7              by chance, seed 7 (model_chance); ~+7 and ~-7: of one sign
 *   const k i64 2 = 1 2
 *   output y
 *   y = Gemm(x, w,, b) transB=1 alpha=0.5 auto_pad='VALID' pads=[1,1] scales=[1.,2.] f=['Relu'] value=$k
 *   y, z = com.example.Foo(x)   $k: the tensor of constant k
 *
 * `output` and nodes may come in any order. The text must fit: nothing is checked. */
#ifndef XAI_TESTS_MODEL_TEXT_H
#define XAI_TESTS_MODEL_TEXT_H
#include <ctype.h>

#include "proto_writer.h"

typedef struct mt {
  pb graph, imports, tensors[32]; /* tensors: for $k */
  char tensor_names[32][32];
  int n_tensors, n_nodes;
} mt;

static inline void mt_blanks(const char **s) {
  while (**s == ' ' || **s == '\n') ++*s;
}

static inline int mt_take(const char **s, const char *text) {
  mt_blanks(s);
  if (strncmp(*s, text, strlen(text))) return 0;
  *s += strlen(text);
  return 1;
}

/* A word of letters, digits and _./:- */
static inline void mt_word(const char **s, char *to) {
  size_t n = 0;
  mt_blanks(s);
  while ((isalnum((unsigned char)**s) || (**s && strchr("_./:-", **s))) && n < 63)
    to[n++] = *(*s)++;
  to[n] = 0;
}

static inline int mt_dtype(const char *word) {
  static const char *const names[17] = {[1] = "f32", [2] = "u8",  [3] = "i8",   [4] = "u16",
                                        [5] = "i16",  [6] = "i32",  [7] = "i64", [8] = "str", [9] = "bool", [10] = "f16",
                                        [11] = "f64"};
  for (int i = 0; i < 17; i++)
    if (names[i] && !strcmp(names[i], word)) return i;
  return 0;
}

/* "f32 1,3,N" or a part of it. Returns the rank. */
static inline int mt_type(const char **s, int *dtype, int64_t *dims) {
  int rank = 0;
  char word[64];
  const char *start = *s;
  *dtype = 1;
  mt_word(s, word);
  if (mt_dtype(word)) *dtype = mt_dtype(word);
  else *s = start;
  do {
    mt_word(s, word);
    if (!word[0]) break;
    char *end;
    dims[rank] = strtoll(word, &end, 10);
    if (*end) dims[rank] = -1;
    rank++;
  } while (mt_take(s, ","));
  return rank;
}

/* A multiple of 1/64 from -1 to 1, but not 0: sums of products of a few are exact in float. */
static inline float model_chance(uint64_t *state) {
  *state = (*state + 1) * 6364136223846793005u + 1442695040888963407u;
  int v = (int)(*state >> 40) % 128 - 64;
  return (float)(v < 0 ? v : v + 1) / 64;
}

static inline void mt_const(mt *m, const char **s) {
  int64_t dims[16], count = 1;
  int dtype;
  char *name = m->tensor_names[m->n_tensors];
  char *end;
  pb data = {0};
  mt_word(s, name);
  int rank = mt_type(s, &dtype, dims);
  for (int i = 0; i < rank; i++) count *= dims[i];
  int random = mt_take(s, "~"), sign = mt_take(s, "+") - mt_take(s, "-");
  if (!random) mt_take(s, "=");
  uint64_t state = random ? strtoull(*s, &end, 10) : 0;
  if (random) *s = end;
  double v = 0;
  for (int64_t i = 0; i < count; i++) {
    double next = random ? (double)model_chance(&state) : strtod(*s, &end);
    if (random || end != *s) v = sign && next * sign < 0 ? -next : next;
    if (!random) *s = end;
    float f = (float)v;
    int64_t k = (int64_t)v; /* little-endian: the low bytes come first */
    size_t size = dtype == 7 || dtype == 11 ? 8 : dtype == 6 ? 4 : dtype == 4 || dtype == 5 ? 2 : 1;
    if (dtype == 1) pb_raw(&data, &f, 4);
    else if (dtype == 11) pb_raw(&data, &v, 8);
    else pb_raw(&data, &k, size);
  }
  pb t = pb_tensor(name, dtype, rank, dims, data.p, data.n);
  pb_bytes(&m->graph, 5, t.p, t.n);
  m->tensors[m->n_tensors++] = t;
  pb_free(&data);
}

/* [1,2] or [1.,2.] */
static inline void mt_list(pb *attr, const char **s) {
  int floats = strcspn(*s, ".") < strcspn(*s, "]"), texts = **s == '\'';
  while (!mt_take(s, "]")) {
    char *end;
    if (texts) {
      size_t n = strcspn(*s + 1, "'");
      pb_bytes(attr, 9, *s + 1, n);
      *s += n + 2;
    } else {
      if (floats) pb_float(attr, 7, strtof(*s, &end));
      else pb_int(attr, 8, strtoll(*s, &end, 10));
      *s = end;
    }
    mt_take(s, ",");
  }
  pb_int(attr, 20, texts ? 8 : floats ? 6 : 7);
}

static inline void mt_attr(mt *m, pb *node, const char **s) {
  char word[64];
  pb attr = {0};
  mt_word(s, word);
  pb_text(&attr, 1, word);
  mt_take(s, "=");
  if (mt_take(s, "[")) {
    mt_list(&attr, s);
  } else if (mt_take(s, "'")) {
    size_t n = strcspn(*s, "'");
    pb_bytes(&attr, 4, *s, n);
    pb_int(&attr, 20, 3);
    *s += n + 1;
  } else if (mt_take(s, "$")) {
    mt_word(s, word);
    for (int i = 0; i < m->n_tensors; i++)
      if (!strcmp(m->tensor_names[i], word)) pb_bytes(&attr, 5, m->tensors[i].p, m->tensors[i].n);
    pb_int(&attr, 20, 4);
  } else {
    mt_word(s, word);
    int floats = strchr(word, '.') != NULL;
    if (floats) pb_float(&attr, 2, strtof(word, NULL));
    else pb_int(&attr, 3, strtoll(word, NULL, 10));
    pb_int(&attr, 20, floats ? 1 : 2);
  }
  pb_message(node, 5, &attr);
}

static inline void mt_node(mt *m, const char **s) {
  char word[64];
  pb node = {0};
  do {
    mt_word(s, word);
    pb_text(&node, 2, word);
  } while (mt_take(s, ","));
  mt_take(s, "=");
  mt_word(s, word);
  char *dot = strrchr(word, '.');
  pb_text(&node, 4, dot ? dot + 1 : word);
  if (dot) pb_bytes(&node, 7, word, (size_t)(dot - word));
  mt_take(s, "(");
  if (!mt_take(s, ")")) {
    do {
      mt_word(s, word);
      pb_text(&node, 1, word);
    } while (mt_take(s, ","));
    mt_take(s, ")");
  }
  word[0] = (char)('a' + m->n_nodes++ % 26); /* nodes are called n_a, n_b, ... */
  char name[4] = {'n', '_', word[0], 0};
  pb_text(&node, 3, name);
  for (mt_blanks(s); **s && **s != ';'; mt_blanks(s)) mt_attr(m, &node, s);
  pb_message(&m->graph, 1, &node);
}

static inline pb model_text(const char *s) {
  mt m = {0};
  char word[64];
  int64_t dims[16];
  for (mt_blanks(&s); *s; mt_blanks(&s)) {
    int input = mt_take(&s, "input "), dtype;
    if (input || mt_take(&s, "output ")) {
      mt_word(&s, word);
      int rank = mt_type(&s, &dtype, dims);
      pb value = pb_value(word, dtype, input || rank ? rank : -1, dims);
      pb_message(&m.graph, input ? 11 : 12, &value);
    } else if (mt_take(&s, "const ")) {
      mt_const(&m, &s);
    } else if (mt_take(&s, "opset ")) {
      pb import = {0};
      mt_word(&s, word);
      int named = isalpha((unsigned char)word[0]) != 0;
      pb_text(&import, 1, named ? word : "");
      if (named) mt_word(&s, word);
      pb_int(&import, 2, strtoll(word, NULL, 10));
      pb_message(&m.imports, 8, &import);
    } else {
      mt_node(&m, &s);
    }
    mt_take(&s, ";");
  }
  pb_text(&m.graph, 2, "g");
  pb model = pb_model(&m.graph, 0);
  pb_raw(&model, m.imports.p, m.imports.n);
  pb_free(&m.imports);
  for (int i = 0; i < m.n_tensors; i++) pb_free(&m.tensors[i]);
  return model;
}

#endif

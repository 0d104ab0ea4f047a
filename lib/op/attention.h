/* Attention: attributes and sizes. attention_shape.c reads and checks them, attention.c runs. */
#ifndef XAI_OP_ATTENTION_H
#define XAI_OP_ATTENTION_H
#include "op/broadcast.h"

/* Operands; what result 3 holds. */
enum { Q, K, V, MASK, PAST_K, PAST_V, LENGTHS };
enum { XAI__QK_RAW, XAI__QK_CAPPED, XAI__QK_MASKED, XAI__QK_WEIGHTS };

typedef struct xai__attention_attr {
  int64_t causal, q_heads, kv_heads, mode, precision, left, right;
  float scale, cap;
} xai__attention_attr;

typedef struct xai__attention_dims {
  int64_t n, heads, kv_heads, q_len, kv_len, past, total, size, v_size;
  int64_t group; /* rows of a pair: queries of all its heads */
} xai__attention_dims;

int xai__attention_dims_of(const xai__call *c, xai__attention_dims *d);
/* The mask along (N,Hq,L,columns). A last axis shorter than T hides what it does not cover. */
int xai__attention_mask(const xai__call *c, const xai__attention_dims *d, int64_t *columns,
                        int64_t stride[4]);
extern const xai__field xai__attention_fields[];
int xai__attention_infer(xai__call *c);

#endif

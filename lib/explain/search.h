/* What an ascent climbs [METHODS section 5]:
 *
 *   F(z) = score(f(x)) + sum of weight * log p(x or z),   x = g(z)
 *
 * f: the network, g: a decoder or the identity. Items run in chunks of the same size, so that a
 * network with a fixed batch axis, or one whose batch is too large for memory, serves them all. */
#ifndef XAI_EXPLAIN_SEARCH_H
#define XAI_EXPLAIN_SEARCH_H
#include "explain/job.h"

typedef struct xai__search {
  xai__job j;           /* of the network: method, parameters, source, plan over a chunk */
  int input;            /* index of the graph input x that is looked for */
  const char *name;     /* of z: that input, or the decoder's */
  xai__plan *decode;    /* of the decoder over a chunk, or NULL */
  int picture;          /* its output, a value */
  xai__shape z, x;      /* of a chunk; the same without a decoder */
  int64_t targets, restarts, items; /* items = targets * restarts, restarts inner */
  int64_t chunk, chunks, room;      /* room = chunk * chunks >= items: the last item fills up */
  bool log_prob;
  xai__targets *target; /* per chunk */
  size_t n_terms, n_x;  /* the first n_x of `terms` are over x, the others over z */
  xai_term *terms;
  size_t *order;        /* terms[i] is the request's order[i] */
  double *each;         /* [n_terms][chunk] */
  xai__arena arena;
} xai__search;

/* Reads the request, but runs nothing; freed whatever it returns. */
int xai__search_begin(xai__search *s, xai_session *session, const xai_request *r, xai_result *out,
                      xai_error *err);
void xai__search_free(xai__search *s);
const xai_tensor *xai__search_start(const xai__search *s); /* the caller's for z, or NULL */

/* F's parts and its gradient g at z [chunk][size], the items of chunk c: score[chunk], and
 * prior[term][chunk] with `room` from a term to the next, in the request's order. The network sees x
 * moved by `shift` (down, right; what leaves on one side comes in on the other). */
int xai__search_evaluate(xai__search *s, int64_t c, float *z, const int64_t shift[2], double *score,
                         double *prior, float *g);

#endif

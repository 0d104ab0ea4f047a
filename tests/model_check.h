/* Models that must fail in a certain way. */
#ifndef XAI_TESTS_MODEL_CHECK_H
#define XAI_TESTS_MODEL_CHECK_H
#include <check.h>
#include <stdio.h>

#include "model_run.h"
#include "model_text.h"

#define MODEL XAI_E_MODEL
#define UNSUPPORTED XAI_E_UNSUPPORTED
#define LIMIT XAI_E_LIMIT

static xai_error err;

/* A copy of exactly n bytes, so that a sanitizer sees any step past the end. */
static inline int run_bytes(const void *p, size_t n) {
  void *copy = calloc(n + !n, 1);
  if (n) memcpy(copy, p, n);
  int status = model_run(copy, n, NULL, NULL, &err);
  free(copy);
  ck_assert_msg(status == XAI_OK || (status < 0 && err.status == status && err.text[0]),
                "status %d, error %d '%s'", status, err.status, err.text);
  return status;
}

static inline void expect(const char *what, int got, int status, const char *text) {
  ck_assert_msg(got == status, "%s\nstatus %d '%s', not %d", what, got, err.text, status);
  char both[600];
  snprintf(both, sizeof both, "%s: %s", err.where, err.text);
  ck_assert_msg(!status || strstr(both, text), "%s\n'%s' lacks '%s'", what, both, text);
}

#endif

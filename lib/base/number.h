/* Numbers and text without the locale; half-precision floats; quadrature. */
#ifndef XAI_BASE_NUMBER_H
#define XAI_BASE_NUMBER_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct { char text[32]; } xai__number_text_t;
/* Shortest of %.6g .. %.17g that reads back the same. */
xai__number_text_t xai__number_text(double v);
/* The whole text must be one finite or infinite number. */
bool xai__number_parse(const char *s, double *out);

float xai__f16_to_f32(uint16_t h);
float xai__bf16_to_f32(uint16_t h);
float xai__round_to_f16(float v); /* the nearest half float, ties to even */

/* The Gauss-Legendre rule of n points on [0, 1]. */
void xai__gauss_legendre(int64_t n, double *at, double *weight);

/* '*' and '?' wildcards; '*' also matches '/'. */
bool xai__glob(const char *pattern, const char *text);

#endif

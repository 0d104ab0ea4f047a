/* Numbers and text without the locale. */
#include "base/number.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Decimal digits and an exponent: exact to the last place for everything a parameter needs. */
bool xai__number_parse(const char *s, double *out) {
  long double value = 0;
  int digits = 0, scale = 0;
  bool negative = *s == '-';
  if (*s == '-' || *s == '+') s++;
  if (!strcmp(s, "inf") || !strcmp(s, "infinity")) {
    *out = negative ? -(double)INFINITY : (double)INFINITY;
    return true;
  }
  for (bool point = false; (*s >= '0' && *s <= '9') || (*s == '.' && !point); s++) {
    if (*s == '.') {
      point = true;
      continue;
    }
    digits++;
    if (value < 1e18L) {
      value = value * 10 + (*s - '0');
      scale -= point;
    } else {
      scale += !point;
    }
  }
  if (!digits) return false;
  if (*s == 'e' || *s == 'E') {
    int exponent = 0, n = 0;
    bool down = *++s == '-';
    if (*s == '-' || *s == '+') s++;
    for (; *s >= '0' && *s <= '9'; s++, n++)
      if (exponent < 10000) exponent = exponent * 10 + (*s - '0');
    if (!n) return false;
    scale += down ? -exponent : exponent;
  }
  if (*s) return false;
  /* Divide by a positive power: powers of ten up to 10^27 are exact in long double. */
  value = scale < -4000 ? 0 : scale < 0 ? value / powl(10, -scale) : value * powl(10, scale);
  *out = (double)(negative ? -value : value);
  return true;
}

xai__number_text_t xai__number_text(double v) {
  xai__number_text_t t;
  for (int precision = 6; precision <= 17; precision++) {
    snprintf(t.text, sizeof t.text, "%.*g", precision, v);
    for (char *p = t.text; *p; p++)
      if (!strchr("0123456789+-einfa", *p)) *p = '.'; /* the locale's decimal point */
    double back;
    if (xai__number_parse(t.text, &back) && back == v) break;
  }
  return t;
}

float xai__f16_to_f32(uint16_t h) {
  int exponent = h >> 10 & 31, mantissa = h & 1023;
  float v = exponent == 0    ? ldexpf((float)mantissa, -24)
            : exponent == 31 ? (mantissa ? NAN : INFINITY)
                             : ldexpf((float)(mantissa + 1024), exponent - 25);
  return h >> 15 ? -v : v;
}

float xai__round_to_f16(float v) {
  int exponent;
  if (!(fabsf(v) < 65520)) return v != v ? v : v > 0 ? INFINITY : -INFINITY;
  frexpf(v, &exponent); /* |v| in [2^(e-1), 2^e): 11 significant bits, at least 2^-24 */
  int step = exponent - 11 < -24 ? -24 : exponent - 11;
  return ldexpf(nearbyintf(ldexpf(v, -step)), step);
}

float xai__bf16_to_f32(uint16_t h) {
  uint32_t bits = (uint32_t)h << 16;
  float v;
  memcpy(&v, &bits, sizeof v);
  return v;
}

void xai__gauss_legendre(int64_t n, double *at, double *weight) {
  for (int64_t i = 0; i < n; i++) { /* Newton's iteration on the Legendre polynomial */
    double x = cos(3.141592653589793 * ((double)i + 0.75) / ((double)n + 0.5)), slope = 1;
    for (int k = 0; k < 100; k++) {
      double p0 = 1, p1 = x;
      for (int64_t m = 2; m <= n; m++) {
        double p2 = ((2 * (double)m - 1) * x * p1 - ((double)m - 1) * p0) / (double)m;
        p0 = p1;
        p1 = p2;
      }
      slope = (double)n * (x * p1 - p0) / (x * x - 1);
      double step = p1 / slope;
      x -= step;
      if (fabs(step) < 1e-15) break;
    }
    at[i] = 0.5 - 0.5 * x;
    weight[i] = 1 / ((1 - x * x) * slope * slope);
  }
}

bool xai__glob(const char *pattern, const char *text) {
  const char *star = NULL, *resume = NULL;
  while (*text) {
    if (*pattern == '*') {
      star = pattern++;
      resume = text;
    } else if (*pattern == '?' || *pattern == *text) {
      pattern++;
      text++;
    } else if (star) {
      pattern = star + 1;
      text = ++resume;
    } else {
      return false;
    }
  }
  while (*pattern == '*') pattern++;
  return !*pattern;
}

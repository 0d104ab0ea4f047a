/* The loops of units.h for AVX-512. */
#define UNITS xai__units_avx512
#include "prior/units_body.h"

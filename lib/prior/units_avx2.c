/* The loops of units.h for AVX2. */
#define UNITS xai__units_avx2
#include "prior/units_body.h"

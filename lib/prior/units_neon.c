/* The loops of units.h for NEON. */
#define UNITS xai__units_neon
#include "prior/units_body.h"

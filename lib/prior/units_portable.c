/* The loops of units.h for plain C. */
#define UNITS xai__units_portable
#include "prior/units_body.h"

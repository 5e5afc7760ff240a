// Vectors of four floats, which every processor of the last twenty years has; elsewhere the compiler takes them apart.

#include "kernels.h"
#include "processor.h"

#define IMPASTO_SET portable
#define IMPASTO_LANES 4
#define IMPASTO_PANEL 2
#include "instruction_set.h"

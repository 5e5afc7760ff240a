// NEON, part of every aarch64 processor: vectors of four floats and 32 registers.

#if defined(__aarch64__)

#include "kernels.h"
#include "processor.h"

#define IMPASTO_SET neon
#define IMPASTO_LANES 4
#define IMPASTO_PANEL 4
#include "instruction_set.h"

#endif

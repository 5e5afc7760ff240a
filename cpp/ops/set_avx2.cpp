// AVX2 with FMA: vectors of eight floats and 16 registers.

#if defined(__x86_64__)

#include "kernels.h"
#include "processor.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif
#define IMPASTO_SET avx2
#define IMPASTO_LANES 8
#define IMPASTO_PANEL 2
#include "instruction_set.h"
#if defined(__clang__)
#pragma clang attribute pop
#endif

#endif

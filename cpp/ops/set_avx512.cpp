// AVX-512: vectors of sixteen floats and 32 registers.

#if defined(__x86_64__)

#include "kernels.h"
#include "processor.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512vl,avx512bw,avx512dq,avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")
#endif
#define IMPASTO_SET avx512
#define IMPASTO_LANES 16
#define IMPASTO_PANEL 4
#include "instruction_set.h"
#if defined(__clang__)
#pragma clang attribute pop
#endif

#endif

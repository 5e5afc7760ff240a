#include "processor.h"

#include <cstdlib>
#include <cstring>
#include <thread>

#include "kernels.h"

namespace impasto {

namespace portable { extern const Kernels kernels; }
namespace neon { extern const Kernels kernels; }
namespace avx2 { extern const Kernels kernels; }
namespace avx512 { extern const Kernels kernels; }

std::int64_t cores() {
  static const std::int64_t found = [] {
    const unsigned threads = std::thread::hardware_concurrency();
    return static_cast<std::int64_t>(threads ? threads : 1);
  }();
  return found;
}

namespace {

bool works(const Kernels& kernels) {
#if defined(__x86_64__)
  if (&kernels == &avx512::kernels)
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
  if (&kernels == &avx2::kernels) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
  (void)kernels;
  return true;
}

const Kernels* const SETS[] = {  // best first
#if defined(__x86_64__)
    &avx512::kernels, &avx2::kernels,
#elif defined(__aarch64__)
    &neon::kernels,
#endif
    &portable::kernels};

}  // namespace

std::string instruction_sets() {
  std::string names;
  for (const Kernels* kernels : SETS)
    if (works(*kernels)) names += (names.empty() ? "" : " ") + std::string(kernels->name);
  return names;
}

const Kernels& kernels_for(std::int64_t divisor) {
  const char* asked = std::getenv("IMPASTO_OPS_ISA");
  const Kernels* best = nullptr;
  for (const Kernels* kernels : SETS) {
    if (!works(*kernels) || divisor % kernels->lanes != 0) continue;
    if (asked && std::strcmp(asked, kernels->name) == 0) return *kernels;
    if (!best) best = kernels;
  }
  return *best;
}

}  // namespace impasto

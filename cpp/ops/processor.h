// What the kernels need to know of the processor.

#pragma once

#include <cstdint>

namespace impasto {

std::int64_t cores();  // at least 1

}  // namespace impasto

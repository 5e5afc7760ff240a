// Transformed weights, once for all kernels that have the same: those of one network in several sessions.

#pragma once

#include <memory>
#include <vector>

#include "kernels.h"

namespace impasto {

// Return what `transform_weights` makes of w. It is freed with its last owner. Throws std::bad_alloc.
std::shared_ptr<const std::vector<float>> shared_weights(const Kernels& kernels, const Convolution& s, const float* w,
                                                         bool turned);

}  // namespace impasto

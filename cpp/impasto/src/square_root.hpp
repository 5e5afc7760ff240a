// The root of a covariance matrix, as export/square_root.py computes it.
#pragma once

#include <cstddef>
#include <vector>

namespace impasto_core {

// Return B, [size, size], with B B^T = C + e P: C is the symmetric matrix, P projects onto the directions with variance,
// and e = 1e-4 |B|^2 / size. The columns of the other directions are 0.
std::vector<float> covariance_root(const float* covariance, std::size_t size);

}  // namespace impasto_core

// Resampling as Pillow does it in mode F: separable, sums in double, the filter widened on the way down.
#pragma once

#include <cstddef>
#include <utility>

#include "pixels.hpp"

namespace impasto_core {

enum class Filter { lanczos, bilinear };

// Return planes at another size. Lanczos overshoots at edges; the result is not clipped.
Planes resize(const Planes& planes, std::size_t width, std::size_t height, Filter filter = Filter::lanczos);

// The same for planes of levels k / 255, as Pillow does it for 8 bits: what each of the two passes gives is rounded and
// clipped.
Planes resize_levels(const Planes& planes, std::size_t width, std::size_t height);

// The same for an image that repeats without end.
Planes resize_seamless(const Planes& planes, std::size_t width, std::size_t height, Filter filter = Filter::lanczos);

// Clip to 0..1, in place.
void clip(Planes& planes);

// Return width and height with the wanted long side and the nearest proportions; halves are rounded up. 0 keeps the size.
std::pair<std::size_t, std::size_t> fit_long_side(std::size_t width, std::size_t height, std::size_t long_side);

}  // namespace impasto_core

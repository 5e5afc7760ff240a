// Images as the graphs want them: float planes R, G, B of 0..1.
#pragma once

#include <cstddef>
#include <vector>

#include "impasto/impasto.h"

namespace impasto_core {

// Planes of R, G and B, [3, height, width].
struct Planes {
    std::size_t width = 0, height = 0;
    std::vector<float> values;

    Planes() = default;
    Planes(std::size_t width, std::size_t height) : width(width), height(height), values(3 * width * height) {}
};

// Check a caller's image: struct size, sides, stride, format. Throws Failure; returns the whole struct.
impasto_image checked(const impasto_image* image);

// Read a caller's image, clipped to 0..1. Throws Failure for NaN.
Planes read_image(const impasto_image& image);

// Write planes of the image's size: clipped to 0..1, and rounded to the nearest level, halves to the even one.
void write_image(const Planes& planes, const impasto_image& image);

}  // namespace impasto_core

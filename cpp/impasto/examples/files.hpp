// Image files to RGB bytes and back, with libpng and libjpeg. EXIF and ICC profiles are not read.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

struct Pixels {
    std::uint32_t width = 0, height = 0;
    std::vector<std::uint8_t> samples;  // RGB, rows without gaps
};

// Read a PNG or JPEG file, told apart by their first bytes. Throws std::runtime_error.
Pixels read_pixels(const std::string& path);

// Write a PNG file, beside and then renamed. Throws std::runtime_error.
void write_png(const std::string& path, const Pixels& pixels);

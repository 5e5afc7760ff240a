#include "pixels.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "failure.hpp"
#include "structs.hpp"

namespace impasto_core {
namespace {

constexpr std::uint32_t kLongestImageSide = 65536;
constexpr std::size_t kMostPixels = std::size_t{1} << 30;

std::size_t sample_bytes(std::uint32_t format) { return format == IMPASTO_U8 ? 1 : sizeof(float); }

}  // namespace

impasto_image checked(const impasto_image* image) {
    impasto_image found = taken(image, "impasto_image");
    for (const std::uint32_t side : {found.width, found.height})
        if (side < 1 || side > kLongestImageSide)
            bad_argument("bad image: a side is " + std::to_string(side) + " px; allowed are 1 to 65536");
    if (std::size_t{found.width} * found.height > kMostPixels)
        bad_argument("bad image: " + std::to_string(found.width) + "x" + std::to_string(found.height) +
                     " px; allowed are 2^30 pixels");
    if (found.channels != 3 && found.channels != 4)
        bad_argument("bad image: it has " + std::to_string(found.channels) + " channels; allowed are 3 and 4");
    if (found.format != IMPASTO_U8 && found.format != IMPASTO_F32)
        bad_argument("bad image: its format is " + std::to_string(found.format) + "; allowed are IMPASTO_U8 and IMPASTO_F32");
    if (found.data == nullptr) bad_argument("bad image: its data is NULL");
    const std::size_t row = std::size_t{found.width} * found.channels * sample_bytes(found.format);
    if (found.row_stride == 0) found.row_stride = row;
    if (found.row_stride < row)
        bad_argument("bad image: its row_stride is " + std::to_string(found.row_stride) + " bytes, and a row has " +
                     std::to_string(row));
    return found;
}

Planes read_image(const impasto_image& image) {
    Planes planes(image.width, image.height);
    const std::size_t area = planes.width * planes.height;
    for (std::size_t y = 0; y < planes.height; ++y) {
        const auto* row = static_cast<const unsigned char*>(image.data) + y * image.row_stride;
        for (std::size_t x = 0; x < planes.width; ++x)
            for (std::size_t channel = 0; channel < 3; ++channel) {
                const std::size_t index = x * image.channels + channel;
                float value = 0;
                if (image.format == IMPASTO_U8) {
                    value = static_cast<float>(row[index]) / 255.0F;
                } else {
                    std::memcpy(&value, row + index * sizeof(float), sizeof value);
                    if (std::isnan(value)) bad_argument("bad image: it contains NaN");
                    value = std::clamp(value, 0.0F, 1.0F);
                }
                planes.values[channel * area + y * planes.width + x] = value;
            }
    }
    return planes;
}

void write_image(const Planes& planes, const impasto_image& image) {
    const std::size_t area = planes.width * planes.height;
    for (std::size_t y = 0; y < planes.height; ++y) {
        auto* row = static_cast<unsigned char*>(image.data) + y * image.row_stride;
        for (std::size_t x = 0; x < planes.width; ++x)
            for (std::size_t channel = 0; channel < image.channels; ++channel) {
                const std::size_t index = x * image.channels + channel;
                float value = 1;
                if (channel < 3) value = std::clamp(planes.values[channel * area + y * planes.width + x], 0.0F, 1.0F);
                if (image.format == IMPASTO_U8) row[index] = static_cast<unsigned char>(std::nearbyint(value * 255.0F));
                else std::memcpy(row + index * sizeof(float), &value, sizeof value);
            }
    }
}

}  // namespace impasto_core

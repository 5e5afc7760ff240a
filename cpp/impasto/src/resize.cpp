#include "resize.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace impasto_core {
namespace {

constexpr double kPi = 3.14159265358979323846;

double sinc(double x) { return x == 0.0 ? 1.0 : std::sin(x * kPi) / (x * kPi); }

double weight_of(Filter filter, double x) {
    if (filter == Filter::bilinear) return std::max(0.0, 1.0 - std::abs(x));
    return x >= -3.0 && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0;
}

// The first sample and the weights of each position of the result, along one axis.
struct Taps {
    std::vector<std::size_t> first;
    std::vector<std::vector<double>> weights;
};

Taps taps_of(std::size_t before, std::size_t after, Filter filter) {
    const double scale = static_cast<double>(before) / static_cast<double>(after);
    const double widened = std::max(scale, 1.0), narrowed = 1.0 / widened;
    const double support = (filter == Filter::lanczos ? 3.0 : 1.0) * widened;
    Taps taps;
    for (std::size_t place = 0; place < after; ++place) {
        const double center = (static_cast<double>(place) + 0.5) * scale;
        const auto first = static_cast<std::size_t>(std::max(0.0, std::trunc(center - support + 0.5)));
        const auto end = static_cast<std::size_t>(std::min(static_cast<double>(before), std::trunc(center + support + 0.5)));
        std::vector<double> weights;
        double sum = 0;
        for (std::size_t sample = first; sample < end; ++sample) {
            const double weight = weight_of(filter, (static_cast<double>(sample) - center + 0.5) * narrowed);
            weights.push_back(weight);
            sum += weight;
        }
        const double share = sum == 0 ? 0 : 1.0 / sum;  // as Pillow does it, to the last bit
        for (double& weight : weights) weight *= share;
        taps.first.push_back(first);
        taps.weights.push_back(std::move(weights));
    }
    return taps;
}

// A pass along one axis gives numbers, or levels of 8 bits.
float rounded(double value, bool levels) {
    if (!levels) return static_cast<float>(value);
    return static_cast<float>(std::floor(std::clamp(value, 0.0, 1.0) * 255.0 + 0.5)) / 255.0F;
}

Planes to_width(const Planes& planes, std::size_t width, Filter filter, bool levels) {
    if (width == planes.width) return planes;
    const Taps taps = taps_of(planes.width, width, filter);
    Planes found(width, planes.height);
    for (std::size_t row = 0; row < 3 * planes.height; ++row) {
        const float* source = planes.values.data() + row * planes.width;
        float* target = found.values.data() + row * width;
        for (std::size_t x = 0; x < width; ++x) {
            double sum = 0;
            for (std::size_t i = 0; i < taps.weights[x].size(); ++i) sum += source[taps.first[x] + i] * taps.weights[x][i];
            target[x] = rounded(sum, levels);
        }
    }
    return found;
}

Planes to_height(const Planes& planes, std::size_t height, Filter filter, bool levels) {
    if (height == planes.height) return planes;
    const Taps taps = taps_of(planes.height, height, filter);
    Planes found(planes.width, height);
    std::vector<double> sums(planes.width);
    for (std::size_t channel = 0; channel < 3; ++channel)
        for (std::size_t y = 0; y < height; ++y) {
            std::fill(sums.begin(), sums.end(), 0.0);
            for (std::size_t i = 0; i < taps.weights[y].size(); ++i) {
                const float* source = planes.values.data() + (channel * planes.height + taps.first[y] + i) * planes.width;
                for (std::size_t x = 0; x < planes.width; ++x) sums[x] += source[x] * taps.weights[y][i];
            }
            float* target = found.values.data() + (channel * height + y) * planes.width;
            for (std::size_t x = 0; x < planes.width; ++x) target[x] = rounded(sums[x], levels);
        }
    return found;
}

// Pillow 13 begins with the columns where that makes less work for sure.
Planes resampled(const Planes& planes, std::size_t width, std::size_t height, Filter filter, bool levels) {
    if (width > planes.width && height < planes.height)
        return to_width(to_height(planes, height, filter, levels), width, filter, levels);
    return to_height(to_width(planes, width, filter, levels), height, filter, levels);
}

}  // namespace

Planes resize(const Planes& planes, std::size_t width, std::size_t height, Filter filter) {
    return resampled(planes, width, height, filter, false);
}

Planes resize_levels(const Planes& planes, std::size_t width, std::size_t height) {
    return resampled(planes, width, height, Filter::lanczos, true);
}

Planes resize_seamless(const Planes& planes, std::size_t width, std::size_t height, Filter filter) {
    const std::size_t half_y = planes.height / 2, half_x = planes.width / 2;
    Planes tiled(2 * planes.width, 2 * planes.height);
    for (std::size_t channel = 0; channel < 3; ++channel)
        for (std::size_t y = 0; y < tiled.height; ++y)
            for (std::size_t x = 0; x < tiled.width; ++x) {
                const std::size_t from_y = (y + planes.height - half_y) % planes.height;
                const std::size_t from_x = (x + planes.width - half_x) % planes.width;
                tiled.values[(channel * tiled.height + y) * tiled.width + x] =
                    planes.values[(channel * planes.height + from_y) * planes.width + from_x];
            }
    const Planes large = resize(tiled, 2 * width, 2 * height, filter);
    Planes found(width, height);
    for (std::size_t channel = 0; channel < 3; ++channel)
        for (std::size_t y = 0; y < height; ++y)
            for (std::size_t x = 0; x < width; ++x)
                found.values[(channel * height + y) * width + x] =
                    large.values[(channel * large.height + y + height / 2) * large.width + x + width / 2];
    return found;
}

void clip(Planes& planes) {
    for (float& value : planes.values) value = std::clamp(value, 0.0F, 1.0F);
}

std::pair<std::size_t, std::size_t> fit_long_side(std::size_t width, std::size_t height, std::size_t long_side) {
    if (long_side == 0) return {width, height};
    const std::size_t longest = std::max(width, height);
    const auto scaled = [&](std::size_t side) {
        return std::max<std::size_t>(1, (2 * side * long_side + longest) / (2 * longest));
    };
    return {scaled(width), scaled(height)};
}

}  // namespace impasto_core

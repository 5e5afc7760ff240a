// The manifest of a bundle as data; engine/bundle/manifest.schema.json describes it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "resize.hpp"

namespace impasto_core {

struct Port {
    std::string name, dtype;
    std::vector<std::int64_t> shape;  // -1 is a side of any length
};

struct Graph {
    std::string file;
    std::vector<Port> inputs, outputs;

    bool takes(std::string_view name) const;
    bool gives(std::string_view name) const;
};

struct State {
    std::string name, next, dtype;
    std::vector<std::int64_t> shape;
    bool from_image = false;      // begins as the start image
    std::vector<double> initial;  // empty is zeros
    bool in_place = false;
};

struct SizeEntry {
    std::size_t width = 0, height = 0;
    Graph objective, step;
    std::vector<State> state;
};

struct Power {
    std::vector<std::string> of;
    bool trace = false;  // of the matrix; otherwise the sum of squares
    double divisor = 1;
    int exponent = 1;
};

struct Term {
    std::string name;
    std::vector<std::string> targets;
    double factor = 0;
    std::optional<Power> power;
};

struct ScaleEntry {
    std::size_t size = 0;  // index of the SizeEntry
    unsigned step = 0;     // how many factors of the square root of 2 it is below the result
    std::vector<Term> terms;
};

struct ResultEntry {
    std::size_t width = 0, height = 0, style_long_side = 0;
    std::vector<ScaleEntry> scales;  // from coarse to fine
};

struct Between {
    std::string name;
    Filter filter = Filter::lanczos;
    int area_power = 0;
};

struct StyleArray {
    std::vector<std::int64_t> shape;
    std::size_t offset = 0, bytes = 0;
};

struct StyleEntry {
    std::string name, file;
    std::vector<std::map<std::string, StyleArray>> steps;
};

struct FileEntry {
    std::size_t bytes = 0;
    std::string sha256;
};

struct Manifest {
    std::string network, licence, attribution;
    bool seamless = false, from_noise = false, adam = false;
    std::optional<std::pair<float, float>> bounds;
    std::vector<std::string> scalars, log;
    std::vector<Between> between;
    double coarser_share = 1;
    std::size_t smallest_side = 1;
    Graph targets;
    std::vector<SizeEntry> sizes;
    std::vector<ResultEntry> results;
    std::vector<StyleEntry> styles;
    std::map<std::string, FileEntry> files;

    // Return the column of a scalar of the optimiser.
    std::size_t scalar(std::string_view name) const;
};

[[noreturn]] inline void refuse(const std::string& why) { throw std::invalid_argument(why); }

// Return how many values a shape without free sides has.
std::size_t count_of(const std::vector<std::int64_t>& shape);

// Check what the parts of a manifest say of each other. Throws std::invalid_argument.
void check_manifest(const Manifest& manifest);

// Parse and check a manifest. Throws std::invalid_argument where it is damaged, foreign, or of another version.
Manifest parse_manifest(std::string_view text);

}  // namespace impasto_core

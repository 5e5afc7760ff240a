// An open bundle: its manifest, its folder, and ONNX Runtime.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "manifest.hpp"
#include "runtime.hpp"

namespace impasto_core {

struct Bundle {
    std::string folder;
    Manifest manifest;
    std::shared_ptr<Runtime> runtime;

    std::string path(const std::string& file) const { return folder + "/" + file; }
};

// Read and check a bundle, and load ONNX Runtime. Throws Failure.
std::shared_ptr<const Bundle> open_bundle(const std::string& folder, const std::string& runtime, bool with_hashes);

// Read an array of a style. Throws Failure with the file's name.
std::vector<float> read_array(const Bundle& bundle, const StyleEntry& style, const StyleArray& array);

}  // namespace impasto_core

// libFuzzer: the manifest's parser, and the check of an image's description. Built with clang -fsanitize=fuzzer,address.
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string_view>
#include <vector>

#include "../src/failure.hpp"
#include "../src/manifest.hpp"
#include "../src/pixels.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace impasto_core;
    try {
        parse_manifest(std::string_view(reinterpret_cast<const char*>(data), size));
    } catch (const std::invalid_argument&) {
    }
    // The rest of the bytes are the description; the samples are as many as a small image has.
    static std::vector<std::uint8_t> samples(1 << 16);
    impasto_image image{};
    std::memcpy(&image, data, std::min(size, sizeof image));
    if (image.data != nullptr) image.data = samples.data();
    try {
        const impasto_image found = checked(&image);
        if (found.row_stride <= 4096 && found.height <= samples.size() / 4096 && std::size_t{found.width} * found.channels * 4 <= 4096)
            read_image(found);
    } catch (const Failure&) {
    }
    return 0;
}

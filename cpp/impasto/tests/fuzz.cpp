// libFuzzer: the check of an image's description, in the first bytes of an input, and the manifest's parser, on the rest.
// tests/cpp/test_fuzzing.py builds it with clang -fsanitize=fuzzer,address,undefined.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "../src/failure.hpp"
#include "../src/manifest.hpp"
#include "../src/pixels.hpp"

namespace {

void describe(const std::uint8_t* data, std::size_t size) {
    static std::vector<std::uint8_t> samples(1 << 16);
    impasto_image image{};
    std::memcpy(&image, data, size);
    if (image.data != nullptr) image.data = samples.data();
    try {
        const impasto_image found = impasto_core::checked(&image);
        if (found.row_stride > samples.size() / found.height) return;  // the caller's promise, which nobody can check
        impasto_core::write_image(impasto_core::read_image(found), found);
    } catch (const impasto_core::Failure&) {
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::size_t described = std::min(size, sizeof(impasto_image));
    describe(data, described);
    try {
        impasto_core::parse_manifest(std::string_view(reinterpret_cast<const char*>(data) + described, size - described));
    } catch (const std::invalid_argument&) {
    }
    return 0;
}

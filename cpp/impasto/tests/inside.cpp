// Parts of the library by themselves, on stdin and stdout, for tests/cpp.
//
//     impasto-inside resize WIDTH HEIGHT NEW_WIDTH NEW_HEIGHT lanczos|bilinear|levels < float32 planes > float32 planes
//     impasto-inside root SIZE < float32 matrix > float32 matrix
//     impasto-inside manifest < text        prints "fine", or why it is refused
//
// A failure of the library is a line, and the exit status 1.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include "failure.hpp"
#include "manifest.hpp"
#include "resize.hpp"
#include "square_root.hpp"

namespace {

std::vector<float> read_floats(std::size_t count) {
    std::vector<float> values(count);
    if (std::fread(values.data(), sizeof(float), count, stdin) != count) throw std::runtime_error("too few numbers");
    return values;
}

void write_floats(const std::vector<float>& values) { std::fwrite(values.data(), sizeof(float), values.size(), stdout); }

}  // namespace

int main(int count, char** words) try {
    using namespace impasto_core;
    const auto number = [&](int index) { return static_cast<std::size_t>(std::strtoul(words[index], nullptr, 10)); };
    const std::string command = count > 1 ? words[1] : "";
    if (command == "resize" && count == 7) {
        Planes planes(number(2), number(3));
        planes.values = read_floats(planes.values.size());
        if (std::strcmp(words[6], "levels") == 0) write_floats(resize_levels(planes, number(4), number(5)).values);
        else write_floats(resize(planes, number(4), number(5), std::strcmp(words[6], "lanczos") == 0 ? Filter::lanczos : Filter::bilinear).values);
    } else if (command == "root" && count == 3) {
        write_floats(covariance_root(read_floats(number(2) * number(2)).data(), number(2)));
    } else if (command == "manifest") {
        std::string text;
        char buffer[4096];
        while (const std::size_t read = std::fread(buffer, 1, sizeof buffer, stdin)) text.append(buffer, read);
        try {
            parse_manifest(text);
            std::puts("fine");
        } catch (const std::invalid_argument& error) {
            std::puts(error.what());
        }
    } else {
        return 2;
    }
    return 0;
} catch (const impasto_core::Failure& failure) {
    std::puts(failure.what());
    return 1;
}

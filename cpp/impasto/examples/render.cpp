// Paint CONTENT in the style of STYLE with a bundle.
//
//     impasto-render CONTENT STYLE OUT --bundle DIR [--evaluations N] [--provider cpu] [--threads 2] [--result N] [--quiet]
//
// STYLE is an image, or the name of a style of the bundle with a leading @. Losses go to stdout, a line an evaluation.
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <string>
#include <vector>

#include "files.hpp"
#include "impasto/impasto.hpp"

namespace {

volatile std::sig_atomic_t interrupted = 0;

struct Arguments {
    std::vector<std::string> files;
    std::string bundle, provider = "cpu";
    std::uint32_t evaluations = 300, threads = 0;
    std::optional<std::uint32_t> result;
    bool quiet = false;
};

[[noreturn]] void refuse(const std::string& why) {
    throw std::runtime_error(why + "; usage: impasto-render CONTENT STYLE OUT --bundle DIR [--evaluations N] [--provider cpu] [--threads 2]");
}

std::uint32_t number(const std::string& option, const std::string& text) {
    std::size_t used = 0;
    unsigned long value = 0;
    try {
        value = std::stoul(text, &used);
    } catch (const std::exception&) {
        used = 0;
    }
    if (used == 0 || used != text.size() || value > 1000000) refuse("bad " + option + " " + text);
    return static_cast<std::uint32_t>(value);
}

Arguments parse(int count, char** words) {
    Arguments found;
    for (int i = 1; i < count; ++i) {
        const std::string word = words[i];
        if (word == "--quiet") {
            found.quiet = true;
        } else if (word.rfind("--", 0) != 0) {
            found.files.push_back(word);
        } else if (i + 1 == count) {
            refuse(word + " lacks its value");
        } else {
            const std::string value = words[++i];
            if (word == "--bundle") found.bundle = value;
            else if (word == "--provider") found.provider = value;
            else if (word == "--evaluations") found.evaluations = number(word, value);
            else if (word == "--threads") found.threads = number(word, value);
            else if (word == "--result") found.result = number(word, value);
            else refuse("unknown option " + word);
        }
    }
    if (found.files.size() != 3 || found.bundle.empty()) refuse("three files and --bundle are needed");
    return found;
}

// Return the result whose proportions are nearest to an image's.
std::uint32_t nearest(const impasto::Bundle& bundle, const Pixels& content) {
    const double wanted = std::log(double(content.width) / content.height);
    std::uint32_t best = 0;
    double least = HUGE_VAL;
    for (std::uint32_t i = 0; i < bundle.info().results; ++i) {
        const auto result = bundle.result(i);
        const double off = std::abs(std::log(double(result.width) / result.height) - wanted);
        if (off < least) {
            least = off;
            best = i;
        }
    }
    return best;
}

void paint(const Arguments& arguments) {
    const impasto::Bundle bundle(arguments.bundle);
    Pixels content = read_pixels(arguments.files[0]);
    impasto_render_options options{};
    options.result = arguments.result ? *arguments.result : nearest(bundle, content);
    options.evaluations = arguments.evaluations;
    options.threads = arguments.threads;
    options.provider = arguments.provider.c_str();
    impasto::Render render(bundle, options);
    render.set_content(impasto::image(content.samples, content.width, content.height));
    const std::string& style = arguments.files[1];
    if (style.front() == '@') {
        render.set_style(style.substr(1));
    } else {
        Pixels pixels = read_pixels(style);
        render.set_style(impasto::image(pixels.samples, pixels.width, pixels.height));
    }
    std::signal(SIGINT, [](int) { interrupted = 1; });
    render.run(0, [&](const impasto_progress& now) {
        if (!arguments.quiet) std::printf("%u %u %.9g\n", now.evaluations, now.iterations, now.loss);
        return interrupted == 0;
    });
    const auto result = bundle.result(options.result);
    Pixels painted{result.width, result.height, std::vector<std::uint8_t>(std::size_t{3} * result.width * result.height)};
    render.image(impasto::image(painted.samples, painted.width, painted.height));
    write_png(arguments.files[2], painted);
    std::fprintf(stderr, "%s: %ux%u px, loss %.9g after %u evaluations, ONNX Runtime %s\n", arguments.files[2].c_str(),
                 painted.width, painted.height, render.progress().loss, render.progress().evaluations, bundle.info().runtime);
}

}  // namespace

int main(int count, char** words) {
    try {
        paint(parse(count, words));
        return interrupted == 0 ? 0 : 130;
    } catch (const std::exception& error) {
        std::cerr << "error: " << error.what() << '\n';
        return 2;
    }
}

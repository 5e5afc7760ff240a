// What the tests in tests/cpp look at through the public interface alone: each command prints lines, and a failure of
// the library is the line "error: CODE MESSAGE".
//
//     impasto-probe losses DIR CONTENT STYLE WIDTH HEIGHT EVALUATIONS [CHUNK]   raw RGB files of that size; see below
//     impasto-probe cancel DIR ... ; and others, see `commands`
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "impasto/impasto.hpp"

namespace {

using Words = std::vector<std::string>;
using Clock = std::chrono::steady_clock;

std::vector<std::uint8_t> read_bytes(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// An image that differs from pixel to pixel.
std::vector<std::uint8_t> pattern(std::uint32_t width, std::uint32_t height, unsigned seed) {
    std::vector<std::uint8_t> samples(std::size_t{3} * width * height);
    std::mt19937 random(seed);
    for (std::size_t i = 0; i < samples.size(); ++i)
        samples[i] = static_cast<std::uint8_t>((i / 3 % width * 3 + i / 3 / width * 5 + random() % 32 + seed * 40) % 256);
    return samples;
}

std::uint64_t digest(const impasto::Render& render, const impasto::Bundle& bundle) {
    const auto size = bundle.result();
    std::vector<float> pixels(std::size_t{3} * size.width * size.height);
    render.image(impasto::image(pixels, size.width, size.height));
    std::uint64_t hash = 1469598103934665603u;
    for (const float value : pixels) {
        std::uint32_t bits;
        std::memcpy(&bits, &value, sizeof bits);
        hash = (hash ^ bits) * 1099511628211u;
    }
    return hash;
}

impasto::Render made(const impasto::Bundle& bundle, std::uint32_t evaluations, std::uint32_t threads = 1) {
    impasto_render_options options{};
    options.evaluations = evaluations;
    options.threads = threads;
    impasto::Render render(bundle, options);
    auto content = pattern(64, 48, 1), style = pattern(80, 60, 2);
    render.set_content(impasto::image(content, 64, 48));
    render.set_style(impasto::image(style, 80, 60));
    return render;
}

// losses DIR CONTENT CW CH STYLE SW SH EVALUATIONS THREADS OUT: a line for every evaluation; the picture as raw RGB.
// STYLE may be @NAME.
void losses(const Words& words) {
    const auto start = Clock::now();
    const impasto::Bundle bundle(words[0]);
    const auto number = [&](std::size_t i) { return static_cast<std::uint32_t>(std::stoul(words[i])); };
    impasto_render_options options{};
    options.evaluations = number(7);
    options.threads = number(8);
    impasto::Render render(bundle, options);
    auto content = read_bytes(words[1]);
    render.set_content(impasto::image(content, number(2), number(3)));
    if (words[4].front() == '@') {
        render.set_style(words[4].substr(1));
    } else {
        auto style = read_bytes(words[4]);
        render.set_style(impasto::image(style, number(5), number(6)));
    }
    auto last = Clock::now();
    bool first = true;
    std::vector<double> seconds;
    render.run(0, [&](const impasto_progress& now) {
        if (first) std::printf("first %.6f s\n", since(start));
        else seconds.push_back(since(last));
        first = false;
        last = Clock::now();
        std::printf("%u %u %u %.9g\n", now.evaluations, now.iterations, now.scale, now.loss);
        return true;
    });
    for (const double one : seconds) std::printf("took %.6f s\n", one);
    const auto size = bundle.result();
    std::vector<std::uint8_t> pixels(std::size_t{3} * size.width * size.height);
    render.image(impasto::image(pixels, size.width, size.height));
    std::ofstream(words[9], std::ios::binary).write(reinterpret_cast<const char*>(pixels.data()), static_cast<std::streamsize>(pixels.size()));
}

// chunks DIR EVALUATIONS: the same picture in one run, in single evaluations and in sevens.
void chunks(const Words& words) {
    const impasto::Bundle bundle(words[0]);
    const auto total = static_cast<std::uint32_t>(std::stoul(words[1]));
    for (const std::uint32_t chunk : {0u, 1u, 7u}) {
        auto render = made(bundle, total);
        while (render.progress().state == IMPASTO_READY) render.run(chunk);
        std::printf("%016llx\n", static_cast<unsigned long long>(digest(render, bundle)));
    }
}

// cancels DIR EVALUATIONS COUNT: a run with so many cancels at random times, and one without; the longest wait of those
// after the first evaluation.
void cancels(const Words& words) {
    const impasto::Bundle bundle(words[0]);
    const auto total = static_cast<std::uint32_t>(std::stoul(words[1]));
    auto plain = made(bundle, total, 2);
    plain.run();
    auto render = made(bundle, total, 2);
    std::atomic<bool> ended{false};
    std::atomic<Clock::rep> requested{0};
    std::atomic<int> sent{0};
    const int count = std::stoi(words[2]);
    std::thread other([&] {
        std::mt19937 random(7);
        while (!ended && sent < count) {
            std::this_thread::sleep_for(std::chrono::microseconds(random() % 30000));
            if (sent > count / 4 && render.progress().evaluations == 0) continue;  // the rest belongs to the evaluations
            requested = Clock::now().time_since_epoch().count();
            ++sent;
            render.cancel();
        }
    });
    double longest = 0;
    int stops = 0;
    while (render.progress().state == IMPASTO_READY) {
        if (!render.run()) {
            const Clock::duration wait(Clock::now().time_since_epoch().count() - requested.load());
            if (render.progress().evaluations > 0) longest = std::max(longest, std::chrono::duration<double>(wait).count());
            ++stops;
            (void)digest(render, bundle);
        }
    }
    ended = true;
    other.join();
    std::printf("%s after %d stops, longest wait %.3f s\n", digest(render, bundle) == digest(plain, bundle) ? "same" : "different", stops, longest);
}

// many DIR CYCLES EVALUATIONS: open and free; resident memory after the first tenth and at the end, KiB.
void many(const Words& words) {
    const int cycles = std::stoi(words[1]);
    for (int i = 0; i < cycles; ++i) {
        const impasto::Bundle bundle(words[0]);
        auto render = made(bundle, 4);
        render.run(static_cast<std::uint32_t>(std::stoul(words[2])));
        if (i == cycles / 10 || i + 1 == cycles) {
            std::ifstream status("/proc/self/status");
            for (std::string line; std::getline(status, line);)
                if (line.rfind("VmRSS:", 0) == 0) std::printf("%s\n", line.c_str());
        }
    }
}

// layouts DIR: the same pixels in strided RGB8, RGBA8 and float; digests of the results.
void layouts(const Words& words) {
    const impasto::Bundle bundle(words[0]);
    const std::uint32_t width = 70, height = 50;
    const auto plain = pattern(width, height, 1);
    const auto style = pattern(80, 60, 2);
    std::vector<std::uint8_t> strided(height * (width * 3 + 13), 99), rgba(std::size_t{4} * width * height, 7);
    std::vector<float> floats(plain.size());
    for (std::size_t i = 0; i < plain.size(); ++i) {
        const std::size_t pixel = i / 3, channel = i % 3;
        strided[pixel / width * (width * 3 + 13) + pixel % width * 3 + channel] = plain[i];
        rgba[pixel * 4 + channel] = plain[i];
        floats[i] = static_cast<float>(plain[i]) / 255.0F;
    }
    const impasto_image images[] = {
        impasto::image(plain, width, height), impasto::image(strided, width, height, 3, width * 3 + 13),
        impasto::image(rgba, width, height, 4), impasto::image(floats, width, height)};
    for (const impasto_image& image : images) {
        impasto_render_options options{};
        options.evaluations = 3;
        options.threads = 1;
        impasto::Render render(bundle, options);
        render.set_content(image);
        render.set_style(impasto::image(style, 80, 60));
        render.run();
        std::printf("%016llx\n", static_cast<unsigned long long>(digest(render, bundle)));
    }
}

// errors DIR: everything that a caller can do wrong; each line is the code and the sentence.
void errors(const Words& words) {
    const impasto::Bundle bundle(words[0]);
    const auto tell = [](impasto_code code, impasto_error* error) {
        std::printf("%d %s\n", static_cast<int>(code), impasto_error_message(error));
        impasto_error_free(error);
    };
    const auto attempt = [&](auto function) {
        impasto_error* error = nullptr;
        const impasto_code code = function(&error);
        tell(code, error);
    };
    auto samples = pattern(8, 8, 1);
    impasto_image good = impasto::image(samples, 8, 8);
    impasto_render* render = nullptr;
    impasto_bundle* opened = nullptr;
    impasto_progress progress{};
    impasto_render_options options{};
    options.struct_size = sizeof options;
    attempt([&](auto** error) { return impasto_bundle_open("/nowhere", nullptr, &opened, error); });
    attempt([&](auto** error) { return impasto_bundle_open(nullptr, nullptr, &opened, error); });
    attempt([&](auto** error) { return impasto_bundle_open(words[0].c_str(), nullptr, nullptr, error); });
    attempt([&](auto** error) { options.result = 9; return impasto_render_new(bundle.get(), &options, &render, error); });
    attempt([&](auto** error) { options.result = 0; options.evaluations = 1; return impasto_render_new(bundle.get(), &options, &render, error); });
    attempt([&](auto** error) { options.evaluations = 0; options.provider = "abacus"; return impasto_render_new(bundle.get(), &options, &render, error); });
    attempt([&](auto** error) { options.provider = nullptr; options.struct_size = 3; return impasto_render_new(bundle.get(), &options, &render, error); });
    attempt([&](auto** error) { return impasto_render_new(nullptr, nullptr, &render, error); });
    attempt([&](auto** error) { return impasto_render_new(bundle.get(), nullptr, &render, error); });
    attempt([&](auto** error) { return impasto_run(render, 1, nullptr, nullptr, error); });
    attempt([&](auto** error) { return impasto_image_of(render, &good, error); });
    attempt([&](auto** error) { return impasto_set_content(render, nullptr, error); });
    const std::function<void(impasto_image&)> changes[] = {
        [](auto& image) { image.struct_size = 4; }, [](auto& image) { image.width = 0; },
        [](auto& image) { image.height = 70000; }, [](auto& image) { image.channels = 2; },
        [](auto& image) { image.format = 5; }, [](auto& image) { image.data = nullptr; },
        [](auto& image) { image.row_stride = 23; }};
    for (const auto& change : changes)
        attempt([&](auto** error) {
            impasto_image bad = good;
            change(bad);
            return impasto_set_content(render, &bad, error);
        });
    attempt([&](auto** error) { std::vector<float> values(48, NAN); auto bad = impasto::image(values, 4, 4); return impasto_set_content(render, &bad, error); });
    attempt([&](auto** error) { auto narrow = impasto::image(samples, 8, 1); return impasto_set_style(render, &narrow, error); });
    attempt([&](auto** error) { return impasto_set_style_targets(render, "nobody", error); });
    attempt([&](auto** error) { return impasto_set_style_targets(render, nullptr, error); });
    attempt([&](auto** error) { return impasto_progress_of(render, &progress, error); });
    attempt([&](auto** error) { progress.struct_size = sizeof progress; return impasto_progress_of(nullptr, &progress, error); });
    attempt([&](auto** error) { return impasto_run(nullptr, 0, nullptr, nullptr, error); });
    attempt([&](auto**) { return impasto_run(nullptr, 0, nullptr, nullptr, nullptr); });
    impasto_cancel(nullptr);
    impasto_render_free(render);
    impasto_render_free(nullptr);
    impasto_bundle_free(nullptr);
    impasto_error_free(nullptr);
    std::printf("version %s, interface %u, style 99 %s\n", impasto_version(), impasto_abi_version(),
                impasto_bundle_style(bundle.get(), 99) == nullptr ? "none" : "some");
}

// callback DIR: a callback that stops, one that throws, and one that calls back into the render.
void callback(const Words& words) {
    const impasto::Bundle bundle(words[0]);
    auto render = made(bundle, 8);
    std::printf("%s\n", render.run(0, [](const impasto_progress& now) { return now.evaluations < 2; }) ? "went on" : "stopped");
    try {
        render.run(0, [](const impasto_progress&) -> bool { throw std::runtime_error("from the callback"); });
    } catch (const std::runtime_error& error) {
        std::printf("%s\n", error.what());
    }
    try {
        render.run(0, [&](const impasto_progress&) { return render.run(1); });
    } catch (const impasto::Error& error) {
        std::printf("%s\n", error.what());
    }
    render.run();
    std::printf("evaluations %u\n", render.progress().evaluations);
}

// structs DIR: every struct one byte too short for version 1, and one that is longer than the library knows.
void structs(const Words& words) {
    const impasto::Bundle bundle(words[0]);
    impasto_error* error = nullptr;
    const auto tell = [&](const char* name, impasto_code code) {
        std::printf("%s %d %s\n", name, static_cast<int>(code), impasto_error_message(error));
        impasto_error_free(error);
        error = nullptr;
    };
    impasto_render* render = nullptr;
    impasto_render_new(bundle.get(), nullptr, &render, nullptr);
    auto samples = pattern(8, 8, 1);
    impasto_image image = impasto::image(samples, 8, 8);
    image.struct_size = offsetof(impasto_image, format) + sizeof image.format - 1;
    tell("image", impasto_set_content(render, &image, &error));
    impasto_open_options open{};
    open.struct_size = offsetof(impasto_open_options, skip_hashes) + sizeof open.skip_hashes - 1;
    impasto_bundle* opened = nullptr;
    tell("open", impasto_bundle_open(words[0].c_str(), &open, &opened, &error));
    impasto_bundle_info info{};
    info.struct_size = offsetof(impasto_bundle_info, runtime_path) + sizeof info.runtime_path - 1;
    tell("bundle", impasto_bundle_describe(bundle.get(), &info, &error));
    impasto_result_info result{};
    result.struct_size = offsetof(impasto_result_info, scales) + sizeof result.scales - 1;
    tell("result", impasto_bundle_result(bundle.get(), 0, &result, &error));
    impasto_render_options options{};
    options.struct_size = offsetof(impasto_render_options, provider) + sizeof options.provider - 1;
    impasto_render* other = nullptr;
    tell("options", impasto_render_new(bundle.get(), &options, &other, &error));
    impasto_progress progress{};
    progress.struct_size = offsetof(impasto_progress, loss) + sizeof progress.loss - 1;
    tell("progress", impasto_progress_of(render, &progress, &error));
    struct {
        impasto_progress known;
        std::uint32_t later;
    } longer{};
    longer.known.struct_size = sizeof longer;
    longer.later = 0xABABABABu;
    tell("longer", impasto_progress_of(render, &longer.known, &error));
    std::printf("total %u, size %s, later %x\n", longer.known.total, longer.known.struct_size == sizeof longer ? "kept" : "changed", longer.later);
    impasto_render_free(render);
}

// leak DIR: an error that is never freed, which shows that the search for leaks finds one.
void leak(const Words& words) {
    impasto_bundle* opened = nullptr;
    impasto_error* error = nullptr;
    std::printf("%d\n", static_cast<int>(impasto_bundle_open((words[0] + "/none").c_str(), nullptr, &opened, &error)));
}

// race: two threads that change a number, which shows that the search for races finds one.
void race(const Words&) {
    int number = 0;
    std::thread other([&] { for (int i = 0; i < 1000; ++i) ++number; });
    for (int i = 0; i < 1000; ++i) ++number;
    other.join();
    std::printf("%d\n", number);
}

const std::map<std::string, void (*)(const Words&)> commands = {
    {"losses", losses}, {"chunks", chunks},   {"cancels", cancels}, {"many", many}, {"layouts", layouts},
    {"errors", errors}, {"callback", callback}, {"structs", structs}, {"leak", leak}, {"race", race}};

}  // namespace

int main(int count, char** words) {
    const auto found = commands.find(count > 1 ? words[1] : "");
    if (found == commands.end()) return 2;
    try {
        found->second(Words(words + 2, words + count));
        return 0;
    } catch (const impasto::Error& error) {
        std::printf("error: %d %s\n", static_cast<int>(error.code()), error.what());
        return 1;
    }
}

#include "bundle.hpp"

#include <cstdio>
#include <sys/stat.h>

#include "failure.hpp"
#include "sha256.hpp"

namespace impasto_core {
namespace {

constexpr const char* kManifest = "manifest.json";
constexpr std::size_t kLongestManifest = std::size_t{1} << 26;

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

[[noreturn]] void bad_bundle(const std::string& message) { throw Failure(IMPASTO_BAD_BUNDLE, message); }

std::string read_text(const std::string& path, const std::string& folder) {
    const File file(std::fopen(path.c_str(), "rb"), std::fclose);
    if (!file) bad_bundle("not a bundle: " + folder + " has no " + kManifest + "; make one with `impasto bundle`");
    std::string text;
    char buffer[1 << 14];
    while (const std::size_t read = std::fread(buffer, 1, sizeof buffer, file.get())) {
        text.append(buffer, read);
        if (text.size() > kLongestManifest) bad_bundle("damaged bundle: " + path + " is too long; make it again");
    }
    return text;
}

}  // namespace

std::shared_ptr<const Bundle> open_bundle(const std::string& folder, const std::string& runtime, bool with_hashes) {
    auto bundle = std::make_shared<Bundle>();
    bundle->folder = folder;
    const std::string path = bundle->path(kManifest);
    const std::string text = read_text(path, folder);
    try {
        bundle->manifest = parse_manifest(text);
    } catch (const std::invalid_argument& error) {
        bad_bundle("damaged or foreign bundle: " + path + ": " + error.what() + "; make it again with `impasto bundle`");
    }
    for (const auto& [name, entry] : bundle->manifest.files) {
        const std::string file = bundle->path(name);
        struct stat facts {};
        if (stat(file.c_str(), &facts) != 0 || !S_ISREG(facts.st_mode)) bad_bundle("incomplete bundle: " + file + " is missing");
        const bool same_size = static_cast<std::size_t>(facts.st_size) == entry.bytes;
        if (!same_size || (with_hashes && sha256_of_file(file) != entry.sha256))
            bad_bundle("damaged bundle: " + file + " is not the file that was written");
    }
    bundle->runtime = Runtime::get(runtime);
    return bundle;
}

std::vector<float> read_array(const Bundle& bundle, const StyleEntry& style, const StyleArray& array) {
    const std::string path = bundle.path(style.file);
    const File file(std::fopen(path.c_str(), "rb"), std::fclose);
    std::vector<float> values(array.bytes / sizeof(float));
    const bool good = file && fseeko(file.get(), static_cast<off_t>(array.offset), SEEK_SET) == 0 &&
                      std::fread(values.data(), sizeof(float), values.size(), file.get()) == values.size();
    if (!good) bad_bundle("damaged bundle: " + path + " cannot be read");
    return values;
}

}  // namespace impasto_core

#include "manifest.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "json.hpp"

namespace impasto_core {
namespace {

using json::Value;

constexpr std::uint64_t kFormatVersion = 1;
constexpr std::uint64_t kLongestSide = 65536;
constexpr std::uint64_t kMostValues = std::uint64_t{1} << 34;
constexpr std::uint64_t kMostEntries = 1 << 20;
constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 42;

// Return the name of a file inside the folder.
std::string file_name(const Value& value) {
    const std::string& name = value.text();
    if (name.empty() || name.front() == '/' || name.find('\\') != std::string::npos || name.find('\0') != std::string::npos)
        refuse("it names a file outside the folder");
    for (std::size_t start = 0; start <= name.size();) {
        const std::size_t end = std::min(name.find('/', start), name.size());
        const std::string part = name.substr(start, end - start);
        if (part.empty() || part == "." || part == "..") refuse("it names a file outside the folder, " + name);
        start = end + 1;
    }
    return name;
}

std::vector<std::int64_t> shape_of(const Value& value, bool may_be_free) {
    std::vector<std::int64_t> shape;
    std::uint64_t total = 1;
    for (const Value& side : value.items()) {
        if (may_be_free && side.kind == Value::Kind::string) {
            shape.push_back(-1);
            continue;
        }
        const std::uint64_t length = side.whole(1, kMostValues);
        if (length > kMostValues / total) refuse("a shape is too large");
        total *= length;
        shape.push_back(static_cast<std::int64_t>(length));
    }
    if (shape.size() > 8) refuse("a shape has too many sides");
    return shape;
}

std::string dtype_of(const Value& value) {
    const std::string& dtype = value.text();
    for (const char* known : {"float32", "float64", "uint8", "int64"})
        if (dtype == known) return dtype;
    refuse("it has an unknown dtype, " + dtype);
}

std::vector<Port> ports_of(const Value& value) {
    std::vector<Port> ports;
    for (const Value& item : value.items())
        ports.push_back({item.at("name").text(), dtype_of(item.at("dtype")), shape_of(item.at("shape"), true)});
    return ports;
}

Graph graph_of(const Value& value) {
    return {file_name(value.at("file")), ports_of(value.at("inputs")), ports_of(value.at("outputs"))};
}

State state_of(const Value& value) {
    State state;
    state.name = value.at("name").text();
    state.next = value.at("next").text();
    state.dtype = dtype_of(value.at("dtype"));
    state.shape = shape_of(value.at("shape"), false);
    state.in_place = value.at("in_place").truth();
    const Value& initial = value.at("initial");
    if (initial.kind == Value::Kind::string) {
        if (initial.text() != "image") refuse("state " + state.name + " has an unknown start");
        state.from_image = true;
    } else if (initial.kind == Value::Kind::array) {
        for (const Value& item : initial.items()) state.initial.push_back(item.real());
        if (state.initial.empty()) refuse("state " + state.name + " has an unknown start");
    } else if (initial.real() != 0) {
        refuse("state " + state.name + " has an unknown start");
    }
    return state;
}

SizeEntry size_of(const Value& value) {
    SizeEntry size;
    size.width = value.at("width").whole(1, kLongestSide);
    size.height = value.at("height").whole(1, kLongestSide);
    size.objective = graph_of(value.at("objective"));
    size.step = graph_of(value.at("step"));
    for (const Value& item : value.at("step").at("state").items()) size.state.push_back(state_of(item));
    return size;
}

// Return a number in the range of float32.
double single_of(const Value& value) {
    const double number = value.real();
    if (std::abs(number) > static_cast<double>(std::numeric_limits<float>::max())) refuse("a number is too large for float32");
    return number;
}

Term term_of(const Value& value) {
    Term term;
    term.name = value.at("name").text();
    term.factor = single_of(value.at("factor"));
    for (const Value& item : value.at("targets").items()) term.targets.push_back(item.text());
    const Value& power = value.at("power");
    if (!power.is_null()) {
        Power found;
        for (const Value& item : power.at("of").items()) found.of.push_back(item.text());
        const std::string& sum = power.at("sum").text();
        if (sum != "trace" && sum != "squares") refuse("term " + term.name + " has an unknown power");
        found.trace = sum == "trace";
        found.divisor = static_cast<double>(power.at("divisor").whole(1, kMostValues));
        found.exponent = static_cast<int>(power.at("exponent").whole(1, 2));
        term.power = found;
    }
    return term;
}

ResultEntry result_of(const Value& value) {
    ResultEntry result;
    result.width = value.at("width").whole(1, kLongestSide);
    result.height = value.at("height").whole(1, kLongestSide);
    result.style_long_side = value.at("style_long_side").whole(0, kLongestSide);
    for (const Value& item : value.at("scales").items()) {
        ScaleEntry scale;
        scale.size = item.at("size").whole(0, kMostEntries);
        scale.step = static_cast<unsigned>(item.at("step").whole(0, 64));
        for (const Value& term : item.at("terms").items()) scale.terms.push_back(term_of(term));
        result.scales.push_back(std::move(scale));
    }
    return result;
}

StyleEntry style_of(const Value& value) {
    StyleEntry style;
    style.name = value.at("name").text();
    style.file = file_name(value.at("file"));
    for (const Value& step : value.at("steps").items()) {
        std::map<std::string, StyleArray> arrays;
        for (const auto& [target, entry] : step.members()) {
            StyleArray array;
            array.shape = shape_of(entry.at("shape"), false);
            array.offset = entry.at("offset").whole(0, kMostBytes);
            array.bytes = entry.at("bytes").whole(1, kMostBytes);
            arrays[target] = array;
        }
        style.steps.push_back(std::move(arrays));
    }
    return style;
}

Between between_of(const Value& value) {
    Between found;
    found.name = value.at("name").text();
    const std::string& filter = value.at("filter").text();
    if (filter != "lanczos" && filter != "bilinear") refuse("it has an unknown filter, " + filter);
    found.filter = filter == "lanczos" ? Filter::lanczos : Filter::bilinear;
    found.area_power = static_cast<int>(value.at("area_power").whole(0, 2));
    return found;
}

std::vector<std::string> texts_of(const Value& value) {
    std::vector<std::string> texts;
    for (const Value& item : value.items()) texts.push_back(item.text());
    return texts;
}

}  // namespace

std::size_t count_of(const std::vector<std::int64_t>& shape) {
    std::size_t count = 1;
    for (const std::int64_t side : shape) count *= static_cast<std::size_t>(side);
    return count;
}

bool Graph::takes(std::string_view name) const {
    return std::any_of(inputs.begin(), inputs.end(), [&](const Port& one) { return one.name == name; });
}

bool Graph::gives(std::string_view name) const {
    return std::any_of(outputs.begin(), outputs.end(), [&](const Port& one) { return one.name == name; });
}

std::size_t Manifest::scalar(std::string_view name) const {
    const auto found = std::find(scalars.begin(), scalars.end(), name);
    return static_cast<std::size_t>(found - scalars.begin());
}

Manifest parse_manifest(std::string_view text) {
    const Value root = json::parse(text);
    const Value* format = root.find("format");
    if (format == nullptr || format->kind != Value::Kind::string || format->text() != "impasto-bundle")
        refuse("it is of another format");
    if (root.at("format_version").whole(0, 1u << 30) != kFormatVersion)
        refuse("it has another format version; this library reads " + std::to_string(kFormatVersion));
    Manifest manifest;
    const Value& network = root.at("network");
    manifest.network = network.at("name").text();
    manifest.licence = network.at("licence").text();
    manifest.attribution = network.at("attribution").text();
    const Value& settings = root.at("settings");
    manifest.seamless = settings.at("seamless").truth();
    manifest.from_noise = settings.at("init").text() == "noise";
    const Value& optimiser = root.at("optimiser");
    const std::string& name = optimiser.at("name").text();
    if (name != "adam" && name != "lbfgs") refuse("it has an unknown optimiser, " + name);
    manifest.adam = name == "adam";
    manifest.scalars = texts_of(optimiser.at("scalars"));
    manifest.log = texts_of(optimiser.at("log"));
    if (const Value& bounds = optimiser.at("bounds"); !bounds.is_null()) {
        if (bounds.items().size() != 2) refuse("it has bounds that are not two numbers");
        manifest.bounds = {static_cast<float>(single_of(bounds.items()[0])), static_cast<float>(single_of(bounds.items()[1]))};
        if (manifest.bounds->first >= manifest.bounds->second) refuse("it has bounds that are no range");
    }
    for (const Value& item : optimiser.at("between_scales").items()) manifest.between.push_back(between_of(item));
    manifest.coarser_share = root.at("coarser_share").real();
    if (!(manifest.coarser_share > 0 && manifest.coarser_share < 100)) refuse("it has a bad coarser_share");
    manifest.smallest_side = root.at("smallest_side").whole(1, kLongestSide);
    manifest.targets = graph_of(root.at("targets"));
    for (const Value& item : root.at("sizes").items()) manifest.sizes.push_back(size_of(item));
    for (const Value& item : root.at("results").items()) manifest.results.push_back(result_of(item));
    for (const Value& item : root.at("styles").items()) manifest.styles.push_back(style_of(item));
    for (const auto& [file, entry] : root.at("files").members()) {
        Value holder;
        holder.kind = Value::Kind::string;
        holder.string = file;
        manifest.files[file_name(holder)] = {entry.at("bytes").whole(0, kMostBytes), entry.at("sha256").text()};
    }
    check_manifest(manifest);
    return manifest;
}

}  // namespace impasto_core

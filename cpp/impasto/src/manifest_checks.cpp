// What the parts of a manifest say of each other. A run allocates its memory by the ports and the state of a manifest,
// and writes into it by the terms, the log and the sizes of images: here they are made to agree.
#include <algorithm>
#include <initializer_list>
#include <set>

#include "manifest.hpp"

namespace impasto_core {
namespace {

using Shape = std::vector<std::int64_t>;

constexpr std::size_t kMostScales = 64;

void check_names(const std::vector<std::string>& names, std::initializer_list<const char*> needed, const char* of) {
    for (const char* name : needed)
        if (std::find(names.begin(), names.end(), name) == names.end()) refuse(std::string(of) + " has no " + name);
}

void check_ports(const Graph& graph) {
    for (const auto* ports : {&graph.inputs, &graph.outputs}) {
        std::set<std::string> seen;
        for (const Port& port : *ports)
            if (!seen.insert(port.name).second) refuse(graph.file + " has " + port.name + " twice");
    }
}

const Port& needed_port(const std::vector<Port>& ports, const std::string& name, const std::string& file) {
    for (const Port& port : ports)
        if (port.name == name) return port;
    refuse(file + " has no " + name);
}

void check_port(const std::vector<Port>& ports, const std::string& name, const std::string& file, const std::string& dtype,
                const Shape& shape) {
    const Port& port = needed_port(ports, name, file);
    if (port.dtype != dtype || port.shape != shape) refuse(name + " of " + file + " has another form");
}

bool is_fixed(const Shape& shape) { return std::count(shape.begin(), shape.end(), -1) == 0; }

bool is_target(const std::string& name) {
    const std::string kind = name.substr(0, name.find('_'));
    return kind != name && std::set<std::string>{"content", "gram", "covariance", "mean", "root"}.count(kind) != 0;
}

// Return the shape of the weights.
Shape check_objective(const Graph& objective, const Shape& image) {
    check_ports(objective);
    check_port(objective.inputs, "image", objective.file, "float32", image);
    const Shape weights = needed_port(objective.inputs, "weights", objective.file).shape;
    if (weights.size() != 2 || weights[0] != 1 || !is_fixed(weights)) refuse("weights of " + objective.file + " has another form");
    check_port(objective.inputs, "weights", objective.file, "float32", weights);
    check_port(objective.outputs, "loss", objective.file, "float32", {1});
    check_port(objective.outputs, "terms", objective.file, "float32", weights);
    check_port(objective.outputs, "d_image", objective.file, "float32", image);
    for (const Port& port : objective.inputs) {
        if (port.name == "image" || port.name == "weights") continue;
        if (!is_target(port.name)) refuse(objective.file + " takes " + port.name + ", which no term gives");
        if (port.dtype != "float32" || !is_fixed(port.shape)) refuse("target " + port.name + " has another form");
    }
    return weights;
}

void check_state(const State& state, const Graph& step, std::size_t image_values) {
    check_port(step.inputs, state.name, step.file, state.dtype, state.shape);
    check_port(step.outputs, state.next, step.file, state.dtype, state.shape);
    const std::size_t count = count_of(state.shape);
    if (state.from_image && (state.dtype != "float32" || count != image_values))
        refuse("state " + state.name + " is no image");
    if (!state.initial.empty() && (state.dtype != "float64" || state.initial.size() != count))
        refuse("state " + state.name + " has a start of another shape");
}

void check_step(const SizeEntry& size, const Shape& image, const Shape& weights) {
    const Graph& step = size.step;
    check_ports(step);
    check_port(step.inputs, "loss", step.file, "float32", {1});
    check_port(step.inputs, "terms", step.file, "float32", weights);
    check_port(step.inputs, "d_image", step.file, "float32", image);
    check_port(step.inputs, "limit", step.file, "float64", {1, 1});
    check_port(step.outputs, "image", step.file, "float32", image);
    if (step.takes("coefficients") || step.gives("weights")) {
        check_port(step.inputs, "coefficients", step.file, "float32", weights);
        check_port(step.outputs, "weights", step.file, "float32", weights);
    }
    std::set<std::string> given = {"loss", "terms", "d_image", "limit", "coefficients"};
    std::set<std::string> taken = {"image", "weights", "picture"};
    for (const State& state : size.state) {
        if (!given.insert(state.name).second || !taken.insert(state.next).second)
            refuse("state " + state.name + " of " + step.file + " is given twice");
        check_state(state, step, count_of(image));
    }
    for (const Port& port : step.inputs)
        if (given.count(port.name) == 0) refuse(step.file + " takes " + port.name + ", which is no state");
}

const State& needed_state(const SizeEntry& size, const std::string& name) {
    for (const State& state : size.state)
        if (state.name == name) return state;
    refuse(size.step.file + " has no state " + name);
}

void check_size(const SizeEntry& size, const Manifest& manifest) {
    const Shape image = {1, 3, static_cast<std::int64_t>(size.height), static_cast<std::int64_t>(size.width)};
    check_step(size, image, check_objective(size.objective, image));
    const State& scalars = needed_state(size, "scalars");
    if (scalars.dtype != "float64" || count_of(scalars.shape) != manifest.scalars.size())
        refuse("state scalars of " + size.step.file + " has another form");
    const State& log = needed_state(size, "log");
    if (log.dtype != "float32" || log.shape.size() != 3 || log.shape[1] != 1 ||
        static_cast<std::size_t>(log.shape[2]) < manifest.log.size())
        refuse("state log of " + size.step.file + " has another form");
    if (!needed_state(size, "x").from_image) refuse("state x of " + size.step.file + " is no image");
    for (const Between& between : manifest.between) {
        const State& state = needed_state(size, between.name);
        if (state.dtype != "float32" || count_of(state.shape) != count_of(image))
            refuse("state " + between.name + " of " + size.step.file + " is no image");
    }
}

void check_term(const Term& term, const Graph& objective) {
    for (const std::string& target : term.targets) {
        if (!is_target(target)) refuse("term " + term.name + " has an unknown target, " + target);
        needed_port(objective.inputs, target, objective.file);
    }
    if (!term.power) return;
    if (term.power->of.empty()) refuse("term " + term.name + " has a power of nothing");
    for (const std::string& name : term.power->of)
        if (std::find(term.targets.begin(), term.targets.end(), name) == term.targets.end())
            refuse("term " + term.name + " has a power of " + name + ", which is no target of it");
}

void check_result(const ResultEntry& result, const std::vector<SizeEntry>& sizes) {
    if (result.scales.empty() || result.scales.size() > kMostScales)
        refuse("a result has " + std::to_string(result.scales.size()) + " scales");
    for (const ScaleEntry& scale : result.scales) {
        if (scale.size >= sizes.size()) refuse("a result has a size that is not in the list");
        const Graph& objective = sizes[scale.size].objective;
        if (needed_port(objective.inputs, "weights", objective.file).shape[1] != static_cast<std::int64_t>(scale.terms.size()))
            refuse("weights of " + objective.file + " has another number of terms");
        std::set<std::string> given = {"image", "weights"};
        for (const Term& term : scale.terms) {
            check_term(term, objective);
            given.insert(term.targets.begin(), term.targets.end());
        }
        for (const Port& port : objective.inputs)
            if (given.count(port.name) == 0) refuse(objective.file + " takes " + port.name + ", which no term gives");
    }
    const SizeEntry& last = sizes[result.scales.back().size];
    if (last.width != result.width || last.height != result.height) refuse("a result has another size than its last scale");
}

void check_targets(const Graph& targets) {
    check_ports(targets);
    const Port& image = needed_port(targets.inputs, "image", targets.file);
    if (targets.inputs.size() != 1 || image.dtype != "float32" || image.shape != Shape{1, 3, -1, -1})
        refuse("image of " + targets.file + " has another form");
    for (const Port& port : targets.outputs)
        if (port.dtype != "float32") refuse(port.name + " of " + targets.file + " has another form");
}

void check_style(const StyleEntry& style, std::size_t file_bytes) {
    for (const auto& step : style.steps)
        for (const auto& [target, array] : step) {
            if (array.bytes != count_of(array.shape) * sizeof(float)) refuse(target + " of " + style.file + " has another size");
            if (array.offset + array.bytes > file_bytes) refuse(target + " of " + style.file + " is outside the file");
        }
}

}  // namespace

void check_manifest(const Manifest& manifest) {
    check_names(manifest.log, {"loss", "iteration", "evaluations", "code"}, "the log");
    check_names(manifest.scalars, {"iteration", "evaluations", "code"}, "the state");
    if (manifest.adam) check_names(manifest.scalars, {"halvings"}, "the state");
    const auto check_listed = [&](const std::string& file) {
        if (manifest.files.count(file) == 0) refuse("it gives no hash of " + file);
    };
    check_listed(manifest.targets.file);
    check_targets(manifest.targets);
    for (const SizeEntry& size : manifest.sizes) {
        check_listed(size.objective.file);
        check_listed(size.step.file);
        check_size(size, manifest);
    }
    if (manifest.results.empty()) refuse("it has no results");
    for (const ResultEntry& result : manifest.results) check_result(result, manifest.sizes);
    for (const StyleEntry& style : manifest.styles) {
        check_listed(style.file);
        check_style(style, manifest.files.at(style.file).bytes);
    }
}

}  // namespace impasto_core

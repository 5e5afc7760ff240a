#include "loop.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "failure.hpp"

namespace impasto_core {
namespace {

constexpr double kNoLimit = 1e300;
constexpr float kLargestCount = 1 << 24;  // of float32, in which the log is

const Port& port_of(const std::vector<Port>& ports, const std::string& name) {
    return *std::find_if(ports.begin(), ports.end(), [&](const Port& one) { return one.name == name; });
}

double power_of(const Power& power, const Targets& targets) {
    double total = 0;
    for (const std::string& name : power.of) {
        const auto found = targets.find(name);
        if (found == targets.end()) throw Failure(IMPASTO_BAD_BUNDLE, "damaged bundle: there is no target " + name);
        const std::vector<float>& values = found->second;
        if (power.trace) {
            const auto side = static_cast<std::size_t>(std::llround(std::sqrt(static_cast<double>(values.size()))));
            for (std::size_t i = 0; i < side && i * side + i < values.size(); ++i) total += values[i * side + i];
        } else {
            for (const float value : values) total += static_cast<double>(value) * value;
        }
    }
    total /= power.divisor;
    return total == 0 ? 1.0 : total;
}

}  // namespace

Loop::Loop(std::shared_ptr<const Bundle> bundle, const ScaleEntry& scale, const Targets& targets, std::uint32_t threads,
           const std::string& provider)
    : bundle_(std::move(bundle)),
      size_(bundle_->manifest.sizes[scale.size]),
      copies_(provider != "cpu"),
      objective_(bundle_->runtime, bundle_->path(size_.objective.file), threads, provider),
      step_(bundle_->runtime, bundle_->path(size_.step.file), threads, "cpu"),
      evaluation_(objective_),
      steps_{Binding(step_), Binding(step_)} {
    const Runtime& runtime = *bundle_->runtime;
    for (const Port& port : size_.objective.inputs) {
        auto tensor = std::make_unique<Tensor>(runtime, port.dtype, port.shape);
        const auto target = targets.find(port.name);
        if (target != targets.end()) {
            if (target->second.size() != tensor->count())
                throw Failure(IMPASTO_BAD_BUNDLE, "target " + port.name + " has another size than " + size_.objective.file + " takes");
            std::memcpy(tensor->data(), target->second.data(), tensor->bytes());
        }
        tensors_[port.name] = std::move(tensor);
    }
    for (const char* name : {"loss", "terms", "d_image"}) {
        const Port& port = port_of(size_.objective.outputs, name);
        tensors_[name] = std::make_unique<Tensor>(runtime, port.dtype, port.shape);
        evaluation_.output(name, *tensors_[name]);
    }
    const std::vector<float> weights = weights_of(scale, targets);
    std::copy(weights.begin(), weights.end(), tensors_["weights"]->floats());
    for (const Port& port : size_.objective.inputs) evaluation_.input(port.name, *tensors_[port.name]);

    tensors_["limit"] = std::make_unique<Tensor>(runtime, "float64", std::vector<std::int64_t>{1, 1});
    tensors_["limit"]->doubles()[0] = kNoLimit;
    const bool scaled = size_.step.takes("coefficients");
    if (scaled) {
        tensors_["coefficients"] = std::make_unique<Tensor>(runtime, "float32", port_of(size_.objective.inputs, "weights").shape);
        std::memcpy(tensors_["coefficients"]->data(), tensors_["weights"]->data(), tensors_["weights"]->bytes());
    }
    for (const State& state : size_.state) {
        Piece piece;
        piece.one = std::make_unique<Tensor>(runtime, state.dtype, state.shape);
        if (!state.in_place) piece.other = std::make_unique<Tensor>(runtime, state.dtype, state.shape);
        pieces_[state.name] = std::move(piece);
    }
    for (std::size_t side = 0; side < 2; ++side) {
        Binding& binding = steps_[side];
        for (const char* name : {"loss", "terms", "d_image", "limit", "coefficients"})
            if (size_.step.takes(name)) binding.input(name, *tensors_.at(name));
        binding.output("image", *tensors_.at("image"));
        if (scaled) binding.output("weights", *tensors_.at("weights"));
        for (const State& state : size_.state) {
            binding.input(state.name, pieces_.at(state.name).side(side));
            binding.output(state.next, pieces_.at(state.name).side(1 - side));
        }
    }
}

std::vector<float> Loop::weights_of(const ScaleEntry& scale, const Targets& targets) const {
    std::vector<float> weights;
    for (const Term& term : scale.terms) {
        const double weight = term.power ? term.factor / std::pow(power_of(*term.power, targets), term.power->exponent) : term.factor;
        if (!(std::abs(weight) <= static_cast<double>(std::numeric_limits<float>::max())))
            throw Failure(IMPASTO_RUNTIME_FAILED, "the weight of term " + term.name + " is not finite: its targets are all but zero; take another image");
        weights.push_back(static_cast<float>(weight));
    }
    return weights;
}

void Loop::begin(const Planes& image) {
    Planes start = image;
    if (const auto& bounds = bundle_->manifest.bounds)
        for (float& value : start.values) value = std::clamp(value, bounds->first, bounds->second);
    turn_ = 0;
    for (const State& state : size_.state) {
        Tensor& tensor = now(state.name);
        std::memset(tensor.data(), 0, tensor.bytes());
        if (state.from_image) std::memcpy(tensor.data(), start.values.data(), tensor.bytes());
        for (std::size_t i = 0; i < state.initial.size(); ++i) tensor.doubles()[i] = state.initial[i];
    }
    std::memcpy(tensors_.at("image")->data(), start.values.data(), tensors_.at("image")->bytes());
}

void Loop::begin(const Carried& carried) {
    begin(carried.x);
    if (carried.scalars.empty()) return;
    const Manifest& manifest = bundle_->manifest;
    for (const auto& [name, planes] : carried.vectors)
        std::memcpy(now(name).data(), planes.values.data(), now(name).bytes());
    double* scalars = now("scalars").doubles();
    std::copy(carried.scalars.begin(), carried.scalars.end(), scalars);
    // A step after a failed evaluation computes the next trial point from the moments (docs/embedding.md).
    scalars[manifest.scalar("halvings")] = -1;
    scalars[manifest.scalar("evaluations")] -= 1;
    if (const std::size_t attempts = manifest.scalar("attempts"); attempts < manifest.scalars.size()) scalars[attempts] = 1e9;
    tensors_.at("loss")->floats()[0] = std::numeric_limits<float>::quiet_NaN();
    std::memset(tensors_.at("d_image")->data(), 0, tensors_.at("d_image")->bytes());
    step();
}

void Loop::step() {
    steps_[turn_ % 2].run(nullptr);
    ++turn_;
}

bool Loop::advance(const Termination& termination, Row& row) {
    if (copies_)  // such a provider copies an input when it is bound
        for (const char* name : {"image", "weights"}) evaluation_.input(name, *tensors_.at(name));
    bool failed = false;
    std::string why;
    evaluation_.run(termination.options(), &failed, &why);
    if (failed) {
        if (termination.requested()) return false;
        throw Failure(IMPASTO_RUNTIME_FAILED, "cannot run " + objective_.file() + ": " + why);
    }
    const std::size_t place = turn_;
    step();
    const Manifest& manifest = bundle_->manifest;
    const State& log = *std::find_if(size_.state.begin(), size_.state.end(), [](const State& one) { return one.name == "log"; });
    const std::size_t rows = static_cast<std::size_t>(log.shape[0]), columns = static_cast<std::size_t>(log.shape[2]);
    const float* found = now("log").floats() + place % rows * columns;
    const auto column = [&](const char* name) {
        return found[std::find(manifest.log.begin(), manifest.log.end(), name) - manifest.log.begin()];
    };
    const auto count = [&](const char* name) {
        const float value = column(name);
        if (!(value >= 0 && value <= kLargestCount))
            throw Failure(IMPASTO_BAD_BUNDLE, step_.file() + " logged the " + name + " " + std::to_string(value) + ", which is no count; make the bundle again");
        return static_cast<std::uint32_t>(value);
    };
    row.loss = column("loss");
    row.iteration = count("iteration");
    row.evaluations = count("evaluations");
    row.code = static_cast<int>(count("code"));
    return true;
}

Planes Loop::image() const {
    Planes planes(size_.width, size_.height);
    std::memcpy(planes.values.data(), now("x").data(), now("x").bytes());
    return planes;
}

Carried Loop::carried() const {
    Carried found;
    found.x = image();
    const Manifest& manifest = bundle_->manifest;
    if (!manifest.adam) return found;
    for (const Between& between : manifest.between) {
        if (between.name == "x" || pieces_.count(between.name) == 0) continue;
        Planes planes(size_.width, size_.height);
        std::memcpy(planes.values.data(), now(between.name).data(), now(between.name).bytes());
        found.vectors[between.name] = std::move(planes);
    }
    const double* scalars = now("scalars").doubles();
    found.scalars.assign(scalars, scalars + manifest.scalars.size());
    return found;
}

}  // namespace impasto_core

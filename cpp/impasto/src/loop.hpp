// Loss and optimiser at one size: two sessions that share their memory, as engine/device/loop.py has them.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bundle.hpp"

namespace impasto_core {

using Targets = std::map<std::string, std::vector<float>>;

// What the step logged of an evaluation.
struct Row {
    double loss = 0;
    std::uint32_t iteration = 0, evaluations = 0;
    int code = 0;
};

// State that goes on at another size.
struct Carried {
    Planes x;                                // the image to go on from
    std::map<std::string, Planes> vectors;   // Adam's moments, and its iterate where there is an average
    std::vector<double> scalars;             // Adam's; empty for L-BFGS, which begins anew
};

class Loop {
public:
    // Open the graphs of a scale, and load its targets and weights. Throws Failure.
    Loop(std::shared_ptr<const Bundle> bundle, const ScaleEntry& scale, const Targets& targets, std::uint32_t threads,
         const std::string& provider);

    void begin(const Planes& image);
    void begin(const Carried& carried);

    // Evaluate and step once. Returns false, with everything as it was, where the evaluation was terminated.
    bool advance(const Termination& termination, Row& row);

    Planes image() const;  // the latest accepted one
    Carried carried() const;

    std::size_t width() const { return size_.width; }
    std::size_t height() const { return size_.height; }

private:
    struct Piece {
        std::unique_ptr<Tensor> one, other;  // `other` is empty where input and output are the same memory
        Tensor& side(std::size_t number) const { return number == 0 || !other ? *one : *other; }
    };

    std::vector<float> weights_of(const ScaleEntry& scale, const Targets& targets) const;
    Tensor& now(const std::string& name) const { return pieces_.at(name).side(turn_ % 2); }
    void step();

    std::shared_ptr<const Bundle> bundle_;
    const SizeEntry& size_;
    bool copies_;  // whether the provider has memory of its own, so that inputs are bound anew
    Session objective_, step_;
    std::map<std::string, std::unique_ptr<Tensor>> tensors_;
    std::map<std::string, Piece> pieces_;
    Binding evaluation_;
    std::array<Binding, 2> steps_;
    std::size_t turn_ = 0;
};

}  // namespace impasto_core

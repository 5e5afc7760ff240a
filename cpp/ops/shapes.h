// What an operator accepts: the checks of its shapes and attributes, and the shape of its result, without ONNX Runtime.

#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace impasto {

enum class Operator { convolution, convolution_gradient, first, first_gradient, pooling, pooling_gradient };

struct Attributes {
  std::int64_t pad = 1;      // of the convolution, in the gradient of one too
  std::int64_t wrap = 0;     // the opposite edge in the place of zeros
  std::int64_t relu = 0;     // a ReLU follows
  std::int64_t maximum = 0;  // the pooling's kind
  std::int64_t addend = 0;   // whether there is an input of that name
  std::int64_t mask = 0;
};

using Shape = std::vector<std::int64_t>;

// The result of an operator for the shapes of all its inputs, in their order.
struct Inferred {
  std::string error;  // empty, or what is wrong, the value and what is allowed
  Shape shape;
};

const char* name_of(Operator op);
std::size_t least_inputs(Operator op);
std::size_t most_inputs(Operator op);
Inferred infer(Operator op, const Attributes& attributes, const std::vector<Shape>& inputs);

}  // namespace impasto

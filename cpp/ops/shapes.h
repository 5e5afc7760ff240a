// What an operator accepts: the checks of its shapes and attributes, and the shape of its result, without ONNX Runtime.

#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace impasto {

enum class Operator { convolution, convolution_gradient, first, first_gradient, pooling, pooling_gradient };

// The attributes of all operators. An operator has some of them (`has`); the others stay 0.
struct Attributes {
  std::int64_t pad = 0;      // of the convolution, in the gradient of one too
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

struct Attribute {
  const char* name;
  std::int64_t Attributes::* place;
};

constexpr Attribute ATTRIBUTES[] = {{"pad", &Attributes::pad},         {"wrap", &Attributes::wrap},
                                    {"relu", &Attributes::relu},       {"maximum", &Attributes::maximum},
                                    {"addend", &Attributes::addend},   {"mask", &Attributes::mask}};

// Whether an operator has an attribute. A node must give all that its operator has, and no other.
bool has(Operator op, const Attribute& attribute);

// The names of an operator's attributes, for messages: "pad, wrap, relu".
std::string attributes_of(Operator op);

const char* name_of(Operator op);
std::size_t least_inputs(Operator op);
std::size_t most_inputs(Operator op);
Inferred infer(Operator op, const Attributes& attributes, const std::vector<Shape>& inputs);

}  // namespace impasto

#include "shapes.h"

#include <algorithm>
#include <initializer_list>

namespace impasto {

namespace {

constexpr std::int64_t MULTIPLE = 8, LONGEST_SIDE = 1 << 20, MOST_CHANNELS = 1 << 16, MOST_VALUES = std::int64_t{1} << 40;

// A text for people, as "[1, 64, 32, 32]".
std::string text(const Shape& shape) {
  std::string made = "[";
  for (std::size_t i = 0; i < shape.size(); i++) made += (i ? ", " : "") + std::to_string(shape[i]);
  return made + "]";
}

// An attribute that the operator lacks must be 0, as one that is not given; all but pad are flags.
std::string attribute_error(Operator op, const Attribute& attribute, std::int64_t value) {
  const std::string said = std::string(attribute.name) + " is " + std::to_string(value);
  if (!has(op, attribute)) return value == 0 ? "" : said + "; the attributes allowed are " + attributes_of(op);
  if (attribute.place == &Attributes::pad || value == 0 || value == 1) return "";
  return said + "; allowed are 0 and 1";
}

std::string image_error(const char* name, const Shape& shape, bool channels_last) {
  const std::string said = std::string(name) + " has shape " + text(shape);
  if (shape.size() != 4) return said + "; it must have 4 axes";
  std::int64_t values = 1;
  for (std::size_t axis = 0; axis < 4; axis++) {
    const std::int64_t most = axis == (channels_last ? 3u : 1u) ? MOST_CHANNELS : LONGEST_SIDE;
    if (shape[axis] < 1 || shape[axis] > most)
      return said + "; axis " + std::to_string(axis) + " must be from 1 to " + std::to_string(most);
    if (shape[axis] > MOST_VALUES / values) return said + "; it has too many values";
    values *= shape[axis];
  }
  return "";
}

std::string channels_error(const char* name, std::int64_t channels) {
  if (channels >= MULTIPLE && channels <= MOST_CHANNELS && channels % MULTIPLE == 0) return "";
  return std::string(name) + " has " + std::to_string(channels) + " channels; they must be a multiple of " +
         std::to_string(MULTIPLE) + ", at most " + std::to_string(MOST_CHANNELS);
}

std::string weights_error(const Shape& shape) {
  if (shape.size() == 4 && shape[2] == 3 && shape[3] == 3) return "";
  return "weights have shape " + text(shape) + "; they must be [out, in, 3, 3]";
}

std::string same_error(const char* name, const Shape& shape, const Shape& wanted) {
  return shape == wanted ? "" : std::string(name) + " has shape " + text(shape) + "; it must be " + text(wanted);
}

// The first text that is not empty.
template <typename... More>
std::string first_of(std::string one, More... more) {
  if constexpr (sizeof...(more) == 0) return one;
  else return one.empty() ? first_of(std::move(more)...) : one;
}

std::string pad_error(std::int64_t pad, std::int64_t most) {
  return pad >= 0 && pad <= most ? "" : "pad is " + std::to_string(pad) + "; allowed are 0 to " + std::to_string(most);
}

std::string bias_error(const std::vector<Shape>& inputs, std::int64_t out) {
  return inputs.size() > 2 ? same_error("bias", inputs[2], {out}) : "";
}

// The inputs after the required ones: an addend, a mask, both or none.
std::string extras_error(const Attributes& a, const std::vector<Shape>& inputs, const Shape& shape) {
  const std::size_t wanted = 2 + static_cast<std::size_t>(a.addend + a.mask);
  if (inputs.size() != wanted)
    return "it has " + std::to_string(inputs.size()) + " inputs; the attributes addend and mask ask for " +
           std::to_string(wanted);
  for (std::size_t i = 2; i < wanted; i++) {
    const std::string error = same_error(i == 2 && a.addend ? "addend" : "mask", inputs[i], shape);
    if (!error.empty()) return error;
  }
  return "";
}

Inferred convolution(const Attributes& a, const std::vector<Shape>& inputs) {
  std::string error = first_of(image_error("x", inputs[0], true), weights_error(inputs[1]), pad_error(a.pad, 2));
  if (!error.empty()) return {error, {}};
  const Shape &x = inputs[0], &w = inputs[1];
  const Shape y = {x[0], x[1] + 2 * a.pad - 2, x[2] + 2 * a.pad - 2, w[0]};
  error = first_of(channels_error("x", x[3]), channels_error("the result", w[0]),
                   same_error("weights", w, {w[0], x[3], 3, 3}), image_error("the result", y, true), bias_error(inputs, w[0]));
  return {error, y};
}

Inferred convolution_gradient(const Attributes& a, const std::vector<Shape>& inputs) {
  std::string error = first_of(image_error("d", inputs[0], true), weights_error(inputs[1]), pad_error(a.pad, 2));
  if (!error.empty()) return {error, {}};
  const Shape &d = inputs[0], &w = inputs[1];
  const Shape x = {d[0], d[1] + 2 - 2 * a.pad, d[2] + 2 - 2 * a.pad, w[1]};
  error = first_of(channels_error("d", d[3]), channels_error("the result", w[1]),
                   same_error("weights", w, {d[3], w[1], 3, 3}), image_error("the result", x, true));
  if (error.empty() && a.wrap && a.pad != 1) error = "wrap asks for pad 1; pad is " + std::to_string(a.pad);
  return {error.empty() ? extras_error(a, inputs, x) : error, x};
}

Inferred first(const Attributes& a, const std::vector<Shape>& inputs) {
  std::string error = first_of(image_error("image", inputs[0], false), weights_error(inputs[1]), pad_error(a.pad, 1));
  if (!error.empty()) return {error, {}};
  const Shape &x = inputs[0], &w = inputs[1];
  const Shape y = {x[0], x[2] + 2 * a.pad - 2, x[3] + 2 * a.pad - 2, w[0]};
  error = first_of(same_error("image", x, {x[0], 3, x[2], x[3]}), same_error("weights", w, {w[0], 3, 3, 3}),
                   channels_error("the result", w[0]), image_error("the result", y, true), bias_error(inputs, w[0]));
  return {error, y};
}

Inferred first_gradient(const Attributes& a, const std::vector<Shape>& inputs) {
  std::string error = first_of(image_error("d", inputs[0], true), weights_error(inputs[1]), pad_error(a.pad, 1));
  if (!error.empty()) return {error, {}};
  const Shape &d = inputs[0], &w = inputs[1];
  const Shape x = {d[0], 3, d[1] + 2 - 2 * a.pad, d[2] + 2 - 2 * a.pad};
  error = first_of(channels_error("d", d[3]), same_error("weights", w, {d[3], 3, 3, 3}),
                   image_error("the result", x, false));
  return {error, x};
}

Inferred pooling(const std::vector<Shape>& inputs) {
  std::string error = image_error("x", inputs[0], true);
  if (!error.empty()) return {error, {}};
  const Shape &x = inputs[0], y = {x[0], x[1] / 2, x[2] / 2, x[3]};
  return {first_of(channels_error("x", x[3]), image_error("the result", y, true)), y};
}

Inferred pooling_gradient(const Attributes& a, const std::vector<Shape>& inputs) {
  const Inferred forward = pooling({inputs[1]});
  if (!forward.error.empty()) return forward;
  const std::string error = same_error("d", inputs[0], forward.shape);
  return {error.empty() ? extras_error(a, inputs, inputs[1]) : error, inputs[1]};
}

}  // namespace

const char* name_of(Operator op) {
  switch (op) {
    case Operator::convolution: return "Conv3x3";
    case Operator::convolution_gradient: return "Conv3x3Gradient";
    case Operator::first: return "FirstConv3x3";
    case Operator::first_gradient: return "FirstConv3x3Gradient";
    case Operator::pooling: return "Pool2x2";
    default: return "Pool2x2Gradient";
  }
}

std::size_t least_inputs(Operator op) { return op == Operator::pooling ? 1 : 2; }

std::size_t most_inputs(Operator op) {
  switch (op) {
    case Operator::pooling: return 1;
    case Operator::first_gradient: return 2;
    case Operator::convolution:
    case Operator::first: return 3;
    default: return 4;
  }
}

bool has(Operator op, const Attribute& attribute) {
  const auto is_one_of = [&](std::initializer_list<std::int64_t Attributes::*> places) {
    return std::find(places.begin(), places.end(), attribute.place) != places.end();
  };
  switch (op) {
    case Operator::convolution: return is_one_of({&Attributes::pad, &Attributes::wrap, &Attributes::relu});
    case Operator::convolution_gradient:
      return is_one_of({&Attributes::pad, &Attributes::wrap, &Attributes::addend, &Attributes::mask});
    case Operator::first: return is_one_of({&Attributes::pad, &Attributes::relu});
    case Operator::first_gradient: return is_one_of({&Attributes::pad});
    case Operator::pooling: return is_one_of({&Attributes::maximum});
    default: return is_one_of({&Attributes::maximum, &Attributes::addend, &Attributes::mask});
  }
}

std::string attributes_of(Operator op) {
  std::string names;
  for (const Attribute& attribute : ATTRIBUTES)
    if (has(op, attribute)) names += (names.empty() ? "" : ", ") + std::string(attribute.name);
  return names;
}

Inferred infer(Operator op, const Attributes& a, const std::vector<Shape>& inputs) {
  for (const Attribute& attribute : ATTRIBUTES) {
    const std::string error = attribute_error(op, attribute, a.*attribute.place);
    if (!error.empty()) return {error, {}};
  }
  if (inputs.size() < least_inputs(op) || inputs.size() > most_inputs(op))
    return {"it has " + std::to_string(inputs.size()) + " inputs; allowed are " + std::to_string(least_inputs(op)) +
                " to " + std::to_string(most_inputs(op)),
            {}};
  switch (op) {
    case Operator::convolution: return convolution(a, inputs);
    case Operator::convolution_gradient: return convolution_gradient(a, inputs);
    case Operator::first: return first(a, inputs);
    case Operator::first_gradient: return first_gradient(a, inputs);
    case Operator::pooling: return pooling(inputs);
    default: return pooling_gradient(a, inputs);
  }
}

}  // namespace impasto

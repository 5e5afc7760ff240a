// libFuzzer's target: an operator of any attributes and shapes is either refused with a text, or computes its result
// within the memory of its inputs. Built by clang++ -std=c++17 -fsanitize=fuzzer,address,undefined fuzz.cpp with all of
// ../*.cpp but operators.cpp. With -DIMPASTO_RANDOM_INPUTS and any compiler it is a program that makes its own inputs:
//
//   fuzz INPUTS

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "../kernel.h"

using namespace impasto;

namespace {

constexpr std::int64_t MOST_COMPUTED = 1 << 16;  // values of a tensor; larger ones are only checked

class Here final : public Tasks {
 public:
  void run(std::size_t count, Run task, void* self) override {
    for (std::size_t number = 0; number < count; number++) task(self, number);
  }
};

class Bytes {
 public:
  Bytes(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}

  std::int64_t below(std::int64_t end) {
    if (size_ == 0) return 0;
    size_--;
    return *data_++ % end;
  }

  // Any number at all, or a small one.
  std::int64_t number() {
    if (below(4) != 0) return below(16) - 4;
    std::int64_t value = 0;
    const std::size_t bytes = std::min(size_, sizeof value);
    std::memcpy(&value, data_, bytes);
    data_ += bytes;
    size_ -= bytes;
    return value;
  }

 private:
  const std::uint8_t* data_;
  std::size_t size_;
};

// The number of values; more than MOST_COMPUTED stands for any number above it.
std::int64_t values_of(const Shape& shape) {
  std::int64_t count = 1;
  for (const std::int64_t side : shape) {
    if (side < 1 || side > MOST_COMPUTED) return MOST_COMPUTED + 1;
    count = std::min(count * side, MOST_COMPUTED + 1);
  }
  return count;
}

// Attributes and shapes that the operator accepts, but where the image is too small for its kernel.
void choose(Operator op, Bytes& bytes, Attributes& a, std::vector<Shape>& shapes) {
  for (const Attribute& attribute : ATTRIBUTES)
    if (has(op, attribute)) a.*attribute.place = bytes.below(2);
  const bool first = op == Operator::first || op == Operator::first_gradient;
  if (has(op, ATTRIBUTES[0]) && !first && !a.wrap) a.pad = bytes.below(3);
  if (a.wrap) a.pad = 1;
  const std::int64_t n = 1 + bytes.below(2), h = 1 + bytes.below(15), w = 1 + bytes.below(15);
  const std::int64_t in = first ? 3 : 8 * (1 + bytes.below(4)), out = 8 * (1 + bytes.below(4));
  const Shape x{n, h, w, in}, y{n, h + 2 * a.pad - 2, w + 2 * a.pad - 2, out}, weights{out, in, 3, 3};
  const Shape half{n, h / 2, w / 2, in};
  switch (op) {
    case Operator::convolution: shapes = {x, weights}; break;
    case Operator::convolution_gradient: shapes = {y, weights}; break;
    case Operator::first: shapes = {{n, in, h, w}, weights}; break;
    case Operator::first_gradient: shapes = {y, weights}; break;
    case Operator::pooling: shapes = {x}; break;
    default: shapes = {half, x};
  }
  if ((op == Operator::convolution || op == Operator::first) && bytes.below(2)) shapes.push_back({out});
  for (std::int64_t extra = a.addend + a.mask; extra > 0; extra--) shapes.push_back(x);
}

// Change one attribute, one side, or the number of inputs or axes.
void damage(Bytes& bytes, Attributes& a, std::vector<Shape>& shapes) {
  const std::int64_t kind = bytes.below(8);
  if (kind == 0) a.*ATTRIBUTES[bytes.below(6)].place = bytes.number();
  Shape& shape = shapes[static_cast<std::size_t>(bytes.below(static_cast<std::int64_t>(shapes.size())))];
  if (kind == 1 && !shape.empty())
    shape[static_cast<std::size_t>(bytes.below(static_cast<std::int64_t>(shape.size())))] = bytes.number();
  if (kind == 2) shape.resize(static_cast<std::size_t>(bytes.below(7)), 1);
  if (kind == 3) shapes.resize(static_cast<std::size_t>(bytes.below(6)), shape);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Bytes bytes(data, size);
  const auto op = static_cast<Operator>(bytes.below(6));
  Attributes attributes;
  std::vector<Shape> shapes;
  choose(op, bytes, attributes, shapes);
  damage(bytes, attributes, shapes);
  const Inferred inferred = infer(op, attributes, shapes);
  if (!inferred.error.empty()) return 0;
  if (inferred.shape.size() != 4) std::abort();
  std::int64_t most = values_of(inferred.shape);
  for (const std::int64_t side : inferred.shape)
    if (side < 1) std::abort();
  for (const Shape& shape : shapes) most = std::max(most, values_of(shape));
  if (most > MOST_COMPUTED) return 0;
  // Memory is exactly as long as it needs to be, so that a sanitizer sees what lies beyond.
  std::vector<std::vector<float>> inputs;
  std::vector<const float*> places;
  for (const Shape& shape : shapes) inputs.emplace_back(static_cast<std::size_t>(values_of(shape)), 1.f);
  for (const auto& input : inputs) places.push_back(input.data());
  const bool pooled = op == Operator::pooling || op == Operator::pooling_gradient;
  const Kernel kernel(op, attributes, pooled ? nullptr : places[1], pooled ? Shape{} : shapes[1]);
  std::vector<float> result(static_cast<std::size_t>(values_of(inferred.shape)));
  Here tasks;
  kernel.compute(places, shapes, result.data(), tasks);
  return 1;
}

#ifdef IMPASTO_RANDOM_INPUTS

#include <random>

int main(int count, char** words) {
  const int inputs = count > 1 ? std::atoi(words[1]) : 10000;
  std::mt19937 random_numbers(0);
  int computed = 0;
  for (int i = 0; i < inputs; i++) {
    std::uint8_t bytes[64];
    for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random_numbers());
    computed += LLVMFuzzerTestOneInput(bytes, sizeof bytes);
  }
  std::printf("%d inputs, %d computed\n", inputs, computed);
  return 0;
}

#endif

// Every operator on random shapes against a naive form in double precision, on several threads: for sanitizers and for
// processors that are emulated. The instruction set is that of IMPASTO_OPS_ISA. Built with the sources of the folder
// above but operators.cpp; prints one line and ends with 0, or ends with 1.
//
//   kernels [shapes] [threads]
//   kernels sets                 prints the instruction sets of this processor

#include "../kernel.h"
#include "../shared_weights.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <thread>

using namespace impasto;

namespace {

class Threads final : public Tasks {
 public:
  explicit Threads(int count) : count_(count) {}
  void run(std::size_t tasks, Run task, void* self) override {
    std::atomic<std::size_t> next{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < count_; i++)
      threads.emplace_back([&] {
        for (std::size_t number; (number = next++) < tasks;) task(self, number);
      });
    for (std::thread& thread : threads) thread.join();
  }

 private:
  int count_;
};

std::mt19937 random_numbers(0);

std::int64_t between(std::int64_t low, std::int64_t high) {
  return std::uniform_int_distribution<std::int64_t>(low, high)(random_numbers);
}

std::size_t values_of(const Shape& shape) {
  std::size_t count = 1;
  for (const std::int64_t side : shape) count *= static_cast<std::size_t>(side);
  return count;
}

// Exactly as long as it needs to be, so that a sanitizer sees what lies beyond.
std::vector<float> values(const Shape& shape) {
  std::normal_distribution<float> normal;
  std::vector<float> made(values_of(shape));
  for (float& value : made) value = normal(random_numbers);
  return made;
}

std::vector<float> computed(Operator op, const Attributes& attributes, const std::vector<Shape>& shapes,
                            const std::vector<std::vector<float>>& inputs, Shape* shape, Tasks& tasks) {
  const Inferred inferred = infer(op, attributes, shapes);
  if (!inferred.error.empty()) {
    std::printf("%s: %s\n", name_of(op), inferred.error.c_str());
    std::exit(1);
  }
  const bool pooled = op == Operator::pooling || op == Operator::pooling_gradient;
  const Kernel kernel(op, attributes, pooled ? nullptr : inputs[1].data(), pooled ? Shape{} : shapes[1]);
  std::vector<const float*> data;
  for (const auto& input : inputs) data.push_back(input.data());
  *shape = inferred.shape;
  std::vector<float> result(values_of(inferred.shape));
  kernel.compute(data, shapes, result.data(), tasks);
  return result;
}

double largest(double a, double b) { return b > a || b != b ? b : a; }

// The largest difference from what is expected, over the largest value expected.
double error_of(const std::vector<float>& found, const std::vector<double>& expected) {
  double error = found.size() == expected.size() ? 0 : 1, most = 1e-30;
  for (std::size_t i = 0; i < std::min(found.size(), expected.size()); i++)
    error = largest(error, std::fabs(found[i] - expected[i])), most = largest(most, std::fabs(expected[i]));
  return error / most;
}

// A convolution, and what its cotangent gives to the image, one product after another.
struct Naive {
  std::vector<double> y, d_x;
};

// x is [n, h, w, c]; or [n, c, h, w] where the channels are first. y and its cotangent d have the channels last.
Naive naive(const Attributes& a, const Shape& size, std::int64_t k, bool channels_first, const std::vector<float>& x,
            const std::vector<float>& weights, const std::vector<float>& bias, const std::vector<float>& d) {
  const std::int64_t n = size[0], h = size[1], w = size[2], c = size[3];
  Naive made{{}, std::vector<double>(x.size())};
  for (std::int64_t b = 0; b < n; b++)
    for (std::int64_t i = 0; i < h + 2 * a.pad - 2; i++)
      for (std::int64_t j = 0; j < w + 2 * a.pad - 2; j++)
        for (std::int64_t out = 0; out < k; out++) {
          double sum = bias[static_cast<std::size_t>(out)];
          for (std::int64_t u = 0; u < 3; u++)
            for (std::int64_t v = 0; v < 3; v++) {
              std::int64_t p = i + u - a.pad, q = j + v - a.pad;
              if (a.wrap) p = (p + h) % h, q = (q + w) % w;
              if (p < 0 || q < 0 || p >= h || q >= w) continue;
              for (std::int64_t in = 0; in < c; in++) {
                const auto place = static_cast<std::size_t>(channels_first ? ((b * c + in) * h + p) * w + q
                                                                           : ((b * h + p) * w + q) * c + in);
                const double weight = weights[static_cast<std::size_t>((out * c + in) * 9 + u * 3 + v)];
                sum += weight * x[place];
                made.d_x[place] += weight * d[made.y.size()];
              }
            }
          made.y.push_back(a.relu ? largest(sum, 0) : sum);
        }
  return made;
}

// A convolution of the first layer or of a later one, with bias and ReLU, and its gradient with addend and mask.
double convolution_error(Tasks& tasks, bool first) {
  Attributes a, back;
  a.relu = between(0, 1);
  a.wrap = first ? 0 : between(0, 1);
  a.pad = a.wrap ? 1 : between(0, first ? 1 : 2);
  back.pad = a.pad, back.wrap = a.wrap;
  if (!first) back.addend = between(0, 1), back.mask = between(0, 1);
  const std::int64_t n = between(1, 2), h = between(3, 23), w = between(3, 23), k = 8 * between(1, 4);
  const std::int64_t c = first ? 3 : 8 * between(1, 4);
  const Shape x_shape = first ? Shape{n, c, h, w} : Shape{n, h, w, c}, w_shape{k, c, 3, 3};
  const auto x = values(x_shape), weights = values(w_shape), bias = values({k}), addend = values(x_shape);
  Shape shape, gradient_shape;
  const auto y = computed(first ? Operator::first : Operator::convolution, a, {x_shape, w_shape, {k}}, {x, weights, bias},
                          &shape, tasks);
  const auto d = values(shape);
  std::vector<Shape> shapes{shape, w_shape};
  std::vector<std::vector<float>> inputs{d, weights};
  if (back.addend) shapes.push_back(x_shape), inputs.push_back(addend);
  if (back.mask) shapes.push_back(x_shape), inputs.push_back(x);
  const auto d_x = computed(first ? Operator::first_gradient : Operator::convolution_gradient, back, shapes, inputs,
                            &gradient_shape, tasks);
  if (gradient_shape != x_shape) return 1;
  Naive expected = naive(a, {n, h, w, c}, k, first, x, weights, bias, d);
  for (std::size_t i = 0; i < x.size(); i++) {
    if (back.addend) expected.d_x[i] += addend[i];
    if (back.mask && !(x[i] > 0)) expected.d_x[i] = 0;
  }
  return largest(error_of(y, expected.y), error_of(d_x, expected.d_x));
}

// A pooling, and its gradient with addend and mask. Values of a few kinds only, so that maxima are equal.
double pooling_error(Tasks& tasks) {
  Attributes a, back;
  a.maximum = back.maximum = between(0, 1);
  back.addend = between(0, 1), back.mask = between(0, 1);
  const std::int64_t n = between(1, 2), h = between(2, 23), w = between(2, 23), c = 8 * between(1, 4);
  const Shape shape{n, h, w, c};
  auto x = values(shape);
  for (float& value : x) value = std::round(value);
  const auto addend = values(shape);
  Shape half, gradient_shape;
  const auto y = computed(Operator::pooling, a, {shape}, {x}, &half, tasks);
  const auto d = values(half);
  std::vector<Shape> shapes{half, shape};
  std::vector<std::vector<float>> inputs{d, x};
  if (back.addend) shapes.push_back(shape), inputs.push_back(addend);
  if (back.mask) shapes.push_back(shape), inputs.push_back(x);
  const auto d_x = computed(Operator::pooling_gradient, back, shapes, inputs, &gradient_shape, tasks);
  if (gradient_shape != shape) return 1;
  std::vector<double> expected, gradient(x.size());
  for (std::int64_t b = 0; b < n; b++)
    for (std::int64_t i = 0; i < h / 2; i++)
      for (std::int64_t j = 0; j < w / 2; j++)
        for (std::int64_t channel = 0; channel < c; channel++) {
          std::size_t places[4], first = 0;
          double sum = 0;
          for (std::int64_t e = 0; e < 4; e++) {
            const std::int64_t row = 2 * i + e / 2, column = 2 * j + e % 2;
            places[e] = static_cast<std::size_t>(((b * h + row) * w + column) * c + channel);
            sum += x[places[e]];
            if (x[places[e]] > x[places[first]]) first = static_cast<std::size_t>(e);
          }
          const double cotangent = d[expected.size()];
          for (std::size_t e = 0; e < 4; e++)
            gradient[places[e]] = !a.maximum ? cotangent / 4 : e == first ? cotangent : 0;
          expected.push_back(a.maximum ? x[places[first]] : sum / 4);
        }
  for (std::size_t i = 0; i < x.size(); i++) {
    if (back.addend) gradient[i] += addend[i];
    if (back.mask && !(x[i] > 0)) gradient[i] = 0;
  }
  return largest(error_of(y, expected), error_of(d_x, gradient));
}

// Whether equal weights are kept once, others apart, and none after their last owner.
bool sharing_works() {
  const Kernels& kernels = kernels_for(16);
  Convolution s{};
  s.in = 16, s.out = 32;
  auto weights = values({32, 16, 3, 3});
  auto one = shared_weights(kernels, s, weights.data(), false);
  const auto copy = weights;
  const bool shared = shared_weights(kernels, s, copy.data(), false) == one;
  const bool turned_apart = shared_weights(kernels, s, weights.data(), true) != one;
  const std::weak_ptr<const std::vector<float>> seen = one;
  weights[4000] += 1;
  const bool others_apart = shared_weights(kernels, s, weights.data(), false) != one;
  one.reset();
  return shared && turned_apart && others_apart && seen.expired();
}

}  // namespace

int main(int count, char** words) {
  if (count > 1 && std::strcmp(words[1], "sets") == 0) return std::puts(instruction_sets().c_str()) < 0;
  const int shapes = count > 1 ? std::atoi(words[1]) : 30, threads = count > 2 ? std::atoi(words[2]) : 2;
  Threads tasks(threads);
  double worst = 0;
  for (int i = 0; i < shapes; i++)
    for (const double error : {convolution_error(tasks, false), convolution_error(tasks, true), pooling_error(tasks)})
      worst = largest(worst, error);
  if (!sharing_works()) return std::puts("weights are not shared as they should be"), 1;
  std::printf("%s and %s: %d shapes, largest error %.1e\n", kernels_for(16).name, kernels_for(8).name, shapes, worst);
  return worst < 5e-6 ? 0 : 1;
}

// Every operator on random shapes with every instruction set of the processor, against a naive convolution in double
// precision, on several threads: for sanitizers and for processors that are emulated. Built with the sources of the
// folder above; prints one line and ends with 0, or ends with 1.
//
//   kernels [shapes] [threads]

#include "../kernel.h"

#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
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

// The largest error of a convolution with bias and its gradient, over the largest value.
double convolution_error(Tasks& tasks) {
  Attributes a;
  a.wrap = between(0, 1);
  a.pad = a.wrap ? 1 : between(0, 2);
  const std::int64_t n = between(1, 2), h = between(3, 23), w = between(3, 23), c = 8 * between(1, 4), k = 8 * between(1, 4);
  const Shape x_shape{n, h, w, c}, w_shape{k, c, 3, 3};
  const auto x = values(x_shape), weights = values(w_shape), bias = values({k});
  Shape shape;
  const auto y = computed(Operator::convolution, a, {x_shape, w_shape, {k}}, {x, weights, bias}, &shape, tasks);
  const auto d = values(shape);
  Shape back;
  const auto d_x = computed(Operator::convolution_gradient, a, {shape, w_shape}, {d, weights}, &back, tasks);
  if (back != x_shape) return 1;
  std::vector<double> expected(y.size()), gradient(x.size());
  double error = 0, most = 0;
  for (std::int64_t b = 0; b < n; b++)
    for (std::int64_t i = 0; i < shape[1]; i++)
      for (std::int64_t j = 0; j < shape[2]; j++)
        for (std::int64_t out = 0; out < k; out++) {
          const std::int64_t place = ((b * shape[1] + i) * shape[2] + j) * k + out;
          double sum = bias[static_cast<std::size_t>(out)];
          for (std::int64_t u = 0; u < 3; u++)
            for (std::int64_t v = 0; v < 3; v++) {
              std::int64_t p = i + u - a.pad, q = j + v - a.pad;
              if (a.wrap) p = (p + h) % h, q = (q + w) % w;
              if (p < 0 || q < 0 || p >= h || q >= w) continue;
              for (std::int64_t in = 0; in < c; in++) {
                const auto from = static_cast<std::size_t>(((b * h + p) * w + q) * c + in);
                const double weight = weights[static_cast<std::size_t>((out * c + in) * 9 + u * 3 + v)];
                sum += weight * x[from];
                gradient[from] += weight * d[static_cast<std::size_t>(place)];
              }
            }
          expected[static_cast<std::size_t>(place)] = sum;
        }
  for (std::size_t i = 0; i < y.size(); i++)
    error = largest(error, std::fabs(y[i] - expected[i])), most = largest(most, std::fabs(expected[i]));
  for (std::size_t i = 0; i < x.size(); i++)
    error = largest(error, std::fabs(d_x[i] - gradient[i])), most = largest(most, std::fabs(gradient[i]));
  return error / most;
}

// The first layer, the poolings and their gradients: read and written within bounds, and finite.
double others_error(Tasks& tasks) {
  Attributes a;
  a.pad = between(0, 1);
  a.relu = 1;
  a.maximum = between(0, 1);
  const std::int64_t n = between(1, 2), h = between(3, 23), w = between(3, 23), k = 8 * between(1, 4);
  const Shape image{n, 3, h, w}, w_shape{k, 3, 3, 3};
  const auto x = values(image), weights = values(w_shape), bias = values({k});
  Shape shape, back;
  const auto y = computed(Operator::first, a, {image, w_shape, {k}}, {x, weights, bias}, &shape, tasks);
  const auto d_x = computed(Operator::first_gradient, a, {shape, w_shape}, {y, weights}, &back, tasks);
  double error = back == image ? 0 : 1;
  // <y, conv(x)> = <conv^T(y), x> without the bias; y is what its ReLU left
  double left = 0, right = 0;
  for (std::size_t i = 0; i < y.size(); i++) left += static_cast<double>(y[i]) * (y[i] - bias[i % static_cast<std::size_t>(k)]);
  for (std::size_t i = 0; i < x.size(); i++) right += static_cast<double>(d_x[i]) * x[i];
  error = largest(error, std::fabs(left - right) / std::fabs(left) / 10);
  Attributes pool = a;
  pool.addend = pool.mask = 1;
  if (shape[1] > 1 && shape[2] > 1) {
    Shape half;
    const auto pooled = computed(Operator::pooling, a, {shape}, {y}, &half, tasks);
    const auto given = computed(Operator::pooling_gradient, pool, {half, shape, shape, shape}, {pooled, y, y, y}, &back, tasks);
    for (const float value : given) error = largest(error, std::isfinite(value) ? 0 : 1);
  }
  return error;
}

}  // namespace

int main(int count, char** words) {
  const int shapes = count > 1 ? std::atoi(words[1]) : 30, threads = count > 2 ? std::atoi(words[2]) : 2;
  Threads tasks(threads);
  double worst = 0;
  for (int i = 0; i < shapes; i++) worst = largest(largest(worst, convolution_error(tasks)), others_error(tasks));
  std::printf("%s and %s: %d shapes, largest error %.1e\n", kernels_for(16).name, kernels_for(8).name, shapes, worst);
  return worst < 5e-6 ? 0 : 1;
}

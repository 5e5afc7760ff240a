#include "kernel.h"

#include <atomic>
#include <memory>
#include <new>
#include <utility>

#include "shared_weights.h"

namespace impasto {

namespace {

// Memory of a thread that it uses again and again; null where there is none left.
float* scratch_of_thread(std::size_t floats) {
  thread_local std::unique_ptr<float[]> memory;
  thread_local std::size_t size = 0;
  if (floats > size) {
    memory.reset();
    size = 0;
    memory.reset(new (std::nothrow) float[floats]);
    if (memory) size = floats;
  }
  return memory.get();
}

// Runs tasks that each need scratch memory. `task` is called as task(number, scratch).
template <typename Task>
void run(Tasks& tasks, std::size_t count, std::size_t floats, const Task& task) {
  struct Job {
    const Task& task;
    std::size_t floats;
    std::atomic<bool> failed;
  } job{task, floats, {false}};
  tasks.run(
      count,
      [](void* self, std::size_t number) {
        Job& job = *static_cast<Job*>(self);
        float* scratch = job.floats ? scratch_of_thread(job.floats) : nullptr;
        if (job.floats && !scratch) job.failed = true;  // nothing may be thrown through the runtime's threads
        else job.task(number, scratch);
      },
      &job);
  if (job.failed) throw std::bad_alloc();
}

// Rounding of the forward pass decides which units a ReLU or a maximum takes where two values are almost equal, and each
// that is taken wrongly is a far larger error of the gradient than the rounding of the backward pass.
constexpr std::int64_t FORWARD_RUN = 16, BACKWARD_RUN = 64;

Convolution forward_convolution(const Attributes& a, const Shape& x, std::int64_t out) {
  return {x[0], x[1], x[2], x[3], out, a.pad, a.wrap != 0, a.relu != 0, FORWARD_RUN};
}

// The data gradient is a convolution of the cotangents with the weights turned by 180 degrees.
Convolution gradient_convolution(const Attributes& a, const Shape& d, std::int64_t in) {
  return {d[0], d[1], d[2], d[3], in, 2 - a.pad, a.wrap != 0, false, BACKWARD_RUN};
}

FirstConvolution first_convolution(const Attributes& a, const Shape& image, std::int64_t out) {
  return {image[0], image[2], image[3], out, a.pad, a.relu != 0};
}

std::int64_t divisor(const Shape& weights) { return weights[0] % 16 == 0 && weights[1] % 16 == 0 ? 16 : 8; }

}  // namespace

Kernel::Kernel(Operator op, const Attributes& attributes, const float* w, const Shape& shape)
    : op(op), attributes(attributes), weights_shape(shape), kernels_(&kernels_for(8)) {
  if (op == Operator::convolution || op == Operator::convolution_gradient) {
    const bool forward = op == Operator::convolution;
    const std::int64_t in = shape[forward ? 1 : 0], out = shape[forward ? 0 : 1];
    kernels_ = &kernels_for(divisor(shape));
    weights_ = shared_weights(*kernels_, {1, 1, 1, in, out, 1, false, false, FORWARD_RUN}, w, !forward);
    zeros_.assign(static_cast<std::size_t>(in), 0.f);
  } else if (op == Operator::first) {
    const std::int64_t out = shape[0];
    kernels_ = &kernels_for(out % 16 ? 8 : 16);
    std::vector<float> weights(static_cast<std::size_t>(27 * out));
    for (std::int64_t k = 0; k < out; k++)
      for (std::int64_t tap = 0; tap < 27; tap++) weights[static_cast<std::size_t>(tap * out + k)] = w[k * 27 + tap];
    weights_ = std::make_shared<const std::vector<float>>(std::move(weights));
  } else if (op == Operator::first_gradient) {
    kernels_ = &kernels_for(16);
    std::vector<float> weights(kernels_->first_gradient_weight_floats(shape[0]));
    kernels_->transform_first_gradient_weights(shape[0], w, weights.data());
    weights_ = std::make_shared<const std::vector<float>>(std::move(weights));
  }
}

void Kernel::compute(const std::vector<const float*>& in, const std::vector<Shape>& shapes, float* result,
                     Tasks& tasks) const {
  const Kernels& k = *kernels_;
  // Only gradients have these attributes, and `infer` has counted the inputs.
  const float* addend = attributes.addend ? in[2] : nullptr;
  const float* mask = attributes.mask ? in[attributes.addend ? 3 : 2] : nullptr;
  switch (op) {
    case Operator::convolution:
    case Operator::convolution_gradient: {
      const bool forward = op == Operator::convolution;
      const Convolution s = forward ? forward_convolution(attributes, shapes[0], weights_shape[0])
                                    : gradient_convolution(attributes, shapes[0], weights_shape[1]);
      const float* bias = forward && in.size() > 2 ? in[2] : nullptr;
      const ConvolutionData data{in[0], weights_->data(), bias, addend, mask, zeros_.data(), result};
      run(tasks, k.convolution_tasks(s), k.convolution_scratch(s),
          [&](std::size_t task, float* scratch) { k.convolution(s, data, task, scratch); });
      return;
    }
    case Operator::first: {
      const FirstConvolution s = first_convolution(attributes, shapes[0], weights_shape[0]);
      const float* bias = in.size() > 2 ? in[2] : nullptr;
      run(tasks, k.first_tasks(s), k.first_scratch(s), [&](std::size_t task, float* scratch) {
        k.first(s, in[0], weights_->data(), bias, result, task, scratch);
      });
      return;
    }
    case Operator::first_gradient: {
      const Shape& d = shapes[0];
      const Shape image{d[0], 3, d[1] + 2 - 2 * attributes.pad, d[2] + 2 - 2 * attributes.pad};
      const FirstConvolution s = first_convolution(attributes, image, weights_shape[0]);
      run(tasks, k.first_gradient_tasks(s), k.first_gradient_scratch(s), [&](std::size_t task, float* scratch) {
        k.first_gradient(s, in[0], weights_->data(), result, task, scratch);
      });
      return;
    }
    case Operator::pooling:
    case Operator::pooling_gradient: {
      const bool forward = op == Operator::pooling;
      const Shape& x = shapes[forward ? 0 : 1];
      const Pooling s{x[0], x[1], x[2], x[3], attributes.maximum != 0};
      const Kernels& own = kernels_for(s.channels % 16 ? 8 : 16);
      if (forward)
        run(tasks, own.pooling_tasks(s), 0, [&](std::size_t task, float*) { own.pooling(s, in[0], result, task); });
      else
        run(tasks, own.pooling_gradient_tasks(s), 0, [&](std::size_t task, float*) {
          own.pooling_gradient(s, in[0], in[1], addend, mask, result, task);
        });
      return;
    }
  }
}

}  // namespace impasto

// An operator in a session: its attributes, its weights as the kernels want them, and what it computes.

#pragma once

#include <memory>
#include <vector>

#include "kernels.h"
#include "shapes.h"

namespace impasto {

// Runs `count` tasks, on whatever threads; returns when all are done.
class Tasks {
 public:
  using Run = void (*)(void* self, std::size_t task);
  virtual void run(std::size_t count, Run task, void* self) = 0;

 protected:
  ~Tasks() = default;
};

class Kernel {
 public:
  // weights: the constant second input in its ONNX layout, and its shape; null for a pooling.
  Kernel(Operator op, const Attributes& attributes, const float* weights, const Shape& shape);

  // inputs: the data of all inputs, of shapes that `infer` accepts with these attributes.
  // Throws std::bad_alloc.
  void compute(const std::vector<const float*>& inputs, const std::vector<Shape>& shapes, float* result,
               Tasks& tasks) const;

  const Operator op;
  const Attributes attributes;
  const Shape weights_shape;

 private:
  const Kernels* kernels_;
  std::shared_ptr<const std::vector<float>> weights_;  // null for a pooling
  std::vector<float> zeros_;
};

}  // namespace impasto

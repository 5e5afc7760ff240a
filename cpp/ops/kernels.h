// What the operators compute, without ONNX Runtime: each is a number of independent tasks. A task writes a part of the
// result of its own, and no result depends on how the tasks are spread over threads, nor on their number.
//
// Images are float32. NHWC unless said otherwise: element (n, y, x, c) at ((n * height + y) * width + x) * channels + c.

#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace impasto {

// 3x3, stride 1, Winograd F(4x4,3x3): Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2015).
struct Convolution {
  std::int64_t batch, height, width;  // of the input
  std::int64_t in, out;               // channels, multiples of 8
  std::int64_t pad;                   // 0 to 2 on every side: zeros, or the opposite edge
  bool wrap, relu;
  std::int64_t run;                   // products that are added up before their sum joins the total
  std::int64_t out_height() const { return height + 2 * pad - 2; }
  std::int64_t out_width() const { return width + 2 * pad - 2; }
};

// What a convolution reads and writes; pointers that may be null say so.
struct ConvolutionData {
  const float* x;        // [batch, height, width, in]
  const float* weights;  // as `transform_weights` made them
  const float* bias;     // [out]; null for none
  const float* addend;   // of the result's shape, added before the mask; null for none
  const float* mask;     // of the result's shape: the result is 0 where this is not above 0; null for none
  const float* zeros;    // `in` of them
  float* y;              // [batch, out_height, out_width, out]
};

// The first layer: 3 channels, channels first; its result has the channels last.
struct FirstConvolution {
  std::int64_t batch, height, width, out, pad;  // pad 0 or 1, zeros
  bool relu;
  std::int64_t out_height() const { return height + 2 * pad - 2; }
  std::int64_t out_width() const { return width + 2 * pad - 2; }
};

// Windows of 2x2 side by side; a last odd row or column has no window.
struct Pooling {
  std::int64_t batch, height, width, channels;  // of the input
  bool maximum;
};

// The kernels of one instruction set. Tasks are numbered from 0. Those with a scratch pointer need that many floats.
struct Kernels {
  const char* name;
  int lanes;  // channel counts must be multiples of it

  std::size_t (*weight_floats)(const Convolution&);
  // w is [out, in, 3, 3], or [in, out, 3, 3] turned by 180 degrees: the data gradient of that convolution
  void (*transform_weights)(const Convolution&, const float* w, bool turned, float* weights);
  bool (*are_transformed)(const Convolution&, const float* w, bool turned, const float* weights);  // whether w gives these
  std::size_t (*convolution_tasks)(const Convolution&);
  std::size_t (*convolution_scratch)(const Convolution&);
  void (*convolution)(const Convolution&, const ConvolutionData&, std::size_t task, float* scratch);

  // weights [27, out], w[k, c, i, j] at ((c * 3 + i) * 3 + j, k)
  std::size_t (*first_tasks)(const FirstConvolution&);
  std::size_t (*first_scratch)(const FirstConvolution&);
  void (*first)(const FirstConvolution&, const float* x, const float* weights, const float* bias, float* y,
                std::size_t task, float* scratch);
  std::size_t (*first_gradient_weight_floats)(std::int64_t out);
  void (*transform_first_gradient_weights)(std::int64_t out, const float* w, float* weights);  // w is [out, 3, 3, 3]
  std::size_t (*first_gradient_tasks)(const FirstConvolution&);
  std::size_t (*first_gradient_scratch)(const FirstConvolution&);
  void (*first_gradient)(const FirstConvolution&, const float* d, const float* weights, float* d_x, std::size_t task,
                         float* scratch);

  std::size_t (*pooling_tasks)(const Pooling&);
  void (*pooling)(const Pooling&, const float* x, float* y, std::size_t task);
  // Tasks are rows of windows and what lies below the last one. x is needed for the maximum; mask: see ConvolutionData.
  std::size_t (*pooling_gradient_tasks)(const Pooling&);
  void (*pooling_gradient)(const Pooling&, const float* d, const float* x, const float* addend, const float* mask,
                           float* d_x, std::size_t task);
};

// Return the kernels for channel counts that all are multiples of `divisor` (at least 8): the fastest of this processor,
// or the set named in the environment variable IMPASTO_OPS_ISA where there is one of that name.
const Kernels& kernels_for(std::int64_t divisor);

// The names of the instruction sets that this processor has, best first, with spaces between them.
std::string instruction_sets();

}  // namespace impasto

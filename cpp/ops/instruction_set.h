// The kernels for one instruction set. A file that includes this has defined IMPASTO_SET, a name; IMPASTO_LANES; and
// IMPASTO_PANEL; and has turned the set on after every other header, whose inline functions must not use it.

namespace impasto {
namespace IMPASTO_SET {
namespace {

#include "vector.h"
#include "product.h"
#include "winograd.h"
#include "first_layer.h"
#include "pooling.h"

}  // namespace

#define IMPASTO_TEXT_OF(word) #word
#define IMPASTO_TEXT(word) IMPASTO_TEXT_OF(word)
extern const Kernels kernels;
const Kernels kernels = {
    IMPASTO_TEXT(IMPASTO_SET), LANES,
    weight_floats, transform_weights, are_transformed, convolution_tasks, convolution_scratch, convolution,
    first_tasks, first_scratch, first,
    first_gradient_weight_floats, transform_first_gradient_weights,
    first_gradient_tasks, first_gradient_scratch, first_gradient,
    pooling_tasks, pooling, pooling_gradient_tasks, pooling_gradient,
};

}  // namespace IMPASTO_SET
}  // namespace impasto

// Compiled with the real header of ONNX Runtime before it: every slot of ort_slots.hpp is where the header has it, and
// the function there takes and returns these types.
#include <cstddef>
#include <type_traits>

#include <onnxruntime_c_api.h>

#include "../src/ort_slots.hpp"

template <class Function>
struct Plain {
    using type = Function;
};
template <class Result, class... Arguments>
struct Plain<Result (*)(Arguments...) noexcept> {
    using type = Result (*)(Arguments...);
};

#define IMPASTO_CHECK(name, index, result, arguments)                                              \
    static_assert(offsetof(OrtApi, name) == (index) * sizeof(void*), #name " is in another slot"); \
    static_assert(std::is_same_v<Plain<decltype(OrtApi::name)>::type, result(*) arguments>, #name " is of another type");
IMPASTO_ORT_SLOTS(IMPASTO_CHECK)

static_assert(ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT == 1 && ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8 == 2 &&
              ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64 == 7 && ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE == 11);
static_assert(OrtDeviceAllocator == 0 && OrtMemTypeDefault == 0 && ORT_LOGGING_LEVEL_FATAL == 4);

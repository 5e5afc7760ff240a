// Compares ort.h with ONNX Runtime's own header; compiled by a test where that header is at hand, and never run.

#include <onnxruntime_c_api.h>

#include "../ort.h"

namespace ours = impasto::ort;

static_assert(ORT_API_VERSION >= ours::API_VERSION);
#define IMPASTO_CHECK_SLOT(name, number, result, arguments) \
  static_assert(offsetof(OrtApi, name) == (number) * sizeof(void*), #name);
IMPASTO_SLOTS(IMPASTO_CHECK_SLOT)

#define IMPASTO_CHECK_FIELD(name) static_assert(offsetof(OrtCustomOp, name) == offsetof(ours::CustomOp, name), #name);
IMPASTO_CHECK_FIELD(version)
IMPASTO_CHECK_FIELD(CreateKernel)
IMPASTO_CHECK_FIELD(GetName)
IMPASTO_CHECK_FIELD(GetExecutionProviderType)
IMPASTO_CHECK_FIELD(GetInputType)
IMPASTO_CHECK_FIELD(GetInputTypeCount)
IMPASTO_CHECK_FIELD(GetOutputType)
IMPASTO_CHECK_FIELD(GetOutputTypeCount)
IMPASTO_CHECK_FIELD(KernelCompute)
IMPASTO_CHECK_FIELD(KernelDestroy)
IMPASTO_CHECK_FIELD(GetInputCharacteristic)
IMPASTO_CHECK_FIELD(GetOutputCharacteristic)
IMPASTO_CHECK_FIELD(GetInputMemoryType)
IMPASTO_CHECK_FIELD(GetVariadicInputMinArity)
IMPASTO_CHECK_FIELD(GetVariadicInputHomogeneity)
IMPASTO_CHECK_FIELD(GetVariadicOutputMinArity)
IMPASTO_CHECK_FIELD(GetVariadicOutputHomogeneity)
IMPASTO_CHECK_FIELD(CreateKernelV2)
IMPASTO_CHECK_FIELD(KernelComputeV2)
IMPASTO_CHECK_FIELD(InferOutputShapeFn)
IMPASTO_CHECK_FIELD(GetStartVersion)
IMPASTO_CHECK_FIELD(GetEndVersion)
IMPASTO_CHECK_FIELD(GetMayInplace)
IMPASTO_CHECK_FIELD(ReleaseMayInplace)
IMPASTO_CHECK_FIELD(GetAliasMap)
IMPASTO_CHECK_FIELD(ReleaseAliasMap)
static_assert(sizeof(ours::CustomOp) == sizeof(OrtCustomOp));

static_assert(sizeof(ONNXTensorElementDataType) == sizeof(int) && sizeof(OrtErrorCode) == sizeof(int));
static_assert(int{ours::FAIL} == int{ORT_FAIL} && int{ours::INVALID_ARGUMENT} == int{ORT_INVALID_ARGUMENT});
static_assert(int{ours::FLOAT} == int{ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT} && int{ours::ATTRIBUTE_INT} == int{ORT_OP_ATTR_INT});
static_assert(int{ours::REQUIRED} == int{INPUT_OUTPUT_REQUIRED} && int{ours::OPTIONAL} == int{INPUT_OUTPUT_OPTIONAL});

// The parts of ONNX Runtime's C interface that the operators use, declared here because no wheel has the headers.
//
// `OrtApi` is a table of function pointers to which versions only append, so a slot's number never changes. The numbers
// and `OrtCustomOp` are those of API version 21 (onnxruntime_c_api.h of ONNX Runtime 1.21); tests/check_header.cpp compares
// them with that header.

#pragma once

#include <cstddef>
#include <cstdint>

namespace impasto::ort {

constexpr std::uint32_t API_VERSION = 21;

struct Api;                 // OrtApi
struct Status;              // OrtStatus; null is success
struct Value;               // OrtValue
struct KernelInfo;          // OrtKernelInfo
struct KernelContext;       // OrtKernelContext
struct ShapeInferContext;   // OrtShapeInferContext
struct TensorInfo;          // OrtTensorTypeAndShapeInfo
struct TypeInfo;            // OrtTypeInfo
struct OpAttr;              // OrtOpAttr
struct SessionOptions;      // OrtSessionOptions
struct CustomOpDomain;      // OrtCustomOpDomain

enum : int { FAIL = 1, INVALID_ARGUMENT = 2 };       // OrtErrorCode
enum : int { FLOAT = 1 };                            // ONNXTensorElementDataType
enum : int { REQUIRED = 0, OPTIONAL = 1 };           // OrtCustomOpInputOutputCharacteristic
enum : int { ATTRIBUTE_INT = 1 };                    // OrtOpAttrType

struct ApiBase {
  const Api* (*GetApi)(std::uint32_t version);
  const char* (*GetVersionString)();
};

// OrtCustomOp, in its order. Enumerations are ints, as in C.
struct CustomOp {
  std::uint32_t version;
  void* (*CreateKernel)(const CustomOp*, const Api*, const KernelInfo*);
  const char* (*GetName)(const CustomOp*);
  const char* (*GetExecutionProviderType)(const CustomOp*);
  int (*GetInputType)(const CustomOp*, std::size_t);
  std::size_t (*GetInputTypeCount)(const CustomOp*);
  int (*GetOutputType)(const CustomOp*, std::size_t);
  std::size_t (*GetOutputTypeCount)(const CustomOp*);
  void (*KernelCompute)(void*, KernelContext*);
  void (*KernelDestroy)(void*);
  int (*GetInputCharacteristic)(const CustomOp*, std::size_t);
  int (*GetOutputCharacteristic)(const CustomOp*, std::size_t);
  int (*GetInputMemoryType)(const CustomOp*, std::size_t);
  int (*GetVariadicInputMinArity)(const CustomOp*);
  int (*GetVariadicInputHomogeneity)(const CustomOp*);
  int (*GetVariadicOutputMinArity)(const CustomOp*);
  int (*GetVariadicOutputHomogeneity)(const CustomOp*);
  Status* (*CreateKernelV2)(const CustomOp*, const Api*, const KernelInfo*, void**);
  Status* (*KernelComputeV2)(void*, KernelContext*);
  Status* (*InferOutputShapeFn)(const CustomOp*, ShapeInferContext*);
  int (*GetStartVersion)(const CustomOp*);
  int (*GetEndVersion)(const CustomOp*);
  std::size_t (*GetMayInplace)(int**, int**);
  void (*ReleaseMayInplace)(int*, int*);
  std::size_t (*GetAliasMap)(int**, int**);
  void (*ReleaseAliasMap)(int*, int*);
};

// IMPASTO_SLOT(name, number in the table, result, arguments)
#define IMPASTO_SLOTS(SLOT)                                                                                            \
  SLOT(CreateStatus, 0, Status*, (int, const char*))                                                                   \
  SLOT(CreateCustomOpDomain, 26, Status*, (const char*, CustomOpDomain**))                                             \
  SLOT(CustomOpDomain_Add, 27, Status*, (CustomOpDomain*, const CustomOp*))                                            \
  SLOT(AddCustomOpDomain, 28, Status*, (SessionOptions*, CustomOpDomain*))                                             \
  SLOT(GetTensorMutableData, 51, Status*, (Value*, void**))                                                            \
  SLOT(CastTypeInfoToTensorInfo, 55, Status*, (const TypeInfo*, const TensorInfo**))                                   \
  SLOT(CreateTensorTypeAndShapeInfo, 57, Status*, (TensorInfo**))                                                      \
  SLOT(SetTensorElementType, 58, Status*, (TensorInfo*, int))                                                          \
  SLOT(SetDimensions, 59, Status*, (TensorInfo*, const std::int64_t*, std::size_t))                                    \
  SLOT(GetDimensionsCount, 61, Status*, (const TensorInfo*, std::size_t*))                                             \
  SLOT(GetDimensions, 62, Status*, (const TensorInfo*, std::int64_t*, std::size_t))                                    \
  SLOT(GetTensorTypeAndShape, 65, Status*, (const Value*, TensorInfo**))                                               \
  SLOT(KernelInfoGetAttribute_float, 85, Status*, (const KernelInfo*, const char*, float*))                             \
  SLOT(KernelInfoGetAttribute_int64, 86, Status*, (const KernelInfo*, const char*, std::int64_t*))                     \
  SLOT(KernelInfoGetAttribute_string, 87, Status*, (const KernelInfo*, const char*, char*, std::size_t*))               \
  SLOT(KernelContext_GetInputCount, 88, Status*, (const KernelContext*, std::size_t*))                                 \
  SLOT(KernelContext_GetInput, 90, Status*, (const KernelContext*, std::size_t, const Value**))                        \
  SLOT(KernelContext_GetOutput, 91, Status*,                                                                           \
       (KernelContext*, std::size_t, const std::int64_t*, std::size_t, Value**))                                       \
  SLOT(ReleaseStatus, 93, void, (Status*))                                                                             \
  SLOT(ReleaseTypeInfo, 98, void, (TypeInfo*))                                                                         \
  SLOT(ReleaseTensorTypeAndShapeInfo, 99, void, (TensorInfo*))                                                         \
  SLOT(ReleaseCustomOpDomain, 101, void, (CustomOpDomain*))                                                            \
  SLOT(KernelInfoGetAttributeArray_float, 162, Status*, (const KernelInfo*, const char*, float*, std::size_t*))         \
  SLOT(KernelInfoGetAttributeArray_int64, 163, Status*, (const KernelInfo*, const char*, std::int64_t*, std::size_t*))  \
  SLOT(KernelInfo_GetInputCount, 230, Status*, (const KernelInfo*, std::size_t*))                                      \
  SLOT(KernelInfo_GetInputTypeInfo, 234, Status*, (const KernelInfo*, std::size_t, TypeInfo**))                        \
  SLOT(KernelInfoGetConstantInput_tensor, 249, Status*, (const KernelInfo*, std::size_t, int*, const Value**))         \
  SLOT(ShapeInferContext_GetInputCount, 267, Status*, (const ShapeInferContext*, std::size_t*))                        \
  SLOT(ShapeInferContext_GetInputTypeShape, 268, Status*, (const ShapeInferContext*, std::size_t, TensorInfo**))       \
  SLOT(ShapeInferContext_GetAttribute, 269, Status*, (const ShapeInferContext*, const char*, const OpAttr**))          \
  SLOT(ShapeInferContext_SetOutputTypeShape, 270, Status*, (const ShapeInferContext*, std::size_t, const TensorInfo*)) \
  SLOT(ReadOpAttr, 272, Status*, (const OpAttr*, int, void*, std::size_t, std::size_t*))                               \
  SLOT(KernelContext_ParallelFor, 274, Status*,                                                                        \
       (const KernelContext*, void (*)(void*, std::size_t), std::size_t, std::size_t, void*))

#define IMPASTO_DECLARE_SLOT(name, number, result, arguments)                   \
  constexpr std::size_t number_of_##name = number;                              \
  using name##Function = result(*) arguments;                                   \
  inline name##Function name(const Api* api) {                                  \
    return reinterpret_cast<name##Function>(reinterpret_cast<void* const*>(api)[number]); \
  }
IMPASTO_SLOTS(IMPASTO_DECLARE_SLOT)

}  // namespace impasto::ort

// The slots of ONNX Runtime's function table that libimpasto uses. The table is append-only: a slot never moves
// (`static_assert(offsetof(OrtApi, ...))` in onnxruntime_c_api.cc). tests/ort_header.cpp compares this list with the
// real header.
#pragma once

// X(name, index, result, arguments)
#define IMPASTO_ORT_SLOTS(X)                                                                                           \
    X(GetErrorCode, 1, OrtErrorCode, (const OrtStatus*))                                                               \
    X(GetErrorMessage, 2, const char*, (const OrtStatus*))                                                             \
    X(CreateEnv, 3, OrtStatus*, (OrtLoggingLevel, const char*, OrtEnv**))                                              \
    X(DisableTelemetryEvents, 6, OrtStatus*, (const OrtEnv*))                                                          \
    X(CreateSession, 7, OrtStatus*, (const OrtEnv*, const char*, const OrtSessionOptions*, OrtSession**))              \
    X(Run, 9, OrtStatus*,                                                                                              \
      (OrtSession*, const OrtRunOptions*, const char* const*, const OrtValue* const*, size_t, const char* const*,      \
       size_t, OrtValue**))                                                                                            \
    X(CreateSessionOptions, 10, OrtStatus*, (OrtSessionOptions**))                                                     \
    X(DisableMemPattern, 17, OrtStatus*, (OrtSessionOptions*))                                                         \
    X(SetSessionLogSeverityLevel, 22, OrtStatus*, (OrtSessionOptions*, int))                                           \
    X(SetIntraOpNumThreads, 24, OrtStatus*, (OrtSessionOptions*, int))                                                 \
    X(SetInterOpNumThreads, 25, OrtStatus*, (OrtSessionOptions*, int))                                                 \
    X(CreateRunOptions, 39, OrtStatus*, (OrtRunOptions**))                                                             \
    X(RunOptionsSetTerminate, 46, OrtStatus*, (OrtRunOptions*))                                                        \
    X(RunOptionsUnsetTerminate, 47, OrtStatus*, (OrtRunOptions*))                                                      \
    X(CreateTensorWithDataAsOrtValue, 49, OrtStatus*,                                                                  \
      (const OrtMemoryInfo*, void*, size_t, const int64_t*, size_t, ONNXTensorElementDataType, OrtValue**))            \
    X(GetTensorMutableData, 51, OrtStatus*, (OrtValue*, void**))                                                       \
    X(GetTensorElementType, 60, OrtStatus*, (const OrtTensorTypeAndShapeInfo*, ONNXTensorElementDataType*))            \
    X(GetTensorShapeElementCount, 64, OrtStatus*, (const OrtTensorTypeAndShapeInfo*, size_t*))                         \
    X(GetTensorTypeAndShape, 65, OrtStatus*, (const OrtValue*, OrtTensorTypeAndShapeInfo**))                           \
    X(CreateCpuMemoryInfo, 69, OrtStatus*, (OrtAllocatorType, OrtMemType, OrtMemoryInfo**))                            \
    X(ReleaseStatus, 93, void, (OrtStatus*))                                                                           \
    X(ReleaseMemoryInfo, 94, void, (OrtMemoryInfo*))                                                                   \
    X(ReleaseSession, 95, void, (OrtSession*))                                                                         \
    X(ReleaseValue, 96, void, (OrtValue*))                                                                             \
    X(ReleaseRunOptions, 97, void, (OrtRunOptions*))                                                                   \
    X(ReleaseTensorTypeAndShapeInfo, 99, void, (OrtTensorTypeAndShapeInfo*))                                           \
    X(ReleaseSessionOptions, 100, void, (OrtSessionOptions*))                                                          \
    X(AddSessionConfigEntry, 130, OrtStatus*, (OrtSessionOptions*, const char*, const char*))                          \
    X(RunWithBinding, 133, OrtStatus*, (OrtSession*, const OrtRunOptions*, const OrtIoBinding*))                       \
    X(CreateIoBinding, 134, OrtStatus*, (OrtSession*, OrtIoBinding**))                                                 \
    X(ReleaseIoBinding, 135, void, (OrtIoBinding*))                                                                    \
    X(BindInput, 136, OrtStatus*, (OrtIoBinding*, const char*, const OrtValue*))                                       \
    X(BindOutput, 137, OrtStatus*, (OrtIoBinding*, const char*, const OrtValue*))                                      \
    X(SessionOptionsAppendExecutionProvider_TensorRT_V2, 170, OrtStatus*,                                              \
      (OrtSessionOptions*, const OrtTensorRTProviderOptionsV2*))                                                       \
    X(CreateTensorRTProviderOptions, 171, OrtStatus*, (OrtTensorRTProviderOptionsV2**))                                \
    X(ReleaseTensorRTProviderOptions, 174, void, (OrtTensorRTProviderOptionsV2*))                                      \
    X(SessionOptionsAppendExecutionProvider_CUDA_V2, 204, OrtStatus*,                                                  \
      (OrtSessionOptions*, const OrtCUDAProviderOptionsV2*))                                                           \
    X(CreateCUDAProviderOptions, 205, OrtStatus*, (OrtCUDAProviderOptionsV2**))                                        \
    X(UpdateCUDAProviderOptions, 206, OrtStatus*,                                                                      \
      (OrtCUDAProviderOptionsV2*, const char* const*, const char* const*, size_t))                                     \
    X(ReleaseCUDAProviderOptions, 208, void, (OrtCUDAProviderOptionsV2*))

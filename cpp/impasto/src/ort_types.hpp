// The types of ONNX Runtime's C interface, as far as libimpasto uses them, and its table as a struct of functions.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ort_slots.hpp"

namespace impasto_core::ort {

struct OrtStatus;
struct OrtEnv;
struct OrtSession;
struct OrtSessionOptions;
struct OrtRunOptions;
struct OrtValue;
struct OrtMemoryInfo;
struct OrtIoBinding;
struct OrtTensorTypeAndShapeInfo;
struct OrtCUDAProviderOptionsV2;
struct OrtTensorRTProviderOptionsV2;

enum OrtErrorCode : int {};
enum OrtLoggingLevel : int { kFatal = 4 };
enum OrtAllocatorType : int { kDeviceAllocator = 0 };
enum OrtMemType : int { kDefaultMemory = 0 };
enum ONNXTensorElementDataType : int { kFloat = 1, kUint8 = 2, kInt64 = 7, kDouble = 11 };

// What the library exports as `OrtGetApiBase`.
struct ApiBase {
    const void* (*get_api)(uint32_t version);
    const char* (*get_version_string)();
};

// The functions, read once from their slots.
struct Functions {
#define IMPASTO_DECLARE(name, index, result, arguments) result(*name) arguments;
    IMPASTO_ORT_SLOTS(IMPASTO_DECLARE)
#undef IMPASTO_DECLARE

    explicit Functions(const void* table) {
        const auto* slots = static_cast<void* const*>(table);
#define IMPASTO_READ(name, index, result, arguments) name = reinterpret_cast<result(*) arguments>(slots[index]);
        IMPASTO_ORT_SLOTS(IMPASTO_READ)
#undef IMPASTO_READ
    }
};

}  // namespace impasto_core::ort

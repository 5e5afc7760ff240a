// The operators as ONNX Runtime sees them, in the domain `impasto`. No exception leaves this file.

#include <array>
#include <exception>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "kernel.h"
#include "ort.h"
#include "shapes.h"

#if defined(_WIN32)
#define IMPASTO_EXPORT __declspec(dllexport)
#else
#define IMPASTO_EXPORT __attribute__((visibility("default")))
#endif

namespace impasto {

namespace {

constexpr const char* DOMAIN_NAME = "impasto";
constexpr int VERSION = 2;  // of the domain: what export/operator_domain.py writes

const ort::Api* api = nullptr;  // the same table for every session of a process

struct Definition : ort::CustomOp {
  Operator op;
};

// A call of ONNX Runtime's that failed.
struct Failed {
  ort::Status* status;
};

// A model that the operators do not accept.
struct Refused : std::runtime_error {
  Refused(Operator op, const std::string& error)
      : std::runtime_error(std::string("impasto.") + name_of(op) + ": " + error) {}
};

void check(ort::Status* status) {
  if (status) throw Failed{status};
}

ort::Status* status_of(int code, const std::string& text) { return ort::CreateStatus(api)(code, text.c_str()); }

// Run `body`, and return what it throws as a status.
template <typename Body>
ort::Status* guarded(const Body& body) {
  try {
    return body();
  } catch (const Failed& failed) {
    return failed.status;
  } catch (const Refused& error) {
    return status_of(ort::INVALID_ARGUMENT, error.what());
  } catch (const std::bad_alloc&) {
    return status_of(ort::FAIL, "out of memory");
  } catch (const std::exception& error) {
    return status_of(ort::FAIL, error.what());
  } catch (...) {
    return status_of(ort::FAIL, "unknown error");
  }
}

Shape shape_of(const ort::TensorInfo* info) {
  std::size_t axes = 0;
  check(ort::GetDimensionsCount(api)(info, &axes));
  Shape shape(axes);
  check(ort::GetDimensions(api)(info, shape.data(), axes));
  return shape;
}

bool is_known(const Shape& shape) {
  for (const std::int64_t size : shape)
    if (size < 0) return false;
  return true;
}

// Whether a call succeeded; the runtime's account of a failure is not needed.
bool succeeded(ort::Status* status) {
  if (status) ort::ReleaseStatus(api)(status);
  return !status;
}

// What a node's attribute is: an integer, something else, or not there.
struct Given {
  bool present, integer;
  std::int64_t value;
};

Given given(const ort::KernelInfo* info, const char* name) {
  std::int64_t value = 0;
  if (succeeded(ort::KernelInfoGetAttribute_int64(api)(info, name, &value))) return {true, true, value};
  float number = 0;
  std::size_t length = 0;
  const bool other = succeeded(ort::KernelInfoGetAttribute_float(api)(info, name, &number)) ||
                     succeeded(ort::KernelInfoGetAttribute_string(api)(info, name, nullptr, &length)) ||
                     succeeded(ort::KernelInfoGetAttributeArray_int64(api)(info, name, nullptr, &length)) ||
                     succeeded(ort::KernelInfoGetAttributeArray_float(api)(info, name, nullptr, &length));
  return {other, false, 0};
}

Given given(const ort::ShapeInferContext* context, const char* name) {
  const ort::OpAttr* held = nullptr;
  if (!succeeded(ort::ShapeInferContext_GetAttribute(api)(context, name, &held)) || !held) return {false, false, 0};
  std::int64_t value = 0;
  std::size_t size = 0;
  return {true, succeeded(ort::ReadOpAttr(api)(held, ort::ATTRIBUTE_INT, &value, sizeof value, &size)), value};
}

// Read the attributes of a node: all that its operator has, and no other. Throws Refused.
template <typename Source>
Attributes read_attributes(Operator op, const Source* source) {
  Attributes found;
  for (const Attribute& attribute : ATTRIBUTES) {
    const Given is = given(source, attribute.name);
    if (is.present && !has(op, attribute))
      throw Refused(op, std::string("it has no attribute ") + attribute.name + "; allowed are " + attributes_of(op));
    if (!has(op, attribute)) continue;
    if (!is.integer)
      throw Refused(op, std::string("the attribute ") + attribute.name + (is.present ? " is no integer" : " is missing") +
                            "; integers are needed for " + attributes_of(op));
    found.*attribute.place = is.value;
  }
  return found;
}

// The shape of the result. Throws Refused.
Shape inferred(Operator op, const Attributes& attributes, const std::vector<Shape>& shapes) {
  Inferred found = infer(op, attributes, shapes);
  if (!found.error.empty()) throw Refused(op, found.error);
  return std::move(found.shape);
}

// The static shape of a node's input; empty where it is not known.
Shape static_shape(const ort::KernelInfo* info, std::size_t index) {
  ort::TypeInfo* type = nullptr;
  check(ort::KernelInfo_GetInputTypeInfo(api)(info, index, &type));
  const std::unique_ptr<ort::TypeInfo, ort::ReleaseTypeInfoFunction> owner(type, ort::ReleaseTypeInfo(api));
  const ort::TensorInfo* tensor = nullptr;
  check(ort::CastTypeInfoToTensorInfo(api)(type, &tensor));
  return tensor ? shape_of(tensor) : Shape{};
}

struct Tensor {
  const float* data;
  Shape shape;
};

Tensor tensor_of(const ort::Value* value) {
  ort::TensorInfo* info = nullptr;
  check(ort::GetTensorTypeAndShape(api)(value, &info));
  const std::unique_ptr<ort::TensorInfo, ort::ReleaseTensorTypeAndShapeInfoFunction> owner(
      info, ort::ReleaseTensorTypeAndShapeInfo(api));
  void* data = nullptr;
  check(ort::GetTensorMutableData(api)(const_cast<ort::Value*>(value), &data));
  return {static_cast<const float*>(data), shape_of(info)};
}

ort::Status* create(const ort::CustomOp* self, const ort::Api*, const ort::KernelInfo* info, void** kernel) {
  return guarded([&]() -> ort::Status* {
    const Operator op = static_cast<const Definition*>(self)->op;
    const Attributes attributes = read_attributes(op, info);
    std::size_t count = 0;
    check(ort::KernelInfo_GetInputCount(api)(info, &count));
    std::vector<Shape> shapes(count);
    bool known = true;
    for (std::size_t i = 0; i < count; i++) {
      shapes[i] = static_shape(info, i);
      known = known && !shapes[i].empty() && is_known(shapes[i]);
    }
    const bool weighted = op != Operator::pooling && op != Operator::pooling_gradient;
    Tensor weights{nullptr, {}};
    if (weighted) {
      int constant = 0;
      const ort::Value* value = nullptr;
      check(ort::KernelInfoGetConstantInput_tensor(api)(info, 1, &constant, &value));
      if (!constant || !value) throw Refused(op, "the weights, input 1, must be a constant");
      weights = tensor_of(value);
      shapes[1] = weights.shape;
    }
    if (!known) throw Refused(op, "the shapes of its inputs must be static");
    inferred(op, attributes, shapes);
    *kernel = new Kernel(op, attributes, weights.data, weights.shape);
    return nullptr;
  });
}

class RuntimeTasks final : public Tasks {
 public:
  explicit RuntimeTasks(const ort::KernelContext* context) : context_(context) {}
  void run(std::size_t count, Run task, void* self) override {
    if (count == 1) task(self, 0);
    else check(ort::KernelContext_ParallelFor(api)(context_, task, count, 0, self));
  }

 private:
  const ort::KernelContext* context_;
};

ort::Status* compute(void* self, ort::KernelContext* context) {
  return guarded([&]() -> ort::Status* {
    const Kernel& kernel = *static_cast<const Kernel*>(self);
    std::size_t count = 0;
    check(ort::KernelContext_GetInputCount(api)(context, &count));
    std::vector<const float*> data(count);
    std::vector<Shape> shapes(count);
    for (std::size_t i = 0; i < count; i++) {
      const ort::Value* value = nullptr;
      check(ort::KernelContext_GetInput(api)(context, i, &value));
      if (!value) throw Refused(kernel.op, "input " + std::to_string(i) + " is missing");
      Tensor tensor = tensor_of(value);
      data[i] = tensor.data;
      shapes[i] = std::move(tensor.shape);
    }
    const Shape shape = inferred(kernel.op, kernel.attributes, shapes);
    ort::Value* result = nullptr;
    check(ort::KernelContext_GetOutput(api)(context, 0, shape.data(), shape.size(), &result));
    void* to = nullptr;
    check(ort::GetTensorMutableData(api)(result, &to));
    RuntimeTasks tasks(context);
    kernel.compute(data, shapes, static_cast<float*>(to), tasks);
    return nullptr;
  });
}

ort::Status* infer_shape(const ort::CustomOp* self, ort::ShapeInferContext* context) {
  return guarded([&]() -> ort::Status* {
    const Operator op = static_cast<const Definition*>(self)->op;
    const Attributes attributes = read_attributes(op, context);
    std::size_t count = 0;
    check(ort::ShapeInferContext_GetInputCount(api)(context, &count));
    std::vector<Shape> shapes(count);
    for (std::size_t i = 0; i < count; i++) {
      ort::TensorInfo* info = nullptr;  // the context owns it
      check(ort::ShapeInferContext_GetInputTypeShape(api)(context, i, &info));
      shapes[i] = shape_of(info);
      if (shapes[i].empty() || !is_known(shapes[i])) return nullptr;  // `create` refuses what stays unknown
    }
    const Shape shape = inferred(op, attributes, shapes);
    ort::TensorInfo* result = nullptr;
    check(ort::CreateTensorTypeAndShapeInfo(api)(&result));
    const std::unique_ptr<ort::TensorInfo, ort::ReleaseTensorTypeAndShapeInfoFunction> owner(
        result, ort::ReleaseTensorTypeAndShapeInfo(api));
    check(ort::SetTensorElementType(api)(result, ort::FLOAT));
    check(ort::SetDimensions(api)(result, shape.data(), shape.size()));
    check(ort::ShapeInferContext_SetOutputTypeShape(api)(context, 0, result));
    return nullptr;
  });
}

Operator op_of(const ort::CustomOp* self) { return static_cast<const Definition*>(self)->op; }

Definition define(Operator op) {
  Definition made{};
  made.op = op;
  made.version = ort::API_VERSION;
  made.GetName = [](const ort::CustomOp* self) { return name_of(op_of(self)); };
  made.GetExecutionProviderType = [](const ort::CustomOp*) -> const char* { return "CPUExecutionProvider"; };
  made.GetInputTypeCount = [](const ort::CustomOp* self) { return most_inputs(op_of(self)); };
  made.GetInputType = [](const ort::CustomOp*, std::size_t) -> int { return ort::FLOAT; };
  made.GetOutputTypeCount = [](const ort::CustomOp*) -> std::size_t { return 1; };
  made.GetOutputType = [](const ort::CustomOp*, std::size_t) -> int { return ort::FLOAT; };
  made.GetInputCharacteristic = [](const ort::CustomOp* self, std::size_t index) -> int {
    return index < least_inputs(op_of(self)) ? ort::REQUIRED : ort::OPTIONAL;
  };
  made.GetOutputCharacteristic = [](const ort::CustomOp*, std::size_t) -> int { return ort::REQUIRED; };
  made.GetInputMemoryType = [](const ort::CustomOp*, std::size_t) { return 0; };
  made.GetVariadicInputMinArity = [](const ort::CustomOp*) { return 1; };
  made.GetVariadicInputHomogeneity = [](const ort::CustomOp*) { return 1; };
  made.GetVariadicOutputMinArity = [](const ort::CustomOp*) { return 1; };
  made.GetVariadicOutputHomogeneity = [](const ort::CustomOp*) { return 1; };
  made.GetStartVersion = [](const ort::CustomOp*) { return VERSION; };
  made.GetEndVersion = [](const ort::CustomOp*) { return VERSION; };
  made.CreateKernelV2 = create;
  made.KernelComputeV2 = compute;
  made.KernelDestroy = [](void* kernel) { delete static_cast<Kernel*>(kernel); };
  made.InferOutputShapeFn = infer_shape;
  return made;
}

}  // namespace

}  // namespace impasto

// Called by ONNX Runtime for every session that is to know the operators.
extern "C" IMPASTO_EXPORT impasto::ort::Status* RegisterCustomOps(impasto::ort::SessionOptions* options,
                                                                  const impasto::ort::ApiBase* base) {
  using namespace impasto;
  const ort::Api* found = base->GetApi(ort::API_VERSION);
  if (!found) return nullptr;  // older than 1.21, which has no way to say so; a model with the operators is refused then
  static const bool once = (api = found, true);
  (void)once;
  return guarded([&]() -> ort::Status* {
    static const std::array<Definition, 6> definitions = {
        define(Operator::convolution), define(Operator::convolution_gradient), define(Operator::first),
        define(Operator::first_gradient), define(Operator::pooling), define(Operator::pooling_gradient)};
    // Every session that uses the domain needs it until its end, so it lives as long as the library.
    static ort::CustomOpDomain* const domain = [] {
      ort::CustomOpDomain* made = nullptr;
      check(ort::CreateCustomOpDomain(api)(DOMAIN_NAME, &made));
      std::unique_ptr<ort::CustomOpDomain, ort::ReleaseCustomOpDomainFunction> owner(made, ort::ReleaseCustomOpDomain(api));
      for (const Definition& definition : definitions) check(ort::CustomOpDomain_Add(api)(made, &definition));
      return owner.release();
    }();
    return ort::AddCustomOpDomain(api)(options, domain);
  });
}

// The version of the domain, so that graphs of another one are not given to this library.
extern "C" IMPASTO_EXPORT std::int64_t impasto_ops_version() { return impasto::VERSION; }

// The instruction sets that this processor has, best first: "avx512 avx2 portable".
extern "C" IMPASTO_EXPORT const char* impasto_ops_instruction_sets() {
  static const std::string names = impasto::instruction_sets();
  return names.c_str();
}

// The instruction set that an operator of so many channels uses, for reports.
extern "C" IMPASTO_EXPORT const char* impasto_ops_instruction_set(std::int64_t channels) {
  return impasto::kernels_for(channels % 16 ? 8 : 16).name;
}

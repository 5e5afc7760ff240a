#include "runtime.hpp"

#include <dlfcn.h>
#include <glob.h>
#include <link.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "failure.hpp"

namespace impasto_core {
namespace {

constexpr unsigned kMinimum = 21;  // ONNX Runtime 1.21
constexpr std::size_t kAlignment = 64;
constexpr int kQuiet = 4;  // fatal only: what matters comes back as a status

struct Loaded {
    void* library = nullptr;
    std::string path;
};

// Return the file of a library of that name that the process has loaded; "" if there is none.
std::string loaded_path() {
    std::string found;
    dl_iterate_phdr(
        [](dl_phdr_info* info, std::size_t, void* data) {
            const char* name = info->dlpi_name;
            const char* file = name == nullptr ? nullptr : std::strrchr(name, '/');
            if (file == nullptr || std::strncmp(file, "/libonnxruntime.so", 18) != 0) return 0;
            *static_cast<std::string*>(data) = name;
            return 1;
        },
        &found);
    return found;
}

// Return the libraries of the wheels in a Python environment, whose files carry their version.
std::vector<std::string> in_wheels() {
    std::vector<std::string> found;
    for (const char* variable : {"VIRTUAL_ENV", "CONDA_PREFIX"}) {
        const char* prefix = std::getenv(variable);
        if (prefix == nullptr) continue;
        const std::string pattern = std::string(prefix) + "/lib/python3*/site-packages/onnxruntime/capi/libonnxruntime.so.*";
        glob_t files{};
        if (glob(pattern.c_str(), 0, nullptr, &files) == 0)
            for (std::size_t i = 0; i < files.gl_pathc; ++i) found.emplace_back(files.gl_pathv[i]);
        globfree(&files);
    }
    return found;
}

Loaded opened(const std::string& path) {
    setenv("ORT_DISABLE_TELEMETRY", "1", 0);  // read once, while the library is loaded
    void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    return {library, path};
}

Loaded demanded(const std::string& path) {
    const Loaded found = opened(path);
    if (found.library == nullptr) {
        const char* why = dlerror();
        throw Failure(IMPASTO_NO_RUNTIME, "cannot load ONNX Runtime from " + path + ": " + (why == nullptr ? "unknown" : why));
    }
    return found;
}

Loaded find(const std::string& path) {
    if (!path.empty()) return demanded(path);
    const char* variable = std::getenv("IMPASTO_ONNXRUNTIME");
    if (variable != nullptr && *variable != '\0') return demanded(variable);
    const std::string loaded = loaded_path();
    if (!loaded.empty()) return demanded(loaded);
    std::vector<std::string> names = {"libonnxruntime.so.1", "libonnxruntime.so"};
    for (const std::string& wheel : in_wheels()) names.push_back(wheel);
    for (const std::string& name : names) {
        const Loaded found = opened(name);
        if (found.library != nullptr) return found;
    }
    throw Failure(IMPASTO_NO_RUNTIME,
                  "ONNX Runtime was not found: give the path of its library, libonnxruntime.so, or set IMPASTO_ONNXRUNTIME");
}

// Return the second number of a version such as "1.31.1"; 0 if it has none.
unsigned minor_of(const std::string& version) {
    if (version.compare(0, 2, "1.") != 0) return 0;
    return static_cast<unsigned>(std::strtoul(version.c_str() + 2, nullptr, 10));
}

std::size_t bytes_of(const std::string& dtype) {
    if (dtype == "uint8") return 1;
    return dtype == "float32" ? 4 : 8;
}

ort::ONNXTensorElementDataType kind_of(const std::string& dtype) {
    if (dtype == "uint8") return ort::kUint8;
    if (dtype == "float32") return ort::kFloat;
    return dtype == "int64" ? ort::kInt64 : ort::kDouble;
}

// The text of a status on one line, cut to a length.
std::string one_line(const char* text) {
    std::string found(text == nullptr ? "" : text);
    std::replace(found.begin(), found.end(), '\n', ' ');
    return found.substr(0, 300);
}

}  // namespace

Runtime::Runtime(const void* table, std::string version, std::string path)
    : api(table), version(std::move(version)), path(std::move(path)) {
    check(api.CreateEnv(ort::kFatal, "impasto", &env), "start ONNX Runtime");
    check(api.DisableTelemetryEvents(env), "turn the telemetry of ONNX Runtime off");
}

std::shared_ptr<Runtime> Runtime::get(const std::string& path) {
    static std::mutex mutex;
    // Never freed: the runtime's threads may outlive the objects that are destroyed at exit.
    static auto* const present = new std::shared_ptr<Runtime>();
    const std::lock_guard<std::mutex> lock(mutex);
    if (*present != nullptr) {
        if (!path.empty() && path != (*present)->path)
            throw Failure(IMPASTO_NO_RUNTIME, "the process uses ONNX Runtime from " + (*present)->path +
                                                  " already, and a process has one: leave " + path + " out");
        return *present;
    }
    const Loaded found = find(path);
    void* entry = dlsym(found.library, "OrtGetApiBase");
    if (entry == nullptr)
        throw Failure(IMPASTO_NO_RUNTIME, found.path + " is not ONNX Runtime: it has no function OrtGetApiBase");
    const auto* base = reinterpret_cast<const ort::ApiBase* (*)()>(entry)();
    const std::string version = base->get_version_string();
    const unsigned minor = minor_of(version);
    const void* table = minor < kMinimum ? nullptr : base->get_api(kMinimum);
    if (table == nullptr)
        throw Failure(IMPASTO_NO_RUNTIME,
                      "ONNX Runtime " + version + " at " + found.path + " is too old: 1." + std::to_string(kMinimum) + " or later is needed");
    *present = std::shared_ptr<Runtime>(new Runtime(table, version, found.path));
    return *present;
}

void Runtime::check(ort::OrtStatus* status, const std::string& doing) const {
    if (status == nullptr) return;
    const std::string why = one_line(api.GetErrorMessage(status));
    api.ReleaseStatus(status);
    throw Failure(IMPASTO_RUNTIME_FAILED, "cannot " + doing + ": " + why);
}

void Tensor::Free::operator()(void* memory) const { std::free(memory); }

Tensor::Tensor(const Runtime& runtime, std::string dtype, std::vector<std::int64_t> shape)
    : dtype_(std::move(dtype)), value_(nullptr, runtime.api.ReleaseValue) {
    for (const std::int64_t side : shape) count_ *= static_cast<std::size_t>(side);
    bytes_ = count_ * bytes_of(dtype_);
    memory_.reset(std::aligned_alloc(kAlignment, (bytes_ + kAlignment - 1) / kAlignment * kAlignment));
    if (!memory_) throw std::bad_alloc();
    std::memset(memory_.get(), 0, bytes_);
    ort::OrtMemoryInfo* place = nullptr;
    runtime.check(runtime.api.CreateCpuMemoryInfo(ort::kDeviceAllocator, ort::kDefaultMemory, &place), "describe memory");
    const Handle<ort::OrtMemoryInfo> info(place, runtime.api.ReleaseMemoryInfo);
    ort::OrtValue* value = nullptr;
    runtime.check(runtime.api.CreateTensorWithDataAsOrtValue(info.get(), memory_.get(), bytes_, shape.data(), shape.size(),
                                                             kind_of(dtype_), &value),
                  "make a tensor");
    value_.reset(value);
}

float* Tensor::floats() { return static_cast<float*>(memory_.get()); }
double* Tensor::doubles() { return static_cast<double*>(memory_.get()); }

namespace {

void append_provider(const Runtime& runtime, ort::OrtSessionOptions* options, const std::string& name) {
    const std::string doing = "use provider " + name;
    if (name == "cuda") {
        ort::OrtCUDAProviderOptionsV2* made = nullptr;
        runtime.check(runtime.api.CreateCUDAProviderOptions(&made), doing);
        const Handle<ort::OrtCUDAProviderOptionsV2> cuda(made, runtime.api.ReleaseCUDAProviderOptions);
        const char* keys[] = {"use_tf32"};
        const char* values[] = {"0"};
        runtime.check(runtime.api.UpdateCUDAProviderOptions(cuda.get(), keys, values, 1), doing);
        runtime.check(runtime.api.SessionOptionsAppendExecutionProvider_CUDA_V2(options, cuda.get()), doing);
    } else if (name == "tensorrt") {
        ort::OrtTensorRTProviderOptionsV2* made = nullptr;
        runtime.check(runtime.api.CreateTensorRTProviderOptions(&made), doing);
        const Handle<ort::OrtTensorRTProviderOptionsV2> engine(made, runtime.api.ReleaseTensorRTProviderOptions);
        runtime.check(runtime.api.SessionOptionsAppendExecutionProvider_TensorRT_V2(options, engine.get()), doing);
    }
}

}  // namespace

Session::Session(std::shared_ptr<Runtime> runtime, const std::string& file, std::uint32_t threads, const std::string& provider)
    : runtime_(std::move(runtime)), file_(file), session_(nullptr, runtime_->api.ReleaseSession) {
    const auto& api = runtime_->api;
    ort::OrtSessionOptions* made = nullptr;
    runtime_->check(api.CreateSessionOptions(&made), "make options");
    const Handle<ort::OrtSessionOptions> options(made, api.ReleaseSessionOptions);
    runtime_->check(api.SetSessionLogSeverityLevel(options.get(), kQuiet), "set the log's level");
    runtime_->check(api.SetIntraOpNumThreads(options.get(), static_cast<int>(threads)), "set the threads");
    runtime_->check(api.SetInterOpNumThreads(options.get(), 1), "set the threads");
    // A planned layout comes on top of the arena that the first run grew.
    runtime_->check(api.DisableMemPattern(options.get()), "set the memory's layout");
    // Threads that go on waiting in a loop after a run hold the cores that the other session needs.
    runtime_->check(api.AddSessionConfigEntry(options.get(), "session.force_spinning_stop", "1"), "set the threads");
    append_provider(*runtime_, options.get(), provider);
    ort::OrtSession* session = nullptr;
    runtime_->check(api.CreateSession(runtime_->env, file.c_str(), options.get(), &session), "open " + file);
    session_.reset(session);
}

std::vector<std::vector<float>> Session::run(const char* input, const ort::OrtValue* value, const std::vector<std::string>& outputs,
                                             const ort::OrtRunOptions* options) {
    const auto& api = runtime_->api;
    std::vector<const char*> names;
    for (const std::string& name : outputs) names.push_back(name.c_str());
    std::vector<ort::OrtValue*> raw(outputs.size(), nullptr);
    runtime_->check(api.Run(session_.get(), options, &input, &value, 1, names.data(), names.size(), raw.data()), "run " + file_);
    std::vector<Handle<ort::OrtValue>> values;
    for (ort::OrtValue* one : raw) values.emplace_back(one, api.ReleaseValue);
    std::vector<std::vector<float>> found;
    for (std::size_t i = 0; i < values.size(); ++i) {
        const auto& one = values[i];
        ort::OrtTensorTypeAndShapeInfo* info = nullptr;
        runtime_->check(api.GetTensorTypeAndShape(one.get(), &info), "read a result of " + file_);
        const Handle<ort::OrtTensorTypeAndShapeInfo> held(info, api.ReleaseTensorTypeAndShapeInfo);
        ort::ONNXTensorElementDataType type{};
        runtime_->check(api.GetTensorElementType(info, &type), "read a result of " + file_);
        if (type != ort::kFloat) throw Failure(IMPASTO_BAD_BUNDLE, "damaged bundle: " + file_ + " gives " + outputs[i] + " in another type than float32");
        std::size_t count = 0;
        runtime_->check(api.GetTensorShapeElementCount(info, &count), "read a result of " + file_);
        void* data = nullptr;
        runtime_->check(api.GetTensorMutableData(one.get(), &data), "read a result of " + file_);
        found.emplace_back(static_cast<float*>(data), static_cast<float*>(data) + count);
    }
    return found;
}

Binding::Binding(const Session& session) : session_(session), binding_(nullptr, session.runtime().api.ReleaseIoBinding) {
    ort::OrtIoBinding* made = nullptr;
    session.runtime().check(session.runtime().api.CreateIoBinding(session.get(), &made), "bind " + session.file());
    binding_.reset(made);
}

void Binding::input(const std::string& name, const Tensor& tensor) {
    const Runtime& runtime = session_.runtime();
    runtime.check(runtime.api.BindInput(binding_.get(), name.c_str(), tensor.value()), "bind " + name + " of " + session_.file());
}

void Binding::output(const std::string& name, const Tensor& tensor) {
    const Runtime& runtime = session_.runtime();
    runtime.check(runtime.api.BindOutput(binding_.get(), name.c_str(), tensor.value()), "bind " + name + " of " + session_.file());
}

void Binding::run(const ort::OrtRunOptions* options, bool* failed, std::string* why) const {
    const Runtime& runtime = session_.runtime();
    ort::OrtStatus* status = runtime.api.RunWithBinding(session_.get(), options, binding_.get());
    if (status != nullptr && failed != nullptr) {
        *failed = true;
        if (why != nullptr) *why = one_line(runtime.api.GetErrorMessage(status));
        runtime.api.ReleaseStatus(status);
        return;
    }
    runtime.check(status, "run " + session_.file());
}

Termination::Termination(const Runtime& runtime) : runtime_(runtime), options_(nullptr, runtime.api.ReleaseRunOptions) {
    ort::OrtRunOptions* made = nullptr;
    runtime.check(runtime.api.CreateRunOptions(&made), "make run options");
    options_.reset(made);
}

void Termination::request() {
    const std::lock_guard<std::mutex> lock(mutex_);
    requested_ = true;
    ort::OrtStatus* status = runtime_.api.RunOptionsSetTerminate(options_.get());
    if (status != nullptr) runtime_.api.ReleaseStatus(status);  // the flag ends the run after the evaluation
}

bool Termination::take() {
    const std::lock_guard<std::mutex> lock(mutex_);
    const bool had = requested_;
    requested_ = false;
    if (had) {
        ort::OrtStatus* status = runtime_.api.RunOptionsUnsetTerminate(options_.get());
        if (status != nullptr) runtime_.api.ReleaseStatus(status);
    }
    return had;
}

bool Termination::requested() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return requested_;
}

}  // namespace impasto_core

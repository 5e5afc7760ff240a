// ONNX Runtime: found, loaded once for the process, and never unloaded.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "ort_types.hpp"

namespace impasto_core {

class Runtime {
public:
    // Return the process's runtime; the first call loads it. Throws Failure where it is not found, is too old, or is
    // another one than the process has already.
    static std::shared_ptr<Runtime> get(const std::string& path);

    // Throw Failure if a status is an error; frees the status.
    void check(ort::OrtStatus* status, const std::string& doing) const;

    ort::Functions api;
    std::string version;
    std::string path;
    ort::OrtEnv* env = nullptr;

private:
    Runtime(const void* table, std::string version, std::string path);
};

// A handle of ONNX Runtime with its own function to free it.
template <class T>
using Handle = std::unique_ptr<T, void (*)(T*)>;

// A tensor in the host's memory, aligned to 64 bytes.
class Tensor {
public:
    Tensor(const Runtime& runtime, std::string dtype, std::vector<std::int64_t> shape);

    float* floats();
    double* doubles();
    void* data() { return memory_.get(); }
    std::size_t bytes() const { return bytes_; }
    std::size_t count() const { return count_; }
    ort::OrtValue* value() const { return value_.get(); }

private:
    struct Free {
        void operator()(void* memory) const;
    };
    std::string dtype_;
    std::size_t count_ = 1, bytes_ = 0;
    std::unique_ptr<void, Free> memory_;
    Handle<ort::OrtValue> value_;
};

// A graph that is open.
class Session {
public:
    // Throws Failure with the file's name.
    Session(std::shared_ptr<Runtime> runtime, const std::string& file, std::uint32_t threads, const std::string& provider);

    // Run once on one input; return the float32 outputs of those names. The options may end the run, which then throws.
    std::vector<std::vector<float>> run(const char* input, const ort::OrtValue* value, const std::vector<std::string>& outputs,
                                        const ort::OrtRunOptions* options);

    const Runtime& runtime() const { return *runtime_; }
    ort::OrtSession* get() const { return session_.get(); }
    const std::string& file() const { return file_; }

private:
    std::shared_ptr<Runtime> runtime_;
    std::string file_;
    Handle<ort::OrtSession> session_;
};

// Inputs and outputs of a session, bound once.
class Binding {
public:
    explicit Binding(const Session& session);
    void input(const std::string& name, const Tensor& tensor);
    void output(const std::string& name, const Tensor& tensor);

    // Throws Failure, unless `failed` is given: it is then set.
    void run(const ort::OrtRunOptions* options, bool* failed = nullptr, std::string* why = nullptr) const;

private:
    const Session& session_;
    Handle<ort::OrtIoBinding> binding_;
};

// Run options that other threads may set to terminate.
class Termination {
public:
    explicit Termination(const Runtime& runtime);

    void request();        // any thread
    bool take();           // return whether there was a request, and forget it
    bool requested() const;
    const ort::OrtRunOptions* options() const { return options_.get(); }

private:
    const Runtime& runtime_;
    mutable std::mutex mutex_;
    bool requested_ = false;
    Handle<ort::OrtRunOptions> options_;
};

}  // namespace impasto_core

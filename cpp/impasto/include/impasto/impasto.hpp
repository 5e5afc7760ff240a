// libimpasto for C++17: handles that free themselves, and exceptions. Header-only; link with libimpasto.
#ifndef IMPASTO_HPP
#define IMPASTO_HPP

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "impasto/impasto.h"

namespace impasto {

// What a function of the library refused or failed at.
class Error : public std::runtime_error {
public:
    Error(impasto_code code, const std::string& message) : std::runtime_error(message), code_(code) {}
    impasto_code code() const noexcept { return code_; }

private:
    impasto_code code_;
};

// A view of samples in the caller's memory, as std::span is one in C++20.
template <class T>
class Span {
public:
    constexpr Span(T* data, std::size_t size) noexcept : data_(data), size_(size) {}
    template <class Container>
    constexpr Span(Container& container) noexcept : data_(container.data()), size_(container.size()) {}
    constexpr T* data() const noexcept { return data_; }
    constexpr std::size_t size() const noexcept { return size_; }

private:
    T* data_;
    std::size_t size_;
};

namespace detail {

template <class T>
struct Format;
template <>
struct Format<std::uint8_t> {
    static constexpr std::uint32_t value = IMPASTO_U8;
};
template <>
struct Format<float> {
    static constexpr std::uint32_t value = IMPASTO_F32;
};

inline impasto_code check(impasto_code code, impasto_error* error) {
    if (code == IMPASTO_OK || code == IMPASTO_STOPPED) return code;
    const std::string message = impasto_error_message(error);
    impasto_error_free(error);
    throw Error(code, message);
}

}  // namespace detail

// Return the description of an image in the caller's memory. The samples must outlive its use; where the image is only
// read, they may be const.
template <class T>
impasto_image image(Span<T> samples, std::uint32_t width, std::uint32_t height, std::uint32_t channels = 3,
                    std::size_t row_stride = 0) {
    using Sample = std::remove_const_t<T>;
    const std::size_t row = row_stride == 0 ? std::size_t{width} * channels * sizeof(Sample) : row_stride;
    const std::size_t last = std::size_t{width} * channels * sizeof(Sample);
    if (height > 0 && samples.size() * sizeof(Sample) < row * (std::size_t{height} - 1) + last)
        throw Error(IMPASTO_BAD_ARGUMENT, "bad image: there are fewer samples than its sides say");
    impasto_image found{};
    found.struct_size = sizeof found;
    found.data = const_cast<Sample*>(samples.data());
    found.width = width;
    found.height = height;
    found.row_stride = row;
    found.channels = channels;
    found.format = detail::Format<Sample>::value;
    return found;
}

template <class Container>
impasto_image image(Container& samples, std::uint32_t width, std::uint32_t height, std::uint32_t channels = 3,
                    std::size_t row_stride = 0) {
    return image(Span<std::remove_pointer_t<decltype(samples.data())>>(samples), width, height, channels, row_stride);
}

class Render;

// An open bundle; any thread may use it.
class Bundle {
public:
    explicit Bundle(const std::string& folder, const char* runtime = nullptr) {
        impasto_open_options options{};
        options.struct_size = sizeof options;
        options.runtime = runtime;
        impasto_bundle* made = nullptr;
        impasto_error* error = nullptr;
        const impasto_code code = impasto_bundle_open(folder.c_str(), &options, &made, &error);
        detail::check(code, error);
        handle_.reset(made);
    }

    impasto_bundle_info info() const {
        impasto_bundle_info found{};
        found.struct_size = sizeof found;
        impasto_error* error = nullptr;
        const impasto_code code = impasto_bundle_describe(handle_.get(), &found, &error);
        detail::check(code, error);
        return found;
    }

    impasto_result_info result(std::uint32_t number = 0) const {
        impasto_result_info found{};
        found.struct_size = sizeof found;
        impasto_error* error = nullptr;
        const impasto_code code = impasto_bundle_result(handle_.get(), number, &found, &error);
        detail::check(code, error);
        return found;
    }

    const impasto_bundle* get() const noexcept { return handle_.get(); }

private:
    struct Free {
        void operator()(impasto_bundle* bundle) const noexcept { impasto_bundle_free(bundle); }
    };
    std::unique_ptr<impasto_bundle, Free> handle_;
};

// A picture under way; one thread at a time.
class Render {
public:
    using Callback = std::function<bool(const impasto_progress&)>;

    explicit Render(const Bundle& bundle, impasto_render_options options = {}) {
        options.struct_size = sizeof options;
        impasto_render* made = nullptr;
        impasto_error* error = nullptr;
        const impasto_code code = impasto_render_new(bundle.get(), &options, &made, &error);
        detail::check(code, error);
        handle_.reset(made);
    }

    void set_content(const impasto_image& image) { call(impasto_set_content, &image); }
    void set_style(const impasto_image& image) { call(impasto_set_style, &image); }
    void set_style(const std::string& name) { call(impasto_set_style_targets, name.c_str()); }
    void image(const impasto_image& target) const { call(impasto_image_of, &target); }

    // Evaluate up to so many times, 0 until the end. The callback returns whether to go on; what it throws ends the run
    // and is thrown again here. Returns false if the run was stopped.
    bool run(std::uint32_t evaluations = 0, const Callback& callback = {}) {
        struct Context {
            const Callback* callback;
            std::exception_ptr thrown;
        } context{&callback, nullptr};
        const auto call_back = [](const impasto_progress* progress, void* user) -> int {
            auto* context = static_cast<Context*>(user);
            try {
                return (*context->callback)(*progress) ? 0 : 1;
            } catch (...) {
                context->thrown = std::current_exception();
                return 1;
            }
        };
        impasto_error* error = nullptr;
        const impasto_code code =
            impasto_run(handle_.get(), evaluations, callback ? static_cast<impasto_callback>(call_back) : nullptr, &context, &error);
        detail::check(code, error);
        if (context.thrown) std::rethrow_exception(context.thrown);
        return code == IMPASTO_OK;
    }

    impasto_progress progress() const {
        impasto_progress found{};
        found.struct_size = sizeof found;
        call(impasto_progress_of, &found);
        return found;
    }

    void cancel() noexcept { impasto_cancel(handle_.get()); }

private:
    template <class Function, class Argument>
    void call(Function function, Argument argument) const {
        impasto_error* error = nullptr;
        const impasto_code code = function(handle_.get(), argument, &error);
        detail::check(code, error);
    }

    struct Free {
        void operator()(impasto_render* render) const noexcept { impasto_render_free(render); }
    };
    std::unique_ptr<impasto_render, Free> handle_;
};

}  // namespace impasto

#endif

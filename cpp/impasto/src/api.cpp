// The C interface: arguments checked, and every exception turned into a code.

#include <algorithm>
#include <cstring>
#include <new>

#include "failure.hpp"
#include "render.hpp"

#ifndef IMPASTO_VERSION
#define IMPASTO_VERSION "0"
#endif

struct impasto_error {
    std::string message;
};

struct impasto_bundle {
    std::shared_ptr<const impasto_core::Bundle> shared;
};

struct impasto_render {
    impasto_core::Render render;
};

namespace {

using impasto_core::bad_argument;

void tell(impasto_error** error, const char* message) noexcept {
    if (error == nullptr) return;
    try {
        *error = new impasto_error{message};
    } catch (...) {
        *error = nullptr;  // there is no memory for the sentence
    }
}

// Run a function and turn what it throws into a code and an error.
template <class Function>
impasto_code guarded(impasto_error** error, Function function) noexcept {
    try {
        return function();
    } catch (const impasto_core::Failure& failure) {
        tell(error, failure.what());
        return failure.code;
    } catch (const std::bad_alloc&) {
        tell(error, "not enough memory");
        return IMPASTO_NO_MEMORY;
    } catch (const std::exception& failure) {
        tell(error, failure.what());
        return IMPASTO_INTERNAL;
    } catch (...) {
        tell(error, "unknown failure");
        return IMPASTO_INTERNAL;
    }
}

// Copy a caller's struct, of this version or an older, shorter one; what it lacks is zero.
template <class Struct>
Struct taken(const Struct* given, std::size_t least, const char* name) {
    Struct whole{};
    if (given == nullptr) return whole;
    if (given->struct_size < least)
        bad_argument(std::string("bad ") + name + ": its struct_size is " + std::to_string(given->struct_size) + "; set it to its sizeof");
    std::memcpy(&whole, given, std::min(given->struct_size, sizeof(Struct)));
    return whole;
}

// Fill in a caller's struct, of this version or an older, shorter one.
template <class Struct>
void give(const Struct& whole, Struct* target, std::size_t least, const char* name) {
    if (target == nullptr) bad_argument(std::string("no ") + name + ": it is NULL");
    const std::size_t size = target->struct_size;
    if (size < least) bad_argument(std::string("bad ") + name + ": its struct_size is " + std::to_string(size) + "; set it to its sizeof");
    std::memcpy(target, &whole, std::min(size, sizeof(Struct)));
    target->struct_size = size;
}

template <class Object>
void need(Object* object, const char* name) {
    if (object == nullptr) bad_argument(std::string("no ") + name + ": it is NULL");
}

constexpr std::size_t kFirstMember = sizeof(std::size_t);

}  // namespace

// The sizes of the structs in the first version; a caller's may not be shorter.
static_assert(offsetof(impasto_progress, loss) + sizeof(double) == 48, "members are added at the end");
static_assert(offsetof(impasto_render_options, provider) + sizeof(char*) == 40, "members are added at the end");

const char* impasto_version(void) { return IMPASTO_VERSION; }

uint32_t impasto_abi_version(void) { return IMPASTO_ABI_VERSION; }

const char* impasto_error_message(const impasto_error* error) { return error == nullptr ? "" : error->message.c_str(); }

void impasto_error_free(impasto_error* error) { delete error; }

impasto_code impasto_bundle_open(const char* folder, const impasto_open_options* options, impasto_bundle** bundle,
                                 impasto_error** error) {
    return guarded(error, [&] {
        need(bundle, "bundle");
        *bundle = nullptr;
        need(folder, "folder");
        const auto chosen = taken(options, kFirstMember, "impasto_open_options");
        auto shared = impasto_core::open_bundle(folder, chosen.runtime == nullptr ? "" : chosen.runtime, chosen.skip_hashes == 0);
        *bundle = new impasto_bundle{std::move(shared)};
        return IMPASTO_OK;
    });
}

void impasto_bundle_free(impasto_bundle* bundle) { delete bundle; }

impasto_code impasto_bundle_describe(const impasto_bundle* bundle, impasto_bundle_info* info, impasto_error** error) {
    return guarded(error, [&] {
        need(bundle, "bundle");
        const auto& manifest = bundle->shared->manifest;
        impasto_bundle_info found{};
        found.results = static_cast<std::uint32_t>(manifest.results.size());
        found.styles = static_cast<std::uint32_t>(manifest.styles.size());
        found.network = manifest.network.c_str();
        found.licence = manifest.licence.c_str();
        found.attribution = manifest.attribution.c_str();
        found.runtime = bundle->shared->runtime->version.c_str();
        found.runtime_path = bundle->shared->runtime->path.c_str();
        give(found, info, kFirstMember, "impasto_bundle_info");
        return IMPASTO_OK;
    });
}

impasto_code impasto_bundle_result(const impasto_bundle* bundle, uint32_t result, impasto_result_info* info, impasto_error** error) {
    return guarded(error, [&] {
        need(bundle, "bundle");
        const auto& results = bundle->shared->manifest.results;
        if (result >= results.size())
            bad_argument("no result " + std::to_string(result) + ": the bundle has " + std::to_string(results.size()));
        impasto_result_info found{};
        found.width = static_cast<std::uint32_t>(results[result].width);
        found.height = static_cast<std::uint32_t>(results[result].height);
        found.scales = static_cast<std::uint32_t>(results[result].scales.size());
        give(found, info, kFirstMember, "impasto_result_info");
        return IMPASTO_OK;
    });
}

const char* impasto_bundle_style(const impasto_bundle* bundle, uint32_t style) {
    if (bundle == nullptr || style >= bundle->shared->manifest.styles.size()) return nullptr;
    return bundle->shared->manifest.styles[style].name.c_str();
}

impasto_code impasto_render_new(const impasto_bundle* bundle, const impasto_render_options* options, impasto_render** render,
                                impasto_error** error) {
    return guarded(error, [&] {
        need(render, "render");
        *render = nullptr;
        need(bundle, "bundle");
        const auto chosen = taken(options, kFirstMember, "impasto_render_options");
        *render = new impasto_render{impasto_core::Render(bundle->shared, chosen)};
        return IMPASTO_OK;
    });
}

void impasto_render_free(impasto_render* render) { delete render; }

impasto_code impasto_set_content(impasto_render* render, const impasto_image* image, impasto_error** error) {
    return guarded(error, [&] {
        need(render, "render");
        render->render.set_content(impasto_core::checked(image));
        return IMPASTO_OK;
    });
}

impasto_code impasto_set_style(impasto_render* render, const impasto_image* image, impasto_error** error) {
    return guarded(error, [&] {
        need(render, "render");
        render->render.set_style(impasto_core::checked(image));
        return IMPASTO_OK;
    });
}

impasto_code impasto_set_style_targets(impasto_render* render, const char* name, impasto_error** error) {
    return guarded(error, [&] {
        need(render, "render");
        need(name, "name of a style");
        render->render.set_style(std::string(name));
        return IMPASTO_OK;
    });
}

impasto_code impasto_run(impasto_render* render, uint32_t evaluations, impasto_callback callback, void* user, impasto_error** error) {
    return guarded(error, [&] {
        need(render, "render");
        return render->render.run(evaluations, callback, user);
    });
}

impasto_code impasto_image_of(const impasto_render* render, const impasto_image* image, impasto_error** error) {
    return guarded(error, [&] {
        need(render, "render");
        render->render.image(impasto_core::checked(image));
        return IMPASTO_OK;
    });
}

impasto_code impasto_progress_of(const impasto_render* render, impasto_progress* progress, impasto_error** error) {
    return guarded(error, [&] {
        need(render, "render");
        give(render->render.progress(), progress, kFirstMember, "impasto_progress");
        return IMPASTO_OK;
    });
}

void impasto_cancel(impasto_render* render) {
    if (render != nullptr) render->render.cancel();
}

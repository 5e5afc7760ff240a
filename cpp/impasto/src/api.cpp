// The C interface: arguments checked, and every exception turned into a code.

#include <new>

#include "failure.hpp"
#include "render.hpp"
#include "structs.hpp"

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
using impasto_core::give;
using impasto_core::taken;

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

template <class Object>
void need(Object* object, const char* name) {
    if (object == nullptr) bad_argument(std::string("no ") + name + ": it is NULL");
}

// Return the caller's options; NULL is those with 0 in every member.
template <class Options>
Options chosen_by(const Options* options, const char* name) {
    return options == nullptr ? Options{} : taken(options, name);
}

}  // namespace

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
        const auto chosen = chosen_by(options, "impasto_open_options");
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
        give(found, info, "impasto_bundle_info");
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
        give(found, info, "impasto_result_info");
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
        const auto chosen = chosen_by(options, "impasto_render_options");
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
        give(render->render.progress(), progress, "impasto_progress");
        return IMPASTO_OK;
    });
}

void impasto_cancel(impasto_render* render) {
    if (render != nullptr) render->render.cancel();
}
